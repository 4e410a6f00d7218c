"""Scores by experiment: hold one factor, and see which dimension stands still."""

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vae_lib.disentanglement.codes import at_least, check, spread
from vae_lib.errors import InputError

WINDOW = 50  # the fewest codes of a pool that stand for one value of a factor
ALL_CODES = 2000  # codes that tell how far each dimension varies when no factor is held

Sampler = Callable[[int, np.ndarray, np.random.Generator], np.ndarray]
"""``sample(factor, quantiles, rng)``: codes (n, latent_size) of n pictures. Factor number
``factor`` stands at the given quantiles (n,) of its own distribution, 0 its lowest and 1 its
highest value; everything else about the pictures is drawn at random with ``rng``."""


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
        Such as `pool_sampler` makes; it is asked for 2 · votes · codes_per_vote codes.
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

    Examples
    --------
    >>> factors = np.random.default_rng(0).random((1000, 2))
    >>> sample = pool_sampler(factors, factors)  # a code that is the factors themselves
    >>> factor_vae_score(sample, 2, votes=100)
    1.0
    """
    at_least("factor_count", factor_count, 2)
    at_least("votes", votes, 1)
    at_least("codes_per_vote", codes_per_vote, 2)
    rng = np.random.default_rng(seed)
    scale, varies = spread(_ask(sample, 0, rng.random(ALL_CODES), rng))
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

    Examples
    --------
    >>> factors = np.random.default_rng(0).random((1000, 2))
    >>> beta_vae_score(pool_sampler(factors, factors), 2, points=100)
    1.0
    """
    at_least("factor_count", factor_count, 2)
    at_least("points", points, 10 * factor_count)
    at_least("pairs", pairs, 1)
    rng = np.random.default_rng(seed)
    scale, varies = spread(_ask(sample, 0, rng.random(ALL_CODES), rng))
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
    table = np.array(differences)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    classifier.fit(table[learn], held[learn])
    return float(classifier.score(table[test], held[test]))


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

    Examples
    --------
    >>> factor = np.arange(1000.0)[:, None]
    >>> sample = pool_sampler(factor, factor)  # codes that are their own factor
    >>> held = sample(0, np.full(8, 0.5), np.random.default_rng(0))  # at the median
    >>> held.shape, bool((abs(held - 500) <= 25).all())  # within the 50 codes around it
    ((8, 1), True)
    """
    problem = check(codes, factors, names, None)
    codes, n = np.asarray(codes), len(problem.codes)
    if n < 10 * WINDOW:
        raise InputError(
            f"Found {n} codes; a pool needs {10 * WINDOW}, better 10,000, so that enough of them "
            "share a factor's value. Add faces."
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
