"""What a set of faces is, wherever it came from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from vae_lib.errors import InputError

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Faces:
    """Images with their names, splits and attributes, row by row.

    Parameters
    ----------
    name : str
        ``"celeba"``, ``"faces"`` (a folder of other pictures) or ``"synthetic"``: the word that
        stands in the names of the weights trained on them.
    images : ndarray of uint8, shape (n, 64, 64, 3)
        RGB, usually memory-mapped from the cache.
    ids : ndarray of str, shape (n,)
        File names, as CelebA's annotation files spell them.
    splits : ndarray of uint8, shape (n,)
        0 train, 1 valid, 2 test. `open_faces` sorts the rows by split, so that each split is one
        slice of the memory map; where they are not sorted, `split` gathers copies.
    attributes : ndarray of float32, shape (n, k)
        CelebA: −1 or +1, forty of them. Synthetic faces: the factors that drew them.
        ``k`` is 0 where nothing is known.
    attribute_names : tuple of str
        The ``k`` names.
    fingerprint : str
        Hash of the pixels, ids, splits and attributes, wherever they were read from.
    notes : tuple of str
        Sentences worth showing to whoever opened the faces: how many of the listed images were
        found, which files were skipped.

    Raises
    ------
    InputError
        If the images are no uint8 pictures in colour, or the rows of the rest do not fit them.
    """

    name: str
    images: np.ndarray
    ids: np.ndarray
    splits: np.ndarray
    attributes: np.ndarray
    attribute_names: tuple[str, ...]
    fingerprint: str = ""
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        images = self.images
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise InputError(
                f"These images are {images.dtype} of shape {images.shape}; expected uint8, 0…255, "
                "of shape (n, 64, 64, 3)."
            )
        for name in ("ids", "splits", "attributes"):
            if len(getattr(self, name)) != len(images):
                raise InputError(
                    f"There are {len(images):,} images but {len(getattr(self, name)):,} {name}; "
                    "expected one for each image."
                )
        if not np.isin(self.splits, range(len(SPLITS))).all():
            raise InputError(
                f"The splits hold {np.unique(self.splits)[:5]}; expected 0 (train), 1 (valid) "
                "and 2 (test)."
            )

    def __len__(self) -> int:
        return len(self.images)

    def split(self, name: str) -> "Faces":
        """The rows of one split: ``"train"``, ``"valid"`` or ``"test"``; views of sorted rows.

        Raises
        ------
        InputError
            If the name is not a split, or no face belongs to it.
        """
        if name not in SPLITS:
            raise InputError(f"There is no split {name!r}; use one of {', '.join(SPLITS)}.")
        rows = np.flatnonzero(self.splits == SPLITS.index(name))
        if not len(rows):
            raise InputError(
                f"The {name} split of these {len(self):,} faces is empty. "
                "Add more faces, or check list_eval_partition.txt if there is one."
            )
        start, stop = int(rows[0]), int(rows[-1]) + 1
        return self._rows(slice(start, stop) if stop - start == len(rows) else rows)

    def take(self, *counts: int) -> "Faces":
        """The first faces of each split, for a quick look: ``take(train, valid, test)``.

        A split with fewer faces gives all it has; one that is not named gives none.
        """
        rows = np.concatenate(
            [
                np.flatnonzero(self.splits == split)[:count]
                for split, count in zip(range(len(SPLITS)), counts, strict=False)
            ]
        )
        return replace(self._rows(rows), fingerprint=f"{self.fingerprint} {counts}")

    def named(self, ids: Sequence[str]) -> "Faces":
        """The faces with these ids alone.

        Raises
        ------
        InputError
            If some are not there.
        """
        rows = np.flatnonzero(np.isin(self.ids, list(ids)))
        if len(rows) < len(ids):
            raise InputError(
                f"Only {len(rows):,} of the {len(ids):,} images asked for are among these faces. "
                "Name a folder with all of CelebA with --data or CELEBA_ROOT."
            )
        return replace(self._rows(rows), fingerprint=f"{self.fingerprint} {len(rows)} named")

    def with_every_split(self, least: int = 4, most: int = 20_000) -> "Faces":
        """These faces, each split with some: where one has too few, all are divided anew.

        For lessons, which train and measure on whatever faces there are; a result to report wants
        the splits as they came. A tenth goes to validation and to testing each. A hash of the
        names decides, so that the order of the files has no say. `notes` tell of it.

        Parameters
        ----------
        least : int
            Faces that a split has to have.
        most : int
            Faces that are divided anew at most; their pixels are copied into memory.

        Raises
        ------
        InputError
            If there are fewer than three times `least`.
        """
        found = [int(np.count_nonzero(self.splits == split)) for split in range(len(SPLITS))]
        if min(found) >= least:
            return self
        if len(self) < 3 * least:
            raise InputError(
                f"{len(self)} faces are too few to train, validate and test with; {3 * least} are "
                "needed at least, and 40 give something to look at. Add pictures to the folder, or "
                "unset CELEBA_ROOT to use drawn faces."
            )
        mixed = sorted(
            range(len(self)),
            key=lambda row: hashlib.sha256(
                str(self.ids[row]).encode(errors="surrogatepass")
            ).digest(),
        )[:most]
        held = max(least, len(mixed) // 10)
        bounds = [0, len(mixed) - 2 * held, len(mixed) - held, len(mixed)]
        parts = [sorted(mixed[start:stop]) for start, stop in pairwise(bounds)]
        note = (
            f"These faces come as {found[0]:,} for training, {found[1]:,} for validation and "
            f"{found[2]:,} for testing, too few somewhere. {len(mixed):,} of them were divided "
            f"anew: {len(parts[0]):,}, {held:,} and {held:,}. A model that others trained may "
            "know those that are for testing here."
        )
        return replace(
            self._rows(np.concatenate(parts).astype(int)),
            splits=np.repeat(np.arange(3, dtype=np.uint8), np.diff(bounds)),
            fingerprint=f"{self.fingerprint} divided anew",
            notes=(*self.notes, note),
        )

    def _rows(self, rows: slice | np.ndarray) -> "Faces":
        return replace(
            self,
            images=self.images[rows],
            ids=self.ids[rows],
            splits=self.splits[rows],
            attributes=self.attributes[rows],
        )
