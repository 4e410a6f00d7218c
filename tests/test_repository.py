"""The repository keeps its promises: one list of versions, commands that work, no photographs."""

import re
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
# Pictures in git, each with the command that draws it. None may show a photograph.
PICTURES: dict[str, str] = {
    **dict.fromkeys(
        (
            "results/figures/celeba_rate_distortion.png",
            "results/figures/celeba_kl_spectrum.png",
            "results/figures/celeba_attributes.png",
            "results/figures/synthetic_rate_distortion.png",
            "results/figures/synthetic_scores.png",
            "results/figures/synthetic_information.png",
            "results/figures/synthetic_traversals.png",
        ),
        "python -m workshop report",
    ),
    # Faces of the gallery as the models decode them.
    "results/figures/explorer.png": "python benchmarks/explorer.py picture",
    # Sixteen drawn faces, which hold the renderer to its number.
    "tests/faces/renderer_1.png": "python tests/faces/test_synthetic.py",
}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


def test_conda_users_get_the_versions_that_uv_users_get():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    versions = project["tool"]["uv"]["constraint-dependencies"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip == ["-e .", *versions]
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    for extra in project["project"]["optional-dependencies"].values():
        wanted += extra
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in wanted} - {"vae-lib"}
    assert names <= {version.split("==")[0] for version in versions}


def test_no_picture_is_in_git_that_is_not_listed_with_its_command():
    endings = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".npy", ".zip"}
    found = {p.relative_to(ROOT).as_posix() for p in tracked() if p.suffix.lower() in endings}
    assert found == set(PICTURES)


def test_notebooks_are_committed_without_outputs():
    notebooks = [path for path in tracked() if path.suffix == ".ipynb"]
    assert notebooks
    for path in notebooks:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                assert cell.outputs == [], path
                assert cell.execution_count is None, path


def test_no_cell_of_a_notebook_is_long():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                assert len(cell.source.splitlines()) <= 30, path


def test_no_lock_file_with_addresses_is_in_git():
    assert not [path for path in tracked() if path.name in ("uv.lock", "package-lock.json")]


def test_the_readme_names_the_two_commands_that_do_all_the_setting_up():
    assert (
        "pip install uv\nuv run vae explore\nuv run jupyter lab notebooks/01_baseline_vae.ipynb\n"
        in README
    )
    assert "uv run pytest --nbmake" in README
    assert "uv run pytest --nbmake" in (ROOT / ".ci" / "run").read_text()
