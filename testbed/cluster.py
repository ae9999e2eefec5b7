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
    cgroups,
    commands,
    crds,
    fabric,
    forwarder,
    images,
    installation,
    node_objects,
    packages,
    runtime,
    ssh,
    state,
)
from testbed.api import Api, ApiError
from testbed.binaries import Say
from testbed.control_plane import ControlPlane
from testbed.errors import TestbedError
from testbed.kubelets import Kubelets, check_visible
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
    :param kubelets: the nodes run pods
    """

    nodes: int = 3
    simulated: int = 0
    crds: str = "ours"
    crds_version: str = "v1"
    felix_backend: str = "nft"
    auto_host_endpoints: str = ""
    kubelets: bool = False


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
        found = self._record()
        if not self._alive("kube-apiserver"):
            raise TestbedError(
                "the testbed's API server has ended: `python -m testbed start-api` starts it again"
            )
        return found

    def _record(self) -> State:
        found = self.state()
        if found is None or not found.up:
            raise TestbedError("no testbed is up: start one with `python -m testbed up`")
        return found

    def up(self, options: Options) -> State:
        """Starts everything; what fails or is interrupted half-way is taken down again.

        :raises TestbedError: it cannot start, or one runs already (status ``ALREADY_UP``)
        """
        definitions = crds.load(options.crds, options.crds_version)
        calico_bin = calico.binaries_directory()
        calico.check_backend(options.felix_backend, calico_bin)
        if options.kubelets and options.simulated:
            raise TestbedError("--extra-node-objects: no kubelet would renew them; leave out --kubelets")
        # Again under the lock; but nobody shall wait for a build only to be told this.
        self._refuse_second()
        packages.require(self._say)
        found = binaries.locate(_programs(options.kubelets), self._say)
        agent_image = self._prepare_kubelets(found) if options.kubelets else ""
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
                    agent_image=agent_image,
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
                self._register(api, record, [node])
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
            if self._alive(f"kubelet-{name}"):
                self._kubelets(record).stop(name)
            node_objects.delete(api, name)
            self._forget(record, name)
            if record.kubelets:
                node_objects.delete_pods(api, name)
            self._count_placeholders(api, record)

    def stop_kubelet(self, name: str) -> None:
        """Kills a node's kubelet; its pods go on, and after 40 s the cluster calls the node NotReady."""
        with state.locked(self.run):
            self._kubelets(self._with_kubelets(name)).stop(name)

    def start_kubelet(self, name: str) -> None:
        """Starts a killed kubelet again."""
        with state.locked(self.run):
            record = self._with_kubelets(name)
            if self._alive(f"kubelet-{name}"):
                raise TestbedError(f"the kubelet of {name} runs already")
            self._kubelets(record).start(record.nodes[name])

    def stop_api(self) -> None:
        """Kills the API server, as a crash would; etcd goes on."""
        with state.locked(self.run):
            self._control_plane({}, self._record().port).kill()

    def start_api(self) -> None:
        """Starts the API server anew, after killing it where it runs, and waits until it is ready."""
        found = binaries.locate(binaries.CONTROL_PLANE, self._say)
        with state.locked(self.run):
            self._control_plane(found, self._record().port).restart()

    def in_pod_network(self, namespace: str, name: str) -> list[str]:
        """Begins a command that is to run in a pod's network, with the machine's programs.

        :raises TestbedError: no process of such a pod runs
        """
        record = self.running()
        if not record.kubelets:
            raise TestbedError("no pod runs: the testbed was started without --kubelets")
        try:
            pod = Api(self.kubeconfig).get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        except ApiError as error:
            raise TestbedError(f"pod {namespace}/{name}: {error}")
        group = self._fabric.node_netns(pod["spec"].get("nodeName", ""))
        processes = cgroups.pod_processes(group, pod["metadata"]["uid"])
        if not processes:
            raise TestbedError(f"pod {namespace}/{name} runs no process")
        return ["nsenter", f"--net=/proc/{processes[0]}/ns/net"]

    def _with_kubelets(self, name: str) -> State:
        record = self.running()
        if not record.kubelets:
            raise TestbedError("no kubelet runs: the testbed was started without --kubelets")
        if name not in record.nodes:
            raise TestbedError(f"no node {name}: there are {', '.join(sorted(record.nodes))}")
        return record

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
        if record.kubelets:
            (self.run / "agent-image").write_text(record.agent_image)
            self._fabric.open_to_pods()
        record.port = forwarder.start(self._processes, self._fabric.netns)
        state.save(self.run, record)
        control_plane = self._control_plane(found, record.port)
        control_plane.launch()
        control_plane.admin_kubeconfig(
            f"https://{fabric.API_ADDRESS}:{fabric.API_PORT}", self._inner_kubeconfig
        )

        self._say(f"starting {options.nodes} nodes" + (" with kubelets" if record.kubelets else ""))
        ssh.make_keys(self.run)
        nodes = []
        for _number in range(options.nodes):
            nodes.append(_new_node(record, ""))
            record.nodes[nodes[-1].name] = nodes[-1]
        self._launch_nodes(record, nodes)
        control_plane.wait()
        if record.kubelets:
            control_plane.launch_controllers()

        self._say(
            f"installing {len(definitions)} CRDs ({options.crds}), objects of Calico {record.calico_version}"
        )
        api = control_plane.api()
        crds.install(api, definitions)
        if definitions:
            installation.create_defaults(api, crds.kinds(definitions), record.calico_version)
            installation.create_placeholders(api, record.calico_version)
        self._register(api, record, nodes)
        if options.simulated:
            self._say(f"creating {options.simulated} further Node objects")
            node_objects.create(api, node_objects.simulated(options.simulated))
            record.simulated = options.simulated
        if definitions:
            self._say(calico.description(record))
            self._start_calico(record, nodes)
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
        self._nodes.wait(nodes)
        if record.kubelets:
            self._kubelets(record).launch(nodes)

    def _forget(self, record: State, name: str) -> None:
        self._nodes.remove(name)
        cgroups.remove(self._fabric.node_netns(name))
        record.nodes.pop(name, None)
        ssh.write_client(self.run, list(record.nodes.values()), self._fabric.netns)
        state.save(self.run, record)

    def _register(self, api: Api, record: State, nodes: list[NodeRecord]) -> None:
        """Waits for the kubelets to make their Node objects or, without kubelets, makes them."""
        if record.kubelets:
            self._kubelets(record).wait(api, nodes)
            return
        bodies = [
            node_objects.node(node.name, node.index, (node.ipv4, node.ipv6), control_plane=node.control_plane)
            for node in nodes
        ]
        node_objects.create(api, bodies)

    def _count_placeholders(self, api: Api, record: State) -> None:
        if record.crds == "none":
            return
        if record.kubelets:
            installation.wait_for_placeholders(api, len(record.nodes))
            return
        installation.set_placeholder_status(api, len(record.nodes) + record.simulated)

    def _prepare_kubelets(self, found: dict[str, Path]) -> str:
        """Makes what kubelets need where it is not there yet; returns the name of the Python image."""
        check_visible([found["kubelet"], binaries.cache_directory()])
        runtime.locate(self._say)
        images.pause(self._say)
        return images.python(self._say).pinned

    def _kubelets(self, record: State) -> Kubelets:
        return Kubelets(
            self.run,
            self._fabric,
            self._nodes,
            binaries.locate(["kubelet"], self._say),
            runtime.locate(self._say),
            [images.pause(self._say), images.python(self._say)],
            installation.placeholder_images(record.calico_version),
        )

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
        self._refuse_second()
        record = self.state()
        if self._foreign():
            raise TestbedError(f"{self.run} is not empty and not a testbed's run directory")
        if record:
            self._say("clearing what an interrupted testbed left behind")
            self._take_down(record)

    def _refuse_second(self) -> None:
        record = self.state()
        if record and record.up and self._alive("kube-apiserver"):
            raise TestbedError(
                f"already up: {len(record.nodes)} nodes, KUBECONFIG={self.kubeconfig}; "
                "`down` ends it, `up --if-needed` accepts it",
                ALREADY_UP,
            )

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
        cgroups.remove(self._fabric.node_netns("*"))
        for mount in _mounts_below(self.run):
            commands.run(["umount", "--lazy", mount])
        shutil.rmtree(self.run, ignore_errors=True)
        fabric.leave_no_directory(record.netns_existed)


def _programs(kubelets: bool) -> tuple[str, ...]:
    return binaries.WITH_KUBELETS if kubelets else binaries.CONTROL_PLANE


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
        client = kubernetes.config.new_client_from_config(kubeconfig)  # type: ignore[no-untyped-call]
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
