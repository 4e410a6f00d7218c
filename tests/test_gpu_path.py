"""Training, measures and sliders on a GPU, run on a pretended one: the CPU must say the same."""

import gc
import math
import warnings
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.conftest import SMALL
from tests.pretended import pretended
from vae_lib.attributes import attribute_directions
from vae_lib.errors import InputError
from vae_lib.evaluation import evaluate
from vae_lib.explorer import explore
from vae_lib.faces.dataset import Faces
from vae_lib.latent import decode_images, encode_images
from vae_lib.pretrained import load_pretrained
from vae_lib.study.sweep import sweep
from vae_lib.training import TrainConfig, Training, train
from workshop.classifier import train_classifier

CONFIG = TrainConfig(epochs=2, batch_size=8, model=SMALL)
CONFIGS = {
    "beta-vae": CONFIG,
    "capacity": replace(CONFIG, objective="capacity"),
    "beta-tcvae": replace(CONFIG, objective="beta-tcvae", beta=6.0),
    "any-beta": replace(CONFIG, beta_range=(0.5, 8.0), cycle=True),
}
KINDS = pytest.mark.parametrize("kind", ["cuda", "mps"])


def losses(run):
    return [record["loss"] for record in run.history if record["kind"] == "step"]


@pytest.fixture
def float32(monkeypatch):
    """Also on CPUs that are faster in bf16, whose rounding is not the pretended GPU's."""
    monkeypatch.setattr("vae_lib.training.step.faster_in_bfloat16", lambda device: False)


@pytest.fixture(scope="module")
def on_cpu(faces):
    """Each recipe trained on the CPU, when first asked for."""
    found = {}

    def run(name):
        if name not in found:
            found[name] = train(CONFIGS[name], faces, device="cpu")
        return found[name]

    return run


@KINDS
@pytest.mark.parametrize("name", CONFIGS)
def test_training_is_the_cpus_bit_by_bit(faces, float32, on_cpu, name, kind):
    expected = on_cpu(name)
    with pretended(kind), warnings.catch_warnings():
        warnings.simplefilter("error")  # that the step could not be captured
        run = train(CONFIGS[name], faces)
        assert run.device.type == kind
        assert (run.take_step.graph is not None) == (kind == "cuda")
        assert losses(run) == losses(expected)
        ours, theirs = (
            {k: v for k, v in r.history[-1].items() if k != "images_per_second"}
            for r in (run, expected)
        )
        assert ours == theirs
        for value, other in zip(
            run.model.state_dict().values(), expected.model.state_dict().values(), strict=True
        ):
            assert torch.equal(value.cpu(), other)


def test_every_name_of_a_device_trains(faces):
    for name in (None, "cuda", "cuda:0", torch.device("cuda")):
        with pretended():
            training = Training(CONFIG, faces, name)
            next(training.steps())
            assert training.device == torch.device("cuda", 0)


def test_faces_that_do_not_fit_are_streamed_and_bf16_comes_close(faces, float32, on_cpu):
    expected = losses(on_cpu("beta-vae"))
    with pretended(memory=1000, capability=(9, 0)):
        training = Training(CONFIG, faces)
        training.take_step.bfloat16 = True
        assert training.batches.resident is None
        list(training.steps())
        np.testing.assert_allclose(losses(training), expected[:20], rtol=1e-2)


def test_a_run_goes_on_from_one_device_to_the_other(faces, float32, on_cpu, tmp_path):
    whole, out = losses(on_cpu("beta-vae")), tmp_path / "run"
    train(replace(CONFIG, epochs=1), faces, out, device="cpu")
    with pretended():
        with pytest.warns(UserWarning, match="device is 'cpu' there and 'cuda' here"):
            run = train(CONFIG, faces, out, resume=True)
        assert run.take_step.graph is not None
        assert run.optimizer.param_groups[0]["capturable"]
        np.testing.assert_allclose(losses(run), whole, rtol=1e-2)  # other flips and noise
    with pytest.warns(UserWarning, match="device is 'cuda' there and 'cpu' here"):
        back = train(replace(CONFIG, epochs=3), faces, out, resume=True, device="cpu")
    assert not back.optimizer.param_groups[0]["capturable"]


def test_a_run_that_stops_on_a_gpu_resumes_there_bit_by_bit(faces, float32, tmp_path):
    with pretended():
        whole = train(CONFIG, faces)
        train(replace(CONFIG, epochs=1), faces, tmp_path / "run")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run = train(CONFIG, faces, tmp_path / "run", resume=True)
        assert losses(run) == losses(whole)


def test_a_step_that_cannot_be_captured_runs_uncaptured_and_says_so(
    faces, float32, on_cpu, monkeypatch
):
    with pretended():
        monkeypatch.setattr(
            torch.cuda, "CUDAGraph", lambda: (_ for _ in ()).throw(RuntimeError("no graphs here"))
        )
        with pytest.warns(UserWarning, match="could not be captured"):
            run = train(CONFIG, faces)
        assert losses(run) == losses(on_cpu("beta-vae"))


