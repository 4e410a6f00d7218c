"""Files: what is written survives, what is read cannot harm."""

import os
import pickle
import stat
import subprocess
import sys

import pytest
import torch

from vae_lib.checkpoint import (
    RUN_STATE,
    load,
    load_weights,
    save,
    save_weights,
    weights_name,
    write_atomically,
)
from vae_lib.errors import InputError
from vae_lib.model import VAEConfig


@pytest.fixture
def weights(tmp_path, model):
    path = tmp_path / "vae_celeba.pth"
    save_weights(path, model, {"faces": "celeba", "recipe": {"beta": 4.0}})
    return path


def test_weights_come_back_with_their_metadata(weights, model):
    loaded, metadata = load_weights(weights)
    assert metadata == {"faces": "celeba", "recipe": {"beta": 4.0}}
    assert not loaded.training
    assert loaded.config == model.config
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(loaded.reconstruct(x), model.reconstruct(x))


def test_weights_are_readable_with_plain_pytorch(weights):
    content = torch.load(weights, weights_only=True)
    assert set(content) == {"kind", "config", "weights", "metadata"}


@pytest.mark.parametrize(
    ("faces", "beta", "name"),
    [
        ("celeba", 1, "vae_celeba.pth"),
        ("celeba", 4.0, "vae_beta_4.pth"),
        ("celeba", 10, "vae_beta_10.pth"),
        ("celeba", 0.5, "vae_beta_0.5.pth"),
        ("synthetic", 1.0, "vae_synthetic.pth"),
        ("synthetic", 4, "vae_synthetic_beta_4.pth"),
    ],
)
def test_weights_carry_the_designs_names(faces, beta, name):
    assert weights_name(faces, beta) == name


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


def damaged_files(tmp_path, weights) -> dict[str, bytes]:
    whole = weights.read_bytes()
    middle = len(whole) // 2
    return {
        "truncated": whole[:middle],
        "no checkpoint": b"<!doctype html><title>Quota exceeded</title>",
        "no checkpoint: it was not": b"",
        "run code": pickle.dumps(Bomb()),
        "damaged": whole[:middle] + bytes(64) + whole[middle + 64 :],
    }


@pytest.mark.parametrize(
    "word", ["truncated", "no checkpoint", "no checkpoint: it was not", "run code", "damaged"]
)
def test_a_file_that_is_no_weights_says_what_it_is(tmp_path, weights, monkeypatch, word):
    monkeypatch.chdir(tmp_path)
    bad = tmp_path / "bad.pth"
    bad.write_bytes(damaged_files(tmp_path, weights)[word])
    with pytest.raises(InputError, match=word):
        load_weights(bad)
    assert not (tmp_path / "exploded").exists()


def test_code_inside_a_torch_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"kind": "vae_lib weights", "weights": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(InputError, match="run code"):
        load_weights(tmp_path / "bomb.pth")
    assert not (tmp_path / "exploded").exists()


def test_a_file_of_another_kind_is_named(tmp_path, weights, model):
    save(tmp_path / "checkpoint.pt", RUN_STATE, {})
    with pytest.raises(InputError, match=r"run state.*Use the vae_….pth"):
        load_weights(tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="not vae_lib run state"):
        load(weights, RUN_STATE)
    torch.save(model.state_dict(), tmp_path / "plain.pth")
    with pytest.raises(InputError, match="something that vae_lib did not write"):
        load_weights(tmp_path / "plain.pth")
    with pytest.raises(InputError, match="No such file"):
        load_weights(tmp_path / "missing.pth")
    with pytest.raises(InputError, match="directory"):
        load_weights(tmp_path)


def test_weights_of_another_shape_name_the_differing_fields(tmp_path, weights, model):
    with pytest.raises(InputError, match="latent_size is 6 there and 128 here"):
        load_weights(weights, config=VAEConfig(channels=(4, 8, 8, 8)))
    content = torch.load(weights, weights_only=True)
    content["config"]["latent_size"] = 5
    torch.save(content, weights)
    with pytest.raises(InputError, match="do not fit its configuration"):
        load_weights(weights)
    torch.save(content | {"weights": [1, 2]}, weights)
    with pytest.raises(InputError, match="do not fit its configuration"):
        load_weights(weights)


def test_loading_leaves_the_random_numbers_alone(weights):
    before = torch.get_rng_state()
    load_weights(weights)
    assert torch.equal(before, torch.get_rng_state())


def test_a_write_replaces_the_whole_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old" * 100)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from vae_lib.checkpoint import write_atomically
from vae_lib.errors import InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    write_atomically(Path(sys.argv[1]), bytes(50_000_000))
except InputError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX resource limits")
def test_a_write_that_finds_no_room_keeps_the_file_of_before(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"good")
    told = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert "Could not write" in told
    assert "what stood there before is intact" in told
    assert "free at least 95 MB" in told
    assert path.read_bytes() == b"good"
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_missing_folders_are_made_and_a_file_in_the_way_is_named(tmp_path):
    write_atomically(tmp_path / "new" / "deep" / "file", b"content")
    assert (tmp_path / "new" / "deep" / "file").read_bytes() == b"content"
    with pytest.raises(InputError, match=r"Could not write .*choose a folder that exists"):
        write_atomically(tmp_path / "new" / "deep" / "file" / "below", b"")
