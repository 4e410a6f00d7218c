"""Open faces: from CelebA, from a folder of pictures, or drawn."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from vae_lib.errors import InputError
from vae_lib.faces.cache import Unprepared, open_cached
from vae_lib.faces.celeba import find_source, read_source
from vae_lib.faces.dataset import Faces

if TYPE_CHECKING:
    from vae_lib.faces.synthetic import Proportions

OLDER_KEYS = {
    "synthetic 20000 seed 0 renderer 1 ": (
        "7b5706e1225c2052b1fd3c04d4af98110eb8f1efe4c118aecc0ff7a6e4ab0ac9"
    )
}


def open_faces(
    data: str | Path | None = None,
    *,
    kind: Literal["auto", "images", "synthetic"] = "auto",
    synthetic_count: int = 20_000,
    proportions: "Proportions | None" = None,
    cache: Path | None = None,
    strict: bool = False,
    workers: int | None = None,
) -> Faces:
    """Open faces, 64x64: the first time they are prepared, later they are there at once.

    Parameters
    ----------
    data : str or Path, optional
        A folder of pictures or of zips, or one zip: CelebA in any of its layouts, or other faces.
        Zips are read in place. By default the environment variable ``CELEBA_ROOT``.
    kind : str
        ``"images"`` reads pictures, ``"synthetic"`` draws faces from known factors, and
        ``"auto"`` draws them only if there is neither `data` nor ``CELEBA_ROOT``.
    synthetic_count : int
        How many synthetic faces to draw, from seed 0; the first 80 % are for training.
    proportions : Proportions, optional
        Of synthetic faces: sizes that an experiment changes; the course's faces by default.
    cache : Path, optional
        Where the prepared faces are kept (12,288 bytes each); by default ``$VAE_LIB_CACHE``,
        else the user's cache folder.
    strict : bool
        Refuse unreadable pictures instead of leaving them out with a note.
    workers : int, optional
        Threads that decode; one per core by default. The pixels do not depend on it.

    Returns
    -------
    Faces
        Images of uint8, shape (n, 64, 64, 3), memory-mapped; rows sorted by split and id.

    Raises
    ------
    InputError
        If there are no faces, a file is damaged, or the cache cannot be written.

    Examples
    --------
    >>> faces = open_faces(kind="synthetic", synthetic_count=20)
    >>> faces.name, faces.images.shape, faces.attribute_names[:2]
    ('synthetic', (20, 64, 64, 3), ('yaw', 'pitch'))
    """
    if kind not in ("auto", "images", "synthetic"):
        raise InputError(f"There is no kind {kind!r}; use auto, images or synthetic.")
    if kind == "synthetic" and data is not None:
        raise InputError(f"Synthetic faces are drawn, not read from {data}: drop one of the two.")
    if kind != "synthetic" and not data:
        data = os.environ.get("CELEBA_ROOT")
        if data and not os.path.exists(Path(data).expanduser()):
            raise InputError(
                f"The environment variable CELEBA_ROOT names {data}, which is not there. Correct "
                "it, unset it, or name a folder with --data."
            )
    if data:
        source = find_source(Path(data).expanduser())
        return open_cached(
            "images",
            source.fingerprint,
            lambda: read_source(source, workers),
            cache=cache,
            strict=strict,
        )
    if kind == "images":
        raise InputError(
            "There are no faces yet: get CelebA with `vae download celeba`, name a folder with "
            "`--data DIR` or CELEBA_ROOT, or draw some with `--faces synthetic`."
        )
    return _open_synthetic(synthetic_count, proportions, cache)


def _open_synthetic(count: int, proportions: "Proportions | None", cache: Path | None) -> Faces:
    from vae_lib.faces import synthetic

    if count < 10:
        raise InputError(f"{count} synthetic faces cannot be split 80/10/10; draw 10 or more.")
    look = proportions or synthetic.USUAL
    drawn = f"synthetic {count} seed 0 renderer {synthetic.RENDERER} {look.word}"
    # Caches older than the renderer's number: the bytes of the renderer's file were in their key.
    key = OLDER_KEYS.get(drawn) or hashlib.sha256(drawn.encode()).hexdigest()

    def read() -> Unprepared:
        factors = synthetic.draw_factors(count, seed=0)
        return Unprepared(
            name="synthetic",
            ids=np.array([f"synthetic-{row:06d}" for row in range(count)]),
            splits=np.repeat(np.arange(3, dtype=np.uint8), np.diff(_bounds(count))),
            attributes=factors,
            attribute_names=tuple(factor.name for factor in synthetic.FACTORS),
            notes=(),
            images=_drawn(factors, look),
        )

    return open_cached("synthetic", key, read, cache=cache)


def _bounds(count: int) -> list[int]:
    """Where the splits begin and end."""
    return [0, count * 8 // 10, count * 9 // 10, count]


def _drawn(factors: np.ndarray, look: "Proportions") -> Iterator[list[bytes]]:
    """Drawn a few at a time, so that a progress bar can move."""
    from vae_lib.faces.synthetic import render

    for start in range(0, len(factors), 128):
        yield [image.tobytes() for image in render(factors[start : start + 128], look)]
