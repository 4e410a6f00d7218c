"""Weights that ship with the package: float16 on the disk, float32 in use."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch

from vae_lib.checkpoint import load_weights
from vae_lib.errors import InputError, foreign
from vae_lib.model import VAE
from vae_lib.pretrained.beta_table import BetaTable
from vae_lib.pretrained.gallery import Gallery

FOLDER = Path(__file__).parent
SUMS = FOLDER / "sha256.json"
IDS = FOLDER / "celeba_ids.npz"


def pretrained_names() -> list[str]:
    """The names of models of one β, each of which has a gallery.

    Examples
    --------
    >>> pretrained_names()[:3]
    ['vae_beta_10', 'vae_beta_4', 'vae_celeba']
    """
    return sorted(name for name in checksums() if name.startswith("vae_") and not _any_beta(name))


def any_beta_names() -> list[str]:
    """The names of networks for every β, each of which has a gallery and a table of β.

    Examples
    --------
    >>> any_beta_names()
    ['vae_any_beta', 'vae_any_beta_synthetic']
    """
    return sorted(filter(_any_beta, checksums()))


def _any_beta(name: str) -> bool:
    return name.startswith("vae_any_beta")


def checksums() -> dict[str, str]:
    """The checksum of each file of weights in the box, by its name.

    Examples
    --------
    >>> len(checksums()["vae_celeba"])
    64
    """
    restore = "Restore it with `git checkout -- vae_lib/pretrained`, or install the package again"
    with foreign(f"{SUMS} is damaged", restore):
        sums = json.loads(SUMS.read_bytes())
        if not all(isinstance(value, str) for value in sums.values()):
            raise ValueError("a checksum is no text")
    return sums


def load_pretrained(name: str, device: torch.device | str = "cpu") -> VAE:
    """Load a model that ships with the package, in eval mode.

    Parameters
    ----------
    name : str
        For instance ``"vae_celeba"``, or ``"vae_any_beta"``, which is an `AnyBetaVAE`.
    device : torch.device or str
        Where the model shall live.

    Returns
    -------
    VAE
        Its ``metadata`` is a plain dictionary: ``recipe``, ``faces``, measures on ``test`` faces.

    Raises
    ------
    InputError
        If there is no such model (those that there are, are listed), or its file is damaged.

    Examples
    --------
    >>> model = load_pretrained("vae_celeba")
    >>> model.metadata["faces"], model.metadata["recipe"]["beta"], model.metadata["test"]["psnr"]
    ('celeba', 1.0, 22.9)
    >>> model.sample(2).shape
    torch.Size([2, 3, 64, 64])
    """
    names = pretrained_names() + any_beta_names()
    if name not in names:
        raise InputError(f"There is no model {name!r} in the box; there are {', '.join(names)}.")
    return load_weights(verified(name), device)


def load_model(name_or_path: str | Path, device: torch.device | str = "cpu") -> VAE:
    """A model in the box by its name, or any other by the path of its ``.pth`` file.

    Examples
    --------
    >>> load_model("vae_beta_4").metadata["recipe"]["beta"]
    4.0
    """
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

    Examples
    --------
    >>> verified("vae_celeba").name
    'vae_celeba.pth'
    """
    path = FOLDER / f"{name}.pth"
    expected = checksums().get(name)
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
        raise InputError(
            f"The weights {path} are missing or damaged; restore them with `git checkout -- "
            "vae_lib/pretrained`, or by installing the package again."
        )
    return path


def load_gallery(name: str) -> Gallery:
    """Codes of test faces and attribute directions that ship with a model.

    Raises
    ------
    InputError
        If there is no such model, or its gallery is missing, damaged or another model's.

    Examples
    --------
    >>> gallery = load_gallery("vae_celeba")
    >>> gallery.mu.shape, len(gallery.attribute_names)
    ((64, 128), 40)
    >>> smiling = gallery.attribute_names.index("Smiling")
    >>> gallery.scores.kind[smiling], round(float(gallery.scores.probe[smiling]), 2)
    ('ROC-AUC', 0.9)
    """
    model = load_pretrained(name)
    gallery = Gallery.load(FOLDER / f"{name}.gallery.npz")
    gallery.check(model, name)
    return gallery


def load_beta_table(name: str) -> BetaTable:
    """What a network for every β in the box makes of its gallery's faces, at several β.

    Raises
    ------
    InputError
        If there is no such network, or its table is missing, damaged or another's.

    Examples
    --------
    >>> table = load_beta_table("vae_any_beta")
    >>> table.betas.tolist()
    [0.5, 0.7, 1.0, 2.0, 3.0, 4.0, 7.0, 10.0, 20.0]
    >>> bool((np.diff(table.psnr) < 0).all())
    True
    """
    gallery = load_gallery(name)
    table = BetaTable.load(FOLDER / f"{name}.betas.npz")
    if table.mu.shape[1:] != gallery.mu.shape:
        raise InputError(f"The table of β of {name} is not that of its gallery; restore both.")
    return table


def image_ids() -> dict[str, tuple[str, ...]]:
    """File names of the CelebA images that the models in the box were made with.

    Returns
    -------
    dict
        ``"train"``, ``"valid"`` and ``"test"``, each with CelebA's own names (``"000001.jpg"``),
        so that whoever has the full CelebA can measure the very same images.

    Examples
    --------
    >>> {split: len(names) for split, names in image_ids().items()}
    {'train': 49820, 'valid': 6111, 'test': 3147}
    """
    with np.load(IDS) as stored:
        return {split: tuple(f"{i:06d}.jpg" for i in stored[split]) for split in stored}
