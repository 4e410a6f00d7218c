"""Figures of notebook 3: what a nat costs, and what dimensions do."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from vae_lib.figures import VIRIDIS, Picture, colours, show_mosaic
from vae_lib.latent import decode_images, traverse
from vae_lib.model import VAE


def price_of_a_nat(variances: Sequence[float], betas: Sequence[float]) -> Figure:
    """Where each β leaves the best linear VAE: on its rate–distortion curve, and dimension by
    dimension.

    A dimension of variance λ under unit Gaussian noise has the posterior variance
    v = min(1, β/λ), a rate of −½ ln v nats and a distortion of ½ λ v nats (Lucas et al. 2019,
    arXiv:1911.02469, with β for their noise variance).

    Parameters
    ----------
    variances : sequence of float
        Of the dimensions, above 0.
    betas : sequence of float
        Prices, above 0; each is drawn as a tangent of slope −β.

    Examples
    --------
    Of variances 9 and 1, β = 1 buys ½ ln 9 = 1.10 nats in the first dimension, none in the second.

    >>> price_of_a_nat([9, 1], [1]).axes[1].lines[0].get_ydata().round(2).tolist()
    [1.1, 0.0]
    """
    largest_first = np.sort(np.asarray(variances, dtype=float))[::-1]

    def traded(beta: float) -> tuple[np.ndarray, np.ndarray]:
        v = np.minimum(1, beta / largest_first)
        return -0.5 * np.log(v), 0.5 * largest_first * v

    figure = Picture(figsize=(10, 3.6), layout="constrained")
    curve, bars = figure.subplots(1, 2)
    prices = np.geomspace(min(betas) / 3, largest_first[0], 300)
    path = np.array([[part.sum() for part in traded(price)] for price in prices])
    curve.plot(*path.T, color="0.6")
    for beta, colour in colours(betas).items():
        rate, distortion = traded(beta)
        x, y = rate.sum(), distortion.sum()
        reach = min(0.2 * path[:, 0].max(), 0.3 * path[:, 1].max() / beta)
        ends = np.array([x - reach, x + reach])
        curve.plot(ends, y - beta * (ends - x), color=colour, linewidth=2, label=f"β = {beta:g}")
        curve.plot(x, y, "o", color=colour, markeredgecolor="black")
        bars.plot(np.arange(1, len(rate) + 1), rate, ".-", color=colour, label=f"β = {beta:g}")
    curve.set(xlabel="rate R (nats)", ylabel="distortion D (nats)")
    curve.set(xlim=(0, None), ylim=(0, None))  # tangents go on, rates and distortions end here
    curve.legend(title="tangents of slope −β", fontsize=9, title_fontsize=9)
    bars.set(xlabel="dimension, largest variance first", ylabel="its rate (nats)")
    bars.legend()
    for axes in (curve, bars):
        axes.grid(alpha=0.3)
    return figure


def traversals_beside(
    models: Mapping[str, VAE],
    kl: Mapping[str, Sequence[float]],
    dimensions: int = 6,
    values: Sequence[float] = (-3, -1.5, 0, 1.5, 3),
) -> Figure:
    """The strongest dimensions of several models, a panel each: row by row by rank of KL.

    Parameters
    ----------
    models : mapping of str to VAE
        By title.
    kl : mapping of str to sequence of float, length latent_size
        Mean KL of each dimension, nats, by the same titles.
    dimensions : int
        Rows of each panel.
    values : sequence of float
        Where a dimension goes, in standard deviations of the prior, the others being 0.

    Examples
    --------
    >>> from vae_lib.model import VAEConfig
    >>> model = VAE(VAEConfig(channels=(4, 4, 4, 4), latent_size=3))
    >>> axes = traversals_beside({"small": model}, {"small": [0.1, 3.0, 0.5]}, dimensions=2).axes[0]
    >>> [label.get_text().splitlines()[1] for label in axes.get_yticklabels()]
    ['3.0 nats', '0.5 nats']
    """
    figure = Picture(
        figsize=(len(models) * (0.62 * len(values) + 0.9), 0.62 * dimensions + 0.8),
        layout="constrained",
    )
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    for axes, (title, model) in zip(panels, models.items(), strict=True):
        strength, origin = np.asarray(kl[title]), torch.zeros(model.config.latent_size)
        order = np.argsort(-strength)[:dimensions].tolist()
        rows = [decode_images(model, traverse(origin, d, values)) for d in order]
        side = rows[0].shape[1] + 2  # a face and the gap after it
        show_mosaic(axes, np.concatenate(rows), len(values))
        axes.set_xticks([side * (i + 0.5) for i in range(len(values))], [f"{v:g}" for v in values])
        axes.set_yticks(
            [side * (i + 0.5) for i in range(len(order))],
            [f"z$_{{{d}}}$\n{strength[d]:.1f} nats" for d in order],
        )
        axes.set_title(title, fontsize=13)
        axes.tick_params(length=0, labelsize=11)
        axes.spines[:].set_visible(False)
    figure.supxlabel("value of the dimension (standard deviations of the prior)", fontsize=12)
    return figure


def codes_against_factor(
    codes: Mapping[str, np.ndarray], values: np.ndarray, factor: str, bins: int = 20
) -> Figure:
    """How often each value of a dimension meets each value of a factor, a panel a dimension.

    Parameters
    ----------
    codes : mapping of str to ndarray, shape (n,)
        One dimension's value for every face, by title.
    values : ndarray, shape (n,)
        The factor of the same faces.
    factor : str
        Its name.
    bins : int
        Of equal width between smallest and largest, for both.

    Examples
    --------
    >>> z = np.array([0.0, 0.0, 1.0])
    >>> figure = codes_against_factor({"z": z}, values=z, factor="yaw", bins=2)
    >>> figure.axes[0].collections[0].get_array().tolist()  # two faces below, one above
    [[2.0, 0.0], [0.0, 1.0]]
    """
    figure = Picture(figsize=(4.4 * len(codes) + 0.8, 3.8), layout="constrained")
    panels = figure.subplots(1, len(codes), squeeze=False, sharey=True)[0]
    tables = [np.histogram2d(z, values, bins=bins) for z in codes.values()]
    top = max(float(counts.max()) for counts, _, _ in tables)
    for axes, title, (counts, across, up) in zip(panels, codes, tables, strict=True):
        picture = axes.pcolormesh(across, up, counts.T, vmin=0, vmax=top, cmap="magma")
        axes.set(xlabel="value of the dimension")
        axes.set_title(title, fontsize=10)
    panels[0].set_ylabel(factor.replace("_", " "))
    figure.colorbar(picture, ax=panels, label="faces in the cell")
    return figure


def departures(predicted: Mapping[str, float], observed: Mapping[str, float], end: float) -> Figure:
    """Where factors were predicted to leave the code, and where they left.

    Parameters
    ----------
    predicted, observed : mapping of str to float
        β at which each factor leaves; in `observed` 0 for a factor that was never in the code and
        infinity for one that never left, drawn below and above what was trained.
    end : float
        The largest β that was trained.

    Examples
    --------
    >>> figure = departures({"yaw": 50, "smile": 2}, {"yaw": 64, "smile": 0}, end=128)
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['smile', 'yaw']
    """
    figure = Picture(figsize=(7.5, 0.32 * len(predicted) + 1), layout="constrained")
    axes = figure.subplots()
    below, above = 0.6, end * 1.6  # columns for what has no β
    names = sorted(predicted, key=lambda name: predicted[name])
    told = [predicted[name] for name in names]
    seen = [min(max(observed[name], below), above) for name in names]
    rows = np.arange(len(names))
    axes.hlines(rows, told, seen, color="0.6")
    axes.plot(told, rows, "o", color="C0", markerfacecolor="none", label="predicted")
    axes.plot(seen, rows, "o", color="C1", label="happened")
    for edge in ((below / 1.4, 1), (end, above * 1.4)):
        axes.axvspan(*edge, color="0.5", alpha=0.15)
    prices = {2.0**k: f"{2**k}" for k in range(int(np.log2(end)) + 1)}
    axes.set_xscale("log", base=2)
    labels = {below: "never in", **prices, above: "still in"}
    axes.set_xticks([*labels], [*labels.values()])
    axes.set_yticks(rows, [name.replace("_", " ") for name in names])
    axes.set(xlabel="β at which a factor leaves the code", xlim=(below / 1.4, above * 1.4))
    axes.minorticks_off()
    axes.legend(loc="lower right")
    return figure


def one_network(
    curves: Sequence[Sequence[Mapping[str, float]]],
    runs: Sequence[Mapping[str, float]],
    betas: Sequence[float],
    kl_per_dimension: np.ndarray,
) -> Figure:
    """One network for every β beside networks of one β each; and its dimensions as β rises.

    Parameters
    ----------
    curves : sequence of sequence of mapping
        For each seed the network's measures at rising β: ``kl`` and ``excess``, nats.
    runs : sequence of mapping
        The same of each network of one β, and its ``beta``.
    betas : sequence of float, length b
        Rising.
    kl_per_dimension : ndarray, shape (b, latent_size)
        Of one network at these β, nats.

    Examples
    --------
    >>> curve = [{"kl": 100, "excess": 220}, {"kl": 40, "excess": 350}]
    >>> kl = np.array([[2.0, 0.5], [1.0, 0.0]])
    >>> figure = one_network([curve], [{"beta": 1, "kl": 105, "excess": 235}], [1, 4], kl)
    >>> figure.axes[1].lines[0].get_ydata().tolist()  # the strongest dimension
    [2.0, 1.0]
    """
    figure = Picture(figsize=(10, 3.8), layout="constrained")
    plane, dry = figure.subplots(1, 2)
    for seed, curve in enumerate(curves):
        told = {"label": f"one network for every β, {len(curves)} seeds"} if seed == 0 else {}
        plane.plot(
            *zip(*((m["kl"], m["excess"]) for m in curve), strict=True), color="0.5", lw=1, **told
        )
    for beta, colour in colours({run["beta"] for run in runs}).items():
        same = [run for run in runs if run["beta"] == beta]
        plane.plot(
            [run["kl"] for run in same],
            [run["excess"] for run in same],
            "o",
            color=colour,
            markeredgecolor="black",
            label=f"trained for β = {beta:g}",
        )
    plane.set(xlabel="KL (nats)", ylabel="excess (nats)")
    plane.legend(fontsize=9)
    order = np.argsort(-kl_per_dimension[0])
    for rank, dimension in enumerate(order):
        dry.plot(betas, kl_per_dimension[:, dimension], color=VIRIDIS(rank / len(order)), lw=1)
    dry.set_xscale("log")
    dry.set_xticks([*betas], [f"{b:g}" for b in betas])
    dry.minorticks_off()
    dry.set(xlabel="β", ylabel="KL of each dimension (nats)", ylim=(0, None))
    for axes in (plane, dry):
        axes.grid(alpha=0.3)
    return figure
