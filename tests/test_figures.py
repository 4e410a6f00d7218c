"""Figures say what they show; here their content, elsewhere human eyes."""

import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter

from vae_lib import figures
from vae_lib.errors import InputError
from vae_lib.latent import decode_images, traverse
from vae_lib.pretrained.gallery import make_gallery


def test_a_mosaic_holds_every_image_in_reading_order():
    images = np.stack([np.full((4, 4, 3), 10 * i, np.uint8) for i in range(5)])
    sheet = figures.mosaic(images, columns=3, gap=1)
    assert sheet.shape == (11, 16, 3)
    assert [sheet[3, 3, 0], sheet[3, 8, 0], sheet[3, 13, 0]] == [0, 10, 20]
    assert [sheet[8, 3, 0], sheet[8, 8, 0], sheet[8, 13, 0]] == [30, 40, 255]


def test_traversals_are_sorted_by_kl_and_labelled_with_their_nats(model):
    kl = [0.5, 3.25, 0.0, 1.0, 2.0, 0.1]
    figure = figures.traversals(model, kl, dimensions=3, values=(-2, 0, 2))
    axes = figure.axes[0]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["z$_{1}$  3.25 nats", "z$_{4}$  2.00 nats", "z$_{3}$  1.00 nats"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["-2", "0", "+2"]
    first_row = decode_images(model, traverse(torch.zeros(6), 1, (-2, 0, 2)))
    shown = np.asarray(axes.images[0].get_array())
    assert (shown[2:66, 2 + 66 : 2 + 66 + 64] == first_row[1]).all()


def test_a_traversals_rows_can_be_named_and_no_name_is_cut_off(model):
    kl, names = [0.5, 3.25, 0.0, 1.0, 2.0, 0.1], [f"something long about {i}" for i in range(6)]
    figure = figures.traversals(model, kl, dimensions=6, names=names)
    labels = figure.axes[0].get_yticklabels()
    assert [text.get_text().splitlines()[1] for text in labels[:2]] == [names[1], names[4]]
    figure.draw_without_rendering()
    assert all(text.get_window_extent().x0 >= 0 for text in labels)
    with pytest.raises(InputError, match="2 names for a model of 6"):
        figures.traversals(model, kl, names=names[:2])


def test_a_notebook_shows_every_figure_as_a_picture(model, faces):
    kl = [1.0] * 6
    history = [
        {"kind": "epoch", "epoch": 1, "split": "valid", "excess": 1, "kl": 1, "psnr": 1},
    ]
    for figure in (
        figures.traversals(model, kl),
        figures.samples(model),
        figures.reconstructions(model, faces.images[:3]),
        figures.loss_curves(history),
        figures.interpolation(model, torch.eye(6)[0], torch.eye(6)[1]),
    ):
        shown, _ = DisplayFormatter().format(figure)
        assert shown["image/png"].startswith(b"\x89PNG")


def test_kl_of_another_model_is_refused(model):
    with pytest.raises(InputError, match="3 KL values for a model of 6"):
        figures.traversals(model, [1, 2, 3])


def test_loss_curves_show_both_splits_in_their_units():
    history = [
        {"kind": "epoch", "epoch": e, "split": s, "excess": 10 / e, "kl": e, "psnr": e}
        for e in (1, 2)
        for s in ("train", "valid")
    ]
    figure = figures.loss_curves([{"kind": "step", "step": 1}, *history])
    assert len(figure.axes) == 3
    assert [len(axes.lines) for axes in figure.axes] == [2, 2, 2]
    assert figure.axes[0].lines[1].get_ydata().tolist() == [10, 5]
    units = [axes.get_ylabel() for axes in figure.axes]
    assert "nats" in units[0]
    assert "nats" in units[1]
    assert "dB" in units[2]
    with pytest.raises(InputError, match="no finished epoch"):
        figures.loss_curves([{"kind": "step", "step": 1}])


def test_reconstructions_stand_under_their_originals(model, faces):
    figure = figures.reconstructions(model, faces.images[:3])
    shown = np.asarray(figure.axes[0].images[0].get_array())
    assert (shown[2:66, 2:66] == faces.images[0]).all()
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["original", "reconstruction"]


def test_an_interpolation_tells_how_short_its_codes_get(model):
    a, b = torch.eye(6)[0] * 3, torch.eye(6)[1] * 3
    labels = [t.get_text() for t in figures.interpolation(model, a, b).axes[0].get_yticklabels()]
    assert labels == ["linear\n‖z‖ ≥ 2.1", "spherical\n‖z‖ ≥ 3.0"]


def results(betas=(1, 4), seeds=2):
    return [
        {
            "beta": beta,
            "seed": seed,
            "test": {"kl": 100 / beta + seed, "excess": 200 + 10 * beta, "psnr": 23 - beta},
            "kl_per_dimension": [0.001, 3.0 / beta, 1.0],
        }
        for beta in betas
        for seed in range(seeds)
    ]


def test_rate_distortion_places_every_run_at_its_kl_and_linear_ones_too():
    figure = figures.rate_distortion(results(), [{"kl": 50, "psnr": 20.5}, {"kl": 9, "psnr": 18}])
    for axes, measure in zip(figure.axes, ("excess", "psnr"), strict=True):
        points = np.concatenate([dots.get_offsets() for dots in axes.collections])
        expected = [(r["test"]["kl"], r["test"][measure]) for r in results()]
        np.testing.assert_allclose(points, expected)
    np.testing.assert_allclose(figure.axes[1].lines[-1].get_xydata(), [[9, 18], [50, 20.5]])
    with pytest.raises(InputError, match="no results"):
        figures.rate_distortion([])


def test_the_kl_spectrum_is_sorted():
    figure = figures.kl_spectrum(results())
    assert figure.axes[0].lines[0].get_ydata().tolist() == [3.0, 1.0, 0.001]


def test_the_heat_map_shows_probe_best_and_strongest_dimensions(model, faces):
    gallery = make_gallery(model, faces)
    axes = figures.score_heatmap({"one": gallery, "two": gallery}, dimensions=3).axes[0]
    order = np.argsort(-gallery.scores.probe)
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shown[:, 0], gallery.scores.probe[order])
    np.testing.assert_allclose(shown[:, 1], gallery.scores.best[order])
    strongest = int(gallery.kl.argmax())
    np.testing.assert_allclose(shown[:, 2], gallery.scores.per_dimension[order, strongest])


def test_mutual_information_is_sorted_by_kl():
    matrix = np.arange(6.0).reshape(3, 2)
    axes = figures.mutual_information({"m": matrix}, ["yaw", "smile"], {"m": [0, 2, 1]}).axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), matrix[[1, 2, 0]])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["yaw", "smile"]


def test_scores_against_beta_show_mean_and_spread_of_the_seeds():
    runs = [{"beta": b, "mig": m} for b, m in ((1, 0.1), (1, 0.3), (4, 0.5))]
    axes = figures.scores_against_beta(runs, {"mig": "MIG"}).axes[0]
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[1, 0.2], [4, 0.5]])
    (bars,) = axes.containers
    (low, high) = bars.lines[2][0].get_segments()[0][:, 1]
    assert high - low == pytest.approx(2 * np.std([0.1, 0.3], ddof=1))
