"""Synthetic faces: every factor does its own work, where it should, smoothly and repeatably."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vae_lib.errors import InputError
from vae_lib.faces import open_faces, synthetic
from vae_lib.faces.opening import OLDER_KEYS
from vae_lib.faces.synthetic import FACTORS, Proportions, draw_factors, render, synthetic_faces

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


NAMES = [factor.name for factor in FACTORS]
PLAIN = {
    "yaw": 0,
    "pitch": 0,
    "light": 20,
    "skin_tone": 0.4,
    "hair_colour": 0.3,
    "hair_length": 0.3,
    "face_width": 1,
    "smile": 0.3,
    "mouth_opening": 0.3,
    "eye_opening": 0.7,
    "brow_height": 0.4,
    "background_hue": 200,
    "glasses": 0,
}


def face(**changes: float) -> np.ndarray:
    return np.array([{**PLAIN, **changes}[name] for name in NAMES], np.float32)


def difference(**changes: float) -> np.ndarray:
    """Largest change of grey level per pixel, (64, 64), from the plain face."""
    pair = render(np.stack([face(), face(**changes)])).astype(int)
    return np.abs(pair[0] - pair[1]).max(-1)


def sweep(factor, steps: int) -> np.ndarray:
    rows = [face(**{factor.name: value}) for value in np.linspace(factor.low, factor.high, steps)]
    return render(np.stack(rows)).astype(float)


def test_twelve_ordinary_factors_and_glasses():
    assert len(NAMES) == len(set(NAMES)) == 13
    assert [factor.name for factor in FACTORS if factor.binary] == ["glasses"]
    assert all(factor.low < factor.high and factor.meaning for factor in FACTORS)


@pytest.mark.parametrize("factor", FACTORS, ids=NAMES)
def test_a_factor_changes_the_picture(factor):
    first, last = sweep(factor, 2)
    changed = np.abs(first - last).max(-1) > 20
    assert changed.sum() > 20


@pytest.mark.parametrize("factor", [f for f in FACTORS if not f.binary], ids=NAMES[:-1])
def test_a_small_step_makes_a_small_change(factor):
    pictures = sweep(factor, 61)
    steps = np.abs(np.diff(pictures, axis=0)).mean((1, 2, 3))
    whole = np.abs(pictures[-1] - pictures[0]).mean()
    assert steps.max() < 0.15 * whole + 0.1
    assert steps.max() < 4 * np.median(steps) + 0.1
    assert np.abs(np.diff(pictures, axis=0)).max() < 150


# Rows count from the top: hairline about 17, eyes 32, nose tip 42, mouth 50, chin 60.
UNTOUCHED = {
    "background_hue, within the head": ({"background_hue": 20}, np.s_[6:52, 24:40]),
    "eye_opening, below the nose": ({"eye_opening": 0}, np.s_[45:]),
    "eye_opening, above the brows": ({"eye_opening": 0}, np.s_[:22]),
    "hair_colour, around the mouth": ({"hair_colour": 1}, np.s_[42:58, 22:42]),
    "brow_height, below the eyes": ({"brow_height": 1}, np.s_[36:]),
    "smile, above the eyes": ({"smile": 1}, np.s_[:28]),
    "mouth_opening, above the eyes": ({"mouth_opening": 1}, np.s_[:28]),
    "glasses, above the brows": ({"glasses": 1}, np.s_[:20]),
    "glasses, below the nose": ({"glasses": 1}, np.s_[44:]),
    "skin_tone, in the background": ({"skin_tone": 1}, np.s_[:50, :6]),
    "hair_length, on the face": ({"hair_length": 0.6}, np.s_[24:58, 24:40]),
}


@pytest.mark.parametrize(("changes", "region"), UNTOUCHED.values(), ids=UNTOUCHED)
def test_a_factor_leaves_the_rest_alone(changes, region):
    change = difference(**changes)
    assert change.max() > 20
    assert change[region].max() <= 1


def test_mirrored_factors_give_the_mirrored_picture():
    factors = synthetic_faces(32, seed=3)[1]
    mirrored = factors * np.where(np.isin(NAMES, ["yaw", "light"]), -1, 1).astype(np.float32)
    change = np.abs(render(factors)[:, :, ::-1].astype(int) - render(mirrored))
    assert change.max() <= 2


def test_turning_the_head_takes_the_mouth_along():
    poses = [face(yaw=yaw, mouth_opening=gap) for yaw in (-30, 0, 30) for gap in (0, 1)]
    pictures = render(np.stack(poses)).astype(float)
    change = (np.abs(pictures[1::2] - pictures[::2]).max(-1) > 60).sum(1)
    left, middle, right = (change * np.arange(64)).sum(1) / change.sum(1)
    assert abs(middle - 31.5) < 0.2
    assert left < middle - 2
    assert right > middle + 2


def test_the_lamp_brightens_its_own_side():
    left, right = render(np.stack([face(light=-60), face(light=60)])).astype(float)
    for picture, side in ((left, -1), (right, 1)):
        cheeks = picture[36:46, 17:25].mean(), picture[36:46, 39:47].mean()
        assert side * (cheeks[1] - cheeks[0]) > 25


def test_skin_darkens_evenly():
    tones = [face(skin_tone=tone, light=0) for tone in np.linspace(0, 1, 9)]
    lightness = render(np.stack(tones))[:, 36:44, 20:25].mean((1, 2, 3))
    steps = -np.diff(lightness)
    assert steps.min() > 5
    assert steps.max() < 45


def test_factors_are_independent_uniform_and_within_range():
    factors = draw_factors(5000, seed=0)
    correlation = np.corrcoef(factors.T) - np.eye(len(NAMES))
    assert np.abs(correlation).max() < 0.05
    for values, factor in zip(factors.T, FACTORS, strict=True):
        assert factor.low <= values.min()
        assert values.max() <= factor.high
        assert abs(values.mean() - (factor.low + factor.high) / 2) < 0.03 * (
            factor.high - factor.low
        )
    assert set(factors[:, NAMES.index("glasses")]) == {0, 1}


def test_the_same_seed_gives_the_same_faces_and_more_of_them_when_asked():
    images, factors = synthetic_faces(40, seed=5)
    again, same = synthetic_faces(21, seed=5)
    assert images.shape == (40, 64, 64, 3)
    assert images.dtype == np.uint8
    assert factors.shape == (40, 13)
    assert factors.dtype == np.float32
    np.testing.assert_array_equal(factors[:21], same)
    assert np.abs(images[:21].astype(int) - again).max() <= 1
    assert (synthetic_faces(4, seed=6)[1] != factors[:4]).any()


def test_a_face_is_the_same_alone_and_among_others():
    images, factors = synthetic_faces(20, seed=2)
    for image, row in zip(images, factors, strict=True):
        alone = render(row)
        assert alone.shape == (64, 64, 3)
        assert np.abs(alone.astype(int) - image).max() <= 1
    backwards = render(factors[::-1])[::-1].astype(int)
    assert np.abs(backwards - images).max() <= 1


def test_no_part_is_cut_off_by_the_window_it_is_drawn_in(monkeypatch):
    """Heads turned and widened to their limits look the same when drawn on larger windows."""
    turns = itertools.product((-35, 35), (-15, 15), (0.85, 1.15), (0, 1))
    factors = draw_factors(16, seed=9)
    factors[:, -1] = 1
    columns = [NAMES.index(name) for name in ("yaw", "pitch", "face_width", "mouth_opening")]
    factors[:, columns] = list(turns)
    pictures = render(factors).astype(int)
    monkeypatch.setattr(synthetic, "BODY", synthetic.Window(30, 64))
    monkeypatch.setattr(synthetic, "HEAD", synthetic.Window(0, 64))
    monkeypatch.setattr(synthetic, "NOSE", synthetic.Window(10, 62, 6, 58))
    monkeypatch.setattr(synthetic, "LENSES", synthetic.Window(0, 64))
    monkeypatch.setattr(synthetic, "EYES", slice(0, 64))
    monkeypatch.setattr(synthetic, "MOUTH_ROWS", slice(30, 64))
    assert np.abs(render(factors) - pictures).max() <= 1


def test_the_glasses_of_one_face_leave_the_others_alone():
    pair = np.stack([face(), face(glasses=1), face(yaw=10)])
    bare = render(pair * np.where(np.array(NAMES) == "glasses", 0, 1)).astype(int)
    change = np.abs(render(pair) - bare).max((1, 2, 3))
    assert change[1] > 20
    assert max(change[0], change[2]) <= 1


def sixteen() -> np.ndarray:
    """Eight of the course's faces, four with larger mouths, four with smaller glasses."""
    factors = draw_factors(16, seed=11)
    factors[12:, NAMES.index("glasses")] = 1
    looks = [synthetic.USUAL] * 2 + [Proportions(mouth=1.5), Proportions(glasses=0.5)]
    groups = np.split(factors, 4)
    return np.concatenate([render(*pair) for pair in zip(groups, looks, strict=True)])


