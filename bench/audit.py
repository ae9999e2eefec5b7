# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an audit costs: ``python bench/audit.py [judge] [capture]`` (capture needs root; it makes namespaces).

``judge``: observed flows of many nodes against a cluster's policies, from documents to the result,
in processor time, and the memory that twice the flows take more. ``capture``: what the table adds to a new
connection and to an established packet, measured in turns with and without it in the same run, and reading
its elements beside ``nft -j list set``.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
sys.path.insert(0, str(ROOT / "tests" / "testbed"))

from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.audit import Audit  # noqa: E402
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.observed import (  # noqa: E402
    Document,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.remedy import Wishes  # noqa: E402
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
from verdict import address, objects  # noqa: E402

PORTS = (22, 443, 2379, 6443, 9100, 10250, 30080, 53)
ROUNDS = 7
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


def judge(nodes: int, flows: int, policies: int) -> tuple[float, float, dict[str, Any]]:
    """Processor seconds (judging only; making the documents is not counted), peak MiB, and the result."""
    cluster = objects(nodes, policies, 10, own_labels=False)
    for item in cluster:
        if item["kind"] == "GlobalNetworkPolicy":
            item["kind"] = "StagedGlobalNetworkPolicy"
    gc.disable()
    spent = 0.0
    begun = time.process_time()
    audit = Audit(cluster, Options(calico_version="v3.32.1"), Dataplanes(cluster))
    spent += time.process_time() - begun
    for raw in documents(nodes, flows):
        begun = time.process_time()
        audit.add(Document(raw, "bench"))
        spent += time.process_time() - begun
    begun = time.process_time()
    asked = Asked(Wishes("none", {}), (), 86400, datetime.date(2026, 1, 1), 1000, anonymise=False)
    result = conclude(audit, asked)
    spent += time.process_time() - begun
    return spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, result


def judging(nodes: int, flows: int, policies: int) -> None:
    for count in (flows // 2, flows):
        # Each in a process of its own, so that the peak is its own.
        done = subprocess.run(
            [sys.executable, __file__, "one", "--nodes", str(nodes), "--flows", str(count),
             "--policies", str(policies)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        print(done.stdout.strip(), flush=True)


TRAFFIC = """
import socket, sys, time
kind, count = sys.argv[1], int(sys.argv[2])
if kind == "connections":
    begun = time.perf_counter()
    for _ in range(count):
        one = socket.socket()
        one.connect_ex(("10.77.0.21", 3999))
        one.close()
else:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.connect(("10.77.0.21", 5555))
    one.send(b"x"); one.recv(16)
    begun = time.perf_counter()
    for _ in range(count):
        one.send(b"x")
        one.recv(16)
print((time.perf_counter() - begun) / count * 1e6)
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
    from traffic.lab import NODE

    window("started")
    script = "add element inet hostfence_flows input4_tcp { "
    interface = int(lab.run(NODE, "cat", "/sys/class/net/eth0/ifindex"))
    for begin in range(0, 50000, 500):
        rest = f"0a4d0015{22:04x}0000"
        sources = (f"c6{number:06x}" for number in range(begin, begin + 500))
        index = interface.to_bytes(4, sys.byteorder).hex()
        keys = ", ".join(f"0x{index}{source}{rest}{rest}" for source in sources)
        lab.run(NODE, "nft", "-f", "-", text=f"{script}{keys} }}")
    child = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = window("collected")
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    lab.run(NODE, "nft", "-j", "list", "set", "inet", "hostfence_flows", "input4_tcp")
    theirs = resource.getrusage(resource.RUSAGE_CHILDREN)

    def seconds(before: Any, after: Any) -> float:
        return float(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)

    print(
        f"reading {len(answer['flows']['flows']):,} flows: module {seconds(child, ours):.2f} s, "
        f"nft -j list set {seconds(ours, theirs):.2f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["judge", "capture"])
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--flows", type=int, default=1_000_000)
    parser.add_argument("--policies", type=int, default=200)
    given = parser.parse_args()
    if "one" in given.what:
        spent, peak, result = judge(given.nodes, given.flows, given.policies)
        counted = sum(result["counts"].values())
        print(f"{counted:,} flows of {given.nodes:,} nodes, {given.policies} policies: "
              f"{spent:.1f} s, {spent / counted * 1e6:.0f} us each, peak {peak:.0f} MiB")  # fmt: skip
        return
    if "judge" in given.what:
        judging(given.nodes, given.flows, given.policies)
    if "capture" in given.what:
        capturing()


if __name__ == "__main__":
    main()
