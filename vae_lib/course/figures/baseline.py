"""Figures of notebook 1: the toy model, gradients, training live, spectra, a yardstick."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from vae_lib.course.toy import ToyModel, log_normal
from vae_lib.errors import InputError
from vae_lib.figures import Picture, show_mosaic
from vae_lib.latent import decode_images, encode_images
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

    Examples
    --------
    >>> figure = toy_model(ToyModel(lambda z: z), x=1.0, mu=0.96, sigma=0.2)
    >>> [axes.get_xlabel() for axes in figure.axes]
    ['latent z', 'observed x', 'latent z']
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

    Examples
    --------
    >>> x = torch.tensor([-1.0, 0.0, 1.0])
    >>> figure = bound_and_evidence(x, log_evidence=-(x**2), bound=-(x**2) - 0.5)
    >>> figure.axes[1].lines[0].get_ydata().tolist()  # the gap
    [0.5, 0.5, 0.5]
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

    Examples
    --------
    >>> draws = torch.tensor([1.0, 3.0]).repeat(1000)
    >>> figure = gradient_estimators({"one or three": draws}, exact=2.0)
    >>> figure.axes[1].lines[0].get_ydata()[[0, 2]].tolist()  # of one draw, and of ten averaged
    [1.0, 0.0]
    """
    figure = Picture(figsize=(10, 3.4), layout="constrained")
    spread, error = figure.subplots(1, 2)
    counts = (1, 3, 10, 30, 100, 300, 1000)
    for row, (name, values) in enumerate(estimates.items()):
        drawn, colour = values.detach().double().numpy(), f"C{row}"
        low, first, third, high = np.quantile(drawn, [0.05, 0.25, 0.75, 0.95])
        spread.plot([low, high], [row, row], linewidth=2, color=colour)
        spread.plot([first, third], [row, row], linewidth=9, color=colour, solid_capstyle="butt")
        averages = [drawn[: len(drawn) // n * n].reshape(-1, n).mean(1) for n in counts]
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

    Examples
    --------
    >>> from vae_lib.faces.dataset import Faces
    >>> from vae_lib.faces.synthetic import synthetic_faces
    >>> from vae_lib.model import VAEConfig
    >>> from vae_lib.training import TrainConfig, train

    >>> images, _ = synthetic_faces(10, seed=0)
    >>> splits = np.array([0] * 8 + [1] * 2, np.uint8)
    >>> faces = Faces("ten", images, np.arange(10).astype(str), splits, np.zeros((10, 0)), ())
    >>> shape = VAEConfig(channels=(4, 4, 4, 4), latent_size=2)
    >>> config = TrainConfig(epochs=1, batch_size=8, model=shape)
    >>> live_training(train(config, faces), images[:4], floor=6000).axes[2].get_title()
    'step 1: originals above, decoded below'
    """
    if training.objective.density:
        raise InputError(
            f"Found a run of {training.config.objective}, whose reconstruction is a density's and "
            "has no floor; draw record['reconstruction'] of its history as it is."
        )
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

    Examples
    --------
    >>> kl_bars({"a": [0.5, 0.0, 2.0]}).axes[0].lines[0].get_ydata().tolist()
    [2.0, 0.5, 1e-06]
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

    Examples
    --------
    >>> wave = np.cos(2 * np.pi * 2 * np.arange(8) / 8)  # two cycles, mean square ½
    >>> frequency, power = power_by_frequency(np.tile(wave, (1, 8, 1)))
    >>> frequency.tolist(), power.round(3).tolist()
    ([1, 2, 3], [0.0, 0.5, 0.0])
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

    Examples
    --------
    >>> faces = np.zeros((1, 8, 8, 3), np.uint8)
    >>> [line.get_label() for line in spectra({"dark": faces, "bright": faces + 255}).axes[0].lines]
    ['dark', 'bright']
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

    Examples
    --------
    >>> axes = yardstick([10, 32], [17.4, 19.8], {"a VAE": 18.0}).axes[0]
    >>> [line.get_label() for line in axes.lines]
    ['PCA', 'a VAE: 18.0 dB']
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
