"""σ-VAE and cross-entropies at equal rate: what is trained, kept and compared."""

import json
import math

import numpy as np
import pytest

from tests.conftest import SMALL
from vae_lib.errors import InputError
from vae_lib.evaluation import evaluate
from vae_lib.pretrained import load_pretrained
from vae_lib.training import TrainConfig, train
from workshop import likelihood

ROOT = likelihood.KEPT.parent.parent
RECIPE = TrainConfig(epochs=1, batch_size=8, model=SMALL)


def test_what_is_kept_is_what_the_same_runs_measure_and_is_not_trained_again(
    tmp_path, faces, monkeypatch
):
    monkeypatch.setattr(likelihood, "BETAS", (0.1,))
    monkeypatch.setattr(likelihood, "SIGMA_BETAS", (1.0,))
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


def run(objective, kl, psnr=20.0, seed=0):
    return {"objective": objective, "beta": 1.0, "kl": kl, "psnr": psnr, "seed": seed}


def test_what_no_other_models_enclose_is_not_compared():
    bernoulli = [run("beta-vae", 100), run("beta-vae", 200), run("beta-vae", 900, seed=1)]
    for kl in (201, 99):
        assert likelihood.at_equal_rate([*bernoulli, run("sigma-vae", kl)]) == []
    (row,) = likelihood.at_equal_rate([*bernoulli, run("sigma-vae", 150)])
    assert row["gain"] == 0
    assert row["kl"] == 150


def test_a_sigma_vae_of_fewer_nats_than_all_others_is_compared_at_the_least_of_theirs():
    runs = [run("beta-vae", 100, 20.0), run("beta-vae", 1000, 22.0)]
    runs += [run("sigma-vae", 10, 19.0), run("sigma-vae", 1000, 23.0)]
    below, at = likelihood.at_equal_rate(runs)
    assert (below["kl"], below["psnr"], below["bernoulli"]) == (100, pytest.approx(21.0), 20.0)
    assert at["gain"] == 1.0


def test_the_runs_that_are_kept_were_trained_alike_and_compared_as_they_say():
    kept = likelihood.read(likelihood.KEPT)
    one, *others = kept["runs"]
    for name in one.keys() - {"objective", "beta", "seed"} - {*likelihood.MEASURED}:
        assert all(run[name] == one[name] for run in others), name
    assert kept["at_equal_rate"] == likelihood.at_equal_rate(kept["runs"])
    for row in kept["at_equal_rate"]:
        same = [run for run in kept["runs"] if run["seed"] == row["seed"]]
        decibels = []
        for kind in ("sigma-vae", "beta-vae"):
            curve = sorted((r["kl"], r["psnr"]) for r in same if r["objective"] == kind)
            above = next(i for i, (kl, _) in enumerate(curve) if i and kl >= row["kl"])
            (x0, y0), (x1, y1) = curve[above - 1 : above + 1]
            share = math.log(row["kl"] / x0) / math.log(x1 / x0)
            decibels.append(y0 + share * (y1 - y0))
        assert row["gain"] == pytest.approx(decibels[0] - decibels[1])


def test_the_page_reads_the_runs_as_they_are():
    page = " ".join((ROOT / "book" / "likelihood.md").read_text("utf-8").split()).replace("−", "-")
    kept = likelihood.read(likelihood.KEPT)

    def mean(objective, beta, name):
        alike = [r for r in kept["runs"] if (r["objective"], r["beta"]) == (objective, beta)]
        return np.mean([run[name] for run in alike])

    told = {beta: [r for r in kept["at_equal_rate"] if r["beta"] == beta] for beta in (1.0, 15.0)}
    assert [len(rows) for rows in told.values()] == [3, 3]
    own, baseline = ([row["gain"] for row in rows] for rows in told.values())
    assert f"gains {np.mean(own):.2f} dB on average, from {min(own):.2f} to {max(own):.2f}" in page
    found = f"{np.mean(baseline):.2f} dB, from {min(baseline):.2f} to {max(baseline):.2f}"
    assert f"At the baseline's rate it is {found}" in page
    betas = [np.mean([row["bernoulli_beta"] for row in rows]) for rows in told.values()]
    assert f"0.06 was expected and {betas[0]:.3f} found" in page
    assert f"0.8 was expected, and it is {betas[1]:.1f} or a little more" in page
    excess = [mean(*which, "excess") for which in (("sigma-vae", 15), ("beta-vae", 1))]
    assert f"{excess[0]:.0f} nats of excess for the σ-VAE with β = 15, and {excess[1]:.0f}" in page
    short = [
        row["kl"] - run["kl"]
        for row in told[15.0]
        for run in kept["runs"]
        if (run["objective"], run["beta"], run["seed"]) == ("sigma-vae", 15, row["seed"])
    ]
    assert sum(nats > 0 for nats in short) == 2
    assert f"at most {math.ceil(max(short))} nats" in page
    sharper = [
        one["psnr"] - other["psnr"]
        for one in kept["runs"]
        for other in kept["runs"]
        if (one["objective"], other["objective"]) == ("sigma-vae", "beta-vae")
        and one["beta"] == other["beta"] == 1
        and one["seed"] == other["seed"]
    ]
    assert f"σ-VAE is {min(sharper):.1f} to {max(sharper):.1f} dB sharper" in page
    assert min(sharper) < 1 < max(sharper)
    times = mean("sigma-vae", 1, "kl") / mean("beta-vae", 1, "kl")
    assert f"{times:.1f} times as many nats" in page
    nats, decibels = (
        mean("beta-vae", 0.03, name) - mean("beta-vae", 0.1, name) for name in ("kl", "psnr")
    )
    assert f"buys {nats:.0f} nats more and gains {decibels:.2f} dB" in page
    assert f"after {kept['runs'][0]['steps']} steps" in page


def test_the_page_reads_the_shipped_model_as_it_was_measured():
    page = " ".join((ROOT / "book" / "likelihood.md").read_text("utf-8").split())
    sigma, plain = (load_pretrained(n).metadata for n in ("vae_sigma", "vae_celeba"))
    assert sigma["test"]["images"] == plain["test"]["images"] == 3147
    nats, decibels = sigma["test"]["kl"], sigma["test"]["psnr"]
    assert sigma["test"]["active_01"] == 128
    times = nats / plain["test"]["kl"]
    assert f"at {nats:.0f} nats, {times:.1f} times the baseline's" in page
    far, other = (m["samples"]["prior"] for m in (sigma, plain))
    assert f"Fréchet distance is {far:.0f}, the baseline's {other:.0f}" in page
    gain = decibels - plain["test"]["psnr"]
    assert not 24.5 <= decibels <= 27
    assert f"it is {decibels:.1f} dB, {gain:.1f} dB more than the baseline" in page
    models = json.loads((ROOT / "results" / "celeba" / "densities.json").read_text())["models"]
    ours, theirs = (sum(models[n]["fitted_to_draws"]) / 3 for n in ("vae_sigma", "vae_celeba"))
    assert f"fitted to its codes are at {ours:.0f}." in page
    assert f"own fitted Gaussian ({theirs:.0f})" in page
