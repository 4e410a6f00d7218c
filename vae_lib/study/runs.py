"""What a sweep found: its results as a table, means over seeds, comparisons at equal rate.

Reads the files that `vae_lib.study.sweep.sweep` leaves, on synthetic faces or on CelebA, and needs
neither models nor faces. Figures and tables are drawn from what stands here.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from vae_lib.config import setting_of
from vae_lib.errors import InputError, foreign

HERE = Path(__file__).parent.parent
# The runs that README and book report: a wheel has them inside the package, a checkout beside it.
RESULTS = HERE / "results" if (HERE / "results").is_dir() else HERE.parent / "results"

CODES = "codes.npz"  # in a run's folder; a run that has been packed has them beside its results

# What a run is measured by: on the test split in nats, dimensions and dB …
QUALITIES = ("reconstruction", "excess", "kl", "active_001", "active_01", "psnr", "ssim")
# … and, where the faces' factors are known, by each of vae_lib.disentanglement's scores.
METRICS = (
    "mig",
    "sap",
    "dci_disentanglement",
    "dci_completeness",
    "dci_informativeness",
    "factor_vae",
    "beta_vae",
)


@dataclass(frozen=True)
class Run:
    """One trained model: what it was, and what it measured."""

    objective: str
    """Its name in `vae_lib.config.OBJECTIVES`: ``"beta-vae"`` …"""
    setting: float
    """The number that tells two runs apart: β, or the capacity in nats."""
    seed: int
    measures: dict[str, float]
    """Those of `QUALITIES` and, on synthetic faces, of `METRICS`, by name."""
    file: Path
    """Where the results stand; the folder of the same name holds the weights."""
    result: dict[str, Any] = field(repr=False)
    """All of the file."""

    @property
    def codes(self) -> Path | None:
        """The codes that the run left, from which it can be scored again; None if it left none."""
        beside = self.file.with_suffix(".npz"), self.file.with_suffix("") / CODES
        return next((file for file in beside if file.is_file()), None)

    @property
    def mutual_information(self) -> np.ndarray:
        """Nats between each dimension and each factor, shape (latent_size, k).

        Raises
        ------
        InputError
            If the factors of the faces are not known.
        """
        return np.array(self._disentanglement()["mutual_information"])

    @property
    def factors(self) -> tuple[str, ...]:
        """Names of the columns of `mutual_information`."""
        return tuple(self._disentanglement()["per_factor"])

    def per_factor(self, what: str) -> np.ndarray:
        """One number for each factor, in the order of `factors`, shape (k,).

        Parameters
        ----------
        what : str
            ``"mig"``, ``"sap"`` or ``"informativeness"``, whose means over factors are the run's
            scores, or ``"entropy"`` in nats.

        Raises
        ------
        InputError
            If the factors of the faces are not known.
        """
        return np.array([f[what] for f in self._disentanglement()["per_factor"].values()])

    @property
    def importance(self) -> np.ndarray:
        """DCI's importance of each dimension for each factor, shape (latent_size, k).

        Raises
        ------
        InputError
            If the factors of the faces are not known.
        """
        return np.array(self._disentanglement()["importance"])

    def _disentanglement(self) -> dict[str, Any]:
        if "disentanglement" not in self.result:
            raise InputError(
                f"{self.file} holds no disentanglement scores. They are measured on synthetic "
                "faces; if these are, run its sweep again with --remeasure."
            )
        return self.result["disentanglement"]


def read_runs(folder: str | Path) -> list[Run]:
    """Every run of a sweep, sorted by objective, setting and seed.

    Parameters
    ----------
    folder : str or Path
        Holds ``beta_4_seed_0.json`` and the like.

    Raises
    ------
    InputError
        If there is no such file in the folder, or one that `sweep` did not write.
    """
    runs = [read_run(file) for file in Path(folder).glob("*_seed_*.json")]
    if not runs:
        raise InputError(
            f"{folder} holds no results such as beta_4_seed_0.json; name the --out of a vae sweep."
        )
    return sorted(runs, key=lambda run: (run.objective, run.setting, run.seed))


def read_run(file: Path) -> Run:
    """One run from the file of its results.

    Raises
    ------
    InputError
        If the file cannot be read or is none that `sweep` wrote.
    """
    with foreign(f"{file} is no result of vae sweep", "Move it away"):
        result = json.loads(file.read_bytes())
        setting = setting_of(result["identity"])
        scores = result.get("disentanglement", {})
        return Run(
            setting.objective,
            setting.value,
            number(result["identity"]["seed"]),
            {name: number(result["test"][name]) for name in QUALITIES}
            | {name: number(scores[name]) for name in METRICS if name in scores},
            file,
            result,
        )


def number(value: Any) -> Any:
    """The value, if it is a finite number; JSON files may hold NaN, and anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return value


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
    """Mean ± sd over seeds of every measure that all runs of a setting have, in `runs`' order."""
    summaries = []
    for (objective, setting), group in _by_setting(runs).items():
        names = [n for n in group[0].measures if all(n in run.measures for run in group)]
        values = {n: np.array([run.measures[n] for run in group], dtype=float) for n in names}
        mean, sd = ({n: f(v) for n, v in values.items()} for f in (_mean, _sd))
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
    """
    seeds: dict[int, list[tuple[float, float]]] = {}
    for run in runs:
        if run.objective == "beta-vae":
            seeds.setdefault(run.seed, []).append((run.measures["kl"], _measured(run, measure)))
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
    """
    comparisons = []
    others = [run for run in runs if run.objective != "beta-vae"]
    for (objective, setting), group in _by_setting(others).items():
        rates = [run.measures["kl"] for run in group]
        values = np.array([_measured(run, measure) for run in group])
        # Mean over the group's KLs, one value for each seed of the β-VAE.
        curve = np.mean([beta_vae_at(runs, measure, kl) for kl in rates], axis=0)
        comparisons.append(
            Comparison(
                objective,
                setting,
                measure,
                float(np.mean(rates)),
                *(_mean(values), _sd(values)),
                *(_mean(curve), _sd(curve)),
            )
        )
    return comparisons


