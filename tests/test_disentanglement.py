"""The metrics on codes whose scores are known: perfect, rotated, noise, and worked out by hand."""

import json
from math import log, pi

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import mutual_info_score
from sklearn.preprocessing import KBinsDiscretizer
from yardsticks import bootstrap, rendered_sampler

from vae_lib.disentanglement import (
    beta_vae_score,
    dci,
    factor_entropies,
    factor_vae_score,
    information_gaps,
    mig,
    mutual_information,
    pool_sampler,
    sap,
    sap_matrix,
    score_importances,
    scores,
    silence_collapsed,
)
from vae_lib.errors import InputError
from vae_lib.faces.synthetic import FACTORS, draw_factors, render
from vae_lib.latent import encode_images

NAMES = tuple(factor.name for factor in FACTORS)
QUARTER = -(0.25 * log(0.25) + 0.75 * log(0.75)) / log(2)  # bits in a coin that shows 1 of 4 heads


def all_three(codes: np.ndarray, factors: np.ndarray) -> np.ndarray:
    found = dci(codes, factors, at_most=800)
    return np.array([found.disentanglement, found.completeness, found.informativeness])


METRICS = {
    "mig": mig,
    "sap": sap,
    "dci": all_three,
    "factor_vae": lambda z, v: factor_vae_score(pool_sampler(z, v), v.shape[1], votes=400),
    "beta_vae": lambda z, v: beta_vae_score(pool_sampler(z, v), v.shape[1], points=400),
}
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


def turned(codes: np.ndarray) -> np.ndarray:
    """Neighbouring dimensions in pairs, each pair turned by 45°; a last odd one stays."""
    codes = (codes - codes.mean(0)) / codes.std(0)
    for i in range(0, codes.shape[1] - 1, 2):
        a, b = codes[:, i].copy(), codes[:, i + 1].copy()
        codes[:, i], codes[:, i + 1] = (a + b) / 2**0.5, (a - b) / 2**0.5
    return codes


@pytest.fixture(scope="module")
def faces_factors() -> np.ndarray:
    """The thirteen factors of 3,000 synthetic faces."""
    return draw_factors(3000, seed=3)


@pytest.fixture(scope="module")
def factors() -> np.ndarray:
    """Four continuous factors and a binary one, few enough for many boosted trees."""
    return draw_factors(2000, seed=4)[:, [0, 3, 7, 11, 12]]


@pytest.fixture(scope="module")
def codes(factors) -> np.ndarray:
    """An imperfect code of six dimensions: neither 0 nor 1 on any metric."""
    rng = np.random.default_rng(0)
    z = (factors - factors.mean(0)) / factors.std(0)
    z = z @ (np.eye(5) + 0.35 * rng.normal(size=(5, 5))) + 0.3 * rng.normal(size=(2000, 5))
    return np.c_[z, rng.normal(size=2000)]


# What a score has to be


@pytest.mark.parametrize("name", ["mig", "sap", "factor_vae", "beta_vae"])
def test_a_perfect_code_of_the_faces_scores_above_095(name, faces_factors):
    assert METRICS[name](faces_factors, faces_factors) >= 0.95


def test_trees_find_a_perfect_code_perfect(factors):
    found = dci(factors[:, ::-1], factors, at_most=800)
    assert found.disentanglement >= 0.95
    assert found.completeness >= 0.95
    assert found.informativeness >= 0.95
    assert found.importance.argmax(axis=0).tolist() == [4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("name", "at_most"),
    [
        ("mig", 0.3),
        ("sap", 0.3),
        ("factor_vae", 0.75),
        ("beta_vae", 0.75),
    ],
)
def test_a_code_turned_by_45_degrees_scores_clearly_less(name, at_most, factors):
    assert METRICS[name](turned(factors), factors) <= at_most


def test_trees_see_a_turned_code_as_entangled_and_yet_informative(factors):
    disentanglement, completeness, informativeness = all_three(turned(factors), factors)
    assert disentanglement <= 0.75
    assert completeness <= 0.75
    assert informativeness >= 0.95


