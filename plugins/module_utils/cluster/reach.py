# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The gate for every change of what decides about hosts: who comes in, and what the cluster lives by."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Optional
from urllib.parse import urlsplit

from ..calico.address import Address, parse_address
from ..calico.endpoint_slice import API_SERVICE, service_of
from ..calico.plan.judgement import refusal
from ..calico.plan.model import UNSEEN
from ..calico.policy import planner
from ..calico.policy.names import POLICY
from ..calico.verdict.judge import Options
from ..calico.verdict.node_judges import NodeUse, parse_use
from ..calico.verdict.place import Place
from ..calico.verdict.place import unjudged as place_unjudged
from ..calico.verdict.reach import (
    API,
    SSH,
    Connection,
    Obstacle,
    obstacles,
    of_session,
    sentences,
)
from ..calico.verdict.vital_flows import (
    Controller,
    Loss,
    Networks,
    Surroundings,
    check_accepted,
    check_networks,
    losses,
    summaries,
)
from . import policies
from .api_endpoints import endpoints_of
from .client import Cluster, ClusterError, Object
from .flavour import Flavour, FlavourKind
from .host_view import HostView

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

NO_NETWORKS: Mapping[str, Any] = {"nodes": [], "cluster": [], "ssh": [], "ssh_port": 22}

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
    "uses": {"type": "list", "elements": "dict", "default": []},
    "networks": {
        "type": "dict",
        "default": {},
        "apply_defaults": True,
        "options": {
            **{
                name: {"type": "list", "elements": "str", "default": []}
                for name in ("nodes", "cluster", "ssh")
            },
            "ssh_port": {"type": "int", "default": 22},
        },
    },
    "accept_denied": {"type": "list", "elements": "str", "default": []},
}


class CutOff(ClusterError):
    """A change that would cut off who makes it, or take away what the cluster lives by."""


@dataclass(frozen=True)
class Outlook:
    """What a change means for who comes in, and for what the cluster lives by.

    :ivar decides: whether anything is enforced that the change has a part in
    :ivar obstacles: connections that are not plainly allowed afterwards
    :ivar losses: vital flows that are not plainly allowed afterwards
    :ivar unseen: what nobody looked at
    """

    decides: bool = False
    obstacles: Sequence[Obstacle] = ()
    losses: Sequence[Loss] = ()
    warnings: Sequence[str] = ()
    unseen: str = ""

    def warn(self, module: AnsibleModule) -> None:
        """Warn of what is not certain, but not of what a dry run leaves out: a later step may look at it."""
        for warning in self.warnings:
            module.warn(warning)
        if self.unseen and not module.check_mode:
            module.warn(self.unseen)

    def result(self) -> dict[str, Any]:
        """What the modules return of it."""
        return {"decides": self.decides, **self.found()}

    def found(self) -> dict[str, Any]:
        """What was found on looking."""
        return {
            "obstacles": [obstacle.as_dict() for obstacle in self.obstacles],
            "losses": [loss.as_dict() for loss in self.losses],
        }


