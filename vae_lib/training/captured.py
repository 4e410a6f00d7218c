"""The same step, recorded once as a CUDA graph and replayed.

A batch of 64 is bound by the launches of its kernels without it.
"""

import functools
import warnings
from typing import Any

import torch
from torch import Tensor

from vae_lib.devices import is_out_of_memory
from vae_lib.training.step import Step


@functools.cache
def _warm_up_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all captures of the process: cuBLAS keeps 32 MiB for every stream it has seen."""
    return torch.cuda.Stream()


class CapturedStep(Step):
    """A `Step` on a single CUDA device that becomes a graph at its first call.

    Where that fails it says so and runs uncaptured.
    """

    capturable = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.capture_next = True

    def __call__(self, *inputs: Tensor) -> Tensor:
        if self.capture_next:
            self.capture_next = False
            self._try_to_capture(*inputs)
        if self.graph is None:
            return super().__call__(*inputs)
        for fixed, new in zip(self.inputs, inputs, strict=True):
            fixed.copy_(new, non_blocking=True)
        self.graph.replay()
        return self.found.clone()

    def _try_to_capture(self, *inputs: Tensor) -> None:
        try:
            self._capture(*inputs)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            warnings.warn(
                f"The step could not be captured as a CUDA graph ({error}); it runs uncaptured, "
                "which is slower at small batches.",
                stacklevel=2,
            )

    def _capture(self, *inputs: Tensor) -> None:
        """Record the step.

        The warm-up that PyTorch asks for takes real steps, so weights and Adam's state are put
        back before the recording, which executes nothing.
        """
        before = [value.clone() for value in self.model.state_dict().values()]
        learned = self.optimizer.param_groups[0]["params"]
        moments = [
            {name: value.clone() for name, value in self.optimizer.state.get(p, {}).items()}
            for p in learned
        ]
        self.inputs = tuple(value.clone() for value in inputs)
        side = _warm_up_stream(self.device)
        side.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(side), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the step is capturable and not yet captured
                for _ in range(3):
                    super().__call__(*self.inputs)
        finally:
            torch.cuda.current_stream().wait_stream(side)
            with torch.no_grad():
                for value, old in zip(self.model.state_dict().values(), before, strict=True):
                    value.copy_(old)
                for p, old in zip(learned, moments, strict=True):
                    for name, value in self.optimizer.state.get(p, {}).items():
                        value.copy_(old[name]) if old else value.zero_()
        self.optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()  # the warm-up's memory: the graph has a pool of its own
        graph = torch.cuda.CUDAGraph()
        recording = torch.cuda.graph(graph)
        # What other threads of a notebook do on the GPU meanwhile is no part of this.
        recording.capture_error_mode = "thread_local"
        with recording:
            self.found = super().__call__(*self.inputs)
        self.graph = graph
