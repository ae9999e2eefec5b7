# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a running testbed knows about itself: one JSON file in its run directory."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

DEFAULT_RUN = Path("/run/hostfence-testbed")


@dataclass(frozen=True)
class NodeRecord:
    """A node that is a machine of its own.

    :param index: its number from 1, from which its addresses follow
    """

    name: str
    index: int
    ipv4: str
    ipv6: str
    control_plane: bool


@dataclass
class State:
    """A testbed's record.

    :param up: it came up whole
    :param port: of 127.0.0.1, where the API is
    :param netns_existed: the machine had named network namespaces before
    :param crds: source of the definitions
    :param crds_version: ``v1`` or ``v3``, for ours
    :param calico_version: version the cluster says it runs
    :param felix_backend: what Felix, real or recorded, programs
    :param calico_bin: directory of the real Felix and kube-controllers; empty: stand-ins
    :param auto_host_endpoints: environment override of kube-controllers; empty: none
    :param simulated: number of Node objects without a machine
    :param agent_image: the Python image on the nodes, by digest; empty: no kubelets run
    """

    up: bool = False
    port: int = 0
    netns_existed: bool = False
    crds: str = "ours"
    crds_version: str = "v1"
    calico_version: str = ""
    felix_backend: str = "nft"
    calico_bin: str = ""
    auto_host_endpoints: str = ""
    simulated: int = 0
    agent_image: str = ""
    nodes: dict[str, NodeRecord] = field(default_factory=dict)

    @property
    def kubelets(self) -> bool:
        """Whether the nodes run pods."""
        return bool(self.agent_image)


def run_directory() -> Path:
    """``HOSTFENCE_TESTBED``, else the machine's one testbed.

    The variable is also what ``env`` prints; set to another directory, it makes a second testbed.
    """
    return Path(os.environ.get("HOSTFENCE_TESTBED") or DEFAULT_RUN)


def namespace_prefix(run: Path) -> str:
    """Begins the names of a testbed's network namespaces, which are the machine's, not the directory's."""
    if run == DEFAULT_RUN:
        return "hf"
    return "hf" + hashlib.sha256(str(run).encode()).hexdigest()[:6]


def load(run: Path) -> State | None:
    """The record in a run directory, if there is a readable one."""
    try:
        data = json.loads((run / "state.json").read_text())
    except (OSError, ValueError):
        return None
    data["nodes"] = {name: NodeRecord(**record) for name, record in data["nodes"].items()}
    return State(**data)


def save(run: Path, state: State) -> None:
    """Writes the record; a reader sees the old one or the new one."""
    new = run / "state.json.new"
    new.write_text(json.dumps(asdict(state), indent=1))
    new.replace(run / "state.json")


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """One command at a time changes a testbed.

    The directory above is what is locked: a lock file of its own would be left behind.
    """
    run.parent.mkdir(parents=True, exist_ok=True)
    directory = os.open(run.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)
