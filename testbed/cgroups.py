# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node's own part of the machine's control groups, in which its kubelet keeps all pods.

The machine may have control groups of version 1 (a tree per controller), version 2 (one tree), or both.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from testbed.errors import TestbedError

_ROOT = Path("/sys/fs/cgroup")
_CONTROLLERS = "+cpu +cpuset +memory +pids"
_GONE_SECONDS = 10


def create(name: str) -> None:
    """Makes a group of this name in every tree.

    :raises TestbedError: the machine does not let us
    """
    try:
        _create(name)
    except OSError as error:
        raise TestbedError(f"{error.filename}: {error.strerror}: kubelets need to write control groups")


def _create(name: str) -> None:
    for tree in _trees():
        group = tree / name
        group.mkdir(exist_ok=True)
        # Empty in a new group of version 1, and then nothing can be started in it.
        for file in ("cpuset.cpus", "cpuset.mems") if _is_version_1() else ():
            if (tree / file).exists():
                (group / file).write_text((tree / file).read_text())
    if not _is_version_1():
        for group in (_ROOT, _ROOT / name):
            (group / "cgroup.subtree_control").write_text(_CONTROLLERS)


def remove(pattern: str) -> None:
    """Removes the groups of these names with all in them, once their processes have ended.

    :param pattern: of a name, with ``*``
    :raises TestbedError: a process in one of them does not end
    """
    deadline = time.monotonic() + _GONE_SECONDS
    for tree in (_ROOT, *_trees()):
        for group in tree.glob(pattern):
            while group.is_dir():
                _remove_tree(group)
                if time.monotonic() > deadline:
                    raise TestbedError(f"processes in {group} do not end")
                time.sleep(0.02)


def pod_processes(name: str, uid: str) -> list[int]:
    """Processes of a pod, in the machine's numbering.

    :param name: the node's group
    :param uid: the pod's
    """
    tree = _ROOT / "memory" if _is_version_1() else _ROOT
    found = []
    for procs in (tree / name).glob(f"kubepods/**/pod{uid}/**/cgroup.procs"):
        # A container may be ending meanwhile.
        with suppress(OSError):
            found += [int(pid) for pid in procs.read_text().split()]
    return found


def _is_version_1() -> bool:
    return not (_ROOT / "cgroup.controllers").exists()


def _trees() -> Iterator[Path]:
    if not _is_version_1():
        yield _ROOT
        return
    # Symbolic links lead to trees that several controllers share.
    yield from (path for path in _ROOT.iterdir() if path.is_dir() and not path.is_symlink())


def _remove_tree(group: Path) -> None:
    for directory, _directories, _files in os.walk(group, topdown=False):
        # Busy until the last process in it is gone.
        with suppress(OSError):
            os.rmdir(directory)
