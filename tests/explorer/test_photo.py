"""A learner's own photo: what is read, turned and cropped, and what is refused."""

import math
import time
import tracemalloc

import numpy as np
import pytest
from photos import encoded, portrait
from PIL import Image

from vae_lib.errors import InputError
from vae_lib.explorer import PHOTO_SIDE, align_photo, read_photo


def test_alignment_keeps_what_is_aligned_already():
    """CelebA's own framing: a 178x218 picture, its eyes where CelebA has them, is only cropped."""
    y, x = np.mgrid[:218, :178]
    pixels = np.stack([x, y, (x + y) / 2], -1).astype(np.uint8)
    eyes = [[70 / 178, 111.5 / 218], [108.5 / 178, 111.5 / 218]]
    found = align_photo(Image.fromarray(pixels), eyes)
    box = (15, 35, 163, 183)
    expected = Image.fromarray(pixels).crop(box).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.abs(found.astype(int) - np.asarray(expected)).max() <= 2


def test_beyond_the_border_the_edge_goes_on():
    found = align_photo(portrait(), [[0.1, 0.3], [0.4, 0.25]])
    assert found.shape == (64, 64, 3)
    assert found.min() >= 55  # no black corners


def test_two_clicks_anywhere_cost_little_or_are_answered_with_a_sentence():
    photo = read_photo(encoded(portrait(1600, 1600), "JPEG"))
    places = [0.0, 0.02, 0.3, 0.5, 0.7, 0.98, 1.0]
    spots = [(x, y) for x in places for y in places]
    pairs = [(a, b) for a in spots[::3] for b in spots[1::4]]
    tracemalloc.start()
    slowest, refused = 0.0, []
    for eyes in [*pairs, ((0, 0), (1, 1)), ((0, 1), (1, 0)), ((0.5, 0.5), (0.503, 0.5))]:
        begun = time.perf_counter()
        try:
            assert align_photo(photo, eyes).shape == (64, 64, 3)
        except InputError as error:
            refused.append(str(error))
        slowest = max(slowest, time.perf_counter() - begun)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 100e6
    assert slowest < 1
    assert 0 < len(refused) < len(pairs)
    assert all("mark" in sentence.lower() for sentence in refused)


def test_a_picture_that_would_be_mostly_made_up_is_refused():
    photo = portrait(1600, 1600)
    with pytest.raises(InputError, match="made up"):
        align_photo(photo, [[0, 0], [1, 0]])
    with pytest.raises(InputError, match="28% of the face"):
        align_photo(photo, [[0.25, 0.5], [0.75, 0.5]])


@pytest.mark.parametrize(
    "eyes",
    [[[0.5, 0.5], [0.5, 0.5]], [[-1, 0.5], [0.5, 0.5]], [[math.nan, 0.5], [0.5, 0.5]]],
)
def test_eyes_that_cannot_be_are_refused(eyes):
    with pytest.raises(InputError, match="mark"):
        align_photo(portrait(), eyes)


def test_a_sideways_photo_is_turned_upright():
    lying = portrait().transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # what a phone writes: turn by 90° clockwise to see it upright
    found = read_photo(encoded(lying, "JPEG", exif=exif, quality=95))
    assert found.size == (300, 400)
    assert np.abs(np.asarray(found).astype(int) - np.asarray(portrait())).mean() < 3


def test_a_photo_with_a_damaged_exif_is_read_all_the_same():
    exif = Image.Exif()
    exif[0x010F], exif[0x011A] = "a camera", 72.0
    exif.get_ifd(0x8769)[0x829A] = 0.01
    whole, tags = encoded(portrait(), "JPEG", exif=exif), exif.tobytes()
    start = whole.index(tags[6:20])
    for at in range(start, start + len(tags) - 6):
        assert read_photo(whole[:at] + b"\xfe" + whole[at + 1 :]).size == (300, 400)


def test_transparent_parts_turn_white():
    photo = portrait().convert("RGBA")
    photo.putalpha(Image.new("L", photo.size, 0))
    assert np.asarray(read_photo(encoded(photo, "PNG"))).min() == 255


def test_fifty_megapixels_of_jpeg_are_read_small():
    data = encoded(Image.new("RGB", (8200, 6200), "teal"), "JPEG", quality=50)
    found = read_photo(data)
    assert max(found.size) < 2 * PHOTO_SIDE
    assert abs(found.width / found.height - 8200 / 6200) < 0.01
