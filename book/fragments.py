"""The book's tables, made from the results in git and from the models in the box."""

import json
import math
import pkgutil
import re
from itertools import chain
from typing import Any

import numpy as np

import vae_lib
from vae_lib.config import setting_of as setting_of_recipe
from vae_lib.faces.synthetic import FACTORS
from vae_lib.pretrained import FOLDER, load_gallery
from vae_lib.study import Run, summarise
from workshop import likelihood, report
from workshop.markdown import (
    MEASURES,
    NOTHING_YET,
    SCORES,
    densities,
    equal_nats,
    setting_of,
    share_of_beta,
    share_row,
    summary,
    table,
)
from workshop.report import LEFT_OUT, RESULTS

PAIRS = (("mean", "sd"), ("beta_vae_mean", "beta_vae_sd"))


def fragments() -> dict[str, str]:
    """File name, without its ending → Markdown that a page includes."""
    found = report.numbers()
    celeba, synthetic = found["celeba"], found["synthetic"]
    return {
        "celeba_runs": measured_on(celeba) + summary(celeba, MEASURES),
        "celeba_equal_nats": equal_nats(celeba),
        "celeba_densities": densities(celeba),
        "celeba_every_run": every_run(celeba),
        "synthetic_runs": measured_on(synthetic) + summary(synthetic, MEASURES),
        "synthetic_disentanglement": disentanglement(synthetic),
        "celeba_prices": paid(celeba),
        "synthetic_prices": paid(synthetic),
        "synthetic_seeds": seeds(synthetic),
        "synthetic_wins": wins(synthetic),
        "synthetic_by_factors": by_factors(synthetic),
        "synthetic_left_out": left_out(synthetic),
        "synthetic_equal_kl": equal_kl(synthetic),
        "synthetic_every_run": every_run(synthetic),
        "attributes": attributes(),
        "attribute_means": attribute_means(),
        "attribute_differences": attribute_differences(),
        "direction_pairs": direction_pairs(),
        "factors": factors(),
        "departures": departures(),
        "departures_changed": departures_changed(),
        "departures_judged": departures_judged(),
        "without_labels": without_labels(),
        "without_labels_within": without_labels_within(),
        "likelihood_expected": (RESULTS / "likelihood.md").read_text("utf-8").split("\n", 1)[1],
        "likelihood_runs": likelihood_runs(),
        "likelihood_equal_rate": likelihood_equal_rate(),
        "api": api(),
        "cards": "\n".join(card(name) for name in report.shipped()),
    } | {name: picture(name) for name in FIGURES}


def _prediction(file: str) -> dict[str, Any]:
    return json.loads((RESULTS / "prediction" / f"{file}.json").read_text())


def departures() -> str:
    """Where each factor was predicted to leave the code, and where it left, the last first."""
    told = _prediction("prediction")["looks"]["usual"]
    left = _prediction("verdict")["observed"]

    def seen(beta: float) -> str:
        return "still in at 128" if math.isinf(beta) else f"{beta:.1f}" if beta else "never in"

    rows = [
        [name.replace("_", " ")]
        + [f"{told[v][name]['leaves_at_scaled']:.1f}" for v in ("stronger known", "others known")]
        + [seen(left[name])]
        for name in sorted(left, key=lambda n: -told["stronger known"][n]["leaves_at_scaled"])
    ]
    return table(["factor", "predicted", "predicted, all others known", "left at β"], rows)


def departures_changed() -> str:
    """Informativeness of each changed factor, per seed, in usual faces and in changed ones."""
    rows = [
        [where.replace("_", " "), it["predicted"]]
        + [", ".join(f"{value:.2f}" for value in it[key]) for key in ("usual", "changed")]
        + [f"{it['pairs_as_predicted']:.0%}"]
        for where, it in _prediction("verdict")["interventions"].items()
        if "predicted" in it
    ]
    heads = ["change: factor", "predicted", "usual faces", "changed faces", "pairs as predicted"]
    return table(heads, rows)


def departures_judged() -> str:
    """The test that was committed with the prediction."""
    rows = []
    for variant in ("stronger known", "others known"):
        said = _prediction("verdict")[variant]
        right = said["in or out above 16"]
        rows.append([variant])
        for which in ("all", "still in at 16"):
            it = said[which]
            rows[-1].append(f"{it['spearman']:.2f} ({it['low']:.2f} to {it['high']:.2f})")
        rows[-1].append(f"{right['right']} of {right['of']}")
    heads = ["variant", "rank correlation, 13 factors", "8 factors still in at 16", "in or out"]
    return table(heads, rows)


