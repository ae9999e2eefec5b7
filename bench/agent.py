# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the agent costs: beside a loop of kubectl apply on kubelets, and a thousand of it at one API server.

    sudo python bench/agent.py
    sudo python bench/agent.py --minutes 2 --joins 1 --simulate 50
    python bench/agent.py --minutes 0

The first part brings up a testbed with kubelets and takes it down again. Requests are counted by the API
server's own audit log, CPU time and memory by the control groups of the containers.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/integration")]

import agent_process  # noqa: E402
import urllib3  # noqa: E402
from role_run import run_roles  # noqa: E402

from testbed import binaries, crds, node_objects, state  # noqa: E402
from testbed.api import Api, ApiError, in_parallel  # noqa: E402
from testbed.cluster import Options, Testbed  # noqa: E402
from testbed.control_plane import ControlPlane  # noqa: E402

HEPS = "/apis/crd.projectcalico.org/v1/hostendpoints"
OURS, LOOP = agent_process.NAMESPACE, "kubectl-loop"
MEBIBYTE = 1 << 20
SAMPLE_SECONDS = 0.5
# What starts with the pods is over by then.
QUIET_AFTER_SECONDS = 30
START_SECONDS = 10
JOIN_SECONDS = 180
SWARM_PROCESSES = 4
SWARM_STARTS_PER_SECOND = 25
# Go collects garbage at least every two minutes; the least that the heap holds in that time is what lives.
SETTLE_SECONDS = 125
# Watches that lived for longer than this start their waiting anew.
LIVED_SECONDS = 45
BACK_SECONDS = 240
BUCKET_SECONDS = 5

LOOP_SCRIPT = """\
while true; do
  kubectl apply -f - <<END
apiVersion: crd.projectcalico.org/v1
kind: HostEndpoint
metadata:
  name: $NODE_NAME-loop
  labels: {host-endpoint: ingress}
spec:
  node: $NODE_NAME
  interfaceName: "*"
  expectedIPs: [$HOST_IP]
  profiles: [projectcalico-default-allow]
END
  sleep 10
done
"""


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Request:
    """One request as the API server received it.

    :ivar at: seconds since the epoch
    :ivar node: node whose pod sent it
    :ivar watch_seconds: how long a watch asked to stay open; 0 for anything else
    """

    at: float
    namespace: str
    node: str
    resource: str
    watch_seconds: int


class Audit:
    """Counts what the pods of some namespaces ask of an API server.

    :ivar program: to be started as kube-apiserver; the same with an audit log
    """

    def __init__(self, directory: Path, kube_apiserver: Path, namespaces: Sequence[str]) -> None:
        self._log = directory / "audit.log"
        self._log.touch()
        groups = [f"system:serviceaccounts:{namespace}" for namespace in namespaces]
        policy = directory / "audit-policy.json"
        policy.write_text(
            json.dumps(
                {
                    "apiVersion": "audit.k8s.io/v1",
                    "kind": "Policy",
                    "rules": [{"level": "Metadata", "userGroups": groups}, {"level": "None"}],
                }
            )
        )
        programs = directory / "programs"
        programs.mkdir()
        self.program = programs / "kube-apiserver"
        self.program.write_text(
            f'#!/bin/sh\nexec {kube_apiserver} "$@" '
            f"--audit-policy-file={policy} --audit-log-path={self._log}\n"
        )
        self.program.chmod(0o755)

    def requests(self, since: float, until: float = math.inf) -> tuple[list[Request], int]:
        """Those received in a span of time, in order, and how many were answered with an error."""
        found, refused = {}, set()
        for line in self._log.read_text().splitlines():
            event = json.loads(line)
            at = datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
            if not since <= at < until:
                continue
            query = parse_qs(urlsplit(event["requestURI"]).query)
            user = event["user"]
            # A watch is logged three times: asked for, begun, ended.
            found[event["auditID"]] = Request(
                at,
                user["username"].split(":")[2],
                user.get("extra", {}).get("authentication.kubernetes.io/node-name", [""])[0],
                event.get("objectRef", {}).get("resource", ""),
                int(query.get("timeoutSeconds", ["0"])[0]) if "watch" in query else 0,
            )
            if event.get("responseStatus", {}).get("code", 200) >= 400:
                refused.add(event["auditID"])
        return sorted(found.values(), key=lambda request: request.at), len(refused)


