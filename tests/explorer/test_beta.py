"""β as a slider: what is kept at several β, and the kernel's answers at one."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from test_widget import ask

from vae_lib.config import VAEConfig
from vae_lib.errors import InputError
from vae_lib.explorer import explore
from vae_lib.faces.batches import to_pixels
from vae_lib.latent import decode_images, encode_images
from vae_lib.model.any_beta import AnyBetaVAE
from vae_lib.pretrained import any_beta_names, load_beta_table, load_gallery, load_pretrained
from vae_lib.pretrained.beta_table import BetaTable, make_beta_gallery


@pytest.fixture(scope="module")
def network() -> AnyBetaVAE:
    """A small network whose gates differ, so that every β has codes and faces of its own."""
    torch.manual_seed(0)
    network = AnyBetaVAE(VAEConfig(channels=(4, 8, 8, 8), latent_size=5), (0.5, 8.0))
    with torch.no_grad():
        for name, value in network.named_parameters():
            if "gate" in name:
                value.normal_()
        for _ in range(3):
            network(torch.rand(16, 3, 64, 64), beta=network.draw_beta(16))
    return network.eval()


@pytest.fixture(scope="module")
def told(network, faces):
    return make_beta_gallery(network, faces.take(60, 20, 30))


def test_a_table_holds_what_the_network_says_at_each_of_its_beta(network, faces, told):
    gallery, table = told
    assert table.betas.tolist() == [0.5, 0.7, 1, 2, 3, 4, 7, 8]
    images = np.stack([faces.images[faces.ids == name][0] for name in gallery.ids])
    x = to_pixels(torch.from_numpy(images)).double()
    for b, beta in enumerate(table.betas):
        mu, logvar = encode_images(network, images, beta=float(beta))
        np.testing.assert_array_equal(table.mu[b], mu)
        posterior = torch.distributions.Normal(
            torch.tensor(mu).double(), (0.5 * torch.tensor(logvar).double()).exp()
        )
        prior = torch.distributions.Normal(0.0, 1.0)
        kl = torch.distributions.kl_divergence(posterior, prior).sum(1)
        np.testing.assert_allclose(table.face_kl[b], kl, rtol=1e-4)
        decoded = to_pixels(torch.from_numpy(decode_images(network, mu, beta=float(beta)))).double()
        error = (decoded - x).square().flatten(1).mean(1)
        np.testing.assert_allclose(table.face_psnr[b], -10 * error.log10(), rtol=1e-4)
    np.testing.assert_array_equal(gallery.mu, table.mu[2])
    np.testing.assert_allclose(table.at(2**0.5, "mu"), (table.mu[2] + table.mu[3]) / 2, rtol=1e-5)


def test_a_table_comes_back_from_its_file_and_a_damaged_one_says_so(told, tmp_path):
    _, table = told
    table.save(tmp_path / "betas.npz")
    again = BetaTable.load(tmp_path / "betas.npz")
    for field in fields(BetaTable):
        before, after = (getattr(t, field.name) for t in (table, again))
        np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-3)
    data = (tmp_path / "betas.npz").read_bytes()
    (tmp_path / "betas.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="missing, damaged or of another version"):
        BetaTable.load(tmp_path / "betas.npz")


def test_faces_that_are_not_there_are_named(network, faces):
    with pytest.raises(InputError, match=r"Found no nobody\.jpg among these 30 test faces"):
        make_beta_gallery(network, faces.take(60, 20, 30), ["nobody.jpg"])


def test_the_kernel_decodes_at_the_beta_that_it_is_asked_for(network, model):
    explorer = explore([network, model.__class__(VAEConfig(latent_size=5)).eval()])
    z = np.linspace(-1, 1, 5, dtype=np.float32)
    content = {"kind": "decode", "models": [0, 1, 0], "betas": [0.5, None, 8.0]}
    _, found = ask(explorer, content, *[z.tobytes()] * 3)
    for pixels, beta in ((found[0], 0.5), (found[2], 8.0)):
        assert pixels == decode_images(network, z[None], beta=beta)[0].tobytes()
    assert found[0] != found[2]


def test_a_face_is_encoded_at_every_beta_that_is_kept(network, faces):
    few = faces.take(60, 20, 30)
    explorer = explore(network, faces=few)
    spec = explorer.models[0].spec
    assert spec["beta_range"] == [0.5, 8.0]
    name = str(few.ids[-1])
    _, (codes, _, _) = ask(explorer, {"kind": "encode", "what": "face", "id": name})
    codes = np.frombuffer(codes, "<f4").reshape(len(spec["betas"]), 5)
    for code, beta in zip(codes, spec["betas"], strict=True):
        mu, _ = encode_images(network, few.images[few.ids == name], beta=beta)
        np.testing.assert_array_equal(code, mu[0])
    assert len(explorer.values) == 5


@pytest.mark.parametrize("name", any_beta_names())
def test_what_a_shipped_network_keeps_is_its_own(name):
    network, gallery, table = load_pretrained(name), load_gallery(name), load_beta_table(name)
    assert table.mu.shape[1] == len(gallery.ids)
    np.testing.assert_allclose(table.at(1.0, "mu"), gallery.mu, atol=2e-3)
    low, high = network.beta_range
    assert (table.betas[0], table.betas[-1]) == (low, high)
    for rising, values in ((1, table.excess), (-1, table.kl_per_dimension.sum(1))):
        assert (rising * np.diff(values) > 0).all()
    assert (np.diff(table.active_01) <= 0).all()
    sibling = {"vae_any_beta": "vae_celeba", "vae_any_beta_synthetic": "vae_mig_best"}[name]
    assert gallery.ids == load_gallery(sibling).ids  # so that both can stand side by side
