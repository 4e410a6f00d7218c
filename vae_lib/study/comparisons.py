"""Runs of a sweep beside each other: means over seeds, equal rates, what is the setting's doing.

Figures and tables of the study are drawn from what stands here.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vae_lib.errors import InputError
from vae_lib.study.runs import Run


@dataclass(frozen=True)
class Summary:
    """The runs of one setting, over their seeds."""

    objective: str
    setting: float
    seeds: int
    """How many."""
    mean: dict[str, float]
    sd: dict[str, float]
    """Standard deviation over seeds (n − 1 in the denominator), NaN for one seed."""


def summarise(runs: Sequence[Run]) -> list[Summary]:
    """Mean ± sd over seeds of every measure that all runs of a setting have, in `runs`' order.

    Examples
    --------
    >>> runs = [Run("beta-vae", 4, seed, {"kl": kl}) for seed, kl in enumerate([10.0, 12.0, 14.0])]
    >>> summarise(runs)
    [Summary(objective='beta-vae', setting=4, seeds=3, mean={'kl': 12.0}, sd={'kl': 2.0})]
    """
    summaries = []
    for (objective, setting), group in _by_setting(runs).items():
        names = [n for n in group[0].measures if all(n in run.measures for run in group)]
        both = {n: _mean_and_sd([run.measures[n] for run in group]) for n in names}
        mean, sd = ({n: value[i] for n, value in both.items()} for i in (0, 1))
        summaries.append(Summary(objective, setting, len(group), mean, sd))
    return summaries


def beta_vae_at(runs: Iterable[Run], measure: str, kl: float) -> np.ndarray:
    """A measure of the β-VAE at a given KL, on the straight lines between a seed's settings.

    Parameters
    ----------
    runs : iterable of Run
        Of these the β-VAEs are taken, two or more settings for each seed.
    measure : str
        One of `QUALITIES` or `METRICS`.
    kl : float
        Nats.

    Returns
    -------
    ndarray, shape (number of seeds,)
        One value for each seed, in the order of the seeds.

    Raises
    ------
    InputError
        If there are no β-VAEs, they lack the measure, or `kl` lies outside of the settings of a
        seed: beyond its ends a curve is a guess.

    Examples
    --------
    Between a MIG of 0.1 at 30 nats and one of 0.3 at 10 nats, in the middle:

    >>> runs = [Run("beta-vae", 1, 0, {"kl": 30.0, "mig": 0.1})]
    >>> runs += [Run("beta-vae", 4, 0, {"kl": 10.0, "mig": 0.3})]
    >>> beta_vae_at(runs, "mig", kl=20.0)
    array([0.2])
    """
    seeds: dict[int, list[tuple[float, float]]] = {}
    for run in runs:
        if run.objective == "beta-vae":
            point = run.measures["kl"], _measured([run], measure).item()
            seeds.setdefault(run.seed, []).append(point)
    if not seeds:
        raise InputError("There are no β-VAEs among the runs, so there is no curve to compare to.")
    values = []
    for seed, points in sorted(seeds.items()):
        rates, measured = np.array(sorted(points)).T
        if not rates[0] <= kl <= rates[-1]:
            raise InputError(
                f"The β-VAEs of seed {seed} have a KL of {rates[0]:.2f} to {rates[-1]:.2f} nats, "
                f"and {kl:.2f} lies outside; train smaller or larger betas to reach it."
            )
        values.append(np.interp(kl, rates, measured))
    return np.array(values)


@dataclass(frozen=True)
class Comparison:
    """One measure of another objective, and of the β-VAE at the same KL."""

    objective: str
    setting: float
    measure: str
    kl: float
    """Mean over seeds, nats."""
    mean: float
    sd: float
    """Of the objective, over its seeds."""
    beta_vae_mean: float
    beta_vae_sd: float
    """Of the β-VAE at each run's own KL: mean over all, sd over the β-VAE's seeds."""


def compare_at_equal_kl(runs: Sequence[Run], measure: str) -> list[Comparison]:
    """Each setting of the other objectives beside the β-VAE interpolated at its runs' KL.

    Raises
    ------
    InputError
        As `beta_vae_at`.

    Examples
    --------
    >>> runs = [Run("beta-vae", 1, 0, {"kl": 30.0, "mig": 0.1})]
    >>> runs += [Run("beta-vae", 4, 0, {"kl": 10.0, "mig": 0.3})]
    >>> runs += [Run("capacity", 20, 0, {"kl": 20.0, "mig": 0.5})]
    >>> (found,) = compare_at_equal_kl(runs, "mig")
    >>> found.setting, found.kl, found.mean, round(found.beta_vae_mean, 2)
    (20, 20.0, 0.5, 0.2)
    """
    comparisons = []
    others = [run for run in runs if run.objective != "beta-vae"]
    for (objective, setting), group in _by_setting(others).items():
        rates = [run.measures["kl"] for run in group]
        own = _mean_and_sd(_measured(group, measure))
        # Mean over the group's KLs, one value for each seed of the β-VAE.
        curve = np.mean([beta_vae_at(runs, measure, kl) for kl in rates], axis=0)
        rate = float(np.mean(rates))
        comparisons.append(
            Comparison(objective, setting, measure, rate, *own, *_mean_and_sd(curve))
        )
    return comparisons


def best_and_worst(runs: Sequence[Run], measure: str = "mig") -> tuple[Run, Run]:
    """The runs with the largest and the smallest value of a measure; of equals the first.

    Raises
    ------
    InputError
        If a run lacks the measure or there is no run.

    Examples
    --------
    >>> runs = [Run("beta-vae", beta, 0, {"mig": mig}) for beta, mig in ((1, 0.1), (4, 0.3))]
    >>> [run.setting for run in best_and_worst(runs)]
    [4, 1]
    """
    if not runs:
        raise InputError("There are no runs to choose from.")
    values = _measured(runs, measure)
    return runs[int(np.argmax(values))], runs[int(np.argmin(values))]


def share_of_setting(runs: Sequence[Run], measure: str) -> float:
    """How much of a measure's variance over all runs the setting explains; the rest is the seed.

    Sum of squares between settings over the total (η² of a one-way analysis of variance), as
    Locatello et al. 2019 (arXiv:1811.12359) ask it of methods and seeds.

    Returns
    -------
    float
        In [0, 1]. Chance alone gives (settings − 1) / (runs − 1), 0.17 for 5 settings × 5 seeds.

    Raises
    ------
    InputError
        If there are fewer than two settings or no setting has two seeds, a run lacks the measure,
        or all runs measure the same.

    Examples
    --------
    1, 3 and 5, 7 have a variance of 5 around 4, of which 1 lies within the settings:

    >>> measured = ((1, 1.0), (1, 3.0), (4, 5.0), (4, 7.0))
    >>> runs = [Run("beta-vae", beta, seed, {"kl": kl}) for seed, (beta, kl) in enumerate(measured)]
    >>> share_of_setting(runs, "kl")
    0.8
    """
    groups = [_measured(group, measure) for group in _by_setting(runs).values()]
    if not 2 <= len(groups) < len(runs):
        raise InputError(
            f"Found {len(runs)} runs of {len(groups)} settings; the share of a setting needs two "
            "settings or more, and several seeds of one."
        )
    values = np.concatenate(groups)
    total = np.square(values - values.mean()).sum()
    if total == 0:
        raise InputError(f"All runs have the same {measure}; there is no variance to explain.")
    between = sum(len(group) * (group.mean() - values.mean()) ** 2 for group in groups)
    return float(between / total)


@dataclass(frozen=True)
class Share:
    """How much of a measure's variance over runs the setting explains, and how sure that is."""

    eta_squared: float
    """Of these very runs, in [0, 1]: `share_of_setting`."""
    chance: float
    """What eta_squared is on average where the setting does nothing."""
    omega_squared: float
    """The same without what chance adds (Hays 1963): about 0 where the setting does nothing."""
    low: float
    high: float
    """Ends of omega_squared's 95 % interval, 0 or more; NaN with fewer than three seeds each."""


