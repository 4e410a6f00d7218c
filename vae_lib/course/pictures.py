"""Pictures made for a lesson: a film of a morph, and a face as somebody may photograph it."""

import base64
import cmath
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vae_lib.errors import InputError


class Animation:
    """A GIF that notebooks show by themselves; `gif` holds its bytes."""

    def __init__(self, gif: bytes) -> None:
        self.gif = gif

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"image/gif": base64.b64encode(self.gif).decode()}

    def save(self, path: str | Path) -> None:
        """Write the file."""
        Path(path).write_bytes(self.gif)


def morph(images: np.ndarray, seconds: float = 2.4, plays: int = 2, side: int = 128) -> Animation:
    """Faces one after the other, as a GIF that comes to rest.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w, 3)
        At least two frames.
    seconds : float
        How long they take together.
    plays : int
        How often they are played, at least 1. What moves for more than five seconds beside a
        text would need a button that stops it (WCAG 2.2.2).
    side : int
        Pixels along one side of the GIF.

    Raises
    ------
    InputError
        If there are fewer than two images.

    Examples
    --------
    >>> grey = np.full((1, 8, 8, 3), 128, np.uint8)
    >>> film = morph(np.concatenate([0 * grey, grey, 2 * (grey - 1)]), seconds=1.5, side=16)
    >>> with Image.open(io.BytesIO(film.gif)) as opened:
    ...     opened.size, opened.n_frames, opened.info["duration"]
    ((16, 16), 3, 500)
    """
    if len(images) < 2:
        raise InputError(f"A morph needs two images or more; found {len(images)}.")
    frames = [
        Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC) for image in images
    ]
    buffer = io.BytesIO()
    again = {} if plays == 1 else {"loop": plays - 1}  # GIF counts repetitions
    frames[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 * seconds / len(frames)),
        **again,
    )
    return Animation(buffer.getvalue())


def careless_photo(
    face: np.ndarray, points: Sequence[Sequence[float]], degrees: float = 20, zoom: float = 1.7
) -> tuple[Image.Image, list[tuple[float, float]]]:
    """A face as somebody may photograph it: larger, turned, and not in the middle.

    Parameters
    ----------
    face : ndarray of uint8, shape (h, h, 3)
        The face; beyond its border its edge goes on.
    points : sequence of pairs of float
        Points of the face, (x, y) in its pixels.
    degrees : float
        How far it is turned, clockwise.
    zoom : float
        Pixels of the photo per pixel of the face.

    Returns
    -------
    photo : PIL.Image.Image
        RGB, 4 h wide and 3 h high.
    points : list of pairs of float
        Where the points are in it, as fractions of its width and height.

    Examples
    --------
    >>> photo, ((x, y),) = careless_photo(np.zeros((64, 64, 3), np.uint8), [(32, 32)])
    >>> photo.size, round(x, 2), round(y, 2)  # the middle of the face is not the photo's
    ((256, 192), 0.58, 0.45)
    """
    side = len(face)
    width, height = 4 * side, 3 * side
    turn = zoom * cmath.exp(1j * math.radians(degrees))
    here, there = complex(side / 2, side / 2), complex(0.58 * width, 0.45 * height)
    margin = math.ceil((width + height) / zoom)  # no corner of the photo lies further away
    padded = np.pad(face, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    back = 1 / turn
    start = here - back * there + complex(margin, margin)
    photo = Image.fromarray(padded).transform(
        (width, height),
        Image.Transform.AFFINE,
        (back.real, -back.imag, start.real, back.imag, back.real, start.imag),
        Image.Resampling.BICUBIC,
    )
    moved = [there + turn * (complex(*point) - here) for point in points]
    return photo, [(point.real / width, point.imag / height) for point in moved]
