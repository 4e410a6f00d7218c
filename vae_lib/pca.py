"""Principal components of faces: the linear reference that a VAE's reconstructions must beat.

PCA has no rate: each component is kept as a real number of any precision. Compared at equal
*numbers of dimensions* it therefore carries more than a VAE may, and at equal *nats* a VAE is to
be compared with PCA's probabilistic form, the linear VAE, whose optimum is known in closed form
(Tipping & Bishop 1999; Lucas et al. 2019, arXiv:1911.02469).

Only PSNR and SSIM are measured here. A reconstruction clipped to [0, 1] says 0 or 1 for pixels that
are not, for which the cross-entropy is infinite: nats of PCA under Bernoulli pixels would tell how
far the clipping stays away from 0 and 1, and nothing about PCA.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_lib.errors import InputError
from vae_lib.evaluation import psnr, ssim_per_face
from vae_lib.faces.batches import pixel_batches
from vae_lib.faces.dataset import Faces


@dataclass(frozen=True, eq=False)
class PCA:
    """The leading principal components of images whose pixels are in [0, 1].

    ``k`` components of images with ``h`` × ``w`` × 3 = ``d`` values.
    """

    shape: tuple[int, int, int]
    """(h, w, 3)."""
    mean: np.ndarray
    """The mean image, float32 (d,)."""
    components: np.ndarray
    """Orthonormal rows, float32 (k, d), the one with the largest variance first."""
    variances: np.ndarray
    """Variance of the training images along each component, float64 (k,)."""
    total_variance: float
    """Sum of the variances of all d values, so that shares can be told."""
    images: int
    """How many images were fitted."""

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Coordinates of uint8 images (n, h, w, 3) along the components: float32 (n, k)."""
        if images.shape[1:] != self.shape or len(images) == 0:
            raise InputError(
                f"Found images of shape {images.shape}; these components want "
                f"(n, {', '.join(map(str, self.shape))}), n ≥ 1."
            )
        return np.concatenate([x @ self.components.T for x in _centred(images, self.mean)])

    def images_of(self, scores: np.ndarray) -> np.ndarray:
        """Images, float32 (n, h, w, 3), clipped to [0, 1], of coordinates (n, m) with m ≤ k."""
        flat = scores @ self.components[: scores.shape[1]] + self.mean
        return flat.clip(0, 1).reshape(-1, *self.shape)


def fit_pca(images: np.ndarray, components: int = 128, *, passes: int = 4, seed: int = 0) -> PCA:
    """Find the leading principal components without ever forming the d × d covariance.

    Subspace iteration from a random start (Halko, Martinsson & Tropp 2011, arXiv:0909.4061,
    Algorithm 4.4), a few images at a time, so that no array grows with their number.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w, 3)
        More images than components; usually memory-mapped.
    components : int
        How many to find, at most n − 1 and d.
    passes : int
        How often the covariance is applied, each time with one pass over the images. With four,
        128 components of 10,000 faces reconstruct within 0.03 dB of what eight give; two lose
        half a dB.
    seed : int
        Seeds the random start.

    Raises
    ------
    InputError
        If there are too few images for so many components.

    Examples
    --------
    Grey images of three brightnesses have one component, with all of the variance:

    >>> images = np.repeat(np.array([0, 51, 102], np.uint8), 192).reshape(3, 8, 8, 3)
    >>> pca = fit_pca(images, 1)
    >>> round(float(pca.mean[0]), 2), round(float(pca.variances[0] / pca.total_variance), 3)
    (0.2, 1.0)
    """
    size = int(np.prod(images.shape[1:]))
    if not 1 <= components <= min(len(images) - 1, size):
        raise InputError(
            f"{len(images):,} images of {size:,} values have at most "
            f"{max(0, min(len(images) - 1, size))} principal components; {components} were asked."
        )
    if passes < 1:
        raise InputError(f"passes is {passes}; at least one is needed.")
    nothing = np.zeros(size, dtype=np.float32)
    mean = (
        sum(x.sum(0, dtype=np.float64) for x in _centred(images, nothing)) / len(images)
    ).astype(np.float32)
    # A few directions more than are wanted make the wanted ones converge faster.
    width = min(components + 32, len(images), size)
    basis = np.random.default_rng(seed).standard_normal((size, width)).astype(np.float32)
    for _ in range(passes):
        basis = np.linalg.qr(basis)[0]
        applied, total = np.zeros((size, width)), 0.0
        for x in _centred(images, mean):
            applied += x.T @ (x @ basis)
            total += float(np.square(x, dtype=np.float64).sum())
        applied /= len(images) - 1
        basis, before = applied.astype(np.float32), basis
    # Rayleigh–Ritz: the best directions within the subspace.
    within = before.T.astype(np.float64) @ applied
    variances, rotation = np.linalg.eigh((within + within.T) / 2)
    leading = rotation[:, ::-1][:, :components]
    return PCA(
        shape=tuple(images.shape[1:]),
        mean=mean,
        components=np.ascontiguousarray((before @ leading).T.astype(np.float32)),
        variances=variances[::-1][:components].copy(),
        total_variance=total / (len(images) - 1),
        images=len(images),
    )


