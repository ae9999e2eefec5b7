# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was seen of a cluster and its nodes: all that a plan rests on, without any way to ask for more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ..finding import Finding
from ..verdict.reach import Connection
from ..verdict.vital_flows import Surroundings
from .model import Write

Object = dict[str, Any]

# What decides about hosts, apart from policy.
AROUND = ("HostEndpoint", "FelixConfiguration", "Node", "NetworkSet", "IPPool")


@dataclass(frozen=True)
class AutoView:
    """Calico's automatic HostEndpoints, and what of them the wish changes.

    :ivar enabled: whether they are configured
    :ivar ours: whether Hostfence switched them on
    :ivar writes: to the configuration and the Nodes' labels
    :ivar host_endpoints: those that kube-controllers will then hold; None leaves them as they are
    """

    enabled: bool = False
    ours: bool = False
    writes: tuple[Write, ...] = ()
    host_endpoints: Optional[Sequence[Object]] = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Logins:
    """By which connections the nodes are, or would be, reached.

    :ivar given: those that were tried, as the nodes reported them or as they are assumed
    :ivar assumed: by node, for nodes that were not tried
    :ivar reached: names of the nodes that took a new login
    :ivar tried: names of the nodes that were tried
    :ivar api: the connections to the API that end at nodes
    :ivar around: what else is known of nodes, networks and of this machine
    :ivar accepted: kinds of vital flows whose loss is accepted
    :ivar unjudged: what of this machine's ways cannot be judged, one sentence each
    """

    given: tuple[Connection, ...] = ()
    assumed: Mapping[str, Sequence[Connection]] = field(default_factory=dict)
    reached: frozenset[str] = frozenset()
    tried: frozenset[str] = frozenset()
    api: tuple[Connection, ...] = ()
    around: Surroundings = field(default_factory=Surroundings)
    accepted: frozenset[str] = frozenset()
    unjudged: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """What was seen.

    :ivar flavour: ``v1``, ``aggregated``, ``v3-native`` or ``none``
    :ivar kinds: kinds of host protection that the API serves
    :ivar objects: those stored, by kind; of Calico's kinds, Nodes and the access objects
    :ivar user: of this connection; empty where the API cannot tell
    :ivar selected: names of the nodes that the HostEndpoints' node selector selects
    :ivar unknown_felix_fields: fields that the API drops
    :ivar agents: writes to the objects of the modes daemonset and job
    :ivar transaction: the one that is under way, or the last one
    :ivar unproved: since when and by whom policy sets are enforced without a proof, by their names
    :ivar environment: Felix's variables that its DaemonSet sets
    :ivar kube_proxy_mode: as far as its configuration says it
    :ivar findings: of preflight
    """

    flavour: str
    group: str
    version: str
    kinds: frozenset[str]
    objects: Mapping[str, Sequence[Object]]
    calico_version: str = ""
    user: str = ""
    selected: Sequence[str] = ()
    unknown_felix_fields: Sequence[str] = ()
    auto: AutoView = field(default_factory=AutoView)
    agents: tuple[Write, ...] = ()
    logins: Logins = field(default_factory=Logins)
    tiers_in_use: frozenset[str] = frozenset()
    transaction: Mapping[str, Any] = field(default_factory=dict)
    unproved: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    kube_proxy_mode: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"

    def of(self, kind: str) -> Sequence[Object]:
        return self.objects.get(kind, ())

    def find(self, kind: str, name: str) -> Optional[Object]:
        return next((o for o in self.of(kind) if o["metadata"]["name"] == name), None)

    def around(self) -> list[Object]:
        """What decides about hosts, apart from policy, with kind and apiVersion."""
        found = [self.typed(kind, obj) for kind in AROUND for obj in self.of(kind)]
        return [*found, *self.of("EndpointSlice")]

    def typed(self, kind: str, obj: Object) -> Object:
        return {**obj, "apiVersion": "v1" if kind == "Node" else self.api_version, "kind": kind}


def nodes_of(objects: Iterable[Object]) -> tuple[str, ...]:
    """Names of the nodes that have a HostEndpoint."""
    found = {str((o.get("spec") or {}).get("node")) for o in objects if o["kind"] == "HostEndpoint"}
    return tuple(sorted(found))
