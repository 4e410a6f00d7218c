"""The recipe of one run; plain numbers, so that the command line explains it without PyTorch."""

import math
import shutil
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from vae_lib.config import READ_BY, WORDS, VAEConfig, check_seed
from vae_lib.errors import InputError


@dataclass(frozen=True)
class TrainConfig:
    """The recipe of one run."""

    objective: Literal["beta-vae", "capacity", "beta-tcvae"] = "beta-vae"
    """beta-vae: reconstruction + beta * KL. capacity: reconstruction + gamma * |KL - C| with C
    rising to --capacity. beta-tcvae: as beta-vae, but beta weighs the total correlation alone."""
    beta: float = 1.0
    """Weight of the KL; 1 is the plain VAE, more pays sharpness for structure."""
    capacity: float = 25.0
    """With capacity: the nats that the KL is led to."""
    gamma: float = 100.0
    """With capacity: weight of the KL's distance from C."""
    rise: float = 0.5
    """With capacity: the share of training over which C rises from 0, linearly."""
    epochs: int = 10
    """Passes over the training split."""
    batch_size: int = 64
    """Faces per step, over all processes together."""
    learning_rate: float = 1e-3
    """Adam's step size."""
    seed: int = 0
    """Decides initial weights, order, flips and noise."""
    flips: bool = True
    """Mirror half of the faces, chosen anew each time."""
    compile: bool = False
    """Compile the step with torch.compile: a minute at first, then faster on some machines."""
    model: VAEConfig = field(default_factory=VAEConfig)
    """The shape of the VAE."""

    def __post_init__(self) -> None:
        if self.objective not in READ_BY:
            raise InputError(
                f"There is no objective {self.objective!r}; use one of {', '.join(READ_BY)}."
            )
        for name, default in ((f.name, f.default) for f in fields(self)):
            if name in self._unread() and getattr(self, name) != default:
                readers = " or ".join(o for o, names in READ_BY.items() if name in names)
                raise InputError(
                    f"{name} is {getattr(self, name):g}, but the objective {self.objective} has "
                    f"none; leave it out, or choose the objective {readers}."
                )
        for name, value in (("beta", self.beta), ("capacity", self.capacity)):
            if not (value >= 0 and math.isfinite(value)):
                raise InputError(f"{name} is {value}; it must be a number of at least 0.")
        if not (self.gamma > 0 and math.isfinite(self.gamma)):
            raise InputError(f"gamma is {self.gamma}; it must be above 0.")
        if not 0 <= self.rise <= 1:
            raise InputError(f"rise is {self.rise}; it is a share of training, from 0 to 1.")
        if self.epochs < 1:
            raise InputError(f"epochs is {self.epochs}; train for at least 1.")
        if self.batch_size < 2:
            raise InputError(f"batch_size is {self.batch_size}; BatchNorm needs at least 2.")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise InputError(f"learning_rate is {self.learning_rate}; it must be above 0.")
        check_seed(self.seed)
        if self.compile and not any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl")):
            raise InputError("--compile needs a C++ compiler and found none; install g++ or clang.")

    @property
    def word(self) -> str:
        """What stands in the names of this objective's files: beta, capacity or tcvae."""
        return WORDS[self.objective]

    @property
    def setting(self) -> float:
        """The number that the objective is known by: its capacity, or its beta."""
        return getattr(self, READ_BY[self.objective][0])

    def recipe(self) -> dict[str, Any]:
        """The fields that this objective reads, but for the model's.

        A β-VAE's names no objective: it is the recipe as it was before there were others.
        """
        unread = {"model"} | self._unread()
        return {name: value for name, value in asdict(self).items() if name not in unread}

    def flat(self) -> dict[str, Any]:
        """The recipe and the model's shape as one flat dictionary."""
        return self.recipe() | asdict(self.model)

    def _unread(self) -> set[str]:
        read = READ_BY[self.objective]
        unread = {name for names in READ_BY.values() for name in names if name not in read}
        return unread | ({"objective"} if self.objective == "beta-vae" else set())
