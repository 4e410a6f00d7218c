"""A GPU that is not there, so that a CPU can run what only a GPU runs.

A tensor of the pretended device keeps its values on the CPU and says that it lies on the device. It
refuses what a real device refuses: operands of both, generators of the other, float64 on MPS, and,
while a graph is recorded, random draws and every look at a value. A recorded graph notes operations
without running them and replays them into the same memory, so that what comes out can be held
against the CPU's, bit by bit. Streams, pinned memory, rounding of its own and speed are beyond it.
"""

import contextlib
from collections.abc import Iterator
from functools import partial

import pytest
import torch
import torch._dynamo.variables  # reads the functions of torch.cuda: before they are replaced
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

aten = torch.ops.aten
READS_A_VALUE = aten._local_scalar_dense.default
INDEXES = (aten.index.Tensor, aten.index_put_.default)  # the indices may lie on the CPU
real_autocast, RealGenerator = torch.autocast, torch.Generator
real_groups = torch.optim.Optimizer._group_tensors_by_device_and_dtype


class Gpu:
    """The state of the pretended device; `pretended` makes one for the length of a test."""

    kind = "cuda"
    capability = (7, 5)
    memory = 1 << 34
    """Bytes that `mem_get_info` reports as free."""
    broken: str | None = None
    """What every kernel raises, as RuntimeError; None where kernels run."""
    allocations: int | None = None
    """How many tensors can still be made before memory runs out; None: any number."""
    tape: list | None = None
    """The graph that is being recorded."""

    def refuse_while_recording(self, what: object) -> None:
        if self.tape is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing: {what}")

    def allocate(self) -> None:
        if self.broken:
            raise RuntimeError(self.broken)
        if self.allocations is not None:
            self.allocations -= 1
            if self.allocations < 0:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")


gpu = Gpu()


class OnGpu(torch.Tensor):
    """A tensor of the pretended device; `values` lie on the CPU."""

    @staticmethod
    def __new__(cls, values):
        if gpu.kind == "mps" and values.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        gpu.allocate()
        # For C++ it is one of the CPU: autograd would ask a CUDA device for its streams.
        return cls._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device="cpu",
        )

    def __init__(self, values):
        self.values_here = values

    @property
    def device(self):
        return torch.device(gpu.kind, 0)

    @property
    def is_cuda(self):
        return gpu.kind == "cuda"

    def cpu(self):
        gpu.refuse_while_recording("a copy to the CPU")
        return self.detach().values_here.clone()

    def numpy(self):
        raise TypeError(f"can't convert {self.device} device type tensor to numpy.")

    def __array__(self, *_):
        self.numpy()

    def tolist(self):
        return self.cpu().tolist()

    def __reduce_ex__(self, protocol):
        return self.cpu().__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        ours = {id(t.values_here): t for t in tensors if isinstance(t, cls)}
        others = [t for t in tensors if not isinstance(t, cls) and t.dim()]
        indexed = operation in INDEXES and isinstance(args[0], cls)
        if others and not indexed and operation is not aten.copy_.default:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, found {gpu.kind} and cpu: "
                f"{operation}"
            )

        def inside(tensor):
            if isinstance(tensor, cls):
                return tensor.values_here
            return tensor if gpu.tape is None else tensor.clone()  # read once, at the recording

        args, kwargs = tree_map_only(torch.Tensor, inside, (args, kwargs or {}))
        run = partial(operation, *args, **kwargs)
        if gpu.tape is None:
            result = run()
        else:
            if others or operation is READS_A_VALUE or "rand" in operation.name():
                gpu.refuse_while_recording(operation)
            result = record(run, operation, [t.values_here for t in ours.values()])
        if operation is READS_A_VALUE:
            return result
        return tree_map_only(
            torch.Tensor, lambda t: ours[id(t)] if id(t) in ours else cls(t), result
        )


def record(run, operation, operands):
    """Put an operation on the tape. Recording executes nothing: what it changed is put back."""
    before = [value.clone() for value in operands]
    result = run()
    if operation._schema.is_mutable or operation is aten.native_batch_norm.default:
        for value, old in zip(operands, before, strict=True):
            value.copy_(old)
    gpu.tape.append((run, tree_leaves(result)))
    return result


