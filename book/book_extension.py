"""What this book needs of Sphinx beyond the settings in `_config.yml`."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import get_origin

from vae_lib.figures import DARK_PNG


def read_as_meant(app, what, name, obj, options, lines) -> None:
    """Take docstrings as sentences where reStructuredText or Napoleon would find syntax in them."""
    # |z| is an absolute value and no substitution, except in code.
    lines[:] = [re.sub(r"(``.*?``|`.*?`)|\|", lambda m: m[1] or r"\|", line) for line in lines]
    if what in ("attribute", "property"):
        # Napoleon would take what stands before a colon in the first line for a type.
        lines[:0] = ["..", ""]


def keep_names_together(app, what, name, obj, options, lines) -> None:
    """Sphinx would take the first of two names for a type: ``:ivar epoch, step:``."""
    names = re.compile(r"^:ivar [\w, ]+:")
    lines[:] = [names.sub(lambda m: m[0].replace(", ", ","), line) for line in lines]


def skip_what_explains_nothing(app, what, name, obj, skip, options) -> bool | None:
    """Fields of named tuples ("Alias for field number 0"), names of types, others' methods."""
    field = str(getattr(obj, "__doc__", "")).startswith("Alias for field")
    others = not str(getattr(obj, "__module__", None) or "vae_lib").startswith("vae_lib")
    return True if field or others or get_origin(obj) is not None else None


def repair_page(app, page, template, context, doctree) -> None:
    """Leave out Thebe, which runs cells on a server, and names and roles that mislead readers."""
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{script} {getattr(script, 'attributes', '')}".lower()
    ]
    body = context.get("body", "")
    # Docutils calls citations a list, and its entries something else than items.
    body = body.replace('<div role="list" class="citation-list">', "<div>")
    # A line may break on either side of a formula, even before the full stop that follows it.
    formula = r'<span class="math notranslate nohighlight">[^<]*</span>[.,;:?!)]+'
    body = re.sub(formula, r'<span class="unbroken">\g<0></span>', body)
    body = with_dark_faces(body, Path(app.outdir) / "_images", dark_faces(app, page))
    # MyST-NB names folded cells otherwise than their visible text does.
    context["body"] = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")


def dark_faces(app, page: str) -> dict[str, bytes]:
    """File name of a figure → its dark face: those that build.py drew, those of executed cells."""
    drawn = (Path(app.srcdir) / page).parent / "figures" / "dark"
    faces = {path.name: path.read_bytes() for path in drawn.glob("*.png")}
    executed = Path(app.outdir).parent / "jupyter_execute" / f"{page}.ipynb"  # MyST-NB keeps it
    if executed.exists():
        for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"]:
            for shown in (output.get("data", {}) for output in cell.get("outputs", [])):
                if DARK_PNG in shown:
                    light, dark = (
                        base64.b64decode("".join(shown[kind])) for kind in ("image/png", DARK_PNG)
                    )
                    faces[f"{hashlib.sha256(light).hexdigest()}.png"] = dark
    return faces


def with_dark_faces(body: str, folder: Path, faces: dict[str, bytes]) -> str:
    """Show each figure by a picture for either theme, which opens large when it is chosen."""

    def both(found: re.Match) -> str:
        path, name = found[2], found[3]
        if name not in faces:
            return found[0]
        folder.mkdir(exist_ok=True)
        (folder / f"dark-{name}").write_bytes(faces[name])
        light = f'<img class="only-light" {found[1]}src="{path}{name}"{found[4]}>'
        dark = f'<img class="only-dark" {found[1]}src="{path}dark-{name}"{found[4]}>'
        return f'<a class="enlarge" href="{path}{name}" title="Open large">{light}{dark}</a>'

    return re.sub(r'<img ([^>]*)src="([^"]*_images/)([^"/]+)"([^>]*)>', both, body)


def setup(app) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", read_as_meant, priority=100)
    app.connect("autodoc-process-docstring", keep_names_together, priority=900)
    app.connect("autodoc-skip-member", skip_what_explains_nothing)
    app.connect("html-page-context", repair_page, priority=900)
    return {"parallel_read_safe": True}
