"""What pages, notebooks and docstrings read out of the numbers is what the numbers say.

Computed here from what is committed: results of runs, models in the box, the notebooks' own cells.
`test_book.py` holds the tables to the runs.
"""

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vae_lib.pretrained import load_gallery
from workshop import report

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def tables(monkeypatch):
    """The module that makes the book's tables, as the book's script sees it."""
    monkeypatch.syspath_prepend(str(ROOT / "book"))
    import fragments

    return fragments


def cell(notebook: int, name: str) -> str:
    """The source of a notebook's cell."""
    (path,) = (ROOT / "notebooks").glob(f"0{notebook}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    return next(c.source for c in cells if c.id == f"nb{notebook}-{name}")


def sentences(text: str) -> list[str]:
    """Sentences, their lines joined."""
    return re.split(r"(?<=[.;|])\s", " ".join(text.split()))


def test_the_run_with_the_largest_mig_is_no_beta_vae_so_each_page_says_of_which_runs_it_is():
    runs = report.runs_of("synthetic")
    largest = max(runs, key=lambda run: run.measures["mig"])
    assert largest.objective == "beta-tcvae"
    pages = [ROOT / "README.md", ROOT / "book" / "fragments.py", ROOT / "workshop" / "cards.py"]
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


def test_against_the_linear_vae_means_and_samples_read_as_readme_and_results_say():
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


# Drawn faces: what results and notebook 3 say of β, seeds, glasses and the other objectives.


@pytest.fixture
def results() -> str:
    return " ".join((ROOT / "book" / "results.md").read_text(encoding="utf-8").split())


@pytest.fixture
def runs():
    return report.runs_of("synthetic")


def beta_vaes(runs, beta: float | None = None) -> list:
    return [r for r in runs if r.objective == "beta-vae" and beta in (None, r.setting)]


def mean_of_factors(runs, beta: float, what: str, left_out: tuple[str, ...] = ()) -> float:
    """Over seeds and factors, straight from the files."""
    return np.mean(
        [
            values[what]
            for run in beta_vaes(runs, beta)
            for factor, values in run.result["disentanglement"]["per_factor"].items()
            if factor not in left_out
        ]
    )


def test_the_peak_of_mig_at_beta_8_is_that_of_glasses_alone(runs, results):
    betas, factors = (1, 2, 4, 8, 16), runs[0].factors

    def highest(what, left_out):
        means = {beta: mean_of_factors(runs, beta, what, (left_out,)) for beta in betas}
        return max(means, key=means.get)

    assert [factor for factor in factors if highest("mig", factor) != 8] == ["glasses"]
    assert highest("sap", "") == highest("sap", "glasses") == 16
    without = [mean_of_factors(runs, beta, "mig", ("glasses",)) for beta in betas]
    assert without == sorted(without)
    told = [mean_of_factors(runs, b, "informativeness", factors[:-1]) for b in (8, 16)]
    assert factors[-1] == "glasses"
    assert f"informativeness goes from {told[0]:.2f} to {told[1]:.2f}" in results

    rows = [r for r in report.numbers()["synthetic"]["by_factors"] if r["objective"] == "beta-vae"]
    assert [row["without_glasses"]["mig"] for row in rows] == pytest.approx(without)

    def disentanglement(kind):
        return [row[kind]["dci_disentanglement"] for row in rows]

    for kind in ("all", "without_glasses", "learned"):
        assert np.argmax(disentanglement(kind)) == 3
    rising = disentanglement("learned_without_glasses")
    assert rising == sorted(rising)
    told = [
        mean_of_factors(runs, 1, "informativeness", tuple(set(factors) - {factor}))
        for factor in factors
    ]
    assert sorted(told)[3] < 0.1
    assert sorted(told)[4] > 0.5


def test_disentanglement_of_some_factors_is_dcis_formula_on_their_columns(runs):
    row = next(r for r in report.numbers()["synthetic"]["by_factors"] if r["setting"] == 8)
    found = []
    for run in beta_vaes(runs, 8):
        columns = np.array(run.result["disentanglement"]["importance"])[:, :-1]  # glasses is last
        weight = columns.sum(1) / columns.sum()
        share = columns[weight > 0] / columns[weight > 0].sum(1, keepdims=True)
        entropy = -np.where(share > 0, share * np.log(np.where(share > 0, share, 1)), 0).sum(1)
        found.append((weight[weight > 0] * (1 - entropy / np.log(columns.shape[1]))).sum())
    assert row["without_glasses"]["dci_disentanglement"] == pytest.approx(np.mean(found))


def test_migs_ceiling_is_what_results_say_of_the_best_and_the_worst_run(runs, results):
    def ceiling(run):
        found = run.result["disentanglement"]
        best = np.max(found["mutual_information"], axis=0)
        return np.mean(best / [factor["entropy"] for factor in found["per_factor"].values()])

    low, *_, high = sorted(beta_vaes(runs), key=lambda run: run.measures["mig"])
    assert f"{ceiling(high):.2f} for the best β-VAE, {ceiling(low):.2f} for the worst" in results


def test_the_ends_of_the_curve_are_beyond_doubt_and_neighbours_are_not(runs, results, tables):
    def wins(name, one, two):
        pairs = [
            (a.measures[name], b.measures[name])
            for a in beta_vaes(runs, one)
            for b in beta_vaes(runs, two)
        ]
        assert len(pairs) == 25
        return np.mean([b > a for a, b in pairs])

    always = [name for name in tables.SCORES if wins(name, 1, 8) == 1]
    assert len(always) == 6
    losses = [1 - wins("mig", *pair) for pair in ((1, 2), (2, 4), (4, 8))]
    assert f"by MIG in {100 * min(losses):.0f} to {max(losses):.0%}".replace("%", " %") in results
    assert "beats β = 1 for every pair of seeds, by six of seven" in " ".join(cell(3, "54").split())


def test_prices_of_a_nat_across_seeds_are_inside_as_often_as_notebook_3_says(runs):
    def inside(runs, one, two):
        paid = [
            (b.measures["excess"] - a.measures["excess"]) / (a.measures["kl"] - b.measures["kl"])
            for a in runs
            for b in runs
            if (a.setting, b.setting) == (one, two)
        ]
        return [one <= price <= two for price in paid]

    celeba = report.runs_of("celeba")
    assert [len(inside(celeba, *pair)) for pair in ((1, 4), (4, 10))] == [9, 9]
    assert all(inside(celeba, 1, 4) + inside(celeba, 4, 10))
    pairs = ((1, 2), (2, 4), (4, 8), (8, 16))
    shares = [f"{100 * np.mean(inside(beta_vaes(runs), *pair)):.0f}" for pair in pairs]
    said = "{}, {}, {} and {} % of the pairs of seeds are inside".format(*shares)
    assert said in " ".join(cell(3, "14").split())


def test_mig_follows_kl_over_all_betas_and_not_within_one(runs, results):
    def ranks(values):
        return np.argsort(np.argsort(values))

    def correlation(runs, of):
        return np.corrcoef(ranks([r.measures["mig"] for r in runs]), ranks([of(r) for r in runs]))[
            0, 1
        ]

    def kl(run):
        return run.measures["kl"]

    def loss(run):
        return run.measures["reconstruction"] + run.setting * run.measures["kl"]

    overall = correlation(beta_vaes(runs), kl)
    within = [
        np.mean([correlation(beta_vaes(runs, beta), of) for beta in (1, 2, 4, 8, 16)])
        for of in (kl, loss)
    ]
    chance = 1 / np.sqrt(4) / np.sqrt(5)  # one ranking of five has a variance of 1/4
    numbers = [f"{value:.2f}".replace("-", "−") for value in (overall, *within, chance)]
    assert f"rank correlation {numbers[0]}), but" in results
    assert (
        "KL and loss have {} and {} on average, and chance alone gives ± {}".format(*numbers[1:])
        in results
    )
    answer = " ".join(cell(3, "54").split())
    assert f"(rank correlation {numbers[0]})" in answer
    assert f"good runs ({numbers[1]}, {numbers[2]})" in answer


def test_the_capacity_is_clearly_worse_in_two_scores_and_leads_in_none(runs, results, tables):
    from scipy.stats import ttest_ind

    from vae_lib.study import beta_vae_at

    others = [run for run in runs if run.objective == "capacity"]
    p, means = {}, {}
    for name in tables.SCORES:
        own = [run.measures[name] for run in others]
        curve = np.mean([beta_vae_at(runs, name, run.measures["kl"]) for run in others], axis=0)
        p[name] = ttest_ind(own, curve, equal_var=False).pvalue
        means[name] = f"{np.mean(own):.3f} against {np.mean(curve):.3f}"
        ahead = np.mean(own) - np.mean(curve)
        assert ahead < max(np.std(own, ddof=1), np.std(curve, ddof=1))
    informativeness, score = p.pop("dci_informativeness"), p.pop("beta_vae")
    assert min(p.values()) > 0.2
    assert f"informativeness is {means['dci_informativeness']}, the β-VAE score" in results
    assert f"β-VAE score {means['beta_vae']} (Welch" in results
    assert f"p = {informativeness:.4f} and {score:.4f}; the other five are above 0.2" in results


def test_mig_of_samples_is_that_of_the_file_whose_means_are_the_runs(runs, results):
    sampled = report.numbers()["synthetic"]["sampled"]
    low, *_, high = sorted(run.measures["mig"] for run in beta_vaes(runs))
    for name, mig in ((report.BEST, high), (report.WORST, low)):
        assert sampled[name]["means"] == pytest.approx(mig, abs=5e-4)  # weights of float16
        assert sampled[name]["samples"] < sampled[name]["means"]
    best = sampled[report.BEST]
    assert f"{best['samples']:.3f} instead of {best['means']:.3f} for the best β-VAE" in results


def test_what_is_said_to_be_new_names_who_drew_in_a_page_before():
    welcome = (ROOT / "book" / "welcome.md").read_text(encoding="utf-8")
    known = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    paragraph = next(p for p in welcome.split("\n\n") if "not seen elsewhere" in p)
    cited = re.findall(r"\{cite\}`(\w+)`", paragraph)
    assert cited == ["dumoulin2014", "ha2018", "bertucci2024"]
    assert all(f"{{{key}," in known for key in cited)


def test_the_table_of_left_out_factors_is_the_mean_of_the_others(runs):
    rows = report.numbers()["synthetic"]["by_factors"]
    for row in rows:
        if row["objective"] != "beta-vae":
            continue
        for factor, scores in row["left_out"].items():
            for what in ("mig", "sap"):
                expected = mean_of_factors(runs, row["setting"], what, (factor,))
                assert scores[what] == pytest.approx(expected)
        assert row["left_out"]["glasses"]["mig"] == pytest.approx(row["without_glasses"]["mig"])


def test_what_the_network_for_every_beta_gained_at_the_constant_rate_is_what_its_runs_say():
    found = json.loads((ROOT / "results" / "any_beta.json").read_text())
    constant = found["screen_valid_seed_0"]["constant"]["objective"]
    each: dict[str, list[float]] = {}
    for run in found["celeba"]["one_network_per_beta"].values():
        each.setdefault(f"{run['valid']['beta']:g}", []).append(run["valid"]["objective"])
    gains = [1 - constant[beta] / np.mean(values) for beta, values in each.items()]
    assert (round(100 * min(gains)), round(100 * max(gains))) == (2, 3)
    assert "the gain was 2 to 3 %" in " ".join(cell(3, "09c").split())
    assert f"½ ln 20 = {np.log(20) / 2:.1f} nats" in " ".join(cell(3, "07a").split())


def test_what_results_say_of_udr_is_what_its_five_runs_say():
    from itertools import permutations

    from scipy.stats import spearmanr

    from vae_lib.disentanglement import udr
    from vae_lib.study.codes import load_codes

    folder = ROOT / "results" / "prediction"
    told = json.loads((folder / "udr.json").read_text())
    runs = [json.loads((folder / f"{name}.json").read_text()) for name in told["runs"]]
    codes = [load_codes(folder / f"{name}.npz").mu for name in told["runs"]]
    found = udr(codes, [np.array(run["kl_per_dimension"]) for run in runs])
    np.testing.assert_allclose(found, told["udr"], rtol=1e-6)
    agree = {n: spearmanr(found, told[n]).statistic for n in ("sap", "dci_disentanglement", "mig")}
    assert (
        round(agree["sap"], 1) == round(agree["dci_disentanglement"], 1) == 0.9 > agree["mig"] + 0.5
    )
    orders = [spearmanr(range(5), order).statistic for order in permutations(range(5))]
    assert sum(rank > 0.9 - 1e-9 for rank in orders) == 5
    assert "5 of the 120 orders" in (ROOT / "book" / "results.md").read_text(encoding="utf-8")


def test_what_results_say_of_udr_within_every_beta_is_what_the_codes_say():
    from benchmarks.prediction import agreement

    folder = ROOT / "results" / "prediction"
    told = json.loads((folder / "udr.json").read_text())
    found = json.loads(json.dumps(agreement(folder)))
    assert [one["beta"] for one in told["groups"]] == [1, 2, 4, 16, 32, 64]
    for one, other in zip(found["groups"], told["groups"], strict=True):
        np.testing.assert_allclose(one["udr"], other["udr"], rtol=1e-6)
        assert one["mig"] == other["mig"]
    within = told["within"]
    for name, values in found["within"].items():
        assert values["by_beta"] == pytest.approx(within[name]["by_beta"])
        assert values["p"] == pytest.approx(within[name]["p"])
    page = " ".join((ROOT / "book" / "results.md").read_text(encoding="utf-8").split())
    assert f"a chance of {within['sap']['p']:.2f} is weak evidence" in page
    assert min(within[n]["mean"] for n in ("mig", "dci_disentanglement")) > 0.2
    assert min(within[n]["p"] for n in ("mig", "dci_disentanglement")) > 0.05
    assert max(abs(within[n]["mean"]) for n in ("loss", "kl")) < 0.1
    four = told["groups"][2]
    assert np.argmax(four["mig"]) == np.argmin(four["udr"])
    best, next_ = sorted(four["mig"], reverse=True)[:2]
    assert best / next_ > 1.8
    assert "has more than 1.8 times the MIG of the others" in page
