# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What to write so that nodes have their HostEndpoints: objects in, a plan out.

Like host_endpoint it imports the standard library only, for the in-cluster agent carries the same file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from .bad_input import BadInput
from .host_endpoint import (
    ALL_INTERFACES,
    OWNER,
    OWNER_LABEL,
    active_wildcard,
    correction,
    is_auto,
    is_ours,
)

Object = dict[str, Any]


@dataclass(frozen=True)
class HostEndpointChange:
    """One write that brings a node's HostEndpoint to what it should be.

    :ivar action: ``create``, ``update`` or ``delete``
    :ivar live: the stored object, None when it is created
    :ivar wanted: the object to store, None when it is deleted
    """

    action: str
    node: str
    name: str
    live: Optional[Object] = None
    wanted: Optional[Object] = None


@dataclass(frozen=True)
class Foreign:
    """A HostEndpoint that Hostfence does not manage.

    :ivar made_by: ``calico`` for kube-controllers' own, else ``someone else``
    :ivar node_exists: whether its node is in the cluster
    :ivar active_instead_of_ours: whether Felix uses this wildcard HostEndpoint and not Hostfence's
    """

    name: str
    node: str
    interface: str
    made_by: str
    node_exists: bool
    active_instead_of_ours: bool


@dataclass(frozen=True)
class HostEndpointPlan:
    """What has to be written, and what was seen on the way."""

    selected: Sequence[str]
    changes: Sequence[HostEndpointChange]
    unchanged: int
    foreign: Sequence[Foreign] = field(default_factory=tuple)


def plan(wanted: Sequence[Object], node_names: Iterable[str], heps: Iterable[Object]) -> HostEndpointPlan:
    """What to write so that every selected node has its HostEndpoint, and no orphan of Hostfence is left.

    :param wanted: for each selected node the HostEndpoint, or those, that it should have
    :param node_names: of all nodes of the cluster, as far as a stored HostEndpoint names them
    :param heps: those stored
    :raises BadInput: a HostEndpoint of someone else has a name that Hostfence needs
    """
    ours, others = _by_owner(heps)
    _refuse_foreign_names(wanted, others)
    # Hostfence's that no node has claimed are orphans.
    changes = [c for c in (_change(w, ours.pop(w["metadata"]["name"], None)) for w in wanted) if c]
    return HostEndpointPlan(
        selected=list(dict.fromkeys(str(w["spec"]["node"]) for w in wanted)),
        changes=changes + [_deletion(h) for h in ours.values()],
        unchanged=len(wanted) - len(changes),
        foreign=_foreign(list(others.values()), wanted, frozenset(node_names)),
    )


def plan_removal(heps: Sequence[Object]) -> HostEndpointPlan:
    """What to write so that no HostEndpoint of Hostfence is left."""
    return HostEndpointPlan(selected=(), changes=[_deletion(h) for h in heps if is_ours(h)], unchanged=0)


def coverage(nodes: Iterable[str], heps: Iterable[Object]) -> dict[str, str]:
    """For each node, the name of a HostEndpoint that it has: the active wildcard one if any, else the first.

    Nodes without one are left out.
    """
    by_node: dict[str, list[Object]] = {}
    for hep in heps:
        by_node.setdefault(str(hep["spec"].get("node")), []).append(hep)
    covered = {}
    for node in nodes:
        mine = by_node.get(node)
        if mine:
            chosen = active_wildcard(mine, node) or min(mine, key=lambda h: str(h["metadata"]["name"]))
            covered[node] = str(chosen["metadata"]["name"])
    return covered


def node_table(nodes: Sequence[str], heps: Sequence[Object]) -> tuple[list[Object], str]:
    """For each node its HostEndpoint (:func:`coverage`) and who made it, and one line about all."""
    covered = coverage(nodes, heps)
    makers = {str(hep["metadata"]["name"]): made_by(hep) for hep in heps}
    table: list[Object] = [
        {
            "name": name,
            "host_endpoint": covered.get(name, ""),
            "made_by": makers.get(covered.get(name, ""), ""),
        }
        for name in nodes
    ]
    return table, f"{len(covered)} of {len(nodes)} nodes have a HostEndpoint"


def made_by(hep: Object) -> str:
    """Who made a HostEndpoint: ``hostfence``, ``calico`` or ``someone else``."""
    if is_ours(hep):
        return OWNER
    return "calico" if is_auto(hep) else "someone else"


def _by_owner(heps: Iterable[Object]) -> tuple[dict[str, Object], dict[str, Object]]:
    """Hostfence's and those of others, each by name."""
    ours: dict[str, Object] = {}
    others: dict[str, Object] = {}
    for hep in heps:
        (ours if is_ours(hep) else others)[hep["metadata"]["name"]] = hep
    return ours, others


def _refuse_foreign_names(wanted: Sequence[Object], others: dict[str, Object]) -> None:
    for hep in wanted:
        name = hep["metadata"]["name"]
        if name in others:
            raise BadInput(
                f"HostEndpoint {name}",
                made_by(others[name]),
                "made this one, under the name we need: delete it, or hand it over with "
                f"`kubectl label hostendpoint {name} {OWNER_LABEL}={OWNER}`",
            )


def _change(wanted: Object, live: Optional[Object]) -> Optional[HostEndpointChange]:
    name, node = wanted["metadata"]["name"], wanted["spec"]["node"]
    if live is None:
        return HostEndpointChange("create", node, name, wanted=wanted)
    corrected = correction(live, wanted)
    return HostEndpointChange("update", node, name, live, corrected) if corrected else None


def _deletion(hep: Object) -> HostEndpointChange:
    return HostEndpointChange("delete", str(hep["spec"].get("node")), hep["metadata"]["name"], live=hep)


def _foreign(others: Sequence[Object], wanted: Sequence[Object], node_names: frozenset[str]) -> list[Foreign]:
    """What others made, each judged together with all that its node will have."""
    if not others:
        return []
    together: dict[str, list[Object]] = {}
    for hep in [*others, *wanted]:
        together.setdefault(str(hep["spec"].get("node")), []).append(hep)
    ours_on = {hep["spec"]["node"] for hep in wanted}

    def judged(hep: Object) -> Foreign:
        node = str(hep["spec"].get("node"))
        wildcard = hep["spec"].get("interfaceName") == ALL_INTERFACES
        return Foreign(
            name=hep["metadata"]["name"],
            node=node,
            interface=hep["spec"].get("interfaceName") or "by-ip",
            made_by=made_by(hep),
            node_exists=node in node_names,
            active_instead_of_ours=wildcard
            and node in ours_on
            and active_wildcard(together[node], node) is hep,
        )

    return [judged(hep) for hep in others]
