"""The Fréchet distance against closed forms, the classifier against torchmetrics and real faces."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import ortho_group
from torchmetrics.classification import MultilabelAccuracy, MultilabelAUROC

from vae_lib import pretrained
from vae_lib.errors import InputError
from vae_lib.faces import open_faces
from vae_lib.pretrained import load_pretrained, pretrained_names
from vae_lib.pretrained.classifier import AttributeClassifier, features, load_classifier
from vae_lib.sample_distance import (
    density_distances,
    frechet_distance,
    reference_distances,
    sample_distance,
)
from workshop.classifier import save_classifier, score_classifier, train_classifier


def with_moments(mean: np.ndarray, covariance: np.ndarray, n: int = 50, seed: int = 0):
    """Features whose sample mean and covariance are exactly these."""
    x = np.random.default_rng(seed).standard_normal((n, len(mean)))
    x -= x.mean(0)
    white = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return white @ np.linalg.cholesky(covariance).T + mean


@pytest.fixture(scope="module")
def celeba_like(faces):
    """Drawn faces that say they are CelebA's, with two attributes that can be seen."""
    seen = [faces.attribute_names.index(name) for name in ("hair_colour", "skin_tone")]
    signs = np.where(faces.attributes[:, seen] > np.median(faces.attributes[:, seen], 0), 1, -1)
    return replace(
        faces, name="celeba", attributes=signs.astype(np.float32), attribute_names=("a", "b")
    )


@pytest.fixture(scope="module")
def celeba():
    if not os.environ.get("CELEBA_ROOT"):
        pytest.skip("set CELEBA_ROOT to a folder with CelebA")
    faces = open_faces(kind="images")
    if faces.name != "celeba" or np.count_nonzero(faces.splits == 2) < 3_000:
        pytest.skip("CELEBA_ROOT has fewer test faces of CelebA than this test needs")
    return faces


def test_the_distance_of_axis_aligned_gaussians_is_its_closed_form():
    a = with_moments(np.array([1.0, 2, 3]), np.diag([4.0, 1, 9]))
    b = with_moments(np.array([0.0, 2, 5]), np.diag([1.0, 1, 16]), n=70, seed=1)
    # 1 + 0 + 4 of the means, (2 − 1)² + 0 + (3 − 4)² of the standard deviations.
    assert frechet_distance(a, b) == pytest.approx(7)
    assert frechet_distance(b, a) == pytest.approx(7)
    assert frechet_distance(a[:, :1], b[:, :1]) == pytest.approx(2)
    turn = ortho_group.rvs(3, random_state=0)
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(7)


def test_the_distance_of_any_two_gaussians_is_that_of_a_matrix_square_root():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((200, 20)) @ rng.standard_normal((20, 20)) + k for k in (0, 1))
    c, d = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(c + d - 2 * sqrtm(c @ d).real)
    assert frechet_distance(a.astype(np.float32), b) == pytest.approx(expected, rel=1e-5)


def test_equal_sets_and_constant_sets_have_the_distances_they_must():
    x = np.random.default_rng(0).standard_normal((30, 40))  # fewer rows than columns
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-5)
    point = np.repeat(x[:1], 5, axis=0)
    spread = np.square(x - x.mean(0)).sum() / 29
    expected = spread + np.square(x[0] - x.mean(0)).sum()
    assert frechet_distance(x, point) == pytest.approx(expected)


def test_two_samples_of_one_gaussian_are_apart_by_about_one_over_their_number():
    def apart(n: int) -> float:
        rng = np.random.default_rng(0)
        pairs = (rng.standard_normal((2, n, 10)) for _ in range(20))
        return np.mean([frechet_distance(a, b) for a, b in pairs])

    assert apart(200) / apart(2_000) == pytest.approx(10, rel=0.15)


@pytest.mark.parametrize(
    ("a", "b"), [((1, 3), (5, 3)), ((5, 3), (5, 4)), ((5,), (5,)), ((0, 3), (5, 3))]
)
def test_sets_that_cannot_be_compared_are_refused(a, b):
    with pytest.raises(InputError, match="n ≥ 2"):
        frechet_distance(np.zeros(a), np.zeros(b))


def test_features_are_the_same_for_every_batch_and_want_faces(faces):
    torch.manual_seed(0)
    classifier = AttributeClassifier(("a",)).eval()
    found = features(classifier, faces.images[:40])
    assert found.shape == (40, 96)
    alone = np.concatenate([features(classifier, image[None]) for image in faces.images[:5]])
    np.testing.assert_allclose(alone, found[:5], atol=1e-5)
    logits = torch.from_numpy(found) @ classifier.to_logits.weight.T + classifier.to_logits.bias
    x = torch.from_numpy(faces.images[:40]).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(classifier(x), logits)
    for wrong in (faces.images[:0], faces.images[:2, ::2], faces.images[:2].astype(np.float32)):
        with pytest.raises(InputError, match=r"wants \(n, 64, 64, 3\) of uint8"):
            features(classifier, wrong)


