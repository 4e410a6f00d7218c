"""Downloads against a local server that misbehaves in every way that real ones do."""

import hashlib
import io
import subprocess
import sys
import threading
import time
import types
import zipfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CelebA, utils

from vae_lib.errors import InputError
from vae_lib.faces import download, transfer
from vae_lib.faces.download import ARCHIVE, download_celeba
from vae_lib.faces.verify import verify_archive

QUOTA = (
    b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>Sorry, "
    b"too many users have viewed or downloaded this file recently.</body></html>"
)


def zip_of_faces(seed: int) -> bytes:
    pixels = np.random.default_rng(seed)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for row in range(1, 13):
            picture = io.BytesIO()
            noise = pixels.integers(0, 256, (218, 178, 3), dtype=np.uint8)
            Image.fromarray(noise).save(picture, "JPEG", quality=90)
            archive.writestr(f"img_align_celeba/{row:06d}.jpg", picture.getvalue())
    return packed.getvalue()


FACES, OTHER = zip_of_faces(0), zip_of_faces(1)
SUM = hashlib.md5(FACES).hexdigest()
HALF = len(FACES) // 2


def whole(body=FACES, *, ranges=True, etag=None, claim=None, stop=None):
    """Answer with a file; ``claim`` is a false Content-Length, ``stop`` where the wire is cut."""

    def answer(handler):
        wanted = handler.headers.get("Range") if ranges else None
        if wanted and handler.headers.get("If-Range", etag) != etag:
            wanted = None
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if wanted and start >= len(body):
            return status(416, {"Content-Range": f"bytes */{len(body)}"})(handler)
        handler.send_response(206 if wanted else 200)
        handler.send_header("Content-Length", str(claim or len(body) - start))
        if wanted:
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if etag:
            handler.send_header("ETag", etag)
        handler.end_headers()
        handler.wfile.write(body[start:stop])
        return None

    return answer


def status(code, headers=None):
    def answer(handler):
        handler.send_response(code)
        for name, value in {"Content-Length": "0", **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()

    return answer


@contextmanager
def serve(*answers):
    """A mirror that gives one answer after the other, and the last one from then on."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(dict(self.headers))
            answers[min(len(seen), len(answers)) - 1](self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{ARCHIVE}", seen
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(transfer, "BACKOFF", 0.01)
    monkeypatch.setattr(transfer, "TIMEOUT", (2, 2))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(match, out, answers, **arguments):
    with serve(*answers) as (url, seen), pytest.raises(InputError, match=match):
        download_celeba(out, url=url, **{"md5": SUM, **arguments})
    return seen


def fetched(out, *answers, **arguments):
    with serve(*answers) as (url, seen):
        assert download_celeba(out, url=url, **{"md5": SUM, **arguments}) == out
    assert (out / ARCHIVE).read_bytes() == FACES
    assert names(out) == [ARCHIVE]
    return seen


def test_a_mirror_gives_the_zip_and_the_terms_and_the_missing_lists_are_told(tmp_path, capsys):
    fetched(tmp_path / "new" / "folder", whole())
    told = capsys.readouterr().out
    assert told.count("non-commercial research and education") == 1
    assert download.PAGE in told
    assert "list_attr_celeba.txt and list_eval_partition.txt should stand beside" in told
    assert "hash" in told


def test_a_verified_zip_is_not_fetched_again(tmp_path):
    fetched(tmp_path, whole())
    assert fetched(tmp_path, status(500)) == []


def test_a_wrong_file_under_the_final_name_is_left_alone_and_named(tmp_path):
    (tmp_path / ARCHIVE).write_bytes(OTHER)
    assert refused("left as it is", tmp_path, [whole()]) == []
    assert (tmp_path / ARCHIVE).read_bytes() == OTHER


def test_the_sum_that_torchvision_publishes_is_expected_by_default(tmp_path):
    published = next(md5 for _, md5, name in CelebA.file_list if name == ARCHIVE)
    refused(f"{SUM}, expected {published}", tmp_path, [whole()], md5=None)


def test_a_repacked_zip_is_accepted_later_without_fetching_it_again(tmp_path):
    refused("--md5 any", tmp_path, [whole(ranges=False)], md5="0" * 32)
    assert names(tmp_path) == [f"{ARCHIVE}.part"]
    assert fetched(tmp_path, status(500), md5=SUM.upper()) == []


def test_any_sum_is_accepted_but_a_damaged_member_is_not(tmp_path):
    fetched(tmp_path / "sound", whole(), md5="any")
    damaged = bytearray(FACES)
    damaged[HALF] ^= 255
    refused("damaged at img_align_celeba", tmp_path / "bad", [whole(bytes(damaged))], md5="any")


def test_a_nonsense_sum_is_refused(tmp_path):
    with pytest.raises(InputError, match="32 hexadecimal digits"):
        download_celeba(tmp_path, url="http://x", md5="abc")


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (QUOTA, "Quota exceeded"),
        (b"<html><title>Please log\n in</title></html>", "web page titled 'please log in'"),
        (b"Rar!\x1a\x07", "no zip"),
        (b"", "empty"),
        (FACES[:-200], "truncated"),
    ],
)
def test_a_body_that_is_no_whole_zip_is_named_and_removed(tmp_path, body, match):
    refused(match, tmp_path, [whole(body)])
    assert names(tmp_path) == []


def test_a_page_in_place_of_the_rest_does_not_cost_what_had_arrived(tmp_path):
    (tmp_path / f"{ARCHIVE}.part").write_bytes(FACES[:HALF])
    refused("Quota exceeded", tmp_path, [whole(QUOTA, ranges=False)])
    assert (tmp_path / f"{ARCHIVE}.part").read_bytes() == FACES[:HALF]


def test_a_busy_server_is_asked_again(tmp_path):
    assert len(fetched(tmp_path, status(503), status(429), whole())) == 3


def test_retry_after_is_respected_up_to_a_bound(tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(transfer.time, "sleep", slept.append)
    busy = [status(503, {"Retry-After": wait}) for wait in ("7", "86400", "soon")]
    fetched(tmp_path, *busy, whole())
    assert slept == [7.0, transfer.LONGEST_WAIT, transfer.BACKOFF * 4]


def test_retry_after_may_be_a_date(tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(transfer.time, "sleep", slept.append)
    dates = [format_datetime(datetime.now(UTC) + timedelta(seconds=s), True) for s in (30, -30)]
    fetched(tmp_path, *(status(503, {"Retry-After": date}) for date in dates), whole())
    assert slept[0] == pytest.approx(30, abs=3)
    assert slept[1] <= transfer.BACKOFF * 2


def test_whoever_waits_is_told_for_what_and_for_how_long(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(transfer.time, "sleep", lambda seconds: None)
    fetched(tmp_path, status(503, {"Retry-After": "45"}), whole(stop=HALF), whole())
    told = capsys.readouterr().out
    assert "127.0.0.1: it answered 503 Service Unavailable. Attempt 2 of 5 in 45 s" in told
    assert "127.0.0.1: the connection was cut. Attempt 3 of 5" in told


def drip(body=FACES):
    """After a good start a byte now and then: no read ever times out."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:HALF])
        for byte in body[HALF : HALF + 200]:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.01)

    return answer


