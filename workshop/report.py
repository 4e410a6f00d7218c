"""From the results of single runs to one file of numbers, figures and the README's tables."""

import json
import math
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from vae_lib import figures
from vae_lib.config import OBJECTIVES, setting_of
from vae_lib.evaluation import psnr
from vae_lib.faces.batches import pixel_batches
from vae_lib.files import write_atomically
from vae_lib.model import VAE
from vae_lib.pretrained import load_gallery, load_pretrained, pretrained_names
from vae_lib.pretrained.gallery import Gallery
from vae_lib.study import (
    METRICS,
    Run,
    Summary,
    best_and_worst,
    compare_at_equal_kl,
    mig_ceiling,
    prices,
    read_runs,
    scores_of_factors,
    share_of_wins,
    share_with_interval,
    summarise,
)
from workshop.markdown import SCORES, readme_tables, with_tables

ROOT = Path(__file__).resolve().parent.parent
RESULTS, README = ROOT / "results", ROOT / "README.md"

BEST, WORST = "vae_mig_best", "vae_mig_worst"  # the study's models in the box
LEFT_OUT = ("mig", "sap", "dci_disentanglement")  # what is shown with single factors left out
DPI = 110  # of the figures


def runs_of(faces: str, results: Path = RESULTS) -> list[Run]:
    """By objective, in the order of OBJECTIVES, setting and seed; none where there is no run."""
    folder = results / faces
    runs = read_runs(folder) if any(folder.glob("*_seed_*.json")) else []
    return sorted(runs, key=lambda run: list(OBJECTIVES).index(run.objective))


def numbers(results: Path = RESULTS) -> dict[str, Any]:
    """Every number that the course reports: of runs, over seeds, of PCA and of shipped models."""
    celeba, drawn = runs_of("celeba", results), runs_of("synthetic", results)
    yardstick = _read(results / "celeba" / "pca.json")
    found: dict[str, Any] = {
        "celeba": {
            "settings": [as_setting(s) | _linear(s, yardstick) for s in summarise(celeba)],
            "runs": [_run(run) for run in celeba],
            "pca": yardstick,
            "equal_nats": [_at_its_nats(name, yardstick) for name in yardstick.get("networks", {})],
            "prices": _prices(celeba),
            "densities": _read(results / "celeba" / "densities.json"),
        },
        "synthetic": {
            "settings": [as_setting(s) for s in summarise(drawn)],
            "runs": [_run(run) for run in drawn],
            "prices": _prices(drawn),
            "by_factors": _by_factors(drawn),
            "sampled": _read(results / "synthetic" / "sampled.json"),
        },
        "models": {name: _model(name, facts) for name, facts in shipped().items()},
    }
    betas = [run for run in drawn if run.objective == "beta-vae"]
    seeds = Counter(run.setting for run in betas)
    if len(seeds) > 1 and min(seeds.values()) > 1:  # a lone seed would hide how seeds differ
        found["synthetic"]["share_of_beta"] = {
            name: _share(betas, name) for name in ("psnr", *METRICS)
        }
        found["synthetic"]["wins"] = {name: _wins(betas, name) for name in METRICS}
        found["synthetic"]["rank_of_mig"] = _rank_of_mig(betas)
        compared = [c for name in ("psnr", *METRICS) for c in compare_at_equal_kl(drawn, name)]
        found["synthetic"]["at_equal_kl"] = [
            vars(c)
            for c in sorted(compared, key=lambda c: (c.objective, c.setting))
            if math.isfinite(c.sd)  # several seeds here too
        ]
    return found


def _share(betas: list[Run], name: str) -> dict[str, float]:
    """How much of a measure's variance is β's; the interval rounded to what its draws can tell."""
    share = vars(share_with_interval(betas, name))
    if math.isnan(share["low"]):
        return {key: value for key, value in share.items() if key not in ("low", "high")}
    return share | {end: round(share[end], 2) for end in ("low", "high")}


def _wins(betas: list[Run], name: str) -> list[dict[str, float]]:
    """How often the larger of two β scores higher: of neighbours, and of the first and β = 8."""
    settings = sorted({run.setting for run in betas})
    pairs = [*pairwise(settings), (settings[0], 8.0)]
    return [
        {"from": a, "to": b, "share": share_of_wins(betas, name, a, b)}
        for a, b in dict.fromkeys(pairs)
        if a != b and b in settings
    ]


