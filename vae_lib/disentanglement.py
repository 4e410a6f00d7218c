"""How disentangled a code is: the field's metrics, for codes whose causes are known.

Two questions are asked of ``latent_size`` dimensions and ``k`` factors. Does a factor sit in one
dimension (`mig`, `sap`, completeness)? Does a dimension know one factor (disentanglement)? The
FactorVAE and β-VAE scores ask them by experiment: hold one factor, see which dimension stands
still. Locatello et al. 2019 (arXiv:1811.12359) compare all of these and find that they agree
less than one would hope, so no score is reported alone.

- Codes are any numbers, such as posterior means; dimensions are standardised first, so their
  units do not matter. A dimension that does not vary counts as 0 everywhere. The scale of a VAE's
  code is set by its prior, and dimensions that collapsed to it still tremble: silence them with
  `silence_collapsed` before standardising blows them up.
- A factor with two values is discrete, any other is continuous, unless ``discrete`` says
  otherwise. Where a metric is defined for discrete factors, continuous ones are cut into ``bins``
  of equal width, and so are codes, as in Locatello et al. 2019, who take 20.
- On CelebA the attributes are correlated and nobody chose them one by one. They are no factors,
  and scores on them are a proxy; `scores` says so in its result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy.stats import entropy
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.feature_selection import r_regression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, mutual_info_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsOneClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import resample

from vae_lib.errors import InputError
from vae_lib.faces.synthetic import FACTORS, draw_factors, render
from vae_lib.latent import encode_images
from vae_lib.model import VAE
from vae_lib.objective import kl_per_dimension

BINS = 20
SMALLEST_SD = 1e-6  # below it, or a millionth of its mean, a dimension is rounding error
TREE_CODES = 5000  # boosted trees take seconds per factor for this many
WINDOW = 50  # the fewest codes of a pool that stand for one value of a factor
MOST_CLASSES = 100  # a discrete factor with more is a number that was mislabelled
ALL_CODES = 2000  # codes that tell how far each dimension varies when no factor is held

Sampler = Callable[[int, np.ndarray, np.random.Generator], np.ndarray]
"""``sample(factor, quantiles, rng)``: codes (n, latent_size) of n pictures. Factor number
``factor`` stands at the given quantiles (n,) of its own distribution, 0 its lowest and 1 its
highest value; everything else about the pictures is drawn at random with ``rng``."""


@dataclass(frozen=True, eq=False)
class _Problem:
    codes: np.ndarray  # standardised, (n, latent_size)
    varies: np.ndarray  # (latent_size,)
    factors: np.ndarray  # (n, k)
    names: tuple[str, ...]
    discrete: tuple[bool, ...]

    def columns(self):
        return zip(self.factors.T, self.discrete, strict=True)


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
    """
    problem = _check(codes, factors, names, discrete, bins)
    levels = [_levels(column, is_discrete, bins) for column, is_discrete in problem.columns()]
    information = np.zeros((problem.codes.shape[1], len(levels)))
    for i in np.flatnonzero(problem.varies):
        z = _levels(problem.codes[:, i], False, bins)
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
    """Entropy of each binned factor, nats, shape (k,); parameters as in `mutual_information`."""
    problem = _check(factors, factors, names, discrete, bins)
    return np.array([entropy(np.bincount(_levels(*column, bins))) for column in problem.columns()])


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
    """
    return _top_two_gap(np.asarray(information)) / np.asarray(entropies)


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
    """
    options = {"names": names, "discrete": discrete, "bins": bins}
    information = mutual_information(codes, factors, **options)
    return float(information_gaps(information, factor_entropies(factors, **options)).mean())


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
    """
    problem = _check(codes, factors, names, discrete)
    matrix = np.zeros((problem.codes.shape[1], len(problem.names)))
    if not problem.varies.any():
        return matrix
    for j, (column, is_discrete) in enumerate(problem.columns()):
        if not is_discrete:
            matrix[problem.varies, j] = r_regression(problem.codes[:, problem.varies], column) ** 2
            continue
        classes = _levels(column, True)
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
    """
    matrix = sap_matrix(codes, factors, names=names, discrete=discrete)
    return float(_top_two_gap(matrix).mean())


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
    """
    problem = _check(codes, factors, names, discrete)
    _at_least("at_most", at_most, 40)
    n, latent_size = problem.codes.shape
    _at_least_two(latent_size, len(problem.names))
    if n < 40:
        raise InputError(f"Found {n} codes; trees need at least 40, better thousands. Add faces.")
    rows = np.random.default_rng(seed).permutation(n)[:at_most]
    z = problem.codes[np.ix_(rows, problem.varies)]
    importance = np.zeros((latent_size, len(problem.names)))
    held_out = np.zeros(len(problem.names))
    if not problem.varies.any():
        return DCI(0.0, 0.0, 0.0, importance, held_out)
    for j, (column, is_discrete) in enumerate(problem.columns()):
        target = _levels(column, True)[rows] if is_discrete else column[rows]
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
    """
    importance = np.asarray(importance, dtype=np.float64)
    if importance.ndim != 2:
        raise InputError(f"Found importances of shape {importance.shape}; need (latent_size, k).")
    _at_least_two(*importance.shape)
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


