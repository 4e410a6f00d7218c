"""The variational autoencoder: an encoder, a latent space, a decoder.

The names are those of the paper (Kingma & Welling 2014, arXiv:1312.6114): the encoder gives the
mean ``mu`` and log-variance ``logvar`` of q(z | x), the decoder gives p(x | z).
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from vae_lib.config import VAEConfig
from vae_lib.errors import InputError


def halve(inputs: int, outputs: int) -> nn.Sequential:
    """A conv layer that halves height and width: kernel 4, stride 2, padding 1.

    Examples
    --------
    >>> halve(3, 32)(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 32, 32, 32])
    """
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False),  # BatchNorm has the bias
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.2, inplace=True),
    )


def double(inputs: int, outputs: int) -> nn.Sequential:
    """A transposed conv layer that doubles height and width.

    Examples
    --------
    >>> double(32, 16)(torch.zeros(2, 32, 32, 32)).shape
    torch.Size([2, 16, 64, 64])
    """
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.2, inplace=True),
    )


def reparameterize(mu: Tensor, logvar: Tensor, noise: Tensor | None = None) -> Tensor:
    """A draw z = mu + sigma · noise that gradients can pass through (Eq. 10 of the paper).

    Parameters
    ----------
    mu, logvar : Tensor, shape (n, latent_size)
        Mean and log-variance of q(z | x); sigma is exp(logvar / 2).
    noise : Tensor, shape (n, latent_size), optional
        Standard normal; drawn here when not given.

    Examples
    --------
    A variance of 4 is a standard deviation of 2:

    >>> reparameterize(torch.tensor([1.0]), torch.tensor([4.0]).log(), torch.tensor([0.5]))
    tensor([2.])
    """
    if noise is None:
        noise = torch.randn_like(mu)
    return mu + torch.exp(0.5 * logvar) * noise


class VAE(nn.Module):
    """A convolutional VAE with a Gaussian posterior and Bernoulli pixels.

    Parameters
    ----------
    config : VAEConfig, optional
        Image size, channels and latent size. The baseline has 2,957,955 parameters.

    Notes
    -----
    Shapes below are those of the baseline: ``x`` is (n, 3, 64, 64) with values in [0, 1],
    ``mu``, ``logvar`` and ``z`` are (n, 128). A new model's weights come from PyTorch's global
    generator: call ``torch.manual_seed`` first to repeat them.
    """

    def __init__(self, config: VAEConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or VAEConfig()
        # What a file told of the model: recipe, faces, measures. No part of state_dict.
        self.metadata: dict[str, Any] = {}
        widths = (3, *config.channels)
        self.innermost = (widths[-1], config.smallest, config.smallest)
        features = math.prod(self.innermost)

        # 3×64×64 → 32×32×32 → 64×16×16 → 128×8×8 → 256×4×4
        self.encoder = nn.Sequential(
            *(halve(inputs, outputs) for inputs, outputs in pairwise(widths))
        )
        self.to_mu = nn.Linear(features, config.latent_size)  # 4096 → 128
        self.to_logvar = nn.Linear(features, config.latent_size)  # 4096 → 128

        self.from_z = nn.Linear(config.latent_size, features)  # 128 → 4096
        # 256×4×4 → 128×8×8 → 64×16×16 → 32×32×32 → 3×64×64
        back = widths[:0:-1]
        self.decoder = nn.Sequential(
            *(double(inputs, outputs) for inputs, outputs in pairwise(back)),
            nn.ConvTranspose2d(back[-1], 3, 4, stride=2, padding=1),
        )

    def __iter__(self) -> NoReturn:
        raise TypeError(
            "A model is no pair. load_pretrained and load_weights give the model itself, whose "
            "facts are in model.metadata: write model = load_pretrained(name)."
        )

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.to_mu.weight.device

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), each of shape (n, latent_size)."""
        features = self.encoder(x).flatten(1)
        return self.to_mu(features), self.to_logvar(features)

    def reparameterize(self, mu: Tensor, logvar: Tensor, noise: Tensor | None = None) -> Tensor:
        """A draw from q(z | x): see `reparameterize`."""
        return reparameterize(mu, logvar, noise)

    def decode_logits(self, z: Tensor) -> Tensor:
        """The pixels before the Sigmoid, (n, 3, 64, 64): what the loss wants."""
        features = self.from_z(z).unflatten(1, self.innermost)
        return self.decoder(features)

    def decode(self, z: Tensor) -> Tensor:
        """The pixels' means under p(x | z): (n, 3, 64, 64) in [0, 1]."""
        return torch.sigmoid(self.decode_logits(z))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """One pass for training: ``(logits, mu, logvar)``; `reconstruct` gives pixels."""
        mu, logvar = self.encode(x)
        return self.decode_logits(self.reparameterize(mu, logvar, noise)), mu, logvar

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Decode the posterior mean of each image, in eval mode: (n, 3, 64, 64) in [0, 1]."""
        with in_eval_mode(self):
            return self.decode(self.encode(x)[0])

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Decode ``count`` draws from the prior N(0, I): (count, 3, 64, 64) in [0, 1].

        It decodes in eval mode. The draws are made on the CPU, so that one seed gives the same
        faces on every device.
        """
        z = torch.randn(count, self.config.latent_size, generator=generator)
        with in_eval_mode(self):
            return self.decode(z.to(self.device))


