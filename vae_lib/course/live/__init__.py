"""Figures that a student moves: each is one module for the browser and one small class.

They compute in the page, so they live in JupyterLab and in the book without a kernel alike; only
`Epochs` is fed, by a run. Their traits can be set and read from Python.

>>> figure = Bound(mu=1.36, sigma=0.15)
>>> figure.peaks = "one"
"""

import copy
import io
import math
from collections.abc import Sequence

import anywidget
import numpy as np
import torch
import traitlets
from PIL import Image

from vae_lib.course.live.epochs import Epochs as Epochs
from vae_lib.course.live.modules import HERE as HERE
from vae_lib.course.live.modules import script as script
from vae_lib.disentanglement import factor_entropies, mutual_information
from vae_lib.disentanglement.codes import BINS, to_levels
from vae_lib.errors import InputError
from vae_lib.latent import decode_images
from vae_lib.model import VAE, in_eval_mode


class Bound(anywidget.AnyWidget):
    """The toy's posterior under a Gaussian q that is dragged, with bound and gap.

    Attributes
    ----------
    mu, sigma : float
        Of q, in [−2.6, 2.6] and [0.1, 2].
    peaks : str
        ``"two"`` for the decoder z²/2, ``"one"`` for z itself.
    x, noise : float
        What is observed, and the standard deviation around the decoder's answer: fixed.

    Examples
    --------
    >>> Bound(sigma=0.5).sigma
    0.5
    """

    _esm = script("toy", "bound")
    _css = HERE / "live.css"
    mu = traitlets.Float(0.0, min=-2.6, max=2.6).tag(sync=True, echo_update=False)
    sigma = traitlets.Float(1.0, min=0.1, max=2.0).tag(sync=True, echo_update=False)
    peaks = traitlets.Enum(["one", "two"], "two").tag(sync=True)
    x = traitlets.Float(1.0).tag(sync=True)
    noise = traitlets.Float(0.2, min=0.05).tag(sync=True)


class Gradient(anywidget.AnyWidget):
    """Noise that mu and sigma move, and what two estimators make of more and more draws.

    Attributes
    ----------
    mu, sigma : float
        Of q, in [−2, 2] and [0.05, 1].
    dimensions : int
        Independent copies of the toy: 1, 8 or 128.
    draws : int
        How many of at most 1,000 have come in.
    seed : int
        Of the noise.
    x, noise : float
        Of the toy with the decoder z²/2: fixed.

    Examples
    --------
    >>> Gradient(dimensions=128).draws
    100
    """

    _esm = script("toy", "gradient")
    _css = HERE / "live.css"
    mu = traitlets.Float(1.0, min=-2.0, max=2.0).tag(sync=True, echo_update=False)
    sigma = traitlets.Float(0.3, min=0.05, max=1.0).tag(sync=True, echo_update=False)
    dimensions = traitlets.Enum([1, 8, 128], 1).tag(sync=True)
    draws = traitlets.Int(100, min=1, max=1000).tag(sync=True, echo_update=False)
    seed = traitlets.Int(0, min=0).tag(sync=True)
    x = traitlets.Float(1.0).tag(sync=True)
    noise = traitlets.Float(0.2, min=0.05).tag(sync=True)


class Turn(anywidget.AnyWidget):
    """Two dimensions of codes, turned into each other: what each then tells of the factors.

    Parameters
    ----------
    codes : ndarray, shape (n, latent_size)
        Posterior means. At most the first 2,000 go to the page.
    factors : ndarray, shape (n, k)
        The values behind each code.
    names : sequence of str, length k
        Of the factors.
    model : VAE, optional
        Shows the first code's face, and by how much its pixels change when the code is turned and
        the decoder's first layer turned with it.

    Attributes
    ----------
    first, second : int
        The two dimensions; at first those that tell most of what they know best.
    angle : float
        Degrees, −90 to 90.
    change : float
        The largest change of a pixel at eight angles, of 255: rounding errors. 0 without a model.

    Raises
    ------
    InputError
        If there are fewer than two dimensions, or what `mutual_information` refuses.

    Examples
    --------
    >>> codes = np.random.default_rng(0).standard_normal((100, 3))
    >>> turn = Turn(codes, codes[:, :2] > 0, ["left", "up"])
    >>> turn.first, turn.second
    (0, 1)
    """

    _esm = script("turn")
    _css = HERE / "live.css"
    codes = traitlets.Bytes().tag(sync=True)
    levels = traitlets.Bytes().tag(sync=True)
    latent_size = traitlets.Int().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    first = traitlets.Int().tag(sync=True)
    second = traitlets.Int().tag(sync=True)
    angle = traitlets.Float(0.0, min=-90.0, max=90.0).tag(sync=True, echo_update=False)
    picture = traitlets.Bytes().tag(sync=True)
    change = traitlets.Float().tag(sync=True)

    def __init__(
        self, codes: np.ndarray, factors: np.ndarray, names: Sequence[str], model: VAE | None = None
    ) -> None:
        codes, factors = np.asarray(codes, np.float32)[:2000], np.asarray(factors)[:2000]
        if codes.ndim != 2 or codes.shape[1] < 2:
            raise InputError(f"Found codes of shape {codes.shape}; a turn needs two dimensions.")
        information = mutual_information(codes, factors, names=names)
        shares = information / factor_entropies(factors)
        first, second = sorted(np.argsort(-shares.max(1), kind="stable")[:2].tolist())
        levels = [to_levels(column, len(np.unique(column)) == 2, BINS) for column in factors.T]
        super().__init__(
            codes=codes.astype("<f4").tobytes(),
            levels=np.stack(levels, 1).astype(np.uint8).tobytes(),
            latent_size=codes.shape[1],
            names=list(names),
            first=first,
            second=second,
        )
        if model is not None:
            png = io.BytesIO()
            Image.fromarray(decode_images(model, codes[:1])[0]).save(png, "png")
            self.picture = png.getvalue()
            self.change = pixel_change(model, torch.from_numpy(codes[:1]), first, second)


@torch.no_grad()
def pixel_change(model: VAE, z: torch.Tensor, first: int, second: int) -> float:
    """The largest change of a pixel, of 255, when code and first layer are turned together.

    >>> from vae_lib import VAEConfig
    >>> pixel_change(VAE(VAEConfig(channels=(4, 8), latent_size=3)), torch.ones(1, 3), 0, 2) < 0.01
    True
    """
    with in_eval_mode(copy.deepcopy(model)) as turned:
        z = z.to(turned.device)
        face, weight, worst = turned.decode(z), turned.from_z.weight.clone(), 0.0
        for angle in np.linspace(0, math.pi, 9)[1:]:
            turn = torch.eye(z.shape[1], device=z.device)
            cos, sin = math.cos(angle), math.sin(angle)
            turn[[first, first, second, second], [first, second, first, second]] = torch.tensor(
                [cos, -sin, sin, cos], device=z.device
            )
            turned.from_z.weight.copy_(weight @ turn.T)
            change = (turned.decode(z @ turn.T) - face).abs().max()
            worst = max(worst, 255 * change.item())
    return worst
