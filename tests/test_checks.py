"""Every exercise's check knows the stub, wrong answers and the solution, and never raises."""

import functools
import html
import math
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross

from vae_lib.course import checks
from vae_lib.course.checks import verdicts
from vae_lib.model import reparameterize
from vae_lib.objective import bernoulli_nll, kl_per_dimension

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
NAMES = checks.__all__


def tagged(tag: str) -> dict[str, str]:
    """The cells with this tag in all notebooks, by the exercise that they check."""
    found: dict[str, str] = {}
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            if tag in cell.metadata.get("tags", ()):
                (name,) = re.findall(r"checks\.(\w+)\(", cell.source)
                assert name not in found, f"two cells of {tag} for {name}"
                found[name] = cell.source
    return found


STUBS, SOLUTIONS = tagged("exercise"), tagged("solution")


def table_information(counts):
    """Mutual information of a table by its entropies."""
    joint = counts / counts.sum()
    rows, columns, both = (torch.special.entr(p).sum() for p in (joint.sum(1), joint.sum(0), joint))
    return rows + columns - both


def loop(**terms):
    """A loop as learners write it, with one line of it changed."""
    lines = {
        "draw": "z = mu + (logvar / 2).exp() * noise",
        "nll": "nll = cross(model.decode_logits(z), x).sum((1, 2, 3))",
        "kl": "kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)",
        "loss": "loss = (nll + kl).mean()",
        "clear": "optimizer.zero_grad()",
        "step": "optimizer.step()",
        "note": "losses.append(loss.item())",
    } | terms
    order = ("draw", "nll", "kl", "loss", "clear")
    body = ["mu, logvar = model.encode(x)", *(lines[key] for key in order), "loss.backward()"]
    text = "\n        ".join([*body, lines["step"], lines["note"]])
    space = {"torch": torch, "cross": functools.partial(cross, reduction="none")}
    exec(
        "def train_vae(model, optimizer, batches, noises):\n    losses = []\n"
        f"    for x, noise in zip(batches, noises):\n        {text}\n    return losses\n",
        space,
    )
    return space["train_vae"]


