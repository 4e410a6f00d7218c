"""Walks through the latent space."""

import numpy as np
import pytest
import torch

from vae_lib.errors import InputError
from vae_lib.latent import decode_images, encode_images, interpolate, traverse


def test_a_traversal_moves_one_dimension_only():
    z = torch.arange(5.0)
    codes = traverse(z, 2, [-3, 0, 3])
    assert codes[:, 2].tolist() == [-3, 0, 3]
    assert torch.equal(codes[:, [0, 1, 3, 4]], z[[0, 1, 3, 4]].expand(3, 4))
    assert torch.equal(z, torch.arange(5.0))


@pytest.mark.parametrize("dimension", [-1, 5])
def test_a_dimension_that_is_not_there_is_named(dimension):
    with pytest.raises(InputError, match=r"dimensions 0 to 4"):
        traverse(torch.zeros(5), dimension, [0])


@pytest.mark.parametrize("method", ["linear", "spherical"])
def test_both_ends_of_an_interpolation_are_the_given_codes(method):
    a, b = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    codes = interpolate(a, b, 7, method)
    torch.testing.assert_close(codes[0], a)
    torch.testing.assert_close(codes[-1], b)
    assert codes.shape == (7, 16)


def test_the_spherical_way_keeps_the_length_and_turns_evenly():
    a, b = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 2.0, 0.0])
    angles = torch.linspace(0, torch.pi / 2, 5)
    circle = 2 * torch.stack([angles.cos(), angles.sin(), torch.zeros(5)], dim=1)
    torch.testing.assert_close(interpolate(a, b, 5, "spherical"), circle)


def test_the_linear_way_is_shorter_in_the_middle():
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    torch.testing.assert_close(interpolate(a, b, 3)[1], torch.tensor([0.5, 0.5]))


def test_nearly_equal_codes_interpolate_without_dividing_by_zero():
    a = torch.tensor([1.0, 2.0])
    torch.testing.assert_close(interpolate(a, a, 3, "spherical"), a.expand(3, 2))
    torch.testing.assert_close(interpolate(a, 2 * a, 3, "spherical")[1], 1.5 * a)


@pytest.mark.parametrize(
    ("a", "b", "steps", "method", "word"),
    [
        ([1.0, 0.0], [-1.0, 0.0], 3, "spherical", "opposite"),
        ([0.0, 0.0], [1.0, 0.0], 3, "spherical", "zero"),
        ([1.0, 0.0], [1.0], 3, "linear", "shapes"),
        ([1.0, 0.0], [0.0, 1.0], 1, "linear", "steps is 1"),
        ([1.0, 0.0], [0.0, 1.0], 3, "cubic", "cubic"),
    ],
)
def test_an_interpolation_without_an_answer_says_why(a, b, steps, method, word):
    with pytest.raises(InputError, match=word):
        interpolate(torch.tensor(a), torch.tensor(b), steps, method)


def test_images_to_codes_and_back_agree_with_the_model(model, faces):
    mu, logvar = encode_images(model, faces.images[:20], batch_size=8)
    x = torch.from_numpy(faces.images[:20]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        expected = model.encode(x)
    np.testing.assert_allclose(mu, expected[0], atol=1e-5)
    np.testing.assert_allclose(logvar, expected[1], atol=1e-5)
    decoded = model.decode(torch.from_numpy(mu)).detach().permute(0, 2, 3, 1).numpy()
    assert np.abs(decode_images(model, mu) / 255 - decoded).max() <= 0.5 / 255 + 1e-5


def test_codes_of_another_size_are_refused(model):
    with pytest.raises(InputError, match=r"\(n, 6\)"):
        decode_images(model, torch.zeros(2, 5))


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_codes_of_numpy_walk_as_tensors_do(kind):
    a, b = np.arange(1, 5).astype(kind), np.ones(4, kind)
    codes = traverse(a, 1, np.linspace(-1, 1, 3))
    assert np.array_equal(codes, [[1, v, 3, 4] for v in (-1, 0, 1)])
    for method in ("linear", "spherical"):
        expected = interpolate(torch.tensor(a).float(), torch.ones(4), 5, method)
        torch.testing.assert_close(interpolate(a, b, 5, method).float(), expected)
        torch.testing.assert_close(interpolate(a, torch.ones(4), 5, method).float(), expected)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (np.ones((2, 4)), r"shape \(2, 4\)"),
        (torch.tensor(1.0), r"shape \(\)"),
        (np.array([1, np.nan]), "NaN or infinity"),
        (np.array(["a"]), "where a code was expected"),
        (None, "where a code was expected"),
    ],
)
def test_what_is_no_code_is_named(code, word):
    with pytest.raises(InputError, match=word):
        traverse(code, 0, [0])
    with pytest.raises(InputError, match=word):
        interpolate(torch.ones(4), code, 3)


def test_codes_and_images_of_a_wrong_kind_are_refused(model, faces):
    with pytest.raises(InputError, match="codes hold NaN"):
        decode_images(model, np.full((1, 6), np.nan))
    for images in (faces.images[:2] / 255, faces.images[:2].astype(np.int16), faces.images[0]):
        with pytest.raises(InputError, match="uint8"):
            encode_images(model, images)


@pytest.mark.parametrize("degrees", [10, 60, 90])
def test_on_an_arc_of_at_most_a_right_angle_the_length_stays_between_the_ends(degrees):
    lengths = arc(1.0, 2.0, degrees)
    assert lengths.min() >= 1 - 1e-5
    assert lengths.max() <= 2 + 1e-5
    assert torch.allclose(arc(1.5, 1.5, 179), torch.tensor(1.5), atol=1e-3)


def test_beyond_a_right_angle_unequal_ends_let_it_leave_that_range_as_the_docstring_says():
    lengths = arc(1.0, 2.0, 150)
    assert "lengths 1 and 2 at 150° pass through 0.73 and 2.73" in interpolate.__doc__
    assert lengths.min() == pytest.approx(0.73, abs=0.005)
    assert lengths.max() == pytest.approx(2.73, abs=0.005)


def arc(first: float, last: float, degrees: float) -> torch.Tensor:
    """Lengths on the spherical way between two codes of these lengths at this angle."""
    angle = torch.deg2rad(torch.tensor(float(degrees)))
    ends = first * torch.tensor([1.0, 0.0]), last * torch.stack([angle.cos(), angle.sin()])
    return interpolate(*ends, 301, "spherical").norm(dim=1)
