# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Ansible really sends to a node: the files that are in the payload when the module arrives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.node.test_old_python import ROOT, shipped

ANSIBLE = Path(sys.executable).with_name("ansible")
KEPT = {"ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_PIPELINING": "0"}
PLUGINS = "ansible_collections/hostfence/calico/plugins/"
# Nothing that reads the API, plans or judges policy files: a node neither needs it nor should hold it.
PACKAGES = {
    "modules",
    "module_utils/node",
    "module_utils/calico",
    "module_utils/calico/failsafe",
    "module_utils/calico/felix",
    "module_utils/calico/stored",
    "module_utils/calico/verdict",
}


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Paths below plugins/ in what arrives on a node for failsafe_info."""
    place = tmp_path_factory.mktemp("payload")
    command = [ANSIBLE, "localhost", "-i", "localhost,", "-c", "local"]
    command += ["-e", f"ansible_python_interpreter={sys.executable}"]
    command += ["-m", "hostfence.calico.failsafe_info", "-a", f"src={place / 'absent'}"]
    environment = {**os.environ, **KEPT, "ANSIBLE_REMOTE_TEMP": str(place)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "is not a file or directory" in done.stdout, done.stdout + done.stderr
    (packed,) = place.glob("ansible-tmp-*/AnsiballZ_failsafe_info.py")
    subprocess.run([sys.executable, packed, "explode"], check=True, capture_output=True)
    root = packed.parent / "debug_dir" / PLUGINS
    return {str(path.relative_to(root)) for path in root.rglob("*.py") if path.name != "__init__.py"}


def test_a_node_gets_what_the_check_imports_and_nothing_else(payload: set[str]) -> None:
    assert payload == {str(path.relative_to(ROOT / "plugins")) for path in shipped()}
    assert {name.rpartition("/")[0] for name in payload} == PACKAGES


def test_the_architecture_page_says_what_travels() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.partition("## What travels to nodes")[2].partition("\n## ")[0]
    assert set(re.findall(r"^- `plugins/([^`]+)/`", section, re.MULTILINE)) == PACKAGES
