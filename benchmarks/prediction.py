"""When does a factor leave the code? The prediction, the runs that answer it, and the verdict.

    python benchmarks/prediction.py predict                      # prediction.json, six minutes
    python benchmarks/prediction.py run --device cuda --out DIR  # the runs; again to go on
    python benchmarks/prediction.py collect DIR                  # into results/prediction
    python benchmarks/prediction.py judge                        # verdict.json
    python benchmarks/prediction.py again --seed 1               # runs whose codes UDR lacks
    python benchmarks/prediction.py udr                          # udr.json

`vae_lib.study.departure` says what is predicted and why. The prediction was committed before any
run with β above 16, with larger mouths or with smaller glasses.

The runs: β = 1 … 128 with three seeds on the course's drawn faces, and five more seeds of β = 8
for UDR. Of the others the first seeds' codes alone were kept; `again` trains seeds 1 and 2 once
more, for UDR within every β. These runs stand in a folder of their own: the verdict is on the
first ones. The interventions have β = 1, 2, 4, 8: the definition needs 1, the price of the usual
glasses lies above 8 and that of the changed parts was predicted to lie among these. Everything
that travels is packed into a few files; a second call with the same --out goes on from them.
"""

import argparse
import io
import json
import multiprocessing
import sys
import tarfile
import time
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from vae_lib.config import VAEConfig
from vae_lib.faces.synthetic import RENDERER, USUAL, Proportions, draw_factors, render
from vae_lib.files import write_atomically
from vae_lib.study import RESULTS
from vae_lib.study.departure import NAMES, judge, observed_departure, p_in_words, price_curves

LOOKS = {"usual": USUAL, "mouth": Proportions(mouth=1.5), "glasses": Proportions(glasses=0.5)}
BETAS = {"usual": (1, 2, 4, 8, 16, 32, 64, 128), "mouth": (1, 2, 4, 8), "glasses": (1, 2, 4, 8)}
SEEDS, UDR_SEEDS, UDR_BETA = (0, 1, 2), (3, 4, 5, 6, 7), 8
KNOWN_UP_TO = 16  # β whose outcomes were known when the prediction was made
HERE = RESULTS / "prediction"
AGAIN = HERE / "again"
LABELLED = ("mig", "sap", "dci_disentanglement")
MEASURES = (*LABELLED, "loss", "kl")
PREDICTION, VERDICT = HERE / "prediction.json", HERE / "verdict.json"
PACK = 14 << 20  # bytes in one file of codes
# What an intervention changes: factor, β, and whether its faces' codes tell the factor better.
CHANGES = {"mouth": (("smile", 1, +1), ("mouth_opening", 1, +1)), "glasses": (("glasses", 8, -1),)}


def told_by_known_runs() -> tuple[list[float], dict[str, list[float]]]:
    """Mean informativeness in the committed study, by β and factor: what was known before."""
    from vae_lib.study import read_runs

    runs = [r for r in read_runs(RESULTS / "synthetic") if r.objective == "beta-vae"]
    betas = sorted({run.setting for run in runs})
    told = [
        np.mean([r.per_factor("informativeness") for r in runs if r.setting == b], 0) for b in betas
    ]
    return betas, {name: [float(t[i]) for t in told] for i, name in enumerate(NAMES)}


def curves_of(look: str) -> dict:
    torch.set_num_threads(1)
    return price_curves(LOOKS[look])


