# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings of a run as the modules return them, for reports to be made of."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import as_dicts, lint
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.difference import differences
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import (
    Options,
    judge_objects,
)
from ansible_collections.hostfence.calico.plugins.module_utils.node import failsafe_check
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.document import Found
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.transactions import transaction

from tests.unit import builders

RECORDINGS = Path(__file__).resolve().parent.parent / "recordings"
AT = "2026-11-28T16:30:00Z"
CASES = RECORDINGS / "cases" / "classes-iptables-nft.json"


@cache
def case(name: str = "8-all") -> dict[str, Any]:
    """What was recorded of a real Felix: objects, the node, its dump."""
    document = json.loads(CASES.read_text())
    return next(item for item in document["cases"] if item["name"] == name)


@cache
def checked(name: str = "8-all") -> dict[str, Any]:
    """The result of failsafe_info on a recording."""
    recorded = case(name)
    dump = RECORDINGS / "felix" / "dumps" / CASES.stem / name
    node = recorded["nodes"][0]
    files = {
        part: str(dump / f"{part.replace('_', '-')}.txt") for part in ("iptables_save", "ip6tables_save")
    }
    return failsafe_check.check(recorded["objects"], None, node["name"], node["interfaces"], files)


def broken() -> dict[str, Any]:
    """The result of a node whose kernel lacks the failsafes that the API asks for."""
    recorded = case("8-all")
    dump = RECORDINGS / "felix" / "dumps" / CASES.stem / "0-nohep"
    node = recorded["nodes"][0]
    files = {
        part: str(dump / f"{part.replace('_', '-')}.txt") for part in ("iptables_save", "ip6tables_save")
    }
    return failsafe_check.check(recorded["objects"], None, node["name"], node["interfaces"], files)


def flows() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Packets with their verdicts, as flow_verdict returns them."""
    recorded = case()
    node = recorded["nodes"][0]["name"]
    base = {"node": node, "direction": "ingress", "interface": "eth0", "protocol": "TCP"}
    asked = [
        {**base, "source": "203.0.113.9", "destination": "10.10.0.1", "destination_port": 10250},
        {**base, "source": "203.0.113.9", "destination": "10.10.0.1", "destination_port": 22},
    ]
    asked.append({**base, "direction": "egress", "source": "10.10.0.1", "destination": "198.51.100.7"})
    asked[-1]["destination_port"] = 443
    verdicts = judge_objects(recorded["objects"], asked, options=Options(staged="compare"))
    return [(flow, verdict.as_dict()) for flow, verdict in zip(asked, verdicts)]


AUDIT: dict[str, Any] = {
    "gate": "fail",
    "reasons": ["would deny tcp/9100 of 3 nodes"],
    "unseen": [],
    "nodes": 5,
    "left_out": 0,
    "assumptions": [],
    "groups": [
        {
            "verdict": "deny",
            "direction": "ingress",
            "protocol": "TCP",
            "port": 9100,
            "node": f"worker-{number}",
            "peer": "192.0.2.50",
            "process": "node_exporter",
            "connections": 120 + number,
            "reason_code": "end-of-tier",
            "decided_by": {"tier": "hostfence", "stage": "normal"},
            "remedy": {
                "text": "allow TCP 9100 from 192.0.2.50/32 in the set ingress-lockdown",
                "rule": "action: Allow\nprotocol: TCP\nsource:\n  nets: [192.0.2.50/32]",
            },
        }
        for number in range(1, 4)
    ],
}
# Of a cluster in which nothing is to be fixed.
QUIET: dict[str, Any] = {
    "nodes": [{"name": "n", "host_endpoint": "n-hostfence", "made_by": "hostfence"}],
    "lint": [],
    "audit": None,
}
# As policies_info and enforce return it.
RECORD: dict[str, Any] = {
    "phase": "settled",
    "who": "ops@bastion",
    "since": "2026-11-28T16:20:00Z",
    "finished": "2026-11-28T16:20:16Z",
    "sets": ["ingress-lockdown"],
    "waves": [
        {
            "name": "canary",
            "nodes": ["worker-1"],
            "phase": "settled",
            "deadline": "",
            "by": "ops@bastion",
            "at": "2026-11-28T16:20:15Z",
            "reason": "",
        }
    ],
    "changes": [],
}
TIMELINE: list[dict[str, Any]] = [
    {"at": "2026-11-28T16:20:01Z", "event": "prepared", "wave": "", "seconds": 1.2},
    {"at": "2026-11-28T16:20:09Z", "event": "armed", "wave": "canary", "seconds": 9.1},
    {"at": "2026-11-28T16:20:10Z", "event": "switched", "wave": "canary", "seconds": 10.0},
    {"at": "2026-11-28T16:20:14Z", "event": "proved", "wave": "canary", "seconds": 14.3},
    {"at": "2026-11-28T16:20:15Z", "event": "confirmed", "wave": "canary", "seconds": 15.1},
    {"at": "2026-11-28T16:20:16Z", "event": "settled", "wave": "", "seconds": 16.4},
]


def policy(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A policy of the tier hostfence."""
    given = {"tier": "hostfence", "order": 100, "selector": "host-endpoint == 'ingress'", **spec}
    return builders.policy("hostfence.inbound", api=builders.V3, ingress=list(rules), **given)


def changes() -> list[dict[str, Any]]:
    """What makes a difference between two policies, as policies_info returns it."""
    ssh = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [22]}}
    web = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [443]}}
    old, new = policy(ssh, {"action": "Deny"}, web), policy(web, ssh, {"action": "Log"}, order=50)
    return [change.as_dict() for change in differences([old], [new])]


def found(**parts: Any) -> Found:
    """A small cluster in which most is well."""
    names = ["control-1", *(f"worker-{number}" for number in range(1, 6))]
    failsafes = dict.fromkeys(names, checked())
    failsafes["worker-4"] = {"msg": "Failed to connect to the host via ssh: Connection timed out"}
    failsafes["worker-5"] = broken()
    nodes = [{"name": name, "host_endpoint": f"{name}-hostfence", "made_by": "hostfence"} for name in names]
    nodes[2] = {"name": "worker-2", "host_endpoint": "", "made_by": ""}
    objects = case()["objects"]
    given: dict[str, Any] = {
        "nodes": nodes,
        "failsafes": failsafes,
        "sets": [
            {
                "name": "ingress-lockdown",
                "state": "staged",
                "objects": [
                    {"kind": "StagedGlobalNetworkPolicy", "name": f"hostfence.ingress-lockdown-{part}"}
                    for part in ("inbound", "outbound", "drop")
                ],
            }
        ],
        "foreign": [{"name": "default.pods", "tier": "default", "order": 10.0, "host_endpoints": 3}],
        "lint": as_dicts(lint(objects)),
        "flows": flows(),
        "audit": AUDIT,
        "transaction": transaction({**RECORD, "changes": changes()}, TIMELINE),
        "pending": changes(),
        "cluster": {"server": "https://10.0.0.1:6443", "calico_version": "v3.32.1", "dataplane": "iptables"},
    }
    return Found(**{**given, **parts})
