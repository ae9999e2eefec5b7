# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a cluster is fit for host protection: facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from .finding import ERROR, INFO, OK, WARNING, Finding
from .host_endpoint import ALL_INTERFACES, hep_name
from .known_faults import faults_of_any_dataplane
from .version import RULES_IN_SCHEMAS, SERVER_SIDE_APPLY, STAGED_POLICIES, TIERS, parse_version

NEEDED_KINDS = ("HostEndpoint", "GlobalNetworkPolicy", "GlobalNetworkSet", "FelixConfiguration")
DIRECT, AUTO = "direct", "auto"
_SHOWN = 5


@dataclass(frozen=True)
class NodeFact:
    """A node of the cluster."""

    name: str
    ready: bool
    control_plane: bool


@dataclass(frozen=True)
class HostEndpointFact:
    """A HostEndpoint.

    :ivar interface: ``*``, a name, or ``by-ip``
    :ivar made_by: ``hostfence``, ``calico`` or ``someone else``
    """

    name: str
    node: str
    interface: str
    made_by: str


@dataclass(frozen=True)
class ControllerPods:
    """A Deployment or DaemonSet and how many of its pods are ready."""

    namespace: str
    name: str
    desired: int
    ready: int

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}, {self.ready} of {self.desired} ready"


@dataclass(frozen=True)
class AutoHostEndpointsFact:
    """Calico's automatic HostEndpoints.

    :ivar enabled: as the API says
    :ivar ours: whether Hostfence switched them on
    :ivar environment: value of AUTO_HOST_ENDPOINTS in kube-controllers' environment, None where it is not set
    """

    enabled: bool = False
    ours: bool = False
    environment: Optional[str] = None


@dataclass(frozen=True)
class Facts:
    """What was read from a cluster.

    :ivar server_version: ``v1.34.1`` or the like
    :ivar flavour: ``v1``, ``aggregated``, ``v3-native`` or ``none``
    :ivar kinds: kinds of host protection that the API serves
    :ivar calico_version: empty where Calico noted none
    :ivar datastore_ready: None where Calico noted nothing
    :ivar migration: phase of a running datastore migration, or empty
    :ivar workloads_visible: whether Deployments and DaemonSets may be listed
    :ivar missing_permissions: for example ``create hostendpoints.crd.projectcalico.org``
    """

    server_version: str
    flavour: str
    api_version: str
    kinds: frozenset[str]
    calico_version: str = ""
    datastore_ready: Optional[bool] = None
    migration: str = ""
    nodes: Sequence[NodeFact] = ()
    host_endpoints: Sequence[HostEndpointFact] = ()
    felix: Optional[ControllerPods] = None
    kube_controllers: Optional[ControllerPods] = None
    workloads_visible: bool = True
    auto: AutoHostEndpointsFact = field(default_factory=AutoHostEndpointsFact)
    missing_permissions: Sequence[str] = ()


@dataclass(frozen=True)
class PreflightWanted:
    """What is about to be done.

    :ivar mode: ``host_endpoints_mode``
    :ivar hosts: names in the inventory group of nodes; None where it does not matter
    :ivar permissions_checked: whether permissions were looked up at all
    """

    mode: str = DIRECT
    hosts: Optional[Sequence[str]] = None
    permissions_checked: bool = False


def judge(facts: Facts, wanted: PreflightWanted) -> list[Finding]:
    """All findings, in the order in which a reader wants them."""
    checks = (
        _server,
        _calico,
        _kinds,
        _datastore,
        _felix,
        _kube_controllers,
        _permissions,
        _nodes,
        _inventory,
        _host_endpoints,
        _wildcards,
        _auto,
    )
    return [finding for check in checks for finding in check(facts, wanted)]


def wildcard_collisions(heps: Iterable[HostEndpointFact]) -> dict[str, list[str]]:
    """Nodes with several ``*`` HostEndpoints: their names, the one that Felix uses first."""
    by_node: dict[str, list[str]] = {}
    for hep in heps:
        if hep.interface == ALL_INTERFACES:
            by_node.setdefault(hep.node, []).append(hep.name)
    return {node: sorted(names) for node, names in by_node.items() if len(names) > 1}


def _server(facts: Facts, _wanted: PreflightWanted) -> Iterator[Finding]:
    name, version = "Kubernetes", parse_version(facts.server_version)
    if version and version < SERVER_SIDE_APPLY:
        yield Finding(
            name,
            ERROR,
            f"server {facts.server_version} has no server-side apply",
            "upgrade the cluster to 1.22 or newer",
        )
    elif version and version < RULES_IN_SCHEMAS:
        yield Finding(
            name,
            WARNING,
            f"server {facts.server_version} ignores the validation rules of our CRDs",
            "upgrade to 1.25 or newer; until then only Hostfence itself refuses bad objects",
        )
    else:
        yield Finding(name, OK, f"server {facts.server_version}")


