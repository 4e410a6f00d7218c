"""What a run shows while it goes and leaves when it ends: a progress line, grids, figures."""

import io
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn
from tqdm import tqdm

from vae_lib import figures
from vae_lib.errors import InputError
from vae_lib.faces.dataset import Faces
from vae_lib.files import write_atomically
from vae_lib.latent import decode_images, encode_images
from vae_lib.model.any_beta import shown
from vae_lib.training.loop import Event, Training

GRID = 32  # faces in each epoch's grids


def spread(images: np.ndarray, count: int) -> np.ndarray:
    """``count`` images (or all), evenly spaced over the split.

    Examples
    --------
    >>> spread(np.arange(5), 3).tolist()
    [0, 2, 4]
    """
    rows = np.linspace(0, len(images) - 1, min(count, len(images))).astype(int)
    return images[rows]


class ProgressLine:
    """A training callback: one line on a terminal, silent elsewhere."""

    def __enter__(self) -> "ProgressLine":
        self.bar = tqdm(disable=None, unit=" faces", unit_scale=True)
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()

    def __call__(self, training: Training, event: Event) -> None:
        batch = training.config.batch_size
        if event == "start":
            self.bar.reset(total=training.config.epochs * training.steps_per_epoch * batch)
            self.bar.initial = training.step * batch  # a resumed run starts in the middle
        self.bar.update(training.step * batch - self.bar.n)
        if event == "epoch":
            valid = training.history[-1]
            self.bar.set_postfix_str(
                f"epoch {training.epoch}: excess {valid['excess']:.0f}, KL {valid['kl']:.0f} nats, "
                f"{valid['psnr']:.1f} dB"
            )


def pairs(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """Each face before what the model makes of its mean code, uint8 (2n, h, w, 3).

    A network for every β is taken at the one that `shown` chooses.

    Examples
    --------
    >>> from vae_lib.model import VAE, VAEConfig
    >>> model = VAE(VAEConfig(channels=(4, 8), latent_size=2)).eval()
    >>> pairs(model, np.zeros((3, 64, 64, 3), np.uint8)).shape
    (6, 64, 64, 3)
    """
    model = shown(model)
    reconstructed = decode_images(model, encode_images(model, images)[0])
    return np.stack([images, reconstructed], axis=1).reshape(-1, *images.shape[1:])


class EpochGrids:
    """A training callback: a grid of samples and one of reconstructions after each epoch."""

    def __init__(self, out: Path, faces: Faces) -> None:
        self.folder, self.images = Path(out) / "epochs", spread(faces.split("valid").images, GRID)

    def __call__(self, training: Training, event: Event) -> None:
        if event != "epoch":
            return
        model = shown(training.model)
        z = torch.randn(GRID, training.latent_size, generator=torch.Generator().manual_seed(0))
        for name, images in (
            ("samples", decode_images(model, z)),
            ("reconstructions", pairs(training.model, self.images)),
        ):
            sheet = Image.fromarray(figures.mosaic(images, columns=8))
            buffer = io.BytesIO()
            sheet.save(buffer, "PNG")
            write_atomically(self.folder / f"{training.epoch:02d}_{name}.png", buffer.getvalue())


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure, in the format that the file's ending names.

    Examples
    --------
    >>> save_figure(Path("loss.jpgg"), Figure())
    Traceback (most recent call last):
    vae_lib.errors.InputError: Cannot draw loss.jpgg: Format 'jpgg' is not supported ...
    """
    buffer = io.BytesIO()
    try:
        figure.savefig(buffer, format=path.suffix.lstrip(".") or "png", dpi=150)
    except ValueError as error:
        raise InputError(f"Cannot draw {path.name}: {error}.") from error
    write_atomically(path, buffer.getvalue())
    print(f"Wrote {path}.")


def write_results(out: Path, training: Training) -> None:
    """The loss curve and reconstructions of held-out faces, and what validation says.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from vae_lib.training import TrainConfig, train
    >>> from vae_lib.config import VAEConfig
    >>> faces = Faces.from_arrays(np.zeros((40, 64, 64, 3), np.uint8))
    >>> tiny = VAEConfig(channels=(4, 8), latent_size=2)
    >>> training = train(TrainConfig(epochs=1, batch_size=8, model=tiny), faces, device="cpu")
    >>> with TemporaryDirectory() as folder:
    ...     write_results(Path(folder), training)
    Wrote ...training_loss.png.
    Wrote ...reconstruction_results.png.
    Validation: reconstruction ... nats (... above the pixels' entropy), KL ...
    """
    save_figure(out / "training_loss.png", figures.loss_curves(training.history))
    images = spread(training.valid_images, 10)
    save_figure(
        out / "reconstruction_results.png", figures.reconstructions(shown(training.model), images)
    )
    valid = next(
        record
        for record in reversed(training.history)
        if record["kind"] == "epoch" and record["split"] == "valid"
    )
    print(
        f"Validation: reconstruction {valid['reconstruction']:,.0f} nats "
        f"({valid['excess']:.0f} above the pixels' entropy), KL {valid['kl']:.1f} nats in "
        f"{valid['active_01']} active dimensions, PSNR {valid['psnr']:.2f} dB."
    )
