"""The measures against their definitions, written out anew."""

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from vae_lib.config import objective_named
from vae_lib.errors import InputError
from vae_lib.evaluation import evaluate, psnr, ssim_per_face


@pytest.fixture
def by_hand(model, faces):
    """Each measure of 50 faces from its definition, in float64."""
    images = faces.images[:50]
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    noise = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        mu, logvar = model.encode(x)
        logits = model.decode_logits(mu + (0.5 * logvar).exp() * noise).double()
        decoded = model.decode(mu).double()
    x = x.double()
    on, off = (
        Bernoulli(logits=logits, validate_args=False).log_prob(torch.full_like(x, v))
        for v in (1.0, 0.0)
    )
    entropy = Bernoulli(probs=x).entropy()
    kl = kl_divergence(Normal(mu.double(), (0.5 * logvar.double()).exp()), Normal(0.0, 1.0))
    return {
        "reconstruction": -(x * on + (1 - x) * off).sum((1, 2, 3)).mean().item(),
        "floor": entropy.sum((1, 2, 3)).mean().item(),
        "kl_per_dimension": kl.mean(0).numpy(),
        "psnr": np.mean([-10 * np.log10(e) for e in ((decoded - x).numpy() ** 2).mean((1, 2, 3))]),
    }


def test_every_measure_is_its_definition(model, faces, by_hand):
    found = evaluate(model, faces.images[:50], batch_size=16)
    assert found.images == 50
    assert found.reconstruction == pytest.approx(by_hand["reconstruction"], rel=1e-5)
    assert found.excess == pytest.approx(by_hand["reconstruction"] - by_hand["floor"], rel=1e-4)
    assert found.psnr == pytest.approx(by_hand["psnr"], rel=1e-5)
    np.testing.assert_allclose(found.kl_per_dimension, by_hand["kl_per_dimension"], rtol=1e-4)
    assert found.kl == pytest.approx(by_hand["kl_per_dimension"].sum(), rel=1e-4)
    assert found.active_001 == (by_hand["kl_per_dimension"] > 0.01).sum()
    assert found.active_01 == (by_hand["kl_per_dimension"] > 0.1).sum()


@pytest.mark.parametrize("batch_size", [1, 7, 49, 50, 64])
def test_the_size_of_a_batch_changes_no_measure(model, faces, batch_size):
    whole = evaluate(model, faces.images[:50]).flat()
    assert evaluate(model, faces.images[:50], batch_size=batch_size).flat() == pytest.approx(
        whole, rel=1e-5
    )


def test_validation_and_training_use_one_definition(model, faces):
    from vae_lib.training.step import Step

    images = faces.images[:32]
    measured = evaluate(model, images)
    noise = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
    no_flips = torch.zeros(32, dtype=torch.bool)
    objective = objective_named("beta-vae")
    step = Step(model.eval(), torch.device("cpu"), objective, {"beta": 3.0}, train_images=32)
    step.bfloat16 = False
    loss, reconstruction, kl = step.losses(torch.from_numpy(images), no_flips, noise)
    assert reconstruction.item() == pytest.approx(measured.reconstruction, rel=1e-5)
    assert kl.item() == pytest.approx(measured.kl, rel=1e-5)
    assert loss.item() == pytest.approx(measured.reconstruction + 3 * measured.kl, rel=1e-5)


def test_psnr_of_a_known_error():
    x = torch.full((2, 3, 4, 4), 0.5)
    torch.testing.assert_close(psnr(x + 0.1, x), torch.full((2,), 20.0))


def test_ssim_is_one_for_perfect_pictures_and_measured_only_when_asked(model, faces, monkeypatch):
    assert evaluate(model, faces.images[:8]).ssim is None
    assert "ssim" not in evaluate(model, faces.images[:8]).flat()
    assert 0 < evaluate(model, faces.images[:8], ssim=True).ssim < 1
    x = torch.from_numpy(faces.images[:8]).permute(0, 3, 1, 2) / 255
    monkeypatch.setattr(model, "decode", lambda mu: x)
    assert evaluate(model, faces.images[:8], ssim=True).ssim == pytest.approx(1)


def test_similarity_of_each_face_has_the_mean_that_an_evaluation_gives(model, faces):
    from torchmetrics.image import StructuralSimilarityIndexMeasure

    from vae_lib.faces.batches import to_pixels

    x = to_pixels(torch.from_numpy(faces.images[:120]))
    with torch.no_grad():
        decoded = model.reconstruct(x)
        each = ssim_per_face(decoded, x)
    reference = StructuralSimilarityIndexMeasure(data_range=1.0)(decoded, x)
    assert each.shape == (120,)
    assert each.mean().item() == pytest.approx(reference.item())
    assert each.mean().item() == pytest.approx(evaluate(model, faces.images[:120], ssim=True).ssim)
    assert torch.allclose(ssim_per_face(x, x), torch.ones(120))


def test_evaluating_leaves_the_model_as_it_was(model, faces):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, faces.images[:20])
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("shape", [(0, 64, 64, 3), (2, 32, 32, 3), (2, 3, 64, 64)])
def test_images_of_the_wrong_shape_are_refused(model, shape):
    with pytest.raises(InputError, match=r"\(n, 64, 64, 3\)"):
        evaluate(model, np.zeros(shape, np.uint8))
