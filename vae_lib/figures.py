"""Figures of the course. Each function returns a Matplotlib figure and shows or saves nothing."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from vae_lib.errors import InputError
from vae_lib.latent import decode_images, encode_images, interpolate, traverse
from vae_lib.model import VAE

CELL = 0.85  # inches that one face takes in a figure


class Picture(Figure):
    """A figure that notebooks show by themselves: no pyplot, whose backend is the user's choice."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def mosaic(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Lay images (n, h, w, 3) out in rows of ``columns`` with white gaps, as one uint8 image."""
    n, h, w, _ = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = gap + i // columns * (h + gap), gap + i % columns * (w + gap)
        sheet[y : y + h, x : x + w] = image
    return sheet


def loss_curves(history: Sequence[dict[str, Any]]) -> Figure:
    """Excess reconstruction, KL and PSNR per epoch, on training and validation faces.

    Parameters
    ----------
    history : sequence of dict
        As `vae_lib.training.Training.history` or the lines of ``history.jsonl``.

    Raises
    ------
    InputError
        If no epoch was finished yet.
    """
    epochs = [record for record in history if record["kind"] == "epoch"]
    if not epochs:
        raise InputError("The history holds no finished epoch yet; train for at least one.")
    figure = Picture(figsize=(11, 3.4), layout="constrained")
    panels = (
        ("excess", "reconstruction above the\npixels' entropy (nats per image)"),
        ("kl", "KL to the prior (nats per image)"),
        ("psnr", "PSNR of the decoded mean (dB)"),
    )
    for axes, (name, label) in zip(figure.subplots(1, 3), panels, strict=True):
        for split, style in (("train", "o--"), ("valid", "s-")):
            rows = [record for record in epochs if record["split"] == split]
            axes.plot(
                [r["epoch"] for r in rows],
                [r[name] for r in rows],
                style,
                markersize=4,
                label={"train": "training faces", "valid": "validation faces"}[split],
            )
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    return figure


def faces_in_rows(
    rows: Sequence[np.ndarray], labels: Sequence[str], ticks: Sequence[str] = (), xlabel: str = ""
) -> Figure:
    """Rows of faces with a label beside each.

    Parameters
    ----------
    rows : sequence of ndarray of uint8, each of shape (n, h, w, 3)
        The same number of faces in every row.
    labels : sequence of str
        One per row.
    ticks : sequence of str
        What stands under each column, if anything.
    xlabel : str
        What the ticks mean.
    """
    columns, (h, w) = len(rows[0]), rows[0].shape[1:3]
    figure = Picture(figsize=(CELL * columns + 1.6, CELL * len(rows) + 0.5), layout="constrained")
    axes = figure.subplots()
    axes.imshow(mosaic(np.concatenate(rows), columns), interpolation="lanczos")
    axes.set_yticks([2 + h / 2 + i * (h + 2) for i in range(len(rows))], labels)
    axes.set_xticks([2 + w / 2 + i * (w + 2) for i in range(columns)] if ticks else [], ticks)
    axes.set_xlabel(xlabel)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def reconstructions(model: VAE, images: np.ndarray) -> Figure:
    """Originals above what the model makes of their posterior means."""
    decoded = decode_images(model, encode_images(model, images)[0])
    return faces_in_rows([images, decoded], ["original", "reconstruction"])


def samples(model: VAE, count: int = 48, columns: int = 12, seed: int = 0) -> Figure:
    """Faces that no photograph shows: decoded draws from the prior."""
    z = torch.randn(count, model.config.latent_size, generator=torch.Generator().manual_seed(seed))
    sheet = mosaic(decode_images(model, z), columns)
    size = (CELL * columns, CELL * -(-count // columns))
    figure = Picture(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet, interpolation="lanczos")
    axes.set_axis_off()
    return figure


def interpolation(model: VAE, a: torch.Tensor, b: torch.Tensor, steps: int = 9) -> Figure:
    """The linear and the spherical way between two codes, with the length of each code."""
    rows, labels = [], []
    for method in ("linear", "spherical"):
        codes = interpolate(a, b, steps, method)
        lengths = codes.norm(dim=1)
        rows.append(decode_images(model, codes))
        labels.append(f"{method}\n‖z‖ ≥ {lengths.min():.1f}")
    ticks = [f"{t:.2f}" for t in np.linspace(0, 1, steps)]
    return faces_in_rows(rows, labels, ticks, "way from A to B")


def traversals(
    model: VAE,
    kl: Sequence[float],
    z: torch.Tensor | None = None,
    dimensions: int = 10,
    values: Sequence[float] = (-3, -2, -1, 0, 1, 2, 3),
) -> Figure:
    """One row per latent dimension, those that carry most information first.

    Parameters
    ----------
    model : VAE
        In eval mode.
    kl : sequence of float, length latent_size
        Mean KL of each dimension, nats, as `vae_lib.evaluation.Evaluation.kl_per_dimension`.
    z : Tensor, shape (latent_size,), optional
        Where the other dimensions stay; the prior's mean if not given.
    dimensions : int
        How many rows.
    values : sequence of float
        Where each dimension goes, in standard deviations of the prior.
    """
    if len(kl) != model.config.latent_size:
        raise InputError(
            f"Found {len(kl)} KL values for a model of {model.config.latent_size} dimensions; "
            "use those of the same model."
        )
    z = torch.zeros(model.config.latent_size) if z is None else z
    order = np.argsort(kl)[::-1][:dimensions].tolist()
    return faces_in_rows(
        [decode_images(model, traverse(z, dimension, values)) for dimension in order],
        [f"z$_{{{dimension}}}$  {kl[dimension]:.2f} nats" for dimension in order],
        [f"{value:+g}" if value else "0" for value in values],
        "value of the dimension (standard deviations of the prior)",
    )
