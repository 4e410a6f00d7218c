"""Model cards: what a shipped model is, what it was measured to be worth, what it is bad at.

A card is made from the facts that travel with the weights, from the model's gallery, from what
``results`` holds of its samples, and from ``NAME.seen.txt`` beside them: what somebody saw who
looked at its faces.
"""

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from vae_lib.config import objective_named, setting_of
from vae_lib.pretrained import FOLDER
from vae_lib.pretrained.beta_table import BetaTable
from vae_lib.pretrained.gallery import Gallery
from vae_lib.study import RESULTS
from vae_lib.training.config import ANY_BETA, TrainConfig

# Which faces `vae train` is told to take.
CHOSEN = {"celeba": "", "synthetic": " --faces synthetic"}

CELEBA_DATA = """\
CelebA (Liu et al. 2015, "Deep Learning Face Attributes in the Wild"), aligned and cropped to
the central 148 pixels, resized to 64×64. Of the full data's 162,770 / 19,867 / 19,962 images of
the official training, validation and test splits, {train:,} / {valid:,} / {test:,} were at
hand, and not at random; their crops had been re-encoded as JPEG (quality 90, 4:4:4).
`celeba_ids.npz` beside this file holds their ids. Training pictures were mirrored at random.

**Terms.** CelebA is for non-commercial research and education, and so are these weights,
whatever the licence of the code (`LICENSE-WEIGHTS`). They hold no image of CelebA.

**Whom CelebA shows.** Celebrities, in photographs made to be looked at: {young:.0%} of the
training faces are labelled young, {male:.0%} male (a label with two values, given by annotators
who did not ask), {glasses:.0%} wear glasses, {hat:.0%} a hat, {gray:.0%} have grey hair,
{bald:.0%} are bald. Light skin is by far the most frequent (Kärkkäinen & Joo 2021, "FairFace",
compare CelebA with other sets). Whoever is seldom in the data is drawn worst, and pulled
towards those who are frequent.
"""

SYNTHETIC_DATA = """\
{total:,} faces drawn by `vae_lib.faces.synthetic` from thirteen independent factors (seed 0):
{train:,} for training, {valid:,} for validation, {test:,} for testing. Training pictures were
mirrored at random, so yaw, light and whatever else has a side were seen both ways. No
photograph was used; the weights are under the licence of the code.

**Whom they show.** Nobody. Skin tones run evenly along the ten anchors of the Monk Skin Tone
scale, and every factor is as frequent in one half of its range as in the other, which is true
of no people.
"""

OWN_DATA = """\
{total:,} faces that are not part of this project: {train:,} for training, {valid:,} for validation,
{test:,} for testing. Whoever shares these weights says here whose faces they are, under which terms
they may be used, and whom they show.
"""


def seen(name: str) -> str:
    """What eyes saw in a model's reconstructions, samples and traversals, weak spots included."""
    file = FOLDER / f"{name}.seen.txt"
    if not file.exists():
        return "Nobody has looked at this model yet."
    return file.read_text(encoding="utf-8").strip()