class Container:
    """The control groups of one container.

    :param group: of its node
    """

    def __init__(self, group: str, node: str, namespace: str, container: str) -> None:
        self.node, self.namespace = node, namespace
        root = Path("/sys/fs/cgroup")
        self._version_1 = not (root / "cgroup.controllers").exists()
        trees = [root / "cpuacct", root / "memory"] if self._version_1 else [root, root]
        self._cpu, self._memory = (next((tree / group).glob(f"**/{container}")) for tree in trees)

    def cpu_seconds(self) -> float:
        if self._version_1:
            return int((self._cpu / "cpuacct.usage").read_text()) / 1e9
        return _field(self._cpu / "cpu.stat", "usage_usec") / 1e6

    def working_set(self) -> float:
        """MiB, as the kubelet counts them: all but the file pages that were not used of late."""
        usage = self._memory / ("memory.usage_in_bytes" if self._version_1 else "memory.current")
        unused = "total_inactive_file" if self._version_1 else "inactive_file"
        return (int(usage.read_text()) - _field(self._memory / "memory.stat", unused)) / MEBIBYTE

    def resident(self) -> float:
        """MiB of all its processes, with the files that they have mapped."""
        pages = 0
        for pid in (self._memory / "cgroup.procs").read_text().split():
            try:
                pages += int(Path("/proc", pid, "statm").read_text().split()[1])
            except OSError:
                # It ended meanwhile.
                continue
        return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE


def _field(file: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith(f"{name} "))


class Arrivals(threading.Thread):
    """When each object of a kind was first seen to be as wanted, by the monotonic clock."""

    def __init__(
        self, api: Api, path: str, wanted: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> None:
        super().__init__(daemon=True)
        self._api, self._path, self._wanted = api, path, wanted
        self.first: dict[str, float] = {}
        self.start()

    def run(self) -> None:
        while True:
            try:
                for event in self._api.watch(self._path):
                    if self._wanted(event["object"]):
                        self.first.setdefault(event["object"]["metadata"]["name"], time.monotonic())
            except (ApiError, urllib3.exceptions.HTTPError):
                time.sleep(0.1)


@dataclass(frozen=True)
class Cost:
    """What the pods of one namespace took, per node.

    :ivar at_start: requests in the first seconds of a pod
    :ivar counted: requests in the window
    :ivar hourly: requests an hour; a watch counts as often as it is asked for anew
    :ivar resident, working_set: MiB, mean and most
    """

    at_start: float
    counted: float
    hourly: float
    cpu_seconds_hourly: float
    resident: tuple[float, float]
    working_set: tuple[float, float]


def on_kubelets(found: Mapping[str, Path], minutes: float, joins: int, directory: Path) -> None:
    audit = Audit(directory, found["kube-apiserver"], [OURS, LOOP])
    # The testbed looks there first.
    for name in found.keys() - {"kube-apiserver"}:
        (audit.program.parent / name).symlink_to(found[name])
    os.environ["KUBEBUILDER_ASSETS"] = str(audit.program.parent)
    testbed = Testbed(state.run_directory(), say)
    image = testbed.up(Options(kubelets=True)).agent_image
    try:
        api = Api(testbed.kubeconfig)
        _start_ours(testbed.kubeconfig, image)
        _start_loop(api, image, found["kubectl"])
        _compare(testbed, api, audit, minutes, joins)
    finally:
        testbed.down()


def _start_ours(kubeconfig: Path, image: str) -> None:
    say("role host_endpoints, mode daemonset")
    done = run_roles(
        str(kubeconfig), ["host_endpoints"], host_endpoints_mode="daemonset", host_endpoints_agent_image=image
    )
    if done.code:
        sys.exit(f"the role host_endpoints failed:\n{done.output[-3000:]}")


def _start_loop(api: Api, image: str, kubectl: Path) -> None:
    """The published recipe: root, all that kubectl needs, and neither probe nor limit."""
    say("DaemonSet with a loop of kubectl apply")
    rights = {
        "rules": [
            {
                "apiGroups": ["crd.projectcalico.org"],
                "resources": ["hostendpoints"],
                "verbs": ["get", "create", "patch"],
            }
        ]
    }
    binding = {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": LOOP},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": LOOP}],
    }
    fields = {"NODE_NAME": "spec.nodeName", "HOST_IP": "status.hostIP"}
    container = {
        "name": "loop",
        "image": image,
        "command": ["sh", "-c", LOOP_SCRIPT],
        "env": [{"name": k, "valueFrom": {"fieldRef": {"fieldPath": v}}} for k, v in fields.items()],
        "volumeMounts": [{"name": "kubectl", "mountPath": "/usr/local/bin/kubectl", "readOnly": True}],
    }
    pod = {
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [{"name": "kubectl", "hostPath": {"path": str(kubectl), "type": "File"}}],
    }
    labels = {"app": LOOP}
    daemonset = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    api.post("/api/v1/namespaces", {"metadata": {"name": LOOP}})
    api.post(f"{rbac}/clusterroles", {"metadata": {"name": LOOP}, **rights})
    api.post(f"{rbac}/clusterrolebindings", {"metadata": {"name": LOOP}, **binding})
    api.post(f"/apis/apps/v1/namespaces/{LOOP}/daemonsets", {"metadata": {"name": LOOP}, "spec": daemonset})