# What was found of models of somebody's own, as long as they live: `unwrap` makes many a `Foreign`.
_latent_sizes: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()


class Foreign(VAE):
    """A model of somebody's own in the place of a `VAE`: `unwrap` makes one where it meets it.

    Parameters
    ----------
    inner : nn.Module
        With ``encode(x)``, ``decode_logits(z)`` and ``forward(x, noise)`` as `VAE` has them.
    """

    def __init__(self, inner: nn.Module) -> None:
        nn.Module.__init__(self)
        self.inner: Any = inner
        self.metadata = getattr(inner, "metadata", {})

    @cached_property
    def config(self) -> VAEConfig:  # type: ignore[override] # the VAE's is given, this one found
        """The size of its images, 64 where it does not say, and how many dimensions it answers."""
        size = getattr(self.inner, "image_size", VAEConfig.image_size)
        if self.inner not in _latent_sizes:
            with torch.no_grad(), eval_mode(self.inner):
                mu, _ = self.inner.encode(torch.zeros(1, 3, size, size, device=self.device))
            _latent_sizes[self.inner] = mu.shape[1]
        return VAEConfig(image_size=size, latent_size=_latent_sizes[self.inner])

    @property
    def conditions(self) -> tuple[str, ...]:
        """What it wants to know of each image: see `vae_lib.config.Objective`."""
        return tuple(getattr(self.inner, "conditions", ()))

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return next(self.inner.parameters()).device

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner.encode(x)

    def decode_logits(self, z: Tensor) -> Tensor:
        return self.inner.decode_logits(z)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        return self.inner(x, noise)


def unwrap(model: Any) -> VAE:
    """The VAE in what is at hand: itself, compiled, wrapped for several devices, or in training.

    Parameters
    ----------
    model : VAE, or what holds one
        Also a module of your own that has its methods ``encode`` and ``decode_logits``;
        ``torch.compile(vae)``, ``DataParallel``, ``DistributedDataParallel`` and the like, or
        what `vae_lib.training.train` returns.

    Raises
    ------
    InputError
        If no VAE is in it; a state_dict is told apart.

    Examples
    --------
    >>> vae = VAE(VAEConfig(channels=(4, 8), latent_size=2))
    >>> unwrap(nn.DataParallel(vae)) is vae
    True
    """
    inner = model
    for _ in range(8):  # wrappers may be wrapped
        if isinstance(inner, VAE):
            return inner
        # torch.compile's, the parallel ones' and Training's. One's own model may have such layers.
        names = ("_orig_mod", "module", "model")
        methods = [getattr(inner, name, None) for name in ("encode", "decode_logits")]
        own = isinstance(inner, nn.Module) and not hasattr(inner, "_orig_mod")
        if own and all(map(callable, methods)):
            return Foreign(inner)
        inner = next((getattr(inner, n) for n in names if hasattr(inner, n)), None)
    if isinstance(model, Mapping) and all(isinstance(v, Tensor) for v in model.values()):
        raise InputError(
            "Found a state_dict: weights, without the model that they belong to. Make one of the "
            "same shape and fill it: model = VAE(config); model.load_state_dict(weights)."
        )
    raise InputError(
        f"Found {type(model).__name__} where a model was expected; give a vae_lib.model.VAE, as "
        "training.model is one and load_pretrained returns one, or a module with its "
        "encode and decode_logits."
    )


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Eval mode for as long as a network is measured, encodes or decodes.

    In training mode BatchNorm looks at the whole batch, so that a face's code would depend on its
    company, and every look would change the statistics. Each layer gets its own mode back.

    Examples
    --------
    >>> layer = nn.BatchNorm1d(2)
    >>> with eval_mode(layer):
    ...     print(layer.training)
    False
    >>> layer.training
    True
    """
    layers = [layer for layer in network.modules() if layer.training]
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer in layers:
            layer.training = True


@contextmanager
def in_eval_mode(model: Any) -> Iterator[VAE]:
    """The VAE in `model` (see `unwrap`), in `eval_mode`.

    Examples
    --------
    >>> with in_eval_mode(VAE(VAEConfig(channels=(4, 8), latent_size=2))) as vae:
    ...     vae.decode(torch.zeros(1, 2)).shape
    torch.Size([1, 3, 64, 64])
    """
    vae = unwrap(model)
    with eval_mode(vae):
        yield vae


def check_finite(model: VAE) -> None:
    """Raise InputError if a weight is NaN or infinite: nothing that it computes means anything.

    Examples
    --------
    >>> check_finite(VAE(VAEConfig(channels=(4, 8), latent_size=2)))  # silent: all is well
    """
    bad = [name for name, value in model.state_dict().items() if not value.isfinite().all()]
    if bad:
        raise InputError(
            f"The model's weights hold values that are not finite ({', '.join(bad[:3])}"
            f"{' …' * (len(bad) > 3)}). Train it again, or copy the file again."
        )