def _rank_of_mig(betas: list[Run]) -> dict[str, dict[str, float]]:
    """Spearman's rank correlation of MIG with what is known without the factors.

    Over all β-VAEs, and its mean within a β.
    """
    known: dict[str, Callable[[Run], float]] = {
        "kl": lambda run: run.measures["kl"],
        "loss": lambda run: run.measures["excess"] + run.setting * run.measures["kl"],
    }
    groups = [[r for r in betas if r.setting == b] for b in sorted({r.setting for r in betas})]
    found = {}
    for name, of in known.items():
        all_runs, *within = (
            float(spearmanr([r.measures["mig"] for r in runs], [of(r) for r in runs]).statistic)
            for runs in (betas, *groups)
            if len(runs) > 2  # of two points every ranking agrees or disagrees
        )
        found[name] = {"all": all_runs} | ({"within": float(np.mean(within))} if within else {})
    return found


def _prices(runs: list[Run]) -> list[dict[str, float]]:
    """What a nat cost between neighbouring β, over all pairs of their seeds."""
    return [
        {
            "from": one,
            "to": two,
            "pairs": paid.size,
            "inside": int(((one <= paid) & (paid <= two)).sum()),
            "lowest": float(paid.min()),
            "highest": float(paid.max()),
        }
        for (one, two), paid in prices(runs).items()
        if np.isfinite(paid).all()
    ]


def _by_factors(runs: list[Run]) -> list[dict[str, Any]]:
    """For each setting the scores of all factors, of all but glasses, and of what is learned.

    Learned is a factor whose informativeness at the smallest β is above ½; the others are below
    0.1 there.
    """
    betas = [run for run in runs if run.objective == "beta-vae"]
    if not betas:
        return []
    names = betas[0].factors
    first = [run for run in betas if run.setting == min(run.setting for run in betas)]
    told = np.mean([run.per_factor("informativeness") for run in first], axis=0)
    learned = [name for name, share in zip(names, told, strict=True) if share > 0.5]
    kinds = {
        "all": list(names),
        "without_glasses": [name for name in names if name != "glasses"],
        "learned": learned,
        "learned_without_glasses": [name for name in learned if name != "glasses"],
    }

    def mean(of: Callable[[Run], float], group: list[Run]) -> float:
        return float(np.mean([of(run) for run in group]))

    glasses, rows = names.index("glasses"), []
    for s in summarise(runs):
        group = [r for r in runs if (r.objective, r.setting) == (s.objective, s.setting)]
        row: dict[str, Any] = {"objective": s.objective, "setting": s.setting}
        for kind, factors in kinds.items():
            scores = [scores_of_factors(run, factors) for run in group]
            row[kind] = {n: float(np.mean([each[n] for each in scores])) for n in scores[0]}
        row["glasses"] = mean(lambda run: run.per_factor("informativeness")[glasses], group)
        row["mig_ceiling"] = mean(mig_ceiling, group)
        row["left_out"] = {}
        for out in names:
            scores = [scores_of_factors(run, set(names) - {out}) for run in group]
            row["left_out"][out] = {n: float(np.mean([s[n] for s in scores])) for n in LEFT_OUT}
        rows.append(row)
    return rows


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text()) if file.exists() else {}


def gpu() -> dict[str, Any]:
    """What benchmarks/gpu.py found, on the machine that it names."""
    return _read(RESULTS / "gpu.json")


def as_setting(s: Summary) -> dict[str, Any]:
    """A setting as `numbers` holds it, and the tables read it."""
    sd = s.sd if s.seeds > 1 else {}
    return {
        "objective": s.objective,
        "setting": s.setting,
        "seeds": s.seeds,
        "mean": s.mean,
        "sd": sd,
    }


def _linear(s: Summary, yardstick: dict[str, Any]) -> dict[str, Any]:
    """PCA with as many components as the models have active dimensions, and at equal nats."""
    count, rate = _size(s)
    return {
        "pca": yardstick.get("components", {}).get(str(count)),
        "linear_vae": yardstick.get("linear_vae", {}).get(_rate(rate)),
    }


def _at_its_nats(name: str, yardstick: dict[str, Any]) -> dict[str, Any]:
    """A model in the box and the linear VAE of its KL, both by mean and by sampled codes."""
    network = yardstick["networks"][name]
    return {
        "model": name,
        "setting": setting_of(shipped()[name]["recipe"]).value,
        "network": network,
        "linear_vae": yardstick["linear_vae"][_rate(network["kl"])],
    }


def _rate(kl: float) -> str:
    """Under which the yardstick has a linear VAE: its nats to one decimal."""
    return f"{round(kl, 1):g}"


def _size(s: Summary) -> tuple[int, float]:
    """How many components and how many nats the linear models beside a setting have."""
    return round(s.mean["active_01"]), round(s.mean["kl"], 1)


