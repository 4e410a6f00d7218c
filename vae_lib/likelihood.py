"""Gaussian pixels in the place of Bernoulli ones: with a σ that is given, or with the best one.

The network stays as it is: the sigmoid of its logits is the mean of each pixel value. Sums run over
pixels as in `vae_lib.objective`. A density may exceed 1, so that these nats may be negative, and
they have no floor: they are compared with other densities and never with a cross-entropy.
"""

import math

import torch
from torch import Tensor

from vae_lib.objective import Losses, _widened, kl_per_dimension, of_pixels

ROUNDING = 1 / (12 * 255**2)
"""Variance of what rounding to 8 bits takes off a pixel in [0, 1]: no σ² below it is believed."""


@of_pixels("x")
def gaussian_nll(logits: Tensor, x: Tensor, sigma: float | Tensor) -> Tensor:
    """−log p(x | z) of Gaussian pixels, summed per image.

    Parameters
    ----------
    logits, x : Tensor, shape (n, 3, h, w)
        The decoder's output before the Sigmoid; images in [0, 1].
    sigma : float or scalar Tensor
        Standard deviation of every pixel value, > 0.

    Returns
    -------
    Tensor, shape (n,)
        Nats of a density, of either sign.

    Examples
    --------
    Twelve values, each one standard deviation off: ½ ln 2π + ½ = 1.4189 nats each, as σ = 1.

    >>> gaussian_nll(torch.full((1, 3, 2, 2), 1e9), torch.zeros(1, 3, 2, 2), 1.0)
    tensor([17.0273])
    """
    error = torch.sigmoid(_widened(logits)) - x
    variance = torch.as_tensor(sigma, dtype=error.dtype, device=error.device).square()
    # −log N(x; μ, σ²) = ½ ln 2πσ² + (x − μ)² / 2σ², summed over the D pixel values
    constant = 0.5 * error[0].numel() * torch.log(2 * math.pi * variance)
    return constant + error.square().flatten(1).sum(1) / (2 * variance)


@of_pixels("x")
def optimal_sigma(logits: Tensor, x: Tensor) -> Tensor:
    """The σ under which a batch is likeliest: the root of its mean squared error.

    Rybkin, Daniilidis and Levine 2021 (arXiv:2006.13202, Eq. 5). It is never less than the error
    that rounding to 8 bits makes, 0.0011.

    Returns
    -------
    Tensor, scalar
        In units of pixels in [0, 1].

    Examples
    --------
    >>> optimal_sigma(torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.75))
    tensor(0.2500)
    """
    error = torch.sigmoid(_widened(logits)) - x
    return error.square().mean().clamp(min=ROUNDING).sqrt()


@of_pixels("x")
def gaussian_objective(
    logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, sigma: float
) -> Losses:
    """The bound with Gaussian pixels of one fixed σ: reconstruction + KL.

    Up to a constant and the factor 1/σ² it is ½ SSE + σ² · KL, so that σ² is a β.

    Parameters
    ----------
    logits, x : Tensor, shape (n, 3, h, w)
        The decoder's output before the Sigmoid; images in [0, 1].
    mu, logvar : Tensor, shape (n, latent_size)
        The posterior.
    sigma : float
        Standard deviation of every pixel value, > 0.

    Examples
    --------
    >>> logits, x = torch.full((1, 3, 2, 2), 1e9), torch.zeros(1, 3, 2, 2)
    >>> losses = gaussian_objective(logits, x, torch.ones(1, 1), torch.zeros(1, 1), sigma=1.0)
    >>> [round(value.item(), 2) for value in losses]  # loss, reconstruction, KL
    [17.53, 17.03, 0.5]
    """
    reconstruction = gaussian_nll.unchecked(logits, x, sigma).mean()
    kl = kl_per_dimension(mu, logvar).sum(1).mean()
    return Losses(reconstruction + kl, reconstruction, kl)


@of_pixels("x")
def sigma_vae_objective(
    logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, beta: float = 1.0
) -> Losses:
    """Reconstruction + β · KL with Gaussian pixels of the batch's `optimal_sigma` (the σ-VAE).

    With it the reconstruction is D/2 · (ln(2π MSE) + 1) for D pixel values. Its slope weighs the
    squared error by D / (2 MSE): errors measured in other units, or averaged, weigh the same.

    Parameters
    ----------
    logits, x : Tensor, shape (n, 3, h, w)
        The decoder's output before the Sigmoid; images in [0, 1].
    mu, logvar : Tensor, shape (n, latent_size)
        The posterior.
    beta : float
        Weight of the KL, ≥ 0; 1 is the bound.

    Examples
    --------
    Twelve values, all of them off by ¼: 6 · (ln(2π/16) + 1) nats, which is 0.39.

    >>> logits, x = torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.75)
    >>> losses = sigma_vae_objective(logits, x, torch.ones(1, 1), torch.zeros(1, 1), beta=2.0)
    >>> [round(value.item(), 2) for value in losses]
    [1.39, 0.39, 0.5]
    """
    sigma = optimal_sigma.unchecked(logits, x)
    reconstruction = gaussian_nll.unchecked(logits, x, sigma).mean()
    kl = kl_per_dimension(mu, logvar).sum(1).mean()
    return Losses(reconstruction + beta * kl, reconstruction, kl)
