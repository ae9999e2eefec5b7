# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The arrows of docs/architecture.md go one way, what is pure does no I/O, and its tests mirror its files.

No two classes have the same name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UTILITIES = ROOT / "plugins" / "module_utils"
FILES = sorted(path for path in UTILITIES.rglob("*.py") if path.name != "__init__.py")
PLUGIN_UTILS = sorted((ROOT / "plugins" / "plugin_utils").rglob("*.py"))
# What each part may import, besides itself. The programs of node/ are sent by what arms a watchdog.
MAY_IMPORT = {
    "calico": set(),
    "node": {"calico"},
    "controller": {"calico"},
    "cluster": {"calico", "controller", "node"},
}
OUTSIDE = {
    "ansible", "asyncio", "http", "kubernetes", "os", "random", "requests", "shutil", "socket", "ssl",
    "subprocess", "sys", "tempfile", "time", "urllib3", "yaml",
}  # fmt: skip
# Files that need no test file of their own, and why.
WITHOUT_BEHAVIOUR = {
    "calico/policy/write.py": "one dataclass without a method; test_neutral.py makes and compares its values",
}
# Files that do nothing without an API server, and the test file that runs them against a real one.
AGAINST_A_REAL_API = {
    "cluster/agent_pods.py": "integration/test_agent_pods.py",
    "cluster/client.py": "integration/test_connection.py",
    "cluster/cluster_info.py": "integration/test_cluster_info.py",
    "cluster/enforcement.py": "integration/test_enforce.py",
    "cluster/host_endpoints.py": "integration/test_host_endpoints.py",
    "cluster/lease.py": "integration/test_parallel_runs.py",
    "cluster/planning.py": "integration/test_plan.py",
    "cluster/transaction.py": "integration/test_enforce.py",
    "cluster/transaction_proof.py": "integration/test_enforce.py",
    "cluster/transaction_store.py": "integration/test_enforce.py",
    "cluster/watchdogs.py": "integration/test_watchdog_pods.py",
}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(UTILITIES).with_suffix("").parts)


def imported(path: Path) -> Iterator[str]:
    """Names of the files of module_utils that a file imports; imports are relative there."""
    here = path.relative_to(UTILITIES).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            module = (
                (*here[: -node.level], *(node.module or "").split("."))
                if node.module
                else here[: -node.level]
            )
            for alias in node.names:
                inner = UTILITIES.joinpath(*module, f"{alias.name}.py")
                yield ".".join((*module, alias.name)) if inner.exists() else ".".join(module)


def package_of(name: str) -> str:
    """calico.lint of calico.lint.run, calico of calico.selector, cluster of cluster.client."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "calico" and len(parts) > 2 else parts[0]


ARROWS = {name_of(path): set(imported(path)) for path in FILES}


def assert_no_circle(graph: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(f"a circle of imports: {' -> '.join(circle.args[1])}")


def test_no_file_imports_itself_by_way_of_others() -> None:
    assert sum(map(len, ARROWS.values())) > 100
    assert_no_circle(ARROWS)


def test_no_package_imports_itself_by_way_of_others() -> None:
    packages: dict[str, set[str]] = {}
    for name, targets in ARROWS.items():
        here = package_of(name)
        packages.setdefault(here, set()).update({package_of(target) for target in targets} - {here})
    assert_no_circle(packages)


def test_each_part_imports_only_what_is_below_it() -> None:
    wrong = [
        f"{name} -> {target}"
        for name, targets in ARROWS.items()
        for target in targets
        if target.split(".")[0] not in MAY_IMPORT[name.split(".")[0]] | {name.split(".")[0]}
    ]
    assert wrong == []


def test_only_the_plan_imports_lint_and_nothing_pure_imports_failsafe_or_plan() -> None:
    users = {"calico.lint": {"calico.plan"}, "calico.failsafe": set(), "calico.plan": set()}
    for package, allowed in users.items():
        found = {
            package_of(name)
            for name, targets in ARROWS.items()
            if name.startswith("calico.") and any(package_of(target) == package for target in targets)
        }
        assert found - {package} <= allowed


def test_no_two_classes_have_the_same_name() -> None:
    found: dict[str, list[str]] = {}
    for path in (*FILES, *PLUGIN_UTILS):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(path.stem)
    assert len(found) > 200
    assert {name: files for name, files in found.items() if len(files) > 1} == {}


@pytest.mark.parametrize("path", [path for path in FILES if name_of(path).startswith("calico.")], ids=name_of)
def test_what_is_pure_does_no_io(path: Path) -> None:
    named: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            named |= {alias.name.split(".")[0] for alias in node.names}
        # How an address is written is no I/O.
        elif (
            isinstance(node, ast.ImportFrom)
            and not node.level
            and not all(alias.name.startswith(("inet_", "AF_INET")) for alias in node.names)
        ):
            named.add((node.module or "").split(".")[0])
    assert named & OUTSIDE == set()


def has_tests(path: Path) -> bool:
    return path.exists() and bool(re.search(r"^ *def test_", path.read_text(), re.MULTILINE))


def test_every_file_has_a_test_file_of_its_own_name() -> None:
    places = [path.relative_to(UTILITIES) for path in FILES]
    tests = ROOT / "tests"
    untested = {
        str(place) for place in places if not has_tests(tests / "unit" / place.parent / f"test_{place.name}")
    }
    assert untested == WITHOUT_BEHAVIOUR.keys() | AGAINST_A_REAL_API.keys()
    assert [name for name in AGAINST_A_REAL_API.values() if not has_tests(tests / name)] == []
    assert [name for name in AGAINST_A_REAL_API if name.startswith("calico/")] == []


def test_what_marks_a_package_is_empty() -> None:
    assert [path for path in (ROOT / "plugins").rglob("__init__.py") if path.stat().st_size] == []


def test_a_name_that_once_meant_several_things_means_one() -> None:
    once = [
        "ApiError", "Entity", "Finding", "Flow", "KernelRule", "Members", "NetworkSet", "NodeFacts",
        "Outcome", "Plan", "Policy", "Rule", "Surroundings", "Tier", "Wanted", "Workload", "_Reader",
        "FelixSettings", "Step",
    ]  # fmt: skip
    agent = ROOT / "roles" / "host_endpoints" / "files" / "agent"
    classes = [
        node.name
        for path in (*FILES, *agent.glob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    assert [name for name in once if classes.count(name) != 1] == []


def test_a_constant_that_once_had_several_values_stands_in_one_place() -> None:
    once = ["ALL_INTERFACES", "DAEMONSET", "DEFAULT_ALLOW_PROFILE", "JOB", "NODES", "PROTOCOLS", "TYPHA_PORT"]
    places: dict[str, set[str]] = {}
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            for target in node.targets if isinstance(node, ast.Assign) else ():
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        places.setdefault(name.id, set()).add(name_of(path))
    # What is sent to nodes has no need of the verdict's flows.
    places["TYPHA_PORT"].discard("node.vital")
    assert {name: places[name] for name in once if len(places[name]) != 1} == {}
