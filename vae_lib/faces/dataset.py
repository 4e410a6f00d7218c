"""What a set of faces is, wherever it came from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

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

    @staticmethod
    def from_arrays(
        images: Any,
        attributes: Any = None,
        attribute_names: Sequence[str] | None = None,
        *,
        ids: Sequence[str] | None = None,
        splits: Any = None,
        name: str = "faces",
    ) -> "Faces":
        """Faces from what is in memory: arrays, tensors or nested lists, in their order.

        Parameters
        ----------
        images : array_like, shape (n, h, h, 3) or (n, 3, h, h)
            uint8, 0…255, or floating-point numbers in [0, 1], which are rounded to uint8. The
            course's models want h = 64.
        attributes : array_like, shape (n, k), optional
            Labels or numbers; NaN where one is not known.
        attribute_names : sequence of str, length k, optional
            ``"attribute 0"`` and so on where they are left out.
        ids : sequence of str, length n, optional
            Names, each once; ``"face-000000"`` and so on by default.
        splits : array_like of int, shape (n,), optional
            0 train, 1 valid, 2 test. By default a tenth, at least one face, goes to validation and
            to testing each; a hash of the ids decides, so that more faces or another order move
            few of them.
        name : str
            Stands in the names of the weights trained on these faces.

        Raises
        ------
        InputError
            If the images are no colour pictures, their values are out of range, or the rest does
            not fit them.

        Examples
        --------
        >>> faces = Faces.from_arrays(np.zeros((50, 64, 64, 3), np.uint8))
        >>> [len(faces.split(name)) for name in ("train", "valid", "test")]
        [40, 5, 5]
        """
        pixels = _as_pixels(images)
        count = len(pixels)
        names = [f"face-{row:06d}" for row in range(count)] if ids is None else list(map(str, ids))
        if len(set(names)) < len(names):
            twice = next(one for one in names if names.count(one) > 1)
            raise InputError(f"The id {twice!r} is there twice; each face has its own.")
        if splits is None:
            if count < 3:
                raise InputError(
                    f"{count} images cannot be split into training, validation and testing; give "
                    "3 or more, or say with splits= what they are for."
                )
            held, order = max(1, count // 10), _in_order_of_hashes(names)
            splits = np.zeros(count, np.uint8)
            splits[order[-2 * held : -held]], splits[order[-held:]] = 1, 2
        table = np.asarray(np.zeros((count, 0)) if attributes is None else attributes, np.float32)
        if table.ndim != 2:
            raise InputError(f"The attributes have shape {table.shape}; expected (n, k).")
        if attribute_names is None:
            attribute_names = [f"attribute {column}" for column in range(table.shape[1])]
        if len(attribute_names) != table.shape[1]:
            raise InputError(
                f"There are {table.shape[1]} columns of attributes but {len(attribute_names)} "
                "attribute_names; expected one for each."
            )
        faces = Faces(
            name=name,
            images=pixels,
            ids=np.array(names, dtype=str),
            splits=np.asarray(splits, np.uint8),
            attributes=table,
            attribute_names=tuple(map(str, attribute_names)),
        )
        digest = hashlib.sha256()
        for part in (faces.images, faces.ids, faces.splits, faces.attributes):
            digest.update(np.ascontiguousarray(part).data)
        return replace(faces, fingerprint=digest.hexdigest())

    def split(self, name: str) -> "Faces":
        """The rows of one split: ``"train"``, ``"valid"`` or ``"test"``; views of sorted rows.

        Raises
        ------
        InputError
            If the name is not a split, or no face belongs to it.

        Examples
        --------
        >>> faces = Faces.from_arrays(np.zeros((50, 64, 64, 3), np.uint8))
        >>> len(faces.split("train")), faces.split("test").images.shape
        (40, (5, 64, 64, 3))
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

        Examples
        --------
        >>> faces = Faces.from_arrays(np.zeros((50, 64, 64, 3), np.uint8))
        >>> len(faces.take(20, 2, 2))
        24
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

        Examples
        --------
        >>> faces = Faces.from_arrays(np.zeros((3, 64, 64, 3), np.uint8), ids=["ann", "bob", "eve"])
        >>> faces.named(["eve", "ann"]).ids.tolist()
        ['ann', 'eve']
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

        Examples
        --------
        >>> faces = Faces.from_arrays(np.zeros((50, 64, 64, 3), np.uint8), splits=[0] * 50)
        >>> divided = faces.with_every_split()
        >>> [len(divided.split(name)) for name in ("train", "valid", "test")]
        [40, 5, 5]
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
        mixed = _in_order_of_hashes(self.ids)[:most]
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


def _in_order_of_hashes(ids: Sequence[str] | np.ndarray) -> list[int]:
    """Row numbers in an order that each row's id decides and nothing else."""
    hashes = [hashlib.sha256(str(one).encode(errors="surrogatepass")).digest() for one in ids]
    return sorted(range(len(hashes)), key=hashes.__getitem__)


def _as_pixels(images: Any) -> np.ndarray:
    """Colour pictures in any of their usual forms → uint8 (n, h, h, 3)."""
    if hasattr(images, "detach"):  # a tensor, on whatever device
        images = images.detach().cpu()
    pixels = np.asarray(images)
    shape = pixels.shape
    if pixels.ndim == 4 and shape[3] != 3 and shape[1] == 3:
        pixels = pixels.transpose(0, 2, 3, 1)
    if pixels.ndim != 4 or pixels.shape[3] != 3 or shape[0] == 0 or len(set(pixels.shape[1:3])) > 1:
        cure = ""
        if pixels.ndim == 3 and shape[-1] != 3:
            cure = " Grey pictures become colour with np.repeat(x[..., None], 3, axis=3)."
        elif pixels.ndim == 4 and 4 in (shape[1], shape[3]):
            cure = " Drop the fourth channel: x[..., :3], or x[:, :3]."
        raise InputError(
            f"These images have shape {shape}; expected squares in colour, (n, 64, 64, 3) or "
            f"(n, 3, 64, 64), one or more.{cure}"
        )
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if pixels.dtype.kind != "f":
        raise InputError(
            f"These images are {pixels.dtype}; expected uint8, 0…255, or numbers in [0, 1]. "
            "Whole numbers from 0 to 255 become uint8 with x.astype(np.uint8)."
        )
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1):  # also where one is NaN
        cure = "divide by 255" if low >= 0 and high <= 255 else "scale them, as (x + 1) / 2 does"
        raise InputError(
            f"The values of these images run from {low:g} to {high:g}; expected [0, 1]: {cure}, "
            "and mend what is not finite."
        )
    return (pixels * 255).round().astype(np.uint8)