def water_level(variances: np.ndarray, nats: float) -> float:
    """The noise variance at which the best linear VAE spends this many nats of KL on average.

    Reverse water-filling (Cover & Thomas 2006, Theorem 10.3.3): components whose variance λ is
    above the level θ get ½ ln(λ/θ) nats each, the others none, and θ is such that the sum is
    ``nats``.

    Parameters
    ----------
    variances : ndarray, shape (k,)
        Of principal components, falling.
    nats : float
        Above 0.

    Raises
    ------
    InputError
        If the level lies below the last variance, so that more components are needed.

    Examples
    --------
    Two components of variance 4 at level 1 get ½ ln 4 nats each, the third gets none:

    >>> round(water_level(np.array([4.0, 4.0, 0.5]), np.log(4)), 6)
    1.0
    """
    if nats <= 0:
        raise InputError(f"nats is {nats:g}; a rate is above 0.")
    logs = np.log(variances)
    for active in range(1, len(logs)):
        level = (logs[:active].sum() - 2 * nats) / active
        if level >= logs[active]:
            return float(np.exp(level))
    raise InputError(f"{nats:g} nats reach beyond {len(variances)} components; fit more of them.")


def measure_pca(
    faces: Faces, components: Sequence[int], *, nats: Sequence[float] = (), seed: int = 0
) -> dict[str, Any]:
    """Fit PCA on the train split and measure its reconstructions of the test split.

    Parameters
    ----------
    faces : Faces
        Of any kind.
    components : sequence of int
        Numbers of components to measure; 0 is the mean face. A VAE is compared at its number of
        active dimensions.
    nats : sequence of float
        Rates at which to measure the linear VAE; a VAE is compared at its KL.
    seed : int
        Seeds the fit and the posterior samples.

    Returns
    -------
    dict
        ``train_images``, ``test_images``; ``components``: for each number, as a string,
        ``psnr`` (mean over images, dB) and ``ssim`` as `vae_lib.evaluation.evaluate` has them,
        and ``share`` of the training faces' variance; ``linear_vae``: for each rate, as a string,
        ``psnr`` and ``ssim`` of the decoded posterior mean, ``kl`` on the test faces in nats and
        the number of ``active`` components; ``psnr_sampled`` of one decoded posterior sample, for
        which the nats are paid, and ``psnr_unshrunk`` of those components' coordinates as PCA has
        them, which shows how far the means alone would take a decoder.

    Raises
    ------
    InputError
        If a split is empty or has too few faces for so many components.

    Examples
    --------
    Noise has hardly anything that ten components could hold:

    >>> noise = np.random.default_rng(0).integers(0, 256, (100, 16, 16, 3), dtype=np.uint8)
    >>> found = measure_pca(Faces.from_arrays(noise), [0, 10])
    >>> {count: round(pca["psnr"], 1) for count, pca in found["components"].items()}
    {'0': 10.7, '10': 10.7}
    """
    train, test = faces.split("train").images, faces.split("test").images
    most = max([1, *components])
    # On faces ½ ln(λ/θ) averages to two thirds of a nat; twice the room is enough.
    room = [int(3 * rate) + 32 for rate in nats]
    pca = fit_pca(train, min(max([most, *room]), len(train) - 1), seed=seed)
    scores = pca.scores(test)
    result: dict[str, Any] = {"train_images": len(train), "test_images": len(test)}
    result["components"] = {
        str(count): _quality(pca, scores[:, :count], test)
        | {"share": float(pca.variances[:count].sum() / pca.total_variance)}
        for count in components
    }
    result["linear_vae"] = {}
    for rate in nats:
        level = water_level(pca.variances, rate)
        active = pca.variances[pca.variances > level]
        kept = scores[:, : len(active)]
        mu = kept * np.sqrt(active - level) / active
        kl = 0.5 * (np.square(mu).mean(0) + level / active - 1 - np.log(level / active))
        noise = np.random.default_rng(seed).standard_normal(mu.shape)
        sampled = (mu + np.sqrt(level / active) * noise) * np.sqrt(active - level)
        result["linear_vae"][f"{rate:g}"] = _quality(
            pca, (kept * (1 - level / active)).astype(np.float32), test
        ) | {
            "psnr_sampled": _decibels(_decoded(pca, sampled.astype(np.float32), test)),
            "psnr_unshrunk": _decibels(_decoded(pca, kept, test)),
            "kl": float(kl.sum()),
            "active": len(active),
        }
    return result


def _quality(pca: PCA, scores: np.ndarray, images: np.ndarray) -> dict[str, float]:
    """PSNR and SSIM of the images of scores against the originals."""
    similarity = torch.cat([ssim_per_face(*pair) for pair in _decoded(pca, scores, images)])
    return {
        "psnr": _decibels(_decoded(pca, scores, images)),
        "ssim": similarity.mean().item(),
    }


def _decibels(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    return torch.cat([psnr(*pair) for pair in pairs]).mean().item()


def _decoded(pca: PCA, scores: np.ndarray, images: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
    """Images of scores and the originals, as pixels (≤ 256, 3, h, w)."""
    parts = np.split(scores, range(256, len(scores), 256))
    for x, part in zip(pixel_batches(images), parts, strict=True):
        yield torch.from_numpy(pca.images_of(part)).permute(0, 3, 1, 2), x


def _centred(images: np.ndarray, mean: np.ndarray, batch_size: int = 1024) -> Iterator[np.ndarray]:
    """Flat float32 rows (≤ 1024, d) of pixels in [0, 1] minus the mean."""
    if images.dtype != np.uint8:
        raise InputError(f"Found images of {images.dtype}; faces are uint8, 0 to 255.")
    for start in range(0, len(images), batch_size):
        rows = np.array(images[start : start + batch_size], dtype=np.float32)
        yield rows.reshape(len(rows), -1) / 255 - mean
