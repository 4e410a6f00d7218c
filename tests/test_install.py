"""What an installation asks for: PyTorch as it stands is kept, old versions are enough."""

import os
import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

from vae_lib.devices import faster_in_bfloat16, processor_name
from vae_lib.model import VAEConfig
from vae_lib.training import TrainConfig, train

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = dict(pin.split("==") for pin in PROJECT["tool"]["uv"]["constraint-dependencies"])
DECLARED = {"": PROJECT["project"]["dependencies"]} | PROJECT["project"]["optional-dependencies"]
UV = shutil.which("uv") or os.environ.get("UV")


def floor(requirement: Requirement) -> str:
    (least,) = [one.version for one in requirement.specifier if one.operator == ">="]
    return least


@pytest.mark.parametrize(
    "line", [line for lines in DECLARED.values() for line in lines], ids=lambda line: line
)
def test_every_dependency_names_the_oldest_version_that_works(line):
    requirement = Requirement(line)
    assert floor(requirement)
    assert requirement.specifier.contains(PINS[requirement.name])


def test_pytorch_may_be_as_old_as_the_first_that_reads_foreign_weights_safely():
    assert "torch>=2.6" in DECLARED[""]  # before it, weights_only let code through


def test_colab_may_keep_its_ipywidgets():
    assert [one for one in DECLARED["colab"] if one.startswith("ipywidgets>=7.7")]
    assert not [one for one in DECLARED["colab"] if one.startswith("jupyterlab")]


def test_a_pytorch_without_its_table_of_the_cpu_trains_all_the_same(faces, monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)  # it came with 2.11
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert processor_name(torch.device("cpu"))
    assert not faster_in_bfloat16(torch.device("cpu"))
    config = TrainConfig(
        epochs=1, batch_size=8, model=VAEConfig(channels=(4, 8, 8, 8), latent_size=4)
    )
    done = train(config, faces, device="cpu")
    assert done.step == done.steps_per_epoch > 10
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert faster_in_bfloat16(torch.device("cpu"))


# The packages of the course as wheels that hold nothing, and a copy of the project that wants them.


def stand_in(folder: Path, name: str, version: str) -> None:
    stem = f"{name.replace('-', '_')}-{version}"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        info = f"{stem}.dist-info"
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Run uv in a project like this one, against a folder of empty wheels, with no network."""
    if UV is None:
        pytest.skip("needs uv")
    wheels, project = tmp_path / "wheels", tmp_path / "project"
    wheels.mkdir()
    project.mkdir()
    for name in {Requirement(line).name for lines in DECLARED.values() for line in lines}:
        stand_in(wheels, name, PINS[name])
    for version in (f"{PINS['torch']}+cpu", "2.11.0", "2.11.0+cu128", "2.6.0"):
        stand_in(wheels, "torch", version)
    (project / "pyproject.toml").write_text(
        re.sub(
            r"\n\[build-system\]\n.*?\n\n", "\n", (ROOT / "pyproject.toml").read_text(), flags=re.S
        )
    )
    for name in ("UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV", "UV_CONSTRAINT", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)

    def uv(*arguments: str) -> str:
        done = subprocess.run(
            [UV, *arguments], cwd=project, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    uv("venv", "--quiet")
    uv.offline = ("--quiet", "--offline", "--no-index", "--find-links", str(wheels))
    return uv


def torch_of(uv) -> str:
    found = uv("pip", "list", "--format", "freeze", "--quiet").splitlines()
    return next(line.removeprefix("torch==") for line in found if line.startswith("torch=="))


def test_a_build_of_pytorch_for_the_cpu_alone_is_kept(room):
    build = f"{PINS['torch']}+cpu"
    room("pip", "install", *room.offline, f"torch=={build}")
    room("pip", "install", *room.offline, "-r", "pyproject.toml", "--extra", "course")
    assert torch_of(room) == build
    code = "from importlib.metadata import version as v; print(v('torch'), v('jupyterlab'))"
    ran = room("run", "--no-sync", "--quiet", "python", "-c", code)
    assert ran.split() == [build, PINS["jupyterlab"]]
    assert torch_of(room) == build


@pytest.mark.parametrize("version", ["2.6.0", "2.11.0+cu128"])
def test_outside_the_checkout_an_older_pytorch_is_kept(room, version, tmp_path):
    room("pip", "install", "--no-config", *room.offline, f"torch=={version}")
    wanted = ["-r", "project/pyproject.toml", "--extra", "colab"]
    where = ["--directory", str(tmp_path), "--python", str(tmp_path / "project" / ".venv")]
    room("pip", "install", "--no-config", *where, *room.offline, *wanted)
    assert torch_of(room) == version