def _compare(testbed: Testbed, api: Api, audit: Audit, minutes: float, joins: int) -> None:
    nodes = Arrivals(Api(testbed.kubeconfig), node_objects.PATH)
    ready = Arrivals(Api(testbed.kubeconfig), node_objects.PATH, node_objects.is_ready)
    heps = Arrivals(Api(testbed.kubeconfig), HEPS)
    names = sorted(testbed.running().nodes)
    _until(
        lambda: all(_own_heps(name) <= heps.first.keys() for name in names), JOIN_SECONDS, "all HostEndpoints"
    )
    time.sleep(QUIET_AFTER_SECONDS)
    load = [os.getloadavg()[0]]
    say(f"measuring for {minutes:g} minutes")
    costs = _measure(_containers(api, testbed), audit, minutes)
    load.append(os.getloadavg()[0])
    delays: list[tuple[float, float, float]] = []
    for number in range(1, joins + 1):
        name = f"join{number}"
        say(f"adding node {name}")
        testbed.add_node(name)
        _until(
            lambda name=name: name in ready.first and _own_heps(name) <= heps.first.keys(),
            JOIN_SECONDS,
            f"{name} Ready, with its HostEndpoints",
        )
        created = nodes.first[name]
        seen = (ready.first[name], *(heps.first[f"{name}-{by}"] for by in ("hostfence", "loop")))
        delays.append(tuple(at - created for at in seen))
        testbed.remove_node(name)
    load.append(os.getloadavg()[0])
    _print_comparison(costs, delays, minutes, len(names), load)


def _own_heps(node: str) -> set[str]:
    return {f"{node}-hostfence", f"{node}-loop"}


def _containers(api: Api, testbed: Testbed) -> list[Container]:
    prefix = state.namespace_prefix(testbed.run)
    found = []
    for namespace in (OURS, LOOP):
        for pod in api.list(f"/api/v1/namespaces/{namespace}/pods"):
            node = pod["spec"]["nodeName"]
            container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
            found.append(Container(f"{prefix}-node-{node}", node, namespace, container))
    return found


def _measure(containers: list[Container], audit: Audit, minutes: float) -> dict[str, Cost]:
    began, clock = time.time(), time.monotonic()
    cpu = {one: -one.cpu_seconds() for one in containers}
    resident: dict[Container, list[float]] = {one: [] for one in containers}
    working: dict[Container, list[float]] = {one: [] for one in containers}
    while time.monotonic() < clock + 60 * minutes:
        for one in containers:
            resident[one].append(one.resident())
            working[one].append(one.working_set())
        time.sleep(SAMPLE_SECONDS)
    for one in containers:
        cpu[one] += one.cpu_seconds()
    hours = (time.monotonic() - clock) / 3600
    requests, _refused = audit.requests(0, time.time())
    costs = {}
    for namespace in (OURS, LOOP):
        members = [one for one in containers if one.namespace == namespace]
        theirs = [request for request in requests if request.namespace == namespace]
        counted = [request for request in theirs if request.at >= began]
        first = {one.node: min(r.at for r in theirs if r.node == one.node) for one in members}
        costs[namespace] = Cost(
            sum(r.at < first[r.node] + START_SECONDS for r in theirs) / len(members),
            len(counted) / len(members),
            _hourly(theirs, counted, hours) / len(members),
            sum(cpu[one] for one in members) / hours / len(members),
            _mean_and_most(resident[one] for one in members),
            _mean_and_most(working[one] for one in members),
        )
    return costs


