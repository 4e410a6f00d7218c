"""CelebA as people have it, or any folder of faces: files, ids, splits and attributes.

Liu, Luo, Wang and Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015.
"""

import hashlib
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np

from vae_lib.errors import InputError
from vae_lib.faces.cache import Unprepared
from vae_lib.faces.lists import (
    ATTRIBUTES,
    CELEBA_ID,
    PARTITION,
    SPLIT_WORDS,
    clean,
    face_id,
    list_stem,
    match,
    parse_attributes,
    parse_partition,
)
from vae_lib.faces.pictures import CELEBA_SIZE, PREPROCESSING, SUFFIXES, Picture, decode, size_of
from vae_lib.faces.repeats import Rule
from vae_lib.faces.verify import open_zip, read_member, what_is

ANNOTATIONS = tuple(f"{stem}{end}" for stem in (ATTRIBUTES, PARTITION) for end in (".txt", ".csv"))
# Files that lie beside pictures without being any: not a word is lost about them.
BESIDE: tuple[str, ...] = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml")
BESIDE += (".toml", ".md", ".rst", ".html", ".htm", ".pdf", ".log", ".ini", ".db", ".lock", ".py")
BESIDE += (".ipynb", ".sh", ".bat", ".pth", ".pt", ".ckpt", ".safetensors", ".part", ".md5")
BESIDE += (".sha256", ".url", ".lnk", ".pts", ".license", "license", "licence", "readme", "copying")
UNPACK: tuple[str, ...] = (".rar", ".7z", ".tar", ".tgz", ".tar.gz", ".gz", ".tar.bz2", ".tbz2")
UNPACK += (".bz2", ".tar.xz", ".txz", ".xz", ".zst", ".tar.zst", ".zip", ".z01", ".001")
TABLES: tuple[str, ...] = (".parquet", ".arrow", ".feather", ".tfrecord", ".tfrecords", ".h5")
TABLES += (".hdf5", ".npz", ".npy", ".mat", ".mdb", ".lmdb", ".pkl", ".pickle", ".bin", ".rec")
# Folders that say which split their pictures belong to: train, val_images, "test set", train-0.zip.
BESIDE_SPLIT = "(?:set|images?|imgs?|faces?|data|photos?|pictures?|split)?"
SPLIT_FOLDER = re.compile(
    rf"{BESIDE_SPLIT}[ _-]*({'|'.join(word for word in SPLIT_WORDS if word.isalpha())})"
    rf"[ _-]*{BESIDE_SPLIT}[ _-]*\d*(?:\.zip)?",
    re.IGNORECASE | re.ASCII,
)
LOOKED_AT = 24  # pictures whose sizes tell whether these are CelebA's aligned ones


@dataclass(frozen=True)
class Source:
    """The files under one folder (or one zip), none of them opened yet.

    ``fingerprint`` hashes every file's name, size and time, so that a later open need not
    look inside. ``passed_over`` counts, by their endings, the files that are not read.
    """

    root: Path
    pictures: list[str]
    zips: list[str]
    annotations: list[str]
    fingerprint: str
    passed_over: Counter


def find_source(data: Path) -> Source:
    """List the pictures, zips and annotation files of a folder, or one zip and its neighbours.

    Raises
    ------
    InputError
        If there is no such path, or nothing in it to read faces from.
    """
    if not os.path.exists(data):  # Path.exists raises where a folder above may not be read
        raise InputError(f"There is no {data}. Give a folder of pictures, or a zip of them.")
    passed_over: Counter = Counter()
    try:
        if data.is_dir():
            root = data
            stamps = sorted(_walk(data, passed_over))
            if not any(list_stem(PurePosixPath(s.split("\0")[0]).name) for s in stamps):
                stamps += _lists_in(data.absolute().parent, "../")
        else:
            root, kind = data.parent, what_is(data) if data.is_file() else "a device"
            if kind != "a zip" and data.suffix.lower() != ".zip":
                raise InputError(
                    f"{data} is neither a folder nor a zip, but {kind}. Name the folder or the zip "
                    f"that holds the pictures{'; unpack this first' if 'archive' in kind else ''}."
                )
            beside = [p for name in ANNOTATIONS for p in root.glob(f"*/{name}") if p.is_file()]
            stamps = [_stamp(path.relative_to(root).as_posix(), path.stat()) for path in beside]
            stamps = sorted([*stamps, _stamp(data.name, data.stat()), *_lists_in(root, "")])
    except OSError as error:
        raise InputError(f"Cannot list {error.filename}: {error.strerror}.") from error

    names = [stamp[: stamp.index("\0")] for stamp in stamps]
    annotations = [name for name in names if list_stem(PurePosixPath(name).name)]
    pictures = [name for name in names if name.lower().endswith(SUFFIXES)]
    zips = [name for name in names if name.lower().endswith(".zip")]
    if not data.is_dir():
        pictures, zips = [], [data.name]
    if not zips and not pictures:
        found = f"only {Path(annotations[0]).name}" if annotations else "neither"
        if passed_over:
            found = f"{'only ' * (not annotations)}{_listed(passed_over)}"
        raise InputError(
            f"{data} should hold pictures or a zip of them, but holds {found}."
            f"{_advice(passed_over)} Put img_align_celeba.zip there, or run `vae download celeba`."
        )
    text = "\n".join([str(PREPROCESSING), *stamps, *map(str, sorted(passed_over.items()))])
    digest = hashlib.sha256(text.encode(errors="surrogatepass"))
    return Source(root, pictures, zips, annotations, digest.hexdigest(), passed_over)


