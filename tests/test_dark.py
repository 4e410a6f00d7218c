"""The dark face of a figure: the same drawing, dark paper, light ink, the same faces."""

import colorsys
import io

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.colors import to_rgb
from PIL import Image

from vae_lib import figures
from vae_lib.dark import BACKGROUND, dark_colour, darkened


def contrast(a, b) -> float:
    """As WCAG 2.1 defines it, with the transfer function that Pillow's ICC profile of sRGB has."""

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_paper_becomes_dark_and_ink_light():
    assert dark_colour("white")[:3] == pytest.approx(to_rgb(BACKGROUND))
    assert contrast(dark_colour("black")[:3], to_rgb(BACKGROUND)) > 12
    assert dark_colour("none") == "none"


@pytest.mark.parametrize("colour", [*(f"C{i}" for i in range(10)), "#440154", "#fde725", "navy"])
def test_a_colour_keeps_its_hue_and_stands_out(colour):
    *rgb, alpha = dark_colour(colour)
    assert alpha == 1
    assert contrast(rgb, to_rgb(BACKGROUND)) >= 4.49
    before, after = (colorsys.rgb_to_hls(*c)[0] for c in (to_rgb(colour), rgb))
    assert abs((after - before + 0.5) % 1 - 0.5) < 0.01


def drawn(figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB")).astype(int)


def test_faces_stay_as_they_are_and_the_gaps_between_them_become_paper():
    faces = np.random.default_rng(0).integers(100, 200, (3, 16, 16, 3)).astype(np.uint8)
    light = figures.faces_in_rows([faces[:2], faces[1:]], ["one", "two"])
    picture = darkened(light).axes[0].images[0].get_array()
    assert (picture[2:18, 2:18] == faces[0]).all()
    assert (picture[18:20] == 18).all()  # of #121212
    assert (light.axes[0].images[0].get_array()[18:20] == 255).all()


def test_the_figure_itself_is_left_as_it_is():
    history = [
        {"kind": "epoch", "epoch": e, "split": s, "excess": 10 / e, "kl": e, "psnr": e}
        for e in (1, 2)
        for s in ("train", "valid")
    ]
    figure = figures.loss_curves(history)
    before = drawn(figure)
    dark = drawn(darkened(figure))
    assert (drawn(figure) == before).all()
    assert dark.shape == before.shape
    assert np.median(before) == 255
    assert np.median(dark) == 18
    # Wherever there is ink on one, there is on the other.
    assert ((before < 250).any(-1) == (dark > 23).any(-1)).mean() > 0.99


def test_squares_with_numbers_stay_legible():
    from vae_lib.course import figures as lesson_figures

    matrix = np.array([[1, -0.1], [0.7, -1]])
    dark = darkened(lesson_figures.cosines(["a", "b"], {"t": matrix}))
    axes = dark.axes[0]
    shades = axes.images[0].to_rgba(matrix)[..., :3].reshape(-1, 3)
    for text, shade in zip(axes.texts, shades, strict=True):
        assert contrast(to_rgb(text.get_color()), shade) > 4


def test_a_notebook_keeps_the_dark_face_only_where_it_is_asked_to(monkeypatch):
    figure = figures.faces_in_rows([np.zeros((2, 8, 8, 3), np.uint8)], ["black"])
    assert figures.DARK_PNG not in DisplayFormatter().format(figure)[0]
    monkeypatch.setenv(figures.BOTH_FACES, "1")
    shown, _ = DisplayFormatter().format(figure)
    light, dark = (Image.open(io.BytesIO(shown[k])) for k in ("image/png", figures.DARK_PNG))
    assert light.size == dark.size
    assert light.convert("L").getpixel((0, 0)) == 255
    assert dark.convert("L").getpixel((0, 0)) == 18