def _hourly(all_of_them: Iterable[Request], counted: Iterable[Request], hours: float) -> float:
    """Scaled to an hour; a window is too short for watches, but they say for how long they ask."""
    watches = {(r.node, r.resource): r.watch_seconds for r in all_of_them if r.watch_seconds}
    others = sum(not request.watch_seconds for request in counted)
    return others / hours + sum(3600 / seconds for seconds in watches.values())


def _mean_and_most(series: Iterable[list[float]]) -> tuple[float, float]:
    values = [value for one in series for value in one]
    return statistics.mean(values), max(values)


def _print_comparison(
    costs: dict[str, Cost],
    delays: Sequence[tuple[float, ...]],
    minutes: float,
    nodes: int,
    load: Sequence[float],
) -> None:
    ours, loop = costs[OURS], costs[LOOP]
    print(
        f"\n### One agent, beside a loop of kubectl apply every 10 s\n\n"
        f"{nodes} nodes with both at the same time, window {minutes:g} min; figures are for one node. "
        f"Load average {_decimals(load)} (before, after, after the joins).\n"
    )
    print("| what | agent | loop | loop / agent |")
    print("|---|---|---|---|")

    def row(what: str, mine: float, theirs: float) -> None:
        times = f"**{theirs / mine:,.1f}**" if mine else ""
        print(f"| {what} | {mine:,.1f} | {theirs:,.1f} | {times} |")

    row(f"API requests in the first {START_SECONDS} s", ours.at_start, loop.at_start)
    row("API requests in the window", ours.counted, loop.counted)
    row("API requests an hour", ours.hourly, loop.hourly)
    row("CPU seconds an hour", ours.cpu_seconds_hourly, loop.cpu_seconds_hourly)
    for what, mine, theirs in (
        ("resident memory", ours.resident, loop.resident),
        ("working set of the control group", ours.working_set, loop.working_set),
    ):
        for index, which in enumerate(("mean", "most")):
            row(f"{what}, {which}, MiB", mine[index], theirs[index])
    if delays:
        ready, mine, theirs = (sorted(column) for column in zip(*delays, strict=True))
        what = f"Node created to HostEndpoint seen, median of {len(delays)}, s"
        row(what, statistics.median(mine), statistics.median(theirs))
        print(
            f"\nNode created to HostEndpoint: agent {_decimals(mine)} s, loop {_decimals(theirs)} s; "
            f"to Node Ready: {_decimals(ready)} s.",
            flush=True,
        )


