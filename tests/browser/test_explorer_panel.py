"""Beside the sliders: faces at their ends, play, faces that nobody chose, and the map."""

import numpy as np
import pytest
from draws import seeded_normal
from explorer_pages import READY, opened, pixels, shows, slider_value, write_widgets

from vae_lib.explorer import OPENING, explore
from vae_lib.latent import decode_images
from vae_lib.pretrained import load_gallery, load_pretrained


@pytest.fixture(scope="module")
def celeba():
    return load_pretrained("vae_celeba")


@pytest.fixture(scope="module")
def order():
    return np.argsort(-load_gallery("vae_celeba").kl)


@pytest.fixture(scope="module")
def open_page(browser, tmp_path_factory):
    page = opened(browser, write_widgets(tmp_path_factory.mktemp("page"), explore("vae_celeba")))
    yield page
    page.context.close()


@pytest.fixture
def page(open_page):
    """The page as it opens."""
    open_page.reload()
    open_page.wait_for_function(READY)
    return open_page


# Every face that is painted at a slider's end, one more in `ends`; and that many slider events.
WATCHED = """async (events) => {
  const { prototype } = CanvasRenderingContext2D;
  const put = prototype.putImageData;
  let ends = 0;
  prototype.putImageData = function (...image) {
    ends += this.canvas.matches('.ve-end');
    put.apply(this, image);
  };
  const slider = document.querySelector('.ve-latent input');
  for (let i = 0; i < events; i++) {
    slider.stepUp();
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const during = ends;
  for (let before = -1; before < ends; ) {
    before = ends;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  prototype.putImageData = put;
  const panel = document.querySelector('.ve-controls').getBoundingClientRect();
  const inSight = [...document.querySelectorAll('.ve-end')].filter((end) => {
    const { top, bottom } = end.getBoundingClientRect();
    return top < panel.bottom && bottom > panel.top && end.checkVisibility();
  });
  return [during, ends, inSight.length, document.querySelectorAll('.ve-end').length];
}"""


def test_both_ends_of_a_slider_show_the_face_there(page, celeba, order):
    gallery = load_gallery("vae_celeba")
    page.wait_for_function("document.querySelectorAll('.ve-latent .ve-end')[1].title")
    during, painted, in_sight, all_ = page.evaluate(WATCHED, 30)
    assert during <= 3  # a hand that moves stops them: at most the one that was on its way
    assert painted == in_sight - 2 < all_ - 2  # the moved slider's own ends stay what they are
    mu = gallery.mu[gallery.ids.index(OPENING[0])].astype(np.float16).astype(np.float32)
    mu[order[0]] = round(slider_value(page, 0) * 256) / 256
    smile = gallery.directions[gallery.attribute_names.index("Smiling")].astype(np.float16)
    for side, sign in enumerate((-1, 1)):
        z = mu.copy()
        z[order[1]] = 3 * sign
        smiling = mu + 3 * sign * smile.astype(np.float32)
        faces = decode_images(celeba, np.stack([z, smiling]))
        ends = f".ve-end:nth-of-type({side + 1})"
        shows(page, faces[0], within=2, selector=f".ve-latent:nth-child(2) {ends}")
        shows(page, faces[1], within=2, selector=f".ve-row:has([aria-label=Smiling]) {ends}")
    assert all(
        end.get_attribute("aria-hidden") and not end.get_attribute("tabindex")
        for end in page.locator(".ve-end").all()
    )
    page.locator(".ve-latent:nth-child(2) .ve-end").last.click()
    assert slider_value(page, 1) == 3
    page.keyboard.press("ArrowLeft")  # it is that slider now which the keys move
    assert slider_value(page, 1) == pytest.approx(2.95)
    page.keyboard.press("Control+z")


# A clock that runs eight times as fast, so that nobody waits.
FAST = """() => {
  const now = performance.now.bind(performance);
  performance.now = () => 8 * now();
}"""


