"""How much faster the cache is built than by the plain loop over torchvision's ImageFolder.

    CELEBA_ORIGINALS=/path/to/celeba python benchmarks/cache_build.py

Both read the same 178x218 JPEGs and write the same uint8 pixels, which is checked: the plain loop
from files that were unpacked beforehand, in one process; `open_faces` from the zip as downloaded.
The repetitions alternate; the ratio is that of the medians.
"""

import argparse
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor

from vae_lib.faces import open_faces

REPETITIONS = 5


def plain_loop(unpacked: Path, result: Path) -> None:
    """What a tutorial would write: one process, one image after the other."""
    faces = ImageFolder(unpacked, Compose([CenterCrop(148), Resize(64), ToTensor()]))
    with open(result, "wb") as file:
        for image, _ in faces:
            file.write(image.mul(255).byte().permute(1, 2, 0).numpy().tobytes())


def seconds(work: Callable[..., object], *arguments: object, **options: object) -> float:
    start = time.perf_counter()
    work(*arguments, **options)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "originals", nargs="?", default=os.environ.get("CELEBA_ORIGINALS"), help="folder of the zip"
    )
    originals = parser.parse_args().originals
    if not originals:
        sys.exit(
            "Set CELEBA_ORIGINALS, or give as an argument, the folder that holds "
            "img_align_celeba.zip with CelebA's 178x218 JPEGs."
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zipfile.ZipFile(Path(originals) / "img_align_celeba.zip") as archive:
            archive.extractall(folder / "unpacked")
        plain, cached = [], []
        for repetition in range(REPETITIONS):
            plain.append(seconds(plain_loop, folder / "unpacked", folder / "plain.u8"))
            cache = folder / f"cache-{repetition}"
            cached.append(seconds(open_faces, originals, cache=cache))

        faces = open_faces(originals, cache=cache)
        by_id = np.asarray(faces.images)[np.argsort(faces.ids)]
        expected = np.fromfile(folder / "plain.u8", np.uint8).reshape(by_id.shape)
        if not np.array_equal(by_id, expected):
            sys.exit("The two do not agree on the pixels.")

    print(f"{len(faces):,} faces, medians of {REPETITIONS}, same pixels")
    print(f"ImageFolder, one process: {median(plain):6.2f} s")
    print(f"open_faces:               {median(cached):6.2f} s")
    print(f"ratio:                    {median(plain) / median(cached):6.2f}")


if __name__ == "__main__":
    main()
