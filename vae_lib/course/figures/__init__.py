"""Figures that one lesson needs once.

Like `vae_lib.figures`, each function returns a Matplotlib figure and shows or saves nothing.
"""

from vae_lib.course.figures.baseline import (
    bound_and_evidence,
    gradient_estimators,
    kl_bars,
    live_training,
    power_by_frequency,
    spectra,
    toy_model,
    yardstick,
)
from vae_lib.course.figures.beta import (
    codes_against_factor,
    departures,
    one_network,
    price_of_a_nat,
    traversals_beside,
)
from vae_lib.course.figures.exploration import aggregate_posterior, cosines, fidelity, lengths

__all__ = [
    "aggregate_posterior",
    "bound_and_evidence",
    "codes_against_factor",
    "cosines",
    "departures",
    "fidelity",
    "gradient_estimators",
    "kl_bars",
    "lengths",
    "live_training",
    "one_network",
    "power_by_frequency",
    "price_of_a_nat",
    "spectra",
    "toy_model",
    "traversals_beside",
    "yardstick",
]