def _stamp(name: str, stat: os.stat_result) -> str:
    return f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}"


def _lists_in(folder: Path, prefix: str) -> list[str]:
    """Stamps of the annotation lists right in a folder; none of a folder that may not be read."""
    try:
        entries = [entry for entry in os.scandir(folder) if list_stem(entry.name)]
        return sorted(_stamp(prefix + e.name, e.stat()) for e in entries if e.is_file())
    except PermissionError:
        return []


def _walk(root: Path, passed_over: Counter) -> Iterator[str]:
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
            elif not name.lower().endswith(wanted) and not list_stem(name):
                _pass_over(name, passed_over)
            elif not entry.is_file():
                passed_over["a link to nothing"] += 1
            else:
                yield _stamp(entry.path[start:].replace(os.sep, "/"), entry.stat())


def _pass_over(name: str, passed_over: Counter) -> None:
    name = name.lower()
    if name.endswith(BESIDE):
        return
    stem, dot, ending = name.rpartition(".")
    if stem.endswith(".tar"):
        ending = f"tar.{ending}"
    known = stem and dot and len(ending) < 10 and ending.replace(".", "").isalnum()
    passed_over[f".{ending}" if known else "no known ending"] += 1


def _listed(passed_over: Counter) -> str:
    """``20 .heic files and 3 with no known ending``, the most first."""
    order = sorted(passed_over.items(), key=lambda item: (-item[1], item[0]))
    parts = [
        f"{count:,} with {ending}"
        if " " in ending
        else f"{count:,} {ending} file{'s'[: count > 1]}"
        for ending, count in order[:6]
    ]
    if len(order) > 6:
        parts.append(f"{sum(count for _, count in order[6:]):,} others")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _advice(passed_over: Counter) -> str:
    """What to do about files that are not read; nothing if there are none."""
    if not passed_over:
        return ""
    said = []
    if not passed_over.keys().isdisjoint(UNPACK):
        said.append("unpack archives and parts of archives")
    if not passed_over.keys().isdisjoint(TABLES):
        said.append("save the pictures of tables as files")
    if passed_over.keys() - {*UNPACK, *TABLES}:
        said.append("save other pictures as JPEG or PNG")
    advice = "; ".join(said)
    return f" {advice[0].upper()}{advice[1:]}, to have them read."