@every_metric
def test_noise_scores_near_what_guessing_does(metric, factors):
    noise = np.random.default_rng(1).normal(size=(2000, 6))
    chance = 1 / 5 if metric in (METRICS["factor_vae"], METRICS["beta_vae"]) else 0
    assert metric(noise, factors) == pytest.approx(chance, abs=0.06)


@every_metric
def test_a_code_that_never_changes_scores_what_guessing_does(metric, factors):
    chance = 1 / 5 if metric in (METRICS["factor_vae"], METRICS["beta_vae"]) else 0
    assert np.all(metric(np.full((2000, 3), 7.3), factors) == chance)


def test_a_duplicated_dimension_takes_the_gaps_and_leaves_informativeness(factors):
    twice = np.hstack([factors, factors])
    assert mig(factors, factors) >= 0.95
    assert mig(twice, factors) == 0
    assert sap(twice, factors) == pytest.approx(0, abs=1e-9)
    disentanglement, completeness, informativeness = all_three(factors, factors)
    again = all_three(twice, factors)
    assert again == pytest.approx([disentanglement, again[1], informativeness], abs=0.01)
    assert again[1] < completeness - 0.2


@every_metric
def test_order_and_units_of_the_dimensions_do_not_matter(metric, codes, factors):
    shuffled = codes[:, [3, 0, 5, 1, 4, 2]] * [1e-3, 0.2, -1, 5, 80, 1e3] + [9, 0, 1, -5, 0, 300]
    assert metric(shuffled, factors) == pytest.approx(metric(codes, factors), abs=0.01)


@every_metric
def test_a_dimension_that_only_trembles_by_rounding_counts_as_constant(metric, codes, factors):
    still = np.c_[codes, np.full(2000, 1000.0, np.float32)]
    trembling = still.copy()
    trembling[:, -1] += 1e-5 * factors[:, 0]
    assert np.all(metric(trembling, factors) == metric(still, factors))


def test_factors_of_other_faces_tell_nothing(factors):
    assert mig(factors, np.roll(factors, 1, axis=0)) < 0.02


# Mutual information and MIG


def test_information_is_that_of_scikit_learn_on_the_same_bins(codes, factors):
    found = mutual_information(codes, factors, bins=12)
    cut = KBinsDiscretizer(12, encode="ordinal", strategy="uniform", subsample=None)
    z, v = cut.fit_transform(codes), cut.fit_transform(factors)
    v[:, 4] = factors[:, 4]
    expected = [[mutual_info_score(a, b) for b in v.T] for a in z.T]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    own = [mutual_info_score(b, b) for b in v.T]
    np.testing.assert_allclose(factor_entropies(factors, bins=12), own, atol=1e-12)


def test_information_of_a_gaussian_pair_is_the_closed_form():
    pair = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 50_000)
    found = mutual_information(pair[:, :1], pair[:, 1:], bins=40)
    assert found.item() == pytest.approx(-0.5 * log(1 - 0.8**2), rel=0.05)


def test_independent_columns_have_the_bias_that_is_stated():
    uniform = np.random.default_rng(0).random((1000, 30))
    found = mutual_information(uniform[:, :15], uniform[:, 15:], bins=10)
    assert found.mean() == pytest.approx((10 - 1) ** 2 / (2 * 1000), rel=0.1)


