"""Equal pictures: a test face that is also a training face measures nothing."""

from collections import defaultdict
from typing import Literal

import numpy as np

Rule = Literal["ignored", "told", "held out", "once"]
PROBE = slice(6000, 6600)  # bytes of a face in which equal faces are looked for at first


def probe(image: bytes) -> int:
    """A hash of some of a face's pixels: equal for equal faces, and quick."""
    return hash(image[PROBE])


def sift(
    images: np.ndarray, probes: list[int], ids: np.ndarray, splits: np.ndarray, rule: Rule
) -> tuple[np.ndarray, list[str]]:
    """Which rows stay, so that no picture lies in two splits, and notes about the others.

    Pictures of one colour are no copies of each other.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, 64, 64, 3)
    probes : list of int
        Of each row.
    ids, splits : ndarray, shape (n,)
    rule : str
        ``"once"``: of equal pictures that with the first id stays. ``"held out"``: those of the
        last split that has one stay, for somebody chose what is tested. ``"told"``: all stay,
        with a note. ``"ignored"``: nobody looks.

    Returns
    -------
    stays : ndarray of bool, shape (n,)
    notes : list of str
    """
    stays = np.ones(len(splits), bool)
    notes: list[str] = []
    if rule == "ignored":
        return stays, notes
    alike = defaultdict(list)
    for row, value in enumerate(probes):
        alike[value].append(row)
    groups = [group for rows in alike.values() if len(rows) > 1 for group in _equal(images, rows)]
    repeats = across = 0
    for group in groups:
        repeats += len(group) - 1
        last = splits[group] == splits[group].max()
        across += int((~last).sum())
        if rule == "held out":
            stays[group[~last]] = False
        elif rule == "once":
            stays[group] = group == min(group, key=lambda row: ids[row])
    if rule == "once":
        _leave_no_split_empty(stays, groups, splits)
    if not repeats:
        return stays, notes
    found = f"Found {repeats:,} repeated pictures, equal to others in every pixel"
    if rule == "once":
        notes.append(f"{found}, and left them out.")
    elif not across:
        notes.append(f"{found}; none of them lies in two splits.")
    elif rule == "held out":
        notes.append(
            f"{found}. Of those in two splits {across:,} were left out: the copy that is held out "
            "for testing or validation stays."
        )
    else:
        notes.append(
            f"{found}, {across:,} of them in two splits: CelebA's partition stays as it is."
        )
    return stays, notes


def _leave_no_split_empty(stays: np.ndarray, groups: list[np.ndarray], splits: np.ndarray) -> None:
    """Let other copies stay where a split of few pictures would lose its last ones."""
    for split in (1, 2):
        left = int((splits[stays] == split).sum())
        for group in groups:
            if left >= 2:
                break
            here = group[splits[group] == split]
            if len(here) and not stays[here].any():
                stays[group] = group == here[0]
                left += 1


def _equal(images: np.ndarray, rows: list[int]) -> list[np.ndarray]:
    """The rows in groups of two or more that are equal, without those of one colour."""
    groups = defaultdict(list)
    for row in rows:
        image = images[row]
        if (image != image[0, 0]).any():
            groups[image.tobytes()].append(row)
    return [np.array(group) for group in groups.values() if len(group) > 1]
