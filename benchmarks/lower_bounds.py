"""The tests on the oldest versions that pyproject.toml allows: downloads about 3 GB the first time.

    python benchmarks/lower_bounds.py

Makes an environment of its own, in which uv chooses of every declared dependency the oldest version
and reads no pins, and runs there the tests that need neither a browser nor notebooks.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What the tests themselves want; of these, too, the oldest.
TESTS = ("pytest>=8", "pytest-xdist>=3.5", "hypothesis>=6.100", "nbformat>=5.10", "hatchling>=1.26")
# PyTorch 2.6 compiles with a setuptools that it does not ask for on Python 3.11.
TESTS += ("nbmake>=1.5", "pyyaml>=6", "setuptools>=70", "packaging>=24")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default="3.11", help="version of Python")
    parser.add_argument("tests", nargs="*", help="files; by default all without a browser")
    options = parser.parse_args()
    uv = shutil.which("uv") or os.environ.get("UV")
    if uv is None:
        sys.exit("lower_bounds: needs uv; pip install uv.")
    with tempfile.TemporaryDirectory() as folder:
        python = f"{folder}/venv"
        subprocess.run([uv, "venv", "-q", "--python", options.python, python], check=True)
        install = [uv, "pip", "install", "--no-config", "--resolution", "lowest-direct"]
        install += ["--python", python, "-e", f"{ROOT}[course,download]", *TESTS]
        subprocess.run(install, check=True)
        program = next(Path(python).glob("*/python*"))
        command = [str(program), "-m", "pytest", "-q", "-o", "addopts=", "--ignore=tests/browser"]
        tests = options.tests or ["tests"]
        return subprocess.run([*command, *tests], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
