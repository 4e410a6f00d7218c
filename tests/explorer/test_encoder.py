"""The encoder in the page, beside PyTorch."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from test_javascript import ODD, node

from vae_lib.errors import InputError
from vae_lib.explorer.payload import encoder_weights
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
