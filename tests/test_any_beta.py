"""One network for every β against the VAE, and its gates against the linear VAE's closed form."""

import math
import os

import numpy as np
import pytest
import torch
from torch import nn

from vae_lib.checkpoint import load_weights, save_weights
from vae_lib.config import VAEConfig
from vae_lib.errors import InputError
from vae_lib.evaluation import evaluate
from vae_lib.faces import open_faces
from vae_lib.latent import decode_images, encode_images
from vae_lib.model import VAE
from vae_lib.model.any_beta import AnyBetaVAE, Gate, at_beta, check_range
from vae_lib.objective import bernoulli_nll, kl_per_dimension
from vae_lib.pca import water_level
from vae_lib.pretrained import any_beta_names, load_pretrained, verified

SMALL = VAEConfig(image_size=16, channels=(8, 8), latent_size=5)
NINE = np.geomspace(0.5, 20, 9)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return AnyBetaVAE(SMALL)


@pytest.fixture
def x():
    return torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_with_gates_at_one_it_is_the_vae(model, x):
    plain = VAE(SMALL)
    plain.load_state_dict({name: model.state_dict()[name] for name in plain.state_dict()})
    for gate in (module for module in model.modules() if isinstance(module, Gate)):
        nn.init.constant_(gate.affine.bias, 40.0)  # its sigmoid rounds to 1
    noise = torch.randn(6, 5)
    for mode in (True, False):
        plain.train(mode), model.train(mode)
        for found, expected in zip(model(x, noise, model.draw_beta(6)), plain(x, noise),
                                   strict=True):  # fmt: skip
            assert torch.equal(found, expected)
    assert torch.equal(model.reconstruct(x, 3.0), plain.reconstruct(x))


def test_the_baseline_grows_by_as_much_as_is_told():
    count = sum(p.numel() for p in AnyBetaVAE().parameters())
    assert f"{count:,}" in AnyBetaVAE.__doc__


def test_each_image_is_served_at_its_own_beta(model, x):
    with torch.no_grad():
        for gate in (module for module in model.modules() if isinstance(module, Gate)):
            gate.affine.weight.normal_()
    model.eval()
    betas = model.draw_beta(6, torch.Generator().manual_seed(0))
    together = model.encode(x, betas)
    alone = [model.encode(x[i : i + 1], betas[i].item()) for i in range(6)]
    for found, parts in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(found, torch.cat(parts))
    z = torch.randn(6, 5)
    assert not torch.allclose(model.decode(z, 0.5), model.decode(z, 20.0), atol=1e-3)


def test_beta_is_drawn_evenly_over_its_logarithm(model):
    drawn = model.draw_beta(20_000, torch.Generator().manual_seed(0))
    assert drawn.min() >= 0.5
    assert drawn.max() <= 20
    s = model.standardised(drawn, drawn)
    assert s.mean().item() == pytest.approx(0, abs=0.02)
    assert s.std().item() == pytest.approx(1, abs=0.01)
    assert model.standardised(20.0, drawn[:1]).item() == pytest.approx(math.sqrt(3))


def test_training_at_many_beta_orders_the_kl(model, x):
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    draws = torch.Generator().manual_seed(0)
    for _ in range(150):
        beta = model.draw_beta(6, draws)
        logits, mu, logvar = model(x, torch.randn(6, 5, generator=draws), beta)
        loss = bernoulli_nll(logits, x) + beta * kl_per_dimension(mu, logvar).sum(1)
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    model.eval()
    kl = [kl_per_dimension(*model.encode(x, b)).sum(1).mean().item() for b in (0.5, 3.0, 20.0)]
    assert kl[0] > kl[1] > kl[2]


