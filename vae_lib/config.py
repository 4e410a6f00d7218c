"""The shape of a model and what objectives read; plain numbers, so that the command line explains
them without waiting for PyTorch."""

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

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
