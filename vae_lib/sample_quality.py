"""How much decoded draws from the prior look like faces: a distance that needs no download.

A small classifier of CelebA's 40 attributes ships with the package. The *Fréchet distance in its
features* compares two sets of images by the mean and covariance of what its last layer sees. The
formula is that of the "FID" of papers (Heusel et al. 2017), the features are not: the numbers
compare with each other, never with a published FID.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae_lib import pretrained
from vae_lib.checkpoint import load, save
from vae_lib.devices import choose_device, processor_name
from vae_lib.errors import InputError
from vae_lib.evaluation import check_images
from vae_lib.faces.batches import Batches, flip_some, to_pixels
from vae_lib.faces.dataset import Faces
from vae_lib.latent import decode_images, encode_images
from vae_lib.model import VAE, eval_mode, halve, unwrap

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
    classifier.to(chosen, memory_format=torch.channels_last)
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
    logits = _in_batches(classifier, classifier, faces.images)
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


def ship_classifier(classifier: AttributeClassifier, metadata: dict[str, Any]) -> Path:
    """Put a classifier into the package: float16, with its metadata and its checksum."""
    path = pretrained.FOLDER / f"{NAME}.pth"
    weights = {name: value.cpu() for name, value in classifier.half().state_dict().items()}
    classifier.float()
    names = list(classifier.attribute_names)
    save(path, CLASSIFIER, {"attribute_names": names, "weights": weights, "metadata": metadata})
    pretrained.record_checksum(path)
    return path


def load_classifier(
    device: torch.device | str = "cpu",
) -> tuple[AttributeClassifier, dict[str, Any]]:
    """The classifier that ships with the package, in eval mode, with its metadata.

    Raises
    ------
    InputError
        If its file is missing or damaged.
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
    """
    if images.shape[1:] != (64, 64, 3) or len(images) == 0 or images.dtype != np.uint8:
        raise InputError(
            f"Found images of shape {images.shape} and type {images.dtype}; the classifier wants "
            "(n, 64, 64, 3) of uint8, n ≥ 1."
        )
    return _in_batches(classifier, classifier.features, images)


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Squared Fréchet distance between Gaussians fitted to two sets of features.

    |m_a − m_b|² + tr(C_a + C_b − 2 (C_a C_b)^½), with means m and covariances C
    (Dowson & Landau 1982; Heusel et al. 2017, arXiv:1706.08500, Eq. 6).

    Parameters
    ----------
    features_a, features_b : ndarray, shapes (n_a, d) and (n_b, d)
        Two rows or more each. The distance of finite sets is biased upwards, by roughly an
        amount in proportion to 1/n_a + 1/n_b: two samples of the same images are not at 0.
        Compare distances of equal counts, well above d.

    Returns
    -------
    float
        0 for equal mean and covariance; in squared units of the features.

    Raises
    ------
    InputError
        If the shapes do not fit or a set has fewer than two rows.
    """
    a, b = (np.asarray(values, dtype=np.float64) for values in (features_a, features_b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise InputError(
            f"Found features of shapes {a.shape} and {b.shape}; a covariance needs (n, d) with "
            "n ≥ 2, and both the same d."
        )
    covariance_a, covariance_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    # tr (C_a C_b)^½ = tr (C_a^½ C_b C_a^½)^½, and the matrix on the right is symmetric, so that
    # its eigenvalues are real and at least 0, but for rounding.
    values, vectors = np.linalg.eigh(covariance_a)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ covariance_b @ root).clip(0)).sum()
    means = np.square(a.mean(0) - b.mean(0)).sum()
    return max(0.0, float(means + np.trace(covariance_a) + np.trace(covariance_b) - 2 * shared))