def likelihood_runs() -> str:
    """The σ-VAE and Bernoulli models of several β, trained alike on real faces."""
    names = {name: MEASURES[name] for name in ("kl", "active_01", "psnr", "excess")}
    runs = [
        Run(one["objective"], one["beta"], one["seed"], {name: one[name] for name in names})
        for one in likelihood.read(likelihood.KEPT)["runs"]
    ]
    return summary({"settings": [report.as_setting(s) for s in summarise(runs)]}, names)


def likelihood_equal_rate() -> str:
    """What the σ-VAE gains over Bernoulli pixels at its own rate, for each seed."""
    digits = {
        "kl": ".1f",
        "bernoulli_beta": ".3f",
        "psnr": ".2f",
        "bernoulli": ".2f",
        "gain": "+.2f",
    }
    rows = [
        [
            f"{one['beta']:g}",
            str(one["seed"]),
            *(format(one[name], d) for name, d in digits.items()),
        ]
        for one in likelihood.read(likelihood.KEPT)["at_equal_rate"]
    ]
    told = ["KL, nats", "Bernoulli β of this KL", "σ-VAE, dB", "Bernoulli, dB", "gain, dB"]
    return table(["σ-VAE's β", "seed", *told], rows) if rows else NOTHING_YET


def without_labels() -> str:
    """UDR of five runs of one β beside scores that need labels, and how their orders agree."""
    told = _prediction("udr")
    names = {"udr": "UDR", "mig": "MIG", "sap": "SAP", "dci_disentanglement": "DCI", "kl": "KL"}
    rows = [
        [run.rsplit("_", 1)[1]]
        + [f"{told[n][i]:.1f}" if n == "kl" else f"{told[n][i]:.3f}" for n in names]
        for i, run in enumerate(told["runs"])
    ]
    agree = told["rank_correlation_with_udr"]
    rows.append(
        ["rank correlation with UDR", "", *(f"{agree[n]:.1f}" for n in names if n != "udr")]
    )
    return table(["seed", *names.values()], rows)


def without_labels_within() -> str:
    """How the order of seeds by UDR agrees with that by each score, within every β."""
    told = _prediction("udr")
    betas = [group["beta"] for group in told["groups"]] + [told["beta"]]
    names = {"mig": "MIG", "sap": "SAP", "dci_disentanglement": "DCI", "loss": "loss", "kl": "KL"}
    order = np.argsort(betas)
    rows = []
    for name, label in names.items():
        found = told["within"][name]
        cells = [f"{found['by_beta'][i]:.1f}" for i in order]
        cells += [f"{found['mean']:.2f}", f"{found['p']:.3f}"]
        rows.append([label, *cells, f"{found['best_is_best']} of {len(betas)}"])
    heads = [f"β = {betas[i]:g}" for i in order]
    return table(
        ["score", *heads, "mean", "by chance", "largest in the run of the largest UDR"], rows
    )


def measured_on(found: dict[str, Any]) -> str:
    """One sentence: on how many images the runs were measured, and what ± is."""
    if not found["runs"]:
        return ""
    sizes = " or ".join(f"{count:,}" for count in sorted({run["images"] for run in found["runs"]}))
    several = len(found["runs"]) > len(found["settings"])
    plus = "; ± is the standard deviation over seeds" * several
    return f"Measured on {sizes} test faces{plus}.\n\n"


def disentanglement(found: dict[str, Any]) -> str:
    """Every score by setting, and how much of its variance is the setting's doing."""
    text = summary(found, SCORES) + share_row(found, SCORES)
    betas = [run for run in found["runs"] if run["objective"] == "beta-vae"]
    if "share_of_beta" in found:
        settings = len({run["setting"] for run in betas})
        chance = (settings - 1) / (len(betas) - 1)
        text += (
            f"\nThe last row: how much of the variance of the {len(betas)} β-VAEs is β's, with a "
            "95 % interval; what is left is the seed's doing. It is ω², about 0 where β does "
            f"nothing. The plain share of squares, η², would be {chance:.0%} by chance.\n"
        )
    return text


