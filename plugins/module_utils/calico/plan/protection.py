# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is protected as the plan finds it, so that a run that writes nothing need not look twice."""

from __future__ import annotations

from typing import Any

from ..host_endpoint_plan import node_table
from ..policy import overview
from ..policy.planner import Inventory
from .view import View


def protection_of(view: View, stored: Inventory) -> dict[str, Any]:
    """What the modules host_endpoints_info and policies_info return, as far as a report shows it.

    :param view: with the nodes that the HostEndpoints' selector selects
    :param stored: the policies that stand before the plan
    """
    host_endpoints = view.of("HostEndpoint")
    nodes, summary = node_table(list(view.selected), list(host_endpoints))
    return {
        "nodes": nodes,
        "summary": summary,
        "sets": overview.sets(stored, view.unproved),
        "foreign": overview.foreign(stored, host_endpoints),
        "pending": overview.pending(stored, native=view.flavour == "v3-native"),
        "transaction": dict(view.transaction),
    }