def test_play_moves_the_slider_that_was_touched_last_there_and_back(page):
    page.evaluate(FAST)
    page.locator(".ve-latent input").nth(1).focus()
    assert page.locator(".ve-next").evaluate_all("all => all.map((e) => e.ariaLabel)") == [
        page.locator(".ve-latent input").nth(1).get_attribute("aria-label")
    ]  # the filled handle says which slider it will be
    before, face = slider_value(page, 1), pixels(page)
    undo = page.get_by_role("button", name="Undo")
    page.get_by_role("button", name="Play").click()
    for end in (3, -3):
        page.wait_for_function(
            "(end) => Math.abs(document.querySelectorAll('.ve-latent input')[1].value - end) < 0.2",
            arg=end,
        )
    page.get_by_role("button", name="Play").wait_for()  # "Stop" until it is back
    shows(page, face, within=0)
    assert slider_value(page, 1) == before
    assert undo.get_attribute("aria-disabled") == "true"  # nothing is left to be undone

    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Stop").click()
    assert page.get_by_role("button", name="Play").count() == 1
    assert slider_value(page, 1) > before + 0.5
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(100)
    page.keyboard.press("Control+z")  # any key stops it, and then does what it always does
    page.wait_for_timeout(100)
    assert page.get_by_role("button", name="Stop").count() == 0
    page.keyboard.press("Control+z")  # a play is one step
    assert undo.get_attribute("aria-disabled") == "true"
    assert slider_value(page, 1) == before

    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("button", name="Play").click()
    seen = page.evaluate(
        """async () => {
          const [slider, values] = [document.querySelectorAll('.ve-latent input')[1], new Set()];
          for (const end = performance.now() + 3500; performance.now() < end; ) {
            values.add(slider.value);
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
          return values.size;
        }"""
    )
    page.get_by_role("button", name="Stop").click()
    page.emulate_media(reduced_motion="no-preference")
    assert 3 <= seen <= 5


def test_surprise_me_draws_where_faces_live_or_from_the_prior(page, celeba):
    gallery = load_gallery("vae_celeba")
    mean, factor = (
        part.astype(np.float16).astype(np.float32)
        for part in (gallery.code_mean, gallery.code_factor)
    )
    surprise = page.get_by_role("button", name="Surprise me")

    def noise():
        return seeded_normal(int(page.get_by_label("Seed").first.input_value()), 128)

    surprise.click()
    first = noise()
    shows(page, decode_images(celeba, (mean + factor @ first)[None])[0], within=2)
    page.get_by_label("Drawn from").first.select_option("the prior")
    shows(page, decode_images(celeba, first[None])[0], within=2)
    surprise.click()
    assert not np.array_equal(noise(), first)
    shows(page, decode_images(celeba, noise()[None])[0], within=2)