def seeds(found: dict[str, Any]) -> str:
    """For each score how far the means of the β reach, and how far the seeds of one β do."""
    if "share_of_beta" not in found:
        return NOTHING_YET
    betas = [s for s in found["settings"] if s["objective"] == "beta-vae"]
    runs = {
        setting_of(s): [r for r in found["runs"] if setting_of(r) == setting_of(s)] for s in betas
    }
    rows = []
    for name, (heading, _) in SCORES.items():
        means = sorted((s["mean"][name], setting_of(s)) for s in betas)
        reach = {beta: sorted(run[name] for run in group) for beta, group in runs.items()}
        wide = max(reach, key=lambda beta: reach[beta][-1] - reach[beta][0])
        ends = " to ".join(f"{mean:.3f} ({beta})" for mean, beta in (means[0], means[-1]))
        share = found["share_of_beta"][name]
        apart = f"{reach[wide][0]:.3f} to {reach[wide][-1]:.3f} ({wide})"
        rows.append([heading, ends, apart, f"{share['eta_squared']:.0%}", share_of_beta(share)])
    headings = ["score", "means of the β: lowest to highest", "seeds of one β: furthest apart"]
    return table([*headings, "β's share: η²", "ω² (95 % interval)"], rows)


def wins(found: dict[str, Any]) -> str:
    """How often a run of the larger β scores higher than a run of the smaller, for each score."""
    if "wins" not in found:
        return NOTHING_YET
    pairs = [f"β = {w['from']:g} → {w['to']:g}" for w in next(iter(found["wins"].values()))]
    rows = [
        [SCORES[name][0], *(f"{w['share']:.0%}" for w in row)]
        for name, row in found["wins"].items()
    ]
    return table(["score", *pairs], rows)


def paid(found: dict[str, Any]) -> str:
    """The price of a nat between neighbouring β, over all pairs of their seeds."""
    if not found["prices"]:
        return NOTHING_YET
    rows = [
        [
            f"{p['from']:g} → {p['to']:g}",
            f"{p['lowest']:.2f} to {p['highest']:.2f}".replace("-", "−"),
            f"{p['inside']} of {p['pairs']}",
        ]
        for p in found["prices"]
    ]
    headings = ["β", "price: lowest to highest", "pairs of seeds whose price is between the two β"]
    return table(headings, rows)


def by_factors(found: dict[str, Any]) -> str:
    """MIG and DCI's disentanglement with and without glasses, and with what is learned at all."""
    if not found["by_factors"]:
        return NOTHING_YET
    columns = {
        "MIG": ("all", "mig"),
        "MIG without glasses": ("without_glasses", "mig"),
        "SAP without glasses": ("without_glasses", "sap"),
        "DCI disentanglement": ("all", "dci_disentanglement"),
        "… of what is learned": ("learned", "dci_disentanglement"),
        "… and without glasses": ("learned_without_glasses", "dci_disentanglement"),
    }
    rows = [
        [setting_of(row), f"{row['glasses']:.2f}"]
        + [f"{row[kind][score]:.3f}" for kind, score in columns.values()]
        + [f"{row['mig_ceiling']:.3f}"]
        for row in found["by_factors"]
    ]
    return table(["setting", "informativeness of glasses", *columns, "MIG's ceiling"], rows)


def equal_kl(found: dict[str, Any]) -> str:
    """Measures of the other objectives, each beside those of the β-VAE at the same KL."""
    compared = found.get("at_equal_kl", [])
    if not compared:
        return NOTHING_YET
    columns = {setting_of(c): f"β-VAE at {c['kl']:.1f} nats" for c in compared}
    rows: dict[str, list[str]] = {}
    for c in compared:
        heading, decimals = (MEASURES | SCORES)[c["measure"]]
        pair = [f"{c[who]:.{decimals}f} ± {c[sd]:.{decimals}f}" for who, sd in PAIRS]
        rows.setdefault(heading, [heading]).extend(pair)
    return table(["measure", *chain.from_iterable(columns.items())], list(rows.values()))