# Wrong answers that learners give, with a word of the sentence that should meet each.
WRONG = {
    "train_vae": [
        (loop(step="pass"), "`optimizer.step()` is missing"),
        (loop(clear="pass"), "`optimizer.zero_grad()` before"),
        (loop(loss="loss = nll.mean()"), "the KL is missing"),
        (loop(loss="loss = (nll - kl).mean()"), "the KL is subtracted"),
        (loop(draw="z = mu"), "without noise"),
        (loop(draw="z = mu + (logvar / 2).exp() * torch.randn_like(mu)"), "draw none"),
        (
            loop(nll="nll = cross(model.decode_logits(z), x).mean((1, 2, 3))"),
            "averaged over pixels",
        ),
        (loop(kl="kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).mean(1)"), "over dimensions"),
        (loop(loss="loss = (nll / 768 + kl / 2).mean()"), "average over faces alone"),
        (loop(loss="loss = (nll + kl).sum()"), "faces of a batch are summed"),
        (loop(note="losses = loss.item()"), "one loss for each step"),
        (loop(draw="z = mu + logvar.exp() * noise"), "should be"),
        (loop(step="optimizer.step(), optimizer.step()"), "the first loss is right"),
    ],
    "gaussian_kl": [
        (lambda mu, logvar: mu.square() + logvar.exp() - 1 - logvar, "½"),
        (lambda mu, logvar: 0.5 * (1 + logvar - mu.square() - logvar.exp()), "sign"),
        (lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1), "sum nothing"),
        (lambda mu, logvar: 0.5 * (mu**2 + (logvar / 2).exp() - 1 - logvar), "variance"),
        (lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - logvar), "both Gaussians are equal"),
    ],
    "reparameterize": [
        (lambda mu, logvar, noise: mu + logvar.exp() * noise, "by the variance"),
        (lambda mu, logvar, noise: mu + logvar * noise, "log-variance"),
        (lambda mu, logvar, noise: mu + (logvar / 2).exp() * torch.randn_like(mu), "draw none"),
        (lambda mu, logvar, noise: torch.normal(mu, (logvar / 2).exp()), "draw none"),
        (lambda mu, logvar, noise: mu.detach() + (logvar / 2).exp() * noise, "cut off"),
        (lambda mu, logvar, noise: (mu + (logvar / 2).exp() * noise).detach(), "no gradient"),
        (lambda mu, logvar, noise: (mu + (logvar / 2).exp() * noise).sum(), "shape"),
        (lambda mu, logvar, noise: mu - noise, "term by term"),
    ],
    "conv_size": [
        (lambda size, kernel, stride, padding: size // stride, "65 pixels with kernel 3"),
        (lambda size, kernel, stride, padding: (size + 2 * padding - kernel) / stride + 1, "int"),
        (lambda size, kernel, stride, padding: (size + padding - kernel) // stride + 1, "31"),
        (
            lambda size, kernel, stride, padding: -(-(size + 2 * padding - kernel) // stride) + 1,
            "Round down",
        ),
    ],
    "effective_beta": [
        (lambda weight, p, d, over_p, over_d: weight, "multiplying the KL"),
        (
            lambda weight, p, d, over_p, over_d: (
                weight / (p if over_p else 1) / (d if over_d else 1)
            ),
            "multiplying the KL",
        ),
        (
            lambda weight, p, d, over_p, over_d: (
                weight * (p if over_p else 1) * (d if over_d else 1)
            ),
            "divides it",
        ),
        (lambda weight, p, d, over_p, over_d: weight * p / d, "sums in both places"),
    ],
    "best_guess": [
        (lambda images: images.median(0).values, "median"),
        (lambda images: images[0], "one of the images"),
        (lambda images: images.mean(), "one picture"),
        (lambda images: images.amax(0), "derivative"),
    ],
    "structural_similarity": [
        (
            lambda x, y: (2 * x.mean() * y.mean() + 1e-4) / (x.mean() ** 2 + y.mean() ** 2 + 1e-4),
            "means alone",
        ),
        (
            lambda x, y: (
                (2 * ((x - x.mean()) * (y - y.mean())).mean() + 9e-4)
                / (x.var(correction=0) + y.var(correction=0) + 9e-4)
            ),
            "patterns alone",
        ),
        (lambda x, y: x.mean() * y.mean() / (x.mean() ** 2 + y.mean() ** 2), "2 stand"),
        (lambda x, y: (x - y).square(), "one number"),
        (lambda x, y: 1 - (x - y).square().mean(), "variances"),
    ],
    "aggregate_variance": [
        (lambda mu, logvar: mu.var(0), "means alone"),
        (lambda mu, logvar: logvar.exp().mean(0), "noise alone"),
        (lambda mu, logvar: mu.var(0) + (logvar / 2).exp().mean(0), "standard deviation"),
        (lambda mu, logvar: mu.var(0) + logvar.mean(0).exp(), "the order matters"),
        (lambda mu, logvar: mu.var() + logvar.exp().mean(), "dimension 0"),
        (lambda mu, logvar: mu.std(0) + logvar.exp().mean(0), "mixture"),
    ],
    "spherical": [
        (lambda a, b, t: (1 - t) * a + t * b, "straight way"),
        (
            lambda a, b, t: torch.nn.functional.normalize((1 - t) * a + t * b, dim=0),
            "slow at the ends",
        ),
        (
            lambda a, b, t: (
                torch.sin((1 - t) * torch.acos(a @ b)) * a + torch.sin(t * torch.acos(a @ b)) * b
            ),
            "divide by sin",
        ),
        (
            lambda a, b, t: (
                (torch.sin((1 - t) * torch.acos(a @ b)) * a + torch.sin(t * torch.acos(a @ b)) * b)
                / torch.sin(torch.acos(a @ b))
            ),
            "both lengths",
        ),
        (lambda a, b, t: t * a + (1 - t) * b, "t = 0 should give a"),
        (lambda a, b, t: a @ b, "shape"),
    ],
    "attribute_direction": [
        (lambda mu, labels: mu[labels == 0].mean(0) - mu[labels > 0].mean(0), "wrong way"),
        (lambda mu, labels: mu[labels > 0].mean(0) - mu.mean(0), "over all faces"),
        (lambda mu, labels: mu[labels > 0].sum(0) - mu[labels == 0].sum(0), "sums"),
        (lambda mu, labels: mu[labels > 0].mean(0), "minus the mean code of those without"),
        (lambda mu, labels: mu[labels > 0] - mu[labels == 0].mean(0), "shape"),
        (
            lambda mu, labels: torch.nn.functional.normalize(
                mu[labels > 0].mean(0) - mu[labels == 0].mean(0), dim=0
            ),
            "keep its length",
        ),
    ],
    "without": [
        (
            lambda direction, others: (
                direction - sum((direction @ o) / (o @ o) * o for o in others)
            ),
            "one by one",
        ),
        (
            lambda direction, others: (
                direction - (direction @ others[0]) / (others[0] @ others[0]) * others[0]
            ),
            "still has",
        ),
        (lambda direction, others: others.T @ torch.linalg.pinv(others.T) @ direction, "subtract"),
        (
            lambda direction, others: torch.nn.functional.normalize(
                direction - others.T @ torch.linalg.pinv(others.T) @ direction, dim=0
            ),
            "length",
        ),
        (lambda direction, others: direction @ others.T, "shape"),
    ],
    "bought_rate": [
        (lambda variances, beta: 0.5 * (variances / beta).log(), "negative"),
        (lambda variances, beta: (variances / beta).clamp(min=1).log(), "½"),
        (lambda variances, beta: 0.5 * (variances / beta).clamp(min=1).log2(), "bits"),
        (lambda variances, beta: 0.5 * (variances / beta).clamp(min=1).log().sum(), "Sum nothing"),
        (lambda variances, beta: 0.5 * variances.clamp(min=1).log(), "β is missing"),
        (lambda variances, beta: (variances - beta).clamp(min=0), "the rates are"),
    ],
    "exchange_rate": [
        (lambda rates, distortions: distortions.diff() / rates.diff(), "sign"),
        (lambda rates, distortions: -rates.diff() / distortions.diff(), "the other way round"),
        (lambda rates, distortions: distortions / rates, "3 pairs"),
        (
            lambda rates, distortions: (distortions[-1] - distortions[0]) / (rates[0] - rates[-1]),
            "3 pairs",
        ),
        (lambda rates, distortions: distortions.diff(), "1.5, and yours says 30"),
    ],
    "roc_auc": [
        (lambda v, y: (v[y > 0][:, None] < v[y == 0]).double().mean(), "lie above"),
        (lambda v, y: (v[y > 0][:, None] > v[y == 0]).double().mean(), "leaves them out"),
        (lambda v, y: (v[y > 0][:, None] >= v[y == 0]).double().mean(), "counts them whole"),
        (lambda v, y: (v[y > 0][:, None] > v[y == 0]).double().mean(1), "one number"),
        (lambda v, y: ((v > v.median()) == (y > 0)).double().mean(), "every pair"),
        (lambda v, y: v[y > 0].mean() - v[y == 0].mean(), "every pair"),
    ],
    "information": [
        (
            lambda c: (lambda p: (p * (p / p.sum(1, keepdim=True) / p.sum(0)).log()).sum())(
                c / c.sum()
            ),
            "NaN",
        ),
        (lambda c: table_information(c) / math.log(2), "bits"),
        (lambda c: -table_information(c), "sign"),
        (lambda c: table_information(c) * c.sum(), "divide the counts"),
        (lambda c: torch.special.entr(c / c.sum()).sum(), "entropy of the table"),
        (lambda c: c / c.sum(), "one mutual information"),
        (lambda c: torch.corrcoef(c)[0, 1], "product of the two margins"),
    ],
    "information_gap": [
        (lambda m, h: m.amax(0) / h, "subtract"),
        (lambda m, h: m.topk(2, 0).values[0] - m.topk(2, 0).values[1], "divide each"),
        (lambda m, h: (m.topk(2, 0).values[1] - m.topk(2, 0).values[0]) / h, "sign"),
        (lambda m, h: m.topk(2, 1).values[:, 0] - m.topk(2, 1).values[:, 1], "3 columns, factors"),
        (lambda m, h: ((m.topk(2, 0).values[0] - m.topk(2, 0).values[1]) / h).mean(), "one gap"),
        (lambda m, h: (m[0] - m[1]) / h, "largest entry"),
    ],
}


def table_gap(m, h):
    best, second = m.topk(2, 0).values
    return (best - second) / h


def similarity(x, y, of_variance=0, of_covariance=0, first=2, second=2, c=(1e-4, 9e-4), root=1):
    """SSIM, with what may go wrong with it."""
    shared = ((x - x.mean()) * (y - y.mean())).sum() / (x.numel() - of_covariance)
    spread = sum(v.var(correction=of_variance) ** root for v in (x, y))
    means = (first * x.mean() * y.mean() + c[0]) / (x.mean() ** 2 + y.mean() ** 2 + c[0])
    return means * (second * shared + c[1]) / (spread + c[1])


def arc(a, b, t, angle):
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def between(a, b):
    return torch.acos(a @ b / (a.norm() * b.norm()))


def area(v, y):
    difference = v[y > 0][:, None] - v[y == 0]
    return ((difference > 0).double() + 0.5 * (difference == 0)).mean()


def along(d, o):
    return torch.linalg.pinv(o) @ o @ d


def forgets_to_return(mu, logvar):
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar)  # noqa: F841


def leaves_the_stubs_last_line(mu, logvar):
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar)  # noqa: F841
    return None


