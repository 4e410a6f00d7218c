"""The loop: it learns, it repeats, and it can be killed at any moment."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import SMALL
from vae_lib import checkpoint, files
from vae_lib.checkpoint import load_weights
from vae_lib.config import OBJECTIVES
from vae_lib.errors import InputError, TrainingStopped
from vae_lib.faces import open_faces
from vae_lib.objective import beta_tcvae_objective
from vae_lib.training import TrainConfig, Training, loop, run_folder, train

CONFIG = TrainConfig(epochs=2, batch_size=8, model=SMALL)  # 20 steps per epoch
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def look_often(monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 6)


def without_speed(history: list[dict]) -> list[dict]:
    """The history, which repeats bit by bit except for how fast it went."""
    return [{k: v for k, v in record.items() if k != "images_per_second"} for record in history]


def on_disk(out: Path) -> list[dict]:
    return without_speed(map(json.loads, (out / "history.jsonl").read_text().splitlines()))


def weights(run: Training) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def same_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, b[name]) for name, value in a.items())


@pytest.fixture(scope="module")
def finished(faces, tmp_path_factory):
    """An uninterrupted run and its folder."""
    out = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOG_EVERY", 6)
        return train(CONFIG, faces, out, device="cpu", checkpoint_seconds=0), out


def test_training_lowers_the_loss(faces):
    run = train(replace(CONFIG, epochs=6), faces, device="cpu")
    valid = [r for r in run.history if r.get("split") == "valid"]
    assert valid[-1]["excess"] < 0.85 * valid[0]["excess"]
    assert valid[-1]["psnr"] > valid[0]["psnr"] + 0.5


def test_the_history_holds_every_step_and_both_splits_of_every_epoch(finished):
    run, out = finished
    steps = [r for r in run.history if r["kind"] == "step"]
    assert [r["step"] for r in steps] == list(range(1, 41))
    for record in steps:
        assert record["loss"] == pytest.approx(record["reconstruction"] + record["kl"], rel=1e-6)
    epochs = [r for r in run.history if r["kind"] == "epoch"]
    assert [(r["epoch"], r["split"]) for r in epochs] == [
        (1, "train"), (1, "valid"), (2, "train"), (2, "valid"),
    ]  # fmt: skip
    for record in epochs:
        assert len(record["kl_per_dimension"]) == 6
        assert sum(record["kl_per_dimension"]) == pytest.approx(record["kl"])
        assert record["images_per_second"] > 0
    assert on_disk(out) == json.loads(json.dumps(without_speed(run.history)))


def test_the_weights_in_the_folder_are_the_trained_ones(finished, faces):
    run, out = finished
    loaded = load_weights(out / "vae_synthetic.pth")
    metadata = loaded.metadata
    assert same_weights(loaded.state_dict(), weights(run))
    assert metadata["recipe"]["beta"] == 1.0
    assert metadata["epoch"] == 2
    assert metadata["train_images"] == len(faces.split("train"))
    assert metadata["validation"]["psnr"] == run.history[-1]["psnr"]
    assert json.loads(json.dumps(run.model.metadata)) == metadata


def test_a_trained_model_is_in_eval_mode(finished):
    assert not any(layer.training for layer in finished[0].model.modules())


def test_one_seed_repeats_a_run_and_another_does_not(finished, faces):
    run, _ = finished
    again = train(CONFIG, faces, device="cpu")
    assert same_weights(weights(again), weights(run))
    assert without_speed(again.history) == without_speed(run.history)
    other = train(replace(CONFIG, seed=1), faces, device="cpu")
    assert not same_weights(weights(other), weights(run))


def test_training_leaves_the_global_random_numbers_alone(faces):
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    train(replace(CONFIG, epochs=1), faces, device="cpu")
    assert torch.equal(before, torch.get_rng_state())
    assert (numpys == np.random.get_state()[1]).all()  # noqa: NPY002


def test_callbacks_see_looks_and_epochs_and_may_leave_the_model_in_eval_mode(finished, faces):
    seen = []

    def watch(run, event):
        seen.append((event, run.step))
        run.model.eval()

    run = train(CONFIG, faces, device="cpu", callbacks=[watch])
    looks = [("steps", 6), ("steps", 12), ("steps", 18), ("steps", 20), ("epoch", 20)]
    assert seen == [("start", 0)] + looks + [(event, step + 20) for event, step in looks]
    assert same_weights(weights(run), weights(finished[0]))


class PowerCut(BaseException):
    """Not an Exception, so that nothing on the way handles it."""


@pytest.mark.filterwarnings("ignore:No checkpoint was written yet")
@pytest.mark.parametrize("blow", range(1, 32, 2))
def test_a_run_cut_at_any_write_resumes_bit_by_bit(finished, faces, tmp_path, monkeypatch, blow):
    """fsync is called before and after each rename: a cut there leaves every possible mixture."""
    calls = 0
    real = os.fsync

    def fsync(handle):
        nonlocal calls
        calls += 1
        if calls == blow:
            raise PowerCut
        real(handle)

    for module in (files, run_folder):
        monkeypatch.setattr(module.os, "fsync", fsync)
    with pytest.raises(PowerCut):
        train(CONFIG, faces, tmp_path, device="cpu", checkpoint_seconds=0)
    monkeypatch.undo()
    resumed = train(CONFIG, faces, tmp_path, resume=True, device="cpu", checkpoint_seconds=0)
    assert same_weights(weights(resumed), weights(finished[0]))
    assert same_weights(
        load_weights(tmp_path / "vae_synthetic.pth").state_dict(), weights(finished[0])
    )
    assert on_disk(tmp_path) == on_disk(finished[1])


KILLED = """
import sys
from pathlib import Path
import torch
from tests.conftest import small_faces
from tests.training.test_loop import CONFIG
from vae_lib.training import loop
torch.set_num_threads(int(sys.argv[2]))
loop.LOG_EVERY = 6
loop.train(CONFIG, small_faces(), Path(sys.argv[1]), device="cpu", checkpoint_seconds=0,
               callbacks=[lambda run, event: print(event, run.step, flush=True) or
                          __import__("time").sleep(0.2)])
