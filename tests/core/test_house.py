"""The house is as its map in CONTRIBUTING.md says: who imports whom, no circles, no name twice."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
TREES = {"cropzoom": ROOT / "cropzoom", "cropzoom.trainer": ROOT / "trainer"}
GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def modules() -> dict[str, Path]:
    """Every module by its name as installed."""
    found = {}
    for package, folder in TREES.items():
        for path in folder.rglob("*.py"):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[tuple[str, int]]:
    """Our modules that one imports, anywhere in its text, and the line."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        targets = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            # `from package import module` is an import of the module.
            members = (f"{base}.{alias.name}" for alias in node.names)
            targets = [member if member in MODULES else base for member in members]
        for target in targets:
            if target in MODULES and target != name:
                yield target, node.lineno


def house_map() -> dict[str, list[str]]:
    """Room -> what it may import, from the table in CONTRIBUTING.md; `ground` is many modules."""
    table = GUIDE.partition("<!-- map -->")[2].partition("<!-- end of map -->")[0]
    rows = re.findall(r"^\| (`[^|]+)\|[^|]*\|([^|]*)\|$", table, re.M)
    return {
        room: re.findall(r"`([^`]+)`", allowed)
        for rooms, allowed in rows
        for room in re.findall(r"`([^`]+)`", rooms)
    }


MAP = house_map()
GROUND = re.findall(r"`([^`]+)`", GUIDE.partition("Ground floor:")[2].partition("\n\n")[0])


def room(name: str) -> str:
    """`cropzoom.trainer.nano.pages` -> "trainer/nano"; `cropzoom.files` -> "ground"."""
    parts = name.split(".")[1:] or ["__init__"]
    if parts[0] in GROUND:
        return "ground"
    if parts[0] == "trainer":
        inner = "/".join(parts[:2])
        return inner if inner in MAP else "trainer"
    return parts[0]


def arrows() -> dict[tuple[str, str], list[str]]:
    """(room, room) -> the places where the first imports the second."""
    found = defaultdict(list)
    for name in MODULES:
        for target, line in imports(name):
            if room(target) != room(name):
                place = f"{MODULES[name].relative_to(ROOT)}:{line}"
                found[room(name), room(target)].append(place)
    return found


def test_every_import_goes_where_the_map_allows() -> None:
    assert MAP and GROUND
    wrong = {
        f"{here} -> {there}": places
        for (here, there), places in arrows().items()
        if there not in MAP.get(here, ())
    }
    assert not wrong, "move the code, or, if the arrow is right, draw it in CONTRIBUTING.md"


def test_the_map_shows_what_there_is() -> None:
    assert set(MAP) == {room(name) for name in MODULES}
    unused = {(here, there) for here, allowed in MAP.items() for there in allowed} - set(arrows())
    # Whoever is new in a room may use the ground floor from the first day.
    assert {arrow for arrow in unused if arrow[1] != "ground"} == set()


def test_there_is_no_circle() -> None:
    """Not between rooms, nor on the ground floor, whose modules are rooms of their own."""
    ground = {
        name: {to for to, _ in imports(name) if room(to) == "ground"}
        for name in MODULES
        if room(name) == "ground"
    }
    for graph in (MAP, ground):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            raise AssertionError(" <- ".join(error.args[1])) from error


def test_a_file_name_tells_its_room() -> None:
    homes = defaultdict(set)
    for path in MODULES.values():
        homes[path.name].add(path.parent.relative_to(ROOT).as_posix())
    twice = {name for name, rooms in homes.items() if len(rooms) > 1} - {"__init__.py"}
    twins = re.findall(r"`(\w+\.py)`", GUIDE.partition("Twins:")[2].partition("\n\n")[0])
    assert twice == set(twins), {name: homes[name] for name in twice ^ set(twins)}


def test_the_wheel_holds_every_package() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    listed = re.search(r"^packages = \[(.*?)^\]", text, re.S | re.M)
    assert listed
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert set(re.findall(r'"([\w.]+)"', listed[1])) == packages
