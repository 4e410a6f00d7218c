"""Many runs of one recipe: a table of settings and seeds that survives being killed."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from vae_lib.checkpoint import differing, load_weights, weights_name
from vae_lib.config import setting_of
from vae_lib.errors import InputError
from vae_lib.evaluation import evaluate
from vae_lib.faces.dataset import SPLITS, Faces
from vae_lib.files import write_atomically
from vae_lib.latent import encode_images
from vae_lib.model import VAE
from vae_lib.model.any_beta import AtBeta, shown
from vae_lib.study.codes import load_codes, rounded, save_codes, score_codes
from vae_lib.study.runs import CODES, read_run
from vae_lib.training import Callback, train
from vae_lib.training.config import TrainConfig

# Faces on which disentanglement is measured. They are drawn anew, from a seed that no training
# split is drawn from: a test split of 2,000 is too few.
METRIC_FACES, METRIC_SEED = 10_000, 1


def run_name(config: TrainConfig) -> str:
    """The name of one run's folder and, with ``.json``, of its results: ``beta_4_seed_0``.

    Examples
    --------
    >>> run_name(TrainConfig(beta=4.0, seed=2))
    'beta_4_seed_2'
    """
    return f"{config.setting.stem}_seed_{config.seed}"


def sweep(
    config: TrainConfig,
    faces: Faces,
    out: Path,
    settings: Iterable[float],
    seeds: Iterable[int],
    *,
    device: str | None = None,
    remeasure: bool = False,
    callbacks: Callable[[Path], list[Callback]] = lambda folder: [],
) -> list[dict[str, Any]]:
    """Train and test one model for each setting and seed; runs whose results stand are skipped.

    Parameters
    ----------
    config : TrainConfig
        Everything but the setting and the seed.
    faces : Faces
        Trained on its train split, measured on its test split.
    out : Path
        Gets ``beta_4_seed_0.json`` for each finished run, and a folder of the same name, from
        which a killed run goes on, and which keeps the run's codes, ``codes.npz``.
    settings, seeds : iterable
        The table. A setting is the objective's β or, for the capacity objective, its capacity in
        nats. Seeds vary slowest, so that every setting has a result early.
    device : str, optional
        Chosen by `vae_lib.devices.choose_device` when not given.
    remeasure : bool
        Measure runs anew whose results stand, from the weights in their folders.
    callbacks : callable
        Given a run's folder, the callbacks that watch its training.

    Returns
    -------
    list of dict
        The results, in the order of the table: ``identity``; ``beta`` or ``capacity``; ``seed``;
        ``test`` (the measures of `vae_lib.evaluation.Evaluation`), ``kl_per_dimension`` and
        ``training``, the facts that travel with the weights; for synthetic faces also
        ``disentanglement``, from `measure_disentanglement`.

    Raises
    ------
    InputError
        Before any training where a recipe makes no sense or a split is empty; later if results
        that stand in `out` are those of another recipe or of other faces, or if a run that shall
        be measured anew has left no weights.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from vae_lib.config import VAEConfig
    >>> faces = Faces.from_arrays(np.zeros((40, 64, 64, 3), np.uint8))
    >>> tiny = VAEConfig(channels=(4, 8), latent_size=2)
    >>> config = TrainConfig(epochs=1, batch_size=8, model=tiny)
    >>> with TemporaryDirectory() as folder:
    ...     results = sweep(config, faces, Path(folder), settings=(1, 4), seeds=(0,), device="cpu")
    ...     sorted(file.name for file in Path(folder).glob("*.json"))
    ['beta_1_seed_0.json', 'beta_4_seed_0.json']
    >>> [(result["beta"], result["test"]["images"]) for result in results]
    [(1, 4), (4, 4)]
    """
    table = [
        replace(config.with_setting(setting), seed=seed)
        for seed, setting in product(seeds, settings)
    ]
    faces.split("test")  # a missing split shows now, not after an hour of training
    results = []
    for config in table:
        folder = Path(out) / run_name(config)
        file = folder.with_name(f"{folder.name}.json")
        expected = json.loads(json.dumps(identity(config, faces)))
        weights = folder / weights_name(faces.name, config.setting)
        result = _standing(file, expected)
        if result is not None and remeasure and not weights.exists():
            raise InputError(
                f"{file} stands and the weights {weights} do not, so that there is nothing to "
                "measure. Leave --remeasure out, or move the file away to train anew."
            )
        if result is None or remeasure:
            # A kill between the weights and the checkpoint that vouches for them: end it properly.
            unsure = result is None and (folder / "checkpoint.pt").exists()
            if unsure or not _is_trained(weights, config, faces):
                train(
                    config,
                    faces,
                    folder,
                    resume=folder.exists(),
                    device=device,
                    callbacks=callbacks(folder),
                )
            measured = {"identity": expected} | measure(weights, faces, device)
            content = (json.dumps(measured, indent=1) + "\n").encode()
            write_atomically(file, content, "run the same command again")
            result = json.loads(file.read_text())
        results.append(result)
    return results


def _standing(file: Path, expected: dict[str, Any]) -> dict[str, Any] | None:
    """The results in the file, if there is one and they are this run's."""
    if not file.exists():
        return None
    result = read_run(file).result
    if result["identity"] != expected:
        raise InputError(
            f"{file} holds the results of another run: "
            f"{differing(expected, result['identity'])}. Choose another --out."
        )
    return result


