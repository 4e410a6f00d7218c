"""What there is to choose from: the shape of a model, and the objectives.

Plain numbers and names, so that the command line explains them without waiting for PyTorch. The
functions of the objectives, with their equations, are in `vae_lib.objective`.
"""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
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
    """Raise InputError unless ``seed`` is one that every generator takes.

    Examples
    --------
    >>> check_seed(-1)
    Traceback (most recent call last):
    vae_lib.errors.InputError: seed is -1; it must be at least 0 and below 2³² (4,294,967,296).
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed}; it must be at least 0 and below 2³² (4,294,967,296).")


@dataclass(frozen=True)
class Parameter:
    """A number that an objective reads, and the range that it must lie in.

    Examples
    --------
    >>> Parameter(1.0).fault("beta", -2.0)
    'beta is -2.0; it must be a number of at least 0.'
    >>> Parameter(0.5, most=1.0).fault("rise", 0.25)
    ''
    """

    default: float
    least: float = 0.0
    most: float = math.inf
    above: bool = False
    """Whether `least` itself is too little."""
    weight: bool = True
    """Whether a smaller one makes the loss smaller: what to try where the loss is no number."""

    def fault(self, name: str, value: Any) -> str:
        """A sentence where `value` is no number of the range; else empty."""
        if isinstance(value, int | float) and math.isfinite(value):
            enough = value > self.least if self.above else value >= self.least
            if enough and value <= self.most:
                return ""
        wanted = f"{'above' if self.above else 'of at least'} {self.least:g}"
        if self.most < math.inf:
            wanted = f"from {self.least:g} to {self.most:g}"
        return f"{name} is {value!r}; it must be a number {wanted}."


@dataclass(frozen=True)
class Objective:
    """One thing to minimise: the numbers that it reads, the names of its runs, and its function.

    A new one is an entry in `OBJECTIVES` and a function; nothing else has to know of it.

    Parameters
    ----------
    parameters : dict
        A `Parameter` for each name; the first one tells two runs of the objective apart.
    word : str
        Stands in the names of its files: ``tcvae`` in ``vae_tcvae_6.pth``.
    label : str
        What people read, with ``{0:g}`` where the first parameter stands, and ``{1:g}`` where
        the one that ``also`` names does.
    loss : callable, or its name as ``"module:function"``
        Gives `vae_lib.objective.Losses`. It is handed what its arguments name: ``logits`` and ``x``
        (n, 3, h, w), ``mu``, ``logvar`` and ``z`` (n, latent_size), ``images`` (the size of the
        training split), and the parameters, as numbers. By name it is imported when it is first
        used, so that this table needs no PyTorch.
    schedule : dict
        For each parameter that changes while a model trains, a function that gives its present
        value. Arguments: ``share`` of the training that is over, 0 to 1, and the parameters. The
        loss gets a scalar tensor.
    draw : dict
        For each parameter that differs from image to image, a function that draws it. Arguments:
        ``count``, ``generator``, ``device``, and the parameters. It returns a tensor (count,); so
        does the loss get it, and a model that lists the name in its ``conditions``.
    faces : int
        How many a process needs at least: 2 where the loss compares faces.
    also : str
        A second parameter that two runs may differ in: its number stands before the first's in
        the names of files.
    network : callable, or its name as ``"module:function"``
        Makes the model that is trained. It is handed what its arguments name: ``config``, its
        shape, and the parameters.
    density : bool
        Whether its reconstruction is a density's, which has no floor to be above of.
    """

    parameters: dict[str, Parameter]
    word: str
    label: str
    loss: str | Callable[..., Any]
    schedule: dict[str, Callable[..., float]] = field(default_factory=dict)
    draw: dict[str, Callable[..., Any]] = field(default_factory=dict)
    faces: int = 1
    also: str = ""
    network: str | Callable[..., Any] = "vae_lib.model:VAE"
    density: bool = False

    @property
    def parameter(self) -> str:
        """The name of the number that tells two runs apart."""
        return next(iter(self.parameters))

    @property
    def function(self) -> Callable[..., Any]:
        """The loss itself."""
        return resolve_name(self.loss) if isinstance(self.loss, str) else self.loss

    @property
    def new_network(self) -> Callable[..., Any]:
        """What makes the model."""
        return resolve_name(self.network) if isinstance(self.network, str) else self.network


def check_range(beta_range: tuple[float, ...]) -> tuple[float, float]:
    """The range as two floats.

    Raises
    ------
    InputError
        Unless 0 < smallest < largest < ∞.

    Examples
    --------
    >>> check_range((20, 0.5))
    Traceback (most recent call last):
    vae_lib.errors.InputError: The range of β is 20 to 0.5: its ends are swapped; the smaller \
