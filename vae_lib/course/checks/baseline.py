"""Checks of the exercises in notebook 1."""

import copy
import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from vae_lib.config import VAEConfig
from vae_lib.course.checks.verdicts import Ask, as_tensor, compare, exercise, same
from vae_lib.model import VAE
from vae_lib.objective import bernoulli_nll, kl_per_dimension


@exercise(1, "With both Gaussians equal it gives 0, and it is never negative.")
def gaussian_kl(ask: Ask) -> str:
    """``gaussian_kl(mu, logvar)``: KL(N(mu, σ²) ‖ N(0, 1)) of each element, nats."""
    mu, logvar = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0)).double()
    found = ask.tensor(mu, logvar)
    variance, sigma = logvar.exp(), torch.exp(0.5 * logvar)
    expected = kl_divergence(Normal(mu, sigma), Normal(0.0, 1.0))
    if found.shape != mu.shape:
        return (
            f"mu has shape {tuple(mu.shape)}, and your result {tuple(found.shape)}; give one KL "
            "for each element" + (", and sum nothing, nor average." if found.ndim < 2 else ".")
        )

    def half(*terms: Any) -> Tensor:
        return 0.5 * sum(terms)

    square = mu.square()
    wide = half(square, variance, -1)  # all but the last term
    slips = [
        (half(square, sigma, -1, -logvar), "the variance is exp(logvar), and exp(logvar / 2), the "
         "standard deviation, stands in its place."),
        (half(square, variance.square(), -1, -logvar), "exp(logvar) is the variance already; you "
         "square it once more."),
        (half(square, variance.square(), -1, -2 * logvar), "you take exp(logvar) for the standard "
         "deviation; it is the variance."),
        (half(square, logvar, -1, -logvar.log()), "logvar is the logarithm of the variance, and "
         "you take it for the variance itself, which is exp(logvar). (Half of its values are "
         "negative, so their logarithm is NaN.)"),
        (half(square, logvar, -1, -logvar), "the variance is exp(logvar); logvar itself stands "
         "in its place."),
        (wide + logvar / 2, "the last term is subtracted: − ln σ², which is − logvar."),
        (wide - logvar / 4, "ln σ² is the whole of logvar; half of it is ln σ."),
        (wide - logvar, "½ stands before all terms, before ln σ² too."),
        (wide - logvar.log() / 2, "ln σ² is logvar itself; you take its logarithm once more."),
        (wide - logvar.log2() / 2, "ln σ² is logvar itself; you take its logarithm once more."),
        (half(square, sigma, -1, -logvar / 2), "you take exp(logvar / 2) for the variance; it is "
         "the standard deviation, and the variance is exp(logvar)."),
        (wide - variance.log2() / 2, "ln is the natural logarithm, and your last term is to base "
         "2. ln σ² is given: it is logvar."),
        (wide - variance.log10() / 2, "ln is the natural logarithm, and your last term is to base "
         "10. ln σ² is given: it is logvar."),
        (wide, "the last term, − ln σ², is missing."),
        (half(mu, variance, -1, -logvar), "mu has to be squared."),
        (half(mu.abs(), variance, -1, -logvar), "mu has to be squared; you take its size."),
        (half(variance, -1, -logvar), "the term of mu, μ², is missing."),
        (half(square, -1, -logvar), "the variance, exp(logvar), is missing."),
        (half(-square, variance, -1, -logvar), "μ² is added, not subtracted."),
        (half(square, -variance, -1, -logvar), "the variance is added, not subtracted."),
        (half(square, variance, -logvar), "the − 1 is missing: for mu = 0 and logvar = 0 both "
         "Gaussians are equal, and the KL is 0."),
        (half(square, variance, 1, -logvar), "1 is subtracted, not added: for mu = 0 and logvar = "
         "0 both Gaussians are equal, and the KL is 0."),
        (half(square) + variance - 1 - logvar, "½ stands before all terms, and yours before μ² "
         "alone."),
        (square + half(variance, -1, -logvar), "½ stands before μ² too."),
        (kl_divergence(Normal(0.0, 1.0), Normal(mu, sigma)), "this is the KL the other way round, "
         "of the prior from q; it is not symmetric."),
    ]  # fmt: skip
    wrong = compare(found, expected, slips, "the KL", logarithms=True)
    if not wrong.startswith("the KL"):
        return wrong
    for some_mu, some_logvar in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        value = ask.tensor(torch.tensor([some_mu]), torch.tensor([some_logvar])).sum()
        right = 0.5 * (some_mu**2 + math.exp(some_logvar) - 1 - some_logvar)
        if not same(value, right):
            equal = "both Gaussians are equal and " if not (some_mu or some_logvar) else ""
            return (
                f"for mu = {some_mu:g} and logvar = {some_logvar:g} {equal}the KL is {right:.3g}; "
                f"yours is {float(value):.3g}."
            )
    at = int((found - expected).abs().argmax())
    m, s = float(mu.flatten()[at]), float(logvar.flatten()[at])
    habit = ask.habits((mu, logvar), (0, 1))
    return (
        f"for mu = {m:.3g} and logvar = {s:.3g} the KL is {float(expected.flatten()[at]):.4g}, and "
        f"yours is {float(found.flatten()[at]):.4g}."
    ) + habit


