"""Files that appear complete under their name or not at all, and faults told in sentences."""

import csv
import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vae_lib.errors import InputError

TEMPORARY = ".part"


def write_atomically(path: Path, content: bytes, then: str = "try again") -> None:
    """Write a temporary file beside ``path``, force it to the disk, then rename it.

    Missing folders are made. A link stays one: what it points to is written. A device or a pipe
    takes the bytes as they come.

    Parameters
    ----------
    path : Path
        Where the content shall stand.
    content : bytes
        All of it.
    then : str
        What goes on once there is room again on a full disk.

    Raises
    ------
    InputError
        If the disk is full or the folder cannot be written; what stood there before still does.
    """
    path = Path(path)
    with writing(path, len(content), then):
        if _takes_bytes_itself(path):
            path.write_bytes(content)
            return
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        for last in (False, True):
            try:
                _put(path, content)
                break
            except FileNotFoundError:  # another writer took the temporary file for a leftover
                if last:
                    raise
        _sync_folder(path.parent)


def _put(path: Path, content: bytes) -> None:
    for leftover in _leftovers(path.parent, path.name):  # of a write that was killed
        leftover.unlink(missing_ok=True)
    handle, temporary = tempfile.mkstemp(TEMPORARY, _prefix(path.name), path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; weights are shared like any other file.
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _takes_bytes_itself(path: Path) -> bool:
    """Whether a file is no regular one, or a name for what the process has open."""
    if os.path.abspath(path).startswith(("/dev/std", "/dev/fd/", "/proc/")):
        return True
    return path.exists() and not (path.is_file() or path.is_dir())


def clear_leftovers(folder: Path) -> None:
    """Remove what killed writes left in a folder; nobody may be writing there."""
    for leftover in _leftovers(folder):
        leftover.unlink(missing_ok=True)


def _prefix(name: str) -> str:
    return f".{name[:100]}."  # a file's name has at most 255 bytes


def _leftovers(folder: Path, name: str | None = None) -> list[Path]:
    start = "." if name is None else _prefix(name)
    with os.scandir(folder) as entries:
        return [
            Path(entry)
            for entry in entries
            if entry.name.startswith(start) and entry.name.endswith(TEMPORARY)
        ]


@contextmanager
def writing(path: Path, size: int = 0, then: str = "try again") -> Iterator[None]:
    """Turn a write that fails into a sentence: what is in the way, what is intact, what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = (
            f"free at least {max(1, 2 * size >> 20)} MB there and {then}"
            if full
            else "choose a folder that exists and that you may write to"
        )
        kept = "; what stood there before is intact" if path.is_file() else ""
        raise InputError(f"Could not write {path}: {error.strerror}{kept}; {advice}.") from error


def write_csv(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table as a CSV file in UTF-8, its columns' names first; all of it or nothing.

    Raises
    ------
    InputError
        If it cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_csv(Path(folder) / "runs.csv", ["run", "kl"], [["a, b", 1.5]])
    ...     (Path(folder) / "runs.csv").read_text().splitlines()
    ['run,kl', '"a, b",1.5']
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([names, *rows])
    write_atomically(path, text.getvalue().encode())


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn a file that cannot be read into a sentence."""
    try:
        yield
    except OSError as error:
        raise InputError(f"Could not read {path}: {error.strerror}; check the path.") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system lets a folder be synced."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
