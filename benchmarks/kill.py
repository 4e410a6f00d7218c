"""Kill runs at random moments and go on: what is left must be what an uninterrupted run leaves.

    python benchmarks/kill.py [train sweep] --count 60 --seed 0

Each attempt starts `vae train` or `vae sweep` anew, kills it with SIGKILL at moments that the seed
decides, one to three times, and goes on until it ends. It fails unless the folder then holds the
same files: weights, optimizer, random numbers, history and results equal but for how fast it went,
pictures byte for byte, no temporary file. Each run is a fork of this process, which has imported
everything, so that most kills strike the run itself.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torchmetrics.functional.image  # noqa: F401 - what a run would import itself

import vae_lib.cli
import vae_lib.study.sweep
import vae_lib.training.watch

SIZES = ["--synthetic-count=180", "--latent-size=3", "--batch-size=16", "--channels", *"4444"]
SMALL = ["--faces", "synthetic", *SIZES, "--device", "cpu"]
COMMANDS = {
    "train": ["train", *SMALL, "--epochs", "2", "--checkpoint-seconds", "0"],
    "sweep": ["sweep", *SMALL, "--epochs", "2", "--betas", "1", "4", "--seeds", "0"],
}
# What two equal runs may differ in: the time that it took, and the room that its digits take.
TIMES = {"images_per_second", "history_bytes", "history_sha256"}


def start(command: str, out: Path) -> int:
    """Run the command in a process of its own; its id."""
    arguments = [*COMMANDS[command], "--out", str(out)]
    if command == "train" and out.exists():
        arguments.append("--resume")
    child = os.fork()
    if child:
        return child
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    torch.set_num_threads(1)
    os._exit(vae_lib.cli.main(arguments))


def finish(command: str, out: Path) -> None:
    _, status = os.waitpid(start(command, out), 0)
    if status:
        raise RuntimeError(f"vae {command} ended with {os.waitstatus_to_exitcode(status)}")


def kill_after(seconds: float, child: int) -> bool:
    """Whether the process was still alive after this time, and was killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def contents(out: Path) -> dict[str, Any]:
    """Every file in a folder, by its name: what must be equal."""
    return {str(f.relative_to(out)): content(f) for f in sorted(out.rglob("*")) if f.is_file()}


def content(file: Path) -> Any:
    if file.suffix in (".pt", ".pth"):
        return timeless(torch.load(file, weights_only=True))
    if file.suffix == ".json":
        return timeless(json.loads(file.read_text()))
    if file.suffix == ".jsonl":
        return [timeless(json.loads(line)) for line in file.read_text().splitlines()]
    return file.read_bytes()


def timeless(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in TIMES}
    if isinstance(value, list | tuple):
        return [timeless(item) for item in value]
    return value


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    missing = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    more = [f"{name} should not be there" for name in sorted(found.keys() - expected.keys())]
    both = sorted(found.keys() & expected.keys())
    return missing + more + [f"{name} differs" for name in both if found[name] != expected[name]]


def torment(command: str, count: int, seed: int) -> int:
    """Attempt until ``count`` runs were killed; how many attempts ended wrong."""
    rng, failed, attempts, kills = random.Random(f"{command} {seed}"), 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["VAE_LIB_CACHE"] = str(folder / "cache")
        begun = time.monotonic()
        finish(command, folder / "whole")  # which draws the faces too
        lasts = time.monotonic() - begun
        expected = contents(folder / "whole")
        out = folder / "run"
        while kills < count:
            attempts += 1
            shutil.rmtree(out, ignore_errors=True)
            for _ in range(rng.randint(1, 3)):
                kills += kill_after(rng.uniform(0, 1.1 * lasts), start(command, out))
            try:
                finish(command, out)
                wrong = differences(contents(out), expected)
            except RuntimeError as error:
                wrong = [str(error)]
            if wrong:
                failed += 1
                print(f"{command}, attempt {attempts}: {'; '.join(wrong)}", flush=True)
    print(f"{command}: {kills} kills in {attempts} runs of {lasts:.1f} s, {failed} ended wrong")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*", help=", ".join(COMMANDS))
    parser.add_argument("--count", type=int, default=60, help="kills of each command")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if unknown := set(options.commands) - set(COMMANDS):
        parser.error(f"there is no command {min(unknown)}; choose from {', '.join(COMMANDS)}")
    vae_lib.study.sweep.measure_disentanglement = (
        lambda *_: {}
    )  # minutes, in which nothing is written
    failed = [torment(c, options.count, options.seed) for c in options.commands or COMMANDS]
    return int(any(failed))


if __name__ == "__main__":
    sys.exit(main())
