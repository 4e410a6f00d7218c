"""One optimizer step: pixels from bytes, a pass through the model, the losses, Adam."""

import importlib.util
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from vae_lib.config import Objective
from vae_lib.devices import faster_in_bfloat16
from vae_lib.errors import InputError
from vae_lib.faces.batches import flip_some, to_pixels
from vae_lib.model import reparameterize, unwrap
from vae_lib.objective import Losses


def by_name(function: Callable[..., Any], known: Mapping[str, Any]) -> Any:
    """Call a function with those of the known values that its arguments name.

    >>> by_name(lambda rise, share: share / rise, {"rise": 0.5, "share": 0.25, "capacity": 20})
    0.5
    """
    return function(**{name: known[name] for name in signature(function).parameters})


GIVEN = ("logits", "x", "mu", "logvar", "z", "images")  # what a loss may ask for besides parameters


class Step:
    """One step of Adam on one batch.

    Parameters
    ----------
    model : nn.Module
        ``model(x, noise)`` gives ``(logits, mu, logvar)``.
    device : torch.device
        Where the model lives.
    objective : Objective
        What is minimised.
    values : dict
        The numbers that the objective reads.
    train_images : int
        Size of the training split, which a total correlation depends on.
    learning_rate : float
        Adam's step size.
    changing_rate : bool
        Whether `set_rate` will be called.
    compile : bool
        Fuse the arithmetic with torch.compile.
    """

    capturable = False
    graph: torch.cuda.CUDAGraph | None = None
    """A captured step's graph; see `vae_lib.training.captured`."""

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        objective: Objective,
        values: Mapping[str, float],
        *,
        train_images: int,
        learning_rate: float = 1e-3,
        changing_rate: bool = False,
        compile: bool = False,
    ) -> None:
        self.model, self.device, self.train_images = model, device, train_images
        # Pixels that come from uint8 need no look at their range.
        self.loss = getattr(objective.function, "unchecked", objective.function)
        self.changing = (*objective.schedule, *objective.draw)
        self.values = {name: v for name, v in values.items() if name not in self.changing}
        self.conditions = tuple(getattr(unwrap(model), "conditions", ()))
        self.wanted = self._wanted()
        self.bfloat16 = faster_in_bfloat16(device)
        if compile and device.type == "cuda" and importlib.util.find_spec("triton") is None:
            raise InputError(
                "--compile needs Triton on a GPU, and PyTorch brings it on Linux alone: leave "
                "--compile out, or install a Triton that fits this PyTorch."
            )
        learned = [p for p in model.parameters() if p.requires_grad]
        # A captured step reads a rate that changes from the device's memory.
        held = changing_rate and self.capturable
        self.optimizer = torch.optim.Adam(
            learned,
            lr=torch.tensor(learning_rate, device=device) if held else learning_rate,
            fused=True,
            capturable=self.capturable,
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
        self.compute = torch.compile(Step.losses) if compile else Step.losses

    def _wanted(self) -> list[str]:
        """The arguments of the loss that a step can give."""
        read = [*self.values, *self.changing]
        known = [*GIVEN, *read]
        for name, argument in signature(self.loss).parameters.items():
            if name not in known and argument.default is argument.empty:
                raise InputError(
                    f"The loss wants {name!r}, and a step knows {', '.join(known)}; name it among "
                    "the objective's parameters."
                )
        for name in self.conditions:
            if name not in read:
                raise InputError(
                    f"The model is conditioned on {name!r}, and the objective reads "
                    f"{', '.join(read)}; choose one that has it among its parameters."
                )
        return [name for name in signature(self.loss).parameters if name in known]

    def losses(self, images: Tensor, flips: Tensor, noise: Tensor, *changing: Tensor) -> Losses:
        """The losses of a uint8 batch (n, h, w, 3) with given flips (n,) and noise (n, d).

        What the objective changes from step to step or from image to image comes after them, each
        a scalar or a tensor (n,).
        """
        x = to_pixels(flip_some(images, flips))
        known = {**self.values, **dict(zip(self.changing, changing, strict=True))}
        conditions = {name: known[name] for name in self.conditions}
        # Each weight is used once per pass, so a cache of casts gains nothing, and in a
        # captured graph it would hold casts of old weights.
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.bfloat16, cache_enabled=False
        ):
            logits, mu, logvar = self.model(x, noise, **conditions)
            known["z"] = reparameterize(mu, logvar, noise)  # as the model drew it, to the bit
        known.update(logits=logits, x=x, mu=mu, logvar=logvar, images=self.train_images)
        return self.loss(**{name: known[name] for name in self.wanted})

    def set_rate(self, rate: float) -> None:
        """Let the next steps of Adam have this size, in float32 on every device."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = torch.tensor(rate).item()

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Update the weights from the inputs of `losses`.

        Returns
        -------
        Tensor, shape (3,)
            Loss, reconstruction and KL before the update, nats per image.
        """
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.compute(self, *inputs)
        losses.loss.backward()
        self.optimizer.step()
        return torch.stack(losses).detach()
