"""Checks for the course's exercises: each prints one sentence that helps, and returns.

A check never raises, whatever it is given, so that a notebook with unsolved exercises runs to its
end. To add one, write a function that asks the answer and returns what is wrong with it, or an
empty string, and put `@_exercise` over it with the sentence that a right answer earns.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Answer = Callable[..., Any]


class _NotSolved(Exception):
    """The answer gave None, as the stub does."""


def _exercise(praise: str) -> Callable[[Callable[[Answer], str]], Callable[..., None]]:
    """Make a check of a function that returns what is wrong with an answer."""

    def decorate(judge: Callable[[Answer], str]) -> Callable[..., None]:
        @functools.wraps(judge)
        def check(answer: Answer, *, solution: bool = False) -> None:
            passed = "The solution passes." if solution else f"Correct. {praise}"
            print(_sentence(judge, answer, passed))

        return check

    return decorate


def _sentence(judge: Callable[[Answer], str], answer: Answer, passed: str) -> str:
    def ask(*arguments: Any) -> Any:
        value = answer(*arguments)
        if value is None:
            raise _NotSolved
        return value

    if answer is not None and not callable(answer):
        return f"Not yet: give the function itself, not its result ({type(answer).__name__} found)."
    try:
        if answer is None:
            raise _NotSolved
        wrong = judge(ask)
    except _NotSolved:
        return "Not solved yet: the function returns None. Replace its last line by your answer."
    except Exception as error:  # whatever a learner's code can do
        return (
            f"Not yet: your function stopped with {type(error).__name__}: {error}. Call it by hand "
            "with small numbers and look at the shapes on the way."
        )
    return f"Not yet: {wrong}" if wrong else passed


def _close(found: Any, expected: Any, tolerance: float = 1e-4) -> bool:
    """Whether two numbers or tensors have the same shape and nearly the same values."""
    found = torch.as_tensor(found, dtype=torch.float64).detach()
    expected = torch.as_tensor(expected, dtype=torch.float64)
    return found.shape == expected.shape and torch.allclose(
        found, expected, rtol=tolerance, atol=tolerance
    )


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(torch.as_tensor(value).shape)


# Notebook 1


@_exercise("With both Gaussians equal it gives 0, and it is never negative.")
def gaussian_kl(answer: Answer) -> str:
    """``gaussian_kl(mu, logvar)``: KL(N(mu, σ²) ‖ N(0, 1)) of each element, nats."""
    generator = torch.Generator().manual_seed(0)
    mu, logvar = torch.randn(2, 5, 3, generator=generator)
    found = answer(mu, logvar)
    q = torch.distributions.Normal(mu, torch.exp(0.5 * logvar))
    expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0))
    if _shape(found) != _shape(mu):
        return (
            f"mu has shape {_shape(mu)}, and your result {_shape(found)}; give one KL for each "
            "element, and sum nothing."
        )
    if _close(found, expected):
        return ""
    if _close(found, -expected):
        return "the sign is turned round; a KL divergence is never negative."
    if _close(found, 2 * expected):
        return "every value is twice what it should be; the formula begins with ½."
    at_prior = answer(torch.zeros(1), torch.zeros(1))
    if not _close(at_prior, [0.0]):
        return (
            f"for mu = 0 and logvar = 0 both Gaussians are equal and the KL is 0; yours is "
            f"{float(torch.as_tensor(at_prior).sum()):.3g}."
        )
    return (
        "it is right where q is the prior and wrong elsewhere. The variance is exp(logvar), the "
        "standard deviation exp(logvar / 2); which of the two does the formula want?"
    )


@_exercise("The draw moves with mu and sigma, so gradients pass through it.")
def reparameterize(answer: Answer) -> str:
    """``reparameterize(mu, logvar, noise)``: a draw of N(mu, σ²) made from the noise."""
    generator = torch.Generator().manual_seed(0)
    mu, logvar, noise = torch.randn(3, 4, 2, generator=generator)
    mu.requires_grad_()
    logvar.requires_grad_()
    found = answer(mu, logvar, noise)
    if _shape(found) != _shape(mu):
        return f"mu has shape {_shape(mu)}, and your result {_shape(found)}; they should agree."
    if _close(found, mu + logvar.exp() * noise):
        return "the noise is scaled by the variance; the standard deviation is exp(logvar / 2)."
    if _close(found, mu + logvar * noise):
        return "the noise is scaled by the log-variance; the standard deviation is exp(logvar / 2)."
    if not _close(found, mu + torch.exp(0.5 * logvar) * noise):
        if not _close(found, answer(mu, logvar, noise)):
            return "two calls with the same noise differ; use the noise given, draw none."
        return "mean plus standard deviation times noise is something else; compare term by term."
    if not isinstance(found, Tensor) or not found.requires_grad:
        return "the numbers are right, but no gradient reaches mu; leave detach and no_grad out."
    found.sum().backward()
    if mu.grad is None or logvar.grad is None:
        return "the numbers are right, but a gradient is cut off on its way to mu or logvar."
    return ""


@_exercise("No flatten size has to be typed into a model any more.")
def conv_size(answer: Answer) -> str:
    """``conv_size(size, kernel, stride, padding)``: pixels along one side after a conv layer."""
    cases = [(64, 4, 2, 1), (64, 3, 1, 1), (65, 3, 2, 1), (28, 5, 3, 0), (7, 4, 2, 1)]
    for size, kernel, stride, padding in cases:
        layer = torch.nn.Conv2d(1, 1, kernel, stride, padding)
        expected = layer(torch.zeros(1, 1, size, size)).shape[-1]
        found = answer(size, kernel, stride, padding)
        if float(found) != expected:
            return (
                f"{size} pixels with kernel {kernel}, stride {stride} and padding {padding} give "
                f"{expected}, and your function says {found}."
                + (" Round down." if float(found) - expected in (0.5, 1 / 3, 2 / 3, 1) else "")
            )
        if not isinstance(found, int):
            return f"the number is right, but it is a {type(found).__name__}; use // for an int."
    return ""


@_exercise("Now a β from anywhere can be read in this course's units.")
def effective_beta(answer: Answer) -> str:
    """``effective_beta(weight, pixels, dimensions, average_pixels, average_dimensions)``."""
    pixels, dimensions = 12_288, 128
    expected = {
        (False, False): 1.0,
        (True, False): float(pixels),
        (False, True): 1 / dimensions,
        (True, True): pixels / dimensions,
    }
    for (over_pixels, over_dimensions), factor in expected.items():
        found = float(answer(0.5, pixels, dimensions, over_pixels, over_dimensions))
        if not math.isclose(found, 0.5 * factor, rel_tol=1e-6):
            case = {
                (False, False): "With sums in both places the weight is β itself",
                (True, False): "Dividing the reconstruction by the pixels is, up to the scale of "
                "the whole loss, multiplying the KL by them",
                (False, True): "Averaging the KL over the dimensions divides it",
                (True, True): "The two effects multiply",
            }[over_pixels, over_dimensions]
            return (
                f"for weight 0.5, 12,288 pixel values, 128 dimensions, average_pixels="
                f"{over_pixels} and average_dimensions={over_dimensions} your function says "
                f"{found:g}. {case}: {0.5 * factor:g}."
            )
    return ""


@_exercise("No single picture costs fewer nats, and it looks like none of them.")
def best_guess(answer: Answer) -> str:
    """``best_guess(images)``: the picture with the smallest mean cross-entropy to all of them."""
    images = torch.rand(9, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    images = images.square()  # a skewed distribution, whose mean and median differ
    found = torch.as_tensor(answer(images))
    if _shape(found) != (3, 4, 4):
        return (
            f"the images have shape (9, 3, 4, 4), and your guess {_shape(found)}; one picture of "
            "shape (3, 4, 4) has to do for all nine."
        )
    if _close(found, images.mean(0)):
        return ""
    if _close(found, images.median(0).values):
        return (
            "this is the median, which is best for the sum of absolute errors. Set the derivative "
            "of the mean cross-entropy to zero."
        )
    if any(_close(found, image) for image in images):
        return "this is one of the images; it is perfect for itself and expensive for the others."
    return "some other picture costs fewer nats. Set the derivative of the mean loss to zero."


# Notebook 2


@_exercise("It looks at pattern, not only at distance, as a blurred and a brighter face show.")
def structural_similarity(answer: Answer) -> str:
    """``structural_similarity(x, y)``: SSIM of two pictures taken as one window, a number."""
    x, noise = torch.rand(2, 12, 12, generator=torch.Generator().manual_seed(0)).double()
    y = (0.6 * x + 0.3 * noise).clamp(0, 1)
    found = answer(x, y)
    if _shape(found) != ():
        return f"two pictures give one number; yours has shape {_shape(found)}."
    first, second = 0.01**2, 0.03**2
    luminance = (2 * x.mean() * y.mean() + first) / (x.mean() ** 2 + y.mean() ** 2 + first)
    expected = []
    for correction in (0, 1):  # variances divided by n or by n − 1: both are in use
        table = torch.cov(torch.stack([x.flatten(), y.flatten()]), correction=correction)
        structure = (2 * table[0, 1] + second) / (table[0, 0] + table[1, 1] + second)
        expected.append(luminance * structure)
    if any(_close(found, value) for value in expected):
        return ""
    if not _close(answer(x, x), 1.0):
        return (
            f"a picture is as similar to itself as can be, which is 1; yours gives "
            f"{float(torch.as_tensor(answer(x, x))):.3g}. Does a 2 stand in both numerators?"
        )
    if _close(found, luminance):
        return "this compares the means alone; the second factor compares the patterns."
    if any(_close(found, value / luminance) for value in expected):
        return "this compares the patterns alone; the first factor compares the means."
    return (
        "equal pictures give 1, as they should, but others differ from the formula. The second "
        "factor has the covariance above and the two variances (squares of std) below."
    )


@_exercise("Noise within posteriors and distance between faces together fill the prior.")
def aggregate_variance(answer: Answer) -> str:
    """``aggregate_variance(mu, logvar)``: variance of draws from all posteriors, per dimension."""
    generator = torch.Generator().manual_seed(0)
    mu, logvar = torch.randn(2, 400, 3, generator=generator).double()
    mu, logvar = mu * torch.tensor([0.2, 1.0, 2.0]), logvar - torch.tensor([0.1, 1.0, 3.0])
    found = answer(mu, logvar)
    between, within = mu.var(0, correction=0), logvar.exp().mean(0)
    if _shape(found) != (3,):
        return (
            f"400 posteriors of 3 dimensions give 3 variances; yours has shape {_shape(found)}. "
            "Average over the faces, dimension 0."
        )
    if _close(found, between + within, 4e-3):  # n or n − 1
        return ""
    if _close(found, between, 4e-3):
        return "this is the variance of the means alone; each draw also has its posterior's noise."
    if _close(found, within):
        return "this is the noise alone; the means differ from face to face as well."
    if _close(found, between + (logvar / 2).exp().mean(0), 4e-3):
        return "exp(logvar / 2) is a standard deviation; variances add, and those are exp(logvar)."
    if _close(found, between + logvar.mean(0).exp(), 4e-3):
        return "take the exponential first and the mean afterwards; the order matters."
    return "the variance of a mixture is the variance of the means plus the mean of the variances."


@_exercise("Between two codes of one length it keeps that length all the way.")
def spherical(answer: Answer) -> str:
    """``spherical(a, b, t)``: the code a fraction t of the way along the arc from a to b."""
    a, b = torch.randn(2, 16, generator=torch.Generator().manual_seed(0)).double()
    u, v = a / a.norm(), b / b.norm()
    across = v - (u @ v) * u
    across = across / across.norm()
    angle = torch.atan2(v @ across, v @ u)
    turned = torch.cos(0.3 * angle) * u + torch.sin(0.3 * angle) * across  # by rotation
    found = answer(u, v, 0.3)
    if _shape(found) != (16,):
        return f"a and b have shape (16,), and your result {_shape(found)}; they should agree."
    if _close(found, torch.lerp(u, v, 0.3)):
        return "this is the straight way; its middle lies closer to zero than its ends."
    straight = torch.lerp(u, v, 0.3)
    if _close(found, straight / straight.norm()):
        return (
            "the length is kept, but the angle does not grow evenly: a straight way stretched to "
            "the sphere is slow at the ends. Use the sines."
        )
    if _close(found, torch.sin(angle) * turned):
        return "divide by sin(angle), so that t = 0 gives a itself."
    if not _close(answer(u, v, 0.0), u) or not _close(answer(u, v, 1.0), v):
        return "t = 0 should give a, and t = 1 should give b; yours does something else there."
    if not _close(found, turned):
        return "both ends are right, and what lies between them is not on the arc."
    expected = (torch.sin(0.7 * angle) * a + torch.sin(0.3 * angle) * b) / torch.sin(angle)
    if not _close(answer(a, b, 0.3), expected):
        return (
            "right for codes of length 1. For others the angle is the arccosine of their dot "
            "product divided by both lengths."
        )
    return ""


@_exercise("One step along it leads from the average face without to the average face with.")
def attribute_direction(answer: Answer) -> str:
    """``attribute_direction(mu, labels)``: mean code with an attribute minus mean code without."""
    generator = torch.Generator().manual_seed(0)
    mu = torch.randn(50, 6, generator=generator).double()
    labels = (torch.arange(50) % 5 == 0).double()  # a fifth has it
    mu += labels[:, None] * torch.arange(6)
    found = answer(mu, labels)
    if _shape(found) != (6,):
        return f"codes of 6 dimensions have a direction of shape (6,); yours is {_shape(found)}."
    having, lacking = mu[labels > 0].mean(0), mu[labels == 0].mean(0)
    expected = having - lacking
    if _close(found, expected):
        return ""
    if _close(found, -expected):
        return "it points the wrong way: adding it should add the attribute."
    if _close(found, having - mu.mean(0)):
        return (
            "the second average is over all faces, some of whom have the attribute; take those "
            "without."
        )
    if _close(found, expected / expected.norm()):
        return "the direction is right, but keep its length: one step is one average difference."
    if _close(found, mu[labels > 0].sum(0) - mu[labels == 0].sum(0)):
        return "these are sums; where few have an attribute, only means can be compared."
    return "the result is not the mean code of those with minus the mean code of those without."


@_exercise("What is left has nothing in common with the others, and is shorter than before.")
def without(answer: Answer) -> str:
    """``without(direction, others)``: the part of a direction at right angles to all others."""
    direction, *others = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).double()
    others = torch.stack(others)
    others[1] += 1.5 * others[0]  # not at right angles to each other, as real directions are
    found = answer(direction, others)
    if _shape(found) != (8,):
        return f"direction has shape (8,), and your result {_shape(found)}; they should agree."
    basis, _ = torch.linalg.qr(others.T)
    along = basis @ (basis.T @ direction)
    if _close(found, direction - along):
        return ""
    if _close(found, along):
        return "this is the part that the others share; subtract it from the direction."
    if _close(found, (direction - along) / (direction - along).norm()):
        return "it points the right way, but leave its length as the subtraction gives it."
    overlap = (others / others.norm(dim=1, keepdim=True)) @ torch.as_tensor(found).double()
    worst = int(overlap.abs().argmax())
    return (
        f"the result still has {float(overlap[worst]):+.2f} along others[{worst}]. The others are "
        "not at right angles to each other, so that parts taken off one by one overlap; solve for "
        "all of them together (least squares, or torch.linalg.qr)."
    )


# Notebook 3


@_exercise("A dimension is bought at all only where its variance is above the price.")
def bought_rate(answer: Answer) -> str:
    """``bought_rate(variances, beta)``: nats of KL in each dimension of the best linear VAE."""
    variances = torch.tensor([40.0, 9.0, 4.0, 1.5, 0.2], dtype=torch.float64)
    for beta in (1.0, 4.0):
        found = answer(variances, beta)
        if _shape(found) != (5,):
            return f"5 variances have 5 rates; yours has shape {_shape(found)}. Sum nothing."
        unlimited = 0.5 * (variances / beta).log()
        expected = unlimited.clamp(min=0)
        if _close(found, expected):
            continue
        if _close(found, unlimited):
            return (
                "right where the variance is above the price. Below it the formula goes negative, "
                "and a KL cannot: nothing is bought there."
            )
        if _close(found, 2 * expected):
            return "every rate is twice what it should be; the formula begins with ½."
        if _close(found, expected / math.log(2)):
            return "these are bits; nats come from the natural logarithm."
        if _close(found, 0.5 * variances.log().clamp(min=0)):
            return "β is missing: the rate is that of β = 1 whatever the price."
        return (
            f"for variances {variances.tolist()} and β = {beta:g} the rates are "
            f"{[round(r, 3) for r in expected.tolist()]}."
        )
    return ""


@_exercise("Between two neighbouring optima it has to lie between their two β.")
def exchange_rate(answer: Answer) -> str:
    """``exchange_rate(rates, distortions)``: nats of distortion for each nat of rate saved."""
    rates = torch.tensor([50.0, 30.0, 22.0, 21.0], dtype=torch.float64)
    distortions = torch.tensor([10.0, 40.0, 80.0, 89.0], dtype=torch.float64)
    found, expected = answer(rates, distortions), torch.tensor([1.5, 5.0, 9.0])
    if _shape(found) != (3,):
        return (
            f"4 settings have 3 pairs of neighbours; yours has shape {_shape(found)}. "
            "Take differences of neighbours, for instance with torch.diff."
        )
    if _close(found, expected):
        return ""
    if _close(found, -expected):
        return "the sign is turned round: the rate *saved* is the first minus the second."
    if _close(found, 1 / expected) or _close(found, -1 / expected):
        return "this is the rate for each nat of distortion; the question is the other way round."
    return (
        "rates 50 → 30 and distortions 10 → 40 are 30 nats of distortion for 20 nats of rate "
        f"saved: 1.5, and yours says {float(torch.as_tensor(found)[0]):.3g}."
    )


@_exercise("It needs no threshold, and no scale of the dimension either.")
def roc_auc(answer: Answer) -> str:
    """``roc_auc(values, labels)``: how often a random positive lies above a random negative."""
    generator = torch.Generator().manual_seed(0)
    values = (torch.randn(60, generator=generator) * 3).round().double()  # with ties
    labels = (torch.arange(60) % 4 == 0).double()
    values += 2 * labels
    found = answer(values, labels)
    if _shape(found) != ():
        return f"the area is one number; yours has shape {_shape(found)}."
    above = values[labels > 0][:, None] - values[labels == 0]
    strictly, ties = (above > 0).double().mean(), (above == 0).double().mean()
    expected = strictly + ties / 2
    if _close(found, expected):
        return ""
    if _close(found, 1 - expected) or _close(found, 1 - strictly - ties):
        return "this counts the negatives that lie above; it is the positives' turn."
    if _close(found, strictly):
        return "pairs of equal values count as half; yours leaves them out."
    if _close(found, strictly + ties):
        return "pairs of equal values count as half; yours counts them whole."
    return (
        "take every pair of a value with label 1 and a value with label 0, and count how often the "
        f"former is larger: {float(expected):.3f} here; yours says {float(found):.3g}."
    )


@_exercise("It is 0 for independent columns, and at most the smaller of the two entropies.")
def information(answer: Answer) -> str:
    """``information(counts)``: mutual information, nats, of a table of counts."""
    counts = torch.tensor([[30, 5, 0], [10, 10, 5], [0, 5, 35]], dtype=torch.float64)
    found = answer(counts)
    if _shape(found) != ():
        return f"a table has one mutual information; yours has shape {_shape(found)}."
    joint = counts / counts.sum()
    of_rows, of_columns, of_both = (
        torch.special.entr(p).sum() for p in (joint.sum(1), joint.sum(0), joint)
    )
    expected = of_rows + of_columns - of_both
    if _close(found, expected):
        return ""
    if torch.as_tensor(found).isnan():
        return "the result is NaN: empty cells give 0 · log 0. Leave them out; they add nothing."
    if _close(found, expected / math.log(2)):
        return "this is in bits; the natural logarithm gives nats."
    if _close(found, -expected):
        return "the sign is turned round; mutual information is never negative."
    if _close(found, expected * counts.sum()):
        return "divide the counts by their sum first; the formula is about probabilities."
    if _close(found, of_both):
        return "this is the entropy of the table; compare it with that of independent columns."
    return (
        f"for rows {counts.int().tolist()} it is {float(expected):.4f} nats, and yours says "
        f"{float(torch.as_tensor(found)):.4g}. The table of independent columns is the product of "
        "the two margins."
    )


@_exercise("Averaged over the factors this is MIG.")
def information_gap(answer: Answer) -> str:
    """``information_gap(matrix, entropies)``: MIG's term for each factor."""
    matrix = torch.tensor(
        [[1.5, 0.2, 0.0], [0.3, 0.1, 0.4], [0.1, 0.6, 0.4], [0.0, 0.0, 0.1]], dtype=torch.float64
    )  # 4 dimensions, 3 factors
    entropies = torch.tensor([3.0, 2.0, 0.5], dtype=torch.float64)
    found = answer(matrix, entropies)
    if _shape(found) != (3,):
        return (
            f"the matrix has 4 rows, dimensions, and 3 columns, factors; yours has shape "
            f"{_shape(found)}. Give one gap for each factor."
        )
    best, second = matrix.sort(0, descending=True).values[:2]
    if _close(found, (best - second) / entropies):
        return ""
    if _close(found, best / entropies):
        return "this is the best dimension's share; subtract what the second best knows."
    if _close(found, best - second):
        return "these are nats; divide each by the entropy of its factor."
    if _close(found, (second - best) / entropies):
        return "the sign is turned round; the best comes first."
    return (
        f"the gaps here are {[round(g, 3) for g in ((best - second) / entropies).tolist()]}: of "
        "each column the largest entry minus the second largest, as a share of the entropy."
    )
