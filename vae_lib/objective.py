"""The objective in nats per image: reconstruction + β · KL.

Sums run over pixels and over latent dimensions, the mean over the batch alone. Whoever averages
over pixels or dimensions rescales β; with sums, β = 1 is the evidence lower bound
(Kingma & Welling 2014, Eq. 3) and β > 1 is the β-VAE (Higgins et al. 2017, Eq. 4).
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Objective(NamedTuple):
    """The loss and its two parts, each a scalar tensor in nats per image."""

    loss: Tensor
    reconstruction: Tensor
    kl: Tensor


def bernoulli_nll(logits: Tensor, x: Tensor) -> Tensor:
    """Cross-entropy −log p(x | z) of Bernoulli pixels, summed per image.

    Parameters
    ----------
    logits, x : Tensor, shape (n, 3, h, w)
        The decoder's output before the Sigmoid; images in [0, 1].

    Returns
    -------
    Tensor, shape (n,)
        Nats. For pixels that are not 0 or 1 the smallest reachable value is not 0 but
        `pixel_entropy`.
    """
    losses = F.binary_cross_entropy_with_logits(_widened(logits), x, reduction="none")
    return losses.flatten(1).sum(1)


def kl_per_dimension(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(q(z_j | x) ‖ N(0, 1)) in closed form (Kingma & Welling 2014, appendix B).

    Returns
    -------
    Tensor, shape (n, latent_size)
        Nats, never negative up to rounding.
    """
    mu, logvar = _widened(mu), _widened(logvar)
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar)


def pixel_entropy(x: Tensor) -> Tensor:
    """The floor under `bernoulli_nll`: the pixels' own entropy −x ln x − (1−x) ln(1−x).

    Parameters
    ----------
    x : Tensor, shape (n, 3, h, w)
        Images in [0, 1].

    Returns
    -------
    Tensor, shape (n,)
        Nats per image; about 6,100 for CelebA. Reconstruction above it is the *excess*, the
        part of the loss that a better model can still remove.
    """
    return -(torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)).flatten(1).sum(1)


def beta_vae_objective(
    logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, beta: float = 1.0
) -> Objective:
    """Reconstruction + β · KL, averaged over the batch; training and validation both call this.

    Parameters
    ----------
    logits, x : Tensor, shape (n, 3, h, w)
        The decoder's output before the Sigmoid; images in [0, 1].
    mu, logvar : Tensor, shape (n, latent_size)
        The posterior.
    beta : float
        Weight of the KL, ≥ 0; 1 is the evidence lower bound.
    """
    reconstruction = bernoulli_nll(logits, x).mean()
    kl = kl_per_dimension(mu, logvar).sum(1).mean()
    return Objective(reconstruction + beta * kl, reconstruction, kl)


def _widened(values: Tensor) -> Tensor:
    """At least float32: sums of 12,288 terms in half precision lose what matters."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