def returns_for_some(weight, pixels, dimensions, average_pixels, average_dimensions):
    if average_pixels:
        return weight * pixels


def changes_mu(mu, logvar):
    mu *= mu
    return 0.5 * (mu + logvar.exp() - 1 - logvar)


def changes_mu_that_wants_gradients(mu, logvar, noise):
    mu += torch.exp(logvar / 2) * noise
    return mu


def changes_noise(mu, logvar, noise):
    noise *= torch.exp(logvar / 2)
    return mu + noise


def takes_off_in_turn(direction, others):
    for other in others:
        direction = direction - (direction @ other) / (other @ other) * other
    return direction


# More of them, among them those that earlier sentences were wrong about.
for name, answers in {
    "gaussian_kl": [
        (lambda m, s: 0.5 * (m**2 + s.exp() - 1 + s), "the last term is subtracted"),
        (lambda m, s: 0.5 * (m**2 + s.exp() - 1 - torch.log2(s.exp())), "to base 2"),
        (lambda m, s: 0.5 * (m**2 + s.exp() - 1 - torch.log2(s)), "its logarithm once more"),
        (lambda m, s: 0.5 * (m**2 + s.exp() ** 2 - 1 - s), "square it once more"),
        (lambda m, s: 0.5 * (m + s.exp() - 1 - s), "mu has to be squared"),
        (lambda m, s: 0.5 * (m**2 + s.exp() - 1 - s / 2), "half of it is ln σ"),
        (lambda m, s: -0.5 * (1 + s - m**2 + s.exp()), "the variance is added"),
        (lambda m, s: 0.5 * m**2 + s.exp() - 1 - s, "before all terms"),
        (lambda m, s: (0.5 * (m**2 + s.exp() - 1 - s)).T, "one KL for each element."),
        (lambda m, s: 0.5 * (m**2 + s.exp() - 1 - s) + 0.01, "too large by 0.01"),
        (lambda m, s: (0.5 * (m**2 + s.exp() - 1 - s)).clamp(min=0.3), "yours is 0.3"),
        (forgets_to_return, "after `return`"),
        (leaves_the_stubs_last_line, "after `return`"),
        (changes_mu, "changes its argument mu in place"),
        (lambda m, s: (m, s), "gives a tuple"),
    ],
    "reparameterize": [
        (lambda m, s, e: m + torch.sqrt(s) * e, "the root of logvar"),
        (lambda m, s, e: m + s.exp() / 2 * e, "before exp"),
        (lambda m, s, e: m + (-s / 2).exp() * e, "divided by the standard deviation"),
        (lambda m, s, e: m + (s / 2).exp() + e, "you add it"),
        (lambda m, s, e: (m + e) * (s / 2).exp(), "not the mean"),
        (lambda m, s, e: e + (s / 2).exp() * m, "changed places"),
        (lambda m, s, e: m + (s.data / 2).exp() * e, "cut off on its way to logvar"),
        (lambda m, s, e: (m + (s / 2).exp() * e).tolist(), "they are a list"),
        (lambda m, s, e: m + np.exp(s / 2) * e, "NumPy carries no gradients"),
        (
            lambda m, s, e: m + (s / 2).exp() * torch.linspace(-1, 1, 8).reshape(4, 2),
            "e was changed",
        ),
        (changes_mu_that_wants_gradients, "in-place operation"),
        (changes_noise, "changes its argument noise in place"),
    ],
    "conv_size": [
        (lambda n, k, s, p: (n + 2 * p - k) // s, "The + 1 is missing"),
        (lambda n, k, s, p: (n + 2 * p - k + 1) // s, "after the division"),
        (lambda n, k, s, p: round((n + 2 * p - k) / s) + 1, "not to the nearest"),
        (lambda n, k, s, p: math.floor((n + 2 * p - k) / s) + 1.0, "it is a float"),
        (lambda n, k, s, p: n + 2 * p - k // s + 1, "Brackets"),
        (lambda n, k, s, p: (n - 1) * s - 2 * p + k, "transposed"),
        (lambda n, k, s, p: 32, "give 64, and your function says 32."),
    ],
    "effective_beta": [
        (
            lambda w, n, d, over_n, over_d: w * n if over_n else w / d if over_d else w,
            "at the first",
        ),
        (lambda w, n, d, over_n, over_d: w * (d if over_n else 1) / (n if over_d else 1), "places"),
        (lambda w, n, d, over_n, over_d: (n if over_n else 1) / (d if over_d else 1), "is missing"),
        (returns_for_some, "(None) for 0.5, 12288, 128, False, False"),
    ],
    "best_guess": [
        (lambda x: x.sum(0), "the sum"),
        (lambda x: x.sum(0) / (len(x) - 1), "n − 1"),
        (lambda x: torch.logit(x).mean(0).sigmoid(), "logits"),
        (lambda x: x.mean(0, keepdim=True), "only dimension 0 goes"),
        (lambda x: x.mean(0) * 255, "255 times"),
        (lambda x: torch.logit(x.mean(0)), "pixels lie in [0, 1]"),
    ],
    "structural_similarity": [
        (lambda x, y: similarity(x, y, of_variance=1), "your variances are divided by n − 1"),
        (lambda x, y: similarity(x, y, of_covariance=1), "your covariance is divided by n − 1"),
        (lambda x, y: similarity(x, y, root=0.5), "squares of std"),
        (lambda x, y: similarity(x, y, first=1), "In the first it is missing"),
        (lambda x, y: similarity(x, y, second=1), "In the second it is missing"),
        (lambda x, y: similarity(x, y, c=(0, 0)), "c₁ and c₂ are missing"),
        (lambda x, y: similarity(x, y, c=(0, 9e-4)), "c₁ is missing"),
        (lambda x, y: similarity(x, y, c=(0.01, 0.03)), "are squares"),
        (lambda x, y: 0.5 * similarity(x, y), "yours gives 0.5. So numerators"),
    ],
    "aggregate_variance": [
        (lambda m, s: m.var(1) + s.exp().mean(1), "dimension 0"),
        (lambda m, s: (m**2).mean(0) + s.exp().mean(0), "you do not subtract it"),
        (lambda m, s: m.var(0) + s.exp().sum(0), "add their mean"),
        (lambda m, s: (m.var(0) + s.exp().mean(0)).sqrt(), "its square"),
        (lambda m, s: (m + (s / 2).exp() * torch.randn_like(m)).var(0), "draw nothing"),
    ],
    "spherical": [
        (lambda a, b, t: arc(b, a, t, between(a, b)), "from b to a"),
        (lambda a, b, t: arc(a, b, t, torch.rad2deg(between(a, b))), "radians"),
        (lambda a, b, t: arc(a, b, t, a @ b / (a.norm() * b.norm())), "arccosine"),
        (lambda a, b, t: arc(a, b, t**2, between(a, b)), "a fraction 0.090"),
        (lambda a, b, t: arc(a / a.norm(), b / b.norm(), t, between(a, b)), "a and b themselves"),
        (
            lambda a, b, t: arc(a, b, t, torch.asin(a @ b / (a.norm() * b.norm()))),
            "away from where",
        ),
    ],
    "attribute_direction": [
        (lambda m, y: ((2 * y - 1)[:, None] * m).mean(0), "divided by the number of all faces"),
        (lambda m, y: ((y - y.mean())[:, None] * m).mean(0), "0.16 times"),
        (lambda m, y: m[y > 0].mean(0) - m[y < 0].mean(0), "the mean of no faces"),
        (lambda m, y: m[y.long()].mean(0), "row numbers"),
        (lambda m, y: (m[y > 0].mean(0) + m[y == 0].mean(0)) / 2, "middle"),
        (lambda m, y: m[y > 0].median(0).values - m[y == 0].median(0).values, "medians"),
    ],
    "without": [
        (takes_off_in_turn, "one by one"),
        (lambda d, o: d - (d @ o.T) @ o, "the division is missing"),
        (lambda d, o: along(d, o) - d, "sign"),
        (lambda d, o: d - 2 * along(d, o), "it would have 0 along each"),
        (lambda d, o: torch.zeros_like(d), "not what is left"),
        (lambda d, o: d, "nothing taken off"),
    ],
    "bought_rate": [
        (lambda x, b: (0.5 * (x / b).log()).abs(), "not the size of the logarithm"),
        (lambda x, b: 0.5 * (x / b)[x > b].log(), "leave none out"),
        (lambda x, b: (b / x).clamp(max=1), "the posterior variance"),
        (lambda x, b: 0.5 * torch.log1p(x / b), "the 1 does not belong"),
        (lambda x, b: 0.5 * (x - b).log(), "you subtract it"),
        (lambda x, b: 0.5 * (x / b).clamp(min=1).log10(), "to base 10"),
        (lambda x, b: x.div_(b).clamp(min=1).log() / 2, "changes its argument x in place"),
    ],
    "exchange_rate": [
        (lambda r, d: (d[1:] - d[0]) / (r[0] - r[1:]), "with the first"),
        (lambda r, d: (-d.diff() / r.diff()).flip(0), "order"),
        (lambda r, d: torch.tensor([1.5, 5.0, 8.0]), "9, and yours says 8"),
        (lambda r, d: -2 * d.diff() / r.diff(), "twice"),
    ],
    "roc_auc": [
        (lambda v, y: max(area(v, y), 1 - area(v, y)), "Turn nothing round"),
        (lambda v, y: 2 * area(v, y) - 1, "wins minus losses"),
        (lambda v, y: area(v, y) * (y > 0).sum() * (y == 0).sum(), "number of wins"),
        (lambda v, y: v[y > 9].mean(), "the result is nan"),
    ],
    "information": [
        (lambda c: table_information(c) / math.log(10), "to base 10"),
        (lambda c: table_information(c) / 9, "mean over cells"),
        (lambda c: torch.special.entr(c.sum(1) / c.sum()).sum(), "entropy of the rows"),
        (lambda c: table_information(c) * torch.nan, "not the only fault"),
    ],
    "information_gap": [
        (lambda m, h: table_gap(m, h) * h / h.sum(), "not by the sum of all"),
        (lambda m, h: table_gap(m, h) * h * h, "you multiply"),
        (lambda m, h: (m.amax(0) - m.amin(0)) / h, "subtracts the smallest"),
        (lambda m, h: (m.amax(0) - m.mean(0)) / h, "subtracts the mean of the column"),
        (lambda m, h: m.topk(2, 0).values[0] - m.topk(2, 0).values[1] / h, "brackets"),
    ],
}.items():
    WRONG[name] += answers


def sentence(capsys, call) -> str:
    """What a check prints: one line."""
    capsys.readouterr()
    assert call() is None
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    return printed


@pytest.fixture(autouse=True)
def nothing_solved(monkeypatch):
    monkeypatch.setattr(verdicts, "_solved", set())


def run(source: str) -> None:
    exec(source, earlier())


def earlier() -> dict:
    """What the notebook has defined before its exercises."""
    own = {"gaussian_kl": kl_per_dimension, "reparameterize": reparameterize}
    return own | {"checks": checks, "torch": torch, "bernoulli_nll": bernoulli_nll}


def test_every_check_has_its_cells_and_at_least_three_wrong_answers():
    assert set(STUBS) == set(SOLUTIONS) == set(NAMES) == set(WRONG)
    assert all(len(answers) >= 3 for answers in WRONG.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_stub_is_told_that_it_is_not_solved_yet(name, capsys):
    assert sentence(capsys, lambda: run(STUBS[name])).startswith("Not solved yet")
    assert sentence(capsys, lambda: getattr(checks, name)(None)).startswith("Not solved yet")


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_passes_and_is_no_answer_of_the_learner(name, capsys):
    printed = sentence(capsys, lambda: run(SOLUTIONS[name]))
    assert printed.startswith("The solution passes")
    assert "Correct" not in printed


@pytest.mark.parametrize("name", NAMES)
def test_the_same_as_a_learners_answer_is_correct(name, capsys):
    source = SOLUTIONS[name].replace(", solution=True", "")
    assert sentence(capsys, lambda: run(source)).startswith("Correct.")


@pytest.mark.parametrize(
    ("name", "answer", "word"),
    [(name, answer, word) for name, answers in WRONG.items() for answer, word in answers],
)
def test_a_wrong_answer_is_told_what_is_wrong_with_it(name, answer, word, capsys):
    printed = sentence(capsys, lambda: getattr(checks, name)(answer))
    assert printed.startswith("Not yet: ")
    assert word in printed


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "nonsense",
    [
        lambda *arguments: 1 / 0,
        lambda: 1,
        lambda *arguments: "a word",
        lambda *arguments: torch.tensor(float("nan")),
        lambda *arguments: [],
        3.5,
        "a word",
        torch.zeros(2),
    ],
)
def test_no_answer_makes_a_check_raise(name, nonsense, capsys):
    printed = sentence(capsys, lambda: getattr(checks, name)(nonsense))
    assert printed.startswith("Not yet: ")


@pytest.mark.parametrize("name", NAMES)
def test_right_answers_may_come_as_arrays_or_lists(name, capsys):
    space = earlier()
    exec(SOLUTIONS[name], space)
    if name in ("reparameterize", "conv_size"):  # which want gradients, and an int
        return
    for kind in (torch.Tensor.tolist, torch.Tensor.numpy):

        def answer(*arguments, kind=kind):
            return kind(torch.as_tensor(space[name](*arguments)))

        assert sentence(capsys, lambda: getattr(checks, name)(answer)).startswith("Correct.")


def test_solved_exercises_are_counted_by_notebook_and_solutions_are_not(capsys):
    own = {name: SOLUTIONS[name].replace(", solution=True", "") for name in NAMES}
    steps = [
        (SOLUTIONS["gaussian_kl"], 0),
        (own["gaussian_kl"], 1),
        (own["gaussian_kl"], 1),  # nobody solves one twice
        (SOLUTIONS["best_guess"], 1),
        (own["best_guess"], 2),
        (STUBS["conv_size"], 2),
        (own["roc_auc"], 1),  # of another notebook
    ]
    for source, count in steps:
        of = 5 if "roc_auc" in source else 6
        assert f"({count} of {of} solved.)" in sentence(capsys, functools.partial(run, source))


def test_in_a_notebook_a_verdict_is_a_box_whose_colour_tells_right_from_wrong(monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr("IPython.get_ipython", lambda: True)
    monkeypatch.setattr(IPython.display, "display", shown.append)
    checks.gaussian_kl(lambda mu, logvar: 1 / 0 if mu < "<b>" else None)
    run(SOLUTIONS["gaussian_kl"])
    run(SOLUTIONS["gaussian_kl"].replace(", solution=True", ""))
    boxes = [verdict._repr_html_() for verdict in shown]
    colours = [re.findall(r"rgb\([\d, ]+\)", box)[0] for box in boxes]
    assert len(set(colours)) == 3
    assert [text.split()[0] for text in map(repr, shown)] == ["Not", "The", "Correct."]
    for verdict, box in zip(shown, boxes, strict=True):
        assert html.escape(repr(verdict)) in box
        assert "<b>" not in box
        assert "color:" not in box.replace("border", "")  # letters as the page has them
