"""Encoded faces without photographs: what exploring a model needs where its data is not at hand."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from vae_lib.attributes import (
    AttributeScores,
    attribute_directions,
    is_label,
    score_attributes,
    usable,
)
from vae_lib.errors import InputError, foreign
from vae_lib.faces.dataset import Faces
from vae_lib.files import write_atomically
from vae_lib.latent import encode_images, gaussian_of_codes
from vae_lib.model import VAE
from vae_lib.objective import kl_per_dimension

SIZE = 64  # faces in a gallery
FLOAT16 = ("mu", "logvar", "directions", "code_mean", "code_factor")
WORDS = ("ids", "names", "kind")
OWN = ("ids", "mu", "logvar", "attributes", "directions", "kl")
FIT = ("code_mean", "code_factor")  # which older files lack
SCORES = tuple(field.name for field in fields(AttributeScores))
# Of files that were written when every score was called an AUC.
OLDER_NAMES = {
    "names": "attribute_names",
    "kind": "probe_score",
    "probe": "probe_auc",
    "per_dimension": "dimension_auc",
}


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
    attributes: np.ndarray
    """0 or 1, or a factor's value, float32 (n, k); NaN where nothing is known."""
    directions: np.ndarray
    """`vae_lib.attributes.attribute_directions` of the training faces, float32 (k, latent_size)."""
    scores: AttributeScores
    """What probes and single dimensions know of the k attributes, on the test faces."""
    kl: np.ndarray
    """Mean KL of each dimension over the test faces, nats, float32 (latent_size,)."""
    code_mean: np.ndarray | None = None
    """Mean of codes drawn for validation faces, float32 (latent_size,); None in older files."""
    code_factor: np.ndarray | None = None
    """L of these codes' covariance L Lᵀ, lower triangular, float32 (latent_size, latent_size)."""

    @property
    def latent_size(self) -> int:
        return self.mu.shape[1]

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """CelebA's forty, or the factors of drawn faces."""
        return self.scores.names

    def sample_codes(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Draw codes where faces live: from a Gaussian fitted to the codes of validation faces.

        Parameters
        ----------
        count : int
            How many.
        generator : torch.Generator, optional
            On the CPU. One seed gives draws from the same noise here and in ``VAE.sample``, so
            that the faces can be compared one by one.

        Returns
        -------
        Tensor, float32 of shape (count, latent_size)

        Raises
        ------
        InputError
            If the gallery was made before galleries knew this.

        Examples
        --------
        >>> from vae_lib import load_gallery
        >>> z = load_gallery("vae_celeba").sample_codes(4000, torch.Generator().manual_seed(0))
        >>> z.shape, round(z.var(0).max().item(), 1)  # the prior has variance 1 everywhere
        (torch.Size([4000, 128]), 1.9)
        """
        if self.code_mean is None or self.code_factor is None:
            raise InputError(
                "This gallery does not say where codes live: it was made by an older version. Make "
                "it again with vae_lib.pretrained.gallery.make_gallery."
            )
        noise = torch.randn(count, self.latent_size, generator=generator)
        return torch.from_numpy(self.code_mean) + noise @ torch.from_numpy(self.code_factor).T

    def fitted(self, mu: np.ndarray, logvar: np.ndarray) -> "Gallery":
        """This gallery with the moments of these posteriors, those of validation faces."""
        mean, covariance = gaussian_of_codes(mu, logvar)
        factor = np.linalg.cholesky(covariance)
        return replace(
            self, code_mean=mean.astype(np.float32), code_factor=factor.astype(np.float32)
        )

    def save(self, path: Path) -> None:
        """Write one small .npz; codes and directions are rounded to float16."""
        buffer = io.BytesIO()
        kept = OWN if self.code_mean is None else OWN + FIT
        values = {name: getattr(self, name) for name in kept} | vars(self.scores)
        for name in FLOAT16:
            if name in values:
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
        restore = (
            "Restore it with `git checkout -- vae_lib/pretrained`, or install the package again"
        )
        with foreign(f"The gallery {path} is missing, damaged or of another version", restore):
            with np.load(path, allow_pickle=False) as stored:
                older = OLDER_NAMES if "probe_auc" in stored else {}
                names = [*OWN, *SCORES, *(FIT if "code_mean" in stored else ())]
                values = {name: stored[older.get(name, name)] for name in names}
            for name in FLOAT16:
                if name in values:
                    values[name] = values[name].astype(np.float32)
            for name in WORDS:
                if values[name].dtype.kind not in "US" and values[name].size:
                    raise ValueError(f"{name} are no words")
                values[name] = tuple(map(str, values[name].tolist()))
            scores = AttributeScores(**{name: values.pop(name) for name in SCORES})
            gallery = Gallery(**values, scores=scores)
            gallery._check_shapes()
        return gallery

    def _check_shapes(self) -> None:
        """Raise ValueError unless everything is a number and belongs together."""
        n, k, size = len(self.ids), len(self.attribute_names), self.kl.shape[-1]
        shapes: dict[str, tuple[int, ...]] = {name: (n, size) for name in ("mu", "logvar")}
        shapes |= {name: (k, size) for name in ("directions", "per_dimension")}
        shapes |= {"attributes": (n, k), "kl": (size,), "probe": (k,), "best_dimension": (k,)}
        if self.code_mean is not None:
            shapes |= {"code_mean": (size,), "code_factor": (size, size)}
        for name, shape in shapes.items():
            values = getattr(self if name in OWN + FIT else self.scores, name)
            if values.shape != shape or values.dtype.kind not in "fiu":
                raise ValueError(f"{name} is {values.dtype} of shape {values.shape}, not {shape}")
            if name != "attributes" and not np.isfinite(values).all():
                raise ValueError(f"{name} is not finite")
        if len(self.scores.kind) != k or not np.isin(self.scores.best_dimension, range(size)).all():
            raise ValueError("scores or dimensions are not those of its attributes")

    def check(self, model: VAE, name: str = "this model") -> None:
        """Raise InputError unless the codes are those of a model with this latent size."""
        if self.latent_size != model.config.latent_size:
            raise InputError(
                f"The gallery holds codes of {self.latent_size} dimensions and {name} has "
                f"{model.config.latent_size}: they do not belong together. Use the gallery that "
                "was made with the model."
            )


def make_gallery(
    model: VAE, faces: Faces, *, beta: float | None = None, ids: Sequence[str] = ()
) -> Gallery:
    """Encode faces and measure what the codes know.

    Parameters
    ----------
    model : VAE
        In whatever mode; it is put into eval mode and back.
    faces : Faces
        With attributes. Directions and probes are fitted on the train split and scored on the
        test split, from which the gallery's faces are chosen too. Where codes live is measured on
        the valid split, or on the test split where there is none. Attributes that all faces of a
        split have alike teach nothing and are left out; a warning names them.
    beta : float, optional
        For an `AnyBetaVAE`, which needs it: at which β.
    ids : sequence of str
        The test faces to show, as another model's gallery has them; by default `choose_faces`
        chooses.

    Examples
    --------
    >>> faces = Faces.from_arrays(np.zeros((50, 64, 64, 3), np.uint8))
    >>> gallery = make_gallery(VAE(), faces)
    >>> gallery.mu.shape, gallery.attribute_names
    ((5, 128), ())
    """
    train, test = faces.split("train"), faces.split("test")
    valid = faces.split("valid") if 1 in faces.splits else test
    kept = usable(train.attributes, test.attributes)
    names = np.array(faces.attribute_names, dtype=str)
    if not kept.all():
        warnings.warn(
            f"Left out, since all faces of a split have them alike: {', '.join(names[~kept])}.",
            stacklevel=2,
        )
    train, test = (
        replace(f, attributes=f.attributes[:, kept], attribute_names=tuple(names[kept].tolist()))
        for f in (train, test)
    )
    if not kept.any():
        train = test  # nothing is fitted
    train_mu, _ = encode_images(model, train.images, beta=beta)
    mu, logvar = encode_images(model, test.images, beta=beta)
    scores = score_attributes(
        train_mu, train.attributes, mu, test.attributes, train.attribute_names
    )
    scores = replace(
        scores,
        probe=scores.probe.astype(np.float32),
        per_dimension=scores.per_dimension.astype(np.float32),
    )
    row = {name: i for i, name in enumerate(test.ids.tolist())}
    if missing := [name for name in ids if name not in row]:
        raise InputError(f"Found no {missing[0]} among these {len(test):,} test faces.")
    chosen = [row[i] for i in ids] or choose_faces(test.attributes, min(SIZE, len(test)))
    labels = np.array([is_label(column) for column in train.attributes.T])
    above = np.where(np.isnan(test.attributes), np.nan, test.attributes > 0)
    attributes = np.where(labels, above, test.attributes)
    return Gallery(
        ids=tuple(test.ids[chosen].tolist()),
        mu=mu[chosen],
        logvar=logvar[chosen],
        attributes=attributes[chosen].astype(np.float32),
        directions=attribute_directions(train_mu, train.attributes),
        scores=scores,
        kl=kl_per_dimension(torch.from_numpy(mu), torch.from_numpy(logvar)).mean(0).numpy(),
    ).fitted(*encode_images(model, valid.images, beta=beta))


def choose_faces(attributes: np.ndarray, count: int) -> Sequence[int]:
    """Rows that cover the attributes: each is met both with and without, as often as can be.

    Greedy: every next face is the one that adds most to the attribute values that were met least
    so far; of equal ones the first. Numbers count as above or below their median.

    Parameters
    ----------
    attributes : ndarray, shape (n, k)
        Labels or numbers; NaN, where one is not known, counts as neither.
    count : int
        How many rows, at most n.

    Examples
    --------
    One of four faces wears a hat; whoever takes two rows takes it:

    >>> choose_faces(np.array([[-1.0], [-1.0], [1.0], [-1.0]]), 2)
    [0, 2]
    """
    labels = [is_label(column) for column in attributes.T]
    middle = np.where(labels, np.nanmean(attributes, 0), np.nanmedian(attributes, 0))
    known = ~np.isnan(attributes)
    high, low = known & (attributes > middle), known & ~(attributes > middle)
    either = np.concatenate([high, low], axis=1).astype(float)  # (n, 2k)
    met, free, chosen = np.zeros(either.shape[1]), np.ones(len(either), bool), []
    for _ in range(count):
        gain = either @ (1 / (1 + met) ** 2)
        chosen.append(int(np.where(free, gain, -1).argmax()))
        free[chosen[-1]] = False
        met += either[chosen[-1]]
    return sorted(chosen)
