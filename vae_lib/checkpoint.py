"""Weights to share, and the state of a run to go on from; reading either never executes code."""

import io
import math
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import date, time, timedelta
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import torch
from torch import nn

from vae_lib.config import Setting, VAEConfig
from vae_lib.devices import memory_as_sentence
from vae_lib.errors import InputError, foreign
from vae_lib.files import write_atomically
from vae_lib.model import VAE, Foreign, unwrap
from vae_lib.model.any_beta import AnyBetaVAE, check_range

WEIGHTS, RUN_STATE = "vae_lib weights", "vae_lib run state"


def weights_name(faces: str, setting: Setting) -> str:
    """The file name of weights: ``vae_celeba.pth``, ``vae_beta_4.pth``, ``vae_synthetic.pth`` …

    >>> weights_name("celeba", Setting("beta-vae", 4))
    'vae_beta_4.pth'
    >>> weights_name("synthetic", Setting("capacity", 25))
    'vae_synthetic_capacity_25.pth'
    """
    if not re.fullmatch(r"[\w-]+", faces):
        raise InputError(f"Faces are called {faces!r}; their name stands in a file's: one word.")
    if setting == Setting("beta-vae", 1):
        return f"vae_{faces}.pth"
    name = f"{setting.stem}.pth"
    return f"vae_{name}" if faces == "celeba" else f"vae_{faces}_{name}"


def save(path: Path, kind: str, content: dict[str, Any], then: str = "try again") -> None:
    """Write tensors and plain values, labelled as `WEIGHTS` or `RUN_STATE`, atomically.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Path(folder) / "run.pt", RUN_STATE, {"step": 3})
    ...     load(Path(folder) / "run.pt", RUN_STATE)["step"]
    3
    """
    buffer = io.BytesIO()
    torch.save({"kind": kind, **content}, buffer)
    write_atomically(Path(path), buffer.getvalue(), then)


def load(path: Path, kind: str) -> dict[str, Any]:
    """Read what `save` wrote, on the CPU, without executing code from the file.

    Raises
    ------
    InputError
        If there is no such file, it is truncated or damaged, is no PyTorch file, holds Python
        objects that would have to be executed, or is of another kind.

    Examples
    --------
    >>> load(Path("no.pth"), WEIGHTS)
    Traceback (most recent call last):
    vae_lib.errors.InputError: Could not read no.pth: No such file or directory; check the path.
    """
    path = Path(path)
    again = "Start anew in another folder" if kind == RUN_STATE else "Copy or download it again"
    try:
        with path.open("rb") as file:
            start = file.read(2)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"Could not read {path}: {reason}; check the path.") from error
    if start != b"PK" and start[:1] != b"\x80":  # neither torch.save's zip nor a pickle
        raise InputError(f"{path} is no checkpoint: it was not written by torch.save.")
    with foreign(f"{path} is damaged", again):
        if start == b"PK":
            _check_zip(path, again)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of pickle protocols, which no learner can mend
                content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise InputError(
                f"{path} is no checkpoint of vae_lib, or holds Python objects besides tensors and "
                "plain values; loading those could run code, so it is refused."
            ) from error
    found = content.get("kind") if isinstance(content, dict) else None
    if not isinstance(found, str) or found != kind:
        named = found if isinstance(found, str) else "something that vae_lib did not write"
        raise InputError(
            f"{path} holds {named}, not {kind}."
            + (" Use the vae_….pth beside it." if named == RUN_STATE else "")
        )
    return content


def _check_zip(path: Path, again: str) -> None:
    size = path.stat().st_size
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} ({size:,} bytes) is truncated: its end is missing. {again}.")
    with zipfile.ZipFile(path) as archive:
        # torch.save compresses nothing, so whatever claims to unpack is not its work.
        if sum(member.file_size for member in archive.infolist()) > size:
            raise zipfile.BadZipFile("it claims to hold more than it does")
        member = archive.testzip()  # torch.load compares no checksum
        if member is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {member}")


