import errno
import json
import os
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_lib.errors import InputError
from vae_lib.faces import open_faces

COUNT = 300

# Opens the faces as a user's script does, without `if __name__ == "__main__"`, but slowly; prints
# how many pictures it decoded and the mean of their pixels.
SLOW_OPEN = """
import sys, time
from vae_lib.faces import open_faces, pictures
decoded, prepare = [], pictures.prepare_image
def slow(image):
    time.sleep(0.01)
    decoded.append(1)
    return prepare(image)
pictures.prepare_image = slow
faces = open_faces(sys.argv[1], cache=sys.argv[2], workers=2)
print(len(decoded), len(faces), faces.images.mean())
"""

LIMITED_OPEN = """
import resource, signal, sys
from vae_lib.faces import open_faces
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
open_faces(sys.argv[1], cache=sys.argv[2])
"""


@pytest.fixture(scope="module")
def encoded():
    noise, pictures = np.random.default_rng(0), []
    for _ in range(COUNT):
        file = BytesIO()
        Image.fromarray(noise.integers(0, 256, (40, 40, 3), np.uint8)).save(file, "PNG")
        pictures.append(file.getvalue())
    return pictures


@pytest.fixture
def faces_folder(tmp_path, encoded):
    folder = tmp_path / "faces"
    folder.mkdir()
    for number, picture in enumerate(encoded):
        (folder / f"{number:06d}.png").write_bytes(picture)
    return folder


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def run(script: str, *arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def folders(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.is_dir())


def test_the_second_opening_decodes_nothing_and_gives_the_same(faces_folder, cache, monkeypatch):
    first = open_faces(faces_folder, cache=cache)
    monkeypatch.setattr(Image, "open", None)  # from here on no picture can be read
    with pytest.raises(InputError, match="None of the 300 pictures can be read"):
        open_faces(faces_folder, cache=cache / "another")
    second = open_faces(faces_folder, cache=cache)
    np.testing.assert_array_equal(first.images, second.images)
    assert second.ids.tolist() == first.ids.tolist()
    assert second.splits.tolist() == first.splits.tolist()
    assert (second.fingerprint, second.notes) == (first.fingerprint, first.notes)
    assert isinstance(second.images, np.memmap)
    assert not second.images.flags.writeable


def test_the_bytes_do_not_depend_on_the_number_of_workers(faces_folder, tmp_path):
    one, five = (
        open_faces(faces_folder, cache=tmp_path / str(workers), workers=workers)
        for workers in (1, 5)
    )
    assert one.ids.tolist() == five.ids.tolist()
    np.testing.assert_array_equal(one.images, five.images)


def test_a_change_in_the_files_builds_anew(faces_folder, cache):
    before = open_faces(faces_folder, cache=cache)
    (faces_folder / "000000.png").unlink()
    after = open_faces(faces_folder, cache=cache)
    assert (len(before), len(after)) == (COUNT, COUNT - 1)
    assert before.fingerprint != after.fingerprint


def zeros_within(data: bytes) -> bytes:
    return data[:1_000_000] + bytes(4096) + data[1_004_096:]


def one_bit_flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGE = {
    "cut short": ("images.u8 rows.npz cache.json cache.sha256", lambda data: data[:-7]),
    "emptied": ("images.u8 rows.npz cache.json cache.sha256", lambda data: b""),
    "one bit": ("images.u8 rows.npz cache.json cache.sha256", one_bit_flipped),
    "4 kB of zeros": ("images.u8", zeros_within),
    "other JSON": ("cache.json", lambda data: b"{}"),
    "deep JSON": ("cache.json", lambda data: b"[" * 100_000),
}


@pytest.mark.parametrize(
    ("name", "damage"), [(n, kind) for kind, (names, _) in DAMAGE.items() for n in names.split()]
)
def test_a_cache_that_is_not_what_was_written_is_built_anew(name, damage, faces_folder, cache):
    for path in sorted(faces_folder.iterdir())[100:]:  # fewer are quicker
        path.unlink()
    before = open_faces(faces_folder, cache=cache)
    pixels = np.array(before.images)
    (path,) = cache.glob(f"*/{name}")
    path.write_bytes(DAMAGE[damage][1](path.read_bytes()))
    after = open_faces(faces_folder, cache=cache)
    np.testing.assert_array_equal(after.images, pixels)
    assert (after.ids.tolist(), after.splits.tolist()) == (
        before.ids.tolist(),
        before.splits.tolist(),
    )
    assert any("damaged" in note and "made anew" in note for note in after.notes)
    assert open_faces(faces_folder, cache=cache).notes == before.notes


def test_of_many_pixels_some_are_checked_at_each_opening(faces_folder, cache, monkeypatch):
    """Whoever damages a disk leaves the file's time as it was; others at each opening, in turn."""
    monkeypatch.setattr("vae_lib.faces.cache.CHECKED", 1_000_000)  # of 3.7 MB, in five blocks
    whole = open_faces(faces_folder, cache=cache)
    (path,) = cache.glob("*/images.u8")
    stat = path.stat()
    path.write_bytes(zeros_within(path.read_bytes()))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    openings = [open_faces(faces_folder, cache=cache).notes for _ in range(100)]
    assert any(notes != whole.notes for notes in openings)
    assert openings[-1] == whole.notes


def test_a_drive_that_does_not_answer_costs_no_cache(faces_folder, cache, monkeypatch):
    open_faces(faces_folder, cache=cache)

    def failing(path):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("vae_lib.faces.cache._sum_of", failing)
        with pytest.raises(InputError, match=r"Cannot read the prepared faces .*Input/output"):
            open_faces(faces_folder, cache=cache)
    monkeypatch.setattr(Image, "open", None)
    assert len(open_faces(faces_folder, cache=cache)) == COUNT


def test_the_environment_variable_says_where_caches_lie(faces_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_LIB_CACHE", str(tmp_path / "elsewhere"))
    open_faces(faces_folder)
    assert len(folders(tmp_path / "elsewhere")) == 1


def test_a_build_that_was_killed_leaves_nothing_behind(faces_folder, cache):
    build = run(SLOW_OPEN, faces_folder, cache)
    while not any(path.stat().st_size for path in cache.glob("*.building/images.u8")):
        assert build.poll() is None, build.stderr.read()
        time.sleep(0.005)
    build.send_signal(signal.SIGKILL)
    build.communicate()
    assert folders(cache)[0].endswith(".building")

    faces = open_faces(faces_folder, cache=cache)
    assert len(faces) == COUNT
    with Image.open(faces_folder / f"{faces.ids[7][:6]}.png") as image:
        np.testing.assert_array_equal(faces.images[7], image.resize((64, 64), Image.BILINEAR))
    assert len(folders(cache)) == 1
    assert not folders(cache)[0].endswith(".building")


def test_of_two_processes_at_once_one_builds_and_both_see_the_same(faces_folder, cache):
    both = [run(SLOW_OPEN, faces_folder, cache) for _ in range(2)]
    results = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    (decoded_a, *rest_a), (decoded_b, *rest_b) = (out.split() for out, _ in results)
    assert rest_a == rest_b
    assert sorted([int(decoded_a), int(decoded_b)]) == [0, COUNT]


def test_no_progress_bar_is_drawn_into_a_file(faces_folder, cache):
    _, errors = run(SLOW_OPEN, faces_folder, cache).communicate(timeout=60)
    assert errors == ""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_write_that_fails_is_a_sentence_and_leaves_nothing_behind(faces_folder, cache):
    _, errors = run(LIMITED_OPEN, faces_folder, cache).communicate(timeout=60)
    sentence = errors.strip().splitlines()[-1]
    assert sentence.startswith("vae_lib.errors.InputError: Cannot write")
    assert str(cache) in sentence
    assert f"It needs {COUNT * 64 * 64 * 3:,} bytes" in sentence
    assert "VAE_LIB_CACHE" in sentence
    assert folders(cache) == []


def test_a_disk_without_room_is_refused_before_anything_is_decoded(
    faces_folder, cache, monkeypatch
):
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(InputError, match=r"not enough free space.*It needs 3,686,400 bytes"):
        open_faces(faces_folder, cache=cache)
    assert folders(cache) == []


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_cache_folder_that_cannot_be_made_is_a_sentence(name, faces_folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"Cannot write .*file.*--cache or VAE_LIB_CACHE"):
        open_faces(faces_folder, cache=tmp_path / name)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may write anywhere")
def test_a_cache_folder_without_permission_is_a_sentence(faces_folder, cache):
    cache.mkdir(mode=0o500)
    with pytest.raises(InputError, match=r"Cannot write .*Permission.*VAE_LIB_CACHE"):
        open_faces(faces_folder, cache=cache)


def test_a_finished_cache_is_opened_without_writing_anything_beside_it(faces_folder, cache):
    open_faces(faces_folder, cache=cache)
    for lock in cache.glob("*.lock"):
        lock.unlink()
    before = {path: path.stat().st_mtime_ns for path in (cache, *cache.rglob("*"))}
    assert len(open_faces(faces_folder, cache=cache)) == COUNT
    assert {path: path.stat().st_mtime_ns for path in (cache, *cache.rglob("*"))} == before


def test_the_manifest_tells_what_the_cache_holds(faces_folder, cache):
    faces = open_faces(faces_folder, cache=cache)
    (path,) = cache.glob("*/cache.json")
    manifest = json.loads(path.read_text())
    assert manifest["shape"] == [COUNT, 64, 64, 3]
    assert manifest["sizes"]["images.u8"] == COUNT * 64 * 64 * 3
    assert manifest["fingerprint"] == faces.fingerprint


def test_real_faces_open_from_their_cache_at_once():
    if not (root := os.environ.get("CELEBA_ROOT")):
        pytest.skip("set CELEBA_ROOT to a folder with CelebA")
    faces = open_faces(root)
    start = time.perf_counter()
    again = open_faces(root)
    assert time.perf_counter() - start < 1
    assert faces.name == again.name == "celeba"
    assert len(faces.attribute_names) == 40
    assert set(np.unique(faces.attributes)) == {-1, 1}
    assert sum(len(faces.split(name)) for name in ("train", "valid", "test")) == len(faces)