def left_out(found: dict[str, Any]) -> str:
    """Scores of the β-VAEs with each factor left out, in the order of the β."""
    rows = [row for row in found["by_factors"] if row["objective"] == "beta-vae"]
    if not rows:
        return NOTHING_YET
    kinds = {"none": [row["all"] for row in rows]}
    kinds |= {name: [row["left_out"][name] for row in rows] for name in rows[0]["left_out"]}
    betas = ", ".join(f"{row['setting']:g}" for row in rows)
    headings = ["left out", *(f"{SCORES[name][0]} at β = {betas}" for name in LEFT_OUT)]
    lines = [
        [kind.replace("_", " ")]
        + ["  ".join(f"{scores[name]:.3f}" for scores in values) for name in LEFT_OUT]
        for kind, values in kinds.items()
    ]
    return table(headings, lines)


def every_run(found: dict[str, Any]) -> str:
    """One row per run."""
    if not found["runs"]:
        return NOTHING_YET
    names = [name for name in MEASURES if any(name in run for run in found["runs"])]
    rows = [
        [setting_of(run), str(run["seed"])]
        + [f"{run[n]:,.{MEASURES[n][1]}f}" if n in run else "–" for n in names]
        + [f"`{kept}`" if (kept := run["scored_again_from"]) else "–"]
        for run in found["runs"]
    ]
    headings = ["setting", "seed", *(MEASURES[name][0] for name in names), "scored again from"]
    return table(headings, rows)


def attributes() -> str:
    """How well the codes of each CelebA model give the forty attributes away."""
    galleries = report.celeba_galleries()
    headings = ["attribute"]
    for beta in galleries:
        headings += [f"{beta}: probe", f"{beta}: best dimension"]
    first = next(iter(galleries.values()))
    rows = []
    for row in first.scores.probe.argsort()[::-1]:
        cells = [first.attribute_names[row].replace("_", " ")]
        for gallery in galleries.values():
            single = f"{gallery.scores.best[row]:.2f} (z{gallery.scores.best_dimension[row]})"
            cells += [f"{gallery.scores.probe[row]:.2f}", single]
        rows.append(cells)
    return table(headings, rows)


