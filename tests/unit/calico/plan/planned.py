# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wishes, and what was seen of three nodes, which the tests of plans share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.felix.configuration import FelixFields
from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint import (
    HostEndpointTemplate,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.builder import make_plan
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.model import Plan
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.view import View
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.wishes import (
    FelixWish,
    HostEndpointsWish,
    PoliciesWish,
    Wishes,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.planner import PolicySet
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.reader import Document, parse

from tests.unit import builders

RECORDING = Path(__file__).parents[2] / "recordings" / "clusters" / "three-nodes.json"
LABELS = {"host-endpoint": "ingress"}
NODES = ("sim-0001", "sim-0002", "sim-0003")
HEPS = HostEndpointsWish("direct", HostEndpointTemplate(LABELS), "")
CLOSED = FelixWish(FelixFields(inbound=[{"protocol": "tcp", "port": 6443}]))


def a_set(name: str, action: str, state: str = "enforced", **spec: Any) -> PolicySet:
    rule = {"action": action, "protocol": "TCP", "destination": {"ports": [22]}}
    given = {"order": 10, "selector": "host-endpoint == 'ingress'", "ingress": [rule], **spec}
    policy = builders.policy(name, api=builders.V3, **{"types": None, **given})
    definitions = parse([Document(policy, "here")], "hostfence")
    return PolicySet(name, state, definitions, default_action="Pass")


def policies(*sets: PolicySet, **more: Any) -> PoliciesWish:
    return PoliciesWish(sets, **{"lint": False, **more})


def titles(plan: Plan, name: str) -> list[str]:
    return [f"{w.action} {w.title}" for step in plan.steps if step.name == name for w in step.writes]


def after(view: View, plan: Plan) -> View:
    """The view once the plan was carried out."""
    stored = {kind: {o["metadata"]["name"]: o for o in view.of(kind)} for kind in view.objects}
    for step in plan.steps:
        for write in step.writes:
            kept = stored.setdefault(write.kind, {})
            kept.pop(write.name, None)
            if write.after:
                kept[write.name] = write.after
    return replace(view, objects={kind: list(objects.values()) for kind, objects in stored.items()})


def enforced(view: View, *sets: PolicySet) -> View:
    return after(view, make_plan(view, Wishes(host_endpoints=HEPS, policies=policies(*sets))))
