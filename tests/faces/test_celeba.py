import errno
import os
import tracemalloc
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

from vae_lib.errors import InputError
from vae_lib.faces import open_faces, pictures
from vae_lib.faces.celeba import find_source, parse_attributes, parse_partition, split_by_hash
from vae_lib.faces.pictures import prepare_image

MODES = ["1", "L", "P", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV", "F"]
MODES += ["LA", "La", "PA", "I", "I;16", "I;16B"]
PARTITION = "list_eval_partition.txt"
ATTRIBUTES = "list_attr_celeba.txt"


def originals() -> Path:
    if not (folder := os.environ.get("CELEBA_ORIGINALS")):
        pytest.skip("set CELEBA_ORIGINALS to a folder with CelebA's img_align_celeba.zip")
    return Path(folder)


def picture_bytes(colour=(200, 30, 90), size=(64, 64), mode="RGB", form="PNG", **options) -> bytes:
    file = BytesIO()
    Image.new(mode, size, colour).save(file, form, **options)
    return file.getvalue()


def put_faces(folder: Path, count: int = 4, form: str = "jpg") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        data = picture_bytes((number, number, number), form="JPEG" if form == "jpg" else "PNG")
        (folder / f"{number:06d}.{form}").write_bytes(data)
    return folder


def put_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def opened(tmp_path):
    def open_with_own_cache(data, **options):
        return open_faces(data, cache=tmp_path / "the cache", **options)

    return open_with_own_cache


@pytest.fixture
def faces_folder(tmp_path):
    return put_faces(tmp_path / "faces")


# One picture


def test_originals_get_the_very_pixels_of_torchvision():
    reference = Compose([CenterCrop(148), Resize(64)])
    with zipfile.ZipFile(originals() / "img_align_celeba.zip") as archive:
        for name in archive.namelist()[::40]:
            image = Image.open(BytesIO(archive.read(name)))
            assert image.size == (178, 218)
            np.testing.assert_array_equal(prepare_image(image), reference(image), err_msg=name)


def test_noise_of_celebas_size_gets_the_very_pixels_of_torchvision():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (218, 178, 3), np.uint8))
    expected = Compose([CenterCrop(148), Resize(64)])(image)
    np.testing.assert_array_equal(prepare_image(image), expected)


@pytest.mark.parametrize("size", [(300, 200), (90, 161), (65, 64), (10, 30)])
def test_other_sizes_keep_their_largest_central_square(size):
    image = Image.effect_noise(size, 80).convert("RGB")
    side, width, height = min(size), *size
    left, top = (width - side) // 2, (height - side) // 2
    square = Image.fromarray(np.asarray(image)[top : top + side, left : left + side])
    np.testing.assert_array_equal(prepare_image(square), Resize(64)(square))
    np.testing.assert_array_equal(prepare_image(image), prepare_image(square))


def test_a_64x64_picture_keeps_its_pixels():
    image = Image.effect_noise((64, 64), 80).convert("RGB")
    np.testing.assert_array_equal(prepare_image(image), image)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_lying_on_its_side_is_turned_before_it_is_cropped(form):
    upright = Image.new("RGB", (178, 218), "blue")
    upright.paste("red", (0, 0, 178, 109))  # the upper half
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    file = BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(file, form, exif=exif)
    face = prepare_image(Image.open(file))
    red, _, blue = np.asarray(face)[8].mean(0)
    assert red > 200 > 60 > blue
    red, _, blue = np.asarray(face)[56].mean(0)
    assert blue > 200 > 60 > red


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_sixteen_bit_greys_are_scaled_not_clipped(mode):
    levels = np.repeat(np.arange(64, dtype=np.uint16) * 4 * 257, 64).reshape(64, 64)
    dtype = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
    image = Image.frombytes(mode, (64, 64), levels.astype(dtype).tobytes())
    assert image.mode == mode
    np.testing.assert_array_equal(np.asarray(prepare_image(image))[:, 0, 1], np.arange(64) * 4)


LEVELS = np.linspace(0, 1, 64 * 64).reshape(64, 64)


