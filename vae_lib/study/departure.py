"""When does a factor leave the code? Predicted from the renderer alone, before any training.

Equation 2 of notebook 3 says that a code buys information as long as one more nat of it saves more
than β nats of distortion. The renderer can be asked what a nat about one factor saves:

- Let a factor be known to some precision, and the other known factors exactly. The best decoder
  draws the mean of all faces that remain possible. Its *excess* is the sum over pixels of the
  entropy of that mean, less the entropy with the factor known: what the missing knowledge costs.
- The knowledge is a Gaussian dimension, as a VAE has it: z = √(1 − v) · t + √v · noise, of rate
  −½ ln v nats (Eq. 3), where t is the factor on the scale that saves most for the first nat. That
  scale is the first eigenvector of the covariance of the faces over the factor's values, each
  pixel divided by its Bernoulli deviation √(p (1 − p)); its eigenvalue λ is the slope of the curve
  at rate 0, as in Eq. 3. Eigenvalue and curve agree only where the code is nearly empty.
- At a price β the factor buys the rate that makes excess + β · rate smallest. It has left at the
  first β at which what its dimension still tells (R², or for classes one minus the share of
  errors) is below half of what it tells at β = 1.

What the calculation leaves out: training ends, decoders blur, a dimension may hold two factors,
and the other known factors are known only about as well as they are worth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from vae_lib.errors import InputError
from vae_lib.faces.synthetic import FACTORS, USUAL, Proportions, draw_factors, render

NAMES = tuple(factor.name for factor in FACTORS)
SMALLEST = 1 / 510  # no pixel's mean comes closer to 0 or 1: half a grey level
VARIANCES = np.r_[1, np.exp(-np.linspace(0.02, 7, 30))]  # posterior variances of the curve
PRICES = np.exp(np.linspace(np.log(0.05), np.log(2000), 1200))
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(7)  # Gauss–Hermite quadrature of the noise
ORDERS = 5_000  # of the outcomes, drawn to see what chance correlates
NEVER_IN = 0.1  # informativeness at β = 1 below which a factor counts as never in the code


@dataclass(frozen=True, eq=False)
class Curve:
    """What knowledge of one factor is worth."""

    eigenvalue: float
    """λ, nats of excess saved for each nat of rate, at rate 0."""
    rate: np.ndarray
    """Nats, rising from 0, shape (31,)."""
    excess: np.ndarray
    """Nats of reconstruction above that with the factor known, shape (31,)."""
    told: np.ndarray
    """Informativeness, in [0, 1], shape (31,)."""

    def told_at(self, beta: np.ndarray | Sequence[float]) -> np.ndarray:
        """Informativeness that is bought at each price."""
        rate = np.linspace(0, self.rate[-1], 4000)
        excess, told = (np.interp(rate, self.rate, y) for y in (self.excess, self.told))
        return np.array([told[np.argmin(excess + b * rate)] for b in np.atleast_1d(beta)])

    def leaves_at(self, scale: float = 1.0) -> float:
        """The first β with less than half the informativeness of β = 1.

        Parameters
        ----------
        scale : float
            What a nat saves in practice, as a share of what the curve says: a network at β buys
            as the curve does at β / scale.
        """
        told = self.told_at(PRICES)
        first = np.interp(np.log(1 / scale), np.log(PRICES), told)
        gone = (told < first / 2) & (1 / scale <= PRICES)
        # Below the price of β = 1 already, the last price at which anything was told.
        place = np.argmax(gone) if first > 0 else np.argmax(told <= 0)
        return float(PRICES[place] * scale)


def levels(factor: int, count: int) -> np.ndarray:
    """Values in the middle of `count` equal parts of a factor's range; 0 and 1 of a binary one.

    >>> levels(NAMES.index("smile"), 3).round(2).tolist()
    [-0.25, 0.25, 0.75]
    """
    one = FACTORS[factor]
    if one.binary:
        return np.array([one.low, one.high], np.float32)
    return (one.low + (one.high - one.low) * (np.arange(count) + 0.5) / count).astype(np.float32)


def conditional_means(
    factor: int,
    known: Sequence[int],
    *,
    look: Proportions = USUAL,
    contexts: int = 16,
    count: int = 10,
    draws: int = 16,
    seed: int = 9,
) -> Tensor:
    """Mean faces given one factor and the known ones, over the rest.

    Parameters
    ----------
    factor : int
        Place in ``FACTORS`` of the factor that takes each of its `levels`.
    known : sequence of int
        Factors that stand still within a context.
    look : Proportions
        Of the faces.
    contexts : int
        How many settings of the known factors.
    count : int
        Levels of the factor.
    draws : int
        Faces to average over, the same for each level; one where nothing is left to average.
    seed : int
        Of all draws.

    Returns
    -------
    Tensor, shape (contexts, levels, 12288)
        In (0, 1).

    Examples
    --------
    With all factors known, glasses change the face where they are and nowhere else:

    >>> (without, with_them), = conditional_means(NAMES.index("glasses"), range(13), contexts=1)
    >>> 0 < (without != with_them).sum().item() < 12288 / 4
    True
    """
    values = levels(factor, count)
    rest = [i for i in range(len(FACTORS)) if i != factor and i not in known]
    draws = draws if rest else 1
    means = np.empty((contexts, len(values), 64 * 64 * 3), np.float32)
    for mean, context in zip(means, draw_factors(contexts, seed), strict=True):
        rows = np.tile(context, (len(values), draws, 1))
        key = seed * 1000 + int(1e6 * context[0]) % 100_000  # another draw for each context
        rows[:, :, rest] = draw_factors(draws, key)[:, rest]
        rows[:, :, factor] = values[:, None]
        images = render(rows.reshape(-1, len(FACTORS)), look)
        mean[:] = images.reshape(len(values), draws, -1).mean(1, dtype=np.float32) / 255
    return torch.from_numpy(means).clamp_(SMALLEST, 1 - SMALLEST)


def price_curve(means: Tensor, factor: int) -> Curve:
    """What knowledge of a factor saves, from `conditional_means`.

    Raises
    ------
    InputError
        If the number of levels is not that of the factor.

    Examples
    --------
    One pixel of 0.4 without glasses and of 0.6 with them: its variance, 0.01, is 0.04 of
    ½ · (1 − ½). Who knows nothing draws 0.5, at ln 2 nats = 0.693 instead of 0.673.

    >>> curve = price_curve(torch.tensor([[[0.4], [0.6]]]), NAMES.index("glasses"))
    >>> round(curve.eigenvalue, 3), round(curve.excess[0].item(), 3)
    (0.04, 0.02)
    """
    contexts, count, _ = means.shape
    values = levels(factor, count).astype(float)
    if len(values) != count:
        raise InputError(f"Found {count} levels of {NAMES[factor]}; expected {len(values)}.")
    middle = means.mean(1, keepdim=True)
    change = (means - middle) / (middle * (1 - middle)).sqrt()
    covariance = torch.einsum("cip,cjp->ij", change, change).double().numpy() / contexts
    eigenvalues, vectors = np.linalg.eigh(covariance / count)
    scale = vectors[:, -1] * np.sqrt(count)  # t: mean 0, variance 1
    known = float(_entropy(means).sum(-1).mean())
    excess, told = [], []
    for v in VARIANCES:
        signal = np.sqrt(1 - v) * scale
        z = (signal[:, None] + np.sqrt(v) * NODES).ravel()
        chance = np.tile(WEIGHTS / WEIGHTS.sum(), count) / count
        fit = -((z[:, None] - signal) ** 2) / (2 * v)
        given = np.exp(fit - fit.max(1, keepdims=True))
        given /= given.sum(1, keepdims=True)  # p(level | z)
        mixed = torch.tensor(given, dtype=torch.float32)
        cost = [float(_entropy(mixed @ mean).sum(-1).double().numpy() @ chance) for mean in means]
        excess.append(np.mean(cost) - known)
        if FACTORS[factor].binary:
            told.append(1 - chance @ given.min(1) / 0.5)
        else:
            told.append(chance @ (given @ values - values.mean()) ** 2 / values.var())
    rate = -0.5 * np.log(VARIANCES)
    return Curve(float(eigenvalues[-1]), rate, np.array(excess), np.array(told))


def _entropy(p: Tensor) -> Tensor:
    return -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p))


def price_curves(look: Proportions = USUAL) -> dict[str, dict[str, Curve]]:
    """Each factor's curve, with the others known and with only those known that are worth more.

    Returns
    -------
    dict
        ``"others known"`` and ``"stronger known"`` → factor → `Curve`. The second takes the order
        of the eigenvalues of the first, and averages over what is worth less. About two minutes.
    """
    everything = range(len(FACTORS))
    alone = {
        NAMES[i]: price_curve(
            conditional_means(i, [*everything], look=look, contexts=32, count=12), i
        )
        for i in everything
    }
    order = sorted(everything, key=lambda i: -alone[NAMES[i]].eigenvalue)
    nested = {
        NAMES[i]: price_curve(conditional_means(i, order[:place], look=look), i)
        for place, i in enumerate(order)
    }
    return {"others known": alone, "stronger known": {name: nested[name] for name in NAMES}}


def observed_departure(betas: Sequence[float], told: Sequence[float]) -> float:
    """The first β, log-interpolated, at which informativeness is below half its value at β = 1.

    Parameters
    ----------
    betas : sequence of float
        Rising, the first of them 1.
    told : sequence of float
        Informativeness at each.

    Returns
    -------
    float
        0 where the factor was never in the code (below 0.1 at β = 1), infinity where it never
        left.

    >>> observed_departure([1, 4, 16], [0.8, 0.8, 0.0])
    8.0
    >>> observed_departure([1, 4, 16], [0.05, 0.1, 0.0])
    0.0
    """
    if betas[0] != 1:
        raise InputError(f"The first β is {betas[0]:g}; what a factor tells at 1 is the measure.")
    if told[0] < NEVER_IN:
        return 0.0
    half = told[0] / 2
    for i in range(1, len(betas)):
        if told[i] < half:
            share = (told[i - 1] - half) / (told[i - 1] - told[i])
            return float(betas[i - 1] * (betas[i] / betas[i - 1]) ** share)
    return float("inf")


@dataclass(frozen=True)
class Judgement:
    """A rank correlation of prediction and outcome."""

    spearman: float
    low: float
    high: float
    """Ends of the 95 % interval: percentiles over factors drawn with replacement."""
    p: float
    """Share of `ORDERS` random orders of the outcomes that correlate as much or more, one-sided; of
    a 0 see `p_in_words`."""
    factors: int


def judge(predicted: Sequence[float], outcome: Sequence[float]) -> Judgement:
    """Spearman's correlation of predicted and observed departures; equal outcomes share a rank.

    Parameters
    ----------
    predicted, outcome : sequence of float
        β for each factor; 0 and infinity are ranks like others.

    >>> judge([1, 2, 3, 4, 5], [0, 8, 9, 64, float("inf")]).spearman
    1.0
    """
    x, y = (np.asarray(values, float) for values in (predicted, outcome))
    if x.shape != y.shape or len(x) < 4:
        raise InputError(f"Found {x.shape} and {y.shape}; expected four or more pairs.")
    x, y = (np.unique(values, return_inverse=True)[1] for values in (x, y))  # infinity is a rank
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(x), (2000, len(x)))
    shuffled = rng.permuted(np.tile(y, (ORDERS, 1)), axis=1)
    found = float(_spearman(x[None], y[None])[0])
    low, high = np.percentile(_spearman(x[rows], y[rows]), [2.5, 97.5])
    by_chance = float(np.mean(_spearman(np.tile(x, (ORDERS, 1)), shuffled) >= found - 1e-12))
    return Judgement(round(found, 12), float(low), float(high), by_chance, len(x))


def p_in_words(p: float) -> str:
    """A share of `ORDERS` random orders; where it is none of them, all that this says of p.

    >>> p_in_words(0.0), p_in_words(0.0134)
    ('< 1/5,000', '0.0134')
    """
    return f"{p:.4f}" if p else f"< 1/{ORDERS:,}"


def _spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Row by row; 0 where all of a row share one rank."""
    x, y = (rankdata(values, axis=1) for values in (x, y))
    x, y = (values - values.mean(1, keepdims=True) for values in (x, y))
    spread = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    return np.divide((x * y).sum(1), spread, out=np.zeros(len(x)), where=spread > 0)
