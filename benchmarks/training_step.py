"""How much faster one training step is than the usual script's, and how little else costs time.

    python benchmarks/training_step.py

Everything runs in one process on one machine, in turn, batch 64, and ratios are those of the
medians, so that a machine's mood cancels out. The plain reference is what tutorials write: NCHW
float32, `binary_cross_entropy` on the Sigmoid's output, Adam.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch.nn import functional as F

from vae_lib.devices import choose_device, faster_in_bfloat16
from vae_lib.faces import open_faces
from vae_lib.faces.batches import to_pixels
from vae_lib.model import VAE
from vae_lib.training import TrainConfig, Training


def plain_step(device: torch.device, x: torch.Tensor) -> Callable[[], None]:
    """The reference: no trick of any kind."""
    model = VAE().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> None:
        mu, logvar = model.encode(x)
        reconstructed = model.decode(model.reparameterize(mu, logvar))
        nll = F.binary_cross_entropy(reconstructed, x, reduction="sum")
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        optimizer.zero_grad()
        ((nll + kl) / len(x)).backward()
        optimizer.step()

    return step


def our_step(training: Training) -> Callable[[], None]:
    """One step of the loop with its batch at hand; captured where the device can."""
    inputs = training.inputs(torch.arange(training.config.batch_size))
    return lambda: training.take_step(*inputs)


def seconds(step: Callable[[], None], device: torch.device, repeats: int) -> float:
    """Mean time of a few steps in a row, the GPU's work included."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    wait()
    return (time.perf_counter() - start) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="faces; CELEBA_ROOT or synthetic ones if left out"
    )
    parser.add_argument("--rounds", type=int, default=9, help="alternations; medians are taken")
    options = parser.parse_args()
    device, reason = choose_device()
    faces = open_faces(options.data, synthetic_count=4_000)
    print(reason, f"{torch.get_num_threads()} threads, bf16: {faster_in_bfloat16(device)}.")

    batch = TrainConfig().batch_size
    eager, compiled = (Training(TrainConfig(compile=c), faces, device) for c in (False, True))
    x = to_pixels(torch.from_numpy(faces.images[:batch].copy())).contiguous().to(device)
    steps = {
        "plain reference": plain_step(device, x),
        "this package": our_step(eager),
        "this package, --compile": our_step(compiled),
    }
    repeats = 100 if device.type == "cuda" else 3
    for step in steps.values():
        seconds(step, device, 3)  # compilation, capture and first allocations
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.rounds):
        for name, step in steps.items():
            times[name].append(seconds(step, device, repeats))
    reference = median(times["plain reference"])
    for name, taken in times.items():
        ratio = f"{reference / median(taken):6.2f}x the plain reference"
        print(f"{name:<26}{batch / median(taken):>10,.0f} images/s {ratio}")

    # Whole stretches of the loop (reading, flips, noise, logging) against bare steps, in turn.
    whole, alone = [], []
    loop, bare = eager.steps(), our_step(eager)
    for _ in range(min(options.rounds, eager.steps_per_epoch // 50)):
        alone.append(seconds(bare, device, 50))
        start = time.perf_counter()
        next(loop)
        whole.append((time.perf_counter() - start) / 50)
    print(f"the loop, data included, at {100 * median(alone) / median(whole):.1f} % of bare steps")


if __name__ == "__main__":
    main()
