"""The explorer without a browser: Python's two answers, and what explorer.mjs computes in Node."""

import gc
import json
import math
import os
import shutil
import subprocess
import time
import tracemalloc
import weakref
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vae_lib.checkpoint import save_weights
from vae_lib.errors import InputError
from vae_lib.explorer import (
    EYES,
    OPENING,
    PHOTO_SIDE,
    align_photo,
    decoder_weights,
    explore,
    read_photo,
    seeded_normal,
)
from vae_lib.faces.synthetic import FACTORS, render
from vae_lib.latent import decode_images, encode_images
from vae_lib.model import VAE, VAEConfig
from vae_lib.pretrained import load_gallery, load_pretrained, pretrained_names

HERE = Path(__file__).parent
ODD = VAEConfig(image_size=24, channels=(5, 7, 3), latent_size=9)  # nothing divides evenly


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


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def portrait(width: int = 300, height: int = 400, eyes=((100, 160), (190, 150))) -> Image.Image:
    """A grey photo with two bright dots for eyes."""
    y, x = np.mgrid[:height, :width]
    light = sum(np.exp(-((x - ex) ** 2 + (y - ey) ** 2) / 40) for ex, ey in eyes)
    pixels = (60 + 190 * light.clip(0, 1)).astype(np.uint8)
    return Image.fromarray(np.repeat(pixels[..., None], 3, axis=2))


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
    reply, (first, second, pixels) = ask(explorer, {"kind": "encode", "what": "face", "id": name})
    image = faces.images[faces.ids == name]
    assert reply["id"] == name
    assert pixels == image.tobytes()
    for subject, code in zip([model, other], [first, second], strict=True):
        mu, _ = encode_images(subject, np.array(image))
        np.testing.assert_array_equal(np.frombuffer(code, "<f4"), mu[0])
    reply, _ = ask(explorer, {"kind": "encode", "what": "face", "number": 3})
    assert reply["id"] in faces.split("test").ids
    assert "nobody.jpg" in refusal(explorer, {"kind": "encode", "what": "face", "id": "nobody.jpg"})


def test_a_face_without_a_dataset_is_refused(model):
    assert "faces=" in refusal(explore(model), {"kind": "encode", "what": "face", "id": "a.jpg"})


def test_true_factors_are_rendered_and_encoded(model):
    values = [(factor.low + factor.high) / 2 for factor in FACTORS]
    values[-1] = 1.0
    explorer = explore(model)
    _, (code, pixels) = ask(explorer, {"kind": "encode", "what": "factors", "values": values})
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
    reply, (code, pixels) = ask(explorer, {"kind": "encode", "what": "photo", "eyes": eyes})
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


def test_alignment_keeps_what_is_aligned_already():
    """CelebA's own framing: a 178x218 picture, its eyes where CelebA has them, is only cropped."""
    y, x = np.mgrid[:218, :178]
    pixels = np.stack([x, y, (x + y) / 2], -1).astype(np.uint8)
    eyes = [[70 / 178, 111.5 / 218], [108.5 / 178, 111.5 / 218]]
    found = align_photo(Image.fromarray(pixels), eyes)
    box = (15, 35, 163, 183)
    expected = Image.fromarray(pixels).crop(box).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.abs(found.astype(int) - np.asarray(expected)).max() <= 2


def test_beyond_the_border_the_edge_goes_on():
    found = align_photo(portrait(), [[0.1, 0.3], [0.4, 0.25]])
    assert found.shape == (64, 64, 3)
    assert found.min() >= 55  # no black corners


def test_two_clicks_anywhere_cost_little_or_are_answered_with_a_sentence():
    photo = read_photo(encoded(portrait(1600, 1600), "JPEG"))
    places = [0.0, 0.02, 0.3, 0.5, 0.7, 0.98, 1.0]
    spots = [(x, y) for x in places for y in places]
    pairs = [(a, b) for a in spots[::3] for b in spots[1::4]]
    tracemalloc.start()
    slowest, refused = 0.0, []
    for eyes in [*pairs, ((0, 0), (1, 1)), ((0, 1), (1, 0)), ((0.5, 0.5), (0.503, 0.5))]:
        begun = time.perf_counter()
        try:
            assert align_photo(photo, eyes).shape == (64, 64, 3)
        except InputError as error:
            refused.append(str(error))
        slowest = max(slowest, time.perf_counter() - begun)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 100e6
    assert slowest < 1
    assert 0 < len(refused) < len(pairs)
    assert all("mark" in sentence.lower() for sentence in refused)