def test_betas_and_ranges_that_cannot_be_served_are_told(model, x):
    for beta, told in [
        (0.4, "β is 0.4; this network was trained for β from 0.5 to 20"),
        (torch.tensor([1.0, 1, 1, 1, 1, 21.0]), "β is 21; "),
        (math.nan, "β is nan; "),
        (torch.empty(0), "β is empty; "),
        ("four", "β is 'four'; give a number from 0.5 to 20"),
        (None, "serves every β from 0.5 to 20 and was told none: give beta"),
    ]:
        with pytest.raises(InputError, match=told):
            model.encode(x, beta)
        with pytest.raises(InputError, match=told):
            model.decode(torch.zeros(6, 5), beta)
    with pytest.raises(InputError, match="β is 4, but this model was trained with one β"):
        at_beta(VAE(SMALL), 4.0)
    for wrong, told in [
        ((20, 0.5), "its ends are swapped"),
        ((0, 20), "both ends are above 0"),
        ((3, 3), "the second is larger"),
        ((1, math.inf), "the second is larger"),
        (4, "give two numbers, its smallest and its largest"),
    ]:
        with pytest.raises(InputError, match=told):
            check_range(wrong)


class RootGate(Gate):
    """The gate of the paper's theorem on linear VAEs: √ReLU(1 − exp(u · s + v)).

    A linear VAE's optimum scales each principal component by (1 − βσ²/λ)^½ (Lucas et al. 2019),
    and log βσ²/λ is affine in log β, so that this gate can follow it exactly, and into the dry.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        nn.init.constant_(self.affine.bias, -2.0)

    def forward(self, s):
        # A floor keeps the root's slope finite; it costs nothing that could be measured.
        return torch.relu(1 - torch.exp(self.affine(s))).add(1e-12).sqrt()


def trained_linear_vae(gate: type[Gate], variances: torch.Tensor, codes: int) -> list[float]:
    """The objective that one gated linear VAE reaches at each of nine β, nats.

    For data N(0, Λ) and pixels N(W z, 1) it needs no samples. With mu = g ⊙ V x, W_g = W diag(g')
    and the posterior variances D that are best for them, reconstruction above the constant is
    ½ tr (I − W_g V_g) Λ (I − W_g V_g)ᵀ + ½ Σ D_j ‖w_j‖², and the KL
    ½ Σ (D_j − 1 − log D_j + v_jᵀ Λ v_j).
    """
    torch.manual_seed(0)
    size = len(variances)
    rotation = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64))[0]
    covariance = rotation * variances @ rotation.T
    w, v = (0.3 * torch.randn(size, codes, dtype=torch.float64) for _ in range(2))
    gates = [gate(codes).double() for _ in range(2)]
    learned = [w, v, *(p for g in gates for p in g.parameters())]
    for p in learned:
        p.requires_grad_(True)

    def objective(betas: np.ndarray) -> torch.Tensor:
        beta = torch.as_tensor(betas, dtype=torch.float64)
        s = (beta.log() - math.log(10) / 2) / (math.log(40) / math.sqrt(12))
        encode, decode = (g(s[:, None])[:, None, :] for g in gates)
        v_g, w_g = v * encode, w * decode  # (β, size, codes)
        squares = w_g.square().sum(1)
        d = beta[:, None] / (beta[:, None] + squares)
        left = torch.eye(size, dtype=torch.float64) - w_g @ v_g.mT
        blur = torch.einsum("bij,jk,bik->b", left, covariance, left) + (d * squares).sum(1)
        spread = torch.einsum("bjc,jk,bkc->b", v_g, covariance, v_g)
        return 0.5 * blur + beta * 0.5 * ((d - 1 - d.log()).sum(1) + spread)

    many = np.geomspace(0.5, 20, 13)
    optimizer = torch.optim.Adam(learned, 0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3000)
    for _ in range(3000):
        optimizer.zero_grad()
        objective(many).mean().backward()
        optimizer.step()
        schedule.step()
    return objective(NINE).tolist()


def test_the_theorems_gate_reaches_the_linear_vaes_optimum_at_nine_beta():
    variances = np.geomspace(60, 0.4, 8)
    codes = 8
    optimum = []
    for beta in NINE:  # with σ² = 1 the water level is β itself
        wet = variances[:codes][variances[:codes] > beta]
        kl = 0.5 * np.log(wet / beta).sum()
        if 0 < len(wet) < codes:
            assert water_level(variances, kl) == pytest.approx(beta)
        optimum.append(0.5 * beta * len(wet) + beta * kl + 0.5 * variances[len(wet) :].sum())
    lost = {
        gate: np.array(trained_linear_vae(gate, torch.from_numpy(variances), codes)) / optimum - 1
        for gate in (RootGate, Gate)
    }
    for gate, shares in lost.items():
        print(gate.__name__, *(f"β = {b:.2f}: {s:+.2%}" for b, s in zip(NINE, shares, strict=True)))
        assert shares.min() > -1e-9  # nothing beats the closed form
    assert lost[RootGate].max() < 0.01
    assert lost[Gate].max() < 0.05


@pytest.fixture
def saved(model, tmp_path):
    save_weights(tmp_path / "any.pth", model, {"faces": "drawn"})
    return tmp_path / "any.pth"


def test_a_file_says_for_which_beta_its_model_was_trained(model, saved, x):
    loaded = load_weights(saved)
    assert isinstance(loaded, AnyBetaVAE)
    assert loaded.beta_range == (0.5, 20.0)
    assert loaded.metadata == {"faces": "drawn"}
    assert torch.equal(loaded.reconstruct(x, 2.0), model.reconstruct(x, 2.0))
    content = torch.load(saved)
    torch.save(content | {"beta_range": [20.0, 0.5]}, saved)
    with pytest.raises(InputError, match="its ends are swapped"):
        load_weights(saved)
    del content["beta_range"]
    torch.save(content, saved)
    with pytest.raises(InputError, match=r"decoder_gates\S* is one too many"):
        load_weights(saved)


def test_what_measures_and_moves_codes_takes_a_beta(model):
    images = (np.random.default_rng(0).random((6, 16, 16, 3)) * 255).astype(np.uint8)
    measured = evaluate(model, images, beta=2.0)
    mu, logvar = encode_images(model, images, beta=2.0)
    kl = kl_per_dimension(torch.from_numpy(mu), torch.from_numpy(logvar)).sum(1).mean()
    assert measured.kl == pytest.approx(kl.item(), rel=1e-4)
    assert decode_images(model, mu, beta=2.0).shape == images.shape
    plain = VAE(SMALL)
    for use in (
        lambda m, **given: evaluate(m, images, **given),
        lambda m, **given: encode_images(m, images, **given),
        lambda m, **given: decode_images(m, mu, **given),
    ):
        use(plain)
        with pytest.raises(InputError, match="takes none; leave it out"):
            use(plain, beta=2.0)
        with pytest.raises(InputError, match="was told none: give beta"):
            use(model)
        with pytest.raises(InputError, match=r"trained for β from 0\.5 to 20"):
            use(model, beta=21)


@pytest.mark.parametrize("name", any_beta_names())
def test_a_shipped_network_for_every_beta_is_worth_what_its_metadata_says(name):
    model = load_pretrained(name)
    assert isinstance(model, AnyBetaVAE)
    assert verified(name).stat().st_size <= 6.5e6
    rows = model.metadata["test"]
    assert len(rows) == 9
    for measure, order in (("kl", -1), ("excess", 1), ("active_001", -1), ("active_01", -1)):
        steps = order * np.diff([row[measure] for row in rows])
        assert (steps >= 0 if "active" in measure else steps > 0).all()
    if name == "vae_any_beta" and not os.environ.get("CELEBA_ROOT"):
        pytest.skip("set CELEBA_ROOT to a folder with CelebA")
    faces = open_faces() if name == "vae_any_beta" else open_faces(kind="synthetic")
    images = faces.split("test").images[:200]
    for row in rows[2::5]:  # a part of the faces, so roughly: seconds count
        measured = evaluate(model, images, beta=row["beta"])
        assert measured.kl == pytest.approx(row["kl"], rel=0.08)
        assert measured.psnr == pytest.approx(row["psnr"], abs=0.4)