def outlook(
    view: HostView,
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
    now = view.around()
    then = change(now)
    if not any(obj["kind"] == "HostEndpoint" for obj in then):
        return Outlook()
    policy = planner.objects_after(policies.read(view.cluster, view.flavour), planner.WritePlan())
    return assess(view, params, what, [*policy, *now], [*policy, *then])


def assess(
    view: HostView,
    params: Mapping[str, Any],
    what: str,
    now: Sequence[Object],
    then: Sequence[Object],
) -> Outlook:
    """The gate: every change of what decides about hosts passes it before its first write.

    :param params: of a module, :data:`OPTIONS` among them
    :param what: is changed
    :param now: all objects that decide, as they are: policy, and what :meth:`HostView.around` returns
    :param then: the same as they will be
    :raises CutOff: a login, the connection to the API, or a vital flow would be denied
    :raises BadInput: a network that holds nothing of this cluster, a kind of flow that does not exist
    """
    accepted = check_accepted(params["accept_denied"])
    if not params["reach"]:
        return Outlook(True, unseen=f"{what}: {UNSEEN}")
    cluster, slices = view.cluster, view.slices()
    now, then = [*now, *slices], [*then, *slices]
    options = options_of(view)
    uses = {use.node: use for use in uses_of(params["uses"])}
    logins = of_nodes(then, params["logins"])
    told = {login["node"] for login in params["logins"]}
    assumed = sorted({login.node for login in logins} - told)
    given = params["networks"]
    networks = Networks(
        tuple(given["nodes"]), tuple(given["cluster"]), tuple(given["ssh"]), given["ssh_port"]
    )
    warnings = check_networks(then, networks)
    api = of_api(cluster, then, slices)
    blocking = obstacles(now, then, [*logins, *api], options, uses)
    around = Surroundings(
        tuple(uses.values()),
        tuple((login.node, login.destination) for login in logins),
        networks,
        controllers_of(cluster, then, logins),
    )
    lost = losses(now, then, around, options, accepted)
    _refuse(what, blocking, lost)
    said = [*warnings, *sentences(blocking), *summaries(lost), *unjudged(cluster, then, logins, api)]
    unseen = ""
    if assumed and any(obj["kind"] == POLICY for obj in then):
        unseen = (
            f"{what}: nobody told how this machine logs in to {_some(assumed)}: SSH was judged for port 22 "
            "of their addresses, and nobody proves that it works"
        )
    return Outlook(True, blocking, lost, [f"{what}: {text}" for text in said], unseen)


def _refuse(what: str, blocking: Sequence[Obstacle], lost: Sequence[Loss]) -> None:
    """:raises CutOff: what would be denied, by what, and what to do"""
    told = refusal(what, blocking, lost)
    if told:
        raise CutOff(told)


def uses_of(raw: Sequence[Mapping[str, Any]]) -> list[NodeUse]:
    return [parse_use(use, f"uses[{index}]") for index, use in enumerate(raw)]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more nodes" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def controllers_of(
    cluster: Cluster, objects: Sequence[Object], logins: Sequence[Connection]
) -> tuple[Controller, ...]:
    """The nodes from which the API and other nodes are reached: this machine where it is one, a jump host."""
    server = urlsplit(cluster.host)
    port = server.port or 443
    ends = _ends(str(server.hostname), port)
    nodes = _by_address(objects)
    targets: dict[str, list[tuple[str, Address, int]]] = {}
    own = [login.source for login in logins if login.source in nodes and _is_own(login.source)]
    here = next((nodes[source] for source in [*(ends or ())[:1], *own] if source in nodes), "")
    if ends and here:
        targets[here] = [("the API", ends[1], port)]
    for login in logins:
        node = nodes.get(login.source)
        if node and node != login.node:
            targets.setdefault(node, []).append((f"SSH of {login.node}", login.destination, login.port))
    return tuple(Controller(node, tuple(of_node)) for node, of_node in targets.items())


def unjudged(
    cluster: Cluster, objects: Sequence[Object], logins: Sequence[Connection], api: Sequence[Connection]
) -> list[str]:
    """What of this machine's ways cannot be judged, one sentence each.

    :param objects: Nodes and IPPools among them
    :param api: as :func:`of_api`
    """
    server = urlsplit(cluster.host)
    port = server.port or 443
    ends = _ends(str(server.hostname), port)
    own = [source for source in dict.fromkeys(login.source for login in logins) if _is_own(source)]
    balancer = any(connection.doubt for connection in api)
    place = Place(own, f"{server.hostname}:{port}", ends[0] if ends else None, balancer)
    return place_unjudged(objects, place, logins)


def _is_own(address: Address) -> bool:
    """Whether it is an address of this machine, which nobody can bind to elsewhere."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def enforces(cluster: Cluster, served: Flavour) -> bool:
    """Whether the cluster has policy that can decide about hosts."""
    return served.serves(POLICY) and any(True for _policy in cluster.list(served.path(POLICY)))


def options_of(view: HostView) -> Options:
    """How to judge what this cluster stores."""
    return Options(
        calico_version=view.calico_version,
        environment=view.environment,
        native_v3=view.flavour.kind is FlavourKind.V3_NATIVE,
        kube_proxy_mode=view.kube_proxy_mode,
    )


def of_nodes(objects: Sequence[Object], logins: Sequence[Mapping[str, Any]] = ()) -> list[Connection]:
    """SSH to every node that is a HostEndpoint.

    :param logins: as far as they were reported; the other nodes are taken to be logged in to on the same
        port, else 22, of an address of theirs
    """
    governed = {obj["spec"].get("node") for obj in objects if obj["kind"] == "HostEndpoint"}
    assumed = [login for login in _assumed(objects, logins) if login["node"] in governed]
    return of_logins([*logins, *assumed])


def assumed_logins(
    nodes: Sequence[Object], logins: Sequence[Mapping[str, Any]]
) -> dict[str, list[Connection]]:
    """SSH to nodes that were not tried, by the node's name; as :func:`of_nodes`."""
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


def of_api(cluster: Cluster, objects: Sequence[Object], slices: Sequence[Object]) -> list[Connection]:
    """The connection to the API, as far as it ends at a node of the cluster.

    Behind a load balancer it ends at those nodes where the API servers are, and from where is unknown.

    :param objects: the Nodes among them are looked at
    :param slices: those of the service ``kubernetes`` among them
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
        for address, number in _api_servers(slices)
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
    kubernetes = [part for part in slices if service_of(part) in ("", API_SERVICE)]
    found = endpoints_of(kubernetes)
    parsed = [(parse_address(endpoint.address), endpoint.port) for endpoint in found]
    return [(address, port) for address, port in parsed if address]
