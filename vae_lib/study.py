"""What a sweep found: its results as a table, means over seeds, comparisons at equal rate.

Reads the files that `vae_lib.sweep.sweep` leaves, on synthetic faces or on CelebA, and needs
neither models nor faces. Figures and tables are drawn from what stands here.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vae_lib.errors import InputError, foreign

HERE = Path(__file__).parent
# The runs that README and book report: a wheel has them inside the package, a checkout beside it.
RESULTS = HERE / "results" if (HERE / "results").is_dir() else HERE.parent / "results"

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
    """``"beta-vae"``, ``"capacity"`` or ``"beta-tcvae"``."""
    setting: float
    """β or, for the capacity objective, the capacity in nats."""
    seed: int
    measures: dict[str, float]
    """Those of `QUALITIES` and, on synthetic faces, of `METRICS`, by name."""
    file: Path
    """Where the results stand; the folder of the same name holds the weights."""
    result: dict[str, Any] = field(repr=False)
    """All of the file."""

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
        recipe = result["identity"]
        objective = recipe.get("objective", "beta-vae")  # which needs no name
        scores = result.get("disentanglement", {})
        return Run(
            objective,
            number(recipe["capacity" if objective == "capacity" else "beta"]),
            number(recipe["seed"]),
            {name: number(result["test"][name]) for name in QUALITIES}
            | {name: number(scores[name]) for name in METRICS if name in scores},
            file,
            result,
        )


def number(value: float) -> float:
    """The value, if it is a finite number; JSON files may hold NaN, and anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return value


def columns(runs: Sequence[Run]) -> dict[str, np.ndarray]:
    """The runs as a tidy table: one row a run, one column a name.

    Returns
    -------
    dict of ndarray, each of shape (len(runs),)
        ``objective``, ``setting``, ``seed`` and every measure that a run has, NaN for runs that
        lack it.
    """
    names = [n for n in (*QUALITIES, *METRICS) if any(n in run.measures for run in runs)]
    table = {n: np.array([getattr(run, n) for run in runs]) for n in ("objective", "setting")}
    table["seed"] = np.array([run.seed for run in runs])
    return table | {
        n: np.array([run.measures.get(n, np.nan) for run in runs], dtype=float) for n in names
    }


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