def test_mig_of_a_table_worked_out_by_hand():
    # Sixteen faces, two coins v. z0 is v0; z1 is v0 and z2 is v1, each wrong in one face of four
    # whatever the other coin shows. A coin that is right three times of four tells 1 − QUARTER of
    # a bit, so the gaps are 1 − (1 − QUARTER) and (1 − QUARTER) − 0: their mean is one half.
    v0, v1, wrong = np.repeat([0, 1], 8), np.tile(np.repeat([0, 1], 4), 2), np.tile([0, 0, 0, 1], 4)
    codes, coins = np.c_[v0, v0 ^ wrong, v1 ^ wrong], np.c_[v0, v1]
    information = mutual_information(codes, coins, bins=2)
    tells = (1 - QUARTER) * log(2)
    np.testing.assert_allclose(information, [[log(2), 0], [tells, 0], [0, tells]], atol=1e-12)
    np.testing.assert_allclose(factor_entropies(coins, bins=2), log(2))
    gaps = information_gaps(information, factor_entropies(coins, bins=2))
    np.testing.assert_allclose(gaps, [QUARTER, 1 - QUARTER])
    assert mig(codes, coins, bins=2) == pytest.approx(0.5)


def test_the_one_dimension_of_a_code_has_no_rival(factors):
    assert mig(factors[:, :1], factors[:, :1]) == pytest.approx(1)
    assert sap(factors[:, :1], factors[:, :1]) == pytest.approx(1)


# SAP


def test_sap_of_a_gaussian_code_of_a_uniform_factor_is_the_closed_form():
    factor = (np.arange(20_000) + 0.5) / 20_000
    noise = np.random.default_rng(0).normal(size=20_000)
    code = np.c_[norm.ppf(factor), noise]
    # The squared correlation of a uniform number and its normal quantile is 3 / π.
    assert sap(code, factor[:, None]) == pytest.approx(3 / pi, abs=0.002)


def test_one_threshold_classifies_a_binary_factor_as_its_overlap_allows():
    v = np.repeat([0, 1], [3000, 1000])  # balanced accuracy does not reward the majority
    z = np.random.default_rng(0).normal(size=4000) + 2 * v
    matrix = sap_matrix(np.c_[z, np.zeros(4000)], v[:, None])
    assert matrix[0, 0] == pytest.approx(norm.cdf(1), abs=0.01)
    assert matrix[1, 0] == 0  # the paper's value for a dimension that does not vary


def test_three_classes_in_a_row_are_told_apart_by_one_dimension():
    v = np.tile([0.0, 1.0, 2.0], 200)
    matrix = sap_matrix(np.c_[v, np.tile([0.0, 1.0], 300)], v[:, None], discrete=[True])
    np.testing.assert_allclose(matrix[:, 0], [1, 1 / 3], atol=0.05)


# DCI


def test_an_importance_matrix_worked_out_by_hand():
    # Rows: 3:1 leaves QUARTER bit of 1 open and weighs 4 of 20; 0:16 is sure and weighs 16; the
    # third is not used. Columns: all in one dimension, and 1:16, an entropy in units of log 3.
    disentanglement, completeness = score_importances([[3, 1], [0, 16], [0, 0]])
    assert disentanglement == pytest.approx(0.2 * (1 - QUARTER) + 0.8)
    open_part = (log(17) - 16 / 17 * log(16)) / log(3)
    assert completeness == pytest.approx((1 + (1 - open_part)) / 2)


@pytest.mark.parametrize(
    ("importance", "disentanglement", "completeness"),
    [
        (5 * np.eye(5), 1, 1),
        (np.eye(3)[:, :2], 1, 1),
        (np.zeros((10, 10)), 0, 0),
        (np.vstack([np.eye(5), np.eye(5)]), 1, 1 - log(2) / log(10)),
        (np.hstack([np.eye(5), np.eye(5)]), 1 - log(2) / log(10), 1),
        (np.ones((4, 6)), 0, 0),
    ],
)
def test_importance_matrices_score_what_the_literature_expects(
    importance, disentanglement, completeness
):
    """The first five are cases that disentanglement_lib publishes (Locatello et al. 2019)."""
    assert score_importances(importance) == pytest.approx((disentanglement, completeness))


def test_a_factor_that_no_dimension_tells_is_not_complete():
    assert score_importances([[1, 0], [0, 0]]) == pytest.approx((1, 0.5))


