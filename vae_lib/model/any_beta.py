"""One network for every β: a VAE that takes β as an input.

Training one VAE per β gives one point each of the trade between rate and distortion. The
Multi-Rate VAE (Bae et al., ICLR 2023, arXiv:2212.03905) gets the whole curve from one training:
gates that know β scale what each layer says, so that the same weights serve every β.
"""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from vae_lib.config import VAEConfig, check_range
from vae_lib.errors import InputError
from vae_lib.model import VAE, in_eval_mode, unwrap

BETA_RANGE = (0.5, 20.0)


class Gate(nn.Module):
    """A factor in (0, 1) for each channel: sigmoid(u · s + v), s the standardised log β.

    A new gate is ½ for every β.

    Parameters
    ----------
    channels : int
        How many factors.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(1, channels)
        nn.init.zeros_(self.affine.weight)
        nn.init.zeros_(self.affine.bias)

    def forward(self, s: Tensor) -> Tensor:
        """Factors (n, channels) for the standardised log β of each image, (n, 1)."""
        return torch.sigmoid(self.affine(s))


class AnyBetaVAE(VAE):
    """A VAE whose every layer is gated by β: h ← act(g(β) ⊙ BatchNorm(W h)).

    g is a `Gate` of the layer's own. Gates also scale ``mu``, ``logvar`` and the layer that z goes
    through first: at 0 a dimension says nothing, mu = logvar = 0, which is the prior. With all
    gates at 1 this is `VAE`. The last layer, whose output is pixels, has none. BatchNorm's
    statistics are those of the mixture of β that training draws, also when one β is asked for.

    Parameters
    ----------
    config : VAEConfig, optional
        As for `VAE`.
    beta_range : tuple of two floats
        The smallest and the largest β, 0 < smallest < largest.

    Notes
    -----
    The baseline grows from 2,957,955 parameters to 2,968,067. Everywhere below ``beta`` is a
    number for all images, or a tensor (n,) with one for each.

    Raises
    ------
    InputError
        Where β is missing or outside of the range; or the range is none.

    Examples
    --------
    >>> model = AnyBetaVAE(beta_range=(0.5, 20.0)).eval()
    >>> x = torch.rand(2, 3, 64, 64)
    >>> mu, logvar = model.encode(x, beta=4.0)
    >>> model.decode(mu, beta=torch.tensor([1.0, 10.0])).shape
    torch.Size([2, 3, 64, 64])
    >>> model.encode(x, beta=40.0)
    Traceback (most recent call last):
    vae_lib.errors.InputError: β is 40; this network was trained for β from 0.5 to 20, and knows \
