"""Pages for the browser tests: cells executed by a kernel, shown without one."""

import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pytest
from ipywidgets.embed import dependency_state, embed_data
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
PATIENCE = 240_000  # ms; machines may be busy

PAGE = """<!doctype html>
<html lang="en" data-theme="{theme}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Explorer</title><link rel="icon" href="data:,">
<script src="scripts/vendor/require.js"></script>
<script src="scripts/widgets.js"></script>
<script src="scripts/vendor/embed-amd.js" data-jupyter-widgets-cdn="scripts/vendor/"></script>
<style>html[data-theme=dark] {{ background: #121212; color: #eee }} body {{ margin: 12px }}</style>
</head>
<body>
<script type="application/vnd.jupyter.widget-state+json">{state}</script>
{views}
</body></html>
"""
VIEW = '<div><script type="application/vnd.jupyter.widget-view+json">{}</script></div>'
STATE_TYPE = "application/vnd.jupyter.widget-state+json"
VIEW_TYPE = "application/vnd.jupyter.widget-view+json"


def book_build():
    """The module book/build.py."""
    spec = importlib.util.spec_from_file_location("book_build", ROOT / "book" / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    return build


def widget_scripts() -> Path:
    """The scripts that the book's pages load; without npm tests skip, in CI they fail."""
    build = book_build()
    try:
        return build.fetch_scripts()
    except build.BuildError as error:
        missing = pytest.fail if os.environ.get("VAE_REQUIRE_BROWSER") == "1" else pytest.skip
        missing(f"{error}")


def executed(*cells: str) -> nbformat.NotebookNode:
    """A notebook with these cells and what a kernel put out, widget state included."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=120, store_widget_state=True).execute()
    return notebook


def write_page(folder: Path, state: dict, views: list[dict], theme: str = "light") -> Path:
    """A page with this widget state and these views, beside the scripts that it loads."""
    scripts = folder / "scripts"
    if not scripts.exists():
        shutil.copytree(widget_scripts() / "vendor", scripts / "vendor")
        shutil.copyfile(ROOT / "book" / "static" / "widgets.js", scripts / "widgets.js")
    shown = "\n".join(VIEW.format(json.dumps(view)) for view in views)
    text = json.dumps(state).replace("</", "<\\/")
    page = folder / f"page-{theme}.html"
    page.write_text(PAGE.format(theme=theme, state=text, views=shown), encoding="utf-8")
    return page


def write_widgets(folder: Path, *widgets) -> Path:
    """A page with these widgets of this process, and with no others."""
    state = dependency_state(widgets, drop_defaults=False)
    data = embed_data(widgets, drop_defaults=False, state=state)
    return write_page(folder, data["manager_state"], data["view_specs"])


def static_page(folder: Path, *cells: str, theme: str = "light") -> Path:
    """Execute cells and write their widgets as a page that needs neither kernel nor network."""
    notebook = executed(*cells)
    views = [
        output.data[VIEW_TYPE]
        for cell in notebook.cells
        for output in cell.outputs
        if VIEW_TYPE in output.get("data", {})
    ]
    return write_page(folder, notebook.metadata.widgets[STATE_TYPE], views, theme)


@contextmanager
def jupyterlab(folder: Path, *cells: str) -> Iterator[str]:
    """A JupyterLab on a free port, with settings of its own; gives the address of the notebook."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "explorer.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    lab = ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    own = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", *lab)
    environment = os.environ | {name: str(folder / name.lower()) for name in (*own, "IPYTHONDIR")}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}"]
    command += [f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(PATIENCE // 500):
            address = f"http://127.0.0.1:{port}/api/status?token={token}"
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                if server.poll() is not None:
                    break
                time.sleep(0.5)
        if server.poll() is not None:
            raise RuntimeError((folder / "log").read_text())
        yield f"http://127.0.0.1:{port}/lab/tree/explorer.ipynb?token={token}"
    finally:
        server.terminate()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:  # it waits 30 s for a kernel that was once restarted
            server.kill()
            server.wait()


def run_all_cells(page, address: str) -> None:
    """Open the notebook, run it, and wait until every explorer shows a face."""
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_function("window.jupyterapp?.commands.hasCommand('notebook:run-all-cells')")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell")
    page.wait_for_function(
        "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    )
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(READY)


# What a page shows.

READY = (
    "document.querySelectorAll('.ve-speed').length > 0 && "
    "[...document.querySelectorAll('.ve-speed')].every(e => e.textContent.includes('ms'))"
)


def opened(browser, path, **options):
    """The page in a browser without a network; what it asks for and complains of is kept."""
    context = browser.new_context(accept_downloads=True, **options)
    context.set_offline(True)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.requests, page.problems = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on(
        "console",
        lambda message: message.type == "error" and page.problems.append(message.text),
    )
    page.goto(path.as_uri())
    page.wait_for_function(READY)
    return page


PIXELS = """(selector) => {
  const canvas = document.querySelector(selector);
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return [canvas.height, canvas.width, ...data.filter((_, i) => i % 4 < 3)];
}"""


def pixels(page, selector: str = ".ve-figures canvas") -> np.ndarray:
    """The canvas's pixels, uint8 (h, w, 3)."""
    height, width, *rgb = page.evaluate(PIXELS, selector)
    return np.array(rgb, np.uint8).reshape(height, width, 3)


def shows(page, expected: np.ndarray, within: int, selector: str = ".ve-figures canvas") -> None:
    """Wait until the canvas shows this face, to within some grey levels."""
    for _ in range(300):
        error = np.abs(pixels(page, selector).astype(int) - expected).max()
        if error <= within:
            return
        page.wait_for_timeout(100)
    pytest.fail(f"The canvas still differs by {error} grey levels from what PyTorch decodes.")


def drop(page, locator, file: Path) -> None:
    """Drop a file, as from the desktop."""
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    devtools = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": box["x"] + 5, "y": box["y"] + 5, "data": data}
        devtools.send("Input.dispatchDragEvent", event)
    devtools.detach()


# Every control of an explorer is focused in turn, after the page around it was scrolled to its
# beginning or its end; with `every` 6, a sixth of them from number `first` on. Of each face 7 × 7
# points are looked at: which of them show the face and nothing else? Gives the least share that was
# seen, where that was, controls that were cut off when they were focused, and how wide the
# narrowest slider is.
SEEN = """async ({ every, first, which = 0 }) => {
  const root = document.querySelectorAll('.vae-explorer')[which];
  const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const folds = root.querySelectorAll('details:not([open])');
  for (const fold of folds) fold.open = true;
  if (folds.length) await rest(300);
  const visible = (element) => element.checkVisibility() && element.getClientRects().length;
  const faces = [...root.querySelectorAll('.ve-model canvas')];
  const share = (face) => {
    const { left, top, width, height } = face.getBoundingClientRect();
    let seen = 0;
    for (let i = 0; i < 49; i++) {
      const x = left + (((i % 7) + 0.06) / 7.05) * width + 1;
      const y = top + ((Math.floor(i / 7) + 0.06) / 7.05) * height + 1;
      seen += document.elementFromPoint(x, y) === face;
    }
    return seen / 49;
  };
  const around = [];
  for (let box = root.parentElement; box; box = box.parentElement)
    if (box.scrollHeight > box.clientHeight + 1) around.push(box);
  const kinds = 'button, input, select, summary, .ve-map';
  const controls = [...root.querySelectorAll(kinds)].filter(visible);
  const panel = root.querySelector('.ve-controls');
  const whole = (control) => {
    const [place, room] = [control, panel].map((element) => element.getBoundingClientRect());
    return place.top >= room.top - 1 && place.bottom <= room.bottom + 1;
  };
  const worst = { share: 1, control: '', from: '', controls: controls.length, cut: [] };
  worst.least = Infinity;
  for (const from of ['above', 'below']) {
    document.activeElement.blur();
    for (const [number, control] of controls.entries()) {
      if (number % every !== first && !control.matches('.ve-map')) continue;
      for (const box of around) box.scrollTop = from === 'above' ? 0 : box.scrollHeight;
      control.focus();
      if (panel.contains(control) && !whole(control))
        worst.cut.push(control.outerHTML.slice(0, 90));
      const found = Math.min(...faces.map(share));
      if (found < worst.share)
        Object.assign(worst, { share: found, from, control: control.outerHTML.slice(0, 90) });
    }
  }
  for (const range of root.querySelectorAll('input[type=range]'))
    if (visible(range)) {
      const reach = range.matches('.ve-latent *') ? 3 / Number(range.max) : 1;
      worst.least = Math.min(worst.least, range.clientWidth * reach);
    }
  const sides = faces.map((face) => Math.round(face.getBoundingClientRect().width));
  const { width, height } = root.getBoundingClientRect();
  const wide = document.documentElement.scrollWidth - innerWidth;
  return { ...worst, sides, width, height, wide };
}"""


def slider_value(page, rank: int) -> float:
    """What the readout beside a latent slider says."""
    view = page.locator(".vae-explorer").first
    text = view.locator(".ve-latent output").nth(rank).inner_text()
    return float(text.replace("−", "-"))
