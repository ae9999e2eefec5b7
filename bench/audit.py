# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an audit costs: ``sudo python bench/audit.py [judge] [files] [scan] [capture] [memory] [publish]
[once]``.

``judge``: observed flows of many nodes against a cluster's policies, from documents to the result, in
processor time of one core, and the memory that twice the flows take more. ``files``: the same as the module
does it, from files and on all cores, in seconds by the clock. ``scan``: the same with a million distinct
peers. ``capture``: what the table adds to a new connection and to an established packet, measured in turns
with and without it in the same run, and reading its elements compared with ``nft -j list set``.
``memory``: what a look and reading a window take while the kernel's tables are as full as they can be.
``publish``: what the agents of ``audit_mode: daemonset`` cost a real API server. ``once``: the playbook's
one look at three nodes compared with a ping of them.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import gc
import gzip
import json
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "bench"))
sys.path.insert(0, str(ROOT / "tests" / "testbed"))

from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.audit import Audit  # noqa: E402
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.gate import Enough  # noqa: E402
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.observed import (  # noqa: E402
    FlowDocument,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.remedy import RemedyOptions  # noqa: E402
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.report import (  # noqa: E402
    Asked,
    conclude,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.dataplanes import (  # noqa: E402
    Dataplanes,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import (  # noqa: E402
    Options,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import (  # noqa: E402
    flow_documents,
    flow_judging,
)
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.packing import (  # noqa: E402
    unpack,
)
from verdict import address, objects  # noqa: E402

from testbed import binaries  # noqa: E402
from testbed.control_plane import ControlPlane  # noqa: E402

PORTS = (22, 443, 2379, 6443, 9100, 10250, 30080, 53)
ENOUGH = Enough(86400, math.inf, datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc))
ASKED = Asked(RemedyOptions("none", {}), (), ENOUGH, 1000, anonymise=False)
ROUNDS = 9
CONNECTIONS = 3000
PACKETS = 20000


def documents(nodes: int, flows: int) -> Iterator[dict[str, Any]]:
    """Flows of each node as a cluster has them: half from other nodes, a third from outside, the rest out."""
    for index in range(nodes):
        pick = random.Random(index)
        own = address(index)
        records = []
        for _ in range(flows // nodes):
            outside = (pick.randrange(11, 200), pick.randrange(256), pick.randrange(256), pick.randrange(256))
            peer = address(pick.randrange(nodes)) if pick.random() < 0.5 else ".".join(map(str, outside))
            inwards = pick.random() < 0.8
            records.append(
                {
                    "flow": {
                        "direction": "ingress" if inwards else "egress",
                        "interface": "eth0",
                        "protocol": 6,
                        "source": peer if inwards else own,
                        "destination": own if inwards else peer,
                        "destination_port": pick.choice(PORTS),
                    },
                    "seen": {"count": 1, "replied": True, "interface_by": "hook"},
                    "owner": None,
                }
            )
        window = {"start": 0, "end": 90000, "complete": True, "gaps": []}
        yield {
            "schema": "hostfence.flows/1",
            "node": f"node{index}",
            "window": window,
            "not_recorded": 0,
            "interfaces": {"eth0": [f"{own}/16"]},
            "flows": records,
        }


def judge(
    nodes: int, flows: int, policies: int, *, scanned: bool = False
) -> tuple[float, float, dict[str, Any]]:
    """Processor seconds (judging only; making the documents is not counted), peak MiB, and the result."""
    cluster = staged_cluster(nodes, policies)
    gc.disable()
    spent = 0.0
    begun = time.process_time()
    audit = Audit(cluster, Options(calico_version="v3.32.1"), Dataplanes(cluster))
    spent += time.process_time() - begun
    for raw in (scan if scanned else documents)(nodes, flows):
        begun = time.process_time()
        audit.add(FlowDocument(raw, "bench"))
        spent += time.process_time() - begun
    begun = time.process_time()
    result = conclude(audit, ASKED)
    spent += time.process_time() - begun
    return spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, result


def files(nodes: int, flows: int, policies: int) -> None:
    """Seconds by the clock, from files to the result; the most memory is that of the largest process."""
    cluster = staged_cluster(nodes, policies)
    with tempfile.TemporaryDirectory(prefix="hostfence-bench-") as place:
        for document in documents(nodes, flows):
            Path(place, f"{document['node']}.json").write_text(json.dumps(document, separators=(",", ":")))
        begun = time.perf_counter()
        audit = Audit(cluster, Options(calico_version="v3.32.1"), Dataplanes(cluster))
        flow_judging.judge(audit, flow_documents.files(place))
        result = conclude(audit, ASKED)
        spent = time.perf_counter() - begun
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(
        f"{sum(result['counts'].values()):,} flows of {nodes:,} files, {policies} policies, "
        f"{len(os.sched_getaffinity(0))} cores: {spent:.1f} s by the clock, {most / 1024:.0f} MiB at most, "
        f"load average {os.getloadavg()[0]:.0f}",
        flush=True,
    )


def staged_cluster(nodes: int, policies: int) -> list[dict[str, Any]]:
    cluster: list[dict[str, Any]] = objects(nodes, policies, 10, own_labels=False)
    for item in cluster:
        if item["kind"] == "GlobalNetworkPolicy":
            item["kind"] = "StagedGlobalNetworkPolicy"
    return cluster


def scan(nodes: int, peers: int) -> Iterator[dict[str, Any]]:
    """Every peer is another, on any port."""
    template = next(documents(1, 1))
    record = template["flows"][0]
    for index in range(nodes):
        own, begin = address(index), index * (peers // nodes)
        flows = [
            {
                **record,
                "flow": {
                    **record["flow"],
                    "direction": "ingress",
                    "source": ".".join(map(str, (198, *number.to_bytes(3, "big")))),
                    "destination": own,
                    "destination_port": 1 + number % 65535,
                },
            }
            for number in range(begin, begin + peers // nodes)
        ]
        interfaces = {"eth0": [f"{own}/16"]}
        yield {**template, "node": f"node{index}", "interfaces": interfaces, "flows": flows}


def judging(nodes: int, flows: int, policies: int, *, what: str = "one") -> None:
    for count in (flows // 2, flows):
        # Each in a process of its own, so that the peak is its own.
        done = subprocess.run(
            [sys.executable, __file__, what, "--nodes", str(nodes), "--flows", str(count),
             "--policies", str(policies)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        print(done.stdout.strip(), flush=True)


# Processor time: over these links a packet's whole way is walked by who sends it.
TRAFFIC = """
import socket, sys, time
kind, count = sys.argv[1], int(sys.argv[2])
if kind == "connections":
    begun = time.process_time()
    for _ in range(count):
        one = socket.socket()
        one.connect_ex(("10.77.0.21", 3999))
        one.close()
else:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.connect(("10.77.0.21", 5555))
    one.send(b"x"); one.recv(16)
    begun = time.process_time()
    for _ in range(count):
        one.send(b"x")
        one.recv(16)
print((time.process_time() - begun) / count * 1e6)
"""
# To as many ports, each of which is a flow.
FLOWS = """
import socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in range(1, int(sys.argv[1]) + 1):
    one.sendto(b"x", ("10.77.0.21", port))
"""
MODULE = "plugins/modules/node_flows.py"


def capturing() -> None:
    from traffic.lab import CLIENT, NODE, Lab

    with Lab() as lab:

        def window(state: str, **options: Any) -> dict[str, Any]:
            arguments = {"ANSIBLE_MODULE_ARGS": {"node": "node", "state": state, **options}}
            done = lab.run(NODE, sys.executable, str(ROOT / MODULE), text=json.dumps(arguments))
            result: dict[str, Any] = json.loads(done)
            return result

        def traffic(kind: str, count: int) -> float:
            return float(lab.run(CLIENT, sys.executable, "-c", TRAFFIC, kind, str(count)))

        for kind, count in (("connections", CONNECTIONS), ("packets", PACKETS)):
            without, having = [], []
            for _ in range(ROUNDS):
                without.append(traffic(kind, count))
                window("started")
                having.append(traffic(kind, count))
                window("stopped")
            least = f"{min(without):.1f} us without, {min(having):.1f} us with the table"
            median = f"{statistics.median(without):.1f} and {statistics.median(having):.1f}"
            print(f"{kind}: {least} (least of {ROUNDS}); median {median}", flush=True)
        reading(lab, window)


def reading(lab: Any, window: Any) -> None:
    """50,000 elements of one set, by this collection and by nft."""
    from traffic.lab import CLIENT, NODE

    window("started")
    lab.run(CLIENT, sys.executable, "-c", FLOWS, "50000")
    # The table of connections is not what is compared.
    lab.run(NODE, "conntrack", "-F")
    child = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = window("collected")
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    lab.run(NODE, "nft", "-j", "list", "set", "inet", "hostfence_flows", "input4_udp")
    theirs = resource.getrusage(resource.RUSAGE_CHILDREN)

    def seconds(before: Any, after: Any) -> float:
        return float(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)

    read = len(json.loads(unpack(answer["flows"]))["flows"])
    print(
        f"reading {read:,} flows: module {seconds(child, ours):.2f} s, "
        f"nft -j list set {seconds(ours, theirs):.2f} s"
    )


def memory() -> None:
    """The most memory of one look and of reading a window, with the kernel's tables as full as may be."""
    from traffic.lab import CLIENT, NODE, Lab

    # A shell tells the most memory that the module, its only child, ever had.
    measured = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    with Lab() as lab:

        def most(state: str) -> str:
            arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {"node": "node", "state": state}})
            command = (sys.executable, "-c", measured, sys.executable, str(ROOT / MODULE))
            return f"{float(lab.run(NODE, *command, text=arguments)):.0f} MiB at most"

        print(f"one look at an empty table: {most('once')}", flush=True)
        most("started")
        lab.run(CLIENT, sys.executable, "-c", FLOWS, "65535")
        wanted = int(Path("/proc/sys/net/nf_conntrack_max").read_text()) * 9 // 10
        lab.run(NODE, sys.executable, str(ROOT / "tests/testbed/traffic/fill.py"), str(wanted))
        entries = int(lab.run(NODE, "cat", "/proc/sys/net/netfilter/nf_conntrack_count"))
        print(f"one look at a table of {entries:,} connections: {most('once')}", flush=True)
        print(f"a window with a full set besides: {most('collected')}", flush=True)


def publishing(nodes: int) -> None:
    """As many ConfigMaps as nodes: made, changed once each, and listed, at a real API server and its etcd."""
    with tempfile.TemporaryDirectory(prefix="hostfence-bench-") as place:
        found = binaries.locate(binaries.CONTROL_PLANE, lambda line: print(line, file=sys.stderr))
        control = ControlPlane(Path(place), found, tied=True)
        try:
            control.start()
            for name, data in (("300 flows", _typical()), ("most", os.urandom(49152))):
                _publish_all(control, nodes, name, data)
        finally:
            control.stop()


def _typical() -> bytes:
    document = next(documents(1, 300))
    return gzip.compress(json.dumps(document, separators=(",", ":"), sort_keys=True).encode(), 6, mtime=0)


def _publish_all(control: ControlPlane, nodes: int, name: str, data: bytes) -> None:
    api = control.api()
    namespace = "audit-" + name.replace(" ", "-")
    api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    path = f"/api/v1/namespaces/{namespace}/configmaps"

    def publish(number: int, turn: int) -> None:
        content = base64.b64encode(data[:-4] + turn.to_bytes(4, "big")).decode()
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"flows-node{number}"},
            "binaryData": {"flows.json.gz": content},
        }
        query = {"fieldManager": "hostfence", "force": "true"}
        api._request("PATCH", f"{path}/flows-node{number}", body, query, "application/apply-patch+yaml")

    for turn, what in enumerate(("made", "changed")):
        before, begun = _spent(control), time.perf_counter()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(publish, range(nodes), [turn] * nodes))
        wall, spent = time.perf_counter() - begun, _spent(control) - before
        share = spent / nodes * (5000 / 600) * 100
        print(
            f"publish {name}, {len(data):,} bytes: {nodes:,} {what} in {wall:.0f} s, "
            f"{spent / nodes * 1e3:.1f} ms of processor each for API server and etcd: "
            f"5,000 nodes every 600 s take {share:.1f} % of a core",
            flush=True,
        )
    begun = time.perf_counter()
    listed = len(api.list(path))
    print(
        f"publish {name}: {listed:,} read in {time.perf_counter() - begun:.1f} s; {_sizes(control)}",
        flush=True,
    )


def _spent(control: ControlPlane) -> float:
    """Processor seconds of the API server and etcd."""
    total = 0
    for process in control._processes.all():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def _sizes(control: ControlPlane) -> str:
    found = []
    for process in control._processes.all():
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
        found.append(f"{process.name} {resident / 1024:.0f} MiB resident")
    stored = sum(path.stat().st_size for path in control.run.rglob("db"))
    return ", ".join([*found, f"etcd's file {stored / 2**20:.0f} MiB"])


def once() -> None:
    """The playbook's one look at three nodes compared with Ansible's ping of them, in turns."""
    run = os.environ.get("HOSTFENCE_TESTBED", "/run/hostfence-bench")
    environment = {**os.environ, "HOSTFENCE_TESTBED": run, "K8S_AUTH_KUBECONFIG": f"{run}/kubeconfig"}

    def do(*command: str) -> float:
        begun = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return time.perf_counter() - begun

    do(sys.executable, "-m", "testbed", "up", "--nodes", "3")
    try:
        inventory = ("-i", f"{run}/inventory.yml")
        ansible = str(Path(sys.executable).with_name("ansible"))
        pings, audits = [], []
        for _ in range(5):
            pings.append(do(ansible, *inventory, "nodes", "-m", "ping"))
            audits.append(
                do(
                    f"{ansible}-playbook",
                    *inventory,
                    "playbooks/audit.yml",
                    "-e",
                    f"audit_directory={run}/audit",
                )
            )
        ping, audit = statistics.median(pings), statistics.median(audits)
        ratio = f"{audit / ping:.1f} times (median of 5)"
        print(f"one look at 3 nodes: {audit:.1f} s, a ping of them {ping:.1f} s: {ratio}")
    finally:
        do(sys.executable, "-m", "testbed", "down")


ALL = ("judge", "files", "scan", "capture", "memory", "publish", "once")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=list(ALL))
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--flows", type=int, default=1_000_000)
    parser.add_argument("--policies", type=int, default=200)
    given = parser.parse_args()
    if {"one", "one-scan"} & set(given.what):
        scanned = "one-scan" in given.what
        spent, peak, result = judge(given.nodes, given.flows, given.policies, scanned=scanned)
        counted = sum(result["counts"].values())
        print(f"{counted:,} flows of {given.nodes:,} nodes, {given.policies} policies: "
              f"{spent:.1f} s, {spent / counted * 1e6:.0f} us each, peak {peak:.0f} MiB, "
              f"{len(result['rows']) + result['rows_left_out']:,} rows"
              f"{' of a scan' if scanned else ''}")  # fmt: skip
        return
    if "judge" in given.what:
        judging(given.nodes, given.flows, given.policies)
    if "files" in given.what:
        files(given.nodes, given.flows, given.policies)
    if "scan" in given.what:
        judging(given.nodes, given.flows, given.policies, what="one-scan")
    if "capture" in given.what:
        capturing()
    if "memory" in given.what:
        memory()
    if "publish" in given.what:
        publishing(5000)
    if "once" in given.what:
        once()


if __name__ == "__main__":
    main()
