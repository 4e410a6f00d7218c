"""From uint8 faces on the disk to shuffled batches on the device."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from vae_lib.errors import InputError


def to_pixels(images: Tensor) -> Tensor:
    """uint8 (n, h, w, 3) → float32 (n, 3, h, w) in [0, 1], in channels_last memory.

    The cache's layout *is* channels_last: the permutation moves no byte.

    Raises
    ------
    InputError
        If the images are of another type: dividing theirs by 255 would make no pixels of them.

    Examples
    --------
    >>> x = to_pixels(torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3))
    >>> x.shape, x.flatten().tolist()
    (torch.Size([1, 3, 1, 1]), [0.0, 0.20, 1.0])
    """
    if images.dtype != torch.uint8:
        raise InputError(
            f"Found images of {images.dtype}; faces are uint8, 0 to 255. Turn pixels in [0, 1] "
            "into them with (255 * x).round().to(torch.uint8)."
        )
    return images.permute(0, 3, 1, 2).float().div_(255)


def pixel_batches(
    images: np.ndarray, device: torch.device | str = "cpu", size: int = 256
) -> Iterator[Tensor]:
    """All images in their order, a few at a time, as pixels on a device.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w, 3)
        Usually memory-mapped; no more than one batch is in memory.
    device : torch.device or str
        Where the pixels are wanted.
    size : int
        Images at a time; the last batch holds what is left.

    Yields
    ------
    Tensor
        float32 (m, 3, h, w) in [0, 1], m ≤ size.

    Examples
    --------
    >>> white = np.full((5, 64, 64, 3), 255, np.uint8)
    >>> [(len(x), x.max().item()) for x in pixel_batches(white, size=2)]
    [(2, 1.0), (2, 1.0), (1, 1.0)]
    """
    for start in range(0, len(images), size):
        yield to_pixels(torch.from_numpy(np.array(images[start : start + size])).to(device))


def flip_some(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror the chosen images left to right; ``chosen`` is bool of shape (n,).

    Examples
    --------
    >>> row = torch.tensor([1, 2, 3]).view(1, 1, 3, 1).expand(2, 1, 3, 1)  # two images of one row
    >>> flip_some(row, torch.tensor([False, True]))[:, 0, :, 0].tolist()
    [[1, 2, 3], [3, 2, 1]]
    """
    return torch.where(chosen[:, None, None, None], images.flip(2), images)


class Batches:
    """Shuffled uint8 batches of one split.

    On CUDA all images live on the device when they fit into half of its free memory (a class
    may share one GPU); otherwise each batch is gathered from the memory-mapped cache and, for
    CUDA, goes through pinned memory, so that the next one is gathered while the GPU still works.
    Elsewhere it is copied at once: on MPS a copy that is not waited for may read freed memory.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w, 3)
        Usually memory-mapped.
    device : torch.device
        Where batches are wanted.
    """

    def __init__(self, images: np.ndarray, device: torch.device) -> None:
        self.images, self.device = images, device
        self.resident: Tensor | None = None
        if device.type == "cuda" and images.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
            self.resident = torch.empty(images.shape, dtype=torch.uint8, device=device)
            for start in range(0, len(images), 8192):
                rows = slice(start, start + 8192)
                self.resident[rows] = torch.from_numpy(np.array(images[rows]))

    def __len__(self) -> int:
        return len(self.images)

    def gather(self, index: Tensor) -> Tensor:
        """The images of these rows, uint8 (len(index), h, w, 3), on the device."""
        if self.resident is not None:
            return self.resident[index.to(self.device)]
        batch = torch.from_numpy(self.images[index.cpu().numpy()])
        if self.device.type == "cuda":
            return batch.pin_memory().to(self.device, non_blocking=True)
        return batch.to(self.device)

    def release(self) -> None:
        """Give back the device's memory; from now on batches are gathered from the cache."""
        self.resident = None

    def epoch(self, batch_size: int, seed: int, epoch: int, skip: int = 0) -> Iterator[Tensor]:
        """Row numbers of each whole batch of one epoch, in an order that (seed, epoch) decides.

        The faces that fill no whole batch sit out this epoch; ``skip`` leaves out batches that
        were trained on before an interruption. Row numbers lie where the images do.
        """
        order = torch.Generator().manual_seed(1_000_003 * seed + epoch)
        rows = torch.randperm(len(self), generator=order)
        if self.resident is not None:
            rows = rows.to(self.device)  # once, not batch by batch
        for batch in range(skip, len(self) // batch_size):
            yield rows[batch * batch_size : (batch + 1) * batch_size]
