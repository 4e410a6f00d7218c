"""The faces as one flat file of bytes: prepared once, memory-mapped ever after."""

import errno
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from vae_lib.errors import InputError
from vae_lib.faces.dataset import SPLITS, Faces
from vae_lib.faces.repeats import Rule, probe, sift

VERSION = 3  # of the cache's own layout
CHECKED = 64 << 20  # bytes of pixels that are compared with their checksums at each opening
IMAGE_SHAPE = (64, 64, 3)
IMAGE_BYTES = 64 * 64 * 3
FEW = 1_000  # faces, below which a note says how many lie in each split
RUN = 16  # equal pixels side by side, as drawings and masks have them and photographs do not


@dataclass(frozen=True)
class Unprepared:
    """What a cache is built from: the rows of `Faces`, and their images as they get ready.

    Parameters
    ----------
    name, ids, splits, attributes, attribute_names, notes
        As in `Faces`, sorted by split.
    images : iterable of list
        The rows' images, in chunks: 64 * 64 * 3 bytes each, or the exception that says why a
        picture cannot be read.
    repeats : str
        What becomes of equal pictures: see `repeats.sift`.
    """

    name: str
    ids: np.ndarray
    splits: np.ndarray
    attributes: np.ndarray
    attribute_names: tuple[str, ...]
    notes: tuple[str, ...]
    images: Iterable[Sequence[bytes | Exception]]
    repeats: Rule = "ignored"


def open_cached(
    kind: str,
    fingerprint: str,
    read: Callable[[], Unprepared],
    *,
    cache: Path | None = None,
    strict: bool = False,
) -> Faces:
    """Open the faces with this fingerprint; build their cache first if there is none.

    Of several processes at once, one builds and the others wait for it.

    Parameters
    ----------
    kind : str
        First part of the folder's name.
    fingerprint : str
        Hash of everything that the faces depend on.
    read : callable
        Gives the `Unprepared`; called only if there is no cache yet.
    cache : Path, optional
        Where caches lie; else ``$VAE_LIB_CACHE``, else the user's cache folder.
    strict : bool
        Refuse faces of which some file could not be read, instead of leaving it out with a note.

    Raises
    ------
    InputError
        If the cache cannot be written, or no picture (strict: not every picture) can be read.
    """
    root = Path(cache or os.environ.get("VAE_LIB_CACHE") or _own_folder())
    folder = root.expanduser() / f"{kind}-v{VERSION}-{fingerprint[:16]}"
    notes: tuple[str, ...] = ()
    if (manifest := _sound(folder)) is None:
        with _locked(folder):
            # Another process may have built it while this one waited.
            if (manifest := _sound(folder)) is None:
                if folder.exists():
                    notes = (f"The prepared faces in {folder} were damaged: they were made anew.",)
                manifest = _build(folder, fingerprint, read())
    return _load(folder, manifest, notes, strict)


