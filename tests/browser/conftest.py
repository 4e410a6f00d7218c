"""A real browser for the tests that need one: Debian's Chromium, driven by Playwright."""

import os
import shutil

import pytest

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser():
    """Chromium without a window. Where there is none, tests skip; in CI they fail instead."""
    executable = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if executable is None:
        sentence = "There is no Chromium here; install it with `apt install chromium`."
        if os.environ.get("VAE_REQUIRE_BROWSER") == "1":
            pytest.fail(sentence)
        pytest.skip(sentence)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # A camera of its own, which pages must ask for as for any other.
        options = ["--no-sandbox", "--use-fake-device-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=executable, args=options)
        yield browser
        browser.close()
