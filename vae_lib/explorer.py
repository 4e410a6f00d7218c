"""The latent explorer: sliders move a face, in JupyterLab and on a page without a kernel.

All that a learner touches lives in the browser, in ``explorer.mjs``. Python answers two questions:
which pixels has this code (z → pixels), and which code has this picture (picture → z). Where nobody
answers, on a published page, the browser decodes by itself from weights that travel with the page.
"""

import copy
import hashlib
import math
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import nn

from vae_lib.checkpoint import validation_kl
from vae_lib.config import setting_of
from vae_lib.devices import choose_device, memory_as_sentence
from vae_lib.errors import InputError, missing_package
from vae_lib.faces.dataset import Faces
from vae_lib.faces.pictures import FORMATS, MAX_PIXELS, SIDE, to_rgb, upright
from vae_lib.gallery import Gallery, make_gallery
from vae_lib.latent import decode_images, encode_images
from vae_lib.model import VAE, unwrap
from vae_lib.objective import kl_per_dimension
from vae_lib.pretrained import load_gallery, load_model, pretrained_names

try:
    import anywidget
    import ipywidgets
    import traitlets
    from ipywidgets import widget_serialization
except ModuleNotFoundError as error:
    name = error.name or "ipywidgets"
    raise missing_package(name, "The explorer", "anywidget ipywidgets", "course") from error

HERE = Path(__file__).parent
REACH = 3.0  # sliders end at ± this many standard deviations of the prior
STEP = 0.05
PHOTO_SIDE = 1600  # pixels; a photo is reduced to this before its eyes are marked
PREVIEW_SIDE = 360
# Where CelebA's alignment puts the eyes: pixels (69.5, 111) and (108, 111) of its 178x218 pictures,
# whose central 148x148 become 64x64. Half a pixel leads from a pixel's index to its middle.
EYES = tuple(((x + 0.5 - 15) * SIDE / 148, (111 + 0.5 - 35) * SIDE / 148) for x in (69.5, 108.0))
# The gallery's face that is shown first, chosen by eye among the 64: seen from the front, sharp at
# every β, before a plain light wall, and with nothing on it yet, neither smile nor hat nor glasses
# nor beard, so that the first slider that anybody moves changes what it is named after.
OPENING = ("183727.jpg", "synthetic-018731")


@memory_as_sentence('explore with device="cpu"')
def explore(
    models: str | Path | VAE | Sequence[str | Path | VAE] | Mapping[str, str | Path | VAE],
    *,
    faces: Faces | None = None,
    kl: Sequence[float] | Sequence[Sequence[float]] | None = None,
    shown: int = 10,
    state: str = "",
    device: str | None = None,
) -> "Explorer":
    """Explore what latent dimensions do to a face.

    Parameters
    ----------
    models : str, Path, VAE, or a sequence of them, or a mapping from labels to them
        A name that ships with the package (``"vae_celeba"``), a ``.pth`` file, or a model. Several
        are shown side by side and moved together. A model may be compiled or wrapped. It is
        copied: training it on changes nothing here.
    faces : Faces, optional
        Faces to start from, and for models that did not ship with the package the source of KL,
        gallery and attribute directions. Their pixels stay in the kernel.
    kl : sequence of float, or one sequence per model, optional
        Mean KL of each dimension in nats, by which sliders are sorted. By default the gallery's,
        or what the model's file tells of its validation faces.
    shown : int
        How many sliders to show at first; the rest is folded away.
    state : str
        What "Copy" gave in another explorer of the same models: where to begin.
    device : str, optional
        Where the kernel decodes; the fastest at hand by default.

    Returns
    -------
    Explorer
        A widget. What cannot be shown, it tells by itself and shows the rest: models with another
        latent size than the first, weights that are not finite, a state of other models.

    Raises
    ------
    InputError
        If a model is unknown, a file cannot be read, `kl` has the wrong length, or ipywidgets is
        older than 7.7, the first that need not echo what a slider said.
    """
    if [int(part) for part in ipywidgets.__version__.split(".")[:2]] < [7, 7]:
        raise InputError(
            f"Found ipywidgets {ipywidgets.__version__}; the explorer's sliders need 7.7 or newer. "
            "Run `pip install --upgrade ipywidgets jupyterlab_widgets`, restart the kernel and "
            "reload the page."
        )
    target, _ = choose_device(device)
    weights = isinstance(models, Mapping) and any(
        isinstance(value, torch.Tensor) for value in models.values()
    )  # a state_dict, which `unwrap` tells about
    if isinstance(models, Mapping) and not weights:
        labels, models = list(models), list(models.values())
    else:
        several = isinstance(models, Iterable) and not isinstance(models, str | nn.Module | Mapping)
        models = list(models) if several else [models]
        labels = [None] * len(models)
    if not models:
        raise InputError("There is nothing to explore: name at least one model.")
    if shown < 1:
        raise InputError(f"shown is {shown}; at least 1 slider must be shown.")
    tables = [None] * len(models) if kl is None else kl
    if kl is not None and np.ndim(kl[0]) == 0:
        tables = [kl]
    if len(tables) != len(models):
        raise InputError(f"Found {len(tables)} lists of KL for {len(models)} models.")

    subjects, problems = [], []
    for model, label, table in zip(models, labels, tables, strict=True):
        subject = _Subject(model, label, table, faces, target)
        first = subjects[0] if subjects else subject
        if not all(torch.isfinite(value).all() for value in subject.model.state_dict().values()):
            problems.append(
                f"{subject.label} cannot be shown: its weights hold values that are not finite. "
                "Train it again, or copy the file again."
            )
        elif subject.config.latent_size != first.config.latent_size:
            problems.append(
                f"{subject.label} has {subject.config.latent_size} latent dimensions and "
                f"{first.label} has {first.config.latent_size}; sliders can only move models of "
                "one latent size together, so it is left out. Explore it in a cell of its own."
            )
        else:
            subjects.append(subject)
    return Explorer(subjects, faces, shown, state, problems)


