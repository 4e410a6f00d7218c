"""What every score asks first: are these codes and factors it can use?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vae_lib.errors import InputError
from vae_lib.objective import kl_per_dimension

BINS = 20
SMALLEST_SD = 1e-6  # below it, or a millionth of its mean, a dimension is rounding error
MOST_CLASSES = 100  # a discrete factor with more is a number that was mislabelled


@dataclass(frozen=True, eq=False)
class Problem:
    codes: np.ndarray  # standardised, (n, latent_size)
    varies: np.ndarray  # (latent_size,)
    factors: np.ndarray  # (n, k)
    names: tuple[str, ...]
    discrete: tuple[bool, ...]

    def columns(self):
        return zip(self.factors.T, self.discrete, strict=True)


def silence_collapsed(mu: np.ndarray, logvar: np.ndarray, kl: float = 0.01) -> np.ndarray:
    """Posterior means with the dimensions that collapsed to the prior set to 0.

    In a collapsed dimension the posterior is the prior for every picture. Its mean still moves
    by some hundredths of the posterior's width; once standardised, that would count as much as
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

    Examples
    --------
    >>> mu = np.array([[0.1, 2.0], [-0.1, -2.0]])  # KL 0.005 and 2 nats, where logvar is 0
    >>> silence_collapsed(mu, np.zeros((2, 2))).tolist()
    [[0.0, 2.0], [0.0, -2.0]]
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


def check(
    codes: np.ndarray,
    factors: np.ndarray,
    names: Sequence[str] | None,
    discrete: Sequence[bool] | None,
    bins: int | None = None,
) -> Problem:
    """Refuse what no metric can use; standardise the codes.

    >>> problem = check([[0, 5], [2, 5]], [[3], [4]], ["yaw"], None)
    >>> problem.codes.tolist(), problem.varies.tolist(), problem.discrete
    ([[-1.0, 0.0], [1.0, 0.0]], [True, False], (True,))
    """
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
        at_least("bins", bins, 2)
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
    scale, varies = spread(codes)
    standard = np.where(varies, (codes - codes.mean(axis=0)) / np.where(varies, scale, 1), 0)
    return Problem(standard, varies, factors, names, tuple(bool(d) for d in discrete))


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


def spread(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation of each dimension, and whether it is more than rounding error.

    >>> scale, varies = spread(np.array([[0.0, 5.0], [2.0, 5.0]]))
    >>> scale.tolist(), varies.tolist()
    ([1.0, 0.0], [True, False])
    """
    scale = codes.std(axis=0)
    return scale, scale > SMALLEST_SD * np.maximum(1, np.abs(codes.mean(axis=0)))


def to_levels(column: np.ndarray, is_discrete: bool, bins: int = 0) -> np.ndarray:
    """Classes, or bins of equal width, as whole numbers from 0.

    >>> to_levels(np.array([0.0, 0.4, 0.9, 1.0]), False, bins=2).tolist()
    [0, 0, 1, 1]
    >>> to_levels(np.array([3.0, 7.0, 3.0]), True).tolist()
    [0, 1, 0]
    """
    if is_discrete:
        return np.unique(column, return_inverse=True)[1]
    position = (column - column.min()) / np.ptp(column)
    return np.minimum((position * bins).astype(int), bins - 1)


def top_two_gap(matrix: np.ndarray) -> np.ndarray:
    """Of each column, the largest entry less the second largest; a lone entry stands for itself.

    >>> top_two_gap(np.array([[0.9, 0.2], [0.3, 0.5], [0.1, 0.4]])).round(1).tolist()
    [0.6, 0.1]
    """
    ordered = np.sort(matrix, axis=0)
    return ordered[-1] - ordered[-2] if len(ordered) > 1 else ordered[-1]


def at_least(name: str, value: int, least: int) -> None:
    """Refuse a count that is too small, or none.

    >>> at_least("votes", 0, 1)
    Traceback (most recent call last):
    vae_lib.errors.InputError: votes is 0; expected a whole number, 1 or more.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} is {value!r}; expected a whole number, {least} or more.")


def at_least_two(latent_size: int, k: int) -> None:
    """Refuse what leaves nothing to compare.

    >>> at_least_two(16, 1)
    Traceback (most recent call last):
    vae_lib.errors.InputError: Found 16 dimensions and 1 factors; disentanglement and ...
    """
    if latent_size < 2 or k < 2:
        raise InputError(
            f"Found {latent_size} dimensions and {k} factors; disentanglement and completeness "
            "compare at least 2 of each."
        )
