"""One network for every β against one network for each: how it was found, and what it loses.

    PYTHONPATH=. python benchmarks/any_beta.py OUT/celeba --jobs screen plain final --test
    PYTHONPATH=. python benchmarks/any_beta.py OUT/drawn --jobs plain final --test \
        --synthetic --latent 16
    PYTHONPATH=. python benchmarks/any_beta.py OUT --collect results/any_beta.json

The first two train the jobs of a table side by side on the faces at CELEBA_ROOT (``--synthetic``:
on drawn ones), each in a CUDA graph on a stream of its own, and write one JSON file a job and, with
``--weights``, its weights in float16. Choices are made on the validation split; ``--test`` also
measures the test split, once, in the end. ``--collect`` trains nothing: it puts all JSONs below OUT
into one file.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vae_lib.config import VAEConfig
from vae_lib.faces import open_faces
from vae_lib.faces.batches import flip_some, to_pixels
from vae_lib.files import write_atomically
from vae_lib.model import VAE
from vae_lib.model.any_beta import AnyBetaVAE
from vae_lib.objective import bernoulli_nll, kl_per_dimension, pixel_entropy

BETAS = (0.5, 0.8, 1.0, 2.0, 3.0, 4.0, 7.0, 10.0, 20.0)
BATCH = 64


@dataclass(frozen=True)
class Job:
    name: str
    beta: float | None = None  # of a plain VAE; None for one network for all of them
    epochs: int = 30
    peak: float = 1e-3  # learning rate
    cycle: bool = False  # rise over a quarter, fall to a hundredth; else constant
    tilt: float = 1.0  # above 1: more draws of small β
    gate: str = "sigmoid"
    weight: float = 0.0  # the loss of an image is weighted by β ** -weight
    seed: int = 0


def plain(seeds):
    return [Job(f"beta_{b:g}_seed_{s}", b, 10, seed=s) for s in seeds for b in (1.0, 4.0, 10.0)]


CYCLE = {"peak": 4e-3, "cycle": True}
JOBS = {
    "plain": plain((0, 1, 2)),
    "screen": [
        Job("constant"),
        Job("cycle_2", peak=2e-3, cycle=True),
        Job("cycle_4", **CYCLE),
        Job("cycle_8", peak=8e-3, cycle=True),
        Job("cycle_4_tilt", **CYCLE, tilt=1.5),
        Job("cycle_4_weight", **CYCLE, weight=0.5),
        Job("cycle_4_double", **CYCLE, gate="double"),
        Job("cycle_4_film", **CYCLE, gate="film"),
    ],
    "final": [Job(f"any_beta_seed_{seed}", **CYCLE, seed=seed) for seed in (0, 1, 2)],
}


class Double(nn.Module):
    """A gate that starts at 1 and ends at 2."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, s: Tensor) -> Tensor:
        return 2 * self.gate(s)


