# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How fast flows are judged, and how that grows: ``python bench/verdict.py``.

Prints one table: the full size (5,000 flows, 200 policies of 10 rules, 1,000 nodes), ten times the flows, ten
times the nodes with the same kinds of labels, every node with labels of its own that policy looks at, and a
naive evaluation of every rule in order on a sample. All times are processor time, which other work on the
machine disturbs least, and include reading and compiling the objects. Garbage is not collected, as in the
module flow_verdict.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict import program as verdict_chain
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.flow import parse_flow
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Judge
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.rule_match import (
    Packet,
    match_rule,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.rule_table import RuleTable

API = "crd.projectcalico.org/v1"
ROLES = ("control-plane", "worker", "ingress", "storage")
ZONES = ("a", "b", "c")


class NaiveTable(RuleTable):
    """The same answers from the obvious method: ask every rule, one after the other."""

    def matching(self, packet: Packet) -> tuple[int, int]:
        certain = possible = 0
        for index, rule in enumerate(self.rules):
            answer = match_rule(rule, packet, self.sets, self.nftables)
            if answer is not False:
                possible |= 1 << index
            if answer:
                certain |= 1 << index
        return certain, possible


def objects(nodes: int, policies: int, rules: int, own_labels: bool, seed: int = 1) -> list[dict[str, Any]]:
    """A cluster: host endpoints as kube-controllers makes them, tiers, sets, and random policies."""
    pick = random.Random(seed)
    made: list[dict[str, Any]] = [
        thing("Tier", "platform", {"order": 100, "defaultAction": "Pass"}),
        thing("Tier", "security", {"order": 50, "defaultAction": "Pass"}),
    ]
    for index in range(nodes):
        labels = {
            "role": pick.choice(ROLES),
            "zone": pick.choice(ZONES),
            "kubernetes.io/hostname": f"node{index}",
        }
        spec = {
            "node": f"node{index}",
            "interfaceName": "*",
            "expectedIPs": [address(index)],
            "profiles": ["projectcalico-default-allow"],
        }
        made.append(thing("HostEndpoint", f"node{index}-auto-hep", spec, labels))
    for index in range(20):
        nets = [f"172.{16 + index % 16}.{pick.randrange(256)}.0/24" for _ in range(30)]
        made.append(thing("GlobalNetworkSet", f"set{index}", {"nets": nets}, {"set": f"s{index}"}))
    made.extend(
        thing("GlobalNetworkPolicy", f"policy{index}", policy(pick, index, rules, nodes, own_labels))
        for index in range(policies)
    )
    return made


def thing(kind: str, name: str, spec: dict[str, Any], labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, "labels": labels or {}}, "spec": spec}


def address(index: int) -> str:
    return f"10.{index >> 16}.{index >> 8 & 255}.{index & 255}"


def policy(pick: random.Random, index: int, rules: int, nodes: int, own_labels: bool) -> dict[str, Any]:
    selector = pick.choice(
        ["all()", f"role == '{pick.choice(ROLES)}'", f"zone != '{pick.choice(ZONES)}'", "has(role)"]
    )
    if own_labels:
        selector = f"{selector} && kubernetes.io/hostname != 'node{pick.randrange(nodes)}'"
    kind = pick.choice(["normal", "normal", "normal", "preDNAT", "forward"])
    spec: dict[str, Any] = {
        "order": index,
        "tier": pick.choice(["platform", "security", "default"]),
        "selector": selector,
        "types": ["Ingress"] if kind == "preDNAT" else ["Ingress", "Egress"],
        "ingress": [rule(pick) for _ in range(rules)],
    }
    if kind != "preDNAT":
        spec["egress"] = [rule(pick) for _ in range(rules)]
    if kind != "normal":
        spec["applyOnForward"] = True
        spec["preDNAT"] = kind == "preDNAT"
    return spec


