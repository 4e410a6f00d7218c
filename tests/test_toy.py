"""The toy model's quadratures against closed forms and another integrator."""

import math

import pytest
import torch
from scipy.integrate import quad

from vae_lib.course.toy import GRID, ToyModel, log_normal
from vae_lib.errors import InputError

PARABOLA = ToyModel(lambda z: z.square() / 2)
LINE = ToyModel(lambda z: 0.8 * z + 0.1, noise=0.3)


def joint(x: float, z: float) -> float:
    def density(value, mean, sigma):
        return math.exp(-0.5 * ((value - mean) / sigma) ** 2) / sigma / math.sqrt(2 * math.pi)

    return density(z, 0, 1) * density(x, z * z / 2, 0.2)


@pytest.mark.parametrize("x", [-0.3, 0.2, 1.0, 3.0])
def test_the_evidence_agrees_with_another_integrator(x):
    expected = math.log(2 * quad(lambda z: joint(x, z), 0, 10, limit=500, epsabs=1e-13)[0])
    assert PARABOLA.log_evidence(x).item() == pytest.approx(expected, abs=1e-8)


def test_a_linear_decoder_has_the_gaussian_evidence_and_posterior():
    x = torch.tensor([-1.0, 0.4, 2.0], dtype=torch.float64)
    scale = math.sqrt(0.8**2 + 0.3**2)
    expected = torch.distributions.Normal(0.1, scale).log_prob(x)
    assert torch.allclose(LINE.log_evidence(x), expected, atol=1e-9)
    precision = 1 + 0.8**2 / 0.3**2
    mu, sigma = 0.8 * (x - 0.1) / 0.3**2 / precision, precision**-0.5
    # With q the true posterior the bound is tight (Eq. 1 with a KL of 0).
    assert torch.allclose(LINE.bound(x, mu, sigma), expected, atol=1e-9)
    posterior = torch.distributions.Normal(mu[0], sigma).log_prob(GRID).exp()
    assert torch.allclose(LINE.posterior(-1.0, GRID), posterior, atol=1e-8)


@pytest.mark.parametrize(("mu", "sigma"), [(0.0, 1.0), (1.2, 0.3), (-2.0, 0.7)])
def test_bound_and_gap_add_up_to_the_evidence(mu, sigma):
    log_q = log_normal(GRID, mu, sigma)
    ratio = log_q - PARABOLA.log_joint(1.0, GRID) + PARABOLA.log_evidence(1.0)
    gap = torch.trapezoid(log_q.exp() * ratio, GRID)
    assert gap > 0
    total = PARABOLA.bound(1.0, mu, sigma) + gap
    assert total.item() == pytest.approx(PARABOLA.log_evidence(1.0).item(), abs=1e-7)


def test_the_bound_agrees_with_draws():
    noise = torch.randn(400_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z = 1.1 + 0.2 * noise
    draws = PARABOLA.log_joint(1.0, z) - log_normal(z, 1.1, 0.2)
    error = draws.std() / len(draws) ** 0.5
    assert abs(PARABOLA.bound(1.0, 1.1, 0.2) - draws.mean()) < 4 * error


def test_two_equal_peaks_cost_a_gaussian_one_bit():
    mus = torch.linspace(1.5, 2.5, 101, dtype=torch.float64)
    best = max(PARABOLA.bound(2.0, mus, sigma).max() for sigma in (0.09, 0.1, 0.11))
    assert (PARABOLA.log_evidence(2.0) - best).item() == pytest.approx(math.log(2), abs=0.01)


def test_noise_too_small_for_the_grid_is_refused():
    with pytest.raises(InputError, match=r"noise is 0\.01"):
        ToyModel(lambda z: z, noise=0.01)
