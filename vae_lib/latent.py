"""Walks through the latent space: codes in, faces out."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vae_lib.devices import memory_as_sentence
from vae_lib.errors import InputError
from vae_lib.evaluation import check_images
from vae_lib.faces.batches import pixel_batches
from vae_lib.model import VAE, in_eval_mode
from vae_lib.model.any_beta import at_beta

CURE = ": its weights are damaged or have run away. Train it again, or copy the file again."
NUMBERS = "hold NaN or infinity; codes are finite numbers, about −3 to 3."


@memory_as_sentence("give fewer images at a time, or load the model on the CPU")
@torch.no_grad()
def encode_images(
    model: VAE, images: np.ndarray, batch_size: int = 256, *, beta: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and log-variance of each image.

    Parameters
    ----------
    model : VAE
        Compiled or wrapped too; it encodes in eval mode and gets its own back.
    images : ndarray of uint8, shape (n, h, w, 3)
        At least one face, of the model's size.
    beta : float, optional
        For an `AnyBetaVAE`, which needs it: at which β.

    Returns
    -------
    mu, logvar : ndarray of float32, each of shape (n, latent_size)

    Raises
    ------
    InputError
        If there are no images, their size is not the model's, a code is not finite, or the model
        does not know this β.

    Examples
    --------
    >>> mu, logvar = encode_images(VAE(), np.zeros((5, 64, 64, 3), np.uint8))
    >>> mu.shape, logvar.dtype
    ((5, 128), dtype('float32'))
    """
    with in_eval_mode(model) as vae:
        check_images(vae, images)
        condition = at_beta(vae, beta)
        batches = pixel_batches(images, vae.device, batch_size)
        parts = [torch.stack(vae.encode(x, **condition)).cpu() for x in batches]
    mu, logvar = torch.cat(parts, dim=1).numpy()
    if not (np.isfinite(mu).all() and np.isfinite(logvar).all()):
        raise InputError(f"The model's codes are not finite{CURE}")
    return mu, logvar


@memory_as_sentence("give fewer codes at a time, or load the model on the CPU")
@torch.no_grad()
def decode_images(model: VAE, z: Tensor | np.ndarray, *, beta: float | None = None) -> np.ndarray:
    """Decode codes (n, latent_size), in eval mode, to images, uint8 of shape (n, h, w, 3).

    Raises
    ------
    InputError
        If the codes are not the model's, they or their pixels are not finite, or the model does
        not know this β, which an `AnyBetaVAE` needs.

    Examples
    --------
    >>> decode_images(VAE(), np.zeros((5, 128))).shape
    (5, 64, 64, 3)
    """
    with in_eval_mode(model) as vae:
        z = torch.as_tensor(z, dtype=torch.float32, device=vae.device)
        if z.ndim != 2 or z.shape[1] != vae.config.latent_size:
            raise InputError(
                f"Found codes of shape {tuple(z.shape)}; this model wants "
                f"(n, {vae.config.latent_size})."
            )
        pixels = vae.decode(z, **at_beta(vae, beta))
    if not pixels.isfinite().all():
        fault = f"model's pixels are not finite{CURE}" if z.isfinite().all() else f"codes {NUMBERS}"
        raise InputError(f"The {fault}")
    return to_uint8(pixels)


