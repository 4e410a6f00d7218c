"""The package's face: names that are loaded when wanted, and a notebook that needs few of them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vae_lib
from vae_lib import VAE, InputError, explore

NOTEBOOK = """
from torch import nn
from vae_lib import VAE, TrainConfig, VAEConfig, decode_images, encode_images, evaluate, explore
from vae_lib import open_faces, train, traverse

class Own(VAE):
    def __init__(self):
        super().__init__(VAEConfig(channels=(4, 8, 8, 8), latent_size=8))
        self.look = nn.Linear(12288, 2 * 8)
    def encode(self, x):
        return self.look(x.flatten(1)).chunk(2, dim=1)

faces = open_faces(kind="synthetic", synthetic_count=200)
training = train(TrainConfig(epochs=1, batch_size=16), faces, model=Own())
print(evaluate(training.model, faces.split("test").images).psnr)
mu, logvar = encode_images(training.model, faces.split("test").images)
row = decode_images(training.model, traverse(mu[0], 2, [-3, 0, 3]))
explorer = explore(training.model, faces=faces)
"""


def python(code: str, folder: Path | None = None) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_fourth_notebook_needs_few_imports_and_few_lines(tmp_path):
    lines = [line for line in NOTEBOOK.splitlines() if line]
    assert len(lines) <= 20
    assert sum("import" in line for line in lines) <= 3
    told = python(NOTEBOOK + "print(row.shape, len(explorer.values))", tmp_path)
    decibels, shapes = told.splitlines()
    assert float(decibels) > 5
    assert shapes == "(3, 64, 64, 3) 8"


def test_importing_the_package_and_asking_for_help_load_no_pytorch():
    heavy = "print({'torch', 'numpy', 'sklearn', 'matplotlib'} & sys.modules.keys())"
    assert python(f"import sys, vae_lib; dir(vae_lib); {heavy}") == "set()\n"
    code = "import sys\nfrom vae_lib import cli\ntry: cli.main(['--help'])\nexcept SystemExit: "
    assert python(code + "print('torch' in sys.modules)").endswith("False\n")


@pytest.mark.parametrize("name", vae_lib.__all__)
def test_every_name_of_the_face_is_there(name):
    assert getattr(vae_lib, name).__name__ == name
    assert name in dir(vae_lib)


def test_editors_and_type_checkers_see_the_names_that_python_sees():
    tree = ast.parse(Path(vae_lib.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname: f"{node.module}" for node in block.body for alias in node.names}
    assert seen == {name: f"vae_lib.{room}" for name, room in vae_lib.HOME.items()}
    assert (Path(vae_lib.__file__).parent / "py.typed").exists()


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'vae_lib' has no attribute 'vea'"):
        vae_lib.vea  # noqa: B018


def test_a_decoder_that_the_page_does_not_know_is_a_sentence_and_no_other_face(model):
    class Louder(VAE):
        def decode_logits(self, z):
            return super().decode_logits(2 * z)

    with pytest.raises(InputError, match="Louder decodes in a way of its own"):
        explore(Louder(model.config))
