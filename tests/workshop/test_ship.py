"""What is put into the box: rounded weights with their own measures, gallery, card, image ids."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.conftest import SMALL
from vae_lib import cli, pretrained
from vae_lib.checkpoint import load_weights, save_weights
from vae_lib.errors import InputError
from vae_lib.evaluation import evaluate
from vae_lib.pretrained import (
    image_ids,
    load_gallery,
    load_model,
    load_pretrained,
    pretrained_names,
)
from vae_lib.training import TrainConfig, train
from workshop.cards import card
from workshop.ship import fit_codes, ship


@pytest.fixture
def box(tmp_path, monkeypatch):
    for name, file in {"FOLDER": "", "SUMS": "sha256.json", "IDS": "celeba_ids.npz"}.items():
        monkeypatch.setattr(pretrained, name, tmp_path / "box" / file)
    return tmp_path / "box"


def test_a_shipped_model_comes_with_everything_measured_on_its_float16_weights(
    tmp_path, faces, box
):
    train(TrainConfig(epochs=1, beta=2, model=SMALL), faces, tmp_path / "run", device="cpu")
    text = ship(tmp_path / "run" / "vae_synthetic_beta_2.pth", faces, "abc1234", "vae_small")
    model = load_pretrained("vae_small")
    metadata = model.metadata
    test = faces.split("test").images
    assert metadata["test"] == evaluate(model, test, ssim=True).flat()
    assert (metadata["commit"], metadata["faces"]) == ("abc1234", "synthetic")
    assert list(json.loads((box / "sha256.json").read_text())) == ["vae_small"]
    trained = load_weights(tmp_path / "run" / "vae_synthetic_beta_2.pth")
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-3, atol=1e-6)
    gallery = load_gallery("vae_small")
    assert gallery.latent_size == 6
    content = (box / "vae_small.gallery.npz").read_bytes()
    replace(gallery, code_mean=None).save(box / "vae_small.gallery.npz")
    assert fit_codes(replace(faces, name="celeba")) == []
    assert fit_codes(faces) == ["vae_small"]
    assert (box / "vae_small.gallery.npz").read_bytes() == content
    for fact in ("# vae_small", "abc1234", f"{metadata['test']['psnr']:.2f} dB", "--beta 2"):
        assert fact in text
    assert (box / "vae_small.md").read_text() == text


@pytest.mark.parametrize("name", pretrained_names())
def test_every_card_says_what_the_files_beside_it_say(name):
    model = load_pretrained(name)
    metadata = model.metadata
    text = card(name, metadata, load_gallery(name), model.config.latent_size)
    assert (pretrained.FOLDER / f"{name}.md").read_text() == text
    assert "Nobody has looked" not in text


def test_the_ids_are_those_of_the_images_that_were_used():
    ids = image_ids()
    assert {split: len(names) for split, names in ids.items()} == {
        "train": 49_820,
        "valid": 6_111,
        "test": 3_147,
    }
    assert set(load_gallery("vae_celeba").ids) <= set(ids["test"])
    # CelebA's official partition: 1–162,770 train, to 182,637 valid, to 202,599 test.
    for split, low, high in (
        ("train", 1, 162770),
        ("valid", 162771, 182637),
        ("test", 182638, 202599),
    ):
        numbers = [int(name[:6]) for name in ids[split]]
        assert low <= min(numbers)
        assert max(numbers) <= high
        assert len(set(numbers)) == len(numbers)


def test_faces_can_be_picked_by_name(faces):
    chosen = faces.named(faces.ids[[5, 3]])
    np.testing.assert_array_equal(chosen.images, faces.images[[3, 5]])
    with pytest.raises(InputError, match="Only 1 of the 2 images"):
        faces.named([faces.ids[0], "000001.jpg"])


def test_a_model_is_found_by_name_or_by_path(tmp_path, model):
    assert load_model("vae_celeba").metadata["faces"] == "celeba"
    save_weights(tmp_path / "own.pth", model, {"faces": "mine"})
    assert load_model(tmp_path / "own.pth").metadata["faces"] == "mine"
    with pytest.raises(InputError, match="no model 'vae_nothing' in the box"):
        load_model("vae_nothing")
    with pytest.raises(InputError, match="Could not read"):
        load_model(tmp_path / "none.pth")


@pytest.mark.skipif("CELEBA_ROOT" not in os.environ, reason="set CELEBA_ROOT to real faces")
def test_evaluate_by_name_measures_the_card_again(capsys):
    assert cli.main(["evaluate", "vae_celeba", "--card-images"]) == 0
    told = dict(
        line.split() for line in capsys.readouterr().out.splitlines() if len(line.split()) == 2
    )
    metadata = load_pretrained("vae_celeba").metadata
    for measure in ("reconstruction", "excess", "kl", "psnr", "ssim"):
        found = float(told[measure].replace(",", ""))
        assert found == pytest.approx(metadata["test"][measure], rel=1e-3)


@pytest.mark.parametrize(
    "name", ["../evil", "vae_/../x", "/tmp/vae_x", "vae_", "mine", "vae_a b", ".."]
)
def test_a_name_that_is_no_name_is_refused_before_anything_is_measured(
    tmp_path, model, faces, box, name
):
    weights = tmp_path / "vae_small.pth"
    save_weights(weights, model, {})
    with pytest.raises(InputError, match="cannot be a model's name"):
        ship(weights, faces, "abc", name)
    assert [path.name for path in tmp_path.iterdir()] == ["vae_small.pth"]


def test_whatever_the_workshop_can_do_is_a_command(capsys):
    from inspect import getmembers, isfunction

    from workshop import __main__ as workshop

    own = [f for _, f in getmembers(workshop, isfunction) if f.__module__ == workshop.__name__]
    with pytest.raises(SystemExit):
        workshop.main(["--help"])
    listed = capsys.readouterr().out
    assert len(own) > 6
    assert all(f"• {f.__name__} " in listed for f in own if f is not workshop.main)
