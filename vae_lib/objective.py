"""The objectives in nats per image: reconstruction + β · KL, and two that bend the KL's part.

Sums run over pixels and over latent dimensions, the mean over the batch alone. Whoever averages
over pixels or dimensions rescales β; with sums, β = 1 is the evidence lower bound
(Kingma & Welling 2014, Eq. 3) and β > 1 is the β-VAE (Higgins et al. 2017, Eq. 4).

The other two change what the KL costs, not what it is. The capacity objective (Burgess et al.
2018) leads the KL along a rising target; the β-TCVAE (Chen et al. 2018) takes the KL apart and
weighs only the part that says how much the dimensions know of each other.
"""

import math
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vae_lib.errors import InputError


def of_pixels(*names: str) -> Callable:
    """Let a function see images in [0, 1] alone: the arguments of these names are looked at.

    Nats of other pixels are numbers too, and mean nothing. The function as it was stays at hand
    as ``.unchecked``, for pixels that come from uint8: a look makes the CPU wait for the GPU.

    Examples
    --------
    >>> @of_pixels("x")
    ... def brightness(x):
    ...     return x.mean().item()
    >>> brightness(torch.full((1, 3, 2, 2), 0.5))
    0.5
    >>> brightness(torch.full((1, 3, 2, 2), 128.0))
    Traceback (most recent call last):
    vae_lib.errors.InputError: Found pixels from 128 to 128; nats and dB are of pixels in [0, 1]. \
    Divide pixels of 0…255 by 255; of pixels in [−1, 1] take (x + 1) / 2.
    """

    def decorate(function: Callable) -> Callable:
        order = list(signature(function).parameters)
        places = [(order.index(name), name) for name in names]

        @wraps(function)
        def checked(*args, **kwargs):
            if not torch.compiler.is_compiling():
                for place, name in places:
                    check_pixels(args[place] if place < len(args) else kwargs[name])
            return function(*args, **kwargs)

        vars(checked)["unchecked"] = function
        return checked

    return decorate


def check_pixels(x: Tensor) -> None:
    """Raise InputError unless there are pixels and all of them are numbers in [0, 1].

    Examples
    --------
    >>> check_pixels(torch.tensor([0.0, 1.0]))  # says nothing where all is well
    """
    if not (isinstance(x, Tensor) and x.is_floating_point() and x.numel()):
        what = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise InputError(
            f"Found images as {what}; expected a tensor of floating-point pixels in [0, 1]. "
            "vae_lib.faces.batches.to_pixels makes them of uint8 faces."
        )
    low, high = (value.item() for value in x.detach().aminmax())
    if not (low >= 0 and high <= 1):  # also where NaN made every comparison false
        raise InputError(
            f"Found pixels from {low:g} to {high:g}; nats and dB are of pixels in [0, 1]. Divide "
            "pixels of 0…255 by 255; of pixels in [−1, 1] take (x + 1) / 2."
        )


class Losses(NamedTuple):
    """The loss, and the reconstruction and KL in it, each a scalar tensor in nats per image."""

    loss: Tensor
    reconstruction: Tensor
    kl: Tensor


@of_pixels("x")
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

    Raises
    ------
    InputError
        If a pixel of `x` is not in [0, 1], here and in every function of images below.

    Examples
    --------
    A logit of 0 is the probability ½, so that each of 2 × 2 × 3 pixels costs ln 2 = 0.6931 nats:

    >>> bernoulli_nll(torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2))
    tensor([8.3178])
    """
    # −log p(x | z) = −Σ_i x_i ln p_i + (1 − x_i) ln(1 − p_i), where p = sigmoid(logits)
    losses = F.binary_cross_entropy_with_logits(_widened(logits), x, reduction="none")
    return losses.flatten(1).sum(1)


def kl_per_dimension(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(q(z_j | x) ‖ N(0, 1)) in closed form (Kingma & Welling 2014, appendix B).

    Returns
    -------
    Tensor, shape (n, latent_size)
        Nats, never negative up to rounding.

    Examples
    --------
    With mu = 1 and variance 1 it is ½ · 1²; the prior itself costs nothing:

    >>> kl_per_dimension(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
    tensor([[0.5000, 0.0000]])
    """
    mu, logvar = _widened(mu), _widened(logvar)
    # KL(N(μ, σ²) ‖ N(0, 1)) = ½ (μ² + σ² − 1 − ln σ²)
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar)


