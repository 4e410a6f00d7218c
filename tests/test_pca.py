"""PCA against scikit-learn's, the linear VAE against its closed forms."""

import json
import os

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as SklearnPCA
from torch.distributions import Normal, kl_divergence

from vae_lib.errors import InputError
from vae_lib.faces import open_faces
from vae_lib.pca import fit_pca, measure_pca, water_level


@pytest.fixture(scope="module")
def fitted(faces):
    return fit_pca(faces.images[:160], 20, passes=8)


@pytest.fixture(scope="module")
def exact(faces):
    return SklearnPCA(20, svd_solver="full").fit(faces.images[:160].reshape(160, -1) / 255)


def test_components_and_variances_are_those_of_an_exact_decomposition(fitted, exact):
    np.testing.assert_allclose(fitted.mean, exact.mean_, atol=1e-5)
    np.testing.assert_allclose(fitted.variances, exact.explained_variance_, rtol=1e-3)
    cosines = np.abs((fitted.components * exact.components_).sum(1))
    np.testing.assert_allclose(cosines[:10], 1, atol=1e-3)
    np.testing.assert_allclose(fitted.components @ fitted.components.T, np.eye(20), atol=1e-4)
    share = fitted.variances.sum() / fitted.total_variance
    assert share == pytest.approx(exact.explained_variance_ratio_.sum(), rel=1e-3)


def test_reconstructions_of_unseen_faces_are_those_of_an_exact_decomposition(fitted, exact, faces):
    images = faces.images[160:176]
    expected = exact.inverse_transform(exact.transform(images.reshape(16, -1) / 255))
    found = fitted.images_of(fitted.scores(images))
    assert found.shape == (16, 64, 64, 3)
    error = (found.reshape(16, -1) - expected.clip(0, 1)).std()
    assert error < 0.05 * (expected - images.reshape(16, -1) / 255).std()


def test_more_images_than_are_read_at_a_time_are_all_counted():
    few = np.random.default_rng(0).integers(0, 256, (2_500, 4, 4, 3), dtype=np.uint8)
    found = fit_pca(few, 5, passes=30)
    exact = SklearnPCA(5, svd_solver="full").fit(few.reshape(2_500, -1) / 255)
    np.testing.assert_allclose(found.mean, exact.mean_, atol=1e-6)
    np.testing.assert_allclose(found.variances, exact.explained_variance_, rtol=1e-3)
    whole = (few.reshape(2_500, -1) / 255).var(0, ddof=1).sum()
    assert found.total_variance == pytest.approx(whole, rel=1e-5)


def test_the_water_level_spends_the_nats_that_were_asked_for():
    variances = 100 / np.arange(1, 51) ** 1.5
    for nats in (0.1, 3.0, 20.0):
        level = water_level(variances, nats)
        assert 0.5 * np.log(variances / level).clip(0).sum() == pytest.approx(nats)
    assert water_level(np.array([4.0, 1e-9]), np.log(2.0)) == pytest.approx(1)
    with pytest.raises(InputError, match="beyond 50 components; fit more"):
        water_level(variances, 1_000)
    with pytest.raises(InputError, match="a rate is above 0"):
        water_level(variances, 0)


def test_measures_are_their_definitions(faces, exact):
    measured = measure_pca(faces, [0, 10], nats=[4.0])
    assert json.loads(json.dumps(measured)) == measured
    assert (measured["train_images"], measured["test_images"]) == (160, 40)
    images = faces.images[200:].reshape(40, -1) / 255
    codes = exact.transform(images)

    def decibels(decoded: np.ndarray) -> float:
        return np.mean(-10 * np.log10(np.square(decoded.clip(0, 1) - images).mean(1)))

    mean_face = measured["components"]["0"]
    assert mean_face["psnr"] == pytest.approx(
        decibels(np.broadcast_to(exact.mean_, images.shape)), abs=1e-3
    )
    assert mean_face["share"] == 0
    ten = measured["components"]["10"]
    expected = decibels(codes[:, :10] @ exact.components_[:10] + exact.mean_)
    assert ten["psnr"] == pytest.approx(expected, abs=0.01)
    assert mean_face["ssim"] < ten["ssim"] < 1
    assert ten["share"] == pytest.approx(exact.explained_variance_ratio_[:10].sum(), rel=1e-3)

    # The linear VAE's posterior, as Tipping & Bishop (1999) write it: W = V (Λ − θI)^½, M = Λ.
    level = water_level(exact.explained_variance_, 4.0)
    active = int((exact.explained_variance_ > level).sum())
    variances = exact.explained_variance_[:active]
    w = exact.components_[:active].T * np.sqrt(variances - level)
    m = w.T @ w + level * np.eye(active)
    mu = (images - exact.mean_) @ w @ np.linalg.inv(m)
    sigma = np.sqrt(np.diag(level * np.linalg.inv(m)))
    kl = kl_divergence(
        Normal(torch.from_numpy(mu), torch.from_numpy(sigma).expand(mu.shape)), Normal(0.0, 1.0)
    )
    found = measured["linear_vae"]["4"]
    assert found["active"] == active
    assert found["kl"] == pytest.approx(kl.sum(1).mean().item(), rel=0.01)
    assert found["psnr"] == pytest.approx(decibels(mu @ w.T + exact.mean_), abs=0.01)
    pca = codes[:, :active] @ exact.components_[:active] + exact.mean_
    assert found["psnr_unshrunk"] == pytest.approx(decibels(pca), abs=0.01)
    # A sample's error, before the clipping: the mean's, and its own noise seen through W.
    drawn = [mu + sigma * np.random.default_rng(s).standard_normal(mu.shape) for s in range(1, 6)]
    sampled = np.mean([decibels(z @ w.T + exact.mean_) for z in drawn])
    assert found["psnr_sampled"] == pytest.approx(sampled, abs=0.1)
    assert found["psnr_sampled"] < found["psnr"] - 0.5


def test_what_cannot_be_fitted_is_told(faces, fitted):
    with pytest.raises(InputError, match=r"at most 9 principal components; 10 were asked"):
        fit_pca(faces.images[:10], 10)
    with pytest.raises(InputError, match="at least one is needed"):
        fit_pca(faces.images[:10], 2, passes=0)
    with pytest.raises(InputError, match=r"want \(n, 64, 64, 3\)"):
        fitted.scores(faces.images[:2, ::2])


def test_real_faces_need_as_many_components_as_was_measured_elsewhere():
    if not os.environ.get("CELEBA_ROOT"):
        pytest.skip("set CELEBA_ROOT to a folder with CelebA")
    faces = open_faces(kind="images").take(2_500, 0, 300)
    if faces.name != "celeba" or len(faces) < 2_800:
        pytest.skip("CELEBA_ROOT has fewer faces of CelebA than this test needs")
    test = faces.split("test").images
    pca = fit_pca(faces.split("train").images, 32, passes=2)
    scores = pca.scores(test)
    # A decomposition of all training faces, made with other code: 12.3, 17.4 and 19.8 dB.
    for components, expected in ((0, 12.3), (10, 17.4), (32, 19.8)):
        error = np.square(pca.images_of(scores[:, :components]) - test / 255).mean((1, 2, 3))
        assert np.mean(-10 * np.log10(error)) == pytest.approx(expected, abs=0.3)