def test_a_server_that_only_drips_is_given_up_and_what_arrived_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "PATIENCE", 0.1)
    monkeypatch.setattr(transfer, "SLOWEST", 10 * len(FACES))
    refused(r"failed 5 times.*it sent no more than [\d,]+ bytes.*kept", tmp_path, [drip()])
    part = tmp_path / f"{ARCHIVE}.part"
    assert FACES.startswith(part.read_bytes())
    assert part.stat().st_size > HALF
    fetched(tmp_path, whole())


def test_a_server_that_dripped_is_asked_for_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "PATIENCE", 0.1)
    monkeypatch.setattr(transfer, "SLOWEST", 10 * len(FACES))
    assert "Range" in fetched(tmp_path, drip(), whole())[1]


@pytest.mark.parametrize(
    "location",
    [
        "http://[::1/faces.zip",
        "http://" + "a" * 300 + ".org/faces.zip",
        "http://..../faces.zip",
        "http://*.org:x/faces.zip",
        "http://host:99999/faces.zip",
        "ftp://example.org/faces.zip",
        "file:///etc/passwd",
        "http://\xff\xfe/faces.zip",
        "http:///faces.zip",
        "https://%zz/",
    ],
)
def test_a_redirect_to_a_broken_address_is_told(tmp_path, location):
    seen = refused(
        "cannot be fetched|No host|cannot be reached",
        tmp_path,
        [status(302, {"Location": location})],
    )
    assert len(seen) == 1 or location == "http:///faces.zip"  # which leads back here, for a while


def test_a_redirect_to_a_host_that_is_not_there_names_that_host(tmp_path):
    elsewhere = status(302, {"Location": "http://faces.invalid/a.zip"})
    refused("No host is called 'faces.invalid'", tmp_path, [elsewhere])


def test_a_server_that_stays_busy_is_given_up_after_a_few_attempts(tmp_path):
    seen = refused("failed 5 times.*503", tmp_path, [status(503)])
    assert len(seen) == transfer.ATTEMPTS


