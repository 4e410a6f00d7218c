"""A photo with two eyes, as bytes of any kind."""

from io import BytesIO

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def portrait(width: int = 300, height: int = 400, eyes=((100, 160), (190, 150))) -> Image.Image:
    """A grey photo with two bright dots for eyes."""
    y, x = np.mgrid[:height, :width]
    light = sum(np.exp(-((x - ex) ** 2 + (y - ey) ** 2) / 40) for ex, ey in eyes)
    pixels = (60 + 190 * light.clip(0, 1)).astype(np.uint8)
    return Image.fromarray(np.repeat(pixels[..., None], 3, axis=2))
