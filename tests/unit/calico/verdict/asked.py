# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects, packets and the engine's answers, which the tests of verdicts share."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import (
    Options,
    Verdict,
    judge_objects,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.reasons import REASONS

from tests.unit import builders
from tests.unit.builders import Object

ALLOW, DENY, PASS, LOG = ({"action": action} for action in ("Allow", "Deny", "Pass", "Log"))


def hep(name: str = "hep", **spec: Any) -> Object:
    return builders.host_endpoint(name, labels={"role": "db"}, **{"node": "n", **spec})


def gnp(name: str = "p", kind: str = "GlobalNetworkPolicy", **spec: Any) -> Object:
    given = {"selector": "role == 'db'", "order": 10, "ingress": [ALLOW], **spec}
    return builders.policy(name, kind=kind, **given)


def tier(name: str, order: Optional[float] = None, action: str = "Deny") -> Object:
    return builders.tier(name, order=order, defaultAction=action)


def flow(direction: str = "ingress", **fields: Any) -> Object:
    given = builders.flow(direction, **{"destination_port": 80, "source_port": 40000, **fields})
    if str(given["protocol"]).upper().startswith("ICMP"):
        given.pop("source_port")
        given.pop("destination_port")
    return {key: value for key, value in given.items() if value is not None}


SSH = flow(destination_port=22)
NEIGHBOUR = {
    "protocol": "ICMPv6",
    "source": "fe80::1",
    "destination": "fe80::2",
    "icmp_type": 135,
    "icmp_code": 0,
}


def judge(asked: Object, *objects: Object, nodes: Any = None, **options: Any) -> Verdict:
    (verdict,) = judge_objects(list(objects), [asked], nodes, Options(**options))
    assert verdict.reason_code in REASONS
    return verdict


def answer(asked: Object, *objects: Object, **options: Any) -> tuple[str, str]:
    verdict = judge(asked, *objects, **options)
    return verdict.verdict, verdict.reason_code


AOF = {"applyOnForward": True}
UNTRACKED_HEP = hep(interfaceName="eth0")
POOL = builders.resource("IPPool", "pool", cidr="10.244.0.0/16", ipipMode="Always", vxlanMode="CrossSubnet")
PEER = builders.node("n", "10.0.0.9")