def test_the_map_drags_a_face_through_two_dimensions(page, celeba, order):
    gallery = load_gallery("vae_celeba")
    codes = gallery.mu.astype(np.float16).astype(np.float32)
    start = codes[gallery.ids.index(OPENING[0])]
    page.get_by_text("Map of two dimensions").click()
    square = page.locator(".ve-map")
    square.scroll_into_view_if_needed()

    def at(x, y):
        box = square.bounding_box()
        pixel = box["width"] / 7  # of a standard deviation
        return float(box["x"] + (3.5 + x) * pixel), float(box["y"] + (3.5 - y) * pixel)

    page.mouse.move(*at(start[order[0]], start[order[1]]))
    page.mouse.down()
    page.mouse.move(*at(-2, 2.5), steps=8)
    page.mouse.up()
    assert [slider_value(page, rank) for rank in (0, 1)] == pytest.approx([-2, 2.5], abs=0.04)
    z = start.copy()
    z[order[:2]] = [round(slider_value(page, rank) * 256) / 256 for rank in (0, 1)]
    shows(page, decode_images(celeba, z[None])[0], within=2)

    square.focus()
    for key in ("ArrowRight", "Shift+ArrowDown"):
        page.keyboard.press(key)
    assert [slider_value(page, rank) for rank in (0, 1)] == pytest.approx([-1.9, 2], abs=0.05)
    told = square.get_attribute("aria-valuetext")
    assert told.startswith(f"z {order[0]}: −1.")
    assert f", z {order[1]}: " in told
    page.keyboard.press("0")
    assert [slider_value(page, rank) for rank in (0, 1)] == [0, 0]

    page.get_by_label("Across the map").select_option("3")
    page.get_by_label("Up the map").select_option("3")  # the same on both: they change places
    assert page.get_by_label("Across the map").input_value() == "1"
    plane = codes[:, order[[1, 3]]]
    apart = np.linalg.norm(plane[:, None] - plane, axis=-1) + 9 * np.eye(len(plane))
    lone = int((apart.min(1) - 9 * (np.abs(plane).max(1) > 3)).argmax())
    page.mouse.click(*at(*plane[lone]))
    shows(page, decode_images(celeba, codes[[lone]])[0], within=2)
    assert page.locator(".ve-thumbs button").nth(lone).get_attribute("aria-pressed") == "true"
    page.keyboard.press("Control+z")
    page.keyboard.press("0")
    page.keyboard.press("Enter")  # the face whose dot is nearest to the middle
    middle = int(np.linalg.norm(plane, axis=1).argmin())
    shows(page, decode_images(celeba, codes[[middle]])[0], within=2)


def test_a_dimension_is_named_and_the_name_is_offered_again(page):
    first = page.locator(".ve-latent").first
    slider, before = first.locator("input"), first.locator(".ve-name").inner_text()
    slider.focus()
    page.keyboard.press("F2")
    page.get_by_label("Name of z").fill("  head turns ")
    page.keyboard.press("Enter")
    number, nats = before.splitlines()
    assert first.locator(".ve-name").inner_text().splitlines() == [
        "head turns",
        f"{number} · {nats}",
    ]
    assert slider.get_attribute("aria-label").startswith("head turns, Latent dimension")
    assert slider.evaluate("(e) => e === document.activeElement")
    page.reload()
    page.wait_for_function(READY)
    assert first.locator(".ve-name").inner_text().startswith("head turns")
    # What the page's file brings stays older than what was edited here, also once more.
    first.locator(".ve-name").dblclick()
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    assert first.locator(".ve-name").inner_text() == before
    page.locator(".ve-latent .ve-name").nth(1).dblclick()
    page.keyboard.type("never")
    page.keyboard.press("Escape")
    assert "never" not in page.locator(".ve-latent .ve-name").nth(1).inner_text()


def test_a_finger_that_rests_on_a_name_edits_it_and_a_tap_or_a_scroll_does_not(page):
    fingers = page.context.new_cdp_session(page)
    fingers.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    name = page.locator(".ve-latent .ve-name").nth(1)
    name.scroll_into_view_if_needed()
    box, field = name.bounding_box(), page.get_by_label("Name of z")
    x, y = box["x"] + 12, box["y"] + box["height"] / 2

    def touch(kind, *points):
        points = [{"x": x, "y": y} for x, y in points]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    for moves, rests, edits in [([], 80, False), ([10, 30, 60], 700, False), ([], 700, True)]:
        touch("touchStart", (x, y))
        for move in moves:
            touch("touchMove", (x, y - move))
        page.wait_for_timeout(rests)
        assert field.is_visible() == edits, (moves, rests)
        touch("touchEnd")
        page.wait_for_timeout(150)
        assert field.is_visible() == edits, (moves, rests)
        if moves:
            name.scroll_into_view_if_needed()
            y = name.bounding_box()["y"] + box["height"] / 2
    page.keyboard.type("ears")
    page.keyboard.press("Enter")
    assert name.inner_text().startswith("ears")
    page.evaluate("localStorage.clear()")
    fingers.detach()