def test_a_cut_connection_is_resumed_where_it_stopped(tmp_path):
    first, second = fetched(tmp_path, whole(etag='"a"', stop=HALF), whole(etag='"a"'))
    assert "Range" not in first
    start = int(second["Range"].removeprefix("bytes=").rstrip("-"))
    assert 0 < start <= HALF
    assert second["If-Range"] == '"a"'


def test_a_connection_cut_again_and_again_keeps_what_arrived_for_the_next_run(tmp_path):
    refused("failed 5 times.*kept and resumed", tmp_path, [whole(stop=HALF)])
    assert names(tmp_path) == [f"{ARCHIVE}.part"]
    (request,) = fetched(tmp_path, whole())
    assert "Range" in request


def test_a_server_without_ranges_starts_clean(tmp_path):
    assert len(fetched(tmp_path, whole(stop=HALF), whole(ranges=False))) == 2


def test_a_file_that_changed_after_the_cut_starts_clean(tmp_path):
    fetched(tmp_path, whole(OTHER, etag='"old"', stop=HALF), whole(etag='"new"'))


@pytest.mark.parametrize("old", [OTHER[:HALF], OTHER, FACES + b"more"])
def test_a_file_that_changed_between_two_runs_starts_clean(tmp_path, old):
    (tmp_path / f"{ARCHIVE}.part").write_bytes(old)
    assert 2 <= len(fetched(tmp_path, whole())) <= 3


def test_a_range_that_was_not_asked_for_starts_clean(tmp_path):
    (tmp_path / f"{ARCHIVE}.part").write_bytes(FACES[:HALF])
    misplaced = status(206, {"Content-Range": f"bytes 0-9/{len(FACES)}"})
    fetched(tmp_path, misplaced, whole())


def test_too_long_a_content_length_is_settled_by_asking_for_the_rest(tmp_path):
    fetched(tmp_path, whole(claim=len(FACES) + 100), whole())


def test_too_short_a_content_length_is_a_truncated_zip(tmp_path):
    refused("truncated", tmp_path, [whole(claim=HALF)])


def test_a_redirect_is_followed(tmp_path):
    with serve(whole()) as (mirror, _):
        fetched(tmp_path, status(302, {"Location": mirror}))


def test_a_missing_page_is_told_at_once(tmp_path):
    assert len(refused("404 Not Found", tmp_path, [status(404)])) == 1


def test_a_silent_server_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "TIMEOUT", (0.1, 0.1))
    refused("did not answer", tmp_path, [lambda handler: time.sleep(0.3)])


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("ftp://example.org/faces.zip", "use http:// or https://"),
        ("faces.zip", "use http:// or https://"),
        ("http://[::1/faces.zip", "use http:// or https://"),
        ("http://faces.invalid/faces.zip", "No host is called 'faces.invalid'"),
        ("http://127.0.0.1:1/faces.zip", "cannot be reached: connection refused"),
    ],
)
def test_an_address_that_leads_nowhere_is_told_at_once(tmp_path, url, match):
    with pytest.raises(InputError, match=match):
        download_celeba(tmp_path, url=url)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Could not write into"):
        download_celeba(tmp_path / "file" / "faces", url="http://127.0.0.1:1/faces.zip")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk without room")
def test_a_full_disk_is_told(tmp_path):
    (tmp_path / f"{ARCHIVE}.part").symlink_to("/dev/full")
    refused("No space left.*free some room", tmp_path, [whole()])


# torchvision takes seconds to import and gives no more than the published sum here.
RUN = """
import sys
from pathlib import Path
from unittest.mock import MagicMock
for name in ("torchvision", "torchvision.datasets", "torchvision.datasets.utils"):
    sys.modules[name] = MagicMock()
sys.modules["torchvision.datasets"].CelebA.file_list = [("", "", "img_align_celeba.zip")]
from vae_lib.faces.download import download_celeba
download_celeba(Path(sys.argv[1]), url=sys.argv[2], md5=sys.argv[3])
"""


def test_a_killed_run_leaves_only_the_part_and_the_next_one_completes_it(tmp_path):
    let_go = threading.Event()

    def stall(handler):
        whole(stop=HALF)(handler)
        let_go.wait(30)

    part = tmp_path / f"{ARCHIVE}.part"
    with serve(stall, whole()) as (url, seen):
        run = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path), url, SUM])
        try:
            deadline = time.monotonic() + 60
            while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            run.kill()
            run.wait()
            let_go.set()
        assert names(tmp_path) == [part.name]
        download_celeba(tmp_path, url=url, md5=SUM)
    assert (tmp_path / ARCHIVE).read_bytes() == FACES
    assert "Range" in seen[1]


