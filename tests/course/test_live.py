"""The live figures' numbers, computed in JavaScript, are the package's."""

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import SMALL, small_faces
from tests.draws import seeded_normal
from tests.explorer.test_javascript import node
from vae_lib.course import live
from vae_lib.course.toy import GRID, ToyModel, log_normal
from vae_lib.disentanglement import mig, mutual_information
from vae_lib.errors import InputError
from vae_lib.latent import decode_images, encode_images
from vae_lib.pretrained import load_pretrained
from vae_lib.training import TrainConfig, train
from vae_lib.training.watch import EpochGrids, spread
from workshop.__main__ import main as workshop

FIGURES = {
    live.Bound: ("toy", "bound"),
    live.Gradient: ("toy", "gradient"),
    live.Turn: ("turn",),
    live.Epochs: ("epochs",),
}
DECODERS = {"one": lambda z: z, "two": lambda z: z.square() / 2}
WIDEST = 128


def computed(script: str, folder):
    """What a script that imports the figures' modules by name prints as JSON."""
    script = re.sub(r'from "(\w+)"', rf'from "{live.HERE.as_uri()}/\1.mjs"', script)
    return json.loads(node(script, folder))


@pytest.mark.parametrize("kind", DECODERS)
def test_bound_gap_and_evidence_are_the_toy_models(tmp_path, kind):
    answers = [(0.0, 1.0), (1.36, 0.15), (-1.4, 0.1), (0.5, 0.6)]
    found = computed(
        f"""import {{ Toy }} from "toy";
        const toy = new Toy("{kind}", 1, 0.2);
        const all = ([mu, sigma]) => [
          toy.bound(mu, sigma), toy.gap(mu, sigma), toy.exactGradient(mu, sigma)];
        const answers = {json.dumps(answers)}.map(all);
        console.log(JSON.stringify([toy.logEvidence, toy.posterior(1.3), answers]));
        """,
        tmp_path,
    )
    toy = ToyModel(DECODERS[kind], noise=0.2)
    evidence = toy.log_evidence(1.0)
    assert found[0] == pytest.approx(evidence.item(), abs=1e-9)
    density = toy.posterior(1.0, torch.tensor(1.3, dtype=torch.float64))
    assert found[1] == pytest.approx(density.item(), rel=1e-9)
    for (mu, sigma), (bound, gap, slope) in zip(answers, found[2], strict=True):
        at = torch.tensor(mu, dtype=torch.float64, requires_grad=True)
        expected = toy.bound(1.0, at, sigma)
        (gradient,) = torch.autograd.grad(expected, at)
        log_q = log_normal(GRID, mu, sigma)
        missing = log_q.exp() * (log_q - toy.log_joint(1.0, GRID) + evidence)
        assert bound == pytest.approx(expected.item(), abs=1e-7)
        assert gap == pytest.approx((missing.sum() * (GRID[1] - GRID[0])).item(), abs=1e-7)
        assert bound + gap == pytest.approx(evidence.item(), abs=1e-7)
        assert slope == pytest.approx(gradient.item(), abs=1e-6)


def test_climbing_ends_where_adam_ends_and_never_goes_down(tmp_path):
    starts = {"one": [(0.4, 1.0)], "two": [(1.8, 0.6), (-2.0, 0.3), (0.0, 1.0)]}
    found = computed(
        f"""import {{ Toy }} from "toy";
        import {{ climb }} from "bound";
        const end = (kind, mu, sigma) => {{
          const toy = new Toy(kind, 1, 0.2);
          let here = {{ mu, sigma }};
          let fell = 0;
          for (let i = 0; i < 150; i++) {{
            const next = climb(toy, here.mu, here.sigma);
            fell = Math.max(fell, toy.bound(here.mu, here.sigma) - toy.bound(next.mu, next.sigma));
            here = next;
          }}
          return [here.mu, here.sigma, fell];
        }};
        const starts = Object.entries({json.dumps(starts)});
        const all = ([kind, from]) => [kind, from.map(([mu, sigma]) => end(kind, mu, sigma))];
        console.log(JSON.stringify(Object.fromEntries(starts.map(all))));
        """,
        tmp_path,
    )
    for kind, pairs in starts.items():
        toy = ToyModel(DECODERS[kind], noise=0.2)
        mu, sigma = torch.tensor(pairs, dtype=torch.float64).unbind(1)
        mu, log_sigma = mu.requires_grad_(), sigma.log().requires_grad_()
        adam = torch.optim.Adam([mu, log_sigma], lr=0.03)
        for _ in range(600):
            adam.zero_grad()
            (-toy.bound(1.0, mu, log_sigma.exp()).sum()).backward()
            adam.step()
        ends = torch.stack([mu, log_sigma.exp(), torch.zeros_like(mu)], 1).detach()
        np.testing.assert_allclose(found[kind], ends, atol=2e-3)


