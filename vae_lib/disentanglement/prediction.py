"""How well factors are predicted: by one dimension (`sap`), and by trees on all (`dci`)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import entropy
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.feature_selection import r_regression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsOneClassifier
from sklearn.svm import LinearSVC

from vae_lib.disentanglement.codes import at_least, at_least_two, check, to_levels, top_two_gap
from vae_lib.errors import InputError

TREE_CODES = 5000  # boosted trees take seconds per factor for this many


def sap_matrix(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    names: Sequence[str] | None = None,
    discrete: Sequence[bool] | None = None,
) -> np.ndarray:
    """How well one dimension alone predicts one factor, the matrix S of Kumar et al. 2018.

    Continuous factors: R² of a straight line, in [0, 1]. Discrete factors: balanced accuracy of
    linear support vector machines, one for each pair of classes; two classes guessed are 0.5.
    Both on the codes they were fitted to, as in the paper: two numbers cannot learn them by
    heart. A dimension that does not vary scores 0.

    Parameters and errors are those of `mutual_information`.

    Returns
    -------
    ndarray, shape (latent_size, k)

    Examples
    --------
    >>> codes, factor = [[0, 1], [2, -1], [4, -1], [6, 1]], [[0], [1], [2], [3]]
    >>> sap_matrix(codes, factor).round(2).tolist()  # a straight line fits the first dimension
    [[1.0], [0.0]]
    """
    problem = check(codes, factors, names, discrete)
    matrix = np.zeros((problem.codes.shape[1], len(problem.names)))
    if not problem.varies.any():
        return matrix
    for j, (column, is_discrete) in enumerate(problem.columns()):
        if not is_discrete:
            matrix[problem.varies, j] = r_regression(problem.codes[:, problem.varies], column) ** 2
            continue
        classes = to_levels(column, True)
        for i in np.flatnonzero(problem.varies):
            z = problem.codes[:, [i]]
            svm = OneVsOneClassifier(LinearSVC(dual=False, class_weight="balanced"))
            matrix[i, j] = balanced_accuracy_score(classes, svm.fit(z, classes).predict(z))
    return matrix


def sap(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    names: Sequence[str] | None = None,
    discrete: Sequence[bool] | None = None,
) -> float:
    """Separated attribute predictability, Section 3 of Kumar et al. 2018 (arXiv:1711.00848).

    The best entry of each column of `sap_matrix` less the second best, averaged over factors.
    A continuous factor adds at most 1. A factor of two classes adds at most 0.5 as soon as a
    second dimension varies, since guessing scores 0.5; so 12 continuous factors and a binary one
    reach 0.96.

    Parameters and errors are those of `mutual_information`.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> round(sap([[0, 1], [2, -1], [4, -1], [6, 1]], [[0], [1], [2], [3]]), 2)
    1.0
    """
    matrix = sap_matrix(codes, factors, names=names, discrete=discrete)
    return float(top_two_gap(matrix).mean())


@dataclass(frozen=True, eq=False)
class DCI:
    """Disentanglement, completeness and informativeness, each in [0, 1]."""

    disentanglement: float
    """1: each dimension that matters tells about one factor."""
    completeness: float
    """1: each factor is told by one dimension."""
    informativeness: float
    """Mean of ``held_out``; 1: the code tells every factor."""
    importance: np.ndarray
    """Share of each dimension in predicting each factor, shape (latent_size, k)."""
    held_out: np.ndarray
    """What the code tells of each factor, shape (k,): R² of codes that were not fitted, or for
    classes 1 − errors / errors of always guessing the most frequent class; 0 if below 0."""


def dci(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    names: Sequence[str] | None = None,
    discrete: Sequence[bool] | None = None,
    at_most: int = TREE_CODES,
    seed: int = 0,
) -> DCI:
    """The three measures of Eastwood and Williams 2018, Section 2 (ICLR, OpenReview By-7dz-AZ).

    The importances are those of scikit-learn's gradient-boosted trees (100 trees of depth 3), one
    regression for each continuous factor and one classification for each discrete one, fitted to
    three quarters of the codes. The paper's informativeness is the error relative to that of a
    constant, NRMSE; here it is turned to 1 − NRMSE² = R², so that more is better.

    Parameters
    ----------
    codes, factors, names, discrete
        As in `mutual_information`; two dimensions and two factors or more.
    at_most : int
        Codes used, drawn at random if there are more; the time taken grows with it. 40 or more.
    seed : int
        Of that draw, of the split and of the trees.

    Raises
    ------
    InputError
        As `mutual_information`, or if there are fewer than 40 codes, or fewer than 4 of a class.

    Examples
    --------
    >>> factors = np.array([[i, j] for i in range(20) for j in range(20)])
    >>> found = dci(factors, factors)  # a code that is the factors themselves
    >>> found.importance.round(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    >>> found.disentanglement > 0.99, found.completeness > 0.99, found.informativeness > 0.99
    (True, True, True)
    """
    problem = check(codes, factors, names, discrete)
    at_least("at_most", at_most, 40)
    n, latent_size = problem.codes.shape
    at_least_two(latent_size, len(problem.names))
    if n < 40:
        raise InputError(f"Found {n} codes; trees need at least 40, better thousands. Add faces.")
    rows = np.random.default_rng(seed).permutation(n)[:at_most]
    z = problem.codes[np.ix_(rows, problem.varies)]
    importance = np.zeros((latent_size, len(problem.names)))
    held_out = np.zeros(len(problem.names))
    if not problem.varies.any():
        return DCI(0.0, 0.0, 0.0, importance, held_out)
    for j, (column, is_discrete) in enumerate(problem.columns()):
        target = to_levels(column, True)[rows] if is_discrete else column[rows]
        if is_discrete and np.bincount(target).min() < 4:
            raise InputError(
                f"The factor {problem.names[j]!r} has a class with fewer than 4 of {len(rows):,} "
                "codes; trees cannot learn it. Add faces, leave the factor out, or pass discrete "
                "if it is a number and not a class."
            )
        train_z, test_z, train_v, test_v = train_test_split(
            z, target, test_size=0.25, random_state=seed, stratify=target if is_discrete else None
        )
        kind = GradientBoostingClassifier if is_discrete else GradientBoostingRegressor
        trees = kind(random_state=seed).fit(train_z, train_v)
        # Rounding may leave −1e-19.
        importance[problem.varies, j] = np.maximum(trees.feature_importances_, 0)
        if is_discrete:
            guess = np.full_like(test_v, np.bincount(train_v).argmax())
            wrong = 1 - accuracy_score(test_v, trees.predict(test_z))
            told = 1 - wrong / (1 - accuracy_score(test_v, guess))
        else:
            told = r2_score(test_v, trees.predict(test_z))
        held_out[j] = max(told, 0.0)
    disentanglement, completeness = score_importances(importance)
    return DCI(disentanglement, completeness, float(held_out.mean()), importance, held_out)


def score_importances(importance: np.ndarray) -> tuple[float, float]:
    """Disentanglement and completeness of an importance matrix, Eastwood and Williams 2018.

    Disentanglement of a dimension: 1 − entropy of its row in units of log k; averaged with the
    row sums as weights. Completeness of a factor: 1 − entropy of its column in units of
    log latent_size; averaged over factors, where one that no dimension tells counts as 0.

    Parameters
    ----------
    importance : ndarray, shape (latent_size, k)
        Not negative; two rows and two columns or more.

    Returns
    -------
    disentanglement, completeness : float
        In [0, 1].

    Raises
    ------
    InputError
        If the matrix is smaller, or an entry is negative or not a number.

    Examples
    --------
    >>> score_importances(np.array([[2, 0], [0, 1]]))  # each dimension tells one factor
    (1.0, 1.0)
    >>> score_importances(np.array([[1, 1], [1, 1]]))  # each tells both
    (0.0, 0.0)
    """
    importance = np.asarray(importance, dtype=np.float64)
    if importance.ndim != 2:
        raise InputError(f"Found importances of shape {importance.shape}; need (latent_size, k).")
    at_least_two(*importance.shape)
    if not (importance >= 0).all() or np.isinf(importance).any():
        raise InputError("An importance is negative or not a number; expected 0 or more.")
    rows, columns = importance.sum(1), importance.sum(0)
    told, used = rows > 0, columns > 0
    if not told.any():
        return 0.0, 0.0
    per_row = 1 - entropy(importance[told], axis=1, base=importance.shape[1])
    per_column = 1 - entropy(importance[:, used], axis=0, base=importance.shape[0])
    disentanglement = np.average(per_row, weights=rows[told])
    # Rounding may leave −1e-16.
    return max(float(disentanglement), 0.0), max(float(per_column.sum() / used.size), 0.0)