def _run(run: Run) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "objective": run.objective,
        "setting": run.setting,
        "seed": run.seed,
        "images": run.result["test"]["images"],
        "scored_again_from": _kept(run),
        **run.measures,
        "kl_per_dimension": run.result["kl_per_dimension"],
    }
    if "disentanglement" in run.result:
        facts["mutual_information"] = run.mutual_information.tolist()
        facts["factors"] = list(run.factors)
    return facts


def _kept(run: Run) -> str:
    """What a run's scores can be computed from once more: its codes, a model in the box or none."""
    if run.codes:
        return "codes"
    for name, facts in shipped().items():
        recipe, test = facts["recipe"], facts["test"]
        same = (*setting_of(recipe)[:2], recipe["seed"]) == (run.objective, run.setting, run.seed)
        # Weights in the box are float16: over thousands of faces that moves either by 0.05 nats.
        if same and all(abs(test[n] - run.measures[n]) < 0.1 for n in ("excess", "kl")):
            return name
    return ""


@cache
def shipped() -> dict[str, dict[str, Any]]:
    """The models in the box, and what travels with each: CelebA's first, large codes, small β."""
    models = [(name, load_pretrained(name)) for name in pretrained_names()]

    def place(pair: tuple[str, VAE]) -> tuple[str, int, float]:
        facts = pair[1].metadata
        return facts["faces"], -pair[1].config.latent_size, setting_of(facts["recipe"]).value

    return {name: model.metadata for name, model in sorted(models, key=place)}


def celeba_betas() -> dict[str, dict[str, Any]]:
    """The β-VAEs in the box that saw CelebA, which tables list by β alone."""
    return {
        name: facts
        for name, facts in shipped().items()
        if facts["faces"] == "celeba" and setting_of(facts["recipe"]).objective == "beta-vae"
    }