class _Subject:
    """One model to explore and what is known about it."""

    def __init__(self, source, label, kl, faces: Faces | None, device: torch.device) -> None:
        gallery, metadata, name = None, {}, "model"
        if not isinstance(source, str | Path):
            model = unwrap(source)
        else:
            model, metadata = load_model(source)
            name = Path(source).stem
            if str(source) in pretrained_names():
                gallery = _shipped_gallery(name)
        self.model = _shared_model(model, device)
        self.config = model.config
        self.name = name
        self.label = label or name
        if not label and metadata.get("recipe"):
            with suppress(InputError):  # a recipe that says nothing adds nothing
                self.label = f"{name}, {setting_of(metadata['recipe']).label}"
        self.kind = metadata.get("faces")
        if gallery is None and faces is not None and _finite(self.model):
            gallery = _gallery_of(self.model, faces)
        if kl is None and gallery is not None:
            kl = gallery.kl
        if kl is None:
            kl = validation_kl(metadata, self.config.latent_size)
        if kl is not None and len(kl) != self.config.latent_size:
            raise InputError(
                f"Found KL of {len(kl)} dimensions for {self.label}, which has "
                f"{self.config.latent_size}."
            )
        self.kl = None if kl is None else np.asarray(kl, np.float32)
        self.gallery = gallery


_models: weakref.WeakValueDictionary[bytes, VAE] = weakref.WeakValueDictionary()


def _shared_model(model: VAE, device: torch.device) -> VAE:
    """A copy of this model for explorers, the same one for the same weights.

    A cell that is run ten times would otherwise hold three models thirty times.
    """
    digest = hashlib.sha256(f"{model.config} {device}".encode())
    for name, value in model.state_dict().items():
        digest.update(f"{name} {value.dtype}".encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    key = digest.digest()
    shared = _models.get(key)
    if shared is None:
        shared = copy.deepcopy(model).to(device).float().eval().requires_grad_(False)
        _models[key] = shared
    return shared


def _finite(model: VAE) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())


def _shipped_gallery(name: str) -> Gallery | None:
    try:
        return load_gallery(name)
    except InputError:  # a model without a gallery can still be explored
        return None