def drawing_changed(drawn: np.ndarray, folder: Path) -> str | None:
    """What is wrong with sixteen faces and the renderer's number, as a sentence; None if nothing.

    Machines round differently, so a grey level is allowed and a checksum of bytes would be no use.
    """
    file = folder / f"renderer_{synthetic.RENDERER}.png"
    if not file.exists():
        return (
            f"Renderer {synthetic.RENDERER} has no {file.name} to be compared with. If its number "
            "was raised for a new drawing, write the file with "
            "`uv run python -m tests.faces.test_synthetic`."
        )
    known = np.asarray(Image.open(file)).reshape(16, 64, 64, 3).astype(int)
    change = np.abs(known - drawn).max((1, 2, 3))
    if change.max() <= 1:
        return None
    return (
        f"Face {change.argmax()} of sixteen differs from {file.name} by {change.max()} grey "
        f"levels, and RENDERER is still {synthetic.RENDERER}: everybody's cache would go on with "
        "the old faces. Draw as before, or raise RENDERER in vae_lib/faces/synthetic.py."
    )


def test_a_drawing_changes_only_together_with_the_renderers_number():
    problem = drawing_changed(sixteen(), HERE)
    assert problem is None, problem


def test_a_changed_drawing_and_a_raised_number_without_a_picture_are_sentences(monkeypatch):
    monkeypatch.setattr(synthetic, "LENS_Z", 20.5)
    assert "RENDERER is still 1: everybody's cache" in drawing_changed(sixteen(), HERE)
    monkeypatch.setattr(synthetic, "RENDERER", 99)
    assert "Renderer 99 has no renderer_99.png" in drawing_changed(sixteen(), HERE)


