"""The vae command as a newcomer types it."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from vae_lib import checkpoint
from vae_lib.checkpoint import save_weights
from vae_lib.cli import main

SMALL = ["--channels", "4", "8", "8", "8", "--latent-size", "6", "--batch-size", "8"]
SYNTHETIC = ["--faces", "synthetic", "--synthetic-count", "120"]


@pytest.fixture(autouse=True)
def no_celeba(monkeypatch):
    monkeypatch.delenv("CELEBA_ROOT", raising=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small run on synthetic faces."""
    out = tmp_path_factory.mktemp("cli") / "run"
    assert main(["train", *SYNTHETIC, *SMALL, "--epochs", "2", "--out", str(out)]) == 0
    return out


def told(capsys) -> str:
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.err


def test_a_run_leaves_the_designs_files(trained):
    assert {path.relative_to(trained).as_posix() for path in trained.rglob("*.*")} == {
        ".lock",
        "checkpoint.pt",
        "history.jsonl",
        "vae_synthetic.pth",
        "training_loss.png",
        "reconstruction_results.png",
        "epochs/01_samples.png",
        "epochs/01_reconstructions.png",
        "epochs/02_samples.png",
        "epochs/02_reconstructions.png",
    }
    for picture in trained.rglob("*.png"):
        assert np.asarray(Image.open(picture).convert("RGB")).std() > 5


