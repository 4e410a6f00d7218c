"""Weights that ship with the package: float16 on the disk, float32 in use."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vae_lib.checkpoint import load_weights, save_weights
from vae_lib.errors import InputError, foreign
from vae_lib.files import write_atomically
from vae_lib.gallery import Gallery
from vae_lib.model import VAE

FOLDER = Path(__file__).parent
SUMS = FOLDER / "sha256.json"
IDS = FOLDER / "celeba_ids.npz"


def pretrained_names() -> list[str]:
    """The names that `load_pretrained` knows."""
    return sorted(name for name in _sums() if name.startswith("vae_"))


def _sums() -> dict[str, str]:
    """The checksum of each file of weights in the box, by its name."""
    restore = "Restore it with `git checkout -- vae_lib/pretrained`, or install the package again"
    with foreign(f"{SUMS} is damaged", restore):
        sums = json.loads(SUMS.read_bytes())
        if not all(isinstance(value, str) for value in sums.values()):
            raise ValueError("a checksum is no text")
    return sums


def load_pretrained(name: str, device: torch.device | str = "cpu") -> tuple[VAE, dict[str, Any]]:
    """Load a model that ships with the package, in eval mode, with its metadata.

    Parameters
    ----------
    name : str
        For instance ``"vae_celeba"``.
    device : torch.device or str
        Where the model shall live.

    Raises
    ------
    InputError
        If there is no such model (those that there are, are listed), or its file is damaged.
    """
    names = pretrained_names()
    if name not in names:
        raise InputError(f"There is no model {name!r} in the box; there are {', '.join(names)}.")
    return load_weights(verified(name), device)


def load_model(
    name_or_path: str | Path, device: torch.device | str = "cpu"
) -> tuple[VAE, dict[str, Any]]:
    """A model in the box by its name, or any other by the path of its ``.pth`` file."""
    text = str(name_or_path)
    if text.endswith(".pth") or "/" in text or "\\" in text or os.path.exists(text):
        return load_weights(Path(text).expanduser(), device)
    return load_pretrained(text, device)


def verified(name: str) -> Path:
    """The weights file of this name, once its checksum was found to be right.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    path = FOLDER / f"{name}.pth"
    expected = _sums().get(name)
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
        raise InputError(
            f"The weights {path} are missing or damaged; restore them with `git checkout -- "
            "vae_lib/pretrained`, or by installing the package again."
        )
    return path


def record_checksum(path: Path) -> None:
    """Note what a weights file in the box should be like, for `verified`."""
    sums = _sums() if SUMS.exists() else {}
    sums[path.stem] = hashlib.sha256(path.read_bytes()).hexdigest()
    write_atomically(SUMS, (json.dumps(sums, indent=1, sort_keys=True) + "\n").encode())


def load_gallery(name: str) -> Gallery:
    """Codes of test faces and attribute directions that ship with a model.

    Raises
    ------
    InputError
        If there is no such model, or its gallery is missing, damaged or another model's.
    """
    model, _ = load_pretrained(name)
    gallery = Gallery.load(FOLDER / f"{name}.gallery.npz")
    gallery.check(model, name)
    return gallery


def image_ids() -> dict[str, tuple[str, ...]]:
    """File names of the CelebA images that the models in the box were made with.

    Returns
    -------
    dict
        ``"train"``, ``"valid"`` and ``"test"``, each with CelebA's own names (``"000001.jpg"``),
        so that whoever has the full CelebA can measure the very same images.
    """
    with np.load(IDS) as stored:
        return {split: tuple(f"{i:06d}.jpg" for i in stored[split]) for split in stored}


def check_name(name: str) -> str:
    """The name itself, if a model in the box can have it.

    Raises
    ------
    InputError
        If it is no plain name that begins with ``vae_``.
    """
    if not re.fullmatch(r"vae_[A-Za-z0-9_.+-]{1,100}", name):
        raise InputError(
            f"{name!r} cannot be a model's name: it begins with vae_, and letters, digits and "
            "_ . + - follow. Choose another with --name."
        )
    return name


def ship(weights: Path, metadata: dict[str, Any], name: str | None = None) -> Path:
    """Put weights into the box: float16, without training state, with their checksum.

    Parameters
    ----------
    weights : Path
        What ``vae train`` wrote.
    metadata : dict
        Added to the file's own.
    name : str, optional
        The model's name; the file's by default.
    """
    name = check_name(name or Path(weights).stem)
    model, own = load_weights(weights)
    path = FOLDER / f"{name}.pth"
    save_weights(path, model.half(), own | metadata)
    record_checksum(path)
    return path
