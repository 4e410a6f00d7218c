"""Faces, from CelebA, from a folder of pictures, or drawn: `open_faces`."""

from vae_lib.faces.dataset import SPLITS, Faces
from vae_lib.faces.opening import open_faces

__all__ = ["SPLITS", "Faces", "open_faces"]