def rule(pick: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = {
        "action": pick.choice(["Allow", "Allow", "Allow", "Deny", "Pass", "Log"]),
        "protocol": pick.choice(["TCP", "UDP"]),
        "destination": {
            "ports": [pick.randrange(1, 40000), "30000:32767"]
            if pick.random() < 0.1
            else [pick.randrange(1, 40000)]
        },
    }
    choice = pick.random()
    if choice < 0.3:
        made["source"] = {"selector": f"set == 's{pick.randrange(20)}'"}
    elif choice < 0.4:
        made["source"] = {"selector": f"role == '{pick.choice(ROLES)}'"}
    elif choice < 0.8:
        made["source"] = {
            "nets": [
                f"10.{pick.randrange(4)}.{pick.randrange(256)}.0/24",
                f"192.168.{pick.randrange(256)}.0/24",
            ]
        }
    return made


def flows(count: int, nodes: int, seed: int = 2) -> list[dict[str, Any]]:
    """Random packets at random nodes, in all directions."""
    pick = random.Random(seed)
    made = []
    for _ in range(count):
        node = pick.randrange(nodes)
        direction = pick.choice(["ingress", "ingress", "egress", "forward"])
        other = pick.choice(
            [
                f"10.0.{pick.randrange(16)}.{pick.randrange(256)}",
                f"172.20.{pick.randrange(256)}.9",
                "192.0.2.7",
            ]
        )
        flow = {
            "node": f"node{node}",
            "direction": direction,
            "interface": "eth0",
            "protocol": pick.choice(["TCP", "UDP"]),
            "source": other,
            "destination": address(node),
            "source_port": pick.randrange(1024, 65536),
            "destination_port": pick.randrange(1, 40000),
        }
        if direction == "egress":
            flow["source"], flow["destination"] = flow["destination"], flow["source"]
        if direction == "forward":
            flow["out_interface"] = "eth1"
        made.append(flow)
    return made


def judged(things: list[dict[str, Any]], asked: Sequence[dict[str, Any]]) -> tuple[float, list[str]]:
    """Seconds of processor time from dictionaries to verdicts, and the verdicts."""
    start = time.process_time()
    judge = Judge(read(things))
    answers = [judge.verdict(parse_flow(flow)) for flow in asked]
    return time.process_time() - start, [
        f"{answer.verdict} {answer.reason_code} {answer.decided_by}" for answer in answers
    ]


def best(things: list[dict[str, Any]], asked: Sequence[dict[str, Any]]) -> tuple[float, list[str]]:
    """The best of three runs: other work on the machine only ever adds time."""
    runs = [judged(things, asked) for _ in range(3)]
    return min(seconds for seconds, _ in runs), runs[0][1]


def naive(things: list[dict[str, Any]], asked: Sequence[dict[str, Any]]) -> tuple[float, list[str]]:
    """The same with every rule asked."""
    table = verdict_chain.RuleTable
    verdict_chain.RuleTable = NaiveTable  # type: ignore[misc]
    try:
        return judged(things, asked)
    finally:
        verdict_chain.RuleTable = table  # type: ignore[misc]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the verdict engine.")
    parser.add_argument("--flows", type=int, default=5000)
    parser.add_argument("--policies", type=int, default=200)
    parser.add_argument("--rules", type=int, default=10)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--naive-flows", type=int, default=200)
    size = parser.parse_args()
    gc.disable()

    things = objects(size.nodes, size.policies, size.rules, False)
    asked = flows(size.flows, size.nodes)
    full, answers = best(things, asked)
    more_flows, _ = best(things, flows(10 * size.flows, size.nodes))
    many = objects(10 * size.nodes, size.policies, size.rules, False)
    more_nodes, _ = best(many, flows(size.flows, 10 * size.nodes))
    own, _ = best(objects(size.nodes, size.policies, size.rules, True), asked)
    sample = asked[: size.naive_flows]
    slow, naive_answers = naive(things, sample)
    same = naive_answers == answers[: len(sample)]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    shape = f"{size.flows} flows x {size.policies} policies x {size.rules} rules, {size.nodes} nodes"
    print(f"{shape}: {full:.2f} s")
    print(f"10x flows: {more_flows:.2f} s, {more_flows / full:.1f}x the time")
    print(f"10x nodes, same labels: {more_nodes:.2f} s, {more_nodes / full:.2f}x the time")
    print(f"every node told apart by policy: {own:.2f} s, {own / full:.1f}x the time")
    scaled = slow * size.flows / len(sample)
    print(f"naive, {len(sample)} flows: {slow:.2f} s; all about {scaled:.0f} s, {scaled / full:.0f}x")
    print(f"naive gives the same verdicts: {'yes' if same else 'NO'}")
    print(f"peak memory of this process, all runs: {memory:.0f} MiB")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
