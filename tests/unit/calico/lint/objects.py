# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects with and without traps, which the tests of the lint rules share."""

from __future__ import annotations

from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import lint

from tests.unit import builders
from tests.unit.builders import V1, Object

# A rule of lint, objects that it fires on, and the nearest ones on which it is silent.
Case = tuple[str, list[Object], list[Object]]

ALL = {"action": "Allow"}
BOTH = ["Ingress", "Egress"]


def hep(name: str = "n1-hep", **spec: Any) -> Object:
    given = {"node": "n1", "expectedIPs": ["10.0.0.1"], **spec}
    return builders.host_endpoint(name, labels={"role": "db"}, **given)


def gnp(name: str = "p", kind: str = "GlobalNetworkPolicy", api: str = V1, **spec: Any) -> Object:
    given = {"selector": "role == 'db'", "order": 10, "ingress": [ALL], **spec}
    return builders.policy(name, kind=kind, api=api, **given)


def staged(name: str = "s", **spec: Any) -> Object:
    return gnp(name, "StagedGlobalNetworkPolicy", **spec)


def rule(**fields: Any) -> Object:
    return gnp(ingress=[{"action": "Allow", **fields}])


def felix(**spec: Any) -> Object:
    return builders.felix_configuration(**spec)


DENY_ALL = {"action": "Deny"}
V4_DENY = {"action": "Deny", "source": {"nets": ["10.0.0.0/8"]}}
AOF = {"applyOnForward": True}


def rules_found(objects: list[Object]) -> set[str]:
    return {finding.id for finding in lint(objects)}


def ids_of(cases: list[Case]) -> list[str]:
    return [f"{index}-{case[0]}" for index, case in enumerate(cases)]


def entity(**fields):
    return {key: value for key, value in fields.items() if value}


def tcp(nets=(), ports=(), not_nets=(), **more):
    side = {
        "source": entity(nets=list(nets), notNets=list(not_nets)),
        "destination": entity(ports=list(ports)),
    }
    return {"action": "Allow", "protocol": "TCP", **side, **more}
