"""The explorer without a browser: Python's two answers, and what the widget tells its page."""

import gc
import math
import weakref

import numpy as np
import pytest
import torch
from photos import encoded, portrait
from PIL import Image

from vae_lib.checkpoint import save_weights
from vae_lib.errors import InputError
from vae_lib.explorer import (
    EYES,
    OPENING,
    explore,
)
from vae_lib.faces.synthetic import FACTORS, render
from vae_lib.latent import decode_images, encode_images
from vae_lib.model import VAE, VAEConfig
from vae_lib.pretrained import load_gallery

NINE = VAEConfig(image_size=24, channels=(5, 7, 3), latent_size=9)


def ask(explorer, content: dict, *buffers: bytes) -> tuple[dict, list[bytes]]:
    """What the explorer answers to one message of a browser."""
    answers = []
    explorer.send = lambda reply, binary=None: answers.append((reply, binary))
    explorer._answer(explorer, {"request": 7, **content}, [memoryview(b) for b in buffers])
    (answer,) = answers
    assert answer[0]["request"] == 7
    return answer


def refusal(explorer, content: dict, *buffers: bytes) -> str:
    reply, binary = ask(explorer, content, *buffers)
    assert reply["kind"] == "refused"
    assert not binary
    return reply["message"]


def upload(explorer, data: bytes, part: int = 1_000_000) -> tuple[dict, list[bytes]]:
    parts = [data[i : i + part] for i in range(0, len(data), part)] or [b""]
    for i, piece in enumerate(parts):
        answer = ask(explorer, {"kind": "photo", "part": i, "parts": len(parts)}, piece)
    return answer


@pytest.fixture
def other(model) -> VAE:
    """A second model of the same shape, with other weights."""
    torch.manual_seed(1)
    return VAE(model.config).eval()


# z → pixels, picture → z


def test_pixels_are_those_of_the_model(model, other):
    explorer = explore({"one": model, "other": other})
    z = torch.randn(3, 6, generator=torch.Generator().manual_seed(0)).numpy()
    codes = [row.tobytes() for row in z]
    reply, pixels = ask(explorer, {"kind": "decode", "models": [0, 1, 0]}, *codes)
    assert reply["kind"] == "pixels"
    for subject, row, found in zip([model, other, model], z, pixels, strict=True):
        assert found == decode_images(subject, row[None])[0].tobytes()


def test_an_old_ipywidgets_is_named_with_the_command_that_renews_it(model, monkeypatch):
    monkeypatch.setattr("ipywidgets.__version__", "7.6.5")
    with pytest.raises(InputError, match=r"7\.6\.5; .* 7\.7 or newer.*pip install --upgrade"):
        explore(model)


def test_training_on_changes_nothing_here(model):
    explorer = explore(model)
    z = np.zeros(6, np.float32)
    before = decode_images(model, z[None])[0].tobytes()
    with torch.no_grad():
        model.from_z.bias += 1
    assert ask(explorer, {"kind": "decode", "models": [0]}, z.tobytes())[1] == [before]


def test_a_face_of_the_dataset_is_encoded_by_name_or_number(model, other, faces):
    explorer = explore([model, other], faces=faces)
    assert ask(explorer, {"kind": "hello"})[0]["faces"] == len(faces)
    name = str(faces.split("test").ids[3])
    reply, (*codes, pixels) = ask(explorer, {"kind": "encode", "what": "face", "id": name})
    image = faces.images[faces.ids == name]
    assert reply["id"] == name
    assert pixels == image.tobytes()
    found = [np.frombuffer(code, "<f4") for code in codes]
    for number, subject in enumerate([model, other]):
        mu, logvar = encode_images(subject, np.array(image))
        np.testing.assert_array_equal(found[number], mu[0])
        np.testing.assert_array_equal(found[2 + number], logvar[0])
    reply, _ = ask(explorer, {"kind": "encode", "what": "face", "number": 3})
    assert reply["id"] in faces.split("test").ids
    assert "nobody.jpg" in refusal(explorer, {"kind": "encode", "what": "face", "id": "nobody.jpg"})


