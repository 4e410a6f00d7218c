"""CelebA as people have it, or any folder of faces: files, ids, splits and attributes.

Liu, Luo, Wang and Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015.
"""

import hashlib
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from vae_lib.errors import InputError
from vae_lib.faces.cache import Recipe
from vae_lib.faces.pictures import PREPROCESSING, SUFFIXES, Picture, decode
from vae_lib.faces.verify import open_zip, read_member

ATTRIBUTES, PARTITION = "list_attr_celeba", "list_eval_partition"
ANNOTATIONS = tuple(f"{stem}{end}" for stem in (ATTRIBUTES, PARTITION) for end in (".txt", ".csv"))
CELEBA_ID = re.compile(r"\d{6}\.(jpg|png)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Source:
    """The files under one folder (or one zip), none of them opened yet.

    ``fingerprint`` hashes every file's name, size and time, so that a later open need not
    look inside.
    """

    root: Path
    pictures: list[str]
    zips: list[str]
    annotations: list[str]
    fingerprint: str


def find_source(data: Path) -> Source:
    """List the pictures, zips and annotation files of a folder, or one zip and its neighbours.

    Raises
    ------
    InputError
        If there is no such path, or nothing in it to read faces from.
    """
    if not data.exists():
        raise InputError(f"There is no {data}. Give a folder of pictures, or a zip of them.")
    if data.is_dir():
        root = data
        try:
            stamps = sorted(_walk(data))
            if not any(stamp.split("\0")[0].endswith(ANNOTATIONS) for stamp in stamps):
                beside = [data.absolute().parent / name for name in ANNOTATIONS]
                stamps += [_stamp(f"../{p.name}", p.stat()) for p in beside if p.is_file()]
        except OSError as error:
            raise InputError(f"Cannot list {error.filename}: {error.strerror}.") from error
    elif data.suffix.lower() == ".zip":
        root = data.parent
        beside = [path for name in ANNOTATIONS for path in (root / name, *root.glob(f"*/{name}"))]
        paths = [data, *filter(Path.is_file, beside)]
        stamps = sorted(_stamp(path.relative_to(root).as_posix(), path.stat()) for path in paths)
    else:
        raise InputError(f"{data} is neither a folder nor a zip. Give the folder that it lies in.")

    names = [stamp[: stamp.index("\0")] for stamp in stamps]
    zips = [name for name in names if name.lower().endswith(".zip")]
    annotations = [name for name in names if name.endswith(ANNOTATIONS)]
    pictures = [name for name in names if name.lower().endswith(SUFFIXES)]
    if not zips and not pictures:
        found = f"only {Path(annotations[0]).name}" if annotations else "neither"
        raise InputError(
            f"{data} should hold pictures or a zip of them, but holds {found}. "
            "Put img_align_celeba.zip there, or run `vae download celeba`."
        )
    text = "\n".join([str(PREPROCESSING), *stamps])
    digest = hashlib.sha256(text.encode(errors="surrogatepass"))
    return Source(root, pictures, zips, annotations, digest.hexdigest())


def _stamp(name: str, stat: os.stat_result) -> str:
    return f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}"


def _walk(root: Path) -> Iterator[str]:
    """Stamps of the files that matter: plain strings, for there may be 200,000 of them."""
    wanted = (*SUFFIXES, ".zip")
    start = len(os.path.join(root, ""))
    folders, seen = [os.fspath(root)], set()
    while folders:
        folder = folders.pop()
        if (real := os.path.realpath(folder)) in seen:  # a link back up would never end
            continue
        seen.add(real)
        for entry in os.scandir(folder):
            name = entry.name
            if name.startswith(".") or name == "__MACOSX":
                continue
            if entry.is_dir():
                folders.append(entry.path)
            elif (name.lower().endswith(wanted) or name in ANNOTATIONS) and entry.is_file():
                yield _stamp(entry.path[start:].replace(os.sep, "/"), entry.stat())


