# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""By which connections this machine reaches the cluster, and what is about to be there beside policy."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Optional
from urllib.parse import urlsplit

from ..calico.address import Address, parse_address
from ..calico.host_endpoint import HostEndpointTemplate, desired
from ..calico.plan.judgement import connections_at_risk, lockout, with_felix
from ..calico.policy import planner
from ..calico.policy.definition import POLICY
from ..calico.verdict.judge import Options
from ..calico.verdict.reach import (
    API,
    SSH,
    Connection,
    Obstacle,
    of_session,
)
from . import policies
from .api_endpoints import endpoints_of, read_slices
from .client import Cluster, ClusterError, Object
from .flavour import Flavour, FlavourKind, calico_version
from .host_view import HostView

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

OPTIONS: dict[str, Any] = {
    "reach": {"type": "bool", "default": True},
    "logins": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "node": {"type": "str", "required": True},
            "reached": {"type": "bool", "default": True},
            "ssh_connection": {"type": "str", "default": ""},
            "host": {"type": "str", "default": ""},
            "port": {"type": "int", "default": 22},
        },
    },
}


UNSEEN = "reach is off: nobody looked whether this machine can still log in to the nodes and reach the API"


class CutOff(ClusterError):
    """A change that would cut off who makes it."""


@dataclass(frozen=True)
class Outlook:
    """What a change of something beside policy means for who comes in.

    :ivar decides: whether anything is enforced that the change has a part in
    :ivar obstacles: connections that are not plainly allowed afterwards
    :ivar unseen: that nobody looked, where nobody was to
    """

    decides: bool = False
    obstacles: Sequence[Obstacle] = ()
    warnings: Sequence[str] = ()
    unseen: str = ""

    def warn(self, module: AnsibleModule) -> None:
        """Tell what is not sure; a rehearsal does not tell that nobody looked, since somebody may yet."""
        for warning in self.warnings:
            module.warn(warning)
        if self.unseen and not module.check_mode:
            module.warn(self.unseen)

    def result(self) -> dict[str, Any]:
        """What the modules return of it."""
        return {"decides": self.decides, "obstacles": [o.as_dict() for o in self.obstacles]}


def outlook(
    cluster: Cluster,
    served: Flavour,
    params: Mapping[str, Any],
    what: str,
    change: Callable[[Sequence[Object]], list[Object]],
) -> Outlook:
    """Look ahead at a change of HostEndpoints or of Felix's settings while policy is enforced.

    :param params: of a module, :data:`OPTIONS` among them
    :param what: is changed
    :param change: makes the objects to be of those that are (:meth:`HostView.around`)
    :raises CutOff: a connection would be denied
    """
    now = HostView(cluster, served).around()
    then = change(now)
    if not any(obj["kind"] == "HostEndpoint" for obj in then):
        return Outlook()
    if not params["reach"]:
        return Outlook(True, unseen=f"{what}: {UNSEEN}")
    inventory = policies.read(cluster, served)
    logins = of_nodes(then, params["logins"])
    blocking = obstacles_of(cluster, served, inventory, planner.WritePlan(), logins, now, then)
    return Outlook(True, blocking, heed(what, blocking))


def enforces(cluster: Cluster, served: Flavour) -> bool:
    """Whether the cluster has policy that can decide about hosts."""
    return served.serves(POLICY) and any(True for _policy in cluster.list(served.path(POLICY)))


def obstacles_of(
    cluster: Cluster,
    served: Flavour,
    inventory: planner.Inventory,
    planned: planner.WritePlan,
    logins: Sequence[Connection],
    now: Sequence[Object],
    then: Sequence[Object],
) -> list[Obstacle]:
    """The connections that are not plainly allowed once the plan is carried out, that to the API among them.

    :param now: what decides beside policy (:meth:`HostView.around`)
    :param then: the same as it will be when the plan is carried out
    """
    options = options_of(cluster, served)
    before = [*planner.objects_after(inventory, planner.WritePlan()), *now]
    after = [*planner.objects_after(inventory, planned), *then]
    return connections_at_risk(before, after, [*logins, *of_api(cluster, then)], options)


def options_of(cluster: Cluster, served: Flavour) -> Options:
    """How to judge what this cluster stores."""
    return Options(
        calico_version=calico_version(cluster, served),
        native_v3=served.kind is FlavourKind.V3_NATIVE,
    )


def heed(what: str, blocking: Sequence[Obstacle]) -> list[str]:
    """Refuse what would cut this machine off.

    :param what: is not written then
    :returns: warnings, of what is not sure and of what was denied before
    :raises CutOff: what would be denied, by what, and what to do
    """
    refusal, warnings = lockout(what, blocking)
    if refusal:
        raise CutOff(refusal)
    return warnings


def of_nodes(objects: Sequence[Object], logins: Sequence[Mapping[str, Any]] = ()) -> list[Connection]:
    """SSH to every node that is a HostEndpoint.

    :param logins: as far as somebody told them; the other nodes are taken to be logged in to on the same
        port, else 22, of an address of theirs
    """
    governed = {obj["spec"].get("node") for obj in objects if obj["kind"] == "HostEndpoint"}
    assumed = [login for login in _assumed(objects, logins) if login["node"] in governed]
    return of_logins([*logins, *assumed])


