"""A figure's dark face: the same drawing, for a page whose background is dark.

Colours keep their hue and gain light where they would drown; black, grey and white change places;
faces stay as they are.
"""

import pickle
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.cm import ScalarMappable
from matplotlib.collections import Collection
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

BACKGROUND = "#121212"  # of the book's dark pages
INK = 0.9  # what black becomes
CONTRAST = 4.5  # of every colour against the background, enough for small letters (WCAG 1.4.3)
MAPS = {"RdBu_r": "berlin"}  # maps whose middle is white → their like with a dark middle


def darkened(figure: Figure) -> Figure:
    """A copy of a figure, as a dark page shows it.

    Parameters
    ----------
    figure : Figure
        Is left as it is. Pictures in it may have an attribute ``gaps``, a mask of the pixels that
        are paper.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> figure = Figure()
    >>> line = figure.subplots().plot([1, 2], color="black")
    >>> darkened(figure).axes[0].lines[0].get_color()[:3], figure.axes[0].lines[0].get_color()
    ((0.9, 0.9, 0.9), 'black')
    """
    figure = pickle.loads(pickle.dumps(figure))
    for artist in dict.fromkeys(figure.findobj()):  # once each: a second time would undo the first
        _darken(artist)
    return figure


def dark_colour(colour: Any) -> tuple[float, float, float, float] | str:
    """What a colour becomes on a dark page: RGBA in [0, 1], or ``none`` for what is not drawn.

    Parameters
    ----------
    colour
        Anything that Matplotlib takes for a colour.

    Examples
    --------
    >>> dark_colour("black"), dark_colour("none")
    ((0.9, 0.9, 0.9, 1.0), 'none')
    >>> white = dark_colour("white")  # the page's #121212
    >>> [round(255 * part) for part in white[:3]]
    [18, 18, 18]
    """
    *rgb, alpha = to_rgba(colour)
    if alpha == 0:
        return "none"
    paper = to_rgb(BACKGROUND)
    if max(rgb) - min(rgb) < 0.1:
        white = sum(rgb) / 3
        red, green, blue = (INK + white * (p - INK) for p in paper)
        return red, green, blue, alpha
    light = np.array(rgb)
    while _luminance(light) + 0.05 < CONTRAST * (_luminance(np.array(paper)) + 0.05):
        light = light + 0.05 * (1 - light)
    red, green, blue = light.tolist()
    return red, green, blue, alpha


def _luminance(rgb: np.ndarray) -> float:
    """Relative luminance, as WCAG defines it."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _darken(artist: Artist) -> None:
    if isinstance(artist, ScalarMappable) and artist.get_array() is not None:
        artist.set_cmap(MAPS.get(artist.get_cmap().name, artist.get_cmap()))
        gaps = getattr(artist, "gaps", None)
        if isinstance(artist, AxesImage) and gaps is not None:
            paper = np.round(255 * np.array(to_rgb(BACKGROUND))).astype(np.uint8)
            artist.set_data(np.where(gaps[..., None], paper, artist.get_array()))
    elif isinstance(artist, Line2D):
        face, edge = artist.get_markerfacecolor(), artist.get_markeredgecolor()
        artist.set_color(dark_colour(artist.get_color()))
        artist.set_markerfacecolor(dark_colour(face))
        artist.set_markeredgecolor(dark_colour(edge))
    elif isinstance(artist, Text):
        artist.set_color(dark_colour(artist.get_color()))
    elif isinstance(artist, Patch):
        face, edge = artist.get_facecolor(), artist.get_edgecolor()
        artist.set(facecolor=dark_colour(face), edgecolor=dark_colour(edge))
    elif isinstance(artist, Collection):
        faces, edges = artist.get_facecolor(), artist.get_edgecolor()
        artist.set_facecolor([dark_colour(c) for c in faces])
        artist.set_edgecolor([dark_colour(c) for c in edges])
