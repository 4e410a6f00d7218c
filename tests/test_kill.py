"""A short run of `benchmarks/kill.py`, always with the same moments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

KILL = Path(__file__).parents[1] / "benchmarks" / "kill.py"


@pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
def test_a_run_that_is_killed_and_goes_on_leaves_what_an_uninterrupted_one_leaves():
    arguments = [sys.executable, str(KILL), "train", "--count", "3", "--seed", "1"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 ended wrong" in done.stdout
