# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is sent to a node runs there with Python 3.9 and nothing else."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MODULE = ROOT / "plugins" / "modules" / "failsafe_info.py"
OURS = "ansible_collections.hostfence.calico."
OLDEST = (3, 9)
# Where nothing else is at hand on a node: each is imported inside a function, with an answer if it is absent.
OPTIONAL = {"yaml"}


def shipped(module: Path = MODULE) -> dict[Path, ast.Module]:
    """The module and each file of the collection that it imports, in functions too: what Ansible sends."""
    found: dict[Path, ast.Module] = {}
    waiting = [module]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = ast.parse(path.read_text(), feature_version=OLDEST)
        waiting.extend(ours(path, found[path]))
    return found


def ours(path: Path, tree: ast.Module) -> Iterator[Path]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = path.parents[node.level - 1]
            home = base / (node.module or "").replace(".", "/")
        elif (node.module or "").startswith(OURS):
            home = ROOT / str(node.module)[len(OURS) :].replace(".", "/")
        else:
            continue
        for candidate in (home.with_suffix(".py"), *(home / f"{name.name}.py" for name in node.names)):
            if candidate.exists():
                yield candidate


def foreign_imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module)


@pytest.mark.parametrize("module", [MODULE, MODULE.with_name("node_flows.py")], ids=lambda path: path.stem)
def test_it_is_written_for_the_oldest_python_and_needs_nothing_but_python(module: Path) -> None:
    files = shipped(module)
    assert {path.relative_to(ROOT / "plugins").parts[:-1][:2] for path in files} == {
        ("modules",),
        ("module_utils", "calico"),
        ("module_utils", "node"),
    }
    strangers = {
        f"{path.name} imports {name}"
        for path, tree in files.items()
        for name in foreign_imports(tree)
        if name.partition(".")[0] not in sys.stdlib_module_names | OPTIONAL
        and not name.startswith(("ansible.module_utils.basic", OURS))
    }
    assert strangers == set()


def test_it_runs_on_the_oldest_python(tmp_path: Path) -> None:
    python = os.environ.get("HOSTFENCE_PYTHON39") or shutil.which("python3.9")
    if python is None or subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode:
        pytest.skip("no Python 3.9: put python3.9 on the PATH, or name it with HOSTFENCE_PYTHON39")
    # As on a node: what Ansible sends, and not what is installed beside this test.
    for path in shipped():
        target = tmp_path / "ansible_collections" / "hostfence" / "calico" / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    done = subprocess.run(
        [python, "-I", "-c", CHECK, str(tmp_path), str(RECORDED)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "3.9 True 9 inbound and 9 outbound failsafe ports are in force"


RECORDED = ROOT / "tests" / "unit" / "recordings"
CHECK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.hostfence.calico.plugins.module_utils.node import failsafe_check
name, state = "classes-iptables-nft", "11-eth0hep-all"
cases = json.load(open(f"{sys.argv[2]}/cases/{name}.json"))["cases"]
case = next(item for item in cases if item["name"] == state)
node, dumps = case["nodes"][0], f"{sys.argv[2]}/felix/dumps/{name}/{state}"
dump = {"iptables_save": f"{dumps}/iptables-save.txt", "ip6tables_save": f"{dumps}/ip6tables-save.txt"}
result = failsafe_check.check(case["objects"], None, node["name"], node["interfaces"], dump)
print("%d.%d" % sys.version_info[:2], result["ok"], result["summary"])
"""
