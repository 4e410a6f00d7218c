"""σ-VAE and cross-entropies at equal rate: what is trained, kept and compared."""

import json

import pytest

from tests.conftest import SMALL
from vae_lib.errors import InputError
from vae_lib.evaluation import evaluate
from vae_lib.training import TrainConfig, train
from workshop import likelihood

RECIPE = TrainConfig(epochs=1, batch_size=8, model=SMALL)


def test_what_is_kept_is_what_the_same_runs_measure_and_is_not_trained_again(
    tmp_path, faces, monkeypatch
):
    monkeypatch.setattr(likelihood, "BETAS", (0.1,))
    kept = tmp_path / "kept.json"
    found = likelihood.main(faces, kept, [3], RECIPE)
    assert found == json.loads(kept.read_text())
    assert [(r["objective"], r["beta"], r["seed"]) for r in found["runs"]] == [
        ("beta-vae", 0.1, 3),
        ("sigma-vae", 1.0, 3),
    ]
    again = train(
        TrainConfig(epochs=1, batch_size=8, model=SMALL, beta=0.1, seed=3), faces, device="cpu"
    )
    expected = evaluate(again.model, faces.split("valid").images)
    assert found["runs"][0]["psnr"] == expected.psnr
    assert found["runs"][0]["kl"] == expected.kl
    assert found["runs"][0]["steps"] == again.step

    monkeypatch.setattr(likelihood, "train", None)
    assert likelihood.main(faces, kept, [3], RECIPE) == found
    with pytest.raises(InputError, match="trained alike"):
        likelihood.main(faces, kept, [3], TrainConfig(epochs=2, batch_size=8, model=SMALL))


def test_a_sigma_vae_outside_of_the_bernoulli_models_rates_is_not_compared():
    def run(objective, kl, seed=0):
        return {"objective": objective, "kl": kl, "psnr": 20.0, "seed": seed}

    bernoulli = [run("beta-vae", 100), run("beta-vae", 200), run("beta-vae", 900, seed=1)]
    assert likelihood.at_equal_rate([*bernoulli, run("sigma-vae", 201)]) == []
    (row,) = likelihood.at_equal_rate([*bernoulli, run("sigma-vae", 150)])
    assert row["gain"] == 0