"""


def test_a_run_killed_with_sigkill_in_mid_epoch_resumes_bit_by_bit(finished, faces, tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "run"), str(torch.get_num_threads())],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in child.stdout:
        if line == "steps 32\n":
            break
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not list((tmp_path / "run").glob("*.png"))
    resumed = train(CONFIG, faces, tmp_path / "run", resume=True, device="cpu")
    assert same_weights(weights(resumed), weights(finished[0]))
    assert on_disk(tmp_path / "run") == on_disk(finished[1])


def test_a_finished_run_can_be_resumed_for_more_epochs(finished, faces, tmp_path):
    train(CONFIG, faces, tmp_path, device="cpu")
    train(CONFIG, faces, tmp_path, resume=True, device="cpu")
    assert on_disk(tmp_path) == on_disk(finished[1])
    longer = train(replace(CONFIG, epochs=3), faces, tmp_path, resume=True, device="cpu")
    at_once = train(replace(CONFIG, epochs=3), faces, device="cpu")
    assert same_weights(weights(longer), weights(at_once))


def test_a_run_is_never_overwritten_nor_continued_with_another_recipe(finished, faces):
    _, out = finished
    before = {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()}
    with pytest.raises(InputError, match="already holds a run"):
        train(CONFIG, faces, out, device="cpu")
    other = replace(CONFIG, beta=4.0, batch_size=4)
    with pytest.raises(
        InputError, match=r"batch_size is 8 there and 4 here, beta is 1.0 there and 4.0 here"
    ):
        train(other, faces, out, resume=True, device="cpu")
    with pytest.raises(InputError, match="faces is 'synthetic small' there and 'synthetic other'"):
        train(CONFIG, replace(faces, fingerprint="other"), out, resume=True, device="cpu")
    assert before == {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()}


def test_a_beta_vaes_checkpoint_is_identified_as_before_there_were_other_objectives(finished):
    content = checkpoint.load(finished[1] / "checkpoint.pt", checkpoint.RUN_STATE)
    recipe = {
        "beta": 1.0, "batch_size": 8, "learning_rate": 1e-3, "seed": 0, "flips": True,
        "compile": False,
    }  # fmt: skip
    shape = {"image_size": 64, "channels": (4, 8, 8, 8), "latent_size": 6}
    assert content["identity"] == recipe | shape | {"faces": "synthetic small"}
    metadata = load_weights(finished[1] / "vae_synthetic.pth").metadata
    assert metadata["recipe"] == recipe | {"epochs": 2}


CAPACITY = replace(CONFIG, objective="capacity", capacity=12.0, gamma=50.0, rise=0.5)
TCVAE = replace(CONFIG, objective="beta-tcvae", beta=6.0)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (CAPACITY, "vae_synthetic_capacity_12.pth"),
        (TCVAE, "vae_synthetic_tcvae_6.pth"),
        (replace(CONFIG, beta=2.0, cycle=True), "vae_synthetic_beta_2.pth"),
    ],
)
def test_other_objectives_resume_bit_by_bit_under_names_of_their_own(faces, tmp_path, config, name):
    def cut(run, event):
        if run.step == 12:
            raise PowerCut

    at_once = train(config, faces, device="cpu")
    with pytest.raises(PowerCut):
        train(config, faces, tmp_path, device="cpu", callbacks=[cut], checkpoint_seconds=0)
    train(config, faces, tmp_path, resume=True, device="cpu")
    loaded = load_weights(tmp_path / name)
    metadata = loaded.metadata
    assert same_weights(loaded.state_dict(), weights(at_once))
    assert metadata["recipe"] == config.recipe()
    assert ("beta" in metadata["recipe"]) == (config is not CAPACITY)


def test_one_cycle_of_the_rate_is_pytorchs(faces):
    total, config = 10_000, replace(CONFIG, learning_rate=4e-3, cycle=True)
    adam = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        adam, 4e-3, total, pct_start=0.25, div_factor=100, final_div_factor=1
    )
    for step in range(total):
        (expected,) = schedule.get_last_lr()
        assert config.rate_at(step / total) == pytest.approx(expected, abs=4e-6)
        adam.step()
        if step < total - 1:
            schedule.step()
    run, rates = Training(config, faces, "cpu"), []
    take = run.optimizer.step

    def noted():
        rates.append(run.optimizer.param_groups[0]["lr"])
        take()

    run.optimizer.step = noted
    list(run.steps())
    whole = config.epochs * run.steps_per_epoch
    expected = [config.rate_at(step / whole) for step in range(run.steps_per_epoch)]
    np.testing.assert_allclose(rates, expected, rtol=1e-7)


def test_a_cycle_that_is_over_is_no_shorter_one(faces, tmp_path):
    config = replace(CONFIG, cycle=True)
    train(replace(config, epochs=1), faces, tmp_path, device="cpu")
    with pytest.raises(InputError, match="epochs"):
        train(config, faces, tmp_path, resume=True, device="cpu")


def test_capacity_rises_over_its_share_and_weighs_the_distance_from_it(faces):
    run = train(CAPACITY, faces, device="cpu")
    steps = [r for r in run.history if r["kind"] == "step"]
    for record in steps:  # 40 steps, of which 20 rise
        target = 12 * min(1, (record["step"] - 1) / 20)
        expected = record["reconstruction"] + 50 * abs(record["kl"] - target)
        assert record["loss"] == pytest.approx(expected, rel=1e-5)
    at_once = Training(replace(CAPACITY, rise=0.0), faces, "cpu")
    assert at_once.scheduled() == {"capacity": 12}


def test_capacity_leads_the_kl_where_a_vaes_would_not_go(faces):
    runs = [
        train(config, faces, device="cpu")
        for config in (replace(CAPACITY, epochs=5, capacity=3.0), replace(CONFIG, epochs=5))
    ]
    led, free = (
        np.mean([r["kl"] for r in run.history if r["kind"] == "step"][-20:]) for run in runs
    )
    assert abs(led - 3) < 0.5
    assert free > 5


def test_a_capacity_that_rose_over_ten_epochs_does_not_go_on_for_twelve(faces, tmp_path):
    train(CAPACITY, faces, tmp_path, device="cpu")
    with pytest.raises(InputError, match="epochs is 2 there and 3 here"):
        train(replace(CAPACITY, epochs=3), faces, tmp_path, resume=True, device="cpu")


def test_tcvae_with_beta_one_is_the_plain_vae(finished, faces):
    run = train(replace(TCVAE, beta=1.0), faces, device="cpu")
    assert same_weights(weights(run), weights(finished[0]))


def test_tcvae_compares_the_draws_that_were_decoded(faces, monkeypatch):
    decoded, seen = [], []

    def loss(logits, x, mu, logvar, z, beta, images):
        seen.append((z, beta, images))
        return beta_tcvae_objective(logits, x, mu, logvar, z, beta, images)

    entry = replace(OBJECTIVES["beta-tcvae"], loss=loss)
    monkeypatch.setitem(OBJECTIVES, "beta-tcvae", entry)
    run = Training(TCVAE, faces, "cpu")
    real = run.model.decode_logits
    monkeypatch.setattr(run.model, "decode_logits", lambda z: (decoded.append(z), real(z))[1])
    run.take_step(*run.inputs(torch.arange(8)))
    assert torch.equal(decoded[0], seen[0][0])
    assert seen[0][1:] == (6.0, 160)


def test_tcvae_needs_two_faces_in_each_process(faces):
    run = Training(replace(TCVAE, batch_size=2), faces, "cpu")
    run.world = 2
    with pytest.raises(InputError, match="use a --batch-size of 4 or more"):
        run._check_sizes()


def test_resuming_where_nothing_is_says_so(faces, tmp_path):
    with pytest.raises(InputError, match="There is no run to resume"):
        train(CONFIG, faces, tmp_path / "missing", resume=True, device="cpu")
    assert not (tmp_path / "missing").exists()


def test_a_run_without_its_checkpoint_is_not_started_over(faces, tmp_path):
    train(replace(CONFIG, epochs=1), faces, tmp_path, device="cpu")
    (tmp_path / "checkpoint.pt").unlink()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(InputError, match=r"vae_synthetic.pth, history.jsonl but no checkpoint.pt"):
        train(CONFIG, faces, tmp_path, resume=True, device="cpu")
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


def test_what_a_killed_write_left_behind_is_removed(faces, tmp_path):
    train(replace(CONFIG, epochs=1), faces, tmp_path, device="cpu")
    for name in (".checkpoint.pt.abc.part", ".vae_synthetic.pth.xyz.part", "notes.txt"):
        (tmp_path / name).write_text("half")
    train(CONFIG, faces, tmp_path, resume=True, device="cpu")
    assert {file.name for file in tmp_path.iterdir()} == {
        ".lock", "checkpoint.pt", "history.jsonl", "vae_synthetic.pth", "notes.txt",
    }  # fmt: skip


def test_a_history_that_lost_lines_is_refused(faces, tmp_path):
    train(replace(CONFIG, epochs=1), faces, tmp_path, device="cpu")
    (tmp_path / "history.jsonl").write_text("")
    with pytest.raises(InputError, match="changed since"):
        train(CONFIG, faces, tmp_path, resume=True, device="cpu")


def test_another_number_of_threads_is_told(faces, tmp_path):
    train(replace(CONFIG, epochs=1), faces, tmp_path, device="cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.warns(UserWarning, match=f"threads is {threads} there and {threads + 1} here"):
            train(CONFIG, faces, tmp_path, resume=True, device="cpu")
    finally:
        torch.set_num_threads(threads)


def test_two_processes_cannot_write_one_run(faces, tmp_path):
    holder = run_folder.RunFolder(tmp_path, "vae_synthetic.pth", resume=False)
    with pytest.raises(InputError, match="Another process is training"):
        train(CONFIG, faces, tmp_path, device="cpu")
    holder.lock.release()
    train(replace(CONFIG, epochs=1), faces, tmp_path, device="cpu")


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(faces, tmp_path):
    def poison(run, event):
        if run.step == 12:
            with torch.no_grad():
                run.model.to_mu.bias.fill_(math.nan)

    with pytest.raises(TrainingStopped, match=r"nan at step 13 .*step 12.* smaller learning rate"):
        train(CONFIG, faces, tmp_path, device="cpu", callbacks=[poison], checkpoint_seconds=0)
    state = checkpoint.load(tmp_path / "checkpoint.pt", checkpoint.RUN_STATE)["state"]
    assert state["step"] == 12
    assert all(bool(value.isfinite().all()) for value in state["model"].values())
    resumed = train(CONFIG, faces, tmp_path, resume=True, device="cpu")
    assert resumed.epoch == 2


def test_weights_that_are_no_numbers_never_replace_a_good_checkpoint(faces, tmp_path):
    def poison(run, event):
        if event == "steps" and run.step == 20:
            with torch.no_grad():
                run.model.decoder[-1].bias.fill_(math.inf)

    with pytest.raises(TrainingStopped, match="A weight became NaN or infinite at step 20"):
        train(replace(CONFIG, epochs=1), faces, tmp_path, device="cpu", callbacks=[poison])
    assert not (tmp_path / "vae_synthetic.pth").exists()


def test_a_batch_larger_than_the_split_is_refused(faces):
    with pytest.raises(InputError, match="batch of 512 is larger than the training split of 160"):
        train(replace(CONFIG, batch_size=512), faces, device="cpu")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"beta": -1.0}, "beta is -1"),
        ({"beta": math.nan}, "beta is nan"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 1}, "BatchNorm"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"seed": -3}, "seed"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"objective": "vae"}, "no objective 'vae'; use one of beta-vae, beta-tcvae, capacity"),
        ({"capacity": 20.0}, "the objective beta-vae has none; .* choose the objective capacity"),
        (
            {"objective": "capacity", "beta": 4.0},
            "beta is 4, but the objective capacity has none; .* objective beta-vae or beta-tcvae",
        ),
        ({"objective": "capacity", "capacity": -1.0}, "capacity is -1"),
        ({"objective": "capacity", "capacity": math.inf}, "capacity is inf"),
        ({"objective": "capacity", "gamma": 0.0}, "gamma is 0"),
        ({"objective": "capacity", "rise": 1.5}, "rise is 1.5"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(options, word):
    with pytest.raises(InputError, match=word):
        TrainConfig(**options)


def test_flips_mirror_about_half_of_the_faces_and_nothing_else(faces):
    run = Training(CONFIG, faces, "cpu")
    rows = torch.arange(8)
    flips = torch.cat([run.inputs(rows)[1] for _ in range(100)])
    assert 0.45 < flips.float().mean() < 0.55
    unflipped = Training(replace(CONFIG, flips=False), faces, "cpu")
    assert not unflipped.inputs(rows)[1].any()


def test_each_epoch_shows_each_face_at_most_once_in_an_order_of_its_own(faces):
    batches = Training(CONFIG, faces, "cpu").batches
    first, second = (torch.cat(list(batches.epoch(8, seed=0, epoch=e))) for e in (0, 1))
    assert sorted(first.tolist()) == list(range(160))
    assert not torch.equal(first, second)
    rest = torch.cat(list(batches.epoch(8, seed=0, epoch=1, skip=5)))
    assert torch.equal(rest, second[40:])


def test_a_compiled_step_computes_what_an_eager_one_does(faces):
    images = torch.from_numpy(faces.images[:8])
    results = []
    for compiled in (False, True):
        run = Training(replace(CONFIG, compile=compiled), faces, "cpu")
        run.take_step.bfloat16 = False  # where bf16 is faster, rounding would hide a difference
        flips, noise = torch.arange(8) % 2 == 0, torch.ones(8, 6)
        results.append([run.take_step(images, flips, noise) for _ in range(3)][-1])
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("config", [CONFIG, CAPACITY, TCVAE, replace(CONFIG, cycle=True)])
def test_a_captured_step_computes_what_an_uncaptured_one_does(faces, config):
    losses = []
    for captured in (False, True):
        run = Training(config, faces, "cuda")
        run.take_step.bfloat16 = False
        run.take_step.capture_next = captured
        list(run.steps())
        assert (run.take_step.graph is not None) == captured
        losses.append([record["loss"] for record in run.history])
    np.testing.assert_allclose(*losses, rtol=1e-3)


TWO_PROCESSES = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from tests.conftest import small_faces
from tests.training.test_loop import CONFIG
from vae_lib.training import Training, train

dist.init_process_group("gloo")
out, faces = Path(sys.argv[1]), small_faces()
run = Training(CONFIG, faces, "cpu")
rows = next(run.batches.epoch(8, seed=0, epoch=0))
run.take_step.losses(*run.inputs(rows)).loss.backward()
torch.save([p.grad for p in run.model.parameters()], out / f"gradients-{run.rank}.pt")
train(CONFIG, faces, out / "run", device="cpu")
dist.destroy_process_group()
"""


