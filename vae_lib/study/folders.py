"""Folders of runs beside each other: what a class trained, in one figure and one table."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vae_lib.checkpoint import load_weights
from vae_lib.config import setting_of
from vae_lib.errors import InputError, foreign
from vae_lib.figures import Picture, colours
from vae_lib.files import reading

MEASURES = {
    "excess": ("excess nats", ".1f"),
    "kl": ("KL nats", ".1f"),
    "active_01": ("active", "d"),
    "psnr": ("PSNR dB", ".2f"),
    "mig": ("MIG", ".3f"),
}


@dataclass(frozen=True)
class TrainedRun:
    """One folder of a run, as it stands."""

    name: str
    """What it is called beside the others: its folder, or as much of the path as tells it apart."""
    label: str
    """Its setting: ``β = 4``."""
    seed: int
    epochs: tuple[int, int]
    """Finished ones, and those of its recipe."""
    faces: str
    """Which it was trained on, and with which content."""
    valid: list[dict[str, Any]]
    """The measures of the validation faces, one record an epoch."""
    scores: dict[str, float]
    """Scores against known factors, where the run is one of a sweep on drawn faces."""

    @property
    def measures(self) -> dict[str, float]:
        """What the last epoch measured, excess and KL in nats a face and PSNR in dB, and scores."""
        return {n: v for n, v in (self.valid[-1] | self.scores).items() if n in MEASURES}


def read_folder(folder: Path, name: str = "") -> TrainedRun:
    """One run from the folder that ``vae train`` or ``vae sweep`` wrote.

    Raises
    ------
    InputError
        If there is no run, none of its epochs is finished, or a file cannot be read.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from vae_lib.config import VAEConfig
    >>> from vae_lib.faces import Faces
    >>> from vae_lib.training import TrainConfig, train
    >>> faces = Faces.from_arrays(np.zeros((40, 64, 64, 3), np.uint8))
    >>> tiny = VAEConfig(channels=(4, 8), latent_size=2)
    >>> config = TrainConfig(epochs=1, batch_size=8, beta=4.0, model=tiny)
    >>> with TemporaryDirectory() as folder:
    ...     training = train(config, faces, Path(folder), device="cpu")
    ...     run = read_folder(Path(folder), "mine")
    >>> run.name, run.label, run.epochs, sorted(run.measures)
    ('mine', 'β = 4', (1, 1), ['active_01', 'excess', 'kl', 'psnr'])
    """
    folder = Path(folder).expanduser()
    weights = sorted(folder.glob("*.pth"))
    history = folder / "history.jsonl"
    if len(weights) != 1 or not history.exists():
        held = f"holds {len(weights)} files of weights" if weights else "holds no weights"
        raise InputError(
            f"{folder} {held if folder.is_dir() else 'is no folder'}; give the folder of a run "
            "(--out of vae train) of which at least one epoch is finished."
        )
    metadata = load_weights(weights[0]).metadata
    with reading(history):
        lines = history.read_bytes().splitlines()
    scores = _scores(folder.with_name(f"{folder.name}.json"))
    with foreign(f"{history} or the weights beside it were changed", "Restore them"):
        recipe, last = metadata["recipe"], metadata["epoch"]
        records = [json.loads(line) for line in lines if line.strip()]
        valid = {r["epoch"]: r for r in records if r["kind"] == "epoch" and r["split"] == "valid"}
        kept = [valid[epoch] for epoch in range(1, last + 1)]  # later ones belong to no weights
        for record in kept:
            np.array([record[m] for m in ("excess", "kl", "psnr")], float)
        return TrainedRun(
            name or folder.name,
            setting_of(recipe).label,
            recipe["seed"],
            (last, recipe["epochs"]),
            f"{metadata['faces']} ({metadata['fingerprint'][:8]}, {kept[-1]['images']} validated)",
            kept,
            scores,
        )


def _scores(file: Path) -> dict[str, float]:
    """What a sweep left beside the folder of its run."""
    if not file.exists():
        return {}
    with foreign(f"{file} is no result of vae sweep", "Move it away"):
        scores = json.loads(file.read_bytes()).get("disentanglement", {})
        return {name: float(scores[name]) for name in ("mig",) if name in scores}


def read_folders(folders: Sequence[Path]) -> list[TrainedRun]:
    """Runs on the same faces, in the order given.

    Raises
    ------
    InputError
        If one is there twice, fewer than two are given, one cannot be read, or their faces differ.

    Examples
    --------
    >>> read_folders([Path("runs/a")])
    Traceback (most recent call last):
    vae_lib.errors.InputError: Found 1 run; give two or more to compare.
    """
    folders = [Path(folder).expanduser() for folder in folders]
    if len(folders) < 2:
        raise InputError(f"Found {len(folders)} run; give two or more to compare.")
    places = Counter(folder.resolve() for folder in folders)
    if twice := [str(place) for place, times in places.items() if times > 1]:
        raise InputError(f"{twice[0]} is given twice; give each run once.")
    runs = [
        read_folder(folder, name) for folder, name in zip(folders, _names(folders), strict=True)
    ]
    first = runs[0]
    for run in runs:
        if run.faces != first.faces:
            raise InputError(
                f"{first.name} was trained on {first.faces} and {run.name} on {run.faces}; numbers "
                "of different faces say nothing about each other. Compare runs on the same ones."
            )
    return runs


def _names(folders: list[Path]) -> list[str]:
    """The ends of paths, as long as it takes to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    length = 1
    while len({p[-length:] for p in parts}) < len(parts):
        length += 1
    return ["/".join(p[-length:]) for p in parts]


