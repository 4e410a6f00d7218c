"""The notebooks as a learner meets them: opened in a real JupyterLab, rendered, nothing run yet."""

import json
import re
import shutil

import nbformat
import pytest
from explorer_pages import PATIENCE, ROOT, jupyterlab

PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# What the tests below must be able to see, each in a cell of its own.
FAULTS = {
    "a role that finds nothing": "Cited {cite}`nobody2000`.",
    "a directive that nobody knows": "```{nonsense} Title\n:class: tip\nBody\n```",
    "a directive that stays text": "Look:\n\n    ```{admonition} Title\n    :class: tip\n    ```",
    "a formula that is none": r"So $\frac{1$ and $\nonsense$.",
    "a formula with a number of its own": "$$x = 1 \\tag{3}$$",
    "a link to nowhere": "See {term}`nothing`.",
}
SETTINGS = {
    # Every cell stands in the page, not only those in view.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
RENDERED = """([count, viewer]) => {
  const cells = [...document.querySelectorAll('.jp-Notebook .jp-Cell')];
  const texts = cells.filter((cell) => cell.classList.contains('jp-MarkdownCell'));
  return cells.length === count && texts.every((cell) => cell.querySelector(viewer)?.innerText);
}"""
MYST, PLAIN = ".myst", ".jp-RenderedMarkdown"  # with jupyterlab-myst, and without
# What jupyterlab-myst shows instead of what it cannot resolve or typeset, and KaTeX's own mark.
MARKS = ".jp-MarkdownCell :is([title*='Not Found'], .text-yellow-600, .text-red-600, .katex-error)"


def prepared(folder):
    """A folder with copies of the notebooks, and a JupyterLab's settings in it."""
    for path in PATHS:
        shutil.copy(path, folder)
    cells = [nbformat.v4.new_markdown_cell(text) for text in FAULTS.values()]
    spoiled = nbformat.v4.new_notebook(cells=cells)
    spoiled.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(spoiled, folder / "spoiled.ipynb")
    for plugin, settings in SETTINGS.items():
        file = folder / "jupyterlab_settings_dir" / "@jupyterlab" / plugin
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".jupyterlab-settings").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a running JupyterLab's folder, which holds copies of the notebooks."""
    with jupyterlab(prepared(tmp_path_factory.mktemp("lab"))) as address:
        yield address


@pytest.fixture(scope="module")
def plain_lab(tmp_path_factory):
    """The same where jupyterlab-myst is not at work, as for who did not install it."""
    folder = prepared(tmp_path_factory.mktemp("plain"))
    config = folder / "jupyter_config_dir" / "labconfig" / "page_config.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"disabledExtensions": {"jupyterlab-myst": True}}))
    with jupyterlab(folder) as address:
        yield address


def show(browser, lab: str, stem: str, cells: int, viewer: str = MYST):
    """Open a notebook, alone, and wait until each of its cells is rendered."""
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.set_default_timeout(PATIENCE)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda m: page.problems.append(m.text) if m.type == "error" else None)
    # A workspace of its own: JupyterLab would open again what another page had opened.
    page.goto(lab.replace("/tree/", f"/workspaces/{stem}/tree/").replace("explorer", stem))
    page.wait_for_function(RENDERED, arg=[cells, viewer])
    return page


