"""An explorer as a page of its own: one file that needs no Jupyter, no server and no network."""

import base64
import html
import json
import os
import re
import tempfile
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget

from vae_lib.errors import InputError
from vae_lib.files import reading, write_atomically

GENERATOR = '<meta name="generator" content="vae_lib explore">'
CELEBA_TERMS = (
    "These weights were trained on CelebA: for non-commercial research and education only. They "
    "hold no picture of CelebA."
)
# Whatever the page's scripts do, the browser lets nothing in and nothing out.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; media-src blob:"
)
ICON = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>"
    "<g stroke='%232358b8' stroke-width='2'><path d='M1 4h14M1 12h14'/>"
    "<g fill='white'><circle cx='10' cy='4' r='2.5'/><circle cx='5' cy='12' r='2.5'/></g></g></svg>"
)

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{generator}
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title} – latent explorer</title>
<link rel="icon" href="{icon}">
<style>
{css}
:root {{ color-scheme: light dark; }}
body {{
  display: flex; flex-direction: column; height: 100vh; height: 100svh; margin: 0;
  background: light-dark(#f3f5f8, #0e1013); color: light-dark(#1d2127, #e6e8ec);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}}
header {{ display: flex; gap: 14px; align-items: baseline; padding: 7px 16px 1px; }}
h1, header > p {{ overflow: hidden; white-space: nowrap; text-overflow: ellipsis; margin: 0; }}
h1 {{ flex: 0 1 auto; font-size: 15px; }}
header > p {{ flex: 1 1 0; }}
details {{ flex: none; position: relative; }}
header summary {{ cursor: pointer; text-decoration: underline; }}
header div {{
  position: absolute; right: 0; z-index: 9; box-sizing: border-box; width: min(34em, 100vw - 32px);
  max-height: 75vh; overflow-y: auto; padding: 4px 18px; border: 1px solid; border-radius: 10px;
  background: light-dark(#ffffff, #16181c);
}}
main {{ flex: 1; min-height: 312px; overflow: hidden; padding: 0 6px; }}
main > .vae-explorer {{ margin: 6px 0; }}
@media (max-width: 800px) {{ header > p {{ display: none; }} h1 {{ flex: 1 1 0; }} }}
@media print {{ body {{ height: auto; }} main {{ overflow: visible; }} }}
</style>
</head>
<body>
<header>
<h1>A face from {size} numbers</h1>
<p>A network learned to draw faces. Each slider moves one of its numbers, or several at once.</p>
<details>
<summary>What is this?</summary>
<div>
<p>A variational autoencoder (VAE): a network that learned, from faces alone, to put a face into
{size} numbers and to draw it again. Begin with a face of the gallery, drag a slider, and watch what
the number means. Arrow keys move a slider too, and the tab key leads to the next.</p>
<p>All of it is in this file. It works offline, loads nothing and sends nothing.</p>
<p>To learn how such a network is built, trained and measured, take the course that wrote this page:
“Learn variational autoencoders on faces”, the Python package <code>vae_lib</code>. There,
<code>vae explore</code> writes a page like this one, of your own model too.</p>
{terms}
</div>
</details>
</header>
<main id="explorer"><p>If no face appears: save this file and open it in a browser. A preview in a
mail or a messenger runs no scripts.</p></main>
<script type="application/json" id="traits">{traits}</script>
<script type="module">
{script}
start(document.getElementById("traits").textContent, document.getElementById("explorer"));
</script>
</body>
</html>
"""


def page_of(
    explorer: anywidget.AnyWidget,
    script: str,
    css: str,
    celeba: bool,
    encoders: Sequence[bytes] = (),
) -> str:
    """The text of the page: the explorer as it stands, with the weights in it.

    ``script`` are the modules of ``browser/`` with ``host`` as the last; ``celeba`` says whether
    its models were trained on CelebA, whose terms go with them; ``encoders`` are those of its
    models, where they go with the page.
    """
    carriers: Sequence[anywidget.AnyWidget] = explorer.models
    traits = {
        "explorer": _traits(explorer),
        "carriers": {one.model_id: _traits(one) for one in carriers},
    }
    for carrier, encoder in zip(carriers, encoders, strict=False):
        traits["carriers"][carrier.model_id]["encoder"] = encoder
    return PAGE.format(
        generator=GENERATOR,
        policy=POLICY,
        icon=ICON.replace('"', "'"),
        title=html.escape(" · ".join(explorer.labels) or "No model"),
        size=carriers[0].spec["latent_size"] if carriers else "some",
        terms=f"<p>{CELEBA_TERMS}</p>" if celeba else "",
        css=css.replace("</", "<\\/"),
        # Inside of a script, these would end it or change how what follows is read.
        traits=json.dumps(traits, default=_base64).replace("<", "\\u003c"),
        script=re.sub(r"<(?=/script|script|!--)", r"\\x3c", script, flags=re.IGNORECASE),
    )


def _traits(widget: anywidget.AnyWidget) -> dict[str, Any]:
    """What a widget tells its page beyond what every widget does."""
    everywhere = anywidget.AnyWidget.class_trait_names(sync=True)
    own = set(type(widget).class_trait_names(sync=True)) - {*everywhere, "_esm", "_css"}
    return widget.get_state(own)


def _base64(value: bytes | memoryview) -> dict[str, str]:
    return {"base64": base64.b64encode(value).decode()}


def write_page(path: Path, text: str) -> Path:
    """Write a page; an earlier page of ours may stand there, nothing else.

    Raises
    ------
    InputError
        If the name is not that of a page, if something else stands there, or if it cannot be
        written.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it, such as {path / 'face.html'}.")
    if not path.exists() or path.is_file():  # a device takes what it gets
        if path.suffix.lower() not in (".html", ".htm"):
            raise InputError(
                f"{path} would not open in a browser: its name must end with .html. Take "
                f"{path.name}.html."
            )
        if path.exists() and not _is_ours(path):
            raise InputError(
                f"{path} is there already, and no explorer wrote it; it was left as it is. Choose "
                "another name, or delete it."
            )
    write_atomically(path, text.encode())
    return path


def _is_ours(path: Path) -> bool:
    with reading(path), path.open("rb") as file:
        return GENERATOR.encode() in file.read(1000)


def temporary_page(name: str) -> Path:
    """Where a page can stand that is only to be looked at, and where browsers can read it."""
    # A browser that is installed as a snap sees no /tmp and no hidden folder.
    if Path("/snap/bin").exists():
        return Path.home() / "vae-explore" / f"{name}.html"
    return Path(tempfile.mkdtemp(prefix="vae-explore-")) / f"{name}.html"


def open_in_browser(path: Path) -> bool:
    """Show a file in the browser with windows that this machine has; False if there is none."""
    try:
        controller = webbrowser.get()
    except webbrowser.Error:
        return False
    # Without a display Python offers browsers for terminals, which run no scripts.
    terminal = type(controller) is webbrowser.GenericBrowser and "BROWSER" not in os.environ
    return not terminal and controller.open(path.absolute().as_uri())
