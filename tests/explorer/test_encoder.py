"""The encoder in the page, beside PyTorch."""

import base64
import copy
import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from draws import seeded_normal
from PIL import Image
from test_javascript import ODD, node
from torch.distributions import Normal, kl_divergence

from vae_lib.errors import InputError
from vae_lib.explorer import explore
from vae_lib.explorer.payload import encoder_script, encoder_weights
from vae_lib.explorer.photo import align_photo
from vae_lib.faces.synthetic import synthetic_faces
from vae_lib.latent import encode_images
from vae_lib.model import VAE
from vae_lib.model.any_beta import AnyBetaVAE
from vae_lib.pretrained import any_beta_names, load_pretrained, pretrained_names


def in_the_page(model, images, betas, folder):
    """mu and logvar of each image at each β, by the browser's module."""
    (folder / "weights").write_bytes(encoder_weights(model))
    (folder / "images").write_bytes(images.tobytes())
    config = model.config
    spec = {
        "latent_size": config.latent_size,
        "image_size": config.image_size,
        "channels": config.channels,
        "beta_range": getattr(model, "beta_range", None),
    }
    script = f"""
      import {{ createEncoder }} from "./encoder.mjs";
      const encode = createEncoder({json.dumps(spec)}, fs.readFileSync("weights"));
      const all = new Uint8Array(fs.readFileSync("images"));
      const size = {images[0].size};
      const rows = Array.from({{ length: {len(images)} }}, (_, i) => i * size);
      const codes = {json.dumps(betas)}.map((beta) => rows.map((at) => {{
        const {{ mu, logvar }} = encode(all.subarray(at, at + size), beta ?? undefined);
        return [Array.from(mu), Array.from(logvar)];
      }}));
      console.log(JSON.stringify(codes));"""
    return np.array(json.loads(node(script, folder)))


@pytest.mark.parametrize("name", pretrained_names() + any_beta_names())
def test_a_page_encodes_as_pytorch_does(name, tmp_path):
    model = load_pretrained(name)
    images = synthetic_faces(2, seed=5)[0]
    betas = [0.5, 3.0, 20.0] if isinstance(model, AnyBetaVAE) else [None]
    found = in_the_page(model, images, betas, tmp_path)
    for at, beta in zip(found, betas, strict=True):
        mu, logvar = encode_images(model, images, beta=beta)
        np.testing.assert_allclose(at[:, 0], mu, atol=1e-3, rtol=0)
        np.testing.assert_allclose(at[:, 1], logvar, atol=1e-3, rtol=0)


def test_odd_sizes_and_uneven_statistics(tmp_path):
    torch.manual_seed(0)
    model = VAE(ODD)
    model.train()
    model(torch.rand(16, 3, 24, 24))
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.copy_(value.half().float())
    model.eval()
    images = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3)).astype(np.uint8)
    found = in_the_page(model, images, [None], tmp_path)[0]
    for at, told in enumerate(encode_images(model, images)):
        np.testing.assert_allclose(found[:, at], told, atol=1e-4, rtol=0)


def test_weights_that_are_not_finite_are_refused():
    model = VAE(ODD)
    with torch.no_grad():
        model.to_mu.weight[0, 0] = torch.nan
    with pytest.raises(InputError, match="not all finite"):
        encoder_weights(model)


def test_weights_that_are_damaged_or_not_finite_are_told_by_the_page(tmp_path):
    weights = encoder_weights(VAE(ODD))
    (tmp_path / "short").write_bytes(weights[:-2])
    (tmp_path / "broken").write_bytes(weights[:-2] + b"\x00\x7e")  # a half that is no number
    spec = {"latent_size": 9, "image_size": 24, "channels": ODD.channels}
    script = f"""
      import {{ createEncoder }} from "./encoder.mjs";
      for (const name of ["short", "broken"])
        try {{ createEncoder({json.dumps(spec)}, fs.readFileSync(name)); }}
        catch (error) {{ console.log(error.message); }}"""
    short, broken = node(script, tmp_path).splitlines()
    assert "damaged" in short
    assert "not all finite" in broken


def test_draws_are_the_posteriors_and_its_nats_are_torchs(tmp_path):
    rng = np.random.default_rng(0)
    mu, logvar = rng.normal(size=(2, 9)).astype(np.float32)
    script = f"""
      import {{ codeOf, encodeState, initialState, keyOf, makeWorld, position }} from "./state.mjs";
      import {{ natsOf }} from "./posterior.mjs";
      const spec = {{ digest: "d", latent_size: 9, order: [0, 1, 2, 3, 4, 5, 6, 7, 8], kl: null }};
      const world = makeWorld([{{ spec, gallery: {{}} }}], ["m"], []);
      const start = {{ kind: "photo", id: 1 }};
      const [mu, logvar] = {json.dumps([mu.tolist(), logvar.tolist()])}
        .map((row) => Float32Array.from(row));
      world.known.set(keyOf(start), {{ codes: [mu], logvars: [logvar] }});
      const codes = [0, 1, 7].map((draw) => Array.from(codeOf(world, {{ ...start, draw }}, 0)));
      const state = {{ ...initialState(), start: {{ ...start, draw: 7 }} }};
      const text = encodeState(world, state);
      const both = [codeOf(world, start, 0), position(world, state, 0)];
      const [mean, there] = both.map((z) => [...z]);
      const nats = natsOf({{ mu, logvar }});
      console.log(JSON.stringify({{ codes, nats, text, mean, there }}));"""
    told = json.loads(node(script, tmp_path))
    for seed, code in zip([0, 1, 7], told["codes"], strict=True):
        np.testing.assert_allclose(
            code, mu + np.exp(logvar / 2) * seeded_normal(seed, 9), atol=1e-6
        )
    np.testing.assert_array_equal(np.float32(told["mean"]), mu)
    assert told["there"] == told["codes"][2]
    assert told["text"].startswith("vae1-")  # the draw's code, since a photo cannot be told
    posterior = Normal(torch.tensor(mu), torch.tensor(logvar / 2).exp())
    nats = kl_divergence(posterior, Normal(torch.zeros(9), torch.ones(9))).sum()
    assert told["nats"] == pytest.approx(nats.item(), rel=1e-5)


