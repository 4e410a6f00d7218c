"""A variational autoencoder on faces, all of it in one file: model, loss, training, pictures.

It needs PyTorch, NumPy and Pillow, and nothing of the course:
    python vae_in_one_file.py                 draws toy faces and trains on them
    python vae_in_one_file.py pictures/       trains on a folder of pictures
    python vae_in_one_file.py faces.npy       trains on an array, uint8 of shape (n, 64, 64, 3)

Where the course is installed, one line writes its training faces into such an array:
  python -c "import numpy as n, vae_lib as v; n.save('faces', v.open_faces().split('train').images)"
On the same faces its losses are those of `vae_lib.train`. Equations: arXiv:1312.6114.
"""

import argparse
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps
from torch import nn

SIZE = 64  # pixels a side
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class VAE(nn.Module):
    """The encoder answers a face with N(mu, σ²); the decoder turns a code into logits of pixels."""

    def __init__(self, channels=(32, 64, 128, 256), latent=128):
        super().__init__()
        self.innermost = (channels[-1], SIZE >> len(channels), SIZE >> len(channels))  # 256×4×4
        features, widths = math.prod(self.innermost), (3, *channels)  # 4096
        # 3×64×64 → 32×32×32 → 64×16×16 → 128×8×8 → 256×4×4
        self.encoder = nn.Sequential(*(layer(nn.Conv2d, i, o) for i, o in pairwise(widths)))
        self.to_mu, self.to_logvar = nn.Linear(features, latent), nn.Linear(features, latent)
        self.from_z = nn.Linear(latent, features)
        # 256×4×4 → 128×8×8 → 64×16×16 → 32×32×32 → 3×64×64
        back = [layer(nn.ConvTranspose2d, i, o) for i, o in pairwise(widths[:0:-1])]
        last = nn.ConvTranspose2d(channels[0], 3, 4, stride=2, padding=1)
        self.decoder = nn.Sequential(*back, last)

    def encode(self, x):
        h = self.encoder(x).flatten(1)
        return self.to_mu(h), self.to_logvar(h)

    def decode_logits(self, z):
        return self.decoder(self.from_z(z).unflatten(1, self.innermost))

    def forward(self, x, noise):
        mu, logvar = self.encode(x)
        z = mu + torch.exp(0.5 * logvar) * noise  # a draw that gradients pass through, Eq. 10
        return self.decode_logits(z), mu, logvar


def layer(conv, inputs, outputs):
    """Halves (Conv2d) or doubles (ConvTranspose2d) height and width."""
    conv = conv(inputs, outputs, 4, stride=2, padding=1, bias=False)  # BatchNorm has the bias
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2))


def loss_parts(x, logits, mu, logvar):
    """Reconstruction and KL in nats per face: sums over pixels and dimensions, mean over faces."""
    # −log p(x | z) = −Σ x ln p + (1 − x) ln(1 − p), where p = sigmoid(logits)
    costs = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return costs.flatten(1).sum(1).mean(), kl_of(mu, logvar).sum(1).mean()


def kl_of(mu, logvar):
    """KL(N(μ, σ²) ‖ N(0, 1)) = ½ (μ² + σ² − 1 − ln σ²) of each dimension, appendix B."""
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar)


def train(model, images, epochs=10, beta=1.0, batch=64, rate=1e-3, seed=0):
    """Adam on shuffled batches, half of the faces mirrored; yields (loss, reconstruction, KL)."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    generator = torch.Generator().manual_seed(seed)  # of flips and noise
    for epoch in range(epochs):
        order = torch.Generator().manual_seed(1_000_003 * seed + epoch)
        rows = torch.randperm(len(images), generator=order).split(batch)
        for row in rows[: len(images) // batch]:  # whole batches
            flip = torch.rand(batch, generator=generator) < 0.5
            noise = torch.randn(batch, model.to_mu.out_features, generator=generator)
            x = pixels(images[row.numpy()])
            x = torch.where(flip[:, None, None, None], x.flip(3), x).to(DEVICE)
            reconstruction, kl = loss_parts(x, *model(x, noise.to(DEVICE)))
            loss = reconstruction + beta * kl  # minus the bound of Eq. 3 where β = 1
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item(), reconstruction.item(), kl.item()


def pixels(images):
    """uint8 (n, h, w, 3) → float (n, 3, h, w) in [0, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def read(path):
    """Faces as uint8 (n, 64, 64, 3): an array, a folder of pictures, or drawn here."""
    if path is None:
        return np.stack([draw(np.random.default_rng(i)) for i in range(2_000)])
    if path.is_file():
        return np.load(path)
    files = sorted(f for f in path.rglob("*") if f.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return np.array([ImageOps.fit(Image.open(f).convert("RGB"), (SIZE, SIZE)) for f in files])


def draw(rng):
    """A toy face: skin, background, size, look and smile are random."""
    picture = Image.new("RGB", (SIZE, SIZE), tuple(rng.integers(60, 230, 3)))
    pen, skin = ImageDraw.Draw(picture), rng.uniform(0.4, 1) * np.array([255, 215, 180])
    w, h, smile, gaze = rng.integers((15, 20, -4, -3), (22, 27, 9, 4))
    pen.ellipse((32 - w, 34 - h, 32 + w, 34 + h), tuple(skin.astype(int)))
    for x in (32 - w // 2, 32 + w // 2):
        pen.ellipse((x - 4, 25, x + 4, 31), "white")
        pen.ellipse((x + gaze - 2, 26, x + gaze + 2, 30), "black")
    pen.line([(24, 46), (28, 46 + smile), (36, 46 + smile), (40, 46)], (150, 30, 30), 2)
    return np.asarray(picture)


@torch.no_grad()
def show(model, images, path):
    """Save faces, their reconstructions, samples, and a walk along the dimension with most KL."""
    model.eval()
    mu, logvar = model.encode(x := pixels(images[:8]).to(DEVICE))
    walk, most = mu[:1].repeat(8, 1), kl_of(mu, logvar).mean(0).argmax()
    walk[:, most] = torch.linspace(-3, 3, 8)
    rows = [x, *(model.decode_logits(z).sigmoid() for z in (mu, torch.randn_like(mu), walk))]
    grid = torch.cat([torch.cat(list(row), 2) for row in rows], 1)  # (3, 4·64, 8·64)
    Image.fromarray((255 * grid).byte().permute(1, 2, 0).cpu().numpy()).save(path)
    model.train()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train a VAE; writes faces.png and vae.pth.")
    parser.add_argument("faces", nargs="?", type=Path, help="a folder of pictures, or a .npy file")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--beta", type=float, default=1.0)
    options = parser.parse_args()
    images = read(options.faces)
    if images.dtype != np.uint8 or images.shape[1:] != (SIZE, SIZE, 3) or len(images) < 64:
        parser.error(f"found {images.dtype} {images.shape}; give 64 or more uint8 (64, 64, 3)")
    torch.manual_seed(0)
    vae = VAE().to(DEVICE, memory_format=torch.channels_last)
    for step, losses in enumerate(train(vae, images, options.epochs, options.beta), start=1):
        if step == 1 or step % 20 == 0:
            print("step {:5}: loss {:7.1f} = {:7.1f} + β · {:5.1f} nats".format(step, *losses))
            show(vae, images, "faces.png")
    torch.save(vae.state_dict(), "vae.pth")
