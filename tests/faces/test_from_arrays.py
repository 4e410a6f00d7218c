"""Faces from bare arrays: what is taken, how it is split, and a sentence for everything else."""

import numpy as np
import pytest
import torch

from tests.conftest import SMALL
from vae_lib import Faces, InputError, TrainConfig, encode_images, evaluate, train
from vae_lib.explorer import explore


@pytest.fixture(scope="module")
def images(faces):
    return faces.images[:50]


def test_every_usual_form_of_the_same_pictures_gives_the_same_faces(images):
    whole = Faces.from_arrays(images)
    share = images / np.float32(255)
    for same in (share, share.transpose(0, 3, 1, 2), torch.from_numpy(share), images.tolist()):
        if isinstance(same, list):
            same = np.array(same, np.uint8)
        again = Faces.from_arrays(same)
        np.testing.assert_array_equal(again.images, images)
        assert again.fingerprint == whole.fingerprint
    assert Faces.from_arrays(images[::-1]).fingerprint != whole.fingerprint


def test_a_hash_of_the_ids_splits_so_that_order_has_no_say(images):
    names = [f"me-{row}.png" for row in range(50)]
    faces = Faces.from_arrays(images, ids=names)
    assert [np.count_nonzero(faces.splits == split) for split in (0, 1, 2)] == [40, 5, 5]
    turned = Faces.from_arrays(images[::-1], ids=names[::-1])
    assert set(turned.split("test").ids) == set(faces.split("test").ids)
    np.testing.assert_array_equal(faces.images, images)  # rows stay where they were
    own = Faces.from_arrays(images, splits=np.arange(50) % 3)
    np.testing.assert_array_equal(own.split("valid").images, images[1::3])


def test_faces_of_an_array_are_trained_on_measured_and_explored(images, faces, tmp_path):
    known = faces.attributes[:50, :2]
    own = Faces.from_arrays(images, known, ["yaw", "pitch"], name="mine")
    training = train(TrainConfig(epochs=1, batch_size=8, model=SMALL), own, tmp_path, device="cpu")
    assert (tmp_path / "vae_mine.pth").exists()
    assert evaluate(training.model, own.split("test").images).images == 5
    assert len(encode_images(training.model, own.images)[0]) == 50
    page = explore(training.model, faces=own).get_state()
    assert len(page["values"]) == 6


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.zeros((9, 64, 64)), r"shape \(9, 64, 64\); expected squares in colour.*Grey"),
        (np.zeros((64, 64, 3), np.uint8), r"shape \(64, 64, 3\); expected squares"),
        (np.zeros((9, 64, 64, 4)), r"Drop the fourth channel"),
        (np.zeros((9, 64, 48, 3)), r"expected squares"),
        (np.zeros((0, 64, 64, 3)), r"one or more"),
        (np.zeros((9, 64, 64, 3), int), r"These images are int64; expected uint8"),
        (np.full((9, 64, 64, 3), 37.0), r"from 37 to 37; expected \[0, 1\]: divide by 255"),
        (np.full((9, 64, 64, 3), -1.0), r"from -1 to -1.*\(x \+ 1\) / 2"),
        (np.full((9, 64, 64, 3), np.nan), r"from nan to nan.*not finite"),
        (np.zeros((2, 64, 64, 3)), r"2 images cannot be split"),
    ],
)
def test_what_is_no_set_of_faces_is_a_sentence(given, sentence):
    with pytest.raises(InputError, match=sentence):
        Faces.from_arrays(given)


def test_what_does_not_fit_the_images_is_a_sentence(images):
    for fault, sentence in (
        ({"ids": ["a"] * 50}, "The id 'a' is there twice"),
        ({"attributes": np.zeros(50)}, r"attributes have shape \(50,\); expected \(n, k\)"),
        ({"attributes": np.zeros((49, 1))}, "50 images but 49 attributes"),
        ({"attributes": np.zeros((50, 2)), "attribute_names": ["a"]}, "2 columns .* 1 attribute_"),
        ({"splits": np.full(50, 3)}, r"splits hold \[3\]"),
        ({"ids": ["a"]}, "50 images but 1 ids"),
    ):
        with pytest.raises(InputError, match=sentence):
            Faces.from_arrays(images, **fault)
