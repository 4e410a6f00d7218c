"""The objective against torch.distributions and numerical derivatives."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from vae_lib.errors import InputError
from vae_lib.evaluation import psnr, ssim_per_face
from vae_lib.faces.batches import to_pixels
from vae_lib.objective import (
    aggregate_log_density,
    bernoulli_nll,
    beta_tcvae_objective,
    beta_vae_objective,
    capacity_objective,
    gaussian_nll,
    gaussian_objective,
    kl_parts,
    kl_per_dimension,
    pixel_entropy,
    sigma_vae_objective,
)
from vae_lib.pretrained import load_gallery


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


def test_squared_errors_are_the_log_density_of_a_normal_distribution_summed_over_pixels(batch):
    logits, x, mu, logvar = batch
    for sigma in (0.01, 0.3, torch.tensor(2.0)):
        expected = -Normal(logits.sigmoid(), sigma).log_prob(x).sum((1, 2, 3))
        torch.testing.assert_close(gaussian_nll(logits, x, sigma), expected)
        losses = gaussian_objective(logits, x, mu, logvar, sigma, beta=3.0)
        kl = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1).mean()
        torch.testing.assert_close(losses.loss, expected.mean() + 3 * kl)


def test_the_sigma_vae_takes_the_sigma_under_which_the_batch_is_likeliest(batch):
    logits, x, mu, logvar = batch
    mse, values = (logits.sigmoid() - x).square().mean(), x[0].numel()
    found = sigma_vae_objective(logits, x, mu, logvar, beta=2.0)
    closed = 0.5 * values * (torch.log(2 * torch.pi * mse) + 1)
    torch.testing.assert_close(found.reconstruction, closed)
    torch.testing.assert_close(found.loss, closed + 2 * found.kl)
    others = mse.sqrt() * torch.linspace(0.5, 2, 301)
    nats = torch.stack([gaussian_nll(logits, x, sigma).mean() for sigma in others])
    assert abs(others[nats.argmin()] / mse.sqrt() - 1) < 0.01
    assert found.reconstruction <= nats.min() + 1e-3


def test_the_best_sigma_moves_the_decoder_as_a_given_one_would(batch):
    logits, x, mu, logvar = batch
    logits = logits.requires_grad_()
    mse = (logits.sigmoid() - x).square().mean()
    (found,) = torch.autograd.grad(sigma_vae_objective(logits, x, mu, logvar).loss, logits)
    fixed = gaussian_objective(logits, x, mu, logvar, mse.detach().sqrt()).loss
    (expected,) = torch.autograd.grad(fixed, logits, retain_graph=True)
    torch.testing.assert_close(found, expected)
    # D / (2 MSE) is the price of a squared error, whatever its unit: scale drops out.
    (slope,) = torch.autograd.grad(1e4 * mse, logits)
    weight = x[0].numel() / (2 * mse.detach() * 1e4)
    torch.testing.assert_close(found, weight * slope)


def test_no_sigma_below_the_rounding_of_8_bits_is_believed(batch):
    _, x, mu, logvar = batch
    losses = sigma_vae_objective(torch.logit(x), x, mu, logvar)
    expected = -Normal(x, 1 / 255 / 12**0.5).log_prob(x).sum((1, 2, 3)).mean()
    torch.testing.assert_close(losses.reconstruction, expected)
    assert losses.loss.isfinite()


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


@pytest.mark.parametrize(("capacity", "sign"), [(0.0, 1), (1e3, -1)])
def test_capacity_pulls_the_kl_from_either_side(batch, capacity, sign):
    logits, x, mu, logvar = batch
    mu, logvar = mu.requires_grad_(), logvar.requires_grad_()
    target = torch.tensor(capacity)
    loss, reconstruction, kl = capacity_objective(logits, x, mu, logvar, target, gamma=3.0)
    expected = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum() / 5
    torch.testing.assert_close(kl, expected)
    torch.testing.assert_close(loss, reconstruction + 3 * abs(expected - capacity))
    loss.backward()
    (slope,) = torch.autograd.grad(expected, mu)
    torch.testing.assert_close(mu.grad, sign * 3 * slope)


def test_a_rising_capacity_is_compiled_once(batch):
    logits, x, mu, logvar = batch
    torch.compiler.reset()
    compiled = torch.compile(capacity_objective, backend="eager", fullgraph=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for capacity in (0.0, 1.0, 12.5):
            inputs = logits, x, mu, logvar, torch.full((), capacity), 2.0
            torch.testing.assert_close(compiled(*inputs), capacity_objective(*inputs))


def posteriors(n: int, size: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Means, log-variances and one draw of each, float64."""
    options = {"generator": torch.Generator().manual_seed(seed), "dtype": torch.float64}
    mu, logvar, noise = (torch.randn(n, size, **options) for _ in range(3))
    return mu + (0.5 * logvar).exp() * noise, mu, logvar


