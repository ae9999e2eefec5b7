# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The artefact works where nothing of this checkout is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
BUNDLE = Path(sysconfig.get_path("purelib")) / "ansible_collections"
NOT_SHIPPED = {
    "testbed",
    "tests",
    "molecule",
    "bench",
    "collections",
    ".ci",
    ".devcontainer",
    ".github",
    ".pre-commit-config.yaml",
    "Makefile",
    "pyproject.toml",
    ".venv",
}


@pytest.fixture(scope="module")
def artefact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    build = [BIN / "ansible-galaxy", "collection", "build", "--output-path", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("hostfence-calico-*.tar.gz")
    return built


def test_it_holds_every_module_and_role_and_nothing_of_the_workshop(artefact):
    with tarfile.open(artefact) as tar:
        names = set(tar.getnames())
    for module in (ROOT / "plugins" / "modules").glob("*.py"):
        assert f"plugins/modules/{module.name}" in names
    for role in (ROOT / "roles").iterdir():
        assert f"roles/{role.name}/meta/argument_specs.yml" in names
        assert any(name.startswith(f"roles/{role.name}/tasks/") for name in names)
    assert {"plugins/inventory/nodes.py", "playbooks/site.yml", "README.md", "LICENSE"} <= names
    assert not {name.split("/")[0] for name in names} & NOT_SHIPPED
    assert not any("__pycache__" in name for name in names)
    assert "changelogs/.plugin-cache.yaml" not in names


@pytest.mark.one_flavour
def test_site_runs_from_an_empty_directory(artefact, clean_api, tmp_path):
    names = clean_api.add_nodes(3)
    installed = tmp_path / "collections"
    # Elsewhere there is no bundle: what the collection builds on is installed beside it.
    shutil.copytree(BUNDLE / "kubernetes", installed / "ansible_collections" / "kubernetes")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "K8S_AUTH_KUBECONFIG": clean_api.kubeconfig,
        "ANSIBLE_COLLECTIONS_PATH": str(installed),
        "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false",
    }

    def run(*command: object) -> str:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    galaxy = BIN / "ansible-galaxy"
    run(galaxy, "collection", "install", artefact, "-p", installed, "--offline", "--force")
    site = [BIN / "ansible-playbook", "-i", "localhost,", "hostfence.calico.site"]
    run(*site)
    stored = {h["metadata"]["name"] for h in clean_api.admin.list(clean_api.path("HostEndpoint"))}
    assert stored == {f"{name}-hostfence" for name in names}
    assert "changed=0" in run(*site)


def test_a_checkout_is_a_project_of_awx(tmp_path):
    """AWX installs what collections/requirements.yml names from there, and then runs site.yml."""
    shutil.copytree(BUNDLE / "kubernetes", tmp_path / "ansible_collections" / "kubernetes")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
        "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false",
    }
    install = ["ansible-galaxy", "collection", "install", "-r", "collections/requirements.yml"]
    for command, *options in (
        [*install, "-p", str(tmp_path), "--offline"],
        ["ansible-playbook", "--syntax-check", "-i", "localhost,", "site.yml"],
    ):
        done = subprocess.run(
            [BIN / command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    installed = tmp_path / "ansible_collections" / "hostfence" / "calico"
    assert (installed / "playbooks" / "site.yml").is_file()
