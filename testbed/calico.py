# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What programs the nodes and makes auto host endpoints: real Felix and kube-controllers, or stand-ins."""

from __future__ import annotations

import os
from pathlib import Path

from testbed.errors import TestbedError
from testbed.fabric import Fabric
from testbed.nodes import Nodes
from testbed.process import Processes
from testbed.standins.recorded_felix import BACKENDS
from testbed.state import NodeRecord, State

FELIX_BACKENDS = ("nft", "legacy", "nftables")

# Both exit when their configuration changes and want to be started again, as under a kubelet.
_AGAIN = 'while :; do "$@" || echo "ended with $?, starting again"; sleep 0.3; done'
_FELIX = "calico-felix"
_CONTROLLERS = "kube-controllers"
_BACKEND_SETTINGS = {
    "nft": {"FELIX_IPTABLESBACKEND": "NFT", "FELIX_NFTABLESMODE": "Disabled"},
    "legacy": {"FELIX_IPTABLESBACKEND": "Legacy", "FELIX_NFTABLESMODE": "Disabled"},
    "nftables": {"FELIX_NFTABLESMODE": "Enabled"},
}


def binaries_directory() -> str:
    """``HOSTFENCE_CALICO_BIN``, checked.

    :raises TestbedError: it does not hold both programs
    """
    directory = os.environ.get("HOSTFENCE_CALICO_BIN", "")
    for name in (_FELIX, _CONTROLLERS) if directory else ():
        if not os.access(Path(directory) / name, os.X_OK):
            raise TestbedError(f"HOSTFENCE_CALICO_BIN: {directory} has no executable {name}")
    return directory


def check_backend(backend: str, directory: str) -> None:
    """Refuses a back end that nothing can program.

    :raises TestbedError: stand-ins are in use and have no recording of it
    """
    if not directory and backend not in BACKENDS:
        raise TestbedError(
            f"--felix-backend {backend}: not recorded; set HOSTFENCE_CALICO_BIN for a real Felix"
        )


def description(state: State) -> str:
    """Which of the two is in use, in one line."""
    if state.calico_bin:
        return f"real Felix ({state.felix_backend}) and kube-controllers from {state.calico_bin}"
    return f"stand-ins: recorded Felix rules ({state.felix_backend}), node controller of the testbed"


class Calico:
    """Calico's processes on one testbed.

    :param kubeconfig: with the API's address in the fabric
    """

    def __init__(self, run: Path, state: State, fabric: Fabric, nodes: Nodes, kubeconfig: Path) -> None:
        self._run = run
        self._state = state
        self._fabric = fabric
        self._nodes = nodes
        self._kubeconfig = kubeconfig
        self._processes = Processes(run)

    def start(self) -> None:
        """Starts what is not for one node: the controller and what loads recorded rules."""
        if self._state.calico_bin:
            self._start_controllers()
            return
        self._stand_in("node-controller", *self._override())
        self._stand_in("recorded-felix", "--run", str(self._run))

    def start_on(self, node: NodeRecord) -> None:
        """Starts a node's Felix; the recorded one notices new nodes by itself."""
        if not self._state.calico_bin:
            return
        environment = {
            "KUBECONFIG": str(self._kubeconfig),
            "FELIX_DATASTORETYPE": "kubernetes",
            "FELIX_FELIXHOSTNAME": node.name,
            "FELIX_HEALTHENABLED": "true",
            "FELIX_LOGSEVERITYSCREEN": "Warning",
            "FELIX_LOGFILEPATH": "none",
            "FELIX_LOGSEVERITYSYS": "none",
            # A build without cgo cannot look for the load balancer it would clean up, and ends at once.
            "FELIX_DebugSkipCTLBCleanup": "true",
            **_BACKEND_SETTINGS[self._state.felix_backend],
        }
        felix = str(Path(self._state.calico_bin) / _FELIX)
        self._processes.spawn(
            f"felix-{node.name}",
            [*self._nodes.inside(node.name), "sh", "-c", _AGAIN, "felix", felix],
            environment=environment,
        )

    def _start_controllers(self) -> None:
        environment = {
            "KUBECONFIG": str(self._kubeconfig),
            "DATASTORE_TYPE": "kubernetes",
            "ENABLED_CONTROLLERS": "node",
            "LOG_LEVEL": "warning",
        }
        if self._state.auto_host_endpoints:
            environment["AUTO_HOST_ENDPOINTS"] = self._state.auto_host_endpoints
        controllers = str(Path(self._state.calico_bin) / _CONTROLLERS)
        # In the fabric: its metrics listen on all addresses.
        self._processes.spawn(
            _CONTROLLERS,
            ["sh", "-c", _AGAIN, _CONTROLLERS, controllers],
            netns=self._fabric.netns,
            environment=environment,
        )

    def _override(self) -> list[str]:
        value = self._state.auto_host_endpoints
        return ["--auto-host-endpoints", value] if value else []

    def _stand_in(self, name: str, *arguments: str) -> None:
        module = f"testbed.standins.{name.replace('-', '_')}"
        self._processes.spawn_python(
            name, module, "--kubeconfig", str(self._kubeconfig), *arguments, netns=self._fabric.netns
        )
