# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a candidate policy would do to the traffic that nodes really have.

:class:`Audit` takes the documents of the nodes one by one and keeps rows, not flows: its cost grows with
distinct flows, its memory with rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Optional

from ..address import Address
from ..stored.model import WILDCARD, HostEndpoint, Store
from ..stored.reader import Raw, read
from ..verdict.dataplanes import Dataplanes
from ..verdict.flow import Flow
from ..verdict.interface_owner import NodeFacts, is_workload_interface, resolve_host_endpoints
from ..verdict.judge import UNDETERMINED, Judge, Options, Verdict
from ..verdict.program import ALLOW, DENY
from .classes import AddressClasses
from .observed import FlowDocument, ObservedFlow, Window, harmless
from .peers import Names
from .required import RequiredPacket
from .rows import ESTABLISHED_ONLY, FAILSAFE_ONLY, UNKNOWN, WOULD_ALLOW, WOULD_DENY, Row, Rows

COMPARE, THEN = "compare", "as_enforced"
_NO_FAILSAFES = {"FELIX_FAILSAFEINBOUNDHOSTPORTS": "none", "FELIX_FAILSAFEOUTBOUNDHOSTPORTS": "none"}
_FAILSAFE = "failsafe"
_LOOPBACK = "lo"
_POD_POLICY = "pod-policy"
# Objects whose nets decide without a policy's rule.
_BESIDE_RULES = frozenset({"FelixConfiguration", "Profile", "IPPool"})
_MOST_COMPLAINTS = 20
_MOST_VERDICTS = 20_000


@dataclass(frozen=True)
class _Verdicts:
    """Of one flow: now, with the candidate enforced, and so without failsafes where one decides.

    :ivar rows: of flows that get these verdicts, by group and kind of peer
    """

    now: Verdict
    then: Verdict
    without_failsafe: Optional[Verdict] = None
    rows: dict[tuple[str, str], Row] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Seen:
    """What an audit of some documents came to, for one of all of them."""

    rows: Rows
    coverage: Coverage
    counts: Counter[str]
    facts: Mapping[str, NodeFacts]


@dataclass
class Coverage:
    """Which nodes were watched, and what was missed."""

    windows: dict[str, list[Window]] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unreadable_flows: int = 0

    def add(self, document: FlowDocument) -> None:
        self.windows.setdefault(document.node, []).append(document.window)

    def complain(self, complaints: Sequence[str], count: int) -> None:
        """Keep some of why flows cannot be read, and how many cannot."""
        self.unreadable_flows += count
        self.unreadable.extend(complaints[: max(_MOST_COMPLAINTS - len(self.unreadable), 0)])

    def merge(self, other: Coverage) -> None:
        for node, windows in other.windows.items():
            self.windows.setdefault(node, []).extend(windows)
        self.strangers.extend(other.strangers)
        self.complain(other.unreadable, other.unreadable_flows)