def best_and_worst(runs: Sequence[Run], measure: str = "mig") -> tuple[Run, Run]:
    """The runs with the largest and the smallest value of a measure; of equals the first.

    Raises
    ------
    InputError
        If a run lacks the measure or there is no run.
    """
    if not runs:
        raise InputError("There are no runs to choose from.")
    values = [_measured(run, measure) for run in runs]
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
    """
    groups = [
        np.array([_measured(run, measure) for run in group]) for group in _by_setting(runs).values()
    ]
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
    """
    from scipy.stats import bootstrap  # here, since training needs no SciPy

    eta_squared = share_of_setting(runs, measure)
    groups = [
        np.array([_measured(run, measure) for run in group]) for group in _by_setting(runs).values()
    ]
    ends = (float("nan"), float("nan"))
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
    """
    low, high = (
        [_measured(r, measure) for r in runs if (r.objective, r.setting) == ("beta-vae", setting)]
        for setting in (one, two)
    )
    if not low or not high:
        raise InputError(f"There is no run of β = {one:g} or none of β = {two:g} to compare.")
    return float(np.mean([b > a for a in low for b in high]))


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
    """
    groups = _by_setting(run for run in runs if run.objective == "beta-vae")
    found = {}
    for one, two in pairwise(sorted(setting for _, setting in groups)):
        rate, excess = (
            np.subtract.outer(
                *([r.measures[name] for r in groups["beta-vae", beta]] for beta in (one, two))
            )
            for name in ("kl", "excess")
        )
        with np.errstate(divide="ignore", invalid="ignore"):  # no nat saved has no price
            found[one, two] = -excess / rate
    return found


def scores_of_factors(run: Run, factors: Iterable[str]) -> dict[str, float]:
    """MIG, SAP and DCI of a run as they are where only these factors count.

    The scores of FactorVAE and β-VAE are votes of codes, which results do not hold.

    Parameters
    ----------
    run : Run
        On faces whose factors are known.
    factors : iterable of str
        Two or more of `Run.factors`.

    Raises
    ------
    InputError
        If there is no such factor, or the factors are not known.
    """
    from vae_lib.disentanglement import score_importances  # here, since it wants scikit-learn

    unknown = sorted(set(factors := list(factors)) - set(run.factors))
    if unknown or len(factors) < 2:
        raise InputError(
            f"Found the factors {factors}; expected two or more of {', '.join(run.factors)}."
        )
    kept = [run.factors.index(name) for name in factors]
    disentanglement, completeness = score_importances(run.importance[:, kept])
    return {
        "mig": float(run.per_factor("mig")[kept].mean()),
        "sap": float(run.per_factor("sap")[kept].mean()),
        "dci_disentanglement": disentanglement,
        "dci_completeness": completeness,
        "dci_informativeness": float(run.per_factor("informativeness")[kept].mean()),
    }


def mig_ceiling(run: Run) -> float:
    """The MIG that a run's best dimensions would have if no second one knew their factors.

    Raises
    ------
    InputError
        If the factors of the faces are not known.
    """
    return float((run.mutual_information.max(0) / run.per_factor("entropy")).mean())


def _measured(run: Run, measure: str) -> float:
    if measure not in run.measures:
        raise InputError(
            f"{run.file} has no measure {measure!r}; it has {', '.join(run.measures)}."
        )
    return run.measures[measure]


def _by_setting(runs: Iterable[Run]) -> dict[tuple[str, float], list[Run]]:
    groups: dict[tuple[str, float], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.objective, run.setting), []).append(run)
    return groups


def _mean(values: np.ndarray) -> float:
    return float(values.mean())


def _sd(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
