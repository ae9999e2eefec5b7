# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a transaction costs, as ratios within one run: ``sudo python bench/transaction.py``.

The benchmark runs against a real API server with 1,000 Nodes and HostEndpoints. It compares preparing 200
policies with writing them once, and counts the writes of the switch, and of a transaction that changes
nothing. Then it compares the proof of 100 nodes with the proof of one: over real OpenSSH connections to
this machine, and over a stand-in for ``ssh`` that only waits, as a distant node makes it wait. With
``--testbed`` it measures, on the testbed that ``HOSTFENCE_TESTBED`` names and with its real Felix, the
seconds from the end of a window to the kernel's verdict.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint import (  # noqa: E402
    HostEndpointTemplate,
    desired,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction.steps import (  # noqa: E402
    WantedObject,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import (  # noqa: E402
    enforcement,
    flavour,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.bulk import write_all  # noqa: E402
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster  # noqa: E402
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.transaction import (  # noqa: E402
    Transaction,
    TransactionOptions,
    begin,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.transaction_nodes import (  # noqa: E402
    Observer,
)
from ansible_collections.hostfence.calico.plugins.module_utils.controller.node_programs import (  # noqa: E402
    logins,
)

from testbed import binaries, crds, node_objects  # noqa: E402
from testbed.control_plane import ControlPlane  # noqa: E402

GNP = "GlobalNetworkPolicy"
V1 = "crd.projectcalico.org/v1"
OWNED = {"app.kubernetes.io/managed-by": "hostfence"}
# A node that is neither near nor slow, and its Python.
FAR_AWAY = (
    '#!/bin/sh\ncat >/dev/null\nsleep 1\necho \'{"connect": [], "ssh": "192.0.2.1 4000 192.0.2.2 22"}\'\n'
)


def policy(index: int) -> dict[str, Any]:
    allowed = {
        "action": "Allow",
        "protocol": "TCP",
        "destination": {"ports": [1000 + index, 22, "30000:32767"]},
    }
    spec = {
        "tier": "bench",
        "order": 10 + index,
        "selector": "host-endpoint == 'ingress'",
        "types": ["Ingress"],
        "ingress": [{**allowed, "source": {"nets": [f"10.{index}.0.0/16"]}} for _rule in range(5)],
    }
    return {
        "apiVersion": V1,
        "kind": GNP,
        "metadata": {"name": f"bench.p{index}", "labels": OWNED},
        "spec": spec,
    }


def tier() -> dict[str, Any]:
    spec = {"order": 100, "defaultAction": "Deny"}
    return {"apiVersion": V1, "kind": "Tier", "metadata": {"name": "bench", "labels": OWNED}, "spec": spec}


class Bench:
    """An API server with Nodes and their HostEndpoints."""

    def __init__(self, place: Path, nodes: int, policies: int) -> None:
        found = binaries.locate(binaries.CONTROL_PLANE, lambda line: print(line, file=sys.stderr))
        self.control_plane = ControlPlane(place, found, tied=True)
        self.control_plane.start()
        self.api = self.control_plane.api()
        crds.install(self.api, crds.load("ours", "v1"))
        node_objects.create(self.api, node_objects.simulated(nodes))
        template = HostEndpointTemplate(
            labels={"host-endpoint": "ingress"}, node_labels=["kubernetes.io/hostname"]
        )
        self.heps = [desired(node, template, V1) for node in self.api.list(node_objects.PATH)]
        self.cluster = Cluster.of_options({"kubeconfig": str(self.control_plane.kubeconfig)})
        self.served = flavour.require(self.cluster)
        write_all(self.heps, lambda hep: self.cluster.create(self.served.path("HostEndpoint"), hep))
        self.objects = [tier(), *(policy(index) for index in range(policies))]

    def transaction(self) -> Transaction:
        options = TransactionOptions(watchdogs=0, settle=0, window=30)
        return Transaction(self.cluster, self.served, {}, self.heps, options)

    def counted(self) -> int:
        """Writes of policy so far, by the server's own metrics."""
        text = self.api._request("GET", "/metrics", None, {}, "").data.decode()
        found = 0
        for labels, value in re.findall(r"^apiserver_request_total\{(.*)\} (\S+)$", text, re.M):
            resource = re.search(r'resource="(globalnetwork\w+|tiers)"', labels)
            if resource and re.search(r'verb="(POST|PUT|PATCH|APPLY|DELETE)"', labels):
                found += int(float(value))
        return found

    def write_once(self) -> float:
        """Seconds for writing the policies, which are gone afterwards."""
        stored = self.transaction().stored
        begun = time.monotonic()
        stored.put([WantedObject("Tier", "bench", self.objects[0])])
        stored.put([WantedObject(GNP, o["metadata"]["name"], o) for o in self.objects[1:]])
        seconds = time.monotonic() - begun
        stored.put([WantedObject(GNP, o["metadata"]["name"]) for o in self.objects[1:]])
        stored.put([WantedObject("Tier", "bench")])
        return seconds

    def prepare(self) -> tuple[float, int, int]:
        """Seconds until all is prepared, the writes of that, and those of the switch; then it is undone."""
        run = self.transaction()
        writes = [{"kind": o["kind"], "name": o["metadata"]["name"], "object": o} for o in self.objects]
        before, after = enforcement.both_sides(self.cluster, self.served, writes)
        waves = enforcement.waves_of(self.cluster, self.served, self.heps, ["canary"])
        state = begin(["bench"], waves, run.options)
        first = self.counted()
        begun = time.monotonic()
        run.stored.begin(state, before, after)
        run._prepare(state, run._change(before, after))
        seconds = time.monotonic() - begun
        prepared = self.counted()
        run.stored.turn(run._need(1), "switched", {}, on=True)
        switched = self.counted()
        run.stored.turn(run._need(1), "rolled-back", {}, on=False)
        run.undo(state, before, after)
        return seconds, prepared - first, switched - prepared

    def without_change(self) -> int:
        """Writes of a transaction that is to bring what is there already."""
        params = {**_PARAMETERS, "writes": []}
        before = self.counted()
        result = enforcement.enforce(self.cluster, params, check=False)
        if result["changed"]:
            sys.exit("nothing was to change, and something did")
        return self.counted() - before


_PARAMETERS: dict[str, Any] = {
    "sets": [],
    "waves": ["all"],
    "window": 30,
    "bake": 0,
    "confirm": "auto",
    "keep": 24,
    "watchdogs": 0,
    "watchdog_mode": "node",
    "watchdog_image": "",
    "last_resort": False,
    "admin_sources": [],
    "flush_conntrack": False,
    "proofs": [],
    "settle": 0,
    "nodes": [],
}


def of_api(nodes: int, policies: int, repeat: int) -> None:
    with tempfile.TemporaryDirectory(prefix="hostfence-bench-") as place:
        bench = Bench(Path(place), nodes, policies)
        try:
            once, prepared, writes, switch = [], [], 0, 0
            for _round in range(repeat):
                once.append(bench.write_once())
                seconds, writes, switch = bench.prepare()
                prepared.append(seconds)
            ratio = statistics.median(prepared) / statistics.median(once)
            print(
                f"| {policies} policies, {nodes:,} nodes: written once | {statistics.median(once):.2f} s | |"
            )
            print(f"| prepared, {writes} writes | {statistics.median(prepared):.2f} s | **{ratio:.2f}** |")
            print(f"| the switch | {switch} write | |")
            print(f"| a transaction without change | {bench.without_change()} writes | |", flush=True)
            of_proofs(bench.cluster, repeat)
        finally:
            bench.control_plane.stop()


def of_proofs(cluster: Cluster, repeat: int) -> None:
    with tempfile.TemporaryDirectory(prefix="hostfence-bench-ssh-") as place, ExitStack() as stack:
        fake = Path(place) / "ssh"
        fake.write_text(FAR_AWAY)
        fake.chmod(0o755)
        ways = [("a stand-in that answers after 1 s", 100, {"executable": str(fake), "host": "192.0.2.1"})]
        if os.geteuid() == 0:
            from tests.unit.controller.ssh_server import ssh_server

            (Path(place) / "server").mkdir()
            server = stack.enter_context(ssh_server(Path(place) / "server"))
            # Here the nodes' part is this machine's work, too: so many as its cores can take in time.
            ways.append(("OpenSSH, both ends on this machine", 20, server.node("", sys.executable)))
        for name, count, way in ways:
            one, many = (_median(lambda n=n, way=way: _prove(cluster, way, n), repeat) for n in (1, count))
            print(f"| proof of one node: {name} | {one:.2f} s | |")
            print(f"| proof of {count} nodes: {name} | {many:.2f} s | **{many / one:.1f}** |", flush=True)


def _prove(cluster: Cluster, way: dict[str, Any], count: int) -> None:
    names = [f"n{number}" for number in range(count)]
    observer = Observer(cluster, logins([{**way, "node": name} for name in names]), [], 0)
    # The API server asks the kubelets, and the benchmark has a single API server.
    observer._kubelet = lambda _node: ""  # type: ignore[method-assign]
    found = observer.prove(names, {}, ())
    failed = [proof.failed for proof in found.values() if proof.failed]
    if failed:
        sys.exit(f"{len(failed)} proofs failed: {failed[0]}")


def _median(work: Callable[[], None], repeat: int) -> float:
    def seconds() -> float:
        begun = time.monotonic()
        work()
        return time.monotonic() - begun

    return statistics.median(seconds() for _round in range(repeat))


def of_testbed(repeat: int) -> None:
    """From the end of a window that nobody confirmed, the run killed, to the kernel's verdict."""
    from tests.faults.lab import Lab
    from tests.faults.matrix import WINDOW, A, Case

    lab = Lab()
    lab.protect()
    lab.directly(A)
    case = Case(lab, {}, {})
    flow = [(next(iter(lab.record.nodes.values())).ipv4, 10250)]
    late: list[float] = []
    for _round in range(repeat):
        process = case.start(confirm="manual")
        case.switched()
        begun = time.monotonic()
        case.kill(process)
        lab.wait_for(lambda: lab._probe("outside", flow) == ["deny"], 10)
        lab.wait_for(lambda: lab._probe("outside", flow) == ["allow"], WINDOW + 15)
        late.append(time.monotonic() - begun - WINDOW)
        lab.module("rollback", nodes=lab.logins)
    print(f"| end of the window to the kernel's verdict, Felix {lab.backend} | {_shown(late)} | |")
    lab.directly([])


def _shown(seconds: Sequence[float]) -> str:
    return ", ".join(f"{each:.1f}" for each in seconds) + " s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--policies", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=3, help="runs of which the middle one counts")
    parser.add_argument("--testbed", action="store_true", help="only what takes a real Felix")
    options = parser.parse_args()
    print("| what | | ratio |\n|---|---|---|")
    if options.testbed:
        of_testbed(options.repeat)
    else:
        of_api(options.nodes, options.policies, options.repeat)


if __name__ == "__main__":
    main()
