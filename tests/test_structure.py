"""The house: which room may import which, how many there are, and how large a file may grow."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import vae_lib.config

ROOT = Path(__file__).parent.parent
# A room imports only from those before it. `vae_lib/__init__` hands names on from all of them.
ROOMS = re.findall(
    r"\w+",
    """errors files devices console config objective faces model evaluation checkpoint latent
    attributes pretrained pca sample_distance disentanglement dark figures training study
    explorer course jupyter cli __main__""",
)
# And the workshop after all of vae_lib.
WORKSHOP = ["markdown", "cards", "ship", "classifier", "likelihood", "report", "__main__"]
MOST_ROOMS, MOST_LINES = 24, 500
LONG = {"vae_lib/faces/synthetic.py"}  # one drawing, read in one go


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    module_of(path): path
    for folder in ("vae_lib", "workshop")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Modules of ours that a file imports and where, also inside functions and for types alone."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, node.module or ""] if node.level else [node.module or ""])
            inside = [f"{base.rstrip('.')}.{alias.name}" for alias in node.names]
            found = [name if name in MODULES else base.rstrip(".") for name in inside]
        else:
            continue
        yield from ((name, node.lineno) for name in found if name in MODULES)


def place(module: str) -> int:
    """How far to the right a module's room lies."""
    first, _, rest = module.partition(".")
    room = rest.split(".")[0]
    if not room:
        return -1 if first == "vae_lib" else len(ROOMS)  # the doors themselves
    return ROOMS.index(room) if first == "vae_lib" else len(ROOMS) + 1 + WORKSHOP.index(room)


def test_every_room_has_its_place_and_every_place_a_room():
    rooms = {name.split(".")[1] for name in MODULES if name.startswith("vae_lib.")}
    assert rooms == set(ROOMS), "put the new room where its imports allow, in ROOMS of this file"
    shops = {name.split(".")[1] for name in MODULES if name.startswith("workshop.")}
    assert shops == set(WORKSHOP), "put the new room where its imports allow, in WORKSHOP"


def test_no_room_imports_from_one_to_its_right():
    upwards = [
        f"{path.relative_to(ROOT)}, line {line}, imports {wanted}, which lies to the right of it: "
        "move what it needs to the left, or the function that needs it to the right."
        for module, path in MODULES.items()
        for wanted, line in imports(path)
        if module not in ("vae_lib", "workshop") and place(wanted) > place(module)
    ]
    assert not upwards, "\n".join(upwards)


def test_no_modules_import_each_other_in_a_circle():
    graph = {
        module: {wanted for wanted, _ in imports(path)} - {module}
        for module, path in MODULES.items()
        if module != "vae_lib"
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(
            f"These import each other in a circle: {' ← '.join(error.args[1])}. Move what the "
            "first needs of the last into a module that both may import."
        ) from None


def test_the_top_level_can_be_overlooked():
    top = {name.split(".")[1] for name in MODULES if name.startswith("vae_lib.")} - {"__main__"}
    assert len(top) <= MOST_ROOMS, (
        f"vae_lib has {len(top)} modules and folders at its top level, {MOST_ROOMS} at most: let "
        f"the newest share a folder with what it belongs to ({', '.join(sorted(top))})."
    )


def test_no_file_is_too_long_to_read_in_one_go():
    for folder in ("vae_lib", "workshop", "book"):
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix not in (".py", ".mjs", ".js", ".css") or name.split("/")[1][0] == "_":
                continue
            lines = len(path.read_text(encoding="utf-8").splitlines())
            assert lines <= MOST_LINES or name in LONG, (
                f"{name} has {lines} lines, {MOST_LINES} at most: make it a folder of its name."
            )


def test_the_map_in_the_packages_docstring_shows_the_rooms_in_their_order():
    table, rest = vae_lib.__doc__.split("==\n\n")[0], vae_lib.__doc__.rpartition("==\n")[2]
    told = [name for name in re.findall(r"``(\w+)``", table) if name in ROOMS]
    assert told == sorted(told, key=ROOMS.index)
    assert {*told, *re.findall(r"``(\w+)``", rest)} == set(ROOMS) - {"__main__"}


def test_where_a_new_thing_goes_is_there():
    table = (ROOT / "book" / "contributing.md").read_text(encoding="utf-8")
    table = table.partition("## Where a new thing goes")[2].partition("\n## ")[0]
    named = [name for name in re.findall(r"`([^`]+)`", table) if re.search(r"/|\.\w+$", name)]
    assert len(named) > 15
    beside = {"celeba.py", "opening.py"}, {"view.mjs"}  # in the folder that their row names first
    folders = "vae_lib/faces", "vae_lib/explorer/browser"
    places = {name: folder for names, folder in zip(beside, folders, strict=True) for name in names}
    gone = [name for name in named if not (ROOT / places.get(name, "") / name).exists()]
    assert not gone, f"book/contributing.md sends people to what is not there: {', '.join(gone)}"
    assert "`OBJECTIVES`" in table
    assert vae_lib.config.OBJECTIVES
