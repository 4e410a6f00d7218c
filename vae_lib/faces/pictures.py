"""From a picture file to a face: open, turn upright, crop, resize; many at once."""

import os
import threading
import warnings
import zipfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from io import BytesIO
from typing import NamedTuple, cast

import numpy as np
from PIL import Image, UnidentifiedImageError, features
from PIL.JpegImagePlugin import JpegImageFile

from vae_lib.errors import InputError
from vae_lib.faces.verify import MAX_BYTES, is_passing, read_member

PREPROCESSING = 2  # raise it when prepare_image gives other pixels: older caches are then rebuilt
SIDE = 64
CELEBA_SIZE = (178, 218)
CELEBA_CROP = (15, 35, 163, 183)  # the central 148x148: the face with little background
MAX_PIXELS = 50_000_000
FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
SUFFIXES: tuple[str, ...] = (".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".bmp")
SUFFIXES += (".tif", ".tiff", ".gif")
if features.check("avif"):
    FORMATS, SUFFIXES = (*FORMATS, "AVIF"), (*SUFFIXES, ".avif")
CHUNK = 64  # pictures per task of the pool
LARGE = 16_000_000  # pixels, from which on one picture at a time is decoded, to save memory
_ONE_LARGE = threading.Lock()
# EXIF's orientation 2 to 8 → what turns the picture upright (TIFF 6.0, tag 274).
UPRIGHT = dict(
    enumerate(
        (
            Image.Transpose.FLIP_LEFT_RIGHT,
            Image.Transpose.ROTATE_180,
            Image.Transpose.FLIP_TOP_BOTTOM,
            Image.Transpose.TRANSPOSE,
            Image.Transpose.ROTATE_270,
            Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_90,
        ),
        2,
    )
)


class Picture(NamedTuple):
    """Where the bytes of one picture lie: in a file, or in a zip's member."""

    id: str
    path: str | zipfile.ZipInfo
    archive: zipfile.ZipFile | None = None

    def read(self) -> bytes:
        """All bytes of the picture.

        Raises
        ------
        InputError
            If the picture itself is damaged or too large.
        OSError
            If the drive does not give it.
        """
        if isinstance(self.path, zipfile.ZipInfo):
            return read_member(cast(zipfile.ZipFile, self.archive), self.path)
        with open(self.path, "rb", buffering=0) as file:
            if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
                raise InputError(f"too large: {size:,} bytes")
            return file.read()


def prepare_image(image: Image.Image) -> Image.Image:
    """Turn any picture into a 64x64 RGB face.

    CelebA's aligned 178x218 pictures lose all but their central 148x148 before they are resized,
    with the very pixels of torchvision's ``CenterCrop(148)`` and ``Resize(64)``. A 64x64 picture
    keeps its pixels. Of any other, the largest central square is resized (bilinear, antialiased).
    The EXIF orientation is obeyed first. Transparent parts turn white. Greys of more than 8 bits
    are read by their range: 0…255, 0…65535 or, of real numbers, 0…1.

    Parameters
    ----------
    image : PIL.Image.Image
        Any size and mode.

    Returns
    -------
    PIL.Image.Image
        Size (64, 64), mode ``"RGB"``.

    Raises
    ------
    InputError
        If greys lie in none of these ranges.
    """
    image = to_rgb(upright(image))
    if image.size == (SIDE, SIDE):
        return image
    if image.size == CELEBA_SIZE:
        box = CELEBA_CROP
    else:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
    # Not resize(box=…): its filter would see pixels outside the box.
    return image.crop(box).resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def upright(image: Image.Image) -> Image.Image:
    """Turn a picture as its EXIF or XMP orientation says; where that cannot be read, leave it.

    `PIL.ImageOps.exif_transpose` also writes the EXIF anew, and raises if any tag is damaged.
    """
    image.load()  # a TIFF is turned by this
    # Looking for an orientation takes a tenth of the whole time, and CelebA's files have none.
    if image.format == "JPEG" and "exif" not in image.info and "xmp" not in image.info:
        return image
    try:
        turn = UPRIGHT.get(image.getexif().get(0x0112, 1))
    except Exception:  # a damaged EXIF; PIL may raise nearly anything
        return image
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image) -> Image.Image:
    """Eight bits, three colours, white where the picture is transparent."""
    if image.mode[0] in "IF":  # PIL would clip at 255
        image = _eight_bits(image)
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        clear = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(clear)
        return white.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """A picture of one grey channel of more than 8 bits, by the range that its levels take up."""
    width, height = image.size
    tops = range(0, height, 512)  # in strips: an array of all levels may take 400 MB

    def strip(top: int) -> np.ndarray:
        return np.asarray(image.crop((0, top, width, min(height, top + 512))))

    low = float(np.min([strip(top).min() for top in tops]))
    high = float(np.max([strip(top).max() for top in tops]))
    if not 0 <= low <= high <= 65535:
        raise InputError(f"grey levels from {low:g} to {high:g}, expected 0…1, 0…255 or 0…65535")
    scale = np.float32(1)
    if high > 255:
        scale = np.float32(1 / 257)
    elif high <= 1 and low < 1 and image.mode == "F":  # a lone 1 says nothing
        scale = np.float32(255)
    grey = np.empty((height, width), np.uint8)
    for top in tops:
        grey[top : top + 512] = np.rint(strip(top) * scale)
    return Image.fromarray(grey)