def _gallery_of(model: VAE, faces: Faces) -> Gallery | None:
    """A gallery made on the spot: a few thousand faces tell enough for sliders."""
    told = faces.take(2_000, 0, 500)
    both = [told.attributes[told.splits == split] for split in (0, 2)]
    if all(map(len, both)):
        # A label that all of few faces have, or none, has no direction; nor can it be scored.
        varied = np.flatnonzero(np.ptp(both[0], axis=0) * np.ptp(both[1], axis=0))
        if len(varied):
            names = tuple(told.attribute_names[column] for column in varied)
            columns = told.attributes[:, varied]
            return make_gallery(model, replace(told, attributes=columns, attribute_names=names))
    few = faces.take(500, 500, 500)
    mu, logvar = encode_images(model, few.images)
    kl = kl_per_dimension(torch.from_numpy(mu), torch.from_numpy(logvar)).mean(0).numpy()
    none = np.zeros(0, np.float32)
    return Gallery(
        ids=tuple(few.ids[:64].tolist()),
        mu=mu[:64],
        logvar=logvar[:64],
        attribute_names=(),
        attributes=np.zeros((len(mu[:64]), 0), np.float32),
        directions=np.zeros((0, mu.shape[1]), np.float32),
        probe_score=(),
        probe_auc=none,
        best_auc=none,
        best_dimension=np.zeros(0, np.int64),
        dimension_auc=np.zeros((0, mu.shape[1]), np.float32),
        kl=kl,
    )


def _opening(subjects: Sequence[_Subject], faces: Faces | None) -> dict[str, Any]:
    """The face to begin with: its id, and codes of every model where no gallery has them.

    Of a learner's own model that is the validation face that it reconstructs best, since what
    comes first should show what the model can do; the prior's mean would show a smear.
    """
    shared = [set(subject.gallery.ids) if subject.gallery else set() for subject in subjects]
    shipped = [name for name in OPENING if subjects and all(name in ids for ids in shared)]
    if shipped:
        return {"id": shipped[0]}
    if faces is not None and len(faces):
        for few in (faces.take(0, 256), faces.take(0, 0, 256), faces.take(256)):
            if len(few):
                ids, images = few.ids, np.array(few.images)
                break
    elif subjects and all(subject.kind == "synthetic" for subject in subjects):
        from vae_lib.faces.synthetic import synthetic_faces

        images, _ = synthetic_faces(64, seed=1)  # other faces than models are trained on
        ids = np.array([f"drawn-{row:02d}" for row in range(len(images))])
    else:
        return {}
    side = subjects[0].config.image_size if subjects else 0
    if not all(subject.config.image_size == side == images.shape[1] for subject in subjects):
        return {}
    codes, errors = [], np.zeros(len(images))
    for subject in subjects:
        mu, _ = encode_images(subject.model, images)
        wrong = decode_images(subject.model, mu).astype(np.float32) - images
        codes.append(mu)
        errors += np.square(wrong).mean((1, 2, 3))
    best = int(errors.argmin()) if subjects else 0
    return {"id": str(ids[best]), "codes": [mu[best].astype("<f4").tobytes() for mu in codes]}


def decoder_weights(model: VAE) -> np.ndarray:
    """The decoder as the browser wants it: BatchNorm folded into the convolutions, float16.

    In order: ``from_z``'s weight (features, latent_size) and bias, then of every layer the kernel
    (inputs, outputs, 4, 4) and bias, flattened into one array. 1,218,499 numbers of the baseline
    become 1,218,275.
    """
    parts = [model.from_z.weight, model.from_z.bias]
    for layer in model.decoder:
        conv, norm = (layer[0], layer[1]) if isinstance(layer, nn.Sequential) else (layer, None)
        weight, bias = conv.weight, conv.bias
        if norm is not None:
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            weight = weight * scale[None, :, None, None]
            bias = norm.bias - norm.running_mean * scale
        parts += [weight, bias]
    flat = torch.cat([part.detach().float().flatten().cpu() for part in parts])
    return flat.numpy().astype("<f2")


class DecoderWeights(anywidget.AnyWidget):
    """What a page needs to decode without a kernel; explorers on one page share it per model."""

    _esm = "export default {};"
    spec = traitlets.Dict().tag(sync=True)
    half = traitlets.Bytes().tag(sync=True)
    gallery = traitlets.Dict().tag(sync=True)


_shared: dict[str, DecoderWeights] = {}


