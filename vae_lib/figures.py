"""Figures of the course. Each function returns a Matplotlib figure and shows or saves nothing."""

import io
import os
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae_lib.config import Setting, setting_of
from vae_lib.dark import darkened
from vae_lib.errors import InputError, foreign
from vae_lib.latent import decode_images, encode_images, interpolate, traverse
from vae_lib.model import VAE, unwrap
from vae_lib.pretrained.gallery import Gallery

NO_RESULTS = "These are no results of vae sweep", "Read them with vae_lib.study.read_runs"
CELL = 0.85  # inches that one face takes in a figure
VIRIDIS = colormaps["viridis"]
BOTH_FACES = "VAE_LIB_DARK_FIGURES"  # environment variable; 1: notebooks keep dark faces as well
DARK_PNG = "image/vnd.vae-lib.dark+png"  # what their outputs call them


class Picture(Figure):
    """A figure that notebooks show by themselves: no pyplot, whose backend is the user's choice."""

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, bytes]:
        """A PNG, and where the book is built, a second one for its dark pages."""
        shown = {"image/png": _png(self)}
        if os.environ.get(BOTH_FACES) == "1":
            shown[DARK_PNG] = _png(darkened(self))
        return shown


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def mosaic(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Lay images (n, h, w, 3) out in rows of ``columns`` with white gaps, as one uint8 image.

    >>> mosaic(np.zeros((3, 64, 64, 3), np.uint8), columns=2).shape  # two rows and three gaps
    (134, 134, 3)
    """
    if images.dtype != np.uint8:
        raise InputError(
            f"Found images of {images.dtype}; expected uint8, as decode_images gives them."
        )
    n, h, w, _ = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = gap + i // columns * (h + gap), gap + i % columns * (w + gap)
        sheet[y : y + h, x : x + w] = image
    return sheet


def show_mosaic(axes: Axes, images: np.ndarray, columns: int) -> None:
    """Draw a `mosaic`, and mark which of its pixels are paper, for figures on dark pages.

    >>> axes = Picture().subplots()
    >>> show_mosaic(axes, np.zeros((1, 4, 4, 3), np.uint8), columns=1)
    >>> int(axes.images[0].gaps.sum())  # a frame of 2 pixels around 4 × 4: 8 · 8 − 4 · 4
    48
    """
    picture = axes.imshow(mosaic(images, columns), interpolation="lanczos")
    vars(picture)["gaps"] = mosaic(np.zeros_like(images), columns).all(-1)


def loss_curves(history: Sequence[dict[str, Any]]) -> Figure:
    """Excess reconstruction, KL and PSNR per epoch, on training and validation faces.

    Parameters
    ----------
    history : sequence of dict
        As `vae_lib.training.Training.history` or the lines of ``history.jsonl``.

    Raises
    ------
    InputError
        If no epoch was finished yet.

    Examples
    --------
    >>> measures = {"excess": 300.0, "kl": 100.0, "psnr": 22.0}
    >>> history = [{"kind": "epoch", "split": s, "epoch": 1} | measures for s in ("train", "valid")]
    >>> [axes.lines[0].get_ydata().tolist() for axes in loss_curves(history).axes]
    [[300.0], [100.0], [22.0]]
    """
    with foreign("The history holds a line that is no record", "Read it from history.jsonl anew"):
        epochs = [record for record in history if record["kind"] == "epoch"]
    if not epochs:
        raise InputError("The history holds no finished epoch yet; train for at least one.")
    figure = Picture(figsize=(11, 3.4), layout="constrained")
    panels = (
        ("excess", "reconstruction above the\npixels' entropy (nats per image)"),
        ("kl", "KL to the prior (nats per image)"),
        ("psnr", "PSNR of the decoded mean (dB)"),
    )
    for axes, (name, label) in zip(figure.subplots(1, 3), panels, strict=True):
        for split, style in (("train", "o--"), ("valid", "s-")):
            rows = [record for record in epochs if record["split"] == split]
            axes.plot(
                [r["epoch"] for r in rows],
                [r[name] for r in rows],
                style,
                markersize=4,
                label={"train": "training faces", "valid": "validation faces"}[split],
            )
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    return figure


def faces_in_rows(
    rows: Sequence[np.ndarray], labels: Sequence[str], ticks: Sequence[str] = (), xlabel: str = ""
) -> Figure:
    """Rows of faces with a label beside each.

    Parameters
    ----------
    rows : sequence of ndarray of uint8, each of shape (n, h, w, 3)
        The same number of faces in every row.
    labels : sequence of str
        One per row.
    ticks : sequence of str
        What stands under each column, if anything.
    xlabel : str
        What the ticks mean.

    Examples
    --------
    >>> rows = [np.zeros((5, 64, 64, 3), np.uint8)] * 2
    >>> axes = faces_in_rows(rows, ["before", "after"]).axes[0]
    >>> [label.get_text() for label in axes.get_yticklabels()]
    ['before', 'after']
    """
    columns, (h, w) = len(rows[0]), rows[0].shape[1:3]
    beside = 0.2 + 0.085 * max(len(line) for label in labels for line in label.split("\n"))
    figure = Picture(figsize=(CELL * columns + beside, CELL * len(rows) + 0.5), layout="compressed")
    axes = figure.subplots()
    show_mosaic(axes, np.concatenate(rows), columns)
    axes.set_yticks([2 + h / 2 + i * (h + 2) for i in range(len(rows))], labels)
    axes.set_xticks([2 + w / 2 + i * (w + 2) for i in range(columns)] if ticks else [], ticks)
    axes.set_xlabel(xlabel)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def reconstructions(model: VAE, images: np.ndarray) -> Figure:
    """Originals above what the model makes of their posterior means.

    >>> figure = reconstructions(VAE(), np.zeros((3, 64, 64, 3), np.uint8))
    >>> figure.axes[0].images[0].get_array().shape  # 2 rows of 3 faces, gaps of 2 between
    (134, 200, 3)
    """
    decoded = decode_images(model, encode_images(model, images)[0])
    return faces_in_rows([images, decoded], ["original", "reconstruction"])


def samples(model: VAE, count: int = 48, columns: int = 12, seed: int = 0) -> Figure:
    """Decoded draws from the prior: faces of nobody.

    >>> samples(VAE(), count=4, columns=4).axes[0].images[0].get_array().shape
    (68, 266, 3)
    """
    model = unwrap(model)
    z = torch.randn(count, model.config.latent_size, generator=torch.Generator().manual_seed(seed))
    size = (CELL * columns, CELL * -(-count // columns))
    figure = Picture(figsize=size, layout="constrained")
    axes = figure.subplots()
    show_mosaic(axes, decode_images(model, z), columns)
    axes.set_axis_off()
    return figure


def interpolation(model: VAE, a: torch.Tensor, b: torch.Tensor, steps: int = 9) -> Figure:
    """The linear and the spherical way between two codes, with the length of each code.

    >>> axes = interpolation(VAE(), *(3 * torch.eye(128)[:2]), steps=3).axes[0]
    >>> [label.get_text().split()[-1] for label in axes.get_yticklabels()]  # 3 / √2, and 3
    ['2.1', '3.0']
    """
    rows, labels = [], []
    for method in ("linear", "spherical"):
        codes = interpolate(a, b, steps, method)
        lengths = codes.norm(dim=1)
        rows.append(decode_images(model, codes))
        labels.append(f"{method}\n‖z‖ ≥ {lengths.min():.1f}")
    ticks = [f"{t:.2f}" for t in np.linspace(0, 1, steps)]
    return faces_in_rows(rows, labels, ticks, "way from A to B")


def traversals(
    model: VAE,
    kl: Sequence[float],
    z: torch.Tensor | None = None,
    dimensions: int = 10,
    values: Sequence[float] = (-3, -2, -1, 0, 1, 2, 3),
    names: Sequence[str] = (),
) -> Figure:
    """One row per latent dimension, those that carry most information first.

    Parameters
    ----------
    model : VAE
        It decodes in eval mode.
    kl : sequence of float, length latent_size
        Mean KL of each dimension, nats, as `vae_lib.evaluation.Evaluation.kl_per_dimension`.
    z : Tensor, shape (latent_size,), optional
        Where the other dimensions stay; the prior's mean if not given.
    dimensions : int
        How many rows.
    values : sequence of float
        Where each dimension goes, in standard deviations of the prior.
    names : sequence of str, length latent_size
        What stands under a dimension's KL, for instance the factors that it found.

    Raises
    ------
    InputError
        If there are not as many KL values, or names, as dimensions.

    Examples
    --------
    >>> from vae_lib.model import VAEConfig
    >>> model = VAE(VAEConfig(channels=(4, 4, 4, 4), latent_size=2))
    >>> axes = traversals(model, [0.5, 2.0], values=(-1, 0, 1)).axes[0]
    >>> [label.get_text() for label in axes.get_yticklabels()]
    ['z$_{1}$  2.00 nats', 'z$_{0}$  0.50 nats']
    """
    model = unwrap(model)
    for what, found in (("KL values", kl), ("names", names or kl)):
        if len(found) != model.config.latent_size:
            raise InputError(
                f"Found {len(found)} {what} for a model of {model.config.latent_size} "
                "dimensions; use those of the same model."
            )
    z = torch.zeros(model.config.latent_size) if z is None else z
    order = np.argsort(kl)[::-1][:dimensions].tolist()
    return faces_in_rows(
        [decode_images(model, traverse(z, d, values)) for d in order],
        ["\n".join([f"z$_{{{d}}}$  {kl[d]:.2f} nats", *names[d : d + 1]]) for d in order],
        [f"{value:+g}" if value else "0" for value in values],
        "value of the dimension (standard deviations of the prior)",
    )


def colours(keys: Collection[Any]) -> dict[Any, Any]:
    """One colour for each key, from dark to light, the same for the same keys.

    >>> [round(float(green), 2) for _, green, _, _ in colours([4, 1]).values()]  # 1, then 4
    [0.0, 0.85]
    """
    return {key: VIRIDIS(0.85 * i / max(1, len(keys) - 1)) for i, key in enumerate(sorted(keys))}


def rate_distortion(
    results: Sequence[dict[str, Any]], linear: Sequence[dict[str, Any]] = ()
) -> Figure:
    """What every nat of KL buys: excess nats and PSNR of each run against its KL.

    Parameters
    ----------
    results : sequence of dict
        As `vae_lib.study.sweep.sweep` returns them; one point each, one colour for each setting,
        a line through the settings of each objective.
    linear : sequence of dict
        Linear VAEs, with ``kl`` (nats) and ``psnr`` (dB), as `vae_lib.pca.measure_pca` places
        principal components. They have no excess nats under Bernoulli pixels.

    Raises
    ------
    InputError
        If there are no results.

    Examples
    --------
    >>> runs = [
    ...     {"identity": {"beta": beta}, "test": {"kl": kl, "excess": excess, "psnr": 20.0}}
    ...     for beta, kl, excess in ((1, 109.0, 228.0), (4, 43.0, 363.0))
    ... ]
    >>> [dots.get_label() for dots in rate_distortion(runs).axes[0].collections]
    ['β = 1', 'β = 4']
    """
    if not results:
        raise InputError("There are no results to draw; run `vae sweep` first.")
    figure = Picture(figsize=(9, 3.8), layout="constrained")
    panels = (
        ("excess", "distortion: reconstruction above\nthe pixels' entropy (nats per image)"),
        ("psnr", "PSNR of the decoded mean (dB)"),
    )
    tests: dict[Setting, list[dict[str, float]]] = {}
    with foreign(*NO_RESULTS):
        for result in results:
            test = {m: float(result["test"][m]) for m in ("kl", "excess", "psnr")}
            tests.setdefault(setting_of(result), []).append(test)
    for axes, (measure, label) in zip(figure.subplots(1, 2), panels, strict=True):
        for objective in sorted({setting.objective for setting in tests}):
            of_it = [tests[s] for s in sorted(tests) if s.objective == objective]
            means = [[np.mean([t[m] for t in runs]) for m in ("kl", measure)] for runs in of_it]
            axes.plot(*np.transpose(means), color="0.75", zorder=1)
        for setting, colour in colours(list(tests)).items():
            axes.scatter(
                [test["kl"] for test in tests[setting]],
                [test[measure] for test in tests[setting]],
                color=colour,
                edgecolor="black",
                linewidth=0.5,
                label=setting.label,
                zorder=2,
            )
        axes.set(xlabel="rate: KL to the prior (nats per image)", ylabel=label)
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    if linear:
        places = sorted((point["kl"], point["psnr"]) for point in linear)
        figure.axes[1].plot(*np.transpose(places), "x:", color="0.4", label="linear VAE (PCA)")
        figure.axes[1].legend()
    return figure


def kl_spectrum(results: Sequence[dict[str, Any]], threshold: float = 0.1) -> Figure:
    """KL of each dimension, the strongest first: how many dimensions each setting keeps.

    Parameters
    ----------
    results : sequence of dict
        As `vae_lib.study.sweep.sweep` returns them, with ``kl_per_dimension`` (nats); one line
        each.
    threshold : float
        Drawn as the level above which a dimension counts as active, nats.

    Examples
    --------
    >>> runs = [{"identity": {"beta": 1}, "kl_per_dimension": [0.5, 2.0]}]
    >>> kl_spectrum(runs).axes[0].lines[0].get_ydata().tolist()  # the strongest first
    [2.0, 0.5]
    """
    if not results:
        raise InputError("There are no results to draw; run `vae sweep` first.")
    figure = Picture(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    with foreign(*NO_RESULTS):
        lines = [
            (setting_of(result), np.sort(np.array(result["kl_per_dimension"], float))[::-1])
            for result in results
        ]
    shades = colours({setting for setting, _ in lines})
    for setting, kl in lines:
        axes.semilogy(range(1, len(kl) + 1), kl.clip(1e-4), color=shades[setting], linewidth=1.2)
    for setting, colour in shades.items():
        axes.plot([], [], color=colour, label=setting.label)
    axes.axhline(threshold, color="0.4", linestyle=":", label=f"active: above {threshold:g} nats")
    axes.set(xlabel="dimension, by rank", ylabel="mean KL (nats)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=len(shades) + 1)
    return figure


def score_heatmap(galleries: dict[str, Gallery], dimensions: int = 8) -> Figure:
    """What a linear probe, the best dimension and the strongest dimensions know of attributes.

    Parameters
    ----------
    galleries : dict
        A title for each model, and its gallery; all with the same attributes.
    dimensions : int
        How many columns single dimensions get, those with most KL first.

    Examples
    --------
    >>> from vae_lib.pretrained import load_gallery
    >>> axes = score_heatmap({"β = 1": load_gallery("vae_celeba")}, dimensions=3).axes[0]
    >>> axes.images[0].get_array().shape  # probe, best, three dimensions
    (40, 5)
    """
    if len({gallery.attribute_names for gallery in galleries.values()}) != 1:
        raise InputError(
            "The galleries know different attributes; draw those of models of the same faces."
        )
    names = next(iter(galleries.values())).attribute_names
    order = np.argsort(-np.mean([gallery.scores.probe for gallery in galleries.values()], axis=0))
    figure = Picture(
        figsize=(2.6 + (0.2 * dimensions + 0.5) * len(galleries), 1.3 + 0.2 * len(names)),
        layout="constrained",
    )
    panels = figure.subplots(1, len(galleries), sharey=True, squeeze=False)[0]
    for axes, (title, gallery) in zip(panels, galleries.items(), strict=True):
        strongest = np.argsort(-gallery.kl)[:dimensions]
        table = np.column_stack(
            [gallery.scores.probe, gallery.scores.best, gallery.scores.per_dimension[:, strongest]]
        )
        low = 0.5 if gallery.scores.kind[0] == "ROC-AUC" else 0.0
        picture = axes.imshow(table[order], vmin=low, vmax=1, cmap="viridis", aspect="auto")
        ticks = ["probe", "best", *(f"z$_{{{d}}}$" for d in strongest)]
        axes.set_xticks(range(len(ticks)), ticks, rotation=90)
        axes.set_title(title)
        axes.axvline(1.5, color="white", linewidth=2)
        axes.tick_params(length=0, labelsize=9)
    panels[0].set_yticks(range(len(names)), [names[i].replace("_", " ") for i in order])
    scores = sorted({score for g in galleries.values() for score in g.scores.kind}, reverse=True)
    figure.colorbar(picture, ax=panels, label=f"{' or '.join(scores)} on test faces", shrink=0.6)
    return figure


def mutual_information(
    matrices: dict[str, np.ndarray], factors: Sequence[str], kl: dict[str, Sequence[float]]
) -> Figure:
    """Mutual information between latent dimensions and true factors, a panel for each model.

    Parameters
    ----------
    matrices : dict
        A title for each model, and its matrix (latent_size, k) in nats.
    factors : sequence of str, length k
        Names of the factors.
    kl : dict
        For each title, the mean KL of each dimension, nats, by which the rows are sorted.

    Examples
    --------
    >>> nats = {"a": np.array([[0.0, 0.1], [0.7, 0.0]])}
    >>> figure = mutual_information(nats, ["x", "y"], kl={"a": [1, 3]})
    >>> figure.axes[0].images[0].get_array().tolist()  # the dimension of most KL first
    [[0.7, 0.0], [0.0, 0.1]]
    """
    rows = max(map(len, matrices.values()))
    size = (1.2 + 3.4 * len(matrices), 1.38 + 0.22 * rows)  # inches; cells are square
    figure = Picture(figsize=size, layout="compressed")
    top = max(float(np.max(matrix)) for matrix in matrices.values())
    panels = figure.subplots(1, len(matrices), squeeze=False)[0]
    for axes, (title, matrix) in zip(panels, matrices.items(), strict=True):
        order = np.argsort(-np.asarray(kl[title]))
        picture = axes.imshow(np.asarray(matrix)[order], vmin=0, vmax=top, cmap="magma")
        axes.set_xticks(
            range(len(factors)), [name.replace("_", " ") for name in factors], rotation=90
        )
        axes.set_yticks(range(len(order)), [f"z$_{{{d}}}$" for d in order])
        axes.set_title(title, fontsize=10)
        axes.tick_params(length=0, labelsize=8)
    figure.colorbar(picture, ax=panels, label="mutual information (nats)", shrink=0.8)
    return figure


def scores_against_beta(
    runs: Sequence[dict[str, float]], measures: dict[str, str], columns: int = 3
) -> Figure:
    """Measures of many runs against β: each seed a dot, mean ± standard deviation over them.

    Parameters
    ----------
    runs : sequence of dict
        Each with ``beta`` and the measures.
    measures : dict
        Which measures to draw, and the label of each, with its unit.

    Examples
    --------
    >>> runs = [{"beta": beta, "mig": mig} for beta, mig in ((1, 0.1), (1, 0.3), (4, 0.4))]
    >>> means = scores_against_beta(runs, {"mig": "MIG"}).axes[0].lines[0]
    >>> [round(float(mean), 1) for mean in means.get_ydata()]
    [0.2, 0.4]
    """
    if not runs:
        raise InputError("There are no runs to draw; run `vae sweep` first.")
    if any(setting_of(run).objective != "beta-vae" for run in runs):
        raise InputError("Scores are drawn against β; leave runs of other objectives out.")
    rows = -(-len(measures) // columns)
    figure = Picture(figsize=(3.3 * columns, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    betas = sorted({run["beta"] for run in runs})
    for axes, (measure, label) in zip(panels, measures.items(), strict=False):
        values = [[run[measure] for run in runs if run["beta"] == beta] for beta in betas]
        axes.errorbar(
            betas,
            [np.mean(v) for v in values],
            [np.std(v, ddof=1) if len(v) > 1 else 0 for v in values],
            color="C0",
            capsize=3,
        )
        for beta, seeds in zip(betas, values, strict=True):
            axes.plot([beta] * len(seeds), seeds, "o", color="C1", markersize=3.5, alpha=0.7)
        axes.set_xscale("log", base=2)
        axes.set_xticks(betas, [f"{beta:g}" for beta in betas])
        axes.set(xlabel="β", ylabel=label)
        axes.grid(alpha=0.3)
    for axes in panels[len(measures) :]:
        axes.set_axis_off()
    return figure