def share_with_interval(runs: Sequence[Run], measure: str, *, resamples: int = 4_999) -> Share:
    """`share_of_setting`, corrected for chance, with an interval over seeds.

    The interval is a bias-corrected and accelerated bootstrap (Efron 1987) that draws seeds within
    each setting. Percentiles alone would lie too high: a draw of five seeds repeats some, and what
    repeats does not scatter.

    Parameters
    ----------
    runs : sequence of Run
        Two seeds or more of each setting.
    measure : str
        One of `QUALITIES` or `METRICS`.
    resamples : int
        How often seeds are drawn.

    Raises
    ------
    InputError
        As `share_of_setting`.

    Examples
    --------
    Chance alone gives one degree of freedom of three; two seeds are too few for an interval.

    >>> measured = ((1, 1.0), (1, 3.0), (4, 5.0), (4, 7.0))
    >>> runs = [Run("beta-vae", beta, seed, {"kl": kl}) for seed, (beta, kl) in enumerate(measured)]
    >>> share = share_with_interval(runs, "kl")
    >>> share.eta_squared, round(share.chance, 2), round(share.omega_squared, 2), share.low
    (0.8, 0.33, 0.64, nan)
    """
    from scipy.stats import bootstrap  # here, since training needs no SciPy

    eta_squared = share_of_setting(runs, measure)
    groups = [_measured(group, measure) for group in _by_setting(runs).values()]
    ends = math.nan, math.nan
    if min(map(len, groups)) > 2:
        rng = np.random.default_rng(0)
        drawn = bootstrap(groups, _omega_squared, n_resamples=resamples, random_state=rng)
        # No share is below 0, though its estimate may be.
        low, high = drawn.confidence_interval
        ends = max(0.0, float(low)), max(0.0, float(high))
    chance = (len(groups) - 1) / (len(runs) - 1)
    return Share(eta_squared, chance, float(_omega_squared(*groups)), *ends)


