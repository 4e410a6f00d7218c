"""A table of runs that can be killed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SMALL
from vae_lib import files
from vae_lib.checkpoint import RUN_STATE, load, load_weights
from vae_lib.disentanglement import mig, mutual_information, silence_collapsed
from vae_lib.errors import InputError
from vae_lib.evaluation import evaluate
from vae_lib.faces.synthetic import FACTORS, draw_factors, synthetic_faces
from vae_lib.latent import encode_images
from vae_lib.model import VAE
from vae_lib.study import METRICS, QUALITIES, read_runs
from vae_lib.study import sweep as sweep_module
from vae_lib.study.codes import load_codes, rounded, save_codes, score_codes
from vae_lib.study.runs import CODES
from vae_lib.study.sweep import identity, measure_disentanglement, rescore, sweep
from vae_lib.training import TrainConfig

CONFIG = TrainConfig(epochs=1, batch_size=16, model=SMALL)
CAPACITY = replace(CONFIG, objective="capacity", rise=0.1)
COMMITTED = Path(__file__).parents[2] / "results" / "celeba" / "beta_1_seed_0.json"
real_measure = measure_disentanglement


@pytest.fixture(autouse=True)
def scores(monkeypatch):
    """What takes seconds is measured in one test; the others see that it was asked for."""
    measured = []

    def measure(model: VAE, keep: Path) -> dict:
        measured.append(model)
        return {"mig": 0.1 * len(measured)}

    monkeypatch.setattr(sweep_module, "measure_disentanglement", measure)
    return measured


class Killed(BaseException):
    pass


def test_a_killed_sweep_goes_on_and_keeps_what_was_finished(faces, tmp_path):
    def kill(folder):
        def callback(training, event):
            if event == "epoch" and (training.config.beta, training.config.seed) == (4, 0):
                raise Killed

        return [callback]

    with pytest.raises(Killed):
        sweep(CONFIG, faces, tmp_path, (1, 4), (0, 1), device="cpu", callbacks=kill)
    assert [file.name for file in tmp_path.glob("*.json")] == ["beta_1_seed_0.json"]
    finished = (tmp_path / "beta_1_seed_0.json").stat().st_mtime_ns

    results = sweep(CONFIG, faces, tmp_path, (1, 4), (0, 1), device="cpu")
    assert [(r["beta"], r["seed"]) for r in results] == [(1, 0), (4, 0), (1, 1), (4, 1)]
    assert (tmp_path / "beta_1_seed_0.json").stat().st_mtime_ns == finished
    at_once = sweep(CONFIG, faces, tmp_path / "other", (4,), (0,), device="cpu")
    assert at_once[0]["test"] == results[1]["test"]


def test_a_sweep_killed_between_the_weights_and_their_checkpoint_ends_the_run_first(
    faces, tmp_path, monkeypatch
):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    sweep(CONFIG, faces, whole, (1,), (0,), device="cpu")
    real, states = files.os.replace, []

    def replace_or_die(source, target):
        states.append(target) if target.name == "checkpoint.pt" else None
        if len(states) == 2:  # the first is of step 0
            monkeypatch.setattr(files.os, "unlink", lambda path: None)  # a kill cleans nothing
            raise Killed
        real(source, target)

    monkeypatch.setattr(files.os, "replace", replace_or_die)
    with pytest.raises(Killed):
        sweep(CONFIG, faces, cut, (1,), (0,), device="cpu")
    monkeypatch.undo()
    monkeypatch.setattr(sweep_module, "measure_disentanglement", lambda *_: {"mig": 0.1})
    assert (cut / "beta_1_seed_0" / "vae_synthetic.pth").exists()
    sweep(CONFIG, faces, cut, (1,), (0,), device="cpu")
    names = [sorted(f.name for f in out.rglob("*")) for out in (whole, cut)]
    assert names[0] == names[1]
    states = [load(out / "beta_1_seed_0" / "checkpoint.pt", RUN_STATE) for out in (whole, cut)]
    assert states[0]["state"]["step"] == states[1]["state"]["step"] == 10


def test_results_of_another_recipe_are_not_taken_for_this_ones(faces, tmp_path):
    sweep(CONFIG, faces, tmp_path, (1,), (0,), device="cpu")
    other = replace(CONFIG, epochs=2)
    with pytest.raises(InputError, match="epochs is 1 there and 2 here"):
        sweep(other, faces, tmp_path, (1,), (0,), device="cpu")
    with pytest.raises(InputError, match="train_images is 160 there and 80 here"):
        sweep(CONFIG, faces.take(80, 40, 40), tmp_path, (1,), (0,), device="cpu")


def test_a_missing_test_split_shows_before_any_training(faces, tmp_path):
    with pytest.raises(InputError, match="test split"):
        sweep(CONFIG, faces.take(160, 40), tmp_path, (1,), (0,), device="cpu")
    assert not list(tmp_path.iterdir())


def test_results_are_the_measures_of_the_whole_test_split(faces, tmp_path):
    (result,) = sweep(CONFIG, faces, tmp_path, (4,), (2,), device="cpu")
    model = load_weights(tmp_path / "beta_4_seed_2" / "vae_synthetic_beta_4.pth")
    expected = evaluate(model, faces.split("test").images, ssim=True)
    assert result["test"] == expected.flat()
    assert result["kl_per_dimension"] == list(expected.kl_per_dimension)
    assert result["training"]["recipe"]["seed"] == 2
    assert json.loads((tmp_path / "beta_4_seed_2.json").read_text()) == result


def test_committed_results_are_those_of_todays_recipe():
    """Were they not, sweeps would refuse the files that stand."""

    class CelebA:
        name = "celeba"

        def split(self, name: str) -> range:
            return range({"train": 49_820, "valid": 6_111, "test": 3_147}[name])

    found = json.loads(json.dumps(identity(TrainConfig(compile=True), CelebA())))
    assert found == json.loads(COMMITTED.read_text())["identity"]


def test_objectives_share_a_folder_without_overwriting_each_other(faces, tmp_path):
    sweep(CONFIG, faces, tmp_path, (6,), (0,), device="cpu")
    sweep(replace(CONFIG, objective="beta-tcvae"), faces, tmp_path, (6,), (0,), device="cpu")
    (result,) = sweep(CAPACITY, faces, tmp_path, (6,), (0,), device="cpu")
    assert {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.pth")} == {
        "beta_6_seed_0/vae_synthetic_beta_6.pth",
        "tcvae_6_seed_0/vae_synthetic_tcvae_6.pth",
        "capacity_6_seed_0/vae_synthetic_capacity_6.pth",
    }
    assert result["identity"]["objective"] == "capacity"
    assert result["capacity"] == 6
    assert "beta" not in result["identity"]
    assert [(run.objective, run.setting) for run in read_runs(tmp_path)] == [
        ("beta-tcvae", 6), ("beta-vae", 6), ("capacity", 6),
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"gamma is 100.0 there and 5.0 here"):
        sweep(replace(CAPACITY, gamma=5.0), faces, tmp_path, (6,), (0,), device="cpu")


def test_results_are_measured_anew_without_training(faces, tmp_path, scores):
    (first,) = sweep(CONFIG, faces, tmp_path, (4,), (0,), device="cpu")
    file = tmp_path / "beta_4_seed_0.json"
    old = {k: v for k, v in first.items() if k != "disentanglement"}  # of before there were scores
    file.write_text(json.dumps(old))
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "beta_4_seed_0").rglob("*")}
    assert sweep(CONFIG, faces, tmp_path, (4,), (0,), device="cpu") == [old]

    (again,) = sweep(CONFIG, faces, tmp_path, (4,), (0,), device="cpu", remeasure=True)
    assert again == first | {"disentanglement": {"mig": 0.2}}
    assert json.loads(file.read_text()) == again
    assert files == {p: p.stat().st_mtime_ns for p in (tmp_path / "beta_4_seed_0").rglob("*")}

    file.unlink()  # as if it was killed while measuring
    sweep(CONFIG, faces, tmp_path, (4,), (0,), device="cpu")
    assert json.loads(file.read_text())["disentanglement"] == {"mig": pytest.approx(0.3)}
    assert files == {p: p.stat().st_mtime_ns for p in (tmp_path / "beta_4_seed_0").rglob("*")}


def test_what_cannot_be_measured_anew_stays_as_it_is(faces, tmp_path, scores):
    sweep(CONFIG, faces, tmp_path, (4,), (0,), device="cpu")
    file = tmp_path / "beta_4_seed_0.json"
    before = file.read_bytes()
    longer = replace(CONFIG, epochs=2)
    with pytest.raises(InputError, match="epochs is 1 there and 2 here"):
        sweep(longer, faces, tmp_path, (4,), (0,), device="cpu", remeasure=True)
    (tmp_path / "beta_4_seed_0" / "vae_synthetic_beta_4.pth").unlink()
    with pytest.raises(InputError, match="nothing to measure"):
        sweep(CONFIG, faces, tmp_path, (4,), (0,), device="cpu", remeasure=True)
    assert file.read_bytes() == before
    assert len(scores) == 1


def test_only_faces_with_known_factors_are_scored(faces, tmp_path, scores):
    (result,) = sweep(CONFIG, replace(faces, name="faces"), tmp_path, (1,), (0,), device="cpu")
    assert "disentanglement" not in result
    assert not scores
    (run,) = read_runs(tmp_path)
    codes, test = load_codes(run.codes), faces.split("test")
    assert codes.ids.tolist() == test.ids.tolist()
    mu, _ = encode_images(load_weights(run.codes.with_name("vae_faces.pth")), test.images)
    np.testing.assert_allclose(codes.mu, mu, rtol=1e-3, atol=1e-6)
    with pytest.raises(InputError, match="codes of photographs"):
        rescore(run.file)


def test_a_run_is_scored_again_from_what_it_left_and_one_without_codes_says_so(faces, tmp_path):
    sweep(CONFIG, faces, tmp_path, (1,), (0,), device="cpu")
    file = tmp_path / "beta_1_seed_0.json"
    with pytest.raises(InputError, match="left no codes, as runs before"):
        rescore(file)  # no scores were measured here, and so no codes
    factors = draw_factors(600, seed=1)
    save_codes(tmp_path / "beta_1_seed_0" / CODES, rounded(factors[:, :3], factors[:, :3], seed=1))
    before = json.loads(file.read_text())
    scores = rescore(file)["disentanglement"]
    assert scores["per_factor"]["yaw"]["informativeness"] > 0.95
    assert json.loads(file.read_text()) == before | {"disentanglement": scores}


def test_scores_are_those_of_the_means_of_fresh_faces(model, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_module, "METRIC_FACES", 600)
    found = real_measure(model, tmp_path / "codes.npz")
    images, factors = synthetic_faces(600, seed=1)
    kept = rounded(*encode_images(model, images))
    codes = silence_collapsed(kept.mu, kept.logvar)
    assert score_codes(load_codes(tmp_path / "codes.npz")) == found
    discrete = [factor.binary for factor in FACTORS]
    assert found["mig"] == pytest.approx(mig(codes, factors, discrete=discrete))
    np.testing.assert_allclose(
        found["mutual_information"], mutual_information(codes, factors, discrete=discrete)
    )
    assert (found["codes"], found["seed_of_faces"]) == (600, 1)
    assert set(METRICS) == {
        name
        for name, value in found.items()
        if isinstance(value, float) and name not in QUALITIES and name != "chance"
    }
    assert json.loads(json.dumps(found)) == found