def test_the_parts_of_the_kl_are_those_of_the_mixture_when_the_batch_is_the_training_split():
    z, mu, logvar = posteriors(40, 3)
    q = Normal(mu, (0.5 * logvar).exp())
    evenly = torch.ones(40, dtype=torch.float64)
    joint = MixtureSameFamily(Categorical(evenly), Independent(q, 1)).log_prob(z)
    marginals = MixtureSameFamily(
        Categorical(evenly.expand(3, 40)), Normal(mu.T, (0.5 * logvar).exp().T)
    ).log_prob(z)
    mutual_information, total_correlation, dimension_wise = kl_parts(z, mu, logvar, 40)
    conditional, prior = q.log_prob(z).sum(1), Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(mutual_information, (conditional - joint).mean())
    torch.testing.assert_close(total_correlation, (joint - marginals.sum(1)).mean())
    torch.testing.assert_close(dimension_wise, (marginals.sum(1) - prior).mean())


def test_the_parts_of_the_kl_are_the_closed_forms_where_the_aggregate_is_gaussian():
    """Means from N(0, S − σ² I) and posteriors N(mean, σ² I) make up N(0, S)."""
    covariance, variance, n = torch.tensor([[1.5, 0.9], [0.9, 0.9]]).double(), 0.15, 1500
    generator = torch.Generator().manual_seed(0)
    draw = torch.randn(2, n, 2, generator=generator, dtype=torch.float64)
    mu = draw[0] @ torch.linalg.cholesky(covariance - variance * torch.eye(2)).T
    z, logvar = mu + variance**0.5 * draw[1], torch.full_like(mu, np.log(variance))
    parts = kl_parts(z, mu, logvar, n)

    scale = torch.linalg.cholesky(covariance)
    aggregate = MultivariateNormal(torch.zeros(2).double(), scale_tril=scale)
    marginals = Normal(0.0, covariance.diagonal().sqrt())
    entropy_of_code = Normal(0.0, torch.tensor(variance).double().sqrt()).entropy() * 2
    expected = (
        aggregate.entropy() - entropy_of_code,
        marginals.entropy().sum() - aggregate.entropy(),
        kl_divergence(marginals, Normal(0.0, 1.0)).sum(),
    )
    assert expected[1] > 0.4  # a case worth measuring
    for part, exact in zip(parts, expected, strict=True):
        torch.testing.assert_close(part, exact, atol=0.05, rtol=0)
    torch.testing.assert_close(
        sum(parts), kl_divergence(Normal(mu, variance**0.5), Normal(0.0, 1.0)).sum(1).mean(),
        atol=0.05, rtol=0,
    )  # fmt: skip


def test_batches_estimate_the_aggregate_density_without_bias():
    """Over all batches of 3 of 6 images with image 0 in them, the estimates average to q(z)."""
    z, mu, logvar = posteriors(6, 2)
    q = Normal(mu, (0.5 * logvar).exp()).log_prob(z[0]).exp()
    estimates = []
    for others in combinations(range(1, 6), 2):
        rows = [0, *others]
        joint, marginals = aggregate_log_density(z[rows], mu[rows], logvar[rows], 6)
        estimates.append(torch.cat([joint[:1], marginals[0]]).exp())
    expected = torch.cat([q.prod(1).mean()[None], q.mean(0)])
    torch.testing.assert_close(torch.stack(estimates).mean(0), expected)
    assert (torch.stack(estimates).std(0) > 0.1 * expected).all()  # one alone is off


@pytest.mark.parametrize("images", [8, 16_000])
def test_the_parts_of_the_kl_sum_to_it(images):
    z, mu, logvar = posteriors(8, 5)
    q, p = Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)
    expected = (q.log_prob(z) - p.log_prob(z)).sum(1).mean()
    torch.testing.assert_close(sum(kl_parts(z, mu, logvar, images)), expected)


def test_tcvae_weighs_the_total_correlation_alone(batch):
    logits, x, mu, logvar = batch
    z = mu + (0.5 * logvar).exp()
    plain = beta_vae_objective(logits, x, mu, logvar)
    total_correlation = kl_parts(z, mu, logvar, 100).total_correlation
    for beta in (0.0, 1.0, 6.0):
        found = beta_tcvae_objective(logits, x, mu, logvar, z, beta, 100)
        torch.testing.assert_close(found.loss, plain.loss + (beta - 1) * total_correlation)
        assert found[1:] == plain[1:]


def test_tcvae_gradients_pass_gradcheck_in_float64(batch):
    logits, x, *_ = (t.double()[..., :2, :2] for t in batch[:2])
    z, mu, logvar = posteriors(5, 3)
    inputs = tuple(t.clone().requires_grad_() for t in (z, mu, logvar))
    assert torch.autograd.gradcheck(
        lambda z, mu, logvar: beta_tcvae_objective(logits, x, mu, logvar, z, 6.0, 50).loss, inputs
    )


