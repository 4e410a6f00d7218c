"""The browser's side in Node: its own tests, and JavaScript beside Python."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from draws import seeded_normal
from PIL import Image

from vae_lib.explorer import decoder_weights
from vae_lib.explorer.modules import BROWSER, MODULES, browser_module
from vae_lib.latent import decode_images
from vae_lib.model import VAE, VAEConfig
from vae_lib.pretrained import (
    any_beta_names,
    load_beta_table,
    load_gallery,
    load_pretrained,
    pretrained_names,
)

HERE = Path(__file__).parent
ODD = VAEConfig(image_size=24, channels=(5, 7, 3), latent_size=9)  # nothing divides evenly


def node_program() -> str:
    """Node.js; without it tests skip, in CI they fail."""
    program = shutil.which("node")
    if program is None:
        missing = pytest.fail if os.environ.get("VAE_REQUIRE_BROWSER") == "1" else pytest.skip
        missing("There is no Node.js here; install it with `apt install nodejs`.")
    return program


def node(script: str, folder: Path) -> str:
    """Run a script that may import the modules of the browser's side."""
    program = node_program()
    file = folder / "script.mjs"
    browser = BROWSER.as_uri()
    script = re.sub(r'from "\./(\w+\.mjs)"', rf'from "{browser}/\1"', script)
    file.write_text(f'import fs from "node:fs";\n{script}')
    ran = subprocess.run(
        [program, str(file)], capture_output=True, text=True, cwd=folder, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_each_module_imports_only_from_those_before_it():
    names = (*MODULES, "host")
    assert {path.stem for path in BROWSER.glob("*.mjs")} == set(names)
    for number, name in enumerate(names):
        text = (BROWSER / f"{name}.mjs").read_text(encoding="utf-8")
        found = re.findall(r"^(?:import|\}).* from \"(.*)\";$", text, re.MULTILINE)
        assert set(found) <= {f"./{earlier}.mjs" for earlier in names[:number]}


def test_joined_they_are_one_module_with_one_default_export(tmp_path):
    joined = tmp_path / "joined.mjs"
    joined.write_text(browser_module(), encoding="utf-8")
    script = f"""
      const {{ default: widget, ...others }} = await import("{joined.as_uri()}");
      console.log(Object.keys(widget()), Object.keys(others).length);"""
    assert node(script, tmp_path).strip() == "[ 'initialize', 'render' ] 0"


def test_the_browser_sides_own_tests_pass():
    program = node_program()
    ran = subprocess.run(
        [program, "--test", *map(str, sorted(HERE.glob("*.test.mjs")))],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_random_draws_are_the_same_in_both_languages(tmp_path):
    seeds = [0, 1, 7, 12345, 2**31, 2**32 - 1]
    script = f"""
      import {{ seededNormal }} from "./numbers.mjs";
      const draws = {seeds}.map((seed) => Array.from(seededNormal(seed, 129)));
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
    model = odd_models().get(name) or load_pretrained(name)
    size, side = model.config.latent_size, model.config.image_size
    z = np.stack([np.zeros(size, np.float32), *(seeded_normal(i, size) for i in range(7))])
    if name in pretrained_names():
        gallery = load_gallery(name)
        z = np.concatenate([z, gallery.mu[:8], 3 * np.sign(gallery.mu[:4])])
    (tmp_path / "half").write_bytes(decoder_weights(model).tobytes())
    (tmp_path / "z").write_bytes(z.astype("<f4").tobytes())
    spec = {"latent_size": size, "image_size": side, "channels": model.config.channels}
    script = f"""
      import {{ createDecoder }} from "./decoder.mjs";
      const decode = createDecoder({json.dumps(spec)}, fs.readFileSync("half"));
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


@pytest.mark.parametrize("name", any_beta_names())
def test_javascript_decodes_at_every_beta_what_pytorch_decodes(name, tmp_path):
    model = load_pretrained(name)
    table, size = load_beta_table(name), model.config.latent_size
    z = np.concatenate([table.mu[:, :3], 3 * np.sign(table.mu[:, :1])], axis=1)
    (tmp_path / "half").write_bytes(decoder_weights(model).tobytes())
    (tmp_path / "z").write_bytes(z.astype("<f4").tobytes())
    spec = {"latent_size": size, "image_size": 64, "channels": model.config.channels}
    spec["beta_range"] = model.beta_range
    script = f"""
      import {{ createDecoder }} from "./decoder.mjs";
      const decode = createDecoder({json.dumps(spec)}, fs.readFileSync("half"));
      const z = new Float32Array(new Uint8Array(fs.readFileSync("z")).buffer);
      const betas = {json.dumps(table.betas.tolist())}, four = [0, 1, 2, 3];
      const frames = betas.flatMap((beta, b) => four.map((i) => {{
        const at = (4 * b + i) * {size};
        return Buffer.from(decode(z.subarray(at, at + {size}), beta).buffer);
      }}));
      fs.writeFileSync("frames", Buffer.concat(frames));"""
    node(script, tmp_path)
    frames = np.frombuffer((tmp_path / "frames").read_bytes(), np.uint8).reshape(-1, 4, 64, 64, 4)
    for beta, codes, found in zip(table.betas, z, frames, strict=True):
        expected = decode_images(model, codes, beta=float(beta))
        assert np.ptp(expected) > 100
        assert np.abs(found[..., :3].astype(int) - expected).max() <= 2


def test_a_gif_of_the_browser_opens_in_pillow(tmp_path):
    from vae_lib.faces.synthetic import synthetic_faces

    images, _ = synthetic_faces(5, seed=0)
    rgba = np.concatenate([images, np.full((5, 64, 64, 1), 255, np.uint8)], axis=-1)
    (tmp_path / "rgba").write_bytes(rgba.tobytes())
    script = """
      import { gif } from "./pictures.mjs";
      const all = fs.readFileSync("rgba"), frames = [];
      for (let at = 0; at < all.length; at += 16384) frames.push(all.subarray(at, at + 16384));
      fs.writeFileSync("film.gif", gif(frames, 64, "β: 3.1\\n".repeat(60)));"""
    node(script, tmp_path)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.info["comment"].decode() == "β: 3.1\n" * 60  # longer than a block
        assert (film.size, film.n_frames, film.info["loop"]) == ((64, 64), 5, 0)
        for i, image in enumerate(images):
            film.seek(i)
            error = np.abs(np.asarray(film.convert("RGB")).astype(int) - image)
            assert error.mean() < 6  # 256 colours for all five


def test_texts_of_the_browser_are_read_in_a_png_by_pillow(tmp_path):
    Image.effect_noise((9, 5), 40).save(tmp_path / "plain.png")
    texts = {"Title": "眉 β = 3.1 · z 5 −2.00", "Values": "a: 1\nb: 2"}
    script = f"""
      import {{ withTexts }} from "./pictures.mjs";
      const parts = withTexts(new Uint8Array(fs.readFileSync("plain.png")), {json.dumps(texts)});
      fs.writeFileSync("told.png", Buffer.concat(parts));"""
    node(script, tmp_path)
    with Image.open(tmp_path / "told.png") as told, Image.open(tmp_path / "plain.png") as plain:
        assert told.text == texts
        assert told.tobytes() == plain.tobytes()