def test_training_says_which_device_and_why_and_what_came_out(tmp_path, capsys):
    assert main(["train", *SYNTHETIC, *SMALL, "--epochs", "1", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "Device: " in printed.out
    assert "Training on 96 synthetic faces with β = 1, up to epoch 1." in printed.out
    assert "Validation: reconstruction" in printed.out
    assert printed.err == ""  # no progress bar where there is no terminal


def test_beta_stands_in_the_name_of_the_weights(tmp_path):
    arguments = ["train", *SYNTHETIC, *SMALL, "--epochs", "1", "--beta", "4", "--out"]
    assert main([*arguments, str(tmp_path)]) == 0
    assert (tmp_path / "vae_synthetic_beta_4.pth").exists()


def test_objectives_stand_in_the_names_of_the_weights(tmp_path, capsys):
    arguments = ["train", *SYNTHETIC, *SMALL, "--epochs", "1", "--objective", "capacity"]
    assert main([*arguments, "--capacity", "20", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "vae_synthetic_capacity_20.pth").exists()
    assert "synthetic faces with C = 20 nats, up to epoch 1." in capsys.readouterr().out


def test_a_sweep_prints_a_table_and_measures_disentanglement(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vae_lib.study.sweep.METRIC_FACES", 600)
    arguments = ["sweep", *SYNTHETIC, *SMALL, "--epochs", "1", "--seeds", "3", "--out"]
    arguments = [*arguments, str(tmp_path), "--objective", "capacity", "--capacities", "20"]
    assert main(arguments) == 0
    header, row = capsys.readouterr().out.splitlines()[-2:]
    assert header.split()[:3] == ["capacity", "seed", "excess"]
    assert row.split()[:2] == ["20", "3"]
    result = json.loads((tmp_path / "capacity_20_seed_3.json").read_text())
    assert 0 <= result["disentanglement"]["mig"] <= 1
    assert main(["rescore", str(tmp_path / "capacity_20_seed_3.json")]) == 0
    assert f"MIG {result['disentanglement']['mig']:.3f}" in capsys.readouterr().out
    assert json.loads((tmp_path / "capacity_20_seed_3.json").read_text()) == result
    assert main([*arguments, "--gamma", "7"]) == 2
    assert "gamma is 100.0 there and 7.0 here" in told(capsys)
    (tmp_path / "capacity_20_seed_3" / "vae_synthetic_capacity_20.pth").unlink()
    assert main(arguments) == 0  # stands, and is skipped
    assert main([*arguments, "--remeasure"]) == 2
    assert "nothing to measure" in told(capsys)


def test_resume_goes_on_where_the_run_stands(trained, capsys):
    arguments = ["train", *SYNTHETIC, *SMALL, "--epochs", "2", "--out", str(trained)]
    assert main(arguments) == 2
    assert "already holds a run" in told(capsys)
    assert main([*arguments, "--resume"]) == 0
    assert main([*arguments, "--resume", "--beta", "3"]) == 2
    assert "beta is 1.0 there and 3.0 here" in told(capsys)


def test_evaluate_measures_the_whole_split_and_writes_flat_json(trained, tmp_path):
    file = tmp_path / "measures.json"
    weights = str(trained / "vae_synthetic.pth")
    assert main(["evaluate", weights, *SYNTHETIC, "--split", "valid", "--json", str(file)]) == 0
    measures = json.loads(file.read_text())
    assert set(measures) == {
        "reconstruction", "excess", "kl", "active_001", "active_01", "psnr", "ssim", "images",
    }  # fmt: skip
    assert measures["images"] == 12
    metadata = checkpoint.load_weights(trained / "vae_synthetic.pth").metadata
    for name in ("reconstruction", "excess", "kl", "psnr"):
        assert measures[name] == pytest.approx(metadata["validation"][name], rel=1e-5)


@pytest.mark.parametrize("kind", ["reconstructions", "samples", "interpolation", "traversal"])
def test_every_kind_of_plot_is_drawn(trained, tmp_path, kind):
    out = tmp_path / "plot.png"
    weights = str(trained / "vae_synthetic.pth")
    assert main(["plot", weights, kind, *SYNTHETIC, "--out", str(out)]) == 0
    assert np.asarray(Image.open(out).convert("RGB")).std() > 5


def test_samples_and_traversals_need_no_faces(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELEBA_ROOT", str(tmp_path / "missing"))
    for kind in ("samples", "traversal"):
        assert main(["plot", str(trained / "vae_synthetic.pth"), kind]) == 0
        assert (tmp_path / f"{kind}.png").exists()


def test_prepare_counts_the_faces(capsys):
    assert main(["prepare", *SYNTHETIC]) == 0
    out = capsys.readouterr().out
    assert "120 synthetic faces are ready: 96 for training, 12 for validation, 12 for" in out


def empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    return ["prepare", "--data", str(tmp_path / "empty")]


def quota_page(tmp_path):
    (tmp_path / "img_align_celeba.zip").write_text("<!DOCTYPE html><title>Google Drive</title>")
    return ["train", "--data", str(tmp_path), "--out", str(tmp_path / "out")]


def not_weights(tmp_path):
    (tmp_path / "photo.pth").write_text("not weights")
    return ["evaluate", str(tmp_path / "photo.pth")]


def file_as_folder(tmp_path):
    (tmp_path / "file").write_text("")
    return ["train", *SYNTHETIC, *SMALL, "--out", str(tmp_path / "file" / "run")]


BAD_INPUT = {
    "no such path": (lambda t: ["train", "--data", str(t / "missing")], "There is no"),
    "an empty folder": (empty_folder, "should hold pictures"),
    "a zip that is a web page": (quota_page, "is a web page"),
    "negative beta": (lambda t: ["train", "--beta", "-1"], "beta is -1"),
    "a capacity without its objective": (
        lambda t: ["sweep", *SYNTHETIC, "--gamma", "7", "--out", str(t / "out")],
        "gamma is 7, but the objective beta-vae has none",
    ),
    "beta that is no number": (lambda t: ["train", "--beta", "nan"], "beta is nan"),
    "a batch larger than the split": (
        lambda t: ["train", *SYNTHETIC, "--batch-size", "97", "--out", str(t / "out")],
        "A batch of 97 is larger than the training split of 96 faces",
    ),
    "a folder that cannot be made": (file_as_folder, "Could not write"),
    "resuming nothing": (
        lambda t: ["train", *SYNTHETIC, "--resume", "--out", str(t / "out")],
        "There is no run to resume",
    ),
    "a file that is no weights": (not_weights, "is no checkpoint"),
    "a seed that no generator takes": (
        lambda t: ["train", *SYNTHETIC, "--seed", "20250101120000", "--out", str(t / "out")],
        "seed is 20250101120000",
    ),
    "a model that fits into no memory": (
        lambda t: ["train", *SYNTHETIC, "--latent-size", "2000000000", "--out", str(t / "out")],
        "does not fit into memory",
    ),
    "a sweep with one wrong beta": (
        lambda t: ["sweep", *SYNTHETIC, "--betas", "1", "-1", "--out", str(t / "out")],
        "beta is -1",
    ),
    "an unknown device": (lambda t: ["train", "--device", "abacus"], "no device 'abacus'"),
    "images without any": (lambda t: ["train", "--faces", "images"], "vae download celeba"),
    "too few synthetic faces": (
        lambda t: ["prepare", "--faces", "synthetic", "--synthetic-count", "3"],
        "draw 10 or more",
    ),
    "an image size that cannot be halved": (
        lambda t: ["train", *SYNTHETIC, "--image-size", "60"],
        "multiple of 16",
    ),
    "an image size that the faces do not have": (
        lambda t: ["train", *SYNTHETIC, "--image-size", "32", "--out", str(t / "out")],
        "The faces are 64 pixels wide",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_answered_with_a_sentence_and_code_2(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments, sentence = BAD_INPUT[case]
    arguments = arguments(tmp_path)
    before = set(tmp_path.rglob("*"))
    assert main(arguments) == 2
    error = told(capsys)
    assert sentence in error
    assert error.startswith("vae: ")
    assert len(error.strip().splitlines()) == 1
    assert set(tmp_path.rglob("*")) == before  # nothing half-written


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_named(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert main(["train", *SYNTHETIC, *SMALL, "--out", str(tmp_path / "run")]) == 2
    assert "choose a folder that exists and that you may write to" in told(capsys)


def test_torchrun_shares_one_run_among_two_processes(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    run = ["-m", "vae_lib", "train", *SYNTHETIC, *SMALL, "--epochs", "1", "--device", "cpu"]
    result = subprocess.run(
        [*command, *run, "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Training on 96 synthetic faces") == 1
    metadata = checkpoint.load_weights(tmp_path / "run" / "vae_synthetic.pth").metadata
    assert metadata["processes"] == 2
    assert metadata["step"] == 12  # 96 faces, 8 per step over both processes together


def test_an_unknown_option_is_explained_by_the_command_itself():
    result = subprocess.run(
        [sys.executable, "-m", "vae_lib", "train", "--epoch", "3"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "--epochs" in result.stderr


def test_help_speaks_of_nats_and_what_is_written(capsys):
    for command, words in {
        "train": ["--beta", "--resume", "vae_celeba.pth", "torchrun", "BatchNorm"],
        "evaluate": ["nats", "--split", "--json"],
        "sweep": ["--betas", "--capacities", "--objective", "--remeasure", "disentanglement"],
        "download": ["--url", "--md5", "research"],
        "plot": ["traversal", "interpolation"],
        "prepare": ["--data", "CELEBA_ROOT"],
    }.items():
        with pytest.raises(SystemExit) as stopped:
            main([command, "--help"])
        assert stopped.value.code == 0
        text = capsys.readouterr().out
        for word in words:
            assert word in text


@pytest.mark.parametrize("kind", ["samples", "reconstructions", "interpolation", "traversal"])
def test_weights_that_are_no_numbers_are_neither_drawn_nor_measured(tmp_path, capsys, model, kind):
    model.state_dict()["to_logvar.bias"].fill_(math.nan)  # which no sample depends on
    path = tmp_path / "vae.pth"
    save_weights(path, model, {"validation": {"kl_per_dimension": [1.0] * 6}})
    picture, numbers = tmp_path / "picture.png", tmp_path / "numbers.json"
    assert main(["plot", str(path), kind, "--out", str(picture), *SYNTHETIC]) == 2
    assert main(["evaluate", str(path), "--json", str(numbers), *SYNTHETIC]) == 2
    assert capsys.readouterr().err.count("not finite") == 2
    assert not picture.exists()
    assert not numbers.exists()


@pytest.mark.parametrize("kl", [None, "abcdef", ["a"] * 6, [1.0] * 5, [math.nan] * 6, {"a": 1}])
def test_traversals_without_readable_kl_are_refused(tmp_path, capsys, model, kl):
    save_weights(tmp_path / "vae.pth", model, {"validation": {"kl_per_dimension": kl}})
    assert main(["plot", str(tmp_path / "vae.pth"), "traversal"]) == 2
    assert "does not say what its dimensions carry" in capsys.readouterr().err