def _calico(facts: Facts, _wanted: PreflightWanted) -> Iterator[Finding]:
    if facts.flavour == "none":
        yield Finding(
            "Calico",
            WARNING,
            "the API knows none of Calico's kinds",
            "the role crds installs what host protection needs, but nothing is enforced until Calico runs",
        )
        return
    version = parse_version(facts.calico_version)
    said = f"{facts.calico_version or 'unknown version'}, {facts.flavour} API {facts.api_version}"
    if version and version < TIERS:
        yield Finding(
            "Calico",
            WARNING,
            f"{said}: no tiers and no staged policies",
            "policies go into tier default, and staged ones are only shown; both come with Calico 3.30",
        )
    elif version and version < STAGED_POLICIES:
        yield Finding(
            "Calico",
            WARNING,
            f"{said}: no staged policies",
            "staged policies are only shown; they are stored from Calico 3.30 on",
        )
    else:
        yield Finding("Calico", OK, said)
    for fault in faults_of_any_dataplane(facts.calico_version):
        where = ", ".join(fault.dataplanes)
        yield Finding("Calico", INFO, f"known fault {fault.id} ({where}): {fault.what}", fault.way_out)


def _kinds(facts: Facts, _wanted: PreflightWanted) -> Iterator[Finding]:
    absent = [kind for kind in NEEDED_KINDS if kind not in facts.kinds]
    if facts.flavour == "none" or not absent:
        return
    if facts.flavour == "aggregated":
        yield Finding(
            "kinds",
            ERROR,
            f"calico-apiserver does not serve {', '.join(absent)}",
            "look at APIService v3.projectcalico.org and the pods behind it",
        )
        return
    yield Finding(
        "kinds",
        WARNING,
        f"the API does not know {', '.join(absent)}",
        "the role crds installs what is absent",
    )


def _datastore(facts: Facts, _wanted: PreflightWanted) -> Iterator[Finding]:
    if facts.migration:
        yield Finding(
            "datastore",
            ERROR,
            f"a migration is in phase {facts.migration}",
            "wait until it is complete; what is written meanwhile may be lost",
        )
    elif facts.datastore_ready is False:
        yield Finding(
            "datastore",
            ERROR,
            "Calico says that it is not ready: Felix holds still",
            "finish the upgrade or migration that locked it (calicoctl datastore migrate unlock)",
        )
    elif facts.datastore_ready:
        yield Finding("datastore", OK, "ready, and no migration is running")
    elif facts.flavour != "none":
        yield Finding(
            "datastore",
            WARNING,
            "there is no ClusterInformation: calico-node never started on this cluster",
            "install Calico; Felix enforces nothing before",
        )


def _felix(facts: Facts, _wanted: PreflightWanted) -> Iterator[Finding]:
    if not facts.workloads_visible:
        yield Finding(
            "Felix",
            WARNING,
            "DaemonSets cannot be looked at",
            "allow 'list' on daemonsets in the group apps; without Felix nothing is enforced",
        )
    elif facts.felix is None:
        yield Finding(
            "Felix",
            WARNING,
            "there is no DaemonSet of calico-node: nothing is enforced",
            "install Calico; if Felix runs as a service of the hosts, the role failsafes will show it",
        )
    elif facts.felix.ready < facts.felix.desired or not facts.felix.desired:
        yield Finding(
            "Felix",
            WARNING,
            str(facts.felix),
            "nodes without a ready Felix enforce what it last wrote, or nothing: "
            f"kubectl -n {facts.felix.namespace} describe daemonset/{facts.felix.name}",
        )
    else:
        yield Finding("Felix", OK, str(facts.felix))


def _kube_controllers(facts: Facts, wanted: PreflightWanted) -> Iterator[Finding]:
    name, found = "kube-controllers", facts.kube_controllers
    if found is not None and found.ready:
        yield Finding(name, OK, str(found))
        return
    if found is None:
        problem = (
            "there is no such Deployment" if facts.workloads_visible else "Deployments cannot be looked at"
        )
        remedy = "install it"
    else:
        problem = str(found)
        remedy = f"kubectl -n {found.namespace} describe deployment/{found.name}"
    if wanted.mode == AUTO and facts.workloads_visible:
        yield Finding(
            name,
            ERROR,
            f"{problem}, and mode auto needs it",
            f"{remedy}, or set host_endpoints_mode to direct",
        )
        return
    yield Finding(name, WARNING, problem, f"{remedy}; mode {wanted.mode} does not depend on it")


def _permissions(facts: Facts, wanted: PreflightWanted) -> Iterator[Finding]:
    if facts.missing_permissions:
        yield Finding(
            "permissions",
            ERROR,
            "this user may not " + ", ".join(facts.missing_permissions),
            "use an administrator, or a token of the ServiceAccount that the role access makes",
        )
    elif wanted.permissions_checked:
        yield Finding("permissions", OK, "all that will be needed")