def test_informativeness_is_the_explained_variance_of_fresh_codes():
    rng = np.random.default_rng(0)
    v = rng.normal(size=(2400, 2))
    z = v + rng.normal(size=(2400, 2))  # the best prediction explains half
    found = dci(z, v)
    np.testing.assert_allclose(found.held_out, 0.5, atol=0.08)
    assert found.informativeness == pytest.approx(found.held_out.mean())


def test_guessing_the_frequent_class_is_no_information():
    rng = np.random.default_rng(0)
    rare = (rng.random((2000, 2)) < 0.1).astype(float)  # a guess is right in nine of ten
    z = np.c_[rng.normal(size=2000), rare[:, 1] + 0.1 * rng.normal(size=2000)]
    np.testing.assert_allclose(dci(z, rare).held_out, [0, 1], atol=0.02)


def test_trees_take_no_more_codes_than_they_are_told(codes, factors):
    rare = np.c_[factors[:, 0], np.arange(2000) % 100 == 0]  # 20 faces, about one in eighty
    with pytest.raises(InputError, match="a class with fewer than 4 of 80 codes"):
        dci(codes, rare, at_most=80)
    once, again = (dci(codes, factors, at_most=80) for _ in range(2))
    np.testing.assert_array_equal(once.importance, again.importance)


# FactorVAE and β-VAE


def known_sampler(mix: np.ndarray):
    """Codes that are a linear mixture of independent uniform factors."""

    def sample(factor, quantiles, rng):
        v = rng.random((len(quantiles), len(mix)))
        v[:, factor] = quantiles
        return v @ mix

    return sample


@pytest.mark.parametrize("score", [factor_vae_score, beta_vae_score])
def test_two_factors_turned_into_each_other_cannot_be_told_apart(score):
    # Either factor, held, calms both dimensions alike.
    half_turn = np.array([[1, 1], [1, -1]]) / 2**0.5
    assert score(known_sampler(np.eye(2)), 2) == 1
    assert score(known_sampler(half_turn), 2) == pytest.approx(0.5, abs=0.06)


def test_factor_vae_votes_worked_out_by_hand():
    # Of four factors the code knows two. Held, these are found: half of the votes. For the other
    # two either dimension wins, and each dimension stands for the factor that it knows.
    only_two = np.eye(4)[:, :2]
    assert factor_vae_score(known_sampler(only_two), 4, votes=3000) == pytest.approx(0.5, abs=0.03)


def test_beta_vae_points_worked_out_by_hand():
    # The classifier finds two of the four factors and has to guess between the other two.
    only_two = np.eye(4)[:, :2]
    found = beta_vae_score(known_sampler(only_two), 4, points=2000)
    assert found == pytest.approx(0.5 + 0.5 / 2, abs=0.03)


@pytest.mark.parametrize("size", [500, 3000])
def test_a_pool_holds_one_factor_and_lets_the_others_vary(size):
    v = draw_factors(size, seed=5)
    sample, rng = pool_sampler(v, v), np.random.default_rng(0)
    for factor in range(v.shape[1]):
        for quantile in (0.0, 0.3, 0.9999):
            held = sample(factor, np.full(200, quantile), rng)
            share = held.var(axis=0) / v.var(axis=0)
            assert share[factor] <= (1.5 * 50 / size) ** 2
            assert np.delete(share, factor).min() > 0.25
            wanted = np.quantile(v[:, factor], quantile, method="inverted_cdf")
            assert held[:, factor].mean() == pytest.approx(
                wanted, abs=0.75 * 50 / size * (FACTORS[factor].high - FACTORS[factor].low)
            )


def test_a_pool_in_the_order_of_a_grid_still_varies_the_other_factors():
    a, b = np.meshgrid(np.arange(40.0), np.arange(40.0), indexing="ij")
    grid = np.c_[a.ravel(), b.ravel()]
    held = pool_sampler(grid, grid)(0, np.full(400, 0.5), np.random.default_rng(0))
    assert held[:, 1].var() > 0.8 * grid[:, 1].var()


