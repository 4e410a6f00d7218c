"""A latent-variable model in one dimension, small enough that nothing has to be approximated.

With one latent number the integral over it can be done on a grid, so the true log-likelihood and
the true posterior stand beside the bound and the encoder's Gaussian. Equation numbers are those of
Kingma & Welling 2014, arXiv:1312.6114.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_lib.errors import InputError
from vae_lib.objective import kl_per_dimension

# Ten standard deviations to either side; the trapezium rule on a smooth, fast-falling integrand
# gains digits exponentially with the number of nodes.
GRID = torch.linspace(-10, 10, 4001, dtype=torch.float64)
NODES = torch.linspace(-8, 8, 401, dtype=torch.float64)
WEIGHTS = torch.softmax(-0.5 * NODES.square(), dim=0)


def log_normal(x: Tensor, mean: Tensor | float, sigma: Tensor | float) -> Tensor:
    """Log-density of a Gaussian, nats.

    >>> log_normal(torch.zeros(1), 0.0, 1.0).item()  # −½ ln 2π
    -0.9189
    """
    sigma = torch.as_tensor(sigma, dtype=x.dtype)
    return -0.5 * ((x - mean) / sigma).square() - sigma.log() - 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class ToyModel:
    """z ~ N(0, 1), x | z ~ N(decode(z), noise²), both single numbers.

    Arithmetic is in float64. Methods broadcast: ``x``, ``mu`` and ``sigma`` are numbers or tensors
    whose shapes fit each other.

    Raises
    ------
    InputError
        If ``noise`` is below 0.05: the peaks would be too narrow for the grid.

    Examples
    --------
    With a decoder that hands z on, x is N(0, 1 + noise²), and its posterior a Gaussian of mean
    x / (1 + noise²), which the bound reaches.

    >>> toy = ToyModel(lambda z: z, noise=1.0)
    >>> toy.log_evidence(0.0).item()  # −½ ln 4π
    -1.2655
    >>> toy.bound(0.0, mu=0.0, sigma=0.5**0.5).item()
    -1.2655
    >>> toy.bound(0.0, mu=0.0, sigma=1.0).item()  # a wider q pays for it
    -1.4189
    """

    decode: Callable[[Tensor], Tensor]
    """The decoder: any smooth function of z, elementwise."""
    noise: float = 0.2
    """Standard deviation of x around decode(z)."""

    def __post_init__(self) -> None:
        if not self.noise >= 0.05:
            raise InputError(
                f"noise is {self.noise}; the grid resolves the posterior from 0.05 upwards."
            )

    def log_likelihood(self, x: Tensor | float, z: Tensor) -> Tensor:
        """log p(x | z), nats."""
        return log_normal(_double(x), self.decode(z), self.noise)

    def log_joint(self, x: Tensor | float, z: Tensor) -> Tensor:
        """log p(x, z) = log p(z) + log p(x | z), nats."""
        return log_normal(z, 0.0, 1.0) + self.log_likelihood(x, z)

    def log_evidence(self, x: Tensor | float) -> Tensor:
        """log p(x) = log ∫ p(z) p(x | z) dz, nats, by quadrature over z."""
        step = (GRID[1] - GRID[0]).log()
        return torch.logsumexp(self.log_joint(_double(x)[..., None], GRID), dim=-1) + step

    def posterior(self, x: float, z: Tensor) -> Tensor:
        """The true posterior's density p(z | x) = p(x, z) / p(x) at each of the ``z``."""
        return (self.log_joint(x, z) - self.log_evidence(x)).exp()

    def bound(self, x: Tensor | float, mu: Tensor | float, sigma: Tensor | float) -> Tensor:
        """The evidence lower bound of the encoder's answer q(z) = N(mu, sigma²), nats (Eq. 3).

        The expectation is a quadrature too, so the bound carries no sampling noise, and gradients
        with respect to ``mu`` and ``sigma`` are exact.
        """
        x, mu, sigma = _double(x), _double(mu), _double(sigma)
        z = mu[..., None] + sigma[..., None] * NODES  # g(ε) of Eq. 4, at the quadrature's ε
        reconstruction = (self.log_likelihood(x[..., None], z) * WEIGHTS).sum(-1)
        return reconstruction - kl_per_dimension(mu, 2 * sigma.log())


def _double(value: Tensor | float) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)
