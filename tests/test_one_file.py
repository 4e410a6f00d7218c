"""The VAE in one file: it trains as the package does, and a student can start it as it stands."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import SMALL, small_faces
from tests.training.test_golden_losses import TOLERANCE
from vae_lib.training import TrainConfig, Training

FILE = Path(__file__).parents[1] / "notebooks" / "vae_in_one_file.py"


@pytest.fixture(scope="module")
def alone():
    spec = importlib.util.spec_from_file_location("vae_in_one_file", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("beta", [1.0, 10.0])
def test_its_first_hundred_losses_are_the_packages(alone, faces, beta):
    run = Training(TrainConfig(beta=beta, epochs=5, batch_size=8, model=SMALL), faces, "cpu")
    run.take_step.bfloat16 = False  # whose rounding is the processor's own
    while run.epoch < 5:
        list(run.steps())
        run.epoch += 1  # without the measures that `finish_epoch` takes
    expected = [[r[part] for part in ("loss", "reconstruction", "kl")] for r in run.history]
    torch.manual_seed(0)
    model = alone.VAE(SMALL.channels, SMALL.latent_size).to(memory_format=torch.channels_last)
    found = list(alone.train(model, faces.split("train").images, 5, beta, batch=8))
    assert len(found) == len(expected) == 100
    found, expected = np.array(found), np.array(expected)
    np.testing.assert_allclose(found[:, :2], expected[:, :2], rtol=TOLERANCE)
    np.testing.assert_allclose(found[:, 2], expected[:, 2], atol=TOLERANCE * expected[:, 0].mean())


def test_its_weights_are_a_model_of_the_package(alone):
    from vae_lib import VAE

    torch.manual_seed(0)
    own, packages = alone.VAE().state_dict(), VAE()
    torch.manual_seed(0)
    assert {k: v.shape for k, v in own.items()} == {
        k: v.shape for k, v in packages.state_dict().items()
    }
    packages.load_state_dict(own)


def test_it_is_short_and_needs_nothing_of_the_course(alone):
    text = FILE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    code = text.split('"""', 2)[2]
    assert "vae_lib" not in code


@pytest.mark.parametrize("given", ["nothing", "an array", "a folder", "too little"])
def test_a_student_starts_it_with(alone, tmp_path, faces, given):
    arguments = {"nothing": [], "an array": ["faces.npy"]}.get(given, ["pictures"])
    np.save(tmp_path / "faces.npy", faces.images[:70])
    (tmp_path / "pictures").mkdir()
    for number, face in enumerate(faces.images[: 66 if given == "a folder" else 3]):
        Image.fromarray(face).resize((90, 110)).save(tmp_path / "pictures" / f"{number}.png")
    epochs = ["--epochs", "0" if given == "nothing" else "1"]
    command = [sys.executable, FILE, *arguments, *epochs]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if given == "too little":
        assert done.returncode == 2
        assert "found uint8 (3, 64, 64, 3); give 64 or more uint8 (64, 64, 3)" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "vae.pth").exists()
    if given != "nothing":
        assert done.stdout.startswith("step     1: loss")
        with Image.open(tmp_path / "faces.png") as picture:
            assert picture.size == (8 * 64, 4 * 64)


def test_the_line_that_writes_faces_for_it_works(tmp_path, monkeypatch):
    (line,) = re.findall(r'python -c "(.+)"', FILE.read_text(encoding="utf-8"))
    few = small_faces(60)
    monkeypatch.setattr("vae_lib.open_faces", lambda: few, raising=False)
    monkeypatch.chdir(tmp_path)
    exec(line, {})
    np.testing.assert_array_equal(np.load("faces.npy"), few.split("train").images)
