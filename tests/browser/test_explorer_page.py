"""The page that `vae explore` writes, as somebody opens it who was mailed the file."""

import base64
import re
import struct
import zlib

import numpy as np
import pytest
from draws import seeded_normal
from explorer_pages import drop, shows, slider_value
from PIL import Image

from vae_lib import cli
from vae_lib.explorer import OPENING
from vae_lib.explorer.photo import EYES, align_photo, read_photo
from vae_lib.faces.synthetic import synthetic_faces
from vae_lib.latent import decode_images, encode_images
from vae_lib.pretrained import load_gallery, load_pretrained

MARKS = """(canvas) => {
  globalThis.marks = [];
  canvas.addEventListener("click", ({ clientX, clientY }) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    marks.push([(clientX - left) / width, (clientY - top) / height]);
  }, true);
}"""

WORKERS = """
  globalThis.workers = 0;
  globalThis.Worker = class extends Worker { constructor(url) { super(url); workers++; } };
"""

SIDEWAYS = Image.Exif()
SIDEWAYS[0x0112] = 6  # what a phone writes: turn by 90° clockwise to see it upright


def blank_png(width: int, height: int) -> bytes:
    """All of one grey, and as a file small."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = zlib.compress(bytes((width + 1) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("mailed") / "face.html"
    assert cli.main(["explore", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The same with its encoder, a photo, and a file that is none."""
    folder = tmp_path_factory.mktemp("own")
    face = Image.fromarray(synthetic_faces(1, seed=3)[0][0]).resize((256, 256))
    photo = Image.new("RGB", (400, 320), "slateblue")
    photo.paste(face, (70, 30))
    photo.save(folder / "photo.png")
    (folder / "none.png").write_bytes(b"no picture")
    path = folder / "own.html"
    assert cli.main(["explore", "vae_celeba", "--with-encoder", "--out", str(path)]) == 0
    return path


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (390, 844)])
def test_a_mailed_file_shows_a_face_that_follows_and_asks_for_nothing(browser, file, width, height):
    model, gallery = load_pretrained("vae_celeba"), load_gallery("vae_celeba")
    strongest = gallery.kl.argmax()
    z = gallery.mu[[gallery.ids.index(OPENING[0])]].astype(np.float16).astype(np.float32)
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_offline(True)
    page = context.new_page()
    requests, problems = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    page.goto(file.as_uri())
    page.locator(".ve-speed", has_text="ms").wait_for()  # its policy forbids what READY needs
    shows(page, decode_images(model, z)[0], within=2)
    place = page.locator(".ve-model canvas").bounding_box()
    assert place["width"] > 250
    assert place["y"] + place["height"] < height
    whole = "[document.documentElement.scrollHeight, document.documentElement.scrollWidth]"
    assert page.evaluate(whole) == [height, width]

    slider = page.locator(".ve-latent input").first
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    assert slider_value(page, 0) < -1
    z[0, strongest] += round((slider_value(page, 0) - z[0, strongest]) * 256) / 256
    moved = decode_images(model, z)[0]
    shows(page, moved, within=2)

    page.wait_for_timeout(500)  # the address follows when the hand rests
    page.reload()
    shows(page, moved, within=2)
    page.goto(f"{file.as_uri()}#%")  # an address that somebody cut off
    page.get_by_role("alert").wait_for()
    assert "no explorer state" in page.get_by_role("alert").inner_text()
    if width > 500:
        page.get_by_text("What is this?").press("Enter")
        assert page.get_by_text("non-commercial").is_visible()
    assert all(url.split("#")[0] == file.as_uri() or url.startswith("blob:") for url in requests)
    assert problems == []
    context.close()


