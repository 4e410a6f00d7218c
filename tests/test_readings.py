"""What pages, notebooks and docstrings read out of the numbers is what the numbers say.

Computed here from what is committed: results of runs, models in the box, the notebooks' own cells.
`test_book.py` holds the tables to the runs.
"""

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vae_lib.pretrained import load_gallery

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def report(monkeypatch):
    """The module that makes tables of results, as the book's script sees it."""
    monkeypatch.syspath_prepend(str(ROOT / "book"))
    import report

    return report


@pytest.fixture
def tables(report):
    import tables

    return tables


def cell(notebook: int, name: str) -> str:
    """The source of a notebook's cell."""
    (path,) = (ROOT / "notebooks").glob(f"0{notebook}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    return next(c.source for c in cells if c.id == f"nb{notebook}-{name}")


def sentences(text: str) -> list[str]:
    """Sentences, their lines joined."""
    return re.split(r"(?<=[.;|])\s", " ".join(text.split()))


def test_the_run_with_the_largest_mig_is_no_beta_vae_so_each_page_says_of_which_runs_it_is(report):
    runs = report.runs_of("synthetic")
    largest = max(runs, key=lambda run: run.measures["mig"])
    assert largest.objective == "beta-tcvae"
    pages = [ROOT / "README.md", ROOT / "book" / "tables.py", ROOT / "vae_lib" / "cards.py"]
    pages += sorted((ROOT / "vae_lib" / "pretrained").glob("*.md"))
    texts = [page.read_text(encoding="utf-8") for page in pages] + [cell(3, "48")]
    said = [s for text in texts for s in sentences(text) if re.search("largest (and .*)?MIG", s)]
    assert len(said) >= 6
    assert [s for s in said if "β-VAE" not in s] == []


def test_the_two_gradient_estimators_variances_stand_as_notebook_1_says():
    # Gauss–Hermite quadrature with 60 nodes is exact for these polynomials in the noise.
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights /= weights.sum()
    mu, sigma, x, noise = 1.0, 0.3, 1.0, 0.2
    z = mu + sigma * nodes
    log_p = -0.5 * ((x - z**2 / 2) / noise) ** 2 - np.log(noise * np.sqrt(2 * np.pi))

    def mean(values):
        return weights @ values

    def score_variance(d):  # the other d − 1 copies are independent of this one's noise
        others = (d - 1) * mean(log_p)
        spread = (d - 1) * (mean(log_p**2) - mean(log_p) ** 2)
        second = mean((log_p**2 + 2 * others * log_p + others**2 + spread) * nodes**2)
        return (second - mean(log_p * nodes) ** 2) / sigma**2

    slope = (x - z**2 / 2) / noise**2 * z
    pathwise = mean(slope**2) - mean(slope) ** 2
    assert score_variance(1) / pathwise == pytest.approx(8, abs=0.06)
    assert score_variance(128) / pathwise == pytest.approx(38_000, rel=0.01)
    answer = " ".join(cell(1, "16").split())
    assert "8 times larger for one dimension" in answer
    assert "nearly 40,000 times for 128" in answer


def test_the_largest_cosines_of_labels_are_those_that_notebook_2_names():
    gallery = load_gallery("vae_celeba")
    unit = gallery.directions / np.linalg.norm(gallery.directions, axis=1, keepdims=True)
    names = list(gallery.attribute_names)
    cosine = np.triu(unit @ unit.T, 1)
    first, second = np.unravel_index(cosine.argmax(), cosine.shape)
    assert {names[first], names[second]} == {"Heavy_Makeup", "Wearing_Lipstick"}
    # The label names in the order of the cell's first list are those of its matrix.
    shown = re.findall(r'"([A-Z]\w+)"', cell(2, "44"))
    rows = [names.index(name) for name in shown if name in names]
    below = np.triu(unit[rows] @ unit[rows].T, 1).max()
    factors = load_gallery("vae_synthetic").directions
    factors = factors / np.linalg.norm(factors, axis=1, keepdims=True)
    pairs = np.abs((factors @ factors.T)[np.triu_indices(len(factors), 1)])
    answer = " ".join(cell(2, "43").split())
    assert f"up to {below:.2f} below and to {cosine.max():.2f} among all forty" in answer
    assert f"within ±{np.quantile(pairs, 0.9):.2f}" in answer


def test_no_comment_counts_another_papers_equations_as_a_notebooks_own():
    sources = [p.read_text(encoding="utf-8") for p in (ROOT / "notebooks").glob("*.ipynb")]
    assert not [s for s in sources if re.search(r"Eq\. \d+ of notebook", s)]


def test_against_the_linear_vae_means_and_samples_read_as_readme_and_results_say(report):
    celeba = report.numbers()["celeba"]
    rows = celeba["equal_nats"]
    assert [row["setting"] for row in rows] == [1, 4, 10]
    for row in rows:
        network, linear = row["network"], row["linear_vae"]
        assert linear["kl"] == pytest.approx(network["kl"], abs=1)
        assert 0.25 < network["psnr_sampled"] - linear["psnr_sampled"] < 0.55
        assert linear["psnr_unshrunk"] - linear["psnr"] == pytest.approx(1, abs=0.25)
        # The file of the box, measured when it was shipped, on the same faces.
        shipped = report.shipped()[row["model"]]["test"]
        assert network["kl"] == pytest.approx(shipped["kl"])
        assert network["psnr"] == pytest.approx(shipped["psnr"], abs=1e-3)
    first = next(s for s in celeba["settings"] if s["setting"] == 1)
    mean, sd, linear = first["mean"]["psnr"], first["sd"]["psnr"], first["linear_vae"]["psnr"]
    assert 0 < mean - linear < sd
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"seeds differ: {mean:.2f} ± {sd:.2f} against {linear:.2f} dB" in readme
    for text in (readme, (ROOT / "book" / "results.md").read_text(encoding="utf-8")):
        assert "networks are ahead by 0.3 to 0.5 dB" in " ".join(text.split())


# Other people's losses, of images x, their reconstructions y and posteriors (mu, logvar), in the
# words of the files that book/notation.md names.


def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar)