@exercise(1, "The draw moves with mu and sigma, so gradients pass through it.")
def reparameterize(ask: Ask) -> str:
    """``reparameterize(mu, logvar, noise)``: a draw of N(mu, σ²) made from the noise."""
    draws = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    mu, logvar, noise = (draw.clone() for draw in draws)
    given = mu.requires_grad_(), logvar.requires_grad_(), noise
    value = ask(*given)
    found, again = as_tensor(value), ask.tensor(*given)
    m, s = mu.detach(), logvar.detach()
    sigma, variance = torch.exp(0.5 * s), s.exp()
    if found.shape != mu.shape:
        return (
            f"mu has shape {tuple(mu.shape)}, and your result {tuple(found.shape)}; they should "
            "agree."
        )
    slips = [
        (m + variance * noise, "the noise is scaled by the variance; the standard deviation is "
         "exp(logvar / 2)."),
        (m + s * noise, "the noise is scaled by the log-variance; the standard deviation is "
         "exp(logvar / 2)."),
        (m + s.sqrt() * noise, "you take the root of logvar, which is a logarithm: half of its "
         "values are negative, and their root is NaN. The standard deviation is exp(logvar / 2)."),
        (m + s.abs().sqrt() * noise, "you take the root of logvar, which is a logarithm. The "
         "standard deviation is exp(logvar / 2)."),
        (m + s / 2 * noise, "logvar / 2 is the logarithm of the standard deviation; take its exp."),
        (m + variance.square() * noise, "the noise is scaled by the square of the variance; the "
         "standard deviation is exp(logvar / 2)."),
        (m + variance / 2 * noise, "you halve exp(logvar); it is logvar that has to be halved, "
         "before exp."),
        (m + 2 ** (s / 2) * noise, "logvar is a natural logarithm: exp(logvar / 2), not a power "
         "of 2."),
        (m + noise / sigma, "the noise is divided by the standard deviation; multiply."),
        (m + noise, "the noise has to be multiplied by the standard deviation, exp(logvar / 2)."),
        (m - sigma * noise, "the noise is subtracted. That has the same distribution, but the "
         "draw is mean plus standard deviation times noise."),
        (m + sigma + noise, "the standard deviation multiplies the noise; you add it."),
        (m * sigma * noise, "the mean is added to the scaled noise, and not multiplied by it."),
        ((m + noise) * sigma, "the standard deviation multiplies the noise alone, not the mean."),
        (noise + sigma * m, "mu and the noise have changed places: the mean is added as it is."),
        (sigma * noise, "the mean is missing: add mu."),
        (m, "this is the mean alone, without noise: a draw that always gives the same."),
        (m + sigma, "the noise is missing."),
    ]  # fmt: skip
    expected = m + sigma * noise
    if not same(found, again):
        return "two calls with the same noise differ; use the noise given, draw none."
    wrong = compare(found, expected, slips)
    if wrong:
        at = int((found - expected).abs().nan_to_num(torch.inf).argmax())
        m, s, e = (float(v.flatten()[at]) for v in (m, s, noise))
        if wrong.startswith("for the numbers"):
            habit = ask.habits(given, (0, 1, 2))
            return (
                f"for mu = {m:.3g}, logvar = {s:.3g} and noise = {e:.3g} the draw is "
                f"{float(expected.flatten()[at]):.4g}, and yours {float(found.flatten()[at]):.4g}. "
                "It is mean plus standard deviation times noise; compare term by term."
            ) + habit
        return wrong
    if not isinstance(value, Tensor):
        return (
            f"the numbers are right, but they are a {type(value).__name__}, which carries no "
            "gradient; compute with tensors from beginning to end."
        )
    if not value.requires_grad:
        return "the numbers are right, but no gradient reaches mu; leave detach and no_grad out."
    value.sum().backward()
    cut = [name for name, v in (("mu", mu), ("logvar", logvar)) if v.grad is None]
    if cut:
        return f"the numbers are right, but the gradient is cut off on its way to {cut[0]}."
    for name, slope, right in (
        ("mu", mu.grad, torch.ones_like(m)),
        ("logvar", logvar.grad, sigma * noise / 2),
    ):
        if not same(slope, right):
            return (
                f"the numbers are right, but the gradient of {name} begins with "
                f"{float(slope.flatten()[0]):.3g} instead of {float(right.flatten()[0]):.3g}."
            )
    return ""


