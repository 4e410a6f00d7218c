"""An objective and a model from outside the package: trained, saved, resumed, measured."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import SMALL
from vae_lib.checkpoint import load_weights
from vae_lib.config import OBJECTIVES, Objective, Parameter, setting_of
from vae_lib.errors import InputError
from vae_lib.evaluation import evaluate
from vae_lib.latent import decode_images, encode_images, traverse
from vae_lib.objective import Losses, beta_vae_objective
from vae_lib.study.sweep import run_name
from vae_lib.training import TrainConfig, train


def dip_vae_2(logits, x, mu, logvar, off_diagonal, diagonal):
    """DIP-VAE-II (Kumar et al. 2018, arXiv:1711.00848, Eq. 6 and 7): the covariance of z is led
    to the identity; it is the covariance of the means plus the mean of the variances."""
    loss, reconstruction, kl = beta_vae_objective.unchecked(logits, x, mu, logvar)
    covariance = torch.cov(mu.float().T, correction=0) + logvar.float().exp().mean(0).diag()
    own = covariance.diagonal()
    rest = covariance.square().sum() - own.square().sum()
    loss = loss + off_diagonal * rest + diagonal * (own - 1).square().sum()
    return Losses(loss, reconstruction, kl)


@pytest.fixture
def dip(monkeypatch):
    entry = Objective(
        parameters={"off_diagonal": Parameter(10.0), "diagonal": Parameter(5.0)},
        word="dip",
        label="DIP-VAE-II, λ = {:g}",
        loss=dip_vae_2,
        faces=2,
    )
    monkeypatch.setitem(OBJECTIVES, "dip-vae-ii", entry)
    numbers = {"off_diagonal": 500.0, "diagonal": 500.0}
    return TrainConfig(objective="dip-vae-ii", parameters=numbers, epochs=1, batch_size=16,
                       model=SMALL)  # fmt: skip


def off_diagonal_share(model, images):
    """How much of the codes' covariance lies off the diagonal."""
    mu, logvar = encode_images(model, images)
    covariance = np.cov(mu.T, bias=True) + np.diag(np.exp(logvar).mean(0))
    own = np.square(np.diag(covariance)).sum()
    return 1 - own / np.square(covariance).sum()