def attribute_differences() -> str:
    """TAD and mean ROC-AUC of the runs that were made for them, the highest TAD first."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for run in json.loads((RESULTS / "celeba_attributes.json").read_text())["runs"]:
        key = setting_of_recipe(run["recipe"]).label, run["recipe"]["latent_size"]
        groups.setdefault(key, []).append(run["measures"]["test"])

    def spread(tests: list[dict[str, Any]], name: str, decimals: int) -> str:
        values = [test[name] for test in tests]
        mean = f"{np.mean(values):.{decimals}f}"
        return mean + (f" ± {np.std(values, ddof=1):.{decimals}f}" if len(values) > 1 else "")

    rows = []
    for (label, size), tests in groups.items():
        measured = [spread(tests, *m) for m in (("kl", 1), ("mean_auroc", 3), ("tad", 3))]
        counts = " / ".join(str(len(test["captured"])) for test in tests)
        rows.append([label, str(size), str(len(tests)), *measured, counts])
    rows.sort(key=lambda row: -float(row[5].split()[0]))
    headings = ["objective", "latent size", "seeds", "KL, nats", "mean ROC-AUC", "TAD"]
    return table([*headings, "attributes that count"], rows)


def attribute_means() -> str:
    """The same as one row for each model."""
    rows = [
        [
            beta,
            f"{scores.probe.mean():.3f}",
            f"{scores.best.mean():.3f}",
            f"{(scores.probe - scores.best).mean():.3f}",
            str(len(set(scores.best_dimension.tolist()))),
        ]
        for beta, scores in ((b, g.scores) for b, g in report.celeba_galleries().items())
    ]
    headings = ["model", "linear probe", "best dimension", "difference", "dimensions used"]
    return table(headings, rows)


def direction_pairs(count: int = 5) -> str:
    """Attributes whose directions in the β = 1 model are most nearly parallel or opposite."""
    gallery = load_gallery("vae_celeba")
    unit = gallery.directions / np.linalg.norm(gallery.directions, axis=1, keepdims=True)
    cosine = unit @ unit.T
    pairs = np.argwhere(np.triu(np.ones_like(cosine), 1))
    pairs = pairs[cosine[tuple(pairs.T)].argsort()]
    names = [name.replace("_", " ") for name in gallery.attribute_names]
    rows = [
        [names[i], names[j], f"{cosine[i, j]:+.2f}".replace("-", "−")]
        for i, j in [*pairs[: -count - 1 : -1], *pairs[:count]]
    ]
    return table(["attribute", "attribute", "cosine"], rows, left=2)


def api() -> str:
    """One section per module of the package; a new module is in the reference by being there."""
    modules = pkgutil.walk_packages(vae_lib.__path__, "vae_lib.")
    names = [module.name for module in modules if not module.name.endswith("__")]
    # What a folder hands on is described where it stands.
    options = "   :members:\n   :ignore-module-all:\n"
    return "\n".join(
        f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n{options}```\n" for name in names
    )


def factors() -> str:
    """What the synthetic faces are drawn from."""
    rows = [
        [f.name.replace("_", " "), "0 or 1" if f.binary else f"{f.low:g} to {f.high:g}", f.meaning]
        for f in FACTORS
    ]
    return table(["factor", "range", "meaning"], rows, left=3)


def card(name: str) -> str:
    """The card that lies beside the weights, as a section of a page, its long table folded."""
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    text = re.sub(r"^#", "##", text, flags=re.MULTILINE)
    scores = re.compile(r"^\| attribute \|.*?\n\n", re.MULTILINE | re.DOTALL)
    folded = "::::{{dropdown}} {}\n{}::::\n\n"
    title = "Linear probes and single dimensions"
    return scores.sub(lambda found: folded.format(title, found[0]), text)


# Figure → its title, its alternative text and how to read it; `workshop/report.py` draws them.
FIGURES = {
    "celeba_rate_distortion": (
        "What a nat of KL buys, on CelebA",
        "Two plots against the KL: excess nats falling and PSNR rising, a dot for each run, the "
        "dots of one β close together",
        "Left: excess against KL. Right: PSNR against KL, with the best linear VAE at the same "
        "nats dotted. Each dot is a run, each colour a β; the line joins the means.",
    ),
    "celeba_kl_spectrum": (
        "KL of each dimension, the strongest first",
        "Curves of KL against rank on a logarithmic scale, falling ever earlier with larger β",
        "A larger β ends more dimensions: where a curve falls below the dotted line, the "
        "dimension no longer counts as active.",
    ),
    "celeba_attributes": (
        "What the codes know of forty attributes",
        "Heat maps of ROC-AUC, a row for each attribute and a panel for each β; the first column, "
        "the linear probe, is brightest",
        "For each β: a linear probe on all dimensions, the best single dimension, and the eight "
        "dimensions with most KL. Hardly a column has one bright cell.",
    ),
    "synthetic_rate_distortion": (
        "What a nat of KL buys, on drawn faces",
        "Two plots against the KL: excess nats falling and PSNR rising, a dot for each run",
        "As above, for the sweep on faces whose factors are known.",
    ),
    "synthetic_scores": (
        "Scores against β, with seeds",
        "A small plot for each score against β on a logarithmic axis: dots for seeds, a line of "
        "means with standard deviations",
        "Dots are seeds, the line is their mean ± standard deviation. Compare the scatter within "
        "a β to the way from one β to the next.",
    ),
    "synthetic_information": (
        "Mutual information of dimensions and factors",
        "Two heat maps, latent dimensions against thirteen factors, one of the run with the "
        "largest MIG of the β-VAEs and one of the run with the smallest",
        "The β-VAEs with the largest and the smallest MIG. A perfect code would have one bright "
        "cell in each column and at most one in each row.",
    ),
    "synthetic_traversals": (
        "What each dimension moves, and what it tells",
        "Rows of drawn faces, one for each active dimension of the β-VAE with the largest MIG, "
        "from three standard deviations below the prior's mean to three above; beside each row "
        "its KL and the two factors it tells most about",
        "The β-VAE with the largest MIG. Beside each row: its KL, and the two factors that it "
        "tells most about, in nats of mutual information. That is measured on posterior means, "
        "which carry no noise, so it may exceed the KL.",
    ),
}


def picture(name: str) -> str:
    """A figure of the results page; empty where there was nothing to draw yet."""
    if not (RESULTS / "figures" / f"{name}.png").exists():
        return ""
    title, alt, caption = FIGURES[name]
    return (
        f":::{{figure}} figures/{name}.png\n:name: fig-{name.replace('_', '-')}\n:alt: {alt}\n\n"
        f"**{title}.** {caption}\n:::\n"
    )
