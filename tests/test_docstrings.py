"""Every public function shows an example, which pytest runs (see pyproject.toml)."""

import importlib
import inspect
import pkgutil

import vae_lib


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
    bare = []
    for info in pkgutil.walk_packages(vae_lib.__path__, "vae_lib."):
        if info.name.endswith("__main__"):
            continue
        functions = public_functions(info.name)
        if any(map(has_example, functions.values())):  # a module that has begun has all
            bare += [f"{info.name}.{n}" for n, f in functions.items() if not has_example(f)]
    assert not bare, f"without an example (>>>) in their docstrings: {', '.join(bare)}"
