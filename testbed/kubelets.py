# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A kubelet, containerd and runc on each node: in its namespaces, with paths and control groups of its own.

Everything they would write to the machine is turned elsewhere: /var/lib, /var/log and /run are the node's,
the sysctls of the whole machine are masked (node_init.sh), and paths outside of those are configured below.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from testbed import cgroups, commands, node_objects
from testbed.api import Api, ApiError, write_kubeconfig
from testbed.errors import TestbedError
from testbed.fabric import API_ADDRESS, API_PORT, Fabric
from testbed.images import Image
from testbed.nodes import Nodes
from testbed.pki import Authority
from testbed.process import Processes
from testbed.runtime import Runtime
from testbed.state import NodeRecord

_SOCKET = "/run/containerd/containerd.sock"
_READY_SECONDS = 60
_DNS_ADDRESS = "10.96.0.10"

_CONTAINERD = """\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
# These would make directories of the machine, or need devices of it.
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "{socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Root may have no CAP_SYS_RESOURCE, and then runc fails without a reason.
  restrict_oom_score_adj = true
  # A profile would be the machine's, and stay.
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


class Kubelets:
    """The kubelets of one testbed and what they need.

    :param programs: path of ``kubelet``
    :param images: imported on each node; the first is the pods' sandbox
    :param aliases: further names of the sandbox's image, for place holders
    """

    def __init__(
        self,
        run: Path,
        fabric: Fabric,
        nodes: Nodes,
        programs: Mapping[str, Path],
        runtime: Runtime,
        images: Sequence[Image],
        aliases: Sequence[str],
    ) -> None:
        self._run = run
        self._fabric = fabric
        self._nodes = nodes
        self._programs = programs
        self._runtime = runtime
        self._images = images
        self._aliases = aliases
        self._processes = Processes(run)

    def launch(self, nodes: Sequence[NodeRecord]) -> None:
        """Starts containerd and the kubelet of each node; it registers its Node itself.

        :raises TestbedError: a container runtime does not start or take the images
        """
        pki = Authority(self._run / "pki")
        for node in nodes:
            cgroups.create(self._fabric.node_netns(node.name))
            network = node_objects.pod_network(node.index)
            self._fabric.route_pods(node.name, node.ipv4, network)
            self._configure(node, pki, network)
            self._spawn(
                node.name,
                "containerd",
                ["containerd", "--config", str(self._directory(node.name) / "containerd.toml")],
            )
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._import_images, nodes))
        for node in nodes:
            self.start(node)

    def start(self, node: NodeRecord) -> None:
        """Starts a node's kubelet."""
        directory = self._directory(node.name)
        labels = ",".join(f"{key}={value}" for key, value in node_objects.own_labels(node.index).items())
        command = [
            str(self._programs["kubelet"]),
            f"--config={directory / 'kubelet.yaml'}",
            f"--kubeconfig={directory / 'kubeconfig'}",
            f"--hostname-override={node.name}",
            f"--node-ip={node.ipv4},{node.ipv6}",
            f"--node-labels={labels}",
        ]
        self._spawn(node.name, "kubelet", command)

    def stop(self, node: str) -> None:
        """Kills a node's kubelet, and nothing else on it."""
        process = self._processes.get(f"kubelet-{node}")
        if process is None or not process.alive():
            raise TestbedError(f"no kubelet runs on {node}")
        # What is on record is nsenter, which waits outside of the node for the kubelet inside.
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        self._processes.stop([process])

    def wait(self, api: Api, nodes: Sequence[NodeRecord]) -> None:
        """Waits until the Nodes are registered and Ready.

        :raises TestbedError: one does not become so
        """
        for node in nodes:
            self._until(node.name, "kubelet", "registered", partial(_complete, api, node))
        for node in nodes:
            path = f"{node_objects.PATH}/{node.name}"
            self._until(node.name, "kubelet", "Ready", partial(_is_ready, api, path))

    def _until(self, node: str, program: str, state: str, reached: Callable[[], bool]) -> None:
        """Waits for a state that one of the node's programs brings about."""
        deadline = time.monotonic() + _READY_SECONDS
        while not reached():
            process = self._processes.get(f"{program}-{node}")
            ended = process is not None and not process.alive()
            if ended or time.monotonic() > deadline:
                reason = "has ended" if ended else f"did not do it within {_READY_SECONDS} s"
                tail = self._processes.log_tail(f"{program}-{node}")
                raise TestbedError(f"{node} is not {state}, {program} {reason}: {tail}")
            time.sleep(0.1)

    def _directory(self, node: str) -> Path:
        return self._run / "nodes" / node

    def _spawn(self, node: str, name: str, command: Sequence[str]) -> None:
        inside = [*self._nodes.inside(node), "env", f"PATH={self._runtime.path}"]
        self._processes.spawn(f"{name}-{node}", [*inside, *command])

    def _configure(self, node: NodeRecord, pki: Authority, network: str) -> None:
        directory = self._directory(node.name)
        networks = directory / "networks"
        networks.mkdir()
        (networks / "10-testbed.conflist").write_text(json.dumps(_network(network)))
        (directory / "containerd.toml").write_text(
            _CONTAINERD.format(
                socket=_SOCKET, pause=self._images[0].name, plugins=self._runtime.plugins, networks=networks
            )
        )
        serving = pki.server(f"kubelet-{node.name}", [node.name, node.ipv4, node.ipv6])
        client = pki.client(f"system:node:{node.name}", ["system:nodes"])
        write_kubeconfig(
            directory / "kubeconfig",
            f"https://{API_ADDRESS}:{API_PORT}",
            pki.pair.certificate,
            client.certificate,
            client.key,
        )
        configuration = _kubelet(self._fabric.node_netns(node.name))
        configuration["authentication"]["x509"] = {"clientCAFile": str(pki.pair.certificate)}
        configuration["tlsCertFile"] = str(serving.certificate)
        configuration["tlsPrivateKeyFile"] = str(serving.key)
        (directory / "kubelet.yaml").write_text(yaml.safe_dump(configuration))

    def _import_images(self, node: NodeRecord) -> None:
        def ctr(*arguments: str) -> None:
            program = [*self._nodes.inside(node.name), "env", f"PATH={self._runtime.path}", "ctr"]
            commands.run([*program, "--address", _SOCKET, "--namespace", "k8s.io", *arguments])

        self._until(node.name, "containerd", "ready for images", lambda: _answers(ctr))
        for image in self._images:
            ctr("images", "import", str(image.archive))
        for alias in self._aliases:
            ctr("images", "tag", self._images[0].name, alias)


