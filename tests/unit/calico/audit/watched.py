# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A cluster with a candidate, what its nodes saw, and the audit of both, which the tests of audits share."""

from __future__ import annotations

import datetime
import math
from dataclasses import replace
from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.audit import Audit
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.gate import Enough, parse_accepted
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.observed import FlowDocument
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.remedy import RemedyOptions
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.report import Asked, conclude
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.dataplanes import Dataplanes
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options

from tests.unit import builders
from tests.unit.builders import V3, Object

NOW = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.timezone.utc)
DAY = 86400
ENOUGH = Enough(DAY, math.inf, NOW)


def node(number: int) -> Object:
    return builders.node(f"n{number}", f"10.0.3.{number}")


def hep(number: int) -> Object:
    return builders.host_endpoint(
        f"n{number}",
        node=f"n{number}",
        api=V3,
        labels={"host-endpoint": "ingress"},
        expectedIPs=[f"10.0.3.{number}"],
    )


def staged(name: str, tier: str = "hostfence", **spec: Any) -> Object:
    given = {"order": 100, "selector": "host-endpoint == 'ingress'", **spec}
    return builders.policy(f"{tier}.{name}", kind="StagedGlobalNetworkPolicy", api=V3, tier=tier, **given)


def cluster(*policies: Object, nodes: int = 3) -> list[Object]:
    tier = builders.tier("hostfence", api=V3, order=100, defaultAction="Deny")
    numbers = range(1, nodes + 1)
    return [tier, *map(node, numbers), *map(hep, numbers), *policies]


ONLY_WEB = staged("web", ingress=[{"action": "Allow", "protocol": "TCP", "destination": {"ports": [443]}}])

LOCKDOWN = staged("ingress-lockdown-drop", preDNAT=True, applyOnForward=True, ingress=[{"action": "Deny"}])


def record(source: str = "192.0.2.9", port: int = 9100, **seen: Any) -> Object:
    flow = {
        "direction": "ingress",
        "interface": "eth0",
        "protocol": 6,
        "source": source,
        "destination": "10.0.3.1",
        "destination_port": port,
        **seen.pop("flow", {}),
    }
    owner = seen.pop("owner", None)
    return {
        "flow": flow,
        "seen": {"count": 1, "replied": True, "interface_by": "hook", **seen},
        "owner": owner,
    }


def document(*records: Object, of: str = "n1", seconds: float = DAY, gaps: Any = (), **more: Any) -> Object:
    return {
        "schema": "hostfence.flows/1",
        "node": of,
        "window": {"start": 0, "end": seconds, "complete": not gaps, "gaps": [{"id": gap} for gap in gaps]},
        "not_recorded": 0,
        "flows": list(records),
        **more,
    }


def audited(objects: list[Object], *documents: Object, accepted: Any = (), **asked: Any) -> Object:
    audit = Audit(objects, Options(calico_version="v3.32.1"), Dataplanes(objects))
    for index, raw in enumerate(documents):
        audit.add(FlowDocument(raw, f"documents[{index}]"))
    wishes = RemedyOptions(asked.pop("generalise", "none"), asked.pop("variables", {}))
    enough = replace(ENOUGH, **{name: asked.pop(name) for name in ("min_window", "max_age") if name in asked})
    given = {"rows": 100, "anonymise": False, **asked}
    return conclude(audit, Asked(wishes, parse_accepted(accepted), enough, **given))


def all_nodes(*records: Object, nodes: int = 3) -> list[Object]:
    return [document(*records, of=f"n{number}") for number in range(1, nodes + 1)]