def factor_vae_score(
    sample: Sampler,
    factor_count: int,
    *,
    votes: int = 800,
    codes_per_vote: int = 64,
    seed: int = 0,
) -> float:
    """The metric of Kim and Mnih 2018, Section 4 (arXiv:1802.05983).

    For each vote one factor is drawn and held at one drawn value while all else varies. The
    dimension that varies least, in units of how far it varies when nothing is held, is put down
    for that factor. `votes` votes teach each dimension its most frequent factor, and as many more
    test it. In the paper the values of factors are discrete; here a value is a uniformly drawn
    quantile of the factor's own distribution.

    Parameters
    ----------
    sample : callable
        Such as `pool_sampler` or `rendered_sampler` make; it is asked for 2 · votes ·
        codes_per_vote codes.
    factor_count : int
        Number of factors, 2 or more.
    votes : int
        To learn from, and again to test with, 1 or more each. The sampling error of the score p
        is about √(p (1 − p) / votes).
    codes_per_vote : int
        2 or more; with few the variances are rough and a good code scores less.
    seed : int
        Of all draws.

    Returns
    -------
    float
        Share of test votes whose factor is right: 1 at best, about 1 / factor_count by chance.

    Raises
    ------
    InputError
        If an argument is out of range, or `sample` does not return finite codes (n, latent_size).
    """
    _at_least("factor_count", factor_count, 2)
    _at_least("votes", votes, 1)
    _at_least("codes_per_vote", codes_per_vote, 2)
    rng = np.random.default_rng(seed)
    scale, varies = _spread(_ask(sample, 0, rng.random(ALL_CODES), rng))
    if not varies.any():
        return 1 / factor_count  # nothing tells the factors apart
    tables = np.zeros((2, varies.sum(), factor_count), dtype=int)
    for table in tables:
        for _ in range(votes):
            factor = int(rng.integers(factor_count))
            quantiles = np.full(codes_per_vote, rng.random())
            codes = _ask(sample, factor, quantiles, rng)[:, varies] / scale[varies]
            table[codes.var(axis=0).argmin(), factor] += 1
    learned, tested = tables
    right = tested[np.arange(len(tested)), learned.argmax(axis=1)]
    return float(right.sum() / votes)


