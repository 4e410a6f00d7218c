"""The objective against torch.distributions and numerical derivatives."""

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from vae_lib.objective import bernoulli_nll, beta_vae_objective, kl_per_dimension, pixel_entropy


@pytest.fixture
def batch() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(5, 3, 8, 8, generator=generator)
    x = torch.rand(5, 3, 8, 8, generator=generator)
    mu, logvar = torch.randn(2, 5, 7, generator=generator)
    return logits, x, mu, logvar


def test_reconstruction_is_the_bernoulli_log_likelihood_summed_over_pixels(batch):
    logits, x, _, _ = batch
    binary = (x > 0.5).float()
    expected = -Bernoulli(logits=logits).log_prob(binary).sum((1, 2, 3))
    torch.testing.assert_close(bernoulli_nll(logits, binary), expected)


def test_reconstruction_of_continuous_pixels_is_the_expected_log_likelihood(batch):
    logits, x, _, _ = batch
    ones, zeros = (Bernoulli(logits=logits).log_prob(torch.full_like(x, v)) for v in (1.0, 0.0))
    torch.testing.assert_close(
        bernoulli_nll(logits, x), -(x * ones + (1 - x) * zeros).sum((1, 2, 3))
    )


def test_kl_is_that_of_torch_distributions(batch):
    _, _, mu, logvar = batch
    expected = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(kl_per_dimension(mu, logvar), expected)


def test_kl_agrees_with_a_monte_carlo_estimate():
    mu, logvar = torch.tensor([[1.5, -0.3]]), torch.tensor([[-1.0, 0.4]])
    q, p = Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)
    torch.manual_seed(0)
    z = q.sample((400_000,))
    estimate = (q.log_prob(z) - p.log_prob(z)).mean(0)
    torch.testing.assert_close(kl_per_dimension(mu, logvar), estimate, atol=0.01, rtol=0)


def test_pixel_entropy_is_the_least_possible_reconstruction(batch):
    _, x, _, _ = batch
    torch.testing.assert_close(pixel_entropy(x), bernoulli_nll(torch.logit(x), x))
    black_and_white = (x > 0.5).float()
    assert torch.equal(pixel_entropy(black_and_white), torch.zeros(5))
    assert (bernoulli_nll(batch[0], x) > pixel_entropy(x)).all()


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_loss_is_reconstruction_plus_beta_times_kl_averaged_over_the_batch(batch, beta):
    logits, x, mu, logvar = batch
    loss, reconstruction, kl = beta_vae_objective(logits, x, mu, logvar, beta)
    torch.testing.assert_close(reconstruction, bernoulli_nll(logits, x).sum() / 5)
    torch.testing.assert_close(kl, kl_per_dimension(mu, logvar).sum() / 5)
    torch.testing.assert_close(loss, reconstruction + beta * kl)


def test_beta_changes_the_gradient_of_the_posterior_alone(batch):
    logits, x, mu, logvar = batch
    gradients = []
    for beta in (1.0, 4.0):
        inputs = [t.clone().requires_grad_() for t in (logits, mu, logvar)]
        beta_vae_objective(inputs[0], x, inputs[1], inputs[2], beta).loss.backward()
        gradients.append([t.grad for t in inputs])
    torch.testing.assert_close(gradients[0][0], gradients[1][0])
    for plain, weighted in zip(gradients[0][1:], gradients[1][1:], strict=True):
        torch.testing.assert_close(4 * plain, weighted)


def test_gradients_pass_gradcheck_in_float64(batch):
    logits, x, mu, logvar = (t[:2].double() for t in batch)
    inputs = tuple(t.clone().requires_grad_() for t in (logits[..., :2, :2], mu, logvar))
    assert torch.autograd.gradcheck(
        lambda a, b, c: beta_vae_objective(a, x[..., :2, :2], b, c, 2.5).loss, inputs
    )


def test_bfloat16_inputs_are_summed_in_float32(batch):
    logits, x, mu, logvar = batch
    exact = beta_vae_objective(logits.bfloat16().float(), x, mu, logvar).loss
    assert beta_vae_objective(logits.bfloat16(), x, mu, logvar).loss.dtype == torch.float32
    np.testing.assert_allclose(
        beta_vae_objective(logits.bfloat16(), x, mu, logvar).loss, exact, rtol=1e-6
    )
