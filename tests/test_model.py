"""The model: shapes, sizes, and what each method promises."""

import copy
import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch.distributions import Normal

from vae_lib import figures
from vae_lib.errors import InputError
from vae_lib.evaluation import evaluate
from vae_lib.faces.batches import to_pixels
from vae_lib.latent import decode_images, encode_images
from vae_lib.model import VAE, VAEConfig, unwrap


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


def test_a_model_taken_for_a_pair_says_where_its_facts_are():
    with pytest.raises(TypeError, match=r"the model itself.*model\.metadata"):
        _model, _facts = VAE(VAEConfig(channels=(4, 8), latent_size=2))


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


def changed(model: VAE, before: dict[str, torch.Tensor]) -> list[str]:
    return [n for n, value in model.state_dict().items() if not torch.equal(value, before[n])]


LOOKS = {
    "encode_images": lambda model, images: encode_images(model, images)[0],
    "decode_images": lambda model, images: decode_images(model, torch.ones(len(images), 6)),
    "evaluate": lambda model, images: evaluate(model, images).reconstruction,
    "reconstruct": lambda model, images: model.reconstruct(to_pixels(torch.tensor(images))),
    "sample": lambda model, images: model.sample(3, torch.Generator().manual_seed(0)),
    "samples": lambda model, images: figures.samples(model, 4),
    "reconstructions": lambda model, images: figures.reconstructions(model, images),
    "interpolation": lambda model, images: figures.interpolation(model, np.ones(6), -np.arange(6)),
    "traversals": lambda model, images: figures.traversals(model, [0.1] * 6, dimensions=2),
}


@pytest.mark.parametrize("look", LOOKS)
def test_whoever_looks_at_a_model_in_training_sees_it_in_eval_mode_and_changes_nothing(
    model, faces, look
):
    expected = LOOKS[look](model, faces.images[:5])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    model.encoder[0].eval()  # a layer that somebody froze
    found = LOOKS[look](model, faces.images[:5])
    if not isinstance(found, Figure):
        assert np.array_equal(found, expected)
    assert not changed(model, before)
    assert [layer.training for layer in model.encoder] == [False, True, True, True]
    assert model.training
    assert model.decoder[0][1].training


def test_a_look_that_fails_leaves_the_model_in_its_mode(model):
    model.train()
    with pytest.raises(RuntimeError, match="shape"):
        model.reconstruct(torch.rand(2, 3, 32, 32))
    assert model.encoder[0].training


WRAPPED = {
    "compiled": torch.compile,
    "DataParallel": torch.nn.DataParallel,
    "compiled DataParallel": lambda model: torch.compile(torch.nn.DataParallel(model)),
    "averaged": torch.optim.swa_utils.AveragedModel,
}


@pytest.mark.parametrize("wrap", WRAPPED)
def test_a_wrapped_model_is_the_model_in_it(model, faces, wrap):
    wrapped = WRAPPED[wrap](model)
    assert np.array_equal(
        encode_images(wrapped, faces.images[:3])[0], encode_images(model, faces.images[:3])[0]
    )
    assert evaluate(wrapped, faces.images[:3]) == evaluate(model, faces.images[:3])
    assert unwrap(wrapped).state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (VAE(VAEConfig(image_size=4, channels=(2,), latent_size=1)).state_dict(), "a state_dict"),
        (torch.nn.Linear(1, 1), "Found Linear"),
        (None, "Found NoneType"),
        ((VAE, {}), "Found tuple"),
    ],
)
def test_what_holds_no_model_is_named(found, word):
    for look in (lambda: encode_images(found, np.zeros((1, 64, 64, 3), np.uint8)),
                 lambda: figures.samples(found)):  # fmt: skip
        with pytest.raises(InputError, match=word):
            look()


def test_weights_that_are_no_numbers_give_a_sentence_and_no_number(model, faces):
    for name in ("encoder.0.0.weight", "decoder.3.bias", "encoder.1.1.running_var"):
        broken = copy.deepcopy(model)
        with torch.no_grad():
            broken.state_dict()[name].flatten()[0] = math.nan
        with pytest.raises(InputError, match=f"not finite \\({name}\\)"):
            evaluate(broken, faces.images[:3])
        looks = [lambda m=broken: encode_images(m, faces.images[:3])]
        if name.startswith("decoder"):
            looks = [lambda m=broken: decode_images(m, np.ones((1, 6)))]
        for look in looks:
            with pytest.raises(InputError, match="not finite"):
                look()


@pytest.mark.parametrize(
    "options",
    [
        {"latent_size": 2.5},
        {"channels": 32},
        {"channels": (4, "8")},
        {"image_size": "64"},
        {"latent_size": None},
    ],
)
def test_a_shape_that_is_no_whole_number_is_refused(options):
    with pytest.raises(InputError, match="whole numbers"):
        VAEConfig(**options)
