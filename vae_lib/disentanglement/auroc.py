"""Disentanglement on faces whose causes nobody knows: do attributes sit in dimensions of their own?

`total_auroc_difference` is the score that papers on CelebA report beside the mean ROC-AUC of
linear probes, which is `AttributeScores.probe`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vae_lib.errors import InputError


@dataclass(frozen=True)
class AUROCDifference:
    """The result of `total_auroc_difference`."""

    total: float
    """TAD: the sum of the gaps of the captured attributes, ≥ 0; most papers stay below 1."""
    captured: tuple[str, ...]
    """The attributes that count."""
    gaps: tuple[float, ...]
    """Of each captured attribute: the best dimension's ROC-AUC minus the second best's, ≥ 0."""


def total_auroc_difference(
    per_dimension: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    *,
    captured: float = 0.75,
    shared: float = 0.2,
) -> AUROCDifference:
    """Total AUROC Difference, TAD (Yeats et al. 2022, NashAE, arXiv:2209.10677).

    An attribute counts when one dimension alone ranks it with a ROC-AUC of at least `captured`,
    and when no other attribute takes away more than the share `shared` of its entropy: what two
    attributes know of each other, no code can put apart. TAD is the sum, over the attributes that
    count, of the distance between the best dimension and the second best. More captured
    attributes raise it as well as cleaner ones, so read it with their number.

    Parameters
    ----------
    per_dimension : ndarray, shape (k, latent_size)
        ROC-AUC of each attribute from each dimension by itself, whichever way it points, from 0.5
        to 1: `AttributeScores.per_dimension`.
    labels : ndarray, shape (n, k)
        Labels with two values each, such as CelebA's −1 and 1, of the same faces. NaN where one
        is not known: the pair of labels is left out.
    names : sequence of str, length k
        The attributes.
    captured : float
        The least ROC-AUC, from 0.5 to 1.
    shared : float
        The largest share of entropy, from 0 to 1.

    Raises
    ------
    InputError
        If shapes do not match, there are fewer than two dimensions, a ROC-AUC lies outside
        [0.5, 1], or an attribute has not two values.

    Examples
    --------
    Two labels that are independent of each other. The first is ranked by dimension 0 with 0.9 and
    by the others with 0.6 at most; the second has no dimension of at least 0.75.

    >>> labels = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    >>> aurocs = np.array([[0.9, 0.6, 0.5], [0.7, 0.5, 0.5]])
    >>> tad = total_auroc_difference(aurocs, labels, ["Eyeglasses", "Smiling"])
    >>> round(tad.total, 3), tad.captured
    (0.3, ('Eyeglasses',))
    """
    per_dimension = np.asarray(per_dimension, np.float64)
    labels = np.asarray(labels, np.float64)
    k = len(names)
    if per_dimension.ndim != 2 or len(per_dimension) != k or per_dimension.shape[1] < 2:
        raise InputError(
            f"Found ROC-AUCs of shape {per_dimension.shape} for {k} names; expected "
            "(k, latent_size) with k names and at least 2 dimensions."
        )
    if labels.ndim != 2 or labels.shape[1] != k:
        raise InputError(f"Found labels of shape {labels.shape} for {k} names; expected (n, k).")
    if not ((per_dimension >= 0.5) & (per_dimension <= 1)).all():  # also where one is NaN
        raise InputError(
            f"Found ROC-AUCs from {per_dimension.min():g} to {per_dimension.max():g}; expected "
            "0.5 to 1. Take max(AUC, 1 − AUC): a dimension may point either way."
        )
    best = np.sort(per_dimension, axis=1)
    gaps = best[:, -1] - best[:, -2]
    counts = (best[:, -1] >= captured) & (_most_shared(labels, names) <= shared)
    return AUROCDifference(
        float(gaps[counts].sum()),
        tuple(name for name, one in zip(names, counts, strict=True) if one),
        tuple(float(gap) for gap in gaps[counts]),
    )


def _most_shared(labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The largest share of each label's entropy that another label takes away, shape (k,)."""
    from sklearn.metrics import mutual_info_score

    for name, column in zip(names, labels.T, strict=True):
        values = np.unique(column[~np.isnan(column)])
        if len(values) != 2:
            raise InputError(
                f"The attribute {name!r} has {len(values)} values in these {len(labels):,} faces; "
                "a ROC-AUC is of labels with two. Leave it out, or take more faces."
            )
    most = np.zeros(len(names))
    for i, one in enumerate(labels.T):
        for j, other in enumerate(labels.T):
            if i != j:
                known = ~np.isnan(one) & ~np.isnan(other)
                entropy = mutual_info_score(one[known], one[known])
                if entropy > 0:
                    most[i] = max(most[i], mutual_info_score(one[known], other[known]) / entropy)
    return most
