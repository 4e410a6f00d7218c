"""Fetch CelebA: from Google Drive through torchvision, from Kaggle, or from a mirror."""

import errno
import os
import re
import zipfile
from pathlib import Path
from typing import Literal

import requests
import torchvision.datasets.utils as drive
from torchvision.datasets import CelebA

from vae_lib.errors import InputError, missing_package
from vae_lib.faces import transfer
from vae_lib.faces.verify import ELSEWHERE, PAGE, refuse_other_than_zip, verify_archive, verify_list

ARCHIVE = "img_align_celeba.zip"
LISTS = ("list_attr_celeba.txt", "list_eval_partition.txt")
KAGGLE = "jessicali9530/celeba-dataset"
FACES = 202_599


def download_celeba(
    out: Path,
    *,
    source: Literal["torchvision", "kaggle"] = "torchvision",
    url: str | None = None,
    md5: str | None = None,
) -> Path:
    """Fetch CelebA's aligned faces into a folder, verified before they get their final names.

    What is already there and right is not fetched again; what is there and wrong is never
    overwritten. A download by ``url`` that was cut short is kept as ``img_align_celeba.zip.part``
    and resumed by the next call.

    Parameters
    ----------
    out : Path
        The folder, made if it is missing.
    source : {"torchvision", "kaggle"}
        ``"torchvision"``: the zip and the two lists from Google Drive, under the ids and MD5 sums
        that torchvision publishes. ``"kaggle"``: Kaggle's copy, unpacked by kagglehub, with its
        lists as CSV; ``out`` has to be empty then.
    url : str, optional
        A mirror of ``img_align_celeba.zip`` (http or https). Only the zip is fetched.
    md5 : str, optional
        The MD5 sum that the zip must have: by default the one that torchvision publishes. A
        re-packed archive has its own; ``"any"`` accepts every sound zip, checked by the
        checksums of its members alone.

    Returns
    -------
    Path
        The folder that holds the faces.

    Raises
    ------
    InputError
        If the faces cannot be fetched, written or verified.
    """
    if source not in ("torchvision", "kaggle"):
        raise InputError(f"There is no source {source!r}; use 'torchvision' or 'kaggle'.")
    if source == "kaggle" and (url or md5):
        raise InputError("Kaggle's copy has no address and no MD5 sum: use `--source` alone.")
    out = Path(out).expanduser()
    sums = {name: (file_id, published) for file_id, published, name in CelebA.file_list}
    zip_sum = _expected_sum(md5, sums[ARCHIVE][1])
    print(f"CelebA is for non-commercial research and education, not to be passed on: see {PAGE}.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if source == "kaggle":
            out = _from_kaggle(out)
        elif url is not None:
            _from_mirror(url, out / ARCHIVE, zip_sum)
        else:
            for name in (*LISTS, ARCHIVE):  # the small files first: a quota often spares them
                file_id, published = sums[name]
                _from_drive(file_id, out / name, zip_sum if name == ARCHIVE else published)
    except OSError as error:
        raise InputError(_disk_sentence(out, error)) from error
    print(f"CelebA is in {out}: open it with `--data {out}`, or set CELEBA_ROOT to that folder.")
    missing = [name for name in LISTS if not (out / name).exists()]
    if url is not None and missing:
        print(
            f"{' and '.join(missing)} should stand beside the zip ({PAGE} has them): without "
            "them the faces have no attributes, or are split by a hash of their file names."
        )
    return out


def _expected_sum(md5: str | None, published: str) -> str | None:
    if md5 is None:
        return published
    if md5 == "any":
        return None
    if not re.fullmatch("[0-9a-fA-F]{32}", md5):
        raise InputError(f"{md5!r} is no MD5 sum: give its 32 hexadecimal digits, or 'any'.")
    return md5.lower()


def _verify(path: Path, md5: str | None, size: int | None = None) -> None:
    if ".zip" in path.name:
        verify_archive(path, md5, size)
    else:
        verify_list(path, md5)


def _already_there(target: Path, md5: str | None) -> bool:
    if not target.exists():
        return False
    try:
        _verify(target, md5)
    except InputError as error:
        raise InputError(f"{error} It was left as it is: move it away and run again.") from None
    print(f"{target.name} is already there, and verified.")
    return True


def _finished(part: Path, target: Path, md5: str | None) -> bool:
    """Publish a kept file that is right after all, as when ``--md5`` now names its sum."""
    try:
        if part.exists():
            _verify(part, md5)
            _move(part, target)
    except InputError:
        return False
    return target.exists()


def _publish(part: Path, target: Path, md5: str | None, size: int | None = None) -> None:
    try:
        _verify(part, md5, size)
    except InputError:
        # A whole zip with another sum stays: it may be accepted by --md5 without fetching it again.
        if not zipfile.is_zipfile(part):
            part.unlink(missing_ok=True)
        raise
    _move(part, target)


def _move(part: Path, target: Path) -> None:
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, target)


def _disk_sentence(out: Path, error: OSError) -> str:
    room = ""
    if error.errno == errno.ENOSPC:
        room = " The zip takes 1.4 GB; what has arrived is kept, so free some room and run again."
    return (
        f"Could not write into {out}: {error.strerror or error}.{room or ' Choose another --out.'}"
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _from_drive(file_id: str, target: Path, md5: str | None) -> None:
    part = target.with_name(target.name + ".drive.part")
    if _already_there(target, md5) or _finished(part, target, md5):
        return
    part.unlink(missing_ok=True)  # torchvision would take an old one for the finished file
    try:
        drive.download_file_from_google_drive(file_id, str(part.parent), part.name)
    except Exception as error:  # gdown's errors share no base class across its versions
        if "'gdown' is required" in str(error):
            raise missing_package("gdown", "Google Drive", "gdown", "download") from error
        if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
            raise
        if not part.exists():
            raise InputError(
                f"Google Drive did not hand over {target.name} ({_first_line(error)}); mostly "
                f"its quota for the day is used up. {ELSEWHERE}"
            ) from error
    _publish(part, target, md5)


def _from_mirror(url: str, target: Path, md5: str | None) -> None:
    part = target.with_name(target.name + ".part")
    if _already_there(target, md5) or _finished(part, target, md5):
        return
    resumed = part.exists()
    size = transfer.fetch(url, part, refuse_other_than_zip)
    try:
        _publish(part, target, md5, size)
    except InputError as error:
        if not resumed:
            raise
        # Old bytes and new ones may come from two versions of the file: take it from one.
        print(f"The resumed download is not right, so it starts afresh. ({error})")
        part.unlink(missing_ok=True)
        _publish(part, target, md5, transfer.fetch(url, part, refuse_other_than_zip))


def _from_kaggle(out: Path) -> Path:
    try:
        import kagglehub
    except ModuleNotFoundError as error:
        raise missing_package("kagglehub", "Kaggle", "kagglehub", "download") from error
    try:
        folder = Path(kagglehub.dataset_download(KAGGLE, output_dir=str(out)))
    except Exception as error:  # a dozen kinds: no network, no account, a full disk, ...
        raise InputError(
            f"Kaggle did not hand over {KAGGLE} ({_first_line(error)}). Give an empty folder with "
            "`--out`, check the network, and log in with `kagglehub.login()` if it asks for that."
        ) from error
    found = sum(1 for _ in (folder / "img_align_celeba").rglob("*.jpg"))
    if found != FACES:
        raise InputError(
            f"Kaggle's copy in {folder} has {found:,} faces, expected {FACES:,}. Delete the folder "
            "and download it again."
        )
    return folder