def test_a_picture_that_would_be_mostly_made_up_is_refused():
    photo = portrait(1600, 1600)
    with pytest.raises(InputError, match="made up"):
        align_photo(photo, [[0, 0], [1, 0]])
    with pytest.raises(InputError, match="28% of the face"):
        align_photo(photo, [[0.25, 0.5], [0.75, 0.5]])


@pytest.mark.parametrize(
    "eyes",
    [[[0.5, 0.5], [0.5, 0.5]], [[-1, 0.5], [0.5, 0.5]], [[math.nan, 0.5], [0.5, 0.5]]],
)
def test_eyes_that_cannot_be_are_refused(eyes):
    with pytest.raises(InputError, match="mark"):
        align_photo(portrait(), eyes)


def test_a_sideways_photo_is_turned_upright():
    lying = portrait().transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # what a phone writes: turn by 90° clockwise to see it upright
    found = read_photo(encoded(lying, "JPEG", exif=exif, quality=95))
    assert found.size == (300, 400)
    assert np.abs(np.asarray(found).astype(int) - np.asarray(portrait())).mean() < 3


def test_a_photo_with_a_damaged_exif_is_read_all_the_same():
    exif = Image.Exif()
    exif[0x010F], exif[0x011A] = "a camera", 72.0
    exif.get_ifd(0x8769)[0x829A] = 0.01
    whole, tags = encoded(portrait(), "JPEG", exif=exif), exif.tobytes()
    start = whole.index(tags[6:20])
    for at in range(start, start + len(tags) - 6):
        assert read_photo(whole[:at] + b"\xfe" + whole[at + 1 :]).size == (300, 400)


def test_transparent_parts_turn_white():
    photo = portrait().convert("RGBA")
    photo.putalpha(Image.new("L", photo.size, 0))
    assert np.asarray(read_photo(encoded(photo, "PNG"))).min() == 255


def test_fifty_megapixels_of_jpeg_are_read_small():
    data = encoded(Image.new("RGB", (8200, 6200), "teal"), "JPEG", quality=50)
    found = read_photo(data)
    assert max(found.size) <= PHOTO_SIDE
    assert abs(found.width / found.height - 8200 / 6200) < 0.01


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
    assert first._models[0] is second._models[0] is not model
    shared = weakref.ref(first._models[0])
    first.close()
    assert shared() is not None
    second.close()
    gc.collect()
    assert shared() is None


def test_a_cell_that_is_run_again_closes_what_nobody_sees_any_more(model, monkeypatch):
    run = {"cell": "c1", "run": "1"}
    monkeypatch.setattr("vae_lib.explorer._running_cell", lambda: (run["cell"], run["run"]))

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
    explorer = explore({"six": model, "nine": VAE(ODD)})
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


# JavaScript and Python, side by side


def node_program() -> str:
    """Node.js; without it tests skip, in CI they fail."""
    program = shutil.which("node")
    if program is None:
        missing = pytest.fail if os.environ.get("VAE_REQUIRE_BROWSER") == "1" else pytest.skip
        missing("There is no Node.js here; install it with `apt install nodejs`.")
    return program


