"""What a dimension tells of a factor, in nats, and the gap between the two best dimensions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from vae_lib.disentanglement.codes import BINS, check, to_levels, top_two_gap


def mutual_information(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    names: Sequence[str] | None = None,
    discrete: Sequence[bool] | None = None,
    bins: int = BINS,
) -> np.ndarray:
    """Mutual information of every dimension with every factor, nats.

    The plug-in estimate on binned values. With few codes it is too high: for independent columns
    it averages about (bins − 1)² / 2n nats instead of 0.

    Parameters
    ----------
    codes : ndarray, shape (n, latent_size)
        Posterior means, or samples, which is what Chen et al. 2018 use. Means overstate what a
        dimension with a wide posterior tells.
    factors : ndarray, shape (n, k)
        The values behind each code.
    names : sequence of str, length k, optional
        For error messages.
    discrete : sequence of bool, length k, optional
        Which factors are classes, never binned; those with two values if not given.
    bins : int
        Intervals of equal width between the smallest and the largest value, 2 or more.

    Returns
    -------
    ndarray, shape (latent_size, k)
        At least 0, at most the factor's entropy.

    Raises
    ------
    InputError
        If shapes do not match, a number is NaN or infinite, a factor has one value only, or there
        are fewer codes than bins.

    Examples
    --------
    The first dimension is the factor, a fair coin that holds ln 2 = 0.69 nats; the second knows
    nothing of it.

    >>> codes, factor = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [0], [1], [1]]
    >>> mutual_information(codes, factor, bins=2).round(2).tolist()
    [[0.69], [0.0]]
    """
    problem = check(codes, factors, names, discrete, bins)
    levels = [to_levels(column, is_discrete, bins) for column, is_discrete in problem.columns()]
    information = np.zeros((problem.codes.shape[1], len(levels)))
    for i in np.flatnonzero(problem.varies):
        z = to_levels(problem.codes[:, i], False, bins)
        for j, v in enumerate(levels):
            # scikit-learn counts the table more slowly, and there are thousands on CelebA.
            table = np.bincount(z * (v.max() + 1) + v, minlength=bins * (v.max() + 1))
            table = table.reshape(bins, -1)
            information[i, j] = mutual_info_score(None, None, contingency=table)
    return information


def factor_entropies(
    factors: np.ndarray,
    *,
    names: Sequence[str] | None = None,
    discrete: Sequence[bool] | None = None,
    bins: int = BINS,
) -> np.ndarray:
    """Entropy of each binned factor, nats, shape (k,); parameters as in `mutual_information`.

    >>> factor_entropies([[0], [0], [1], [1]], bins=2).round(2).tolist()
    [0.69]
    """
    problem = check(factors, factors, names, discrete, bins)
    levels = [to_levels(column, is_discrete, bins) for column, is_discrete in problem.columns()]
    return np.array([entropy(np.bincount(column)) for column in levels])


def information_gaps(information: np.ndarray, entropies: np.ndarray) -> np.ndarray:
    """The terms of MIG, Eq. 6 of Chen et al. 2018: one gap for each factor.

    Parameters
    ----------
    information : ndarray, shape (latent_size, k)
        As from `mutual_information`, nats.
    entropies : ndarray, shape (k,)
        As from `factor_entropies`, nats.

    Returns
    -------
    ndarray, shape (k,)
        Information in the best dimension less that in the second best, as a share of the
        factor's entropy, in [0, 1].

    Examples
    --------
    >>> information_gaps(np.array([[1.0, 0.2], [0.4, 0.2]]), np.array([2.0, 0.5])).tolist()
    [0.3, 0.0]
    """
    return top_two_gap(np.asarray(information)) / np.asarray(entropies)


def mig(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    names: Sequence[str] | None = None,
    discrete: Sequence[bool] | None = None,
    bins: int = BINS,
) -> float:
    """Mutual information gap, Eq. 6 of Chen et al. 2018 (arXiv:1802.04942).

    How much more the best dimension knows of a factor than the second best, as a share of the
    factor's entropy, averaged over factors. 1: each factor sits in one dimension, whole. 0: two
    dimensions know it equally well, or none does. Depends on the bins: since they are of equal
    width, a perfect code that is Gaussian where its factor is uniform reaches only about 0.7.

    Parameters and errors are those of `mutual_information`.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> factor = [[0], [0], [1], [1]]
    >>> round(mig([[0, 0], [0, 1], [1, 0], [1, 1]], factor, bins=2), 3)  # one dimension knows all
    1.0
    >>> round(mig([[0, 0], [0, 0], [1, 1], [1, 1]], factor, bins=2), 3)  # both know all
    0.0
    """
    options: dict[str, Any] = {"names": names, "discrete": discrete, "bins": bins}
    information = mutual_information(codes, factors, **options)
    return float(information_gaps(information, factor_entropies(factors, **options)).mean())
