"""Which device is chosen, why, and what is said of one that does not work."""

import pytest
import torch
import torch.distributed as dist

from tests.pretended import pretended
from vae_lib import devices
from vae_lib.devices import choose_device, join_processes, memory_as_sentence
from vae_lib.errors import InputError

BROKEN = {
    "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors "
    "might be asynchronously reported": "has no kernels for it",
    "CUDA error: out of memory": "its memory is full",
    "The NVIDIA driver on your system is too old (found version 11040).": "is too old",
    "CUDA error: device kernel image is invalid": "has no kernels for it",
    "Found no NVIDIA driver on your system.": "no NVIDIA driver",
}


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_gpu_that_works_is_chosen_and_named(kind):
    with pretended(kind):
        device, reason = choose_device()
        assert device.type == kind
        assert choose_device(kind)[0] == choose_device(torch.device(kind))[0] == device
        assert reason.startswith(f"Device: {kind}")
    if kind == "cuda":
        assert device.index == 0  # set_device wants one
        assert "Pretended GPU" in reason


@pytest.mark.parametrize("said", BROKEN)
@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_gpu_that_runs_no_kernel_is_passed_over_with_the_reason(said, kind):
    with pretended(kind, broken=said):
        device, reason = choose_device()
        assert device == torch.device("cpu")
        assert BROKEN[said] in reason
        assert "\n" not in reason
        with pytest.raises(InputError, match=BROKEN[said]) as refused:
            choose_device(kind)
        assert "--device cpu" in str(refused.value)
        assert choose_device("cpu")[0] == device


def test_the_first_gpu_that_works_is_taken(monkeypatch):
    gpus = [torch.device("cuda", index) for index in range(3)]
    monkeypatch.setattr(devices, "_gpus", lambda: gpus)
    monkeypatch.setattr(devices, "_why_not", lambda gpu: None if gpu.index == 1 else "it is old")
    device, reason = choose_device()
    assert device == gpus[1]
    assert reason == "Device: cuda:1. cuda:0 is passed over: it is old."


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match="is not on this machine"):
        choose_device(name)
    assert choose_device()[1].startswith("Device: cpu.")


@pytest.mark.parametrize("name", ["cuda:7", "mps"])
def test_a_gpu_with_another_number_or_of_another_kind_is_refused(name):
    with pretended("cuda"), pytest.raises(InputError, match="is not on this machine"):
        choose_device(name)


def test_words_that_name_no_device_are_refused():
    with pytest.raises(InputError, match="There is no device 'gpu'"):
        choose_device("gpu")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.07 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate"
                     " memory: you tried to allocate 1 bytes."),
        MemoryError(),
    ],
)  # fmt: skip
def test_memory_that_runs_out_is_one_sentence_whoever_says_so(error):
    said = pytest.raises(InputError, match=r"^Memory ran out\..*, or do less\.$")
    with said, memory_as_sentence("do less"):
        raise error


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes"), memory_as_sentence("do less"):
        raise RuntimeError("shapes do not match")


@pytest.fixture
def torchrun(monkeypatch):
    """A function that joins as one rank of torchrun on a machine with some GPUs."""

    def join(rank, processes, gpus, device=None, platform="linux"):
        joined = {}
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "set_device", lambda device: joined.update(set=device))
        monkeypatch.setattr(devices.sys, "platform", platform)
        monkeypatch.setattr(dist, "is_nccl_available", lambda: platform == "linux")
        monkeypatch.setattr(dist, "init_process_group", lambda way: joined.update(way=way))
        monkeypatch.setattr(dist, "get_rank", lambda: rank)
        return *join_processes(device), joined["way"]

    return join


def test_each_rank_takes_a_gpu_of_its_own(torchrun):
    for device in (None, "cuda"):
        found = [torchrun(rank, 4, 4, device) for rank in range(4)]
        assert found == [(rank, f"cuda:{rank}", "nccl") for rank in range(4)]


def test_ranks_that_share_the_only_gpu_and_ranks_on_windows_take_gloo(torchrun):
    for device in (None, "cuda", "cuda:0"):
        assert torchrun(1, 2, 1, device) == (1, "cuda:0", "gloo")
    assert torchrun(1, 2, 2, platform="win32") == (1, "cuda:1", "gloo")


def test_ranks_without_gpus_and_ranks_told_so_run_on_the_cpu(torchrun):
    assert torchrun(1, 2, 0) == (1, None, "gloo")
    assert torchrun(1, 2, 2, "cpu") == (1, "cpu", "gloo")


def test_one_gpu_of_several_named_for_several_ranks_and_too_many_ranks_are_refused(torchrun):
    with pytest.raises(InputError, match="--device cuda:0 names one GPU"):
        torchrun(1, 2, 2, "cuda:0")
    with pytest.raises(InputError, match="--nproc-per-node=2"):
        torchrun(2, 3, 2)


def test_without_torchrun_nothing_is_joined(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_processes("cuda:1") == (0, "cuda:1")
