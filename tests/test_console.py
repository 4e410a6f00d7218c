"""The vae command at start-up: quick, on any console, quiet at Ctrl-C."""

import codecs
import io
import os
import subprocess
import sys
import typing

import pytest

from vae_lib.cli import Command, main
from vae_lib.console import INTERRUPTED, spell

NAMES = [extra.name for part in typing.get_args(Command) for extra in typing.get_args(part)[1:]]


def run(*command: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *command], capture_output=True, env=os.environ | environment, timeout=120
    )


def test_help_comes_without_waiting_for_pytorch():
    heavy = ["torch", "torchvision", "matplotlib", "sklearn"]
    code = (
        "import sys, time\n"
        "from vae_lib.__main__ import main\n"
        f"for arguments in [[], *([name] for name in {NAMES})]:\n"
        "    sys.argv = ['vae', *arguments, '--help']\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as end:\n"
        "        assert end.code == 0\n"
        "    if not arguments:\n"
        "        print('CPU', time.process_time(), file=sys.stderr)\n"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)\n"
    )
    done = run("-c", code, PYTHONIOENCODING="utf-8")
    assert done.returncode == 0, done.stderr.decode()
    cpu, imported = done.stderr.decode().splitlines()
    assert imported == "[]"
    assert float(cpu.removeprefix("CPU")) < 1.5  # it takes 0.3


@pytest.mark.parametrize("encoding", ["gbk", "cp932", "cp949", "cp1252", "ascii"])
@pytest.mark.parametrize("name", [None, *NAMES])
def test_help_fits_any_console(name, encoding, monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", console)
    with pytest.raises(SystemExit) as end:
        main([*([name] if name else []), "--help"])
    assert end.value.code == 0
    console.flush()
    shown = console.buffer.getvalue().decode(encoding)
    assert "usage: vae" in shown
    assert "?" not in shown


def test_an_error_in_the_command_line_fits_a_narrow_code_page():
    done = run("-m", "vae_lib", "train", "--seed", "-1", PYTHONIOENCODING="gbk")
    assert done.returncode == 2
    assert done.stderr.decode("gbk").endswith("at least 0 and below 2^32 (4,294,967,296).\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2³² and 10⁻³", "2^32 and 10^-3"),
        ("β = 4 × 2", "beta = 4 x 2"),
        ("café • ½", "cafe * 1/2"),
        ("visages/\udce9t\udce9.png", "visages/?t?.png"),  # bytes of a name that is not UTF-8
        ("人", "?"),
    ],
)
def test_what_a_console_lacks_is_spelled(text, shown):
    codecs.register_error("tests.spell", spell)
    assert text.encode("ascii", "tests.spell").decode() == shown


@pytest.mark.parametrize("module", ["tyro", "torch"])
def test_ctrl_c_while_importing_ends_with_one_sentence(module, tmp_path):
    # PyTorch's C++ aborts where a KeyboardInterrupt lands in it: so does this stand-in.
    (tmp_path / f"{module}.py").write_text(
        "import os, signal, time\n"
        "try:\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    time.sleep(5)\n"
        "except KeyboardInterrupt:\n"
        "    os.abort()\n"
    )
    done = run("-m", "vae_lib", "evaluate", "vae_synthetic", PYTHONPATH=str(tmp_path))
    assert done.returncode == 130
    assert done.stderr.decode() == f"vae: {INTERRUPTED}\n"


def test_ctrl_c_stays_ignored_where_nohup_has_it_ignored(tmp_path):
    (tmp_path / "torch.py").write_text("import signal; signal.raise_signal(signal.SIGINT)\n")
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from vae_lib.console import quiet_interrupts\n"
        "with quiet_interrupts():\n"
        "    import torch\n"
    )
    assert run("-c", code, PYTHONPATH=str(tmp_path)).returncode == 0
