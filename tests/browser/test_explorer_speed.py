"""The explorer's speed, gated at twice what is asked for."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ATTEMPTS = 5  # a busy machine is busy for a while; what became slow stays slow


def test_no_number_misses_twice_what_is_asked_for(browser, alone):
    command = [sys.executable, "benchmarks/explorer.py", "--gate"]
    for _ in range(ATTEMPTS):
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if ran.returncode == 0:
            return
    raise AssertionError(ran.stdout + ran.stderr)