def _decimals(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


@dataclass(frozen=True)
class ServerState:
    """:ivar resident, heap: MiB; of the heap the least, which is what lives"""

    watches: int
    resident: float
    heap: float


@dataclass(frozen=True)
class Burst:
    """What came after a restart of the API server.

    :ivar down: seconds from its end until it was ready
    :ivar back: seconds from the first request until all watches were open again
    """

    down: float
    back: float
    arrivals: list[float]
    refused: int


class Swarm:
    """Agents of many nodes in a few processes."""

    def __init__(self, cluster: Any, directory: Path, nodes: Sequence[str]) -> None:
        program = agent_process.program(directory, agent_process.config_of(cluster))
        host, _colon, port = cluster.admin.server.removeprefix("https://").rpartition(":")
        self._processes = []
        for number in range(SWARM_PROCESSES):
            job = {
                "program": str(program),
                "credentials": str(directory / "credentials"),
                "log": str(directory / f"swarm-{number}.log"),
                "environment": {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port},
                "nodes": nodes[number::SWARM_PROCESSES],
                "pause": SWARM_PROCESSES / SWARM_STARTS_PER_SECOND,
            }
            process = subprocess.Popen(
                [sys.executable, "-B", str(ROOT / "bench" / "agent_swarm.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._processes.append(process)
            self._send(process, json.dumps(job))

    def ready(self) -> int:
        """How many agents say that their HostEndpoint is as it should be."""
        return self._order("count")

    def leave_out_jitter(self) -> None:
        self._order("no-jitter")

    def _order(self, order: str) -> int:
        for process in self._processes:
            self._send(process, order)
        return sum(int(process.stdout.readline()) for process in self._processes)

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    @staticmethod
    def _send(process: subprocess.Popen[str], line: str) -> None:
        process.stdin.write(line + "\n")
        process.stdin.flush()


def simulate(found: Mapping[str, Path], count: int, settle: float, directory: Path) -> None:
    audit = Audit(directory, found["kube-apiserver"], [OURS])
    programs = {**found, "kube-apiserver": audit.program}
    control_plane = ControlPlane(directory / "cluster", programs, tied=True)
    swarm = None
    try:
        control_plane.start()
        api = control_plane.api()
        cluster, nodes = _populate(control_plane, api, count, directory)
        load = [os.getloadavg()[0]]
        say(f"the server's memory with {count} Nodes and no agent")
        before = _settled(api, settle)
        say(f"starting {count} agents")
        swarm = Swarm(cluster, directory, nodes)
        _until(lambda: swarm.ready() == count, BACK_SECONDS + count / SWARM_STARTS_PER_SECOND, "ready")
        began = time.time()
        say("the server's memory with all agents")
        after = _settled(api, settle)
        until = time.time()
        at_start, _refused = audit.requests(0, began)
        idle, _refused = audit.requests(began, until)
        say("restarting the server")
        jitter = _restart(control_plane, audit, swarm, count)
        time.sleep(LIVED_SECONDS)
        say("restarting the server, agents without jitter")
        swarm.leave_out_jitter()
        together = _restart(control_plane, audit, swarm, count)
        load.append(os.getloadavg()[0])
    finally:
        if swarm:
            swarm.stop()
        control_plane.stop()
    _print_simulation(count, before, after, len(at_start), len(idle), until - began, load)
    _print_bursts(jitter, together)


def _populate(control_plane: ControlPlane, api: Api, count: int, directory: Path) -> tuple[Any, list[str]]:
    """Node objects, all that the role makes but the pods' DaemonSet, and a pod's token for each Node."""
    definitions = crds.load("ours", "v1")
    crds.install(api, definitions)
    say(f"creating {count} Nodes, and a pod with a token for each")
    bodies = node_objects.simulated(count)
    node_objects.create(api, bodies)
    cluster = SimpleNamespace(
        admin=api, kubeconfig=str(control_plane.kubeconfig), flavour="bench", kinds=crds.kinds(definitions)
    )
    agent_process.apply_objects(cluster)
    authority = agent_process.authority(cluster)

    def credentials(node: str) -> None:
        place = directory / "credentials" / node
        place.mkdir(parents=True)
        (place / "token").write_text(agent_process.token(cluster, node))
        (place / "ca.crt").write_text(authority)

    nodes = [body["metadata"]["name"] for body in bodies]
    in_parallel([lambda node=node: credentials(node) for node in nodes])
    return cluster, nodes


def _settled(api: Api, seconds: float) -> ServerState:
    heap, deadline = math.inf, time.monotonic() + seconds
    while True:
        metrics = _metrics(api)
        heap = min(heap, metrics["go_memstats_heap_alloc_bytes"])
        if time.monotonic() > deadline:
            break
        time.sleep(1)
    resident = metrics["process_resident_memory_bytes"]
    return ServerState(_open_watches(metrics), resident / MEBIBYTE, heap / MEBIBYTE)


def _metrics(api: Api) -> dict[str, float]:
    text = api._request("GET", "/metrics", None, {}, "").data.decode()
    return {series: float(value) for series, value in re.findall(r"^([^#\s].*) (\S+)$", text, re.M)}


def _open_watches(metrics: dict[str, float]) -> int:
    """Of what agents watch; the server's own are some more."""
    return int(
        sum(
            value
            for series, value in metrics.items()
            if series.startswith("apiserver_longrunning_requests{")
            and 'verb="WATCH"' in series
            and re.search(r'resource="(nodes|hostendpoints)"', series)
        )
    )


def _restart(control_plane: ControlPlane, audit: Audit, swarm: Swarm, count: int) -> Burst:
    killed = time.time()
    control_plane.restart()
    ready = time.time()
    api = control_plane.api()
    _until(lambda: _open_watches(_metrics(api)) >= 2 * count, BACK_SECONDS, "all watches open again")
    _until(lambda: swarm.ready() == count, BACK_SECONDS, "all agents ready")
    back = time.time()
    requests, refused = audit.requests(killed, back)
    first = requests[0].at
    return Burst(ready - killed, back - first, [request.at - first for request in requests], refused)


def _print_simulation(
    count: int,
    before: ServerState,
    after: ServerState,
    at_start: int,
    idle: int,
    seconds: float,
    load: Sequence[float],
) -> None:
    print(
        f"\n### {count:,} agents at one API server\n\n"
        f"The agents' own loops in {SWARM_PROCESSES} processes on the server's machine, each with a pod's "
        f"token, {SWARM_STARTS_PER_SECOND} started in a second. Load average {_decimals(load)} "
        "(before, at the end).\n"
    )
    print("| API server | without agents | with agents | for one agent |")
    print("|---|---|---|---|")
    print(f"| watches open of Nodes and HostEndpoints | {before.watches:,} | {after.watches:,} | |")
    for what, low, high in (
        ("resident memory, MiB", before.resident, after.resident),
        ("least heap in use, MiB", before.heap, after.heap),
    ):
        print(f"| {what} | {low:,.0f} | {high:,.0f} | {(high - low) / count * 1024:,.0f} KiB |")
    print(f"| requests until all were ready | | {at_start:,} | {at_start / count:.1f} |")
    print(f"| requests in {seconds:.0f} s in which nothing changed | | {idle:,} | |", flush=True)


def _print_bursts(jitter: Burst, together: Burst) -> None:
    both = (jitter, together)
    print("\n### After a restart of that API server\n")
    print("| what | full jitter | without jitter |")
    print("|---|---|---|")

    def row(what: str, cell: Callable[[Burst], str]) -> None:
        print(f"| {what} | {cell(jitter)} | {cell(together)} |")

    row("server down, s", lambda burst: f"{burst.down:.1f}")
    row("requests until all was well again", lambda burst: f"{len(burst.arrivals):,}")
    row("of them answered with an error", lambda burst: f"{burst.refused:,}")
    row("most in one second", lambda burst: f"**{_most(burst.arrivals, 1):,}**")
    row("most in a tenth of a second", lambda burst: f"{_most(burst.arrivals, 0.1):,}")
    row("first request to all well, s", lambda burst: f"{burst.back:.1f}")
    print("\n| seconds after the first request | full jitter | without jitter |\n|---|---|---|")
    counted = [Counter(int(at // BUCKET_SECONDS) for at in burst.arrivals) for burst in both]
    for bucket in range(max(max(one) for one in counted) + 1):
        begin = bucket * BUCKET_SECONDS
        print(f"| {begin}–{begin + BUCKET_SECONDS} | {counted[0][bucket]:,} | {counted[1][bucket]:,} |")  # noqa: RUF001


def _most(arrivals: Sequence[float], seconds: float) -> int:
    """The most that arrived in any span of this length; arrivals are in order."""
    most = begin = 0
    for end, at in enumerate(arrivals):
        while arrivals[begin] <= at - seconds:
            begin += 1
        most = max(most, end - begin + 1)
    return most


def _until(reached: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            sys.exit(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.2)


def _end(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--minutes", type=float, default=10, help="window on kubelets; 0 leaves this part out"
    )
    parser.add_argument("--joins", type=int, default=5, help="nodes that join, one after another")
    parser.add_argument(
        "--simulate", type=int, default=1000, help="agents at one server; 0 leaves this part out"
    )
    parser.add_argument(
        "--settle", type=float, default=SETTLE_SECONDS, help="seconds to watch its memory for"
    )
    options = parser.parse_args()
    # Before the first part puts its own API server in front of the others.
    with_kubelets = [*binaries.WITH_KUBELETS, "kubectl"]
    found = binaries.locate(with_kubelets if options.minutes else binaries.CONTROL_PLANE, say)
    # Ended from outside, it takes down what it started as on Ctrl-C.
    signal.signal(signal.SIGTERM, _end)
    with tempfile.TemporaryDirectory(prefix="hostfence-bench-") as directory:
        parts = [Path(directory, name) for name in ("kubelets", "simulation")]
        for part in parts:
            part.mkdir()
        if options.minutes:
            on_kubelets(found, options.minutes, options.joins, parts[0])
        if options.simulate:
            simulate(found, options.simulate, options.settle, parts[1])


if __name__ == "__main__":
    main()
