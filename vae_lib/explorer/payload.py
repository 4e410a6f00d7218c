"""What an explorer tells its page: subjects, the face to begin with, galleries, decoder weights."""

import base64
import copy
import hashlib
import warnings
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import torch
import traitlets
from torch import nn

from vae_lib.checkpoint import validation_kl
from vae_lib.config import setting_of
from vae_lib.errors import InputError
from vae_lib.faces.dataset import Faces
from vae_lib.latent import decode_images, encode_images
from vae_lib.model import VAE, unwrap
from vae_lib.model.any_beta import AnyBetaVAE
from vae_lib.pretrained import (
    any_beta_names,
    load_beta_table,
    load_gallery,
    load_model,
    pretrained_names,
)
from vae_lib.pretrained.beta_table import BetaTable, gallery_beta, make_beta_gallery, table_betas
from vae_lib.pretrained.gallery import Gallery, make_gallery

# The gallery's face that is shown first, chosen by eye among the 64: seen from the front, sharp at
# every β, before a plain light wall, and with nothing on it yet, neither smile nor hat nor glasses
# nor beard, so that the first slider that anybody moves changes what it is named after.
OPENING = ("183727.jpg", "synthetic-018731")


class Subject:
    """One model to explore and what is known about it."""

    def __init__(self, source, label, kl, faces: Faces | None, device: torch.device) -> None:
        gallery, table, name = None, None, "model"
        if not isinstance(source, str | Path):
            model = unwrap(source)
        else:
            model = load_model(source)
            name = Path(source).stem
            if str(source) in pretrained_names() + any_beta_names():
                gallery = _shipped_gallery(name)
            if gallery is not None and isinstance(model, AnyBetaVAE):
                table = load_beta_table(name)
        metadata = model.metadata
        self.model = _shared_model(model, device)
        self.config = model.config
        self.name = name
        self.label = label or name
        if not label and metadata.get("recipe"):
            with suppress(InputError):  # a recipe that says nothing adds nothing
                self.label = f"{name}, {setting_of(metadata['recipe']).label}"
        self.kind = metadata.get("faces")
        if gallery is None and faces is not None and _finite(self.model):
            gallery, table = _gallery_of(self.model, faces)
        if kl is None and table is not None and isinstance(self.model, AnyBetaVAE):
            kl = table.at(gallery_beta(self.model), "kl_per_dimension")  # as the page shows it
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
        self.gallery, self.table = gallery, table
        # A network for every β: what its codes are kept at, and the β that an explorer begins with.
        self.betas: tuple[float, ...] = ()
        self.first_beta: float | None = None
        if isinstance(self.model, AnyBetaVAE):
            self.betas = tuple(table_betas(self.model.beta_range).tolist())
            self.first_beta = gallery_beta(self.model)

    def posteriors(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """mu and logvar (n, 1, latent_size); of a network for every β (n, b, latent_size)."""
        told: Any = self.betas or (None,)
        mu, logvar = zip(*(encode_images(self.model, images, beta=b) for b in told), strict=True)
        return np.stack(mu, axis=1), np.stack(logvar, axis=1)


_models: weakref.WeakValueDictionary[bytes, VAE] = weakref.WeakValueDictionary()


def _shared_model(model: VAE, device: torch.device) -> VAE:
    """A copy of this model for explorers, the same one for the same weights.

    A cell that is run ten times would otherwise hold three models thirty times.
    """
    digest = hashlib.sha256(f"{model.config} {device} {type(model)} {model}".encode())
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


def _gallery_of(model: VAE, faces: Faces) -> tuple[Gallery, BetaTable | None]:
    """A gallery made on the spot: a few thousand faces tell enough for sliders."""
    told = faces.take(2_000, 500, 500)
    if not all(np.count_nonzero(told.splits == split) for split in (0, 2)):
        few = faces.take(500, 500, 500)
        none = np.zeros((len(few), 0), np.float32)
        splits = np.full(len(few), 2, np.uint8)
        told = replace(few, splits=splits, attributes=none, attribute_names=())
    with warnings.catch_warnings():
        # A label that all of few faces have, or none, has no direction; nor can it be scored.
        warnings.simplefilter("ignore")
        if isinstance(model, AnyBetaVAE):
            return make_beta_gallery(model, told)
        return make_gallery(model, told), None


def opening_of(subjects: Sequence[Subject], faces: Faces | None) -> dict[str, Any]:
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
        (mu, _), first = subject.posteriors(images), subject.first_beta
        shown = mu[:, subject.betas.index(first) if first else 0]
        wrong = decode_images(subject.model, shown, beta=first).astype(np.float32) - images
        codes.append(mu)
        errors += np.square(wrong).mean((1, 2, 3))
    best = int(errors.argmin()) if subjects else 0
    return {"id": str(ids[best]), "codes": [mu[best].astype("<f4").tobytes() for mu in codes]}


def _built_as_vae(model: VAE, *parts: str) -> bool:
    """Whether these layers are those that `VAE` makes: somebody's own may stand in their place."""
    with torch.device("meta"):  # takes no memory, and draws nothing
        plain = VAE(model.config)
    return all(repr(getattr(model, part)) == repr(getattr(plain, part)) for part in parts)


def decoder_weights(model: VAE) -> np.ndarray:
    """The decoder as the browser wants it: BatchNorm folded into the convolutions, float16.

    In order: ``from_z``'s weight (features, latent_size) and bias, then of every layer the kernel
    (inputs, outputs, 4, 4) and bias, flattened into one array. 1,218,499 numbers of the baseline
    become 1,218,275. Of an `AnyBetaVAE`, u and v of each gate follow, in the same order of layers.

    Raises
    ------
    InputError
        If the model decodes in another way than `VAE`, which is the only one that the page knows.
    """
    gated = isinstance(model, AnyBetaVAE)
    known_way = type(model).decode_logits in (VAE.decode_logits, AnyBetaVAE.decode_logits)
    if not (known_way and _built_as_vae(model, "from_z", "decoder")):
        name = type(getattr(model, "inner", model)).__name__
        raise InputError(
            f"{name} decodes in a way of its own, which a page cannot: the explorer shows models "
            "with VAE's decoder. Draw others with vae_lib.figures.traversals, or derive yours from "
            "VAE and change the encoder alone."
        )
    parts = [model.from_z.weight, model.from_z.bias]
    layers: Any = model.decoder
    conv: Any
    norm: Any
    for layer in layers:
        conv, norm = (layer[0], layer[1]) if isinstance(layer, nn.Sequential) else (layer, None)
        weight, bias = conv.weight, conv.bias
        if norm is not None:
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            weight = weight * scale[None, :, None, None]
            bias = norm.bias - norm.running_mean * scale
        parts += [weight, bias]
    if gated:
        known: Any = model
        for gate in (known.from_z_gate, *known.decoder_gates):
            parts += [gate.affine.weight, gate.affine.bias]
    flat = torch.cat([part.detach().float().flatten().cpu() for part in parts])
    return flat.numpy().astype("<f2")


def encoder_weights(model: VAE) -> bytes:
    """The encoder as the browser wants it: unfolded, so that shipped models lose nothing.

    In order, as float32: of every layer BatchNorm's weight, bias, mean and variance; the biases of
    ``to_mu`` and ``to_logvar``; of an `AnyBetaVAE`, u and v of each gate. Then as float16: the
    kernels (outputs, inputs, 4, 4), and the weights of ``to_mu`` and ``to_logvar``.

    Raises
    ------
    InputError
        If the model encodes in another way than `VAE`, or its weights are not finite.
    """
    gated = isinstance(model, AnyBetaVAE)
    known_way = type(model).encode in (VAE.encode, AnyBetaVAE.encode)
    if not (known_way and _built_as_vae(model, "encoder", "to_mu", "to_logvar")):
        name = type(getattr(model, "inner", model)).__name__
        raise InputError(
            f"{name} encodes in a way of its own, which a page cannot: save the page without its "
            "encoder."
        )
    if not _finite(model):
        raise InputError(
            "The encoder's weights are not all finite numbers, so that it can encode no photo. "
            "Train the model again with a smaller learning rate, or save the page without it."
        )
    layers: Any = model.encoder
    single: list[torch.Tensor] = []
    for _, norm, _ in layers:
        single += [norm.weight, norm.bias, norm.running_mean, norm.running_var]
    heads = (model.to_mu, model.to_logvar)
    single += [head.bias for head in heads]
    if gated:
        known: Any = model
        for gate in (*known.encoder_gates, known.mu_gate, known.logvar_gate):
            single += [gate.affine.weight, gate.affine.bias]
    half = [conv.weight for conv, _, _ in layers] + [head.weight for head in heads]

    def flat(parts: list[torch.Tensor]) -> np.ndarray:
        return torch.cat([part.detach().float().flatten().cpu() for part in parts]).numpy()

    return flat(single).astype("<f4").tobytes() + flat(half).astype("<f2").tobytes()


def encoder_script(model: VAE) -> tuple[str, str]:
    """The encoder as a script beside a page: the file's name, and its text.

    A page from the disk may fetch nothing, but may load a script. This one puts the weights, in
    Base64, where the explorer looks for them.
    """
    weights = encoder_weights(model)
    digest = _digest(weights)
    text = base64.b64encode(weights).decode()
    return f"{digest}.js", f'globalThis[Symbol.for("vae_lib encoders")].{digest} = "{text}";\n'


def _digest(weights: bytes) -> str:
    return "e" + hashlib.sha256(weights).hexdigest()[:12]


def _encoder_digest(model: VAE) -> str:
    """What an encoder is found by; "" of one that no page can run."""
    try:
        return _digest(encoder_weights(model))
    except InputError:
        return ""


class DecoderWeights(anywidget.AnyWidget):
    """What a page needs to decode without a kernel; explorers on one page share it per model."""

    _esm = "export default {};"
    spec = traitlets.Dict().tag(sync=True)
    half = traitlets.Bytes().tag(sync=True)
    gallery = traitlets.Dict().tag(sync=True)


_shared: dict[str, DecoderWeights] = {}


def share(subject: Subject) -> DecoderWeights:
    """The widget with this model's weights: a new one only for weights not met before."""
    half = decoder_weights(subject.model).tobytes()
    digest = hashlib.sha256(half).hexdigest()[:12]
    size, kl, gallery = subject.config.latent_size, subject.kl, subject.gallery
    key = hashlib.sha256(half + b"" if kl is None else half + kl.tobytes()).hexdigest()
    encoder = _encoder_digest(subject.model)
    key += (
        encoder
        + subject.name
        + (hashlib.sha256(gallery.mu.tobytes()).hexdigest() if gallery else "")
    )
    if key in _shared and _shared[key].comm is not None:
        return _shared[key]
    _shared[key] = DecoderWeights(
        spec={
            "name": subject.name,
            "digest": digest,
            "latent_size": size,
            "image_size": subject.config.image_size,
            "channels": list(subject.config.channels),
            "encoder": encoder,
            "order": _order(subject),
            "kl": None if kl is None else [round(float(value), 3) for value in kl],
            **_range_of(subject),
        },
        half=half,
        gallery={} if gallery is None else _compact(gallery) | _at_betas(subject.table),
    )
    return _shared[key]


def forget_closed() -> None:
    """Let go of widgets that were closed."""
    for key in [key for key, widget in _shared.items() if widget.comm is None]:
        del _shared[key]


def _compact(gallery: Gallery) -> dict[str, Any]:
    fit = {}
    if gallery.code_mean is not None and gallery.code_factor is not None:
        parts = {"mean": gallery.code_mean, "chol": gallery.code_factor}
        fit = {"fit": {name: value.astype("<f2").tobytes() for name, value in parts.items()}}
    return fit | {
        "ids": list(gallery.ids),
        "names": [name.replace("_", " ") for name in gallery.attribute_names],
        "kind": list(gallery.scores.kind),
        "score": [round(float(value), 3) for value in gallery.scores.probe],
        "mu": gallery.mu.astype("<f2").tobytes(),
        "directions": gallery.directions.astype("<f2").tobytes(),
        "attributes": gallery.attributes.astype("<f2").tobytes(),
    }


def _range_of(subject: Subject) -> dict[str, Any]:
    """Of a network for every β: the range, what codes are kept at, and the β to begin with."""
    if not subject.betas:
        return {}
    low, high = subject.betas[0], subject.betas[-1]
    return {
        "beta_range": [low, high],
        "betas": subject.betas,
        "first_beta": subject.first_beta,
    }


def _at_betas(table: BetaTable | None) -> dict[str, Any]:
    """Codes and directions at every β of a table, and what was measured there."""
    if table is None:
        return {}

    def half(name: str) -> bytes:
        return getattr(table, name).astype("<f2").tobytes()

    def plain(name: str) -> list:
        return getattr(table, name).astype(float).round(3).tolist()

    rates = {"face_kl": half("face_kl"), "face_psnr": half("face_psnr"), "psnr": plain("psnr")}
    rates["kl_per_dimension"] = plain("kl_per_dimension")
    # The Gaussian of the gallery's codes is that of one β.
    return {"mu": half("mu"), "directions": half("directions"), "rates": rates, "fit": None}


def _order(subject: Subject) -> list[int]:
    """Latent dimensions, those with most KL first."""
    if subject.kl is None:
        return list(range(subject.config.latent_size))
    return np.argsort(-subject.kl, kind="stable").tolist()


def first_values(subject: Subject, opening: dict[str, Any]) -> list[float]:
    """Where the sliders stand before anybody moves one."""
    z = np.zeros(subject.config.latent_size, np.float32)
    if "codes" in opening:
        z = np.frombuffer(opening["codes"][0], "<f4")
        if subject.betas:
            z = z.reshape(len(subject.betas), -1)[subject.betas.index(subject.first_beta)]
    elif opening and subject.gallery is not None:
        row = subject.gallery.ids.index(opening["id"])
        z = subject.gallery.mu[row].astype(np.float16).astype(np.float32)
    return [round(float(z[dimension]), 3) for dimension in _order(subject)]


def factor_specs() -> list[dict[str, Any]]:
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
