# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Verdicts for flows at many nodes, each judged as its own Felix runs.

What a look at a node found out - its interfaces, and settings that Felix has by its environment or file -
goes before what the cluster's objects say. Nodes whose Felix runs with the same settings share one judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ..address import Address, parse_address, parse_net
from ..bad_input import BadInput
from ..stored.model import WILDCARD, HostEndpoint
from ..stored.reader import Raw, read
from ..stored.rules import PROTOCOLS
from .dataplanes import Dataplanes
from .flow import Flow
from .interface_owner import NodeFacts
from .judge import UNDETERMINED, Judge, Options, Verdict
from .packet_path import DATAPLANES, EBPF, IPTABLES, Failsafe, LifelineRules
from .program import ALLOW, DENY

Target = tuple[str, int]

# Stands for an interface whose name nobody told, where eBPF's programs sit on names of a pattern.
_EBPF_INTERFACE = "eth0"


@dataclass(frozen=True)
class NodeUse:
    """What a look at a node found out, as the module failsafe_info returns it in ``uses``.

    :ivar api: API servers that its kubelet and Felix use
    :ivar etcd: members of etcd that it talks to
    :ivar dns: its name servers, loopback ones left out
    :ivar ntp: its time servers
    :ivar interfaces: addresses of each interface, or None where nobody looked
    :ivar environment: settings of Felix by its environment or file, names in capitals
    :ivar dataplane: one of :data:`DATAPLANES`, or empty for what FelixConfiguration says
    :ivar lifeline: what it lets pass besides Calico's failsafes
    """

    node: str
    api: tuple[Target, ...] = ()
    typha: tuple[Target, ...] = ()
    etcd: tuple[Target, ...] = ()
    dns: tuple[Address, ...] = ()
    ntp: tuple[Address, ...] = ()
    interfaces: Optional[Mapping[str, tuple[Address, ...]]] = None
    environment: Mapping[str, str] = field(default_factory=dict)
    dataplane: str = ""
    lifeline: LifelineRules = field(default_factory=LifelineRules)


def parse_use(raw: Mapping[str, Any], place: str) -> NodeUse:
    """Read what failsafe_info returned.

    :param place: named in error messages, for example ``uses[3]``
    :raises BadInput: no node's name, or a data plane that does not exist
    """
    node, dataplane = raw.get("node"), raw.get("dataplane") or ""
    if not isinstance(node, str) or not node:
        raise BadInput(f"{place}.node", node, "the name of a node")
    if dataplane and dataplane not in DATAPLANES:
        raise BadInput(f"{place}.dataplane", dataplane, f"one of {', '.join(DATAPLANES)}")
    interfaces = raw.get("interfaces")
    return NodeUse(
        node,
        api=_targets(raw.get("api")),
        typha=_targets(raw.get("typha")),
        etcd=_targets(raw.get("etcd")),
        dns=_addresses(raw.get("dns")),
        ntp=_addresses(raw.get("ntp")),
        interfaces=None if not interfaces else {k: _addresses(v) for k, v in interfaces.items()},
        environment={str(k).upper(): str(v) for k, v in (raw.get("environment") or {}).items()},
        dataplane=dataplane,
        lifeline=_lifeline(raw.get("lifeline") or {}),
    )


def _lifeline(raw: Mapping[str, Any]) -> LifelineRules:
    def ways(name: str) -> tuple[Failsafe, ...]:
        return tuple(
            Failsafe(PROTOCOLS["tcp"], int(port), parse_net(str(net))) for net, port in raw.get(name) or ()
        )

    return LifelineRules(ways("inbound"), ways("outbound"), bool(raw.get("neighbours")))


def _targets(raw: object) -> tuple[Target, ...]:
    pairs = raw if isinstance(raw, list) else []
    return tuple((str(address), int(port)) for address, port in pairs)


def _addresses(raw: object) -> tuple[Address, ...]:
    texts = raw if isinstance(raw, (list, tuple)) else []
    parsed = (parse_address(str(text).partition("/")[0]) for text in texts)
    return tuple(address for address in parsed if address is not None)