def _share(subject: _Subject) -> DecoderWeights:
    """The widget with this model's weights: a new one only for weights not met before."""
    half = decoder_weights(subject.model).tobytes()
    digest = hashlib.sha256(half).hexdigest()[:12]
    size, kl, gallery = subject.config.latent_size, subject.kl, subject.gallery
    key = hashlib.sha256(half + b"" if kl is None else half + kl.tobytes()).hexdigest()
    key += subject.name + (hashlib.sha256(gallery.mu.tobytes()).hexdigest() if gallery else "")
    if key in _shared and _shared[key].comm is not None:
        return _shared[key]
    _shared[key] = DecoderWeights(
        spec={
            "name": subject.name,
            "digest": digest,
            "latent_size": size,
            "image_size": subject.config.image_size,
            "channels": list(subject.config.channels),
            "order": _order(subject),
            "kl": None if kl is None else [round(float(value), 3) for value in kl],
        },
        half=half,
        gallery={} if gallery is None else _compact(gallery),
    )
    return _shared[key]


def _compact(gallery: Gallery) -> dict[str, Any]:
    return {
        "ids": list(gallery.ids),
        "names": [name.replace("_", " ") for name in gallery.attribute_names],
        "kind": list(gallery.probe_score),
        "score": [round(float(value), 3) for value in gallery.probe_auc],
        "mu": gallery.mu.astype("<f2").tobytes(),
        "directions": gallery.directions.astype("<f2").tobytes(),
        "attributes": gallery.attributes.astype("<f2").tobytes(),
    }


class LatentSlider(ipywidgets.FloatSlider):
    """A FloatSlider to which the kernel does not repeat what it was told.

    A kernel's echo of one place would throw a slider that is being dragged back from the next.
    ipywidgets 7 never repeats and passes over this setting.
    """

    value = traitlets.CFloat(0.0).tag(sync=True, echo_update=False)


_open: list["Explorer"] = []


def _running_cell() -> tuple[str, str] | None:
    """The cell that is running and this run of it; None outside a notebook's kernel."""
    try:
        from IPython import get_ipython

        parent = get_ipython().kernel.get_parent()
        cell = parent["metadata"].get("cellId") or parent["content"]["code"]
        return str(cell), str(parent["header"]["msg_id"])
    except (ImportError, AttributeError, KeyError, LookupError):
        return None


