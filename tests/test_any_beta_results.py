"""results/any_beta.json comes from its runs by a command; tiny runs go the same way."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SMALL

ROOT = Path(__file__).parents[1]
KEPT = json.loads((ROOT / "results" / "any_beta.json").read_text())


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.delitem(sys.modules, "any_beta", raising=False)
    import any_beta

    return any_beta


def shape(value):
    """The names in nested values, and the kinds of what they name."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shape(part) for part in value]
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def test_tiny_runs_are_collected_as_what_is_kept(benchmark, faces, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "open_faces", lambda **_: faces)
    monkeypatch.setattr(benchmark, "BATCH", 8)
    monkeypatch.setattr(benchmark, "VAEConfig", lambda latent_size: SMALL)
    common = ["any_beta.py", "--device", "cpu", "--epochs", "0.001", "--latent", "2", "--test"]
    for jobs in (["screen"], ["plain", "final"]):
        arguments = [*common, str(tmp_path / "runs"), "--synthetic", "--jobs", *jobs]
        monkeypatch.setattr(sys, "argv", arguments)
        benchmark.main()
    file = tmp_path / "any_beta.json"
    monkeypatch.setattr(
        sys, "argv", ["any_beta.py", str(tmp_path / "runs"), "--collect", str(file)]
    )
    benchmark.main()
    found = json.loads(file.read_text())
    assert shape(found) == {name: shape(KEPT[name]) for name in found}
    assert found.keys() == KEPT.keys() - {"celeba"}
    said = found["what"].replace("batch 8,", "batch 64,").rpartition(" On ")[0]
    assert KEPT["what"].startswith(said)


@pytest.mark.parametrize("faces_of", ["celeba", "synthetic"])
def test_what_is_kept_says_by_how_much_one_network_is_worse(benchmark, faces_of):
    parts = KEPT[faces_of]
    found = benchmark.worse_by(parts["one_network"], parts["one_network_per_beta"])
    assert found == parts["worse_by"]
    for run in parts["one_network_per_beta"].values():
        for row in run.values():
            total = row["excess"] + row["beta"] * row["kl"]
            np.testing.assert_allclose(row["objective"], total, atol=1e-3)


def test_runs_of_different_recipes_are_not_mixed(benchmark, tmp_path):
    row = {"beta": 1.0, "excess": 1.0, "kl": 1.0, "objective": 2.0}
    for seed, peak in ((0, 1e-3), (1, 2e-3)):
        job = vars(benchmark.Job(f"beta_1_seed_{seed}", 1.0, peak=peak, seed=seed))
        result = {"job": job, "faces": "synthetic", "valid": [row]}
        (tmp_path / f"{seed}.json").write_text(json.dumps(result))
    with pytest.raises(SystemExit, match="the others with"):
        benchmark.collect(tmp_path)