def _omega_squared(*groups: np.ndarray, axis: int = -1) -> np.ndarray:
    """ω² of a one-way analysis of variance, along an axis of stacked resamples."""
    values = np.concatenate(groups, axis=axis)
    total = np.square(values - values.mean(axis, keepdims=True)).sum(axis)
    within = sum(np.square(g - g.mean(axis, keepdims=True)).sum(axis) for g in groups)
    noise = within / (values.shape[axis] - len(groups))  # the variance between seeds
    return (total - within - (len(groups) - 1) * noise) / (total + noise)


def share_of_wins(runs: Sequence[Run], measure: str, one: float, two: float) -> float:
    """How often a β-VAE of setting ``two`` measures more than one of ``one``, over all pairs.

    Who trains one model of each draws one such pair: 0.5 is a coin's toss.

    Raises
    ------
    InputError
        If a setting has no run or a run lacks the measure.

    Examples
    --------
    Of the four pairs of a run with 1 or 3 and one with 2 or 4, three rise:

    >>> measured = ((1, 1.0), (1, 3.0), (4, 2.0), (4, 4.0))
    >>> runs = [Run("beta-vae", beta, seed, {"kl": kl}) for seed, (beta, kl) in enumerate(measured)]
    >>> share_of_wins(runs, "kl", one=1, two=4)
    0.75
    """
    groups = _by_setting(runs)
    low, high = (_measured(groups.get(("beta-vae", s), []), measure) for s in (one, two))
    if not len(low) or not len(high):
        raise InputError(f"There is no run of β = {one:g} or none of β = {two:g} to compare.")
    return float(np.mean(high > low[:, None]))


def prices(runs: Iterable[Run]) -> dict[tuple[float, float], np.ndarray]:
    """Nats of distortion that were paid for each nat of rate saved, between neighbouring β.

    Where both runs are at their optimum, each price lies between the two β. Runs of one seed begin
    alike and see the faces in the same order, which takes noise out of their difference; so every
    seed of one β is paired with every seed of the other.

    Parameters
    ----------
    runs : iterable of Run
        Of these the β-VAEs are taken.

    Returns
    -------
    dict of ndarray
        ``(β, next β)`` → prices, shape (seeds of β, seeds of the next), in the order of `runs`.

    Examples
    --------
    From β = 1 to 4 a run saves 20 nats of rate, and its excess grows by 50: 2.5 for each.

    >>> runs = [Run("beta-vae", 1, 0, {"kl": 30.0, "excess": 300.0})]
    >>> runs += [Run("beta-vae", 4, 0, {"kl": 10.0, "excess": 350.0})]
    >>> prices(runs)
    {(1, 4): array([[2.5]])}
    """
    groups = _by_setting(run for run in runs if run.objective == "beta-vae")
    found = {}
    for one, two in pairwise(sorted(setting for _, setting in groups)):
        rate, excess = (
            np.subtract.outer(*(_measured(groups["beta-vae", b], name) for b in (one, two)))
            for name in ("kl", "excess")
        )
        with np.errstate(divide="ignore", invalid="ignore"):  # no nat saved has no price
            found[one, two] = -excess / rate
    return found


def _measured(runs: Iterable[Run], measure: str) -> np.ndarray:
    for run in runs:
        if measure not in run.measures:
            raise InputError(
                f"{run.file} has no measure {measure!r}; it has {', '.join(run.measures)}."
            )
    return np.array([run.measures[measure] for run in runs], dtype=float)


def _by_setting(runs: Iterable[Run]) -> dict[tuple[str, float], list[Run]]:
    groups: dict[tuple[str, float], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.objective, run.setting), []).append(run)
    return groups


def _mean_and_sd(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """With n − 1 in the denominator of the variance; NaN for one value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
