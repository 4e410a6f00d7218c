"""What teachers hand out, and what becomes of hand-ins: good, wrong, broken, hanging."""

import csv
import json
import os
import re
import time
from pathlib import Path

import nbformat
import pytest

from vae_lib.cli import main
from vae_lib.course.handins import NOTEBOOKS, write_student_editions
from vae_lib.errors import InputError

SIZE = "def conv_size(n, k, s, p):\n    return {}\n\nchecks.conv_size(conv_size)"
BETA = "def effective_beta(*a):\n    {}\n\nchecks.effective_beta(effective_beta)"
RIGHT = "(n + 2 * p - k) // s + 1"
CHILD = """import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({place!r}, "w").write(str(child.pid))
while True:
    print("x" * 99)"""
SECRET = """import os, pathlib
here = [name for name in os.environ if "SECRET" in name]
assert not here and pathlib.Path.cwd() == pathlib.Path.home()
pathlib.Path("note").write_text("in the scratch folder")"""


def hand_in(folder: Path, name: str, *cells: str) -> None:
    made = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=made), folder / name)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_six_hand_ins_and_what_is_none_become_rows(tmp_path, monkeypatch, capsys):
    folder, out, place = tmp_path / "in", tmp_path / "grades.csv", tmp_path / "pid"
    (folder / "late").mkdir(parents=True)
    first = "from vae_lib.course import checks"
    none = BETA.format("return None")
    hand_in(folder, "a.ipynb", first, SIZE.format(RIGHT), none)
    hand_in(folder, "b.ipynb", first, SIZE.format("n // s"), BETA.format("return 1 / 0"))
    hand_in(folder, "c.ipynb", first, SIZE.format(RIGHT), CHILD.format(place=str(place)), none)
    hand_in(folder, "d.ipynb", first, "import os; os._exit(3)", SIZE.format(RIGHT))
    hand_in(folder, "e.ipynb", f"{first}\n{SECRET}", SIZE.format(RIGHT), "conv_size(")
    hand_in(folder, "late/f.ipynb", "checks = 1", SIZE.format(RIGHT), none)
    (folder / "essay.ipynb").write_text("I did it!")
    (folder / "photo.jpg").write_bytes(os.urandom(99))
    (folder / ".hidden").write_text("no hand-in")
    monkeypatch.setenv("MY_SECRET", "1")
    arguments = ["course", "grade", str(folder), "--out", str(out), "--seconds", "8"]
    begun = time.monotonic()
    assert main(arguments) == 0
    assert time.monotonic() - begun < 100
    assert "runs students' code on this machine" in capsys.readouterr().err

    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "exercise", "verdict", "seconds"]
    assert all(float(row["seconds"]) >= 0 for row in rows)
    found = {}
    for row in rows:
        found.setdefault(row["file"], {})[row["exercise"]] = row["verdict"]
    missing = {"gaussian_kl", "reparameterize", "best_guess", "train_vae"}
    for name, verdicts in found.items():
        left_out = {e for e, verdict in verdicts.items() if verdict == "missing"}
        if name.endswith(("a.ipynb", "b.ipynb", "c.ipynb", "f.ipynb")):
            assert left_out == missing
        found[name] = {e: v for e, v in verdicts.items() if v != "missing"}
    assert found == {
        "a.ipynb": {"conv_size": "correct", "effective_beta": "unsolved"},
        "b.ipynb": {"conv_size": "wrong", "effective_beta": "wrong"},
        "c.ipynb": {"conv_size": "correct", "effective_beta": "too slow"},
        "d.ipynb": {"conv_size": "crashed"},
        "e.ipynb": {"conv_size": "correct"},
        os.path.join("late", "f.ipynb"): {"conv_size": "error", "effective_beta": "error"},
        "essay.ipynb": {"": "not a notebook"},
        "photo.jpg": {"": "not a notebook"},
    }
    for _ in range(50):  # a killed process takes a moment
        if not alive(int(place.read_text())):
            break
        time.sleep(0.1)
    assert not alive(int(place.read_text()))
    assert not list(tmp_path.rglob("note"))


def test_students_get_neither_solutions_nor_answers(tmp_path, capsys):
    assert main(["course", "student", str(tmp_path / "out")]) == 0
    written = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in written] == [p.name for p in sorted(NOTEBOOKS.glob("*.ipynb"))]
    for path in written:
        ours = nbformat.read(NOTEBOOKS / path.name, as_version=4)
        theirs = nbformat.read(path, as_version=4)
        nbformat.validate(theirs)
        kept = [c.id for c in ours.cells if "solution" not in c.metadata.get("tags", [])]
        assert [c.id for c in theirs.cells] == kept
        text = "\n".join(cell.source for cell in theirs.cells)
        assert not re.search(r"Show the answer|# Solution|solution=True|open the answer", text)
        assert not re.search(r"folded\s+(under|beneath)", text)
        whole = "\n".join(cell.source for cell in ours.cells)
        assert text.count("Show a hint") == whole.count("Show a hint") == 2
        assert text.count("<details") == text.count("</details>")
        assert "Predict first" in text
        tagged = [c for c in theirs.cells if "exercise" in c.metadata.get("tags", [])]
        assert len(tagged) >= 4
        assert json.loads(path.read_text())["nbformat"] == 4


def test_the_courses_own_notebooks_are_not_written_over(tmp_path):
    with pytest.raises(InputError, match="holds the notebooks themselves"):
        write_student_editions(NOTEBOOKS)
    with pytest.raises(InputError, match="There are no notebooks in"):
        write_student_editions(tmp_path / "out", tmp_path)
    assert main(["course", "grade", str(tmp_path / "nowhere")]) == 2
