"""The browser's side: modules that Node's tests import as they are, and a page as one text."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

BROWSER = Path(__file__).parent / "browser"
# Each module imports only from modules before it.
MODULES = (
    "numbers",
    "decoder",
    "encoder",
    "crop",
    "state",
    "sources",
    "pictures",
    "dom",
    "names",
    "controller",
    "place",
    "camera",
    "posterior",
    "photo",
    "previews",
    "play",
    "map",
    "rate",
    "parts",
    "keep",
    "view",
)


def join_modules(paths: Iterable[Path]) -> str:
    """Modules as one: a page on the disk can import no other file.

    Examples
    --------
    >>> "export const" in join_modules([BROWSER / "numbers.mjs"])
    False
    """
    texts = [path.read_text(encoding="utf-8") for path in paths]
    imports, exports = r"^import \{[^}]*\} from .*\n", r"^export (?!default)"
    text = re.sub(f"{imports}|{exports}", "", "\n".join(texts), flags=re.MULTILINE)
    # Of letters beyond Latin 1 a single one would make a browser keep the whole text twice as wide.
    return re.sub(r"[^\0-\xff]", lambda letter: f"\\u{{{ord(letter[0]):x}}}", text)


def browser_module(*more: str) -> str:
    """The modules of ``browser/`` as one, with their digest.

    Examples
    --------
    >>> browser_module("host").startswith("// Small mathematics")
    True
    """
    text = join_modules(BROWSER / f"{name}.mjs" for name in MODULES + more)
    return text.replace("DIGEST", hashlib.sha256(text.encode()).hexdigest()[:12])
