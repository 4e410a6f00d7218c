"""The latent explorer: sliders move a face, in JupyterLab and on a page without a kernel.

``widget`` is what `explore` returns, ``payload`` what its page is told, ``photo`` a learner's own
picture, and ``browser/`` the page's side.
"""

from vae_lib.errors import missing_package

try:
    import anywidget  # noqa: F401
    import ipywidgets  # noqa: F401
    import traitlets  # noqa: F401
except ModuleNotFoundError as error:
    name = error.name or "ipywidgets"
    raise missing_package(name, "The explorer", "anywidget ipywidgets", "course") from error

from vae_lib.explorer.payload import OPENING, decoder_weights
from vae_lib.explorer.photo import EYES, PHOTO_SIDE, align_photo, read_photo
from vae_lib.explorer.widget import Explorer, explore

__all__ = [
    "EYES",
    "OPENING",
    "PHOTO_SIDE",
    "Explorer",
    "align_photo",
    "decoder_weights",
    "explore",
    "read_photo",
]
