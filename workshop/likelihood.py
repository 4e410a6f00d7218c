"""Squared errors with the best σ against cross-entropies, at equal rate, on real faces.

``python -m workshop.likelihood`` trains what `runs` lists, one after another, and writes
``results/likelihood.json`` after each; what stands there already is not trained again. Processes
with other seeds may write the same file at the same time.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from vae_lib.errors import InputError
from vae_lib.faces import open_faces
from vae_lib.faces.dataset import Faces
from vae_lib.files import write_atomically
from vae_lib.training import TrainConfig, train

KEPT = Path(__file__).resolve().parent.parent / "results" / "likelihood.json"
BETAS = (0.1, 0.03, 1.0)  # of the Bernoulli models
SIGMA_BETAS = (1.0, 15.0)  # of the σ-VAEs: the bound, and about the rate of the baseline
MEASURED = ("reconstruction", "excess", "kl", "active_01", "psnr", "images")
SIGMA, BERNOULLI = "sigma-vae", "beta-vae"


def runs(seeds: Sequence[int], recipe: TrainConfig) -> list[TrainConfig]:
    """Every run, seed by seed: of each the σ-VAEs first, then what they are compared with."""
    return [
        replace(recipe, objective=objective, beta=beta, seed=seed)
        for seed in seeds
        for objective, betas in ((SIGMA, SIGMA_BETAS), (BERNOULLI, BETAS))
        for beta in betas
    ]


def first(faces: Faces, train_faces: int, valid_faces: int) -> Faces:
    """The first faces of two splits: what a short recipe trains and measures with.

    >>> faces = Faces.from_arrays(np.zeros((50, 64, 64, 3), np.uint8))
    >>> few = first(faces, 30, 4)
    >>> [len(few.split(name)) for name in ("train", "valid")]
    [30, 4]
    """
    rows = [np.flatnonzero(faces.splits == n)[:m] for n, m in enumerate((train_faces, valid_faces))]
    chosen = np.concatenate(rows)
    return Faces.from_arrays(faces.images[chosen], splits=faces.splits[chosen], name=faces.name)


def measure(config: TrainConfig, faces: Faces) -> dict[str, Any]:
    """Train one model; what validation says of it at the end."""
    training = train(config, faces, device="cpu")
    found = next(r for r in reversed(training.history) if r.get("split") == "valid")
    facts = {"steps": training.step, "train_images": len(training.train_images)}
    return (
        {"objective": config.objective, **config.flat()} | facts | {n: found[n] for n in MEASURED}
    )


def at_equal_rate(found: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Each σ-VAE's PSNR, and the Bernoulli models' of its seed at its KL.

    Between two models of a kind PSNR and log β are taken as linear in log KL; ``bernoulli_beta`` is
    where Bernoulli pixels buy the same nats. A σ-VAE that buys fewer nats than every Bernoulli
    model is taken with the next σ-VAE, at the least of theirs. Nothing is extrapolated: what the
    others do not enclose is left out.

    Examples
    --------
    >>> runs = [
    ...     {"objective": "sigma-vae", "beta": 1.0, "kl": 200.0, "psnr": 25.0, "seed": 0},
    ...     {"objective": "beta-vae", "beta": 0.16, "kl": 100.0, "psnr": 23.0, "seed": 0},
    ...     {"objective": "beta-vae", "beta": 0.01, "kl": 400.0, "psnr": 26.0, "seed": 0},
    ... ]
    >>> (one,) = at_equal_rate(runs)
    >>> one["bernoulli"], one["gain"], round(one["bernoulli_beta"], 3)
    (24.5, 0.5, 0.04)
    """
    compared = []
    for one in (run for run in found if run["objective"] == SIGMA):
        theirs, ours = (_curve(found, kind, one["seed"]) for kind in (BERNOULLI, SIGMA))
        if not theirs.size:
            continue
        kl = max(one["kl"], float(theirs[0, 0]))
        if kl <= min(theirs[-1, 0], ours[-1, 0]):
            (psnr, _), (bernoulli, beta) = _at(kl, ours), _at(kl, theirs)
            row = {"beta": one["beta"], "seed": one["seed"], "kl": kl, "psnr": psnr}
            row |= {"bernoulli": bernoulli, "bernoulli_beta": beta, "gain": psnr - bernoulli}
            compared.append(row)
    return compared


def _curve(found: list[dict[str, Any]], objective: str, seed: int) -> np.ndarray:
    """KL, PSNR and β of the runs of a kind and a seed, by rising KL: (n, 3), or empty."""
    same = [run for run in found if (run["objective"], run["seed"]) == (objective, seed)]
    return np.array(sorted((run["kl"], run["psnr"], run["beta"]) for run in same))


def _at(kl: float, curve: np.ndarray) -> tuple[float, float]:
    """PSNR and β of a curve at a KL inside it."""
    x, y, beta = curve.T
    psnr, log_beta = (float(np.interp(np.log(kl), np.log(x), v)) for v in (y, np.log(beta)))
    return psnr, float(np.exp(log_beta))


def main(faces: Faces, kept: Path, seeds: Sequence[int], recipe: TrainConfig) -> dict[str, Any]:
    """Train what is missing and keep it; returns what is kept."""
    for config in runs(seeds, recipe):
        wanted = json.loads(json.dumps({"objective": config.objective, **config.flat()}))
        found = read(kept)["runs"]
        if any(run["epochs"] != config.epochs for run in found):
            raise InputError(
                f"{kept} holds runs of other lengths than {config.epochs} epochs; name another "
                "file with --kept, so that all runs of one file are trained alike."
            )
        if any(wanted == {name: run.get(name) for name in wanted} for run in found):
            continue
        keep(kept, [measure(config, faces)])
    return keep(kept, [])


def keep(kept: Path, measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Add runs to what is kept, and compare them all again."""
    with FileLock(f"{kept}.lock"):
        found = sorted([*read(kept)["runs"], *measured], key=_place)
        content = {"runs": found, "at_equal_rate": at_equal_rate(found)}
        write_atomically(kept, (json.dumps(content, indent=1) + "\n").encode())
    return content


def read(kept: Path) -> dict[str, Any]:
    """What is kept; nothing where there is no file yet."""
    return json.loads(kept.read_text()) if kept.exists() else {"runs": [], "at_equal_rate": []}


def _place(run: dict[str, Any]) -> tuple:
    return run["objective"], run["beta"], run["seed"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", help="folder of CelebA; by default CELEBA_ROOT's")
    parser.add_argument("--kept", type=Path, default=KEPT)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--train-faces", type=int, default=20_000)
    parser.add_argument("--valid-faces", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    given = parser.parse_args()
    faces = first(open_faces(given.data, kind="images"), given.train_faces, given.valid_faces)
    recipe = TrainConfig(epochs=given.epochs, batch_size=given.batch_size)
    found = main(faces, given.kept, given.seeds, recipe)
    print(json.dumps(found["at_equal_rate"], indent=1))