def test_proportions_change_their_own_part_and_stand_in_the_cache_s_key(tmp_path):
    plain = face(smile=1, mouth_opening=0.6, glasses=1)
    usual = render(plain).astype(int)
    mouth = np.abs(render(plain, Proportions(mouth=1.5)) - usual).max(-1) > 20
    lenses = np.abs(render(plain, Proportions(glasses=0.5)) - usual).max(-1) > 20
    assert mouth[44:].sum() > 20
    assert not mouth[:42].any()
    assert lenses[24:42].sum() > 20
    assert not lenses[44:].any()
    looks = [None, Proportions(), Proportions(mouth=1.5), Proportions(glasses=0.5)]
    for look in looks:
        open_faces(kind="synthetic", synthetic_count=20, proportions=look, cache=tmp_path)
    assert len(list(tmp_path.glob("synthetic-*[!k]"))) == 3
    with pytest.raises(InputError, match="glasses is 3; expected a number between"):
        Proportions(glasses=3)


def test_a_cache_from_before_the_renderer_had_a_number_is_found(tmp_path, monkeypatch):
    key = OLDER_KEYS["synthetic 20000 seed 0 renderer 1 "]
    seen = []
    monkeypatch.setattr(
        "vae_lib.faces.opening.open_cached", lambda *arguments, **_: seen.append(arguments[1])
    )
    open_faces(kind="synthetic", cache=tmp_path)
    open_faces(kind="synthetic", synthetic_count=300, cache=tmp_path)
    monkeypatch.setattr(synthetic, "RENDERER", 2)
    open_faces(kind="synthetic", cache=tmp_path)
    assert seen[0] == key
    assert len(set(seen)) == 3


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        (face(yaw=50), "yaw is 50; .* between -35 and 35"),
        (face(smile=np.nan), "smile is nan; .* between -0.5 and 1"),
        (np.stack([face(), face(glasses=-1)]), "glasses is -1"),
        (np.zeros(12), r"shape \(12,\); expected \(13,\)"),
        (np.zeros((2, 2, 13)), r"shape \(2, 2, 13\)"),
        (["a"] * 13, "not numbers"),
    ],
)
def test_factors_that_no_face_has(factors, words):
    with pytest.raises(InputError, match=words):
        render(factors)


@pytest.mark.parametrize("n", [0, -3, 2.5, "many", None, True])
def test_numbers_of_faces_that_make_no_sense(n):
    with pytest.raises(InputError, match="expected a whole number, 1 or more"):
        synthetic_faces(n)


def test_many_threads_draw_the_same_faces_and_leave_the_number_of_threads_alone():
    alone = synthetic_faces(150, seed=3)[0]
    torch.set_num_threads(3)
    together = synthetic_faces(150, seed=3)[0]
    assert torch.get_num_threads() == 3
    assert np.array_equal(alone, together)


if __name__ == "__main__":
    Image.fromarray(sixteen().reshape(-1, 64, 3)).save(HERE / f"renderer_{synthetic.RENDERER}.png")
