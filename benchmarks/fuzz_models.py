"""Damaged weights, runs, results and galleries, for `benchmarks/fuzz.py`."""

import json
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from fuzz import Attempt, damaged
from numpy.random import Generator

from vae_lib import figures
from vae_lib.checkpoint import load_weights, validation_kl
from vae_lib.config import VAEConfig
from vae_lib.evaluation import evaluate
from vae_lib.explorer import explore
from vae_lib.faces.dataset import Faces
from vae_lib.pretrained import FOLDER, load_pretrained
from vae_lib.pretrained.gallery import Gallery
from vae_lib.study import read_runs, summarise
from vae_lib.training import TrainConfig, train

RESULTS = Path(__file__).parents[1] / "results"
STRANGE = (
    None, True, 0, -1, 3.5, 1e9, float("nan"), 2**31, 10**30, "", "x", "é" * 50, b"x",
    [], [1], (0,), (10**5, 10**5), (2,) * 40, {}, {"x": 1}, torch.ones(()), torch.zeros(2, 3),
    torch.ones(1).expand(10**6), torch.ones(2, dtype=torch.complex64), torch.ones(2).to_sparse(),
    torch.empty(3, device="meta"), torch.ones(4, dtype=torch.int8),
)  # fmt: skip


def changed(value: object, rng: Generator) -> object:
    """A copy of nested values with one of them, anywhere, replaced, renamed or left out."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        copy, keys = dict(value), sorted(value, key=str)
        key = keys[rng.integers(len(keys))]
        way = rng.random()
        if way < 0.08:
            del copy[key]
        elif way < 0.16:
            copy[STRANGE[rng.integers(13)]] = copy.pop(key)
        else:
            copy[key] = changed(value[key], rng)
        return copy
    if isinstance(value, list | tuple) and value and rng.random() < 0.5:
        place = rng.integers(len(value))
        return [changed(v, rng) if i == place else v for i, v in enumerate(value)]
    return STRANGE[rng.integers(len(STRANGE))]


def repacked(data: bytes, rng: Generator) -> bytes:
    """A zip with one member damaged, near its beginning, and checksums that are right again."""
    stream = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        names = old.namelist()
        chosen = names[rng.integers(len(names))]
        if rng.random() < 0.7:  # of torch.save's zip, what tells of all the rest
            chosen = next((name for name in names if name.endswith("data.pkl")), chosen)
        for name in names:
            content = old.read(name)
            if name == chosen:
                head = int(rng.choice([200, len(content)]))
                content = damaged(content[:head], rng) + content[head:]
            new.writestr(name, content)
    return stream.getvalue()


def harmed(data: bytes, rng: Generator) -> bytes:
    """What torch.save wrote: its bytes damaged, one member of its zip, or one of its values."""
    way = rng.random()
    if way < 0.25:
        return damaged(data, rng)
    if way < 0.6:
        return repacked(data, rng)
    stream = BytesIO()
    content = torch.load(BytesIO(data), weights_only=True)
    torch.save(changed(content, rng), stream)
    return stream.getvalue()


TINY = VAEConfig(image_size=8, channels=(2, 2), latent_size=3)


def tiny_faces() -> Faces:
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), np.uint8)
    splits = np.repeat([0, 1, 2], 8).astype(np.uint8)
    return Faces("faces", images, np.arange(24).astype(str), splits, np.zeros((24, 0)), ())


def weights(folder: Path) -> Attempt:
    """Files of weights: what can be read can be used, drawn and explored."""
    faces, path = tiny_faces(), folder / "vae_faces.pth"
    train(TrainConfig(epochs=1, batch_size=4, model=TINY), faces, folder, device="cpu")
    sound = path.read_bytes()

    def attempt(rng: Generator) -> None:
        path.write_bytes(harmed(sound, rng))
        model = load_weights(path)
        assert model.config.latent_size * len(model.config.channels) < 100
        explore(path)
        kl = validation_kl(model.metadata, model.config.latent_size)
        if kl is not None:
            figures.traversals(model, kl, dimensions=1, values=[0])
        evaluate(model, faces.images)

    return attempt


def runs(folder: Path) -> Attempt:
    """Folders of runs: going on from them ends where the sound one does, or is refused."""
    faces, run = tiny_faces(), folder / "run"
    config = TrainConfig(epochs=1, batch_size=4, model=TINY)
    train(config, faces, run, device="cpu")
    sound = {name: (run / name).read_bytes() for name in ("checkpoint.pt", "history.jsonl")}
    longer = replace(config, epochs=2)

    def attempt(rng: Generator) -> None:
        for name, data in sound.items():
            (run / name).write_bytes(data)
        if rng.random() < 0.6:
            (run / "checkpoint.pt").write_bytes(harmed(sound["checkpoint.pt"], rng))
        else:
            (run / "history.jsonl").write_bytes(damaged(sound["history.jsonl"], rng))
        done = train(longer, faces, run, resume=True, device="cpu")
        figures.loss_curves(done.history)

    return attempt


def results(folder: Path) -> Attempt:
    """Results of sweeps, edited."""
    file = folder / "beta_1_seed_0.json"
    sound = json.loads((RESULTS / "synthetic" / file.name).read_text())

    def attempt(rng: Generator) -> None:
        if rng.random() < 0.5:
            file.write_bytes(damaged(json.dumps(sound).encode(), rng))
        else:
            file.write_text(json.dumps(changed(sound, rng), default=str, skipkeys=True))
        found = read_runs(folder)
        summarise(found)
        figures.rate_distortion([found[0].result])
        figures.kl_spectrum([found[0].result])

    return attempt


def galleries(folder: Path) -> Attempt:
    """Galleries of encoded faces: what can be read can be drawn."""
    sound, file = (FOLDER / "vae_synthetic.gallery.npz").read_bytes(), folder / "x.gallery.npz"
    model = load_pretrained("vae_synthetic")

    def attempt(rng: Generator) -> None:
        file.write_bytes(repacked(sound, rng) if rng.random() < 0.6 else damaged(sound, rng))
        gallery = Gallery.load(file)
        gallery.check(model)
        figures.score_heatmap({"model": gallery})

    return attempt