def _locked(folder: Path) -> AbstractContextManager:
    """The held lock of one cache: a context manager that lets go of it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{folder}.lock").acquire()
    except OSError as error:
        raise _cannot_write(folder.parent, error) from error


def _own_folder() -> str:
    import platformdirs  # only here, so that a bare PyTorch machine can train

    return platformdirs.user_cache_dir("vae_lib")


def _sound(folder: Path) -> dict | None:
    """The manifest of a cache that holds what was written into it; None if there is none such.

    The small files are read whole. Of the pixels `CHECKED` bytes are, in other places at each
    opening, or all if anybody wrote into them since: what a failing disk turned into zeros would
    be trained on without a word.
    """
    try:
        text = (folder / "cache.json").read_bytes()
        if hashlib.sha256(text).hexdigest() != (folder / "cache.sha256").read_text("latin-1"):
            return None
        manifest = json.loads(text)
        sizes = {name: (folder / name).stat().st_size for name in manifest["sizes"]}
        if sizes != manifest["sizes"] or _sum_of(folder / "rows.npz") != manifest["rows"]:
            return None
        return manifest if _sound_pixels(folder / "images.u8", manifest) else None
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:  # a drive that is gone may come back: nothing is thrown away for it
        raise InputError(
            f"Cannot read the prepared faces in {folder}: {error.strerror or error}. Try again, or "
            "choose another folder with --cache or VAE_LIB_CACHE."
        ) from error


def _sound_pixels(path: Path, manifest: dict) -> bool:
    with np.load(path.with_name("rows.npz")) as rows:
        lengths, checksums = rows["blocks"].T
    starts = np.cumsum(lengths) - lengths
    chosen = np.random.default_rng().permutation(len(lengths))
    if path.stat().st_mtime_ns == manifest["written"]:
        chosen = chosen[: max(1, CHECKED // lengths.max())]
    with open(path, "rb") as file:
        for block in np.sort(chosen):
            file.seek(starts[block])
            if zlib.crc32(file.read(lengths[block])) != checksums[block]:
                return False
    return True


def _sum_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _build(folder: Path, fingerprint: str, faces: Unprepared) -> dict:
    building = folder.with_name(f"{folder.name}.building")
    for leftover in (folder, building):  # damaged, or of a build that was killed: we hold the lock
        shutil.rmtree(leftover, ignore_errors=True)
    needed = IMAGE_BYTES * len(faces.ids)
    try:
        if shutil.disk_usage(folder.parent).free < needed:
            raise OSError(errno.ENOSPC, "not enough free space")
        building.mkdir()
        manifest = _write(building, fingerprint, faces)
        building.rename(folder)
    except OSError as error:
        raise _cannot_write(folder.parent, error, needed) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return manifest


class _Pixels:
    """The file of all images, and the sums of what is written into it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = hashlib.sha256()
        self.blocks: list[
            tuple[int, int]
        ] = []  # length and checksum of every piece that was written

    def write(self, pieces: Iterable[bytes]) -> None:
        # Ordinary writes, in order: on a full disk they raise, where a memory map dies of SIGBUS.
        with open(self.path, "wb") as file:
            for piece in pieces:
                file.write(piece)
                self.content.update(piece)
                self.blocks.append((len(piece), zlib.crc32(piece)))
            _flush(file)


def _write(folder: Path, fingerprint: str, faces: Unprepared) -> dict:
    reasons, probes, flat = [], [], []  # for each row: why it is left out, or None; …
    told_of_flat = faces.name == "faces"

    def pieces() -> Iterator[bytes]:
        bar = tqdm(desc="Preparing faces", total=len(faces.ids), unit=" faces", disable=None)
        with bar:
            for chunk in faces.images:
                for image in chunk:
                    reasons.append(image if isinstance(image, Exception) else None)
                    probes.append(0 if isinstance(image, Exception) else probe(image))
                    flat.append(told_of_flat and isinstance(image, bytes) and _is_flat(image))
                yield b"".join(image for image in chunk if isinstance(image, bytes))
                bar.update(len(chunk))

    pixels = _Pixels(folder / "images.u8")
    pixels.write(pieces())
    kept = np.array([reason is None for reason in reasons])
    unreadable = [(str(id), _short(why)) for id, why in zip(faces.ids, reasons, strict=True) if why]
    if not kept.any():
        raise InputError(f"None of the {len(kept):,} pictures can be read: {_listed(unreadable)}.")
    rows = {name: getattr(faces, name)[kept] for name in ("ids", "splits", "attributes")}
    notes = [*faces.notes]
    if any(flat):
        notes.append(_flat_note(faces.ids[flat], int(kept.sum())))

    written = np.memmap(pixels.path, np.uint8, "r", shape=(len(rows["ids"]), *IMAGE_SHAPE))
    probes = list(compress(probes, kept))
    stays, told = sift(written, probes, rows["ids"], rows["splits"], faces.repeats)
    notes += told
    if not stays.all():
        pixels = _Pixels(folder / "some.u8")
        places = np.flatnonzero(stays)
        parts = (places[start : start + 64] for start in range(0, len(places), 64))
        pixels.write(written[part].tobytes() for part in parts)
        rows = {name: values[stays] for name, values in rows.items()}
    del written  # Windows replaces no file that is open
    pixels.path.replace(folder / "images.u8")
    if len(rows["ids"]) < FEW and faces.name != "synthetic":
        notes.append(_counts_note(rows["splits"]))

    with open(folder / "rows.npz", "wb") as file:
        np.savez(file, **rows, blocks=np.array(pixels.blocks))
        _flush(file)
    content = pixels.content
    for values in rows.values():
        content.update(values.tobytes())
    manifest = {
        "name": faces.name,
        "shape": [len(rows["ids"]), *IMAGE_SHAPE],
        "made_from": fingerprint,
        "fingerprint": content.hexdigest(),
        "attribute_names": faces.attribute_names,
        "notes": notes,
        "unreadable": unreadable,
        "sizes": {path.name: path.stat().st_size for path in folder.iterdir()},
        "rows": _sum_of(folder / "rows.npz"),
        "written": (folder / "images.u8").stat().st_mtime_ns,
    }
    text = json.dumps(manifest, indent=1).encode()
    checksum = hashlib.sha256(text).hexdigest().encode()
    for name, data in {"cache.json": text, "cache.sha256": checksum}.items():
        with open(folder / name, "wb") as file:
            file.write(data)
            _flush(file)
    return manifest


