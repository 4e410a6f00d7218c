"""Many runs of one recipe: a table of β and seeds that survives being killed."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from vae_lib.checkpoint import load_weights, weights_name, write_atomically
from vae_lib.evaluation import evaluate
from vae_lib.faces.dataset import Faces
from vae_lib.training import Callback, TrainConfig, train


def run_name(beta: float, seed: int) -> str:
    """The name of one run's folder and, with ``.json``, of its results: ``beta_4_seed_0``."""
    return f"beta_{beta:g}_seed_{seed}"


def sweep(
    recipe: TrainConfig,
    faces: Faces,
    out: Path,
    betas: Iterable[float],
    seeds: Iterable[int],
    *,
    device: str | None = None,
    callbacks: Callable[[Path], list[Callback]] = lambda folder: [],
) -> list[dict[str, Any]]:
    """Train and test one model for each β and seed; runs whose results stand are skipped.

    Parameters
    ----------
    recipe : TrainConfig
        Everything but β and seed.
    faces : Faces
        Trained on its train split, measured on its test split.
    out : Path
        Gets ``beta_4_seed_0.json`` for each finished run, and a folder of the same name, from
        which a killed run goes on.
    betas, seeds : iterable
        The table. Seeds vary slowest, so that every β has a result early.
    device : str, optional
        Chosen by `vae_lib.devices.choose_device` when not given.
    callbacks : callable
        Given a run's folder, the callbacks that watch its training.

    Returns
    -------
    list of dict
        The results, in the order of the table: ``beta``, ``seed``, ``test`` (the measures of
        `vae_lib.evaluation.Evaluation`), ``kl_per_dimension`` and ``training``, the facts that
        travel with the weights.
    """
    results = []
    for seed, beta in product(seeds, betas):
        folder, file = Path(out) / run_name(beta, seed), Path(out) / f"{run_name(beta, seed)}.json"
        if not file.exists():
            config = replace(recipe, beta=beta, seed=seed)
            train(
                config,
                faces,
                folder,
                resume=folder.exists(),
                device=device,
                callbacks=callbacks(folder),
            )
            result = measure(folder / weights_name(faces.name, beta), faces, device)
            write_atomically(file, (json.dumps(result, indent=1) + "\n").encode())
        results.append(json.loads(file.read_text()))
    return results


def measure(weights: Path, faces: Faces, device: str | None = None) -> dict[str, Any]:
    """Test a model on every image of the test split and keep the facts of its training."""
    model, metadata = load_weights(weights, device or "cpu")
    measured = evaluate(model, faces.split("test").images, ssim=True)
    return {
        "beta": metadata["recipe"]["beta"],
        "seed": metadata["recipe"]["seed"],
        "test": measured.flat(),
        "kl_per_dimension": measured.kl_per_dimension,
        "training": metadata,
    }
