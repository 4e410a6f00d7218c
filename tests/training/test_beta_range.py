"""``beta_range``: one network for every β, trained, resumed, measured and put into a sweep."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from vae_lib import evaluate, load_weights, train
from vae_lib.cli import main
from vae_lib.config import VAEConfig, draw_beta, setting_of
from vae_lib.errors import InputError
from vae_lib.model.any_beta import AnyBetaVAE
from vae_lib.objective import any_beta_objective, beta_vae_objective
from vae_lib.study.sweep import sweep
from vae_lib.training.config import TrainConfig

SMALL = VAEConfig(channels=(4, 8, 8, 8), latent_size=4)
CONFIG = TrainConfig(beta_range=(0.5, 8), epochs=2, batch_size=8, model=SMALL)


def test_with_one_beta_for_all_it_is_the_beta_vae_and_else_its_mean():
    generator = torch.Generator().manual_seed(0)
    logits, mu, logvar = (
        torch.randn(s, generator=generator) for s in ((6, 3, 8, 8), (6, 4), (6, 4))
    )
    x = torch.rand(6, 3, 8, 8, generator=generator)
    same = any_beta_objective(logits, x, mu, logvar, torch.full((6,), 4.0))
    torch.testing.assert_close(tuple(same), tuple(beta_vae_objective(logits, x, mu, logvar, 4.0)))
    betas = torch.tensor([0.5, 1, 2, 4, 8, 3])
    each = [
        beta_vae_objective(*(part[i : i + 1] for part in (logits, x, mu, logvar)), beta.item()).loss
        for i, beta in enumerate(betas)
    ]
    found = any_beta_objective(logits, x, mu, logvar, betas).loss
    torch.testing.assert_close(found, torch.stack(each).mean())


def test_beta_is_drawn_evenly_over_its_logarithm():
    from scipy.stats import kstest

    drawn = draw_beta(20_000, torch.Generator().manual_seed(0), "cpu", 0.5, 8.0).log()
    assert kstest(drawn, "uniform", args=(math.log(0.5), math.log(16))).pvalue > 0.01


def test_a_run_is_trained_measured_at_five_beta_and_loaded(faces, tmp_path):
    run = train(CONFIG, faces, tmp_path, device="cpu")
    assert isinstance(run.model, AnyBetaVAE)
    assert run.model.beta_range == (0.5, 8.0)
    (last,) = [r for r in run.history if r.get("split") == "valid" and r["epoch"] == 2]
    betas = [one["beta"] for one in last["at_beta"]]
    np.testing.assert_allclose(betas, [0.5, 1, 2, 4, 8])
    valid = faces.split("valid").images
    for one in last["at_beta"]:
        assert one["kl"] == pytest.approx(evaluate(run.model, valid, beta=one["beta"]).kl)
    assert last["kl"] == last["at_beta"][1]["kl"]  # what stands for the run is β = 1
    again = load_weights(tmp_path / "vae_synthetic_any_beta_0.5-8.pth")
    assert isinstance(again, AnyBetaVAE)
    assert again.metadata["recipe"]["objective"] == "any-beta"
    assert evaluate(again, valid, beta=2.0).kl == evaluate(run.model, valid, beta=2.0).kl


def test_a_run_that_goes_on_is_the_run_that_was_never_stopped(faces, tmp_path):
    whole = train(CONFIG, faces, device="cpu").model.state_dict()
    train(replace(CONFIG, epochs=1), faces, tmp_path, device="cpu")
    resumed = train(CONFIG, faces, tmp_path, resume=True, device="cpu").model.state_dict()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    with pytest.raises(InputError, match="high"):
        train(replace(CONFIG, beta_range=(0.5, 9)), faces, tmp_path, resume=True, device="cpu")


def test_gates_learn_that_more_nats_are_bought_where_they_are_cheap(faces):
    run = train(replace(CONFIG, epochs=20, learning_rate=4e-3), faces, device="cpu")
    valid = faces.split("valid").images
    kl = [evaluate(run.model, valid, beta=beta).kl for beta in (0.5, 2.0, 8.0)]
    assert kl[0] > kl[1] > kl[2]


def test_a_sweep_has_seeds_of_it(faces, tmp_path):
    (result,) = sweep(replace(CONFIG, epochs=1), faces, tmp_path, [8.0], [3], device="cpu")
    assert (tmp_path / "any_beta_0.5-8_seed_3.json").exists()
    assert result["identity"]["low"] == 0.5
    assert json.loads((tmp_path / "any_beta_0.5-8_seed_3.json").read_text())["test"]["kl"] > 0
    assert result["measured_at_beta"] == 1


def test_ranges_with_one_end_in_common_have_names_of_their_own():
    wide, narrow = CONFIG.setting, replace(CONFIG, beta_range=(2, 8)).setting
    assert (wide.stem, narrow.stem) == ("any_beta_0.5-8", "any_beta_2-8")
    assert wide.label == "every β from 0.5 to 8"
    assert setting_of(CONFIG.recipe()) == wide


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("train --beta-range 4", "give two numbers, its smallest and its largest: 0.5 20."),
        ("train --beta-range 0.5 20 --beta 1", "any-beta has none; leave it out, or leave"),
        ("train --beta-range 0.5 20 --beta=1", "Found --beta, but"),
        ("sweep --beta-range 0.5 20 --betas 1 4", "Found --betas, but"),
        ("sweep --capacities 25", "beta-vae has none; leave it out, or choose another objective."),
        ("train --objective capacity --beta 1", "Found --beta, but the objective capacity"),
    ],
)
def test_a_number_that_is_given_for_nothing_is_refused_at_its_default_too(given, told, capsys):
    assert main(given.split()) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"beta_range": (20, 0.5)}, "ends are swapped"),
        ({"beta_range": (0, 4)}, "above 0"),
        ({"beta_range": (4,)}, "smallest and its largest"),
        ({"beta_range": (0.5, 20), "beta": 4.0}, "any-beta has none"),
        ({"beta_range": (0.5, 20), "objective": "capacity"}, "capacity has none"),
    ],
)
def test_ranges_that_cannot_be_are_told(wrong, told):
    with pytest.raises(InputError, match=told):
        TrainConfig(**wrong)