@pytest.mark.parametrize(
    "levels",
    [
        LEVELS.astype(np.float32),
        (LEVELS * 0.9).astype(np.float32),
        (LEVELS * 255).astype(np.float32),
        (LEVELS * 65535).astype(np.float32),
        (LEVELS * 255).astype(np.int32),
        (LEVELS * 65535).astype(np.int32),
        (LEVELS * 255).astype(np.uint16),
        (LEVELS * 65535).astype(np.uint16),
        (LEVELS > 0.5).astype(np.float32),
    ],
)
def test_greys_of_many_bits_are_read_by_their_range(levels, faces_folder, opened):
    Image.fromarray(levels).save(faces_folder / "grey.tif")
    faces = opened(faces_folder)
    (row,) = np.flatnonzero(faces.ids == "grey.tif")
    unit = 65535 if levels.max() > 255 else 255 if levels.max() > 1 else 1
    np.testing.assert_allclose(faces.images[row, :, :, 0], levels / unit * 255, atol=1)


@pytest.mark.parametrize("levels", [LEVELS * 2 - 1, LEVELS * 1e6, LEVELS * np.nan, LEVELS / 0])
def test_greys_of_no_known_range_are_left_out_with_a_note(levels, faces_folder, opened):
    Image.fromarray(levels.astype(np.float32)).save(faces_folder / "grey.tif")
    faces = opened(faces_folder)
    assert len(faces) == 4
    assert "grey.tif (grey levels from" in faces.notes[-1]


def with_damaged_exif(form: str) -> list[bytes]:
    """The same picture again and again, each with another tag spoilt."""
    exif = Image.Exif()
    exif[0x010F], exif[0x011A], exif[0x0132] = "a camera", 72.0, "2026:01:01 00:00:00"
    exif.get_ifd(0x8769)[0x829A] = 0.01
    exif.get_ifd(0x8825)[2] = (1.0, 2.0, 3.0)
    file = BytesIO()
    Image.effect_noise((178, 218), 80).convert("RGB").save(file, form, exif=exif)
    whole, tags = file.getvalue(), exif.tobytes()
    start = whole.index(tags[6:20])
    spots = range(start, start + len(tags) - 6, 3)
    return [whole[:at] + b"\xff\xfe" + whole[at + 2 :] for at in spots]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_sound_picture_with_a_damaged_exif_is_read(form, tmp_path, opened):
    variants = with_damaged_exif(form)
    (tmp_path / "faces").mkdir()
    for number, data in enumerate(variants):
        (tmp_path / "faces" / f"{number}.{form.lower()}").write_bytes(data)
    faces = opened(tmp_path / "faces", strict=True)
    assert len(faces) == len(variants) > 40
    assert (faces.images == faces.images[0]).all()


def test_originals_whose_every_second_exif_is_damaged_are_all_read(tmp_path, opened):
    spoilt = with_damaged_exif("JPEG")
    exif = [data[2 : data.index(b"\xff\xdb")] for data in spoilt]  # all between start and tables
    with (
        zipfile.ZipFile(originals() / "img_align_celeba.zip") as archive,
        zipfile.ZipFile(tmp_path / "faces.zip", "w") as spoilt_archive,
    ):
        for row, name in enumerate(archive.namelist()[:400]):
            data = archive.read(name)
            if row % 2:
                data = data[:2] + exif[row % len(exif)] + data[2:]
            spoilt_archive.writestr(name, data)
    assert len(opened(tmp_path / "faces.zip", strict=True)) == 400