def bernoulli(x, y, mu, logvar):
    return F.binary_cross_entropy(y, x, reduction="sum") / len(x) + kl(mu, logvar).sum(1).mean()


def pytorch_vae(x, y, mu, logvar):
    return F.mse_loss(y, x) + 0.00025 * kl(mu, logvar).sum(1).mean()


def deep_learning(x, y, mu, logvar):
    return (2000 * (x - y).square().mean(1)).mean() + kl(mu, logvar).sum(1).mean()


def debiasing(x, y, mu, logvar):
    return ((x - y).abs().mean((1, 2, 3)) + 0.0005 * kl(mu, logvar).sum(1)).mean()


def arena(x, y, mu, logvar):
    return F.mse_loss((y - 0.1307) / 0.3081, (x - 0.1307) / 0.3081) + 0.1 * kl(mu, logvar).mean()


@pytest.mark.parametrize(
    ("row", "name", "loss", "shape", "latent", "unit"),
    [
        (0, "Keras", bernoulli, (1, 28, 28), 2, "cross-entropy"),
        (1, "pytorch/examples", bernoulli, (1, 28, 28), 20, "cross-entropy"),
        (2, "PyTorch-VAE", pytorch_vae, (3, 64, 64), 128, "squares"),
        (3, "Generative Deep Learning", deep_learning, (3, 32, 32), 200, "squares"),
        (4, "MIT", debiasing, (3, 64, 64), 100, "absolute"),
        (5, "ARENA", arena, (1, 28, 28), 5, "squares"),
    ],
)
def test_other_peoples_beta_is_what_their_loss_asks_for_a_nat(row, name, loss, shape, latent, unit):
    generator = torch.Generator().manual_seed(row)
    x, y = torch.rand(2, 4, *shape, generator=generator, dtype=torch.float64)
    mu, logvar = torch.randn(2, 4, latent, generator=generator, dtype=torch.float64)
    free = [t.requires_grad_(True) for t in (y, mu, logvar)]
    summed = {
        "squares": lambda: 0.5 * (x - y).square().sum(),
        "absolute": lambda: (x - y).abs().sum(),
        "cross-entropy": lambda: F.binary_cross_entropy(y, x, reduction="sum"),
    }[unit]() / len(x)
    theirs = torch.autograd.grad(loss(x, *free), free)
    yardstick = torch.autograd.grad(summed + kl(mu, logvar).sum(1).mean(), free)
    # Theirs is the yardstick's loss but for one factor on each part: β is the two factors' ratio.
    pixels, *codes = ((t / of).flatten() for t, of in zip(theirs, yardstick, strict=True))
    price = torch.cat(codes) / pixels[0]
    assert torch.allclose(price, price[:1], rtol=1e-9)
    assert torch.allclose(pixels, pixels[:1], rtol=1e-6)

    names: dict = {}
    exec(cell(1, "32"), names)
    label, _, beta = names["others"][row]
    assert beta == pytest.approx(price[0].item())
    lines = (ROOT / "book" / "notation.md").read_text(encoding="utf-8").splitlines()
    line = [li for li in lines if "/blob/" in li][row]
    commit = label.split()[-1]
    assert name in label
    assert name.split()[0] in line
    assert re.search(rf"/blob/{commit}[0-9a-f]{{33}}/", line)
    assert line.split()[-2] == f"{beta:.2f}".removesuffix(".00")


def test_the_prices_that_notebook_1_compares_are_those_of_its_table():
    names: dict = {}
    exec(cell(1, "32"), names)
    beta = {label.rsplit(" ", 1)[0]: beta for label, _, beta in names["others"]}
    text = cell(1, "33")
    assert f"From {min(beta.values()):.2f} to {max(beta.values()):.1f}" in text
    assert beta["ARENA"] == pytest.approx(beta["Generative Deep Learning"], rel=0.05)
    eight = beta["MIT 6.S191"] / beta["Generative Deep Learning"]
    assert eight == pytest.approx(8, abs=0.5)
    assert "eight times as much" in text