comes first.
    """
    try:
        low, high = map(float, beta_range)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The range of β is {beta_range!r}; give two numbers, its smallest and its largest: "
            "0.5 20."
        ) from error
    if math.inf > low > high > 0:
        raise InputError(
            f"The range of β is {low:g} to {high:g}: its ends are swapped; the smaller comes first."
        )
    if not 0 < low < high < math.inf:
        raise InputError(
            f"The range of β is {low:g} to {high:g}; both ends are above 0, the second is larger."
        )
    return low, high


def draw_beta(count: int, generator: Any, device: Any, low: float, high: float) -> Any:
    """β for each image of a batch, log-uniform from low to high, a tensor (count,).

    >>> import torch
    >>> found = draw_beta(100, torch.Generator().manual_seed(0), "cpu", low=0.5, high=8.0)
    >>> bool(found.min() >= 0.5), bool(found.max() <= 8), bool(abs(found.median() - 2) < 0.5)
    (True, True, True)
    """
    import torch

    share = torch.rand(count, generator=generator, device=device)
    return low * (high / low) ** share


def risen(share: float, capacity: float, rise: float) -> float:
    """The C of a capacity that rises linearly over a share of training and then stays.

    >>> risen(share=0.25, capacity=20.0, rise=0.5)
    10.0
    >>> risen(share=0.75, capacity=20.0, rise=0.5)
    20.0
    """
    return capacity * min(1.0, share / rise if rise else 1.0)


# Every objective that there is, in the order of the tables of results. The first is the one that a
# recipe without a name means.
OBJECTIVES = {
    "beta-vae": Objective(
        parameters={"beta": Parameter(1.0)},
        word="beta",
        label="β = {0:g}",
        loss="vae_lib.objective:beta_vae_objective",
    ),
    "beta-tcvae": Objective(
        parameters={"beta": Parameter(1.0)},
        word="tcvae",
        label="β-TCVAE, β = {0:g}",
        loss="vae_lib.objective:beta_tcvae_objective",
        faces=2,
    ),
    "capacity": Objective(
        parameters={
            "capacity": Parameter(25.0, weight=False),
            "gamma": Parameter(100.0, above=True),
            "rise": Parameter(0.5, most=1.0, weight=False),
        },
        word="capacity",
        label="C = {0:g} nats",
        loss="vae_lib.objective:capacity_objective",
        schedule={"capacity": risen},
    ),
    "any-beta": Objective(
        parameters={
            "high": Parameter(20.0, above=True, weight=False),
            "low": Parameter(0.5, above=True, weight=False),
        },
        word="any_beta",
        label="every β from {1:g} to {0:g}",
        loss="vae_lib.objective:any_beta_objective",
        draw={"beta": draw_beta},
        also="low",
        network="vae_lib.model.any_beta:network_of",
    ),
    "gaussian": Objective(
        parameters={"sigma": Parameter(0.1, above=True, weight=False)},
        word="gaussian",
        label="Gaussian, σ = {0:g}",
        loss="vae_lib.objective:gaussian_objective",
        density=True,
    ),
    "sigma-vae": Objective(
        parameters={"beta": Parameter(1.0)},
        word="sigma",
        label="σ-VAE, β = {0:g}",
        loss="vae_lib.objective:sigma_vae_objective",
        density=True,
    ),
}


def objective_named(name: Any) -> Objective:
    """The entry of `OBJECTIVES`.

    Raises
    ------
    InputError
        If there is none of this name.

    Examples
    --------
    >>> objective_named("capacity").parameter
    'capacity'
    """
    if not isinstance(name, str) or name not in OBJECTIVES:
        raise InputError(
            f"There is no objective {name!r}; use one of {', '.join(OBJECTIVES)}. One of your own "
            "is entered into vae_lib.config.OBJECTIVES first."
        )
    return OBJECTIVES[name]


class Setting(NamedTuple):
    """What tells one run from another: its objective, and the first number that this reads.

    >>> Setting("beta-tcvae", 6.0).label
    'β-TCVAE, β = 6'
    >>> Setting("any-beta", 8.0, 0.5).label, Setting("any-beta", 8.0, 0.5).stem
    ('every β from 0.5 to 8', 'any_beta_0.5-8')
    """

    objective: str
    value: float
    also: float | None = None
    """The number of the objective's second parameter, where its name has one."""

    @property
    def parameter(self) -> str:
        """The number's name: ``beta`` or ``capacity``."""
        return objective_named(self.objective).parameter

    @property
    def word(self) -> str:
        """What stands in the names of files: ``beta``, ``capacity`` or ``tcvae``."""
        return objective_named(self.objective).word

    @property
    def label(self) -> str:
        """What people read: ``β = 4``, ``β-TCVAE, β = 6`` or ``C = 25 nats``."""
        return objective_named(self.objective).label.format(self.value, self.also)

    @property
    def stem(self) -> str:
        """How the names of files begin: ``beta_4``, ``capacity_25`` or ``any_beta_0.5-20``."""
        numbers = [self.value] if self.also is None else [self.also, self.value]
        return f"{self.word}_{'-'.join(f'{number:g}' for number in numbers)}"


def setting_among(objective: str, values: Mapping[str, Any]) -> Setting:
    """What a run is called that has these numbers, by name.

    Raises
    ------
    InputError
        If one that its name needs is missing or is none.

    Examples
    --------
    >>> setting_among("any-beta", {"low": 0.5, "high": 8, "epochs": 10})
    Setting(objective='any-beta', value=8, also=0.5)
    """
    known = objective_named(objective)
    found: list[float] = []
    for name in (known.parameter, *([known.also] if known.also else [])):
        value: Any = values.get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            raise InputError(
                f"A recipe of {objective} has {value!r} for its {name}, which is no number."
            )
        found.append(value)
    return Setting(objective, *found)


def setting_of(run: Mapping[str, Any]) -> Setting:
    """What a run is called, whatever its objective.

    Parameters
    ----------
    run : mapping
        A recipe, as `TrainConfig.recipe` gives it and weights carry it, or the results of a
        sweep, which hold one under ``"identity"``. One that names no objective is of the first in
        the table whose number it has.

    Raises
    ------
    InputError
        If the objective is unknown or its number is none.

    Examples
    --------
    >>> setting_of({"beta": 4.0, "epochs": 10})
    Setting(objective='beta-vae', value=4.0, also=None)
    """
    recipe = run.get("identity", run) if isinstance(run, Mapping) else run
    if not isinstance(recipe, Mapping):
        raise InputError(f"Found {type(recipe).__name__} where a run's recipe was expected.")
    known = [name for name, objective in OBJECTIVES.items() if objective.parameter in recipe]
    name = recipe.get("objective", next(iter(known), next(iter(OBJECTIVES))))
    return setting_among(name, recipe)