@pytest.mark.parametrize("d", [1, 8, 128])
def test_single_estimates_are_those_of_autograd_on_the_same_noise(tmp_path, d):
    count = 50
    score, pathwise, means, spread = computed(
        f"""import {{ Toy }} from "toy";
        import {{ estimates, running }} from "gradient";
        import {{ seededNormal }} from "../../explorer/browser/numbers";
        const noise = seededNormal(3, {count * WIDEST});
        const e = estimates(new Toy("two", 1, 0.2), 0.8, 0.3, noise, {d}, {count});
        const {{ means, spread }} = running(e.score);
        console.log(JSON.stringify([e.score, e.pathwise, means, spread].map((v) =>
          typeof v === "number" ? v : Array.from(v))));
        """.replace('from "../../explorer/browser/numbers"', 'from "./numbers.mjs"'),
        tmp_path,
    )
    toy = ToyModel(DECODERS["two"], noise=0.2)
    noise = torch.from_numpy(seeded_normal(3, count * WIDEST)).double().view(count, WIDEST)[:, :d]
    mu = torch.full((count, d), 0.8, dtype=torch.float64, requires_grad=True)
    z = mu + 0.3 * noise
    reconstruction = toy.log_likelihood(1.0, z).sum(1)
    (slope,) = torch.autograd.grad(reconstruction.sum(), mu)
    held = mu.detach().requires_grad_()
    density = log_normal(z.detach(), held, 0.3).sum(1)
    (weight,) = torch.autograd.grad((reconstruction.detach() * density).sum(), held)
    np.testing.assert_allclose(pathwise, slope[:, 0] - 0.8, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(score, weight[:, 0] - 0.8, rtol=1e-5, atol=1e-3)
    expected = np.array(score)
    np.testing.assert_allclose(means, expected.cumsum() / np.arange(1, count + 1), rtol=1e-9)
    assert spread == pytest.approx(expected.std(ddof=1), rel=1e-9)


@pytest.fixture(scope="module")
def codes():
    """Codes with some of the drawn faces' factors in them, one dimension of which is idle."""
    factors = small_faces(240).attributes[:, [0, 3, 7, 12]]
    noise = np.random.default_rng(0).standard_normal((240, 4))
    codes = (factors - factors.mean(0)) / factors.std(0) + 0.3 * noise
    codes[:, 2] = 0.5
    return codes.astype(np.float32), factors


def test_information_and_mig_of_a_turned_code_are_the_packages(codes, tmp_path):
    codes, factors = codes
    turn = live.Turn(codes, factors, ["a", "b", "c", "d"])
    angles = (0, 17, 45, -60, 90)
    (tmp_path / "codes").write_bytes(turn.codes)
    (tmp_path / "levels").write_bytes(turn.levels)
    found = computed(
        f"""import {{ Table }} from "turn";
        const codes = new Float32Array(new Uint8Array(fs.readFileSync("codes")).buffer);
        const table = new Table(codes, new Uint8Array(fs.readFileSync("levels")), 4, 4);
        console.log(JSON.stringify({list(angles)}.map((angle) => {{
          const matrix = table.turned(0, 3, angle);
          return [matrix.map((row) => Array.from(row)), table.mig(matrix)];
        }})));
        """,
        tmp_path,
    )
    gaps = []
    for angle, (matrix, gap) in zip(angles, found, strict=True):
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        turned = codes.astype(float)
        turned[:, [0, 3]] = turned[:, [0, 3]] @ [[cos, sin], [-sin, cos]]
        np.testing.assert_allclose(matrix, mutual_information(turned, factors), atol=1e-9)
        assert gap == pytest.approx(mig(turned, factors), abs=1e-9)
        gaps.append(gap)
    assert min(gaps) < 0.8 * gaps[0]  # as trained they were told apart


def test_a_turned_code_is_decoded_to_the_same_pixels(model, codes):
    z = torch.randn(1, 6, generator=torch.Generator().manual_seed(0))
    assert 0 < live.pixel_change(model, z, 1, 4) < 0.01
    with torch.no_grad():  # a decoder that is not turned back draws another face
        other = model.decode(z[:, [0, 4, 2, 3, 1, 5]]) - model.decode(z)
    assert 255 * other.abs().max() > 0.5


def test_a_turn_needs_two_dimensions(codes):
    with pytest.raises(InputError, match=r"Found codes of shape \(240, 1\)"):
        live.Turn(codes[0][:, :1], codes[1], ["a", "b", "c", "d"])


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_a_figure_is_one_small_module_that_imports_nothing(figure, tmp_path):
    text = live.script(*FIGURES[figure])
    assert len(text.encode()) <= 60_000
    assert not re.search(r"^import |https?://(?!www\.w3\.org/2000/svg)", text, re.M)
    names = re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", text, re.M)
    assert len(names) == len(set(names))
    (tmp_path / "joined.mjs").write_text(text)
    script = f"""const {{ default: widget }} = await import("{(tmp_path / "joined.mjs").as_uri()}");
      console.log(Object.keys(widget));"""
    assert node(script, tmp_path).strip() == "[ 'render' ]"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of three epochs, its folder, and what the figure showed while it trained."""
    folder, figure, seen = tmp_path_factory.mktemp("run"), live.Epochs(), []

    def look(training, event):
        seen.append((event, len(figure.measures), len(figure.pictures)))

    faces = small_faces()
    training = train(
        TrainConfig(epochs=3, batch_size=16, model=SMALL),
        faces,
        folder,
        device="cpu",
        callbacks=[EpochGrids(folder, faces), figure, look],
    )
    return training, folder, figure, seen


def test_epochs_come_in_while_a_model_trains_and_stand_in_its_folder(run):
    training, folder, figure, seen = run
    at_ends = [(measures, pictures) for event, measures, pictures in seen if event == "epoch"]
    assert at_ends == [(1, 1), (2, 2), (3, 3)]
    read = live.Epochs(folder)
    assert read.measures == figure.measures
    for one in figure.measures:
        for split in ("train", "valid"):
            (record,) = [
                r for r in training.history
                if r["kind"] == "epoch" and (r["epoch"], r["split"]) == (one["epoch"], split)
            ]  # fmt: skip
            assert one[split] == {name: record[name] for name in ("excess", "kl", "psnr")}


def picture(address):
    kind, _, code = address.partition(",")
    assert kind == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(code)))).astype(int)


def test_a_picture_holds_pairs_of_faces_and_what_the_model_makes_of_them(run):
    training, folder, figure, _ = run
    valid = training.valid_images
    first, last = (picture(figure.pictures[i]) for i in (0, -1))
    assert first.shape == last.shape == (134, 530, 3)
    faces = spread(valid, 8)
    made = decode_images(training.model, encode_images(training.model, faces)[0])
    for i in range(8):
        row, column = divmod(2 * i, 8)
        tile = last[66 * row + 2 :, 66 * column + 2 :][:64, :64]
        assert np.abs(tile - faces[i]).mean() < 4  # JPEG
        beside = last[66 * row + 2 :, 66 * column + 68 :][:64, :64]
        assert np.abs(beside - made[i]).mean() < 4
    whole = np.asarray(Image.open(folder / "epochs" / "03_reconstructions.png"))[:134]
    assert np.abs(picture(live.Epochs(folder).pictures[-1]) - whole).mean() < 4


def test_what_is_shipped_is_small_and_comes_from_a_run_by_a_command(run, tmp_path, monkeypatch):
    _, folder, _, _ = run
    monkeypatch.setattr("vae_lib.course.live.epochs.SHIPPED", tmp_path / "epochs.npz")
    assert workshop(["epochs", "--run", str(folder)]) == 0
    found, there = live.Epochs.shipped(tmp_path / "epochs.npz"), live.Epochs(folder)
    assert (found.measures, found.pictures) == (there.measures, there.pictures)
    shipped = live.Epochs.shipped()
    assert [one["epoch"] for one in shipped.measures] == list(range(1, 11))
    assert sum(map(len, shipped.pictures)) <= 400_000
    ours = load_pretrained("vae_synthetic").metadata["validation"]
    for name in ("excess", "kl", "psnr"):  # the same recipe, on another machine
        assert shipped.measures[-1]["valid"][name] == pytest.approx(ours[name], rel=0.1)


def test_a_new_run_empties_the_figure_and_a_folder_without_one_is_told(run, tmp_path):
    training, _, _, _ = run
    figure = live.Epochs.shipped()
    figure.epoch = 4
    figure(training, "start")
    assert (figure.measures, figure.pictures, figure.epoch) == ([], [], 0)
    with pytest.raises(InputError, match="check the path"):
        live.Epochs(tmp_path)
    (tmp_path / "history.jsonl").write_text("")
    with pytest.raises(InputError, match="at least one epoch is finished"):
        live.Epochs(tmp_path)
    (tmp_path / "history.jsonl").write_text("{")
    with pytest.raises(InputError, match="was changed"):
        live.Epochs(tmp_path)