class Explorer(anywidget.AnyWidget):
    """The widget that `explore` returns.

    When its cell is run again and its last view is gone, it closes by itself, so that a notebook
    holds one explorer per cell however often the cell is run.

    Attributes
    ----------
    values : list of float
        Where the sliders stand: the leading model's code in standard deviations of the prior,
        strongest dimension first. Can be set. Empty until the page has read a given `state`.
    state : str
        Where the explorer stands, at most 400 characters; can be set. Empty where a position
        cannot be told in so few.
    """

    _esm = HERE / "explorer.mjs"
    _css = HERE / "explorer.css"
    models = traitlets.List(traitlets.Instance(ipywidgets.Widget)).tag(
        sync=True, **widget_serialization
    )
    labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    shown = traitlets.Int(10).tag(sync=True)
    factors = traitlets.List(traitlets.Dict()).tag(sync=True)
    problems = traitlets.List(traitlets.Unicode()).tag(sync=True)
    opening = traitlets.Dict().tag(sync=True)
    values = traitlets.List(traitlets.CFloat()).tag(sync=True, echo_update=False)
    state = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        subjects: Sequence[_Subject],
        faces: Faces | None,
        shown: int,
        state: str,
        problems: Sequence[str],
    ) -> None:
        self._models = [subject.model for subject in subjects]
        self._faces = faces
        self._upload: list[bytes] = []
        self._photo: Image.Image | None = None
        self._sliders: list[LatentSlider] = []
        self._views: dict[str, int] = {}  # page → how many views it shows
        self._replaced = False
        opening = _opening(subjects, faces)
        super().__init__(
            models=[_share(subject) for subject in subjects],
            labels=[subject.label for subject in subjects],
            shown=shown,
            factors=_factor_specs() if any(s.kind == "synthetic" for s in subjects) else [],
            problems=list(problems),
            opening=opening,
            values=[] if state or not subjects else _first_values(subjects[0], opening),
            state=state,
        )
        self.on_msg(self._answer)
        self._cell = _running_cell()
        _open.append(self)  # first: what it shares with earlier ones must stay
        for earlier in list(_open):
            if self._cell and earlier._cell and earlier._cell[0] == self._cell[0]:
                earlier._replaced = earlier._cell[1] != self._cell[1]
                earlier._close_if_unseen()

    @property
    def sliders(self) -> list[LatentSlider]:
        """`ipywidgets.FloatSlider`s of the same `values`, to read, set, show and link.

        One per latent dimension, strongest first. They are made when they are first asked for:
        the explorer has sliders of its own in the page.
        """
        if not self._sliders and self.models:
            spec = self.models[0].spec
            values = self.values or [0.0] * spec["latent_size"]
            self._sliders = [
                LatentSlider(
                    value=value,
                    min=-max(REACH, math.ceil(abs(value))),
                    max=max(REACH, math.ceil(abs(value))),
                    step=STEP,
                    description=f"z {dimension}",
                    readout_format=".2f",
                )
                for dimension, value in zip(spec["order"], values, strict=True)
            ]
            for slider in self._sliders:
                slider.observe(self._slider_moved, "value")
            self.observe(self._values_moved, "values")
        return list(self._sliders)

    def _slider_moved(self, change) -> None:
        values = [slider.value for slider in self._sliders]
        if np.abs(np.subtract(values, self.values or 9e9)).max() > 1e-9:
            self.values = values

    def _values_moved(self, change) -> None:
        if len(change.new) != len(self._sliders):
            return
        for slider, value in zip(self._sliders, change.new, strict=True):
            slider.unobserve(self._slider_moved, "value")
            reach = max(REACH, math.ceil(abs(value)))
            slider.min, slider.max = min(slider.min, -reach), max(slider.max, reach)
            slider.value = value
            slider.observe(self._slider_moved, "value")

    def _answer(self, _, content: dict[str, Any], buffers: list[memoryview]) -> None:
        """Answer a message of the browser, or tell in a sentence why not."""
        request = {"request": content.get("request")}
        try:
            reply, binary = getattr(self, f"_on_{content.get('kind')}")(content, buffers)
        except InputError as error:
            reply, binary = {"kind": "refused", "message": str(error)}, []
        except Exception as error:  # a traceback would end in a log that no learner reads
            message = f"The kernel could not answer: {type(error).__name__}: {error}"
            reply, binary = {"kind": "refused", "message": message}, []
        self.send(request | reply, binary)

    def _on_hello(self, content, buffers):
        """Somebody is listening: what can be asked for here."""
        count = 0 if self._faces is None else len(self._faces)
        return {"kind": "welcome", "faces": count, "device": str(self._device)}, []

    @property
    def _device(self) -> torch.device:
        return next(self._models[0].parameters()).device if self._models else torch.device("cpu")

    def _on_decode(self, content, buffers):
        """Codes, each of one of the models → RGB bytes."""
        codes = [np.frombuffer(code, "<f4")[None].copy() for code in buffers]
        pixels = [
            decode_images(self._models[index], code)[0].tobytes()
            for index, code in zip(content["models"], codes, strict=True)
        ]
        return {"kind": "pixels"}, pixels

    def _on_encode(self, content, buffers):
        """A face of the dataset, the uploaded photo, or true factors → a code of every model."""
        name, image = getattr(self, f"_image_of_{content['what']}")(content)
        codes = [
            encode_images(model, image[None])[0].astype("<f4").tobytes() for model in self._models
        ]
        return {"kind": "codes", "id": name}, [*codes, image.tobytes()]

    def _on_views(self, content, buffers):
        """A page tells how many views of this explorer it shows."""
        self._views[content["page"]] = content["count"]
        self._close_if_unseen()
        return {"kind": "noted"}, []

    def _close_if_unseen(self) -> None:
        """Close what its cell has replaced and every page that showed it has let go."""
        if self._replaced and self._views and not any(self._views.values()):
            self.close()

    def _image_of_face(self, content):
        if self._faces is None:
            raise InputError(
                "This explorer was opened without faces; use explore(…, faces=open_faces())."
            )
        if content.get("id"):
            rows = np.flatnonzero(self._faces.ids == content["id"])
            if len(rows) == 0:
                raise InputError(
                    f"There is no face {content['id']!r} among these {len(self._faces):,}."
                )
            row = rows[0]
        else:  # any number names a face of the last split, which no model was trained on
            unseen = np.flatnonzero(self._faces.splits == self._faces.splits.max())
            row = unseen[int(content["number"]) % len(unseen)]
        return str(self._faces.ids[row]), np.array(self._faces.images[row])

    def _image_of_factors(self, content):
        from vae_lib.faces.synthetic import render

        return "factors", render(np.array(content["values"], np.float32))

    def _image_of_photo(self, content):
        if self._photo is None:
            raise InputError("There is no photo in this kernel; choose one first.")
        return "photo", align_photo(self._photo, content["eyes"])

    def _on_photo(self, content, buffers):
        """A photo arrives in parts; after the last one, a preview on which to mark the eyes."""
        if content["part"] == 0:
            self._upload = []
        self._upload.append(bytes(buffers[0]) if buffers else b"")
        if content["part"] + 1 < content["parts"]:
            return {"kind": "more"}, []
        data, self._upload = b"".join(self._upload), []
        self._photo = read_photo(data)
        small = self._photo.copy()
        small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        return {"kind": "preview", "width": small.width, "height": small.height}, [small.tobytes()]

    def close(self) -> None:
        """Give back what it holds, the photo included, and end the connection to the page."""
        self._photo, self._upload, self._faces, self._models = None, [], None, []
        if self in _open:
            _open.remove(self)
        needed = {id(weights) for other in _open for weights in other.models}
        for weights in self.models:
            if id(weights) not in needed:
                weights.layout.close()
                weights.close()
        for key in [key for key, weights in _shared.items() if weights.comm is None]:
            del _shared[key]
        for slider in self._sliders:
            slider.layout.close()
            slider.style.close()
            slider.close()
        self.layout.close()
        super().close()


