"""The notebooks are built alike, and keep their promises to the reader.

What the tests go by: tags ``exercise`` and ``solution`` on code cells; ``*Core · 8 minutes*`` or
``*Extra · 8 minutes*`` under each section's heading; quotes that begin with *Predict first* or
*Exercise*, and answers in ``<details>``; ``mystnb`` metadata on every cell that shows a figure.
"""

import ast
import functools
import os
import re
import shutil
import statistics
import sys
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from PIL import Image

import vae_lib.config
import vae_lib.faces
import vae_lib.training
from vae_lib.faces.synthetic import synthetic_faces

ROOT = Path(__file__).parent.parent
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MODULES = {"vae_lib", "numpy", "torch", "IPython"} | sys.stdlib_module_names
# Calls that return a figure; the other public functions of these modules return numbers.
FIGURE = re.compile(
    r"\b(?:lesson_)?figures\.(?!power_by_frequency|mosaic|colours)[a-z]\w*\(|\bmorph\(|"
    r"callbacks=\[watch"
)


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def sources(notebook, kind: str) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


def bullets(text: str) -> list[str]:
    """The first bullet list of a text, each item on one line."""
    found = re.search(r"(?:^- .+\n(?:(?!- ).+\n)*)+", text + "\n", re.M)
    assert found, "a list is missing"
    return [" ".join(item.split()) for item in re.split(r"^- ", found[0], flags=re.M)[1:]]


def test_there_are_notebooks():
    assert PATHS


def test_the_title_is_followed_by_minutes_prerequisites_and_objectives(notebook):
    first = notebook.cells[0].source
    assert re.match(r"# \d · \S", first)
    assert re.search(r"\d+ minutes", first)
    assert "You need" in first
    assert 4 <= len(bullets(first)) <= 6


def test_the_objectives_return_word_for_word_as_the_recap(notebook):
    last = notebook.cells[-1].source
    assert last.startswith("## Recap")
    assert bullets(last) == bullets(notebook.cells[0].source)


def test_the_notebook_can_be_read_in_a_class(notebook):
    read = [c for c in notebook.cells if "remove-cell" not in c.metadata.get("tags", [])]
    assert 45 <= len(read) <= 68
    text = "\n\n".join(sources(notebook, "markdown"))
    core = [part for part in re.split(r"^(?=## )", text, flags=re.M) if "*Extra ·" not in part]
    words = [len(part.split()) for part in ("".join(core), text)]
    assert 2_500 <= words[0] <= 3_500
    assert words[1] <= 3_950
    lines = [len(text.splitlines()) for text in sources(notebook, "code")]
    assert statistics.median(lines) <= 10
    assert max(lines) <= 30


def test_the_core_path_is_marked_and_fits_ninety_minutes(notebook):
    text = "\n\n".join(sources(notebook, "markdown"))
    headings = re.findall(r"^## .+$", text, re.M)
    marks = re.findall(r"^## .+\n\n\*(Core|Extra) · (\d+) minutes?\*$", text, re.M)
    assert len(marks) == len(headings)
    assert 75 <= sum(int(minutes) for kind, minutes in marks if kind == "Core") <= 90


