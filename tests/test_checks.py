"""Every exercise's check knows the stub, wrong answers and the solution, and never raises."""

import inspect
import math
import re
from pathlib import Path

import nbformat
import pytest
import torch

from vae_lib import checks

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
NAMES = [
    name
    for name, value in vars(checks).items()
    if inspect.isfunction(value) and value.__module__ == checks.__name__ and name[0] != "_"
]


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


# Wrong answers that learners give, with a word of the sentence that should meet each.
WRONG = {
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


def sentence(capsys, call) -> str:
    """What a check prints: one line."""
    capsys.readouterr()
    assert call() is None
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    return printed


def run(source: str) -> None:
    exec(source, {"checks": checks, "torch": torch})


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