def size_of(picture: Picture) -> tuple[int, int] | None:
    """Width and height as its file says; None if it cannot be read."""
    try:
        return _open_image(picture.read()).size
    except Exception:  # `decode` will say why
        return None


def decode(
    pictures: list[Picture], workers: int | None = None
) -> Iterator[list[bytes | Exception]]:
    """Prepare pictures in parallel, in order, the same bytes however many the workers.

    Threads, not processes: PIL lets go of the interpreter while it decodes and resizes, and
    threads need no ``if __name__ == "__main__"`` in a script or notebook.

    Parameters
    ----------
    pictures : list of Picture
        What to read.
    workers : int, optional
        Threads; one per core by default.

    Yields
    ------
    list of bytes or Exception
        For each picture of a chunk: 64 * 64 * 3 bytes, or why it is broken by itself.

    Raises
    ------
    InputError
        If a picture could not be read for a reason that may pass.
    """
    workers = workers or _cores()
    waiting: deque[Future[list[bytes | Exception]]] = (
        deque()
    )  # kept short, so that a slow disk does not fill the memory
    with ThreadPoolExecutor(workers) as pool, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # of odd tags in sound pictures
        for start in range(0, len(pictures), CHUNK):
            waiting.append(pool.submit(_decode_chunk, pictures[start : start + CHUNK]))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _decode_chunk(pictures: list[Picture]) -> list[bytes | Exception]:
    return [_pixels(picture) for picture in pictures]


def _pixels(picture: Picture) -> bytes | Exception:
    """The prepared face, or why it is broken by itself."""
    try:
        data = picture.read()
        try:
            return _face(data)
        except (InputError, MemoryError):
            raise
        except Exception:  # perhaps only what the camera wrote beside the pixels is damaged
            if (bare := _without_remarks(data)) is None:
                raise
            return _face(bare)
    except UnidentifiedImageError:
        return InputError("no picture in a known format")
    except Exception as error:  # on a broken file PIL may raise nearly anything
        if is_passing(error):
            why = getattr(error, "strerror", None) or "memory ran out"
            raise InputError(
                f"{picture.id} could not be read: {why}. Nothing was left out for that and "
                "nothing was kept: see to it that it can be read, or remove it, and try again."
            ) from error
        return error


def _face(data: bytes) -> bytes:
    image = _open_image(data)
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise InputError(f"{image.width}x{image.height} pixels are too many")
    with _ONE_LARGE if pixels > LARGE else nullcontext():
        return prepare_image(image).tobytes()


def _without_remarks(data: bytes) -> bytes | None:
    """A JPEG or PNG without EXIF and the like; None where there is none, or no way through."""
    kept, at = [data[:2]], 2
    try:
        if data.startswith(b"\xff\xd8"):  # segments FF, kind, length, …, until the scan begins
            while data[at + 1] != 0xDA:
                end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
                # APP14 says how the colours are coded; of the others pixels do not depend.
                if data[at] == 0xFF and not (0xE0 <= data[at + 1] <= 0xEF and data[at + 1] != 0xEE):
                    kept.append(data[at:end])
                at = end
        elif data.startswith(b"\x89PNG\r\n\x1a\n"):  # chunks length, kind, …, checksum
            kept, at = [data[:8]], 8
            while data[at + 4 : at + 8] != b"IDAT":
                if at >= len(data):
                    return None
                end = at + 12 + int.from_bytes(data[at : at + 4])
                if data[at + 4 : at + 8] in (b"IHDR", b"PLTE", b"tRNS"):
                    kept.append(data[at:end])
                at = end
        else:
            return None
    except IndexError:
        return None
    bare = b"".join([*kept, data[at:]])
    return bare if len(bare) < len(data) else None


def _open_image(data: bytes) -> Image.Image:
    file = BytesIO(data)
    # Naming the plugin saves Image.open's trials; naming the formats keeps Ghostscript out.
    return JpegImageFile(file) if data[:3] == b"\xff\xd8\xff" else Image.open(file, formats=FORMATS)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux: a container may own fewer cores than there are
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
