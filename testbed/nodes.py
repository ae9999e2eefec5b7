# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nodes: namespaces of their own in which an sshd runs, and which look like machines from inside."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from testbed import ssh
from testbed.errors import TestbedError
from testbed.fabric import Fabric
from testbed.process import Processes
from testbed.state import NodeRecord

_INIT = Path(__file__).with_name("node_init.sh")
_READY_SECONDS = 20
_LISTENING_ON_SSH = (":0016 ", " 0A ")


class Nodes:
    """The nodes of one testbed.

    :param run: run directory
    :param fabric: network they are on
    """

    def __init__(self, run: Path, fabric: Fabric) -> None:
        self._run = run
        self._fabric = fabric
        self._processes = Processes(run)

    def launch(self, node: NodeRecord) -> None:
        """Makes a node's namespaces and starts it, without waiting."""
        directory = self._run / "nodes" / node.name
        directory.mkdir(parents=True)
        ssh.configure_server(self._run, directory)
        self._fabric.attach(node.name, (node.ipv4, node.ipv6))
        # Not `ip netns exec`: that hides /sys/fs/cgroup from a kubelet. Killing unshare ends all inside.
        unshare = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
        self._processes.spawn(
            f"node-{node.name}",
            [*unshare, "sh", str(_INIT), node.name, str(directory), str(self._run)],
            netns=self._fabric.node_netns(node.name),
        )

    def wait(self, nodes: Sequence[NodeRecord]) -> None:
        """Waits until the sshd of each listens.

        :raises TestbedError: one did not start
        """
        deadline = time.monotonic() + _READY_SECONDS
        for node in nodes:
            while not self._listens(node.name):
                process = self._processes.get(f"node-{node.name}")
                if time.monotonic() > deadline or (process and not process.alive()):
                    tail = self._processes.log_tail(f"node-{node.name}")
                    raise TestbedError(f"{node.name} did not start: {tail}")
                time.sleep(0.05)

    def remove(self, name: str) -> None:
        """Ends a node with everything in it."""
        kinds = ("node", "felix", "kubelet", "containerd")
        self._processes.stop([one for kind in kinds if (one := self._processes.get(f"{kind}-{name}"))])
        self._fabric.detach(name)
        shutil.rmtree(self._run / "nodes" / name, ignore_errors=True)

    def inside(self, name: str) -> list[str]:
        """Begins a command that is to run inside a node.

        :raises TestbedError: the node does not run
        """
        process = self._processes.get(f"node-{name}")
        if process is None or not process.alive():
            raise TestbedError(f"{name} does not run")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return ["nsenter", "--target", children[0], "--mount", "--pid", "--uts", "--ipc", "--net"]

    def alive(self, name: str) -> bool:
        process = self._processes.get(f"node-{name}")
        return process is not None and process.alive()

    def _listens(self, name: str) -> bool:
        process = self._processes.get(f"node-{name}")
        if process is None:
            return False
        try:
            sockets = Path(f"/proc/{process.pid}/net/tcp6").read_text()
        except OSError:
            return False
        return any(all(mark in line for mark in _LISTENING_ON_SSH) for line in sockets.splitlines())
