"""The book's tables, made from the results in git and from the models in the box."""

import json
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import report
from report import MEASURES, NOTHING_YET, OBJECTIVES, RESULTS, SCORES, table

import vae_lib
from vae_lib.faces.synthetic import FACTORS
from vae_lib.pretrained import FOLDER, load_gallery


def fragments() -> dict[str, str]:
    """File name, without its ending → Markdown that a page includes."""
    celeba, synthetic = read_runs("celeba"), read_runs("synthetic")
    return {
        "celeba_runs": summary(celeba),
        "celeba_every_run": every_run(celeba),
        "synthetic_runs": summary(synthetic),
        "synthetic_disentanglement": disentanglement(synthetic),
        "synthetic_every_run": every_run(synthetic),
        "attributes": attributes(),
        "attribute_means": attribute_means(),
        "direction_pairs": direction_pairs(),
        "factors": factors(),
        "api": api(),
        "cards": "\n".join(card(name) for name in report.shipped()),
    } | {name: picture(name) for name in FIGURES}


def read_runs(faces: str, folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The results of single runs, by setting and seed; other files of the folder are left alone."""
    found = [json.loads(path.read_text()) for path in sorted((folder / faces).rglob("*.json"))]
    runs = [run for run in found if isinstance(run, dict) and {"seed", "test"} <= set(run)]
    return sorted(runs, key=lambda run: (*setting_of(run), run["seed"]))


def setting_of(run: dict[str, Any]) -> tuple[int, float]:
    """Which objective, counted in the order of OBJECTIVES, and the number it is known by."""
    objective = run["identity"].get("objective", "beta-vae")
    number = run["capacity"] if objective == "capacity" else run["beta"]
    return list(OBJECTIVES).index(objective), number


def by_setting(runs: Iterable[dict]) -> dict[str, list[dict]]:
    """Runs that differ in their seed alone stand together."""
    groups = defaultdict(list)
    for run in runs:
        objective, number = setting_of(run)
        groups[list(OBJECTIVES.values())[objective].format(number)].append(run)
    return groups


def spread(values: list[float], decimals: int) -> str:
    """Mean ± standard deviation over seeds, or the one value that there is."""
    text = f"{mean(values):,.{decimals}f}"
    return text if len(values) == 1 else f"{text} ± {stdev(values):,.{decimals}f}"


def seeds_of(runs: list[dict]) -> str:
    return "1 seed" if len(runs) == 1 else f"{len(runs)} seeds"


def which_runs(groups: dict[str, list[dict]], runs: list[dict]) -> str:
    """One sentence: which runs there are, and on how many images they were measured."""
    counts = ", ".join(f"{name}: {seeds_of(group)}" for name, group in groups.items())
    images = sorted({run["test"]["images"] for run in runs})
    sizes = " or ".join(f"{count:,}" for count in images)
    plus = "; ± is the standard deviation over seeds" if len(runs) > len(groups) else ""
    return f"Committed so far: {counts}. Measured on {sizes} test faces{plus}.\n"


def summary(runs: list[dict]) -> str:
    """One row per setting, mean ± standard deviation over its seeds."""
    if not runs:
        return NOTHING_YET
    groups = by_setting(runs)
    names = [name for name in MEASURES if any(name in run["test"] for run in runs)]
    rows = [
        [setting, str(len(group))] + [_cell(group, "test", n, MEASURES[n][1]) for n in names]
        for setting, group in groups.items()
    ]
    headings = ["setting", "seeds"] + [MEASURES[name][0] for name in names]
    return which_runs(groups, runs) + "\n" + table(headings, rows)


def disentanglement(runs: list[dict]) -> str:
    """The same for the scores of disentanglement, where runs have them."""
    runs = [run for run in runs if "disentanglement" in run]
    if not runs:
        return NOTHING_YET
    names = [name for name in SCORES if any(name in run["disentanglement"] for run in runs)]
    rows = [
        [setting, str(len(group))]
        + [_cell(group, "disentanglement", n, SCORES[n][1]) for n in names]
        for setting, group in by_setting(runs).items()
    ]
    return table(["setting", "seeds"] + [SCORES[name][0] for name in names], rows)


def _cell(group: list[dict], block: str, name: str, decimals: int) -> str:
    values = [run[block][name] for run in group if name in run[block]]
    return spread(values, decimals) if values else "–"


def every_run(runs: list[dict]) -> str:
    """One row per run."""
    if not runs:
        return NOTHING_YET
    names = [name for name in MEASURES if any(name in run["test"] for run in runs)]
    rows = [
        [setting, str(run["seed"])] + [_cell([run], "test", n, MEASURES[n][1]) for n in names]
        for setting, group in by_setting(runs).items()
        for run in group
    ]
    return table(["setting", "seed"] + [MEASURES[name][0] for name in names], rows)


def attributes() -> str:
    """How well the codes of each CelebA model give the forty attributes away."""
    galleries = report.celeba_galleries()
    headings = ["attribute"]
    for beta in galleries:
        headings += [f"{beta}: probe", f"{beta}: best dimension"]
    first = next(iter(galleries.values()))
    rows = []
    for row in first.probe_auc.argsort()[::-1]:
        cells = [first.attribute_names[row].replace("_", " ")]
        for gallery in galleries.values():
            single = f"{gallery.best_auc[row]:.2f} (z{gallery.best_dimension[row]})"
            cells += [f"{gallery.probe_auc[row]:.2f}", single]
        rows.append(cells)
    return table(headings, rows)


def attribute_means() -> str:
    """The same as one row for each model."""
    rows = [
        [
            beta,
            f"{gallery.probe_auc.mean():.3f}",
            f"{gallery.best_auc.mean():.3f}",
            f"{(gallery.probe_auc - gallery.best_auc).mean():.3f}",
            str(len(set(gallery.best_dimension.tolist()))),
        ]
        for beta, gallery in report.celeba_galleries().items()
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
    return "\n".join(
        f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n"
        for name in names
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


# Figure → its title, its alternative text and how to read it. `book/report.py` draws them.
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
        "largest MIG and one of the run with the smallest",
        "The runs with the largest and the smallest MIG. A perfect code would have one bright "
        "cell in each column and at most one in each row.",
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
