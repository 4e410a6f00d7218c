"""Put a trained model into the box: float16 weights, measures, gallery, card."""

import io
from pathlib import Path

import numpy as np
import torch

from vae_lib import pretrained
from vae_lib.cards import card
from vae_lib.checkpoint import load_weights
from vae_lib.evaluation import evaluate
from vae_lib.faces.dataset import SPLITS, Faces
from vae_lib.files import write_atomically
from vae_lib.gallery import make_gallery
from vae_lib.sample_quality import reference_distances

# Attributes whose shares among the training faces a CelebA card names.
SHARES = {
    "young": "Young",
    "male": "Male",
    "glasses": "Eyeglasses",
    "hat": "Wearing_Hat",
    "gray": "Gray_Hair",
    "bald": "Bald",
}


def ship(weights: Path, faces: Faces, commit: str, name: str | None = None) -> str:
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

    Returns
    -------
    str
        The card.
    """
    name = pretrained.check_name(name or Path(weights).stem)
    model, _ = load_weights(weights)
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
    gallery = make_gallery(model, faces)
    pretrained.ship(weights, facts, name)
    gallery.save(pretrained.FOLDER / f"{name}.gallery.npz")
    if faces.name == "celeba":
        save_image_ids(faces)
    return write_card(name)


def write_card(name: str) -> str:
    """Write the card of a model that is in the box, ``NAME.md``, and return it."""
    model, metadata = pretrained.load_pretrained(name)
    text = card(name, metadata, pretrained.load_gallery(name), model.config.latent_size)
    write_atomically(pretrained.FOLDER / f"{name}.md", text.encode())
    return text


def save_image_ids(faces: Faces) -> None:
    """Write which CelebA images the models in the box were made with, by split."""
    numbers = {
        split: np.array([int(Path(name).stem) for name in faces.split(split).ids], np.int32)
        for split in SPLITS
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **numbers)
    write_atomically(pretrained.IDS, buffer.getvalue())