def _first_values(subject: _Subject, opening: dict[str, Any]) -> list[float]:
    """Where the sliders stand before anybody moves one."""
    z = np.zeros(subject.config.latent_size, np.float32)
    if "codes" in opening:
        z = np.frombuffer(opening["codes"][0], "<f4")
    elif opening:
        row = subject.gallery.ids.index(opening["id"])
        z = subject.gallery.mu[row].astype(np.float16).astype(np.float32)
    return [round(float(z[dimension]), 3) for dimension in _order(subject)]


def _order(subject: _Subject) -> list[int]:
    """Latent dimensions, those with most KL first."""
    if subject.kl is None:
        return list(range(subject.config.latent_size))
    return np.argsort(-subject.kl, kind="stable").tolist()


def _factor_specs() -> list[dict[str, Any]]:
    from vae_lib.faces.synthetic import FACTORS

    return [
        {
            "name": factor.name.replace("_", " "),
            "low": factor.low,
            "high": factor.high,
            "meaning": factor.meaning,
            "binary": factor.binary,
        }
        for factor in FACTORS
    ]


def read_photo(data: bytes) -> Image.Image:
    """Open an uploaded photo: turned upright, RGB, transparent parts white, at most 1600 pixels.

    Parameters
    ----------
    data : bytes
        A JPEG, PNG, WebP, BMP, TIFF or GIF, whatever its name says.

    Raises
    ------
    InputError
        If the file is empty, a HEIC, no picture, damaged, or of more than 50 million pixels.
    """
    if not data:
        raise InputError("The file is empty; choose a photo.")
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"):
        raise InputError(
            "This photo is a HEIC, whatever its name says, which cannot be read here. Export it as "
            "JPEG (on an iPhone: Settings, Camera, Formats, Most Compatible) and choose that."
        )
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            image.draft("RGB", (PHOTO_SIDE, PHOTO_SIDE))  # JPEGs are then decoded smaller
            if image.width * image.height > MAX_PIXELS:
                raise InputError(
                    f"This photo has {image.width * image.height / 1e6:.0f} million pixels; at "
                    f"most {MAX_PIXELS / 1e6:.0f} million can be read. Make it smaller first."
                )
            photo = to_rgb(upright(image))
            photo.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
            return photo
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(
            "This file is no picture in a known format; choose a JPEG or a PNG."
        ) from None
    except Exception as error:  # on a broken file PIL may raise nearly anything
        raise InputError(
            f"This photo is damaged ({error}); copy it again or choose another one."
        ) from error