def sample_distance(model: VAE, faces: Faces, *, count: int | None = None, seed: int = 0) -> float:
    """Fréchet distance, in the shipped classifier's features, of decoded prior draws to faces.

    Parameters
    ----------
    model : VAE
        Of 64x64 faces.
    faces : Faces
        CelebA faces that the model was not trained on: ``faces.split("test")``.
    count : int, optional
        How many draws to decode; as many as there are faces by default. The distance is biased
        upwards at small counts: compare models at one count.
    seed : int
        Seeds the draws.

    Returns
    -------
    float
        Smaller is better; `reference_distances` gives it a scale.

    Raises
    ------
    InputError
        If the faces are not CelebA (the classifier knows nothing of others), their size is not
        the model's, or ``count`` is below 2.

    Notes
    -----
    The features notice blur and missing detail first, and lack of variety late: fifty sharp
    photographs over and over lie nearer to the test faces than a VAE's softer draws do. So the
    distance ranks models of one kind, and does not tell whether a model invents or remembers.
    ``benchmarks/sample_distance.py`` measures how it responds.
    """
    check_celeba(faces)
    model = unwrap(model)
    check_images(model, faces.images)
    count = len(faces) if count is None else count
    if count < 2:
        raise InputError(f"count is {count}; a covariance needs at least 2 draws.")
    classifier, _ = load_classifier(model.to_mu.weight.device)
    drawn = _decoded(model, _prior(model, count, seed))
    return frechet_distance(features(classifier, drawn), features(classifier, faces.images))


def reference_distances(model: VAE, faces: Faces, *, seed: int = 0) -> dict[str, float | int]:
    """What `sample_distance` can be expected to be: the same distance for sets of known worth.

    Parameters
    ----------
    model : VAE
        Of 64x64 faces.
    faces : Faces
        CelebA, with the train split that the model knows and a test split.
    seed : int
        Seeds which training faces are taken, and all draws.

    Returns
    -------
    dict
        Distances to the test faces, each of as many images as there are test faces
        (``images``): of ``train_faces``, the floor, which is not 0 only because the sets are
        finite; of ``reconstructions``, decoded posterior means of the test faces themselves;
        of ``aggregate_posterior``, decoded draws from the posteriors of training faces, which
        can be nearer, since posterior means decode to softer images than draws do; of ``prior``,
        which is `sample_distance`; of ``mean_face``, one image over and over; of ``noise``,
        uniform in every pixel.

    Raises
    ------
    InputError
        As `sample_distance`.
    """
    check_celeba(faces)
    model = unwrap(model)
    check_images(model, faces.images)
    test, train = faces.split("test"), faces.split("train")
    count = min(len(test), len(train))
    rng = np.random.default_rng(seed)
    others = train.images[np.sort(rng.permutation(len(train))[:count])]
    mu, logvar = encode_images(model, others)
    codes = mu + np.exp(logvar / 2) * rng.standard_normal(mu.shape, dtype=np.float32)
    mean_face = np.mean(others, axis=0, dtype=np.float64).round().astype(np.uint8)

    classifier, _ = load_classifier(model.to_mu.weight.device)
    real = features(classifier, test.images)
    distances = {
        name: frechet_distance(features(classifier, images), real)
        for name, images in {
            "train_faces": others,
            "reconstructions": _decoded(model, encode_images(model, test.images)[0]),
            "aggregate_posterior": _decoded(model, codes),
            "prior": _decoded(model, _prior(model, count, seed)),
            "mean_face": np.stack([mean_face, mean_face]),
            "noise": rng.integers(0, 256, others.shape, dtype=np.uint8),
        }.items()
    }
    return distances | {"images": count}


def check_celeba(faces: Faces) -> None:
    """Raise InputError unless the faces are CelebA's: the classifier has seen no others."""
    if faces.name != "celeba":
        raise InputError(
            f"The attribute classifier knows CelebA's faces and no others; found {faces.name!r} "
            "faces. Open CelebA with --data DIR or CELEBA_ROOT."
        )


def _prior(model: VAE, count: int, seed: int) -> np.ndarray:
    """Draws from N(0, I), (count, latent_size), the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, model.config.latent_size, generator=generator).numpy()


def _decoded(model: VAE, codes: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Images of codes, rounded to uint8 as the faces are that they are compared with."""
    starts = range(0, len(codes), batch_size)
    return np.concatenate([decode_images(model, codes[i : i + batch_size]) for i in starts])


@torch.no_grad()
def _in_batches(
    classifier: AttributeClassifier,
    function: Callable[[Tensor], Tensor],
    images: np.ndarray,
    batch_size: int = 256,
) -> np.ndarray:
    """A function of pixels on the classifier's device, applied to a few images at a time."""
    device = classifier.to_logits.weight.device
    parts = (images[i : i + batch_size] for i in range(0, len(images), batch_size))
    with eval_mode(classifier):
        return np.concatenate(
            [
                function(to_pixels(torch.from_numpy(np.array(part)).to(device))).cpu().numpy()
                for part in parts
            ]
        )
