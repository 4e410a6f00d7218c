"""When a factor leaves the code: the calculation on made-up pixels, the verdict on made-up runs."""

import json
import sys
from itertools import permutations, product

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from benchmarks.prediction import (
    BETAS,
    LOOKS,
    PREDICTION,
    VERDICT,
    main,
    outcomes,
    pack,
    runs,
    unpack,
    verdict,
    within,
)
from vae_lib.disentanglement import mutual_information, silence_collapsed
from vae_lib.errors import InputError
from vae_lib.faces.synthetic import draw_factors, render
from vae_lib.study.codes import load_codes
from vae_lib.study.departure import (
    NAMES,
    conditional_means,
    judge,
    levels,
    observed_departure,
    p_in_words,
    price_curve,
)

SMILE, GLASSES = NAMES.index("smile"), NAMES.index("glasses")


def pixels(strength: float, factor: int = SMILE, count: int = 12, pixels: int = 400):
    """Grey pixels that a factor moves a little, all alike."""
    values = torch.from_numpy(levels(factor, count)).double()
    t = (values - values.mean()) / values.std(correction=0)
    return (0.5 + strength * t)[None, :, None].expand(1, -1, pixels).float()


def test_small_effects_follow_equation_3():
    # λ = pixels · variance / (p (1 − p)); excess ½ λ v; what is told 1 − β / λ.
    curve = price_curve(pixels(0.02), SMILE)
    expected = 400 * 0.02**2 / 0.25
    assert curve.eigenvalue == pytest.approx(expected, rel=1e-3)
    v = np.exp(-2 * curve.rate)
    rough = curve.rate < 0.7  # finer, and the uniform factor is no Gaussian any more
    np.testing.assert_allclose(curve.excess[rough], expected * v[rough] / 2, rtol=0.1, atol=0.01)
    slope = (curve.excess[0] - curve.excess[1]) / curve.rate[1]
    assert slope == pytest.approx(expected, rel=0.05)
    strong = price_curve(pixels(0.1), SMILE)
    assert strong.eigenvalue == pytest.approx(16, rel=0.01)
    assert strong.told_at([40])[0] == 0
    assert 16 / 2 < strong.leaves_at() < 16


def test_twice_the_pixels_leave_at_twice_the_price_and_a_scale_multiplies_it():
    one, two = (price_curve(pixels(0.1, pixels=n), SMILE).leaves_at() for n in (800, 1600))
    assert two / one == pytest.approx(2, rel=0.05)
    curve = price_curve(pixels(0.1, pixels=1600), SMILE)
    assert curve.leaves_at(0.5) == pytest.approx(curve.leaves_at() / 2, rel=0.1)


def test_a_binary_factor_costs_no_more_than_its_one_bit_can_save():
    curve = price_curve(pixels(0.3, GLASSES), GLASSES)
    p = torch.tensor([0.2, 0.8], dtype=torch.double)
    entropy = torch.distributions.Bernoulli(p).entropy().mean()
    whole = 400 * (np.log(2) - entropy)  # Jensen–Shannon
    assert curve.excess[0] == pytest.approx(float(whole), rel=1e-3)
    assert curve.told[0] == 0
    assert curve.told[-1] == pytest.approx(1, abs=1e-3)


def test_means_hold_the_known_factors_and_average_over_the_rest():
    everything = range(len(NAMES))
    sharp = conditional_means(SMILE, everything, contexts=2, count=3, seed=4)
    rows = np.repeat(draw_factors(2, 4), 3, 0)
    rows[:, SMILE] = np.tile(levels(SMILE, 3), 2)
    drawn = render(rows).reshape(2, 3, -1) / 255
    assert np.abs(sharp.numpy() - drawn).max() < 3 / 510
    soft = conditional_means(SMILE, (), contexts=1, count=2, draws=8)
    assert soft.shape == (1, 2, 64 * 64 * 3)
    assert soft.std() < sharp.std()
    with pytest.raises(InputError, match="Found 5 levels of glasses; expected 2"):
        price_curve(pixels(0.1)[:, :5], GLASSES)


def test_departures_are_read_between_two_prices():
    assert observed_departure([1, 8, 16], [1.0, 1.0, 0.0]) == pytest.approx(8 * 2**0.5)
    assert observed_departure([1, 8], [0.9, 0.5]) == float("inf")
    assert observed_departure([1, 8], [0.09, 0.5]) == 0
    with pytest.raises(InputError, match="first β is 2"):
        observed_departure([2, 8], [0.9, 0.5])


def test_judgement_is_spearmans_and_holds_its_own_interval():
    rng = np.random.default_rng(0)
    x = rng.normal(size=13)
    found = judge(x, x + rng.normal(size=13))
    assert found.low < found.spearman < found.high
    y = np.random.default_rng(1).integers(0, 3, 13)  # with equal outcomes
    assert judge(x, y).spearman == pytest.approx(spearmanr(x, y).statistic)
    assert judge(x, x).spearman == 1
    assert judge(x, x).p < 0.001
    assert judge(x, rng.permutation(x)).p > 0.01
    assert judge(x, -x).spearman == -1
    with pytest.raises(InputError, match="four or more pairs"):
        judge([1, 2], [1, 2])


def test_the_prediction_names_every_factor_of_every_look():
    prediction = json.loads(PREDICTION.read_text())
    assert set(prediction["looks"]) == set(LOOKS)
    for look, entry in prediction["looks"].items():
        for variant in ("others known", "stronger known"):
            assert set(entry[variant]) == set(NAMES)
            for one in entry[variant].values():
                assert 0 < one["leaves_at_scaled"] < one["leaves_at"] < 2000
                assert set(one["told_scaled"]) == {f"{b:g}" for b in BETAS[look]}
                assert all(np.diff(one["excess"]) < 0.05)
    assert prediction["glasses_left_at"] == pytest.approx(11.9, abs=0.1)