class Audit:
    """Judge observed flows against a cluster's objects, staged policies as they are and as enforced.

    :param objects: Kubernetes objects as dictionaries
    :param options: those that all nodes share; ``staged`` is set here
    :param then: the objects once the candidate is enforced, its policies as staged ones; left out where
        staged policies are all that changes
    """

    def __init__(
        self,
        objects: Iterable[Raw],
        options: Options,
        dataplanes: Dataplanes,
        nodes: Optional[Mapping[str, NodeFacts]] = None,
        then: Optional[Iterable[Raw]] = None,
    ) -> None:
        objects = list(objects)
        self.store: Store = read(objects, options.native_v3)
        after = objects if then is None else list(then)
        self.candidate: Store = self.store if then is None else read(after, options.native_v3)
        everything = objects if then is None else [*objects, *after]
        # Rules do not look at what a Service says; its names alone are wanted.
        everything = [item for item in everything if item.get("kind") != "Service"]
        self.rows = Rows()
        self.coverage = Coverage()
        self.counts: Counter[str] = Counter()
        self.names = Names(objects)
        environment = options.environment or {}
        self._classes = AddressClasses(everything, environment)
        settings = [item for item in objects if item.get("kind") in _BESIDE_RULES]
        self._beside_rules = AddressClasses(settings, environment)
        self._numbers: dict[object, int] = {}
        self._kinds: dict[tuple[str, tuple[int, int]], int] = {}
        self._verdicts: dict[tuple[object, ...], _Verdicts] = {}
        self._options = options
        self._dataplanes = dataplanes
        self._node_kinds: dict[str, int] = {}
        self._dataplane_of: dict[str, str] = {}
        self._given = dict(nodes or {})
        self._facts: dict[str, NodeFacts] = {}
        self._judges: dict[tuple[str, str], Judge] = {}
        self._local: dict[str, list[HostEndpoint]] = {}
        for hep in self.store.host_endpoints:
            self._local.setdefault(hep.node, []).append(hep)
        self._governed = set(self._local)
        self._owned: dict[str, tuple[str, ...]] = {}
        self._known = self._governed | self.store.nodes.keys() | self._given.keys()

    @property
    def governed_nodes(self) -> frozenset[str]:
        """Nodes that have a host endpoint: policy decides about no others."""
        return frozenset(self._governed)

    def add(self, document: FlowDocument) -> None:
        """Judge a document's flows and count them in rows."""
        if document.node not in self._known:
            self.coverage.strangers.append(harmless(document.node))
            return
        self.coverage.add(document)
        facts = document.facts()
        if facts:
            self._learn(facts)
        for observed in document.flows():
            self._add(observed)
        self.coverage.complain(document.unreadable, document.unreadable_flows)

    def seen(self) -> Seen:
        """What this audit came to so far."""
        return Seen(self.rows, self.coverage, self.counts, self._facts)

    def merge(self, seen: Seen) -> None:
        """Take in what an audit of other documents, against the same objects, came to."""
        self.rows.merge(seen.rows)
        self.coverage.merge(seen.coverage)
        self.counts.update(seen.counts)
        for facts in seen.facts.values():
            self._learn(facts)

    def _learn(self, facts: NodeFacts) -> None:
        """What a node says of itself counts unless the user said it."""
        if facts.name in self._given:
            return
        self._facts[facts.name] = facts
        self._owned.pop(facts.name, None)
        for judge in self._judges.values():
            judge.learn(facts)

    def _add(self, observed: ObservedFlow) -> None:
        verdicts = self._verdicts_of(observed.flow)
        group, now, then = self._grouped(observed, verdicts)
        self.counts[group] += 1
        if group in (ALLOW, DENY):
            return
        kind, name = self.names.of_peer(observed.flow)
        row = verdicts.rows.get((group, kind)) if group != UNKNOWN else None
        if row is None:
            # What is unknown differs from flow to flow.
            row = verdicts.rows[group, kind] = self.rows.of(group, observed, now, then, kind)
        row.add(observed, name, self.names.service_of(observed.flow))

    def judge(self, observed: ObservedFlow) -> tuple[str, Verdict, Verdict]:
        """The group of a flow, and the verdicts now and then.

        The group is one of rows.GROUPS, or ``allow`` or ``deny`` where nothing changes.
        """
        return self._grouped(observed, self._verdicts_of(observed.flow))

    def _grouped(self, observed: ObservedFlow, verdicts: _Verdicts) -> tuple[str, Verdict, Verdict]:
        now, then, without = verdicts.now, verdicts.then, verdicts.without_failsafe
        doubt = self._doubt(observed, then)
        if doubt:
            doubtful = replace(
                then, verdict=UNDETERMINED, reason_code="unknown-match", assumptions=doubt, staged=None
            )
            return UNKNOWN, now, doubtful
        if UNDETERMINED in (now.verdict, then.verdict):
            return _undetermined(observed, now, then), now, then
        if (now.verdict, then.verdict) == (ALLOW, DENY):
            return (ESTABLISHED_ONLY if observed.older_than_window else WOULD_DENY), now, then
        if (now.verdict, then.verdict) == (DENY, ALLOW):
            return WOULD_ALLOW, now, then
        if without is not None and without.verdict != ALLOW:
            return FAILSAFE_ONLY, now, without
        return then.verdict, now, then

    def _verdicts_of(self, flow: Flow) -> _Verdicts:
        """Judge a flow, or take the answer of one that no object tells apart from it."""
        original = flow.original_destination
        key = (
            self._node_kind(flow.node),
            self._dataplane(flow.node),
            flow.direction,
            flow.interface,
            flow.out_interface,
            flow.protocol,
            self._kind(flow.node, flow.source),
            self._kind(flow.node, flow.destination),
            self._kind(flow.node, original) if original else None,
            flow.source_port,
            flow.destination_port,
            flow.original_destination_port,
            flow.icmp_type,
            flow.icmp_code,
            flow.state,
        )
        found = self._verdicts.get(key)
        if found is None:
            if len(self._verdicts) >= _MOST_VERDICTS:
                self._verdicts.clear()
            found = self._verdicts[key] = self._judged(flow)
        return found

    def _node_kind(self, node: str) -> int:
        if node not in self._node_kinds:
            self._node_kinds[node] = self._number(tuple(judge.node_kind(node) for judge in self._both(node)))
        return self._node_kinds[node]

    def _kind(self, node: str, address: Address) -> int:
        """A key that two addresses share only if nothing tells them apart."""
        stretch = self._classes.of(address)
        key = (self._dataplane(node), stretch)
        if key not in self._kinds:
            kinds = [judge.address_kind(address) for judge in self._both(node)]
            known = [part for kind in kinds if kind is not None for part in kind]
            found = stretch if None in kinds else (*known, self._beside_rules.of(address))
            self._kinds[key] = self._number(found)
        return self._kinds[key]

    def _number(self, kind: object) -> int:
        """A number for what has long keys, as rules by the hundred make them."""
        return self._numbers.setdefault(kind, len(self._numbers))

    def _both(self, node: str) -> list[Judge]:
        """The judges of now and then, where they are two."""
        now = self._judge(COMPARE, node)
        return [now] if self.candidate is self.store else [now, self._judge(THEN, node)]

    def _judged(self, flow: Flow) -> _Verdicts:
        now = self._judge(COMPARE, flow.node).verdict(flow)
        then = now.staged or now
        if self.candidate is not self.store:
            then = self._judge(THEN, flow.node).verdict(flow)
        if then.verdict != ALLOW or then.reason_code != _FAILSAFE:
            return _Verdicts(now, then)
        return _Verdicts(now, then, self._judge(_FAILSAFE, flow.node).verdict(flow))

    def _doubt(self, observed: ObservedFlow, then: Verdict) -> tuple[str, ...]:
        """What a verdict rests on that was not seen."""
        flow = observed.flow
        sides = ((flow.source, observed.source_bits), (flow.destination, observed.destination_bits))
        for address, bits in sides:
            if bits is not None and self._classes.split(address, bits):
                return (
                    f"which addresses of {address}/{bits} it was: only the net was kept, and policies or "
                    "sets name parts of it",
                )
        if observed.interface_assumed and then.verdict == DENY and not flow.interface:
            return ("by which interface it came or went: there is no route to tell",)
        other = self._other_interface(flow, then) if observed.interface_assumed and flow.interface else ""
        if other:
            return (
                f"by which interface it came or went: the route says {flow.interface}, and by {other} the "
                "verdict is another; a window of a table (audit_source: table) sees the interface",
            )
        if not observed.direction_certain and not observed.owner and self._turned(flow) != then.verdict:
            return (
                "which side opened it: the kernel saw it first in its middle, and the other way round the "
                "verdict is another; a window that is open when it connects again tells",
            )
        return ()

    def _other_interface(self, flow: Flow, then: Verdict) -> str:
        """An interface with a host endpoint by which the flow would get another verdict; empty for none."""
        for name in self._owned_interfaces(flow.node):
            if name not in (flow.interface, flow.out_interface):
                other = self._verdicts_of(replace(flow, interface=name)).then
                if other.verdict != then.verdict:
                    return name
        return ""

    def _owned_interfaces(self, node: str) -> tuple[str, ...]:
        """Those of a node that host endpoints tell apart; none where one host endpoint has all."""
        if node not in self._owned:
            facts = self._given.get(node) or self._facts.get(node)
            local = self._local.get(node, [])
            named = {hep.interface: () for hep in local if hep.interface not in ("", WILDCARD)}
            interfaces = (facts and facts.interfaces) or named
            found = resolve_host_endpoints(local, node, interfaces)
            owned = set(interfaces) if found.wildcard else set(found.by_interface)
            told_apart = owned if found.by_interface else set()
            self._owned[node] = tuple(
                sorted(name for name in told_apart if name != _LOOPBACK and not is_workload_interface(name))
            )
        return self._owned[node]

    def _turned(self, flow: Flow) -> str:
        """The verdict, with the candidate enforced, of the same connection had the other side opened it."""
        way = {"ingress": "egress", "egress": "ingress"}.get(flow.direction, flow.direction)
        turned = replace(
            flow,
            direction=way,
            interface=flow.out_interface or flow.interface,
            out_interface=flow.interface if flow.out_interface else "",
            source=flow.destination,
            destination=flow.source,
            source_port=flow.destination_port,
            destination_port=None,
            original_destination=None,
            original_destination_port=None,
        )
        return self._verdicts_of(turned).then.verdict

    def _dataplane(self, node: str) -> str:
        if node not in self._dataplane_of:
            self._dataplane_of[node] = self._dataplanes.of_node(node)
        return self._dataplane_of[node]

    def _judge(self, how: str, node: str) -> Judge:
        dataplane = self._dataplane(node)
        if (how, dataplane) not in self._judges:
            alone = self.candidate is not self.store
            options = replace(self._options, dataplane=dataplane, staged="ignore" if alone else COMPARE)
            if how != COMPARE:
                options = replace(options, staged=THEN)
            if how == _FAILSAFE:
                environment = {**(options.environment or {}), **_NO_FAILSAFES}
                options = replace(options, environment=environment)
            store = self.store if how == COMPARE else self.candidate
            self._judges[how, dataplane] = Judge(store, {**self._given, **self._facts}, options)
        return self._judges[how, dataplane]

    def selected_nodes(self) -> set[str]:
        """Nodes of which a staged policy selects a host endpoint: the others' answers cannot change.

        Where no policy is staged, a tier or a network set changes, and with it all that is enforced.
        """
        staged = [policy for policy in self.candidate.policies if policy.staged]
        if self.candidate is not self.store and not staged:
            staged = list(self.candidate.policies)
        return {
            hep.node
            for hep in self.store.host_endpoints
            if any(policy.selector.matches(hep.labels) for policy in staged)
        }


