"""Figures that a student moves: each is one module for the browser and one small class.

They compute in the page, so they live in JupyterLab and in the book without a kernel alike. Their
traits can be set and read from Python.

>>> figure = Bound(mu=1.36, sigma=0.15)
>>> figure.peaks = "one"
"""

from pathlib import Path

import anywidget
import traitlets

from vae_lib.explorer.widget import BROWSER, join_modules

HERE = Path(__file__).parent


def script(*names: str) -> str:
    """A figure's modules as one text; each imports only from those before it.

    >>> "class Toy" in script("toy")
    True
    """
    shared = [BROWSER / "numbers.mjs", BROWSER / "dom.mjs", HERE / "figure.mjs"]
    return join_modules(shared + [HERE / f"{name}.mjs" for name in names])


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