def test_transparent_parts_turn_white():
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    half = Image.new("RGBA", (64, 64), (255, 0, 0, 128))
    palette = Image.new("P", (64, 64), 0)
    palette.putpalette([0, 90, 0])
    palette.info["transparency"] = 0
    assert prepare_image(clear).getcolors() == [(4096, (255, 255, 255))]
    assert prepare_image(half).getcolors() == [(4096, (255, 127, 127))]
    assert prepare_image(palette).getcolors() == [(4096, (255, 255, 255))]


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(MODES), st.integers(1, 300), st.integers(1, 300), st.integers(0, 255))
def test_any_mode_and_size_gives_a_face_and_one_grey_stays_that_grey(mode, width, height, grey):
    if mode.startswith("I"):
        dtype = {"I": "<i4", "I;16": "<u2", "I;16B": ">u2"}[mode]
        levels = np.full((height, width), grey * 257, dtype)
        image = Image.frombytes(mode, (width, height), levels.tobytes())
    elif mode in ("RGBa", "La"):  # with premultiplied alpha
        image = Image.new("L", (width, height), grey).convert(mode[:-1] + "A").convert(mode)
    elif mode == "LAB":
        image = Image.new("L", (width, height), grey).convert("RGB").convert(mode)
    elif mode == "CMYK":
        image = Image.new(mode, (width, height), (0, 0, 0, 255 - grey))
    elif mode == "1":
        grey = 255 * (grey // 128)
        image = Image.new(mode, (width, height), grey)
    else:
        image = Image.new("L", (width, height), grey).convert(mode)
    face = prepare_image(image)
    assert (face.mode, face.size) == ("RGB", (64, 64))
    np.testing.assert_allclose(np.asarray(face, float), grey, atol=2 if mode == "LAB" else 0)


@settings(deadline=None, max_examples=60)
@given(st.tuples(*[st.integers(0, 255)] * 3), st.integers(1, 300), st.integers(1, 300))
def test_a_picture_of_one_colour_stays_that_colour(colour, width, height):
    face = prepare_image(Image.new("RGB", (width, height), colour))
    assert face.getcolors() == [(4096, colour)]


# Layouts


def test_celeba_in_a_zip_with_its_annotations_beside_it(tmp_path, opened):
    rows = {"000003.jpg": "0", "000001.jpg": "2", "000002.jpg": "0", "000009.jpg": "1"}
    put_zip(
        tmp_path / "img_align_celeba.zip",
        {f"img_align_celeba/{name}": picture_bytes(form="JPEG") for name in list(rows)[:3]},
    )
    (tmp_path / "Eval").mkdir()
    (tmp_path / "Eval" / PARTITION).write_text("".join(f"{k} {v}\n" for k, v in rows.items()))
    (tmp_path / ATTRIBUTES).write_text(
        "3\nBald Smiling\n000001.jpg -1  1\n000002.jpg  1  1\n000003.jpg -1 -1\n"
    )
    for data in (tmp_path, tmp_path / "img_align_celeba.zip"):
        faces = opened(data)
        assert faces.name == "celeba"
        assert faces.ids.tolist() == ["000002.jpg", "000003.jpg", "000001.jpg"]
        assert faces.splits.tolist() == [0, 0, 2]
        assert faces.attribute_names == ("Bald", "Smiling")
        assert faces.attributes.tolist() == [[1, 1], [-1, -1], [-1, 1]]
        assert faces.notes == (f"Found 3 of the 4 images that Eval/{PARTITION} lists.",)


def test_kaggles_archive_with_its_tables_inside(tmp_path, opened):
    names = ("000001.jpg", "000002.jpg")
    members = {f"img_align_celeba/img_align_celeba/{name}": picture_bytes() for name in names}
    members["list_attr_celeba.csv"] = b"image_id,Bald\r\n000001.jpg,-1\r\n000002.jpg,1\r\n"
    members["list_eval_partition.csv"] = b"image_id,partition\r\n000001.jpg,1\r\n000002.jpg,0\r\n"
    faces = opened(put_zip(tmp_path / "archive.zip", members))
    assert faces.ids.tolist() == ["000002.jpg", "000001.jpg"]
    assert faces.splits.tolist() == [0, 1]
    assert faces.attributes.tolist() == [[1], [-1]]
    assert faces.notes == ()


def test_pngs_of_celeba_are_found_under_the_names_that_the_annotations_use(tmp_path, opened):
    folder = put_faces(tmp_path / "celeba" / "img_align_celeba_png", 2, "png").parent
    (folder / PARTITION).write_text("000001.jpg 0\n000002.jpg 1\n")
    faces = opened(tmp_path / "celeba")
    assert faces.ids.tolist() == ["000001.jpg", "000002.jpg"]
    assert faces.images[:, 5, 5, 0].tolist() == [1, 2]


def test_other_pictures_go_by_their_path_and_hidden_files_are_no_pictures(tmp_path, opened):
    for name in ("b/anna.png", "a/ben.PNG", ".trash/c.png", "__MACOSX/d.png", "a/._ben.png"):
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_bytes(picture_bytes())
    put_zip(
        tmp_path / "own" / "more.zip", {"x/eva.png": picture_bytes(), "__MACOSX/._eva.png": b""}
    )
    faces = opened(tmp_path / "own")
    assert faces.name == "faces"
    assert sorted(faces.ids) == ["a/ben.PNG", "b/anna.png", "x/eva.png"]
    assert faces.attributes.shape == (3, 0)
    assert faces.splits.tolist() == sorted(split_by_hash(name) for name in faces.ids)


def test_of_a_listed_name_met_twice_the_unpacked_file_wins(tmp_path, opened):
    folder = put_faces(tmp_path / "faces", 1)
    put_zip(folder / "a.zip", {"000001.jpg": picture_bytes((99, 99, 99))})
    (folder / PARTITION).write_text("000001.jpg 0\n")
    faces = opened(folder)
    assert faces.images[0, 0, 0].tolist() == [1, 1, 1]
    assert "Skipped 1 repeated file names." in faces.notes


def test_pictures_that_merely_share_their_names_are_all_kept(tmp_path, opened):
    for folder in ("men", "women"):
        put_faces(tmp_path / "faces" / folder, 3)
    put_zip(tmp_path / "faces" / "a.zip", {"000001.jpg": picture_bytes((99, 99, 99))})
    faces = opened(tmp_path / "faces")
    assert faces.name == "faces"
    assert len(faces) == 7
    assert {"men/000001.jpg", "women/000001.jpg", "a.zip/000001.jpg"} < set(faces.ids.tolist())


def test_annotations_one_level_above_the_pictures_are_found(tmp_path, opened):
    put_faces(tmp_path / "img_align_celeba", 2)
    (tmp_path / "list_eval_partition.csv").write_text(
        "image_id, partition\n000001.jpg, 0\n000002.jpg, 2\n"
    )
    faces = opened(tmp_path / "img_align_celeba")
    assert faces.splits.tolist() == [0, 2]


def test_celeba_root_is_named_where_it_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setenv("CELEBA_ROOT", str(tmp_path / "missing"))
    with pytest.raises(InputError, match=r"CELEBA_ROOT names .*missing"):
        open_faces()


def test_touching_the_files_does_not_change_what_the_faces_are(tmp_path, opened):
    folder = put_faces(tmp_path / "faces", 3)
    before = opened(folder)
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    after = opened(folder)
    assert after.fingerprint == before.fingerprint
    (folder / "000001.jpg").write_bytes(picture_bytes((200, 0, 0)))
    assert opened(folder).fingerprint != before.fingerprint


def test_a_loop_of_links_ends(faces_folder, opened):
    (faces_folder / "again").symlink_to(faces_folder, target_is_directory=True)
    assert len(opened(faces_folder)) == 4


def test_the_hash_splits_80_10_10_and_never_changes():
    splits = [split_by_hash(f"{number:06d}.jpg") for number in range(10_000)]
    assert np.bincount(splits) / 10_000 == pytest.approx([0.8, 0.1, 0.1], abs=0.01)
    assert splits[:12] == [0, 0, 0, 2, 0, 2, 0, 2, 0, 0, 0, 0]


def test_pictures_that_the_partition_does_not_list_are_left_out(faces_folder, opened):
    (faces_folder / PARTITION).write_text("000002.jpg 0\n000004.jpg 1\n")
    faces = opened(faces_folder)
    assert faces.ids.tolist() == ["000002.jpg", "000004.jpg"]
    assert faces.notes == (f"Left out 2 pictures that {PARTITION} does not list.",)


def test_pictures_without_attributes_stay_with_nan(faces_folder, opened):
    (faces_folder / ATTRIBUTES).write_text("1\nBald\n000003.jpg -1\n")
    faces = opened(faces_folder)
    known = faces.ids == "000003.jpg"
    assert faces.attributes[known].tolist() == [[-1]]
    assert np.isnan(faces.attributes[~known]).all()
    assert any(f"{ATTRIBUTES} lacks 3" in note for note in faces.notes)


# Damage


def huge_png() -> bytes:
    """A real picture of 30,000x30,000 pixels: one bit each, 112 MB before compression."""
    row = b"\0" + bytes(30_000 // 8)
    packer = zlib.compressobj(1)
    data = b"".join([*(packer.compress(row * 1000) for _ in range(30)), packer.flush()])

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + kind + body + check

    header = (30_000).to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def noisy_jpeg() -> bytes:
    file = BytesIO()
    Image.effect_noise((178, 218), 80).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("garbage.jpg", b"\xff\xd8\xff and then nothing of the kind"),
        ("cut.jpg", noisy_jpeg()[:-2000]),
        ("empty.png", b""),
        ("cut.png", picture_bytes()[:60]),
        ("page.jpg", b"<html>not here</html>"),
        ("script.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n"),
        ("huge.png", huge_png()),
    ],
)
def test_an_unreadable_picture_is_left_out_with_a_note_or_refused(name, data, faces_folder, opened):
    (faces_folder / name).write_bytes(data)
    faces = opened(faces_folder)
    assert len(faces) == 4
    assert name not in faces.ids
    assert f"Left out 1 unreadable pictures: {name} (" in faces.notes[-1]
    with pytest.raises(InputError, match=name):
        opened(faces_folder, strict=True)