def read_source(source: Source, workers: int | None = None) -> Recipe:
    """Name the faces, read their annotations, and prepare to decode the pictures.

    Parameters
    ----------
    source : Source
        What `find_source` found.
    workers : int, optional
        Threads that decode (PIL lets go of the interpreter meanwhile); one per core by default.
        The pixels do not depend on it.

    Raises
    ------
    InputError
        If a zip or an annotation file is damaged, no picture is found, or none is for training.
    """
    archives = {name: open_zip(source.root / name) for name in source.zips}
    listed = _find_annotation(PARTITION, source, archives)
    described = _find_annotation(ATTRIBUTES, source, archives)
    pictures, notes = _named(
        [Picture(name, str(source.root / name)) for name in source.pictures]
        + [
            Picture(f"{name}/{member.filename}", member, archive)
            for name, archive in archives.items()
            for member in archive.infolist()
            if member.filename.lower().endswith(SUFFIXES) and not _is_hidden(member.filename)
        ],
        annotated=bool(listed or described),
    )
    if not pictures:
        raise InputError(f"There is no picture in {', '.join(archives)} ({source.root}).")

    if listed:
        partition = parse_partition(*listed)
        found = [picture for picture in pictures if picture.id in partition]
        notes += _partition_notes(len(pictures), len(found), len(partition), listed[0])
        pictures, splits = found, [partition[picture.id] for picture in found]
        if 0 not in splits:
            raise InputError(
                f"{listed[0]} puts none of the pictures in {source.root} into the training "
                "split (0). Remove it to split by file name, or add the training pictures."
            )
    else:
        splits = [split_by_hash(picture.id) for picture in pictures]
        notes.append(f"Without {PARTITION}.txt, faces are split 80/10/10 by a hash of their names.")

    order = sorted(range(len(pictures)), key=lambda row: (splits[row], pictures[row].id))
    pictures = [pictures[row] for row in order]
    ids = [picture.id for picture in pictures]

    names, attributes = (), np.zeros((len(ids), 0), np.float32)
    if described:
        names, values = parse_attributes(*described)
        unknown = [""] * len(names)
        table = np.array([values.get(id, unknown) for id in ids])
        attributes = np.select(
            [table == "1", table == "-1"], np.float32([1, -1]), np.float32("nan")
        )
        if missing := sum(id not in values for id in ids):
            notes.append(f"{described[0]} lacks {missing:,} of the pictures: attributes NaN.")

    return Recipe(
        name="celeba" if all(CELEBA_ID.fullmatch(id) for id in ids) else "faces",
        ids=np.array(ids),
        splits=np.array([splits[row] for row in order], np.uint8),
        attributes=attributes,
        attribute_names=names,
        notes=tuple(notes),
        images=decode(pictures, workers),
    )


def _face_id(name: str) -> str:
    """CelebA's ids as its annotation files spell them, of PNGs too; else the relative path."""
    base = name[name.rfind("/") + 1 :]
    return f"{base[:6]}.jpg" if CELEBA_ID.fullmatch(base) else name


def _is_hidden(member: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in member.split("/"))


def _named(pictures: list[Picture], annotated: bool) -> tuple[list[Picture], list[str]]:
    """Give CelebA's pictures CelebA's ids, and all others their paths.

    Where annotation files list the names, the first of several pictures with one id counts.
    Elsewhere men/000001.jpg and women/000001.jpg are two pictures: if any two share an id, all
    keep their whole paths, with the name of their zip.
    """
    renamed = [p._replace(id=_face_id(p.path.filename if p.archive else p.id)) for p in pictures]
    first = {}
    for picture in renamed:
        first.setdefault(picture.id, picture)
    repeats = len(pictures) - len(first)
    if repeats and not annotated:
        return pictures, []
    return list(first.values()), [f"Skipped {repeats:,} repeated file names."] if repeats else []


