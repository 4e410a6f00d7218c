"""A course on variational autoencoders: the code behind the notebooks.

What follows is enough for a notebook of your own::

    from vae_lib import open_faces, TrainConfig, train, evaluate, explore

Each name is loaded when it is first used, so that ``import vae_lib`` costs nothing. The rooms, in
the order in which data goes through them; a room imports only from those before it:

=====================  ============================================================================
``config``             the shape of a model, and the table of objectives
``objective``          the losses in nats, and what they are made of
``faces``              CelebA, a folder, drawn faces or arrays: uint8 images with splits
``model``              the VAE: encode, reparameterize, decode
``evaluation``         reconstruction, excess, KL, PSNR and SSIM of faces not trained on
``checkpoint``         models as files
``latent``             images to codes, codes to images, walks between them
``attributes``         what codes know: probes, single dimensions, directions
``pretrained``         the models in the box, and codes of test faces that come with them
``pca``                the linear models that a VAE must beat
``sample_distance``    how far decoded draws are from faces
``disentanglement``    scores against known factors
``figures``            pictures of all this
``training``           the recipe, the step, the loop, the folder that outlives a kill
``study``              many runs, and what they say together
``explorer``           sliders that move a face
``course``             the exercises' checks, and the figures of single lessons
``cli``                the command ``vae``
=====================  ============================================================================

Read ``model``, ``objective`` and ``training`` first: that is the lecture. ``errors``, ``files``,
``devices``, ``console``, ``dark`` and ``jupyter`` serve the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae_lib.attributes import attribute_directions as attribute_directions
    from vae_lib.attributes import score_attributes as score_attributes
    from vae_lib.checkpoint import load_weights as load_weights
    from vae_lib.checkpoint import save_weights as save_weights
    from vae_lib.config import VAEConfig as VAEConfig
    from vae_lib.errors import InputError as InputError
    from vae_lib.evaluation import Evaluation as Evaluation
    from vae_lib.evaluation import evaluate as evaluate
    from vae_lib.explorer import explore as explore
    from vae_lib.faces import Faces as Faces
    from vae_lib.faces import open_faces as open_faces
    from vae_lib.latent import decode_images as decode_images
    from vae_lib.latent import encode_images as encode_images
    from vae_lib.latent import interpolate as interpolate
    from vae_lib.latent import traverse as traverse
    from vae_lib.model import VAE as VAE
    from vae_lib.model import reparameterize as reparameterize
    from vae_lib.pretrained import load_gallery as load_gallery
    from vae_lib.pretrained import load_pretrained as load_pretrained
    from vae_lib.pretrained import pretrained_names as pretrained_names
    from vae_lib.study.sweep import sweep as sweep
    from vae_lib.training import TrainConfig as TrainConfig
    from vae_lib.training import Training as Training
    from vae_lib.training import train as train

ROOMS = {
    "model": "VAE reparameterize",
    "config": "VAEConfig",
    "faces": "Faces open_faces",
    "training": "TrainConfig Training train",
    "evaluation": "Evaluation evaluate",
    "latent": "decode_images encode_images interpolate traverse",
    "attributes": "attribute_directions score_attributes",
    "checkpoint": "load_weights save_weights",
    "pretrained": "load_gallery load_pretrained pretrained_names",
    "study.sweep": "sweep",
    "explorer": "explore",
    "errors": "InputError",
}
HOME = {name: room for room, names in ROOMS.items() for name in names.split()}
__all__ = [*HOME]


def __getattr__(name: str) -> Any:
    if name not in HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(globals().keys() | HOME)
