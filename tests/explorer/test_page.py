"""An explorer as one file: what is in it, where it may stand, and who opens it."""

import webbrowser
from html.parser import HTMLParser

import pytest
import torch

from vae_lib import cli
from vae_lib.checkpoint import save_weights
from vae_lib.errors import InputError
from vae_lib.explorer import explore, page
from vae_lib.model import VAE, VAEConfig

SMALL = VAEConfig(channels=(4, 8), latent_size=6)


class Parts(HTMLParser):
    """The elements of a page, and every address in it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]


@pytest.fixture
def small():
    torch.manual_seed(0)
    return VAE(SMALL)


def test_a_page_asks_for_nothing_whatever_its_model_is_called(tmp_path, small):
    label = "</script><script src=//far.example></title><!-- <script>"
    explore({label: small}, device="cpu").save(tmp_path / "face.html")
    text = (tmp_path / "face.html").read_text(encoding="utf-8")
    found = Parts(text)
    assert found.tags.count("script") == 2
    assert found.tags.index("main") > found.tags.index("title")
    assert [one[:19] for one in found.addresses] == ["data:image/svg+xml,"]
    assert "default-src 'none'" in text
    assert '<html lang="en">' in text


def test_faces_of_celeba_go_with_their_terms_and_drawn_ones_without(tmp_path):
    for name, terms in (("vae_celeba", True), ("vae_synthetic", False)):
        text = explore(name).save(tmp_path / f"{name}.html").read_text(encoding="utf-8")
        assert ("non-commercial" in text) == terms


def test_a_file_is_small_enough_to_mail(tmp_path):
    names = ("vae_celeba", "vae_beta_4", "vae_beta_10")
    assert explore(names[0]).save(tmp_path / "one.html").stat().st_size <= 4.5e6
    assert explore(names).save(tmp_path / "three.html").stat().st_size <= 11e6


def test_only_an_earlier_page_is_replaced(tmp_path, small):
    widget = explore(small, device="cpu")
    kept = tmp_path / "notes.html"
    kept.write_text("<!doctype html>My notes")
    for place, why in (
        (kept, "no explorer wrote it"),
        (tmp_path, "is a folder; name a file"),
        (tmp_path / "face.png", "must end with .html"),
        (kept / "face.html", "Could not write"),
    ):
        with pytest.raises(InputError, match=why):
            widget.save(place)
    assert kept.read_text() == "<!doctype html>My notes"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.html"]
    first = widget.save(tmp_path / "new" / "face.html").read_bytes()
    widget.values = [1.0] * 6
    assert widget.save(tmp_path / "new" / "face.html").read_bytes() != first


def test_what_cannot_be_shown_is_told_and_leaves_no_page(tmp_path, small, capsys):
    with torch.no_grad():
        small.from_z.weight[0, 0] = torch.nan
    save_weights(tmp_path / "broken.pth", small, {})
    out = tmp_path / "face.html"
    assert cli.main(["explore", str(tmp_path / "broken.pth"), "--out", str(out)]) == 2
    assert "not finite" in capsys.readouterr().err
    assert not out.exists()
    widget = explore("vae_synthetic")
    widget.close()
    with pytest.raises(InputError, match="closed"):
        widget.save(out)


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """Addresses that a browser was asked to open; there is one."""
    addresses = []

    class Browser:
        def open(self, address):
            addresses.append(address)
            return True

    monkeypatch.setattr(webbrowser, "get", Browser)
    monkeypatch.setattr(page.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(page.Path, "home", lambda: tmp_path)
    return addresses


def test_a_model_of_ones_own_opens_in_the_browser_and_out_only_writes(
    tmp_path, small, opened, capsys
):
    save_weights(tmp_path / "mine.pth", small, {})
    assert cli.main(["explore", str(tmp_path / "mine.pth")]) == 0
    (address,) = opened
    assert address.startswith("file:///")
    assert address.endswith("/mine.html")
    assert "is open in your browser" in capsys.readouterr().out
    out = tmp_path / "mine.html"
    arguments = ["explore", str(tmp_path / "mine.pth"), "--out", str(out)]
    assert cli.main(arguments) == 0
    assert f"{out} (0.2 MB) is to be opened" in capsys.readouterr().out
    assert len(opened) == 1
    assert cli.main([*arguments, "--open"]) == 0
    assert opened[1] == out.as_uri()


def test_drawn_faces_give_a_model_of_ones_own_attributes_and_a_face_to_begin_with(tmp_path, small):
    save_weights(tmp_path / "mine.pth", small, {})
    out = tmp_path / "mine.html"
    few = ["--faces", "synthetic", "--synthetic-count", "200"]
    assert cli.main(["explore", str(tmp_path / "mine.pth"), "--out", str(out), *few]) == 0
    text = out.read_text(encoding="utf-8")
    assert '"smile"' in text
    assert '"synthetic-0' in text


def test_without_a_browser_or_with_one_for_terminals_the_path_is_told(monkeypatch, tmp_path):
    def none():
        raise webbrowser.Error

    monkeypatch.delenv("BROWSER", raising=False)
    monkeypatch.setattr(webbrowser, "get", none)
    assert not page.open_in_browser(tmp_path / "face.html")
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser("false"))
    assert not page.open_in_browser(tmp_path / "face.html")