def test_new_faces_hold_one_factor_too():
    sample = rendered_sampler(lambda drawn: (drawn, 0 * drawn - 3))  # a code that is the factors
    rng = np.random.default_rng(0)
    for factor, kind in enumerate(FACTORS):
        held = sample(factor, np.full(300, 0.75), rng)
        wanted = 1 if kind.binary else kind.low + 0.75 * (kind.high - kind.low)
        np.testing.assert_allclose(held[:, factor], wanted, rtol=1e-5)
        share = held.var(axis=0) / draw_factors(2000, seed=9).var(axis=0)
        assert np.delete(share, factor).min() > 0.7
    assert factor_vae_score(sample, 13, votes=200) >= 0.95
    assert beta_vae_score(sample, 13, points=200, pairs=32) >= 0.95


def test_a_models_faces_are_encoded_and_its_collapsed_dimensions_silenced(model):
    def encode(drawn):
        return encode_images(model, render(drawn))

    rng = np.random.default_rng(0)
    codes = rendered_sampler(encode, kl=0)(2, np.full(8, 0.5), rng)
    assert codes.shape == (8, 6)
    assert (codes != 0).all()
    assert (rendered_sampler(encode, kl=1e9)(2, np.full(8, 0.5), rng) == 0).all()


# Collapsed dimensions


def test_a_collapsed_dimension_is_silenced_by_its_kl():
    rng = np.random.default_rng(0)
    mu = rng.normal(size=(4000, 3)) * [1, 0.1, 0.2]
    logvar = np.log([[0.1, 1, 1]]) + np.zeros((4000, 1))
    # KL of the last two: half the mean square of the means, 0.005 and 0.02 nat.
    assert (silence_collapsed(mu, logvar) != 0).any(axis=0).tolist() == [True, False, True]
    assert (silence_collapsed(mu, logvar, 0.03) != 0).any(axis=0).tolist() == [True, False, False]
    np.testing.assert_array_equal(silence_collapsed(mu, logvar)[:, 0], mu[:, 0])


def test_the_tremble_of_a_collapsed_dimension_would_hide_a_gap(factors):
    z = (factors - factors.mean(0)) / factors.std(0)
    mu = np.hstack([z, 0.01 * z])
    logvar = np.log(np.r_[np.full(5, 0.01), np.ones(5)]) + 0 * mu
    assert mig(mu, factors) < 0.01
    assert mig(silence_collapsed(mu, logvar), factors) >= 0.95


# Everything at once


def test_scores_are_those_of_the_single_metrics(codes, factors):
    codes, factors = codes[:600], factors[:600]
    names = ["yaw", "skin", "smile", "hue", "glasses"]
    found = scores(codes, factors, names, bins=10, at_most=200)
    assert json.loads(json.dumps(found)) == found
    assert (found["kind"], found["proxy"], found["bins"]) == ("factors", False, 10)
    assert (found["codes"], found["latent_size"], found["constant_dimensions"]) == (600, 6, 0)
    sample = pool_sampler(codes, factors)
    trees = dci(codes, factors, at_most=200)
    assert found["mig"] == mig(codes, factors, bins=10) != mig(codes, factors)
    assert found["sap"] == sap(codes, factors)
    assert found["dci_disentanglement"] == trees.disentanglement
    assert found["dci_completeness"] == trees.completeness
    assert found["dci_informativeness"] == trees.informativeness
    assert found["factor_vae"] == factor_vae_score(sample, 5)
    assert found["beta_vae"] == beta_vae_score(sample, 5)
    assert found["chance"] == 0.2
    np.testing.assert_array_equal(
        found["mutual_information"], mutual_information(codes, factors, bins=10)
    )
    np.testing.assert_array_equal(found["importance"], trees.importance)
    assert list(found["per_factor"]) == names
    for score in ("mig", "sap"):
        mean = np.mean([row[score] for row in found["per_factor"].values()])
        assert mean == pytest.approx(found[score])
    assert found["per_factor"]["glasses"]["entropy"] == pytest.approx(log(2), abs=0.005)
    assert found["per_factor"]["hue"]["best_dimension"] == 3
    assert found["per_factor"]["hue"]["informativeness"] == trees.held_out[3]


