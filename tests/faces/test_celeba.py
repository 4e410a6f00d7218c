import errno
import os
import sys
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
from PIL.ImageFile import ImageFile
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
    tags, variants = exif.tobytes(), []
    for at in range(0, len(tags) - 6, 3):
        file = BytesIO()
        Image.effect_noise((64, 64), 80).convert("RGB").save(file, form, exif=exif)
        data = bytearray(file.getvalue())
        start = data.index(tags[6:20]) + at
        data[start : start + 2] = b"\xff\xfe"
        variants.append(bytes(data))
    return variants


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_sound_picture_with_a_damaged_exif_is_read(form, tmp_path, opened):
    variants = with_damaged_exif(form)
    (tmp_path / "faces").mkdir()
    for number, data in enumerate(variants):
        (tmp_path / "faces" / f"{number}.{form.lower()}").write_bytes(data)
    faces = opened(tmp_path / "faces", strict=True)
    assert len(faces) == len(variants) > 40


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
        assert faces.notes == (
            f"Found 3 of the 4 images that Eval/{PARTITION} lists.",
            f"These are CelebA's faces by their names and by Eval/{PARTITION} and {ATTRIBUTES}.",
            "Of these 3 faces 2 are for training, 0 for validation and 1 for testing.",
        )


def test_kaggles_archive_with_its_tables_inside(tmp_path, opened):
    names = ("000001.jpg", "000002.jpg")
    members = {f"img_align_celeba/img_align_celeba/{name}": picture_bytes() for name in names}
    members["list_attr_celeba.csv"] = b"image_id,Bald\r\n000001.jpg,-1\r\n000002.jpg,1\r\n"
    members["list_eval_partition.csv"] = b"image_id,partition\r\n000001.jpg,1\r\n000002.jpg,0\r\n"
    faces = opened(put_zip(tmp_path / "archive.zip", members))
    assert faces.ids.tolist() == ["000002.jpg", "000001.jpg"]
    assert faces.splits.tolist() == [0, 1]
    assert faces.attributes.tolist() == [[1], [-1]]
    assert faces.notes == (
        "These are CelebA's faces by their names and by list_eval_partition.csv and "
        "list_attr_celeba.csv.",
        "Of these 2 faces 1 are for training, 1 for validation and 0 for testing.",
    )


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


def test_annotations_beside_a_folder_that_belong_to_another_one_are_not_its_own(tmp_path, opened):
    (tmp_path / PARTITION).write_text("000001.jpg 0\n000002.jpg 2\n")
    (tmp_path / ATTRIBUTES).write_text("Bald\n000001.jpg 1\n000002.jpg 1\n")
    faces = opened(drawings(tmp_path / "mine", *(f"{n}.png" for n in range(12))))
    assert (len(faces), faces.attribute_names) == (12, ())
    assert any("by a hash" in note for note in faces.notes)


def test_annotations_beside_a_link_to_the_pictures_are_found(tmp_path, opened):
    put_faces(tmp_path / "disk" / "img_align_celeba", 2)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "faces").symlink_to(tmp_path / "disk" / "img_align_celeba")
    (tmp_path / "here" / PARTITION).write_text("000001.jpg 0\n000002.jpg 2\n")
    assert opened(tmp_path / "here" / "faces").splits.tolist() == [0, 2]


def test_pictures_that_are_links_to_nothing_are_counted(faces_folder, opened):
    for n in range(3):
        (faces_folder / f"gone-{n}.jpg").symlink_to(faces_folder / "nowhere")
    assert any(
        "Passed over 3 with a link to nothing" in note for note in opened(faces_folder).notes
    )


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
    assert faces.notes == (
        f"Left out 2 pictures that {PARTITION} does not list.",
        f"These are CelebA's faces by their names and by {PARTITION}.",
        "Of these 2 faces 1 are for training, 1 for validation and 0 for testing.",
    )