def _find_annotation(
    stem: str, source: Source, archives: dict[str, zipfile.ZipFile]
) -> tuple[str, bytes] | None:
    """Name and content of the file nearest to the top; Kaggle's is in the zip itself."""

    def nearest(names: list[str]) -> str | None:
        found = [name for name in names if PurePosixPath(name).name in ANNOTATIONS]
        found = [name for name in found if PurePosixPath(name).stem == stem]
        return min(found, key=lambda name: (name.count("/"), name), default=None)

    if name := nearest(source.annotations):
        try:
            return name, (source.root / name).read_bytes()
        except OSError as error:
            raise InputError(f"Cannot read {source.root / name}: {error.strerror}.") from error
    for zip_name, archive in archives.items():
        if name := nearest(archive.namelist()):
            try:
                return name, read_member(archive, archive.getinfo(name))
            except (InputError, OSError) as error:
                raise InputError(
                    f"{name} in {source.root / zip_name} cannot be read: {error}. Put a readable "
                    f"copy of it beside the zip, in {source.root}: that one counts."
                ) from error
    return None


def _partition_notes(pictures: int, found: int, listed: int, name: str) -> list[str]:
    notes = []
    if found < listed:
        notes.append(f"Found {found:,} of the {listed:,} images that {name} lists.")
    if found < pictures:
        notes.append(f"Left out {pictures - found:,} pictures that {name} does not list.")
    return notes


def _fields(name: str, text: bytes) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each line that is not empty; the aligned .txt or Kaggle's .csv."""
    separator = "," if name.endswith(".csv") else None
    for number, line in enumerate(text.decode("utf-8-sig", errors="replace").split("\n"), 1):
        if line.strip():
            yield number, [field.strip() for field in line.strip().split(separator)]


def parse_partition(name: str, text: bytes) -> dict[str, int]:
    """Read ``list_eval_partition.txt`` or ``.csv``: the split of each id (0, 1 or 2).

    Raises
    ------
    InputError
        With the file's name and the line's number, where a line is not an id and a split.
    """
    partition = {}
    for number, fields in _fields(name, text):
        if number == 1 and fields == ["image_id", "partition"]:
            continue
        if len(fields) != 2 or fields[1] not in ("0", "1", "2"):
            raise InputError(
                f"{name}, line {number}: expected a file name and 0, 1 or 2, found "
                f"{_shown(fields)}. Download the file again."
            )
        partition[_face_id(fields[0])] = int(fields[1])
    return partition


def parse_attributes(name: str, text: bytes) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    """Read ``list_attr_celeba.txt`` or ``.csv``: the attributes' names, each id's ±1 as text.

    Raises
    ------
    InputError
        With the file's name and the line's number, where a line does not fit the header.
    """
    names, values = (), {}
    for number, fields in _fields(name, text):
        if number == 1 and len(fields) == 1 and fields[0].isdigit():
            continue  # the number of rows
        if not names:
            names = tuple(fields[1:] if name.endswith(".csv") else fields)
            if not names or {"-1", "1"} & set(names):
                raise InputError(f"{name}, line {number}: expected the names of the attributes.")
        elif len(fields) != len(names) + 1 or not {"-1", "1"}.issuperset(fields[1:]):
            raise InputError(
                f"{name}, line {number}: expected a file name and {len(names)} values, each -1 "
                f"or 1, found {_shown(fields)}. Download the file again."
            )
        else:
            values[_face_id(fields[0])] = fields[1:]
    return names, values


def _shown(fields: list[str]) -> str:
    line = " ".join(fields)
    return f"{len(fields)} fields, {line[:60]!r}{'…' if len(line) > 60 else ''}"


def split_by_hash(face_id: str) -> int:
    """Split 0, 1 or 2 (80/10/10) of a face from its name alone, the same on every machine."""
    tenth = int.from_bytes(hashlib.sha256(face_id.encode(errors="surrogatepass")).digest()) % 10
    return max(0, tenth - 7)
