"""The ``vae`` command: faces, training, measures and pictures from the shell."""

import json
import os
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, subcommand

from vae_lib.config import check_seed, objective_named, setting_of
from vae_lib.console import INTERRUPTED, quiet_interrupts, say, spell_what_consoles_lack
from vae_lib.errors import InputError, TrainingStopped
from vae_lib.faces import Faces, open_faces
from vae_lib.training.config import DEFAULTS, TrainConfig

PLURALS = {"beta": "betas", "capacity": "capacities"}  # options of a sweep

# PyTorch takes seconds to import: only what runs after the arguments are read may import it.


@dataclass(frozen=True)
class FacesChoice:
    """Which faces to use."""

    data: Path | None = None
    """Folder with CelebA's images or zips and its annotation files, or with other faces.
    By default the folder that the environment variable CELEBA_ROOT names."""
    faces: Literal["auto", "images", "synthetic"] = "auto"
    """images: from --data or CELEBA_ROOT. synthetic: drawn here, nothing to download.
    auto: images where there are any, else synthetic."""
    synthetic_count: int = 20_000
    """How many synthetic faces to draw."""
    cache: Path | None = None
    """Where prepared faces are kept; by default VAE_LIB_CACHE or your cache folder."""
    strict: bool = False
    """Refuse unreadable images instead of skipping and listing them."""

    def open(self, quiet: bool = False) -> Faces:
        faces = open_faces(
            self.data,
            kind=self.faces,
            synthetic_count=self.synthetic_count,
            cache=self.cache,
            strict=self.strict,
        )
        for note in () if quiet else faces.notes:
            print(note)
        return faces


@dataclass(frozen=True)
class Prepare:
    """Decode, crop and resize faces once, so that every later use opens them in an instant."""

    source: OmitArgPrefixes[FacesChoice] = field(default_factory=FacesChoice)

    def run(self) -> None:
        faces = self.source.open()
        counts = [f"{(faces.splits == i).sum():,} {name}" for i, name in enumerate(SPLIT_NAMES)]
        print(
            f"{len(faces):,} {_kind_of(faces)} are ready: {', '.join(counts)}; "
            f"{len(faces.attribute_names)} attributes."
        )


def _kind_of(faces: Faces) -> str:
    return "faces" if faces.name == "faces" else f"{faces.name} faces"


SPLIT_NAMES = ("for training", "for validation", "for testing")


@dataclass(frozen=True)
class Download:
    """Fetch CelebA (1.4 GB) and check it; for non-commercial research and education only."""

    dataset: Positional[Literal["celeba"]]
    """What to fetch."""
    out: Path = Path("celeba")
    """Folder for the files; name it in CELEBA_ROOT or --data afterwards."""
    source: Literal["torchvision", "kaggle"] = "torchvision"
    """torchvision: Google Drive, as torchvision.datasets.CelebA. kaggle: through kagglehub."""
    url: str | None = None
    """Any mirror of img_align_celeba.zip, http or https, instead of the source."""
    md5: str | None = None
    """The zip's MD5 where it is not the one that torchvision publishes; any: do not compare."""

    def run(self) -> None:
        from vae_lib.faces.download import download_celeba

        download_celeba(self.out, source=self.source, url=self.url, md5=self.md5)


@dataclass(frozen=True)
class Train:
    """Train a VAE. Without faces at hand it trains on synthetic ones.

    The folder given with --out gets the weights (vae_celeba.pth, vae_beta_4.pth, ...), the loss
    curve (training_loss.png), reconstructions (reconstruction_results.png), a grid of samples and
    of reconstructions per epoch, and every number (history.jsonl). Stop it whenever you like: the
    same command with --resume goes on.

    Several GPUs or machines: torchrun --nproc-per-node=N -m vae_lib train ... The batch is shared
    among the processes; BatchNorm's statistics are those of each process's share.
    """

    config: OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)
    source: OmitArgPrefixes[FacesChoice] = field(default_factory=FacesChoice)
    out: Path = Path("runs/vae")
    """Folder for everything that the run writes."""
    resume: bool = False
    """Go on with the run in --out."""
    device: str | None = None
    """cuda, mps or cpu; the fastest one if left out."""
    checkpoint_seconds: float = 60.0
    """At most about this much training is lost when the machine stops."""

    def run(self) -> None:
        from vae_lib.devices import choose_device, join_processes, leave_processes
        from vae_lib.training import Event, Training, train

        out = self.out.expanduser()
        rank, joined = join_processes(self.device)
        device, reason = choose_device(joined)
        faces = self.source.open(quiet=rank != 0)
        if rank != 0:
            train(self.config, faces, out, resume=self.resume, device=device)
            leave_processes()
            return
        from vae_lib.training.watch import EpochGrids, ProgressLine, write_results

        def announce(training: Training, event: Event) -> None:
            if event == "start":
                print(
                    f"Training on {len(training.train_images):,} {_kind_of(faces)} with "
                    f"{self.config.setting.label}, up to epoch {self.config.epochs}."
                )

        print(reason)
        with ProgressLine() as progress:
            training = train(
                self.config,
                faces,
                out,
                resume=self.resume,
                device=device,
                callbacks=[announce, progress, EpochGrids(out, faces)],
                checkpoint_seconds=self.checkpoint_seconds,
            )
        write_results(out, training)
        leave_processes()