def test_tcvae_compiles_whole_and_computes_the_same(batch):
    logits, x, mu, logvar = batch
    compiled = torch.compile(beta_tcvae_objective, backend="aot_eager", fullgraph=True)
    losses, slopes = [], []
    for objective in (beta_tcvae_objective, compiled):
        inputs = [t.clone().requires_grad_() for t in (mu, logvar)]
        z = inputs[0] + 0.3
        losses.append(objective(logits, x, *inputs, z, 6.0, 50).loss)
        slopes.append(torch.autograd.grad(losses[-1], inputs))
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*slopes)


OF_PIXELS = {
    "nll": lambda logits, x, mu, logvar: bernoulli_nll(logits, x),
    "entropy": lambda logits, x, mu, logvar: pixel_entropy(x),
    "beta-vae": lambda logits, x, mu, logvar: beta_vae_objective(logits, x=x, mu=mu, logvar=logvar),
    "capacity": lambda *batch: capacity_objective(*batch, torch.ones(()), 2.0),
    "beta-tcvae": lambda *batch: beta_tcvae_objective(*batch, batch[2], 2.0, 50),
    "gaussian": lambda *batch: gaussian_objective(*batch, sigma=0.1),
    "sigma-vae": lambda *batch: sigma_vae_objective(*batch),
    "psnr": lambda logits, x, mu, logvar: psnr(logits.sigmoid(), x),
    "psnr of decoded": lambda logits, x, mu, logvar: psnr(x, logits.sigmoid()),
    "ssim": lambda logits, x, mu, logvar: ssim_per_face(logits.sigmoid(), x),
}
WRONG = {
    "in [-1, 1]": lambda x: 2 * x - 1,
    "in [0, 255]": lambda x: 255 * x,
    "one NaN": lambda x: torch.where(x == x.max(), torch.nan, x),
    "one a little above 1": lambda x: torch.where(x == x.max(), 1.001, x),
    "uint8": lambda x: (255 * x).to(torch.uint8),
    "none": lambda x: x[:0],
    "an array": lambda x: x.numpy(),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("function", OF_PIXELS)
def test_pixels_outside_of_0_to_1_are_refused_by_whatever_counts_nats_or_decibels(
    batch, function, wrong
):
    logits, x, mu, logvar = batch
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        OF_PIXELS[function](logits, WRONG[wrong](x), mu, logvar)


def test_pixels_are_made_of_uint8_alone():
    with pytest.raises(InputError, match="uint8"):
        to_pixels(torch.rand(1, 4, 4, 3))


def in_the_papers_code(z, mu, logvar, images: int) -> torch.Tensor:
    """Total correlation with that code's weights: 1/N in the first column, not on the diagonal."""
    n = len(z)
    weights = torch.full((n, n), 1 / (n - 1))
    weights[:, 0] = 1 / images
    weights[:, 1] = weights[n - 2, 0] = (images - n + 1) / (images * (n - 1))
    log_q = Normal(mu, torch.exp(logvar / 2)).log_prob(z[:, None])
    joint = torch.logsumexp(log_q.sum(2) + weights.log(), 1)
    return (joint - torch.logsumexp(log_q + weights.log()[:, :, None], 1).sum(1)).mean()


def test_the_papers_code_weighs_total_correlation_otherwise_by_what_the_docstring_says():
    found = []
    for name in ("vae_mig_best", "vae_mig_worst"):
        gallery = load_gallery(name)
        draws = []
        for seed in range(10):
            mu, logvar = (torch.tensor(v, requires_grad=True) for v in (gallery.mu, gallery.logvar))
            noise = torch.randn(mu.shape, generator=torch.Generator().manual_seed(seed))
            z = mu + torch.exp(logvar / 2) * noise
            ours = kl_parts(z, mu, logvar, 16_000).total_correlation
            theirs = in_the_papers_code(z, mu, logvar, 16_000)
            slopes = [
                torch.cat(torch.autograd.grad(value, (mu, logvar), retain_graph=True)).flatten()
                for value in (ours, theirs)
            ]
            ratio = slopes[0].norm() / slopes[1].norm()
            cosine = torch.cosine_similarity(*slopes, dim=0)
            draws.append([v.item() for v in (theirs, ours, ratio, cosine)])
        assert len(mu) == 64
        found.append(np.mean(draws, axis=0))
    theirs, ours, ratio, cosine = np.transpose(found)
    said = " ".join(beta_tcvae_objective.__doc__.split())
    assert f"{theirs[0]:.1f} and {theirs[1]:.1f} nats where this reads" in said
    assert f"this reads {ours[0]:.1f} and {ours[1]:.1f}." in said
    assert f"{ratio[0]:.1f} and {ratio[1]:.1f} times as long here as there" in said
    assert f"the cosine of the two {cosine[0]:.2f} and {cosine[1]:.2f} (means of ten draws" in said
