# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An agent travels as single files, so whatever they import must travel with them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles" / "host_endpoints"
AUDIT = ROOT / "roles" / "audit"
SHARED = ROOT / "plugins" / "module_utils"
VOCABULARY = SHARED / "calico"


def travelling() -> set[Path]:
    """As the role lists them."""
    [listed] = re.findall(r"\+ \[('[^]]*\.py')\]", (ROLE / "vars" / "main.yml").read_text())
    names = re.findall(r"'([^']+)'", listed)
    return {*(ROLE / "files" / "agent").glob("*.py"), *(VOCABULARY / name for name in names)}


def imported(file: Path) -> set[str]:
    """Names of the files beside it that it imports once it is on a node."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1, f"{file}: agents are one package"
            found |= {node.module} if node.module else {alias.name for alias in node.names}
    return {f"{name}.py" for name in found}


def test_all_that_an_agent_imports_travels_with_it():
    files = travelling()
    names = {file.name for file in files}
    assert len(names) == len(files)
    assert {file.name: imported(file) - names for file in files if imported(file) - names} == {}


def observing() -> dict[str, Path]:
    """What the agents that observe flows are, as the role audit lists it: place below the package to file."""
    given = yaml.safe_load((AUDIT / "vars" / "main.yml").read_text())
    shared = {name: SHARED / name for name in given["__audit_agent_shared"]}
    api = {f"calico/{name}": ROLE / "files" / "agent" / name for name in given["__audit_agent_api"]}
    own = {f"agent/{file.name}": file for file in (AUDIT / "files" / "agent").glob("*.py")}
    return {"__init__.py": SHARED / "__init__.py", **shared, **api, **own}


def placed(place: str, file: Path) -> set[str]:
    """Places of the files that a file imports once it is at its place."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            package = place.split("/")[: -node.level]
            module = [*package, *(node.module.split(".") if node.module else ())]
            names = [[*module, alias.name] for alias in node.names]
            # What is named is a module of its own where no file has the package's name.
            whole = "/".join(module) + ".py"
            found |= {whole} if node.module and _is_module(module) else {"/".join(n) + ".py" for n in names}
    return found


def _is_module(parts: list[str]) -> bool:
    return not (SHARED.joinpath(*parts).is_dir() or (AUDIT / "files").joinpath(*parts).is_dir())


def test_all_that_an_observing_agent_imports_travels_with_it():
    files = observing()
    missing = {place: sorted(placed(place, file) - files.keys()) for place, file in files.items()}
    assert {place: names for place, names in missing.items() if names} == {}


def test_nothing_travels_with_it_that_nobody_imports():
    files = observing()
    wanted = set().union(*(placed(place, file) for place, file in files.items()))
    packages = {place for place in files if place.endswith("__init__.py")}
    assert set(files) - wanted - packages == {"agent/__main__.py"}


def test_nothing_travels_that_nobody_imports():
    wanted = set().union(*(imported(file) for file in travelling()))
    assert {file.name for file in travelling() if file.parent == VOCABULARY} - wanted == set()
