"""The folder of a run: what kills, deletions and edits leave of it."""

import json
import os
import shutil
from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from tests.conftest import SMALL
from vae_lib import files as disk
from vae_lib.checkpoint import load_weights
from vae_lib.errors import InputError
from vae_lib.training import TrainConfig, run_folder, train
from vae_lib.training.run_folder import RunFolder
from vae_lib.training.watch import EpochGrids

CONFIG = TrainConfig(epochs=2, batch_size=16, model=SMALL)  # ten steps an epoch


class Cut(BaseException):
    """Not an Exception, so that nothing on the way handles it."""


@pytest.fixture(scope="module")
def few(faces):
    return faces.take(64, 16, 16)


def run(out, few, **options):
    return train(CONFIG, few, out, device="cpu", callbacks=[EpochGrids(out, few)], **options)


@pytest.fixture(scope="module")
def whole(few, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    run(out, few)
    return out


def pictures(out):
    return {path.name: path.read_bytes() for path in out.rglob("*.png")}


def files(out):
    return sorted(str(path.relative_to(out)) for path in out.rglob("*"))


def same_weights(a, b):
    first, second = (load_weights(out / "vae_synthetic.pth").state_dict() for out in (a, b))
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.filterwarnings("ignore:No checkpoint was written yet")
@pytest.mark.parametrize("cut", range(1, 25, 3))
def test_a_run_cut_at_any_write_ends_with_the_files_of_an_uninterrupted_one(
    few, whole, tmp_path, monkeypatch, cut
):
    real, calls = os.replace, 0

    def replace_or_die(source, target):
        nonlocal calls
        calls += 1
        if calls == (cut + 1) // 2:
            if cut % 2:  # before the file has its name, or right after
                real(source, target)
            monkeypatch.setattr(disk.os, "unlink", lambda path: None)  # as a kill: no cleaning
            raise Cut
        real(source, target)

    monkeypatch.setattr(disk.os, "replace", replace_or_die)
    out = tmp_path / "run"
    with suppress(Cut):
        run(out, few)
    monkeypatch.undo()
    run(out, few, resume=True)
    assert files(out) == files(whole)
    assert pictures(out) == pictures(whole)
    assert same_weights(out, whole)


@pytest.mark.filterwarnings("ignore:.*was removed while the run trained")
@pytest.mark.parametrize("what", ["the folder", "all files", "the history", "half the history"])
def test_what_is_removed_while_a_run_trains_is_written_anew(few, whole, tmp_path, what):
    out = tmp_path / "run"

    def remove(run, event):
        if event != "epoch" or run.epoch != 2:
            return
        if what == "the folder":
            shutil.rmtree(out)
        elif what == "all files":
            for path in out.iterdir():
                path.unlink()
        elif what == "the history":
            (out / "history.jsonl").unlink()
        else:
            os.truncate(out / "history.jsonl", 100)

    done = train(CONFIG, few, out, device="cpu", callbacks=[remove])
    history = json.loads(json.dumps(done.history))
    assert [json.loads(line) for line in (out / "history.jsonl").open()] == history
    assert same_weights(out, whole)
    again = train(CONFIG, few, out, device="cpu", resume=True)
    assert again.history == history


@pytest.mark.parametrize("how", ["before", "while"])
def test_another_run_that_took_the_place_of_a_removed_one_is_left_alone(few, tmp_path, how):
    out = tmp_path / "run"
    mine = RunFolder(out, "vae_synthetic.pth", resume=False)
    mine.save({}, {"step": 0}, [])
    shutil.rmtree(out)
    other = RunFolder(out, "vae_synthetic.pth", resume=False)
    other.save({"it": "is another"}, {"step": 0}, [])
    if how == "before":
        other.lock.release()
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(InputError, match=r"another run now|Another process is training"):
        mine.save({}, {"step": 1}, [{"kind": "step"}], None)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def edited(content, path, value):
    copy = dict(content)
    copy[path[0]] = edited(content[path[0]], path[1:], value) if path[1:] else value
    if value is KeyError and not path[1:]:
        del copy[path[0]]
    return copy


EDITS = [
    (("identity",), KeyError),
    (("identity",), [torch.ones(2)]),
    (("identity", "seed"), torch.ones(2)),
    (("identity", 3), "an odd field"),
    (("state",), None),
    (("state", "step"), KeyError),
    (("state", "step"), 10**6),
    (("state", "epoch"), "one"),
    (("state", "generator"), torch.ones(3)),
    (("state", "environment"), 3),
    (("state", "model"), {}),
    (("state", "model", "to_mu.weight"), torch.ones(2)),
    (("state", "optimizer"), {}),
    (("state", "optimizer", "state", 0, "exp_avg"), torch.ones(3)),
    (("state", "optimizer", "state", 0, "exp_avg"), KeyError),
    (("history_bytes",), "many"),
    (("history_bytes",), -1),
    (("history_bytes",), 10**9),
    (("history_sha256",), "0"),
]


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_an_edited_checkpoint_is_refused_in_a_sentence_and_stays(few, whole, tmp_path, edit):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    content = torch.load(out / "checkpoint.pt", weights_only=True)
    torch.save(edited(content, *edit), out / "checkpoint.pt")
    before = {name: (out / name).read_bytes() for name in files(out) if (out / name).is_file()}
    with pytest.raises(InputError, match=r"changed|another configuration"):
        train(replace(CONFIG, epochs=3), few, out, device="cpu", resume=True)
    assert before == {name: (out / name).read_bytes() for name in before}


HISTORIES = {
    "a number": lambda lines: lines.replace(b"1", b"2", 1),
    "a word": lambda lines: lines.replace(b"step", b"stop", 1),
    "line ends": lambda lines: lines.replace(b"\n", b"\r\n"),
    "zeros": lambda lines: bytes(len(lines)),
    "no text": lambda lines: b"\xff" + lines[1:],
    "no record": lambda lines: b"[" * len(lines),
    "cut": lambda lines: lines[:-1],
}


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("kind", HISTORIES)
def test_an_edited_history_is_refused_in_a_sentence(few, whole, tmp_path, kind, checksum):
    if not checksum and kind in ("a number", "line ends"):
        pytest.skip("runs of before there were checksums cannot tell")
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    (out / "history.jsonl").write_bytes(HISTORIES[kind]((out / "history.jsonl").read_bytes()))
    if not checksum:
        content = torch.load(out / "checkpoint.pt", weights_only=True)
        del content["history_sha256"]
        torch.save(content, out / "checkpoint.pt")
    with pytest.raises(InputError, match=r"history\.jsonl .*changed since"):
        train(replace(CONFIG, epochs=3), few, out, device="cpu", resume=True)


def test_a_full_disk_asks_to_resume_where_there_is_something_to_resume(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    folder = RunFolder(tmp_path / "run", "vae_synthetic.pth", resume=False)
    for module in (disk, run_folder):
        monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(InputError, match=r"free at least 1 MB there and resume the run\."):
        folder.save({}, {"step": 0}, [])
    with pytest.raises(InputError, match=r"free at least 1 MB there and try again\."):
        disk.write_atomically(tmp_path / "samples.png", b"picture")
