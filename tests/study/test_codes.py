"""What a run leaves so that others can score it again."""

import numpy as np
import pytest

from vae_lib.errors import InputError
from vae_lib.faces.synthetic import draw_factors
from vae_lib.study.codes import load_codes, rounded, save_codes, score_codes


@pytest.fixture
def codes():
    factors = draw_factors(600, seed=1)
    noise = np.random.default_rng(0).normal(size=(600, 3))
    mu = np.column_stack([factors[:, 0] / 20, factors[:, 1] / 9, 0.01 * noise[:, 0]])
    return rounded(mu, np.tile([-3.0, -3.0, 0.0], (600, 1)), seed=1)


def test_codes_come_back_as_they_were_scored(codes, tmp_path):
    save_codes(tmp_path / "codes.npz", codes)
    assert (tmp_path / "codes.npz").stat().st_size < 600 * 3 * 4 + 6000
    again = load_codes(tmp_path / "codes.npz")
    np.testing.assert_array_equal(again.mu, codes.mu)
    np.testing.assert_array_equal(again.logvar, codes.logvar)
    np.testing.assert_array_equal(again.factors, draw_factors(600, 1))
    first, second = score_codes(codes), score_codes(again)
    assert first == second
    assert first["seed_of_faces"] == 1
    assert first["constant_dimensions"] == 1  # the one that carries nothing is silenced
    assert first["per_factor"]["yaw"]["informativeness"] > 0.95


def test_photographs_keep_their_names_and_have_no_factors(tmp_path):
    codes = rounded(np.zeros((2, 3)), np.zeros((2, 3)), ids=np.array(["000001.jpg", "000002.jpg"]))
    save_codes(tmp_path / "codes.npz", codes)
    again = load_codes(tmp_path / "codes.npz")
    assert again.ids.tolist() == ["000001.jpg", "000002.jpg"]
    assert again.seed is None
    with pytest.raises(InputError, match="photographs, whose factors nobody knows"):
        _ = again.factors


@pytest.mark.parametrize("content", [b"", b"PK no zip"])
def test_a_file_without_codes_is_named(tmp_path, content):
    (tmp_path / "codes.npz").write_bytes(content)
    for file in (tmp_path / "codes.npz", tmp_path / "missing.npz"):
        with pytest.raises(InputError, match=f"{file.name} holds no codes of a run"):
            load_codes(file)
