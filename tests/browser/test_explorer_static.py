"""The explorer's cell as a page on the disk: no kernel, no network, and everything still moves."""

import shutil
from io import BytesIO

import numpy as np
import pytest
from draws import seeded_normal
from explorer_pages import (
    READY,
    SEEN,
    book_build,
    opened,
    pixels,
    shows,
    slider_value,
    static_page,
    write_widgets,
)
from PIL import Image

from vae_lib.explorer import OPENING, align_photo, explore
from vae_lib.faces.synthetic import synthetic_faces
from vae_lib.latent import decode_images, encode_images
from vae_lib.pretrained import load_gallery, load_pretrained

CELL = "from vae_lib.explorer import explore\nexplore('vae_celeba')"
# Controls that a screen reader could not name.
NAMELESS = """() => [...document.querySelectorAll(
    '.vae-explorer :is(button, input, select, canvas[role])')]
  .filter((control) => !(control.ariaLabel || control.textContent.trim() || control.title ||
    [...(control.labels ?? [])].some((label) => label.textContent.trim())))
  .map((control) => control.outerHTML.slice(0, 120))"""
BROADER = """() => [...document.querySelectorAll('.ve-model')].flatMap((figure) => {
  const text = document.createRange();
  text.selectNodeContents(figure.querySelector('.ve-lead'));
  const end = figure.getBoundingClientRect().right + 0.5;
  return text.getBoundingClientRect().right > end ? [figure.textContent] : [];
})"""

CONTRAST = """() => {
  const root = getComputedStyle(document.querySelector('.vae-explorer'));
  const luminance = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const [paper, ...inks] = [root.backgroundColor, root.color,
    getComputedStyle(document.querySelector('.ve-note')).color].map(luminance);
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  return [paper, ...inks.map((ink) => ratio(ink, paper))];
}"""


@pytest.fixture(scope="module")
def celeba():
    return load_pretrained("vae_celeba")


@pytest.fixture(scope="module")
def order():
    return np.argsort(-load_gallery("vae_celeba").kl)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return static_page(tmp_path_factory.mktemp("page"), CELL)


@pytest.fixture(scope="module")
def shared_page(browser, path):
    page = opened(browser, path)
    yield page
    page.context.close()


@pytest.fixture
def page(shared_page):
    """The page at the prior's mean, with a fresh undo history as far as tests can tell."""
    shared_page.locator(".ve-chooser select").first.select_option("seed")
    shared_page.locator(".ve-chooser select").first.select_option("mean")
    return shared_page


def code(order, page, *ranks) -> np.ndarray:
    z = np.zeros((1, 128), np.float32)
    for rank in ranks:
        z[0, order[rank]] = round(slider_value(page, rank) * 256) / 256
    return z


def test_the_page_says_that_it_decodes_by_itself(page):
    assert "without Python" in page.locator(".ve-status").inner_text()


def test_the_prior_mean_is_shown_as_pytorch_decodes_it(page, celeba):
    shows(page, decode_images(celeba, np.zeros((1, 128), np.float32))[0], within=2)


def test_a_slider_dragged_with_the_mouse_moves_the_face(page, celeba, order):
    slider = page.locator(".ve-latent input").nth(2)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 70, y, steps=10)
    page.mouse.up()
    assert slider_value(page, 2) < -0.5
    shows(page, decode_images(celeba, code(order, page, 2))[0], within=2)


def test_arrow_keys_undo_and_0_work(page, celeba, order):
    page.locator(".ve-latent input").first.focus()
    for _ in range(10):
        page.keyboard.press("ArrowUp")
    assert slider_value(page, 0) > 0.4
    shows(page, decode_images(celeba, code(order, page, 0))[0], within=2)
    moved = slider_value(page, 0)
    page.keyboard.press("0")
    assert slider_value(page, 0) == 0
    page.keyboard.press("Control+z")
    assert slider_value(page, 0) == moved
    page.keyboard.press("Control+Shift+z")
    assert slider_value(page, 0) == 0
    shows(page, decode_images(celeba, np.zeros((1, 128), np.float32))[0], within=2)


def test_a_seed_names_the_same_face_in_python(page, celeba):
    page.locator(".ve-chooser select").first.select_option("seed")
    page.get_by_label("Drawn from").first.select_option("the prior")
    seed = page.get_by_label("Seed").first
    seed.fill("2026")
    seed.press("Enter")
    shows(page, decode_images(celeba, seeded_normal(2026, 128)[None])[0], within=2)


