"""For the teacher: notebooks without solutions, and the verdicts on those that come back."""

import copy
import os
import queue
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import nbformat

from vae_lib.course import checks
from vae_lib.course.checks.verdicts import notebook_of
from vae_lib.errors import InputError
from vae_lib.files import write_atomically, write_csv

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
# What a student's edition no longer holds is not spoken of.
REWORDED = {
    r",\s+and its solution is folded\s+beneath it": "",
    r"\s+A solution is folded under the cell\.": "",
    r"write one down, then\s+open the answer( with a click)?\.": "write one down.",
    r"\n\n<details><summary>Show the answer</summary>\n.*?\n</details>": "",
}


def student_edition(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy without solutions and without the answers to predictions; hints stay.

    >>> cells = [nbformat.v4.new_code_cell("1", metadata={"tags": ["solution"]})]
    >>> student_edition(nbformat.v4.new_notebook(cells=cells)).cells
    []
    """
    edition = copy.deepcopy(notebook)
    edition.cells = [c for c in edition.cells if "solution" not in c.metadata.get("tags", [])]
    for cell in edition.cells:
        if cell.cell_type == "markdown":
            for pattern, instead in REWORDED.items():
                cell.source = re.sub(pattern, instead, cell.source, flags=re.S)
    return edition


def write_student_editions(out: Path, notebooks: Path = NOTEBOOKS) -> list[Path]:
    """Write the course's notebooks as students get them; files of the same name are replaced.

    Raises
    ------
    InputError
        If there are no notebooks, or `out` is the folder that they are in.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in write_student_editions(Path(folder))][0]
    '01_baseline_vae.ipynb'
    """
    paths = sorted(notebooks.glob("*.ipynb"))
    if not paths:
        raise InputError(
            f"There are no notebooks in {notebooks}; they do not come with an installed package. "
            "Name the folder of a checkout with --notebooks."
        )
    if out.resolve() == notebooks.resolve():
        raise InputError(f"{out} holds the notebooks themselves; write to another folder.")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for path in paths:
        text = nbformat.writes(student_edition(nbformat.read(path, as_version=4)))
        write_atomically(out / path.name, f"{text}\n".encode())
        written.append(out / path.name)
    return written


@dataclass(frozen=True)
class Grade:
    """One exercise of one hand-in, or what is to be said of a whole file."""

    file: str
    exercise: str
    """The check's name; empty where the file could not be run."""
    verdict: str
    """``correct``, ``wrong``, ``unsolved``, ``missing``, ``error``, ``too slow``, ``crashed``,
    ``not run``; of files ``not a notebook`` and ``no exercises``."""
    seconds: float
    """That the cell took."""


def grade(folder: Path, seconds: float = 300.0) -> Iterator[Grade]:
    """Run the hand-ins in a folder, each in a kernel of its own, and tell what their checks say.

    This runs students' code with your rights. It runs in a scratch folder, without the variables of
    your environment, and everything that it started in its process group ends with it; it can still
    read your files and reach the network, and who wants to can forge a verdict.

    Parameters
    ----------
    folder : Path
        Files in it and in folders below; hidden ones are passed over.
    seconds : float
        For all cells of one hand-in together.

    Yields
    ------
    Grade

    Raises
    ------
    InputError
        If there is no such folder, or no file in it.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "essay.ipynb").write_text("I did it!")
    ...     [(grade.file, grade.verdict) for grade in grade(Path(folder))]
    [('essay.ipynb', 'not a notebook')]
    """
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    names = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    if not names:
        raise InputError(f"Found no hand-ins in {folder}; name a folder with notebooks.")
    for name in names:
        try:
            notebook = nbformat.read(folder / name, as_version=4)
            nbformat.validate(notebook)
        except Exception:  # nbformat raises what it likes at what students send
            yield Grade(str(name), "", "not a notebook", 0.0)
            continue
        yield from _graded(str(name), notebook, seconds)