@pytest.mark.parametrize(("width", "height", "scheme"), [(1366, 768, "light"), (390, 844, "dark")])
def test_a_mailed_file_with_its_encoder_starts_from_a_photo(
    browser, own, tmp_path, width, height, scheme
):
    file, photo = own, Image.open(own.parent / "photo.png")
    assert file.stat().st_size <= 9.5e6
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    requests, problems = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    page.add_init_script(WORKERS)
    page.goto(file.as_uri())
    page.locator(".ve-speed", has_text="ms").wait_for()
    page.get_by_text("Your own photo", exact=True).click()
    chooser = page.locator("input[type=file]")
    chooser.set_input_files(own.parent / "none.png")
    page.get_by_role("alert").get_by_text("cannot read the file as a picture").wait_for()
    chooser.set_input_files(own.parent / "photo.png")
    canvas = page.locator("canvas.ve-photo")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    spots = [((70 + 4 * x) / 400, (30 + 4 * y) / 320) for x, y in EYES]
    canvas.evaluate(MARKS)  # a pointer stands on whole pixels
    for x, y in spots:
        canvas.click(position={"x": x * box["width"], "y": y * box["height"]})
    model = load_pretrained("vae_celeba")
    mu = encode_images(model, align_photo(photo, page.evaluate("marks"))[None])[0]
    shows(page, decode_images(model, mu)[0], within=6, selector=".ve-model canvas")
    page.evaluate("globalThis.marks = []")
    for x, y in spots:  # anew, a little lower
        canvas.click(position={"x": x * box["width"], "y": y * box["height"] + 3})
    mu = encode_images(model, align_photo(photo, page.evaluate("marks"))[None])[0]
    shows(page, decode_images(model, mu)[0], within=6, selector=".ve-model canvas")
    assert page.evaluate("workers") == 2  # the decoder's, and the encoder's for both
    # The face moves within its own cloud, and comes back.
    page.get_by_role("button", name="Draw again").first.click()
    logvar = encode_images(model, align_photo(photo, page.evaluate("marks"))[None])[1]
    drawn = mu + np.exp(logvar / 2) * seeded_normal(1, 128)
    shows(page, decode_images(model, drawn)[0], within=6, selector=".ve-model canvas")
    row = page.locator(".ve-latent input").first
    title = row.get_attribute("title").replace("−", "-")
    strongest = np.argmax(load_gallery("vae_celeba").kl)
    said = [mu[0, strongest], np.exp(logvar[0, strongest] / 2)]
    assert [float(n) for n in re.findall(r"= (-?[\d.]+)[,.]", title)] == pytest.approx(
        said, abs=0.01
    )
    assert "linear-gradient" in row.evaluate("e => getComputedStyle(e).backgroundImage")
    page.get_by_role("button", name="Back to the posterior").first.click()
    shows(page, decode_images(model, mu)[0], within=6, selector=".ve-model canvas")
    assert page.get_by_role("alert").is_hidden()
    (tmp_path / "large.png").write_bytes(blank_png(9000, 9000))
    chooser.set_input_files(tmp_path / "large.png")
    page.get_by_role("alert").get_by_text("81 million pixels; at most 50 million").wait_for()
    shows(page, decode_images(model, mu)[0], within=6, selector=".ve-model canvas")
    assert not problems
    assert all(url.split("#")[0] == file.as_uri() or url.startswith("blob:") for url in requests)


COPY = """async (base64) => {
  const blob = await (await fetch(`data:image/png;base64,${base64}`)).blob();
  await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
}"""


def test_a_picture_is_pasted_dropped_or_taken_and_what_cannot_be_is_told(browser, own):
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    other = context.new_page()  # where the picture is copied: the explorer's may fetch nothing
    other.goto((own.parent / "photo.png").as_uri())
    other.evaluate(COPY, base64.b64encode((own.parent / "photo.png").read_bytes()).decode())
    other.close()
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(own.as_uri())
    page.locator(".ve-speed", has_text="ms").wait_for()
    page.get_by_text("Your own photo", exact=True).click()
    page.get_by_label("Choose a photo").wait_for()
    alert, canvas = page.get_by_role("alert"), page.locator("canvas.ve-photo")
    hint = page.get_by_text("Choose a photo, paste one or drop it here")

    def shown(width, height):
        """The photo's preview, of these sides, once it is there; it is put away again."""
        canvas.wait_for()
        assert canvas.evaluate("(e) => [e.width, e.height]") == [width, height]
        canvas.evaluate("(e) => { e.hidden = true; }")

    drop(page, hint, own.parent / "none.png")
    alert.get_by_text("cannot read the file as a picture").wait_for()
    drop(page, hint, own.parent / "photo.png")
    shown(360, 288)
    assert alert.is_hidden()
    page.keyboard.press("Control+V")  # the section's title has the focus
    shown(360, 288)
    page.get_by_role("button", name="Use the camera").click()
    alert.get_by_text("The camera was refused").wait_for()
    context.grant_permissions(["camera"])
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take the picture").click()
    shown(360, 270)
    assert alert.is_hidden()
    assert problems == []
    context.close()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_large_photo_is_read_and_cropped_as_the_kernel_does(browser, own, tmp_path, kind):
    rng = np.random.default_rng(0)
    noise = 255 * rng.integers(0, 2, (3300, 2401), np.uint8)  # nothing is further from smooth
    photo = Image.fromarray(noise).convert("RGB" if kind == "JPEG" else "L")
    file = tmp_path / f"large.{kind.lower()}"
    photo.save(file, **({"quality": 90, "exif": SIDEWAYS} if kind == "JPEG" else {}))
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    page.goto(own.as_uri())
    page.locator(".ve-speed", has_text="ms").wait_for()
    page.get_by_text("Your own photo", exact=True).click()
    page.locator("input[type=file]").set_input_files(file)
    canvas = page.locator("canvas.ve-photo")
    canvas.scroll_into_view_if_needed()
    canvas.evaluate(MARKS)
    for x, y in ((100, 90), (108, 93)):
        canvas.click(position={"x": x, "y": y})
    face = align_photo(read_photo(file.read_bytes()), page.evaluate("marks"))
    assert face.std() > 15
    shows(page, face, within=2, selector="[aria-label='Original picture']")
    page.close()
