"""Every public function shows an example, which pytest runs (see pyproject.toml)."""

import importlib
import inspect
import pkgutil

import pytest

import vae_lib

# What nobody calls from a notebook, or what takes minutes or a network,
# each with the reason. Their tests show how they are used.
WITHOUT = {
    "cli": "the command explains itself: vae --help",
    "console": "what a terminal shows",
    "course.checks": "one table of wrong answers: tests/test_checks.py",
    "devices": "what it says depends on the machine",
    "errors": "sentences for what others raise",
    "explorer.page": "a file and a browser: Explorer.save shows it",
    "explorer.payload": "what a page is sent",
    "faces.cache": "files of the cache",
    "faces.celeba": "archives and lists on disk",
    "faces.download": "needs a network",
    "faces.lists": "lists of CelebA on disk",
    "faces.pictures": "bytes of picture files",
    "faces.repeats": "rows of a set that is being read",
    "faces.transfer": "needs a network",
    "faces.verify": "archives on disk",
    "files": "files that survive a kill",
    "pca.measure_pca": "thousands of faces, a minute",
    "pretrained.checksums": "files in the box",
    "pretrained.verified": "files in the box",
    "pretrained.classifier": "thousands of labelled faces",
    "pretrained.gallery.make_gallery": "a trained model and labelled faces",
    "study.codes.score_codes": "10,000 codes, a minute",
    "study.departure.price_curves": "two minutes of drawing",
    "study.sweep.measure_disentanglement": "10,000 drawn faces, a minute",
    "study.sweep.rescore": "10,000 codes, a minute",
    "sample_distance.reference_distances": "thousands of faces, minutes",
    "sample_distance.sample_distance": "thousands of faces, minutes",
}
# Rooms whose examples are still to be written: a name leaves once its functions have them.
LATER = ["explorer.widget"]


@pytest.fixture(scope="module")
def functions():
    """Every public function by its name, without the package's."""
    found = {}
    for info in pkgutil.walk_packages(vae_lib.__path__, "vae_lib."):
        if info.name != "vae_lib.__main__":
            for name, value in vars(importlib.import_module(info.name)).items():
                if inspect.isfunction(value) and value.__module__ == info.name and name[0] != "_":
                    found[f"{info.name}.{name}".removeprefix("vae_lib.")] = value
    return found


def within(name, place):
    """Whether a function is this one, or stands in this module or folder."""
    return f"{name}.".startswith(f"{place}.")


def test_every_public_function_shows_an_example(functions):
    bare = [
        name
        for name, function in functions.items()
        if ">>>" not in (function.__doc__ or "")
        and not any(within(name, place) for place in (*WITHOUT, *LATER))
    ]
    assert not bare, f"without an example (>>>) in their docstrings: {', '.join(bare)}"


def test_what_needs_no_example_is_there(functions):
    gone = [place for place in WITHOUT if not any(within(name, place) for name in functions)]
    assert not gone, f"no longer there: {', '.join(gone)}"
