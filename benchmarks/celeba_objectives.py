"""What each objective buys on real faces, on the scale that papers report: TAD and mean ROC-AUC.

    PYTHONPATH=. python benchmarks/celeba_objectives.py runs/ --table screen --device cuda

trains the runs of a table on the faces at CELEBA_ROOT, one JSON file a run, and goes on where it
was stopped. Probes are fitted on training codes; the choice of settings is made on the validation
split, and what is reported is the test split's. ``--table seeds`` has three seeds of β = 1, 4, 10.
With ``--collect results/celeba_attributes.json`` all runs of the folder go into the file that the
book reads, and nothing is trained.
"""

import argparse
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from vae_lib.attributes import score_attributes
from vae_lib.config import VAEConfig
from vae_lib.disentanglement.auroc import total_auroc_difference
from vae_lib.evaluation import evaluate
from vae_lib.faces import open_faces
from vae_lib.files import write_atomically
from vae_lib.latent import encode_images
from vae_lib.training import TrainConfig, train

PROBE_FACES = 20_000  # training faces that the probes are fitted on
TABLES = {
    "seeds": [("beta-vae", {"beta": b}, 128, seed) for seed in (0, 1, 2) for b in (1, 4, 10)],
    "screen": [
        *(("beta-vae", {"beta": b}, 128, 0) for b in (20, 40)),
        *(("beta-vae", {"beta": b}, 32, 0) for b in (1, 4)),
        *(("beta-tcvae", {"beta": b}, 128, 0) for b in (4, 8, 15)),
        *(("beta-tcvae", {"beta": b}, 32, 0) for b in (4, 8, 15)),
    ],
}


def name_of(objective: str, numbers: dict[str, float], latent_size: int, seed: int) -> str:
    (value,) = numbers.values()
    return f"{objective}_{value:g}_latent_{latent_size}_seed_{seed}"


def score(train_codes, train_labels, codes, labels, names) -> dict:
    """Mean ROC-AUC of linear probes, and TAD, on one split."""
    scores = score_attributes(train_codes, train_labels, codes, labels, names)
    tad = total_auroc_difference(scores.per_dimension, labels, names)
    return {
        "mean_auroc": float(scores.probe.mean()),
        "tad": tad.total,
        "captured": dict(zip(tad.captured, tad.gaps, strict=True)),
        "auroc": dict(zip(names, scores.probe.tolist(), strict=True)),
    }


def run(objective, numbers, latent_size, seed, faces, device, epochs):
    """Train one model; its measures, and the arguments of `score` for both held-out splits."""
    shape = VAEConfig(latent_size=latent_size)
    config = TrainConfig(objective=objective, seed=seed, epochs=epochs, model=shape, **numbers)
    begun = time.perf_counter()
    training = train(config, faces, device=device)
    seconds = time.perf_counter() - begun
    splits = {name: faces.split(name) for name in ("train", "valid", "test")}
    probe = np.random.default_rng(0).permutation(len(splits["train"]))[:PROBE_FACES]
    train_mu, _ = encode_images(training.model, splits["train"].images[probe])
    result = {"recipe": config.flat(), "seconds": round(seconds, 1), "measures": {}}
    if str(device).startswith("cuda"):
        result["device"] = torch.cuda.get_device_name()
    questions = {}
    for split in ("valid", "test"):
        mu, _ = encode_images(training.model, splits[split].images)
        measured = evaluate(training.model, splits[split].images)
        result["measures"][split] = measured.flat()
        questions[split] = (
            train_mu,
            splits["train"].attributes[probe],
            mu,
            splits[split].attributes,
            faces.attribute_names,
        )
    return result, questions


def collect(out: Path, file: Path) -> None:
    """All runs in one file, without the forty ROC-AUCs of each, which its readers do not need."""
    runs = []
    for path in sorted(out.glob("*_seed_*.json")):
        run = json.loads(path.read_text())
        for measured in run["measures"].values():
            del measured["auroc"]
        runs.append({name: run[name] for name in ("recipe", "device", "measures") if name in run})
    found = {"probe_faces": PROBE_FACES, "runs": runs}
    write_atomically(file, (json.dumps(found, indent=1) + "\n").encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--table", choices=TABLES, nargs="+", default=list(TABLES))
    parser.add_argument("--device")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--collect", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.collect:
        collect(arguments.out, arguments.collect)
        return
    faces = open_faces()
    arguments.out.mkdir(parents=True, exist_ok=True)
    waiting = []
    spawn = multiprocessing.get_context("spawn")  # a fork would inherit the GPU's threads
    with ProcessPoolExecutor(mp_context=spawn) as pool:
        for row in [row for table in arguments.table for row in TABLES[table]]:
            file = arguments.out / f"{name_of(*row)}.json"
            if file.exists():
                continue
            result, questions = run(*row, faces, arguments.device, arguments.epochs)
            answers = {split: pool.submit(score, *q) for split, q in questions.items()}
            waiting.append((file, result, answers))
            print(file.stem, result["seconds"], "s", flush=True)
        for file, result, answers in waiting:
            for split, answer in answers.items():
                result["measures"][split] |= answer.result()
            file.write_text(json.dumps(result, indent=1) + "\n")
            test = result["measures"]["test"]
            print(
                f"{file.stem}: excess {test['excess']:.1f} KL {test['kl']:.1f} "
                f"AUROC {test['mean_auroc']:.3f} TAD {test['tad']:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