def beta_vae_score(
    sample: Sampler,
    factor_count: int,
    *,
    points: int = 800,
    pairs: int = 64,
    seed: int = 0,
) -> float:
    """The metric of Higgins et al. 2017, Section 3 (ICLR, OpenReview Sy2fzU9gl).

    Each point is the mean of |z − z'| over pairs of codes which agree in one factor, at a value
    drawn anew for each pair as a uniform quantile of the factor's distribution. A linear
    classifier (logistic regression) has to tell which factor that was. It may combine
    dimensions, so that this score forgives a rotated code more than the others do.

    Parameters
    ----------
    sample, factor_count, seed
        As in `factor_vae_score`; the sampler is asked for 4 · points · pairs codes.
    points : int
        To learn from, and again to test with; at least 10 for each factor.
    pairs : int
        Pairs of codes for each point, 1 or more.

    Returns
    -------
    float
        Share of test points whose factor is right: 1 at best, about 1 / factor_count by chance.

    Raises
    ------
    InputError
        As `factor_vae_score`.
    """
    _at_least("factor_count", factor_count, 2)
    _at_least("points", points, 10 * factor_count)
    _at_least("pairs", pairs, 1)
    rng = np.random.default_rng(seed)
    scale, varies = _spread(_ask(sample, 0, rng.random(ALL_CODES), rng))
    if not varies.any():
        return 1 / factor_count
    # The factors in turn, so that none is missing.
    held = np.arange(2 * points) % factor_count
    differences = []
    for factor in held:
        quantiles = rng.random(pairs)
        one, other = (_ask(sample, int(factor), quantiles, rng)[:, varies] for _ in range(2))
        differences.append(np.abs((one - other) / scale[varies]).mean(axis=0))
    order = rng.permutation(2 * points)
    learn, test = order[:points], order[points:]
    differences = np.array(differences)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    classifier.fit(differences[learn], held[learn])
    return float(classifier.score(differences[test], held[test]))


