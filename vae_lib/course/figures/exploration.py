"""Figures of notebook 2: fidelity, where codes lie, and what directions share."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from vae_lib.figures import Picture


def fidelity(decibels: Sequence[float], similarity: Sequence[float]) -> Figure:
    """How PSNR spreads over faces, and how far SSIM agrees with it.

    Parameters
    ----------
    decibels, similarity : sequence of float, length n
        PSNR (dB) and SSIM of each face.

    Examples
    --------
    >>> fidelity([20.0, 24.0], [0.5, 0.7]).axes[0].lines[0].get_label()
    'mean 22.0 dB'
    """
    figure = Picture(figsize=(9, 3.4), layout="constrained")
    spread, both = figure.subplots(1, 2)
    spread.hist(decibels, bins=30)
    mean = float(np.mean(decibels))
    spread.axvline(mean, color="0.3", linestyle=":", label=f"mean {mean:.1f} dB")
    spread.set(xlabel="PSNR of one face (dB)", ylabel="faces")
    spread.legend()
    both.plot(decibels, similarity, ".", markersize=3, alpha=0.6)
    both.set(xlabel="PSNR of one face (dB)", ylabel="SSIM of the same face")
    both.grid(alpha=0.3)
    return figure


def aggregate_posterior(mu: np.ndarray, logvar: np.ndarray, kl: Sequence[float]) -> Figure:
    """Where the variance of codes comes from in each dimension, and what dimensions share.

    Parameters
    ----------
    mu, logvar : ndarray, shape (n, latent_size)
        The posteriors of n faces.
    kl : sequence of float, length latent_size
        Mean KL of each dimension, nats, by which both panels are sorted, the largest first.

    Examples
    --------
    >>> mu, logvar = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.zeros((2, 2))
    >>> parts = aggregate_posterior(mu, logvar, kl=[0.5, 0.0]).axes[0]  # noise 1 in both
    >>> [float(bar.get_height()) for bar in parts.patches]
    [1.0, 0.0, 1.0, 1.0]
    """
    order = np.argsort(-np.asarray(kl))
    between, within = mu.var(0)[order], np.exp(logvar).mean(0)[order]
    covariance = np.cov(mu[:, order].T, bias=True) + np.diag(within)  # of the mixture q(z)
    spread = np.sqrt(np.diag(covariance))
    figure = Picture(figsize=(10, 3.6), layout="constrained")
    parts, shared = figure.subplots(1, 2, width_ratios=(1.5, 1))
    rank = np.arange(1, len(order) + 1)
    parts.bar(rank, between, width=1, label="of the means: where faces differ")
    parts.bar(rank, within, width=1, bottom=between, label="within posteriors: mean σ²")
    parts.axhline(1, color="0.2", linestyle=":", label="prior")
    parts.set(xlabel="latent dimension, largest KL first", ylabel="variance of z")
    parts.set_ylim(0, 1.35 * (between + within).max())
    parts.legend(loc="upper right", fontsize=9)
    together = covariance / np.outer(spread, spread)
    picture = shared.imshow(together, vmin=-0.6, vmax=0.6, cmap="RdBu_r")
    shared.set(xlabel="dimension, largest KL first", ylabel="dimension")
    figure.colorbar(picture, ax=shared, label="correlation in q(z)")
    return figure


def lengths(sets: Mapping[str, Sequence[float]], latent_size: int) -> Figure:
    """How long codes are, beside the exact density of ‖z‖ under the prior.

    Parameters
    ----------
    sets : mapping of str to sequence of float
        Lengths of codes by what they are codes of.
    latent_size : int
        d: under N(0, I) the length has a chi distribution with d degrees of freedom.

    Examples
    --------
    >>> prior = lengths({"codes": [1.0, 1.5]}, latent_size=2).axes[0].lines[0]
    >>> round(float(prior.get_xdata()[prior.get_ydata().argmax()]), 1)  # its peak: √(d − 1)
    1.0
    """
    figure = Picture(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots()
    top = max(float(np.max(values)) for values in sets.values())
    for name, values in sets.items():
        axes.hist(values, bins=40, density=True, alpha=0.55, label=name)
    r = np.linspace(1e-3, 1.05 * max(top, latent_size**0.5 + 3), 400)
    half = latent_size / 2
    log_density = (latent_size - 1) * np.log(r) - r**2 / 2 - (half - 1) * np.log(2)
    log_density -= float(torch.lgamma(torch.tensor(half, dtype=torch.float64)))
    axes.plot(r, np.exp(log_density), color="0.2", label="prior, exactly")
    axes.set(xlabel="length of the code, ‖z‖", ylabel="density", xlim=(0, r[-1]))
    axes.legend()
    return figure


def cosines(
    names: Sequence[str], panels: Mapping[str, np.ndarray], ticks: Sequence[Sequence[str]] = ()
) -> Figure:
    """Cosines between directions, written into the squares of one or more matrices.

    Parameters
    ----------
    names : sequence of str, length k
        Of the first panel's directions.
    panels : mapping of str to ndarray, each of shape (k, k)
        Cosines by title.
    ticks : sequence of sequences of str
        Names for each further panel, where they differ from the first's.

    Examples
    --------
    >>> axes = cosines(["hat", "smile"], {"labels": np.array([[1.0, -0.2], [-0.2, 1.0]])}).axes[0]
    >>> [text.get_text() for text in axes.texts]
    ['1.0', '−0.2', '−0.2', '1.0']
    """
    sizes = [len(matrix) for matrix in panels.values()]
    figure = Picture(
        figsize=(0.44 * sum(sizes) + 1.9 * len(sizes) + 0.6, 0.36 * max(sizes) + 1.9),
        layout="constrained",
    )
    axes_row = figure.subplots(1, len(sizes), squeeze=False, width_ratios=sizes)[0]
    for number, (axes, (title, matrix)) in enumerate(zip(axes_row, panels.items(), strict=True)):
        labels = names if number == 0 or not ticks else ticks[number - 1]
        labels = [label.replace("_", " ") for label in labels]
        picture = axes.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r", aspect="auto")
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if abs(value) > 0.6 else "black"
            text = f"{value:.1f}".replace("-0.0", "0.0").replace("-", "−")
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
        axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=8)
        axes.set_yticks(range(len(labels)), labels, fontsize=8)
        axes.tick_params(length=0)
        axes.set_title(title, fontsize=10)
    figure.colorbar(picture, ax=axes_row, label="cosine", shrink=0.7)
    return figure
