"""One optimizer step, in the fastest form that the device knows."""

import functools
import importlib.util
import warnings

import torch
from torch import Tensor, nn

from vae_lib.devices import faster_in_bfloat16, is_out_of_memory
from vae_lib.errors import InputError
from vae_lib.faces.batches import flip_some, to_pixels
from vae_lib.model import unwrap
from vae_lib.objective import (
    Objective,
    beta_tcvae_objective,
    beta_vae_objective,
    capacity_objective,
)

# The pixels of a step come from uint8, so nobody needs to look at their range.
UNCHECKED = {
    "beta-vae": beta_vae_objective.unchecked,
    "capacity": capacity_objective.unchecked,
    "beta-tcvae": beta_tcvae_objective.unchecked,
}


@functools.cache
def _warm_up_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all captures of the process: cuBLAS keeps 32 MiB for every stream it has seen."""
    return torch.cuda.Stream()


class Step:
    """One step of Adam on one batch; on a single CUDA device, one captured graph.

    Parameters
    ----------
    model : VAE or DistributedDataParallel
        Gives ``(logits, mu, logvar)``.
    device : torch.device
        Where the model lives.
    kind : str
        ``"beta-vae"``, ``"capacity"`` or ``"beta-tcvae"``.
    beta : float
        Weight of the KL, or of the total correlation.
    gamma : float
        Weight of the KL's distance from the capacity.
    train_images : int
        Size of the training split, which the total correlation depends on.
    learning_rate : float
        Adam's step size.
    compile : bool
        Fuse the arithmetic with torch.compile.
    capture : bool
        Record the step as a CUDA graph at its first call; only on CUDA, in a single process.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        *,
        kind: str = "beta-vae",
        beta: float = 1.0,
        gamma: float = 0.0,
        train_images: int = 0,
        learning_rate: float = 1e-3,
        compile: bool = False,
        capture: bool = False,
    ) -> None:
        self.model, self.vae, self.device = model, unwrap(model), device
        self.kind, self.beta, self.gamma, self.train_images = kind, beta, gamma, train_images
        self.bfloat16 = faster_in_bfloat16(device)
        if compile and device.type == "cuda" and importlib.util.find_spec("triton") is None:
            raise InputError(
                "--compile needs Triton on a GPU, and PyTorch brings it on Linux alone: leave "
                "--compile out, or install a Triton that fits this PyTorch."
            )
        self.optimizer = torch.optim.Adam(
            model.parameters(),
            lr=learning_rate,
            fused=True,
            capturable=capture,
        )
        if device.type == "cpu":
            # Before each step Adam asks a GPU, where there is one, whether a graph is recorded on
            # it: that takes memory of the GPU, and fails on one that is full or does not work.
            for name in (
                "_accelerator_graph_capture_health_check",
                "_cuda_graph_capture_health_check",
            ):
                setattr(self.optimizer, name, lambda: None)
        # A function of the class and no bound method: a step that held itself would keep the
        # GPU's memory until Python looks for circles.
        self.compute = torch.compile(Step.objective) if compile else Step.objective
        self.graph: torch.cuda.CUDAGraph | None = None
        self.capture_next = capture

    def objective(
        self, images: Tensor, flips: Tensor, noise: Tensor, capacity: Tensor | None = None
    ) -> Objective:
        """The loss of a uint8 batch (n, h, w, 3) with given flips (n,) and noise (n, d).

        The capacity objective takes its C, a scalar tensor, as a fourth input.
        """
        x = to_pixels(flip_some(images, flips))
        # Each weight is used once per pass, so a cache of casts gains nothing, and in a
        # captured graph it would hold casts of old weights.
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.bfloat16, cache_enabled=False
        ):
            logits, mu, logvar = self.model(x, noise)
            z = self.vae.reparameterize(mu, logvar, noise)  # as the model drew it, to the bit
        objective = UNCHECKED[self.kind]
        if self.kind == "capacity":
            return objective(logits, x, mu, logvar, capacity, self.gamma)
        if self.kind == "beta-tcvae":
            return objective(logits, x, mu, logvar, z, self.beta, self.train_images)
        return objective(logits, x, mu, logvar, self.beta)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Update the weights from the inputs of `objective`.

        Returns
        -------
        Tensor, shape (3,)
            Loss, reconstruction and KL before the update, nats per image.
        """
        if self.capture_next:
            self.capture_next = False
            self._try_to_capture(*inputs)
        if self.graph is None:
            return self.run(*inputs)
        for fixed, new in zip(self.inputs, inputs, strict=True):
            fixed.copy_(new, non_blocking=True)
        self.graph.replay()
        return self.losses.clone()

    def run(self, *inputs: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        objective = self.compute(self, *inputs)
        objective.loss.backward()
        self.optimizer.step()
        return torch.stack(objective).detach()

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
        """Record the step as a CUDA graph: batch 64 is bound by kernel launches without it.

        The warm-up that PyTorch asks for takes real steps, so weights and Adam's state are put
        back before the recording, which executes nothing.
        """
        before = [value.clone() for value in self.model.state_dict().values()]
        moments = [
            {name: value.clone() for name, value in self.optimizer.state[p].items()}
            for p in self.model.parameters()
        ]
        self.inputs = tuple(value.clone() for value in inputs)
        side = _warm_up_stream(self.device)
        side.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(side), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the step is capturable and not yet captured
                for _ in range(3):
                    self.run(*self.inputs)
        finally:
            torch.cuda.current_stream().wait_stream(side)
            with torch.no_grad():
                for value, old in zip(self.model.state_dict().values(), before, strict=True):
                    value.copy_(old)
                for p, old in zip(self.model.parameters(), moments, strict=True):
                    for name, value in self.optimizer.state[p].items():
                        value.copy_(old[name]) if old else value.zero_()
        self.optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()  # the warm-up's memory: the graph has a pool of its own
        graph = torch.cuda.CUDAGraph()
        recording = torch.cuda.graph(graph)
        # What other threads of a notebook do on the GPU meanwhile is no part of this.
        recording.capture_error_mode = "thread_local"
        with recording:
            self.losses = self.run(*self.inputs)
        self.graph = graph
