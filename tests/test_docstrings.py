"""Every public function shows an example, which pytest runs (see pyproject.toml)."""

import importlib
import inspect
import pkgutil

import vae_lib

# Rooms whose functions nobody calls from a notebook, each with the reason. Their tests show them.
INNER = {
    "vae_lib.cli": "the command explains itself: vae --help",
    "vae_lib.console": "what a terminal shows",
    "vae_lib.course.checks.": "one table of wrong answers: tests/test_checks.py",
    "vae_lib.devices": "what it says depends on the machine",
    "vae_lib.errors": "sentences for what others raise",
    "vae_lib.explorer.payload": "what a page is sent",
    "vae_lib.faces.cache": "files of the cache",
    "vae_lib.faces.celeba": "archives and lists on disk",
    "vae_lib.faces.download": "needs a network",
    "vae_lib.faces.lists": "lists of CelebA on disk",
    "vae_lib.faces.pictures": "bytes of picture files",
    "vae_lib.faces.repeats": "rows of a set that is being read",
    "vae_lib.faces.transfer": "needs a network",
    "vae_lib.faces.verify": "archives on disk",
    "vae_lib.files": "files that survive a kill",
    "vae_lib.training.captured": "needs a GPU",
}
# Rooms whose examples are still to be written: a name leaves once its functions have them.
LATER = [
    "checkpoint",
    "config",
    "explorer.photo",
    "explorer.widget",
    "faces.synthetic",
    "model",
    "objective",
    "study",
    "training",
]


def public_functions(module):
    """Those that this module makes, by their names."""
    found = vars(importlib.import_module(module)).items()
    return {
        name: value
        for name, value in found
        if inspect.isfunction(value) and value.__module__ == module and name[0] != "_"
    }


def has_example(function):
    return ">>>" in (function.__doc__ or "")


def test_every_public_function_shows_an_example():
    bare, passed = [], (*INNER, "vae_lib.__main__", *(f"vae_lib.{room}." for room in LATER))
    for info in pkgutil.walk_packages(vae_lib.__path__, "vae_lib."):
        if not f"{info.name}.".startswith(passed):
            functions = public_functions(info.name)
            bare += [f"{info.name}.{n}" for n, f in functions.items() if not has_example(f)]
    assert not bare, f"without an example (>>>) in their docstrings: {', '.join(bare)}"
