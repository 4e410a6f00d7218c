"""Numbers of results as tables in Markdown, for the README and for the book."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from vae_lib.config import Setting

# Measure → heading and decimals, in the order of the columns.
MEASURES = {
    "reconstruction": ("reconstruction, nats", 0),
    "excess": ("excess, nats", 1),
    "kl": ("KL, nats", 1),
    "active_01": ("active dimensions", 0),
    "psnr": ("PSNR, dB", 2),
    "ssim": ("SSIM", 3),
}
# The same for what results hold under "disentanglement".
SCORES = {
    "mig": ("MIG", 3),
    "sap": ("SAP", 3),
    "dci_disentanglement": ("DCI disentanglement", 3),
    "dci_completeness": ("DCI completeness", 3),
    "dci_informativeness": ("DCI informativeness", 3),
    "factor_vae": ("FactorVAE score", 3),
    "beta_vae": ("β-VAE score", 3),
}
BOTH_WAYS = ("psnr", "psnr_sampled")  # of faces decoded from means, and from samples
DENSITIES = ("prior", "fitted_to_means", "fitted_to_draws")  # of codes that are decoded
NOTHING_YET = "No run of this kind has been committed yet.\n"


def readme_tables(found: dict[str, Any], gpu: dict[str, Any]) -> dict[str, str]:
    """The blocks of README.md that are made here, by name."""
    return {
        "celeba": _celeba_table(found),
        "equal_nats": equal_nats(found["celeba"]),
        "synthetic": _synthetic_table(found),
        "gpu": _gpu_table(gpu),
    }


def _gpu_table(report: dict[str, Any]) -> str:
    """What benchmarks/gpu.py found, on the machine that it names."""
    checks, machine = report["checks"], report["machine"]
    at_64, at_512 = (checks[f"speed, batch {batch}"] for batch in (64, 512))
    rows = [
        [f"a training step, {name}: images/s"]
        + [f"{at[name]['images/s']:,.0f}" for at in (at_64, at_512)]
        for name in ("plain reference", "uncaptured", "captured", "compiled and captured")
    ]
    loop = at_64["captured"]["images/s of the loop, data included"]
    rows.append(["the loop, data included, captured: images/s", f"{loop:,.0f}", "–"])
    face = checks["explorer latency, ms"]["vae_celeba"]
    memory = checks["two processes"]["MiB of the GPU that one process takes, its context included"]
    said = (
        f"A step is {checks['kernels']['kernels a step']:.0f} kernels. A code becomes a face in "
        f"{face['median']:.1f} ms (95th percentile {face['p95']:.1f}). A process that trains on "
        f"16,000 faces takes {memory:,.0f} MiB of the GPU, CUDA's own share included."
    )
    headings = [f"{machine['gpu']}, PyTorch {machine['torch']}", "batch 64", "batch 512"]
    return f"{table(headings, rows)}\n{said}\n"


def _celeba_table(found: dict[str, Any]) -> str:
    samples = {
        (model["objective"], model["setting"]): model["samples"]
        for model in found["models"].values()
        if model["samples"]
    }
    names = ("excess", "kl", "active_01", "psnr", "ssim")
    headings = ["β", "seeds"] + [MEASURES[name][0] for name in names]
    headings += ["PCA, as many components, dB", "linear VAE, as many nats, dB"]
    headings += ["Fréchet distance: samples; reconstructions"]
    rows = []
    for s in found["celeba"]["settings"]:
        far = samples.get((s["objective"], s["setting"]))
        rows.append(
            [f"{s['setting']:g}", str(s["seeds"])]
            + [with_sd(s, name, MEASURES[name][1]) for name in names]
            + [f"{s[name]['psnr']:.2f}" if s[name] else "–" for name in ("pca", "linear_vae")]
            + [f"{far['prior']:.1f}; {far['reconstructions']:.1f}" if far else "–"]
        )
    far = next(iter(samples.values()))
    return (
        f"{table(headings, rows, left=0)}\nFor scale: training faces are at a Fréchet distance of "
        f"{far['train_faces']:.1f}, noise is at {far['noise']:.0f}.\n"
    )


def equal_nats(found: dict[str, Any]) -> str:
    """Models in the box beside linear VAEs of the same KL: PSNR of mean and of sampled codes."""
    if not found["equal_nats"]:
        return NOTHING_YET
    headings = ["β", "KL, nats", "network: mean codes, dB", "sampled codes, dB"]
    headings += ["linear VAE: mean codes, dB", "sampled codes, dB", "its PCA, dB"]
    rows = [
        [f"{row['setting']:g}", f"{row['network']['kl']:.1f}"]
        + [f"{row[who][how]:.2f}" for who in ("network", "linear_vae") for how in BOTH_WAYS]
        + [f"{row['linear_vae']['psnr_unshrunk']:.2f}"]
        for row in found["equal_nats"]
    ]
    return table(headings, rows, left=0)


def densities(found: dict[str, Any]) -> str:
    """Samples from the prior and from Gaussians fitted to codes, of the β-VAEs in the box."""
    measured = found["densities"]
    if not measured:
        return NOTHING_YET
    headings = ["β", "the prior", "Gaussian fitted to means", "fitted to draws", "reconstructions"]
    rows = []
    for model in measured["models"].values():
        if model["objective"] != "beta-vae":
            continue
        cells = [
            f"{np.mean(model[key]):.1f} ± {np.std(model[key], ddof=1):.1f}" for key in DENSITIES
        ]
        rows.append([f"{model['setting']:g}", *cells, f"{model['reconstructions'][0]:.1f}"])
    return table(headings, rows, left=0)


def _synthetic_table(found: dict[str, Any]) -> str:
    names = ["excess", "kl", "active_01", "psnr", "mig", "sap"]
    names += ["dci_disentanglement", "dci_informativeness", "factor_vae"]
    known = MEASURES | SCORES
    text = summary(found["synthetic"], {name: known[name] for name in names})
    return text + share_row(found["synthetic"], names)


def share_row(found: dict[str, Any], names: Iterable[str]) -> str:
    """The last row of a table of these measures: how much of their variance β explains (ω²)."""
    shares = found.get("share_of_beta")
    if not shares:
        return ""
    cells = [share_of_beta(shares[name]) if name in shares else "" for name in names]
    return _row(["*variance that β explains*", "", *cells]) + "\n"


def share_of_beta(share: dict[str, float]) -> str:
    """ω², with its interval where there is one: ``56% (34–71%)``."""
    text = f"{share['omega_squared']:.0%}"
    return f"{text} ({100 * share['low']:.0f}–{share['high']:.0%})" if "low" in share else text


def summary(found: dict[str, Any], measures: dict[str, tuple[str, int]]) -> str:
    """One row per setting, mean ± standard deviation over its seeds."""
    settings = [s for s in found["settings"] if set(measures) & set(s["mean"])]
    if not settings:
        return NOTHING_YET
    names = [name for name in measures if any(name in s["mean"] for s in settings)]
    rows = [
        [setting_of(s), str(s["seeds"])]
        + [with_sd(s, n, measures[n][1]) if n in s["mean"] else "–" for n in names]
        for s in settings
    ]
    return table(["setting", "seeds"] + [measures[name][0] for name in names], rows)


def setting_of(run: dict[str, Any]) -> str:
    return Setting(run["objective"], run["setting"]).label


def with_sd(s: dict[str, Any], name: str, decimals: int) -> str:
    """Mean ± standard deviation over the seeds of a setting, or the one value that there is."""
    text = f"{s['mean'][name]:,.{decimals}f}"
    return f"{text} ± {s['sd'][name]:,.{max(decimals, 1)}f}" if name in s["sd"] else text


def table(headings: list[str], rows: list[list[str]], left: int = 1) -> str:
    """A Markdown table whose first columns are text and whose others are numbers."""
    lines = [headings, *rows]
    lines.insert(1, ["---"] * left + ["---:"] * (len(headings) - left))
    return "\n".join(map(_row, lines)) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def with_tables(readme: str, tables: dict[str, str]) -> str:
    """The README with the blocks between ``<!-- table: name -->`` and ``<!-- end -->`` renewed."""
    for name, text in tables.items():
        pattern = rf"(<!-- table: {name} -->\n)[^<]*(<!-- end -->)"
        readme, count = re.subn(pattern, rf"\g<1>\n{text}\n\g<2>", readme)
        if count != 1:
            raise ValueError(f"README.md has {count} blocks named {name}; there is one of each.")
    return readme
