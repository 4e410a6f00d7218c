"""What this package promises about a GPU, proved or refuted on the one at hand, in some minutes.

    PYTHONPATH=. python benchmarks/gpu.py --out gpu.json

One line a check, and every number in one JSON file. Needs PyTorch, NumPy, Pillow, filelock and tqdm
alone: no network, no widgets. Without a GPU it runs dry on the CPU, with few steps, so that a
machine without one can try the script itself. Speeds are those of bare steps with their batch at
hand, and of the loop with everything that it does; the plain reference is that of
`training_step.py`, on the same GPU in the same minute.
"""

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import torch
from training_step import plain_step, seconds

from vae_lib.devices import choose_device, faster_in_bfloat16
from vae_lib.evaluation import evaluate
from vae_lib.faces.batches import to_pixels
from vae_lib.faces.dataset import Faces
from vae_lib.faces.synthetic import synthetic_faces
from vae_lib.latent import decode_images, encode_images
from vae_lib.pretrained import load_pretrained
from vae_lib.training import TrainConfig, Training, train

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda", 0) if GPU else torch.device("cpu")
OBJECTIVES = ("beta-vae", "capacity", "beta-tcvae")


def drawn(count: int) -> Faces:
    """Drawn faces: eight tenths for training, a tenth each for validation and testing."""
    images, _ = synthetic_faces(count, seed=0)
    return Faces(
        name="synthetic",
        images=images,
        ids=np.arange(count).astype(str),
        splits=np.repeat([0, 1, 2], [count - 2 * (count // 10), count // 10, count // 10]).astype(
            np.uint8
        ),
        attributes=np.zeros((count, 0), np.float32),
        attribute_names=(),
        fingerprint=f"drawn for the benchmark, {count}",
    )


def losses(config: TrainConfig, faces: Faces, bfloat16: bool, captured: bool) -> np.ndarray:
    training = Training(config, faces, DEVICE)
    training.take_step.bfloat16 = bfloat16
    training.take_step.capture_next = captured and GPU
    list(training.steps())
    assert (training.take_step.graph is not None) == (captured and GPU), "it was not captured"
    return np.array([record["loss"] for record in training.history])


def starts(faces: Faces) -> dict[str, Any]:
    """Training starts, however the device is named, and lowers the loss."""
    reasons, fell = [], []
    for name in (None, "cuda", "cuda:0", torch.device("cuda")) if GPU else (None, "cpu"):
        run = train(TrainConfig(epochs=1, batch_size=16), faces, device=name)
        steps = [record["loss"] for record in run.history if record["kind"] == "step"]
        reasons.append(choose_device(name)[1])
        fell.append(steps[0] - steps[-1])
        assert run.device == DEVICE, run.device
        assert fell[-1] > 0, steps
    return {"said": reasons, "nats that the loss fell": fell}


def captured_equals_uncaptured(faces: Faces) -> dict[str, Any]:
    """Largest relative difference of the losses of one epoch; None compared with itself first."""
    found = {}
    for objective in OBJECTIVES:
        for bfloat16 in (False, True):
            config = TrainConfig(objective=objective)
            plain, again, replayed = (
                losses(config, faces, bfloat16, captured) for captured in (False, False, True)
            )
            found[f"{objective}, {'bf16' if bfloat16 else 'fp32'}"] = {
                "uncaptured twice": float(np.abs(again / plain - 1).max()),
                "captured": float(np.abs(replayed / plain - 1).max()),
            }
    return found


def resumes(faces: Faces) -> dict[str, Any]:
    """One epoch, then another in a new Training, against two in one go."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        whole = train(TrainConfig(epochs=2), faces, device=DEVICE)
        train(TrainConfig(epochs=1), faces, Path(folder) / "run", device=DEVICE)
        run = train(TrainConfig(epochs=2), faces, Path(folder) / "run", resume=True, device=DEVICE)
        a, b = (
            np.array([r["loss"] for r in t.history if r["kind"] == "step"]) for t in (whole, run)
        )
        found["largest relative difference of the losses"] = float(np.abs(a / b - 1).max())
        found["weights equal bit by bit"] = all(
            torch.equal(x, y)
            for x, y in zip(
                whole.model.state_dict().values(), run.model.state_dict().values(), strict=True
            )
        )
    return found


def memory(faces: Faces) -> dict[str, Any]:
    """MiB that PyTorch holds on the GPU; the context, some hundreds, comes on top."""

    def held() -> float:
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved() / 2**20

    if not GPU:
        return {"skipped": "no GPU"}
    gc.collect()
    found = {"before": held()}
    free = torch.cuda.mem_get_info()[0]
    during = []
    run = train(
        TrainConfig(epochs=1),
        faces,
        device=DEVICE,
        callbacks=[lambda *_: during.append(torch.cuda.memory_reserved() / 2**20)],
    )
    found["during"] = max(during)
    found["after, everything kept"] = held()
    step, model = weakref.ref(run.take_step), run.model
    del run
    found["after, the model kept"] = held()
    found["the step is gone without a collection"] = step() is None
    gc.collect()
    found["after a collection"] = held()
    left = torch.cuda.mem_get_info()[0]
    found["free on the whole GPU, before and after"] = [free / 2**20, left / 2**20]
    found["gradients kept"] = sum(p.grad is not None for p in model.parameters())
    return found


CHILD = """
import sys, time, warnings
from gpu import DEVICE, drawn, train, TrainConfig
faces = drawn(int(sys.argv[1]))
start = time.perf_counter()
run = train(TrainConfig(epochs=int(sys.argv[2])), faces, device=DEVICE)
steps = [r["loss"] for r in run.history if r["kind"] == "step"]
print(f"{len(steps) * 64 / (time.perf_counter() - start):.0f} {steps[-1]:.1f}")
"""

RANK = """
import sys
from gpu import drawn, train, TrainConfig
from vae_lib.devices import join_processes, leave_processes
rank, device = join_processes(sys.argv[2] if len(sys.argv) > 2 else None)
run = train(TrainConfig(epochs=1), drawn(int(sys.argv[1])), device=device)
if rank == 0:
    steps = [r["loss"] for r in run.history if r["kind"] == "step"]
    print(run.device, run.world, f"{steps[0]:.3f} {steps[-1]:.3f}")
leave_processes()
"""

FULL = """
import sys
from vae_lib.devices import choose_device
from vae_lib.errors import InputError
print(*choose_device())
try:
    print(*choose_device("cuda"))
except InputError as error:
    print(error)
"""


def child(code: str, *arguments: object, launcher: tuple[str, ...] = ()) -> subprocess.Popen:
    file = Path(tempfile.mkdtemp()) / "child.py"
    file.write_text(code)
    here = Path(__file__).resolve().parent
    return subprocess.Popen(
        [sys.executable, *launcher, str(file), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]), "OMP_NUM_THREADS": "4"},
    )


def two_processes(count: int) -> dict[str, Any]:
    """Two learners train on one GPU; one is slowed by the other, and neither fails."""

    def free() -> float:
        return torch.cuda.mem_get_info()[0] / 2**20 if GPU else 0.0

    before = least = free()
    alone = child(CHILD, count, 4)
    while alone.poll() is None:
        least = min(least, free())
        time.sleep(0.02)
    both = [child(CHILD, count, 4) for _ in range(2)]
    said = [process.communicate(timeout=200)[0].strip() for process in both]
    assert all(process.returncode == 0 for process in (alone, *both)), said
    return {
        "alone, images/s and last loss": alone.communicate()[0].strip(),
        "together": said,
        "MiB of the GPU that one process takes, its context included": before - least,
    }


def torchrun(count: int) -> dict[str, Any]:
    """Two ranks share the only GPU through gloo; with one process NCCL is not asked for."""
    found = {}
    for processes in (1, 2):
        launcher = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
        process = child(RANK, count, launcher=launcher)
        said = process.communicate(timeout=200)[0].strip()
        assert process.returncode == 0, said[-600:]
        found[f"{processes} processes"] = said.splitlines()[-1]
    return found


def full(count: int) -> dict[str, Any]:
    """Another process has filled the GPU: the device is passed over with a sentence."""
    if not GPU:
        return {"skipped": "no GPU"}
    torch.cuda.empty_cache()
    blocks = []
    for size in (2**30, 2**26, 2**22):
        while torch.cuda.mem_get_info()[0] > size + 2**24:
            try:
                blocks.append(torch.empty(size, dtype=torch.uint8, device=DEVICE))
            except torch.OutOfMemoryError:
                break
    free = torch.cuda.mem_get_info()[0] / 2**20
    process = child(FULL)
    said = process.communicate(timeout=100)[0].strip()
    trained = child(CHILD, 640, 1).communicate(timeout=200)[0].strip()
    blocks.clear()
    torch.cuda.empty_cache()
    assert process.returncode == 0, said
    return {"MiB free": free, "said": said.splitlines(), "training said": trained.splitlines()[-1]}


def cpu_and_gpu(faces: Faces) -> dict[str, Any]:
    """The same weights and faces on both; on the GPU convolutions run in TF32."""
    images = faces.split("test").images
    here, there = (load_pretrained("vae_synthetic", device) for device in ("cpu", DEVICE))
    z = encode_images(here, images)[0]
    apart = np.abs(decode_images(here, z).astype(int) - decode_images(there, z))
    return {
        "excess, nats": [evaluate(model, images).excess for model in (here, there)],
        "codes differ by at most": float(np.abs(encode_images(there, images)[0] - z).max()),
        "pixels differ by at most": int(apart.max()),
    }


def explorer_latency() -> dict[str, Any]:
    """What the kernel of a notebook does for one slider event: one code to one face, ms."""
    found = {}
    for name in ("vae_celeba", "vae_beta_10"):
        model = load_pretrained(name, DEVICE)
        codes = np.random.default_rng(0).normal(size=(300, 1, 128)).astype(np.float32)
        times = []
        for z in codes:
            start = time.perf_counter()
            decode_images(model, z)
            times.append(1e3 * (time.perf_counter() - start))
        found[name] = {"median": median(times[20:]), "p95": quantiles(times[20:], n=20)[-1]}
    return found


def speed(faces: Faces, batch: int, rounds: int, repeats: int) -> dict[str, Any]:
    """Images per second, the variants in turn, medians of the rounds."""
    x = to_pixels(torch.from_numpy(faces.images[:batch].copy())).contiguous().to(DEVICE)
    steps: dict[str, Callable[[], Any]] = {"plain reference": plain_step(DEVICE, x)}
    loops: dict[str, Training] = {}
    setup = {}
    for compiled in (False, True):
        for captured in (False, True) if GPU else (False,):
            config = TrainConfig(batch_size=batch, compile=compiled)
            training = Training(config, faces, DEVICE)
            training.take_step.capture_next = captured
            inputs = training.inputs(torch.arange(batch, device=DEVICE))
            parts = ["compiled"] * compiled + ["captured"] * captured or ["uncaptured"]
            name = " and ".join(parts)
            steps[name] = lambda training=training, inputs=inputs: training.take_step(*inputs)
            loops[name] = training
    for name, step in steps.items():
        setup[name] = 3 * seconds(step, DEVICE, 3)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(seconds(step, DEVICE, repeats))
    reference = median(times["plain reference"])
    found: dict[str, Any] = {}
    for name, taken in times.items():
        found[name] = {
            "images/s": batch / median(taken),
            "spread": [batch / max(taken), batch / min(taken)],
            "times the plain reference": reference / median(taken),
            "seconds for the first three steps": setup[name],
        }
    for name, training in loops.items():
        loop = training.steps()
        next(loop)
        began, first = time.perf_counter(), training.step
        for _ in loop:
            pass
        if training.step > first:
            per_step = (time.perf_counter() - began) / (training.step - first)
            found[name]["images/s of the loop, data included"] = batch / per_step
    return found


def kernels(faces: Faces, compiled: bool, table: Path | None) -> dict[str, Any]:
    """What one step at batch 64 launches."""
    if not GPU:
        return {"skipped": "no GPU"}
    training = Training(TrainConfig(compile=compiled), faces, DEVICE)
    inputs = training.inputs(torch.arange(64, device=DEVICE))
    for _ in range(5):
        training.take_step(*inputs)
    torch.cuda.synchronize()
    with torch.profiler.profile() as profile:
        for _ in range(10):
            training.take_step(*inputs)
        torch.cuda.synchronize()
    events = [e for e in profile.key_averages() if e.self_device_time_total > 0]
    events.sort(key=lambda e: -e.self_device_time_total)
    if table is not None:
        table.write_text(
            "\n".join(
                f"{e.self_device_time_total / 10:8.1f} us x{e.count / 10:6.1f}  {e.key[:150]}"
                for e in events
            )
        )
    return {
        "kernels a step": sum(e.count for e in events) / 10,
        "microseconds busy": sum(e.self_device_time_total for e in events) / 10,
        "longest": {e.key[:60]: e.self_device_time_total / 10 for e in events[:8]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--tables", type=Path, help="folder for the lists of kernels")
    parser.add_argument("--only", nargs="*", help="names of checks to run")
    options = parser.parse_args()
    count = 20_000 if GPU else 240
    started = time.perf_counter()
    faces = drawn(count)
    few = faces.take(min(1_920, len(faces) // 2), 64, 64)
    rounds, repeats = (7, 200) if GPU else (1, 2)

    def table(name: str) -> Path | None:
        return options.tables and options.tables / name

    checks: dict[str, Callable[[], dict[str, Any]]] = {
        "training starts": lambda: starts(few),
        "captured equals uncaptured": lambda: captured_equals_uncaptured(few),
        "resume": lambda: resumes(few),
        "memory": lambda: memory(faces),
        "a full GPU": lambda: full(count),
        "two processes": lambda: two_processes(count),
        "torchrun": lambda: torchrun(min(count, 2_000)),
        "CPU and GPU": lambda: cpu_and_gpu(few),
        "explorer latency, ms": explorer_latency,
        "speed, batch 64": lambda: speed(faces, 64, rounds, repeats),
        "speed, batch 512": lambda: speed(faces, 512, rounds, repeats // 4 or 1) if GPU else {},
        "kernels": lambda: kernels(few, False, table("kernels.txt")),
        "kernels, compiled": lambda: kernels(few, True, table("kernels_compiled.txt")),
    }
    report: dict[str, Any] = {
        "machine": {
            "gpu": torch.cuda.get_device_name(DEVICE) if GPU else "none: a dry run",
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "kernels for": torch.cuda.get_arch_list(),
            "bf16": faster_in_bfloat16(DEVICE),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
        },
        "checks": {},
        "failed": [],
    }
    for name, check in checks.items():
        if options.only and name not in options.only:
            continue
        began = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                result, verdict = check(), "ok  "
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                result = {"error": f"{type(error).__name__}: {error}"[:800], "where": str(where)}
                verdict = "FAIL"
                report["failed"].append(name)
        if caught:
            result["warnings"] = sorted({str(w.message)[:300] for w in caught})
        result["seconds"] = time.perf_counter() - began
        report["checks"][name] = result
        print(verdict, name, json.dumps(result, default=str), flush=True)
        options.out.write_text(json.dumps(report, indent=2, default=str) + "\n")
    report["seconds"] = time.perf_counter() - started
    options.out.write_text(json.dumps(report, indent=2, default=str) + "\n")
    print(f"{len(report['failed'])} of {len(report['checks'])} checks failed; {options.out}")
    sys.exit(bool(report["failed"]))


if __name__ == "__main__":
    main()