def test_an_objective_is_one_entry_and_one_function(dip, faces, tmp_path):
    at_once = train(replace(dip, epochs=2), faces, tmp_path / "at_once", device="cpu")
    train(dip, faces, tmp_path / "resumed", device="cpu")
    resumed = train(replace(dip, epochs=2), faces, tmp_path / "resumed", resume=True, device="cpu")
    for one, other in zip(at_once.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    model = load_weights(tmp_path / "resumed" / "vae_synthetic_dip_500.pth")
    recipe = model.metadata["recipe"]
    assert (recipe["objective"], recipe["diagonal"]) == ("dip-vae-ii", 500.0)
    assert setting_of(recipe).label == "DIP-VAE-II, λ = 500"
    assert run_name(dip) == "dip_500_seed_0"
    assert evaluate(model, faces.images[:20]).kl > 0
    first = at_once.history[0]  # the loss that was logged is the function's
    assert first["loss"] > first["reconstruction"] + first["kl"]


def test_it_does_what_its_paper_says(dip, faces):
    images = faces.split("train").images
    led, free = (
        off_diagonal_share(train(config, faces, device="cpu").model, images)
        for config in (replace(dip, epochs=4), TrainConfig(epochs=4, batch_size=16, model=SMALL))
    )
    assert led < free / 2


def test_what_an_objective_of_ones_own_reads_is_checked(dip):
    with pytest.raises(InputError, match="diagonal is -1"):
        replace(dip, parameters={"diagonal": -1.0})
    with pytest.raises(InputError, match=r"names 'lambda'; .* off_diagonal, diagonal"):
        replace(dip, parameters={"lambda": 1.0})
    with pytest.raises(InputError, match="beta is 4, but the objective dip-vae-ii has none"):
        replace(dip, beta=4.0)
    assert dip.with_setting(20.0).setting.value == 20


def test_a_loss_that_wants_what_no_step_knows_is_told(dip, faces, monkeypatch):
    entry = replace(OBJECTIVES["dip-vae-ii"], loss=lambda logits, teacher: None)
    monkeypatch.setitem(OBJECTIVES, "dip-vae-ii", entry)
    with pytest.raises(InputError, match="wants 'teacher'"):
        train(dip, faces, device="cpu")


class Mine(nn.Module):
    """Two linear layers, and nothing that the package's VAE has besides the three methods."""

    def __init__(self, latent: int = 5) -> None:
        super().__init__()
        self.encoder = nn.Linear(3 * 64 * 64, 2 * latent)
        self.decoder = nn.Linear(latent, 3 * 64 * 64)

    def encode(self, x):
        mu, logvar = self.encoder(x.flatten(1)).chunk(2, dim=1)
        return mu, logvar.clamp(-8, 8)

    def decode_logits(self, z):
        return self.decoder(z).unflatten(1, (3, 64, 64))

    def forward(self, x, noise=None):
        mu, logvar = self.encode(x)
        z = mu + torch.exp(0.5 * logvar) * (torch.randn_like(mu) if noise is None else noise)
        return self.decode_logits(z), mu, logvar


def mine(seed=0):
    torch.manual_seed(seed)
    return Mine()


OWN = TrainConfig(epochs=2, batch_size=16, learning_rate=1e-4)


def test_a_model_of_ones_own_is_trained_measured_and_walked_through(faces):
    model = mine()
    before = evaluate(model, faces.images[:40]).excess
    training = train(OWN, faces, device="cpu", model=model)
    assert training.model is model
    measured = evaluate(model, faces.images[:40])
    assert measured.excess < before
    assert len(measured.kl_per_dimension) == 5
    assert math.isclose(training.history[-1]["kl"], evaluate(model, training.valid_images).kl)
    mu, _ = encode_images(model, faces.images[:3])
    assert decode_images(model, traverse(mu[0], 2, [-3, 0, 3])).shape == (3, 64, 64, 3)


def test_a_model_of_ones_own_is_asked_for_its_size_once_and_not_by_each_look(monkeypatch):
    model = mine()
    looks, encode = [], model.encode
    monkeypatch.setattr(model, "encode", lambda x: (looks.append(len(x)), encode(x))[1])
    for _ in range(3):
        assert decode_images(model, np.zeros((2, 5), np.float32)).shape == (2, 64, 64, 3)
    assert looks == [1]  # one blank face
    assert decode_images(Mine(7), np.zeros((2, 7), np.float32)).shape == (2, 64, 64, 3)


def test_its_run_can_be_resumed_and_its_weights_loaded_with_a_model_like_it(faces, tmp_path):
    at_once = train(OWN, faces, tmp_path / "a", device="cpu", model=mine())
    train(replace(OWN, epochs=1), faces, tmp_path / "b", device="cpu", model=mine())
    resumed = train(OWN, faces, tmp_path / "b", resume=True, device="cpu", model=mine(1))
    assert torch.equal(at_once.model.decoder.weight, resumed.model.decoder.weight)
    loaded = load_weights(tmp_path / "b" / "vae_synthetic.pth", model=mine(2))
    assert torch.equal(loaded.decoder.weight, resumed.model.decoder.weight)
    assert loaded.metadata["recipe"]["batch_size"] == 16


def test_what_the_package_cannot_know_of_it_is_told(faces, tmp_path):
    train(replace(OWN, epochs=1), faces, tmp_path, device="cpu", model=mine())
    with pytest.raises(InputError, match="weights of a Mine, a class that vae_lib does not know"):
        load_weights(tmp_path / "vae_synthetic.pth")
    with pytest.raises(InputError, match="do not fit the Mine given"):
        load_weights(tmp_path / "vae_synthetic.pth", model=Mine(7))
    with pytest.raises(InputError, match="model is 'Mine' there and None here"):
        train(OWN, faces, tmp_path, resume=True, device="cpu")
    with pytest.raises(InputError, match="encode"):
        train(OWN, faces, device="cpu", model=nn.Linear(3, 3))


class Conditioned(Mine):
    """A model that wants to know each image's β, as `vae_lib.model.any_beta` does."""

    conditions = ("beta",)

    def forward(self, x, noise=None, beta=None):
        self.seen = beta
        return super().forward(x, noise)


def test_a_model_of_ones_own_is_told_what_it_is_conditioned_on(faces, monkeypatch):
    entry = replace(
        OBJECTIVES["beta-vae"],
        loss=lambda logits, x, mu, logvar, beta: beta_vae_objective.unchecked(
            logits, x, mu, logvar, beta.mean()
        ),
        draw={"beta": lambda count, generator: torch.rand(count, generator=generator)},
    )
    monkeypatch.setitem(OBJECTIVES, "beta-vae", entry)
    model = Conditioned()
    train(replace(OWN, epochs=1), faces, device="cpu", model=model)
    assert model.seen.shape == (16,)
    assert model.seen.std() > 0


class Small(nn.Module):
    """For pictures of 32 × 32, which it does not say."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(3 * 32 * 32, 6), nn.Linear(3, 3 * 32 * 32)

    def encode(self, x):
        return self.encoder(x.flatten(1)).chunk(2, dim=1)

    def decode_logits(self, z):
        return self.decoder(z).unflatten(1, (3, 32, 32))

    def forward(self, x, noise):
        mu, logvar = self.encode(x)
        return self.decode_logits(mu + torch.exp(0.5 * logvar) * noise), mu, logvar


def test_a_model_of_ones_own_has_the_size_of_the_faces_that_it_is_trained_on(faces):
    small = replace(faces, images=np.ascontiguousarray(faces.images[:, ::2, ::2]))
    training = train(replace(OWN, epochs=1), small, device="cpu", model=Small())
    assert evaluate(training.model, small.images[:5]).images == 5
    with pytest.raises(InputError, match="Small cannot encode faces of 64 × 64 pixels"):
        train(replace(OWN, epochs=1), faces, device="cpu", model=Small())
