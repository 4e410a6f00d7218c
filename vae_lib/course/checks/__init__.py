"""Checks for the course's exercises: each shows one sentence that helps, and returns.

>>> gaussian_kl(lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - 1))
Not yet: the last term, − ln σ², is missing. (... of 6 solved.)
>>> gaussian_kl(lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - 1 - logvar), solution=True)
The solution passes; write your own above. (... of 6 solved.)
>>> exchange_rate(lambda rates, distortions: -rates.diff() / distortions.diff())
Not yet: this is the rate for each nat of distortion; the question is the other way round. (...)
"""

from vae_lib.course.checks.baseline import (
    best_guess,
    conv_size,
    effective_beta,
    gaussian_kl,
    reparameterize,
    train_vae,
)
from vae_lib.course.checks.beta import (
    bought_rate,
    exchange_rate,
    information,
    information_gap,
    roc_auc,
)
from vae_lib.course.checks.exploration import (
    aggregate_variance,
    attribute_direction,
    spherical,
    structural_similarity,
    without,
)

__all__ = [
    "aggregate_variance",
    "attribute_direction",
    "best_guess",
    "bought_rate",
    "conv_size",
    "effective_beta",
    "exchange_rate",
    "gaussian_kl",
    "information",
    "information_gap",
    "reparameterize",
    "roc_auc",
    "spherical",
    "structural_similarity",
    "train_vae",
    "without",
]