def test_a_huge_picture_is_refused_before_it_is_decoded(faces_folder, opened, monkeypatch):
    (faces_folder / "large.png").write_bytes(picture_bytes(0, (8000, 7000), "1"))
    prepared = []
    monkeypatch.setattr(
        "vae_lib.faces.pictures.prepare_image",
        lambda image: prepared.append(image.size) or Image.new("RGB", (64, 64)),
    )
    assert "8000x7000 pixels are too many" in opened(faces_folder).notes[-1]
    assert set(prepared) == {(64, 64)}


def test_a_member_whose_checksum_fails_is_left_out(tmp_path, opened):
    good, bad = picture_bytes((1, 2, 3), form="BMP"), picture_bytes((7, 7, 7), form="BMP")
    path = put_zip(tmp_path / "faces.zip", {"good.bmp": good, "bad.bmp": bad})
    path.write_bytes(path.read_bytes().replace(b"\7" * 64, b"\7" * 63 + b"\6", 1))
    faces = opened(path)
    assert faces.ids.tolist() == ["good.bmp"]
    assert "bad.bmp (Bad CRC-32" in faces.notes[-1]


PASSING = [
    OSError(errno.EIO, "Input/output error"),
    PermissionError(errno.EACCES, "Permission denied"),
    FileNotFoundError(errno.ENOENT, "No such file or directory"),
    OSError(errno.ESTALE, "Stale file handle"),
    MemoryError(),
]


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("packed", [False, True])
def test_what_may_pass_stops_the_build_and_leaves_no_picture_out(
    error, packed, tmp_path, opened, monkeypatch
):
    if packed:
        data = put_zip(tmp_path / "a.zip", {f"{n}.png": picture_bytes((n, n, n)) for n in range(9)})
    else:
        data = put_faces(tmp_path / "faces", 9)
    read = pictures.Picture.read

    def sometimes(picture):
        if "5" in picture.id:
            raise error
        return read(picture)

    with monkeypatch.context() as patch:
        patch.setattr(pictures.Picture, "read", sometimes)
        reason = error.strerror if isinstance(error, OSError) else "memory ran out"
        with pytest.raises(InputError, match=rf"5.* could not be read: {reason}.*try again"):
            opened(data)
    assert len(opened(data)) == 9