def predict() -> dict:
    """The prediction, from the renderer; one number is fitted, to where the usual glasses left."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(LOOKS), mp_context=context) as pool:
        curves = dict(zip(LOOKS, pool.map(curves_of, LOOKS), strict=True))
    betas, told = told_by_known_runs()
    known = observed_departure(betas, told["glasses"])
    scale = known / curves["usual"]["stronger known"]["glasses"].leaves_at()
    found: dict = {"renderer": RENDERER, "known_up_to": KNOWN_UP_TO, "scale": scale, "looks": {}}
    found["glasses_left_at"] = known
    for look, variants in curves.items():
        entry = found["looks"][look] = {"proportions": LOOKS[look].word}
        for variant, by_factor in variants.items():
            entry[variant] = {
                name: {
                    "eigenvalue": curve.eigenvalue,
                    "leaves_at": curve.leaves_at(),
                    "leaves_at_scaled": curve.leaves_at(scale),
                    "told_scaled": {
                        f"{b:g}": float(curve.told_at(b / scale)[0]) for b in BETAS[look]
                    },
                    "rate": curve.rate[::3].round(4).tolist(),
                    "excess": curve.excess[::3].round(3).tolist(),
                }
                for name, curve in by_factor.items()
            }
    return found


def runs() -> list[tuple[str, float, int]]:
    """Look, β and seed of each run, so that a table cut short holds every β before more seeds."""
    table = [(look, b, seed) for seed in SEEDS for look in LOOKS for b in BETAS[look]]
    return table + [("usual", UDR_BETA, seed) for seed in UDR_SEEDS]


def name_of(look: str, beta: float, seed: int) -> str:
    return f"{look}_beta_{beta:g}_seed_{seed}"


def draw(look: str, rows: np.ndarray) -> np.ndarray:
    torch.set_num_threads(1)
    return render(rows, LOOKS[look])


def score(file: Path) -> dict:
    from vae_lib.study.codes import load_codes, score_codes

    torch.set_num_threads(1)
    return score_codes(load_codes(file))


class Runs:
    """The runs in a folder of work: one JSON and one codes file each, and a log."""

    def __init__(self, work: Path, device: str, count: int, epochs: int, pool) -> None:
        from vae_lib.study.sweep import METRIC_FACES, METRIC_SEED

        self.work, self.device, self.pool, self.epochs = work, device, pool, epochs
        self.count, self.fresh = count, min(METRIC_FACES, count)
        self.seed = METRIC_SEED
        self.log = (work / "log.txt").open("a")
        self.faces: dict = {}
        self.scoring: dict[Path, Future] = {}

    def say(self, words: str) -> None:
        print(words, flush=True)
        print(words, file=self.log, flush=True)

    def drawn(self, look: str) -> tuple:
        """Faces to train on, and the fresh ones whose codes are kept; drawn once for all runs."""
        from vae_lib.faces import Faces

        if look not in self.faces:
            begun = time.perf_counter()
            factors = draw_factors(self.count, 0)
            both = np.concatenate([factors, draw_factors(self.fresh, self.seed)])
            parts = [both[start : start + 250] for start in range(0, len(both), 250)]
            images = np.concatenate(list(self.pool.map(draw, [look] * len(parts), parts)))
            sizes = np.diff([0, self.count * 8 // 10, self.count * 9 // 10, self.count])
            faces = Faces.from_arrays(
                images[: self.count],
                factors,
                NAMES,
                ids=[f"synthetic-{row:06d}" for row in range(self.count)],
                splits=np.repeat(np.arange(3, dtype=np.uint8), sizes),
                name="synthetic",
            )
            self.faces[look] = faces, images[self.count :]
            self.say(f"{look}: {len(both):,} faces in {time.perf_counter() - begun:.1f} s")
        return self.faces[look]

    def run(self, look: str, beta: float, seed: int) -> None:
        """Train one model and leave its measures and codes; nothing if they stand."""
        from vae_lib.evaluation import evaluate
        from vae_lib.latent import encode_images
        from vae_lib.study.codes import rounded, save_codes
        from vae_lib.study.sweep import identity
        from vae_lib.training import train
        from vae_lib.training.config import TrainConfig

        file = self.work / f"{name_of(look, beta, seed)}.json"
        codes_file = file.with_suffix(".npz")
        if not file.exists():
            faces, fresh = self.drawn(look)
            begun = time.perf_counter()
            model = VAEConfig(latent_size=16)
            config = TrainConfig(beta=float(beta), seed=seed, epochs=self.epochs, model=model)
            training = train(config, faces, device=self.device)
            measured = evaluate(training.model, faces.split("test").images, ssim=True)
            seconds = time.perf_counter() - begun
            codes = rounded(*encode_images(training.model, fresh), seed=self.seed)
            save_codes(codes_file, codes)
            result = {
                "identity": identity(config, faces) | {"proportions": LOOKS[look].word},
                "beta": beta,
                "seed": seed,
                "test": measured.flat(),
                "kl_per_dimension": measured.kl_per_dimension,
                "training": training.metadata(),
            }
            write_atomically(file, (json.dumps(result, indent=1) + "\n").encode())
            self.say(
                f"{file.stem}: KL {measured.kl:.1f}, excess {measured.excess:.1f}, {seconds:.1f} s"
            )
        if "disentanglement" not in json.loads(file.read_text()) and file not in self.scoring:
            self.scoring[file] = self.pool.submit(score, codes_file)

    def keep_scores(self, until: float) -> int:
        """Write scores that are ready, waiting for the others until a time; how many are not."""
        for file, future in list(self.scoring.items()):
            try:
                found = future.result(timeout=max(0.0, until - time.monotonic()))
            except TimeoutError:
                future.cancel()
                continue
            except Exception as error:  # the run itself stands, and is scored elsewhere
                self.say(f"{file.stem} has no scores: {type(error).__name__}: {error}")
                continue
            result = json.loads(file.read_text()) | {"disentanglement": found}
            write_atomically(file, (json.dumps(result, indent=1) + "\n").encode())
            del self.scoring[file]
        return len(self.scoring)


def pack(work: Path, out: Path) -> None:
    """The results in one file, the codes in as many as their size asks for, all below 16 MiB."""
    out.mkdir(parents=True, exist_ok=True)
    groups: list[list[Path]] = [sorted([*work.glob("*.json"), work / "log.txt"])]
    room = 0
    for file in sorted(work.glob("*.npz")):
        if file.stat().st_size > room:
            groups.append([])
            room = PACK
        groups[-1].append(file)
        room -= file.stat().st_size
    for number, group in enumerate(groups):
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz" if number == 0 else "w") as tar:
            for file in group:
                tar.add(file, file.name)
        name = f"codes_{number}.tar" if number else "results.tgz"
        write_atomically(out / name, content.getvalue())


def unpack(out: Path, work: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    for file in sorted([*out.glob("results.tgz"), *out.glob("codes_*.tar")]):
        with tarfile.open(file) as tar:
            tar.extractall(work, filter="data")


def run(options: argparse.Namespace) -> int:
    """All runs that are missing, as far as the time goes; 0 if none is missing then."""
    begun = time.monotonic()
    unpack(options.out, options.work)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=context) as pool:
        work = Runs(options.work, options.device, options.faces, options.epochs, pool)
        left = 0
        for one in runs():
            if time.monotonic() - begun > options.seconds:
                left += not (options.work / f"{name_of(*one)}.json").exists()
            else:
                work.run(*one)
        unscored = work.keep_scores(begun + options.seconds + options.patience)
        work.say(
            f"{len(runs()) - left} of {len(runs())} runs, {unscored} of them without scores, in "
            f"{time.monotonic() - begun:.0f} s"
        )
        work.log.close()
        pack(options.work, options.out)
        pool.shutdown(cancel_futures=True)
    return int(left > 0)


def collect(out: Path, to: Path) -> int:
    """Unpack what came back and score what was not scored; returns how many runs there are."""
    unpack(out, to)
    (to / "log.txt").unlink(missing_ok=True)
    files = sorted(to.glob("*_seed_*.json"))
    for file in files:
        result = json.loads(file.read_text())
        if "disentanglement" not in result:
            result["disentanglement"] = score(file.with_suffix(".npz"))
            write_atomically(file, (json.dumps(result, indent=1) + "\n").encode())
            print(f"{file.name}: scored here", flush=True)
    return len(files)


def outcomes(folder: Path) -> dict[str, dict[float, np.ndarray]]:
    """Look → β → informativeness of each seed and factor, (seeds, 13)."""
    found: dict[str, dict[float, np.ndarray]] = {}
    for look in LOOKS:
        for beta in BETAS[look]:
            told = []
            for seed in SEEDS:
                file = folder / f"{name_of(look, beta, seed)}.json"
                if file.exists():
                    factors = json.loads(file.read_text())["disentanglement"]["per_factor"]
                    told.append([factors[name]["informativeness"] for name in NAMES])
            if told:
                found.setdefault(look, {})[beta] = np.array(told)
    return found


def verdict(prediction: dict, found: dict[str, dict[float, np.ndarray]]) -> dict:
    """The test that was committed before the runs.

    1. Rank correlation of predicted and observed departures, all thirteen factors (of which the
       outcomes up to β = 16 were known, so this is partly fit).
    2. The same among the factors that were still in the code at 16: prediction alone.
    3. In or out at each β above 16: is a factor that was predicted to have left gone?
    4. The interventions: does each named factor move as predicted, in every pair of seeds, and
       does the rank of the changed factors among all move the way that was predicted?
    """
    betas = sorted(found["usual"])
    mean = {b: found["usual"][b].mean(0) for b in betas}
    left = [observed_departure(betas, [mean[b][i] for b in betas]) for i in range(len(NAMES))]
    still = [i for i, b in enumerate(left) if b > KNOWN_UP_TO]
    result: dict = {"observed": dict(zip(NAMES, left, strict=True))}
    for variant in ("stronger known", "others known"):
        told = prediction["looks"]["usual"][variant]
        predicted = [told[name]["leaves_at_scaled"] for name in NAMES]
        entry = result[variant] = {"all": vars(judge(predicted, left))}
        if len(still) > 3:
            chosen = ([values[i] for i in still] for values in (predicted, left))
            entry["still in at 16"] = vars(judge(*chosen))
        later = [b for b in betas if b > KNOWN_UP_TO]
        right = [(predicted[i] <= b) == (mean[b][i] < mean[1][i] / 2) for b in later for i in still]
        entry["in or out above 16"] = {"right": int(np.sum(right)), "of": len(right)}
    changes = result["interventions"] = {}
    for look, expected in CHANGES.items():
        for name, beta, sign in expected:
            if beta not in found.get(look, {}):
                continue
            i = NAMES.index(name)
            usual, changed = found["usual"][beta][:, i], found[look][beta][:, i]
            wins = float(np.mean(sign * np.subtract.outer(changed, usual) > 0))
            changes[f"{look}: {name} at β = {beta}"] = {
                "predicted": "told better" if sign > 0 else "told worse",
                "usual": usual.tolist(),
                "changed": changed.tolist(),
                "pairs_as_predicted": wins,
            }
        both = {
            key: {
                where: int(np.sum(np.array(values) < values[NAMES.index(name)]))
                for where, values in (
                    ("predicted", [told_at(prediction, key, n, expected[0][1]) for n in NAMES]),
                    ("observed", list(found[key][expected[0][1]].mean(0))),
                )
            }
            for key in ("usual", look)
            if expected[0][1] in found.get(key, {})
            for name in [expected[0][0]]
        }
        changes[f"{look}: factors told worse than {expected[0][0]}"] = both
    return result


def again(work: Path, seed: int) -> None:
    """Train a seed of every β once more on the CPU, and leave measures and codes in a folder."""
    torch.set_num_threads(1)
    work.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        runs = Runs(work, "cpu", 20_000, 10, pool)
        for beta in BETAS["usual"]:
            if beta != UDR_BETA:
                runs.run("usual", beta, seed)
                runs.keep_scores(float("inf"))
        runs.log.close()


def group(runs: list[Path]) -> dict:
    """UDR of runs of one β, beside what needs labels, and what does not."""
    from vae_lib.disentanglement import udr
    from vae_lib.study.codes import load_codes

    results = [json.loads(run.read_text()) for run in runs]
    kl = [np.array(result["kl_per_dimension"]) for result in results]
    found = udr([load_codes(run.with_suffix(".npz")).mu for run in runs], kl)
    return {
        "beta": results[0]["beta"],
        "runs": [run.relative_to(HERE).with_suffix("").as_posix() for run in runs],
        "udr": found.tolist(),
        **{name: [r["disentanglement"][name] for r in results] for name in LABELLED},
        "loss": [r["test"]["excess"] + r["beta"] * r["test"]["kl"] for r in results],
        "kl": [r["test"]["kl"] for r in results],
    }


def rank_correlations(
    told: dict, with_: str, names: tuple[str, ...] = MEASURES
) -> dict[str, float]:
    return {name: float(spearmanr(told[with_], told[name]).statistic) for name in names}


def by_chance(groups: list[dict]) -> dict[float, float]:
    """Sum over groups of the rank correlation of two orders → its probability by chance, exactly.

    Every order of the seeds of every group is alike.
    """
    sums = {0.0: 1.0}
    for one in groups:
        ranks = np.arange(len(one["udr"]))
        chance = [float(spearmanr(ranks, order).statistic) for order in permutations(ranks)]
        longer: dict[float, float] = {}
        for total, probability in sums.items():
            for value in chance:
                key = round(total + value, 9)
                longer[key] = longer.get(key, 0.0) + probability / len(chance)
        sums = longer
    return sums


def within(groups: list[dict]) -> dict:
    """Over every β: does the order that UDR gives to seeds agree with the order of a score?

    The mean of the rank correlations within a β, and how often chance gives as much or more. Beside
    it, of how many β the run with the largest UDR has the largest score.

    Expected, before the codes of seeds 1 and 2 were there: above 0 for SAP and DCI, as in the five
    runs of β = 8, about 0 for MIG, and of loss and KL no more than chance.
    """
    sums, agree = by_chance(groups), [rank_correlations(one, "udr") for one in groups]
    found = {}
    for name in MEASURES:
        seen = [one[name] for one in agree]
        found[name] = {
            "by_beta": seen,
            "mean": float(np.mean(seen)),
            "p": sum(p for total, p in sums.items() if total >= sum(seen) - 1e-6),
            "best_is_best": sum(int(np.argmax(g["udr"]) == np.argmax(g[name])) for g in groups),
        }
    return found


def agreement(folder: Path) -> dict:
    """UDR of the five runs of β = 8 that were made for it, and of three seeds of every other β.

    With five runs a rank correlation of 1 has a one-sided p of 1/5! = 0.008, and one of 0.8 is
    met by chance in one of 15 orders: of those the file holds the numbers, not a finding.
    """
    five = group([folder / f"{name_of('usual', UDR_BETA, seed)}.json" for seed in UDR_SEEDS])
    groups = []
    for beta in BETAS["usual"]:
        names = [f"{name_of('usual', beta, seed)}.json" for seed in SEEDS]
        runs = [folder / names[0], *(AGAIN / name for name in names[1:])]
        if all(run.with_suffix(".npz").exists() for run in runs):
            groups.append(group(runs))
    return {
        **five,
        "rank_correlation_with_udr": rank_correlations(five, "udr"),
        "rank_correlation_with_mig": rank_correlations(five, "mig", ("loss", "kl")),
        "groups": groups,
        "within": within([*groups, five]),
    }


def told_at(prediction: dict, look: str, name: str, beta: float) -> float:
    return prediction["looks"][look]["stronger known"][name]["told_scaled"][f"{beta:g}"]


def with_p_in_words(entry: dict) -> dict:
    return entry | {"p": p_in_words(entry["p"])} if "p" in entry else entry


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("predict", help="from the renderer, about six minutes")
    running = commands.add_parser("run", help="train what is missing, as far as the time goes")
    running.add_argument("--out", type=Path, required=True, help="a few packed files")
    running.add_argument("--work", type=Path, default=Path("runs/prediction"))
    running.add_argument("--device", default=None, help="the fastest one if left out")
    running.add_argument("--seconds", type=float, default=float("inf"), help="of training")
    running.add_argument("--patience", type=float, default=60, help="seconds more, for scores")
    running.add_argument("--processes", type=int, default=15, help="that draw and score")
    running.add_argument("--faces", type=int, default=20_000)
    running.add_argument("--epochs", type=int, default=10)
    collecting = commands.add_parser("collect", help="unpack the runs and score what is not yet")
    collecting.add_argument("out", type=Path)
    commands.add_parser("judge", help="prediction against outcome")
    once_more = commands.add_parser(
        "again", help="a seed of every β whose codes UDR lacks, on the CPU"
    )
    once_more.add_argument("--seed", type=int, required=True)
    once_more.add_argument("--work", type=Path, default=AGAIN)
    commands.add_parser("udr", help="do runs of one β that find the same dimensions score well?")
    options = parser.parse_args()
    if options.command == "predict":
        write_atomically(PREDICTION, (json.dumps(predict(), indent=1) + "\n").encode())
    elif options.command == "run":
        return run(options)
    elif options.command == "collect":
        print(f"{collect(options.out, HERE)} runs in {HERE}")
    elif options.command == "again":
        again(options.work, options.seed)
    elif options.command == "udr":
        found = agreement(HERE)
        write_atomically(HERE / "udr.json", (json.dumps(found, indent=1) + "\n").encode())
        print(json.dumps(found, indent=1))
    else:
        found = verdict(json.loads(PREDICTION.read_text()), outcomes(HERE))
        content = json.dumps(found, indent=1)
        write_atomically(VERDICT, (content + "\n").encode())
        print(json.dumps(json.loads(content, object_hook=with_p_in_words), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