def card(name: str, metadata: dict[str, Any], gallery: Gallery, latent_size: int) -> str:
    """The card of one model, as Markdown.

    Parameters
    ----------
    name : str
        As `vae_lib.pretrained.load_pretrained` knows it.
    metadata : dict
        What travels with the weights: ``faces``, ``recipe``, ``test`` (measures of the float16
        weights), ``commit`` and, for CelebA, ``shares`` and ``samples``.
    gallery : Gallery
        The model's own.
    latent_size : int
        Of the model.
    """
    test, recipe = metadata["test"], metadata["recipe"]
    celeba = metadata["faces"] == "celeba"
    counts = {split: metadata[f"{split}_images"] for split in ("train", "valid")}
    counts |= {"test": test["images"]}
    if celeba:
        data = CELEBA_DATA.format(**counts, **metadata["shares"])
    else:
        text = SYNTHETIC_DATA if metadata["faces"] == "synthetic" else OWN_DATA
        data = text.format(total=sum(counts.values()), **counts)
    rows = [
        ("reconstruction", f"{test['reconstruction']:,.1f} nats"),
        ("… above the pixels' entropy (*excess*)", f"{test['excess']:.1f} nats"),
        ("KL to the prior", f"{test['kl']:.2f} nats"),
        (
            "dimensions with KL above 0.1 (0.01) nats",
            f"{test['active_01']} ({test['active_001']}) of {latent_size}",
        ),
        ("PSNR of the decoded posterior mean", f"{test['psnr']:.2f} dB"),
        ("SSIM of the same", f"{test['ssim']:.3f}"),
    ]
    if "samples" in metadata:
        far = metadata["samples"]
        rows += [
            (
                "Fréchet distance of samples to test faces, in the features of the shipped "
                "attribute classifier (not an FID)",
                f"{far['prior']:.1f}",
            ),
            *density_rows(name),
            ("… of reconstructions", f"{far['reconstructions']:.1f}"),
            ("… of training faces", f"{far['train_faces']:.1f}"),
            ("… of noise", f"{far['noise']:.0f}"),
        ]
    chosen = CHOSEN.get(metadata["faces"], " --data DIR")
    command = f"vae train{chosen}{options(recipe)}"
    command += f" --latent-size {latent_size}" * (latent_size != 128)
    again = f"vae evaluate {name}" + (" --card-images" if celeba else chosen)
    return f"""\
# {name}

A convolutional VAE of 64×64 faces, {latent_size} latent dimensions, {setting_of(recipe).label}, for
learning how VAEs work. Not for making pictures of real people, nor for recognising, judging or
sorting people.

## Data

{data}
## Training

`{command}`, that is Adam {recipe["learning_rate"]:g}, batch {recipe["batch_size"]}; at commit
{metadata["commit"]}, on {metadata["processor"]} (threads: {metadata["threads"]}), PyTorch
{metadata["torch"]}. Shipped as float16.

## Measured

On all {test["images"]:,} test faces, with the float16 weights as shipped. `{again}`
measures the first six rows again.

| what | value |
|---|---:|
{chr(10).join(f"| {what} | {value} |" for what, value in rows)}

## What single numbers know

Held-out scores of a linear probe on all posterior means, and of the best single dimension.

| attribute | score | probe | best dimension |
|---|---|---:|---:|
{attribute_rows(gallery)}

## What it does badly

{seen(name)}
"""


def density_rows(name: str) -> list[tuple[str, str]]:
    """A row for samples from where codes live; none where they have not been measured."""
    file = RESULTS / "celeba" / "densities.json"
    models = json.loads(file.read_text(encoding="utf-8"))["models"] if file.exists() else {}
    if name not in models:
        return []
    what = "… of samples from a Gaussian fitted to codes of validation faces, in the gallery"
    return [(what, f"{np.mean(models[name]['fitted_to_draws']):.1f}")]