def comparison_rows(runs: Sequence[TrainedRun]) -> list[dict[str, Any]]:
    """The table: a row for each run, with the measures of its validation faces.

    A measure stands in the table where at least one run has it, as None where a run has not.

    Examples
    --------
    >>> end = {"epoch": 1, "excess": 300.0, "kl": 40.0, "psnr": 21.0}
    >>> run = TrainedRun("mine", "β = 4", 0, (1, 10), "", [end], {})
    >>> comparison_rows([run])
    [{'run': 'mine', 'setting': 'β = 4', 'seed': 0, 'epochs': 1, 'of': 10, 'excess': 300.0, \
'kl': 40.0, 'psnr': 21.0}]
    """
    there = [name for name in MEASURES if any(name in run.measures for run in runs)]
    return [
        {
            "run": run.name,
            "setting": run.label,
            "seed": run.seed,
            "epochs": run.epochs[0],
            "of": run.epochs[1],
            **{name: run.measures.get(name) for name in there},
        }
        for run in runs
    ]


def comparison_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The rows as lines of text, in columns.

    Examples
    --------
    >>> row = {"run": "mine", "setting": "β = 4", "seed": 0, "epochs": 1, "of": 10, "kl": 40.0}
    >>> print(*comparison_lines([row]), sep="\\n")
    run   setting  seed   epochs  KL nats
    mine  β = 4       0  1 of 10     40.0
    """
    measures = [name for name in MEASURES if name in rows[0]]
    table = [["run", "setting", "seed", "epochs", *(MEASURES[name][0] for name in measures)]]
    for row in rows:
        epochs = f"{row['epochs']}" + (f" of {row['of']}" if row["epochs"] < row["of"] else "")
        values = ("–" if row[n] is None else format(row[n], MEASURES[n][1]) for n in measures)
        table.append([row["run"], row["setting"], str(row["seed"]), epochs, *values])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]


def comparison(runs: Sequence[TrainedRun]) -> Figure:
    """How runs trained, and where they end: excess and KL after each epoch, PSNR against KL.

    One colour for each setting, in the order of their names; one line and one dot for each run.

    Examples
    --------
    >>> end = {"epoch": 1, "excess": 300.0, "kl": 40.0, "psnr": 21.0}
    >>> run = TrainedRun("mine", "β = 4", 0, (1, 10), "", [end], {})
    >>> [text.get_text() for text in comparison([run]).axes[2].texts]
    ['mine']
    """
    figure = Picture(figsize=(12, 3.8), layout="constrained")
    paths = figure.subplots(1, 3)
    panels = (("excess", "reconstruction above the\npixels' entropy (nats per image)"),
              ("kl", "KL to the prior (nats per image)"))  # fmt: skip
    shades = colours(list(dict.fromkeys(run.label for run in runs)))
    middle = np.mean([f([run.measures["kl"] for run in runs]) for f in (min, max)])
    for run in runs:
        epochs = [record["epoch"] for record in run.valid]
        for axes, (name, _) in zip(paths, panels, strict=False):
            values = [record[name] for record in run.valid]
            axes.plot(epochs, values, "o-", markersize=3, color=shades[run.label])
        end = run.measures
        paths[2].plot(end["kl"], end["psnr"], "o", color=shades[run.label])
        right = end["kl"] > middle  # its name stands on the other side, so as to stay in sight
        paths[2].annotate(
            run.name,
            (end["kl"], end["psnr"]),
            xytext=(-4 if right else 4, 4),
            textcoords="offset points",
            horizontalalignment="right" if right else "left",
            fontsize=8,
        )
    for axes, (_, label) in zip(paths, panels, strict=False):
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
    paths[2].set(xlabel=panels[1][1], ylabel="PSNR of the decoded mean (dB)")
    paths[2].margins(0.15)
    for label, colour in shades.items():
        paths[0].plot([], [], color=colour, label=label)
    paths[0].legend(title="validation faces", fontsize=8)
    for axes in paths:
        axes.grid(alpha=0.3)
    return figure