def read_source(source: Source, workers: int | None = None) -> Unprepared:
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
        If a zip or an annotation file is damaged, or no picture is found.
    """
    archives = {name: open_zip(source.root / name) for name in source.zips}
    listed = _find_annotation(PARTITION, source, archives)
    described = _find_annotation(ATTRIBUTES, source, archives)
    passed_over = Counter(source.passed_over)
    found = [Picture(clean(name), str(source.root / name)) for name in source.pictures]
    for name, archive in archives.items():
        found += _members(clean(name), archive, passed_over)
    if not found:
        raise InputError(
            f"There is no picture in {', '.join(archives)} ({source.root})"
            + (f", but {_listed(passed_over)}.{_advice(passed_over)}" if passed_over else ".")
        )
    pictures, notes = _named(found, annotated=bool(listed or described))
    if passed_over:
        notes.append(f"Passed over {_listed(passed_over)}.{_advice(passed_over)}")

    repeats: Rule = "held out"
    ids = [picture.id for picture in pictures]
    partition = parse_partition(*listed) if listed else {}
    if listed and listed[0].startswith("../") and not any(match(partition, ids)):
        listed = None  # it lies beside the folder, and belongs to another one there
    if listed:
        splits, told = _splits_by_list(listed[0], partition, ids)
    elif by_folder := _splits_by_folder(pictures, found):
        splits, told = by_folder
    else:
        repeats = "once"
        splits = [*_splits_by_hash(ids)]
        told = [f"Without {PARTITION}.txt, faces are split 80/10/10 by a hash of their names."]
    notes += told

    order = [row for row, split in enumerate(splits) if split is not None]
    order.sort(key=lambda row: (splits[row], pictures[row].id))
    kept = [splits[row] for row in order]
    pictures = [pictures[row] for row in order]
    ids = [picture.id for picture in pictures]

    names: tuple[str, ...] = ()
    attributes = np.zeros((len(ids), 0), np.float32)
    if described:
        names, values = parse_attributes(*described)
        keys = match(values, ids)
        if described[0].startswith("../") and not any(keys):
            described, names = None, ()
    if described:
        unknown = [""] * len(names)
        table = np.array([unknown if key is None else values[key] for key in keys], "U2")
        attributes = np.full(table.shape, np.nan, np.float32)
        attributes[table == "1"], attributes[table == "-1"] = 1, -1
        if missing := keys.count(None):
            notes.append(f"{described[0]} lacks {missing:,} of the pictures: attributes NaN.")

    name, told = _kind(pictures, [list[0] for list in (listed, described) if list])
    return Unprepared(
        name=name,
        ids=np.array(ids),
        splits=np.array(kept, np.uint8),
        attributes=attributes,
        attribute_names=names,
        notes=(*notes, *told),
        images=decode(pictures, workers),
        repeats="told" if name == "celeba" and listed else repeats,
    )


def _members(name: str, archive: zipfile.ZipFile, passed_over: Counter) -> list[Picture]:
    """The pictures of a zip; of two members of one name the later counts, as when unpacking."""
    found: dict[str, Picture] = {}
    for member in archive.infolist():
        inner = clean(member.filename)
        if inner.endswith("/") or _is_hidden(inner):
            continue
        if inner.lower().endswith(SUFFIXES):
            found[inner] = Picture(f"{name}/{inner}", member, archive)
        elif not list_stem(PurePosixPath(inner).name):
            _pass_over(PurePosixPath(inner).name, passed_over)
    return list(found.values())


def _is_hidden(member: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in member.split("/"))


def _named(pictures: list[Picture], annotated: bool) -> tuple[list[Picture], list[str]]:
    """Give CelebA's pictures CelebA's ids, and all others their paths.

    Where annotation files list the names, the first of several pictures with one id counts.
    Elsewhere men/000001.jpg and women/000001.jpg are two pictures: if any two share an id, all
    keep their whole paths, with the name of their zip.
    """
    names = [
        clean(p.path.filename) if isinstance(p.path, zipfile.ZipInfo) else p.id for p in pictures
    ]
    renamed = [p._replace(id=face_id(name)) for p, name in zip(pictures, names, strict=True)]
    first: dict[str, Picture] = {}
    for picture in renamed:
        first.setdefault(picture.id, picture)
    repeats = len(pictures) - len(first)
    if repeats and not annotated:
        return pictures, []
    return list(first.values()), [f"Skipped {repeats:,} repeated file names."] if repeats else []


def _splits_by_list(
    name: str, partition: dict[str, int], ids: list[str]
) -> tuple[list[int | None], list[str]]:
    keys = match(partition, ids)
    found = len(ids) - keys.count(None)
    if not found:
        said = f"it names {next(iter(partition))!r}" if partition else "it is empty"
        raise InputError(
            f"{name} names none of the {len(ids):,} pictures, such as {ids[0]!r}: {said}. "
            "Put the list there that belongs to them, or move it away to split by file name."
        )
    notes = []
    if found < len(partition):
        notes.append(f"Found {found:,} of the {len(partition):,} images that {name} lists.")
    if found < len(ids):
        notes.append(f"Left out {len(ids) - found:,} pictures that {name} does not list.")
    return [None if key is None else partition[key] for key in keys], notes


def _splits_by_folder(
    pictures: list[Picture], found: list[Picture]
) -> tuple[list[int | None], list[str]] | None:
    """Folders or zips called train, val, test … are the splits, where that is what they mean.

    It is if there is one for training and another one, or if all pictures lie in them. Where one
    for validation lacks, a tenth of the training pictures is held out, since training needs it.
    """
    paths = {(p.path, id(p.archive)): p.id for p in found}

    @cache
    def folder_split(folder: str) -> tuple[int, str] | None:
        """Split and name of the first folder on the way that is called like one."""
        parts = [SPLIT_FOLDER.fullmatch(part) for part in folder.split("/")]
        first = next((part for part in parts if part), None)
        return first and (SPLIT_WORDS[first[1].lower()], first[0])

    named = [folder_split(paths[p.path, id(p.archive)].rpartition("/")[0]) for p in pictures]
    splits = [split[0] if split else None for split in named]
    there = set(splits) - {None}
    if not there or there == {0} or (0 not in there and None in splits):
        return None
    folders = sorted({split for split in named if split})
    notes = [f"The folders {', '.join(folder for _, folder in folders)} are the splits."]
    if outside := splits.count(None):
        notes.append(f"Left out {outside:,} pictures that lie in none of these folders.")
    if there == {0, 2}:
        own = [row for row, split in enumerate(splits) if split == 0]
        by_hash = _splits_by_hash([pictures[row].id for row in own])
        for row, split in zip(own, by_hash, strict=True):
            splits[row] = int(split == 1)
        notes.append("There is none for validation: a tenth of the training pictures serves.")
    return splits, notes


def _splits_by_hash(ids: list[str]) -> list[int]:
    """80/10/10; of ten pictures or more two at least are for validation and two for testing."""
    splits = [split_by_hash(id) for id in ids]
    for split in (1, 2) if len(ids) >= 10 else ():
        training = sorted((_hash(ids[row]), row) for row, own in enumerate(splits) if own == 0)
        for _, row in training[: max(0, 2 - splits.count(split))]:
            splits[row] = split
    return splits


def _kind(pictures: list[Picture], lists: list[str]) -> tuple[str, list[str]]:
    """``"celeba"`` or ``"faces"``, and why.

    Six digits are a name that any export gives. CelebA has its aligned size besides, or, where
    somebody made it smaller, one size and its lists; "in the wild" it has many sizes.
    """
    if not pictures or not all(CELEBA_ID.fullmatch(picture.id) for picture in pictures):
        return "faces", []
    some = pictures[:: -(-len(pictures) // LOOKED_AT)]
    sizes = {size for picture in some if (size := size_of(picture))}
    if sizes == {CELEBA_SIZE}:
        return "celeba", ["These are CelebA's faces by their names and their size, 178x218."]
    if lists and len(sizes) < 2:
        return "celeba", [f"These are CelebA's faces by their names and by {' and '.join(lists)}."]
    reason = f"{len(sizes)} sizes" if len(sizes) > 1 else "another size and no list of CelebA's"
    if lists:
        reason += ', as CelebA "in the wild" has'
    return "faces", [
        f"Their names are like those of CelebA's aligned faces, but they have {reason}, not "
        "178x218 pixels: they are called faces, not CelebA."
    ]


def _find_annotation(
    stem: str, source: Source, archives: dict[str, zipfile.ZipFile]
) -> tuple[str, bytes] | None:
    """Name and content of the file nearest to the top; Kaggle's is in the zip itself."""

    def nearest(names: list[str]) -> str | None:
        found = [name for name in names if list_stem(PurePosixPath(clean(name)).name) == stem]

        def rank(name: str) -> tuple:
            path = clean(name)
            return path.count("/"), PurePosixPath(path).name not in ANNOTATIONS, path

        return min(found, key=rank, default=None)

    if name := nearest(source.annotations):
        path = source.root / name
        if name.startswith("../"):  # of the folder as it was named: it may be a link
            path = source.root.absolute().parent / name[3:]
        try:
            return name, Picture(name, str(path)).read()
        except (InputError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"Cannot read {path}: {reason}.") from error
    for zip_name, archive in archives.items():
        if name := nearest([name for name in archive.namelist() if not _is_hidden(clean(name))]):
            try:
                return clean(name), read_member(archive, archive.getinfo(name))
            except (InputError, OSError) as error:
                raise InputError(
                    f"{name} in {source.root / zip_name} cannot be read: {error}. Put a readable "
                    f"copy of it beside the zip, in {source.root}: that one counts."
                ) from error
    return None


def split_by_hash(face_id: str) -> int:
    """Split 0, 1 or 2 (80/10/10) of a face from its name alone, the same on every machine."""
    return max(0, _hash(face_id) % 10 - 7)


def _hash(face_id: str) -> int:
    return int.from_bytes(hashlib.sha256(face_id.encode(errors="surrogatepass")).digest())
