"""Training: the recipe (`config`), one step (`step`), the loop (`loop`), the folder that outlives a
kill (`run_folder`) and what a run shows (`watch`).

The names below are handed on, and loaded when they are first used: the recipe needs no PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae_lib.training.config import TrainConfig as TrainConfig
    from vae_lib.training.loop import Callback as Callback
    from vae_lib.training.loop import Event as Event
    from vae_lib.training.loop import Training as Training
    from vae_lib.training.loop import train as train

NAMES = {"TrainConfig": "config"} | dict.fromkeys(
    ("Callback", "Event", "Training", "train"), "loop"
)


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{NAMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(globals().keys() | NAMES)