@dataclass(frozen=True)
class Sweep:
    """Train and test one model for each beta (or capacity) and seed.

    Each finished run leaves its results, beta_4_seed_0.json, beside its folder. Stop it whenever
    you like: the same command skips runs whose results stand and goes on with the one it was in.
    On synthetic faces, whose factors are known, disentanglement is measured too.
    """

    config: OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)
    betas: tuple[float, ...] = (1, 4, 10)
    """Weights of the KL or, with beta-tcvae, of the total correlation."""
    capacities: tuple[float, ...] = (25,)
    """With capacity, which reads no betas: the nats that the KL is led to."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds; all betas are trained with the first before the second begins."""
    source: OmitArgPrefixes[FacesChoice] = field(default_factory=FacesChoice)
    out: Path = Path("runs/sweep")
    """Folder for results and runs."""
    device: str | None = None
    """cuda, mps or cpu; the fastest one if left out."""
    remeasure: bool = False
    """Measure finished runs anew, without training, from the weights in their folders."""

    def run(self) -> None:
        from vae_lib.devices import choose_device
        from vae_lib.study.sweep import sweep
        from vae_lib.training.watch import EpochGrids, ProgressLine

        setting, seed = self.config.setting, self.config.seed
        several = PLURALS.get(setting.parameter)
        plain = TrainConfig(objective=setting.objective)
        if (several and setting != plain.setting) or seed != TrainConfig.seed:
            one = (
                f"--{setting.parameter} {setting.value:g} and --seed {seed}"
                if several
                else "--seed"
            )
            many = f"--{several} and --seeds, each" if several else "--seeds,"
            raise InputError(f"Found {one}; a sweep reads {many} with one number or several.")
        device, reason = choose_device(self.device)
        faces = self.source.open()
        print(reason)
        with ProgressLine() as progress:
            results = sweep(
                self.config,
                faces,
                self.out.expanduser(),
                getattr(self, several) if several else (setting.value,),
                self.seeds,
                device=str(device),
                remeasure=self.remeasure,
                callbacks=lambda folder: [progress, EpochGrids(folder, faces)],
            )
        print(f"{setting.parameter:>8}  seed  excess nats  KL nats  active  PSNR dB   SSIM")
        for result in results:
            test = result["test"]
            at = result.get("measured_at_beta")
            print(
                f"{setting_of(result).value:>8g}  {result['identity']['seed']:>4}  "
                f"{test['excess']:>11.1f}  {test['kl']:>7.1f}  {test['active_01']:>6}  "
                f"{test['psnr']:>7.2f}  {test['ssim']:.3f}" + (f"  at β = {at:g}" if at else "")
            )


@dataclass(frozen=True)
class Rescore:
    """Score runs of a sweep on drawn faces again, from the codes that they left."""

    runs: Positional[tuple[Path, ...]]
    """Results of runs, such as runs/sweep/beta_4_seed_0.json; their scores are replaced."""

    def run(self) -> None:
        from vae_lib.study.sweep import rescore

        for file in self.runs:
            scores = rescore(file.expanduser())["disentanglement"]
            print(f"{file}: MIG {scores['mig']:.3f}, SAP {scores['sap']:.3f}")