def _is_flat(image: bytes) -> bool:
    """Whether runs of black, or of its first colour, fill at least half of a face."""
    runs = max(image.count(image[:3] * RUN), image.count(bytes(3 * RUN)))
    return 2 * runs * 3 * RUN >= IMAGE_BYTES


def _flat_note(ids: np.ndarray, count: int) -> str:
    return (
        f"{len(ids):,} of the {count:,} pictures do not look like photographs: half of each or "
        f"more is black or one colour, as masks and drawings are ({', '.join(ids[:3])}"
        f"{', …' if len(ids) > 3 else ''}). Move them away if they are no faces."
    )


def _counts_note(splits: np.ndarray) -> str:
    counts = np.bincount(splits, minlength=len(SPLITS))
    train, valid, test = (f"{count:,}" for count in counts)
    return (
        f"Of these {len(splits):,} faces {train} are for training, {valid} for validation and "
        f"{test} for testing."
    )


def _short(why: Exception) -> str:
    """One line; PIL's reasons may hold a piece of the broken file."""
    line = " ".join(str(why).encode("ascii", "backslashreplace").decode().split())
    return f"{line[:100]}…" if len(line) > 100 else line or type(why).__name__


def _flush(file) -> None:
    file.flush()
    os.fsync(file.fileno())


def _load(folder: Path, manifest: dict, notes: tuple[str, ...], strict: bool) -> Faces:
    told = [*notes, *manifest["notes"]]
    if unreadable := manifest["unreadable"]:
        if strict:
            raise InputError(
                f"{len(unreadable):,} pictures cannot be read: {_listed(unreadable)}. "
                "Replace or delete them, or open the faces without strict."
            )
        told.append(
            f"Left out {len(unreadable):,} unreadable pictures: {_listed(unreadable)}. "
            f"All of them are named in {folder / 'cache.json'}."
        )
    with np.load(folder / "rows.npz") as rows:
        return Faces(
            name=manifest["name"],
            images=np.memmap(folder / "images.u8", np.uint8, "r", shape=tuple(manifest["shape"])),
            ids=rows["ids"],
            splits=rows["splits"],
            attributes=rows["attributes"],
            attribute_names=tuple(manifest["attribute_names"]),
            fingerprint=manifest["fingerprint"],
            notes=tuple(told),
        )


def _listed(unreadable: list[tuple[str, str]]) -> str:
    shown = ", ".join(f"{name} ({why})" for name, why in unreadable[:3])
    return shown + (", …" if len(unreadable) > 3 else "")


def _cannot_write(root: Path, error: OSError, needed: int = 0) -> InputError:
    room = f" It needs {needed:,} bytes there." if needed else ""
    return InputError(
        f"Cannot write the cache of the faces into {root}: {error.strerror or error}.{room} "
        "Make room, or choose another folder with --cache or VAE_LIB_CACHE."
    )
