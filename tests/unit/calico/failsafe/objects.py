# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node's interfaces, its objects, and Calico's rule sets, which the tests of failsafes share."""

from __future__ import annotations

from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.ruleset import (
    Chain,
    DumpedRule,
    Ruleset,
    Table,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.finding import Finding

from tests.unit import builders
from tests.unit.builders import V3, Object

INTERFACES = {"lo": ["127.0.0.1/8", "::1/128"], "eth0": ["10.0.0.1/24"], "eth1": [], "cali12": []}


def hep(name: str, interface: str, ips: tuple[str, ...] = (), node: str = "n1") -> Object:
    return builders.host_endpoint(
        name,
        node=node,
        api=V3,
        labels={"hep": "1"},
        interfaceName=interface,
        profiles=None,
        expectedIPs=list(ips),
    )


def policy(name: str, **spec: Any) -> Object:
    return builders.policy(name, api=V3, **{"selector": "has(hep)", **spec})


def ids(findings: list[Finding]) -> list[str]:
    return [finding.id for finding in findings]


def calico(backend: str, hooked: bool) -> Ruleset:
    chain = Chain(hook="INPUT")
    if hooked:
        chain.rules.append(DumpedRule((), "jump", "cali-INPUT", "Cz_u1IQiXIMmKD4c"))
    table = Table(chains={"INPUT": chain}, declared={"cali-INPUT"}, jumps={"INPUT": {"cali-INPUT"}})
    return Ruleset(backend, 4, {"filter": table})
