"""Figures of single lessons: their content here, their looks by human eyes."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from vae_lib.config import OBJECTIVES
from vae_lib.course import figures as lesson_figures
from vae_lib.course.pictures import careless_photo, morph
from vae_lib.course.toy import ToyModel
from vae_lib.errors import InputError


def test_power_is_found_at_the_frequency_it_was_put():
    columns = np.arange(64)
    wave = 0.5 * np.sin(2 * np.pi * 7 * columns / 64)
    images = np.tile(wave, (3, 64, 1))
    frequency, power = lesson_figures.power_by_frequency(images)
    assert frequency.tolist() == list(range(1, 32))
    assert power[frequency == 7].item() == pytest.approx(np.square(images).mean())
    assert power[frequency != 7].max() < 1e-12


def test_power_of_colour_images_is_that_of_their_grey():
    images = np.random.default_rng(0).random((2, 16, 16, 3))
    _, power = lesson_figures.power_by_frequency(images)
    assert np.allclose(power, lesson_figures.power_by_frequency(images.mean(-1))[1])
    with pytest.raises(InputError, match="squares"):
        lesson_figures.power_by_frequency(np.zeros((2, 16, 8, 3)))


def test_kl_bars_are_sorted_and_survive_zeros():
    axes = lesson_figures.kl_bars({"a": [0.5, 0.0, 2.0]}).axes[0]
    assert axes.lines[0].get_ydata().tolist() == [2.0, 0.5, 1e-6]


def test_averages_of_an_estimator_get_closer_to_the_gradient():
    draws = 3 + torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    figure = lesson_figures.gradient_estimators({"plain": draws, "double": 2 * draws - 3}, 3.0)
    plain, double = (line.get_ydata() for line in figure.axes[1].lines)
    assert plain[0] == pytest.approx(1, rel=0.05)
    assert plain[-1] == pytest.approx(1000**-0.5, rel=0.5)
    assert np.allclose(double, 2 * plain)


def test_the_bound_is_drawn_with_its_gap():
    xs = torch.linspace(0, 1, 5)
    figure = lesson_figures.bound_and_evidence(xs, xs, xs - 0.25)
    assert np.allclose(figure.axes[1].lines[0].get_ydata(), 0.25)


def test_the_toy_shows_decoder_evidence_and_posterior():
    figure = lesson_figures.toy_model(ToyModel(lambda z: z), 0.5, 0.4, 0.2)
    xs, density = figure.axes[1].lines[0].get_data()
    middle = np.abs(np.asarray(xs)) < 1.5
    expected = torch.distributions.Normal(0, 1.04**0.5).log_prob(torch.as_tensor(xs)).exp()
    assert np.allclose(np.asarray(density)[middle], expected.numpy()[middle], atol=1e-6)
    assert len(figure.axes[2].lines) == 3


def test_training_is_shown_above_the_floor(model, faces):
    history = [
        {"kind": "step", "step": step, "reconstruction": 100 / step, "kl": step}
        for step in (1, 2, 3)
    ]
    training = SimpleNamespace(
        history=history,
        model=model.train(),
        step=3,
        steps_per_epoch=3,
        config=SimpleNamespace(epochs=2, objective="sigma-vae"),
        objective=OBJECTIVES["sigma-vae"],
    )
    with pytest.raises(InputError, match=r"sigma-vae, whose reconstruction .* has no floor"):
        lesson_figures.live_training(training, faces.images[:8], floor=20.0)
    training.objective = OBJECTIVES["beta-vae"]
    figure = lesson_figures.live_training(training, faces.images[:8], floor=20.0)
    assert figure.axes[0].lines[0].get_ydata().tolist() == pytest.approx([80, 30, 100 / 3 - 20])
    assert figure.axes[1].lines[0].get_ydata().tolist() == [1, 2, 3]
    assert (np.asarray(figure.axes[2].images[0].get_array())[2:66, 2:66] == faces.images[0]).all()
    figure.canvas.draw()


def test_pca_is_drawn_with_the_models_it_measures():
    axes = lesson_figures.yardstick([1, 4], [12.0, 15.0], {"vae": 14.0}).axes[0]
    assert axes.lines[0].get_ydata().tolist() == [12.0, 15.0]
    assert axes.lines[1].get_ydata()[0] == 14.0


def test_spectra_have_one_line_for_each_set():
    rng = np.random.default_rng(0)
    sets = {name: rng.integers(0, 255, (2, 16, 16, 3)) for name in ("a", "b")}
    assert len(lesson_figures.spectra(sets).axes[0].lines) == 2


def test_the_variance_of_the_aggregate_posterior_is_drawn_in_two_parts():
    generator = np.random.default_rng(0)
    mu = generator.normal(size=(500, 4)) * [0.1, 0.9, 0.5, 0.0]
    logvar = np.log(np.tile([0.99, 0.2, 0.7, 1.0], (500, 1)))
    parts = lesson_figures.aggregate_posterior(mu, logvar, [0.1, 3.0, 1.0, 0.0]).axes[0]
    between, within = (np.array([bar.get_height() for bar in c]) for c in parts.containers)
    assert np.allclose(between, mu.var(0)[[1, 2, 0, 3]])
    assert np.allclose(within, [0.2, 0.7, 0.99, 1.0])


def test_the_correlations_are_those_of_draws_and_not_of_means():
    generator = np.random.default_rng(0)
    common = generator.normal(size=(4_000, 1))
    mu = np.concatenate([common, 0.1 * common], axis=1)
    logvar = np.log(np.tile([0.01, 0.99], (4_000, 1)))
    draws = mu + np.exp(logvar / 2) * generator.normal(size=mu.shape)
    shown = lesson_figures.aggregate_posterior(mu, logvar, [3.0, 0.1]).axes[1].images[0].get_array()
    assert shown[0, 1] == pytest.approx(np.corrcoef(draws.T)[0, 1], abs=0.04)
    assert shown[0, 1] < 0.2


def test_lengths_stand_beside_the_chi_density():
    from scipy.stats import chi

    axes = lesson_figures.lengths({"codes": [3.0, 4.0, 5.0]}, latent_size=16).axes[0]
    r, density = axes.lines[0].get_data()
    assert np.allclose(density, chi.pdf(r, 16), atol=1e-9)


def test_cosines_are_written_into_their_squares():
    panels = {"a": np.array([[1, -0.5], [-0.5, 1]]), "b": np.eye(3)}
    figure = lesson_figures.cosines(["one_two", "x"], panels, [["p", "q", "r"]])
    first, second = figure.axes[:2]
    assert [t.get_text() for t in first.texts] == ["1.0", "−0.5", "−0.5", "1.0"]
    assert [t.get_text() for t in first.get_xticklabels()] == ["one two", "x"]
    assert [t.get_text() for t in second.get_yticklabels()] == ["p", "q", "r"]


def test_fidelity_shows_every_face_once():
    histogram, both = lesson_figures.fidelity([20.0, 22.0, 27.0], [0.5, 0.6, 0.9]).axes
    assert sum(bar.get_height() for bar in histogram.patches) == 3
    assert both.lines[0].get_ydata().tolist() == [0.5, 0.6, 0.9]


def test_a_morph_is_a_gif_that_comes_to_rest_within_five_seconds(tmp_path):
    colours = np.arange(6, dtype=np.uint8)[:, None, None, None] * 40
    images = np.broadcast_to(colours, (6, 8, 8, 3)).copy()
    film = morph(images, side=32)
    film.save(tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as opened:
        assert (opened.format, opened.n_frames, opened.size) == ("GIF", 6, (32, 32))
        plays = 1 + opened.info["loop"]
        seconds = 0
        for frame in range(6):
            opened.seek(frame)
            seconds += opened.info["duration"] / 1000
            middle = np.asarray(opened.convert("RGB"))[16, 16].astype(int)
            assert np.abs(middle - int(images[frame, 0, 0, 0])).max() <= 2
    assert plays == 2
    assert plays * seconds <= 5
    with Image.open(io.BytesIO(morph(images, plays=1).gif)) as opened:
        assert "loop" not in opened.info
    assert film._repr_mimebundle_()["image/gif"].startswith("R0lGOD")  # "GIF8" in base 64
    with pytest.raises(InputError, match="two images"):
        morph(images[:1])


def test_a_careless_photo_tells_where_its_points_went():
    face = np.full((64, 64, 3), 90, np.uint8)
    points = [(23.5, 32.5), (40.5, 32.5)]
    for x, y in points:
        face[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2] = 255
    photo, moved = careless_photo(face, points, degrees=25, zoom=2)
    assert photo.size == (256, 192)
    pixels = np.asarray(photo)
    left, right = (np.array(point) * photo.size for point in moved)
    for x, y in (left, right):
        assert pixels[int(y), int(x)].min() > 240
    across = right - left
    assert np.hypot(*across) == pytest.approx(2 * 17)
    assert np.degrees(np.arctan2(across[1], across[0])) == pytest.approx(25)


def test_a_careless_photo_can_be_aligned_again():
    from vae_lib.explorer import EYES, align_photo

    rows, columns = np.mgrid[:64, :64]
    smooth = 127 + 80 * np.sin(rows / 9) * np.cos(columns / 7)
    face = np.repeat(smooth[..., None], 3, 2).astype(np.uint8)
    photo, eyes = careless_photo(face, EYES)
    again = align_photo(photo, eyes).astype(float)
    assert np.abs(again - face)[4:-4, 4:-4].mean() < 3


def test_tangents_touch_the_curve_with_the_slope_of_the_price():
    variances, betas = np.array([50.0, 20.0, 3.0, 0.5]), (1.0, 4.0)
    curve, bars = lesson_figures.price_of_a_nat(variances, betas).axes
    path, *marks = curve.lines
    rates, distortions = path.get_data()
    for i, beta in enumerate(betas):
        tangent, point = marks[2 * i : 2 * i + 2]
        (x,), (y,) = point.get_data()
        (left, right), (high, low) = tangent.get_data()
        assert (low - high) / (right - left) == pytest.approx(-beta)
        # The best of the whole curve at this price, found without the formula.
        assert y + beta * x == pytest.approx(np.min(distortions + beta * rates), abs=1e-2)
        assert bars.lines[i].get_ydata().sum() == pytest.approx(x)


def test_traversals_stand_side_by_side_strongest_first(model):
    kl = np.linspace(1, 2, model.config.latent_size)
    figure = lesson_figures.traversals_beside({"a": model, "b": model}, {"a": kl, "b": kl[::-1]}, 2)
    first, second = figure.axes
    last = model.config.latent_size - 1
    assert [t.get_text() for t in first.get_yticklabels()] == [
        f"z$_{{{last}}}$\n2.0 nats",
        f"z$_{{{last - 1}}}$\n{kl[-2]:.1f} nats",
    ]
    assert second.get_yticklabels()[0].get_text().startswith("z$_{0}$")
    assert second.get_title() == "b"


def test_codes_meet_a_factor_in_a_table_of_counts():
    rng = np.random.default_rng(0)
    values = rng.random(500)
    figure = lesson_figures.codes_against_factor(
        {"knows": values, "guesses": rng.random(500)}, values, "hair_colour", bins=5
    )
    table = np.asarray(figure.axes[0].collections[0].get_array()).reshape(5, 5)
    assert table.sum() == 500
    assert (np.diag(table) == np.histogram(values, bins=5)[0]).all()
    assert figure.axes[0].get_ylabel() == "hair colour"
