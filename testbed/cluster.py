# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole testbed: bringing it up, changing it, taking it down."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from testbed import (
    binaries,
    calico,
    commands,
    crds,
    fabric,
    forwarder,
    installation,
    node_objects,
    packages,
    ssh,
    state,
)
from testbed.api import Api, ApiError
from testbed.binaries import Say
from testbed.control_plane import ControlPlane
from testbed.errors import TestbedError
from testbed.nodes import Nodes
from testbed.process import Processes
from testbed.standins import recorded_felix
from testbed.state import NodeRecord, State

ALREADY_UP = 3


@dataclass(frozen=True)
class Options:
    """What ``up`` was asked for.

    :param nodes: machines
    :param simulated: further Node objects
    :param crds: ``ours``, ``none`` or a directory
    :param crds_version: ``v1`` or ``v3``, for ours
    :param felix_backend: one of :data:`testbed.calico.FELIX_BACKENDS`
    :param auto_host_endpoints: kube-controllers' environment override; empty: none
    """

    nodes: int = 3
    simulated: int = 0
    crds: str = "ours"
    crds_version: str = "v1"
    felix_backend: str = "nft"
    auto_host_endpoints: str = ""


class Testbed:
    """The testbed of one run directory.

    :param run: the directory
    :param say: told what is going on, one line a call
    """

    __test__ = False

    def __init__(self, run: Path, say: Say) -> None:
        self.run = run
        self._say = say
        self._fabric = fabric.Fabric(state.namespace_prefix(run))
        self._processes = Processes(run)
        self._nodes = Nodes(run, self._fabric)

    @property
    def kubeconfig(self) -> Path:
        return self.run / "kubeconfig"

    def state(self) -> State | None:
        return state.load(self.run)

    def running(self) -> State:
        """The record of a testbed that is up.

        :raises TestbedError: there is none
        """
        found = self.state()
        if found is None or not found.up:
            raise TestbedError("no testbed is up: start one with `python -m testbed up`")
        if not self._alive("kube-apiserver"):
            raise TestbedError("the testbed's API server has ended: run `python -m testbed down`, then `up`")
        return found

    def up(self, options: Options) -> State:
        """Starts everything; what fails or is interrupted half-way is taken down again.

        :raises TestbedError: it cannot start, or one runs already (status ``ALREADY_UP``)
        """
        definitions = crds.load(options.crds, options.crds_version)
        calico_bin = calico.binaries_directory()
        calico.check_backend(options.felix_backend, calico_bin)
        packages.require(self._say)
        found = binaries.locate(binaries.CONTROL_PLANE, self._say)
        with state.locked(self.run):
            self._make_room()
            try:
                record = State(
                    netns_existed=fabric.directory_exists(),
                    crds=options.crds,
                    crds_version=options.crds_version,
                    calico_version=installation.version_of(options.crds),
                    felix_backend=options.felix_backend,
                    calico_bin=calico_bin,
                    auto_host_endpoints=options.auto_host_endpoints,
                )
                self.run.mkdir(mode=0o700, parents=True, exist_ok=True)
                state.save(self.run, record)
                self._start(record, options, found, definitions)
            except BaseException:
                # A second Ctrl-C must not leave the half of it behind.
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                self._keep_logs()
                self._take_down(record)
                raise
        return record

    def down(self) -> bool:
        """Takes everything down, also after a crash in the middle of ``up``.

        :returns: whether there was anything
        """
        with state.locked(self.run):
            record = self.state()
            if record is None and self._foreign():
                raise TestbedError(f"{self.run} is not a testbed's run directory")
            there = record is not None or self.run.is_dir()
            self._take_down(record or State(netns_existed=True))
            return there

    def add_node(self, name: str) -> NodeRecord:
        """Adds a machine; an empty name takes the next number."""
        with state.locked(self.run):
            record = self.running()
            if name in record.nodes:
                raise TestbedError(f"{name} is a node already")
            node = _new_node(record, name)
            api = Api(self.kubeconfig)
            try:
                self._launch_nodes(record, [node])
                self._nodes.wait([node])
                self._register(api, [node])
            except BaseException:
                self._forget(record, node.name)
                raise
            self._calico(record).start_on(node)
            self._count_placeholders(api, record)
            return node

    def remove_node(self, name: str) -> None:
        """Removes a machine and its Node object, as when a node leaves a cluster."""
        with state.locked(self.run):
            record = self.running()
            if name not in record.nodes:
                raise TestbedError(f"no node {name}: there are {', '.join(sorted(record.nodes))}")
            api = Api(self.kubeconfig)
            node_objects.delete(api, name)
            self._forget(record, name)
            self._count_placeholders(api, record)

    def client_kubeconfig(self, user: str, groups: list[str], path: Path | None = None) -> Path:
        """A kubeconfig for another user of the running testbed."""
        record = self.running()
        return self._control_plane({}, record.port).client_kubeconfig(user, groups, path)

    def rows(self) -> list[tuple[str, ...]]:
        """One row a node: name, IPv4, IPv6, role, whether it runs, which rules it has."""
        record = self.running()
        try:
            loaded = json.loads((self.run / recorded_felix.STATUS).read_text())
        except OSError:
            loaded = {}
        return [
            (
                node.name,
                node.ipv4,
                node.ipv6,
                "control-plane" if node.control_plane else "worker",
                "running" if self._nodes.alive(node.name) else "ended",
                _rules(record, loaded.get(node.name, {})),
            )
            for node in record.nodes.values()
        ]

    def processes(self) -> list[tuple[str, int, bool]]:
        """Name, pid and whether it lives, of each process."""
        return [(process.name, process.pid, process.alive()) for process in self._processes.all()]

    def _start(
        self, record: State, options: Options, found: dict[str, Path], definitions: list[dict[str, object]]
    ) -> None:
        self._say("starting etcd and kube-apiserver")
        self._fabric.create()
        record.port = forwarder.start(self._processes, self._fabric.netns)
        state.save(self.run, record)
        control_plane = self._control_plane(found, record.port)
        control_plane.launch()
        control_plane.admin_kubeconfig(
            f"https://{fabric.API_ADDRESS}:{fabric.API_PORT}", self._inner_kubeconfig
        )

        self._say(f"starting {options.nodes} nodes")
        ssh.make_keys(self.run)
        nodes = []
        for _number in range(options.nodes):
            nodes.append(_new_node(record, ""))
            record.nodes[nodes[-1].name] = nodes[-1]
        self._launch_nodes(record, nodes)
        control_plane.wait()

        self._say(
            f"installing {len(definitions)} CRDs ({options.crds}), objects of Calico {record.calico_version}"
        )
        api = control_plane.api()
        crds.install(api, definitions)
        if definitions:
            installation.create_defaults(api, crds.kinds(definitions), record.calico_version)
        self._nodes.wait(nodes)
        self._register(api, nodes)
        if options.simulated:
            self._say(f"creating {options.simulated} further Node objects")
            node_objects.create(api, node_objects.simulated(options.simulated))
            record.simulated = options.simulated
        if definitions:
            self._say(calico.description(record))
            self._start_calico(record, nodes)
            installation.create_placeholders(api, record.calico_version)
            self._count_placeholders(api, record)
        record.up = True
        state.save(self.run, record)

    def _start_calico(self, record: State, nodes: list[NodeRecord]) -> None:
        processes = self._calico(record)
        processes.start()
        for node in nodes:
            processes.start_on(node)

    def _launch_nodes(self, record: State, nodes: list[NodeRecord]) -> None:
        record.nodes.update({node.name: node for node in nodes})
        ssh.write_hosts(self.run, list(record.nodes.values()))
        for node in nodes:
            self._nodes.launch(node)
        ssh.write_client(self.run, list(record.nodes.values()), self._fabric.netns)
        state.save(self.run, record)

    def _forget(self, record: State, name: str) -> None:
        self._nodes.remove(name)
        record.nodes.pop(name, None)
        ssh.write_client(self.run, list(record.nodes.values()), self._fabric.netns)
        state.save(self.run, record)

    def _register(self, api: Api, nodes: list[NodeRecord]) -> None:
        bodies = [
            node_objects.node(node.name, node.index, (node.ipv4, node.ipv6), control_plane=node.control_plane)
            for node in nodes
        ]
        node_objects.create(api, bodies)

    def _count_placeholders(self, api: Api, record: State) -> None:
        if record.crds != "none":
            installation.set_placeholder_status(api, len(record.nodes) + record.simulated)

    def _calico(self, record: State) -> calico.Calico:
        return calico.Calico(self.run, record, self._fabric, self._nodes, self._inner_kubeconfig)

    @property
    def _inner_kubeconfig(self) -> Path:
        return self.run / "kubeconfig-nodes"

    def _control_plane(self, found: dict[str, Path], port: int) -> ControlPlane:
        return ControlPlane(
            self.run,
            found,
            netns=self._fabric.netns,
            address=fabric.API_ADDRESS,
            port=fabric.API_PORT,
            server_url=f"https://127.0.0.1:{port}",
        )

    def _make_room(self) -> None:
        """Clears what a killed ``up`` left; refuses to touch what runs or is not ours."""
        record = self.state()
        if record and record.up and self._alive("kube-apiserver"):
            raise TestbedError(
                f"already up: {len(record.nodes)} nodes, KUBECONFIG={self.kubeconfig}; "
                "`down` ends it, `up --if-needed` accepts it",
                ALREADY_UP,
            )
        if self._foreign():
            raise TestbedError(f"{self.run} is not empty and not a testbed's run directory")
        if record:
            self._say("clearing what an interrupted testbed left behind")
            self._take_down(record)

    def _foreign(self) -> bool:
        return self.state() is None and self.run.is_dir() and any(self.run.iterdir())

    def _alive(self, name: str) -> bool:
        process = self._processes.get(name)
        return process is not None and process.alive()

    def _keep_logs(self) -> None:
        """The logs of a failed start are wanted, and the run directory is about to go."""
        if not self._processes.logs.is_dir():
            return
        kept = binaries.cache_directory() / "last-failure"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(self._processes.logs, kept)
        self._say(f"logs of the failed start: {kept}")

    def _take_down(self, record: State) -> None:
        self._processes.stop(self._processes.all())
        self._fabric.destroy()
        for mount in _mounts_below(self.run):
            commands.run(["umount", "--lazy", mount])
        shutil.rmtree(self.run, ignore_errors=True)
        fabric.leave_no_directory(record.netns_existed)