def test_two_processes_average_the_gradients_of_their_halves_of_the_batch(faces, tmp_path):
    script = tmp_path / "two_processes.py"
    script.write_text(TWO_PROCESSES)
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         str(script), str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=240,
    )  # fmt: skip
    shared = [torch.load(tmp_path / f"gradients-{rank}.pt") for rank in (0, 1)]

    run = Training(CONFIG, faces, "cpu")
    inputs = run.inputs(next(run.batches.epoch(8, seed=0, epoch=0)))
    halves = []
    for half in (slice(0, 4), slice(4, 8)):
        run.model.zero_grad()
        run.take_step.losses(*(value[half] for value in inputs)).loss.backward()
        halves.append([p.grad.clone() for p in run.model.parameters()])
    for ours, theirs, a, b in zip(*shared, *halves, strict=True):
        assert torch.equal(ours, theirs)
        torch.testing.assert_close(ours, (a + b) / 2, rtol=1e-4, atol=1e-5)

    records = on_disk(tmp_path / "run")
    assert [r["step"] for r in records if r["kind"] == "step"] == list(range(1, 41))
    metadata = load_weights(tmp_path / "run" / "vae_synthetic.pth").metadata
    assert metadata["processes"] == 2
    mine = Training(CONFIG, faces, "cpu")
    inputs = mine.inputs(next(mine.batches.epoch(8, seed=0, epoch=0)))
    of_halves = [
        mine.take_step.losses(*(value[half] for value in inputs)).loss.item()
        for half in (slice(0, 4), slice(4, 8))
    ]
    assert records[0]["loss"] == pytest.approx(np.mean(of_halves), rel=1e-6)


def test_training_needs_nothing_beyond_pytorch_and_numpy():
    heavy = "matplotlib, sklearn, ipywidgets, torchvision, torchmetrics, IPython, scipy"
    code = (
        "import sys, vae_lib.training.loop, vae_lib.faces\n"
        f"print([name for name in {heavy.split(', ')} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert found.strip() == "[]"


def test_the_baseline_learns_real_faces():
    if not (root := os.environ.get("CELEBA_ROOT")):
        pytest.skip("set CELEBA_ROOT to a folder with CelebA")
    faces = open_faces(root)
    few = faces.take(600, 100)
    run = train(TrainConfig(epochs=2, batch_size=32), few, device="cpu")
    losses = [r["reconstruction"] for r in run.history if r["kind"] == "step"]
    # Saying 0.5 everywhere costs 12,288 ln 2 = 8,517 nats; an untrained decoder is a bit worse.
    assert 8_500 < losses[0] < 10_500
    assert np.mean(losses[-5:]) < 7_300
    # A property of the pixels, not of the model: what no decoder can undercut.
    valid = run.history[-1]
    assert 5_900 < valid["reconstruction"] - valid["excess"] < 6_300
