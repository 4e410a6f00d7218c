"""Where the arithmetic runs, in which precision it runs fastest there, and what can go wrong."""

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.distributed as dist

from vae_lib.errors import InputError


def choose_device(name: str | torch.device | None = None) -> tuple[torch.device, str]:
    """The fastest device that works, and a sentence that says why it is that one.

    A GPU works when it has just run a kernel: there are GPUs that this PyTorch has no kernels
    for, GPUs whose memory others have filled, and drivers that are too old. One that does not
    work is passed over, and the sentence says why.

    Parameters
    ----------
    name : str or torch.device, optional
        ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"cpu"`` to insist; chosen when not given.
        ``"cuda"`` is PyTorch's current GPU, the first one unless somebody set another.

    Returns
    -------
    device : torch.device
        With its index where it is a GPU of CUDA's, as `torch.cuda.set_device` wants it.
    reason : str

    Raises
    ------
    InputError
        If the named device is unknown, not there, or does not work.
    """
    if name is not None:
        return _named(str(name))
    passed_over: list[str] = []
    for device in _gpus():
        problem = _why_not(device)
        if problem is None:
            return device, " ".join([f"Device: {_described(device)}.", *passed_over])
        passed_over.append(f"{_described(device)} is passed over: {problem}.")
    if not passed_over:
        passed_over = [
            "This PyTorch was built without CUDA."
            if torch.version.cuda is None and torch.version.hip is None
            else "PyTorch finds no CUDA GPU with a working driver."
        ]
    return torch.device("cpu"), " ".join(["Device: cpu.", *passed_over])


def _named(name: str) -> tuple[torch.device, str]:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"There is no device {name!r}; use cuda, mps or cpu.") from error
    if device.type == "cpu":
        return torch.device("cpu"), "Device: cpu, as asked."
    kinds = {gpu.type for gpu in _gpus()}
    if device.type == "cuda" and "cuda" in kinds:
        device = torch.device("cuda", _current() if device.index is None else device.index)
    elif device.type == "mps":
        device = torch.device("mps")
    if device not in _gpus():
        raise InputError(
            f"The device {name!r} is not on this machine; leave --device out to use what is there."
        )
    problem = _why_not(device)
    if problem is not None:
        raise InputError(
            f"{_described(device)} does not work: {problem}. Use --device cpu, or leave --device "
            "out to use what works."
        )
    return device, f"Device: {_described(device)}, as asked."


def _gpus() -> list[torch.device]:
    """Every GPU that PyTorch says is there, the current one first."""
    if torch.cuda.is_available():
        order = sorted(range(torch.cuda.device_count()), key=lambda i: i != _current())
        return [torch.device("cuda", index) for index in order]
    return [torch.device("mps")] if torch.backends.mps.is_available() else []


def _current() -> int:
    """PyTorch's current GPU, 0 where no driver can be asked."""
    try:
        return torch.cuda.current_device()
    except (RuntimeError, AssertionError):
        return 0


def _why_not(device: torch.device) -> str | None:
    """What keeps this GPU from running a kernel, in words without a full stop; None if it runs."""
    try:
        torch.ones(8, device=device).sum().item()
    except (RuntimeError, AssertionError) as error:
        said = str(error).strip().partition("\n")[0].rstrip(".")
        if is_out_of_memory(error):
            return f"its memory is full ({said}); close other notebooks that use it"
        if "kernel image" in said:
            return f"this PyTorch ({torch.__version__}) has no kernels for it ({said})"
        return said
    return None


def _described(device: torch.device) -> str:
    if device.type != "cuda":
        return str(device)
    try:
        major, minor = torch.cuda.get_device_capability(device)
        return (
            f"{device} ({torch.cuda.get_device_name(device)}, compute capability {major}.{minor})"
        )
    except (RuntimeError, AssertionError):
        return str(device)


# What CUDA's libraries say when they get no memory, besides torch.OutOfMemoryError.
MEMORY_WORDS = ("out of memory", "ALLOC_FAILED", "not enough memory", "can't allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the GPU or beside it, in whatever words."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in MEMORY_WORDS)
    )


@contextmanager
def memory_as_sentence(advice: str) -> Iterator[None]:
    """Turn a device that runs out of memory into an InputError that ends with `advice`.

    Works as a decorator too.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(
            "Memory ran out. Close other notebooks and programs that use the same GPU or machine, "
            f"or {advice}."
        ) from error


def join_processes(device: str | None) -> tuple[int, str | None]:
    """Join the processes that torchrun started, each with a GPU of its own where there are GPUs.

    Returns
    -------
    rank : int
        This process's number; 0 where torchrun started none.
    device : str or None
        The device for this process; as given where torchrun started none.

    Raises
    ------
    InputError
        If one of several GPUs is named for several processes, or there are more processes than
        GPUs and more GPUs than one.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0, device
    here = int(os.environ.get("LOCAL_RANK", "0"))
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    on_gpus = gpus > 0 and (device is None or device.startswith("cuda"))
    if on_gpus:
        if device not in (None, "cuda") and min(gpus, processes) > 1:
            raise InputError(
                f"--device {device} names one GPU, and torchrun started {processes} processes on "
                "this machine; use --device cuda, and each takes a GPU of its own."
            )
        if processes > gpus > 1:
            raise InputError(
                f"torchrun started {processes} processes for the {gpus} GPUs of this machine; use "
                f"--nproc-per-node={gpus}, or --device cpu."
            )
        device = f"cuda:{here % gpus}"
        torch.cuda.set_device(torch.device(device))
    # NCCL wants Linux and a GPU for each process; processes that share one, a rehearsal of more,
    # get by with gloo.
    nccl = on_gpus and processes <= gpus and sys.platform != "win32" and dist.is_nccl_available()
    dist.init_process_group("nccl" if nccl else "gloo")
    return dist.get_rank(), device


def leave_processes() -> None:
    """Part from the processes that `join_processes` joined."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _cpu() -> Mapping[str, object]:
    """What PyTorch knows of this processor; before 2.11 no name, and AMX by a private one."""
    if hasattr(torch.cpu, "get_capabilities"):
        return torch.cpu.get_capabilities()
    return {"amx_bf16": getattr(torch.cpu, "_is_amx_tile_supported", bool)()}


def processor_name(device: torch.device) -> str:
    """What the arithmetic runs on, by its maker's name where that is known."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return str(_cpu().get("cpu_name") or platform.processor() or platform.machine())


def faster_in_bfloat16(device: torch.device) -> bool:
    """Whether bf16 autocast pays: CUDA GPUs with bf16 units and CPUs with AMX tiles.

    A CPU without AMX also *runs* bf16, at less than half its fp32 speed.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(_cpu().get("amx_bf16", False))
