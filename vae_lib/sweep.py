"""Many runs of one recipe: a table of β and seeds that survives being killed."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from vae_lib.checkpoint import differing, load_weights, weights_name, write_atomically
from vae_lib.errors import InputError
from vae_lib.evaluation import evaluate
from vae_lib.faces.dataset import SPLITS, Faces
from vae_lib.training import Callback, TrainConfig, flat_recipe, train


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
        The results, in the order of the table: ``identity``, ``beta``, ``seed``, ``test`` (the
        measures of `vae_lib.evaluation.Evaluation`), ``kl_per_dimension`` and ``training``, the
        facts that travel with the weights.

    Raises
    ------
    InputError
        Before any training where a recipe makes no sense or a split is empty; later if results
        that stand in `out` are those of another recipe or of other faces.
    """
    table = [replace(recipe, beta=beta, seed=seed) for seed, beta in product(seeds, betas)]
    faces.split("test")  # a missing split shows now, not after an hour of training
    results = []
    for config in table:
        folder = Path(out) / run_name(config.beta, config.seed)
        file = folder.with_name(f"{folder.name}.json")
        expected = json.loads(json.dumps(identity(config, faces)))
        if not file.exists():
            train(
                config,
                faces,
                folder,
                resume=folder.exists(),
                device=device,
                callbacks=callbacks(folder),
            )
            weights = folder / weights_name(faces.name, config.beta)
            result = {"identity": expected} | measure(weights, faces, device)
            write_atomically(file, (json.dumps(result, indent=1) + "\n").encode())
        result = json.loads(file.read_text())
        if result["identity"] != expected:
            raise InputError(
                f"{file} holds the results of another run: "
                f"{differing(expected, result['identity'])}. Choose another --out."
            )
        results.append(result)
    return results


def identity(config: TrainConfig, faces: Faces) -> dict[str, Any]:
    """What the results of a run depend on, as far as another machine can repeat it."""
    sizes = {f"{name}_images": len(faces.split(name)) for name in SPLITS}
    return flat_recipe(config) | {"faces": faces.name} | sizes


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