def align_photo(photo: Image.Image, eyes: Sequence[Sequence[float]]) -> np.ndarray:
    """Turn, scale and crop a photo so that its eyes lie where CelebA's do.

    Parameters
    ----------
    photo : PIL.Image.Image
        RGB.
    eyes : two pairs of float
        Where the eyes are, (x, y) as fractions of width and height, in any order.

    Returns
    -------
    ndarray of uint8, shape (64, 64, 3)
        Beyond the photo's border its edge goes on.

    Raises
    ------
    InputError
        If the eyes coincide, lie outside the photo, or leave more than half of the face outside of
        it, where it would be made up.
    """
    left, right = sorted(
        (complex(x * photo.width, y * photo.height) for x, y in eyes), key=lambda eye: eye.real
    )
    if not all(math.isfinite(eye.real) and math.isfinite(eye.imag) for eye in (left, right)):
        raise InputError("The eyes are not two points of the photo; mark them again.")
    if not all(
        0 <= eye.real <= photo.width and 0 <= eye.imag <= photo.height for eye in (left, right)
    ):
        raise InputError("An eye lies outside the photo; mark both again.")
    if abs(right - left) < 4:
        raise InputError("The two eyes lie on one spot; mark one, then the other.")
    from_here, to_here = (complex(*eye) for eye in EYES)
    turn = (right - left) / (to_here - from_here)  # photo pixels per pixel of the face, and angle
    shift = left - turn * from_here
    across, down = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
    spots = shift + turn * (across + 1j * down)
    inside = (spots.real >= 0) & (spots.real < photo.width)
    inside &= (spots.imag >= 0) & (spots.imag < photo.height)
    if inside.mean() < 0.5:
        raise InputError(
            f"With the eyes here, only {inside.mean():.0%} of the face would lie inside the photo "
            "and the rest would be made up. Mark both pupils of one face again, or choose a photo "
            "with more room around it."
        )
    # Only what the face needs is looked at, and what is much finer than its pixels is reduced
    # first: so the work is the same wherever the eyes are and however large the photo is.
    corners = np.array([shift + turn * complex(x, y) for x in (0, SIDE) for y in (0, SIDE)])
    factor = max(1, int(abs(turn) / 4))
    reach = 2 * factor + 2
    box = (
        max(0, math.floor(corners.real.min()) - reach),
        max(0, math.floor(corners.imag.min()) - reach),
        min(photo.width, math.ceil(corners.real.max()) + reach),
        min(photo.height, math.ceil(corners.imag.max()) + reach),
    )
    part = np.asarray(photo.reduce(factor, box))
    turn, shift = turn / factor, (shift - complex(*box[:2])) / factor
    corners = (corners - complex(*box[:2])) / factor
    before = [max(0, 2 - math.floor(low)) for low in (corners.imag.min(), corners.real.min())]
    after = [
        max(0, 2 + math.ceil(high) - length)
        for high, length in zip((corners.imag.max(), corners.real.max()), part.shape, strict=False)
    ]
    beyond = [*zip(before, after, strict=True), (0, 0)]
    padded = np.pad(part, beyond, mode="edge")
    side = SIDE * max(1, math.ceil(abs(turn)))  # fine enough to lose nothing, then reduced
    fine = turn * SIDE / side
    x, y = shift.real + before[1], shift.imag + before[0]
    aligned = Image.fromarray(padded).transform(
        (side, side),
        Image.Transform.AFFINE,
        (fine.real, -fine.imag, x, fine.imag, fine.real, y),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(aligned.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def seeded_normal(seed: int, count: int) -> np.ndarray:
    """Draws from N(0, 1) that JavaScript repeats: what "random sample" decodes for a seed.

    Uniform numbers of the 32-bit generator Mulberry32 (T. Ettinger, 2017), turned to normal ones
    by Box and Muller (1958).

    Parameters
    ----------
    seed : int
        From 0 to 2³² − 1.
    count : int
        How many.

    Returns
    -------
    ndarray of float32, shape (count,)
    """
    state, mask = seed & 0xFFFFFFFF, 0xFFFFFFFF

    def uniform() -> float:
        nonlocal state
        state = (state + 0x6D2B79F5) & mask
        t = ((state ^ (state >> 15)) * (state | 1)) & mask
        t ^= (t + ((t ^ (t >> 7)) * (t | 61) & mask)) & mask
        return ((t ^ (t >> 14)) + 0.5) / 2**32

    draws = []
    while len(draws) < count:
        radius, angle = math.sqrt(-2 * math.log(uniform())), 2 * math.pi * uniform()
        draws += [radius * math.cos(angle), radius * math.sin(angle)]
    return np.array(draws[:count], np.float32)
