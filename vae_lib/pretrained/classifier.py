"""A small classifier of CelebA's forty attributes, and the features that it sees faces by."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vae_lib import pretrained
from vae_lib.checkpoint import load
from vae_lib.errors import InputError
from vae_lib.faces.batches import pixel_batches
from vae_lib.faces.dataset import Faces
from vae_lib.model import eval_mode, halve

CLASSIFIER = "vae_lib attribute classifier"
NAME = "attribute_classifier"


class AttributeClassifier(nn.Module):
    """A convolutional network that tells CelebA's attributes from a 64x64 face.

    Parameters
    ----------
    attribute_names : sequence of str
        What each output is about.

    Notes
    -----
    Conv layers as in the VAE's encoder, then a linear layer that still knows *where* in the face
    something was seen; 491,192 parameters for 40 attributes. A new classifier's weights come
    from PyTorch's global generator.
    """

    def __init__(self, attribute_names: tuple[str, ...]) -> None:
        super().__init__()
        self.attribute_names = tuple(attribute_names)
        # 3×64×64 → 24×32×32 → 48×16×16 → 96×8×8 → 128×4×4 → 96
        self.layers = nn.Sequential(
            halve(3, 24),
            halve(24, 48),
            halve(48, 96),
            halve(96, 128),
            nn.Flatten(),
            nn.Linear(2048, 96, bias=False),  # BatchNorm has the bias
            nn.BatchNorm1d(96),
            nn.LeakyReLU(0.2),
        )
        self.to_logits = nn.Linear(96, len(self.attribute_names))

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees, (n, 96), of images (n, 3, 64, 64) in [0, 1]."""
        return self.layers(x)

    def forward(self, x: Tensor) -> Tensor:
        """Log-odds of each attribute, (n, k), of images (n, 3, 64, 64) in [0, 1]."""
        return self.to_logits(self.features(x))


def load_classifier(
    device: torch.device | str = "cpu",
) -> tuple[AttributeClassifier, dict[str, Any]]:
    """The classifier that ships with the package, in eval mode, with its metadata.

    Raises
    ------
    InputError
        If its file is missing or damaged.

    Examples
    --------
    >>> classifier, metadata = load_classifier()
    >>> len(classifier.attribute_names), round(metadata["test"]["auc"], 2)
    (40, 0.91)
    """
    content = load(pretrained.verified(NAME), CLASSIFIER)
    with torch.random.fork_rng(devices=[]):  # weights that are replaced at once
        classifier = AttributeClassifier(content["attribute_names"])
    classifier.load_state_dict(content["weights"])
    return classifier.to(device).eval(), content["metadata"]


def features(classifier: AttributeClassifier, images: np.ndarray) -> np.ndarray:
    """The classifier's features of images: what `frechet_distance` compares.

    Parameters
    ----------
    classifier : AttributeClassifier
        On any device.
    images : ndarray of uint8, shape (n, 64, 64, 3)
        At least one.

    Returns
    -------
    ndarray of float32, shape (n, 96)

    Raises
    ------
    InputError
        If there are no images, or they are not 64x64.

    Examples
    --------
    >>> features(load_classifier()[0], np.zeros((5, 64, 64, 3), np.uint8)).shape
    (5, 96)
    """
    if images.shape[1:] != (64, 64, 3) or len(images) == 0 or images.dtype != np.uint8:
        raise InputError(
            f"Found images of shape {images.shape} and type {images.dtype}; the classifier wants "
            "(n, 64, 64, 3) of uint8, n ≥ 1."
        )
    return in_batches(classifier, classifier.features, images)


def check_celeba(faces: Faces) -> None:
    """Raise InputError unless the faces are CelebA's: the classifier has seen no others.

    Examples
    --------
    >>> check_celeba(Faces.from_arrays(np.zeros((3, 64, 64, 3), np.uint8), name="mine"))
    Traceback (most recent call last):
    vae_lib.errors.InputError: The attribute classifier knows CelebA's faces ...
    """
    if faces.name != "celeba":
        raise InputError(
            f"The attribute classifier knows CelebA's faces and no others; found {faces.name!r} "
            "faces. Open CelebA with --data DIR or CELEBA_ROOT."
        )


@torch.no_grad()
def in_batches(
    classifier: AttributeClassifier,
    function: Callable[[Tensor], Tensor],
    images: np.ndarray,
) -> np.ndarray:
    """A function of pixels on the classifier's device, applied to a few images at a time.

    Examples
    --------
    >>> classifier, _ = load_classifier()
    >>> in_batches(classifier, classifier, np.zeros((5, 64, 64, 3), np.uint8)).shape
    (5, 40)
    """
    batches = pixel_batches(images, classifier.to_logits.weight.device)
    with eval_mode(classifier):
        return np.concatenate([function(x).cpu().numpy() for x in batches])