def _nodes(facts: Facts, _wanted: PreflightWanted) -> Iterator[Finding]:
    total = len(facts.nodes)
    unready = [node.name for node in facts.nodes if not node.ready]
    if not total and "list nodes" in facts.missing_permissions:
        yield Finding("nodes", ERROR, "they cannot be looked at", "allow 'list' on nodes")
    elif not total:
        yield Finding("nodes", ERROR, "the cluster has no nodes", "check that this is the cluster you mean")
    elif unready:
        yield Finding(
            "nodes",
            WARNING,
            f"{len(unready)} of {total} not Ready: {_some(unready)}",
            "they get a HostEndpoint but cannot be verified; fix them before enforcing",
        )
    else:
        control_plane = sum(node.control_plane for node in facts.nodes)
        yield Finding("nodes", OK, f"{total} Ready, {control_plane} of them control plane")


def _inventory(facts: Facts, wanted: PreflightWanted) -> Iterator[Finding]:
    if wanted.hosts is None:
        return
    names = {node.name for node in facts.nodes}
    absent, strangers = sorted(names - set(wanted.hosts)), sorted(set(wanted.hosts) - names)
    if absent:
        yield Finding(
            "inventory",
            WARNING,
            f"{len(absent)} nodes are not in the group of nodes: {_some(absent)}",
            "their failsafes cannot be verified, so they are never enforced: add them, or use the inventory "
            "plugin hostfence.calico.nodes",
        )
    if strangers:
        yield Finding(
            "inventory",
            WARNING,
            f"{len(strangers)} hosts are no nodes of this cluster: {_some(strangers)}",
            "name hosts as their Node objects are named",
        )
    if names and not absent and not strangers:
        yield Finding("inventory", OK, "holds every node")


def _host_endpoints(facts: Facts, wanted: PreflightWanted) -> Iterator[Finding]:
    makers: dict[str, int] = {}
    for hep in facts.host_endpoints:
        makers[hep.made_by] = makers.get(hep.made_by, 0) + 1
    foreign = [hep for hep in facts.host_endpoints if hep.made_by == "someone else"]
    count = ", ".join(f"{number} by {maker}" for maker, number in sorted(makers.items())) or "none yet"
    if not foreign:
        yield Finding("HostEndpoints", OK, count)
    else:
        yield Finding(
            "HostEndpoints",
            WARNING,
            f"{count}: {_some([hep.name for hep in foreign])}",
            "they are left alone; remove those that nobody needs",
        )
    taken = _taken_names(facts, foreign) if wanted.mode == DIRECT else []
    if taken:
        yield Finding(
            "HostEndpoints",
            ERROR,
            f"someone else made {_some(taken)}, under names that Hostfence needs",
            "delete them, or label them app.kubernetes.io/managed-by=hostfence to hand them over",
        )
    gone = [h.name for h in facts.host_endpoints if h.node not in {n.name for n in facts.nodes}]
    if gone and facts.nodes:
        yield Finding(
            "HostEndpoints",
            WARNING,
            f"the nodes of {_some(gone)} are gone",
            "ours are removed by host_endpoints; remove the others by hand",
        )


def _taken_names(facts: Facts, foreign: Sequence[HostEndpointFact]) -> list[str]:
    needed = {hep_name(node.name) for node in facts.nodes}
    return [hep.name for hep in foreign if hep.name in needed]


def _wildcards(facts: Facts, _wanted: PreflightWanted) -> Iterator[Finding]:
    collisions: Mapping[str, list[str]] = wildcard_collisions(facts.host_endpoints)
    if not collisions:
        return
    said = [f"{node}: {names[0]} before {', '.join(names[1:])}" for node, names in sorted(collisions.items())]
    yield Finding(
        "wildcards",
        WARNING,
        f"{len(collisions)} nodes have several '*' HostEndpoints, and Felix uses the first: {_some(said)}",
        "remove those that are not used, so that labels and profiles are the ones you see",
    )


def _auto(facts: Facts, wanted: PreflightWanted) -> Iterator[Finding]:
    auto = facts.auto
    if auto.environment is not None and (wanted.mode == AUTO) != (auto.environment == "enabled"):
        yield Finding(
            "auto HostEndpoints",
            ERROR,
            f"kube-controllers' environment has AUTO_HOST_ENDPOINTS={auto.environment}, which wins over the "
            f"API, and mode {wanted.mode} needs the opposite",
            _unset(facts.kube_controllers),
        )
    elif auto.enabled and not auto.ours and wanted.mode == DIRECT:
        yield Finding(
            "auto HostEndpoints",
            WARNING,
            "someone switched them on; they stay the active ones",
            "set host_endpoints_mode to auto to use them, or host_endpoints_replace_auto to true",
        )
    else:
        yield Finding("auto HostEndpoints", OK, "on" if auto.enabled else "off")


def _unset(kube_controllers: Optional[ControllerPods]) -> str:
    namespace = kube_controllers.namespace if kube_controllers else "calico-system"
    name = kube_controllers.name if kube_controllers else "calico-kube-controllers"
    return f"kubectl -n {namespace} set env deployment/{name} AUTO_HOST_ENDPOINTS-"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
