# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node's kernel shows of a transaction, compared with what it is to show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import selector as selectors
from ..bad_input import BadInput
from ..policy.names import POLICY
from .chains import chain_names
from .steps import WantedObject

FULL, EMPTY = "full", "empty"


@dataclass(frozen=True)
class Expected:
    """What a kernel is to show.

    :ivar present: policies whose chains it holds, where they select one of the node's HostEndpoints
    :ivar absent: policies of which it holds nothing
    :ivar guards: whose set of addresses is full, or empty
    """

    present: Sequence[WantedObject] = ()
    absent: Sequence[WantedObject] = ()
    guards: Sequence[WantedObject] = ()
    full: bool = True

    @property
    def guard_chains(self) -> list[str]:
        """Names of all chains that may be a guard's."""
        return sorted({name for guard in self.guards for name in all_chains(guard)})


def difference(expected: Expected, kernel: Mapping[str, Any], endpoints: Sequence[Mapping[str, str]]) -> str:
    """What is not as it is to be, or nothing.

    :param kernel: as ``node/switch_probe.py`` reads it
    :param endpoints: labels of the node's HostEndpoints
    """
    chains = set(kernel["chains"])
    for write in expected.present:
        if any(not names & chains for names in _chains(write, endpoints)):
            return f"policy {write.name} is not in its kernel yet"
    for write in expected.absent:
        if all_chains(write) & chains:
            return f"policy {write.name} is still in its kernel"
    wanted = FULL if expected.full else EMPTY
    for write in expected.guards:
        for names in _chains(write, endpoints):
            seen = next((kernel["guards"][name] for name in names if name in kernel["guards"]), "unknown")
            if seen != wanted:
                return f"the switch's addresses are {seen} in its kernel, not {wanted} ({write.name})"
    return ""


def all_chains(write: WantedObject) -> frozenset[str]:
    tier = write.name.partition(".")[0]
    return chain_names(write.name, tier, "Ingress") | chain_names(write.name, tier, "Egress")


def _chains(write: WantedObject, endpoints: Iterable[Mapping[str, str]]) -> list[frozenset[str]]:
    """Names of the chains that a node should have of a policy: none if it selects no HostEndpoint there."""
    spec = (write.wanted or {}).get("spec") or {}
    if write.kind != POLICY or spec.get("namespaceSelector") or spec.get("serviceAccountSelector"):
        return []
    try:
        selector = selectors.parse(str(spec.get("selector") or ""))
    except BadInput:
        return []
    if not any(selector.matches(labels) for labels in endpoints):
        return []
    return [chain_names(write.name, spec["tier"], direction) for direction in spec["types"]]