@dataclass(frozen=True)
class Evaluate:
    """Measure a model on images that it was not trained on, in nats and dB."""

    weights: Positional[str]
    """A .pth file that vae train wrote, or the name of a model in the box (vae_celeba, ...)."""
    source: OmitArgPrefixes[FacesChoice] = field(default_factory=FacesChoice)
    split: Literal["train", "valid", "test"] = "test"
    """Which part of the faces; every image of it is measured."""
    card_images: bool = False
    """Measure only the CelebA images that the model cards name."""
    beta: float | None = None
    """For a network that was trained for every beta of a range: at which one."""
    json: Path | None = None
    """Write the measures to this file too."""
    seed: int = 0
    """Seeds the one posterior sample per image."""
    device: str | None = None
    """cuda, mps or cpu; the fastest one if left out."""

    def run(self) -> None:
        from vae_lib.devices import choose_device
        from vae_lib.evaluation import evaluate
        from vae_lib.files import write_atomically
        from vae_lib.pretrained import image_ids, load_model

        check_seed(self.seed)
        model = load_model(self.weights, choose_device(self.device)[0])
        faces = self.source.open()
        if self.card_images:
            faces = faces.named(image_ids()[self.split])
        images = faces.split(self.split).images
        measures = evaluate(model, images, beta=self.beta, seed=self.seed, ssim=True).flat()
        for name, value in measures.items():
            print(
                f"{name:<15} {value:>12,.4f}"
                if isinstance(value, float)
                else f"{name:<15} {value:>12,}"
            )
        if self.json is not None:
            write_atomically(self.json, (json.dumps(measures, indent=2) + "\n").encode())


@dataclass(frozen=True)
class Plot:
    """Draw what a model does: reconstructions, samples, an interpolation or traversals."""

    weights: Positional[str]
    """A .pth file that vae train wrote, or the name of a model in the box (vae_celeba, ...)."""
    kind: Positional[Literal["reconstructions", "samples", "interpolation", "traversal"]]
    """What to draw."""
    source: OmitArgPrefixes[FacesChoice] = field(default_factory=FacesChoice)
    split: Literal["train", "valid", "test"] = "test"
    """Which faces are reconstructed and interpolated."""
    out: Path | None = None
    """The picture to write (.png, .pdf, .svg); by default the kind's name in this folder."""
    seed: int = 0
    """Chooses the samples and the faces."""

    def run(self) -> None:
        import torch

        from vae_lib import figures
        from vae_lib.checkpoint import validation_kl
        from vae_lib.latent import encode_images
        from vae_lib.model import check_finite
        from vae_lib.pretrained import load_model
        from vae_lib.training.watch import save_figure

        check_seed(self.seed)
        model = load_model(self.weights)
        check_finite(model)
        if self.kind == "samples":
            figure = figures.samples(model, seed=self.seed)
        elif self.kind == "traversal":
            kl = validation_kl(model.metadata, model.config.latent_size)
            if kl is None:
                raise InputError(
                    f"{self.weights} does not say what its dimensions carry; traversals are sorted "
                    "by that. Use weights that vae train wrote."
                )
            figure = figures.traversals(model, kl)
        else:
            images = self.source.open().split(self.split).images
            generator = torch.Generator().manual_seed(self.seed)
            chosen = images[torch.randperm(len(images), generator=generator)[:10].sort()[0].numpy()]
            if self.kind == "reconstructions":
                figure = figures.reconstructions(model, chosen)
            else:
                if len(chosen) < 2:
                    raise InputError(
                        f"The {self.split} split holds {len(chosen)} face; an interpolation needs "
                        "two. Choose another --split."
                    )
                a, b = torch.from_numpy(encode_images(model, chosen)[0][:2])
                figure = figures.interpolation(model, a, b)
        save_figure(self.out or Path(f"{self.kind}.png"), figure)


@dataclass(frozen=True)
class Compare:
    """Runs beside each other: a table and a figure of what their validation faces measured."""

    runs: Positional[tuple[Path, ...]]
    """Folders that vae train or vae sweep wrote, of the same faces."""
    out: Path = Path("compare.png")
    """The figure to write (.png, .pdf, .svg)."""
    csv: Path | None = None
    """Write the table here too."""

    def run(self) -> None:
        from vae_lib.files import write_csv
        from vae_lib.study import folders
        from vae_lib.training.watch import save_figure

        runs = folders.read_folders(self.runs)
        rows = folders.comparison_rows(runs)
        print(*folders.comparison_lines(rows), sep="\n")
        if self.csv:
            write_csv(self.csv, [*rows[0]], [[*row.values()] for row in rows])
        save_figure(self.out, folders.comparison(runs))


