"""Walks through the latent space: codes in, faces out."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vae_lib.errors import InputError
from vae_lib.evaluation import check_images
from vae_lib.faces.batches import to_pixels
from vae_lib.model import VAE


@torch.no_grad()
def encode_images(
    model: VAE, images: np.ndarray, batch_size: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and log-variance of each image.

    Parameters
    ----------
    model : VAE
        In eval mode.
    images : ndarray of uint8, shape (n, h, w, 3)
        At least one face, of the model's size.

    Returns
    -------
    mu, logvar : ndarray of float32, each of shape (n, latent_size)

    Raises
    ------
    InputError
        If there are no images, or their size is not the model's.
    """
    check_images(model, images)
    device = model.to_mu.weight.device
    parts = [
        torch.stack(
            model.encode(
                to_pixels(torch.from_numpy(np.array(images[i : i + batch_size])).to(device))
            )
        ).cpu()
        for i in range(0, len(images), batch_size)
    ]
    mu, logvar = torch.cat(parts, dim=1).numpy()
    return mu, logvar


@torch.no_grad()
def decode_images(model: VAE, z: Tensor | np.ndarray) -> np.ndarray:
    """Decode codes (n, latent_size) to images, uint8 of shape (n, h, w, 3)."""
    z = torch.as_tensor(z, dtype=torch.float32, device=model.to_mu.weight.device)
    if z.ndim != 2 or z.shape[1] != model.config.latent_size:
        raise InputError(
            f"Found codes of shape {tuple(z.shape)}; this model wants "
            f"(n, {model.config.latent_size})."
        )
    return to_uint8(model.decode(z))


def to_uint8(pixels: Tensor) -> np.ndarray:
    """Pixels in [0, 1], (n, 3, h, w), to images, uint8 of shape (n, h, w, 3)."""
    return (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def traverse(z: Tensor, dimension: int, values: Sequence[float]) -> Tensor:
    """Copies of one code with one dimension set to each of the values.

    Parameters
    ----------
    z : Tensor, shape (latent_size,)
        Where to start; zeros are the prior's mean.
    dimension : int
        Which dimension to set, counted from 0.
    values : sequence of float
        In standard deviations of the prior, which are the units of z; −3 to 3 covers 99.7 %.

    Returns
    -------
    Tensor, shape (len(values), latent_size)

    Raises
    ------
    InputError
        If there is no such dimension.
    """
    if not 0 <= dimension < len(z):
        raise InputError(
            f"There is no dimension {dimension}; this code has dimensions 0 to {len(z) - 1}."
        )
    codes = z.repeat(len(values), 1)
    codes[:, dimension] = torch.as_tensor(values, dtype=codes.dtype)
    return codes


def interpolate(
    a: Tensor, b: Tensor, steps: int, method: Literal["linear", "spherical"] = "linear"
) -> Tensor:
    """Codes on the way from ``a`` to ``b``, both ends included.

    The spherical way (Shoemake 1985; White 2016, arXiv:1609.04468) turns from one direction to
    the other, so that the length of the code stays between those of the ends; the linear way
    cuts through the middle, where the prior of a large latent space has hardly any mass.

    Parameters
    ----------
    a, b : Tensor, shape (latent_size,)
        The ends.
    steps : int
        Number of codes, at least 2.
    method : {"linear", "spherical"}
        The way.

    Returns
    -------
    Tensor, shape (steps, latent_size)

    Raises
    ------
    InputError
        If the shapes differ, ``steps`` is below 2, the method is unknown, or the ends are
        opposite or zero, so that no way around is the shortest.
    """
    if a.shape != b.shape or a.ndim != 1:
        raise InputError(
            f"Found codes of shapes {tuple(a.shape)} and {tuple(b.shape)}; both must be "
            "(latent_size,)."
        )
    if steps < 2:
        raise InputError(f"steps is {steps}; an interpolation has at least its 2 ends.")
    t = torch.linspace(0, 1, steps, dtype=a.dtype, device=a.device)[:, None]
    if method == "linear":
        return torch.lerp(a.expand(steps, -1), b.expand(steps, -1), t)
    if method != "spherical":
        raise InputError(f"There is no method {method!r}; use 'linear' or 'spherical'.")
    lengths = torch.stack([a.norm(), b.norm()])
    cosine = torch.dot(a, b) / lengths.prod()
    if not cosine > -1 + 1e-6:  # also where a length of 0 made it NaN
        raise InputError(
            "The two codes are opposite or zero: no great circle between them is shorter than "
            "the others. Use method='linear'."
        )
    angle = torch.acos(cosine.clamp(max=1))
    if angle < 1e-4:  # nearly one direction, where sin(angle) would divide by almost 0
        return torch.lerp(a.expand(steps, -1), b.expand(steps, -1), t)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
