# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Exactness: verdicts of real packets before, prepared, switched, back and settled are old, old, new, old,
new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction.kernel_view import Expected
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import enforcement, flavour
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.transaction import (
    Transaction,
    TransactionOptions,
    begin,
)
from ansible_collections.hostfence.calico.plugins.module_utils.controller.node_programs import logins

from tests.faults.lab import NEIGHBOURS, Lab, allow, policy

Policies = list[dict[str, Any]]
_DENY_NODEPORT = {"action": "Deny", "protocol": "TCP", "destination": {"ports": [30001]}}


@dataclass(frozen=True)
class Pair:
    name: str
    old: Policies
    new: Policies


PAIRS = (
    Pair("nothing to a set", [], [policy("in", 10, ingress=[allow(22, 10250), NEIGHBOURS])]),
    Pair(
        "set to set, both directions",
        [policy("in", 10, ingress=[allow(22, 10250), NEIGHBOURS])],
        [
            policy("in", 10, ingress=[allow(22, 9999), NEIGHBOURS]),
            policy("out", 20, egress=[allow(6443, 22), NEIGHBOURS]),
        ],
    ),
    Pair(
        "ingress only to egress only",
        [policy("in", 10, ingress=[allow(22), NEIGHBOURS])],
        [policy("out", 20, egress=[allow(6443, 22, 10250), NEIGHBOURS])],
    ),
    Pair(
        "preDNAT to normal",
        [policy("pre", 10, ingress=[_DENY_NODEPORT], preDNAT=True, applyOnForward=True)],
        [policy("in", 10, ingress=[allow(22, 9999, 30001), NEIGHBOURS])],
    ),
    Pair(
        "with forward to with forward",
        [policy("in", 10, ingress=[allow(22, 9999), NEIGHBOURS], applyOnForward=True)],
        [policy("in", 10, ingress=[allow(22, 10250), NEIGHBOURS], applyOnForward=True)],
    ),
    Pair("a set to nothing", [policy("in", 10, ingress=[allow(22), NEIGHBOURS])], []),
)


def main(lab: Lab) -> bool:
    """:returns: whether no verdict differed"""
    compared = different = 0
    for pair in PAIRS:
        for state, seen, wanted in _states(lab, pair):
            bad = [flow for flow in wanted if seen[flow] != wanted[flow]]
            compared, different = compared + len(wanted), different + len(bad)
            print(f"{pair.name:32} {state:10} {len(wanted) - len(bad)}/{len(wanted)}", flush=True)
            for flow in bad[:5]:
                print(f"    {flow}: {seen[flow]}, should be {wanted[flow]}")
        # A pair whose two sides look alike would show nothing.
    print(f"exactness on {lab.backend}: {compared - different}/{compared} verdicts as they should be")
    lab.directly([])
    return not different


def _states(lab: Lab, pair: Pair) -> list[tuple[str, dict[str, str], dict[str, str]]]:
    lab.directly(pair.new)
    new = lab.verdicts()
    lab.directly(pair.old)
    old = lab.verdicts()
    differing = sum(old[flow] != new[flow] for flow in old)
    if not differing:
        raise SystemExit(f"{pair.name}: no flow tells old from new")
    print(f"{pair.name:32} {differing} of {len(old)} flows tell old from new")
    cluster = Cluster.of_options({"kubeconfig": lab.kubeconfig})
    served = flavour.require(cluster)
    heps = flavour.list_stored(cluster, served, "HostEndpoint")
    run = Transaction(cluster, served, logins(lab.logins), heps, TransactionOptions(watchdogs=0))
    before, after = enforcement.both_sides(cluster, served, lab.rehearsal(pair.new))
    waves = enforcement.waves_of(cluster, served, heps, ["all"])
    state = begin(["edge"], waves, run.options)
    run.stored.begin(state, before, after)
    run._prepare(state, run._change(before, after))
    found = [("prepared", lab.verdicts(), old)]
    for on, phase, wanted in ((True, "switched", new), (False, "back", old), (True, "again", new)):
        run.stored.turn(run._need(1), "switched" if on else "rolled-back", {}, on=on)
        guards = run._script(state, run._change(before, after)).new_guards()
        run._see(waves[0].nodes, Expected(guards=guards, full=not on))
        lab.wait_for(lambda wanted=wanted: lab.verdicts() == wanted, 2)
        found.append((phase, lab.verdicts(), wanted))
    run.settle(state, before, after)
    found.append(("settled", lab.verdicts(), new))
    if lab.left_behind():
        raise SystemExit(f"left behind: {lab.left_behind()}")
    return found
