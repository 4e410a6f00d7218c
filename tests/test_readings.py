"""What pages, notebooks and docstrings read out of the numbers is what the numbers say.

Computed here from what is committed: results of runs, models in the box, the notebooks' own cells.
`test_book.py` holds the tables to the runs.
"""

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

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