def test_pictures_without_attributes_stay_with_nan(faces_folder, opened):
    (faces_folder / ATTRIBUTES).write_text("1\nBald\n000003.jpg -1\n")
    faces = opened(faces_folder)
    known = faces.ids == "000003.jpg"
    assert faces.attributes[known].tolist() == [[-1]]
    assert np.isnan(faces.attributes[~known]).all()
    assert any(f"{ATTRIBUTES} lacks 3" in note for note in faces.notes)


def drawings(folder: Path, *names: str) -> Path:
    """A picture under each of the names, every one another."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(noisy(len(list(folder.rglob("*.*")))))
    return folder


def noisy(seed: int, size=(64, 64), form: str = "PNG") -> bytes:
    """A picture that no other seed gives, and that does not look like a mask."""
    file = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def sizes(faces) -> list[int]:
    return np.bincount(faces.splits, minlength=3).tolist()


def in_splits(faces) -> list[set[bytes]]:
    return [{i.tobytes() for i in faces.images[faces.splits == split]} for split in range(3)]


# The lists as people have them


TWO = {"000001.jpg": 0, "000002.jpg": 2}
LISTED = {"000001.jpg": ["-1", "1"], "000002.jpg": ["1", "-1"]}


@pytest.mark.parametrize(
    "text",
    [
        "000001.jpg 0\n000002.jpg 2\n",
        "000001.jpg\t0\r\n000002.jpg\t2\r\n",
        "000001.jpg 0\r000002.jpg 2",
        "image_id,partition\n000001.jpg,0\n000002.jpg,2\n",
        "000001.jpg,0\n000002.jpg,2\n",
        "image_id;partition\n000001.jpg;0\n000002.jpg;2\n",
        ",image_id,partition\n0,000001.jpg,0\n1,000002.jpg,2\n",
        "Unnamed: 0;image_id;partition\n0;000001.jpg;0\n1;000002.jpg;2\n",
        "0,000001.jpg,0\n1,000002.jpg,2\n",
        '"image_id","partition"\n"000001.jpg","0"\n"000002.jpg","2"\n',
        '"000001.jpg" "train"\n"000002.jpg" "test"\n',
        "filename,split\n000001.jpg,train\n000002.jpg,test\n",
        "split,filename\ntraining,000001.jpg\nTEST,000002.jpg\n",
        "000001.jpg Train\n\n000002.jpg testing\n",
        "2\n000001.jpg 0\n000002.jpg 2\n",
        "image_id,partition\n000001.jpg,0.0\n000002.jpg,2.0\n",
        "img_align_celeba/000001.jpg 0\nimg_align_celeba\\000002.jpg 2\n",
        "000001.png 0\n000002.PNG 2\n",
    ],
)
@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_a_partition_is_read_as_people_have_it(text, code):
    assert parse_partition(PARTITION, text.encode(code)) == TWO


@pytest.mark.parametrize(
    "text",
    [
        "2\nBald Smiling\n000001.jpg -1  1\n000002.jpg  1 -1\n",
        "Bald\tSmiling\n000001.jpg\t-1\t1\n000002.jpg\t1\t-1\n",
        "image_id Bald Smiling\n000001.jpg 0 1\n000002.jpg 1 0\n",
        "image_id,Bald,Smiling\n000001.jpg,-1,1\n000002.jpg,1,-1\n",
        "image_id,Bald,Smiling\n000001.jpg,0,1\n000002.jpg,1,0\n",
        "image_id,Bald,Smiling\n000001.jpg,False,True\n000002.jpg,TRUE,FALSE\n",
        "image_id;Bald;Smiling\n000001.jpg;no;yes\n000002.jpg;yes;no\n",
        ",image_id,Bald,Smiling\n0,000001.jpg,-1.0,1.0\n1,000002.jpg,1.0,-1.0\n",
        '"";"image_id";"Bald";"Smiling"\n"1";"000001.jpg";-1;1\n"2";"000002.jpg";1;-1\n',
        ",Bald,Smiling\n000001.jpg,-1,1\n000002.jpg,1,-1\n",
        '"Bald","Smiling"\n"000001.jpg",-1,1\n"000002.jpg",1,-1\n',
        "Bald,Smiling,image_id\n0,1,000001.jpg\n1,0,000002.jpg\n",
    ],
)
@pytest.mark.parametrize("code", ["utf-8-sig", "utf-16"])
def test_attributes_are_read_as_people_have_them(text, code):
    assert parse_attributes(ATTRIBUTES, text.encode(code)) == (("Bald", "Smiling"), LISTED)


def test_a_value_that_a_list_leaves_open_is_not_a_number(faces_folder, opened):
    (faces_folder / "list_attr_celeba.csv").write_text(
        "image_id,Bald,Smiling\n000001.jpg,1,\n000002.jpg,nan,0\n000003.jpg,0,1\n000004.jpg,0,0\n"
    )
    values = dict(
        zip(*(lambda f: (f.ids.tolist(), f.attributes))(opened(faces_folder)), strict=True)
    )
    np.testing.assert_array_equal(values["000001.jpg"], [1, np.nan])
    np.testing.assert_array_equal(values["000002.jpg"], [np.nan, -1])


@pytest.mark.parametrize(
    ("pictures", "listed"),
    [
        (("000001.jpg", "000002.jpg", "000012.jpg"), ("000001", "000002", "000012")),
        (("000001.jpg", "000002.jpg", "000012.jpg"), ("1", "2", "12")),
        (("000001.jpg", "000002.jpg", "000012.jpg"), ("1.jpg", "2.jpg", "12.jpg")),
        (("my face 1.png", "my face 2.png", "a.png"), ("my face 1.png", "my face 2.png", "a.png")),
        (("a/anna.png", "b/ben.png", "c/cleo.png"), ("anna.png", "ben.png", "cleo.png")),
        (
            ("anna.png", "ben.png", "cleo.png"),
            ("faces/anna.png", "faces/ben.png", "faces/cleo.png"),
        ),
        (("anna.png", "ben.png", "cleo.png"), ("anna", "ben", "cleo")),
        (("anna.png", "ben.png", "cleo.png"), ("Anna.JPG", "Ben.JPG", "Cleo.JPG")),
        (("x/anna.png", "x/ben.png", "x/cleo.png"), ("x\\anna.png", "x\\ben.png", "x\\cleo.png")),
    ],
)
def test_lists_name_pictures_as_people_write_them(pictures, listed, tmp_path, opened):
    folder = drawings(tmp_path / "own", *pictures)
    (folder / PARTITION).write_text("".join(f"{name} {n}\n" for n, name in enumerate(listed)))
    assert opened(folder).ids.tolist() == list(pictures)


def test_a_name_that_could_mean_two_pictures_means_neither(tmp_path, opened):
    folder = drawings(tmp_path / "own", "a/anna.png", "b/anna.png", "ben.png")
    (folder / PARTITION).write_text("anna.png 0\nben.png 0\n")
    faces = opened(folder)
    assert faces.ids.tolist() == ["ben.png"]
    assert faces.notes[0].startswith("Found 1 of the 2 images")


@pytest.mark.parametrize(
    "name",
    [
        "list_eval_partition (1).txt",
        "list_eval_partition(2).csv",
        "list_eval_partition - Copy.txt",
        "List_Eval_Partition.TXT",
        "list_eval_partition.txt.txt",
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_list_is_known_by_the_names_that_computers_give_it(name, packed, tmp_path, opened):
    folder = drawings(tmp_path / "own", "a.png", "b.png", "c.png")
    text = "a.png,0\nb.png,1\nc.png,2\n" if ".csv" in name else "a.png 0\nb.png 1\nc.png 2\n"
    if packed:
        members = {path.name: path.read_bytes() for path in folder.iterdir()}
        folder = put_zip(tmp_path / "own.zip", members | {name: text.encode()})
    else:
        (folder / name).write_text(text)
    assert opened(folder).splits.tolist() == [0, 1, 2]


def test_the_list_under_its_own_name_counts_before_a_copy(tmp_path, opened):
    folder = drawings(tmp_path / "own", "a.png", "b.png")
    (folder / "list_eval_partition (1).txt").write_text("a.png 2\nb.png 2\n")
    (folder / PARTITION).write_text("a.png 0\nb.png 0\n")
    assert opened(folder).splits.tolist() == [0, 0]


def test_no_list_of_ones_own_is_to_be_downloaded_again(faces_folder, opened):
    (faces_folder / PARTITION).write_text("000001.jpg 7\n")
    with pytest.raises(InputError) as refused:
        opened(faces_folder)
    assert "ownload" not in str(refused.value)


# Names


@pytest.mark.parametrize("listed", [False, True])
def test_a_zip_made_on_windows_is_read_like_any_other(listed, tmp_path, opened):
    members = {f"img_align_celeba/{n:06d}.jpg": noisy(n, form="JPEG") for n in range(1, 5)}
    members |= {"__MACOSX/img/._1.jpg": b"x", "img/.hidden.jpg": b"x"}
    if listed:
        members["Eval/" + PARTITION] = b"".join(b"%06d.jpg %d\n" % (n, n % 3) for n in range(1, 5))
    there, back = (
        opened(
            put_zip(tmp_path / f"{n}.zip", {k.replace("/", mark): v for k, v in members.items()})
        )
        for n, mark in enumerate("/\\")
    )
    assert (tmp_path / "1.zip").read_bytes().count(b"img_align_celeba\\") == 8
    assert back.ids.tolist() == there.ids.tolist()
    assert back.splits.tolist() == there.splits.tolist()
    assert (back.name, back.notes, len(back)) == (there.name, there.notes, 4)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="their names are UTF-8")
def test_a_name_that_is_no_utf_8_is_read_and_can_be_printed(tmp_path, opened, capsys):
    folder = drawings(tmp_path / "own", "a.png", "b.png")
    with open(os.fsencode(folder) + b"/caf\xe9.png", "wb") as file:
        file.write(noisy(7))
    with open(os.fsencode(folder) + b"/caf\xe8.png", "wb") as file:
        file.write(b"broken")
    faces = opened(folder)
    assert len(faces) == 3
    print(*faces.ids, *faces.notes)
    assert "caf\\udce9.png" in capsys.readouterr().out
    (folder / PARTITION).write_bytes(b"a.png 0\nb.png 1\n")
    assert len(opened(folder)) == 2


# What the folder's own order says


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("train", "val", "test"), [20, 10, 10]),
        (("Training", "Validation", "Testing"), [20, 10, 10]),
        (("train_images", "valid_images", "test_images"), [20, 10, 10]),
        (("x/train/a", "x/dev/b", "x/test set/c"), [20, 10, 10]),
        (("train2017", "val2017", "images-test"), [20, 10, 10]),
        (("train", "test/train", "test/val"), [18, 2, 20]),
        (("test", "val", "test"), [0, 10, 30]),
        (("test", "test", "test"), [0, 0, 40]),
    ],
)
@pytest.mark.parametrize("packed", ["no", "one", "each"])
def test_folders_that_are_called_like_splits_are_the_splits(
    folders, expected, packed, tmp_path, opened
):
    names = [f"{(*folders, folders[0])[n % 4]}/{n}.png" for n in range(40)]
    if packed == "no":
        data = drawings(tmp_path / "own", *names)
    elif packed == "one":
        data = put_zip(tmp_path / "own.zip", {name: noisy(n) for n, name in enumerate(names)})
    else:
        data = tmp_path / "own"
        data.mkdir()
        for part in {name.partition("/")[0] for name in names}:
            members = {n: noisy(i) for i, n in enumerate(names) if n.startswith(f"{part}/")}
            put_zip(
                data / f"{part}.zip", {n.removeprefix(f"{part}/"): v for n, v in members.items()}
            )
    faces = opened(data)
    assert sizes(faces)[2] == expected[2]
    if expected == [18, 2, 20]:  # where validation lacks, some of the training faces serve
        assert sum(sizes(faces)[:2]) == 20
        assert sizes(faces)[1] >= 2
        assert any("none for validation" in note for note in faces.notes)
    else:
        assert sizes(faces) == expected
    assert any(note.endswith("are the splits.") for note in faces.notes)


@pytest.mark.parametrize(
    "names",
    [
        [f"train/{n}.png" for n in range(20)],
        [f"test/{n}.png" for n in range(5)] + [f"more/{n}.png" for n in range(15)],
        [f"trained/{n}.png" for n in range(10)] + [f"contest/{n}.png" for n in range(10)],
        [f"{n}/test.png" for n in range(20)],
    ],
)
def test_names_that_may_mean_something_else_are_no_splits(names, tmp_path, opened):
    faces = opened(drawings(tmp_path / "own", *names))
    assert len(faces) == 20
    assert min(sizes(faces)) >= 2
    assert any("by a hash of their names" in note for note in faces.notes)


def test_a_partition_counts_before_folders(tmp_path, opened):
    folder = drawings(tmp_path / "own", "train/a.png", "test/b.png")
    (folder / PARTITION).write_text("train/a.png 2\ntest/b.png 0\n")
    assert opened(folder).ids.tolist() == ["test/b.png", "train/a.png"]


@pytest.mark.parametrize("count", [10, 12, 20, 40])
def test_of_few_pictures_some_are_held_out_and_a_note_says_how_many(count, tmp_path, opened):
    for attempt in range(8):
        folder = drawings(tmp_path / f"{attempt}", *(f"{attempt}-{n}.png" for n in range(count)))
        faces = opened(folder)
        train, valid, test = sizes(faces)
        assert min(valid, test) >= 2
        assert train + valid + test == count
        assert any(
            f"Of these {count} faces {train} are for training, {valid} for validation and {test} "
            in note
            for note in faces.notes
        )


# Equal pictures


@pytest.mark.parametrize("copies", [("", "copy/"), ("a/", "b/", "c/"), ("", "unpacked.zip")])
def test_equal_pictures_never_lie_in_two_splits(copies, tmp_path, opened):
    folder = tmp_path / "own"
    for copy in copies:
        if copy.endswith(".zip"):
            put_zip(folder / copy, {f"{n}.png": noisy(n) for n in range(30)})
        else:
            (folder / copy).mkdir(parents=True, exist_ok=True)
            for n in range(30):
                (folder / copy / f"{n}.png").write_bytes(noisy(n))
    faces = opened(folder)
    train, valid, test = in_splits(faces)
    assert not (train & valid) | (train & test) | (valid & test)
    assert len(train | valid | test) == 30
    assert min(map(len, (train, valid, test))) >= 2
    assert any(f"Found {30 * len(copies) - 30} repeated pictures" in note for note in faces.notes)


def test_a_picture_saved_in_two_formats_is_one_picture(tmp_path, opened):
    folder = drawings(tmp_path / "own", *(f"{n}.png" for n in range(20)))
    for path in sorted(folder.iterdir()):
        Image.open(path).save(path.with_suffix(".bmp"))
    assert len(opened(folder)) == 20


@pytest.mark.parametrize("by", ["folders", "list"])
def test_of_copies_the_one_that_is_held_out_stays(by, tmp_path, opened):
    folder = tmp_path / "own"
    placed = {"train": (1, 2, 3, 4, 4), "val": (3, 5), "test": (1, 5, 6, 6)}
    lines = []
    for split, (part, seeds) in enumerate(placed.items()):
        (folder / part).mkdir(parents=True)
        for n, seed in enumerate(seeds):
            (folder / part / f"{n}.png").write_bytes(noisy(seed))
            lines.append(f"{part}/{n}.png {split}\n")
    if by == "list":
        (folder / PARTITION).write_text("".join(lines))
    faces = opened(folder)
    of = dict(zip(faces.ids.tolist(), faces.images, strict=True))
    assert [name for name in of if "train" in name] == ["train/1.png", "train/3.png", "train/4.png"]
    assert [name for name in of if "val" in name] == ["val/0.png"]
    assert [name for name in of if "test" in name] == [f"test/{n}.png" for n in range(4)]
    for name, image in of.items():
        part, _, n = name.partition("/")
        expected = Image.open(BytesIO(noisy(placed[part][int(n[0])])))
        np.testing.assert_array_equal(image, expected)
    assert any("Found 5 repeated pictures" in n and "3 were left out" in n for n in faces.notes)
    again = opened(folder)
    np.testing.assert_array_equal(again.images, faces.images)


def test_of_celebas_own_partition_nothing_is_left_out(tmp_path, opened):
    members = {f"{n:06d}.jpg": noisy(n % 3, (178, 218), "JPEG") for n in range(1, 7)}
    put_zip(tmp_path / "img_align_celeba.zip", members)
    (tmp_path / PARTITION).write_text("".join(f"{n:06d}.jpg {n // 3}\n" for n in range(1, 7)))
    faces = opened(tmp_path)
    assert (faces.name, len(faces)) == ("celeba", 6)
    assert any("Found 3 repeated" in note and "stays as it is" in note for note in faces.notes)


# What is called CelebA


@pytest.mark.parametrize(
    ("sizes", "form", "listed", "name"),
    [
        ([(64, 64)] * 40, "png", "", "faces"),
        ([(178, 218)] * 40, "jpg", "", "celeba"),
        ([(178, 218)] * 40, "png", "", "celeba"),
        ([(64, 64)] * 40, "jpg", PARTITION, "celeba"),
        ([(64, 64)] * 40, "jpg", ATTRIBUTES, "celeba"),
        ([(409 - n, 300 + n) for n in range(40)], "jpg", "", "faces"),
        ([(409 - n, 300 + n) for n in range(40)], "jpg", PARTITION, "faces"),
        ([(178, 218)] * 20 + [(200, 200)] * 20, "jpg", PARTITION, "faces"),
    ],
)
def test_celeba_is_what_has_its_names_and_its_size_or_lists(
    sizes, form, listed, name, tmp_path, opened
):
    folder = tmp_path / "own"
    folder.mkdir()
    for number, size in enumerate(sizes, 1):
        data = noisy(number, size, "JPEG" if form == "jpg" else "PNG")
        (folder / f"{number:06d}.{form}").write_bytes(data)
    numbers = range(1, len(sizes) + 1)
    if listed == PARTITION:
        (folder / listed).write_text("".join(f"{n:06d}.jpg {n % 3}\n" for n in numbers))
    elif listed:
        (folder / listed).write_text("Bald\n" + "".join(f"{n:06d}.jpg 1\n" for n in numbers))
    faces = opened(folder)
    assert faces.name == name
    assert any("CelebA" in note for note in faces.notes)
    assert faces.ids[0] in ("000001.jpg", "000003.jpg")


def test_test_faces_alone_are_opened_and_the_missing_splits_are_named(tmp_path, opened):
    put_zip(tmp_path / "img_align_celeba.zip", {f"20000{n}.jpg": noisy(n) for n in range(9)})
    (tmp_path / PARTITION).write_text("".join(f"20000{n}.jpg 2\n" for n in range(9)))
    faces = opened(tmp_path)
    assert len(faces.split("test")) == 9
    with pytest.raises(InputError, match="The train split of these 9 faces is empty"):
        faces.split("train")


# What is passed over


def test_what_is_passed_over_is_counted_by_its_ending(tmp_path, opened):
    folder = drawings(tmp_path / "own", "a.png", "b.jpg", "c.jfif", "d.JPE", "README", "e.txt")
    for n in range(20):
        (folder / f"{n}.HEIC").write_bytes(b"x")
    for name in ("clip.mp4", "0f3a", "more.tar.gz", "._0.heic", "notes.md", "other"):
        (folder / name).write_bytes(b"x")
    put_zip(folder / "a.zip", {"z.png": noisy(99), "y.heic": b"", "in.zip": b"", "t.txt": b""})
    faces = opened(folder)
    assert len(faces) == 5
    (note,) = (note for note in faces.notes if note.startswith("Passed over"))
    assert note == (
        "Passed over 21 .heic files, 2 with no known ending, 1 .mp4 file, 1 .tar.gz file and 1 "
        ".zip file. Unpack archives and parts of archives; save other pictures as JPEG or PNG, to "
        "have them read."
    )
    (folder / "20.heic").write_bytes(b"x")
    assert any("22 .heic files" in note for note in opened(folder).notes)


def test_masks_among_photographs_are_told_of(tmp_path, opened):
    folder = drawings(tmp_path / "own", *(f"photos/{n}.png" for n in range(5)))
    (folder / "masks").mkdir()
    for n in range(12):
        mask = Image.new("L", (64, 64))
        mask.paste(255, (n, 20, 20 + n, 40))
        mask.save(folder / "masks" / f"{n}_hair.png")
    faces = opened(folder)
    assert any(note.startswith("12 of the 17 pictures do not look like") for note in faces.notes)
    assert any("masks/0_hair.png" in note for note in faces.notes)


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
    decoded, load = [], ImageFile.load
    monkeypatch.setattr(ImageFile, "load", lambda self: (decoded.append(self.size), load(self))[1])
    assert "8000x7000 pixels are too many" in opened(faces_folder).notes[-1]
    assert set(decoded) == {(64, 64)}


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
        (lambda folder: folder / ("x" * 999), r"There is no .*xxx"),
        (lambda folder: folder, r"should hold pictures or a zip of them, but holds neither"),
        (lambda folder: write(folder / PARTITION, b"").parent, rf"holds only {PARTITION}"),
        (lambda folder: write(folder / "faces.txt", b""), r"is neither a folder nor a zip"),
        (lambda folder: write(folder / "a.zip", b"\n<!DOCTYPE html>"), r"a\.zip is a web page"),
        (
            lambda folder: write(folder / "a.zip", b"<html>Quota exceeded"),
            r"Google Drive's page 'Quota exceeded'",
        ),
        (
            lambda folder: write(folder / "a.zip", b"Rar!"),
            r"a\.zip begins with b'Rar!'.* RAR archive, no zip",
        ),
        (
            lambda folder: write(folder / "a.rar", b"Rar!"),
            r"neither .* zip, but a RAR archive.*unpack",
        ),
        (lambda folder: write(folder / "a.tgz", b"\x1f\x8b"), r"but a gzip archive"),
        (
            lambda folder: write(folder / "a.jpg", b"\xff\xd8\xff"),
            r"but one picture\. Name the folder",
        ),
        (lambda folder: write(folder / "a.rar", b"").parent, r"holds only 1 \.rar file\. Unpack"),
        (lambda folder: write(folder / "b.tar.gz", b"").parent, r"1 \.tar\.gz file\. Unpack"),
        (lambda folder: write(folder / "b.7z", b"").parent, r"1 \.7z file\. Unpack"),
        (lambda folder: write(folder / "b.zip.001", b"").parent, r"1 \.001 file\. Unpack"),
        (
            lambda folder: write(folder / "a.parquet", b"").parent,
            r"1 \.parquet file\. Save the pict",
        ),
        (lambda folder: write(folder / "a.heic", b"").parent, r"1 \.heic file\. .*JPEG or PNG"),
        (lambda folder: write(folder / "0001", b"").parent, r"only 1 with no known ending"),
        (
            lambda folder: put_zip(folder / "a.zip", {"train.zip": b"PK", "test.zip": b"PK"}),
            r"no picture in a\.zip .*but 2 \.zip files\. Unpack",
        ),
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


SIX = {f"{n:06d}.png": noisy(n) for n in range(1, 7)}
INSIDE = SIX | {PARTITION: b"".join(f"{name} 0\n".encode() for name in SIX)}


def changed(path: Path, mark: bytes, at: int, new: bytes) -> Path:
    """The zip with some bytes behind every such mark overwritten."""
    data = bytearray(path.read_bytes())
    found = data.find(mark)
    while found >= 0:
        data[found + at : found + at + len(new)] = new
        found = data.find(mark, found + 1)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("members", "mark", "at", "new", "sentence"),
    [
        (INSIDE, b"PK\1\2", 8, b"\1\0", r"list_eval_partition\.txt in .* encrypted: unpack"),
        (SIX, b"PK\1\2", 8, b"\1\0", r"None of the 6 .* \(encrypted: unpack the zip"),
        (INSIDE, b"PK\1\2", 10, b"\x55\0", r"list_eval_partition\.txt in .* cannot be read"),
        (INSIDE, b"PK\1\2", 16, b"\0\0\0\0", r"list_eval_partition.* cannot be read: Bad CRC"),
        (INSIDE, b"PK\1\2", 24, b"\xff\xff\xff\x3f", r"list_eval_partition.* too large"),
        (INSIDE, b"PK\1\2", 42, b"\xff\xff\xff\x7f", r"list_eval_partition.* cannot be read"),
        (SIX, b"PK\1\2", 6, b"\xff", r"damaged: its table of contents cannot be read|None of the"),
        (SIX, b"PK\5\6", 16, b"\xff\xff\xff\x3f", r"damaged: its table of contents"),
    ],
)
def test_a_zip_that_cannot_be_read_says_why(members, mark, at, new, sentence, tmp_path, opened):
    path = changed(put_zip(tmp_path / "faces.zip", members), mark, at, new)
    with pytest.raises(InputError, match=sentence):
        opened(path)


def test_a_zip_whose_names_are_no_utf_8_though_it_says_so_is_a_sentence(tmp_path, opened):
    path = put_zip(tmp_path / "faces.zip", {"caf\xe9.png": noisy(1)})
    path.write_bytes(path.read_bytes().replace("\xe9".encode(), b"\xff\xff"))
    with pytest.raises(InputError, match=r"damaged: its table of contents cannot be read"):
        opened(path)


def test_the_last_part_of_a_split_zip_is_named(tmp_path, opened):
    path = put_zip(tmp_path / "faces.zip", {f"{n}.png": noisy(n) for n in range(9)})
    whole = changed(path, b"PK\5\6", 4, b"\1\0\1\0").read_bytes()
    (tmp_path / "faces.z01").write_bytes(whole[:40_000])
    path.write_bytes(whole[40_000:])
    with pytest.raises(InputError, match=r"faces\.zip is the last part of .* Join them"):
        opened(path)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        (PARTITION, "000001.jpg 0\n000002.jpg\n", r"line 2: .*found 1 fields, '000002\.jpg'"),
        (PARTITION, "000001.jpg 0\n000002.jpg 3\n", r"line 2: expected a file name and 0, 1 or 2"),
        ("list_eval_partition.csv", "image_id,partition\n000001.jpg,x\n", r"line 2"),
        (PARTITION, "000011.jpg 1\n000012.jpg 2\n", r"names none of the 4 pictures"),
        (PARTITION, "000001.jpg 1\n000002.jpg 2\n000001.jpg 0\n", r"line 3: 000001\.jpg is put"),
        (ATTRIBUTES, "1\nBald\n000001.jpg 0\n000002.jpg -1\n", r"line 4: found 0 and -1"),
        (ATTRIBUTES, "1\nBald\n000001.jpg 1\n000001.jpg -1\n", r"line 4: .* other values"),
        (ATTRIBUTES, "1\nBald Smiling\n000001.jpg 1\n", r"line 3: .* 2 values"),
        (ATTRIBUTES, "1\nBald Smiling\n000001.jpg 1 2\n", r"line 3: .* -1 or 1"),
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
            assert {value for row in values.values() for value in row} <= {"-1", "1", ""}
    except InputError:
        pass


# Where the faces come from


def test_auto_prefers_data_then_celeba_root_then_synthetic(tmp_path, opened, monkeypatch):
    mine, root = put_faces(tmp_path / "mine", 3), put_faces(tmp_path / "root", 5)
    opening = "vae_lib.faces.opening._open_synthetic"
    monkeypatch.setattr(opening, lambda count, look, cache: count)
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