def assumed_logins(
    nodes: Sequence[Object], logins: Sequence[Mapping[str, Any]]
) -> dict[str, list[Connection]]:
    """SSH to nodes that nobody tried to log in to, by the node's name; as :func:`of_nodes`."""
    found: dict[str, list[Connection]] = {}
    told = [login for login in logins if login["ssh_connection"]]
    for connection in of_logins([*told, *_assumed(nodes, logins)])[len(told) :]:
        found.setdefault(connection.node, []).append(connection)
    return found


def _assumed(objects: Sequence[Object], logins: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    tried = {login["node"] for login in logins}
    ports = {login["port"] for login in logins}
    port = ports.pop() if len(ports) == 1 else 22
    return [
        {"node": name, "ssh_connection": "", "host": str(address), "port": port}
        for address, name in _by_address(objects).items()
        if name not in tried
    ]


def of_logins(logins: Sequence[Mapping[str, Any]]) -> list[Connection]:
    """The connections by which nodes are logged in to.

    :param logins: ``{node, ssh_connection, host, port}``; without ``ssh_connection`` the node is taken to see
        the address that others see, else the one that this machine has towards ``host``
    :raises BadInput: an ``ssh_connection`` in another form
    """
    found = [
        of_session(login["node"], login["ssh_connection"], f"logins[{index}].ssh_connection")
        for index, login in enumerate(logins)
        if login["ssh_connection"]
    ]
    seen = {connection.source.version: connection.source for connection in found}
    for login in logins:
        ends = None if login["ssh_connection"] else _ends(login["host"], login["port"])
        if ends:
            source = seen.get(ends[1].version, ends[0])
            doubt = f"the node sees this machine come from {source}"
            found.append(Connection(login["node"], SSH, source, ends[1], login["port"], doubt))
    return found


def of_api(
    cluster: Cluster, objects: Sequence[Object], slices: Optional[Sequence[Object]] = None
) -> list[Connection]:
    """The connection to the API, as far as it ends at a node of the cluster.

    Behind a load balancer it ends at those nodes where the API servers are, and nobody tells from where.

    :param objects: the Nodes among them are looked at
    :param slices: of the service ``kubernetes``; read where they are not given
    """
    server = urlsplit(cluster.host)
    port = server.port or 443
    ends = _ends(str(server.hostname), port)
    if ends is None:
        return []
    source, destination = ends
    nodes = _by_address(objects)
    if destination in nodes:
        return [Connection(nodes[destination], API, source, destination, port)]
    doubt = f"{server.hostname} hands the connection on under the address {source}"
    return [
        Connection(nodes[address], API, source, address, number, doubt)
        for address, number in _api_servers(read_slices(cluster) or [] if slices is None else slices)
        if address in nodes and address.version == source.version
    ]


def _ends(host: str, port: int) -> Optional[tuple[Address, Address]]:
    """The addresses of both ends of a connection to a host; nothing is sent."""
    try:
        family, kind, protocol, _name, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(place)
            ends = [parse_address(str(end[0])) for end in (probe.getsockname(), probe.getpeername())]
    except OSError:
        return None
    source, destination = ends
    return (source, destination) if source and destination else None


def _by_address(objects: Sequence[Object]) -> dict[Address, str]:
    found: dict[Address, str] = {}
    for node in objects:
        if node["kind"] != "Node":
            continue
        for entry in (node.get("status") or {}).get("addresses") or []:
            address = parse_address(str(entry.get("address")))
            if address:
                found[address] = str(node["metadata"]["name"])
    return found


def _api_servers(slices: Sequence[Object]) -> list[tuple[Address, int]]:
    found = endpoints_of(slices)
    parsed = [(parse_address(endpoint.address), endpoint.port) for endpoint in found]
    return [(address, port) for address, port in parsed if address]


def with_upcoming(objects: Sequence[Object], upcoming: Mapping[str, Any], api_version: str) -> list[Object]:
    """The objects together with what a later step of the same run is going to write.

    :param upcoming: ``host_endpoints`` (labels, node_labels or None for all, interface, profiles), for nodes
        that have none yet; ``failsafes`` (inbound, outbound) of FelixConfiguration ``default``, or None
    """
    found = list(objects)
    template = upcoming.get("host_endpoints")
    if template:
        covered = {obj["spec"].get("node") for obj in objects if obj["kind"] == "HostEndpoint"}
        new = [o for o in objects if o["kind"] == "Node" and o["metadata"]["name"] not in covered]
        if template["node_labels"] is None:
            keys = {key for node in new for key in node["metadata"].get("labels") or {}}
            template = {**template, "node_labels": sorted(keys)}
        shape = HostEndpointTemplate(**template)
        found += [desired(node, shape, api_version) for node in new]
    fields = {
        {"inbound": "failsafeInboundHostPorts", "outbound": "failsafeOutboundHostPorts"}[side]: ports
        for side, ports in (upcoming.get("failsafes") or {}).items()
        if ports is not None
    }
    return with_felix(found, "default", fields, api_version) if fields else found
