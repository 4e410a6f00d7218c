"""Is this file the one that was asked for, and if not, what is it?"""

import hashlib
import re
import zipfile
import zlib
from pathlib import Path

from vae_lib.errors import InputError

PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
ELSEWHERE = f"Try again tomorrow, use `--source kaggle`, or save the files by hand from {PAGE}."


def verify_archive(path: Path, md5: str | None = None, size: int | None = None) -> None:
    """Check that a file is a whole zip, and the expected one.

    Parameters
    ----------
    path : Path
    md5 : str, optional
        The sum it must have. Without one, the checksum of every member is tested instead.
    size : int, optional
        Its length in bytes, where known.

    Raises
    ------
    InputError
        If the file is missing, a web page saved as a zip, truncated, damaged or another archive.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is not there, or not a file; expected a zip of faces.")
    length = path.stat().st_size
    refuse_other_than_zip(_head(path), str(path))
    if size is not None and length != size:
        raise InputError(f"{path} has {length:,} bytes, expected {size:,}. Download it again.")
    open_zip(path).close()
    if md5 is None:
        if (bad := _damaged_member(path)) is not None:
            raise InputError(f"{path} is damaged at {bad}. Download it again.")
    elif (found := _md5(path)) != md5:
        raise InputError(
            f"{path} has the MD5 sum {found}, expected {md5}. Delete it to download it afresh; if "
            f"it is a re-packed zip that you trust, accept it with `--md5 {found}` or `--md5 any`."
        )


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip for reading in place.

    Raises
    ------
    InputError
        If the file is a web page saved as a zip, truncated, or no zip at all.
    """
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise InputError(f"Could not read {path}: {error.strerror}.") from error
    except zipfile.BadZipFile as error:
        refuse_other_than_zip(_head(path), str(path))
        raise InputError(
            f"{path} is truncated: it begins as a zip, but its table of contents, at the end, is "
            f"missing after {path.stat().st_size:,} bytes. Download it again."
        ) from error


def verify_list(path: Path, md5: str) -> None:
    """Check that an annotation list is no web page, and has the published MD5 sum.

    Raises
    ------
    InputError
        If it is or has not.
    """
    _refuse_page(_head(path), str(path))
    if (found := _md5(path)) != md5:
        raise InputError(f"{path} has the MD5 sum {found}, expected CelebA's own {md5}.")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1 << 16)


def _refuse_page(head: bytes, where: str) -> None:
    page = head.decode("utf-8", "replace").lower()
    if "<html" not in page and "<!doctype html" not in page:
        return
    if "quota" in page or "too many users" in page:
        raise InputError(
            f"{where} is no data but Google Drive's page 'Quota exceeded': too many people "
            f"fetched the file today. {ELSEWHERE}"
        )
    title = re.search(r"<title[^>]*>(.*?)</title>", page, re.DOTALL)
    named = f" titled {' '.join(title[1].split())!r}" if title else ""
    raise InputError(f"{where} is a web page{named}, not the file itself. {ELSEWHERE}")


def refuse_other_than_zip(head: bytes, where: str) -> None:
    """Raise InputError unless ``head``, the first bytes of ``where``, can begin a zip."""
    if head.startswith(b"PK"):
        return
    _refuse_page(head, where)
    if not head:
        raise InputError(f"{where} is empty; expected a zip of faces. Download it again.")
    raise InputError(
        f"{where} begins with {head[:4]!r}, expected b'PK': it is no zip. "
        "Take the zip from another source."
    )


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _damaged_member(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        return f"an unreadable member ({error})"