def test_training_learns_what_can_be_seen_and_repeats_itself(celeba_like):
    epochs = []

    def train(seed: int, epochs_wanted: int = 1):
        return train_classifier(
            celeba_like,
            epochs=epochs_wanted,
            seed=seed,
            batch_size=16,
            on_epoch=lambda epoch, _: epochs.append(epoch),
        )

    def weights(classifier):
        return torch.cat([p.flatten() for p in classifier.parameters()])

    classifier, metadata = train(0, 6)
    assert epochs == [1, 2, 3, 4, 5, 6]
    assert not classifier.training
    assert metadata["train_images"] == 160
    assert metadata["recipe"]["seed"] == 0
    untrained = AttributeClassifier(("a", "b")).eval()
    test = celeba_like.split("test")
    assert score_classifier(classifier, test)["auc"] > 0.85
    assert score_classifier(untrained, test)["auc"] < 0.8
    first, again, other = (weights(train(seed)[0]) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_scores_are_those_of_torchmetrics(celeba_like):
    torch.manual_seed(0)
    classifier = AttributeClassifier(("a", "b")).eval()
    classifier.to_logits.bias.data.zero_()
    found = score_classifier(classifier, celeba_like)
    x = torch.from_numpy(celeba_like.images).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        probabilities = classifier(x).sigmoid()
    truth = torch.from_numpy(celeba_like.attributes > 0).int()
    assert found["auc"] == pytest.approx(MultilabelAUROC(2)(probabilities, truth).item(), abs=1e-4)
    assert found["accuracy"] == pytest.approx(MultilabelAccuracy(2)(probabilities, truth).item())
    assert found["majority_accuracy"] == pytest.approx(0.5, abs=0.01)  # split at the median
    assert found["images"] == 240
    alike = replace(celeba_like, attributes=np.tile(np.float32([1, -1]), (240, 1)))
    one = replace(alike, attributes=np.stack([np.ones(240), celeba_like.attributes[:, 1]], 1))
    assert list(score_classifier(classifier, one)["auc_per_attribute"]) == ["b"]
    assert score_classifier(classifier, one)["majority_accuracy"] == pytest.approx(0.75, abs=0.01)


def test_only_celeba_is_measured(faces, celeba_like, model):
    for refused in (
        lambda: train_classifier(faces),
        lambda: sample_distance(model, faces),
        lambda: reference_distances(model, faces),
        lambda: density_distances(model, faces),
    ):
        with pytest.raises(InputError, match="knows CelebA's faces and no others; found 'synth"):
            refused()
    with pytest.raises(InputError, match="count is 1; a covariance needs"):
        sample_distance(model, celeba_like, count=1)
    with pytest.raises(InputError, match=r"carry no attributes; put list_attr_celeba.txt"):
        train_classifier(replace(celeba_like, attribute_names=()))
    with pytest.raises(InputError, match="160 faces in batches of 128, 0 epochs"):
        train_classifier(celeba_like, epochs=0)
    with pytest.raises(InputError, match=r"carry 13 attributes .* the classifier tells 2 \(a, b …"):
        score_classifier(AttributeClassifier(("a", "b")), faces)


def test_shipping_rounds_to_float16_and_lists_no_model(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    monkeypatch.setattr(pretrained, "SUMS", tmp_path / "sha256.json")
    torch.manual_seed(0)
    classifier = AttributeClassifier(("a", "b")).eval()
    path = save_classifier(classifier, {"recipe": {"seed": 3}})
    assert pretrained_names() == []
    loaded, metadata = load_classifier()
    assert metadata == {"recipe": {"seed": 3}}
    assert loaded.attribute_names == ("a", "b")
    assert not loaded.training
    for name, value in classifier.state_dict().items():
        assert loaded.state_dict()[name].dtype == value.dtype
        torch.testing.assert_close(loaded.state_dict()[name], value, rtol=1e-3, atol=1e-6)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"attribute_classifier.pth are missing or damaged; res"):
        load_classifier()


def test_the_shipped_classifier_is_small_and_no_vae():
    classifier, metadata = load_classifier()
    assert (pretrained.FOLDER / "attribute_classifier.pth").stat().st_size <= 2e6
    assert sum(p.numel() for p in classifier.parameters()) == 491_192
    assert len(classifier.attribute_names) == 40
    assert {"recipe", "train_images", "fingerprint", "valid", "test"} <= metadata.keys()
    with pytest.raises(InputError, match="no model 'attribute_classifier' in the box"):
        load_pretrained("attribute_classifier")


def test_the_shipped_classifier_is_worth_what_its_metadata_says(celeba):
    classifier, metadata = load_classifier()
    test = celeba.split("test")
    if len(test) != metadata["test"]["images"]:
        pytest.skip(f"CELEBA_ROOT has not the {metadata['test']['images']:,} test faces measured")
    score = score_classifier(classifier, test)
    assert score["auc"] == pytest.approx(metadata["test"]["auc"], abs=1e-3)
    assert score["accuracy"] == pytest.approx(metadata["test"]["accuracy"], abs=1e-3)
    assert score["accuracy"] > score["majority_accuracy"] + 0.05
    assert score["auc"] > 0.88


def test_sets_of_known_worth_come_in_their_order(celeba):
    few = celeba.take(1_000, 0, 600)
    model = load_pretrained("vae_celeba")
    found = reference_distances(model, few)
    names = ["train_faces", "aggregate_posterior", "prior", "mean_face", "noise"]
    assert sorted(names, key=found.get) == names
    assert found["train_faces"] < found["reconstructions"] < found["mean_face"]
    assert found["images"] == 600
    assert found["prior"] == pytest.approx(sample_distance(model, few.split("test")), rel=1e-4)
    assert sample_distance(model, few.split("test"), count=200) > found["prior"]  # the bias


def test_draws_from_where_codes_live_are_nearer_than_the_priors(celeba):
    few = celeba.take(0, 1_000, 600)
    model = load_pretrained("vae_celeba")
    found = density_distances(model, few, seeds=[3])
    far = sample_distance(model, few.split("test"), seed=3)
    assert found["prior"] == [pytest.approx(far, rel=1e-4)]
    assert found["fitted_to_draws"] < found["prior"] < found["fitted_to_means"]
