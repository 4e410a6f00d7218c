"""A learner's own photo: read what a phone writes, then turn and crop it as CelebA's faces are."""

import math
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from vae_lib.errors import InputError
from vae_lib.faces.pictures import FORMATS, MAX_PIXELS, SIDE, to_rgb, upright

PHOTO_SIDE = 1600  # pixels, of the longer side; no photo is reduced below before eyes are marked
# Where CelebA's alignment puts the eyes: pixels (69.5, 111) and (108, 111) of its 178x218 pictures,
# whose central 148x148 become 64x64. Half a pixel leads from a pixel's index to its middle.
EYES = tuple(((x + 0.5 - 15) * SIDE / 148, (111 + 0.5 - 35) * SIDE / 148) for x in (69.5, 108.0))


def read_photo(data: bytes) -> Image.Image:
    """Open an uploaded photo: upright, RGB, white where transparent, no larger than is of use.

    A photo whose longer side has twice 1600 pixels or more is reduced to means of whole blocks, of
    the least size that leaves less than that. A page without a kernel does the same.

    Parameters
    ----------
    data : bytes
        A JPEG, PNG, WebP, BMP, TIFF or GIF, whatever its name says.

    Raises
    ------
    InputError
        If the file is empty, a HEIC, no picture, damaged, or of more than 50 million pixels.

    Examples
    --------
    >>> file = BytesIO()
    >>> Image.new("RGBA", (3, 2)).save(file, "PNG")  # nothing but transparent
    >>> photo = read_photo(file.getvalue())
    >>> photo.size, photo.getpixel((0, 0))
    ((3, 2), (255, 255, 255))
    """
    if not data:
        raise InputError("The file is empty; choose a photo.")
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"):
        raise InputError(
            "This photo is a HEIC, whatever its name says, which cannot be read here. Export it as "
            "JPEG (on an iPhone: Settings, Camera, Formats, Most Compatible) and choose that."
        )
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                image.draft("RGB", (PHOTO_SIDE, PHOTO_SIDE))  # a JPEG is then decoded smaller
            if image.width * image.height > MAX_PIXELS:
                raise InputError(
                    f"This photo has {image.width * image.height / 1e6:.0f} million pixels; at "
                    f"most {MAX_PIXELS / 1e6:.0f} million can be read. Make it smaller first."
                )
            photo = to_rgb(upright(image))
            return photo.reduce(max(1, max(photo.size) // PHOTO_SIDE))
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(
            "This file is no picture in a known format; choose a JPEG or a PNG."
        ) from None
    except Exception as error:  # on a broken file PIL may raise nearly anything
        raise InputError(
            f"This photo is damaged ({error}); copy it again or choose another one."
        ) from error


def align_photo(photo: Image.Image, eyes: Sequence[Sequence[float]]) -> np.ndarray:
    """Turn, scale and crop a photo so that its eyes lie where CelebA's do.

    Parameters
    ----------
    photo : PIL.Image.Image
        RGB.
    eyes : two pairs of float
        Where the eyes are, (x, y) as fractions of width and height, in any order.

    Returns
    -------
    ndarray of uint8, shape (64, 64, 3)
        Beyond the photo's border its edge goes on.

    Raises
    ------
    InputError
        If the eyes coincide, lie outside the photo, or leave more than half of the face outside of
        it, where it would be made up.

    Examples
    --------
    A picture that is black on the left and white on the right, the eyes level and as far from its
    middle: so is the face.

    >>> photo = Image.new("L", (200, 200))
    >>> photo.paste(255, (100, 0, 200, 200))
    >>> face = align_photo(photo.convert("RGB"), [(0.4, 0.5), (0.6, 0.5)])
    >>> face.shape, face[:, :31].max().item(), face[:, 33:].min().item()
    ((64, 64, 3), 0, 255)
    """
    left, right = sorted(
        (complex(x * photo.width, y * photo.height) for x, y in eyes), key=lambda eye: eye.real
    )
    if not all(math.isfinite(eye.real) and math.isfinite(eye.imag) for eye in (left, right)):
        raise InputError("The eyes are not two points of the photo; mark them again.")
    if not all(
        0 <= eye.real <= photo.width and 0 <= eye.imag <= photo.height for eye in (left, right)
    ):
        raise InputError("An eye lies outside the photo; mark both again.")
    if abs(right - left) < 4:
        raise InputError("The two eyes lie on one spot; mark one, then the other.")
    from_here, to_here = (complex(*eye) for eye in EYES)
    turn = (right - left) / (to_here - from_here)  # photo pixels per pixel of the face, and angle
    shift = left - turn * from_here
    across, down = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
    spots = shift + turn * (across + 1j * down)
    inside = (spots.real >= 0) & (spots.real < photo.width)
    inside &= (spots.imag >= 0) & (spots.imag < photo.height)
    if inside.mean() < 0.5:
        raise InputError(
            f"With the eyes here, only {inside.mean():.0%} of the face would lie inside the photo "
            "and the rest would be made up. Mark both pupils of one face again, or choose a photo "
            "with more room around it."
        )
    # Only what the face needs is looked at, and what is much finer than its pixels is reduced
    # first: so the work is the same wherever the eyes are and however large the photo is.
    corners = np.array([shift + turn * complex(x, y) for x in (0, SIDE) for y in (0, SIDE)])
    factor = max(1, int(abs(turn) / 4))
    reach = 2 * factor + 2
    box = (
        max(0, math.floor(corners.real.min()) - reach),
        max(0, math.floor(corners.imag.min()) - reach),
        min(photo.width, math.ceil(corners.real.max()) + reach),
        min(photo.height, math.ceil(corners.imag.max()) + reach),
    )
    part = np.asarray(photo.reduce(factor, box))
    turn, shift = turn / factor, (shift - complex(*box[:2])) / factor
    corners = (corners - complex(*box[:2])) / factor
    before = [max(0, 2 - math.floor(low)) for low in (corners.imag.min(), corners.real.min())]
    after = [
        max(0, 2 + math.ceil(high) - length)
        for high, length in zip((corners.imag.max(), corners.real.max()), part.shape, strict=False)
    ]
    beyond = [*zip(before, after, strict=True), (0, 0)]
    padded = np.pad(part, beyond, mode="edge")
    side = SIDE * max(1, math.ceil(abs(turn)))  # fine enough to lose nothing, then reduced
    fine = turn * SIDE / side
    x, y = shift.real + before[1], shift.imag + before[0]
    aligned = Image.fromarray(padded).transform(
        (side, side),
        Image.Transform.AFFINE,
        (fine.real, -fine.imag, x, fine.imag, fine.real, y),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(aligned.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