def check_visible(paths: Iterable[Path]) -> None:
    """Refuses programs and images that the nodes cannot see.

    :raises TestbedError: one lies where a node has something else
    """
    for path in paths:
        for hidden in ("/run", "/var/lib", "/var/log"):
            if path.resolve().is_relative_to(hidden):
                raise TestbedError(
                    f"{path}: the nodes have a {hidden} of their own: set XDG_CACHE_HOME or "
                    "KUBEBUILDER_ASSETS to a directory elsewhere"
                )


def _answers(ctr: Callable[..., None]) -> bool:
    try:
        ctr("version")
    except TestbedError:
        return False
    return True


def _is_ready(api: Api, path: str) -> bool:
    return node_objects.is_ready(api.get(path))


def _complete(api: Api, node: NodeRecord) -> bool:
    try:
        node_objects.complete(api, node.name, node.index, control_plane=node.control_plane)
    except ApiError as error:
        if error.status != 404:
            raise
        return False
    return True


def _network(pods: str) -> dict[str, Any]:
    """The CNI configuration of a node: a bridge, no address translation, no firewall rule."""
    addresses = {"type": "host-local", "ranges": [[{"subnet": pods}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "ipam": addresses}
    return {"cniVersion": "0.4.0", "name": "testbed", "plugins": [bridge]}


def _kubelet(group: str) -> dict[str, Any]:
    """A kubelet's configuration (KubeletConfiguration v1beta1) but for its certificates."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{_SOCKET}",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}},
        "authorization": {"mode": "Webhook"},
        # Control groups of version 1 are fine for a testbed, and all that some machines have.
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{group}",
        # Its default needs CAP_SYS_RESOURCE.
        "oomScoreAdj": 0,
        "failSwapOn": False,
        # Otherwise a directory below the machine's /usr/libexec.
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "makeIPTablesUtilChains": False,
        "clusterDomain": "cluster.local",
        # Nobody answers there, but without it each pod comes with a warning.
        "clusterDNS": [_DNS_ADDRESS],
        "resolvConf": "",
        # The machine's disk may be as full as it likes, and images cannot be fetched again.
        "localStorageCapacityIsolation": False,
        "evictionHard": {
            "memory.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    }
