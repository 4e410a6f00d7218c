"""Put a trained model into the box: float16 weights, measures, gallery, card."""

import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vae_lib import pretrained
from vae_lib.checkpoint import load_weights, save_weights
from vae_lib.errors import InputError
from vae_lib.evaluation import evaluate
from vae_lib.faces.dataset import SPLITS, Faces
from vae_lib.files import write_atomically
from vae_lib.latent import encode_images
from vae_lib.pretrained.beta_table import make_beta_gallery
from vae_lib.pretrained.gallery import make_gallery
from vae_lib.sample_distance import reference_distances
from workshop.cards import any_beta_card, card

# Attributes whose shares among the training faces a CelebA card names.
SHARES = {
    "young": "Young",
    "male": "Male",
    "glasses": "Eyeglasses",
    "hat": "Wearing_Hat",
    "gray": "Gray_Hair",
    "bald": "Bald",
}


def ship(
    weights: Path, faces: Faces, commit: str, name: str | None = None, ids_of: str | None = None
) -> str:
    """Measure a model as it will be shipped, rounded to float16, and put it into the box.

    Parameters
    ----------
    weights : Path
        What ``vae train`` or ``vae sweep`` wrote.
    faces : Faces
        Those it was trained on; every image of the test split is measured.
    commit : str
        Of the code that trained it.
    name : str, optional
        Under which it will be loaded; the file's own by default.
    ids_of : str, optional
        The model whose gallery's faces it shall show, so that both can stand side by side.

    Returns
    -------
    str
        The card.
    """
    name = check_name(name or Path(weights).stem)
    model = load_weights(weights)
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.copy_(value.half().float())
    facts = {
        "commit": commit,
        "test_images": len(faces.split("test")),
        "test": evaluate(model, faces.split("test").images, ssim=True).flat(),
    }
    if faces.name == "celeba":
        has = faces.split("train").attributes > 0
        columns = list(faces.attribute_names)
        facts["shares"] = {k: float(has[:, columns.index(v)].mean()) for k, v in SHARES.items()}
        facts["samples"] = reference_distances(model, faces)
    gallery = make_gallery(model, faces, ids=pretrained.load_gallery(ids_of).ids if ids_of else ())
    path = pretrained.FOLDER / f"{name}.pth"
    save_weights(path, model.half(), model.metadata | facts)
    record_checksum(path)
    gallery.save(pretrained.FOLDER / f"{name}.gallery.npz")
    if faces.name == "celeba":
        save_image_ids(faces)
    return write_card(name)


def fit_codes(faces: Faces) -> list[str]:
    """Measure anew where codes live, for the galleries in the box of models of such faces.

    Returns
    -------
    list of str
        Their names; all else in their galleries stays as it is.
    """
    images = faces.split("valid").images
    names = []
    for name in pretrained.pretrained_names():
        model = pretrained.load_pretrained(name)
        if model.metadata["faces"] == faces.name:
            gallery = pretrained.load_gallery(name).fitted(*encode_images(model, images))
            gallery.save(pretrained.FOLDER / f"{name}.gallery.npz")
            names.append(name)
    return names


def ship_beta_table(name: str, faces: Faces, ids_of: str) -> str:
    """Make the gallery and the table of β of a network in the box, and write its card.

    Parameters
    ----------
    name : str
        Of a network for every β whose weights are in the box.
    faces : Faces
        Those it was trained on.
    ids_of : str
        The model whose gallery's faces it shall show, so that both can stand side by side.
    """
    ids = pretrained.load_gallery(ids_of).ids
    model = pretrained.load_pretrained(name)
    gallery, table = make_beta_gallery(model, faces, ids)  # type: ignore[arg-type]
    gallery.save(pretrained.FOLDER / f"{name}.gallery.npz")
    table.save(pretrained.FOLDER / f"{name}.betas.npz")
    return write_card(name)


def record_checksum(path: Path) -> None:
    """Note what a weights file in the box should be like, for `vae_lib.pretrained.verified`."""
    sums = pretrained.checksums() if pretrained.SUMS.exists() else {}
    sums[path.stem] = hashlib.sha256(path.read_bytes()).hexdigest()
    write_atomically(pretrained.SUMS, (json.dumps(sums, indent=1, sort_keys=True) + "\n").encode())


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


def write_card(name: str) -> str:
    """Write the card of a model that is in the box, ``NAME.md``, and return it."""
    model = pretrained.load_pretrained(name)
    if name in pretrained.any_beta_names():
        text = any_beta_card(name, model.metadata, pretrained.load_beta_table(name))
        write_atomically(pretrained.FOLDER / f"{name}.md", text.encode())
        return text
    text = card(name, model.metadata, pretrained.load_gallery(name), model.config.latent_size)
    write_atomically(pretrained.FOLDER / f"{name}.md", text.encode())
    return text


def save_image_ids(faces: Faces) -> None:
    """Write which CelebA images the models in the box were made with, by split."""
    numbers: dict[str, Any] = {
        split: np.array([int(Path(name).stem) for name in faces.split(split).ids], np.int32)
        for split in SPLITS
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **numbers)
    write_atomically(pretrained.IDS, buffer.getvalue())