def _model(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    """What the file in the box measures: float16 weights, samples, what single numbers know."""
    scores, setting = load_gallery(name).scores, setting_of(facts["recipe"])
    numbers = (v.tolist() for v in (scores.probe, scores.best, scores.best_dimension))
    columns = zip(scores.names, scores.kind, *numbers, strict=True)
    keys = ("score", "probe", "best", "dimension")
    return {
        "objective": setting.objective,
        "setting": setting.value,
        "test": facts["test"],
        "samples": facts.get("samples"),
        "attributes": {row[0]: dict(zip(keys, row[1:], strict=True)) for row in columns},
    }


def measure_yardstick() -> None:
    """PCA at each setting's active dimensions, the linear VAE at its KL; on CelebA's test faces.

    The models in the box too, and linear VAEs of their KL, decoded from means and from samples.
    """
    from vae_lib.faces import open_faces
    from vae_lib.pca import measure_pca

    faces = open_faces(kind="images")
    test = faces.split("test").images
    networks = {
        name: {"kl": facts["test"]["kl"]} | network_psnr(name, test)
        for name, facts in celeba_betas().items()
    }
    sizes = [_size(s) for s in summarise(runs_of("celeba"))]
    counts = sorted({0, 10, 32, 64, 128} | {count for count, _ in sizes})
    rates = [rate for _, rate in sizes] + [round(n["kl"], 1) for n in networks.values()]
    measured = measure_pca(faces, counts, nats=rates)
    _write_json(RESULTS / "celeba" / "pca.json", measured | {"networks": networks})


def measure_densities() -> None:
    """Distances of samples from the prior and from fitted Gaussians, of CelebA's models in the box.

    Of one model of each β alone there are weights, so that the spread is that of the draws.
    """
    from vae_lib.faces import open_faces
    from vae_lib.sample_distance import density_distances

    faces = open_faces(kind="images")
    found: dict[str, Any] = {split: len(faces.split(split)) for split in ("valid", "test")}
    models = found["models"] = {}
    for name, facts in shipped().items():
        if facts["faces"] == "celeba":
            setting = setting_of(facts["recipe"])
            models[name] = {"objective": setting.objective, "setting": setting.value}
            models[name] |= density_distances(load_pretrained(name), faces)
    _write_json(RESULTS / "celeba" / "densities.json", found)


def measure_sampled() -> None:
    """MIG of posterior means, and of one sample each as Chen et al. 2018 take it, of the box."""
    from vae_lib.disentanglement import mig, silence_collapsed
    from vae_lib.faces.synthetic import FACTORS, synthetic_faces
    from vae_lib.latent import encode_images
    from vae_lib.study.sweep import METRIC_FACES, METRIC_SEED

    images, factors = synthetic_faces(METRIC_FACES, seed=METRIC_SEED)  # as the runs were scored
    discrete = [factor.binary for factor in FACTORS]
    found = {}
    for name in (BEST, WORST):
        mu, logvar = encode_images(load_pretrained(name), images)
        noise = np.random.default_rng(0).standard_normal(mu.shape)
        codes = {"means": silence_collapsed(mu, logvar), "samples": mu + np.exp(logvar / 2) * noise}
        found[name] = {kind: mig(z, factors, discrete=discrete) for kind, z in codes.items()}
    _write_json(RESULTS / "synthetic" / "sampled.json", found)


def network_psnr(name: str, images: np.ndarray) -> dict[str, float]:
    """Of faces decoded from posterior means, and from one seeded sample each, dB."""
    model = load_pretrained(name)
    generator = torch.Generator().manual_seed(0)
    decibels = []
    with torch.no_grad():
        for x in pixel_batches(images):
            mu, logvar = model.encode(x)
            noise = torch.randn(mu.shape, generator=generator)
            z = model.reparameterize(mu, logvar, noise)
            decibels.append(torch.stack([psnr(model.decode(code), x) for code in (mu, z)]))
    means, samples = torch.cat(decibels, dim=1).mean(1).tolist()
    return {"psnr": means, "psnr_sampled": samples}


def celeba_galleries() -> dict[str, Gallery]:
    """``β = 1`` and so on → the gallery of the model in the box, by β."""
    return {
        setting_of(facts["recipe"]).label: load_gallery(name)
        for name, facts in celeba_betas().items()
    }


def drawings() -> dict[str, Callable[[], Figure]]:
    """File name in results/figures → what draws it, for every figure that has its data."""
    celeba, drawn = runs_of("celeba"), runs_of("synthetic")
    linear = list(_read(RESULTS / "celeba" / "pca.json").get("linear_vae", {}).values())
    known = celeba_galleries()
    betas = [run for run in drawn if run.objective == "beta-vae"]
    found: dict[str, Callable[[], Figure]] = {
        "celeba_rate_distortion.png": lambda: figures.rate_distortion(
            [run.result for run in celeba], linear
        ),
        "celeba_kl_spectrum.png": lambda: figures.kl_spectrum([run.result for run in celeba]),
        "celeba_attributes.png": lambda: figures.score_heatmap(known),
    }
    if betas:
        dots = [{"beta": run.setting} | run.measures for run in betas]
        labels = {"psnr": "PSNR (dB)"} | {name: heading for name, (heading, _) in SCORES.items()}
        found["synthetic_rate_distortion.png"] = lambda: figures.rate_distortion(
            [run.result for run in betas]
        )
        found["synthetic_scores.png"] = lambda: figures.scores_against_beta(dots, labels)
        found["synthetic_information.png"] = lambda: _information(*best_and_worst(betas))
        found["synthetic_traversals.png"] = lambda: _traversals(best_and_worst(betas)[0])
    return found


def _information(best: Run, worst: Run) -> Figure:
    titles = {
        f"{word} MIG, {run.measures['mig']:.3f}: β = {run.setting:g}, seed {run.seed}": run
        for word, run in (("largest", best), ("smallest", worst))
    }
    return figures.mutual_information(
        {title: run.mutual_information for title, run in titles.items()},
        best.factors,
        {title: run.result["kl_per_dimension"] for title, run in titles.items()},
    )


def _traversals(best: Run) -> Figure:
    """The rows of the dimensions that count as active, each with the factors that it found."""
    kl = best.result["kl_per_dimension"]
    return figures.traversals(
        load_pretrained(BEST),
        kl,
        dimensions=best.result["test"]["active_01"],
        names=[_found(row, best.factors) for row in best.mutual_information],
    )


def _found(information: np.ndarray, factors: tuple[str, ...]) -> str:
    """The two factors that a dimension tells most about, with nats."""
    strongest = np.argsort(-information)[:2]
    return " · ".join(f"{factors[i].replace('_', ' ')} {information[i]:.2f}" for i in strongest)


def _write_json(file: Path, value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(file, text.encode())


def write_report(pca: bool = False, sampled: bool = False, densities: bool = False) -> None:
    """Write results/numbers.json, results/figures and the README's tables.

    ``pca``, ``sampled`` and ``densities`` measure again, first, what takes faces or models.
    """
    if pca:
        measure_yardstick()
    if sampled:
        measure_sampled()
    if densities:
        measure_densities()
    found = numbers()
    _write_json(RESULTS / "numbers.json", found)
    tables = readme_tables(found, gpu())
    write_atomically(README, with_tables(README.read_text(encoding="utf-8"), tables).encode())
    folder = RESULTS / "figures"
    folder.mkdir(exist_ok=True)
    for name, draw in drawings().items():
        draw().savefig(folder / name, dpi=DPI)