@dataclass(frozen=True)
class Explore:
    """Sliders that move a face, in your browser: one page, without Jupyter and without a network.

    Without --out the page goes to a temporary place and opens. Mail it, or put it online: all of
    it is in the one file.
    """

    models: Positional[tuple[str, ...]] = ("vae_celeba",)
    """Names of models in the box, or .pth files; several are moved together."""
    source: OmitArgPrefixes[FacesChoice] = field(default_factory=FacesChoice)
    out: Path | None = None
    """Write the page here (.html) instead, and do not open it."""
    open: bool = False
    """Open it although --out is given."""
    with_encoder: bool = False
    """Put the encoders in too, so that the page can start from a photo."""

    def run(self) -> None:
        from vae_lib.explorer import explore
        from vae_lib.explorer.page import open_in_browser, temporary_page

        asked = self.source.data is not None or self.source.faces != "auto"
        explorer = explore(self.models, faces=self.source.open() if asked else None, device="cpu")
        name = "-".join(dict.fromkeys(Path(model).stem for model in self.models))[:100]
        page = explorer.save(self.out or temporary_page(name), with_encoder=self.with_encoder)
        for problem in explorer.problems:
            say(problem)
        opened = (self.open or self.out is None) and open_in_browser(page)
        told = "is open in your browser" if opened else "is to be opened in a browser"
        print(f"{page} ({page.stat().st_size / 1e6:.1f} MB) {told}.")


@dataclass(frozen=True)
class Student:
    """Write the notebooks as students get them: without solutions and without answers."""

    out: Positional[Path]
    """Folder for them."""
    notebooks: Path | None = None
    """Where the course's notebooks are; by default in this checkout."""

    def run(self) -> None:
        from vae_lib.course.handins import NOTEBOOKS, write_student_editions

        for path in write_student_editions(self.out, self.notebooks or NOTEBOOKS):
            print(path)


@dataclass(frozen=True)
class Grade:
    """Run hand-ins and write what their checks say as a CSV: file, exercise, verdict, seconds.

    This runs students' code on this machine, with your rights: in a scratch folder and without
    your environment's variables, but it can read your files and reach the network.
    """

    folder: Positional[Path]
    """With the notebooks that were handed in; other files are rows too."""
    out: Path = Path("grades.csv")
    """The CSV."""
    seconds: float = 300.0
    """For one notebook, all its cells together."""

    def run(self) -> None:
        from vae_lib.course.handins import grade, write_grades

        say("this runs students' code on this machine, with your rights.")
        grades = []
        for one in grade(self.folder, self.seconds):
            grades.append(one)
            print(f"{one.file}: {one.exercise + ' ' if one.exercise else ''}{one.verdict}")
            write_grades(self.out, grades)  # what was had is kept


@dataclass(frozen=True)
class Course:
    """For teachers: what students get, and what they hand in."""

    command: OmitSubcommandPrefixes[
        Annotated[Student, subcommand("student")] | Annotated[Grade, subcommand("grade")]
    ]

    def run(self) -> None:
        self.command.run()


def refuse_unread(arguments: list[str], config: TrainConfig) -> None:
    """Refuse numbers that the objective does not read, given at their defaults too."""
    read = objective_named(config.objective).parameters
    given = {argument.partition("=")[0] for argument in arguments}
    for name in DEFAULTS.keys() - read:
        if found := {f"--{name}", f"--{PLURALS.get(name, name)}"} & given:
            way = "leave --beta-range out" if config.beta_range else "choose another objective"
            raise InputError(
                f"Found {found.pop()}, but the objective {config.objective} has none; leave it "
                f"out, or {way}."
            )


Command = (
    Annotated[Prepare, subcommand("prepare")]
    | Annotated[Download, subcommand("download")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Sweep, subcommand("sweep")]
    | Annotated[Rescore, subcommand("rescore")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Plot, subcommand("plot")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Explore, subcommand("explore")]
    | Annotated[Course, subcommand("course")]
)


def main(arguments: list[str] | None = None) -> int:
    """Run the ``vae`` command; the exit code: 0, 1 training stopped, 2 bad input, 130 Ctrl-C."""
    warnings.formatwarning = lambda message, *_: f"vae: {message}\n"
    spell_what_consoles_lack()
    try:
        command = tyro.cli(Command, prog="vae", args=arguments, description=__doc__)
        if isinstance(command, Train | Sweep):
            refuse_unread(sys.argv[1:] if arguments is None else arguments, command.config)
        with quiet_interrupts():
            import torch  # noqa: F401
        command.run()
        return 0
    except InputError as error:
        sentence, code = str(error), 2
    except TrainingStopped as error:
        sentence, code = str(error), 1
    except KeyboardInterrupt:
        sentence, code = INTERRUPTED, 130
    except BrokenPipeError:  # whoever read the output, as in `vae … | head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    say(sentence)
    return code