def test_a_face_without_a_dataset_is_refused(model):
    assert "faces=" in refusal(explore(model), {"kind": "encode", "what": "face", "id": "a.jpg"})


def test_true_factors_are_rendered_and_encoded(model):
    values = [(factor.low + factor.high) / 2 for factor in FACTORS]
    values[-1] = 1.0
    explorer = explore(model)
    _, (code, _, pixels) = ask(explorer, {"kind": "encode", "what": "factors", "values": values})
    picture = render(np.array(values))
    assert pixels == picture.tobytes()
    mu, _ = encode_images(model, picture[None])
    np.testing.assert_array_equal(np.frombuffer(code, "<f4"), mu[0])
    content = {"kind": "encode", "what": "factors", "values": [99.0] * len(FACTORS)}
    assert "between" in refusal(explorer, content)


def test_nonsense_is_answered_in_a_sentence(model):
    explorer = explore(model)
    assert "could not answer" in refusal(explorer, {"kind": "sing"})
    short = np.zeros(3, np.float32).tobytes()
    assert "codes of shape" in refusal(explorer, {"kind": "decode", "models": [0]}, short)


# uploads


def test_a_photo_is_aligned_by_its_eyes_and_encoded(model):
    explorer = explore(model)
    photo = portrait()
    reply, (preview,) = upload(explorer, encoded(photo, "PNG"), part=1000)
    assert reply["kind"] == "preview"
    assert len(preview) == reply["width"] * reply["height"] * 3
    eyes = [[190 / 300, 150 / 400], [100 / 300, 160 / 400]]  # in the wrong order
    reply, (code, _, pixels) = ask(explorer, {"kind": "encode", "what": "photo", "eyes": eyes})
    aligned = np.frombuffer(pixels, np.uint8).reshape(64, 64, 3)
    mu, _ = encode_images(model, aligned[None])
    np.testing.assert_array_equal(np.frombuffer(code, "<f4"), mu[0])
    bright = aligned[..., 0].astype(float)
    for x, y in EYES:  # the brightest spot near each eye is where CelebA has it
        rows, columns = np.mgrid[:64, :64]
        near = np.hypot(columns + 0.5 - x, rows + 0.5 - y) < 6
        weight = np.where(near, (bright - 60).clip(0), 0)
        assert abs((weight * (columns + 0.5)).sum() / weight.sum() - x) < 0.3
        assert abs((weight * (rows + 0.5)).sum() / weight.sum() - y) < 0.3
    explorer.close()
    assert explorer._photo is None


HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(200)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "empty"),
        (HEIC, "HEIC"),
        (b"Dear diary, today I trained a VAE.\n" * 20, "no picture"),
        (encoded(portrait(), "JPEG")[:900], "damaged"),
        (encoded(Image.new("L", (8200, 6200)), "PNG"), "million pixels"),
    ],
    ids=["nothing", "HEIC named .jpg", "text named .jpg", "half a JPEG", "51 megapixels of PNG"],
)
def test_unreadable_uploads_are_refused_and_the_next_one_works(model, data, sentence):
    explorer = explore(model)
    reply, _ = upload(explorer, data)
    assert reply["kind"] == "refused"
    assert sentence in reply["message"]
    assert upload(explorer, encoded(portrait(), "WEBP"))[0]["kind"] == "preview"


def test_eyes_without_a_photo_are_refused(model):
    content = {"kind": "encode", "what": "photo", "eyes": [[0.3, 0.4], [0.7, 0.4]]}
    assert "no photo" in refusal(explore(model), content)


# the widget


def test_sliders_are_sorted_by_kl(model):
    explorer = explore(model, kl=[0.1, 2.0, 0.0, 3.0, 0.2, 1.0])
    assert [slider.description for slider in explorer.sliders] == [
        f"z {d}" for d in (3, 1, 5, 4, 0, 2)
    ]
    assert {(slider.min, slider.max, slider.value) for slider in explorer.sliders} == {(-3, 3, 0)}
    assert explorer.models[0].spec["kl"] == [0.1, 2.0, 0.0, 3.0, 0.2, 1.0]


