"""Figures that one lesson needs once: the toy model, gradients, training live, spectra, collapse.

Like `vae_lib.figures`, each function returns a Matplotlib figure and shows or saves nothing.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from vae_lib.course.toy import ToyModel, log_normal
from vae_lib.errors import InputError
from vae_lib.figures import Picture, colours, show_mosaic
from vae_lib.latent import decode_images, encode_images, traverse
from vae_lib.model import VAE
from vae_lib.training import Training


def toy_model(model: ToyModel, x: float, mu: float, sigma: float) -> Figure:
    """The toy's decoder, the p(x) that it makes, and the posterior of one x beside q(z).

    Parameters
    ----------
    model : ToyModel
        The model.
    x : float
        The observation whose posterior is shown.
    mu, sigma : float
        The encoder's Gaussian for that observation.
    """
    z = torch.linspace(-3.5, 3.5, 701, dtype=torch.float64)
    middle = model.decode(z)
    low, high = float(middle.min()) - 0.6, min(float(middle.max()), 4.0) + 0.6
    figure = Picture(figsize=(11, 3.4), layout="constrained")
    decoder, evidence, posterior = figure.subplots(1, 3)
    decoder.plot(z, middle, label="decoder's mean")
    decoder.fill_between(
        z, middle - 2 * model.noise, middle + 2 * model.noise, alpha=0.2, label="± 2 sd of p(x | z)"
    )
    decoder.axhline(x, color="0.4", linestyle=":", label=f"x = {x:g}")
    decoder.set(xlabel="latent z", ylabel="observed x", ylim=(low, high))
    decoder.legend(loc="upper center")
    xs = torch.linspace(low, high, 300, dtype=torch.float64)
    evidence.plot(xs, model.log_evidence(xs).exp())
    evidence.axvline(x, color="0.4", linestyle=":")
    evidence.set(xlabel="observed x", ylabel="p(x)")
    posterior.plot(z, model.posterior(x, z), label=f"true p(z | x = {x:g})")
    q = log_normal(z, mu, sigma).exp()
    posterior.plot(z, q, "--", label=f"q(z): mean {mu:.2f}, sd {sigma:.2f}")
    posterior.plot(z, log_normal(z, 0.0, 1.0).exp(), ":", color="0.4", label="prior p(z)")
    posterior.set(xlabel="latent z", ylabel="density")
    posterior.set_ylim(0, 1.45 * float(q.max()))
    posterior.legend(loc="upper center")
    return figure


def bound_and_evidence(xs: Tensor, log_evidence: Tensor, bound: Tensor) -> Figure:
    """log p(x) with the bound beneath it, and the gap between the two, nats.

    Parameters
    ----------
    xs, log_evidence, bound : Tensor, shape (n,)
        Observations; their true log-likelihoods and bounds, nats.
    """
    figure = Picture(figsize=(9, 3.4), layout="constrained")
    both, gap = figure.subplots(1, 2)
    both.plot(xs, log_evidence, label="log p(x)")
    both.plot(xs, bound.detach(), "--", label="best bound with a Gaussian q")
    both.set(xlabel="observed x", ylabel="nats")
    both.legend()
    gap.plot(xs, log_evidence - bound.detach(), color="C2")
    gap.axhline(np.log(2), color="0.4", linestyle=":", label="ln 2 ≈ 0.69")
    gap.set(xlabel="observed x", ylabel="gap (nats)")
    gap.set_ylim(bottom=0)
    gap.legend()
    return figure


def gradient_estimators(estimates: Mapping[str, Tensor], exact: float) -> Figure:
    """How single draws of gradient estimators scatter, and how far off their averages are.

    Parameters
    ----------
    estimates : mapping of str to Tensor, shape (n,)
        Single-draw estimates by the estimator's name, n ≥ 2,000.
    exact : float
        The gradient itself.
    """
    figure = Picture(figsize=(10, 3.4), layout="constrained")
    spread, error = figure.subplots(1, 2)
    counts = (1, 3, 10, 30, 100, 300, 1000)
    for row, (name, values) in enumerate(estimates.items()):
        values, colour = values.detach().double().numpy(), f"C{row}"
        low, first, third, high = np.quantile(values, [0.05, 0.25, 0.75, 0.95])
        spread.plot([low, high], [row, row], linewidth=2, color=colour)
        spread.plot([first, third], [row, row], linewidth=9, color=colour, solid_capstyle="butt")
        averages = [values[: len(values) // n * n].reshape(-1, n).mean(1) for n in counts]
        off = [np.sqrt(np.square(a - exact).mean()) for a in averages]
        error.loglog(counts, off, "o-", markersize=4, label=name, color=colour)
    spread.axvline(exact, color="0.3", linestyle=":", label="exact gradient")
    spread.set_xscale("symlog", linthresh=10)
    spread.set_yticks(range(len(estimates)), [*estimates])
    spread.set(ylim=(len(estimates) - 0.4, -0.9))
    spread.set(xlabel="estimate from one draw (bar 50 %, line 90 %)")
    spread.legend(loc="upper left")
    error.set(xlabel="draws averaged (colours as on the left)", ylabel="error of the average (rms)")
    error.grid(alpha=0.3, which="both")
    return figure


def live_training(training: Training, images: np.ndarray, floor: float) -> Figure:
    """A training run as it stands: both parts of the loss per step, and what faces look like.

    Parameters
    ----------
    training : Training
        What a callback of `vae_lib.training.train` is given.
    images : ndarray of uint8, shape (n, h, w, 3)
        Held-out faces to reconstruct.
    floor : float
        The pixels' own entropy, nats per image; reconstruction is drawn above it.
    """
    steps = [record for record in training.history if record["kind"] == "step"]
    number = [record["step"] for record in steps]
    decoded = decode_images(training.model, encode_images(training.model, images)[0])
    figure = Picture(figsize=(11, 3.4), layout="constrained")
    reconstruction, kl, faces = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
    excess = [record["reconstruction"] - floor for record in steps]
    reconstruction.semilogy(number, excess, linewidth=1)
    reconstruction.set(ylabel="reconstruction above\nthe floor (nats per image)")
    axis = reconstruction.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:.0f}")
    axis.set_minor_formatter(NullFormatter())
    kl.plot(number, [record["kl"] for record in steps], linewidth=1, color="C1")
    kl.set(ylabel="KL (nats per image)")
    for axes in (reconstruction, kl):
        axes.set(xlabel="step", xlim=(0, training.config.epochs * training.steps_per_epoch))
        axes.grid(alpha=0.3)
    columns = len(images) // 2
    upper, lower = slice(columns), slice(columns, 2 * columns)
    rows = [images[upper], decoded[upper], images[lower], decoded[lower]]
    show_mosaic(faces, np.concatenate(rows), columns)
    faces.set_axis_off()
    faces.set_title(f"step {training.step}: originals above, decoded below", fontsize=9)
    return figure


def kl_bars(kl: Mapping[str, Sequence[float]]) -> Figure:
    """Each model's KL per dimension, sorted, on a logarithmic scale, with the 0.1-nat line.

    Parameters
    ----------
    kl : mapping of str to sequence of float
        Mean KL of each latent dimension, nats, by the model's name.
    """
    figure = Picture(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, values in kl.items():
        ordered = np.sort(np.asarray(values, dtype=float))[::-1]
        shown = np.maximum(ordered, 1e-6)  # a logarithmic axis has no room for 0
        axes.semilogy(np.arange(1, len(shown) + 1), shown, ".-", markersize=4, label=name)
    axes.axhline(0.1, color="0.4", linestyle=":", label="0.1 nat")
    axes.set(xlabel="latent dimension, largest first", ylabel="mean KL (nats)")
    axes.legend()
    return figure


def power_by_frequency(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean power spectrum of grey images, summed over each ring of spatial frequency.

    Parameters
    ----------
    images : ndarray, shape (n, h, h, 3) or (n, h, h)
        On any scale; the power is that scale's, squared. Differences of images are welcome.

    Returns
    -------
    frequency : ndarray, shape (h / 2 − 1,)
        Cycles per image, from 1.
    power : ndarray, same shape
        By Parseval's theorem the rings, with the mean and the corners of the spectrum, add up to
        the mean square of a pixel.
    """
    grey = np.asarray(images, dtype=np.float64)
    grey = grey.mean(-1) if grey.ndim == 4 else grey
    size = grey.shape[-1]
    if grey.ndim != 3 or grey.shape[1] != size:
        raise InputError(f"Found images of shape {np.shape(images)}; the spectrum wants squares.")
    power = np.square(np.abs(np.fft.fft2(grey) / size**2)).mean(0)
    cycles = np.fft.fftfreq(size, 1 / size)
    ring = np.hypot(*np.meshgrid(cycles, cycles)).round().astype(int)
    total = np.bincount(ring.ravel(), power.ravel())
    frequency = np.arange(1, size // 2)
    return frequency, total[frequency]


def spectra(images: Mapping[str, np.ndarray]) -> Figure:
    """Power at each spatial frequency for several sets of images, on logarithmic axes.

    Parameters
    ----------
    images : mapping of str to ndarray of uint8, each of shape (n, h, h, 3)
        Sets of images, or of differences, by name.
    """
    figure = Picture(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, pictures in images.items():
        axes.loglog(*power_by_frequency(np.asarray(pictures, dtype=float) / 255), label=name)
    axes.set(xlabel="spatial frequency (cycles per image)", ylabel="power (grey level²)")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    return figure


def yardstick(
    components: Sequence[int], pca: Sequence[float], models: Mapping[str, float]
) -> Figure:
    """PSNR of PCA against its number of components, with models as horizontal lines.

    Parameters
    ----------
    components : sequence of int
        Numbers of principal components.
    pca : sequence of float
        PSNR with each of them, dB.
    models : mapping of str to float
        PSNR of models by name, dB.
    """
    figure = Picture(figsize=(7, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(components, pca, "o-", markersize=4, color="0.3", label="PCA")
    for number, (name, value) in enumerate(models.items()):
        axes.axhline(value, color=f"C{number}", linestyle="--", label=f"{name}: {value:.1f} dB")
    axes.set_xticks(components, [str(count) for count in components])
    axes.minorticks_off()
    axes.set(xlabel="principal components", ylabel="PSNR on held-out faces (dB)")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def fidelity(decibels: Sequence[float], similarity: Sequence[float]) -> Figure:
    """How PSNR spreads over faces, and how far SSIM agrees with it.

    Parameters
    ----------
    decibels, similarity : sequence of float, length n
        PSNR (dB) and SSIM of each face.
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
    """
    variances = np.sort(np.asarray(variances, dtype=float))[::-1]

    def traded(beta: float) -> tuple[np.ndarray, np.ndarray]:
        v = np.minimum(1, beta / variances)
        return -0.5 * np.log(v), 0.5 * variances * v

    figure = Picture(figsize=(10, 3.6), layout="constrained")
    curve, bars = figure.subplots(1, 2)
    prices = np.geomspace(min(betas) / 3, variances[0], 300)
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