def test_memory_that_runs_out_while_decoding_leaves_no_picture_out(
    faces_folder, opened, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "prepare_image", lambda image: bytearray(1 << 62))
        with pytest.raises(InputError, match="memory ran out"):
            opened(faces_folder)
    assert len(opened(faces_folder)) == 4


@pytest.mark.parametrize("packed", [False, True])
def test_a_picture_of_too_many_bytes_is_not_even_read(packed, tmp_path, opened, monkeypatch):
    monkeypatch.setattr("vae_lib.faces.pictures.MAX_BYTES", 50_000)
    monkeypatch.setattr("vae_lib.faces.verify.MAX_BYTES", 50_000)
    large = picture_bytes(size=(200, 200), form="BMP")
    members = {"large.bmp": large, "small.png": picture_bytes()}
    if packed:
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    else:
        for name, data in members.items():
            (tmp_path / name).write_bytes(data)
    faces = opened(tmp_path)
    assert faces.ids.tolist() == ["small.png"]
    assert f"large.bmp (too large: {len(large):,} bytes)" in faces.notes[-1]


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_lies_about_its_size_fills_no_memory(packing, tmp_path, opened):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("bomb.bmp", bytes(120_000_000))
        archive.writestr("small.png", picture_bytes())
    told = (120_000_000).to_bytes(4, "little")
    assert path.read_bytes().count(told) == 2
    path.write_bytes(path.read_bytes().replace(told, (20_000).to_bytes(4, "little")))
    tracemalloc.start()
    faces = opened(path, workers=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert faces.ids.tolist() == ["small.png"]
    assert peak < 100_000_000


def test_only_unreadable_pictures_are_an_error(tmp_path, opened):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "one.jpg").write_bytes(b"no")
    with pytest.raises(InputError, match=r"None of the 1 pictures can be read: one\.jpg"):
        opened(tmp_path / "bad")


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda folder: folder / "nowhere", r"There is no .*nowhere"),
        (lambda folder: folder, r"should hold pictures or a zip of them, but holds neither"),
        (lambda folder: write(folder / PARTITION, b"").parent, rf"holds only {PARTITION}"),
        (lambda folder: write(folder / "faces.txt", b""), r"is neither a folder nor a zip"),
        (lambda folder: write(folder / "a.zip", b"\n<!DOCTYPE html>"), r"a\.zip is a web page"),
        (
            lambda folder: write(folder / "a.zip", b"<html>Quota exceeded"),
            r"Google Drive's page 'Quota exceeded'",
        ),
        (lambda folder: write(folder / "a.zip", b"Rar!"), r"a\.zip begins with b'Rar!'.* no zip"),
        (
            lambda folder: put_zip(folder / "a.zip", {"b.txt": b""}),
            r"There is no picture in a\.zip",
        ),
    ],
)
def test_what_holds_no_faces_is_refused_in_a_sentence(prepare, sentence, tmp_path, opened):
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match=sentence):
        opened(prepare(tmp_path / "data"))