def test_core_cells_need_nothing_that_extra_cells_define(notebook):
    kind, defined_in_extra = "Core", set()
    defined_in_core: set[str] = set()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            kind = ([kind, *re.findall(r"^\*(Core|Extra) · ", cell.source, re.M)])[-1]
            continue
        names = list(ast.walk(ast.parse(cell.source)))
        stored = {
            n.id for n in names if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        } | {a.asname or a.name for n in names if isinstance(n, ast.ImportFrom) for a in n.names}
        stored |= {n.name for n in names if isinstance(n, ast.FunctionDef)}
        loaded = {n.id for n in names if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        if kind == "Extra":
            defined_in_extra |= stored - defined_in_core
        else:
            assert not (loaded - stored) & defined_in_extra, cell.source
            defined_in_core |= stored
            defined_in_extra -= stored


def test_no_outputs_are_committed(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_every_figure_has_a_name_a_caption_and_an_alternative_text(notebook):
    names = []
    for cell in notebook.cells:
        shows = cell.cell_type == "code" and FIGURE.search(cell.source)
        described = cell.metadata.get("mystnb", {}).get("figure")
        assert bool(shows) == bool(described), cell.source
        if shows:
            names.append(described["name"])
            assert len(described["caption"].split()) >= 5
            assert described["caption"].endswith(".")
            assert len(cell.metadata["mystnb"]["image"]["alt"].split()) >= 8
            assert "explore(" not in cell.source  # the caption and its name would be given twice
    assert len(names) >= 5
    assert len(set(names)) == len(names)


def test_figures_of_all_notebooks_have_different_names():
    names = [
        cell.metadata["mystnb"]["figure"]["name"]
        for path in PATHS
        for cell in nbformat.read(path, as_version=4).cells
        if "figure" in cell.metadata.get("mystnb", {})
    ]
    assert len(set(names)) == len(names)


def test_exercises_have_a_checked_stub_and_then_a_folded_checked_solution(notebook):
    tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
    stubs = [i for i, found in enumerate(tags) if "exercise" in found]
    assert 4 <= len(stubs) <= 6
    assert [i for i, found in enumerate(tags) if "solution" in found] == [i + 1 for i in stubs]
    for i in stubs:
        told, stub, solution = notebook.cells[i - 1 : i + 2]
        (number,) = re.findall(r"^> \*\*Exercise (\d\.\d): .+\*\*$", told.source, re.M)
        assert "return None" in stub.source
        assert solution.metadata["jupyter"]["source_hidden"] is True
        assert "hide-input" in solution.metadata["tags"]  # what the book folds by
        for cell in (stub, solution):
            assert cell.source.splitlines()[-1].startswith("checks.")
        # What JupyterLab shows of a folded cell, and the first thing seen where nothing folds.
        assert solution.source.splitlines()[0] == f"# Solution to exercise {number}"
        assert "solution=True" in solution.source
        assert "solution" not in stub.source


def test_predictions_are_asked_for_and_their_answers_folded(notebook):
    asked = 0
    for text in sources(notebook, "markdown"):
        questions = len(re.findall(r"^> \*\*Predict first\*\*$", text, re.M))
        pairs = re.findall(r"^> \*\*Predict first\*\*\n>\n(?:> .+\n)+\n<details>", text, re.M)
        assert len(pairs) == questions == text.count("<summary>Show the answer</summary>")
        asked += questions
    assert asked >= 5


def test_two_exercises_are_for_the_class_and_have_a_folded_hint(notebook):
    for_class = 0
    for text in sources(notebook, "markdown"):
        marked = len(re.findall(r"^> \*\*Exercise \d\.\d: .+ \(in class\)\*\*$", text, re.M))
        assert text.count("<summary>Show a hint</summary>") == marked
        for_class += marked
    assert for_class == 2


def test_answers_fold_wherever_markdown_is_shown(notebook):
    """A blank line before Markdown inside HTML; no indentation, which would make it code."""
    for text in sources(notebook, "markdown"):
        folded = re.findall(
            r"(?<=\n\n)<details><summary>[^<\n]+</summary>\n\n(.+?)\n\n</details>(?=\n|$)",
            text,
            re.S,
        )
        assert len(folded) == text.count("<details") == text.count("</details>")
        for answer in folded:
            assert not re.search(r"^[ \t]+\S|<", answer, re.M)
            assert "$" not in answer  # jupyterlab-myst typesets no formula inside HTML


def test_nothing_is_written_for_one_viewer_alone(notebook):
    """MyST's fences and roles come out as grey code in GitHub, VS Code and Colab; ``$$`` gets a
    number of its own in JupyterLab."""
    for text in sources(notebook, "markdown"):
        assert not re.findall(r"^\s*(?:```|:::)", text, re.M)
        assert not re.findall(r"\{\S+\}`", text)
        assert "$$" not in text


def test_the_first_cell_of_code_installs_the_course_only_where_it_is_missing(notebook, monkeypatch):
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert cell.metadata["tags"] == ["remove-cell"]  # a page of the book has nothing to install
    ran = []
    monkeypatch.setattr("subprocess.run", lambda command, **options: ran.append(command))
    exec(cell.source, {})
    assert ran == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    source = re.sub(r'^REPOSITORY = ".*?"', 'REPOSITORY = ""', cell.source, flags=re.M)
    with pytest.raises(AssertionError, match="vae_lib is not installed here"):
        exec(source, {})
    exec(source.replace('REPOSITORY = ""', 'REPOSITORY = "https://a/b"'), {})
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    assert ran == [[*pip, "vae-lib[colab] @ git+https://a/b"]]  # a list: no shell reads it


def test_the_course_opens_with_play():
    first, _, explorer = nbformat.read(PATHS[0], as_version=4).cells[:3]
    assert "$" not in first.source
    play = first.source[first.source.index("## Play first\n\n*Core · 3 minutes*") :]
    assert [item.count("?") for item in bullets(play)] == [1, 1, 1]
    assert explorer.cell_type == "code"
    assert re.search(r"^explore\(", explorer.source, re.M)


def bibliography() -> dict[tuple[str, str], dict[str, str]]:
    """The fields of each entry, by first author's family name and year."""
    entries = {}
    for entry in (ROOT / "book" / "references.bib").read_text().split("\n@"):
        fields = dict(re.findall(r"^  (\w+) = \{(.+)\},?$", entry, re.M))
        entries[fields["author"].split(",")[0], fields["year"]] = fields
    return entries


def cited_authors(field: str) -> str:
    """``Kim and Mnih`` or ``Higgins et al.``, from a bibliography's list of authors."""
    names = [author.split(",")[0] for author in field.split(" and ")]
    return " and ".join(names) if len(names) < 3 else f"{names[0]} et al."


def test_every_source_cited_stands_in_the_bibliography(notebook):
    """A link ``[Kim and Mnih, 2018](address)`` or ``[Kim and Mnih (2018)](address)``."""
    text = "\n".join(sources(notebook, "markdown"))
    links = re.findall(r"\[([^\]]+)\]\((http[^)\s]+)\)", text)
    assert len(links) == len(re.findall(r"https?://", text)) >= 8
    known = bibliography()
    for label, address in links:
        authors, year = re.fullmatch(r"(.+?)(?:, | \()(\d{4})\)?", label).groups()
        entry = known[authors.split(" ")[0], year]
        assert authors == cited_authors(entry["author"])
        if "eprint" in entry:
            assert address == f"https://arxiv.org/abs/{entry['eprint']}"


def test_a_source_has_the_same_address_wherever_it_is_cited():
    addresses: dict[tuple[str, ...], set[str]] = {}
    for path in PATHS:
        text = "\n".join(sources(nbformat.read(path, as_version=4), "markdown"))
        for label, address in re.findall(r"\[([^\]]+ \(?\d{4}\)?)\]\(([^)\s]+)\)", text):
            addresses.setdefault(tuple(re.findall(r"\w+", label)), set()).add(address)
    assert len(addresses) >= 20
    assert [found for found in addresses.values() if len(found) > 1] == []


def test_code_cites_the_equations_it_computes(notebook):
    assert any(re.search(r"#.*\bEq\. ", text) for text in sources(notebook, "code"))


def test_cells_import_the_package_and_little_else(notebook):
    for text in sources(notebook, "code"):
        assert "sys.path" not in text
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= MODULES
            elif isinstance(node, ast.ImportFrom):
                assert node.module.split(".")[0] in MODULES


def test_there_is_a_section_on_what_this_does_badly(notebook):
    text = "\n\n".join(sources(notebook, "markdown"))
    assert re.search(r"^## What .*badly", text, re.M)


def drawings(folder: Path, names: list[str]) -> None:
    for name, image in zip(names, synthetic_faces(len(names), seed=3)[0], strict=True):
        Image.fromarray(image).save(folder / name)


def forty_drawings(folder: Path) -> None:
    """Six digits, as CelebA names its own."""
    drawings(folder, [f"{number:06d}.png" for number in range(1, 41)])


def one_validation_face(folder: Path) -> None:
    """Labels too: one that only one face has, one that all have, and one of every other face."""
    names = [f"face-{number:02d}.png" for number in range(40)]
    drawings(folder, names)
    splits = [0] * 38 + [1, 2]
    lines = [f"{name} {split}" for name, split in zip(names, splits, strict=True)]
    (folder / "list_eval_partition.txt").write_text("\n".join(lines))
    lines = ["40", "Rare Common Even"]
    lines += [f"{n} {1 if i == 39 else -1} 1 {1 if i % 2 else -1}" for i, n in enumerate(names)]
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines))


