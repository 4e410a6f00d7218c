"""Probes, single dimensions and directions against scikit-learn and closed forms."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from vae_lib.attributes import attribute_directions, score_attributes
from vae_lib.errors import InputError
from vae_lib.latent import decode_images, encode_images, interpolate, traverse

NAMES = ("label", "number", "unrelated")


def codes(seed: int, count: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Dimension 1 carries a label, dimensions 0 and 2 together a number; the rest is noise."""
    rng = np.random.default_rng(seed)
    mu = rng.normal(size=(count, 5)).astype(np.float32)
    label = np.sign(-mu[:, 1] + 0.5 * rng.normal(size=count))
    number = 3 * mu[:, 0] + 4 * mu[:, 2] + 7
    unrelated = np.where(rng.random(count) < 0.3, 1, -1)
    return mu, np.stack([label, number, unrelated], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def scores():
    return score_attributes(*codes(0), *codes(1), NAMES)


def test_labels_are_scored_by_auc_and_numbers_by_r2(scores):
    assert scores.kind == ("ROC-AUC", "R²", "ROC-AUC")
    assert scores.probe[0] > 0.9
    assert scores.probe[1] == pytest.approx(1, abs=1e-5)
    assert scores.probe[2] == pytest.approx(0.5, abs=0.05)


def test_the_best_dimension_is_the_one_that_carries_the_attribute(scores):
    assert scores.best_dimension[:2].tolist() == [1, 2]
    assert scores.best[1] == pytest.approx(16 / 25, abs=0.05)  # 4² of 3² + 4²


def test_a_single_dimensions_auc_is_scikit_learns_whichever_way_it_points(scores):
    mu, attributes = codes(1)
    for dimension in range(5):
        auc = roc_auc_score(attributes[:, 0] > 0, mu[:, dimension])
        assert scores.per_dimension[0, dimension] == pytest.approx(max(auc, 1 - auc), abs=1e-9)


def test_ties_count_half():
    mu = np.array([[0.0], [0.0], [0.0], [1.0]])
    attributes = np.array([[-1.0], [1.0], [-1.0], [1.0]])
    scores = score_attributes(mu, attributes, mu, attributes, ["a"])
    assert scores.per_dimension[0, 0] == pytest.approx(roc_auc_score([0, 1, 0, 1], [0, 0, 0, 1]))


def test_a_labels_direction_is_the_difference_of_means():
    mu = np.array([[0, 0], [2, 0], [1, 4], [3, 6]], np.float32)
    directions = attribute_directions(mu, np.array([[-1], [-1], [1], [1]]))
    np.testing.assert_allclose(directions, [[1, 5]])


def test_a_numbers_direction_is_two_standard_deviations_of_it():
    number = np.linspace(-5, 5, 101)
    mu = np.stack([3 * number, 0 * number], axis=1)
    directions = attribute_directions(mu, number[:, None])
    np.testing.assert_allclose(directions, [[2 * 3 * number.std(), 0]], rtol=1e-5)


def test_bad_input_is_named():
    mu, attributes = codes(0, 50)
    with pytest.raises(InputError, match="shape"):
        score_attributes(mu[:40], attributes, mu, attributes, NAMES)
    constant = attributes.copy()
    constant[:, 0] = 1
    with pytest.raises(InputError, match="'label' has one value"):
        score_attributes(mu, constant, mu, attributes, NAMES)
    mu[3, 2] = np.nan
    with pytest.raises(InputError, match="NaN"):
        attribute_directions(mu, attributes)


def test_codes_may_be_tensors_wherever_codes_go_in(model, faces):
    mu = encode_images(model, faces.images)[0]
    z = torch.from_numpy(mu).requires_grad_()
    known = faces.attributes[:, :3]
    np.testing.assert_array_equal(
        attribute_directions(z, torch.from_numpy(known)), attribute_directions(mu, known)
    )
    both = [score_attributes(one, known, one, known, "abc").probe for one in (mu, z)]
    np.testing.assert_array_equal(*both)
    np.testing.assert_array_equal(decode_images(model, z), decode_images(model, mu))
    for walk in (lambda c: traverse(c[0], 1, [0.0, 1.0]), lambda c: interpolate(c[0], c[1], 3)):
        assert torch.equal(walk(mu), walk(z.detach()))
