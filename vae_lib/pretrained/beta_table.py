"""What a network for every β makes of some faces, at several β; no pixels."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from vae_lib.attributes import attribute_directions
from vae_lib.errors import InputError, foreign
from vae_lib.evaluation import evaluate, psnr
from vae_lib.faces.batches import to_pixels
from vae_lib.faces.dataset import Faces
from vae_lib.files import write_atomically
from vae_lib.latent import decode_images, encode_images
from vae_lib.model.any_beta import AnyBetaVAE
from vae_lib.objective import kl_per_dimension
from vae_lib.pretrained.gallery import Gallery, make_gallery

TRAIN_FACES = 20_000  # at most, that directions are made of
HALF = ("mu", "directions", "face_kl", "kl_per_dimension")  # kept as float16


@dataclass(frozen=True, eq=False)
class BetaTable:
    """A gallery's codes, and what the network measures, at ``b`` values of β.

    ``n`` faces of the gallery, ``k`` attributes. Between its β everything is interpolated in
    log β.
    """

    betas: np.ndarray
    """Rising from one end of the trained range to the other, (b,)."""
    mu: np.ndarray
    """Posterior means of the gallery's faces, float32 (b, n, latent_size)."""
    directions: np.ndarray
    """The gallery's attribute directions, from codes at each β, float32 (b, k, latent_size)."""
    face_kl: np.ndarray
    """KL of each face of the gallery, nats, (b, n)."""
    face_psnr: np.ndarray
    """PSNR of each face's decoded posterior mean, dB, (b, n)."""
    kl_per_dimension: np.ndarray
    """Mean over the validation faces, nats, (b, latent_size)."""
    excess: np.ndarray
    """Mean over the validation faces, nats, (b,)."""
    psnr: np.ndarray
    """Mean over the validation faces, dB, (b,)."""
    active_01: np.ndarray
    """Dimensions with more than 0.1 nats over the validation faces, (b,)."""
    interpolated: np.ndarray
    """PSNR that the gallery's faces lose, in dB, where a β lies in the (geometric) middle between
    two of the table and their codes are interpolated instead of encoded there, (b - 1,)."""

    def at(self, beta: float, name: str) -> np.ndarray:
        """One of the arrays at a β, interpolated in log β.

        Examples
        --------
        Halfway between 1 and 4 on a log scale lies 2:

        >>> empty = np.zeros((2, 0, 1))
        >>> numbers = [np.array([10.0, 6.0])] * 3
        >>> table = BetaTable(np.array([1.0, 4.0]), *[empty] * 5, *numbers, np.zeros(1))
        >>> table.at(2, "excess").item()
        8.0
        """
        place = np.interp(np.log(beta), np.log(self.betas), np.arange(len(self.betas)))
        below = min(int(place), len(self.betas) - 2)
        low, high = getattr(self, name)[below : below + 2]
        return low + (place - below) * (high - low)

    def save(self, path: Path) -> None:
        """Write one small .npz; codes, directions and KL are rounded to float16."""
        buffer = io.BytesIO()
        values = {
            f.name: getattr(self, f.name).astype(np.float16 if f.name in HALF else np.float32)
            for f in fields(self)
        }
        np.savez_compressed(buffer, **values)
        write_atomically(Path(path), buffer.getvalue())

    @staticmethod
    def load(path: Path) -> "BetaTable":
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file is missing, damaged or no such table.
        """
        restore = (
            "Restore it with `git checkout -- vae_lib/pretrained`, or install the package again"
        )
        with foreign(f"The table {path} is missing, damaged or of another version", restore):
            with np.load(path, allow_pickle=False) as stored:
                table = BetaTable(*(stored[f.name].astype(np.float32) for f in fields(BetaTable)))
            b, n, size = table.mu.shape
            shapes = [v.shape[:1] for name, v in vars(table).items() if name != "interpolated"]
            if (
                set(shapes) != {(b,)}
                or table.interpolated.shape != (b - 1,)
                or b < 2
                or table.kl_per_dimension.shape != (b, size)
            ):
                raise ValueError("its parts do not belong together")
            if table.face_kl.shape != (b, n) or not all(
                np.isfinite(v).all() for v in vars(table).values()
            ):
                raise ValueError("its values are not finite, or not those of its faces")
        return table


def table_betas(beta_range: tuple[float, float]) -> np.ndarray:
    """The ends of a range, and round numbers between them.

    Examples
    --------
    >>> table_betas((0.5, 20)).tolist()
    [0.5, 0.7, 1.0, 2.0, 3.0, 4.0, 7.0, 10.0, 20.0]
    """
    low, high = beta_range
    decades = range(int(np.floor(np.log10(low))), int(np.log10(high)) + 1)
    round_ones = [float(f"{digit}e{k}") for k in decades for digit in (1, 2, 3, 4, 7)]
    return np.array([low, *(b for b in round_ones if low < b < high), high])


def make_beta_table(model: AnyBetaVAE, faces: Faces, gallery: Gallery) -> BetaTable:
    """Encode a gallery's faces, and measure the network, at several β of its range.

    Parameters
    ----------
    model : AnyBetaVAE
        Any device.
    faces : Faces
        Those of which the gallery was made: directions come from the train split, means from the
        validation split (the test split where that is empty).
    gallery : Gallery
        Names the faces and the attributes.

    Raises
    ------
    InputError
        If a face of the gallery is not among these.

    Examples
    --------
    >>> faces = Faces.from_arrays(np.zeros((50, 64, 64, 3), np.uint8))
    >>> network = AnyBetaVAE(beta_range=(1, 4))
    >>> gallery = make_gallery(network, faces, beta=1.0)
    >>> make_beta_table(network, faces, gallery).mu.shape  # at β = 1, 2, 3 and 4, five faces
    (4, 5, 128)
    """
    rows = {name: row for row, name in enumerate(faces.ids.tolist())}
    missing = [name for name in gallery.ids if name not in rows]
    if missing:
        raise InputError(f"Found no {missing[0]} among these {len(faces):,} faces.")
    images = np.stack([faces.images[rows[name]] for name in gallery.ids])
    x = to_pixels(torch.from_numpy(images))
    train, valid = faces.split("train"), faces.split("valid")
    valid = valid if len(valid) else faces.split("test")
    columns = [faces.attribute_names.index(name) for name in gallery.attribute_names]
    betas = table_betas(model.beta_range)
    measures = [f.name for f in fields(BetaTable) if f.name not in ("betas", "interpolated")]
    found: dict[str, list] = {name: [] for name in measures}

    def decibels(codes: np.ndarray, beta: float) -> np.ndarray:
        decoded = decode_images(model, codes, beta=beta)
        return psnr(to_pixels(torch.from_numpy(decoded)), x).numpy()

    for beta in map(float, betas):
        mu, logvar = encode_images(model, images, beta=beta)
        measured = evaluate(model, valid.images, beta=beta)
        directions = np.zeros((0, mu.shape[1]), np.float32)
        if columns:
            few = train.images[:TRAIN_FACES]
            train_mu, _ = encode_images(model, few, beta=beta)
            directions = attribute_directions(train_mu, train.attributes[: len(few), columns])
        kl = kl_per_dimension(torch.from_numpy(mu), torch.from_numpy(logvar)).sum(1).numpy()
        for name, value in {
            "mu": mu,
            "directions": directions,
            "face_kl": kl,
            "face_psnr": decibels(mu, beta),
            "kl_per_dimension": measured.kl_per_dimension,
            "excess": measured.excess,
            "psnr": measured.psnr,
            "active_01": measured.active_01,
        }.items():
            found[name].append(value)
    lost = []
    for middle, low, high in zip(
        np.sqrt(betas[1:] * betas[:-1]), found["mu"], found["mu"][1:], strict=False
    ):
        mu, _ = encode_images(model, images, beta=float(middle))
        between = decibels((low + high) / 2, float(middle))  # halfway in log β
        lost.append(float((decibels(mu, float(middle)) - between).mean()))
    columns_of = {name: np.array(values) for name, values in found.items()}
    return BetaTable(betas, **columns_of, interpolated=np.array(lost))


def gallery_beta(model: AnyBetaVAE) -> float:
    """The β of a network's gallery: of those in its table the one nearest to 1.

    Examples
    --------
    >>> gallery_beta(AnyBetaVAE(beta_range=(2.5, 16)))
    2.5
    """
    betas = table_betas(model.beta_range)
    return float(betas[np.abs(np.log(betas)).argmin()])


def make_beta_gallery(
    model: AnyBetaVAE, faces: Faces, ids: Sequence[str] = ()
) -> tuple[Gallery, BetaTable]:
    """A gallery at `gallery_beta`, and what becomes of it at the other β; see `make_gallery`.

    Examples
    --------
    >>> faces = Faces.from_arrays(np.zeros((50, 64, 64, 3), np.uint8))
    >>> gallery, table = make_beta_gallery(AnyBetaVAE(beta_range=(1, 4)), faces)
    >>> bool((gallery.mu == table.mu[0]).all())
    True
    """
    gallery = make_gallery(model, faces, beta=gallery_beta(model), ids=ids)
    return gallery, make_beta_table(model, faces, gallery)
