"""The training loop.

The course's recipe: Adam, batch 64, ten epochs, flips. Figures and progress bars are callbacks'.
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vae_lib import checkpoint
from vae_lib.config import objective_named
from vae_lib.devices import choose_device, is_out_of_memory, memory_as_sentence, processor_name
from vae_lib.errors import InputError, TrainingStopped, foreign
from vae_lib.evaluation import evaluate, evaluate_at_betas
from vae_lib.faces.batches import Batches
from vae_lib.faces.dataset import Faces
from vae_lib.model import VAE, Foreign, eval_mode, unwrap
from vae_lib.model.any_beta import AnyBetaVAE, shown
from vae_lib.training.captured import CapturedStep
from vae_lib.training.config import TrainConfig
from vae_lib.training.run_folder import RunFolder
from vae_lib.training.step import Step, by_name

LOG_EVERY = 50  # steps between looks at the loss: a look makes the CPU wait for the GPU
TRAIN_SAMPLE = 2_000  # training faces on which each epoch measures what validation measures


class Training:
    """A model in training: what callbacks see and what a checkpoint holds.

    Attributes
    ----------
    model : VAE
        Or a model of your own; in channels_last memory on `device`.
    epoch, step : int
        Finished epochs; finished steps over all epochs.
    steps_per_epoch : int
        Whole batches in the training split.
    history : list of dict
        ``kind`` is ``"step"`` (loss, reconstruction, KL of one batch, nats per image) or
        ``"epoch"`` (the measures of `vae_lib.evaluation` on ``split`` ``"train"`` or ``"valid"``,
        and images per second).
    """

    def __init__(
        self,
        config: TrainConfig,
        faces: Faces,
        device: str | torch.device | None = None,
        model: nn.Module | None = None,
    ) -> None:
        self.config, self.faces = config, faces
        self.objective, self.foreign = objective_named(config.objective), model is not None
        self.device = choose_device(device)[0]
        if self.device.type == "cuda":  # streams, graphs and generators follow the current device
            torch.cuda.set_device(self.device)
        several = dist.is_initialized()
        self.rank, self.world = (dist.get_rank(), dist.get_world_size()) if several else (0, 1)
        self.train_images, self.valid_images = (
            faces.split(name).images for name in ("train", "valid")
        )
        self._check_sizes()
        self.batches = Batches(self.train_images, self.device)
        self.steps_per_epoch = len(self.batches) // config.batch_size
        self.epoch = self.step = 0
        self.history: list[dict[str, Any]] = []

        model = self._new_model() if model is None else model
        untyped: Any = model  # PyTorch's types know no device together with a memory format
        self.model = untyped.to(self.device, memory_format=torch.channels_last)
        if self.foreign:
            self._check_foreign()
        self.latent_size = unwrap(self.model).config.latent_size
        wrapped = nn.parallel.DistributedDataParallel(model) if self.world > 1 else model
        captured = self.device.type == "cuda" and self.world == 1
        self.take_step = (CapturedStep if captured else Step)(
            wrapped,
            self.device,
            self.objective,
            config.values(),
            train_images=len(self.train_images),
            learning_rate=config.learning_rate,
            changing_rate=config.cycle,
            compile=config.compile,
        )
        self.optimizer = self.take_step.optimizer
        # Flips and noise; the order of the faces follows from (seed, epoch) alone.
        self.generator = torch.Generator(self.device).manual_seed(config.seed)

    def _new_model(self) -> VAE:
        """With weights that follow from the seed."""
        shape = self.config.model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            try:
                return by_name(self.objective.new_network, self.config.values() | {"config": shape})
            except (RuntimeError, MemoryError) as error:
                raise InputError(
                    f"A model with {shape.latent_size:,} latent dimensions and channels "
                    f"{shape.channels} does not fit into memory; choose a smaller one."
                ) from error

    def _check_foreign(self) -> None:
        """See that a model of somebody's own takes these faces, and note their size on it."""
        vae, width = unwrap(self.model), self.train_images.shape[1]
        own = vae.inner if isinstance(vae, Foreign) else vae.config
        fault = ""
        if getattr(own, "image_size", width) != width:
            fault = f"its image_size is {own.image_size}"
        else:
            try:
                with torch.no_grad(), eval_mode(vae):
                    vae.encode(torch.zeros(1, 3, width, width, device=self.device))
            except (RuntimeError, ValueError) as error:
                if is_out_of_memory(error):
                    raise
                fault = str(error)
        if fault:
            raise InputError(
                f"{type(self.model).__name__} cannot encode faces of {width} × {width} pixels "
                f"({fault}); train a model of that size, or give faces of the model's."
            )
        if isinstance(vae, Foreign):
            vae.inner.image_size = width

    def _check_sizes(self) -> None:
        size, batch = self.config.model.image_size, self.config.batch_size
        if not self.foreign and self.train_images.shape[1] != size:
            raise InputError(
                f"The faces are {self.train_images.shape[1]} pixels wide and the model wants "
                f"{size}; set image_size to {self.train_images.shape[1]}."
            )
        if batch > len(self.train_images):
            raise InputError(
                f"A batch of {batch} is larger than the training split of "
                f"{len(self.train_images)} faces; choose a smaller --batch-size or more faces."
            )
        if batch % self.world:
            raise InputError(
                f"A batch of {batch} cannot be shared equally by {self.world} processes; "
                f"use a multiple of {self.world}."
            )
        if batch < self.objective.faces * self.world:
            raise InputError(
                f"A batch of {batch} leaves each of {self.world} processes {batch // self.world} "
                f"face, and the objective {self.config.objective} compares faces; use a "
                f"--batch-size of {self.objective.faces * self.world} or more."
            )

    def steps(self) -> Iterator[int]:
        """Train to the end of the epoch; yields the step number at every look at the loss."""
        start, begun = self.step, time.perf_counter()
        losses: list[Tensor] = []
        done = self.step - self.epoch * self.steps_per_epoch
        for rows in self.batches.epoch(
            self.config.batch_size, self.config.seed, self.epoch, skip=done
        ):
            self.model.train()  # a callback may have looked at it in eval mode
            if self.config.cycle:
                self.take_step.set_rate(self.config.rate_at(self._share()))
            losses.append(self.take_step(*self.inputs(rows)))
            self.step += 1
            if len(losses) == LOG_EVERY or self.step % self.steps_per_epoch == 0:
                self._log_steps(losses)
                losses = []
                self.speed = (
                    (self.step - start) * self.config.batch_size / (time.perf_counter() - begun)
                )
                yield self.step

    def inputs(self, rows: Tensor) -> tuple[Tensor, ...]:
        """This process's share of a batch: its images, their flips, their noise, what changes.

        Every process draws flips and noise for the whole batch, so that sharing the batch
        changes neither.
        """
        size, device = self.config.batch_size, self.device
        coins = torch.rand(size, generator=self.generator, device=device)
        flips = coins < (0.5 if self.config.flips else 0.0)
        noise = torch.randn(size, self.latent_size, generator=self.generator, device=device)
        share = slice(self.rank * size // self.world, (self.rank + 1) * size // self.world)
        drawn = [
            by_name(draw, self._known() | {"count": size, "generator": self.generator})[share]
            for draw in self.objective.draw.values()
        ]
        scheduled = [torch.full((), value, device=device) for value in self.scheduled().values()]
        return self.batches.gather(rows[share]), flips[share], noise[share], *scheduled, *drawn

    def scheduled(self) -> dict[str, float]:
        """What the objective changes while a model trains, at the present step."""
        schedule = self.objective.schedule
        return {name: by_name(at, self._known()) for name, at in schedule.items()}

    def _share(self) -> float:
        return self.step / (self.config.epochs * self.steps_per_epoch)

    def _known(self) -> dict[str, Any]:
        return self.config.values() | {"share": self._share(), "device": self.device}

    def _log_steps(self, losses: list[Tensor]) -> None:
        first, looked = self.step - len(losses) + 1, torch.stack(losses)
        if self.world > 1:  # each process saw its share of the batches
            dist.all_reduce(looked)
            looked /= self.world
        for step, values in enumerate(looked.tolist(), start=first):
            names = ("loss", "reconstruction", "kl")
            if not all(map(math.isfinite, values)):
                raise TrainingStopped(
                    f"The loss became {values[0]} at step {step} (epoch {self.epoch + 1})."
                )
            self.history.append(
                {"kind": "step", "epoch": self.epoch + 1, "step": step}
                | dict(zip(names, values, strict=True))
            )

    def finish_epoch(self) -> None:
        """Count the epoch and measure the model on a training sample and on validation."""
        self._check_weights()
        self.epoch += 1
        if self.rank != 0:
            return
        sample = self.train_images[:TRAIN_SAMPLE]
        for split, images in (("train", sample), ("valid", self.valid_images)):
            begun = time.perf_counter()
            try:
                measured = asdict(evaluate(shown(self.model), images))
                seconds = time.perf_counter() - begun
                if split == "valid" and isinstance(self.model, AnyBetaVAE):
                    measured["at_beta"] = evaluate_at_betas(self.model, images)
            except InputError as error:
                raise TrainingStopped(f"After epoch {self.epoch}: {error}") from error
            del measured["ssim"]
            speed = self.speed if split == "train" else len(images) / seconds
            self.history.append(
                {"kind": "epoch", "epoch": self.epoch, "step": self.step, "split": split}
                | measured
                | {"images_per_second": speed}
            )

    def release(self) -> None:
        """Give back the device's memory of faces and gradients: who keeps the model keeps no more.

        A captured graph goes with the last reference to `take_step`.
        """
        self.optimizer.zero_grad(set_to_none=True)
        self.batches.release()

    def identity(self) -> dict[str, Any]:
        """What must be equal for a run to be the same run; epochs may grow.

        Unless something changes with the share of them that is over.
        """
        recipe = self.config.recipe() | self._shape()
        if not (self.objective.schedule or self.config.cycle):
            del recipe["epochs"]
        return recipe | {"faces": f"{self.faces.name} {self.faces.fingerprint[:16]}"}

    def _shape(self) -> dict[str, Any]:
        """The model's shape; of a foreign model its name and size, which is all that is known."""
        if not self.foreign:
            return asdict(self.config.model)
        size = sum(p.numel() for p in self.model.parameters())
        return {"model": type(self.model).__name__, "model_parameters": size}

    def environment(self) -> dict[str, Any]:
        """What floating-point results depend on besides the recipe."""
        return {
            "device": self.device.type,
            "processor": processor_name(self.device),
            "bfloat16": self.take_step.bfloat16,
            "threads": torch.get_num_threads(),
            "processes": self.world,
            "torch": str(torch.__version__),
        }

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on.

        Raises
        ------
        TrainingStopped
            If a weight is not a number: such a state must not replace a good one.
        """
        self._check_weights()
        return {
            "epoch": self.epoch,
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "environment": self.environment(),
        }

    def _check_weights(self) -> None:
        if not all(bool(value.isfinite().all()) for value in self.model.state_dict().values()):
            raise TrainingStopped(f"A weight became NaN or infinite at step {self.step}.")

    def restore(self, state: dict[str, Any], history: list[dict[str, Any]]) -> str:
        """Go on from `state`; a sentence where this cannot be bit by bit, else empty."""
        self.epoch, self.step, self.history = state["epoch"], state["step"], history
        self.model.load_state_dict(state["model"])
        own = [{k: v for k, v in g.items() if k != "params"} for g in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for p, moments in self.optimizer.state.items():
            shapes = [tuple(moments[name].shape) for name in ("step", "exp_avg", "exp_avg_sq")]
            if shapes != [(), p.shape, p.shape]:
                raise ValueError("Adam's state is of another shape")
        if not 0 <= self.step - self.epoch * self.steps_per_epoch <= self.steps_per_epoch:
            raise ValueError(f"step {self.step} does not lie in epoch {self.epoch + 1}")
        for group, options in zip(self.optimizer.param_groups, own, strict=True):
            group.update(options)  # the recipe's and this device's, not the checkpoint's
        there = state["environment"] if "environment" in state else state["place"]  # older files
        if there["device"] == self.device.type:
            self.generator.set_state(state["generator"])
        changed = checkpoint.differing(self.environment(), there)
        return f"Going on, but not bit by bit: {changed}." if changed else ""

    def metadata(self) -> dict[str, Any]:
        """Plain facts that travel with the weights."""
        valid = [r for r in self.history if r["kind"] == "epoch" and r["split"] == "valid"]
        return {
            "faces": self.faces.name,
            "fingerprint": self.faces.fingerprint,
            "train_images": len(self.train_images),
            "valid_images": len(self.valid_images),
            "recipe": self.config.recipe(),
            "epoch": self.epoch,
            "step": self.step,
            "validation": valid[-1] if valid else {},
        } | self.environment()


Event = Literal["start", "steps", "epoch"]
Callback = Callable[[Training, Event], None]


def train(
    config: TrainConfig,
    faces: Faces,
    out: Path | None = None,
    *,
    resume: bool = False,
    device: str | torch.device | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint_seconds: float = 60.0,
    model: nn.Module | None = None,
) -> Training:
    """Train a VAE; with a folder, so that it can be killed at any moment and go on.

    Parameters
    ----------
    config : TrainConfig
        The recipe.
    faces : Faces
        Its train and valid splits are used.
    out : Path, optional
        Folder for ``history.jsonl``, ``checkpoint.pt`` and the weights; without it nothing is
        written.
    resume : bool
        Go on from the checkpoint in `out`. On the same CPU with the same number of threads the
        result equals that of an uninterrupted run bit by bit; a GPU may add in another order.
    device : str or torch.device, optional
        Chosen by `choose_device` when not given.
    callbacks : sequence of callable
        Each is called as ``callback(training, event)``: ``"start"`` before the first step,
        ``"steps"`` after every fifty and ``"epoch"`` after each epoch was measured, before it is
        saved: a run that is killed and resumed tells of it again.
    checkpoint_seconds : float
        At most about this much training is lost when the process dies.
    model : nn.Module, optional
        One of your own, trained from the weights that it has: anything with ``encode(x)``,
        ``decode_logits(z)`` and ``forward(x, noise)`` as `VAE` has them. Where it has no
        ``image_size``, it is given the faces'. To resume its run, give it again. By default a new
        `VAE` of the recipe's shape.

    Returns
    -------
    Training
        Its ``model`` is trained and in eval mode, with the facts of its training as ``metadata``;
        its ``history`` is complete.

    Raises
    ------
    InputError
        If the faces, the recipe or the folder do not allow to start.
    TrainingStopped
        If the loss or a weight stops being a number.

    Examples
    --------
    >>> import numpy as np
    >>> from vae_lib import VAEConfig
    >>> images = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    >>> tiny = VAEConfig(channels=(4, 8), latent_size=2)
    >>> config = TrainConfig(epochs=1, batch_size=8, model=tiny)
    >>> training = train(config, Faces.from_arrays(images), device="cpu")
    >>> training.step, training.model.training  # 32 of the 40 are for training: four batches of 8
    (4, False)
    """
    smaller = f"choose a smaller --batch-size (it is {config.batch_size}), or use --device cpu"
    with memory_as_sentence(smaller):
        training = Training(config, faces, device, model)
        folder, saved = _open_folder(training, out, resume)
        try:
            if saved is not None:
                what, cure = f"The checkpoint in {out} was changed", "Start anew in another folder"
                with foreign(what, cure):
                    note = training.restore(*saved)
            else:
                note = "No checkpoint was written yet: starting from step 0." if resume else ""
            if note and training.rank == 0:
                warnings.warn(note, stacklevel=2)
            _loop(training, folder, callbacks, checkpoint_seconds)
        except TrainingStopped as error:
            left = "Nothing was saved."
            if folder is not None:
                left = f"The last good checkpoint, {folder.state}, is of step {folder.saved_step}."
            read = training.objective.parameters
            weight = next((name for name, p in read.items() if p.weight), "")
            smaller = weight and f" or a smaller {weight} (it is {config.values()[weight]:g})"
            raise TrainingStopped(
                f"{error} {left} Start anew with a smaller learning rate "
                f"(it is {config.learning_rate:g}){smaller}."
            ) from None
        finally:
            training.release()
            if folder is not None:
                folder.lock.release()
    training.model.eval()  # training is over: whoever uses the model wants it so
    training.model.metadata = training.metadata()
    return training


def _open_folder(
    training: Training, out: Path | None, resume: bool
) -> tuple[RunFolder | None, tuple[dict[str, Any], list[dict[str, Any]]] | None]:
    """The run's folder, in the first process alone, and what was saved there, in all of them."""
    folder, saved, problem = None, None, None
    if out is not None and training.rank == 0:
        config = training.config
        name = checkpoint.weights_name(training.faces.name, config.setting)
        try:
            folder = RunFolder(out, name, resume)
            saved = folder.load(training.identity()) if resume else None
        except InputError as error:
            problem = error
    if training.world > 1:
        box: list[Any] = [saved, problem]
        dist.broadcast_object_list(box)
        saved, problem = box
    if problem is not None:
        if folder is not None:
            folder.lock.release()
        raise problem
    return folder, saved


def _loop(
    training: Training,
    folder: RunFolder | None,
    callbacks: Sequence[Callback],
    checkpoint_seconds: float,
) -> None:
    def tell(event: Event) -> None:
        for callback in callbacks:
            callback(training, event)

    def save(weights: bool = False) -> None:
        if folder is None:
            return
        state = training.state()  # refuses to save what is no number
        trained = (training.model, training.metadata()) if weights else None
        folder.save(training.identity(), state, training.history, trained)

    if training.step == 0:
        save()  # a folder that cannot be written shows before the first step, not after an hour
    saved_at = time.monotonic()
    tell("start")
    while training.epoch < training.config.epochs:
        for step in training.steps():
            epoch_ends = step % training.steps_per_epoch == 0  # saved below, once measured
            if not epoch_ends and time.monotonic() - saved_at >= checkpoint_seconds:
                save()
                saved_at = time.monotonic()
            tell("steps")
        training.finish_epoch()
        if folder is not None:
            folder.hold()
        # Before the checkpoint: pictures that a kill cuts short are drawn again on the way to it.
        tell("epoch")
        save(weights=True)
        saved_at = time.monotonic()
