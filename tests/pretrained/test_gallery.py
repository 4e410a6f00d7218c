"""Galleries: codes of test faces that travel without their pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import distributions

from vae_lib import pretrained
from vae_lib.config import OBJECTIVES, setting_of
from vae_lib.errors import InputError
from vae_lib.latent import encode_images
from vae_lib.pretrained import load_gallery, load_pretrained, pretrained_names
from vae_lib.pretrained.gallery import (
    FIT,
    OLDER_NAMES,
    OWN,
    SCORES,
    Gallery,
    choose_faces,
    make_gallery,
)


@pytest.fixture
def gallery(model, faces) -> Gallery:
    return make_gallery(model, faces)


def test_a_gallery_holds_the_codes_of_test_faces(gallery, model, faces):
    test = faces.split("test")
    rows = [test.ids.tolist().index(name) for name in gallery.ids]
    mu, logvar = encode_images(model, test.images[rows])
    np.testing.assert_allclose(gallery.mu, mu, atol=1e-5)
    np.testing.assert_allclose(gallery.logvar, logvar, atol=1e-5)
    np.testing.assert_allclose(gallery.attributes[:, 0], test.attributes[rows, 0])
    assert gallery.scores.kind[0] == "R²"  # yaw
    assert gallery.scores.kind[-1] == "ROC-AUC"  # glasses
    assert set(gallery.attributes[:, -1]) == {0, 1}


def test_a_saved_gallery_comes_back_rounded_to_float16(gallery, tmp_path):
    gallery.save(tmp_path / "g.npz")
    loaded = Gallery.load(tmp_path / "g.npz")
    pairs = [(getattr(gallery, name), getattr(loaded, name)) for name in OWN + FIT]
    pairs += [(getattr(gallery.scores, name), getattr(loaded.scores, name)) for name in SCORES]
    for old, new in pairs:
        if isinstance(old, tuple):
            assert new == old
        else:
            assert new.dtype == old.dtype
            np.testing.assert_allclose(new, old, rtol=1e-3, atol=1e-6)


def test_a_gallery_of_before_its_scores_had_their_names_is_read_too(gallery, tmp_path):
    gallery.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as stored:
        assert not OLDER_NAMES.keys() - set(stored)
        older = {OLDER_NAMES.get(name, name): value for name, value in stored.items()}
    np.savez(tmp_path / "old.npz", **older, best_auc=gallery.scores.best)
    loaded = Gallery.load(tmp_path / "old.npz")
    assert loaded.attribute_names == gallery.attribute_names
    np.testing.assert_array_equal(loaded.scores.best, gallery.scores.best)


def test_codes_are_drawn_where_those_of_validation_faces_lie(gallery, model, faces):
    mu, logvar = map(torch.tensor, encode_images(model, faces.split("valid").images))
    posteriors = distributions.Normal(mu, (logvar / 2).exp())
    drawn = posteriors.sample((2000,)).flatten(0, 1)
    codes = gallery.sample_codes(100_000, torch.Generator().manual_seed(0))
    assert codes.dtype == torch.float32
    torch.testing.assert_close(codes.mean(0), drawn.mean(0), atol=0.02, rtol=0)
    torch.testing.assert_close(codes.T.cov(), drawn.T.cov(), atol=0.03, rtol=0.03)
    noise = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    shape = torch.tensor(gallery.code_factor)
    density = distributions.MultivariateNormal(torch.tensor(gallery.code_mean), scale_tril=shape)
    likelihood = distributions.Normal(0, 1).log_prob(noise).sum(1) - shape.logdet()
    torch.testing.assert_close(
        density.log_prob(gallery.sample_codes(3, torch.Generator().manual_seed(1))), likelihood
    )


def test_without_validation_faces_the_test_faces_say_where_codes_live(model, faces):
    rest = faces.take(40, 0, 60)
    gallery = make_gallery(model, rest)
    expected = make_gallery(model, rest).fitted(*encode_images(model, rest.split("test").images))
    np.testing.assert_allclose(gallery.code_factor, expected.code_factor, atol=1e-5)


def test_a_gallery_of_before_it_knew_where_codes_live_is_read_and_says_so(gallery, tmp_path):
    gallery.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as stored:
        older = {name: value for name, value in stored.items() if name not in FIT}
    np.savez(tmp_path / "old.npz", **older)
    loaded = Gallery.load(tmp_path / "old.npz")
    loaded.save(tmp_path / "again.npz")
    with pytest.raises(InputError, match=r"does not say where codes live.*make_gallery"):
        Gallery.load(tmp_path / "again.npz").sample_codes(1)
    np.savez(tmp_path / "torn.npz", **older, code_mean=gallery.code_mean)
    with pytest.raises(InputError, match="code_factor"):
        Gallery.load(tmp_path / "torn.npz")


def test_a_damaged_gallery_says_how_to_restore_it(gallery, tmp_path):
    path = tmp_path / "g.npz"
    gallery.save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"g\.npz is missing, damaged.*git checkout"):
        Gallery.load(path)
    np.savez(path, mu=gallery.mu)
    with pytest.raises(InputError, match="another version"):
        Gallery.load(path)
    with pytest.raises(InputError, match="missing"):
        Gallery.load(tmp_path / "none.npz")


def test_a_gallery_of_another_latent_size_says_so(gallery, model):
    small = replace(gallery, mu=gallery.mu[:, :3])
    with pytest.raises(InputError, match=r"codes of 3 dimensions and vae_x has 6"):
        small.check(model, "vae_x")


def test_chosen_faces_cover_rare_attributes():
    rng = np.random.default_rng(0)
    rare = (rng.random(3000) < 0.01).astype(float)
    common = (rng.random(3000) < 0.5).astype(float)
    number = rng.normal(size=3000)
    attributes = np.stack([rare, common, number], axis=1)
    chosen = choose_faces(attributes, 20)
    assert len(set(chosen)) == 20
    met = attributes[chosen]
    assert met[:, 0].sum() >= 5  # by chance it would be none
    assert 5 <= met[:, 1].sum() <= 15
    assert (met[:, 2] > 0).sum() >= 5


@pytest.mark.parametrize("name", pretrained_names())
def test_every_shipped_model_has_its_gallery(name):
    gallery = load_gallery(name)
    model = load_pretrained(name)
    metadata = model.metadata
    assert len(gallery.ids) == len(set(gallery.ids)) == 64
    assert gallery.latent_size == model.config.latent_size
    assert gallery.kl.sum() == pytest.approx(metadata["test"]["kl"], rel=1e-3)
    # Codes of faces are near the prior, as the KL wants it, and not the prior. Where pixels weigh
    # more, as in a σ-VAE, they are told more exactly and lie farther out.
    variances = np.square(gallery.code_factor).sum(1)
    if OBJECTIVES[setting_of(metadata["recipe"]).objective].density:
        assert variances.mean() > 1.3
    else:
        assert variances.mean() == pytest.approx(1, abs=0.3)
    assert variances.max() > 1.2
    assert (pretrained.FOLDER / f"{name}.gallery.npz").stat().st_size < 100_000
    for either in (gallery.attributes > 0.5, gallery.attributes < 0.5):
        if gallery.scores.kind[0] == "ROC-AUC":
            assert (either.sum(0) >= 8).all()


def with_attributes(faces, table):
    names = tuple(f"label {i}" for i in range(table.shape[1]))
    return replace(faces, attributes=table.astype(np.float32), attribute_names=names)


def test_labels_that_are_missing_leave_their_faces_out_and_constant_ones_are_left_out(model, faces):
    rng = np.random.default_rng(0)
    table = np.where(rng.random((len(faces), 4)) < 0.5, 1.0, -1.0)
    table[:, 1], table[200:, 3] = -1, 1  # constant everywhere; constant in the test split alone
    table[::5] = np.nan
    with pytest.warns(UserWarning, match="label 1, label 3"):
        gallery = make_gallery(model, with_attributes(faces, table))
    assert gallery.attribute_names == ("label 0", "label 2")
    known = ~np.isnan(table[:, 0])
    train = known & (faces.splits == 0)
    mu = encode_images(model, faces.images)[0]
    has = table[train, 0] > 0
    expected = mu[train][has].mean(0) - mu[train][~has].mean(0)
    np.testing.assert_allclose(gallery.directions[0], expected, atol=1e-5)
    assert set(np.unique(gallery.attributes[~np.isnan(gallery.attributes)])) == {0, 1}


@pytest.mark.parametrize("fill", [1.0, np.nan])
@pytest.mark.filterwarnings("ignore:Left out")
def test_faces_without_one_usable_label_have_a_gallery_without_labels(model, faces, fill):
    gallery = make_gallery(model, with_attributes(faces, np.full((len(faces), 2), fill)))
    assert gallery.attribute_names == ()
    assert gallery.directions.shape == (0, 6)
    assert len(gallery.ids) == 40


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mu", np.zeros((3, 6), np.float16)),
        ("mu", np.full((40, 6), np.nan, np.float16)),
        ("kl", np.array(1.0)),
        ("kl", np.array(["a"] * 6)),
        ("best_dimension", np.full(13, 9)),
        ("ids", np.zeros(40)),
        ("names", np.array("one")),
    ],
)
def test_a_gallery_whose_parts_do_not_fit_is_refused(gallery, tmp_path, name, value):
    gallery.save(tmp_path / "gallery.npz")
    with np.load(tmp_path / "gallery.npz") as stored:
        values = dict(stored) | {name: value}
    np.savez(tmp_path / "gallery.npz", **values)
    with pytest.raises(InputError, match="missing, damaged or of another version"):
        Gallery.load(tmp_path / "gallery.npz")
