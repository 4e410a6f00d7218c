"""What a model is worth on images it was not trained on, in nats and dB."""

import math
from dataclasses import asdict, dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor

from vae_lib.devices import memory_as_sentence
from vae_lib.errors import InputError
from vae_lib.faces.batches import pixel_batches
from vae_lib.model import VAE, check_finite, in_eval_mode, unwrap
from vae_lib.model.any_beta import AnyBetaVAE, at_beta
from vae_lib.objective import bernoulli_nll, kl_per_dimension, of_pixels, pixel_entropy


@dataclass(frozen=True)
class Evaluation:
    """Held-out measures, each a mean over all images."""

    reconstruction: float
    """Cross-entropy of one posterior sample, nats per image, whatever it was trained with."""
    excess: float
    """Reconstruction above the pixels' own entropy, nats per image."""
    kl: float
    """KL(q(z | x) ‖ N(0, I)), nats per image."""
    active_001: int
    """Dimensions whose mean KL is above 0.01 nat."""
    active_01: int
    """Dimensions whose mean KL is above 0.1 nat."""
    psnr: float
    """Mean over images of −10 log₁₀ MSE of the decoded posterior mean, dB."""
    ssim: float | None
    """Structural similarity of the decoded posterior mean (Wang et al. 2004), at most 1."""
    images: int
    """How many images were measured."""
    kl_per_dimension: tuple[float, ...]
    """Mean KL of each latent dimension, nats."""

    def flat(self) -> dict[str, float]:
        """The scalar measures by name, for a JSON file or a table."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name != "kl_per_dimension" and value is not None
        }


@memory_as_sentence("choose a smaller batch_size, or load the model on the CPU")
@torch.no_grad()
def evaluate(
    model: VAE,
    images: np.ndarray,
    *,
    beta: float | None = None,
    seed: int = 0,
    batch_size: int = 256,
    ssim: bool = False,
) -> Evaluation:
    """Measure a model on every image given, the last partial batch included.

    BatchNorm runs in eval mode, and arithmetic in float32 (on CUDA, as PyTorch's default has it,
    convolutions in TF32); the model's own mode is restored.

    Parameters
    ----------
    model : VAE
        On any device.
    images : ndarray of uint8, shape (n, h, w, 3)
        At least one.
    beta : float, optional
        For an `AnyBetaVAE`, which needs it: at which β; other models have one of their own.
    seed : int
        Seeds the one posterior sample per image, the same for every batch size and device.
    batch_size : int
        Images at a time; changes the memory needed, not the result.
    ssim : bool
        Measure SSIM too (torchmetrics' defaults, data range 1).

    Raises
    ------
    InputError
        If there are no images, their size is not the model's, a weight or a measure is not
        finite, or the model does not know this β.

    Examples
    --------
    A model that does not listen to its code, on grey images, at their floor of 12,288 · ln 2:

    >>> model = VAE()
    >>> for parameter in model.parameters():
    ...     _ = parameter.data.zero_()
    >>> found = evaluate(model, np.full((4, 64, 64, 3), 128, np.uint8))
    >>> found.kl, round(found.reconstruction), round(found.excess, 1), found.active_01
    (0.0, 8517, 0.1, 0)
    """
    model = unwrap(model)
    check_images(model, images)
    check_finite(model)
    condition = at_beta(model, beta)
    device = model.device
    noise = torch.randn(
        len(images), model.config.latent_size, generator=torch.Generator().manual_seed(seed)
    )
    similarity = 0.0
    totals = torch.zeros(3, dtype=torch.float64)
    dimensions = torch.zeros(model.config.latent_size, dtype=torch.float64)

    with in_eval_mode(model):
        batches = pixel_batches(images, device, batch_size)
        for x, drawn in zip(batches, noise.split(batch_size), strict=True):
            mu, logvar = model.encode(x, **condition)
            z = model.reparameterize(mu, logvar, drawn.to(device))
            nll = bernoulli_nll.unchecked(model.decode_logits(z, **condition), x)
            decoded = model.decode(mu, **condition)
            if ssim:
                similarity += ssim_per_face.unchecked(decoded, x).cpu().double().sum().item()
            excess = nll - pixel_entropy.unchecked(x)
            parts = torch.stack([nll, excess, psnr.unchecked(decoded, x)], dim=1)
            totals += parts.cpu().double().sum(0)
            dimensions += kl_per_dimension(mu, logvar).cpu().double().sum(0)

    reconstruction, excess, decibels = (totals / len(images)).tolist()
    dimensions /= len(images)
    if not (math.isfinite(reconstruction) and dimensions.isfinite().all()):
        raise InputError(
            f"The model measures {reconstruction} nats of reconstruction and {dimensions.sum()} of "
            "KL: its finite weights give values that are not. Train it again, with a smaller "
            "learning rate."
        )
    return Evaluation(
        reconstruction=reconstruction,
        excess=excess,
        kl=dimensions.sum().item(),
        active_001=int((dimensions > 0.01).sum()),
        active_01=int((dimensions > 0.1).sum()),
        psnr=decibels,
        ssim=similarity / len(images) if ssim else None,
        images=len(images),
        kl_per_dimension=tuple(dimensions.tolist()),
    )


def evaluate_at_betas(network: VAE, images: np.ndarray, count: int = 5) -> list[dict[str, float]]:
    """`evaluate` a network for every β at some of them, evenly in log β over its range.

    Returns
    -------
    list of dict
        The scalar measures at each β, and ``beta``.

    Raises
    ------
    InputError
        If the network knows one β only.

    Examples
    --------
    >>> from vae_lib.model.any_beta import AnyBetaVAE
    >>> told = evaluate_at_betas(AnyBetaVAE(beta_range=(1, 16)), np.zeros((2, 64, 64, 3), np.uint8))
    >>> [round(one["beta"]) for one in told]
    [1, 2, 4, 8, 16]
    """
    network = unwrap(network)
    if not isinstance(network, AnyBetaVAE):
        raise InputError("This model was trained with one β; evaluate(model, images) measures it.")
    betas = np.geomspace(*network.beta_range, count)
    betas[[0, -1]] = network.beta_range  # to the bit
    return [{"beta": b} | evaluate(network, images, beta=b).flat() for b in betas.tolist()]


def check_images(model: VAE, images: np.ndarray) -> None:
    """Raise InputError unless there are images, of the size that the model wants.

    Examples
    --------
    >>> check_images(VAE(), np.zeros((2, 64, 64, 3), np.uint8))
    >>> check_images(VAE(), np.zeros((2, 32, 32, 3), np.uint8))
    Traceback (most recent call last):
    vae_lib.errors.InputError: Found images of shape (2, 32, 32, 3) and type uint8; this ...
    """
    size = model.config.image_size
    shape, kind = getattr(images, "shape", ()), str(getattr(images, "dtype", type(images)))
    if tuple(shape[1:]) != (size, size, 3) or len(images) == 0 or "uint8" not in kind:
        raise InputError(
            f"Found images of shape {tuple(shape)} and type {kind}; this model wants "
            f"(n, {size}, {size}, 3) of uint8, n ≥ 1."
        )


@of_pixels("decoded", "x")
def psnr(decoded: Tensor, x: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image against the original, dB.

    Parameters
    ----------
    decoded, x : Tensor, shape (n, 3, h, w)
        Values in [0, 1].

    Returns
    -------
    Tensor, shape (n,)
        −10 log₁₀ MSE; infinite for equal images.

    Examples
    --------
    All pixels are off by 0.1, so MSE is 0.01:

    >>> psnr(torch.full((1, 3, 2, 2), 0.6), torch.full((1, 3, 2, 2), 0.5))
    tensor([20.00])
    """
    return -10 * (decoded - x).square().flatten(1).mean(1).log10()


@of_pixels("decoded", "x")
def ssim_per_face(decoded: Tensor, x: Tensor) -> Tensor:
    """Structural similarity of each image with its original (Wang et al. 2004, Eq. 13).

    Parameters
    ----------
    decoded, x : Tensor, shape (n, 3, h, w)
        Values in [0, 1].

    Returns
    -------
    Tensor, shape (n,)
        At most 1; 1 for equal images. torchmetrics' default windows, so that the mean over faces
        is `Evaluation.ssim`.

    Examples
    --------
    >>> x = torch.rand(2, 3, 16, 16)
    >>> ssim_per_face(x, x)
    tensor([1.00, 1.00])
    """
    # Imported here, so that training needs nothing beyond PyTorch.
    from torchmetrics.functional.image import structural_similarity_index_measure

    parts = zip(decoded.split(100), x.split(100), strict=True)  # windows take memory
    measure = partial(structural_similarity_index_measure, data_range=1.0, reduction="none")
    return torch.cat([cast(Tensor, measure(*part)) for part in parts])
