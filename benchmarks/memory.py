"""Peak memory of training, beyond the pages of the cache and the weights.

    python benchmarks/memory.py

Measured as the most anonymous memory (RssAnon: no file's pages, so neither the cache's nor the
libraries') that the process ever had while it trained and validated, read from Linux's /proc.
"""

import argparse
import sys
import threading
import time
from pathlib import Path

import torch

from vae_lib.faces import open_faces
from vae_lib.training import TrainConfig, train


def anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise SystemExit("This system tells no RssAnon; the benchmark needs Linux.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="faces; CELEBA_ROOT or synthetic ones if left out"
    )
    parser.add_argument("--faces", type=int, default=6_400, help="training faces to pass over")
    options = parser.parse_args()
    faces = open_faces(options.data)
    few = faces.take(options.faces, 2_000)
    peak, running = 0, True

    def watch() -> None:
        nonlocal peak
        while running:
            peak = max(peak, anonymous_bytes())
            time.sleep(0.01)

    before = anonymous_bytes()
    watcher = threading.Thread(target=watch)
    watcher.start()
    run = train(TrainConfig(epochs=1), few)
    running = False
    watcher.join()
    weights = sum(p.nbytes for p in run.model.parameters())
    print(f"imports:                         {before / 2**20:7,.0f} MiB")
    print(f"peak while training:             {peak / 2**20:7,.0f} MiB")
    print(f"weights:                         {weights / 2**20:7,.0f} MiB")
    print(f"peak beyond weights:             {(peak - weights) / 2**20:7,.0f} MiB")
    if torch.cuda.is_available():
        print(
            f"on the GPU:                      {torch.cuda.max_memory_allocated() / 2**20:,.0f} MiB"
        )
    sys.exit(peak - weights > 2**30)


if __name__ == "__main__":
    main()
