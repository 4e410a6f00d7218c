"""Files that survive: weights to share, and the state of a run to go on from.

A file appears under its name complete or not at all, and reading one never executes code.
"""

import errno
import io
import os
import pickle
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vae_lib.config import VAEConfig
from vae_lib.errors import InputError
from vae_lib.model import VAE

WEIGHTS, RUN_STATE = "vae_lib weights", "vae_lib run state"


def weights_name(faces: str, setting: float, word: str = "beta") -> str:
    """The file name of weights: ``vae_celeba.pth``, ``vae_beta_4.pth``, ``vae_synthetic.pth`` …

    Other objectives than the β-VAE's bring a word of their own: ``vae_capacity_25.pth``.
    """
    if word == "beta" and setting == 1:
        return f"vae_{faces}.pth"
    name = f"{word}_{setting:g}.pth"
    return f"vae_{name}" if faces == "celeba" else f"vae_{faces}_{name}"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file beside ``path``, force it to the disk, then rename it.

    Missing folders are made.

    Raises
    ------
    InputError
        If the disk is full or the folder cannot be written; what stood there before still does.
    """
    with writing(path, len(content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes private files; weights are shared like any other file.
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        _sync_folder(path.parent)


@contextmanager
def writing(path: Path, size: int = 0) -> Iterator[None]:
    """Turn a write that fails into a sentence: what is in the way, what is intact, what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = (
            f"free at least {max(1, 2 * size >> 20)} MB there and try again, training with --resume"
            if full
            else "choose a folder that exists and that you may write to"
        )
        kept = "; what stood there before is intact" if path.is_file() else ""
        raise InputError(f"Could not write {path}: {error.strerror}{kept}; {advice}.") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system lets a folder be synced."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def save(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Write tensors and plain values, labelled as `WEIGHTS` or `RUN_STATE`, atomically."""
    buffer = io.BytesIO()
    torch.save({"kind": kind, **content}, buffer)
    write_atomically(Path(path), buffer.getvalue())


def load(path: Path, kind: str) -> dict[str, Any]:
    """Read what `save` wrote, on the CPU, without executing code from the file.

    Raises
    ------
    InputError
        If there is no such file, it is truncated, is no PyTorch file, holds Python objects
        that would have to be executed, or is of another kind.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(2)
    except OSError as error:
        raise InputError(f"Could not read {path}: {error.strerror}; check the path.") from error
    if start == b"PK" and not zipfile.is_zipfile(path):
        raise InputError(
            f"{path} ({path.stat().st_size:,} bytes) is truncated: its end is missing. "
            "Copy or download it again."
        )
    if start != b"PK" and start[:1] != b"\x80":  # neither torch.save's zip nor a pickle
        raise InputError(f"{path} is no checkpoint: it was not written by torch.save.")
    try:
        if start == b"PK":
            with zipfile.ZipFile(path) as archive:  # torch.load compares no checksum
                member = archive.testzip()
            if member is not None:
                raise zipfile.BadZipFile(f"wrong checksum of {member}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols, which no learner can mend
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is no checkpoint of vae_lib, or holds Python objects besides tensors and "
            "plain values; loading those could run code, so it is refused."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged ({error}). Copy or download it again.") from error
    found = content.get("kind") if isinstance(content, dict) else None
    if found != kind:
        raise InputError(
            f"{path} holds {found or 'something that vae_lib did not write'}, not {kind}."
            + (" Use the vae_….pth beside it." if found == RUN_STATE else "")
        )
    return content


def save_weights(path: Path, model: VAE, metadata: dict[str, Any]) -> None:
    """Write a model's weights with its configuration and plain metadata (JSON-like values)."""
    weights = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    save(
        path,
        WEIGHTS,
        {"config": asdict(model.config), "weights": weights, "metadata": metadata},
    )


def load_weights(
    path: Path, device: torch.device | str = "cpu", config: VAEConfig | None = None
) -> tuple[VAE, dict[str, Any]]:
    """Rebuild a model from its file, in eval mode, with its metadata.

    Parameters
    ----------
    path : Path
        What `save_weights` wrote.
    device : torch.device or str
        Where the model shall live.
    config : VAEConfig, optional
        The shape you expect; an error tells where the file's differs.

    Raises
    ------
    InputError
        As `load`, and if the weights do not fit the configuration.
    """
    content = load(path, WEIGHTS)
    try:
        found = VAEConfig(**content["config"])
        weights, metadata = content["weights"], content["metadata"]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path} lacks its configuration or weights ({error}); make it again with vae train."
        ) from error
    if config is not None and config != found:
        differences = differing(asdict(config), asdict(found))
        raise InputError(f"{path} is a model of another shape: {differences}.")
    with torch.random.fork_rng(devices=[]):  # a new model draws weights; nobody else should notice
        model = VAE(found)
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"The weights in {path} do not fit its configuration: {reason}") from error
    return model.to(device).eval(), metadata


def differing(expected: dict[str, Any], found: dict[str, Any]) -> str:
    """Name each field in which two configurations differ, with both values."""
    return ", ".join(
        f"{name} is {found.get(name)!r} there and {expected.get(name)!r} here"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    )
