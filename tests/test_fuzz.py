"""A short run of the damaged files of `benchmarks/fuzz.py`, always the same ones."""

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"


@pytest.mark.skipif(sys.platform == "win32", reason="needs an alarm and a measure of memory")
@pytest.mark.parametrize("kind", ["caches", "zips", "lists", "pictures", "weights", "runs"])
def test_damaged_files_are_read_or_refused_in_a_sentence(kind):
    command = [sys.executable, str(FUZZ), kind, "--count", "40", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "40 attempts" in done.stdout