def gaussian_of_codes(mu: np.ndarray, logvar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the aggregate posterior: of one draw for a random one of n faces.

    Exactly, without drawing: cov(μ) + diag(mean σ²), by the law of total covariance. A Gaussian
    with these moments is an *ex-post density*, to draw codes from instead of the prior (Ghosh et
    al. 2020, arXiv:1903.12436, sec. 4, who fit one to the codes of autoencoders without noise).
    The moments of the means alone would be those of codes that this decoder was not trained on.

    Parameters
    ----------
    mu, logvar : ndarray, shape (n, latent_size)
        What `encode_images` gives; one face or more.

    Returns
    -------
    mean : ndarray, float64 of shape (latent_size,)
    covariance : ndarray, float64 of shape (latent_size, latent_size)
        Positive definite.

    Examples
    --------
    Two faces whose means are 2 apart, and a spread of 1 for each:

    >>> mean, covariance = gaussian_of_codes(np.array([[-1.0], [1.0]]), np.zeros((2, 1)))
    >>> mean, covariance
    (array([0.]), array([[2.]]))
    """
    mu = np.asarray(mu, np.float64)
    within = np.exp(np.asarray(logvar, np.float64)).mean(0)
    return mu.mean(0), np.cov(mu.T, bias=True).reshape(len(within), -1) + np.diag(within)


def to_uint8(pixels: Tensor) -> np.ndarray:
    """Pixels in [0, 1], (n, 3, h, w), to images, uint8 of shape (n, h, w, 3).

    Examples
    --------
    >>> to_uint8(torch.tensor([0, 0.5, 1]).view(1, 3, 1, 1)).tolist()
    [[[[0, 128, 255]]]]
    """
    return (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def _code(z: Tensor | np.ndarray) -> Tensor:
    """One code as a tensor of floating-point numbers."""
    try:
        z = torch.as_tensor(z)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"Found {type(z).__name__} where a code was expected ({error}).") from None
    z = z if z.is_floating_point() else z.float()
    if z.ndim != 1 or len(z) == 0:
        raise InputError(f"Found a code of shape {tuple(z.shape)}; one code is (latent_size,).")
    if not z.isfinite().all():
        raise InputError(f"The code {NUMBERS.replace('hold', 'holds')}")
    return z


def traverse(z: Tensor | np.ndarray, dimension: int, values: Sequence[float]) -> Tensor:
    """Copies of one code with one dimension set to each of the values.

    Parameters
    ----------
    z : Tensor or ndarray, shape (latent_size,)
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
        If there is no such dimension, or `z` is not one code.

    Examples
    --------
    >>> traverse([0.5, 0.5], 1, [-3, 0, 3])
    tensor([[ 0.50, -3.00],
            [ 0.50,  0.00],
            [ 0.50,  3.00]])
    """
    z = _code(z)
    if not 0 <= dimension < len(z):
        raise InputError(
            f"There is no dimension {dimension}; this code has dimensions 0 to {len(z) - 1}."
        )
    codes = z.repeat(len(values), 1)
    codes[:, dimension] = torch.as_tensor(values, dtype=codes.dtype)
    return codes


def interpolate(
    a: Tensor | np.ndarray,
    b: Tensor | np.ndarray,
    steps: int,
    method: Literal["linear", "spherical"] = "linear",
) -> Tensor:
    """Codes on the way from ``a`` to ``b``, both ends included.

    The spherical way (Shoemake 1985; White 2016, arXiv:1609.04468) turns from one direction to
    the other. Ends of equal length make every code on the way that long, and with an angle of at
    most 90° the length stays between those of the ends; beyond, unequal ends let it leave that
    range (lengths 1 and 2 at 150° pass through 0.73 and 2.73). The linear way cuts through the
    middle, where the prior of a large latent space has hardly any mass.

    Parameters
    ----------
    a, b : Tensor or ndarray, shape (latent_size,)
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
        If the shapes differ, a code is not finite, ``steps`` is below 2, the method is unknown, or
        the ends are opposite or zero, so that no way around is the shortest.

    Examples
    --------
    The linear way passes through the middle, the spherical one keeps the length of 1:

    >>> interpolate([1.0, 0.0], [0.0, 1.0], 3)[1]
    tensor([0.50, 0.50])
    >>> interpolate([1.0, 0.0], [0.0, 1.0], 3, "spherical")[1]
    tensor([0.71, 0.71])
    """
    a, b = _code(a), _code(b)
    b = b.to(a.device)
    a, b = (end.to(torch.promote_types(a.dtype, b.dtype)) for end in (a, b))
    if a.shape != b.shape:
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
