"""The built book in a real browser: every page opened from the disk, with no network."""

import importlib.util
import io
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).parents[2]
HTML = ROOT / "book" / "_build" / "html"
PATIENCE = 120_000  # ms; CI machines may be busy

TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
CHAPTERS = [TOC["root"]] + [c["file"] for part in TOC["parts"] for c in part["chapters"]]
PAGES = [*CHAPTERS, "search", "genindex"]

AXE = (
    "4.14.1",
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
)
# Third parties' parts that axe-core does not look at, each with its reason.
NOT_OURS: dict[str, str] = {}


@pytest.fixture(scope="session")
def build():
    """The build script, as a module."""
    spec = importlib.util.spec_from_file_location("book_build", ROOT / "book" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def axe(build) -> str:
    """The source of axe-core."""
    folder = ROOT / "book" / "_vendor" / "axe-core"
    try:
        build.fetch_from_npm("axe-core", *AXE, {"axe.min.js": "axe.min.js"}, folder)
    except build.BuildError as error:
        pytest.skip(f"{error}")
    return (folder / "axe.min.js").read_text()


@pytest.fixture(scope="session")
def html(tmp_path_factory) -> Path:
    """The book, built once, with warnings as errors, from another working directory.

    ``BOOK_EXECUTED`` names a folder with notebooks that nbmake executed; without it the build
    executes them. ``BOOK_BUILT=1`` takes the book as it lies in book/_build.
    """
    if os.environ.get("BOOK_BUILT") == "1":
        return HTML
    command = [sys.executable, str(ROOT / "book" / "build.py")]
    if "BOOK_EXECUTED" in os.environ:
        command.append(str(Path(os.environ["BOOK_EXECUTED"]).resolve()))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    ran = subprocess.run(
        command, cwd=elsewhere, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert ran.returncode == 0, ran.stdout[-10_000:]
    return HTML


@pytest.fixture
def visit(html, browser):
    """Open a page of the book; whatever goes wrong on it is in ``page.problems``."""
    with pages_of(html, browser) as open_page:
        yield open_page


@contextmanager
def pages_of(html, browser):
    contexts = []

    def open_page(name: str, width: int = 1280, scheme: str = "light", query: str = ""):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.problems = []
        page.on("requestfailed", lambda r: page.problems.append(f"failed: {r.url[:200]}"))
        page.on("pageerror", lambda e: page.problems.append(f"error: {e}"))
        page.on(
            "request",
            lambda r: (
                page.problems.append(f"left the disk: {r.url[:200]}")
                if r.url.startswith(("http:", "https:", "ws:", "wss:"))
                else None
            ),
        )
        page.on(
            "console",
            lambda m: page.problems.append(f"console: {m.text}") if m.type == "error" else None,
        )
        page.goto((html / f"{name}.html").as_uri() + query)
        page.wait_for_load_state("load")
        page.wait_for_function(
            "() => !window.MathJax?.startup || window.MathJax.startup.promise.then(() => true)"
        )
        if page.locator('script[type*="jupyter.widget-view"]').count():
            page.locator(".vae-explorer .ve-figures canvas").first.wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_without_a_network(visit, axe, name, width, scheme):
    page = visit(name, width, scheme)
    page.wait_for_timeout(500)  # what loads late, fails late

    shown = page.evaluate("document.documentElement.dataset.theme")
    assert shown == scheme
    formulas, rendered, faulty = page.evaluate(
        "['.math', '.math mjx-container', 'mjx-merror'].map("
        "s => document.querySelectorAll(s).length)"
    )
    assert (rendered, faulty) == (formulas, 0)
    images = page.evaluate(
        "[...document.querySelectorAll('main img')].map("
        "i => [i.getAttribute('src').slice(0, 80), i.alt, i.complete && i.naturalWidth])"
    )
    for source, text, pixels in images:
        assert " " in text.strip(), f"the alternative text of {source} is {text!r}"
        assert pixels, source
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{name} is {wide} pixels wider than a window of {width}"

    assert page.problems == []

    page.evaluate(axe)
    found = page.evaluate(
        "hidden => axe.run({exclude: hidden.map(s => [s])}, "
        "{resultTypes: ['violations'], preload: false})",  # preloading would fetch style sheets
        list(NOT_OURS),
    )
    violations = [
        f"{violation['id']}: {node['target']} {node['html'][:100]} {node['failureSummary'][:200]}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
    assert not violations, "\n".join(violations)


NOTEBOOKS = [name for name in CHAPTERS if name.startswith("notebooks/")]


# What tests look at on one and the same page: each sets the window, the theme and the place.


@pytest.fixture(scope="module", params=[*NOTEBOOKS, "book/results"])
def opened(html, browser, request):
    """A page with figures, opened once for all tests that leave it as they found it."""
    with pages_of(html, browser) as open_page:
        page = open_page(request.param)
        page.name = request.param
        yield page


@pytest.fixture
def reading(opened):
    yield opened
    opened.emulate_media(media="screen", color_scheme="light")
    opened.evaluate("scrollTo(0, 0)")


def resize(page, width: int, height: int = 800) -> None:
    page.set_viewport_size({"width": width, "height": height})


CUT_OFF = "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"


@pytest.mark.parametrize("width", [1366, 1280, 768])
def test_code_fits_a_window_from_a_tablets_width_on(reading, width):
    resize(reading, width)
    assert reading.eval_on_selector_all("main pre", CUT_OFF) == []


def test_an_exercises_verdict_fits_a_phone(reading):
    resize(reading, 360)
    verdicts = ":is(.tag_exercise, .tag_solution) .output :is(pre, [class^=vae-])"
    assert reading.locator(verdicts).count() >= (8 if reading.name in NOTEBOOKS else 0)
    assert reading.eval_on_selector_all(verdicts, CUT_OFF) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_the_header_covers_nothing_while_one_reads_up_or_down(reading, width):
    resize(reading, width)
    for way in (1500, -300):
        reading.evaluate("way => scrollBy({top: way, behavior: 'instant'})", way)
        reading.wait_for_timeout(50)
        header = reading.locator(".bd-header-article").bounding_box()
        assert header["y"] + header["height"] <= 0


SHOWN = "all => all.filter(i => i.clientWidth).map(i => i.src)"


def test_every_figure_has_a_face_for_light_and_one_for_dark_pages(reading):
    resize(reading, 1280)
    papers = {}
    for scheme in ("light", "dark"):
        reading.emulate_media(color_scheme=scheme)
        reading.wait_for_function("s => document.documentElement.dataset.theme === s", arg=scheme)
        papers[scheme] = []
        for source in reading.eval_on_selector_all("main .enlarge img", SHOWN):
            with Image.open(unquote(source.removeprefix("file://"))) as figure:
                papers[scheme].append(figure.convert("L").getpixel((0, 0)))
    assert len(papers["light"]) == len(papers["dark"]) >= 7
    assert min(papers["light"]) > 240
    assert max(papers["dark"]) < 30
    shown = reading.locator("main .enlarge").first.screenshot()
    with Image.open(io.BytesIO(shown)) as figure:
        assert max(figure.convert("L").crop((0, 0, figure.width, 3)).getextrema()) < 30


def test_figures_whose_letters_are_small_on_a_phone_open_large(reading):
    resize(reading, 390)
    small = reading.eval_on_selector_all(
        "main img",
        """all => all.filter(i => i.clientWidth)
            .filter(i => 13.9 * i.clientWidth / i.naturalWidth < 8)  // 10 points at 100 dpi
            .map(i => i.closest("a.enlarge") ? "" : i.src)""",
    )
    assert len(small) >= 7
    assert not any(small)
    figure = reading.locator("main .enlarge").first
    figure.click()
    large = reading.locator("dialog[open] img")
    assert large.evaluate("i => i.clientWidth >= i.naturalWidth && i.clientHeight > 100")
    reading.keyboard.press("Escape")
    large.wait_for(state="detached")
    assert figure.evaluate("e => e === document.activeElement")


FOLDED = "main details:not([open], .vae-explorer *), main .toggle-hidden"


def test_on_paper_code_is_whole_answers_are_unfolded_and_pages_are_light(reading):
    resize(reading, 720)  # A4 less its margins
    reading.emulate_media(color_scheme="dark")
    reading.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    before = reading.locator(FOLDED).count()
    assert before >= (10 if reading.name in NOTEBOOKS else 1)
    reading.emulate_media(media="print")
    reading.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert reading.locator(FOLDED).count() == 0
    assert reading.evaluate("document.documentElement.dataset.theme") == "light"
    assert reading.eval_on_selector_all("main pre", CUT_OFF) == []
    reading.evaluate("dispatchEvent(new Event('afterprint'))")
    assert reading.locator(FOLDED).count() == before
    assert reading.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_printer_gets_what_is_folded(visit):
    page = visit("book/prerequisites")
    page.evaluate("addEventListener('afterprint', () => { window.printed = true })")
    page.evaluate(
        "f => addEventListener('beforeprint', () => {"
        "  window.left = document.querySelectorAll(f).length })",
        FOLDED,
    )
    assert page.locator(FOLDED).count() >= 5
    page.pdf()
    assert page.evaluate("[window.left, window.printed]") == [0, True]


@pytest.mark.parametrize("name", [NOTEBOOKS[0], NOTEBOOKS[2], "book/notation"])
def test_a_formula_wider_than_the_window_shows_its_beginning(visit, name):
    page = visit(name, 360)
    left = page.eval_on_selector_all(
        "div.math svg", "all => all.map(e => Math.round(e.getBoundingClientRect().left))"
    )
    assert left
    assert min(left) >= 0


def test_no_line_begins_with_the_full_stop_after_a_formula(reading):
    resize(reading, 360)
    apart = reading.evaluate(
        """[...document.querySelectorAll("main span.math")].filter(formula => {
            const next = formula.nextSibling;
            if (!/^[.,;:?!)]/.test(next?.data)) return false;
            const mark = document.createRange();
            mark.setStart(next, 0);
            mark.setEnd(next, 1);
            return mark.getBoundingClientRect().top > formula.getBoundingClientRect().bottom;
        }).length"""
    )
    assert apart == 0


def test_a_rows_name_stays_in_sight_where_a_table_scrolls(visit):
    page = visit("book/results", 360)
    hidden = page.eval_on_selector_all(
        ".pst-scrollable-table-container",
        """all => all.filter(box => box.scrollWidth > box.clientWidth + 1).map(box => {
            box.scrollLeft = box.scrollWidth;
            const edge = box.getBoundingClientRect().left;
            const names = [...box.querySelectorAll("tr > :first-child")];
            return names.filter(e => e.getBoundingClientRect().left < edge - 2).length;
        })""",
    )
    assert len(hidden) > 3
    assert not any(hidden)


def test_an_icon_that_is_drawn_late_does_not_rename_its_button(visit):
    page = visit("book/bibliography")
    page.evaluate(
        "document.querySelector('.theme-switch-button')"
        ".insertAdjacentHTML('beforeend', '<i class=\"fa-solid fa-sun\" title=\"Light\"></i>')"
    )
    page.locator(".theme-switch-button svg").nth(3).wait_for(state="attached")
    button = page.locator(".theme-switch-button")
    assert button.locator("title, [role], [aria-labelledby]").count() == 0
    assert button.text_content().strip() == ""


class Anchors(HTMLParser):
    """The links of a page, what they point to, and the places that can be pointed to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.sources, self.places = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes) -> None:
        found = dict(attributes)
        self.places |= {found.get("id"), found.get("name")}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in ("script", "img", "link"):
            self.sources += [found[key] for key in ("src", "href") if found.get(key)]


def test_every_link_and_every_file_that_a_page_names_is_there(html):
    pages = {path: Anchors(path.read_text(encoding="utf-8")) for path in html.rglob("*.html")}
    pages = {path: anchors for path, anchors in pages.items() if "_static" not in path.parts}
    assert len(pages) > len(CHAPTERS)
    dead = []
    for path, anchors in pages.items():
        for link in anchors.links + anchors.sources:
            address, place = urldefrag(link)
            if re.match(r"[a-z]+:", address):
                continue
            target = (
                (path.parent / unquote(address.partition("?")[0])).resolve() if address else path
            )
            if not target.exists() or (
                place and target in pages and place not in pages[target].places
            ):
                dead.append(f"{path.relative_to(html)}: {link}")
    assert dead == []


def test_no_page_loads_anything_from_elsewhere(html):
    for path in html.rglob("*.html"):
        for source in Anchors(path.read_text(encoding="utf-8")).sources:
            assert not re.match(r"(https?:)?//", source), f"{path}: {source}"


@pytest.mark.parametrize(
    ("words", "chapter"),
    [("posterior collapse", "book/glossary"), ("kl_per_dimension", "book/api")],
)
def test_the_search_finds(visit, words, chapter):
    page = visit("search", query=f"?q={words.replace(' ', '+')}")
    page.locator("#search-results li a").first.wait_for()
    addresses = page.eval_on_selector_all("#search-results li a", "all => all.map(a => a.href)")
    assert [a for a in addresses if f"{chapter}.html" in a]
    assert page.problems == []


def test_a_reader_without_a_mouse_reaches_the_text_and_the_search(visit):
    page = visit("book/using")
    page.keyboard.press("Tab")
    assert "Skip to main content" in page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Control+k")
    page.keyboard.type("nats")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?*nats*")


def test_a_folded_answer_opens_by_keyboard(visit):
    page = visit("book/prerequisites")
    answer = page.locator("details").first
    assert answer.get_attribute("open") is None
    answer.locator("summary").focus()
    page.keyboard.press("Enter")
    assert answer.get_attribute("open") is not None


PICTURE = "canvas => canvas.toDataURL()"


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_slider_moves_the_face_on_every_page_that_has_an_explorer(html, visit, name):
    if "vnd.jupyter.widget-view" not in (html / f"{name}.html").read_text(encoding="utf-8"):
        assert name != TOC["root"], "the first page has an explorer"
        pytest.skip("no explorer on this page")
    page = visit(name)
    explorers = page.locator(".vae-explorer")
    explorers.first.locator(".ve-figures canvas").first.wait_for()
    for number in range(explorers.count()):
        explorer = explorers.nth(number)
        face = explorer.locator(".ve-figures canvas").first.element_handle()
        handle = explorer.locator('input[type="range"]').first
        handle.scroll_into_view_if_needed()
        page.wait_for_function(f"c => ({PICTURE})(c).length > 1000", arg=face)
        before = face.evaluate(PICTURE)
        handle.focus()
        for _ in range(10):
            page.keyboard.press("ArrowRight")
        page.wait_for_function(f"([c, old]) => ({PICTURE})(c) !== old", arg=[face, before])
    assert page.problems == []