def test_a_zip_that_was_cut_off_says_after_how_many_bytes(tmp_path, opened):
    path = put_zip(tmp_path / "faces.zip", {f"{n:06d}.jpg": noisy_jpeg() for n in range(3)})
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(InputError, match=r"faces\.zip is truncated: .* after 20,000 bytes"):
        opened(path)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        (PARTITION, "000001.jpg 0\n000002.jpg\n", r"line 2: .*found 1 fields, '000002\.jpg'"),
        (PARTITION, "000001.jpg 0\n000002.jpg 3\n", r"line 2: expected a file name and 0, 1 or 2"),
        ("list_eval_partition.csv", "image_id,partition\n000001.jpg,x\n", r"line 2"),
        (PARTITION, "000001.jpg 1\n000002.jpg 2\n", r"none of the pictures .* training"),
        (ATTRIBUTES, "1\nBald Smiling\n000001.jpg 1\n", r"line 3: .* 2 values"),
        (ATTRIBUTES, "1\nBald Smiling\n000001.jpg 1 0\n", r"line 3: .* -1 or 1"),
        (ATTRIBUTES, "1\n000001.jpg 1 -1\n", r"line 2: expected the names"),
        ("list_attr_celeba.csv", "000001.jpg,1,-1\n", r"line 1: expected the names"),
    ],
)
def test_damaged_annotations_name_the_file_and_line(name, text, sentence, faces_folder, opened):
    (faces_folder / name).write_text(text)
    with pytest.raises(InputError, match=f"{name}.*{sentence}|{sentence}"):
        opened(faces_folder)