def save_weights(
    path: Path, model: VAE, metadata: dict[str, Any] | None = None, then: str = "try again"
) -> None:
    """Write a model's weights with its configuration and plain metadata.

    Parameters
    ----------
    path : Path
        The file, by custom ``….pth``.
    model : VAE
        Compiled or wrapped too; what is written is the VAE in it. Of a model of your own the
        file holds the weights and the name of its class, which `load_weights` asks back for.
    metadata : dict, optional
        ``model.metadata`` by default. Values as JSON has them. NumPy's numbers, arrays and
        tensors become numbers and lists; paths, dates and versions become text.

    Raises
    ------
    InputError
        Before anything is written: if the metadata hold what has no plain form, if the model has
        other layers than its configuration says, or as `write_atomically`.

    Examples
    --------
    >>> import tempfile
    >>> model = VAE(VAEConfig(channels=(4, 8), latent_size=2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(Path(folder) / "mine.pth", model, {"seed": 0})
    ...     load_weights(Path(folder) / "mine.pth").metadata
    {'seed': 0}
    """
    vae = unwrap(model)
    layers = vae.inner if isinstance(vae, Foreign) else vae
    weights = {name: value.cpu().contiguous() for name, value in layers.state_dict().items()}
    own, beta_range = layers is not vae, getattr(vae, "beta_range", None)
    if not own and (fault := _misfit(weights, vae.config, beta_range)):
        raise InputError(
            f"{path} was not written: {fault}, so that nobody could load it. A VAE whose layers "
            "were changed is saved with torch.save(model.state_dict(), …)."
        )
    plain_metadata = plain(vae.metadata if metadata is None else metadata, "metadata")
    shape: dict[str, Any] = (
        {"model": type(layers).__name__} if own else {"config": asdict(vae.config)}
    )
    if beta_range is not None:
        shape["beta_range"] = list(beta_range)
    save(path, WEIGHTS, {**shape, "weights": weights, "metadata": plain_metadata}, then)