def pool_sampler(
    codes: np.ndarray, factors: np.ndarray, *, names: Sequence[str] | None = None, seed: int = 0
) -> Sampler:
    """A sampler that draws from codes that stand already: nothing is rendered or encoded.

    To hold a factor at a quantile, it draws with replacement among the hundredth of the pool (but
    50 codes or more) whose values of the factor lie closest around it in rank; where more codes
    share the very value, among all of those. The factor is then held to within 1 % of its range,
    1/10,000 of its variance (with 5,000 codes or more). The other factors vary freely, provided
    that the factors of the pool are independent; so this is not for CelebA's attributes.

    Parameters
    ----------
    codes, factors, names
        As in `mutual_information`; 500 codes or more.
    seed : int
        Orders codes of equal value.

    Raises
    ------
    InputError
        As `mutual_information`, or if there are fewer than 500 codes.
    """
    problem = _check(codes, factors, names, None)
    codes, n = np.asarray(codes), len(problem.codes)
    if n < 10 * WINDOW:
        raise InputError(
            f"Found {n} codes; a pool needs {10 * WINDOW}, better 10,000, so that enough of them "
            "share a factor's value. Add faces, or use rendered_sampler."
        )
    window = max(WINDOW, n // 100)
    shuffled = np.random.default_rng(seed).permutation(n)
    orders = [shuffled[np.argsort(v[shuffled], kind="stable")] for v in problem.factors.T]
    values = [v[order] for v, order in zip(problem.factors.T, orders, strict=True)]

    def sample(factor: int, quantiles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        ranks = np.minimum((np.asarray(quantiles) * n).astype(int), n - 1)
        held = values[factor][ranks]
        first = np.searchsorted(values[factor], held, "left")
        count = np.searchsorted(values[factor], held, "right") - first
        around = np.clip(ranks - window // 2, 0, n - window)
        first = np.where(count > window, first, around)
        return codes[orders[factor][first + rng.integers(np.maximum(count, window))]]

    return sample


def rendered_sampler(model: VAE, *, kl: float = 0.01) -> Sampler:
    """A sampler that draws new synthetic faces and encodes them, the factors of `FACTORS`.

    Exact, and slow: the default FactorVAE score looks at 102,400 faces, minutes on a CPU where
    `pool_sampler` takes a second. Fewer faces per vote (16) cost little of the score.

    Parameters
    ----------
    model : VAE
        In whatever mode; it is put into eval mode and back.
    kl : float
        As in `silence_collapsed`, measured on 512 faces.
    """
    mu, logvar = encode_images(model, render(draw_factors(512, seed=0)))
    active = (silence_collapsed(mu, logvar, kl) != 0).any(axis=0)

    def sample(factor: int, quantiles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        drawn = draw_factors(len(quantiles), seed=int(rng.integers(2**63)))
        kind = FACTORS[factor]
        position = quantiles >= 0.5 if kind.binary else quantiles
        drawn[:, factor] = kind.low + (kind.high - kind.low) * position
        return encode_images(model, render(drawn))[0] * active

    return sample


def silence_collapsed(mu: np.ndarray, logvar: np.ndarray, kl: float = 0.01) -> np.ndarray:
    """Posterior means with the dimensions that collapsed to the prior set to 0.

    In a collapsed dimension the posterior is the prior whatever the picture. Its mean still moves
    by some hundredths of the posterior's own width; standardised, that tremble would count like
    any other dimension. Kim and Mnih 2018 leave such dimensions out, too.

    Parameters
    ----------
    mu, logvar : ndarray, each of shape (n, latent_size)
        As from `vae_lib.latent.encode_images`.
    kl : float
        Mean KL to the prior, nats, up to which a dimension counts as collapsed.

    Returns
    -------
    ndarray, shape (n, latent_size)

    Raises
    ------
    InputError
        If the shapes differ or `kl` is negative.
    """
    mu, logvar = np.asarray(mu), np.asarray(logvar)
    if mu.ndim != 2 or mu.shape != logvar.shape or len(mu) == 0:
        raise InputError(
            f"Found means of shape {mu.shape} and log-variances of shape {logvar.shape}; expected "
            "(n, latent_size) twice, n ≥ 1."
        )
    if not kl >= 0:
        raise InputError(f"kl is {kl}; expected a number of nats, 0 or more.")
    measured = kl_per_dimension(torch.as_tensor(mu), torch.as_tensor(logvar)).mean(0).numpy()
    return np.where(measured <= kl, np.zeros_like(mu), mu)  # NaN stays, to be refused later


def scores(
    codes: np.ndarray,
    factors: np.ndarray,
    names: Sequence[str],
    *,
    kind: Literal["factors", "attributes"] = "factors",
    discrete: Sequence[bool] | None = None,
    bins: int = BINS,
    sample: Sampler | None = None,
    at_most: int = TREE_CODES,
    seed: int = 0,
) -> dict[str, Any]:
    """Every metric at once, as a dictionary that JSON can hold.

    Nearly all of the time goes into the boosted trees of `dci`: half a minute on one core for 16
    dimensions, 13 factors and 5,000 codes, in proportion to each of the three.

    Parameters
    ----------
    codes, factors, names, discrete, bins
        As in `mutual_information`. 5,000 to 10,000 codes are a good number.
    kind : {"factors", "attributes"}
        Factors are independent and fully behind the pictures. Attributes, as CelebA's, are not:
        the result is marked as a proxy, and has no FactorVAE and β-VAE score, which need a
        factor that can be held while the others vary freely.
    sample : callable, optional
        For these two scores; `pool_sampler` of the same codes if not given.
    at_most : int
        Codes that `dci` uses.
    seed : int
        Of all draws.

    Returns
    -------
    dict
        ``kind``, ``proxy``; ``codes``, ``latent_size``, ``constant_dimensions``, ``bins``; the
        scores ``mig``, ``sap``, ``dci_disentanglement``, ``dci_completeness``,
        ``dci_informativeness`` and, for factors, ``factor_vae``, ``beta_vae`` and what these two
        would be by ``chance``; ``per_factor``: by name ``entropy`` (nats), the ``mig`` and
        ``sap`` gap, ``informativeness``, and the ``best_dimension`` (of most information);
        ``mutual_information`` (nats) and ``importance``, lists of shape (latent_size, k).

    Raises
    ------
    InputError
        As the metrics, or if there is no such kind.
    """
    if kind not in ("factors", "attributes"):
        raise InputError(f"There is no kind {kind!r}; use 'factors' or 'attributes'.")
    if sample is not None and kind == "attributes":
        raise InputError("Attributes cannot be held one by one; leave sample out.")
    problem = _check(codes, factors, names, discrete, bins)
    if len(set(problem.names)) < len(problem.names):
        raise InputError("Two factors have the same name; give each its own.")
    options: dict[str, Any] = {"names": problem.names, "discrete": problem.discrete}
    if kind == "factors" and sample is None:
        sample = pool_sampler(codes, factors, names=problem.names, seed=seed)
    information = mutual_information(codes, factors, bins=bins, **options)
    entropies = factor_entropies(factors, bins=bins, **options)
    gaps = information_gaps(information, entropies)
    sap_gaps = _top_two_gap(sap_matrix(codes, factors, **options))
    trees = dci(codes, factors, at_most=at_most, seed=seed, **options)
    result: dict[str, Any] = {
        "kind": kind,
        "proxy": kind == "attributes",
        "codes": len(problem.codes),
        "latent_size": problem.codes.shape[1],
        "constant_dimensions": int((~problem.varies).sum()),
        "bins": bins,
        "mig": float(gaps.mean()),
        "sap": float(sap_gaps.mean()),
        "dci_disentanglement": trees.disentanglement,
        "dci_completeness": trees.completeness,
        "dci_informativeness": trees.informativeness,
    }
    if sample is not None:
        result["factor_vae"] = factor_vae_score(sample, len(problem.names), seed=seed)
        result["beta_vae"] = beta_vae_score(sample, len(problem.names), seed=seed)
        result["chance"] = 1 / len(problem.names)
    result["per_factor"] = {
        name: {
            "entropy": float(entropies[j]),
            "mig": float(gaps[j]),
            "sap": float(sap_gaps[j]),
            "informativeness": float(trees.held_out[j]),
            "best_dimension": int(information[:, j].argmax()),
        }
        for j, name in enumerate(problem.names)
    }
    result["mutual_information"] = information.tolist()
    result["importance"] = trees.importance.tolist()
    return result


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """A score with its sampling error; arrays where the metric returns one."""

    value: float | np.ndarray
    """On the codes as they are."""
    standard_error: float | np.ndarray
    """Standard deviation over resampled codes."""
    low: float | np.ndarray
    """Lower end of the 95 % interval, value − 1.96 standard errors."""
    high: float | np.ndarray
    """Upper end, value + 1.96 standard errors."""


def bootstrap(
    metric: Callable[[np.ndarray, np.ndarray], float | np.ndarray],
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    repeats: int = 100,
    seed: int = 0,
) -> Bootstrap:
    """Sampling error of a metric, by drawing codes with replacement (Efron 1979).

    It says how far the score would move with other faces, not with another training run. The
    interval is centred on the value itself: resampled codes repeat, which raises plug-in
    information and lets trees meet fitted codes again, so quantiles of the resampled scores would
    be shifted.

    Parameters
    ----------
    metric : callable
        Such as `mig`, `sap` or `mutual_information`, or a function that returns one number or
        array of `dci`, which takes as long for every repeat.
    codes, factors : ndarray, shapes (n, latent_size) and (n, k)
        Drawn in step.
    repeats : int
        2 or more; 100 give the standard error to 7 %.
    seed : int
        Of the draws.

    Raises
    ------
    InputError
        As the metric, also where a factor lost all but one value in a resample.
    """
    _at_least("repeats", repeats, 2)
    problem = _check(codes, factors, None, None)
    codes, factors = np.asarray(codes), problem.factors
    value = metric(codes, factors)
    state = np.random.RandomState(seed)  # what scikit-learn's resample takes
    drawn = []
    for _ in range(repeats):
        try:
            drawn.append(metric(*resample(codes, factors, random_state=state)))
        except InputError as error:
            raise InputError(f"In one of the resamples: {error}") from error
    error = np.std(drawn, axis=0, ddof=1)
    return Bootstrap(value, error, value - 1.96 * error, value + 1.96 * error)


def _check(
    codes: np.ndarray,
    factors: np.ndarray,
    names: Sequence[str] | None,
    discrete: Sequence[bool] | None,
    bins: int | None = None,
) -> _Problem:
    """Refuse what no metric can use; standardise the codes."""
    codes, factors = _table(codes, "codes", "latent_size"), _table(factors, "factors", "k")
    if len(codes) != len(factors):
        raise InputError(
            f"Found {len(codes):,} codes but factors of {len(factors):,} faces; expected one row "
            "of factors for each code, in the same order."
        )
    k = factors.shape[1]
    names = tuple(f"factor {j}" for j in range(k)) if names is None else tuple(names)
    if len(names) != k:
        raise InputError(f"Found {len(names)} names for {k} factors; expected one for each.")
    if discrete is not None and len(discrete) != k:
        raise InputError(
            f"discrete has {len(discrete)} entries for {k} factors; expected one for each."
        )
    if not np.isfinite(codes).all():
        dimension = int(np.flatnonzero(~np.isfinite(codes).all(axis=0))[0])
        raise InputError(
            f"Dimension {dimension} of the codes holds NaN or infinite numbers; use the codes of a "
            "model whose training did not diverge."
        )
    for name, column in zip(names, factors.T, strict=True):
        if not np.isfinite(column).all():
            raise InputError(
                f"The factor {name!r} holds NaN or infinite numbers; leave those faces out."
            )
        if (column == column[0]).all():
            raise InputError(
                f"The factor {name!r} is {column[0]:g} in all of these {len(column):,} faces, so "
                "nothing can be told about it; leave it out, or take faces where it varies."
            )
    if bins is not None:
        _at_least("bins", bins, 2)
        if len(codes) < bins:
            raise InputError(
                f"Found {len(codes)} codes for {bins} bins; expected at least one code for each "
                "bin, better a hundred. Add faces or use fewer bins."
            )
    values = [len(np.unique(column)) for column in factors.T]
    if discrete is None:
        discrete = tuple(count == 2 for count in values)
    for name, count, is_discrete in zip(names, values, discrete, strict=True):
        if is_discrete and count > MOST_CLASSES:
            raise InputError(
                f"The factor {name!r} is said to be discrete, but has {count:,} values; expected "
                f"{MOST_CLASSES} classes at most. Let it be continuous."
            )
    scale, varies = _spread(codes)
    standard = np.where(varies, (codes - codes.mean(axis=0)) / np.where(varies, scale, 1), 0)
    return _Problem(standard, varies, factors, names, tuple(bool(d) for d in discrete))


def _table(values: np.ndarray, what: str, width: str) -> np.ndarray:
    try:
        values = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            f"The {what} are not numbers in rows; expected shape (n, {width})."
        ) from None
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(
            f"Found {what} of shape {values.shape}; expected (n, {width}), at least one of each."
        )
    return values


def _spread(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation of each dimension, and whether it is more than rounding error."""
    scale = codes.std(axis=0)
    return scale, scale > SMALLEST_SD * np.maximum(1, np.abs(codes.mean(axis=0)))


def _levels(column: np.ndarray, is_discrete: bool, bins: int = 0) -> np.ndarray:
    """Classes, or bins of equal width, as whole numbers from 0."""
    if is_discrete:
        return np.unique(column, return_inverse=True)[1]
    position = (column - column.min()) / np.ptp(column)
    return np.minimum((position * bins).astype(int), bins - 1)


def _top_two_gap(matrix: np.ndarray) -> np.ndarray:
    """Of each column, the largest entry less the second largest; a lone entry stands for itself."""
    ordered = np.sort(matrix, axis=0)
    return ordered[-1] - ordered[-2] if len(ordered) > 1 else ordered[-1]


def _ask(
    sample: Sampler, factor: int, quantiles: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    codes = np.asarray(sample(factor, quantiles, rng), dtype=np.float64)
    if codes.ndim != 2 or len(codes) != len(quantiles) or not np.isfinite(codes).all():
        raise InputError(
            f"The sampler, asked to hold factor {factor} in {len(quantiles)} pictures, returned "
            f"numbers of shape {codes.shape}; expected {len(quantiles)} rows of finite codes."
        )
    return codes


def _at_least(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} is {value!r}; expected a whole number, {least} or more.")


def _at_least_two(latent_size: int, k: int) -> None:
    if latent_size < 2 or k < 2:
        raise InputError(
            f"Found {latent_size} dimensions and {k} factors; disentanglement and completeness "
            "compare at least 2 of each."
        )
