"""The settings of a model and of a run; plain numbers, so that the command line explains them
without waiting for PyTorch."""

import math
import operator
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, NamedTuple

from vae_lib.errors import InputError


@dataclass(frozen=True)
class VAEConfig:
    """The shape of a VAE; the defaults are the course's baseline."""

    image_size: int = 64
    """Pixels along one side; every conv layer halves it."""
    channels: tuple[int, ...] = (32, 64, 128, 256)
    """Feature maps after each conv layer of the encoder; the decoder mirrors them."""
    latent_size: int = 128
    """Number of latent dimensions."""

    def __post_init__(self) -> None:
        try:
            for name in ("image_size", "latent_size"):
                object.__setattr__(self, name, operator.index(getattr(self, name)))
            object.__setattr__(self, "channels", tuple(map(operator.index, self.channels)))
        except TypeError as error:
            raise InputError(
                f"image_size is {self.image_size!r}, channels is {self.channels!r} and latent_size "
                f"is {self.latent_size!r}; all of them are whole numbers, channels several."
            ) from error
        if not self.channels or min(self.channels) < 1:
            raise InputError(
                f"channels is {self.channels}; give one or more positive numbers, one per layer."
            )
        if self.latent_size < 1:
            raise InputError(f"latent_size is {self.latent_size}; it must be at least 1.")
        step = 2 ** len(self.channels)
        if self.image_size < step or self.image_size % step:
            raise InputError(
                f"image_size is {self.image_size}; with {len(self.channels)} conv layers it must "
                f"be a multiple of {step}."
            )

    @property
    def smallest(self) -> int:
        """Pixels along one side of the innermost feature map (4 for the baseline)."""
        return self.image_size // 2 ** len(self.channels)


def check_seed(seed: int) -> None:
    """Raise InputError unless ``seed`` is one that every generator takes."""
    if not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed}; it must be at least 0 and below 2³² (4,294,967,296).")


# The parameters of each objective; the first one tells two runs apart.
READ_BY = {
    "beta-vae": ("beta",),
    "capacity": ("capacity", "gamma", "rise"),
    "beta-tcvae": ("beta",),
}
# What stands in the names of an objective's files, and what a run of it is called.
WORDS = {"beta-vae": "beta", "beta-tcvae": "tcvae", "capacity": "capacity"}
LABELS = {
    "beta-vae": "β = {:g}",
    "beta-tcvae": "β-TCVAE, β = {:g}",
    "capacity": "C = {:g} nats",
}


class Setting(NamedTuple):
    """What tells one run from another: its objective, and the first number that this reads."""

    objective: str
    value: float

    @property
    def parameter(self) -> str:
        """The number's name: beta or capacity."""
        return READ_BY[self.objective][0]

    @property
    def word(self) -> str:
        """What stands in the names of files: beta, capacity or tcvae."""
        return WORDS[self.objective]

    @property
    def label(self) -> str:
        """What people read: ``"β = 4"``, ``"β-TCVAE, β = 6"`` or ``"C = 25 nats"``."""
        return LABELS[self.objective].format(self.value)


def setting_of(run: Mapping[str, Any]) -> Setting:
    """What a run is called, whatever its objective.

    Parameters
    ----------
    run : mapping
        A recipe, as `TrainConfig.recipe` gives it and weights carry it, or the results of a
        sweep, which hold one under ``"identity"``.

    Raises
    ------
    InputError
        If the objective is unknown or its number is none.
    """
    recipe = run.get("identity", run) if isinstance(run, Mapping) else run
    if not isinstance(recipe, Mapping):
        raise InputError(f"Found {type(recipe).__name__} where a run's recipe was expected.")
    only_capacity = "capacity" in recipe and "beta" not in recipe
    objective = recipe.get("objective", "capacity" if only_capacity else "beta-vae")
    if not isinstance(objective, str) or objective not in READ_BY:
        raise InputError(
            f"A recipe names the objective {objective!r}; there are {', '.join(READ_BY)}."
        )
    name = READ_BY[objective][0]
    value = recipe.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(
            f"A recipe of {objective} has {value!r} for its {name}, which is no number."
        )
    return Setting(objective, value)


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