def test_sliders_and_values_tell_the_same(model):
    explorer = explore(model, kl=[0.1, 2.0, 0.0, 3.0, 0.2, 1.0])
    explorer.sliders[1].value = 1.5
    assert explorer.values == [0, 1.5, 0, 0, 0, 0]
    explorer.values = [0.25, 0, 0, 0, 0, -4.5]  # as a page does
    assert [slider.value for slider in explorer.sliders] == explorer.values
    assert explorer.sliders[-1].min == -5


def test_it_opens_on_the_same_good_face_at_every_beta():
    names = ["vae_celeba", "vae_beta_4", "vae_beta_10"]
    explorer = explore(names)
    assert explorer.opening == {"id": OPENING[0]}
    gallery = load_gallery("vae_celeba")
    row = gallery.ids.index(OPENING[0])
    strongest = np.argsort(-gallery.kl)[:5]
    np.testing.assert_allclose(explorer.values[:5], gallery.mu[row][strongest], atol=2e-3)
    assert explore("vae_synthetic").opening == {"id": OPENING[1]}


def test_an_own_model_opens_on_the_validation_face_that_it_reconstructs_best(model, faces):
    explorer = explore({"my model": model}, faces=faces)
    valid = faces.split("valid")
    mu, _ = encode_images(model, np.array(valid.images))
    wrong = decode_images(model, mu).astype(float) - valid.images
    best = np.square(wrong).mean((1, 2, 3)).argmin()
    assert explorer.opening["id"] == valid.ids[best]
    (code,) = explorer.opening["codes"]
    np.testing.assert_allclose(np.frombuffer(code, "<f4"), mu[best], atol=1e-5)


# what it holds and gives back


def test_a_closed_explorer_leaves_nothing_behind(model, other):
    from ipywidgets.widgets.widget import _instances

    before = set(_instances)
    kept = explore(model)
    middle = set(_instances)
    explorer = explore([model, other])
    assert explorer.sliders
    explorer.close()
    assert set(_instances) == middle  # the weights of `model` are still needed
    assert kept.models[0].comm is not None
    kept.close()
    assert set(_instances) == before


def test_explorers_of_the_same_weights_hold_one_model(other):
    model = other
    with torch.no_grad():
        model.from_z.bias += 0.5  # weights that no other test explores
    first, second = explore(model), explore(model)
    assert first._subjects[0].model is second._subjects[0].model is not model
    shared = weakref.ref(first._subjects[0].model)
    first.close()
    assert shared() is not None
    second.close()
    gc.collect()
    assert shared() is None


def test_a_cell_that_is_run_again_closes_what_nobody_sees_any_more(model, monkeypatch):
    run = {"cell": "c1", "run": "1"}
    monkeypatch.setattr("vae_lib.explorer.widget._running_cell", lambda: (run["cell"], run["run"]))

    def views(explorer, count):
        ask(explorer, {"kind": "views", "page": "p", "count": count})

    first, second = explore(model), explore(model)  # two of one run stay side by side
    views(first, 1), views(second, 2)
    run["run"] = "2"
    explore(model)
    assert first.comm is not None  # the page still shows it
    views(first, 0)
    views(second, 1)
    assert first.comm is None
    assert second.comm is not None
    unshown = explore(model)
    run["run"] = "3"
    explore(model)
    assert unshown.comm is not None  # no page ever spoke of it: it may be printed to a page later
    gone = explore(model)
    views(gone, 1), views(gone, 0)
    run["run"] = "4"
    again = explore(model)
    assert gone.comm is None
    assert again.models[0].comm is not None  # what both share is still there
    run |= {"cell": "c2", "run": "5"}
    other_cell = explore(model)
    views(other_cell, 1), views(other_cell, 0)
    assert other_cell.comm is not None  # a closed notebook may be opened again


