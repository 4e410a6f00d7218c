"""What a sweep left, run by run; `comparisons` sets runs beside each other.

Reads the files of `vae_lib.study.sweep.sweep`, on synthetic faces or on CelebA, and needs neither
models nor faces.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
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
    file: Path = Path()
    """Where the results stand; the folder of the same name holds the weights."""
    result: dict[str, Any] = field(default_factory=dict, repr=False)
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

    Examples
    --------
    >>> [(run.setting, run.seed) for run in read_runs(RESULTS / "celeba")[:4]]
    [(1.0, 0), (1.0, 1), (1.0, 2), (4.0, 0)]
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

    Examples
    --------
    >>> run = read_run(RESULTS / "celeba" / "beta_4_seed_0.json")
    >>> run.objective, run.setting, round(run.measures["psnr"], 1)
    ('beta-vae', 4.0, 20.9)
    """
    with foreign(f"{file} is no result of vae sweep", "Move it away"):
        result = json.loads(file.read_bytes())
        setting = setting_of(result["identity"])
        scores = result.get("disentanglement", {})
        return Run(
            setting.objective,
            setting.value,
            _number(result["identity"]["seed"]),
            {name: _number(result["test"][name]) for name in QUALITIES}
            | {name: _number(scores[name]) for name in METRICS if name in scores},
            file,
            result,
        )


def _number(value: Any) -> Any:
    """The value, if it is a finite number; JSON files may hold NaN, and anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return value


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

    Examples
    --------
    Each is a mean over factors, so that 0.4 and 0.6 make a MIG of 0.5:

    >>> known = {"mig": 0.4, "sap": 0.2, "informativeness": 0.9}
    >>> per_factor = {"yaw": known, "smile": known | {"mig": 0.6}, "hat": known}
    >>> told = {"per_factor": per_factor, "importance": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}
    >>> run = Run("beta-vae", 4, 0, {}, result={"disentanglement": told})
    >>> scores_of_factors(run, ["yaw", "smile"])
    {'mig': 0.5, 'sap': 0.2, 'dci_disentanglement': 1.0, 'dci_completeness': 1.0, \
'dci_informativeness': 0.9}
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

    Examples
    --------
    The best dimensions know 1 of 2 nats, and 1.5 of 2: on average 0.625.

    >>> told = {"mutual_information": [[1.0, 0.2], [0.5, 1.5]]}
    >>> told["per_factor"] = {"yaw": {"entropy": 2.0}, "smile": {"entropy": 2.0}}
    >>> mig_ceiling(Run("beta-vae", 4, 0, {}, result={"disentanglement": told}))
    0.625
    """
    return float((run.mutual_information.max(0) / run.per_factor("entropy")).mean())