def any_beta_card(name: str, metadata: dict[str, Any], table: BetaTable) -> str:
    """The card of a network for every β, as Markdown."""
    recipe, faces, latent = metadata["recipe"], metadata["faces"], table.mu.shape[2]
    low, high = recipe["beta_range"]
    sibling = {"celeba": "vae_celeba", "synthetic": "vae_synthetic"}[faces]
    data = {
        "celeba": f"CelebA, the faces of `{sibling}.md`, where the terms stand too: for "
        "non-commercial research and\neducation.",
        "synthetic": f"The drawn faces of `{sibling}.md`; no photograph was used.",
    }[faces]
    rows = "\n".join(
        f"| {m['beta']:g} | {m['excess']:.1f} | {m['kl']:.1f} | {m['objective']:.1f} "
        f"| {m['active_01']} ({m['active_001']}) | {m['psnr']:.2f} |"
        for m in metadata["test"]
    )
    study = json.loads((RESULTS / "any_beta.json").read_text())
    worse = study[faces]["worse_by"]["test"]
    better = ", ".join(f"{-worse[b]:.1%} at β = {b}" for b in ("1", "4", "10"))
    plain = study["screen_valid_seed_0"]["constant"]["job"]
    peak = recipe["learning_rate"].partition("peak ")[2].split()[0]
    command = f"vae train{CHOSEN[faces]} --beta-range {low:g} {high:g}"
    command += f" --epochs {recipe['epochs']}"
    command += f" --learning-rate {peak} --cycle" + f" --latent-size {latent}" * (latent != 128)
    return f"""\
# {name}

One convolutional VAE of 64×64 faces for every β from {low:g} to {high:g}: {latent} latent
dimensions, an `AnyBetaVAE` whose layers are gated by log β (Multi-Rate VAE, Bae et al., ICLR 2023).
For learning how VAEs work. Not for making pictures of real people, nor for recognising, judging or
sorting people.

## Data

{data}

## Training

`{metadata["trained_by"]}`: {recipe["epochs"]} epochs, Adam, batch {recipe["batch_size"]},
the learning rate in {recipe["learning_rate"]}, β drawn log-uniformly for each
image, seed {recipe["seed"]}, on an {metadata["device"]}. Shipped as float16. Chosen on the
validation split, among the eight variants in `results/any_beta.json`.

By the same recipe, with other random numbers: `{command}`.

## Measured

On all test faces, before the rounding to float16.

| β | excess, nats | KL, nats | excess + β · KL | dimensions above 0.1 (0.01) nats | PSNR, dB |
|---:|---:|---:|---:|---:|---:|
{rows}

Against networks trained for one β (10 epochs at a constant {plain["peak"]:g}, three seeds each),
excess + β · KL is lower by {better} (means of
three seeds). It took as many steps as the three together, and a better schedule, so this does not
say that sharing helps.

`{name}.betas.npz` holds the codes of {table.mu.shape[1]} test faces at {len(table.betas)} β.
Between two of them codes are interpolated in log β. In the middle between two that costs these
faces at most {max(table.interpolated.max(), 0):.3f} dB, measured against encoding them there.
"""


def options(recipe: dict[str, Any]) -> str:
    """What to tell ``vae train`` so that it follows a recipe."""
    setting, plain = setting_of(recipe), asdict(TrainConfig())
    if setting.objective == ANY_BETA:
        told = f" --beta-range {setting.also:g} {setting.value:g}"
    else:
        told = f" --objective {setting.objective}" * (setting.objective != plain["objective"])
        spelled = "" if hasattr(TrainConfig, setting.parameter) else "parameters "
        told += f" --{spelled}{setting.parameter} {setting.value:g}"
        told += "".join(
            f" --{name} {recipe[name]:g}"
            for name in [*objective_named(setting.objective).parameters][1:]
            if recipe.get(name, plain[name]) != plain[name]
        )
    told += (
        f" --epochs {recipe['epochs']} --seed {recipe['seed']}" + " --compile" * recipe["compile"]
    )
    told += "".join(
        f" --{name.replace('_', '-')} {recipe[name]:g}"
        for name in ("batch_size", "learning_rate")
        if recipe.get(name, plain[name]) != plain[name]
    )
    told += " --cycle" * recipe.get("cycle", False)
    return told + " --no-flips" * (not recipe.get("flips", True))


def attribute_rows(gallery: Gallery) -> str:
    """One row of Markdown for each attribute, the best known first."""
    scores = gallery.scores
    return "\n".join(
        f"| {scores.names[i].replace('_', ' ')} | {scores.kind[i]} "
        f"| {scores.probe[i]:.3f} | {scores.best[i]:.3f} (z{scores.best_dimension[i]}) |"
        for i in (-scores.probe).argsort(kind="stable")
    )