def _undetermined(observed: ObservedFlow, now: Verdict, then: Verdict) -> str:
    """The group of a flow of which a verdict depends on something that the objects do not say.

    The flow was seen past the place where policy drops: today it passes, whatever that depends on. What
    depends on the same then passes then, too.
    """
    same = (now.verdict, now.reason_code, now.assumptions) == (
        then.verdict,
        then.reason_code,
        then.assumptions,
    )
    if same or then.verdict == ALLOW:
        return ALLOW
    if then.verdict == DENY:
        return ESTABLISHED_ONLY if observed.older_than_window else WOULD_DENY
    # Host policy lets it pass and the pod's own policy, which does not change, decides.
    return ALLOW if then.reason_code == _POD_POLICY else UNKNOWN


def unseen(required: Iterable[RequiredPacket], audit: Audit) -> Iterator[tuple[RequiredPacket, Row]]:
    """Required flows that the candidate would deny, whether they were seen or not, each with its own row."""
    for packet in required:
        observed = ObservedFlow(packet.flow, 0, None, False, True, False, None, None, "")
        _group, now, then = audit.judge(observed)
        if then.verdict == DENY:
            row = Rows().of(WOULD_DENY, observed, now, then, packet.kind)
            row.peers.add_net(packet.peers)
            row.nodes.add(packet.flow.node)
            yield packet, row