nothing of others.
    """

    conditions = ("beta",)
    """What `forward` wants besides images and noise, one of it for each image."""

    def __init__(
        self, config: VAEConfig | None = None, beta_range: tuple[float, float] = BETA_RANGE
    ) -> None:
        super().__init__(config)
        self.beta_range = check_range(beta_range)
        channels = self.config.channels
        self.encoder_gates = nn.ModuleList(Gate(width) for width in channels)
        self.mu_gate = Gate(self.config.latent_size)
        self.logvar_gate = Gate(self.config.latent_size)
        self.from_z_gate = Gate(self.from_z.out_features)
        self.decoder_gates = nn.ModuleList(Gate(width) for width in channels[-2::-1])

    def encode(self, x: Tensor, beta: float | Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x, β), each of shape (n, latent_size)."""
        s = self.standardised(beta, x)
        for block, gate in zip(self.encoder, self.encoder_gates, strict=True):
            x = _gated(block, gate(s), x)
        features = x.flatten(1)
        mu, logvar = self.to_mu(features), self.to_logvar(features)
        return self.mu_gate(s) * mu, self.logvar_gate(s) * logvar

    def decode_logits(self, z: Tensor, beta: float | Tensor | None = None) -> Tensor:
        """The pixels before the Sigmoid, (n, 3, 64, 64)."""
        s = self.standardised(beta, z)
        x = (self.from_z_gate(s) * self.from_z(z)).unflatten(1, self.innermost)
        *blocks, last = self.decoder
        for block, gate in zip(blocks, self.decoder_gates, strict=True):
            x = _gated(block, gate(s), x)
        return last(x)

    def decode(self, z: Tensor, beta: float | Tensor | None = None) -> Tensor:
        """The pixels' means under p(x | z, β): (n, 3, 64, 64) in [0, 1]."""
        return torch.sigmoid(self.decode_logits(z, beta))

    def forward(
        self, x: Tensor, noise: Tensor | None = None, beta: float | Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One pass for training: ``(logits, mu, logvar)``."""
        mu, logvar = self.encode(x, beta)
        return self.decode_logits(self.reparameterize(mu, logvar, noise), beta), mu, logvar

    @torch.no_grad()
    def reconstruct(self, x: Tensor, beta: float | Tensor | None = None) -> Tensor:
        """Decode the posterior mean of each image, in eval mode: (n, 3, 64, 64) in [0, 1]."""
        with in_eval_mode(self):
            return self.decode(self.encode(x, beta)[0], beta)

    @torch.no_grad()
    def sample(
        self,
        count: int,
        generator: torch.Generator | None = None,
        beta: float | Tensor | None = None,
    ) -> Tensor:
        """Decode ``count`` draws from the prior at this β: (count, 3, 64, 64) in [0, 1]."""
        z = torch.randn(count, self.config.latent_size, generator=generator)
        with in_eval_mode(self):
            return self.decode(z.to(self.device), beta)

    def standardised(self, beta: float | Tensor | None, like: Tensor) -> Tensor:
        """s = (log β − m) / d of each image, (n, 1), for the n rows of ``like``.

        m is the middle of the range of log β, and d = (log largest − log smallest) / √12 the
        standard deviation of a uniform draw from it, so that s runs from −√3 to √3.

        A β on a GPU is not looked at, since the CPU would wait; `draw_beta` gives no wrong one.
        """
        if not isinstance(beta, Tensor) or beta.device.type == "cpu":
            self.check_beta(beta)
        beta = torch.as_tensor(beta, dtype=torch.float32, device=like.device).expand(len(like))
        low, high = map(math.log, self.beta_range)
        return ((beta.log() - (low + high) / 2) / ((high - low) / math.sqrt(12)))[:, None]

    def check_beta(self, beta: Any) -> None:
        """Raise InputError unless every β is a number of the trained range."""
        low, high = self.beta_range
        if beta is None:
            raise InputError(
                f"This network serves every β from {low:g} to {high:g} and was told none: give "
                "beta, one number or one for each image."
            )
        try:
            values = torch.as_tensor(beta, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"β is {beta!r}; give a number from {low:g} to {high:g}.") from error
        wrong = values[~((values >= low) & (values <= high))]
        if values.numel() == 0 or wrong.numel():
            found = f"{wrong.flatten()[0]:g}" if wrong.numel() else "empty"
            raise InputError(
                f"β is {found}; this network was trained for β from {low:g} to {high:g}, and "
                "knows nothing of others."
            )

    def draw_beta(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """``count`` β, log-uniform over the trained range, (count,): one for each image."""
        low, high = map(math.log, self.beta_range)
        return torch.exp(low + (high - low) * torch.rand(count, generator=generator))


def at_beta(model: VAE, beta: float | None) -> dict[str, float]:
    """What to hand to a model's methods: its β by name, or nothing for a `VAE` of one β.

    Raises
    ------
    InputError
        If a model that knows every β is told none, or a β it was not trained for; or if a model
        that knows none is told one.

    Examples
    --------
    >>> at_beta(AnyBetaVAE(), 4.0)
    {'beta': 4.0}
    >>> at_beta(VAE(), None)
    {}
    """
    if isinstance(model, AnyBetaVAE):
        model.check_beta(beta)
        return {"beta": float(cast(float, beta))}
    if beta is not None:
        raise InputError(
            f"β is {beta:g}, but this model was trained with one β and takes none; leave it out, "
            "or use a network that was trained for a range of β."
        )
    return {}


def network_of(config: VAEConfig, low: float, high: float) -> AnyBetaVAE:
    """A new network for every β from low to high: what the objective ``any-beta`` trains.

    Examples
    --------
    >>> network_of(VAEConfig(), low=1, high=8).beta_range
    (1.0, 8.0)
    """
    return AnyBetaVAE(config, (low, high))


class AtBeta(nn.Module):
    """A network for every β at one of them: whatever wants a model of one β can have it.

    Examples
    --------
    >>> model = AtBeta(AnyBetaVAE(), 4.0)
    >>> mu, logvar = model.encode(torch.rand(2, 3, 64, 64))
    >>> model.decode_logits(mu).shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(self, network: AnyBetaVAE, beta: float) -> None:
        super().__init__()
        self.network, self.beta = network, beta
        self.image_size, self.metadata = network.config.image_size, network.metadata

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `AnyBetaVAE.encode`, at this β."""
        return self.network.encode(x, self.beta)

    def decode_logits(self, z: Tensor) -> Tensor:
        """As `AnyBetaVAE.decode_logits`, at this β."""
        return self.network.decode_logits(z, self.beta)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """As `AnyBetaVAE.forward`, at this β."""
        return self.network(x, noise, self.beta)


def shown(model: nn.Module) -> VAE:
    """The model itself; of a network for every β it at β = 1, or at the end of its range next to 1.

    Examples
    --------
    >>> shown(AnyBetaVAE(beta_range=(2, 8))).inner.beta
    2.0
    >>> shown(model := VAE()) is model
    True
    """
    inner = unwrap(model)
    if not isinstance(inner, AnyBetaVAE):
        return inner
    low, high = inner.beta_range
    return unwrap(AtBeta(inner, min(max(1.0, low), high)))


def _gated(block: Any, factors: Tensor, x: Tensor) -> Tensor:
    """Conv, BatchNorm, gate, activation: factors (n, channels) scale the pre-activations."""
    conv, norm, activation = block
    return activation(factors[:, :, None, None] * norm(conv(x)))