@pytest.fixture
def drive(monkeypatch):
    """Google Drive, as a dictionary from file id to what it hands over: bytes or an error."""
    files = {"zip": FACES, "attr": b"attributes", "split": b"partition", "box": b"never asked for"}
    listed = {"zip": ARCHIVE, "attr": download.LISTS[0], "split": download.LISTS[1], "box": "b.txt"}
    rows = [(key, hashlib.md5(files[key]).hexdigest(), name) for key, name in listed.items()]
    monkeypatch.setattr(CelebA, "file_list", rows)
    asked = []

    def hand_over(file_id, root, filename=None, md5=None):
        asked.append(file_id)
        if isinstance(files[file_id], Exception):
            raise files[file_id]
        (Path(root) / filename).write_bytes(files[file_id])

    monkeypatch.setattr(utils, "download_file_from_google_drive", hand_over)
    return files, asked


def test_torchvision_gives_the_zip_and_its_two_lists_once(tmp_path, drive):
    _, asked = drive
    assert download_celeba(tmp_path) == tmp_path
    assert names(tmp_path) == sorted([ARCHIVE, *download.LISTS])
    download_celeba(tmp_path)
    assert asked == ["attr", "split", "zip"]


@pytest.mark.parametrize("key", ["zip", "attr"])
def test_the_quota_page_is_named_and_removed(tmp_path, drive, key):
    drive[0][key] = QUOTA
    with pytest.raises(InputError, match=r"Quota exceeded.*--source kaggle"):
        download_celeba(tmp_path)
    assert not any(name.startswith(ARCHIVE) for name in names(tmp_path))


def test_a_refusal_by_gdown_is_told_in_a_sentence(tmp_path, drive):
    drive[0]["attr"] = RuntimeError("Cannot retrieve the public link of the file.\nMore")
    with pytest.raises(
        InputError, match=r"did not hand over list_attr.*link of the file.\).*quota"
    ):
        download_celeba(tmp_path)


def test_missing_gdown_is_told_with_the_install_line(tmp_path, drive):
    drive[0]["attr"] = RuntimeError("To download files from GDrive, 'gdown' is required.")
    with pytest.raises(InputError, match="pip install gdown"):
        download_celeba(tmp_path)


def test_another_list_is_neither_taken_nor_overwritten(tmp_path, drive):
    (tmp_path / download.LISTS[0]).write_text("my own")
    with pytest.raises(InputError, match=r"expected CelebA's own.*left as it is"):
        download_celeba(tmp_path)
    assert (tmp_path / download.LISTS[0]).read_text() == "my own"


def fake_kaggle(monkeypatch, faces):
    def dataset_download(handle, *, output_dir):
        if isinstance(faces, Exception):
            raise faces
        folder = Path(output_dir) / "img_align_celeba" / "img_align_celeba"
        folder.mkdir(parents=True)
        for row in range(faces):
            (folder / f"{row:06d}.jpg").touch()
        return output_dir

    fake = types.SimpleNamespace(dataset_download=dataset_download)
    monkeypatch.setitem(sys.modules, "kagglehub", fake)
    monkeypatch.setattr(download, "FACES", 3)


def test_kaggle_gives_its_unpacked_copy(tmp_path, monkeypatch):
    fake_kaggle(monkeypatch, 3)
    assert download_celeba(tmp_path, source="kaggle") == tmp_path


@pytest.mark.parametrize(
    ("faces", "match"),
    [
        (2, "has 2 faces, expected 3"),
        (FileExistsError("output_dir is not empty"), "not empty.*empty folder"),
        (ConnectionError("no network"), "Kaggle did not hand over"),
    ],
)
def test_kaggles_failures_are_told_in_a_sentence(tmp_path, monkeypatch, faces, match):
    fake_kaggle(monkeypatch, faces)
    with pytest.raises(InputError, match=match):
        download_celeba(tmp_path, source="kaggle")


def test_missing_kagglehub_is_told_with_the_install_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(InputError, match="pip install kagglehub"):
        download_celeba(tmp_path, source="kaggle")


def test_sources_that_exclude_each_other_are_refused(tmp_path):
    with pytest.raises(InputError, match="`--source` alone"):
        download_celeba(tmp_path, source="kaggle", url="http://x")
    with pytest.raises(InputError, match="no source 'ftp'"):
        download_celeba(tmp_path, source="ftp")


def test_verify_archive_tells_a_missing_file_and_a_wrong_size(tmp_path):
    with pytest.raises(InputError, match="is not there"):
        verify_archive(tmp_path / ARCHIVE)
    (tmp_path / ARCHIVE).write_bytes(FACES)
    verify_archive(tmp_path / ARCHIVE, SUM, len(FACES))
    with pytest.raises(InputError, match="expected 5"):
        verify_archive(tmp_path / ARCHIVE, size=5)
