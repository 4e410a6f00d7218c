"""Damaged files of every kind: each is read or refused in a sentence, soon, and in little memory.

    python benchmarks/fuzz.py [KIND ...] --count 2000 --seed 0

Every attempt damages a sound file anew, in a way that the seed and the attempt's number decide, and
opens it as a user would. It fails if anything but an InputError comes out, if it lasts longer than
20 s, or if what can be told to be wrong is: a damaged cache that gives other faces, a sound picture
that is lost beside a damaged one. Each kind has a process of its own, whose memory is measured.
`--only NUMBER` repeats one attempt.
"""

import argparse
import faulthandler
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image

from vae_lib.errors import InputError, TrainingStopped
from vae_lib.faces import open_faces

LIMIT = 20  # seconds for one attempt
Attempt = Callable[[Generator], object]


class Hang(BaseException):
    """Raised by the alarm; no Exception, so that no handler for broken files catches it."""


def damaged(data: bytes, rng: Generator, times: int = 3) -> bytes:
    """The bytes with one to ``times`` pieces flipped, overwritten, cut out, doubled or put in."""
    for _ in range(rng.integers(1, times + 1)):
        start = int(rng.integers(len(data) + 1))
        if rng.random() < 0.4:  # near the end, where a zip has its table of contents
            start = len(data) - int(rng.integers(min(len(data), 300) + 1))
        length = int(rng.choice([1, 1, 2, 4, 8, 40, 400]))
        before, piece, after = data[:start], data[start : start + length], data[start + length :]
        other = [
            rng.bytes(len(piece)),
            bytes(byte ^ (1 << int(rng.integers(8))) for byte in piece),
            bytes([int(rng.choice([0, 1, 127, 128, 255]))]) * len(piece),
            b"",
            piece * 3,
            piece + rng.bytes(length),
        ][rng.integers(6)]
        data = before + other + after
        if rng.random() < 0.05:
            data = data[: rng.integers(len(data) + 1)]
    return data


