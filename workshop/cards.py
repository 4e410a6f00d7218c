"""Model cards: what a shipped model is, what it was measured to be worth, what it is bad at.

A card is made from the facts that travel with the weights and from the model's gallery; nothing in
it is typed but what eyes saw.
"""

from dataclasses import asdict
from typing import Any

from vae_lib.config import READ_BY, setting_of
from vae_lib.pretrained.gallery import Gallery
from vae_lib.training.config import TrainConfig

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

# What was seen in reconstructions, samples and traversals of each model, weak spots included.
SEEN: dict[str, str] = {
    "vae_celeba": """\
Reconstructions keep pose, light, hair colour and background tone; they lose hair texture, teeth
and earrings, and turn profiles towards the camera. Most samples are faces, some with one dark,
smeared half; flat backgrounds show a faint checkerboard. Traversals of the strongest dimensions
move brightness, face against background, the side of the light, fringe, hair tone and yaw, two
or three of them at a time: no dimension has one meaning.""",
    "vae_beta_4": """\
Reconstructions keep light, hair's outline and tone, and roughly the pose; every face is
smoother than at β = 1, glasses, hats and open mouths fade, and profiles turn towards the
camera. Samples are more often whole faces than at β = 1, and duller. Traversals of the
strongest dimensions can be named more easily: brightness of the background, light from either
side, hair dark or fair, a shadow over the eyes, fringe or forehead, warm or cold colour; yet
turning the head still moves the light, and hair takes the background with it.""",
    "vae_beta_10": """\
Reconstructions keep the light, the background's tone and the mass and tone of the hair; the face
in it is nearly the same one, smiling a little, whoever was photographed: beards, glasses, closed
eyes, open mouths and profiles are gone, a bald man gets hair and a man often a woman's face.
Samples are almost all whole faces, soft and alike, some half in the dark. Traversals of the
strongest dimensions: hair and background together from fair to dark; light from either side; hair
long and dark or none; a head that turns as its hair shortens; blue or orange; fringe or forehead.
Two or three of ten rows move one thing.""",
    "vae_synthetic": """\
Reconstructions keep pose, light, skin, hair, background and glasses; they lose the edges of hair,
blur the mouth, and hardly tell open eyes from closed ones: few pixels, few nats. About half of the
samples would pass for drawn faces; the others have half-transparent glasses, hair of two colours or
a head that dissolves into the background. The prior's mean wears the ghost of a pair of glasses,
because half of the faces do. Traversals mix factors: skin with background, light with yaw, hair
length with hue.""",
    "vae_mig_best": """\
Of the study's 25 β-VAEs the run with the largest MIG. Reconstructions keep pose, light, skin,
background and the tone and length of the hair, all softly; glasses are faint, and mouths all but
closed. Samples are nearly all whole faces, several in the ghost of a pair of glasses. Of ten active
dimensions, yaw, pitch, light, skin tone, hair colour, face width and glasses have one each, though
both ways of turning the head put glasses on at an end, and hair and skin each bring a little of the
other. Background hue has a row too, but is also in the two that hair length is spread over. Eyes,
brows, mouth and smile have none.""",
    "vae_mig_worst": """\
Of the study's 25 β-VAEs the run with the smallest MIG; it reconstructs well: glasses are whole,
hair has edges, though mouths and eyes are lost here too. Many samples are broken: ragged heads,
glasses half there, stains on the background. All sixteen dimensions carry much, and every row of a
traversal moves three things or more; glasses come and go in six of them.""",
}


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
            ("… of reconstructions", f"{far['reconstructions']:.1f}"),
            ("… of training faces", f"{far['train_faces']:.1f}"),
            ("… of noise", f"{far['noise']:.0f}"),
        ]
    chosen = {"celeba": "", "synthetic": " --faces synthetic"}.get(metadata["faces"], " --data DIR")
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

{SEEN.get(name, "Nobody has looked at this model yet.")}
"""


def options(recipe: dict[str, Any]) -> str:
    """What to tell ``vae train`` so that it follows a recipe."""
    setting, plain = setting_of(recipe), asdict(TrainConfig())
    told = f" --objective {setting.objective}" * (setting.objective != "beta-vae")
    told += f" --{setting.parameter} {setting.value:g}"
    told += "".join(
        f" --{name} {recipe[name]:g}"
        for name in READ_BY[setting.objective][1:]
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
    return told + " --no-flips" * (not recipe.get("flips", True))


def attribute_rows(gallery: Gallery) -> str:
    """One row of Markdown for each attribute, the best known first."""
    order = sorted(range(len(gallery.attribute_names)), key=lambda i: -gallery.probe_auc[i])
    return "\n".join(
        f"| {gallery.attribute_names[i].replace('_', ' ')} | {gallery.probe_score[i]} "
        f"| {gallery.probe_auc[i]:.3f} | {gallery.best_auc[i]:.3f} (z{gallery.best_dimension[i]}) |"
        for i in order
    )