def two_hundred_originals(folder: Path) -> None:
    """The first of CelebA, all of which are for training."""
    originals = Path(os.environ["CELEBA_ORIGINALS"])
    for listed in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        shutil.copy(originals / listed, folder)
    with zipfile.ZipFile(originals / "img_align_celeba.zip") as archive:
        members = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[:200]
        archive.extractall(folder, members)


def all_originals(folder: Path) -> Path:
    return Path(os.environ["CELEBA_ORIGINALS"])


ORIGINALS = pytest.mark.skipif(
    "CELEBA_ORIGINALS" not in os.environ, reason="CELEBA_ORIGINALS names no folder of originals"
)


# Cells that take long and do not depend on the faces at hand.
SEES_NO_FACE = re.compile(
    r"checks\.\w+\(|figures\.traversals|halves|radii|arcs|moved = \[\]|xs = |estimates"
)


def quick(config, faces, train=vae_lib.training.train, **named):
    """`vae_lib.training.train` with one epoch of a narrow model and few faces."""
    narrow = replace(config.model, channels=(4, 8, 8, 8))
    return train(replace(config, epochs=1, model=narrow), faces.take(64, 16), **named)


def narrow(channels=(), latent_size=128, config=vae_lib.config.VAEConfig):
    return config(channels=(4, 8, 8, 8), latent_size=latent_size)


