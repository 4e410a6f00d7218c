"""Can the factors of the synthetic faces be read off the pictures? R² per factor, AUC for glasses.

A small convolutional network learns to predict all factors; what it cannot recover on unseen
faces, no VAE could be blamed for missing. Run: python benchmarks/synthetic_factors.py
"""

import argparse
import sys
import time

import numpy as np
import torch
from sklearn.metrics import r2_score, roc_auc_score
from torch import nn

from vae_lib.faces.synthetic import FACTORS, synthetic_faces


def network(outputs: int) -> nn.Module:
    layers, width = [], 3
    for channels in (32, 64, 96, 128):  # 64×64 → 4×4
        layers += [nn.Conv2d(width, channels, 4, 2, 1), nn.BatchNorm2d(channels), nn.ReLU()]
        width = channels
    layers += [nn.Flatten(), nn.Linear(128 * 16, 256), nn.ReLU(), nn.Linear(256, outputs)]
    return nn.Sequential(*layers)


def main(train: int, test: int, epochs: int) -> None:
    start = time.perf_counter()
    images, factors = synthetic_faces(train + test, seed=1)
    print(f"{(train + test) / (time.perf_counter() - start):,.0f} faces/s drawn")
    low, high = (np.array([getattr(f, end) for f in FACTORS]) for end in ("low", "high"))
    targets = torch.tensor((factors - low) / (high - low), dtype=torch.float32)
    pictures = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()

    torch.manual_seed(0)
    model, batch = network(len(FACTORS)), 64
    steps = epochs * (train // batch)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for epoch in range(epochs):
        for rows in torch.randperm(train)[: train // batch * batch].split(batch):
            loss = nn.functional.mse_loss(model(pictures[rows] / 255), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1:2d}  last loss {loss.item():.4f}", file=sys.stderr)

    model.eval()
    with torch.inference_mode():
        guess = torch.cat([model(part / 255) for part in pictures[train:].split(250)]).numpy()
    truth = targets[train:].numpy()
    for i, factor in enumerate(FACTORS):
        measure, name = (roc_auc_score, "AUC") if factor.binary else (r2_score, "R²")
        print(f"{factor.name:15s} {name:3s} {measure(truth[:, i], guess[:, i]):.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=6000, help="faces to learn from")
    parser.add_argument("--test", type=int, default=1000, help="faces to be measured on")
    parser.add_argument("--epochs", type=int, default=12, help="passes over the training faces")
    main(**vars(parser.parse_args()))