class Redirect(TorchFunctionMode):
    """Makes on the pretended device what is asked to be there, and moves there and back."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.Tensor.pin_memory:
            return args[0].clone()
        moves = function is torch.Tensor.to
        if moves:
            args = list(args)
            if len(args) > 1 and isinstance(args[1], str | torch.device):
                kwargs["device"] = args.pop(1)
            if len(args) > 1 and args[1] is None:  # Module.to passes (device, dtype, non_blocking)
                kwargs["non_blocking"] = args[2] if len(args) > 2 else False
                del args[1:]
        target = kwargs.get("device")
        target = None if target is None else torch.device(target).type
        generator = kwargs.get("generator")
        if generator is not None and generator.device.type != (target or "cpu"):
            raise RuntimeError(
                f"Expected a {target or 'cpu'} device type for generator but found "
                f"{generator.device.type}"
            )
        from_gpu = bool(args) and isinstance(args[0], OnGpu)
        if target in (None, "meta") or (target == "cpu" and not from_gpu):
            return function(*args, **kwargs)
        del kwargs["device"]
        if target == "cpu":
            return args[0].cpu().to(*args[1:], **kwargs)
        if target != gpu.kind:
            raise RuntimeError(f"PyTorch is not linked with support for {target} devices")
        waits = not kwargs.pop("non_blocking", False)
        if moves and not from_gpu:
            gpu.refuse_while_recording("a copy from the CPU")
            if gpu.kind == "mps" and not waits:
                raise RuntimeError("a copy that nobody waits for may read freed memory on MPS")
        made = function(*args, **kwargs)
        if isinstance(made, OnGpu):
            return made
        return OnGpu(made.detach().clone() if moves else made)


class Generator(RealGenerator):
    """A generator that knows its device; its numbers are the CPU's."""

    def __new__(cls, device="cpu"):
        return super().__new__(cls)

    def __init__(self, device="cpu"):
        self.placed = torch.device(device)

    @property
    def device(self):
        return self.placed


class Graph:
    """What `torch.cuda.CUDAGraph` is."""

    def replay(self):
        for run, results in self.tape:
            for old, new in zip(results, tree_leaves(run()), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Recording:
    """What `torch.cuda.graph` is."""

    def __init__(self, graph):
        self.graph = graph

    def __enter__(self):
        gpu.tape = self.graph.tape = []

    def __exit__(self, *error):
        gpu.tape = None


class Stream:
    def wait_stream(self, other):
        pass

    def is_capturing(self):
        return gpu.tape is not None


def set_device(device):
    """Refuses what the real one refuses before it asks any driver."""
    if not isinstance(device, int) and torch.device(device).index is None:
        raise ValueError(f"Expected a torch.device with a specified index, but got:{device}")


def by_device(tensors, with_indices=False):
    """Adam's groups: PyTorch's C++ sees where tensors really are."""
    groups = real_groups(tensors, with_indices)
    if not isinstance(next(filter(None, tensors))[0], OnGpu):
        return groups
    return {(torch.device(gpu.kind, 0), dtype): group for (_, dtype), group in groups.items()}


def autocast(device_type, *args, **kwargs):
    return real_autocast("cpu" if device_type == gpu.kind else device_type, *args, **kwargs)


@contextlib.contextmanager
def pretended(kind: str = "cuda", **state: object) -> Iterator[Gpu]:
    """One GPU of this kind is there; `state` sets fields of `Gpu`."""
    cuda = kind == "cuda"
    stand_ins = {
        torch.cuda: {
            "is_available": lambda: cuda,
            "device_count": lambda: int(cuda),
            "_lazy_init": lambda: None,
            "current_device": lambda: 0,
            "set_device": set_device,
            "get_device_name": lambda device=None: "Pretended GPU",
            "get_device_capability": lambda device=None: gpu.capability,
            "mem_get_info": lambda device=None: (gpu.memory, gpu.memory),
            "current_stream": lambda device=None: Stream(),
            "Stream": Stream,
            "stream": lambda stream: contextlib.nullcontext(),
            "CUDAGraph": Graph,
            "graph": Recording,
        },
        torch.backends.mps: {"is_available": lambda: not cuda},
        torch.accelerator: {"current_stream": lambda device=None: Stream()},
        torch.optim.Optimizer: {"_group_tensors_by_device_and_dtype": staticmethod(by_device)},
        torch.__future__: {"get_overwrite_module_params_on_conversion": lambda: True},
        torch: {"Generator": Generator, "autocast": autocast},
        gpu: {"kind": kind, "allocations": None} | state,
    }
    with pytest.MonkeyPatch.context() as patch:
        for module, values in stand_ins.items():
            for name, value in values.items():
                patch.setattr(module, name, value)
        with Redirect():
            yield gpu
