"""A choice among runs that needs no labels: do they find the same dimensions?"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from vae_lib.errors import InputError


def udr(
    codes: Sequence[np.ndarray], kl: Sequence[np.ndarray], *, informative: float = 0.01
) -> np.ndarray:
    """Unsupervised disentanglement ranking of models of one recipe, Duan et al. 2020, Section 4.

    Two models are compared by how their dimensions correlate over the same images. A pair scores
    1 where each informative dimension of one goes with exactly one of the other. The paper's
    Spearman variant; its Eq. 2 and 3.

    Parameters
    ----------
    codes : sequence of ndarray, each of shape (n, latent_size)
        Posterior means of the same n images under two models or more.
    kl : sequence of ndarray, each of shape (latent_size,)
        Mean KL of each dimension, nats.
    informative : float
        Dimensions with no more KL than this, nats, count in no score.

    Returns
    -------
    ndarray, shape (number of models,)
        Median over the other models, in [0, 1]. A model without an informative dimension has 0.

    Raises
    ------
    InputError
        If there are fewer than two models, or their codes are not of the same images.

    References
    ----------
    Duan et al. 2020, arXiv:1905.12614.

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(1000, 3))
    >>> udr([z, -z[:, [2, 0, 1]]], [np.ones(3)] * 2).round(1).tolist()
    [1.0, 1.0]
    """
    codes, kl = [np.asarray(c, float) for c in codes], [np.asarray(k, float) for k in kl]
    if len(codes) < 2 or len(codes) != len(kl):
        raise InputError(f"Found {len(codes)} codes and {len(kl)} KLs; expected two or more each.")
    sizes = {c.shape[0] if c.ndim == 2 else -1 for c in codes}
    if len(sizes) > 1 or any(c.shape[1:] != k.shape for c, k in zip(codes, kl, strict=True)):
        raise InputError(
            f"Found codes of shapes {[c.shape for c in codes]} and KLs of "
            f"{[k.shape for k in kl]}; expected the same images, and a KL for each dimension."
        )
    kept = [c[:, k > informative] for c, k in zip(codes, kl, strict=True)]
    ranked = [_standardised(np.apply_along_axis(rankdata, 0, c)) if c.size else c for c in kept]
    pairs = np.full((len(codes), len(codes)), np.nan)
    for i, one in enumerate(ranked):
        for j, other in enumerate(ranked):
            if i < j:
                pairs[i, j] = pairs[j, i] = _agreement(one, other)
    return np.nanmedian(pairs, axis=1)


def _standardised(values: np.ndarray) -> np.ndarray:
    spread = values.std(0)
    return (values - values.mean(0)) / np.where(spread > 0, spread, 1)


def _agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Eq. 3 of the paper: strongest partner squared, over the sum over all partners."""
    if not one.shape[1] or not other.shape[1]:
        return 0.0
    similar = np.abs(one.T @ other) / len(one)
    parts = []
    for table in (similar, similar.T):
        total, most = table.sum(1), table.max(1)
        parts.append(np.divide(most**2, total, out=np.zeros_like(total), where=total > 0))
    return float(np.concatenate(parts).sum() / sum(similar.shape))