class Affine(nn.Module):
    """A factor that may be any number."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.affine = gate.affine
        nn.init.ones_(self.affine.bias)

    def forward(self, s: Tensor) -> Tensor:
        return self.affine(s)


def build(job: Job, config: VAEConfig) -> VAE:
    torch.manual_seed(job.seed)
    if job.beta is not None:
        return VAE(config)
    model = AnyBetaVAE(config)
    if job.gate != "sigmoid":
        wrapper = {"double": Double, "film": Affine}[job.gate]
        for gates in (model.encoder_gates, model.decoder_gates):
            for i, gate in enumerate(gates):
                gates[i] = wrapper(gate)
        for name in ("mu_gate", "logvar_gate", "from_z_gate"):
            setattr(model, name, wrapper(getattr(model, name)))
    return model


class Run:
    """One job in training, its step captured where there is a GPU."""

    def __init__(self, job: Job, faces: Tensor, config: VAEConfig, epochs: float) -> None:
        self.job, self.faces, self.device = job, faces, faces.device
        self.cuda = self.device.type == "cuda"
        self.model = build(job, config).to(self.device, memory_format=torch.channels_last)
        self.rate = torch.tensor(job.peak, device=self.device)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=self.rate if self.cuda else job.peak,
            fused=True,
            capturable=self.cuda,
        )
        self.total = max(1, int(job.epochs * epochs * (len(faces) // BATCH)))
        self.stream = torch.cuda.Stream() if self.cuda else None
        self.rows = torch.zeros(BATCH, dtype=torch.long, device=self.device)
        self.coins = torch.zeros(BATCH, device=self.device)
        self.beta = torch.ones(BATCH, device=self.device)
        self.noise = torch.zeros(BATCH, config.latent_size, device=self.device)
        self.random = torch.Generator(self.device).manual_seed(1000 + job.seed)
        self.step, self.graph = 0, None
        self.order = iter(())

    def compute(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        x = to_pixels(flip_some(self.faces[self.rows], self.coins < 0.5))
        with torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False):
            inputs = {} if self.job.beta is not None else {"beta": self.beta}
            logits, mu, logvar = self.model(x, self.noise, **inputs)
        kl = kl_per_dimension(mu, logvar).sum(1)
        each = bernoulli_nll.unchecked(logits, x) + self.beta * kl
        if self.job.weight:
            each = each * self.beta**-self.job.weight
        each.mean().backward()
        self.optimizer.step()

    def advance(self) -> None:
        """One step; its inputs are drawn outside of the graph."""
        rows = next(self.order, None)
        if rows is None:
            whole = len(self.faces) // BATCH
            order = torch.randperm(len(self.faces), generator=self.random, device=self.device)
            self.order = iter(order[: whole * BATCH].view(whole, BATCH))
            rows = next(self.order)
        self.rows.copy_(rows)
        self.coins.uniform_(generator=self.random)
        self.noise.normal_(generator=self.random)
        if self.job.beta is None:
            low, high = map(math.log, self.model.beta_range)
            self.beta.uniform_(generator=self.random).pow_(self.job.tilt)
            self.beta.mul_(high - low).add_(low).exp_()
        else:
            self.beta.fill_(self.job.beta)
        if self.job.cycle:
            done = self.step / self.total
            rise = (1 - math.cos(math.pi * done / 0.25)) / 2 if done < 0.25 else None
            fall = (1 + math.cos(math.pi * (done - 0.25) / 0.75)) / 2
            share = rise if rise is not None else fall
            rate = self.job.peak * (0.01 + 0.99 * share)
            if self.cuda:
                self.rate.fill_(rate)
            else:
                self.optimizer.param_groups[0]["lr"] = rate
        if self.cuda and self.graph is None and self.step >= 3:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=self.stream):
                self.compute()
        if self.graph is None:
            self.compute()
        else:
            self.graph.replay()
        self.step += 1


@torch.no_grad()
def measure(model: VAE, images: Tensor, betas, chunk: int = 512) -> list[dict]:
    """At each β: excess and KL in nats, PSNR in dB, active dimensions, KL of each dimension."""
    model.eval()
    found = []
    for beta in betas:
        inputs = (beta,) if isinstance(model, AnyBetaVAE) else ()
        noise = torch.Generator().manual_seed(0)
        excess, kl, psnr = [], [], []
        for part in images.split(chunk):
            x = to_pixels(part)
            mu, logvar = model.encode(x, *inputs)
            draw = torch.randn(mu.shape, generator=noise).to(mu.device)
            logits = model.decode_logits(model.reparameterize(mu, logvar, draw), *inputs)
            excess.append(bernoulli_nll.unchecked(logits, x) - pixel_entropy(x))
            kl.append(kl_per_dimension(mu, logvar))
            error = (model.decode(mu, *inputs) - x).square().flatten(1).mean(1)
            psnr.append(-10 * error.log10())
        kl = torch.cat(kl).double().mean(0)
        e, k = torch.cat(excess).double().mean().item(), kl.sum().item()
        found.append(
            {
                "beta": beta,
                "excess": e,
                "kl": k,
                "objective": e + beta * k,
                "psnr": torch.cat(psnr).double().mean().item(),
                "active_001": int((kl > 0.01).sum()),
                "active_01": int((kl > 0.1).sum()),
                "kl_per_dimension": [round(value, 4) for value in kl.tolist()],
            }
        )
    return found


def rounded(measured: dict) -> dict:
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in measured.items()
        if name != "kl_per_dimension"
    }


def collect(folder: Path) -> dict:
    """All runs below a folder: by faces, one network against one for each β, and the screen."""
    found: dict = {}
    screen, devices, used = {}, set(), {}
    for file in sorted(folder.rglob("*.json")):
        result = json.loads(file.read_text())
        job, name = result["job"], result["job"]["name"]
        devices.add(result.get("device", "a CPU"))
        kept = {k: v for k, v in job.items() if k not in ("name", "beta", "seed")}
        if job["beta"] is None and "_seed_" not in name:
            at = {f"{m['beta']:g}": round(m["objective"], 1) for m in result["valid"]}
            screen[name] = {"job": kept, "objective": at}
            continue
        kind = "one_network" if job["beta"] is None else "one_network_per_beta"
        if used.setdefault(kind, kept) != kept:
            raise SystemExit(f"{file} was trained with {kept}, the others with {used[kind]}.")
        key = f"seed_{job['seed']}" if job["beta"] is None else name
        rows = {s: [rounded(m) for m in result[s]] for s in ("valid", "test") if s in result}
        if job["beta"] is not None:
            rows = {split: one[0] for split, one in rows.items()}
        found.setdefault(result["faces"], {}).setdefault(kind, {})[key] = rows
    for parts in found.values():
        parts["worse_by"] = worse_by(parts["one_network"], parts["one_network_per_beta"])
    one, each = used["one_network"], used["one_network_per_beta"]
    peak, constant = (f"{job['peak']:.0e}".replace("e-0", "e-") for job in (one, each))
    rate = f"one cycle of the learning rate with its peak of {peak} after a quarter"
    what = (
        f"One network for every β (benchmarks/any_beta.py: {one['epochs']} epochs, batch {BATCH}, "
        f"{rate if one['cycle'] else f'constant {peak}'}, β log-uniform from {BETAS[0]:g} to "
        f"{BETAS[-1]:g}, {'weighted' if one['weight'] else 'plain'} loss) against networks of one "
        f"β ({each['epochs']} epochs, constant {constant}). Objective is excess + β·KL, nats. On "
        f"{' and '.join(sorted(devices))}."
    )
    return {"what": what, **found, "screen_valid_seed_0": screen}


def worse_by(one: dict, each: dict) -> dict:
    """By how large a part the objective of the one network lies above that of the others' means."""
    told: dict = {}
    for split in next(iter(one.values())):
        at: dict[float, list[float]] = {}
        for run in each.values():
            at.setdefault(run[split]["beta"], []).append(run[split]["objective"])
        for beta, others in at.items():
            own = [m["objective"] for run in one.values() for m in run[split] if m["beta"] == beta]
            told.setdefault(split, {})[f"{beta:g}"] = round(np.mean(own) / np.mean(others) - 1, 4)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", nargs="+", default=["plain", "screen"])
    parser.add_argument("--job", default="", help="a Job's fields as JSON, for each of --seeds")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--latent", type=int, default=128)
    parser.add_argument("--epochs", type=float, default=1.0, help="a share of the jobs' own")
    parser.add_argument("--together", type=int, default=6, help="jobs side by side")
    parser.add_argument("--weights", action="store_true")
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--collect", type=Path, metavar="FILE", help="of all that stands in OUT")
    a = parser.parse_args()
    if a.collect:
        write_atomically(a.collect, (json.dumps(collect(a.out), indent=1) + "\n").encode())
        return
    a.out.mkdir(parents=True, exist_ok=True)
    faces = open_faces(kind="synthetic") if a.synthetic else open_faces()
    splits = ("train", "valid", "test") if a.test else ("train", "valid")
    on = {s: torch.from_numpy(np.array(faces.split(s).images)).to(a.device) for s in splits}
    config = VAEConfig(latent_size=a.latent)
    jobs = [job for table in a.jobs if table in JOBS for job in JOBS[table]]
    if a.job:
        fields = json.loads(a.job)
        name = fields.pop("name")
        jobs += [Job(f"{name}_seed_{seed}", **fields, seed=seed) for seed in a.seeds]
    jobs = [job for job in jobs if not (a.out / f"{job.name}.json").exists()]
    while jobs:
        runs = [Run(job, on["train"], config, a.epochs) for job in jobs[: a.together]]
        jobs = jobs[a.together :]
        begun, images = time.perf_counter(), 0
        while waiting := [run for run in runs if run.step < run.total]:
            for run in waiting:
                with torch.cuda.stream(run.stream):
                    run.advance()
                images += BATCH
            if waiting[0].step % 200 == 0 and a.device != "cpu":
                torch.cuda.synchronize()  # or the host runs far ahead
        if a.device != "cpu":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begun
        print(f"{len(runs)} jobs, {images / seconds:,.0f} images/s together", flush=True)
        for run in runs:
            job = run.job
            betas = BETAS if job.beta is None else (job.beta,)
            result = {"job": vars(job), "latent_size": a.latent, "faces": faces.name}
            result |= {s: measure(run.model, on[s], betas) for s in splits if s != "train"}
            if a.device != "cpu":
                result["device"] = torch.cuda.get_device_name()
            (a.out / f"{job.name}.json").write_text(json.dumps(result) + "\n")
            if a.weights:
                state = {k: v.half() if v.is_floating_point() else v for k, v in saved(run.model)}
                torch.save(state, a.out / f"{job.name}.pt")
            told = {f"{m['beta']:g}": round(m["objective"], 1) for m in result["valid"]}
            print(job.name, json.dumps(told), flush=True)


def saved(model: nn.Module):
    return ((name, value.cpu().contiguous()) for name, value in model.state_dict().items())


if __name__ == "__main__":
    main()
