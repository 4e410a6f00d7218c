"""A short run of `benchmarks/kill.py`, always with the same moments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

KILL = Path(__file__).parents[1] / "benchmarks" / "kill.py"


@pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
@pytest.mark.parametrize(("command", "count"), [("train", 3), ("sweep", 1)])
def test_a_run_that_is_killed_and_goes_on_leaves_what_an_uninterrupted_one_leaves(command, count):
    arguments = [sys.executable, str(KILL), command, "--count", str(count), "--seed", "1"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 ended wrong" in done.stdout
