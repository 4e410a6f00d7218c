"""CelebA's two annotation lists, as they are published and as people have them.

Kaggle turned them into CSV, spreadsheets add an index column, quotes and semicolons, browsers a
"(1)", notebooks write True and False for 1 and -1. What can be meant in one way only is read.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from vae_lib.errors import InputError
from vae_lib.faces.verify import refuse_page

ATTRIBUTES, PARTITION = "list_attr_celeba", "list_eval_partition"
COPY = r"(?:[ _-]*copy)?(?: ?\(\d+\))?"  # "list (1).txt" of a browser, "list - Copy.txt" of Windows
LIST = re.compile(
    rf"({ATTRIBUTES}|{PARTITION}){COPY}\.(?:txt|csv|tsv)(?:\.txt)?", re.IGNORECASE | re.ASCII
)
CELEBA_ID = re.compile(r"\d{6}\.(jpg|png)", re.IGNORECASE | re.ASCII)
SPLIT_WORDS = {
    **dict.fromkeys(("0", "0.0", "train", "training"), 0),
    **dict.fromkeys(("1", "1.0", "val", "valid", "validation", "dev"), 1),
    **dict.fromkeys(("2", "2.0", "test", "testing"), 2),
}


class _Words(dict):
    """Words in whatever case; None for a word that is not there."""

    def __missing__(self, word: str) -> str | None:
        return self.get(word.casefold())


VALUES = _Words(
    {
        **dict.fromkeys(("1", "+1", "1.0", "true", "yes"), "1"),
        **dict.fromkeys(("-1", "-1.0", "false", "no"), "-1"),
        **dict.fromkeys(("0", "0.0"), "0"),
        **dict.fromkeys(("", "nan", "na", "n/a", "null", "none", "?"), ""),
    }
)
ID_COLUMNS: tuple[str, ...] = (
    *("image_id", "image", "image_name", "img", "id", "file", "filename", "file_name"),
    *("name", "path", "picture"),
)
SPLIT_COLUMNS = ("partition", "split", "set", "subset")
INDEX_COLUMNS = ("", "index", "unnamed: 0")
CORRECT = "Correct that line, or move the file away to do without it."


def list_stem(name: str) -> str | None:
    """Which of the two lists a file is by its name, ``"… (1).txt"`` too; None for another file."""
    found = LIST.fullmatch(name)
    return found[1].lower() if found else None


def clean(name: str) -> str:
    """A path as ids spell it: with slashes (Windows writes backslashes), and fit to be printed."""
    name = name.replace("\\", "/").removeprefix("./").lstrip("/")
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


def face_id(name: str) -> str:
    """CelebA's ids as its annotation files spell them, of PNGs too; else the relative path."""
    base = name[name.rfind("/") + 1 :]
    return f"{base[:6]}.jpg" if CELEBA_ID.fullmatch(base) else name


def parse_partition(name: str, text: bytes) -> dict[str, int]:
    """Read ``list_eval_partition.txt`` or ``.csv``: the split of each id (0, 1 or 2).

    Raises
    ------
    InputError
        With the file's name and the line's number, where a line is not an id and a split.
    """
    partition: dict[str, int] = {}
    id_column: int | None = None
    split_column = -1
    for first, (number, fields, line) in enumerate(_rows(name, text)):
        if not first and len(fields) == 1 and fields[0].isdigit():
            continue  # the number of rows
        if not partition and id_column is None and (header := _header(fields)):
            id_column = _position(header, ID_COLUMNS, int(header[0] in INDEX_COLUMNS))
            split_column = _position(header, SPLIT_COLUMNS, len(header) - 1)
            continue
        if line is not None:  # divided by blanks, of which the file's name may have some
            id, _, split = line.rpartition(" ")
        elif id_column is not None and len(fields) > max(id_column, split_column):
            id, split = fields[id_column], fields[split_column]
        elif len(fields) == 2 or (len(fields) == 3 and fields[0].isdigit()):
            id, split = fields[-2:]
        else:
            id, split = "", ""
        number_of = SPLIT_WORDS.get(split.casefold())
        if not id or number_of is None:
            raise InputError(
                f"{name}, line {number}: expected a file name and 0, 1 or 2 (or train, valid, "
                f"test), found {_shown(fields)}. {CORRECT}"
            )
        if partition.setdefault(id := face_id(clean(id)), number_of) != number_of:
            raise InputError(
                f"{name}, line {number}: {id} is put into another split than before. {CORRECT}"
            )
    return partition


