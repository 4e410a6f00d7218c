"""The model: shapes, sizes, and what each method promises."""

import pytest
import torch
from torch.distributions import Normal

from vae_lib.errors import InputError
from vae_lib.model import VAE, VAEConfig


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_baseline_has_the_designs_number_of_parameters():
    model = VAE()
    assert parameters(model) == 2_957_955
    assert parameters(model.from_z) + parameters(model.decoder) == 1_218_499


def test_each_conv_layer_halves_and_each_transposed_one_doubles():
    model = VAE().eval()
    sizes = []
    for layer in (*model.encoder, *model.decoder):
        layer.register_forward_hook(lambda m, i, out: sizes.append(tuple(out.shape[1:])))
    logits, mu, logvar = model(torch.rand(2, 3, 64, 64))
    assert sizes == [
        (32, 32, 32), (64, 16, 16), (128, 8, 8), (256, 4, 4),
        (128, 8, 8), (64, 16, 16), (32, 32, 32), (3, 64, 64),
    ]  # fmt: skip
    assert logits.shape == (2, 3, 64, 64)
    assert mu.shape == logvar.shape == (2, 128)


@pytest.mark.parametrize(
    ("size", "channels"), [(16, (4, 4, 4, 4)), (96, (4, 8, 8, 8)), (32, (4, 8))]
)
def test_any_size_that_the_layers_can_halve_works(size, channels):
    model = VAE(VAEConfig(image_size=size, channels=channels, latent_size=3)).eval()
    assert model.reconstruct(torch.rand(2, 3, size, size)).shape == (2, 3, size, size)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"image_size": 60}, "multiple of 16"),
        ({"image_size": 0}, "multiple of 16"),
        ({"latent_size": 0}, "latent_size is 0"),
        ({"channels": ()}, "channels"),
        ({"channels": (32, -1)}, "channels"),
    ],
)
def test_a_shape_that_cannot_work_is_refused(options, word):
    with pytest.raises(InputError, match=word):
        VAEConfig(**options)


def test_reparameterized_draws_have_the_posteriors_mean_and_spread():
    mu, logvar = torch.tensor([0.7, -2.0]), torch.tensor([0.9, -1.5])
    noise = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0))
    z = VAE.reparameterize(None, mu, logvar, noise)
    expected = Normal(mu, (0.5 * logvar).exp())
    torch.testing.assert_close(z.mean(0), expected.mean, atol=0.01, rtol=0)
    torch.testing.assert_close(z.std(0), expected.stddev, atol=0.01, rtol=0)


def test_gradients_flow_through_the_draw_to_the_encoder():
    model = VAE(VAEConfig(channels=(4, 4, 4, 4), latent_size=3))
    model(torch.rand(2, 3, 64, 64))[0].sum().backward()
    assert model.to_mu.weight.grad.abs().sum() > 0
    assert model.to_logvar.weight.grad.abs().sum() > 0


def test_decode_is_the_sigmoid_of_its_logits(model):
    z = torch.randn(4, 6)
    pixels = model.decode(z)
    torch.testing.assert_close(pixels, torch.sigmoid(model.decode_logits(z)))
    assert pixels.min() >= 0
    assert pixels.max() <= 1


def test_reconstruct_decodes_the_posterior_mean(model):
    x = torch.rand(3, 3, 64, 64)
    torch.testing.assert_close(model.reconstruct(x), model.decode(model.encode(x)[0]))


def test_samples_repeat_with_their_generator_and_leave_the_global_one_alone(model):
    before = torch.get_rng_state()
    first, second = (model.sample(4, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, model.sample(4, torch.Generator().manual_seed(4)))
    assert torch.equal(before, torch.get_rng_state())
