"""Where the arithmetic runs, and in which precision it runs fastest there."""

import platform

import torch

from vae_lib.errors import InputError


def choose_device(name: str | None = None) -> tuple[torch.device, str]:
    """The fastest device at hand, and a sentence that says why it is that one.

    Parameters
    ----------
    name : str, optional
        ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"cpu"`` to insist; chosen when not given.

    Raises
    ------
    InputError
        If the named device is unknown or not there.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name is None:
        if cuda:
            return torch.device("cuda"), f"Device: cuda ({torch.cuda.get_device_name()})."
        if torch.version.cuda is None and torch.version.hip is None:
            reason = "this PyTorch was built without CUDA"
        else:
            reason = "PyTorch finds no CUDA GPU with a working driver"
        return torch.device(
            "mps" if mps else "cpu"
        ), f"Device: {'mps' if mps else 'cpu'}; {reason}."
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"There is no device {name!r}; use cuda, mps or cpu.") from error
    there = {"cpu": True, "mps": mps, "cuda": cuda}.get(device.type, False)
    if there and device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        there = False
    if not there:
        raise InputError(
            f"The device {name!r} is not on this machine; leave --device out to use what is there."
        )
    return device, f"Device: {device}, as asked."


def processor_name(device: torch.device) -> str:
    """What the arithmetic runs on, by its maker's name where that is known."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return str(torch.cpu.get_capabilities().get("cpu_name") or platform.machine())


def faster_in_bfloat16(device: torch.device) -> bool:
    """Whether bf16 autocast pays: CUDA GPUs with bf16 units and CPUs with AMX tiles.

    A CPU without AMX also *runs* bf16, at less than half its fp32 speed.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16", False))