def _rules(record: State, loaded: dict[str, str]) -> str:
    if record.calico_bin:
        return "by Felix"
    if not loaded:
        return "none yet"
    differs = loaded["differs"]
    return f"recorded: {loaded['recording']}" + (f" (not what Felix would do: {differs})" if differs else "")


def check_given(kubeconfig: str) -> None:
    """Checks that the cluster of a given kubeconfig answers.

    :raises TestbedError: it does not
    """
    # Only needed here, and slow to import.
    import kubernetes
    import urllib3

    try:
        client = kubernetes.config.new_client_from_config(kubeconfig)
        kubernetes.client.VersionApi(client).get_code(_request_timeout=10)
    except (
        OSError,
        ApiError,
        kubernetes.config.ConfigException,
        kubernetes.client.ApiException,
        urllib3.exceptions.HTTPError,
    ) as error:
        raise TestbedError(f"{kubeconfig}: {str(error).splitlines()[0]}")


def _new_node(record: State, name: str) -> NodeRecord:
    taken = {node.index for node in record.nodes.values()}
    index = next(number for number in range(1, len(taken) + 2) if number not in taken)
    ipv4, ipv6 = fabric.addresses(index)
    return NodeRecord(name or f"node{index}", index, ipv4, ipv6, control_plane=not record.nodes)


def _mounts_below(directory: Path) -> list[str]:
    """Mount points below a directory, the innermost first."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    below = [point for point in points if point.startswith(f"{directory}{os.sep}")]
    return sorted(below, key=len, reverse=True)
