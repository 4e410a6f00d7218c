"""Slow and exact yardsticks for the scores of `vae_lib.disentanglement`."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.utils import resample

from vae_lib.disentanglement import Sampler, silence_collapsed
from vae_lib.errors import InputError
from vae_lib.faces.synthetic import FACTORS, draw_factors

Encoder = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Factors of faces (n, 13) to the means and log-variances of their codes."""


def rendered_sampler(encode: Encoder, *, kl: float = 0.01) -> Sampler:
    """A sampler that draws new synthetic faces, the factors of `FACTORS`, and encodes them.

    Exact, and slow: the default FactorVAE score looks at 102,400 faces, minutes on a CPU where
    `pool_sampler` takes a second. ``kl`` is as in `silence_collapsed`, measured on 512 faces.
    """
    active = (silence_collapsed(*encode(draw_factors(512, seed=0)), kl) != 0).any(axis=0)

    def sample(factor: int, quantiles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        drawn = draw_factors(len(quantiles), seed=int(rng.integers(2**63)))
        kind = FACTORS[factor]
        position = quantiles >= 0.5 if kind.binary else quantiles
        drawn[:, factor] = kind.low + (kind.high - kind.low) * position
        return encode(drawn)[0] * active

    return sample


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
