"""Small faces and small models, so that every test runs in seconds; the order of the tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vae_lib.faces.dataset import Faces
from vae_lib.faces.synthetic import FACTORS, synthetic_faces
from vae_lib.model import VAE, VAEConfig

ROOT = Path(__file__).parent.parent

torch.set_num_threads(1)  # small models gain nothing from more, and results repeat

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


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Tests neither see nor leave anything in the user's cache of prepared faces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAE_LIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_collection_modifyitems(items):
    """Browsers come last: until then the book is built beside tests that leave a core idle."""
    items.sort(key=lambda item: ROOT / "tests" / "browser" in item.path.parents)


@pytest.fixture(scope="session", autouse=True)
def book_being_built(request, own_cache, tmp_path_factory):
    """The process that builds the book and its log; None where no test reads a page."""
    wanted = any("html" in getattr(item, "fixturenames", ()) for item in request.session.items)
    if not wanted or os.environ.get("BOOK_BUILT") == "1":
        yield None
        return
    command = [sys.executable, str(ROOT / "book" / "build.py")]
    if "BOOK_EXECUTED" in os.environ:
        command.append(str(Path(os.environ["BOOK_EXECUTED"]).resolve()))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    log = elsewhere / "log"
    with log.open("w") as file:
        build = subprocess.Popen(
            command,
            cwd=elsewhere,
            env=os.environ | {"OMP_NUM_THREADS": "1"},  # the other cores are the tests'
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    yield build, log
    if build.poll() is None:
        os.killpg(build.pid, signal.SIGTERM)  # its kernels too
        build.wait()


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
