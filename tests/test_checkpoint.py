"""Files: what is written survives, what is read cannot harm."""

import collections
import datetime
import os
import pickle
import stat
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from vae_lib import files
from vae_lib.checkpoint import (
    RUN_STATE,
    load,
    load_weights,
    save,
    save_weights,
    weights_name,
)
from vae_lib.config import Setting
from vae_lib.errors import InputError
from vae_lib.files import write_atomically
from vae_lib.model import VAEConfig


@pytest.fixture
def weights(tmp_path, model):
    path = tmp_path / "vae_celeba.pth"
    save_weights(path, model, {"faces": "celeba", "recipe": {"beta": 4.0}})
    return path


def test_weights_come_back_with_their_metadata(weights, model):
    loaded = load_weights(weights)
    metadata = loaded.metadata
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
    assert weights_name(faces, Setting("beta-vae", beta)) == name


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
from vae_lib.files import write_atomically
from vae_lib.errors import InputError
from vae_lib.files import write_atomically
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


class Version(str):
    """As torch.__version__ is one."""


SAVED = {
    "np.float64": (np.float64(0.5), 0.5),
    "np.int64": (np.int64(3), 3),
    "np.bool": (np.bool_(True), True),
    "np.str": (np.str_("x"), "x"),
    "array": (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
    "tensor": (torch.ones(2), [1.0, 1.0]),
    "parameter": (torch.nn.Parameter(torch.tensor(2.0)), 2.0),
    "version": (Version("2.1"), "2.1"),
    "path": (Path("a") / "b", str(Path("a") / "b")),
    "date": (datetime.date(2026, 1, 2), "2026-01-02"),
    "datetime": (datetime.datetime(2026, 1, 2, 3), "2026-01-02T03:00:00"),
    "timedelta": (datetime.timedelta(seconds=90), "0:01:30"),
    "size": (torch.Size([2, 3]), [2, 3]),
    "device": (torch.device("cpu"), "cpu"),
    "dtype": (torch.float16, "torch.float16"),
    "set": ({2, 1}, [1, 2]),
    "range": (range(3), [0, 1, 2]),
    "dataclass": (
        VAEConfig(),
        {"image_size": 64, "channels": [32, 64, 128, 256], "latent_size": 128},
    ),
    "ordered": (collections.OrderedDict(a=np.float32(1)), {"a": 1.0}),
    "counter": (collections.Counter("aab"), {"a": 2, "b": 1}),
    "keys": ({np.int64(1): None, Path("p"): True}, {1: None, "p": True}),
    "deep": ([{"a": (np.float64(1), [Path("x")])}], [{"a": [1.0, ["x"]]}]),
}


@pytest.mark.parametrize("kind", SAVED)
def test_what_is_saved_in_plain_terms_can_be_loaded(tmp_path, model, kind):
    given, expected = SAVED[kind]
    save_weights(tmp_path / "w.pth", model, {"value": given})
    found = load_weights(tmp_path / "w.pth").metadata["value"]
    assert found == expected
    assert type(found) is type(expected)


def endless() -> list:
    values: list = []
    values.append(values)
    return values


@pytest.mark.parametrize("value", [object(), print, 1j, b"x", [{"a": object}], endless()])
def test_what_has_no_plain_form_is_refused_before_anything_is_written(tmp_path, model, value):
    with pytest.raises(InputError, match=r"metadata\['value'\]"):
        save_weights(tmp_path / "w.pth", model, {"value": value})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrap", [torch.compile, torch.nn.DataParallel])
def test_a_wrapped_models_file_is_that_of_the_model(tmp_path, model, wrap):
    save_weights(tmp_path / "w.pth", wrap(model), {})
    loaded = load_weights(tmp_path / "w.pth").state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())


