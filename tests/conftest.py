"""Small faces and small models, so that every test runs in seconds; the order of the tests."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

import vae_lib.cli  # noqa: F401  before an example in a docstring leaves a list in builtins._
from vae_lib.faces.dataset import Faces
from vae_lib.faces.synthetic import FACTORS, synthetic_faces
from vae_lib.model import VAE, VAEConfig

WORKER = os.environ.get("PYTEST_XDIST_WORKER")  # None where there is one process
if WORKER:
    os.environ["OMP_NUM_THREADS"] = "1"  # of notebooks and servers too: each process has a core

torch.set_num_threads(1)  # small models gain nothing from more, and results repeat

# Two files of one name, which the search for docstrings would stumble over.
collect_ignore = ["conftest.py", "browser/conftest.py"]

SMALL = VAEConfig(channels=(4, 8, 8, 8), latent_size=6)


def small_faces(count: int = 240) -> Faces:
    """Synthetic faces: two thirds for training, the rest for validation and testing."""
    images, factors = synthetic_faces(count, seed=1)
    return Faces(
        name="synthetic",
        images=images,
        ids=np.array([f"synthetic-{i:06d}" for i in range(count)]),
        splits=np.repeat([0, 1, 2], [count * 4 // 6, count // 6, count // 6]).astype(np.uint8),
        attributes=factors,
        attribute_names=tuple(factor.name for factor in FACTORS),
        fingerprint="small",
    )


@pytest.fixture(scope="session")
def common(tmp_path_factory) -> Path:
    """A folder that all processes of this run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if WORKER else folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(common):
    """Tests neither see nor leave anything in the user's cache of prepared faces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAE_LIB_CACHE", str(common / "cache"))
        yield


@pytest.fixture(scope="session", autouse=True)
def at_work(common):
    """A lock that is held for as long as this process has tests to run."""
    with FileLock(common / f"{WORKER}.lock"):
        yield


@pytest.fixture
def alone(common, at_work, monkeypatch):
    """Wait until the other processes have no test left, then take all cores: what is timed."""
    for lock in common.glob("gw*.lock"):
        if lock.stem != WORKER:
            with FileLock(lock, timeout=600):
                pass
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def pytest_collection_modifyitems(items):
    """The longest first, so that no process waits for another at the end; what is timed, last."""
    items.sort(key=lambda item: rank(item.path))


def rank(path: Path) -> int:
    if path.name == "test_explorer_speed.py":
        return 4
    if path.name == "test_book_pages.py":  # which builds the book
        return 0
    if path.suffix == ".ipynb" or path.name == "test_loop.py":
        return 1
    return 2 if path.parent.name == "browser" else 3


@pytest.fixture(scope="session")
def faces() -> Faces:
    return small_faces()


@pytest.fixture
def model() -> VAE:
    """A small VAE with BatchNorm statistics that are not the initial ones."""
    torch.manual_seed(0)
    model = VAE(SMALL)
    with torch.no_grad():
        for _ in range(3):
            model(torch.rand(16, 3, 64, 64))
    return model.eval()