def test_gallery_faces_attributes_and_locks(page, celeba):
    gallery = load_gallery("vae_celeba")
    page.locator(".ve-chooser select").first.select_option("gallery")
    page.locator(".ve-thumbs button").nth(5).click()
    mu = gallery.mu[5].astype(np.float16).astype(np.float32)
    shows(page, decode_images(celeba, mu[None])[0], within=2)

    smiling, male = (gallery.attribute_names.index(name) for name in ("Smiling", "Male"))
    page.get_by_label("Smiling", exact=True).fill("20")  # one whole step
    page.get_by_label("Find an attribute").fill("male")
    page.get_by_label("Lock Male", exact=True).click()
    step, locked = gallery.directions[[smiling, male]].astype(np.float16).astype(np.float64)
    step = step - (step @ locked) / (locked @ locked) * locked
    shows(page, decode_images(celeba, (mu + step).astype(np.float32)[None])[0], within=2)
    page.get_by_label("Lock Male", exact=True).click()


def test_a_state_is_copied_pasted_and_refused(page):
    page.get_by_label("Smiling", exact=True).fill("25")
    if not page.get_by_label("State as text").is_visible():
        page.get_by_text("Share and keep").click()
    page.get_by_role("button", name="Copy", exact=True).click()
    text = page.get_by_label("State as text").input_value()
    assert text.startswith("vae1-")
    assert len(text) <= 400
    page.wait_for_timeout(500)
    face = pixels(page)
    page.get_by_label("State as text").fill("vae1-garbage")
    page.get_by_role("button", name="Load", exact=True).click()
    page.wait_for_function("document.querySelector('.ve-alert').textContent.includes('damaged')")
    assert page.locator(".ve-alert").get_attribute("role") == "alert"
    np.testing.assert_array_equal(pixels(page), face)
    page.get_by_role("button", name="Reset").click()
    page.get_by_label("State as text").fill(text)
    page.get_by_label("State as text").press("Enter")
    assert page.get_by_label("Smiling", exact=True).input_value() == "25"
    shows(page, face, within=0)
    assert page.locator(".ve-alert").is_hidden()


def test_pictures_are_saved(page):
    if not page.get_by_label("State as text").is_visible():
        page.get_by_text("Share and keep").click()
    page.get_by_label("Smiling", exact=True).fill("40")
    label = page.locator(".ve-lead").first.inner_text().replace("\xa0", " ")
    names = {
        "Save PNG": "vae_celeba_beta_1_mean_Smiling_2.00.png",
        "Save strip": "vae_celeba_beta_1_mean_Smiling_0.00_to_2.00_strip.png",
        "Save GIF": "vae_celeba_beta_1_mean_Smiling_0.00_to_2.00.gif",
    }
    sizes = {"Save PNG": (256, 256), "Save strip": (9 * 128, 128), "Save GIF": (128, 128)}
    for name, size in sizes.items():
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        data = BytesIO(download.value.path().read_bytes())
        assert download.value.suggested_filename == names[name]
        with Image.open(data) as picture:
            told = getattr(picture, "text", None) or dict(
                line.split(": ", 1) for line in picture.info["comment"].decode().splitlines()
            )
            assert told["Model"] == label
            assert told["Values"] == f"Smiling: {'' if name == 'Save PNG' else '0.00 to '}2.00"
            assert picture.size == size
            assert np.ptp(np.asarray(picture.convert("L"))) > 60
            if name == "Save GIF":
                assert picture.n_frames == 32
    page.get_by_label("Smiling", exact=True).fill("0")
    page.get_by_label("State as text").fill(told["State"])
    page.get_by_label("State as text").press("Enter")
    assert page.get_by_label("Smiling", exact=True).input_value() == "40"


def test_a_photo_without_an_encoder_tells_how_to_get_one(page):
    page.get_by_text("Your own photo", exact=True).click()
    page.get_by_text("vae explore --with-encoder").wait_for()
    assert page.locator("input[type=file]").is_hidden()
    page.get_by_text("Your own photo", exact=True).click()


def test_a_script_beside_the_page_encodes_a_photo_and_is_read_when_first_wanted(
    browser, path, celeba, tmp_path
):
    folder = tmp_path / "book"
    shutil.copytree(path.parent, folder)
    book_build().write_encoders(folder, folder / "scripts")
    (script,) = (folder / "scripts" / "encoders").iterdir()
    face = synthetic_faces(1, seed=3)[0][0]
    Image.fromarray(face).resize((256, 256)).save(tmp_path / "photo.png")
    page = opened(browser, folder / path.name)
    try:
        assert not any("encoders" in url for url in page.requests)
        page.get_by_text("Your own photo", exact=True).click()
        page.locator("input[type=file]").set_input_files(tmp_path / "photo.png")
        canvas = page.locator("canvas.ve-photo")
        canvas.wait_for()
        canvas.focus()
        for keys in ("Enter", "Enter"):  # the ring stands where eyes may be, left, then right
            page.keyboard.press(keys)
        page.locator(".ve-spread").first.wait_for(state="attached")
        marks = [[0.35, 0.4], [0.65, 0.4]]
        mu, _ = encode_images(celeba, align_photo(Image.open(tmp_path / "photo.png"), marks)[None])
        shows(page, decode_images(celeba, mu)[0], within=6)
        assert [url for url in page.requests if "encoders" in url] == [script.as_uri()]
        assert all(url.startswith(("file:", "blob:")) for url in page.requests)
        assert page.problems == []
    finally:
        page.context.close()