def _is_trained(weights: Path, config: TrainConfig, faces: Faces) -> bool:
    """Whether nothing is left to train; any doubt is for `train` to put into words."""
    if not weights.exists():
        return False
    model = load_weights(weights)
    metadata = model.metadata
    return (
        model.config == config.model
        and metadata.get("recipe") == config.recipe()
        and metadata.get("epoch") == config.epochs
        and metadata.get("fingerprint") == faces.fingerprint
    )


def identity(config: TrainConfig, faces: Faces) -> dict[str, Any]:
    """What the results of a run depend on, as far as another machine can repeat it.

    Examples
    --------
    >>> faces = Faces.from_arrays(np.zeros((40, 64, 64, 3), np.uint8))
    >>> found = identity(TrainConfig(beta=4.0), faces)
    >>> found["beta"], found["latent_size"], found["train_images"]
    (4.0, 128, 32)
    """
    sizes = {f"{name}_images": len(faces.split(name)) for name in SPLITS}
    return config.flat() | {"faces": faces.name} | sizes


def measure(weights: Path, faces: Faces, device: str | None = None) -> dict[str, Any]:
    """Test a model on every image of the test split and keep the facts of its training.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from vae_lib.checkpoint import save_weights
    >>> faces = Faces.from_arrays(np.zeros((40, 64, 64, 3), np.uint8))
    >>> with TemporaryDirectory() as folder:
    ...     save_weights(Path(folder) / "vae.pth", VAE(), {"recipe": TrainConfig(seed=3).recipe()})
    ...     found = measure(Path(folder) / "vae.pth", faces)
    ...     (Path(folder) / CODES).exists()
    True
    >>> found["beta"], found["seed"], len(found["kl_per_dimension"])
    (1.0, 3, 128)
    """
    model = load_weights(weights, device or "cpu")
    metadata = model.metadata
    model = shown(model)  # a network for every β is measured at one
    inner = getattr(model, "inner", model)
    measured = evaluate(model, faces.split("test").images, ssim=True)
    setting = setting_of(metadata.get("recipe", {}))
    result = {
        setting.parameter: setting.value,
        **({"measured_at_beta": inner.beta} if isinstance(inner, AtBeta) else {}),
        "seed": metadata["recipe"].get("seed"),
        "test": measured.flat(),
        "kl_per_dimension": measured.kl_per_dimension,
        "training": metadata,
    }
    codes = weights.with_name(CODES)
    if faces.name == "synthetic":
        result["disentanglement"] = measure_disentanglement(model, codes)
    else:
        test = faces.split("test")
        save_codes(codes, rounded(*encode_images(model, test.images), ids=test.ids))
    return result


def measure_disentanglement(model: VAE, keep: Path | None = None) -> dict[str, Any]:
    """Every metric of `vae_lib.disentanglement.scores` on fresh synthetic faces.

    The codes are posterior means, 0 in the dimensions that collapsed to the prior. The faces are
    the same for every model.

    Parameters
    ----------
    model : VAE
        Trained on drawn faces.
    keep : Path, optional
        File for the codes, from which `vae_lib.study.codes.score_codes` gives the same scores.
    """
    images, _ = _fresh_faces(METRIC_FACES)
    codes = rounded(*encode_images(model, images), seed=METRIC_SEED)
    if keep is not None:
        save_codes(keep, codes)
    return score_codes(codes)


def rescore(file: Path) -> dict[str, Any]:
    """Score a run of drawn faces again, from the codes that it left.

    Parameters
    ----------
    file : Path
        The run's results, such as ``beta_4_seed_0.json``; its scores are replaced.

    Returns
    -------
    dict
        All of the results.

    Raises
    ------
    InputError
        If there are no results, the run left no codes, or they are those of photographs.
    """
    run = read_run(file)
    if run.codes is None:
        raise InputError(
            f"{file} left no codes, as runs before there were any; train it again in another "
            "folder to score it anew."
        )
    result = run.result | {"disentanglement": score_codes(load_codes(run.codes))}
    write_atomically(file, (json.dumps(result, indent=1) + "\n").encode())
    return result


@cache  # half a minute of drawing, once for all runs of a sweep
def _fresh_faces(count: int) -> tuple[np.ndarray, np.ndarray]:
    from vae_lib.faces.synthetic import synthetic_faces

    return synthetic_faces(count, seed=METRIC_SEED)
