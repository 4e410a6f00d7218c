"""Tables from a sweep's files, against numbers worked out by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from vae_lib.errors import InputError
from vae_lib.study import (
    METRICS,
    QUALITIES,
    Run,
    best_and_worst,
    beta_vae_at,
    compare_at_equal_kl,
    mig_ceiling,
    prices,
    read_runs,
    scores_of_factors,
    share_of_setting,
    share_of_wins,
    share_with_interval,
    summarise,
)

ROOT = Path(__file__).parents[2]
# KL and MIG of the runs that `folder` writes.
BETA_VAES = {(1, 0): (30.0, 0.1), (4, 0): (10.0, 0.3), (1, 1): (32.0, 0.2), (4, 1): (12.0, 0.2)}


def write(folder: Path, name: str, recipe: dict, kl: float, mig: float | None) -> None:
    test = {"reconstruction": 6200.0, "excess": 100.0 + kl, "kl": kl, "active_001": 9}
    result = {"identity": recipe, "test": test | {"active_01": 8, "psnr": 20.0, "ssim": 0.7}}
    if mig is not None:
        result["disentanglement"] = {
            "mig": mig,
            "bins": 20,
            "per_factor": {"yaw": {}, "smile": {}},
            "mutual_information": [[0.5, 0.0], [0.0, mig], [0.0, 0.0]],
        }
    (folder / f"{name}_seed_{recipe['seed']}.json").write_text(json.dumps(result))


def columns(runs: list[Run]) -> dict[str, np.ndarray]:
    """The runs as a tidy table: one row a run, one column a name.

    Returns
    -------
    dict of ndarray, each of shape (len(runs),)
        ``objective``, ``setting``, ``seed`` and every measure that a run has, NaN for runs that
        lack it.
    """
    names = [n for n in (*QUALITIES, *METRICS) if any(n in run.measures for run in runs)]
    table = {n: np.array([getattr(run, n) for run in runs]) for n in ("objective", "setting")}
    table["seed"] = np.array([run.seed for run in runs])
    return table | {
        n: np.array([run.measures.get(n, np.nan) for run in runs], dtype=float) for n in names
    }


@pytest.fixture
def folder(tmp_path):
    for (beta, seed), (kl, mig) in BETA_VAES.items():
        write(tmp_path, f"beta_{beta}", {"beta": beta, "seed": seed}, kl, mig)
    for seed, kl, mig in ((0, 20.0, 0.5), (1, 22.0, 0.3)):
        recipe = {"objective": "capacity", "capacity": 20.0, "seed": seed}
        write(tmp_path, "capacity_20", recipe, kl, mig)
    return tmp_path


def test_runs_are_sorted_and_keep_what_they_are(folder):
    runs = read_runs(folder)
    assert [(r.objective, r.setting, r.seed) for r in runs] == [
        ("beta-vae", 1, 0), ("beta-vae", 1, 1), ("beta-vae", 4, 0), ("beta-vae", 4, 1),
        ("capacity", 20, 0), ("capacity", 20, 1),
    ]  # fmt: skip
    assert runs[0].factors == ("yaw", "smile")
    np.testing.assert_array_equal(runs[0].mutual_information, [[0.5, 0], [0, 0.1], [0, 0]])


def test_columns_are_a_tidy_table(folder):
    table = columns(read_runs(folder))
    assert {len(column) for column in table.values()} == {6}
    assert table["kl"].tolist() == [30, 32, 10, 12, 20, 22]
    assert table["mig"].tolist() == [0.1, 0.2, 0.3, 0.2, 0.5, 0.3]
    assert table["objective"].tolist() == ["beta-vae"] * 4 + ["capacity"] * 2


def test_means_and_deviations_over_seeds(folder):
    first = summarise(read_runs(folder))[0]
    assert (first.objective, first.setting, first.seeds) == ("beta-vae", 1, 2)
    assert first.mean["kl"] == 31
    assert first.sd["kl"] == pytest.approx(math.sqrt(2))
    assert first.mean["mig"] == pytest.approx(0.15)


def test_one_seed_has_no_deviation(folder):
    (summary,) = summarise(read_runs(folder)[:1])
    assert math.isnan(summary.sd["kl"])


def test_the_curve_is_straight_between_a_seeds_settings_and_ends_where_they_do(folder):
    runs = read_runs(folder)
    assert beta_vae_at(runs, "mig", 20.0) == pytest.approx([0.2, 0.2])
    assert beta_vae_at(runs, "mig", 12.0) == pytest.approx([0.28, 0.2])
    assert beta_vae_at(runs, "excess", 20.0) == pytest.approx([120.0, 120.0])
    for kl in (11.0, 31.0):  # one seed reaches it, the other does not
        with pytest.raises(InputError, match=f"{kl:.2f} lies outside; train smaller or larger"):
            beta_vae_at(runs, "mig", kl)
    with pytest.raises(InputError, match="no β-VAEs"):
        beta_vae_at(runs[4:], "mig", 20.0)


def test_other_objectives_are_compared_at_the_kl_of_their_own_runs(folder):
    runs = read_runs(folder)
    (found,) = compare_at_equal_kl(runs, "mig")
    assert (found.objective, found.setting, found.kl) == ("capacity", 20, 21)
    assert (found.mean, found.sd) == (pytest.approx(0.4), pytest.approx(math.sqrt(0.02)))
    # Seed 0 has 0.2 and 0.18 at 20 and 22 nats, seed 1 has 0.2 everywhere.
    assert found.beta_vae_mean == pytest.approx(0.195)
    assert found.beta_vae_sd == pytest.approx(0.01 / math.sqrt(2))


def test_best_and_worst_are_by_the_stated_measure(folder):
    runs = read_runs(folder)
    best, worst = best_and_worst(runs)
    assert (best.objective, best.seed, worst.objective, worst.seed) == (
        "capacity", 0, "beta-vae", 0,
    )  # fmt: skip
    assert best_and_worst(runs, "kl")[0].measures["kl"] == 32
    with pytest.raises(InputError, match="no measure 'sap'; it has reconstruction"):
        best_and_worst(runs, "sap")
    with pytest.raises(InputError, match="no runs"):
        best_and_worst([])


def test_the_share_of_the_setting_is_that_of_an_analysis_of_variance(folder):
    runs = read_runs(folder)[:4]
    # MIG 0.1, 0.2 | 0.3, 0.2: between 0.01, within 0.01.
    assert share_of_setting(runs, "mig") == pytest.approx(0.5)
    with pytest.raises(InputError, match="same psnr"):
        share_of_setting(runs, "psnr")
    for few in (runs[:2], runs[::2]):
        with pytest.raises(InputError, match="two settings or more, and several seeds"):
            share_of_setting(few, "mig")


def test_the_share_of_the_setting_agrees_with_scikit_learns_f_statistic():
    from sklearn.feature_selection import f_classif

    values = np.random.default_rng(0).normal(size=20)
    (f,), _ = f_classif(values[:, None], np.arange(20) % 4)
    runs = of_four_settings(values)
    assert share_of_setting(runs, "mig") == pytest.approx(3 * f / (3 * f + 16))
    share = share_with_interval(runs, "mig", resamples=99)
    assert share.omega_squared == pytest.approx(3 * (f - 1) / (3 * (f - 1) + 20))
    assert (share.eta_squared, share.chance) == (share_of_setting(runs, "mig"), 3 / 19)


def of_four_settings(values: np.ndarray) -> list[Run]:
    return [
        Run("beta-vae", i % 4, i // 4, {"mig": value}, Path("x"), {})
        for i, value in enumerate(values)
    ]


def test_what_chance_explains_is_taken_off_and_the_interval_mostly_holds_the_true_share():
    rng = np.random.default_rng(1)
    means = np.tile([0.0, 1.0, 2.0, 3.0], 5)  # variance 1.25 between settings and, below, within
    idle, half = [], []
    for _ in range(40):
        noise = rng.normal(size=20)
        idle.append(share_with_interval(of_four_settings(noise), "mig", resamples=199))
        runs = of_four_settings(means + noise * math.sqrt(1.25))
        half.append(share_with_interval(runs, "mig", resamples=199))
    assert np.mean([share.eta_squared for share in idle]) == pytest.approx(3 / 19, abs=0.04)
    assert np.mean([share.omega_squared for share in idle]) == pytest.approx(0, abs=0.04)
    assert np.mean([share.omega_squared for share in half]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([share.low <= 0.5 <= share.high for share in half]) > 0.75


def test_two_seeds_of_each_setting_are_too_few_for_an_interval(folder):
    share = share_with_interval(read_runs(folder)[:4], "mig")
    # Between 0.01, within 0.01, so a variance of 0.005 between seeds.
    assert share.omega_squared == pytest.approx((0.01 - 0.005) / (0.02 + 0.005))
    assert math.isnan(share.low)
    assert math.isnan(share.high)


def test_a_price_is_excess_over_rate_for_every_pair_of_seeds(tmp_path):
    for beta, seed, kl, excess in ((1, 0, 30, 10), (1, 1, 31, 10), (4, 0, 10, 50), (4, 1, 30, 60)):
        write(tmp_path, f"beta_{beta}", {"beta": beta, "seed": seed}, kl, None)
        file = tmp_path / f"beta_{beta}_seed_{seed}.json"
        result = json.loads(file.read_text())
        result["test"]["excess"] = excess
        file.write_text(json.dumps(result))
    found = prices(read_runs(tmp_path))
    assert list(found) == [(1, 4)]
    np.testing.assert_allclose(found[1, 4], [[40 / 20, math.inf], [40 / 21, 50]])
    assert prices(read_runs(tmp_path)[:2]) == {}


def test_wins_are_counted_over_all_pairs_of_seeds(folder):
    runs = read_runs(folder)
    # MIG 0.1, 0.2 against 0.3, 0.2: three pairs rise, one is equal.
    assert share_of_wins(runs, "mig", 1, 4) == 0.75
    with pytest.raises(InputError, match="no run of β = 1 or none of β = 8"):
        share_of_wins(runs, "mig", 1, 8)


def test_scores_of_all_factors_are_the_runs_own_and_of_some_their_means():
    run = read_runs(ROOT / "results" / "synthetic")[0]
    scores = scores_of_factors(run, run.factors)
    assert scores == pytest.approx({name: run.measures[name] for name in METRICS[:5]})
    some = scores_of_factors(run, ["yaw", "glasses"])
    per_factor = run.result["disentanglement"]["per_factor"]
    for name, of in (("mig", "mig"), ("sap", "sap"), ("dci_informativeness", "informativeness")):
        assert some[name] == pytest.approx(
            (per_factor["yaw"][of] + per_factor["glasses"][of]) / 2, rel=1e-9
        )
    assert run.measures["mig"] < mig_ceiling(run) < 1
    with pytest.raises(InputError, match=r"Found the factors \['ears', 'yaw'\]; expected two"):
        scores_of_factors(run, ["ears", "yaw"])


def test_faces_without_known_factors_have_no_scores(tmp_path):
    write(tmp_path, "beta_1", {"beta": 1.0, "seed": 0}, 100.0, None)
    (run,) = read_runs(tmp_path)
    assert "mig" not in columns([run])
    with pytest.raises(InputError, match=r"no disentanglement scores.*--remeasure"):
        _ = run.mutual_information


def test_the_results_on_celeba_in_the_repository_are_read():
    runs = read_runs(ROOT / "results" / "celeba")
    (first,) = [run for run in runs if (run.setting, run.seed) == (1, 0)]
    assert first.objective == "beta-vae"
    assert first.measures["excess"] == pytest.approx(235.4, abs=0.1)


@pytest.mark.parametrize("content", ["{", "[]", '{"identity": {"beta": 1, "seed": 0}}'])
def test_a_file_that_is_no_result_is_named(folder, content):
    (folder / "beta_2_seed_0.json").write_text(content)
    with pytest.raises(InputError, match=r"beta_2_seed_0.json is no result of vae sweep"):
        read_runs(folder)


def test_a_folder_without_results_says_what_was_expected(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match="no results such as"):
            read_runs(folder)