def node(script: str, folder: Path) -> str:
    """Run a module that imports explorer.mjs."""
    program = node_program()
    module = (HERE.parent / "vae_lib" / "explorer.mjs").as_uri()
    file = folder / "script.mjs"
    file.write_text(f'import * as explorer from "{module}";\nimport fs from "node:fs";\n{script}')
    ran = subprocess.run(
        [program, str(file)], capture_output=True, text=True, cwd=folder, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_browser_sides_own_tests_pass():
    program = node_program()
    ran = subprocess.run(
        [program, "--test", str(HERE / "explorer_test.mjs")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_random_draws_are_the_same_in_both_languages(tmp_path):
    seeds = [0, 1, 7, 12345, 2**31, 2**32 - 1]
    script = f"""
      const draws = {seeds}.map((seed) => Array.from(explorer.seededNormal(seed, 129)));
      console.log(JSON.stringify(draws));"""
    for seed, found in zip(seeds, json.loads(node(script, tmp_path)), strict=True):
        np.testing.assert_array_equal(np.array(found, np.float32), seeded_normal(seed, 129))


def test_random_draws_are_normal():
    from scipy.stats import kstest

    assert kstest(seeded_normal(3, 20_000), "norm").pvalue > 0.01
    assert abs(np.corrcoef(seeded_normal(1, 20_000), seeded_normal(2, 20_000))[0, 1]) < 0.03


def odd_models() -> dict[str, VAE]:
    torch.manual_seed(0)
    models = {}
    for name, config in {"odd": ODD, "tiny": VAEConfig(4, (6, 2), 3)}.items():
        model = VAE(config)
        with torch.no_grad():
            for _ in range(3):
                model(torch.rand(16, 3, config.image_size, config.image_size))
            for value in model.decoder[-1].parameters():
                value *= 20  # black and white, not all of one grey
        models[name] = model.eval()
    return models


@pytest.mark.parametrize("name", [*pretrained_names(), "odd", "tiny"])
def test_javascript_decodes_what_pytorch_decodes(name, tmp_path):
    model = odd_models().get(name) or load_pretrained(name)[0]
    size, side = model.config.latent_size, model.config.image_size
    z = np.stack([np.zeros(size, np.float32), *(seeded_normal(i, size) for i in range(7))])
    if name in pretrained_names():
        gallery = load_gallery(name)
        z = np.concatenate([z, gallery.mu[:8], 3 * np.sign(gallery.mu[:4])])
    (tmp_path / "half").write_bytes(decoder_weights(model).tobytes())
    (tmp_path / "z").write_bytes(z.astype("<f4").tobytes())
    spec = {"latent_size": size, "image_size": side, "channels": model.config.channels}
    script = f"""
      const decode = explorer.createDecoder({json.dumps(spec)}, fs.readFileSync("half"));
      const z = new Float32Array(new Uint8Array(fs.readFileSync("z")).buffer);
      const frames = [];
      for (let at = 0; at < z.length; at += {size})
        frames.push(Buffer.from(decode(z.subarray(at, at + {size})).buffer));
      fs.writeFileSync("frames", Buffer.concat(frames));"""
    node(script, tmp_path)
    frames = np.frombuffer((tmp_path / "frames").read_bytes(), np.uint8)
    frames = frames.reshape(len(z), side, side, 4)
    expected = decode_images(model, z)
    assert np.ptp(expected) > 100  # there is something to see
    assert (frames[..., 3] == 255).all()
    assert np.abs(frames[..., :3].astype(int) - expected).max() <= 2


def test_a_gif_of_the_browser_opens_in_pillow(tmp_path):
    from vae_lib.faces.synthetic import synthetic_faces

    images, _ = synthetic_faces(5, seed=0)
    rgba = np.concatenate([images, np.full((5, 64, 64, 1), 255, np.uint8)], axis=-1)
    (tmp_path / "rgba").write_bytes(rgba.tobytes())
    script = """
      const all = fs.readFileSync("rgba"), frames = [];
      for (let at = 0; at < all.length; at += 16384) frames.push(all.subarray(at, at + 16384));
      fs.writeFileSync("film.gif", explorer.gif(frames, 64));"""
    node(script, tmp_path)
    with Image.open(tmp_path / "film.gif") as film:
        assert (film.size, film.n_frames, film.info["loop"]) == ((64, 64), 5, 0)
        for i, image in enumerate(images):
            film.seek(i)
            error = np.abs(np.asarray(film.convert("RGB")).astype(int) - image)
            assert error.mean() < 6  # 256 colours for all five