def test_two_encoders_of_one_decoder_travel_each_with_its_own_model(tmp_path):
    model = VAE(ODD).eval()
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.to_mu.bias += 1
    first, second = explore({"one": model, "other": other}).models
    assert first.spec["digest"] == second.spec["digest"]
    for carrier, subject in ((first, model), (second, other)):
        assert encoder_script(subject)[0] == f"{carrier.spec['encoder']}.js"
    assert first.spec["encoder"] != second.spec["encoder"]


def test_beside_a_books_pages_stand_the_encoders_that_they_show(tmp_path):
    root = Path(__file__).parents[2]
    spec = importlib.util.spec_from_file_location("book_build", root / "book" / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    shown = explore("vae_mig_best").models[0].spec
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "one.html").write_text(json.dumps(shown))
    (tmp_path / "_static").mkdir()
    build.write_encoders(tmp_path, tmp_path / "_static")
    (script,) = (tmp_path / "_static" / "encoders").iterdir()
    assert script.name == f"{shown['encoder']}.js"
    held = re.search('"([A-Za-z0-9+/=]+)";', script.read_text())[1]
    assert base64.b64decode(held) == encoder_weights(load_pretrained("vae_mig_best"))


@pytest.mark.parametrize(
    ("picture", "size", "eyes"),
    [
        ("waves", (300, 400), [(0.35, 0.4), (0.65, 0.42)]),
        ("waves", (1600, 1067), [(0.7, 0.31), (0.52, 0.5)]),  # turned, reduced first
        ("waves", (90, 80), [(0.4, 0.3), (0.7, 0.3)]),  # enlarged; its edge goes on
        ("waves", (640, 480), [(0.93, 0.5), (0.85, 0.55)]),
        ("noise", (1000, 800), [(0.45, 0.4), (0.6, 0.45)]),
        ("face", (256, 256), [(0.4, 0.45), (0.6, 0.4)]),
    ],
)
def test_a_page_crops_a_photo_as_pillow_does(picture, size, eyes, tmp_path):
    across, down = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    if picture == "waves":
        waves = [
            np.sin(across / 7 + c) * np.cos(down / 11 - c) + (across // 16 % 2) for c in range(3)
        ]
        photo = np.clip(90 * np.stack(waves, -1) + 90, 0, 255).astype(np.uint8)
    elif picture == "noise":
        photo = np.random.default_rng(0).integers(0, 256, (*across.shape, 3)).astype(np.uint8)
    else:
        photo = np.array(Image.fromarray(synthetic_faces(1, seed=3)[0][0]).resize(size))
    (tmp_path / "photo").write_bytes(np.dstack([photo, np.full_like(across, 255)]).astype("u1"))
    script = f"""
      import {{ alignPhoto }} from "./crop.mjs";
      const photo = {{ data: fs.readFileSync("photo"), width: {size[0]}, height: {size[1]} }};
      console.log(JSON.stringify(Array.from(alignPhoto(photo, {json.dumps(eyes)}))));"""
    found = np.array(json.loads(node(script, tmp_path))).reshape(64, 64, 3)
    expected = align_photo(Image.fromarray(photo), eyes).astype(int)
    assert expected.std() > 5
    off = np.abs(found - expected)
    assert off.max() <= 1
    assert off.mean() < 0.1  # where a level is lost to rounding it is lost in both


@pytest.mark.parametrize(
    ("eyes", "sentence"),
    [
        ([(0.5, 0.5), (0.5, 0.501)], "lie on one spot"),
        ([(0.0, 0.0), (0.9, 0.0)], "only .* of the face would lie inside"),
    ],
)
def test_marks_that_make_no_face_get_the_kernels_sentence(eyes, sentence, tmp_path):
    photo = Image.new("RGB", (200, 200), "grey")
    with pytest.raises(InputError, match=sentence) as refused:
        align_photo(photo, eyes)
    script = f"""
      import {{ alignPhoto }} from "./crop.mjs";
      const photo = {{ data: new Uint8Array(160000), width: 200, height: 200 }};
      const eyes = {json.dumps(eyes)};
      try {{ alignPhoto(photo, eyes); }} catch (error) {{ console.log(error.message); }}"""
    told = node(script, tmp_path).strip()
    assert told.replace(" %", "%") == str(refused.value)


def test_layers_of_ones_own_in_the_place_of_vaes_are_told_apart(model):
    from torch import nn

    before = torch.get_rng_state()
    own = VAE(model.config)
    own.encoder = nn.Sequential(nn.Conv2d(3, own.innermost[0], 16, stride=16), nn.ReLU())
    torch.set_rng_state(before)
    with pytest.raises(InputError, match="VAE encodes in a way of its own"):
        encoder_weights(own)
    assert explore(own).labels  # its decoder is VAE's
    assert torch.equal(torch.get_rng_state(), before)  # an explorer draws nothing
    own.decoder[0][2] = nn.ReLU()
    with pytest.raises(InputError, match="VAE decodes in a way of its own"):
        explore(own)