@exercise(1, "No flatten size has to be typed into a model any more.")
def conv_size(ask: Ask) -> str:
    """``conv_size(size, kernel, stride, padding)``: pixels along one side after a conv layer."""
    cases = [
        (64, 4, 2, 1),
        (64, 3, 1, 1),
        (65, 3, 2, 1),
        (28, 5, 3, 0),
        (7, 4, 2, 1),
        (32, 5, 2, 2),
    ]
    expected = [
        torch.nn.Conv2d(1, 1, kernel, stride, padding)(torch.zeros(1, 1, n, n)).shape[-1]
        for n, kernel, stride, padding in cases
    ]
    values = [ask(*case) for case in cases]
    given = [as_tensor(value) for value in values]
    odd = next((value for value in given if value.numel() != 1), None)
    if odd is not None:
        return f"the size is one whole number; yours has shape {tuple(odd.shape)}."
    found = [float(value) for value in given]
    if found == expected:
        for value in values:
            try:
                operator.index(value)
            except TypeError:
                return (
                    f"the number is right, but it is a {type(value).__name__}; use // for an int."
                )
            if isinstance(value, Tensor):
                return "the number is right, but it is a Tensor; a size is an int."
        return ""
    slips = [
        (lambda n, k, s, p: (n + 2 * p - k) / s + 1, "Round down: // gives an int."),
        (lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1, "Round down, not up."),
        (lambda n, k, s, p: round((n + 2 * p - k) / s) + 1, "Round down, not to the nearest."),
        (lambda n, k, s, p: (n + 2 * p - k) // s, "The + 1 is missing."),
        (lambda n, k, s, p: (n + 2 * p - k) / s, "The + 1 is missing; and round down with //."),
        (lambda n, k, s, p: (n + 2 * p - k + 1) // s, "The + 1 comes after the division."),
        (lambda n, k, s, p: (n + 2 * p - k) // (s + 1), "The + 1 comes after the division."),
        (lambda n, k, s, p: (n + p - k) // s + 1, "There is padding on both sides: 2 p."),
        (lambda n, k, s, p: (n - k) // s + 1, "The padding is missing: + 2 p."),
        (lambda n, k, s, p: (n - 2 * p - k) // s + 1, "Padding adds pixels: + 2 p."),
        (lambda n, k, s, p: (n + 2 * p + k) // s + 1, "The kernel is subtracted."),
        (lambda n, k, s, p: (n + 2 * p) // s + 1, "The kernel is missing: − k."),
        (lambda n, k, s, p: n + 2 * p - k + 1, "The stride is missing: divide by s."),
        (lambda n, k, s, p: (n + 2 * p - k) * s + 1, "Divide by the stride."),
        (lambda n, k, s, p: n + (2 * p - k) // s + 1, "Divide n too: brackets around n + 2 p − k."),
        (lambda n, k, s, p: n + 2 * p - k // s + 1, "Brackets are missing around n + 2 p − k."),
        (lambda n, k, s, p: (n - 1) * s - 2 * p + k, "This is a transposed convolution's size."),
        (lambda n, k, s, p: n // s, "Kernel and padding are missing."),
    ]
    hint = next((f" {said}" for f, said in slips if found == [f(*case) for case in cases]), "")
    value, right, case = next(t for t in zip(found, expected, cases, strict=True) if t[0] != t[1])
    return (
        "{} pixels with kernel {}, stride {} and padding {} give ".format(*case)
        + f"{right}, and your function says {value:g}.{hint}"
    )


@exercise(1, "Now a β from anywhere can be read in this course's units.")
def effective_beta(ask: Ask) -> str:
    """``effective_beta(weight, pixels, dimensions, average_pixels, average_dimensions)``."""
    places = [(False, False), (True, False), (False, True), (True, True)]
    settings = [(0.5, 12_288, 128), (2.0, 784, 5)]
    found, cases = [], [(*given, *place) for given in settings for place in places]
    for case in cases:
        value = ask.tensor(*case)
        if value.numel() != 1:
            return f"β is one number; yours has shape {tuple(value.shape)}."
        found.append(float(value))

    def agree(formula: Callable[..., float]) -> bool:
        right = (formula(*case) for case in cases)
        return all(math.isclose(f, r, rel_tol=1e-6) for f, r in zip(found, right, strict=True))

    if agree(lambda w, n, d, over_n, over_d: w * (n if over_n else 1) / (d if over_d else 1)):
        return ""
    slips = [
        (lambda w, n, d, over_n, over_d: w / (n if over_n else 1) * (d if over_d else 1),
         "Both effects are turned round."),
        (lambda w, n, d, over_n, over_d: w * (n if over_n else d if over_d else 1),
         "Averaging over the dimensions divides, and where both are averaged both effects count."),
        (lambda w, n, d, over_n, over_d: w * n if over_n else w / d if over_d else w,
         "Where both are averaged, both effects count; yours stops at the first."),
        (lambda w, n, d, over_n, over_d: w / d if over_d else w * n if over_n else w,
         "Where both are averaged, both effects count; yours stops at the second."),
        (lambda w, n, d, over_n, over_d: w * n / d if over_n and over_d else w,
         "Each average alone has its effect too."),
        (lambda w, n, d, over_n, over_d: w * (d if over_n else 1) / (n if over_d else 1),
         "pixels and dimensions have changed places."),
        (lambda w, n, d, over_n, over_d: (n if over_n else 1) / (d if over_d else 1),
         "The weight is missing."),
    ]  # fmt: skip
    hint = next((f" {said}" for formula, said in slips if agree(formula)), "")
    for answer, (w, n, d, over_n, over_d) in zip(found, cases, strict=True):
        wanted = w * (n if over_n else 1) / (d if over_d else 1)
        if not math.isclose(answer, wanted, rel_tol=1e-6):
            rule = {
                (False, False): "With sums in both places the weight is β itself",
                (True, False): "Dividing the reconstruction by the pixels is, up to the scale of "
                "the whole loss, multiplying the KL by them",
                (False, True): "Averaging the KL over the dimensions divides it",
                (True, True): "The two effects multiply",
            }[over_n, over_d]
            return (
                f"for weight {w:g}, {n:,} pixel values, {d} dimensions, average_pixels={over_n} "
                f"and average_dimensions={over_d} your function says {answer:g}. {rule}: "
                f"{wanted:g}.{hint}"
            )
    return ""


@exercise(1, "No single picture costs fewer nats, and it looks like none of them.")
def best_guess(ask: Ask) -> str:
    """``best_guess(images)``: the picture with the smallest mean cross-entropy to all of them."""
    images = torch.rand(9, 3, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    images = images.square()  # a skewed distribution, whose mean and median differ
    found = ask.tensor(images)
    if found.shape != images.shape[1:]:
        return (
            f"the images have shape (9, 3, 4, 4), and your guess {tuple(found.shape)}; one picture "
            "of shape (3, 4, 4) has to do for all nine: only dimension 0 goes."
        )
    derive = "Set the derivative of the mean cross-entropy to zero."
    slips = [
        (images.median(0).values, f"this is the median, which is best for the sum of absolute "
         f"errors. {derive}"),
        (images.sum(0), "this is the sum; divide it by the number of images."),
        (images.sum(0) / 8, "you divide the sum by n − 1; there are n images."),
        (images.log().mean(0).exp(), f"this is the geometric mean. {derive}"),
        (torch.logit(images).mean(0).sigmoid(), f"you average logits and not pixels. {derive}"),
        (images.square().mean(0).sqrt(), f"this is the root of the mean square. {derive}"),
        ((images.amax(0) + images.amin(0)) / 2, f"this is the middle between the largest and the "
         f"smallest value. {derive}"),
        (images.mean().expand(3, 4, 4), "this is one grey for all pixels; each pixel has a mean of "
         "its own."),
        *((image, "this is one of the images; it is perfect for itself and expensive for the "
           "others.") for image in images),
    ]  # fmt: skip
    wrong = compare(found, images.mean(0), slips)
    if not wrong.startswith("for the numbers"):
        return wrong
    if (found < 0).any() or (found > 1).any():
        return (
            f"your picture has values from {float(found.min()):.3g} to {float(found.max()):.3g}; "
            f"pixels lie in [0, 1]. {derive}"
        )

    def cost(guess: Tensor) -> float:
        guess = guess.clamp(1e-6, 1 - 1e-6)
        nats = -images * guess.log() - (1 - images) * (1 - guess).log()
        return float(nats.sum((1, 2, 3)).mean())

    costs = cost(found), cost(images.mean(0))
    if costs[0] - costs[1] < 0.01:
        return f"{wrong} {derive}" + ask.habits((images,), (0,))
    return (
        f"your picture costs {costs[0]:.2f} nats on average, and another only {costs[1]:.2f}. "
        f"{derive}"
    ) + ask.habits((images,), (0,))


@exercise(1, "Those are the package's losses: this is all there is to training a VAE.")
def train_vae(ask: Ask) -> str:
    """``train_vae(model, optimizer, batches, noises)``: the loss of each step, nats per face."""
    generator = torch.Generator().manual_seed(0)
    batches = [torch.rand(4, 3, 16, 16, generator=generator) for _ in range(3)]
    noises = [torch.randn(4, 2, generator=generator) for _ in range(3)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        start = VAE(VAEConfig(image_size=16, channels=(4, 8), latent_size=2))
    with torch.no_grad():  # σ is not σ², and the draw matters, from the first step on
        start.to_logvar.bias.add_(1)
        start.from_z.weight.mul_(5)

    def given() -> tuple[Any, ...]:
        model = copy.deepcopy(start)
        return model, torch.optim.Adam(model.parameters(), lr=1e-2), batches, noises

    def losses(per_pixel=1, per_dimension=1, spread=1.0, beta=1.0, clear=True, step=True) -> Tensor:
        """As the package's loop, or with something left out."""
        model, optimizer, *_ = given()
        found = []
        for x, noise in zip(batches, noises, strict=True):
            logits, mu, logvar = model(x, spread * noise)
            kl = kl_per_dimension(mu, logvar).sum(1) / per_dimension
            loss = (bernoulli_nll(logits, x) / per_pixel + beta * kl).mean()
            if clear:
                optimizer.zero_grad()
            loss.backward()
            if step:
                optimizer.step()
            found.append(loss.item())
        return torch.tensor(found, dtype=torch.float64)

    found = ask.tensor(*given())
    count, pixels = len(batches), batches[0][0].numel()
    expected = losses()
    if found.shape != expected.shape:
        return (
            f"there are {count} batches, and your result has shape {tuple(found.shape)}; give a "
            "list with one loss for each step."
        )
    slips = [
        (losses(step=False), "the weights stay as they were: `optimizer.step()` is missing."),
        (losses(clear=False), "gradients of earlier steps are added up: call "
         "`optimizer.zero_grad()` before `loss.backward()`."),
        (losses(beta=0), "the KL is missing: this is the autoencoder's loss."),
        (losses(beta=-1), "the KL is subtracted; the loss is reconstruction plus KL."),
        (losses(spread=0), "the mean is decoded, without noise: draw the code."),
        (losses(per_pixel=pixels), "the reconstruction is averaged over pixels: sum them."),
        (losses(per_dimension=2), "the KL is averaged over dimensions: sum them."),
        (losses(per_pixel=pixels, per_dimension=2), "pixels and dimensions are averaged: sum "
         "both, and average over faces alone."),
        (expected * len(batches[0]), "the faces of a batch are summed: average them."),
    ]  # fmt: skip
    wrong = compare(found, expected, slips, where="the loss")
    if wrong and not same(found, ask.tensor(*given())):
        return "two runs from the same weights differ; take the noise that is given, draw none."
    if wrong and same(found[0], expected[0]):
        return f"the first loss is right, so the fault is in how the weights change. {wrong}"
    return wrong