@of_pixels("x")
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

    Examples
    --------
    A grey pixel of ½ has ln 2 nats, black and white have none:

    >>> pixel_entropy(torch.tensor([0.5, 0.0, 1.0]).view(1, 3, 1, 1))
    tensor([0.6931])
    """
    return -(torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)).flatten(1).sum(1)


@of_pixels("x")
def beta_vae_objective(
    logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, beta: float = 1.0
) -> Losses:
    """Reconstruction + β · KL, averaged over the batch; training and validation both call this.

    Parameters
    ----------
    logits, x : Tensor, shape (n, 3, h, w)
        The decoder's output before the Sigmoid; images in [0, 1].
    mu, logvar : Tensor, shape (n, latent_size)
        The posterior.
    beta : float
        Weight of the KL, ≥ 0; 1 is the evidence lower bound.

    Examples
    --------
    Twelve pixels at ln 2 nats, and β = 4 times a KL of ½:

    >>> logits, x = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    >>> losses = beta_vae_objective(logits, x, torch.tensor([[1.0]]), torch.zeros(1, 1), beta=4.0)
    >>> [round(value.item(), 2) for value in losses]  # loss, reconstruction, KL
    [10.32, 8.32, 0.5]
    """
    reconstruction = bernoulli_nll.unchecked(logits, x).mean()
    kl = kl_per_dimension(mu, logvar).sum(1).mean()
    # E_q[−log p(x | z)] + β · KL(q(z | x) ‖ p(z))
    return Losses(reconstruction + beta * kl, reconstruction, kl)


@of_pixels("x")
def capacity_objective(
    logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, capacity: Tensor, gamma: float
) -> Losses:
    """Reconstruction + γ · |KL − C| (Burgess et al. 2018, arXiv:1804.03599, Eq. 8).

    The KL meant is the batch's mean, so that one face may carry more than C and another less.

    Parameters
    ----------
    logits, x : Tensor, shape (n, 3, h, w)
        The decoder's output before the Sigmoid; images in [0, 1].
    mu, logvar : Tensor, shape (n, latent_size)
        The posterior.
    capacity : Tensor, scalar
        C in nats, ≥ 0. A tensor, since it rises from step to step: a number would be compiled
        or captured into the step as a constant.
    gamma : float
        Weight γ of the distance, > 0. Only where it exceeds the nats of reconstruction that one
        more nat of KL would save does the KL keep to C.

    Examples
    --------
    A KL of ½ where 2 nats are wanted: γ = 10 times the distance 1.5 is added.

    >>> logits, x = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    >>> posterior = torch.tensor([[1.0]]), torch.zeros(1, 1)
    >>> losses = capacity_objective(logits, x, *posterior, torch.tensor(2.0), gamma=10.0)
    >>> [round(value.item(), 2) for value in losses]
    [23.32, 8.32, 0.5]
    """
    reconstruction = bernoulli_nll.unchecked(logits, x).mean()
    kl = kl_per_dimension(mu, logvar).sum(1).mean()
    # E_q[−log p(x | z)] + γ · |KL − C|
    return Losses(reconstruction + gamma * (kl - capacity).abs(), reconstruction, kl)


@of_pixels("x")
def any_beta_objective(
    logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, beta: Tensor
) -> Losses:
    """Reconstruction + β · KL where every image has a β of its own (Bae et al. 2023, Eq. 6).

    Parameters
    ----------
    logits, x : Tensor, shape (n, 3, h, w)
        The decoder's output before the Sigmoid; images in [0, 1].
    mu, logvar : Tensor, shape (n, latent_size)
        The posterior.
    beta : Tensor, shape (n,)
        Weight of each image's KL, > 0.

    Examples
    --------
    Two images with a KL of ½, one at β = 1, one at β = 3: on average 1 nat is added.

    >>> logits, x = torch.zeros(2, 3, 2, 2), torch.ones(2, 3, 2, 2)
    >>> posterior = torch.ones(2, 1), torch.zeros(2, 1)
    >>> losses = any_beta_objective(logits, x, *posterior, torch.tensor([1.0, 3.0]))
    >>> [round(value.item(), 2) for value in losses]
    [9.32, 8.32, 0.5]
    """
    reconstruction = bernoulli_nll.unchecked(logits, x)
    kl = kl_per_dimension(mu, logvar).sum(1)
    # mean of E_q[−log p(x_i | z)] + β_i · KL(q(z | x_i) ‖ p(z))
    return Losses((reconstruction + beta * kl).mean(), reconstruction.mean(), kl.mean())


@of_pixels("x")
def gaussian_nll(logits: Tensor, x: Tensor, sigma: float | Tensor) -> Tensor:
    """−log p(x | z) of Gaussian pixels around the decoder's Sigmoid, summed per image.

    Parameters
    ----------
    logits, x : Tensor, shape (n, 3, h, w)
        The decoder's output before the Sigmoid; images in [0, 1].
    sigma : float or scalar Tensor
        Standard deviation of every pixel value, > 0.

    Returns
    -------
    Tensor, shape (n,)
        Nats of a density. They may be negative, since a density may exceed 1, and have no floor:
        no *excess* is taken of them, and they are not compared with a cross-entropy.

    Examples
    --------
    Twelve values, each off by σ = 1, cost ½ ln 2π + ½ = 1.4189 nats apiece:

    >>> gaussian_nll(torch.full((1, 3, 2, 2), 1e9), torch.zeros(1, 3, 2, 2), 1.0)
    tensor([17.0273])
    """
    error = torch.sigmoid(_widened(logits)) - x
    variance = torch.as_tensor(sigma, dtype=error.dtype, device=error.device).square()
    # −log N(x; μ, σ²) = ½ ln 2πσ² + (x − μ)² / 2σ², over the D values of an image
    constant = 0.5 * error[0].numel() * torch.log(2 * math.pi * variance)
    return constant + error.square().flatten(1).sum(1) / (2 * variance)


@of_pixels("x")
def gaussian_objective(
    logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, sigma: float | Tensor, beta: float = 1.0
) -> Losses:
    """`gaussian_nll` + β · KL. Up to 1/σ² and a constant it is ½ SSE + σ² β · KL.

    >>> logits, x = torch.full((1, 3, 2, 2), 1e9), torch.zeros(1, 3, 2, 2)
    >>> losses = gaussian_objective(logits, x, torch.ones(1, 1), torch.zeros(1, 1), sigma=1.0)
    >>> [round(value.item(), 2) for value in losses]  # loss, reconstruction, KL
    [17.53, 17.03, 0.5]
    """
    reconstruction = gaussian_nll.unchecked(logits, x, sigma).mean()
    kl = kl_per_dimension(mu, logvar).sum(1).mean()
    return Losses(reconstruction + beta * kl, reconstruction, kl)


@of_pixels("x")
def sigma_vae_objective(
    logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, beta: float = 1.0
) -> Losses:
    """`gaussian_objective` with the σ under which the batch is likeliest, σ² = MSE.

    It is the optimal σ-VAE of Rybkin, Daniilidis and Levine (2021, arXiv:2006.13202). The
    reconstruction is D/2 · (ln(2π MSE) + 1), whose slope weighs the squared error by D / (2 MSE):
    measured in other units, or averaged, it weighs the same. σ² is at least 1/(12 · 255²), the
    error of rounding to 8 bits: no less is believed.

    >>> logits, x = torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.75)  # all off by ¼
    >>> losses = sigma_vae_objective(logits, x, torch.ones(1, 1), torch.zeros(1, 1), beta=2.0)
    >>> [round(value.item(), 2) for value in losses]  # 6 · (ln(2π/16) + 1) of reconstruction
    [1.39, 0.39, 0.5]
    """
    mse = (torch.sigmoid(_widened(logits)) - x).square().mean()
    sigma = mse.clamp(min=1 / (12 * 255**2)).sqrt()
    return gaussian_objective.unchecked(logits, x, mu, logvar, sigma, beta)


class KLParts(NamedTuple):
    """The KL taken apart (Chen et al. 2018, Eq. 2), each part a scalar tensor in nats per image."""

    mutual_information: Tensor
    """Index-code MI, KL(q(z, n) ‖ q(z) p(n)): how much a code says of which image it is."""
    total_correlation: Tensor
    """KL(q(z) ‖ Π_j q(z_j)): how much the dimensions say of each other."""
    dimension_wise: Tensor
    """Σ_j KL(q(z_j) ‖ p(z_j)): how far each dimension is from the prior by itself."""


def aggregate_log_density(
    z: Tensor, mu: Tensor, logvar: Tensor, images: int
) -> tuple[Tensor, Tensor]:
    """Estimate the aggregate posterior q(z) = 1/N Σ_n q(z | n) from one batch of the N images.

    The stratified estimate of Chen et al. 2018 (arXiv:1802.04942, appendix C.2) knows one term
    exactly, that of the image that z was drawn from, and weighs it 1/N. The other images of the
    batch stand for the remaining (N − 1)/N: here in equal shares, which is the paper's estimate
    averaged over the order of the batch.

    Parameters
    ----------
    z : Tensor, shape (n, latent_size)
        One draw from each posterior.
    mu, logvar : Tensor, shape (n, latent_size)
        The posteriors of n ≥ 2 different images, drawn uniformly.
    images : int
        N ≥ n, the size of the training split.

    Returns
    -------
    joint : Tensor, shape (n,)
        log q(z).
    marginals : Tensor, shape (n, latent_size)
        log q(z_j). The densities are unbiased, and exact for n = N; their logarithms are too
        small (Jensen's inequality), the joint one by far the most.

    Examples
    --------
    Two images, both with the prior for a posterior: q(z) is the prior, whose log density at 0 is
    −½ ln 2π = −0.9189 in each dimension.

    >>> z = mu = logvar = torch.zeros(2, 2)
    >>> joint, marginals = aggregate_log_density(z, mu, logvar, images=2)
    >>> joint, marginals[0]
    (tensor([-1.8379, -1.8379]), tensor([-0.9189, -0.9189]))
    """
    z, mu, logvar = _widened(z), _widened(mu), _widened(logvar)
    n = len(z)
    # log q(z_i | k) in each dimension, for draws i and images k: (n, n, latent_size)
    log_q = _log_normal(z[:, None], mu, logvar)
    weights = torch.full((n, n), (images - 1) / (images * (n - 1)), dtype=z.dtype, device=z.device)
    log_weights = weights.fill_diagonal_(1 / images).log()
    joint = torch.logsumexp(log_q.sum(2) + log_weights, dim=1)
    return joint, torch.logsumexp(log_q + log_weights[:, :, None], dim=1)


def kl_parts(z: Tensor, mu: Tensor, logvar: Tensor, images: int) -> KLParts:
    """Take the KL of one batch apart with the densities of `aggregate_log_density`.

    Parameters are those of `aggregate_log_density`.

    Notes
    -----
    The parts sum to log q(z | x) − log p(z), whose mean over draws is the KL, exactly. Each by
    itself is biased, the mutual information upwards and the total correlation downwards: for 16
    independent dimensions with a KL of 8.2 nats, 64 of 16,000 images read 8.7, −0.3 and −0.2 nats
    where q(z) has 7.6, 0.6 and 0.0. (The minibatch-weighted estimate of the paper's appendix C.1
    reads 14, 149 and −155: its weights sum to 1/N, which takes log N off each marginal.)

    The mutual information of q(z) cannot exceed log N, since there are N images for a code to
    name: 9.7 nats for 16,000. Beyond that KL the total correlation of q(z) itself is nearly
    KL − log N, however independent the dimensions are: 16.3 of 25.7 nats in the example.

    Examples
    --------
    Two images that a code tells apart for certain: ln 2 = 0.69 nats of mutual information.

    >>> mu = torch.tensor([[-10.0], [10.0]])
    >>> round(kl_parts(mu, mu, torch.zeros(2, 1), images=2).mutual_information.item(), 2)
    0.69
    """
    joint, marginals = aggregate_log_density(z, mu, logvar, images)
    z, mu, logvar = _widened(z), _widened(mu), _widened(logvar)
    conditional = _log_normal(z, mu, logvar).sum(1)
    prior = _log_normal(z, torch.zeros_like(mu), torch.zeros_like(logvar)).sum(1)
    marginals = marginals.sum(1)
    return KLParts(
        (conditional - joint).mean(), (joint - marginals).mean(), (marginals - prior).mean()
    )


@of_pixels("x")
def beta_tcvae_objective(
    logits: Tensor,
    x: Tensor,
    mu: Tensor,
    logvar: Tensor,
    z: Tensor,
    beta: float,
    images: int,
) -> Losses:
    """Reconstruction + MI + β · TC + dimension-wise KL (Chen et al. 2018, Eq. 4, α = γ = 1).

    The three parts sum to the KL, so that this is reconstruction + KL + (β − 1) · TC: the KL in
    closed form, free of sampling noise, and `kl_parts`' estimate of the total correlation. With
    β = 1 it is the evidence lower bound.

    Parameters
    ----------
    logits, x : Tensor, shape (n, 3, h, w)
        The decoder's output before the Sigmoid; images in [0, 1].
    mu, logvar : Tensor, shape (n, latent_size)
        The posterior.
    z : Tensor, shape (n, latent_size)
        The draws that were decoded.
    beta : float
        Weight of the total correlation, ≥ 0.
    images : int
        Size of the training split.

    Notes
    -----
    This follows the paper. The code that came with it, which others copied, puts the weight 1/N
    into the first column of its matrix instead of the diagonal (``_log_importance_weight_matrix``
    in ``vae_quant.py`` of rtqichen/beta-tcvae, commit 06e763d), so that the image which a code was
    drawn from weighs 1/(n − 1) there. Its β is another weight: for batches of 64 of 16,000 faces,
    the codes in the galleries of ``vae_mig_best`` and ``vae_mig_worst``, it reads a total
    correlation of 9.0 and 27.5 nats where this reads 4.5 and 26.6. The gradient for mu and logvar
    is 1.2 and 1.7 times as long here as there, the cosine of the two 0.89 and 0.82 (means of ten
    draws; tests/test_objective.py measures them). Compare runs of the two by KL, not by β.

    Examples
    --------
    One dimension knows nothing of another where there is no other: no total correlation, and β does
    not matter.

    >>> logits, x = torch.zeros(2, 3, 2, 2), torch.ones(2, 3, 2, 2)
    >>> mu, logvar = torch.tensor([[1.0], [-1.0]]), torch.zeros(2, 1)
    >>> losses = beta_tcvae_objective(logits, x, mu, logvar, z=mu, beta=6.0, images=2)
    >>> [round(value.item(), 2) for value in losses]
    [8.82, 8.32, 0.5]
    """
    reconstruction = bernoulli_nll.unchecked(logits, x).mean()
    kl = kl_per_dimension(mu, logvar).sum(1).mean()
    total_correlation = kl_parts(z, mu, logvar, images).total_correlation
    # E_q[−log p(x | z)] + KL + (β − 1) · TC
    return Losses(reconstruction + kl + (beta - 1) * total_correlation, reconstruction, kl)


def _log_normal(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Log density of N(mu, exp(logvar)) at z, element by element."""
    return -0.5 * ((z - mu).square() * torch.exp(-logvar) + logvar + math.log(2 * math.pi))


def _widened(values: Tensor) -> Tensor:
    """At least float32: sums of 12,288 terms in half precision lose what matters."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
