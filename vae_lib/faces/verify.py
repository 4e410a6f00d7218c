"""Is this file the one that was asked for, and if not, what is it?"""

import errno
import hashlib
import re
import struct
import zipfile
from pathlib import Path
from typing import cast

from vae_lib.errors import InputError

PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
MAX_BYTES = 400_000_000  # of one picture or list: more than 50 million pixels of 8 bytes
PIECE = 32  # bytes of a bzip2 member at a time, of which each may turn into a megabyte
KINDS = (
    (b"PK\3\4", "a zip"),
    (b"PK\5\6", "a zip"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x1f\x8b", "a gzip archive (.tgz, .tar.gz)"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"(\xb5/\xfd", "a Zstandard archive"),
    (b"PAR1", "a Parquet table"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\xff\xd8\xff", "one picture"),
    (b"\x89PNG", "one picture"),
)
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
        If the file is a web page saved as a zip, truncated, one part of several, damaged, or no
        zip at all.
    """
    try:
        archive = zipfile.ZipFile(path)
        if min((member.header_offset for member in archive.infolist()), default=0) >= 0:
            return archive
        archive.close()
        reason: Exception = zipfile.BadZipFile("it names members before the file's first byte")
    except OSError as error:
        if is_passing(error):
            raise InputError(f"Could not read {path}: {error.strerror}.") from error
        reason = error
    except Exception as error:  # on a damaged table of contents zipfile may raise nearly anything
        reason = error
    if _is_split(path):
        raise InputError(
            f"{path} is the last part of a zip that was split into several files. Join them "
            f"(`zip -s 0 {path.name} --out whole.zip`, or unpack them together) and use the result."
        ) from reason
    refuse_other_than_zip(_head(path), str(path))
    if not zipfile.is_zipfile(path):
        raise InputError(
            f"{path} is truncated: it begins as a zip, but its table of contents, at the end, is "
            f"missing after {path.stat().st_size:,} bytes. Copy or download it again."
        ) from reason
    raise InputError(
        f"{path} is damaged: its table of contents cannot be read ({reason}). Take another copy of "
        "it, or unpack what can be unpacked and name that folder."
    ) from reason


def _is_split(path: Path) -> bool:
    """Whether the end of a zip says that it lies on another disk than its beginning."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 16) - 22))
        end = file.read()
    at = end.rfind(b"PK\5\6")
    return 0 <= at <= len(end) - 8 and struct.unpack_from("<H", end, at + 4)[0] not in (0, 0xFFFF)


def is_passing(error: BaseException) -> bool:
    """Whether a file could not be read for a reason that may pass: a drive, a right, no memory.

    What a damaged file makes of itself is no such reason: PIL's OSErrors have no number, and a
    zip may point before its own beginning (EINVAL).
    """
    if isinstance(error, OSError):
        return error.errno not in (None, errno.EINVAL)
    return isinstance(error, MemoryError)


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The content of a zip's member.

    Raises
    ------
    InputError
        If it is encrypted, damaged, too large, or packed in a way that Python does not know.
    OSError
        If the drive cannot be read.
    """
    if member.flag_bits & 1:
        raise InputError("encrypted: unpack the zip with its password and name the folder")
    if member.file_size > MAX_BYTES:
        raise InputError(f"too large: {member.file_size:,} bytes")
    try:
        with archive.open(member) as file:
            if member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                return file.read(member.file_size + 1)
            # Of these two packings read() unpacks as much as it may read, whatever comes of it.
            unpacked = cast(zipfile.ZipExtFile, file)
            unpacked.MAX_N = unpacked.MIN_READ_SIZE = PIECE
            return b"".join(iter(lambda: unpacked.read1(-1), b""))
    except Exception as error:  # zipfile raises a dozen kinds
        if is_passing(error):
            raise
        raise InputError(str(error) or type(error).__name__) from error


def what_is(path: Path) -> str:
    """What a file is by its first bytes: ``"a zip"``, ``"a RAR archive"`` …"""
    return _kind(_head(path))


def _kind(head: bytes) -> str:
    if head[257:262] == b"ustar":
        return "a tar archive"
    return next((kind for start, kind in KINDS if head.startswith(start)), "another file")


def verify_list(path: Path, md5: str | None) -> None:
    """Check that an annotation list is no web page, and has this MD5 sum, where one is given.

    Raises
    ------
    InputError
        If it is or has not.
    """
    refuse_page(_head(path), str(path))
    if md5 is not None and (found := _md5(path)) != md5:
        raise InputError(f"{path} has the MD5 sum {found}, expected CelebA's own {md5}.")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1 << 16)


def refuse_page(head: bytes, where: str) -> None:
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
    refuse_page(head, where)
    if not head:
        raise InputError(f"{where} is empty; expected a zip of faces. Download it again.")
    raise InputError(
        f"{where} begins with {head[:4]!r}, expected b'PK': it is {_kind(head)}, no zip. "
        "Take the zip from another source, or unpack this one."
    )


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _damaged_member(path: Path) -> str | None:
    with open_zip(path) as archive:
        try:
            return archive.testzip()
        except Exception as error:  # zipfile raises a dozen kinds
            if is_passing(error):
                raise
            return f"an unreadable member ({error})"