def test_a_model_whose_layers_were_changed_is_refused_before_anything_is_written(tmp_path, model):
    model.to_mu = torch.nn.Linear(32, 9)
    with pytest.raises(InputError, match=r"to_mu.weight is \[9, 32\], not \[6, 128\]"):
        save_weights(tmp_path / "w.pth", model, {})
    model.extra = torch.nn.Linear(1, 1)
    with pytest.raises(InputError, match=r"extra.bias is one too many"):
        save_weights(tmp_path / "w.pth", model, {})
    with pytest.raises(InputError, match="a state_dict"):
        save_weights(tmp_path / "w.pth", model.state_dict(), {})
    assert not list(tmp_path.iterdir())


CLAIMS = {
    "channels": {"config": {"channels": (30_000, 30_000, 8, 8)}},
    "latent size": {"config": {"latent_size": 10**9}},
    "image size": {"config": {"image_size": 2**40}},
    "too large for any computer": {"config": {"latent_size": 10**30}},
    "many layers": {"config": {"channels": (1,) * 4000, "image_size": 2**4000}},
    "a word": {"config": {"channels": "abc"}},
    "expanded": {"weights": {"to_mu.weight": torch.zeros(1).expand(6, 128)}},
    "no tensor": {"weights": {"to_mu.weight": [1.0]}},
    "complex": {"weights": {"to_mu.weight": torch.zeros(6, 128, dtype=torch.complex64)}},
    "whole numbers": {"weights": {"to_mu.weight": torch.zeros(6, 128, dtype=torch.int8)}},
    "sparse": {"weights": {"to_mu.weight": torch.zeros(6, 128).to_sparse()}},
    "without data": {"weights": {"to_mu.weight": torch.zeros(6, 128, device="meta")}},
    "another name": {"weights": {3: torch.zeros(2)}},
    "no metadata": {"metadata": 4},
    "nested kind": {"kind": ["vae_lib weights"]},
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_file_that_claims_what_cannot_be_is_refused_before_a_model_is_built(weights, claim):
    content = torch.load(weights, weights_only=True)
    for part, value in CLAIMS[claim].items():
        content[part] = content[part] | value if isinstance(value, dict) else value
    torch.save(content, weights)
    begun = time.perf_counter()
    with pytest.raises(InputError, match=r"vae_celeba\.pth"):
        load_weights(weights)
    assert time.perf_counter() - begun < 2


def test_a_zip_that_unpacks_to_more_than_it_is_is_refused(tmp_path, weights):
    bomb = tmp_path / "bomb.pth"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(10**6))
    with pytest.raises(InputError, match="more than it does"):
        load_weights(bomb)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX links and pipes")
def test_links_stay_links_and_pipes_stay_pipes(tmp_path):
    there, gone = tmp_path / "there", tmp_path / "folder" / "gone"
    there.write_bytes(b"old")
    there.chmod(0o600)
    for name, target in (("link", there), ("dangling", gone)):
        (tmp_path / name).symlink_to(target)
        write_atomically(tmp_path / name, b"new")
        assert (tmp_path / name).is_symlink()
        assert target.read_bytes() == b"new"
    assert stat.S_IMODE(there.stat().st_mode) == 0o600
    os.mkfifo(tmp_path / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_atomically(tmp_path / "pipe", b"through")
    reader.join(10)
    assert got == [b"through"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    write_atomically(Path("/dev/null"), b"nowhere")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_the_next_write_removes_what_a_killed_one_left(tmp_path):
    (tmp_path / ".file.abc.part").write_bytes(b"half")
    (tmp_path / ".other.abc.part").write_bytes(b"half")
    write_atomically(tmp_path / "file", b"whole")
    assert sorted(os.listdir(tmp_path)) == [".other.abc.part", "file"]


def test_a_writer_whose_temporary_file_was_taken_for_a_leftover_writes_again(tmp_path, monkeypatch):
    real, calls = os.replace, []

    def replace(source, target):
        calls.append(source)
        if len(calls) == 1:
            os.unlink(source)
        real(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    write_atomically(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert len(calls) == 2