def test_a_verdict_tells_a_right_prediction_from_a_wrong_one():
    prediction = json.loads(PREDICTION.read_text())

    def world(turned: bool):
        found = {}
        for look, betas in BETAS.items():
            told = prediction["looks"][look]["stronger known"]
            leaves = np.array([told[name]["leaves_at_scaled"] for name in NAMES])
            leaves = 200 / leaves if turned else leaves
            found[look] = {b: np.tile(0.9 * (leaves > b), (3, 1)) for b in betas}
        return verdict(prediction, found)

    right, wrong = world(False), world(True)
    assert right["stronger known"]["all"]["spearman"] > 0.9
    assert (
        right["stronger known"]["in or out above 16"]["right"]
        == (right["stronger known"]["in or out above 16"]["of"])
    )
    assert wrong["stronger known"]["all"]["spearman"] < -0.5
    key = "glasses: glasses at β = 8"
    assert right["interventions"][key]["pairs_as_predicted"] == 1


def test_a_share_of_no_order_is_told_as_what_it_is(monkeypatch, capsys, tmp_path):
    assert p_in_words(judge(range(9), range(9)).p) == "< 1/5,000"
    assert p_in_words(67 / 5000) == "0.0134"
    monkeypatch.setattr(sys, "argv", ["prediction.py", "judge"])
    monkeypatch.setattr("benchmarks.prediction.VERDICT", tmp_path / "verdict.json")
    assert main() == 0
    printed = json.loads(capsys.readouterr().out)["stronger known"]
    assert [printed[which]["p"] for which in ("all", "still in at 16")] == ["< 1/5,000", "0.0134"]
    assert json.loads((tmp_path / "verdict.json").read_text()) == json.loads(VERDICT.read_text())


def test_runs_are_each_once_and_every_price_comes_before_the_second_seed(tmp_path):
    table = runs()
    assert len(table) == len(set(table)) == 8 * 3 + 4 * 6 + 5
    assert {seed for _, _, seed in table[:16]} == {0}
    work, out, again = tmp_path / "work", tmp_path / "out", tmp_path / "again"
    work.mkdir()
    (work / "log.txt").write_text("log")
    for look, beta, seed in table[:3]:
        told = {"per_factor": {name: {"informativeness": 0.5} for name in NAMES}}
        file = work / f"{look}_beta_{beta:g}_seed_{seed}.json"
        file.write_text(json.dumps({"disentanglement": told}))
        file.with_suffix(".npz").write_bytes(b"codes" * 1000)
    pack(work, out)
    assert {file.name for file in out.iterdir()} == {"results.tgz", "codes_1.tar"}
    unpack(out, again)
    assert {f.name for f in work.iterdir()} == {f.name for f in again.iterdir()}
    assert list(outcomes(again)["usual"]) == [1, 2, 4]


def test_the_verdict_is_that_of_the_runs_that_lie_beside_it():
    said = json.loads(VERDICT.read_text())
    found = outcomes(VERDICT.parent)
    assert {k: len(betas) for k, betas in found.items()} == {"usual": 8, "mouth": 4, "glasses": 4}
    again = verdict(json.loads(PREDICTION.read_text()), found)
    assert json.loads(json.dumps(again)) == said


def test_a_run_can_be_scored_again_from_the_codes_that_it_left():
    file = VERDICT.parent / "usual_beta_8_seed_0"
    told = json.loads(file.with_suffix(".json").read_text())["disentanglement"]
    codes = load_codes(file.with_suffix(".npz"))
    assert codes.mu.shape == (10_000, 16)
    # The whole score takes a minute; the mutual information of all codes is a second of it.
    factors = draw_factors(len(codes.mu), codes.seed)
    silent = silence_collapsed(codes.mu.astype(np.float32), codes.logvar.astype(np.float32))
    discrete = [name == "glasses" for name in NAMES]
    found = mutual_information(silent, factors, discrete=discrete)
    np.testing.assert_allclose(found, told["mutual_information"], atol=2e-3)


def test_agreement_within_every_beta_is_set_against_all_orders_that_chance_could_give():
    scores = {"sap": ([3, 1, 2], [1, 2, 4, 3]), "mig": ([1, 3, 2], [1, 2, 3, 4])}
    others = {name: ([1, 2, 3], [4, 3, 2, 1]) for name in ("dci_disentanglement", "loss", "kl")}
    both = scores | others
    groups = [
        {"udr": [0.1, 0.3, 0.2], **{name: value[0] for name, value in both.items()}},
        {"udr": [0.2, 0.4, 0.5, 0.6], **{name: value[1] for name, value in both.items()}},
    ]
    found = within(groups)
    assert found["mig"]["by_beta"] == pytest.approx([1, 1])
    assert found["mig"]["best_is_best"] == 2
    assert found["mig"]["p"] == pytest.approx(1 / (6 * 24))
    seen = (
        spearmanr([1, 3, 2], [3, 1, 2]).statistic + spearmanr([1, 2, 3, 4], [1, 2, 4, 3]).statistic
    )
    assert found["sap"]["mean"] == pytest.approx(seen / 2)
    assert found["sap"]["best_is_best"] == 0
    chance = [
        spearmanr([1, 2, 3], one).statistic + spearmanr([1, 2, 3, 4], other).statistic
        for one, other in product(permutations([1, 2, 3]), permutations([1, 2, 3, 4]))
    ]
    assert found["sap"]["p"] == pytest.approx(np.mean(np.array(chance) >= seen - 1e-9))
