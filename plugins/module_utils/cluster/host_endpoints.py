# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read what a plan for HostEndpoints takes, and carry it out."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, TypeVar

from ..calico.bad_input import BadInput
from ..calico.host_endpoint import DEFAULT_ALLOW_PROFILE, correction, is_ours
from ..calico.host_endpoint_plan import HostEndpointChange, HostEndpointPlan, made_by
from .bulk import WriteOutcome, write_all
from .client import ApiError, Cluster, ClusterError, Object
from .flavour import Flavour, list_stored

T = TypeVar("T")

TEMPLATE_OPTIONS: dict[str, Any] = {
    "generate_name": {"type": "str", "required": True},
    "interface_cidrs": {"type": "list", "elements": "str", "default": []},
    "interface_pattern": {"type": "str", "default": ""},
    "labels": {"type": "dict", "default": {}},
    "node_selector": {"type": "str", "default": "all()"},
}
"""Of one entry of ``templates``."""

OPTIONS: dict[str, Any] = {
    "node_selector": {"type": "str", "default": "kubernetes.io/os!=windows"},
    "labels": {"type": "dict", "default": {"host-endpoint": "ingress"}},
    "node_labels": {
        "type": "list",
        "elements": "str",
        "default": [
            "kubernetes.io/hostname",
            "node-role.kubernetes.io/control-plane",
            "topology.kubernetes.io/zone",
        ],
    },
    "interface": {"type": "str", "default": "*"},
    "profiles": {"type": "list", "elements": "str", "default": [DEFAULT_ALLOW_PROFILE]},
    "ports": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "protocol": {"type": "str", "choices": ["TCP", "UDP", "SCTP"], "default": "TCP"},
            "port": {"type": "int", "required": True},
        },
    },
    "templates": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": TEMPLATE_OPTIONS,
    },
    "create_default": {"type": "bool", "default": True},
}
"""How HostEndpoints are to look, for the modules that write and that plan them."""

NODES = "/api/v1/nodes"
# A write meets a newer version only when someone else writes the same object just now.
ATTEMPTS = 5


def read(
    cluster: Cluster, flavour: Flavour, node_selector: str, keep: Callable[[Object], T]
) -> tuple[list[T], set[str], list[Object]]:
    """The selected nodes, the names of all nodes, and all HostEndpoints; both lists at the same time.

    :param keep: makes of a Node what is kept of it, as a Node with all its images is large
    :raises BadInput: the API cannot read the selector
    """
    names: set[str] = set()
    selected: list[T] = []
    with ThreadPoolExecutor(max_workers=1) as pool:
        heps = pool.submit(list_stored, cluster, flavour, "HostEndpoint")
        for node in select_nodes(cluster, node_selector):
            names.add(node["metadata"]["name"])
            selected.append(keep(node))
        stored = heps.result()
    strangers = {str(h["spec"].get("node")) for h in stored} - names
    # Whether a HostEndpoint's node is gone, or only not selected, matters in what we say of it alone.
    if strangers and node_selector:
        names.update(n["metadata"]["name"] for n in cluster.list(NODES))
    return selected, names, stored


def carry_out(
    cluster: Cluster, flavour: Flavour, planned: HostEndpointPlan, renew: Callable[[], None]
) -> list[WriteOutcome[HostEndpointChange]]:
    """Write the plan: what is created or corrected first, then what goes.

    Orphans go last, and not at all where a write before them failed: a run that is cut short must
    not leave less protection than it found.

    :param renew: called before each write, to go on holding the Lease
    """

    def write(change: HostEndpointChange) -> None:
        renew()
        (_delete if change.action == "delete" else _write)(cluster, flavour, change)

    kept = [c for c in planned.changes if c.action != "delete"]
    gone = [c for c in planned.changes if c.action == "delete"]
    outcomes = write_all(kept, write)
    if any(not o.done for o in outcomes):
        return outcomes + [WriteOutcome(c, "not tried, because writes before it failed") for c in gone]
    return outcomes + write_all(gone, write)


def select_nodes(cluster: Cluster, selector: str, **more: str) -> Iterator[Object]:
    """The nodes that a label selector selects; all where it is empty.

    :param more: as of :meth:`Cluster.list`
    :raises BadInput: the API cannot read the selector
    """
    try:
        yield from cluster.list(NODES, **({"labelSelector": selector} if selector else {}), **more)
    except ApiError as error:
        if selector and error.status == 400:
            raise BadInput(
                "node_selector", selector, f"must be a Kubernetes label selector ({error.message})"
            )
        raise


def _write(cluster: Cluster, flavour: Flavour, change: HostEndpointChange) -> None:
    wanted, collection = change.wanted or {}, flavour.path("HostEndpoint")
    path = flavour.path("HostEndpoint", change.name)
    create = change.action == "create"
    for _attempt in range(ATTEMPTS):
        try:
            if create:
                cluster.create(collection, wanted)
            else:
                cluster.replace(path, wanted)
        except ApiError as error:
            if not error.conflict and not (error.not_found and not create):
                raise
            live = cluster.find(path)
            create = live is None
            if live is None:
                wanted["metadata"].pop("resourceVersion", None)
                wanted["metadata"].pop("uid", None)
                continue
            if not is_ours(live):
                raise ClusterError(f"HostEndpoint {change.name} was made by {made_by(live)} meanwhile")
            corrected = correction(live, wanted)
            if corrected is None:
                return
            wanted = corrected
        else:
            return
    raise ClusterError(
        f"HostEndpoint {change.name} was changed by someone else {ATTEMPTS} times while we wrote it"
    )


def _delete(cluster: Cluster, flavour: Flavour, change: HostEndpointChange) -> None:
    uid: Any = (change.live or {}).get("metadata", {}).get("uid")
    cluster.delete(flavour.path("HostEndpoint", change.name), uid)
