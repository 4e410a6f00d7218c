"""A table of runs that can be killed."""

import json
from dataclasses import replace

import pytest

from tests.conftest import SMALL
from vae_lib.checkpoint import load_weights
from vae_lib.errors import InputError
from vae_lib.evaluation import evaluate
from vae_lib.sweep import sweep
from vae_lib.training import TrainConfig

RECIPE = TrainConfig(epochs=1, batch_size=16, model=SMALL)


class Killed(BaseException):
    pass


def test_a_killed_sweep_goes_on_and_keeps_what_was_finished(faces, tmp_path):
    def kill(folder):
        def callback(training, event):
            if event == "epoch" and (training.config.beta, training.config.seed) == (4, 0):
                raise Killed

        return [callback]

    with pytest.raises(Killed):
        sweep(RECIPE, faces, tmp_path, (1, 4), (0, 1), device="cpu", callbacks=kill)
    assert [file.name for file in tmp_path.glob("*.json")] == ["beta_1_seed_0.json"]
    finished = (tmp_path / "beta_1_seed_0.json").stat().st_mtime_ns

    results = sweep(RECIPE, faces, tmp_path, (1, 4), (0, 1), device="cpu")
    assert [(r["beta"], r["seed"]) for r in results] == [(1, 0), (4, 0), (1, 1), (4, 1)]
    assert (tmp_path / "beta_1_seed_0.json").stat().st_mtime_ns == finished
    at_once = sweep(RECIPE, faces, tmp_path / "other", (4,), (0,), device="cpu")
    assert at_once[0]["test"] == results[1]["test"]


def test_results_of_another_recipe_are_not_taken_for_this_ones(faces, tmp_path):
    sweep(RECIPE, faces, tmp_path, (1,), (0,), device="cpu")
    other = replace(RECIPE, epochs=2)
    with pytest.raises(InputError, match="epochs is 1 there and 2 here"):
        sweep(other, faces, tmp_path, (1,), (0,), device="cpu")
    with pytest.raises(InputError, match="train_images is 160 there and 80 here"):
        sweep(RECIPE, faces.take(80, 40, 40), tmp_path, (1,), (0,), device="cpu")


def test_a_missing_test_split_shows_before_any_training(faces, tmp_path):
    with pytest.raises(InputError, match="test split"):
        sweep(RECIPE, faces.take(160, 40), tmp_path, (1,), (0,), device="cpu")
    assert not list(tmp_path.iterdir())


def test_results_are_the_measures_of_the_whole_test_split(faces, tmp_path):
    (result,) = sweep(RECIPE, faces, tmp_path, (4,), (2,), device="cpu")
    model, _ = load_weights(tmp_path / "beta_4_seed_2" / "vae_synthetic_beta_4.pth")
    expected = evaluate(model, faces.split("test").images, ssim=True)
    assert result["test"] == expected.flat()
    assert result["kl_per_dimension"] == list(expected.kl_per_dimension)
    assert result["training"]["recipe"]["seed"] == 2
    assert json.loads((tmp_path / "beta_4_seed_2.json").read_text()) == result
