"""What a run is called comes from its objective."""

from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import SMALL
from vae_lib import explorer, figures
from vae_lib.checkpoint import save_weights
from vae_lib.cli import Train
from vae_lib.config import setting_of
from vae_lib.errors import InputError
from vae_lib.pretrained.gallery import make_gallery
from vae_lib.training.config import TrainConfig
from workshop.cards import card, options

RECIPES = {
    "β = 4": TrainConfig(beta=4),
    "β = 0.5": TrainConfig(beta=0.5, batch_size=32, flips=False),
    "β-TCVAE, β = 6": TrainConfig(objective="beta-tcvae", beta=6, learning_rate=2e-3),
    "C = 20 nats": TrainConfig(objective="capacity", capacity=20, gamma=30, rise=1.0, seed=7),
    "Gaussian, σ = 0.05": TrainConfig(objective="gaussian", parameters={"sigma": 0.05}),
    "σ-VAE, β = 2": TrainConfig(objective="sigma-vae", beta=2),
}


def result(config: TrainConfig) -> dict:
    return {
        "identity": config.flat(),
        config.setting.parameter: config.setting.value,
        "seed": config.seed,
        "test": {"kl": 10 + config.setting.value, "excess": 200, "psnr": 20},
        "kl_per_dimension": [2.0, 0.5],
    }


@pytest.mark.parametrize("label", RECIPES)
def test_a_run_is_called_by_its_objective_wherever_it_is_shown(label, model, faces, tmp_path):
    config = RECIPES[label]
    assert setting_of(config.recipe()).label == setting_of(result(config)).label == label
    metadata = {"faces": "synthetic", "recipe": config.recipe(), "train_images": 160}
    save_weights(tmp_path / "mine.pth", model, metadata)
    assert explorer.explore(tmp_path / "mine.pth").labels == [f"mine, {label}"]
    test = dict.fromkeys(("reconstruction", "excess", "kl", "psnr", "ssim"), 1.0)
    test |= {"images": 40, "active_01": 2, "active_001": 3}
    facts = dict.fromkeys(("commit", "processor", "threads", "torch"), "some")
    text = card("mine", metadata | facts | {"test": test, "valid_images": 40},
                make_gallery(model, faces), 6)  # fmt: skip
    assert f"6 latent dimensions, {label}, for" in text
    assert options(config.recipe()) in text


@pytest.mark.parametrize("label", RECIPES)
def test_a_cards_command_trains_the_model_again(label):
    import tyro

    config = RECIPES[label]
    told = tyro.cli(Train, args=options(config.recipe()).split(), config=())
    assert told.config == config


def test_runs_of_several_objectives_stand_in_one_figure_under_their_own_names():
    results = [result(config) for config in RECIPES.values()]
    figure = figures.rate_distortion(results)
    shown = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert sorted(shown) == sorted(RECIPES)
    lines = [line.get_xdata().tolist() for line in figure.axes[0].lines]
    assert sorted(map(len, lines)) == [1, 1, 1, 1, 2]  # a line for each objective
    spectrum = figures.kl_spectrum(results)
    assert set(RECIPES) <= {text.get_text() for text in spectrum.legends[0].get_texts()}


def test_scores_against_beta_are_of_beta_vaes_alone():
    with pytest.raises(InputError, match="against β"):
        figures.scores_against_beta([{"capacity": 20, "mig": 0.1}], {"mig": "MIG"})


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"beta": "4"},
        {"beta": np.nan},
        {"objective": "capacity", "beta": 4},
        {"objective": ["capacity"]},
        {"objective": "vae", "beta": 1},
        {"identity": 3},
        None,
    ],
)
def test_a_recipe_that_names_no_setting_is_told_of(recipe, model, tmp_path):
    with pytest.raises(InputError):
        setting_of(recipe)
    save_weights(tmp_path / "mine.pth", model, {"recipe": recipe})
    assert explorer.explore(tmp_path / "mine.pth").labels == ["mine"]


@pytest.mark.parametrize(
    "edit", [{"test": {"kl": "many"}}, {"kl_per_dimension": ["a"]}, {"identity": {}}, {"test": 3}]
)
def test_figures_of_edited_results_are_refused_in_a_sentence(edit):
    edited = result(replace(TrainConfig(), model=SMALL)) | edit
    draw = figures.kl_spectrum if "kl_per_dimension" in edit else figures.rate_distortion
    with pytest.raises(InputError, match=r"recipe|no results of vae sweep"):
        draw([edited])
