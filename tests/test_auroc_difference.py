"""TAD against its definition, worked out pair by pair."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from vae_lib.attributes import score_attributes
from vae_lib.disentanglement.auroc import total_auroc_difference
from vae_lib.errors import InputError
from vae_lib.study import RESULTS

NAMES = ("clear", "split", "weak", "one", "its twin")


def table(n: int = 4000):
    """Codes and labels: a label of its own dimension, one of two dimensions, one of none, twins."""
    rng = np.random.default_rng(0)
    mu = rng.normal(size=(n, 6))
    twin = mu[:, 3] > 0
    flipped = rng.random(n) < 0.02
    labels = np.stack(
        [
            mu[:, 0] > 0.3,
            mu[:, 1] + mu[:, 2] > 0,
            mu[:, 5] + 8 * rng.normal(size=n) > 0,
            twin,
            twin ^ flipped,
        ],
        axis=1,
    )
    return mu, np.where(labels, 1.0, -1.0)


def auc(mu, column):
    either_way = [roc_auc_score(column > 0, sign * mu) for sign in (1, -1)]
    return max(either_way)


def entropy(*columns):
    _, counts = np.unique(np.stack(columns), axis=1, return_counts=True)
    p = counts / counts.sum()
    return -(p * np.log(p)).sum()


def test_it_is_the_sum_of_gaps_over_attributes_that_a_dimension_holds_and_no_twin_explains():
    mu, labels = table()
    scores = score_attributes(mu, labels, mu, labels, NAMES)
    tad = total_auroc_difference(scores.per_dimension, labels, NAMES)
    expected, names = 0.0, []
    for i, name in enumerate(NAMES):
        aucs = sorted(auc(mu[:, d], labels[:, i]) for d in range(6))
        others = [labels[:, j] for j in range(5) if j != i]
        own = entropy(labels[:, i])
        shared = max(own + entropy(o) - entropy(labels[:, i], o) for o in others) / own
        if aucs[-1] >= 0.75 and shared <= 0.2:
            expected += aucs[-1] - aucs[-2]
            names.append(name)
    assert tad.total == pytest.approx(expected, abs=1e-9)
    assert tad.captured == tuple(names) == ("clear", "split")
    assert tad.gaps[0] > 0.4 > 0.05 > tad.gaps[1]  # "split" sits in two dimensions alike


def test_turning_a_code_in_its_plane_takes_the_difference_away():
    mu, labels = table()
    half = np.sqrt(0.5)
    turned = mu.copy()
    turned[:, 0], turned[:, 4] = half * (mu[:, 0] + mu[:, 4]), half * (mu[:, 0] - mu[:, 4])
    before, after = (
        total_auroc_difference(
            score_attributes(codes, labels, codes, labels, NAMES).per_dimension, labels, NAMES
        )
        for codes in (mu, turned)
    )
    assert before.total > 10 * after.total


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a, y: (a[:, :1], y), "at least 2 dimensions"),
        (lambda a, y: (a[:3], y), "k names"),
        (lambda a, y: (a - 0.4, y), "max"),
        (lambda a, y: (np.where(a > 0.9, np.nan, a), y), "0.5 to 1"),
        (lambda a, y: (a, y[:, :4]), "labels of shape"),
        (lambda a, y: (a, np.ones_like(y)), "has 1 values"),
    ],
)
def test_what_is_no_table_of_rocs_and_labels_is_told(change, sentence):
    mu, labels = table(400)
    aurocs = score_attributes(mu, labels, mu, labels, NAMES).per_dimension
    with pytest.raises(InputError, match=sentence):
        total_auroc_difference(*change(aurocs, labels), NAMES)


def test_labels_that_nobody_knows_are_left_out():
    mu, labels = table()
    aurocs = score_attributes(mu, labels, mu, labels, NAMES).per_dimension
    unknown = labels.copy()
    unknown[::7, 1] = np.nan
    assert total_auroc_difference(aurocs, unknown, NAMES).captured == ("clear", "split")


def test_the_committed_runs_add_up():
    runs = json.loads((RESULTS / "celeba_attributes.json").read_text())["runs"]
    tests = [run["measures"]["test"] for run in runs]
    assert len(runs) == 19
    assert all(abs(sum(t["captured"].values()) - t["tad"]) < 1e-9 for t in tests)
    assert all(t["images"] == 3147 and 0.5 < t["mean_auroc"] < 1 for t in tests)
