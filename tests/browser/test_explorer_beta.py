"""β as a slider in a page without a kernel, of a network that serves every β."""

import numpy as np
import pytest
from explorer_pages import SEEN, pixels, shows, static_page
from test_explorer_static import opened

from vae_lib.explorer import OPENING
from vae_lib.latent import decode_images
from vae_lib.pretrained import load_beta_table, load_gallery, load_pretrained

NAME = "vae_any_beta_synthetic"
CELL = f"from vae_lib.explorer import explore\nexplore('{NAME}')"
SET = "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return static_page(tmp_path_factory.mktemp("beta"), CELL)


@pytest.fixture
def page(browser, path):
    page = opened(browser, path, viewport={"width": 1366, "height": 768})
    yield page
    assert not page.problems
    assert all(url.startswith(("file:", "blob:", "data:")) for url in page.requests)
    page.context.close()


def test_beta_moves_the_face_its_numbers_and_the_bars(page):
    network, table = load_pretrained(NAME), load_beta_table(NAME)
    row = load_gallery(NAME).ids.index(OPENING[1])
    slider = page.get_by_label("β", exact=True)
    ends = [round(64 * np.log2(beta)) for beta in network.beta_range]
    assert [int(slider.get_attribute(end)) for end in ("min", "max")] == [ends[0], ends[1]]
    meters = page.locator(".ve-meter output")
    in_use = page.locator(".ve-kl span")
    active = []
    for step in (0, ends[0], 64, 213, ends[1]):
        slider.evaluate(SET, step)
        beta = float(np.clip(2 ** (step / 64), *network.beta_range))
        code = table.at(beta, "mu")[row][None]
        shows(page, decode_images(network, code, beta=beta)[0], within=2)
        kl, decibels = (table.at(beta, name)[row] for name in ("face_kl", "face_psnr"))
        told = [float(text.split()[0]) for text in meters.all_inner_texts()]
        np.testing.assert_allclose(told, [kl, decibels], atol=0.06)
        active.append(int(in_use.inner_text().split()[0]))
        assert active[-1] == np.count_nonzero(table.at(beta, "kl_per_dimension") > 0.1)
    assert active[-1] < active[1]


def test_beta_is_undone_shared_and_given_back(page):
    slider = page.get_by_label("β", exact=True)
    slider.focus()
    before = pixels(page)
    page.keyboard.press("End")
    page.wait_for_timeout(300)
    moved = pixels(page)
    assert np.abs(moved.astype(int) - before).max() > 5
    page.locator("summary", has_text="Share and keep").click()
    text = page.get_by_label("State as text")
    page.wait_for_timeout(300)
    told = text.input_value()
    page.get_by_role("button", name="Undo").click()
    shows(page, before, within=0)
    text.fill(told)
    page.get_by_role("button", name="Load").click()
    shows(page, moved, within=0)
    assert slider.input_value() == slider.get_attribute("max")
    slider.focus()
    page.keyboard.press("0")
    shows(page, before, within=0)


def test_one_network_twice_is_one_face_at_two_beta(browser, tmp_path):
    page = opened(
        browser, static_page(tmp_path, f"from vae_lib import explore\nexplore(['{NAME}'] * 2)")
    )
    network, table = load_pretrained(NAME), load_beta_table(NAME)
    row = load_gallery(NAME).ids.index(OPENING[1])
    page.get_by_label("β", exact=True).press("End")
    for m, beta in enumerate((network.beta_range[1], 1.0)):
        code = table.at(beta, "mu")[row][None]
        face = decode_images(network, code, beta=beta)[0]
        shows(page, face, 2, f".ve-model:nth-child({m + 1}) canvas")
        told = page.locator(".ve-model").nth(m)
        assert f"β = {beta:g}" in told.inner_text().replace("\u00a0", " ")
    page.get_by_role("radio").nth(1).click()  # the slider is the other one's now
    assert page.get_by_label("β", exact=True).input_value() == "0"
    assert page.get_by_role("button", name="β: back to 1").count() == 1
    page.context.close()


def test_numbers_of_a_face_that_was_moved_are_a_dash(page):
    page.locator(".ve-latent input").first.evaluate(SET, 1.5)
    told = page.locator(".ve-meter output").all_inner_texts()
    assert [text.split()[0] for text in told] == ["–", "–"]
    page.get_by_role("button", name="Reset").click()
    assert " nats (mean " in page.locator(".ve-meter output").first.inner_text()


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (390, 844)])
def test_whatever_is_focused_the_face_stays_in_sight(browser, path, width, height):
    page = opened(browser, path, viewport={"width": width, "height": height})
    seen = page.evaluate(SEEN, {"every": 3, "first": 0})
    assert seen["share"] >= 0.95, seen
    assert not seen["cut"], seen
    assert seen["least"] >= (160 if width > 1000 else 120), seen
    page.context.close()
