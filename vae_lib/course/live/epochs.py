"""Training, epoch by epoch: a figure that is fed while a model trains, or by a run's folder."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from PIL import Image

from vae_lib.course.live.modules import HERE, script
from vae_lib.errors import InputError, foreign
from vae_lib.figures import mosaic
from vae_lib.files import reading, write_atomically
from vae_lib.training import Event, Training
from vae_lib.training.watch import pairs, spread

MEASURES = ("excess", "kl", "psnr")
SHOWN, COLUMNS, SIDE = 8, 8, 64  # pairs in a picture, pictures in a row, pixels of one
SHIPPED = HERE / "epochs.npz"


class Epochs(anywidget.AnyWidget):
    """Held-out faces and measures after each epoch, under a slider.

    It is a callback of `vae_lib.train` and shows each epoch when it ends; or it shows a folder
    that ``vae train`` or ``vae sweep`` wrote.

    Parameters
    ----------
    run : Path, optional
        The folder of a run.

    Attributes
    ----------
    measures : list of dict
        For each epoch its number ``epoch``, and under ``train`` and ``valid`` excess and KL (nats
        per face) and PSNR (dB).
    pictures : list of str
        For each epoch eight faces, each before its reconstruction, as the address of a JPEG.
    epoch : int
        Which stands under the slider, from 1; 0 follows the newest.

    Raises
    ------
    InputError
        If the folder holds no run with pictures, or files that cannot be read.

    Examples
    --------
    >>> figure = Epochs.shipped()
    >>> figure.epoch = 3
    >>> sorted(figure.measures[2]["valid"])
    ['excess', 'kl', 'psnr']
    """

    _esm = script("epochs")
    _css = HERE / "live.css"
    measures: Any = traitlets.List().tag(sync=True)
    pictures: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    epoch = traitlets.Int(0, min=0).tag(sync=True, echo_update=False)

    def __init__(self, run: Path | str | None = None) -> None:
        super().__init__()
        if run is not None:
            self._read(Path(run).expanduser())

    def __call__(self, training: Training, event: Event) -> None:
        """Begin anew when training starts; add an epoch when one ends."""
        if event == "start":
            self.measures, self.pictures, self.epoch = [], [], 0
        if event == "epoch":
            images = spread(training.valid_images, SHOWN)
            sheet = mosaic(pairs(training.model, images), COLUMNS)
            self.measures = _measures(training.history)
            self.pictures = [*self.pictures, _address(_jpeg(sheet))]

    def _read(self, folder: Path) -> None:
        """Fill the figure from a run's folder."""
        history = folder / "history.jsonl"
        with reading(history):
            lines = history.read_bytes().splitlines()
        with foreign(f"{history} was changed", "Restore it"):
            found = _measures([json.loads(line) for line in lines if line.strip()])
        rows = -(-2 * SHOWN // COLUMNS)
        pictures = []
        for one in found:
            file = folder / "epochs" / f"{one['epoch']:02d}_reconstructions.png"
            if not file.exists():
                break
            with foreign(f"{file} cannot be read", "Restore it"), Image.open(file) as image:
                top = image.convert("RGB").crop((0, 0, image.width, rows * (SIDE + 2) + 2))
            pictures.append(_address(_jpeg(np.asarray(top))))
        if not pictures:
            raise InputError(
                f"{folder} holds no finished epoch with its picture; give the folder of a run "
                "(--out of vae train) of which at least one epoch is finished."
            )
        self.measures, self.pictures = found[: len(pictures)], pictures

    def keep(self, file: Path) -> None:
        """Write what is shown, as `shipped` reads it."""
        arrays: dict[str, Any] = {
            f"{i:03d}": np.frombuffer(base64.b64decode(address.partition(",")[2]), np.uint8)
            for i, address in enumerate(self.pictures)
        }
        arrays["measures"] = np.frombuffer(json.dumps(self.measures).encode(), np.uint8)
        content = io.BytesIO()
        np.savez(content, **arrays)
        write_atomically(file, content.getvalue())

    @classmethod
    def shipped(cls, file: Path = SHIPPED) -> "Epochs":
        """The ten epochs of the recipe of ``vae_synthetic``, on drawn faces.

        >>> len(Epochs.shipped().pictures)
        10
        """
        figure = cls()
        with np.load(file) as kept:
            figure.measures = json.loads(kept["measures"].tobytes())
            figure.pictures = [
                _address(kept[name].tobytes()) for name in sorted(kept) if name != "measures"
            ]
        return figure


def _measures(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each finished epoch, by split."""
    found: dict[int, dict[str, Any]] = {}
    for record in history:
        if record["kind"] == "epoch":
            one = found.setdefault(record["epoch"], {"epoch": record["epoch"]})
            one[record["split"]] = {name: float(record[name]) for name in MEASURES}
    return [one for _, one in sorted(found.items()) if "valid" in one and "train" in one]


def _jpeg(sheet: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(sheet).save(content, "JPEG", quality=85, subsampling=0)
    return content.getvalue()


def _address(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