@pytest.mark.parametrize(
    "faces",
    [
        None,
        forty_drawings,
        one_validation_face,
        pytest.param(two_hundred_originals, marks=ORIGINALS),
        pytest.param(all_originals, marks=ORIGINALS),
    ],
)
def test_notebooks_take_what_faces_there_are(faces, tmp_path, monkeypatch, capsys):
    """Training is short here, and the drawings are few; nbmake runs every cell as it stands."""
    monkeypatch.delenv("CELEBA_ROOT", raising=False)
    if faces:
        monkeypatch.setenv("CELEBA_ROOT", str(faces(tmp_path) or tmp_path))
    few = functools.partial(vae_lib.faces.open_faces, synthetic_count=100)
    monkeypatch.setattr(vae_lib.faces, "open_faces", few)
    monkeypatch.setattr(vae_lib.config, "VAEConfig", narrow)
    monkeypatch.setattr(vae_lib.training, "train", quick)
    many = faces in (two_hundred_originals, all_originals)
    for path in PATHS:
        space = {"range": lambda *ends: range(*ends)[:3] if ends == (1, 121) else range(*ends)}
        for source in sources(nbformat.read(path, as_version=4), "code"):
            if not SEES_NO_FACE.search(source) and not (many and "fit_pca" in source):
                with warnings.catch_warnings():
                    for kind in (RuntimeWarning, UserWarning):  # of means of nothing, mostly
                        warnings.simplefilter("error", kind)
                    exec(source, space)
            if path == PATHS[2] and "open_faces()" in source:
                break  # from here on faces are drawn ones
    printed = capsys.readouterr().out
    assert not re.search(r"\b(nan|inf)\b", printed)
    left_out = {
        None: (),
        forty_drawings: ("Nothing but pixels is known", "have 31 components, no more"),
        one_validation_face: ("1 for validation", "divided anew", "nothing to compare"),
        two_hundred_originals: ("0 for validation", "divided anew", "4 steps on 160 faces"),
        all_originals: ("4,000 celeba faces", "faces at hand: 12"),
    }[faces]
    for words in left_out:
        assert words in printed