def parse_attributes(name: str, text: bytes) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    """Read ``list_attr_celeba.txt`` or ``.csv``: the attributes' names, each id's values as text.

    A value is ``"1"``, ``"-1"``, or ``""`` where the list leaves it open.

    Raises
    ------
    InputError
        With the file's name and the line's number, where a line does not fit the header.
    """
    header: list[str] = []
    names: tuple[str, ...] = ()
    columns: list[int] = []
    values: dict[str, list[str]] = {}
    zero = minus = 0  # the first lines that hold a 0 and a -1
    for number, fields, line in _rows(name, text):
        if not header:
            if len(fields) == 1 and fields[0].isdigit():
                continue  # the number of rows
            header = fields
            if any(VALUES[field] for field in header[1:]) or (line is None and len(header) < 2):
                raise InputError(f"{name}, line {number}: expected the names of the attributes.")
            continue
        if not names:
            names, columns = _attribute_columns(header, fields, line)
            if not names:
                raise InputError(f"{name}, line {number - 1}: expected the attributes' names.")
        if line is not None:  # divided by blanks, of which the file's name may have some
            id, *found = line.rsplit(" ", len(names))
        else:
            id, *found = [fields[c] for c in columns] if max(columns) < len(fields) else [""]
        row = [VALUES[value] for value in found]
        if len(row) != len(names) or None in row:
            raise InputError(
                f"{name}, line {number}: expected a file name and {len(names)} values, each -1 "
                f"or 1 (or 0 and 1, or True and False), found {_shown(fields)}. {CORRECT}"
            )
        zero = zero or number * ("0" in row)
        minus = minus or number * ("-1" in row)
        if zero and minus:
            raise InputError(
                f"{name}, line {number}: found 0 and -1 in one list; expected -1 and 1, or 0 and "
                f"1. {CORRECT}"
            )
        if values.setdefault(id := face_id(clean(id)), row) != row:
            raise InputError(f"{name}, line {number}: {id} has other values than before. {CORRECT}")
    if zero:
        values = {id: ["-1" if v == "0" else v for v in row] for id, row in values.items()}
    return names or tuple(header), values


def match(listed: Mapping[str, object], ids: list[str]) -> list[str | None]:
    """The listed name of each id: its own, else the only one that differs in folder or ending.

    ``faces/Anna.JPG`` is found as ``anna.jpg`` or ``Anna``, and 000012.jpg as 12, if no other
    picture and no other line could be meant.
    """
    keys = [id if id in listed else None for id in ids]
    same = [(spelling, spelling) for spelling in (str.casefold, _base, _stem)]
    for of_key, of_id in (*same, (_number, _celeba_number)):
        taken = set(keys)
        if None not in taken:
            break
        names = [(of_key(key), key) for key in listed if key not in taken]
        rows = [(of_id(ids[row]), row) for row, key in enumerate(keys) if key is None]
        free, asked = (Counter(name for name, _ in side) for side in (names, rows))
        of = dict(names)
        for name, row in rows:
            if name and free[name] == asked[name] == 1:
                keys[row] = of[name]
    return keys


def _base(name: str) -> str:
    return name[name.rfind("/") + 1 :].casefold()


def _stem(name: str) -> str:
    base = _base(name)
    return base.rpartition(".")[0] or base


def _number(listed: str) -> str:
    """12 or 12.jpg, as a spreadsheet leaves 000012.jpg; nothing for other names."""
    stem = listed.removesuffix(".jpg")
    return stem if stem.isdecimal() and len(stem) < 6 else ""


def _celeba_number(id: str) -> str:
    return id[:6].lstrip("0") if CELEBA_ID.fullmatch(id) else ""


def _header(fields: list[str]) -> list[str] | None:
    """The column names in small letters, if these are some."""
    words = [field.casefold() for field in fields]
    known = {*ID_COLUMNS, *SPLIT_COLUMNS}
    if len(words) > 1 and (words[-1] in known or (words[0] in known and words[1] in known)):
        return words
    return None


def _position(header: list[str], known: tuple[str, ...], otherwise: int) -> int:
    return next((header.index(word) for word in known if word in header), otherwise)


def _attribute_columns(
    header: list[str], fields: list[str], line: str | None
) -> tuple[tuple[str, ...], list[int]]:
    """The attributes' names; in which columns the id and their values stand, by the first row."""
    words = [word.casefold() for word in header]
    if line is not None:
        names = header[1:] if words[0] in ID_COLUMNS else header
        return tuple(names), list(range(len(names) + 1))
    if len(fields) == len(header) + 1:  # as R writes row names
        return tuple(header), list(range(len(fields)))
    id = _position(words, ID_COLUMNS, 0)
    index = words[0] in INDEX_COLUMNS and fields[0].isdigit()
    if index and not id and len(fields) > 1 and VALUES[fields[1]] is None:
        id = 1
    columns = [column for column in range(len(header)) if column != id and (column or not index)]
    return tuple(header[column] for column in columns), [id, *columns]


def _rows(name: str, text: bytes) -> Iterator[tuple[int, list[str], str | None]]:
    """Number and fields of each line that is not empty; the line itself if blanks divide it."""
    refuse_page(text[: 1 << 16], name)
    lines = _decoded(text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    filled = [line for line in lines[:50] if len(line.split()) and not line.strip().isdigit()][:9]
    divider = next((d for d in ";\t," if filled and all(d in line for line in filled)), None)
    for number, line in enumerate(lines, 1):
        if not line or line.isspace():
            continue
        if divider is None and '"' not in line:
            fields = line.split()
            yield number, fields, " ".join(fields)
            continue
        try:
            (fields,) = csv.reader([line], delimiter=divider or " ", skipinitialspace=True)
        except (csv.Error, ValueError) as error:
            raise InputError(f"{name}, line {number}: {error}. {CORRECT}") from error
        fields = [field.strip() for field in fields]
        yield number, fields, None


def _decoded(text: bytes) -> str:
    """UTF-8, or UTF-16 as spreadsheets save it, or else the old code page of Windows."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return text.decode("utf-16", errors="replace")
    if b"\0" in text[:200]:
        ends = "utf-16-be" if text.startswith(b"\0") else "utf-16-le"
        return text.decode(ends, errors="replace")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError:
        return text.decode("cp1252", errors="replace")


def _shown(fields: list[str]) -> str:
    line = " ".join(fields)
    return f"{len(fields)} fields, {line[:60]!r}{'…' if len(line) > 60 else ''}"