class NodeJudges:
    """Judges flows at nodes under one set of objects.

    :param uses: by node, what a look there found out
    """

    def __init__(
        self, objects: Iterable[Raw], options: Options, uses: Optional[Mapping[str, NodeUse]] = None
    ) -> None:
        self.options = options
        objects = list(objects)
        forced = options.dataplane if options.dataplane != IPTABLES else ""
        self._dataplanes = Dataplanes(objects, options.environment, forced, options.kube_proxy_mode)
        self.store = read(objects, options.native_v3)
        self._uses = uses or {}
        self._facts = {
            name: NodeFacts(name, {}, use.interfaces)
            for name, use in self._uses.items()
            if use.interfaces is not None
        }
        self._carriers = _carriers(self.store.host_endpoints, self._facts)
        self._judges: dict[tuple[object, ...], Judge] = {}

    def settings_of(self, node: str) -> Any:
        """What the node's Felix runs with."""
        return self._judge(node).settings_of(node)

    def verdict(self, flow: Flow) -> Verdict:
        """What becomes of a flow.

        Where nobody says by which interface it passes, where that decides, and where a host endpoint expects
        the node's own address, the flow is taken to pass there: rather refused for nothing than shut out. For
        the same reason a deny that Felix does not hear of yet, because it cannot read some object, is one: it
        comes into force the moment someone corrects or deletes that object.
        """
        placed = self._placed(flow)
        judge = self._judge(flow.node)
        verdict = _answered(judge, placed)
        if verdict.verdict != UNDETERMINED or placed.interface or flow.node not in self._carriers:
            return verdict
        own = flow.source if flow.direction == "egress" else flow.destination
        likely = self._judge(flow.node, likely=True)
        for interface, addresses in (self._carriers[flow.node].interfaces or {}).items():
            if own not in addresses:
                continue
            there = _answered(likely, replace(placed, interface=interface))
            if there.verdict == DENY:
                way = "goes out" if flow.direction == "egress" else "comes in"
                carried = f"it {way} by an interface that carries {own}"
                return replace(there, assumptions=(*there.assumptions, carried))
        return verdict

    def _placed(self, flow: Flow) -> Flow:
        """The flow on the interface that carries the node's own address, where that is known."""
        if flow.interface:
            return flow
        facts, own = (
            self._facts.get(flow.node),
            flow.source if flow.direction == "egress" else flow.destination,
        )
        for interface, addresses in ((facts.interfaces or {}) if facts else {}).items():
            if own in addresses:
                return replace(flow, interface=interface)
        if flow.direction != "forward" and self.dataplane_of(flow.node) == EBPF:
            return replace(flow, interface=_EBPF_INTERFACE)
        return flow

    def dataplane_of(self, node: str) -> str:
        """The data plane that the node was seen to have, or is configured for."""
        use = self._uses.get(node)
        return (use.dataplane if use else "") or self._dataplanes.of_node(node)

    def _judge(self, node: str, *, likely: bool = False) -> Judge:
        use = self._uses.get(node)
        environment = dict(use.environment) if use else {}
        lifeline = use.lifeline if use else LifelineRules()
        key = (likely, self.dataplane_of(node), lifeline, *sorted(environment.items()))
        if key not in self._judges:
            options = replace(self.options, dataplane=self.dataplane_of(node), lifeline=lifeline)
            if environment:
                options = replace(options, environment={**(options.environment or {}), **environment})
            facts = {**self._carriers, **self._facts} if likely else self._facts
            self._judges[key] = Judge(self.store, facts, options)
        return self._judges[key]


def _answered(judge: Judge, flow: Flow) -> Verdict:
    """The verdict; what untracked policy allows also needs its answers allowed."""
    verdict = judge.verdict(flow)
    if verdict.withheld == DENY:
        return replace(verdict, verdict=DENY)
    if verdict.verdict == ALLOW and judge.untracks(flow.node):
        # The kernel keeps no connection for what such policy allows.
        answers = "no doNotTrack policy takes the connection, or policy allows its answers too"
        return replace(verdict, verdict=UNDETERMINED, assumptions=(*verdict.assumptions, answers))
    return verdict


def _carriers(host_endpoints: Iterable[HostEndpoint], known: Mapping[str, NodeFacts]) -> dict[str, NodeFacts]:
    """Where a host endpoint, not on all interfaces, expects addresses, on nodes that nobody looked at.

    :returns: per node; an interface that no host endpoint names goes by its address
    """
    found: dict[str, dict[str, tuple[Address, ...]]] = {}
    for hep in host_endpoints:
        if hep.interface == WILDCARD or not hep.expected_ips or hep.node in known:
            continue
        interfaces = found.setdefault(hep.node, {})
        expected = hep.expected_ips
        interfaces.update({hep.interface: expected} if hep.interface else {str(a): (a,) for a in expected})
    return {node: NodeFacts(node, {}, interfaces) for node, interfaces in found.items()}