@KINDS
def test_measures_codes_and_sliders_find_their_device(faces, kind):
    images = faces.split("test").images
    here = load_pretrained("vae_synthetic")
    expected, codes = evaluate(here, images, ssim=True), encode_images(here, images)[0]
    decoded = decode_images(here, codes)
    with pretended(kind):
        model = load_pretrained("vae_synthetic", kind)
        assert evaluate(model, images, ssim=True) == expected
        found = encode_images(model, images)[0]
        assert (found == codes).all()
        assert (decode_images(model, found) == decoded).all()
        assert (decode_images(model, torch.from_numpy(codes)) == decoded).all()
        assert model.sample(2, torch.Generator().manual_seed(0)).device.type == kind
        attribute_directions(found, faces.split("test").attributes[:, -1:])
        explorer = explore({"mine": model}, faces=faces)
        _, (pixels,) = explorer._on_decode({"models": [0]}, [codes[0].tobytes()])
        apart = np.frombuffer(pixels, np.uint8).astype(int) - decoded[0].ravel()
        assert np.abs(apart).max() <= 1


def few_celeba(count: int = 48) -> Faces:
    """What stands in for CelebA where only its shapes matter."""
    rng = np.random.default_rng(0)
    return Faces(
        name="celeba",
        images=rng.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8),
        ids=np.array([f"{i:06d}" for i in range(count)]),
        splits=np.repeat([0, 1, 2], count // 3).astype(np.uint8),
        attributes=rng.choice([-1, 1], (count, 2)).astype(np.float32),
        attribute_names=("Smiling", "Young"),
        fingerprint="few",
    )


@KINDS
def test_the_attribute_classifier_trains(kind):
    with pretended(kind):
        classifier, metadata = train_classifier(few_celeba(), epochs=1, batch_size=8)
    assert metadata["device"]
    assert classifier.attribute_names == ("Smiling", "Young")


def test_a_sweep_measures_what_the_cpus_does(float32, tmp_path):
    config, faces = replace(CONFIG, epochs=1), few_celeba()  # no factors: scoring them takes long
    expected = sweep(config, faces, tmp_path / "cpu", [4.0], [0], device="cpu")
    with pretended():
        found = sweep(config, faces, tmp_path / "gpu", [4.0], [0])
    for key, value in expected[0]["test"].items():
        assert found[0]["test"][key] == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("allocations", [0, 1, 10, 60, 200, 700, 1500, 3000])
def test_a_gpu_that_others_fill_at_any_moment_is_a_sentence(faces, tmp_path, allocations):
    out = tmp_path / "run"
    with pretended() as gpu:
        device = torch.device("cuda", 0)
        Training(CONFIG, faces, device)
        gpu.allocations = (
            allocations + 3
        )  # the kernel that proves that the device works takes three
        with pytest.raises(InputError) as refused:
            train(CONFIG, faces, out, device=device)
        assert "Memory ran out" in str(refused.value) or "memory is full" in str(refused.value)
        gpu.allocations = None
        if (out / "checkpoint.pt").exists():  # the folder is free, and what is in it is whole
            assert losses(train(CONFIG, faces, out, device=device, resume=True))


def test_a_finished_training_gives_the_devices_memory_back(faces):
    with pretended():
        run = train(CONFIG, faces)
        assert run.batches.resident is None
        assert all(p.grad is None for p in run.model.parameters())
        assert not run.model.training
        step, graph, model = weakref.ref(run.take_step), weakref.ref(run.take_step.graph), run.model
        gc.disable()
        try:
            del run
            assert step() is None
            assert graph() is None
        finally:
            gc.enable()
        assert math.isfinite(evaluate(model, faces.split("test").images).kl)


def test_training_on_the_cpu_asks_no_gpu(faces, monkeypatch):
    """A GPU that is full or broken must not stop a training that does not want it."""

    def asked(*_):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda", 0)
    )
    monkeypatch.setattr(torch.accelerator, "current_stream", asked)
    assert losses(train(replace(CONFIG, epochs=1), faces, device="cpu"))


def test_looks_at_a_model_on_a_full_gpu_are_sentences(faces):
    images = faces.split("test").images
    with pretended() as gpu:
        model = load_pretrained("vae_synthetic", "cuda")
        codes = encode_images(model, images)[0]
        looks = {
            "encode": lambda: encode_images(model, images),
            "decode": lambda: decode_images(model, codes),
            "evaluate": lambda: evaluate(model, images),
            "load": lambda: load_pretrained("vae_synthetic", "cuda"),
            "explore": lambda: explore({"mine": model}, faces=faces, device="cuda"),
        }
        for look in looks.values():
            for gpu.allocations in (0, 4):
                with pytest.raises(InputError, match=r"Memory ran out|memory is full"):
                    look()


def test_compiling_on_a_gpu_without_triton_is_refused(faces, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pretended(), pytest.raises(InputError, match="needs Triton"):
        Training(replace(CONFIG, compile=True), faces)