def test_a_shipped_model_brings_its_gallery():
    explorer = explore("vae_celeba")
    gallery, found = load_gallery("vae_celeba"), explorer.models[0].gallery
    assert found["ids"] == list(gallery.ids)
    mu = np.frombuffer(found["mu"], "<f2").reshape(gallery.mu.shape)
    np.testing.assert_allclose(mu, gallery.mu, atol=2e-3)
    directions = np.frombuffer(found["directions"], "<f2").reshape(gallery.directions.shape)
    np.testing.assert_allclose(directions, gallery.directions, atol=2e-3)
    factor = np.frombuffer(found["fit"]["chol"], "<f2").reshape(128, 128)
    np.testing.assert_array_equal(factor, gallery.code_factor)
    np.testing.assert_array_equal(np.frombuffer(found["fit"]["mean"], "<f2"), gallery.code_mean)
    assert explorer.models[0].spec["order"] == np.argsort(-gallery.kl).tolist()


def test_a_file_is_explored_with_the_kl_it_tells(model, tmp_path):
    kl = [1.0, 5.0, 2.0, 3.0, 4.0, 0.5]
    metadata = {"faces": "synthetic", "validation": {"kl_per_dimension": kl}}
    save_weights(tmp_path / "mine.pth", model, metadata | {"recipe": {"beta": 4.0}})
    explorer = explore(tmp_path / "mine.pth")
    assert explorer.labels == ["mine, β = 4"]
    assert explorer.models[0].spec["order"] == [1, 4, 3, 2, 0, 5]
    assert [factor["name"] for factor in explorer.factors] == [
        factor.name.replace("_", " ") for factor in FACTORS
    ]


def test_a_fresh_model_with_faces_gets_gallery_and_directions(model, faces):
    gallery = explore(model, faces=faces).models[0].gallery
    assert set(gallery["ids"]) <= set(faces.split("test").ids.tolist())
    assert len(gallery["directions"]) == len(FACTORS) * 6 * 2
    assert explore(model).models[0].gallery == {}


def test_models_of_another_latent_size_are_left_out_with_a_sentence(model):
    torch.manual_seed(0)
    explorer = explore({"six": model, "nine": VAE(NINE)})
    assert explorer.labels == ["six"]
    (problem,) = explorer.problems
    assert "nine has 9" in problem
    assert "six has 6" in problem


def test_weights_that_are_not_finite_are_left_out_with_a_sentence(model, other, tmp_path):
    with torch.no_grad():
        other.decoder[-1].weight[0, 0, 0, 0] = math.nan
    save_weights(tmp_path / "broken.pth", other, {})
    explorer = explore([tmp_path / "broken.pth", model])
    assert explorer.labels == ["model"]
    assert "broken" in explorer.problems[0]
    assert "not finite" in explorer.problems[0]
    alone = explore(tmp_path / "broken.pth")
    assert alone.problems
    assert not alone.sliders


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"models": "vae_nobody"}, "vae_celeba"),
        ({"models": "nothing.pth"}, "nothing.pth"),
        ({"models": []}, "at least one"),
        ({"models": "vae_celeba", "kl": [1.0, 2.0]}, "KL of 2"),
        ({"models": "vae_celeba", "shown": 0}, "shown"),
    ],
)
def test_wrong_arguments_are_told_at_once(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        explore(**arguments)


def test_explorers_share_one_copy_of_a_models_weights(model):
    from ipywidgets.embed import dependency_state

    first, second = explore(model), explore([model, model], shown=3)
    assert first.models[0] is second.models[0] is second.models[1]
    state = dependency_state([first, second])
    holders = [widget for widget in state.values() if "half" in widget["state"]]
    buffers = [b for w in state.values() for b in w.get("buffers", ()) if b["path"] == ["half"]]
    assert len(holders) <= 1
    assert len(buffers) == 1


def test_names_of_dimensions_are_read_set_and_refused(model, other):
    explorer = explore([model, other])
    assert explorer.names == {}
    explorer.names = {5: " ears ", 2: "head turns"}
    assert explorer.names == {2: "head turns", 5: "ears"}
    digest = explorer.models[0].spec["digest"]
    explorer.set_state({"named": {digest: {"0": "light"}}})  # the page tells
    assert explorer.names == {0: "light"}
    for names, told in (({6: "hat"}, "no dimension 6"), ({1: " "}, "1 to 40"), ({1: 7}, "1 to 40")):
        with pytest.raises(InputError, match=told):
            explorer.names = names
    assert explorer.names == {0: "light"}