SOUND = {
    "list_eval_partition.txt": b"000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n",
    "list_eval_partition.csv": b"image_id,partition\n000001.jpg,0\n000002.jpg,1\n",
    "list_attr_celeba.txt": b"2\nBald Smiling\n000001.jpg -1  1\n000002.jpg  1 -1\n",
    "list_attr_celeba.csv": b"image_id,Bald,Smiling\n000001.jpg,-1,1\n000002.jpg,1,-1\n",
}


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(sorted(SOUND)), st.data())
def test_mangled_annotations_parse_or_are_refused(name, data):
    text = SOUND[name]
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(len(text), start + 30)))
        text = text[:start] + data.draw(st.binary(max_size=8)) + text[stop:]
    try:
        if "partition" in name:
            assert set(parse_partition(name, text).values()) <= {0, 1, 2}
        else:
            names, values = parse_attributes(name, text)
            assert all(len(row) == len(names) for row in values.values())
            assert {value for row in values.values() for value in row} <= {"-1", "1"}
    except InputError:
        pass


# Where the faces come from


def test_auto_prefers_data_then_celeba_root_then_synthetic(tmp_path, opened, monkeypatch):
    mine, root = put_faces(tmp_path / "mine", 3), put_faces(tmp_path / "root", 5)
    monkeypatch.setattr("vae_lib.faces._open_synthetic", lambda count, cache: count)
    monkeypatch.setenv("CELEBA_ROOT", str(root))
    assert len(opened(mine)) == 3
    assert len(opened(None)) == 5
    assert opened(None, kind="synthetic", synthetic_count=7) == 7
    monkeypatch.delenv("CELEBA_ROOT")
    assert opened(None) == 20_000


def test_missing_images_and_contradictions_are_refused(tmp_path, opened, monkeypatch):
    monkeypatch.delenv("CELEBA_ROOT", raising=False)
    with pytest.raises(InputError, match=r"vae download celeba.*--data DIR.*--faces synthetic"):
        opened(None, kind="images")
    with pytest.raises(InputError, match="drop one"):
        opened(tmp_path, kind="synthetic")
    with pytest.raises(InputError, match="no kind 'drawn'"):
        opened(None, kind="drawn")


def test_synthetic_faces_are_cached_with_their_factors(opened):
    pytest.importorskip("vae_lib.faces.synthetic")
    from vae_lib.faces.synthetic import FACTORS, synthetic_faces

    faces = opened(None, kind="synthetic", synthetic_count=30)
    images, factors = synthetic_faces(30, seed=0)
    np.testing.assert_array_equal(faces.images, images)
    np.testing.assert_array_equal(faces.attributes, factors)
    assert faces.attribute_names == tuple(factor.name for factor in FACTORS)
    assert faces.name == "synthetic"
    assert faces.ids[12] == "synthetic-000012"
    assert np.bincount(faces.splits).tolist() == [24, 3, 3]


def test_the_fingerprint_changes_with_the_files(faces_folder):
    seen = {find_source(faces_folder).fingerprint}
    (faces_folder / "000001.jpg").write_bytes(b"other size")
    seen.add(find_source(faces_folder).fingerprint)
    os.utime(faces_folder / "000002.jpg", ns=(0, 1))
    seen.add(find_source(faces_folder).fingerprint)
    (faces_folder / PARTITION).write_text("000001.jpg 0\n")
    seen.add(find_source(faces_folder).fingerprint)
    (faces_folder / "000003.jpg").rename(faces_folder / "000005.jpg")
    seen.add(find_source(faces_folder).fingerprint)
    assert len(seen) == 5
