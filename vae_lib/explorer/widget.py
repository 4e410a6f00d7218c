"""The widget: what a learner gets from `explore`, and the kernel's answers to the page.

All that a learner touches lives in the browser, in ``browser/``. Python answers two questions:
which pixels has this code (z → pixels), and which code has this picture (picture → z). Where nobody
answers, on a published page, the browser decodes by itself from weights that travel with the page.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import torch
import traitlets
from ipywidgets import widget_serialization
from PIL import Image
from torch import nn

from vae_lib.devices import choose_device, memory_as_sentence
from vae_lib.errors import InputError
from vae_lib.explorer.modules import BROWSER, browser_module
from vae_lib.explorer.page import page_of, write_page
from vae_lib.explorer.payload import (
    Subject,
    encoder_weights,
    factor_specs,
    first_values,
    forget_closed,
    opening_of,
    share,
)
from vae_lib.explorer.photo import SIDE, align_photo, read_photo
from vae_lib.faces.dataset import Faces
from vae_lib.latent import decode_images
from vae_lib.model import VAE

REACH = 3.0  # sliders end at ± this many standard deviations of the prior
STEP = 0.05
PREVIEW_SIDE = 360
LONGEST_NAME = 40  # characters, of a dimension


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
    state_dict = isinstance(models, Mapping) and any(
        isinstance(value, torch.Tensor) for value in models.values()
    )  # which `unwrap` tells about
    if isinstance(models, Mapping) and not state_dict:
        labels: list[Any] = list(models)
        models = list(models.values())
    else:
        several = isinstance(models, Iterable) and not isinstance(models, str | nn.Module | Mapping)
        models = list(models) if several else [models]  # type: ignore[arg-type,list-item]
        labels = [None] * len(models)
    if not models:
        raise InputError("There is nothing to explore: name at least one model.")
    if shown < 1:
        raise InputError(f"shown is {shown}; at least 1 slider must be shown.")
    tables: Any = [None] * len(models) if kl is None else kl
    if kl is not None and np.ndim(kl[0]) == 0:
        tables = [kl]
    if len(tables) != len(models):
        raise InputError(f"Found {len(tables)} lists of KL for {len(models)} models.")

    subjects: list[Subject] = []
    problems: list[str] = []
    for model, label, table in zip(models, labels, tables, strict=True):
        subject = Subject(model, label, table, faces, target)
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


class LatentSlider(ipywidgets.FloatSlider):
    """A FloatSlider to which the kernel does not repeat what it was told.

    A kernel's echo of one place would throw a slider that is being dragged back from the next.
    ipywidgets 7 never repeats and passes over this setting.
    """

    value = traitlets.CFloat(0.0).tag(sync=True, echo_update=False)


def _by_number(item: tuple[str, str]) -> int:
    return int(item[0])


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

    _esm = browser_module()
    _css = BROWSER / "explorer.css"
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
    named = traitlets.Dict().tag(sync=True, echo_update=False)  # digest → dimension → name

    def __init__(
        self,
        subjects: Sequence[Subject],
        faces: Faces | None,
        shown: int,
        state: str,
        problems: Sequence[str],
    ) -> None:
        self._subjects = list(subjects)
        self._faces = faces
        self._upload: list[bytes] = []
        self._photo: Image.Image | None = None
        self._sliders: list[LatentSlider] = []
        self._views: dict[str, int] = {}  # page → how many views it shows
        self._replaced = False
        opening = opening_of(subjects, faces)
        super().__init__(
            models=[share(subject) for subject in subjects],
            labels=[subject.label for subject in subjects],
            shown=shown,
            factors=factor_specs() if any(s.kind == "synthetic" for s in subjects) else [],
            problems=list(problems),
            opening=opening,
            values=[] if state or not subjects else first_values(subjects[0], opening),
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
    def names(self) -> dict[int, str]:
        """What a learner calls dimensions of the first model: ``{108: "head turns"}``. Can be set.

        In the page a double click on a row's name, a finger that rests there, or F2 on its slider
        gives one. They travel with the widget, a saved page included, and a browser offers them
        again for the same model.

        Raises
        ------
        InputError
            Where a dimension is not the model's, or a name is empty or longer than 40 characters.

        Examples
        --------
        >>> explorer = explore("vae_mig_best")
        >>> explorer.names = {3: "head turns"}
        >>> explorer.names
        {3: 'head turns'}
        >>> explorer.names = {16: "ears"}
        Traceback (most recent call last):
        vae_lib.errors.InputError: There is no dimension 16; this model has 16, counted from 0.
        """
        told = self.named.get(self.models[0].spec["digest"], {}) if self.models else {}
        return {int(dimension): name for dimension, name in sorted(told.items(), key=_by_number)}

    @names.setter
    def names(self, names: Mapping[int, str]) -> None:
        if not self.models:
            raise InputError("This explorer shows no model whose dimensions could have names.")
        spec = self.models[0].spec
        for dimension, name in names.items():
            if dimension not in range(spec["latent_size"]):
                raise InputError(
                    f"There is no dimension {dimension!r}; this model has {spec['latent_size']}, "
                    "counted from 0."
                )
            if not isinstance(name, str) or not 0 < len(name.strip()) <= LONGEST_NAME:
                raise InputError(
                    f"Found {name!r} as the name of dimension {dimension}; a name is text of 1 to "
                    f"{LONGEST_NAME} characters."
                )
        told = {str(int(dimension)): name.strip() for dimension, name in names.items()}
        self.named = {**self.named, spec["digest"]: told}

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
        return self._subjects[0].model.device if self._subjects else torch.device("cpu")

    def _on_decode(self, content, buffers):
        """Codes, each of one of the models → RGB bytes."""
        codes = [np.frombuffer(code, "<f4")[None].copy() for code in buffers]
        betas = content.get("betas") or [None] * len(codes)
        pixels = [
            decode_images(self._subjects[index].model, code, beta=beta)[0].tobytes()
            for index, beta, code in zip(content["models"], betas, codes, strict=True)
        ]
        return {"kind": "pixels"}, pixels

    def _on_encode(self, content, buffers):
        """A face of the dataset, the photo, or true factors → mu, then logvar, of every model."""
        name, image = getattr(self, f"_image_of_{content['what']}")(content)
        told = zip(*(subject.posteriors(image[None]) for subject in self._subjects), strict=True)
        mu, logvar = ([one.astype("<f4").tobytes() for one in each] for each in told)
        return {"kind": "codes", "id": name}, [*mu, *logvar, image.tobytes()]

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

    def save(self, path: str | Path, *, with_encoder: bool = False) -> Path:
        """Write a page with this explorer as it stands: one file, to keep, to mail, to put online.

        It needs no Jupyter and no network, and asks for nothing: decoders, gallery and position
        are in it, as float16. Photos and pictures of the data set are not.

        Parameters
        ----------
        path : str or Path
            Ends with ``.html``. Only an earlier page of an explorer is replaced.
        with_encoder : bool
            Put the encoders in too, so that the page can start from a photo of its reader's own.
            It reads the photo itself and sends it nowhere. Of 64×64 pixels only.

        Returns
        -------
        Path
            Where it stands.

        Raises
        ------
        InputError
            If there is no model to show, something else stands at `path`, or it cannot be written.

        Examples
        --------
        >>> folder = getfixture("tmp_path")
        >>> explore("vae_synthetic").save(folder / "face.html").name
        'face.html'
        """
        if not self._subjects:
            raise InputError(" ".join(self.problems) or "This explorer is closed; make another.")
        celeba = any(subject.kind == "celeba" for subject in self._subjects)
        css = (BROWSER / "explorer.css").read_text(encoding="utf-8")
        encoders = []
        if with_encoder:
            if any(subject.config.image_size != SIDE for subject in self._subjects):
                raise InputError(
                    f"Photos are cropped to {SIDE}×{SIDE} pixels, and a model here takes another "
                    "size; save the page without its encoder."
                )
            encoders = [encoder_weights(subject.model) for subject in self._subjects]
        text = page_of(self, browser_module("host"), css, celeba, encoders)
        return write_page(Path(path), text)

    def close(self) -> None:
        """Give back what it holds, the photo included, and end the connection to the page."""
        self._photo, self._upload, self._faces, self._subjects = None, [], None, []
        if self in _open:
            _open.remove(self)
        needed = {id(weights) for other in _open for weights in other.models}
        for weights in self.models:
            if id(weights) not in needed:
                weights.layout.close()
                weights.close()
        forget_closed()
        for slider in self._sliders:
            slider.layout.close()
            slider.style.close()
            slider.close()
        self.layout.close()
        super().close()