def test_every_control_has_a_name(page):
    for summary in page.locator("summary").all():
        if summary.is_visible() and summary.evaluate("e => !e.parentElement.open"):
            summary.click()
    page.wait_for_function("document.querySelectorAll('.ve-latent').length === 128")
    assert page.evaluate(NAMELESS) == []


def test_no_request_leaves_the_page_and_nothing_complains(page):
    outside = [url for url in page.requests if not url.startswith(("file:", "blob:", "data:"))]
    assert outside == []
    assert page.problems == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_it_whole_and_readable(browser, path, theme):
    page = opened(browser, path, viewport={"width": 360, "height": 740})
    page.evaluate("(theme) => (document.documentElement.dataset.theme = theme)", theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator(".ve-figures canvas").first.bounding_box()["width"] >= 256
    paper, *contrasts = page.evaluate(CONTRAST)
    assert paper < 0.05 if theme == "dark" else paper > 0.9
    assert min(contrasts) >= 4.5
    page.context.close()


def test_sliders_stay_long_enough_to_drag_beside_jupyterlabs_side_bars(browser, path):
    # On a phone JupyterLab leaves about 243 of 360 pixels to an output; this page has a margin.
    page = opened(browser, path, viewport={"width": 260, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 260
    for track in (".ve-latent input", '.ve-row input[type="range"]'):
        assert page.locator(track).first.bounding_box()["width"] >= 120
    page.context.close()


def test_three_models_move_together_in_a_page_of_twelve_megabytes(browser, tmp_path, celeba):
    names = ("vae_celeba", "vae_beta_4", "vae_beta_10")
    path = write_widgets(tmp_path, explore(celeba), explore(celeba))
    assert path.stat().st_size <= 4.5e6  # two explorers, one copy of the weights
    path = write_widgets(tmp_path, explore(names))
    assert path.stat().st_size <= 12e6

    page = opened(browser, path, viewport={"width": 1200, "height": 900})
    page.locator(".ve-latent input").first.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    galleries = [load_gallery(name) for name in names]
    starts = [gallery.mu[gallery.ids.index(OPENING[0])] for gallery in galleries]
    moved = slider_value(page, 0) - starts[0][galleries[0].kl.argmax()]
    assert moved == pytest.approx(1, abs=0.03)
    for m, name in enumerate(names):
        z = starts[m][None].astype(np.float16).astype(np.float32)
        z[0, galleries[m].kl.argmax()] += moved  # linked by rank
        selector = f".ve-figures figure:nth-of-type({m + 1}) canvas"
        face = decode_images(load_pretrained(name), z)[0]
        shows(page, face, within=2, selector=selector)
    for width in (1200, 360, 260):  # no model's name runs into its neighbour's
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(BROADER) == []
    assert page.problems == []
    page.context.close()


# The page around the explorer: it is longer than the window, has a bar that stays, and gives the
# explorer as much width as the book does.
AROUND = """([bar, width]) => {
  document.body.style.cssText = `margin: 0 auto; max-width: ${width}px`;
  if (document.querySelector('header')) return;
  const header = document.createElement('header');
  header.style.cssText = `position: sticky; top: 0; height: ${bar}px; z-index: 9; background: #cde`;
  const far = document.createElement('div');
  far.style.height = '1500px';
  document.body.prepend(header, far);
  document.body.append(far.cloneNode());
}"""
WINDOWS = {
    (1920, 1080): 800, (1440, 900): 760, (1366, 768): 680, (1280, 720): 600,
    (390, 844): 358, (360, 640): 328,
}  # fmt: skip


@pytest.mark.parametrize("names", ["vae_celeba", ("vae_celeba", "vae_beta_4", "vae_beta_10")])
def test_whatever_is_focused_every_face_stays_in_sight(browser, tmp_path, names):
    page = opened(browser, write_widgets(tmp_path, explore(names)))
    for number, ((width, height), article) in enumerate(WINDOWS.items()):
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate(AROUND, [56, article])
        page.wait_for_timeout(200)
        seen = page.evaluate(SEEN, {"every": len(WINDOWS), "first": number})
        where = f"{width}×{height}: {seen}"
        assert seen["share"] == 1, where
        assert seen["cut"] == [], where
        assert seen["controls"] > 250, where
        assert seen["height"] <= height - 56, where
        assert seen["least"] >= (160 if width >= 1280 else 120), where
        assert min(seen["sides"]) >= (90 if width < 500 or len(seen["sides"]) > 1 else 180), where
        assert seen["wide"] <= 0, where
    assert page.problems == []
    page.context.close()


FRAMES = {
    "a frame with a height of its own": ("", 420),
    "a frame that grows with what it shows": ("grow", 0),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_in_a_frame_it_fits_what_can_be_seen(browser, path, tmp_path, kind):
    grows, height = FRAMES[kind]
    (tmp_path / "frame.html").write_text(
        f"""<!doctype html><body style="margin: 0"><div style="height: 900px"></div>
        <iframe src="{path.as_uri()}" style="width: 100%; height: {height or 150}px"></iframe>
        <div style="height: 900px"></div><script>
        if ("{grows}") addEventListener("message", ({{ data }}) =>
          (document.querySelector("iframe").style.height = data + "px"))</script>"""
    )
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.add_init_script(
        """if (window !== parent) setInterval(() => document.body &&
          parent.postMessage(document.body.scrollHeight + 24, "*"), 50)"""
    )
    page = context.new_page()
    page.goto((tmp_path / "frame.html").as_uri())
    page.locator("iframe").scroll_into_view_if_needed()  # browsers let frames out of sight rest
    frame = page.frames[1]
    frame.wait_for_function(READY)
    page.wait_for_timeout(1200)
    seen = frame.evaluate("document.querySelector('.vae-explorer').offsetHeight")
    assert 300 <= seen <= (height or 720)
    if grows:
        assert seen > 400
    context.close()


def test_the_first_view_is_a_face_with_its_gallery_and_sliders_that_anybody_understands(page):
    page.reload()
    page.wait_for_function(READY)
    faces = load_gallery("vae_celeba")
    row = faces.ids.index(OPENING[0])
    mu = faces.mu[[row]].astype(np.float16).astype(np.float32)
    shows(page, decode_images(load_pretrained("vae_celeba"), mu)[0], within=2)
    pressed = page.locator(".ve-thumbs button[aria-pressed=true]")
    assert pressed.count() == 1
    assert pressed.is_visible()
    sliders = page.locator('.vae-explorer input[type="range"]')
    visible = [s.get_attribute("aria-label") for s in sliders.all() if s.is_visible()]
    assert visible[0] == "Smiling"
    assert visible[1:6] == ["Eyeglasses", "Wearing Hat", "No Beard", "Blond Hair", "Gray Hair"]
    assert visible[6].startswith("Latent dimension")
    assert "AUC 0.94" in sliders.first.get_attribute("aria-description")
    search = page.get_by_label("Find an attribute")
    search.fill("neck tie")
    found = page.locator(".ve-more .ve-row:visible").all_inner_texts()
    assert [text.split("\n")[0] for text in found] == ["Wearing Necktie"]
    search.fill("")


def test_each_row_is_one_stop_of_the_tab_key(page):
    page.reload()
    page.wait_for_function(READY)
    smile = page.get_by_label("Smiling", exact=True)
    smile.focus()
    stops = []
    for _ in range(9):
        stops.append(page.evaluate("document.activeElement.ariaLabel ?? ''"))
        page.keyboard.press("Tab")
    assert stops[:7] == [
        "Smiling", "Eyeglasses", "Wearing Hat", "No Beard", "Blond Hair", "Gray Hair",
        "Find an attribute",
    ]  # fmt: skip
    smile.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("l")
    assert page.get_by_label("Lock Smiling").get_attribute("aria-pressed") == "true"
    assert smile.get_attribute("aria-valuetext") == "0.05, locked"
    page.keyboard.press("L")
    page.keyboard.press("0")
    assert smile.get_attribute("aria-valuetext") == "0.00"
    thumbs = page.locator(".ve-thumbs button")
    assert sum(thumb.get_attribute("tabindex") == "0" for thumb in thumbs.all()) == 1
    thumbs.nth(3).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert thumbs.nth(4).get_attribute("aria-pressed") == "true"


# A state that the explorer of November wrote: face 20 of the gallery, a smile of 0.75, Male locked.
STATE = "vae1-kuwYsWKpAAIUCBngAAAAAAAAAAEA"


def test_an_earlier_state_still_loads(page, celeba):
    gallery = load_gallery("vae_celeba")
    if not page.get_by_label("State as text").is_visible():
        page.get_by_text("Share and keep").click()
    page.get_by_label("State as text").fill(STATE)
    page.get_by_label("State as text").press("Enter")
    smiling, male = (gallery.attribute_names.index(name) for name in ("Smiling", "Male"))
    step, locked = gallery.directions[[smiling, male]].astype(np.float16).astype(np.float64)
    step = step - (step @ locked) / (locked @ locked) * locked
    z = gallery.mu[20].astype(np.float16) + 0.75 * step
    shows(page, decode_images(celeba, z[None].astype(np.float32))[0], within=2)
