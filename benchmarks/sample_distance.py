"""How far the Fréchet distance in the attribute classifier's features can be trusted.

    python benchmarks/sample_distance.py [MODEL]

Distances to the test faces: of sets of known worth, of the prior's draws with different seeds, of
ever smaller sets (the bias), and of training faces that were spoiled in known ways, which a
measure of image quality ought to notice in the order of the damage.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torchvision.transforms.functional import gaussian_blur

from vae_lib.faces import open_faces
from vae_lib.pretrained import load_pretrained
from vae_lib.pretrained.classifier import features, load_classifier
from vae_lib.sample_distance import frechet_distance, reference_distances, sample_distance


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, sigma in pixels."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    soft = gaussian_blur(x, [2 * int(3 * sigma) + 1] * 2, [sigma] * 2)
    return soft.round().byte().permute(0, 2, 3, 1).numpy()


def noisy(images: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise, sigma in grey levels of 255."""
    noise = sigma * rng.standard_normal(images.shape, dtype=np.float32)
    return (images + noise).round().clip(0, 255).astype(np.uint8)


def swapped_halves(images: np.ndarray) -> np.ndarray:
    """The upper half of each face over the lower half of another's."""
    return np.concatenate([images[:, :32], np.roll(images, 1, axis=0)[:, 32:]], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="vae_celeba", help="a model in the box")
    parser.add_argument("--data", type=Path, help="CelebA; CELEBA_ROOT if left out")
    parser.add_argument("--json", type=Path, help="also write the numbers there")
    options = parser.parse_args()
    faces = open_faces(options.data, kind="images")
    model = load_pretrained(options.model)
    classifier, _ = load_classifier()
    test, train = faces.split("test"), faces.split("train")
    rng = np.random.default_rng(1)
    others = train.images[np.sort(rng.permutation(len(train))[: len(test)])]
    real, seen = (features(classifier, images) for images in (test.images, others))
    result = {"model": options.model, "references": reference_distances(model, faces)}
    result["prior_by_seed"] = [sample_distance(model, test, seed=seed) for seed in range(5)]
    counts = [n for n in (200, 400, 800, 1600) if n < len(test)]
    result["bias"] = {
        f"{n}": {
            "train_faces": frechet_distance(seen[:n], real),
            "prior": sample_distance(model, test, count=n),
        }
        for n in counts
    }
    few = np.resize(others[:50], others.shape)
    result["spoiled"] = {
        name: frechet_distance(features(classifier, images), real)
        for name, images in {
            "untouched": others,
            "blurred by 0.5 pixels": blurred(others, 0.5),
            "blurred by 1 pixel": blurred(others, 1.0),
            "blurred by 2 pixels": blurred(others, 2.0),
            "noise of 5 grey levels": noisy(others, 5, rng),
            "noise of 20 grey levels": noisy(others, 20, rng),
            "upside down": np.ascontiguousarray(others[:, ::-1]),
            "halves of two faces": swapped_halves(others),
            "50 faces, over and over": few,
        }.items()
    }
    for name in ("references", "bias", "spoiled"):
        print(f"\n{name}, {options.model}")
        for row, value in result[name].items():
            numbers = value.values() if isinstance(value, dict) else [value]
            print(f"{row:<26}" + "".join(f"{number:>10.3f}" for number in numbers))
    seeds = np.array(result["prior_by_seed"])
    print(f"\nprior, five seeds: {seeds.mean():.3f} ± {seeds.std(ddof=1):.3f}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