def test_scores_on_attributes_call_themselves_a_proxy_and_hold_no_factor():
    rng = np.random.default_rng(0)
    attributes = (rng.random((600, 2)) < 0.3).astype(np.float32)
    found = scores(rng.normal(size=(600, 3)), attributes, ["Smiling", "Male"], kind="attributes")
    assert found["proxy"] is True
    assert not {"factor_vae", "beta_vae", "chance"} & set(found)


# Sampling error


def test_the_bootstrap_finds_the_error_of_a_mean():
    codes = np.random.default_rng(0).normal(scale=3, size=(400, 1))
    found = bootstrap(lambda z, v: z.mean(), codes, codes, repeats=400)
    assert found.value == codes.mean()
    assert found.standard_error == pytest.approx(3 / 400**0.5, rel=0.15)
    assert found.low == pytest.approx(found.value - 1.96 * found.standard_error)
    assert found.high == pytest.approx(found.value + 1.96 * found.standard_error)
    again = bootstrap(lambda z, v: z.mean(), codes, codes, repeats=400)
    assert again.standard_error == found.standard_error


def test_the_bootstrap_finds_how_far_sap_moves_with_other_codes():
    def draw(seed):
        rng = np.random.default_rng(seed)
        v = rng.normal(size=(500, 2))
        return v + rng.normal(size=(500, 2)), v

    moved = np.std([sap(*draw(seed)) for seed in range(1, 151)])
    guessed = np.mean(
        [bootstrap(sap, *draw(seed), repeats=60).standard_error for seed in range(400, 404)]
    )
    assert guessed == pytest.approx(moved, rel=0.2)


def test_the_bootstrap_keeps_the_shape_of_a_matrix(codes, factors):
    found = bootstrap(mutual_information, codes, factors, repeats=3)
    assert found.value.shape == found.standard_error.shape == found.low.shape == (6, 5)
    assert (found.standard_error > 0).all()


# Bad input

GOOD = draw_factors(600, seed=0)[:, [0, 12]]
BAD = GOOD.copy()
BAD[7, 1] = np.nan
ENDLESS = GOOD.copy()
ENDLESS[7, 0] = np.inf
STILL = np.c_[GOOD[:, 0], np.ones(600)]
TITLES = ["yaw", "glasses"]


