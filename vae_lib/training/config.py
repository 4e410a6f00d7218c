"""How one run is trained; plain numbers, so that the command line explains it without PyTorch."""

import math
import shutil
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from vae_lib.config import (
    OBJECTIVES,
    Setting,
    VAEConfig,
    check_range,
    check_seed,
    objective_named,
    setting_among,
)
from vae_lib.errors import InputError

if TYPE_CHECKING:
    ObjectiveName = str
else:
    ObjectiveName = Literal[tuple(OBJECTIVES)]  # the choices that the command line offers

ANY_BETA = "any-beta"
DEFAULTS = {name: p.default for o in OBJECTIVES.values() for name, p in o.parameters.items()}


@dataclass(frozen=True)
class TrainConfig:
    """What one run is trained with.

    Examples
    --------
    >>> config = TrainConfig(objective="capacity", capacity=20.0)
    >>> config.values()
    {'capacity': 20.0, 'gamma': 100.0, 'rise': 0.5}
    >>> config.setting.label
    'C = 20 nats'
    >>> TrainConfig(capacity=20.0)
    Traceback (most recent call last):
    vae_lib.errors.InputError: capacity is 20, but the objective beta-vae has none; leave it out, \
or choose the objective capacity.
    """

    objective: ObjectiveName = "beta-vae"
    """beta-vae: reconstruction + beta * KL. capacity: reconstruction + gamma * |KL - C| with C
    rising to --capacity. beta-tcvae: as beta-vae, but beta weighs the total correlation alone.
    gaussian: squared errors, with --parameters sigma 0.1. sigma-vae: with a batch's best sigma."""
    beta: float = DEFAULTS["beta"]
    """Weight of the KL; 1 is the plain VAE, more pays sharpness for structure."""
    capacity: float = DEFAULTS["capacity"]
    """With capacity: the nats that the KL is led to."""
    gamma: float = DEFAULTS["gamma"]
    """With capacity: weight of the KL's distance from C."""
    rise: float = DEFAULTS["rise"]
    """With capacity: the share of training over which C rises from 0, linearly."""
    beta_range: tuple[float, ...] | None = None
    """Smallest and largest β of one network that serves them all; each face draws its own."""
    parameters: dict[str, float] = field(default_factory=dict, hash=False)
    """What an objective reads for which there is no option: names, each with its number."""
    epochs: int = 10
    """Passes over the training split."""
    batch_size: int = 64
    """Faces per step, over all processes together."""
    learning_rate: float = 1e-3
    """Adam's step size; with cycle, its peak."""
    cycle: bool = False
    """Let the step size rise over the first quarter of training and fall over the rest, between a
    hundredth of learning_rate and all of it: one cycle (Smith and Topin, arXiv:1708.07120)."""
    seed: int = 0
    """Decides initial weights, order, flips and noise."""
    flips: bool = True
    """Mirror half of the faces, chosen anew each time."""
    compile: bool = False
    """Compile the step with torch.compile: a minute at first, then faster on some machines."""
    model: VAEConfig = field(default_factory=VAEConfig)
    """The shape of the VAE."""

    def __post_init__(self) -> None:
        self._take_range()
        self._check_parameters()
        if self.epochs < 1:
            raise InputError(f"epochs is {self.epochs}; train for at least 1.")
        if self.batch_size < 2:
            raise InputError(f"batch_size is {self.batch_size}; BatchNorm needs at least 2.")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise InputError(f"learning_rate is {self.learning_rate}; it must be above 0.")
        check_seed(self.seed)
        if self.compile and not any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl")):
            raise InputError("--compile needs a C++ compiler and found none; install g++ or clang.")

    def _take_range(self) -> None:
        """A range of β is the objective any-beta, and the two numbers that this reads."""
        if self.beta_range is None and self.objective != ANY_BETA:
            return
        if self.objective not in (TrainConfig.objective, ANY_BETA):
            raise InputError(
                f"beta_range is {self.beta_range}, but the objective {self.objective} has none; "
                "leave one of the two out."
            )
        given = self.parameters or {
            n: p.default for n, p in OBJECTIVES[ANY_BETA].parameters.items()
        }
        low, high = check_range(self.beta_range or (given["low"], given["high"]))
        for name, value in {
            "objective": ANY_BETA,
            "beta_range": (low, high),
            "parameters": {"high": high, "low": low},
        }.items():
            object.__setattr__(self, name, value)

    def _check_parameters(self) -> None:
        read = objective_named(self.objective).parameters
        own = {f.name for f in fields(self)}
        for name in self.parameters:
            if name not in read or name in own:
                free = ", ".join(n for n in read if n not in own) or "none"
                raise InputError(
                    f"parameters names {name!r}; those of the objective {self.objective} that "
                    f"have no field of their own are: {free}."
                )
        for name in DEFAULTS.keys() & own - read.keys():
            if getattr(self, name) != DEFAULTS[name]:
                readers = " or ".join(o for o, it in OBJECTIVES.items() if name in it.parameters)
                raise InputError(
                    f"{name} is {getattr(self, name):g}, but the objective {self.objective} has "
                    f"none; leave it out, or choose the objective {readers}."
                )
        given = {n: self.parameters.get(n, p.default) for n, p in read.items() if n not in own}
        object.__setattr__(self, "parameters", given)
        for name, value in self.values().items():
            if fault := read[name].fault(name, value):
                raise InputError(fault)

    def values(self) -> dict[str, float]:
        """The numbers that the objective reads, by name; the first tells two runs apart."""
        read = objective_named(self.objective).parameters
        return {n: self.parameters[n] if n in self.parameters else getattr(self, n) for n in read}

    def rate_at(self, share: float) -> float:
        """Adam's step size where a share of the training is over, 0 to 1.

        >>> config = TrainConfig(learning_rate=4e-3, cycle=True)
        >>> [round(config.rate_at(share), 5) for share in (0, 0.125, 0.25, 1)]
        [4e-05, 0.00202, 0.004, 4e-05]
        """
        if not self.cycle:
            return self.learning_rate
        way = share / 0.25 if share < 0.25 else (1 - share) / 0.75
        return self.learning_rate * (0.01 + 0.99 * (1 - math.cos(math.pi * way)) / 2)

    @property
    def setting(self) -> Setting:
        """What the run is called: its objective, and the first number that this reads."""
        return setting_among(self.objective, self.values())

    def with_setting(self, value: float) -> "TrainConfig":
        """The same with another value of the number that tells two runs apart.

        >>> TrainConfig().with_setting(4.0).beta
        4.0
        """
        if self.beta_range is not None:
            return replace(self, beta_range=(self.beta_range[0], value))
        name = self.setting.parameter
        own = name in self.parameters
        changes: Any = {"parameters": self.parameters | {name: value}} if own else {name: value}
        return replace(self, **changes)

    def recipe(self) -> dict[str, Any]:
        """As a flat dictionary: what this objective reads, and how it is trained; no model's shape.

        A β-VAE's names no objective: it is the recipe as it was before there were others.

        >>> TrainConfig(beta=4.0).recipe()
        {'beta': 4.0, 'epochs': 10, 'batch_size': 64, 'learning_rate': 0.001, 'seed': 0, \
'flips': True, 'compile': False}
        """
        values = self.values()
        left_out = {"model", "parameters", "beta_range"} | (DEFAULTS.keys() - values)
        if not self.cycle:
            left_out.add("cycle")
        if self.objective == TrainConfig.objective:
            left_out.add("objective")
        plain = {name: value for name, value in asdict(self).items() if name not in left_out}
        return plain | values

    def flat(self) -> dict[str, Any]:
        """The recipe and the model's shape as one flat dictionary."""
        return self.recipe() | asdict(self.model)