def plain(value: Any, where: str, depth: int = 0) -> Any:
    """A value in JSON's kinds: None, bool, int, float, str, lists and dicts of them.

    Raises
    ------
    InputError
        If it has no such form; ``where`` tells which part of what.

    Examples
    --------
    >>> plain({"psnr": np.float32(0.5), "file": Path("vae.pth"), "shape": (2, 3)}, "metadata")
    {'psnr': 0.5, 'file': 'vae.pth', 'shape': [2, 3]}
    """
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        value = value.tolist()
    elif is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    elif isinstance(value, Enum):
        value = value.value
    for kind in (bool, int, float, str):  # bool first, which is an int too
        if isinstance(value, kind):
            return kind(value)
    if value is None:
        return None
    if isinstance(value, os.PathLike):
        return plain(os.fspath(value), where, depth)
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, timedelta | torch.device | torch.dtype | UUID):
        return str(value)
    if depth > 50:
        raise InputError(f"{where[:80]} … is nested too deeply to be written, or holds itself.")
    if isinstance(value, Mapping):
        keys = {key: plain(key, f"a key of {where}") for key in value}
        if not any(isinstance(key, list | dict) for key in keys.values()):
            return {
                keys[key]: plain(item, f"{where}[{keys[key]!r}]", depth + 1)
                for key, item in value.items()
            }
    elif isinstance(value, list | tuple | range):
        return [plain(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    elif isinstance(value, set | frozenset):
        return sorted((plain(item, where, depth + 1) for item in value), key=repr)
    raise InputError(
        f"{where} is a {type(value).__name__}, which has no plain form to be written in; give a "
        "number, a text, or lists and dicts of them."
    )


def load_weights(
    path: Path,
    device: torch.device | str = "cpu",
    config: VAEConfig | None = None,
    model: nn.Module | None = None,
) -> VAE:
    """Rebuild a model from its file, in eval mode; `VAE.metadata` holds what the file tells of it.

    One that was trained for a range of β comes back as an `AnyBetaVAE` with its ``beta_range``.

    Parameters
    ----------
    path : Path
        What `save_weights` wrote.
    device : torch.device or str
        Where the model shall live.
    config : VAEConfig, optional
        The shape you expect; an error tells where the file's differs.
    model : nn.Module, optional
        For weights of a model of your own: one like it, which is filled and returned.

    Raises
    ------
    InputError
        As `load`, and if the weights do not fit the configuration or the model given.

    Examples
    --------
    See `save_weights`; a file of weights is also what `load_pretrained` reads.

    >>> load_weights(Path("no.pth"))
    Traceback (most recent call last):
    vae_lib.errors.InputError: Could not read no.pth: No such file or directory; check the path.
    """
    content = load(path, WEIGHTS)
    if "model" in content or model is not None:
        return _filled(path, content, model, device)
    try:
        found = VAEConfig(**content["config"])
        beta_range = check_range(content["beta_range"]) if "beta_range" in content else None
        weights, metadata = content["weights"], content["metadata"]
        if not isinstance(metadata, dict):
            raise TypeError(f"its metadata are a {type(metadata).__name__}")
    except (KeyError, TypeError, InputError) as error:
        raise InputError(
            f"{path} lacks its configuration, weights or metadata ({error}); make it again with "
            "vae train."
        ) from error
    if config is not None and config != found:
        differences = differing(asdict(config), asdict(found))
        raise InputError(f"{path} is a model of another shape: {differences}.")
    # Before the model is built: a file may name any size, and its weights say how large it is.
    if fault := _misfit(weights, found, beta_range):
        raise InputError(f"The weights in {path} do not fit its configuration: {fault}.")
    with torch.random.fork_rng(devices=[]):  # a new model draws weights; nobody else should notice
        model = _build(found, beta_range)
    model.load_state_dict(weights)
    model.metadata = metadata
    with memory_as_sentence("load the model on the CPU"):
        return model.to(device).eval()


def _filled(
    path: Path, content: dict[str, Any], model: nn.Module | None, device: torch.device | str
) -> Any:
    """A model of somebody's own, with the weights of a file."""
    if model is None:
        raise InputError(
            f"{path} holds the weights of a {content['model']}, a class that vae_lib does not know "
            "and cannot build. Make one as it was made for training, and give it: "
            "load_weights(path, model=…)."
        )
    with foreign(f"The weights in {path} do not fit the {type(model).__name__} given", "Make it "
                 "as it was made for training"):  # fmt: skip
        model.load_state_dict(content["weights"])
        model.metadata = content["metadata"]
    with memory_as_sentence("load the model on the CPU"):
        return model.to(device).eval()


def _build(config: VAEConfig, beta_range: tuple[float, float] | None) -> VAE:
    return VAE(config) if beta_range is None else AnyBetaVAE(config, beta_range)


def _misfit(weights: Any, config: VAEConfig, beta_range: tuple[float, float] | None = None) -> str:
    """What keeps weights from being those of such a model; empty where nothing does.

    The model is built without memory, on PyTorch's meta device.
    """
    if not isinstance(weights, Mapping):
        return f"they are a {type(weights).__name__}"
    if len(config.channels) > len(weights):
        return f"{len(config.channels):,} layers, but {len(weights):,} tensors"
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            expected = _build(config, beta_range).state_dict()
    except (RuntimeError, OverflowError, TypeError, ValueError):
        return f"no computer has room for {config}"
    for name in sorted(map(str, expected.keys() ^ weights.keys())):
        return f"{name} is {'missing' if name in expected else 'one too many'}"
    for name, wanted in expected.items():
        found = weights[name]
        if not isinstance(found, torch.Tensor) or found.layout != torch.strided:
            return f"{name} is a {type(found).__name__}, no plain tensor"
        if found.is_meta or found.is_quantized or found.is_complex():
            return f"{name} is of {found.dtype} on {found.device}"
        if found.is_floating_point() != wanted.is_floating_point():
            return f"{name} is of {found.dtype}, not {wanted.dtype}"
        if found.shape != wanted.shape:
            return f"{name} is {list(found.shape)}, not {list(wanted.shape)}"
        if found.untyped_storage().nbytes() < found.numel() * found.element_size():
            return f"{name} claims more numbers than the file holds"
    return ""


def validation_kl(metadata: dict[str, Any], latent_size: int) -> list[float] | None:
    """Mean KL of each dimension on validation faces, nats, if a file's metadata tell it.

    Examples
    --------
    >>> validation_kl({"validation": {"kl_per_dimension": [2.0, 0.5]}}, latent_size=2)
    [2.0, 0.5]
    >>> validation_kl({}, latent_size=2) is None
    True
    """
    measured = metadata.get("validation")
    kl = measured.get("kl_per_dimension") if isinstance(measured, dict) else None
    if not isinstance(kl, list | tuple) or len(kl) != latent_size:
        return None
    if not all(isinstance(nats, int | float) and math.isfinite(nats) for nats in kl):
        return None
    return list(kl)


def differing(expected: dict[str, Any], found: dict[str, Any]) -> str:
    """Name each field in which two configurations differ, with both values.

    Examples
    --------
    >>> differing({"beta": 4.0, "seed": 0}, {"beta": 1.0, "seed": 0})
    'beta is 1.0 there and 4.0 here'
    """
    return ", ".join(
        f"{name} is {found.get(name)!r} there and {expected.get(name)!r} here"
        for name in sorted(expected.keys() | found.keys(), key=str)
        if expected.get(name) != found.get(name)
    )
