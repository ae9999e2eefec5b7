# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which policies a node's kernel must hold before a login proves anything about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..policy import planner
from ..stored.model import WILDCARD, HostEndpoint
from ..verdict.judge import Options
from ..verdict.node_judges import NodeJudges, NodeUse
from ..verdict.packet_path import EBPF
from .model import Object, Programmed


def programmed(
    stored: planner.Inventory,
    inventory: planner.Inventory,
    around: Sequence[Object],
    options: Options,
    uses: Mapping[str, NodeUse],
) -> Programmed:
    """What is to be seen in the kernels once the inventory is what the cluster holds.

    Only policies of Hostfence on host endpoints that are in force for sure, as what is missing is brought
    back: on a node's ``*``, and on interfaces that were seen there. Untracked policy has no part in a ``*``.

    :param stored: the policies from before
    :param around: what decides about hosts, apart from policy
    """
    objects = [*planner.objects_after(inventory, planner.WritePlan()), *around]
    judges = NodeJudges(objects, options, uses)
    ours = _enforced(inventory)
    policies = [p for p in judges.store.policies if not p.do_not_track and (p.ref.stored_name or "") in ours]
    found: dict[str, tuple[str, ...]] = {}
    for node, active in _active(judges.store.host_endpoints, uses).items():
        if judges.dataplane_of(node) != EBPF:
            names = {
                p.ref.stored_name
                for p in policies
                if not p.bound_to_pods and any(p.selector.matches(hep.labels) for hep in active)
            }
            found[node] = tuple(sorted(name for name in names if name))
    return Programmed(found, tuple(sorted(_enforced(stored) - ours)))


def _enforced(inventory: planner.Inventory) -> frozenset[str]:
    return frozenset(o.stored_name for o in inventory.objects if o.ours and o.enforces)


def _active(
    host_endpoints: Sequence[HostEndpoint], uses: Mapping[str, NodeUse]
) -> dict[str, list[HostEndpoint]]:
    """Of several on one interface, Felix takes the one whose name sorts first."""
    found: dict[str, dict[str, HostEndpoint]] = {}
    for hep in sorted(host_endpoints, key=lambda hep: hep.name.encode()):
        of_node = found.setdefault(hep.node, {})
        use = uses.get(hep.node)
        if hep.interface == WILDCARD or hep.interface in ((use.interfaces if use else None) or {}):
            of_node.setdefault(hep.interface, hep)
    return {node: list(by_interface.values()) for node, by_interface in found.items()}
