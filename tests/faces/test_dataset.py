"""Faces: splits and small subsets."""

from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import small_faces
from vae_lib.errors import InputError
from vae_lib.faces.dataset import SPLITS, Faces


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


def own_faces(order, **changed):
    """A teacher's own faces; the first pixel of each is its row."""
    count = len(order)
    images = np.zeros((count, 64, 64, 3), np.uint8)
    images[:, 0, 0, 0] = range(count)
    parts = {
        "images": images,
        "ids": np.array([f"{row}.png" for row in range(count)]),
        "splits": np.array(order, np.uint8),
        "attributes": np.arange(count, dtype=np.float32)[:, None],
    }
    return Faces("mine", **(parts | changed), attribute_names=("row",))


@pytest.mark.parametrize(
    "splits", [[0, 1, 2, 0] * 10, [2, 1, 0], [1, 0, 0, 1, 2], [0, 0, 1, 1, 2], [2, 0, 0, 0, 1]]
)
def test_a_split_holds_its_own_rows_in_whatever_order_they_stand(splits):
    faces = own_faces(splits)
    for number, name in enumerate(SPLITS):
        part, rows = faces.split(name), [row for row, at in enumerate(splits) if at == number]
        assert part.images[:, 0, 0, 0].tolist() == rows
        assert part.attributes[:, 0].tolist() == rows
        assert part.ids.tolist() == [f"{row}.png" for row in rows]
        assert set(part.splits.tolist()) == {number}


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"images": np.zeros((3, 64, 64, 3), np.float32)}, "float32 of shape .*expected uint8"),
        ({"images": np.zeros((3, 3, 64, 64), np.uint8)}, r"shape \(3, 3, 64, 64\); expected"),
        ({"images": np.zeros((3, 64, 64), np.uint8)}, "expected uint8"),
        ({"splits": np.array([0, 1, 3])}, r"\[0 1 3\]; expected 0 \(train\)"),
        ({"splits": np.array(["train", "valid", "test"])}, "expected 0"),
        ({"splits": np.array([0, 0, np.nan])}, "expected 0"),
        ({"splits": np.array([0, 0])}, "3 images but 2 splits"),
        ({"ids": np.array(["a"] * 4)}, "3 images but 4 ids"),
        ({"attributes": np.zeros((2, 1))}, "3 images but 2 attributes"),
    ],
)
def test_own_faces_whose_parts_do_not_fit_are_refused(changed, match):
    with pytest.raises(InputError, match=match):
        own_faces([0, 1, 2], **changed)


def test_splits_that_hold_enough_stay_as_they_are(faces):
    assert faces.with_every_split() is faces


@pytest.mark.parametrize("counts", [(38, 1, 1), (200, 0, 0), (0, 0, 100)])
def test_where_a_split_is_nearly_empty_all_faces_are_divided_anew(faces, counts):
    rows = np.concatenate([np.flatnonzero(faces.splits == 0)] * 3)[: sum(counts)]
    lopsided = replace(
        faces,
        images=faces.images[rows],
        attributes=faces.attributes[rows],
        ids=np.array([f"{row:03d}" for row in range(len(rows))]),
        splits=np.repeat([0, 1, 2], counts).astype(np.uint8),
    )
    divided = lopsided.with_every_split()
    held = max(4, sum(counts) // 10)
    assert np.bincount(divided.splits).tolist() == [sum(counts) - 2 * held, held, held]
    assert sorted(divided.ids) == sorted(lopsided.ids)
    for row, name in enumerate(divided.ids):  # picture, name and factors still belong together
        assert np.array_equal(divided.images[row], lopsided.images[int(name)])
        assert np.array_equal(divided.attributes[row], lopsided.attributes[int(name)])
    assert f"{counts[1]} for validation" in divided.notes[-1]
    assert divided.fingerprint != lopsided.fingerprint
    assert len(lopsided.with_every_split(most=30)) == 30


def test_a_dozen_faces_can_be_divided_and_fewer_cannot(faces):
    assert np.bincount(faces.take(12).with_every_split().splits).tolist() == [4, 4, 4]
    with pytest.raises(InputError, match="11 faces are too few"):
        faces.take(11).with_every_split()