@pytest.mark.parametrize(
    ("codes", "factors", "options", "message"),
    [
        (GOOD, STILL, {}, "'glasses' is 1 in all of these 600 faces"),
        (GOOD, BAD, {}, "'glasses' holds NaN"),
        (BAD, GOOD, {}, "Dimension 1 of the codes holds NaN"),
        (ENDLESS, GOOD, {}, "Dimension 0 of the codes holds NaN or infinite"),
        (GOOD[:10], GOOD[:10], {}, "10 codes for 20 bins"),
        (GOOD[:599], GOOD, {}, "599 codes but factors of 600 faces"),
        (GOOD[:0], GOOD[:0], {}, r"codes of shape \(0, 2\)"),
        (GOOD[:, 0], GOOD, {}, r"codes of shape \(600,\)"),
        (GOOD, GOOD[:, 0], {}, r"factors of shape \(600,\)"),
        (GOOD, [["a", "b"]] * 600, {}, "factors are not numbers"),
        (GOOD, GOOD, {"names": ["yaw"]}, "1 names for 2 factors"),
        (GOOD, GOOD, {"discrete": [True]}, "discrete has 1 entries for 2 factors"),
        (GOOD, GOOD, {"discrete": [True, True]}, "'yaw' is said to be discrete, but has 600"),
        (GOOD, GOOD, {"bins": 1}, "bins is 1; expected a whole number, 2 or more"),
        (GOOD, GOOD, {"bins": 2.5}, "bins is 2.5"),
    ],
)
def test_what_no_metric_can_use_is_refused_in_a_sentence(codes, factors, options, message):
    options = {"names": TITLES} | options
    with pytest.raises(InputError, match=message):
        mig(codes, factors, **options)
    if "bins" not in options and "bins" not in message:
        for metric in (sap, dci):
            with pytest.raises(InputError, match=message):
                metric(codes, factors, **options)
    with pytest.raises(InputError, match=message):
        scores(codes, factors, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dci(GOOD, GOOD, at_most=39), "at_most is 39"),
        (lambda: dci(GOOD[:39], GOOD[:39]), "39 codes; trees need at least 40"),
        (lambda: dci(GOOD[:, :1], GOOD), "1 dimensions and 2 factors"),
        (lambda: dci(GOOD, GOOD[:, :1]), "2 dimensions and 1 factors"),
        (
            lambda: dci(GOOD, np.c_[GOOD[:, 0], np.arange(600) < 3], names=["yaw", "Bald"]),
            "'Bald' has a class with fewer than 4 of 600",
        ),
        (lambda: score_importances([[1, 0]]), "1 dimensions and 2 factors"),
        (lambda: score_importances([1, 0]), r"importances of shape \(2,\)"),
        (lambda: score_importances([[1, 0], [-1, 0]]), "negative or not a number"),
        (lambda: score_importances([[1, 0], [np.nan, 0]]), "negative or not a number"),
        (lambda: score_importances([[1, 0], [np.inf, 0]]), "negative or not a number"),
        (lambda: pool_sampler(GOOD[:499], GOOD[:499]), "499 codes; a pool needs 500"),
        (lambda: factor_vae_score(pool_sampler(GOOD, GOOD), 1), "factor_count is 1"),
        (lambda: factor_vae_score(pool_sampler(GOOD, GOOD), 2, votes=0), "votes is 0"),
        (lambda: factor_vae_score(pool_sampler(GOOD, GOOD), 2, codes_per_vote=1), "vote is 1"),
        (lambda: beta_vae_score(pool_sampler(GOOD, GOOD), True), "factor_count is True"),
        (lambda: beta_vae_score(pool_sampler(GOOD, GOOD), 2, points=19), "points is 19"),
        (lambda: beta_vae_score(pool_sampler(GOOD, GOOD), 2, pairs=0), "pairs is 0"),
        (lambda: factor_vae_score(lambda f, q, rng: GOOD, 2), r"shape \(600, 2\); expected 2000"),
        (lambda: beta_vae_score(lambda f, q, rng: np.c_[q * np.nan], 2), "rows of finite codes"),
        (lambda: scores(GOOD, GOOD, TITLES, kind="labels"), "no kind 'labels'"),
        (lambda: scores(GOOD, GOOD, ["yaw", "yaw"]), "same name"),
        (
            lambda: scores(GOOD, GOOD, TITLES, kind="attributes", sample=pool_sampler(GOOD, GOOD)),
            "cannot be held",
        ),
        (
            lambda: bootstrap(mig, GOOD, np.c_[GOOD[:, 0], np.arange(600) < 1]),
            "In one of the resamples: The factor 'factor 1' is 0 in all",
        ),
        (lambda: silence_collapsed(GOOD, GOOD[:, :1]), r"log-variances of shape \(600, 1\)"),
        (lambda: silence_collapsed(GOOD[:0], GOOD[:0]), "n ≥ 1"),
        (lambda: silence_collapsed(GOOD, GOOD, kl=-1), "kl is -1"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_in_a_sentence(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_the_codes_of_a_diverged_model_are_refused_even_when_silenced():
    mu = np.c_[GOOD, np.full(600, np.nan)]
    with pytest.raises(InputError, match="Dimension 2 of the codes holds NaN"):
        mig(silence_collapsed(mu, 0 * GOOD[:, :1] + np.zeros((600, 3))), GOOD)
