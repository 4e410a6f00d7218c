"""The browser's side of a figure: its modules as one text."""

from pathlib import Path

from vae_lib.explorer.modules import BROWSER, join_modules

HERE = Path(__file__).parent


def script(*names: str) -> str:
    """A figure's modules as one text; each imports only from those before it.

    >>> "class Toy" in script("toy")
    True
    """
    shared = [BROWSER / "numbers.mjs", BROWSER / "dom.mjs", HERE / "figure.mjs"]
    return join_modules(shared + [HERE / f"{name}.mjs" for name in names])