def _graded(name: str, notebook: nbformat.NotebookNode, seconds: float) -> list[Grade]:
    cells = [
        (cell.source, _exercise_of(cell.source))
        for cell in notebook.cells
        if cell.cell_type == "code" and "solution" not in cell.metadata.get("tags", [])
    ]
    asked = [exercise for _, exercise in cells if exercise]
    if not asked:
        return [Grade(name, "", "no exercises", 0.0)]
    last = max(i for i, (_, exercise) in enumerate(cells) if exercise)
    found = {exercise: Grade(name, exercise, "not run", 0.0) for exercise in asked}
    theirs = {notebook_of(exercise) for exercise in asked}
    others = [e for e in checks.__all__ if notebook_of(e) in theirs and e not in found]
    with tempfile.TemporaryDirectory(prefix="vae-grade-") as scratch:
        kernel = _Kernel(Path(scratch))
        end = time.monotonic() + seconds
        try:
            for source, exercise in cells[: last + 1]:
                begun = time.monotonic()
                verdict = kernel.run(source, end)
                if exercise:
                    took = round(time.monotonic() - begun, 2)
                    found[exercise] = Grade(name, exercise, verdict, took)
                if verdict in ("too slow", "crashed"):
                    if not exercise:  # then it is the next one that cannot be had
                        waiting = next(e for e in asked if found[e].verdict == "not run")
                        found[waiting] = Grade(name, waiting, verdict, 0.0)
                    break
        finally:
            kernel.end()
    return [*found.values(), *(Grade(name, exercise, "missing", 0.0) for exercise in others)]


def _exercise_of(source: str) -> str:
    """The check that a cell calls for a student's answer; empty where there is none."""
    for name, arguments in re.findall(r"^\s*checks\.(\w+)\((.*)\)", source, re.M):
        if name in checks.__all__ and "solution=True" not in arguments:
            return name
    return ""


KEPT = re.compile(r"PATH|LANG|LC_.*|SYSTEMROOT|.*_NUM_THREADS|CELEBA_ROOT|LD_LIBRARY_PATH")


class _Kernel:
    """A fresh kernel in a scratch folder, whose process group ends with it."""

    def __init__(self, scratch: Path) -> None:
        from jupyter_client.manager import KernelManager

        from vae_lib.faces.cache import _own_folder

        kept = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
        # Prepared faces are read where they are: drawing them takes minutes.
        own = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "IPYTHONDIR"), str(scratch))
        cache = os.environ.get("VAE_LIB_CACHE") or str(_own_folder())
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(scratch), env=kept | own | {"VAE_LIB_CACHE": cache})
        self.group = getattr(self.manager.provisioner, "pgid", None)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)

    def run(self, source: str, end: float) -> str:
        """The verdict that a cell shows, or how it ended."""
        request = self.client.execute(source, allow_stdin=False)
        verdict = ""
        while True:
            try:
                message: dict[str, Any] = self.client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                if time.monotonic() > end:
                    return "too slow"
                if not self.manager.is_alive():
                    return "crashed"
                continue
            if time.monotonic() > end:  # a cell that prints for ever leaves no pause
                return "too slow"
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "error":
                verdict = "error"
            elif kind == "display_data":
                verdict = _verdict_in(content["data"]) or verdict
            elif kind == "status" and content["execution_state"] == "idle":
                return verdict or "error"

    def end(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        if self.group and hasattr(os, "killpg"):  # what a dead kernel left behind
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.group, signal.SIGKILL)


def _verdict_in(data: dict[str, str]) -> str:
    box = re.match(r'<div class="vae-(solved|open)"', data.get("text/html", ""))
    if not box:
        return ""
    if data.get("text/plain", "").startswith("Not solved yet"):
        return "unsolved"
    return "correct" if box[1] == "solved" else "wrong"


def write_grades(path: Path, grades: list[Grade]) -> None:
    """One row for each grade, under the names of its fields.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "grades.csv"
    ...     write_grades(path, [Grade("a.ipynb", "gaussian_kl", "correct", 0.5)])
    ...     path.read_text().splitlines()
    ['file,exercise,verdict,seconds', 'a.ipynb,gaussian_kl,correct,0.5']
    """
    write_csv(path, [field.name for field in fields(Grade)], map(astuple, grades))
