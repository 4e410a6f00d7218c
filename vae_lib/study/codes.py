"""The codes of a run: small enough to keep, and all that any score of a code needs.

A run leaves ``codes.npz``, half a megabyte: posterior means and log-variances in float16, the
images' ids, and the seed from which drawn faces' factors come. Whoever doubts a score, or has a
new one, computes it from there; no weights and no GPU are needed.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vae_lib.errors import InputError, foreign
from vae_lib.files import write_atomically


@dataclass(frozen=True, eq=False)
class Codes:
    """Posterior of each image under one model."""

    mu: np.ndarray
    """float32, (n, latent_size), rounded to float16."""
    logvar: np.ndarray
    """As `mu`; log-variances below −11 are kept, which is the variance 0.00002."""
    ids: np.ndarray
    """Names of the images, (n,); of drawn faces their number."""
    seed: int | None
    """Drawn faces: ``draw_factors(n, seed)`` are their factors. None for photographs."""

    @property
    def factors(self) -> np.ndarray:
        """Factors of drawn faces, float32 (n, k).

        Raises
        ------
        InputError
            If the codes are those of photographs.
        """
        from vae_lib.faces.synthetic import draw_factors

        if self.seed is None:
            raise InputError("These are codes of photographs, whose factors nobody knows.")
        return draw_factors(len(self.mu), self.seed)


def rounded(
    mu: np.ndarray, logvar: np.ndarray, ids: np.ndarray | None = None, seed: int | None = None
) -> Codes:
    """Codes as a file keeps them, so that scores are the same before and after.

    >>> rounded(np.full((1, 2), 0.1), np.zeros((1, 2)), seed=1).mu.round(6).tolist()
    [[0.099976, 0.099976]]
    """
    low, high = np.finfo(np.float16).min, np.finfo(np.float16).max
    mu, logvar = (
        np.clip(np.asarray(values), low, high).astype(np.float16).astype(np.float32)
        for values in (mu, logvar)
    )
    names = np.arange(len(mu)) if ids is None else np.asarray(ids)
    return Codes(mu, logvar, names, seed)


def save_codes(file: str | Path, codes: Codes) -> None:
    """Write codes to an ``.npz`` file, whole or not at all.

    Raises
    ------
    InputError
        If the file cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> codes = rounded(np.full((1, 2), 0.5), np.zeros((1, 2)), seed=1)
    >>> with TemporaryDirectory() as folder:
    ...     save_codes(f"{folder}/codes.npz", codes)
    ...     load_codes(f"{folder}/codes.npz").mu.tolist()
    [[0.5, 0.5]]
    """
    content = io.BytesIO()
    halves = {name: getattr(codes, name).astype(np.float16) for name in ("mu", "logvar")}
    seed = -1 if codes.seed is None else codes.seed
    np.savez_compressed(content, **halves, ids=codes.ids, seed=np.array(seed))
    write_atomically(Path(file), content.getvalue())


def load_codes(file: str | Path) -> Codes:
    """Read what `save_codes` wrote.

    Raises
    ------
    InputError
        If the file is missing or holds no codes.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     save_codes(f"{folder}/codes.npz", rounded(np.zeros((2, 1)), np.zeros((2, 1)), seed=1))
    ...     codes = load_codes(f"{folder}/codes.npz")
    >>> codes.mu.tolist(), codes.ids.tolist(), codes.seed
    ([[0.0], [0.0]], [0, 1], 1)
    """
    with (
        foreign(f"{file} holds no codes of a run", "Name a codes.npz that a sweep left"),
        np.load(file, allow_pickle=False) as stored,
    ):
        mu, logvar = (stored[name].astype(np.float32) for name in ("mu", "logvar"))
        seed = int(stored["seed"])
        if mu.ndim != 2 or mu.shape != logvar.shape or len(stored["ids"]) != len(mu):
            raise ValueError(f"means of shape {mu.shape}, log-variances of {logvar.shape}")
        return Codes(mu, logvar, stored["ids"], None if seed < 0 else seed)


def score_codes(codes: Codes) -> dict[str, Any]:
    """Every metric of `vae_lib.disentanglement.scores` on the codes of drawn faces.

    The codes are posterior means, 0 in the dimensions that collapsed to the prior.

    Raises
    ------
    InputError
        If the codes are those of photographs.
    """
    # Here and not above, so that codes are kept and read without scikit-learn.
    from vae_lib.disentanglement import scores, silence_collapsed
    from vae_lib.faces.synthetic import FACTORS

    factors = codes.factors
    silenced = silence_collapsed(codes.mu, codes.logvar)
    names = [factor.name for factor in FACTORS]
    discrete = [factor.binary for factor in FACTORS]
    return {"seed_of_faces": codes.seed} | scores(silenced, factors, names, discrete=discrete)
