"""vae compare: folders of runs beside each other."""

import csv
import json
from dataclasses import replace
from shutil import copytree

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SMALL, small_faces
from vae_lib import evaluate, load_weights, train
from vae_lib.cli import main
from vae_lib.errors import InputError
from vae_lib.faces import Faces
from vae_lib.study.folders import comparison, comparison_lines, comparison_rows, read_folders
from vae_lib.training import TrainConfig

CONFIG = TrainConfig(epochs=2, batch_size=8, model=SMALL)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two runs on the same faces: β = 1 in two epochs, and β = 4 in one."""
    folder = tmp_path_factory.mktemp("runs")
    train(CONFIG, small_faces(), folder / "a", device="cpu")
    train(replace(CONFIG, beta=4.0, epochs=1, seed=3), small_faces(), folder / "b", device="cpu")
    return [folder / "a", folder / "b"]


def test_a_row_says_what_evaluating_the_weights_says(two):
    rows = comparison_rows(read_folders(two))
    assert [(r["run"], r["setting"], r["seed"], r["epochs"], r["of"]) for r in rows] == [
        ("a", "β = 1", 0, 2, 2),
        ("b", "β = 4", 3, 1, 1),
    ]
    for row, folder in zip(rows, two, strict=True):
        (weights,) = folder.glob("*.pth")
        found = evaluate(load_weights(weights), small_faces().split("valid").images)
        for name in ("excess", "kl", "active_01", "psnr"):
            assert row[name] == pytest.approx(getattr(found, name), rel=1e-5)
    assert "mig" not in rows[0]


def test_the_figure_has_a_line_and_a_dot_for_each_run(two):
    runs = read_folders(two)
    figure = comparison(runs)
    for axes, name in zip(figure.axes, ("excess", "kl"), strict=False):
        drawn = [line.get_ydata() for line in axes.lines if len(line.get_ydata())]
        for values, run in zip(drawn, runs, strict=True):
            np.testing.assert_array_equal(values, [record[name] for record in run.valid])
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in figure.axes[2].lines]
    assert dots == [(run.measures["kl"], run.measures["psnr"]) for run in runs]
    assert [text.get_text() for text in figure.axes[2].texts] == ["a", "b"]


def test_the_command_prints_a_table_and_writes_a_figure_and_a_csv(two, tmp_path, capsys):
    out, table = tmp_path / "new" / "c.png", tmp_path / "c.csv"
    assert main(["compare", *map(str, two), "--out", str(out), "--csv", str(table)]) == 0
    header, *lines = capsys.readouterr().out.splitlines()[:3]
    assert header.split()[:4] == ["run", "setting", "seed", "epochs"]
    assert [line.split()[0] for line in lines] == ["a", "b"]
    assert Image.open(out).size[0] > 1000
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [float(row["kl"]) for row in rows] == [
        r["kl"] for r in comparison_rows(read_folders(two))
    ]


def test_scores_of_a_sweep_stand_beside_its_run_and_a_dash_where_there_are_none(two, tmp_path):
    a, b = (copytree(folder, tmp_path / folder.name) for folder in two)
    (tmp_path / "b.json").write_text(json.dumps({"disentanglement": {"mig": 0.25}}))
    rows = comparison_rows(read_folders([a, b]))
    assert [row["mig"] for row in rows] == [None, 0.25]
    assert [line.split()[-1] for line in comparison_lines(rows)] == ["MIG", "–", "0.250"]


def test_folders_of_one_name_are_told_apart(two, tmp_path):
    again = [copytree(two[0], tmp_path / who / "run") for who in ("ann", "bob")]
    assert [run.name for run in read_folders(again)] == ["ann/run", "bob/run"]


class PowerCut(Exception):
    pass


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_run_that_was_cut_counts_the_epochs_that_its_weights_have(two, tmp_path, epoch):
    def fall(run, event):
        if event == "steps" and run.epoch == epoch:
            raise PowerCut

    with pytest.raises(PowerCut):
        train(CONFIG, small_faces(), tmp_path, device="cpu", callbacks=[fall])
    if epoch == 0:
        with pytest.raises(InputError, match="at least one epoch is finished"):
            read_folders([tmp_path, two[0]])
        return
    with (tmp_path / "history.jsonl").open("a") as file:  # written after the last checkpoint
        later = {"kind": "epoch", "split": "valid", "epoch": 2, "kl": 0, "excess": 0, "psnr": 0}
        file.write(json.dumps(later) + "\n")
    row = comparison_rows(read_folders([tmp_path, two[0]]))[0]
    assert (row["epochs"], row["of"]) == (1, 2)
    assert row["kl"] > 0
    assert "1 of 2" in comparison_lines([row])[1]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda a, b, t: [a], "Found 1 run; give two or more"),
        (lambda a, b, t: [a, b, a], "is given twice"),
        (lambda a, b, t: [a, t / "nothing"], "is no folder; give the folder of a run"),
        (lambda a, b, t: [a, t], "holds no weights; give"),
        (lambda a, b, t: [a, t / "others"], "numbers of different faces"),
        (lambda a, b, t: [a, t / "damaged"], "were changed ('excess'). Restore them."),
        (lambda a, b, t: [a, t / "scored"], "scored.json is no result of vae sweep"),
    ],
)
def test_what_cannot_be_compared_is_told(two, tmp_path, given, told, capsys):
    images = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)
    if told.startswith("numbers"):
        train(
            replace(CONFIG, epochs=1), Faces.from_arrays(images), tmp_path / "others", device="cpu"
        )
    if told.startswith("were"):
        history = copytree(two[0], tmp_path / "damaged") / "history.jsonl"
        history.write_text(history.read_text().replace('"excess"', '"success"'))
    if told.startswith("scored"):
        copytree(two[1], tmp_path / "scored")
        (tmp_path / "scored.json").write_text("{")
    arguments = list(map(str, given(*two, tmp_path)))
    assert main(["compare", *arguments, "--out", str(tmp_path / "c.png")]) == 2
    assert told in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "c.png").exists()
