"""The package as pip installs it: complete, without the checkout beside it."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from vae_lib.errors import InputError
from vae_lib.study import read_runs

ROOT = Path(__file__).parent.parent
RUNS = sorted((ROOT / "results").glob("*/*_seed_*.json"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "checkout"
    for name in ("vae_lib", "results"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT"):
        shutil.copy(ROOT / name, copy / name)
    weights = copy / "results" / "celeba" / "beta_1_seed_0"  # vae sweep keeps them there
    weights.mkdir()
    (weights / "stray.json").write_text("{}", encoding="utf-8")
    (path,) = WheelBuilder(str(copy)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(path) as file:
        yield file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with what the wheel holds, as in site-packages."""
    folder = tmp_path_factory.mktemp("site")
    wheel.extractall(folder)
    return folder


def run(installed: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=installed.parent,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_what_git_holds_of_the_package_and_every_committed_number(wheel):
    listed = subprocess.run(
        ["git", "ls-files", "-z", "vae_lib", "results"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("needs a git checkout")
    tracked = [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]
    # 1.9 MB of figures are the README's and the book's; no cell reads them. Of the prediction the
    # verdict travels, not its 44 runs.
    wanted = {
        name.replace("results/", "vae_lib/results/", 1)
        for name in tracked
        if name.startswith("vae_lib/")
        or (name.endswith(".json") and not re.match(r"results/prediction/.*_seed_", name))
    }
    files = {name for name in wheel.namelist() if name.startswith("vae_lib/")}
    assert len(RUNS) > 30
    assert files & wanted == wanted
    assert {name for name in files - wanted if "results" in name or "." not in name} == set()


def test_the_results_cost_less_than_a_megabyte_and_the_wheel_little_more_than_its_weights(wheel):
    sizes = {info.filename: info.file_size for info in wheel.infolist()}
    assert sum(size for name, size in sizes.items() if "/results/" in name) < 1_000_000
    # Nine models of two shapes: 42 MB of weights, which no compression makes smaller.
    assert sum(info.compress_size for info in wheel.infolist()) < 46_000_000


def test_runs_are_found_beside_an_installed_package(installed):
    code = (
        "from vae_lib import study\n"
        "print(study.RESULTS)\n"
        "for kind in ('celeba', 'synthetic'):\n"
        "    for run in study.read_runs(study.RESULTS / kind):\n"
        "        print(kind, run.objective, run.setting, run.seed, run.measures['psnr'])\n"
    )
    folder, *found = run(installed, code).splitlines()
    assert Path(folder) == installed / "vae_lib" / "results"
    assert found == [
        f"{kind} {one.objective} {one.setting} {one.seed} {one.measures['psnr']}"
        for kind in ("celeba", "synthetic")
        for one in read_runs(ROOT / "results" / kind)
    ]


def test_the_command_and_the_servers_extension_come_with_the_wheel(wheel):
    texts = {Path(name).name: wheel.read(name) for name in wheel.namelist() if "/data/" in name}
    assert b"vae_lib.jupyter" in texts["vae_lib.json"]
    (entry,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "vae = vae_lib.__main__:main" in wheel.read(entry).decode()
    (metadata,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    wanted = message_from_string(wheel.read(metadata).decode()).get_all("Requires-Dist")
    assert not [one for one in wanted if "==" in one.partition(";")[0]]  # pins are for uv and conda


def test_an_installed_package_writes_the_explorers_page(installed, tmp_path):
    code = f"from vae_lib import cli; cli.main(['explore', '--out', {str(tmp_path / 'a.html')!r}])"
    assert "(3." in run(installed, code)
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "start(document" in text


@pytest.mark.parametrize("name", ["anywidget", "ipywidgets", "traitlets"])
def test_without_the_extra_the_explorer_says_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "vae_lib.explorer", raising=False)
    with pytest.raises(InputError, match=f"needs the package {name}.*`pip install anywidget") as e:
        from vae_lib.explorer import explore  # noqa: F401
    assert isinstance(e.value, ImportError)
    assert "`course`" in str(e.value)
