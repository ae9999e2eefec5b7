# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An agent travels as single files, so whatever they import must travel with them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles" / "host_endpoints"
VOCABULARY = ROOT / "plugins" / "module_utils" / "calico"


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


def test_nothing_travels_that_nobody_imports():
    wanted = set().union(*(imported(file) for file in travelling()))
    assert {file.name for file in travelling() if file.parent == VOCABULARY} - wanted == set()
