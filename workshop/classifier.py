"""The attribute classifier in the box: how it was trained, and how good it is."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from vae_lib import pretrained
from vae_lib.checkpoint import save
from vae_lib.devices import choose_device, processor_name
from vae_lib.errors import InputError
from vae_lib.faces.batches import Batches, flip_some, to_pixels
from vae_lib.faces.dataset import Faces
from vae_lib.pretrained.classifier import (
    CLASSIFIER,
    NAME,
    AttributeClassifier,
    check_celeba,
    in_batches,
)
from workshop.ship import record_checksum


def train_classifier(
    faces: Faces,
    *,
    epochs: int = 4,
    seed: int = 0,
    batch_size: int = 128,
    learning_rate: float = 3e-3,
    device: str | None = None,
    on_epoch: Callable[[int, AttributeClassifier], None] = lambda epoch, classifier: None,
) -> tuple[AttributeClassifier, dict[str, Any]]:
    """Train an attribute classifier on the train split: cross-entropy, Adam, random flips.

    The learning rate rises and falls once (Smith & Topin 2019, arXiv:1708.07120), so that the
    last epoch is the one to keep.

    Parameters
    ----------
    faces : Faces
        CelebA, with its train split.
    epochs, batch_size, learning_rate : int, int, float
        The recipe; ``learning_rate`` is the highest.
    seed : int
        Seeds the first weights, the order of the faces and the flips.
    device : str, optional
        Chosen by `vae_lib.devices.choose_device` when not given.
    on_epoch : callable
        Called after each epoch with its number, counted from 1, and the classifier in eval mode.

    Returns
    -------
    classifier : AttributeClassifier
        In eval mode.
    metadata : dict
        The faces, the recipe and the machine.

    Raises
    ------
    InputError
        If the faces are not CelebA with its attributes, or fill no batch.
    """
    check_celeba(faces)
    if not faces.attribute_names:
        raise InputError(
            "These faces of CelebA carry no attributes; put list_attr_celeba.txt beside them."
        )
    train = faces.split("train")
    steps = len(train) // batch_size
    if steps == 0 or epochs < 1:
        raise InputError(
            f"{len(train):,} faces in batches of {batch_size}, {epochs} epochs: that is no "
            "training. Give at least one batch of faces and one epoch."
        )
    chosen, _ = choose_device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = AttributeClassifier(train.attribute_names)
    classifier.to(chosen, memory_format=torch.channels_last)  # type: ignore[call-overload]
    targets = torch.from_numpy(train.attributes > 0).float().to(chosen)
    batches = Batches(train.images, chosen)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, epochs * steps, cycle_momentum=False
    )
    coins = torch.Generator().manual_seed(seed)

    for epoch in range(epochs):
        classifier.train()
        for rows in batches.epoch(batch_size, seed, epoch):
            flips = torch.rand(batch_size, generator=coins) < 0.5
            x = to_pixels(flip_some(batches.gather(rows), flips.to(chosen)))
            loss = F.binary_cross_entropy_with_logits(classifier(x), targets[rows.to(chosen)])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        on_epoch(epoch + 1, classifier.eval())
    recipe = {
        "epochs": epochs,
        "seed": seed,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "flips": True,
    }
    return classifier, {
        "faces": faces.name,
        "fingerprint": faces.fingerprint,
        "train_images": len(train),
        "recipe": recipe,
        "device": processor_name(chosen),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }


def score_classifier(classifier: AttributeClassifier, faces: Faces) -> dict[str, Any]:
    """How well a classifier knows the attributes of faces that it was not trained on.

    Parameters
    ----------
    classifier : AttributeClassifier
        On any device.
    faces : Faces
        With the attributes that the classifier tells, for instance one split of CelebA.

    Returns
    -------
    dict
        ``auc``, the area under the ROC curve, and ``accuracy``, the share of right answers at
        probability ½, both averaged over the attributes; ``majority_accuracy``, the accuracy of
        always answering what is commoner among these very faces; ``auc_per_attribute``, of
        those that some of the faces have and some have not; ``images``.

    Raises
    ------
    InputError
        If the faces carry other attributes than the classifier tells.
    """
    from sklearn.metrics import roc_auc_score

    if faces.attribute_names != classifier.attribute_names:
        raise InputError(
            f"The faces carry {len(faces.attribute_names)} attributes "
            f"({', '.join(faces.attribute_names[:3])} …), the classifier tells "
            f"{len(classifier.attribute_names)} ({', '.join(classifier.attribute_names[:3])} …). "
            "Give it faces of CelebA."
        )
    logits = in_batches(classifier, classifier, faces.images)
    truth = faces.attributes > 0
    share = truth.mean(0)
    aucs = {
        name: float(roc_auc_score(truth[:, k], logits[:, k]))
        for k, name in enumerate(faces.attribute_names)
        if 0 < share[k] < 1
    }
    return {
        "auc": float(np.mean(list(aucs.values()))),
        "accuracy": float(((logits > 0) == truth).mean()),
        "majority_accuracy": float(np.maximum(share, 1 - share).mean()),
        "auc_per_attribute": aucs,
        "images": len(faces),
    }


def save_classifier(classifier: AttributeClassifier, metadata: dict[str, Any]) -> Path:
    """Put a classifier into the package: float16, with its metadata and its checksum."""
    path = pretrained.FOLDER / f"{NAME}.pth"
    weights = {name: value.cpu() for name, value in classifier.half().state_dict().items()}
    classifier.float()
    names = list(classifier.attribute_names)
    save(path, CLASSIFIER, {"attribute_names": names, "weights": weights, "metadata": metadata})
    record_checksum(path)
    return path


def train_and_score(faces: Faces, epochs: int = 4, seed: int = 0, keep: bool = False) -> None:
    """Train a classifier and print how good it is, its weights rounded as they ship."""
    valid, start = faces.split("valid"), time.perf_counter()

    def tell(epoch: int, classifier: AttributeClassifier) -> None:
        auc = score_classifier(classifier, valid)["auc"]
        seconds = time.perf_counter() - start
        print(f"epoch {epoch}: validation ROC-AUC {auc:.4f}, {seconds:,.0f} s", flush=True)

    classifier, metadata = train_classifier(faces, epochs=epochs, seed=seed, on_epoch=tell)
    classifier.half().float()
    for split in ("valid", "test"):
        score = metadata[split] = score_classifier(classifier, faces.split(split))
        print(
            f"{split:<5} {score['images']:>6,} faces: mean ROC-AUC {score['auc']:.4f}, "
            f"accuracy {score['accuracy']:.4f}, always the majority "
            f"{score['majority_accuracy']:.4f}"
        )
    per_attribute = sorted(score["auc_per_attribute"].items(), key=lambda item: item[1])
    for word, part in (("hardest", per_attribute[:3]), ("easiest", per_attribute[-3:])):
        print(f"{word}: " + ", ".join(f"{name} {auc:.3f}" for name, auc in part))
    if keep:
        path = save_classifier(classifier, metadata)
        print(f"wrote {path.name}, {path.stat().st_size:,} bytes")
