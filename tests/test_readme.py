"""What the README tells people to type is typed here, shortened by the commands' own flags."""

import ast
import functools
import json
import os
import re
import runpy
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from vae_lib import cli
from vae_lib.faces.synthetic import synthetic_faces
from vae_lib.pretrained import load_pretrained, pretrained_names

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PATIENCE = 240  # seconds; machines may be busy

BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.M | re.S)
SHELL = [text.splitlines() for language, text in BLOCKS if language == "sh"]
PYTHON = [text for language, text in BLOCKS if language == "python"]
PROSE = re.sub(r"^```.*?^```$", "", README, flags=re.M | re.S)
SPANS = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", PROSE)]

# Commands that no test can run, each with the reason.
LEFT_OUT = {
    "pip install uv": "downloads",
    "uv run pytest --nbmake": "is what runs this test",
    "pipx install uv": "downloads",
    "python3 -m venv .venv-uv && .venv-uv/bin/pip install uv": "downloads",
    ".venv-uv/bin/uv run …": "is the same command from another place",
    "conda env create -f environment.yml": "downloads",
    "conda activate vae": "wants that environment",
}
# What makes a command short: a small model, few faces; help instead of minutes of building.
SMALL = "--epochs 1 --channels 4 8 8 8 --latent-size 6 --batch-size 16 --synthetic-count 120"
SHORTER = {
    "uv run vae train": SMALL,
    "uv run vae evaluate": "",
    "uv run vae plot": "",
    "uv run vae explore": "--out face.html",  # no test opens anybody's browser
    "uv run python book/build.py": "--help",  # tests/browser/test_book_pages.py builds
}
SERVER = "uv run jupyter lab notebooks/01_baseline_vae.ipynb"
# What a run leaves, in the README's words.
LISTED = ("training_loss.png", "reconstruction_results.png", "history.jsonl")


@functools.cache
def uv_runs_this_environment() -> bool:
    """Whether ``uv run`` would start this very Python, as where ``uv run pytest`` began this.

    Elsewhere (conda, a virtual environment of one's own, no uv at all) it would first make the
    project's environment, which takes a network; there this environment's folder of programs
    stands first on the path, and what follows ``uv run`` is started without it.
    """
    own = ROOT / ".venv"
    return shutil.which("uv") is not None and own.exists() and own.samefile(sys.prefix)


