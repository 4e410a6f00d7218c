"""What this book needs of Sphinx beyond the settings in `_config.yml`."""

import re
from typing import get_origin


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
    # MyST-NB names folded cells otherwise than their visible text does.
    context["body"] = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")


def setup(app) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", read_as_meant, priority=100)
    app.connect("autodoc-process-docstring", keep_names_together, priority=900)
    app.connect("autodoc-skip-member", skip_what_explains_nothing)
    app.connect("html-page-context", repair_page, priority=900)
    return {"parallel_read_safe": True}
