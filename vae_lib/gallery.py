"""Encoded faces without photographs: what exploring a model needs where its data is not at hand."""

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch

from vae_lib.attributes import attribute_directions, is_label, score_attributes
from vae_lib.checkpoint import write_atomically
from vae_lib.errors import InputError
from vae_lib.faces.dataset import Faces
from vae_lib.latent import encode_images
from vae_lib.model import VAE
from vae_lib.objective import kl_per_dimension

SIZE = 64  # faces in a gallery
FLOAT16 = ("mu", "logvar", "directions")


@dataclass(frozen=True, eq=False)
class Gallery:
    """Codes of some test faces, and what the latent space of one model knows; no pixels.

    ``n`` faces, ``k`` attributes.
    """

    ids: tuple[str, ...]
    """File names of the faces, or ``"synthetic-018001"``."""
    mu: np.ndarray
    """Posterior means, float32 (n, latent_size)."""
    logvar: np.ndarray
    """Posterior log-variances, float32 (n, latent_size)."""
    attribute_names: tuple[str, ...]
    """CelebA's forty, or the factors of synthetic faces."""
    attributes: np.ndarray
    """0 or 1, or a factor's value, float32 (n, k)."""
    directions: np.ndarray
    """`vae_lib.attributes.attribute_directions` of the training faces, float32 (k, latent_size)."""
    probe_score: tuple[str, ...]
    """What `probe_auc` and `best_auc` are: ``"ROC-AUC"`` or ``"R²"``, one per attribute."""
    probe_auc: np.ndarray
    """Held-out score of a linear probe on all dimensions, float32 (k,)."""
    best_auc: np.ndarray
    """Held-out score of the best single dimension, float32 (k,)."""
    best_dimension: np.ndarray
    """Which dimension that is, int64 (k,)."""
    dimension_auc: np.ndarray
    """Held-out score of every single dimension, float32 (k, latent_size)."""
    kl: np.ndarray
    """Mean KL of each dimension over the test faces, nats, float32 (latent_size,)."""

    @property
    def latent_size(self) -> int:
        return self.mu.shape[1]

    def save(self, path: Path) -> None:
        """Write one small .npz; codes and directions are rounded to float16."""
        buffer = io.BytesIO()
        values = asdict(self)
        for name in FLOAT16:
            values[name] = values[name].astype(np.float16)
        np.savez_compressed(buffer, **values)
        write_atomically(Path(path), buffer.getvalue())

    @staticmethod
    def load(path: Path) -> "Gallery":
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file is missing, damaged or no gallery.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                values = {field.name: stored[field.name] for field in fields(Gallery)}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(
                f"The gallery {path} is missing, damaged or of another version ({error}). Restore "
                "it with `git checkout -- vae_lib/pretrained`, or install the package again."
            ) from error
        for name in FLOAT16:
            values[name] = values[name].astype(np.float32)
        for name in ("ids", "attribute_names", "probe_score"):
            values[name] = tuple(values[name].tolist())
        return Gallery(**values)

    def check(self, model: VAE, name: str = "this model") -> None:
        """Raise InputError unless the codes are those of a model with this latent size."""
        if self.latent_size != model.config.latent_size:
            raise InputError(
                f"The gallery holds codes of {self.latent_size} dimensions and {name} has "
                f"{model.config.latent_size}: they do not belong together. Use the gallery that "
                "was made with the model."
            )


def make_gallery(model: VAE, faces: Faces) -> Gallery:
    """Encode faces and measure what the codes know.

    Parameters
    ----------
    model : VAE
        In whatever mode; it is put into eval mode and back.
    faces : Faces
        With attributes. Directions and probes are fitted on the train split and scored on the
        test split, from which the gallery's faces are chosen too.
    """
    train, test = faces.split("train"), faces.split("test")
    train_mu, _ = encode_images(model, train.images)
    mu, logvar = encode_images(model, test.images)
    scores = score_attributes(
        train_mu, train.attributes, mu, test.attributes, faces.attribute_names
    )
    chosen = choose_faces(test.attributes, min(SIZE, len(test)))
    labels = np.array([is_label(column) for column in train.attributes.T])
    attributes = np.where(labels, test.attributes > 0, test.attributes)
    return Gallery(
        ids=tuple(test.ids[chosen].tolist()),
        mu=mu[chosen],
        logvar=logvar[chosen],
        attribute_names=tuple(faces.attribute_names),
        attributes=attributes[chosen].astype(np.float32),
        directions=attribute_directions(train_mu, train.attributes),
        probe_score=scores.kind,
        probe_auc=scores.probe.astype(np.float32),
        best_auc=scores.best.astype(np.float32),
        best_dimension=scores.best_dimension,
        dimension_auc=scores.per_dimension.astype(np.float32),
        kl=kl_per_dimension(torch.from_numpy(mu), torch.from_numpy(logvar)).mean(0).numpy(),
    )


def choose_faces(attributes: np.ndarray, count: int) -> Sequence[int]:
    """Rows that cover the attributes: each is met both with and without, as often as can be.

    Greedy: every next face is the one that adds most to the attribute values that were met least
    so far; of equal ones the first. Numbers count as above or below their median.

    Parameters
    ----------
    attributes : ndarray, shape (n, k)
        Labels or numbers.
    count : int
        How many rows, at most n.
    """
    middle = np.where(
        [is_label(c) for c in attributes.T], attributes.mean(0), np.median(attributes, 0)
    )
    high = attributes > middle
    either = np.concatenate([high, ~high], axis=1).astype(float)  # (n, 2k)
    met, free, chosen = np.zeros(either.shape[1]), np.ones(len(either), bool), []
    for _ in range(count):
        gain = either @ (1 / (1 + met) ** 2)
        chosen.append(int(np.where(free, gain, -1).argmax()))
        free[chosen[-1]] = False
        met += either[chosen[-1]]
    return sorted(chosen)