def prepared(command: str, folder: Path) -> dict:
    """Arguments for subprocess: the command as people type it, in a folder like this one."""
    environment = os.environ.copy()
    environment.pop("CELEBA_ROOT", None)
    programs = Path(sys.executable).parent
    environment["PATH"] = os.pathsep.join([str(programs), environment.get("PATH", os.defpath)])
    # uv takes the project from here and leaves its environment, which is in use, as it is.
    environment |= {"UV_PROJECT": str(ROOT), "UV_NO_SYNC": "1", "UV_OFFLINE": "1"}
    environment |= {"OMP_NUM_THREADS": "1"}  # for small models more threads are slower
    for place in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        environment[place] = str(folder / place.lower())
    words = shlex.split(command)
    if words[:2] == ["uv", "run"] and not uv_runs_this_environment():
        words = words[2:]
    return {"args": words, "cwd": folder, "env": environment}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with what the README's commands find there, and faces in ``celeba``."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("notebooks", "book"):
        (folder / name).symlink_to(ROOT / name, target_is_directory=True)
    images, _ = synthetic_faces(60, seed=2)
    (folder / "celeba").mkdir()
    names = [f"{number:06d}.jpg" for number in range(1, len(images) + 1)]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).resize((178, 178)).save(folder / "celeba" / name)
    splits = np.repeat([0, 1, 2], [40, 10, 10])
    lines = [f"{name} {split}" for name, split in zip(names, splits, strict=True)]
    (folder / "celeba" / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    return folder


def lines_to_run(block: list[str]) -> list[str]:
    return [line for line in block if line not in LEFT_OUT and line != SERVER]


@pytest.mark.parametrize(
    "lines",
    [pytest.param(lines, id=lines[0]) for block in SHELL if (lines := lines_to_run(block))],
)
def test_the_blocks_of_commands_run_and_leave_what_they_name(lines, folder):
    for line in lines:
        (shorter,) = (flags for start, flags in SHORTER.items() if line.startswith(start))
        ran = subprocess.run(
            **prepared(f"{line} {shorter}", folder),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert ran.returncode == 0, f"{line}\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}"
        for place in re.findall(r"--(?:out|json) (\S+)", line):
            made = folder / place
            assert any(made.iterdir()) if made.is_dir() else made.stat().st_size > 100
            if line.startswith("uv run vae train"):
                assert {*LISTED} <= {path.name for path in made.iterdir()}
        if "--json" in line:
            assert json.loads((folder / line.split()[-1]).read_text())["images"] == 10


def test_every_line_of_every_block_is_run_or_left_out_for_a_reason():
    lines = [line for block in SHELL for line in block]
    assert not any("&&" in line for line in lines)  # Windows PowerShell 5 knows no such thing
    assert len(lines) >= 7
    assert {*LISTED} <= {*SPANS}
    assert SERVER in lines
    for line in lines:
        handled = line in LEFT_OUT or line == SERVER or line.startswith(tuple(SHORTER))
        assert handled, f"{line!r} of the README is not run by any test"


def test_jupyterlab_starts_and_offers_the_notebooks(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    flags = f"--no-browser --allow-root --ServerApp.ip=127.0.0.1 --ServerApp.port={port}"
    command = f"{SERVER} {flags} --IdentityProvider.token={token}"
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            **prepared(command, folder), stdout=log, stderr=log, start_new_session=True
        )
    try:
        for page in ("lab", "api/contents/01_baseline_vae.ipynb"):
            address = f"http://127.0.0.1:{port}/{page}?token={token}"
            assert answer(address, server) == 200, (folder / "log").read_text()[-3000:]
    finally:
        # uv has children; all of them are this command's, and in a session of their own.
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def answer(address: str, server: subprocess.Popen) -> int | None:
    """The status of the page as soon as the server gives one; None if it does not live so long."""
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=30) as page:
                return page.status
        except urllib.error.HTTPError as error:
            return error.code
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    return None


@pytest.mark.parametrize("text", PYTHON)
def test_the_python_runs(text):
    *before, last = ast.parse(text).body
    names: dict[str, object] = {}
    exec(compile(ast.Module(before, []), "README.md", "exec"), names)
    shown = eval(compile(ast.Expression(last.value), "README.md", "eval"), names)
    assert hasattr(shown, "_repr_mimebundle_")  # what JupyterLab draws


def test_the_box_holds_the_models_of_the_readmes_table():
    assert "vae_lib.load_pretrained(name)" in SPANS
    listed = re.findall(r"^\| `(\w+)` \|", README, re.M)
    assert sorted(listed) == sorted(pretrained_names())
    for name in listed:
        model = load_pretrained(name)
        assert not model.training
        assert (ROOT / "vae_lib" / "pretrained" / f"{name}.md").exists()


# Commands inside sentences and tables.

COMMANDS = dict.fromkeys(
    line.removeprefix("uv run ") for line in [*SPANS, *(line for b in SHELL for line in b)]
)
VAE = [command for command in COMMANDS if command.startswith("vae ")]
SCRIPTS = [command for command in COMMANDS if re.match(r"python (\S+\.py\b|-m )", command)]


@pytest.mark.parametrize("command", VAE)
def test_vae_commands_parse(command, monkeypatch, capsys):
    """Run as far as their files: nothing is at the paths that the README makes up."""
    ran = []
    does = (cli.Prepare, cli.Download, cli.Train, cli.Sweep, cli.Evaluate)
    for kind in (*does, cli.Plot, cli.Compare, cli.Explore):
        monkeypatch.setattr(kind, "run", lambda self: ran.append(self))
    arguments = command.split()[1:]
    if len(arguments) == 1:  # not a command to type but a command's name
        with pytest.raises(SystemExit) as left:
            cli.main([*arguments, "--help"])
        assert left.value.code == 0
    else:
        assert cli.main(arguments) == 0
        assert len(ran) == 1


@pytest.mark.parametrize("command", SCRIPTS)
def test_scripts_are_there_and_explain_themselves(command, monkeypatch, capsys):
    script, *arguments = command.removeprefix("python ").removeprefix("-m ").split()
    monkeypatch.setattr(sys, "path", [str((ROOT / script).parent), *sys.path])
    monkeypatch.setattr(sys, "argv", [script, *arguments, "--help"])
    run = runpy.run_path if script.endswith(".py") else runpy.run_module
    with pytest.raises(SystemExit) as left:
        run(str(ROOT / script) if script.endswith(".py") else script, run_name="__main__")
    assert left.value.code == 0
    helped = capsys.readouterr().out
    for flag in (argument for argument in arguments if argument.startswith("--")):
        assert flag in helped


def test_flags_named_in_sentences_are_flags_of_the_command(capsys):
    named = {span.split()[0] for span in SPANS if span.startswith("--")}
    assert named
    known = ""
    for command in ("prepare", "download", "train", "sweep", "evaluate", "plot", "explore"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        known += capsys.readouterr().out
    for flag in named:
        assert re.search(rf"{flag}\b", known), f"no command has {flag}"


def test_every_command_in_a_sentence_is_tried_or_left_out_for_a_reason():
    programs = (
        "vae ",
        "python ",
        "python3 ",
        "pip ",
        "pipx ",
        "uv ",
        "conda ",
        "jupyter ",
        ".venv",
    )
    found = [span for span in SPANS if span.startswith(programs)]
    assert len(found) >= 10
    for span in found:
        handled = span.removeprefix("uv run ") in [*VAE, *SCRIPTS] or span in LEFT_OUT
        assert handled, f"`{span}` of the README is not tried by any test"


def test_conda_makes_the_environment_that_the_readme_activates():
    made = yaml.safe_load((ROOT / "environment.yml").read_text())["name"]
    assert f"conda activate {made}" in " ".join(SPANS)
