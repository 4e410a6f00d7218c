"""Faces: splits and small subsets."""

import numpy as np
import pytest

from tests.conftest import small_faces
from vae_lib.errors import InputError


def test_each_split_is_a_view_of_its_own_rows(faces):
    sizes = {"train": 160, "valid": 40, "test": 40}
    for number, (name, size) in enumerate(sizes.items()):
        part = faces.split(name)
        assert len(part) == size
        assert (part.splits == number).all()
        assert np.shares_memory(part.images, faces.images)
        assert part.fingerprint == faces.fingerprint


def test_a_split_that_is_empty_or_unknown_is_named(faces):
    with pytest.raises(InputError, match="no split 'dev'; use one of train, valid, test"):
        faces.split("dev")
    with pytest.raises(InputError, match="The valid split of these 160 faces is empty"):
        faces.split("train").split("valid")


def test_take_gives_the_first_faces_of_each_split_and_another_fingerprint():
    faces = small_faces(60)
    few = faces.take(5, 3)
    assert few.ids.tolist() == [*faces.split("train").ids[:5], *faces.split("valid").ids[:3]]
    assert (few.attributes == faces.attributes[np.r_[0:5, 40:43]]).all()
    assert few.fingerprint != faces.fingerprint
    assert len(faces.take(1_000, 1_000, 1_000)) == 60
