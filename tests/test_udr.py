"""UDR against codes whose agreement is known."""

import numpy as np
import pytest

from vae_lib.disentanglement import udr
from vae_lib.errors import InputError


@pytest.fixture
def z():
    return np.random.default_rng(0).normal(size=(5000, 4))


def test_codes_that_are_equal_up_to_order_sign_and_scale_agree_wholly(z):
    others = [z, -z[:, [3, 1, 0, 2]], np.tanh(z) * [1, -2, 3, 0.1]]
    found = udr(others, [np.ones(4)] * 3)
    assert found == pytest.approx([1, 1, 1], abs=0.1)  # 4 dimensions have chance correlations
    few = udr([z[:, :1], -(z[:, :1] ** 3)], [np.ones(1)] * 2)
    assert few == pytest.approx([1, 1])


def test_independent_codes_do_not_agree_and_the_odd_one_out_is_last(z):
    other = np.random.default_rng(1).normal(size=(5000, 4))
    assert udr([z, other], [np.ones(4)] * 2).max() < 0.05
    found = udr([z, z[:, ::-1], other], [np.ones(4)] * 3)
    assert found.argmin() == 2


def test_a_turned_code_agrees_less_than_its_axes(z):
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4)))
    assert udr([z, z @ turn], [np.ones(4)] * 2)[0] < 0.6


def test_dimensions_without_kl_count_nowhere(z):
    noise = np.random.default_rng(3).normal(size=(5000, 2))
    kl = np.array([1, 1, 1, 1, 0.001, 0.002])
    wide = [np.hstack([z, noise]), np.hstack([z, noise[::-1]])]
    assert udr(wide, [kl, kl]) == pytest.approx(udr([z, z], [np.ones(4)] * 2))
    assert udr([z, z], [np.zeros(4)] * 2).tolist() == [0, 0]


def test_codes_of_other_images_are_refused(z):
    with pytest.raises(InputError, match="two or more"):
        udr([z], [np.ones(4)])
    with pytest.raises(InputError, match="the same images"):
        udr([z, z[:10]], [np.ones(4)] * 2)