@pytest.fixture(scope="module", params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture(scope="module")
def notebook(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def page(browser, lab, path, notebook):
    page = show(browser, lab, path.stem, len(notebook.cells))
    yield page
    page.close()


def texts(notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def shown(page) -> str:
    """The text of all rendered cells, with what is folded away, without formulas."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.jp-MarkdownCell .myst')].map((cell) => {
          const copy = cell.cloneNode(true);
          copy.querySelectorAll('.katex').forEach((formula) => formula.remove());
          return copy.textContent;
        }).join('\\n')"""
    )


def raw_syntax(text: str) -> list[str]:
    """Directives, their options, roles and the fences and dollars around them."""
    return re.findall(r"```\S*|:::\S*|^\s*:\w+:.*|\{[\w:-]+\}|\$\$?|\\begin|\\tag", text, re.M)


def dead_links(page) -> list[str]:
    """Links that lead to this server or to nothing; those of headings to themselves are fine."""
    return page.eval_on_selector_all(
        ".jp-MarkdownCell .myst a:not(.jp-InternalAnchorLink)",
        "all => all.filter(a => !a.closest('h1, h2, h3') && a.host === location.host)"
        ".map(a => a.outerHTML)",
    )


def numbers_added(page) -> list[str]:
    """Equation numbers that do not stand in the notebook."""
    return page.locator(".jp-MarkdownCell [title='Link to this Equation']").all_inner_texts()


def test_there_are_notebooks():
    assert len(PATHS) == 3


def test_no_syntax_is_left_as_text(page, notebook):
    text = shown(page)
    assert len(text.split()) > 2_000
    assert raw_syntax(text) == []


def test_nothing_is_marked_as_missing_or_unknown(page):
    assert page.locator(MARKS).all_inner_texts() == []
    assert not re.search(r"not found|unknown directive", shown(page), re.I)


def test_every_question_and_exercise_is_set_off(page, notebook):
    expected = re.findall(r"^> \*\*(.+)\*\*$", "\n".join(texts(notebook)), re.M)
    titles = page.locator(".jp-MarkdownCell blockquote > p:first-child > strong")
    assert len(expected) >= 10
    assert titles.all_inner_texts() == expected


def test_every_formula_is_typeset_and_none_gets_a_second_number(page, notebook):
    source = "\n".join(texts(notebook))
    inline = re.findall(r"(?<!\\)\$[^$]+\$", source)
    display = re.findall(r"\\begin\{equation\*\}", source)
    assert page.locator(".jp-MarkdownCell .katex").count() == len(inline) + len(display) > 0
    assert page.locator(".jp-MarkdownCell .katex-display").count() == len(display)
    assert numbers_added(page) == []
    tags = page.locator(".jp-MarkdownCell .katex-html > .tag").all_inner_texts()
    assert [tag.strip() for tag in tags] == [
        f"({n})" for n in re.findall(r"\\tag\{(\d+)\}", source)
    ]


def test_links_lead_to_what_is_cited(page, notebook):
    expected = re.findall(r"\]\((http[^)\s]+)\)", "\n".join(texts(notebook)))
    found = page.eval_on_selector_all(
        ".jp-MarkdownCell .myst a[href^=http]", "all => all.map(a => a.getAttribute('href'))"
    )
    assert found == expected
    assert dead_links(page) == []


def test_solutions_are_folded_and_their_exercises_are_not(page, notebook):
    solutions = 0
    for number, cell in enumerate(notebook.cells):
        tags = set(cell.metadata.get("tags", [])) & {"exercise", "solution"}
        if not tags:
            continue
        code = page.locator(".jp-Notebook .jp-Cell").nth(number)
        folded = tags == {"solution"}
        solutions += folded
        assert code.locator(".cm-content").is_visible() is not folded
        assert code.locator(".jp-Placeholder").is_visible() is folded
        assert (cell.source.splitlines()[-1] in code.inner_text()) is not folded
        assert (cell.source.splitlines()[0] in code.inner_text()) or not folded  # "# Solution …"
    assert solutions >= 4


def answers_fold(page, notebook) -> None:
    """All are closed; the first opens and closes at a click, and holds what was written."""
    answers = page.locator(".jp-MarkdownCell details")
    assert answers.count() == sum(text.count("<details>") for text in texts(notebook)) >= 5
    assert page.locator(".jp-MarkdownCell details[open]").count() == 0
    rendered = page.locator(".jp-MarkdownCell").locator(f"{MYST}, {PLAIN}")
    assert rendered.filter(has_text="details>").count() == 0 < rendered.count()
    body = answers.first.locator("summary + *")
    assert not body.is_visible()
    answers.first.locator("summary").click()
    body.wait_for(state="visible")
    answers.first.locator("summary").click()
    body.wait_for(state="hidden")


def test_answers_are_closed_and_open_at_a_click(page, notebook):
    answers_fold(page, notebook)


def test_without_an_extension_answers_fold_and_formulas_are_typeset(browser, plain_lab):
    notebook = nbformat.read(PATHS[0], as_version=4)
    page = show(browser, plain_lab, PATHS[0].stem, len(notebook.cells), PLAIN)
    assert page.locator(MYST).count() == 0
    answers_fold(page, notebook)
    source = "\n".join(texts(notebook))
    formulas = re.findall(r"(?<!\\)\$[^$]+\$|\\begin\{equation\*\}", source)
    page.wait_for_function(
        "count => document.querySelectorAll('.jp-MarkdownCell mjx-container').length === count",
        arg=len(formulas),
    )
    assert page.locator(".jp-MarkdownCell mjx-merror").count() == 0
    assert page.locator(".jp-MarkdownCell blockquote strong").count() >= 10
    page.close()


def test_the_console_reports_no_error(page):
    assert page.problems == []


def test_these_tests_would_see_a_fault(browser, lab):
    """A notebook in which everything is wrong, looked at in the same ways."""
    page = show(browser, lab, "spoiled", len(FAULTS))
    marks = page.locator(MARKS)
    marks.first.wait_for()
    assert "nobody2000" in marks.all_inner_texts()
    assert marks.count() >= 4  # the role, the directive, two formulas
    assert "Unknown Directive" in shown(page)
    assert raw_syntax(shown(page)) == ["```{admonition}", ":class: tip", "```"]
    assert numbers_added(page) == ["(1)"]
    assert len(dead_links(page)) >= 1
    assert any("nonsense" in problem for problem in page.problems)
    page.close()