def encoded(image: Image.Image, form: str, **options) -> bytes:
    stream = BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def noise(seed: int, size: tuple[int, int] = (40, 48)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


def caches(folder: Path) -> Attempt:
    """The prepared faces: whatever is damaged, the faces are the same as before."""
    source, sound, cache = folder / "faces", folder / "sound", folder / "cache"
    source.mkdir()
    for number in range(12):
        (source / f"{number}.png").write_bytes(encoded(noise(number), "PNG"))
    expected = open_faces(source, cache=sound)
    pixels = np.array(expected.images)
    (prepared,) = (path.name for path in sound.iterdir() if path.is_dir())

    def attempt(rng: Generator) -> None:
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(sound, cache)
        for path in sorted((cache / prepared).iterdir()):
            if rng.random() < 0.4:
                path.write_bytes(damaged(path.read_bytes(), rng))
            elif rng.random() < 0.03:
                path.unlink()
        faces = open_faces(source, cache=cache)
        assert faces.ids.tolist() == expected.ids.tolist()
        assert np.array_equal(faces.images, pixels)
        assert faces.splits.tolist() == expected.splits.tolist()

    return attempt


PARTITION = b"".join(b"%06d.jpg %d\n" % (row, row % 3) for row in range(1, 7))
ATTRIBUTES = b"6\nBald Smiling\n" + b"".join(b"%06d.jpg -1  1\n" % row for row in range(1, 7))


def zips(folder: Path) -> Attempt:
    """Zips of pictures, with and without lists in them, packed in every way."""
    sound = []
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        stream = BytesIO()
        with zipfile.ZipFile(stream, "w", packing) as archive:
            for row in range(1, 7):
                picture = encoded(noise(row), "JPEG")
                archive.writestr(f"img_align_celeba/{row:06d}.jpg", picture)
            archive.writestr("list_eval_partition.txt", PARTITION)
            archive.writestr("list_attr_celeba.txt", ATTRIBUTES)
        sound.append(stream.getvalue())

    def attempt(rng: Generator) -> None:
        data = sound[rng.integers(len(sound))]
        path = fresh(folder) / "faces.zip"
        if rng.random() < 0.3:  # one of the structure's own fields
            marks = [b"PK\1\2", b"PK\3\4", b"PK\5\6"]
            at = data.rfind(marks[rng.integers(3)], 0, int(rng.integers(len(data) // 2, len(data))))
            at = max(at, 0) + int(rng.integers(4, 46))
            data = data[:at] + rng.bytes(int(rng.choice([1, 2, 4]))) + data[at + 1 :]
        else:
            data = damaged(data, rng)
        path.write_bytes(data)
        open_faces(path, cache=path.parent / "cache")

    return attempt


def lists(folder: Path) -> Attempt:
    """CelebA's two lists, as text, as CSV, and as spreadsheets leave them."""
    pictures = {f"{row:06d}.jpg": encoded(noise(row), "JPEG") for row in range(1, 7)}
    sound = {
        "list_eval_partition.txt": [PARTITION, PARTITION.decode().encode("utf-16")],
        "list_eval_partition.csv": [
            b"image_id,partition\r\n" + PARTITION.replace(b" ", b",").replace(b"\n", b"\r\n"),
            b'"";"image_id";"partition"\n' + b'1;"000001.jpg";"train"\n2;"000002.jpg";"test"\n',
        ],
        "list_attr_celeba.txt": [ATTRIBUTES],
        "list_attr_celeba.csv": [
            b"image_id,Bald,Smiling\n000001.jpg,-1,1\n000002.jpg,1,-1\n",
            b",image_id,Bald,Smiling\n0,000001,True,False\n1,000002,False,\n",
        ],
    }

    def attempt(rng: Generator) -> None:
        place = fresh(folder)
        for name, data in pictures.items():
            (place / name).write_bytes(data)
        for name in rng.permutation(sorted(sound))[: rng.integers(1, 3)]:
            texts = sound[name]
            (place / name).write_bytes(damaged(texts[rng.integers(len(texts))], rng, times=2))
        open_faces(place, cache=place.parent / "cache")

    return attempt


def pictures(folder: Path) -> Attempt:
    """Pictures in every format that is read, beside a sound one, which must not get lost."""
    image, exif = noise(0), Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "a camera", 72.0
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    exif.get_ifd(0x8825)[2] = (1.0, 2.0, 3.0)
    floats = Image.fromarray(np.random.default_rng(0).random((40, 40), np.float32))
    deep = Image.fromarray(np.random.default_rng(0).integers(0, 65536, (40, 40), np.uint16))
    sound = [
        ("jpg", encoded(image, "JPEG", exif=exif)),
        ("jpg", encoded(image, "JPEG", exif=exif)),
        ("jpg", encoded(image, "JPEG", progressive=True, icc_profile=b"icc" * 50)),
        ("jpg", encoded(image.convert("CMYK"), "JPEG")),
        ("png", encoded(image, "PNG", exif=exif)),
        ("png", encoded(image.convert("P"), "PNG", transparency=0)),
        ("png", encoded(deep, "PNG")),
        ("webp", encoded(image, "WEBP", exif=exif)),
        ("bmp", encoded(image, "BMP")),
        ("gif", encoded(image, "GIF")),
        ("tif", encoded(image, "TIFF", exif=exif)),
        ("tif", encoded(image, "TIFF", compression="tiff_lzw")),
        ("tif", encoded(floats, "TIFF")),
    ]

    def attempt(rng: Generator) -> None:
        place = fresh(folder)
        (place / "sound.png").write_bytes(encoded(noise(1), "PNG"))
        for number, kind in enumerate(rng.integers(len(sound), size=3)):
            ending, data = sound[kind]
            if rng.random() < 0.5:  # in the head, where the sizes and tags are
                data = damaged(data[:400], rng) + data[400:]
            else:
                data = damaged(data, rng)
            (place / f"{number}.{ending}").write_bytes(data)
        faces = open_faces(place, cache=place.parent / "cache")
        assert "sound.png" in faces.ids.tolist()

    return attempt


def fresh(folder: Path) -> Path:
    """An empty folder for one attempt, beside nothing of the last one."""
    shutil.rmtree(folder / "attempt", ignore_errors=True)
    place = folder / "attempt" / "data"
    place.mkdir(parents=True)
    return place


KINDS = {kind.__name__: kind for kind in (caches, zips, lists, pictures)}
OF_MODELS = ("weights", "runs", "results", "galleries")  # in fuzz_models.py, which needs PyTorch


def run(kind: str, numbers: range, seed: int) -> dict:
    """Count what comes of these attempts; tell of each one that fails."""
    faulthandler.dump_traceback_later(120, repeat=False, exit=True)  # stuck in compiled code
    signal.signal(signal.SIGALRM, alarm)
    found = {"read": 0, "refused": 0, "failed": 0, "longest": 0.0}
    prepare = KINDS[kind] if kind in KINDS else getattr(import_module("fuzz_models"), kind)
    with tempfile.TemporaryDirectory() as name:
        attempt = prepare(Path(name))
        start = peak()
        for number in numbers:
            faulthandler.dump_traceback_later(120, exit=True)
            begun = time.perf_counter()
            signal.alarm(LIMIT)
            try:
                attempt(np.random.default_rng([seed, number]))
                found["read"] += 1
            except (InputError, TrainingStopped):
                found["refused"] += 1
            except (Exception, Hang):
                found["failed"] += 1
                print(f"{kind}, --seed {seed} --only {number}:\n{traceback.format_exc()}")
            finally:
                signal.alarm(0)
            found["longest"] = max(found["longest"], time.perf_counter() - begun)
        found["megabytes"] = (peak() - start) / 2**20
    faulthandler.cancel_dump_traceback_later()
    return found


def alarm(*_) -> None:
    raise Hang(f"longer than {LIMIT} s")


def peak() -> int:
    """The most bytes that this process has had in memory."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> int:
    every = [*KINDS, *OF_MODELS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(every))
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="repeat one attempt")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(every):
        parser.error(f"there is no kind {min(unknown)}; choose from {', '.join(every)}")
    numbers = range(options.count)
    if options.only is not None:
        numbers = range(options.only, options.only + 1)
    failed = 0
    for kind in options.kinds or every:
        if len(options.kinds) == 1:
            found = run(kind, numbers, options.seed)
            print(
                f"{kind:<10} {len(numbers):>6,} attempts: {found['read']:,} read, "
                f"{found['refused']:,} refused, {found['failed']:,} failed; longest "
                f"{found['longest']:.1f} s, {found['megabytes']:.0f} MB more",
                flush=True,
            )
            failed |= bool(found["failed"] or found["megabytes"] > 1000)
        else:
            own = ["--count", str(options.count), "--seed", str(options.seed)]
            own += ["--only", str(options.only)] if options.only is not None else []
            failed |= subprocess.run([sys.executable, __file__, kind, *own]).returncode
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
