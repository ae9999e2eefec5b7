# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policies compiled into what Felix would render for host endpoints, and one stage of a packet's way judged.

Source: endpointIptablesChain in felix/rules/endpoints.go and tierInfoToProtoTierInfo in
felix/calc/event_sequencer.go (v3.32.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Optional

from ..address import Address
from ..known_faults import FORWARD_DEFAULT
from ..stored.model import HostEndpoint, Policy, Rule, Store
from ..stored.reader import inherited_labels
from .address_sets import AddressSets
from .flow import ICMPV6, WITH_PORTS, Flow
from .packet_path import (
    EBPF,
    EGRESS,
    FORWARD,
    INGRESS,
    NFTABLES,
    NORMAL,
    PRE_DNAT,
    UNTRACKED,
    Settings,
    Stage,
    is_invalid,
)
from .rule_match import EPHEMERAL, Packet, match_rule, unprogrammable
from .rule_table import RuleTable
from .tier_order import RankedTier
from .unknown import unknown_of

ALLOW, DENY = "allow", "deny"
CONTINUE = "continue"  # the stage neither allows nor denies
EPHEMERAL_NOTE = f"the source port is one that the kernel picks ({EPHEMERAL[0]}-{EPHEMERAL[1]})"
_SHOWN = 5
KERNEL_NOTE = "the node's own FORWARD rules accept the packet"


@dataclass(frozen=True)
class DecidedBy:
    """What decided. ``stage`` is a class of policy or a place; ``rule_index`` counts from 0.

    ``policies`` are those, as ``Kind name``, that govern where the end of a tier decides.
    """

    stage: str = ""
    tier: str = ""
    kind: str = ""
    name: str = ""
    rule_index: Optional[int] = None
    policies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a stage can come to.

    ``assumption`` is what has to hold for it, empty where nothing else is possible; ``notes`` are assumptions
    that do not change the verdict's being sure. ``accepts``: a policy's allow, which spares the packet later
    stages, unlike that of a failsafe or of a known connection.
    """

    verdict: str
    reason: str
    decided_by: DecidedBy
    trace: tuple[str, ...] = ()
    assumption: str = ""
    notes: tuple[str, ...] = ()
    accepts: bool = False


@dataclass(frozen=True)
class TierLink:
    """A tier of one host endpoint, class and direction.

    ``rules`` and ``staged_rules`` are bits of the direction's table; Felix renders only the first.
    """

    tier: str
    rules: int
    ends_in_drop: bool
    only_staged: bool
    staged_rules: int = 0
    policies: tuple[str, ...] = ()


@dataclass(frozen=True)
class EndpointPolicy:
    """What governs host endpoints of one kind; ``chains`` by class and direction."""

    chains: Mapping[tuple[str, str], tuple[TierLink, ...]]
    profiles: tuple[str, ...]

    def governs(self, policy_class: str) -> bool:
        return bool(self.chains.get((policy_class, INGRESS)) or self.chains.get((policy_class, EGRESS)))


class CompiledPolicies:
    """One set of policies, compiled."""

    def __init__(
        self,
        ranked: tuple[RankedTier, ...],
        store: Store,
        sets: AddressSets,
        dataplane: str,
        version: tuple[int, int],
    ) -> None:
        self._ranked = ranked
        self._profiles = store.profiles
        self.sets = sets
        self.dataplane = dataplane
        self.version = version
        self._rules: dict[str, list[Rule]] = {INGRESS: [], EGRESS: []}
        self.owners: dict[str, list[Policy]] = {INGRESS: [], EGRESS: []}
        self._bits: dict[tuple[str, int], int] = {}
        for tier in ranked:
            for policy in tier.policies:
                for direction in directions(policy):
                    self._number(policy, direction)
        self.logs = {
            direction: sum(1 << index for index, rule in enumerate(rules) if rule.action == "log")
            for direction, rules in self._rules.items()
        }
        self.unprogrammable = [
            (policy, f"{policy.ref} {direction}[{rule.index}]: {why}")
            for direction in (INGRESS, EGRESS)
            for policy, rule in zip(self.owners[direction], self._rules[direction])
            if not policy.staged
            and (why := unprogrammable(rule, dataplane == NFTABLES))
            and dataplane != EBPF
        ]
        self._tables: dict[tuple[str, int], RuleTable] = {}
        names = {
            name for tier in ranked for policy in tier.policies for name in policy.selector.label_names()
        }
        self._names = tuple(sorted(names))
        self._views: dict[object, EndpointPolicy] = {}
        self._view_of: dict[str, EndpointPolicy] = {}

    def _number(self, policy: Policy, direction: str) -> None:
        rules = policy.ingress if direction == INGRESS else policy.egress
        start = len(self._rules[direction])
        self._rules[direction].extend(rules)
        self.owners[direction].extend([policy] * len(rules))
        self._bits[direction, id(policy)] = ((1 << len(rules)) - 1) << start

    def view(self, hep: HostEndpoint) -> EndpointPolicy:
        """What governs a host endpoint. Endpoints that no selector can tell apart share one."""
        known = self._view_of.get(hep.name)
        if known is None:
            labels = inherited_labels(hep.labels, hep.profiles, self._profiles)
            key = (tuple(labels.get(name) for name in self._names), hep.profiles)
            known = self._views.get(key)
            if known is None:
                known = self._views[key] = EndpointPolicy(self._chains(labels), hep.profiles)
            self._view_of[hep.name] = known
        return known

    def _chains(self, labels: Mapping[str, str]) -> dict[tuple[str, str], tuple[TierLink, ...]]:
        chains: dict[tuple[str, str], list[TierLink]] = {}
        for tier in self._ranked:
            selecting: dict[tuple[str, str], list[Policy]] = {}
            for policy in tier.policies:
                if policy.selector.matches(labels):
                    for place in places(policy):
                        selecting.setdefault(place, []).append(policy)
            for (policy_class, direction), policies in selecting.items():
                enforced = [policy for policy in policies if not policy.staged]
                rules = staged_rules = 0
                for policy in policies:
                    bits = self._bits[direction, id(policy)]
                    if policy.staged:
                        staged_rules |= bits
                    else:
                        rules |= bits
                drop = bool(enforced) and tier.default_action != "Pass" and policy_class in (NORMAL, FORWARD)
                names = tuple(str(policy.ref) for policy in enforced)
                link = TierLink(tier.name, rules, drop, not enforced, staged_rules, names)
                chains.setdefault((policy_class, direction), []).append(link)
        return {place: tuple(links) for place, links in chains.items()}

    def table(self, direction: str, version: int) -> RuleTable:
        """The compiled rules of a direction and family."""
        key = (direction, version)
        if key not in self._tables:
            self._tables[key] = RuleTable(
                self._rules[direction], version, self.sets, self.dataplane == NFTABLES
            )
        return self._tables[key]

    def address_kind(self, address: Address) -> Optional[tuple[tuple[int, int, int, int], ...]]:
        """What rules of both directions make of an address.

        :returns: None where some rule looks at more than nets and sets: named ports, services, domains
        """
        tables = [self.table(direction, address.version) for direction in (INGRESS, EGRESS)]
        if any(table.special for table in tables):
            return None
        return tuple(table.address_kind(address.number) for table in tables)

    # -- one stage -------------------------------------------------------------------------------

    def judge(self, stage: Stage, flow: Flow, settings: Settings) -> list[Outcome]:
        """What a stage makes of a packet; more than one outcome where the input leaves it open."""
        owner = stage.endpoint.ref
        whose = f"host endpoint {owner.name}" if owner.kind == "HostEndpoint" else str(owner)
        head = f"{stage.place}: {stage.name} {stage.direction} policy of {whose}"
        if stage.tracked:
            known = self._by_connection(stage, flow, settings, head)
            if known:
                return [known]
        packet = packet_of(flow, stage.original)
        outcomes: list[Outcome] = []
        if self.dataplane != EBPF:
            way = lifeline_hit(stage, packet, settings)
            if way:
                decided = DecidedBy(stage.name, "", "Lifeline", way)
                verdict = ALLOW if stage.name == NORMAL else CONTINUE
                return [Outcome(verdict, "lifeline", decided, (f"{head}: {way}",))]
        if stage.failsafes:
            entry, sure = failsafe_hit(stage, packet, settings)
            if entry:
                decided = DecidedBy(stage.name, "", "Failsafe", entry)
                verdict = ALLOW if stage.name == NORMAL or self.dataplane == EBPF else CONTINUE
                doubt = "" if sure else f"failsafe {entry} matches"
                trace = (f"{head}: failsafe {entry}{'' if sure else ', if it matches'}",)
                outcomes.append(Outcome(verdict, "failsafe", decided, trace, doubt))
                if sure:
                    return outcomes
        outcomes.extend(_TierWalk(self, stage, packet, head).outcomes())
        return outcomes

    def _by_connection(self, stage: Stage, flow: Flow, settings: Settings, head: str) -> Optional[Outcome]:
        if flow.state in ("established", "related"):
            verdict = CONTINUE if stage.name == PRE_DNAT else ALLOW
            return Outcome(verdict, "established", DecidedBy(stage.name), (f"{head}: known connection",))
        if not settings.drops_invalid or self.dataplane == EBPF or not is_invalid(flow):
            return None
        return Outcome(
            DENY, "invalid-state", DecidedBy(stage.name), (f"{head}: no connection and none begins",)
        )

    def profile_outcomes(self, view: EndpointPolicy, direction: str, packet: Packet) -> list[Outcome]:
        """What the profiles of a host endpoint come to, after tiers that did not decide."""
        outcomes: list[Outcome] = []
        for name in view.profiles:
            profile = self._profiles.get(name)
            decided = DecidedBy(NORMAL, "", "Profile", name)
            if profile is None:
                trace = (f"profile {name}: does not exist, which denies",)
                return [*outcomes, Outcome(DENY, "profile-missing", decided, trace)]
            for rule in profile.ingress if direction == INGRESS else profile.egress:
                if rule.action in ("log", "pass"):
                    continue
                answer = match_rule(rule, packet, self.sets, self.dataplane == NFTABLES)
                if answer is False:
                    continue
                decided = DecidedBy(NORMAL, "", "Profile", name, rule.index)
                doubt = "" if answer else f"rule {rule.index} of profile {name} matches"
                verdict, reason = (
                    (ALLOW, "profile-allow") if rule.action == "allow" else (DENY, "profile-deny")
                )
                trace = (f"profile {name}: {direction} rule {rule.index} {rule.action}s",)
                outcomes.append(Outcome(verdict, reason, decided, trace, doubt, accepts=verdict == ALLOW))
                if answer:
                    return outcomes
        trace = ("no profile allows, which denies",)
        return [*outcomes, Outcome(DENY, "no-profile", DecidedBy(NORMAL), trace)]


class _TierWalk:
    """One packet through the tiers and profiles of one stage."""

    def __init__(self, program: CompiledPolicies, stage: Stage, packet: Packet, head: str) -> None:
        self.program = program
        self.stage = stage
        self.packet = packet
        self.head = head
        self.view = program.view(stage.endpoint)
        self.links = self.view.chains.get((stage.name, stage.direction), ())
        self.table = program.table(stage.direction, packet.version)
        self.certain, self.possible = self.table.matching(packet)
        self.notes = self._notes()
        self._after: dict[int, list[Outcome]] = {}

    def _notes(self) -> tuple[str, ...]:
        if self.packet.source_port is not None or self.packet.protocol not in WITH_PORTS:
            return ()
        rules = 0
        for link in self.links:
            rules |= link.rules
        return (EPHEMERAL_NOTE,) if rules & self.table.depends_on_source_port() else ()

    def outcomes(self) -> list[Outcome]:
        return self.from_link(0)

    def from_link(self, index: int) -> list[Outcome]:
        if index not in self._after:
            self._after[index] = self._from_link(index)
        return self._after[index]

    def _from_link(self, index: int) -> list[Outcome]:
        if index == len(self.links):
            return self.after_tiers()
        link = self.links[index]
        outcomes = self.of_link(index, link)
        would = self.would(link) if link.staged_rules else ""
        return [self.led_by(would, "", outcome) for outcome in outcomes] if would else outcomes

    def would(self, link: TierLink) -> str:
        """What the first staged rule that matches would do, if no enforced rule comes before it."""
        hits = self.certain & ~self.program.logs[self.stage.direction]
        bit = hits & link.staged_rules & -(hits & link.staged_rules)
        enforced = hits & link.rules & -(hits & link.rules)
        if not bit or (enforced and enforced < bit):
            return ""
        number = bit.bit_length() - 1
        rule, ref = self.table.rules[number], self.program.owners[self.stage.direction][number].ref
        whose = f"{ref.kind} {ref.name} {self.stage.direction} rule {rule.index}"
        return f"tier {link.tier}: {whose} would {rule.action}"

    def of_link(self, index: int, link: TierLink) -> list[Outcome]:
        outcomes: list[Outcome] = []
        hits = self.possible & link.rules
        logs = self.program.logs[self.stage.direction]
        while hits:
            bit = hits & -hits
            hits ^= bit
            if bit & logs:
                continue
            answer = self.answer(bit)
            if answer is False:
                continue
            outcomes.extend(self.hit(index, link, bit, answer is None))
            if answer:
                return outcomes
        return [*outcomes, *self.end_of(index, link)]

    def answer(self, bit: int) -> Optional[bool]:
        if bit & self.certain:
            return True
        if not bit & self.table.special:
            return None
        rule = self.table.rules[bit.bit_length() - 1]
        return match_rule(rule, self.packet, self.program.sets, self.table.nftables)

    def hit(self, index: int, link: TierLink, bit: int, doubtful: bool) -> list[Outcome]:
        number = bit.bit_length() - 1
        rule = self.table.rules[number]
        ref = self.program.owners[self.stage.direction][number].ref
        name = f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name
        text = f"tier {link.tier}: {ref.kind} {name} {self.stage.direction} rule {rule.index}"
        doubt = f"{ref.kind} {name} {self.stage.direction}[{rule.index}] matches" if doubtful else ""
        if doubtful and (named := self.unknown_of(rule)):
            doubt = f"{doubt} ({named})"
        if rule.action == "pass":
            line = f"{text} passes to the next tier{', if it matches' if doubtful else ''}"
            return [self.led_by(line, doubt, outcome) for outcome in self.from_link(index + 1)]
        decided = DecidedBy(self.stage.name, link.tier, ref.kind, name, rule.index)
        allows = rule.action == "allow"
        verdict, reason = (ALLOW, "policy-allow") if allows else (DENY, "policy-deny")
        what = f"{'allows' if allows else 'denies'}{', if it matches' if doubtful else ''}"
        trace = (self.head, f"{text} {what}")
        return [Outcome(verdict, reason, decided, trace, doubt, self.notes, allows)]

    def unknown_of(self, rule: Rule) -> str:
        """What has to hold of the packet for a rule to match."""
        sets, nftables = self.program.sets, self.table.nftables
        return " and ".join(unknown_of(rule, self.packet, sets, nftables=nftables))

    def end_of(self, index: int, link: TierLink) -> list[Outcome]:
        if link.ends_in_drop:
            decided = DecidedBy(self.stage.name, link.tier, "Tier", link.tier, policies=link.policies)
            more = f" and {len(link.policies) - _SHOWN} more" if len(link.policies) > _SHOWN else ""
            governing = ", ".join(link.policies[:_SHOWN]) + more
            line = f"tier {link.tier}: no rule of {governing} matches, the end of the tier denies"
            trace = (self.head, line)
            return [Outcome(DENY, "end-of-tier", decided, trace, "", self.notes)]
        why = "holds staged policies only" if link.only_staged else "no rule matches"
        line = f"tier {link.tier}: {why}, goes on"
        return [self.led_by(line, "", outcome) for outcome in self.from_link(index + 1)]

    def led_by(self, line: str, doubt: str, outcome: Outcome) -> Outcome:
        """The outcome of a later tier, together with how the packet got there."""
        trace = outcome.trace[1:] if outcome.trace[:1] == (self.head,) else outcome.trace
        assumption = " and ".join(part for part in (doubt, outcome.assumption) if part)
        return Outcome(
            outcome.verdict,
            outcome.reason,
            outcome.decided_by,
            (self.head, line, *trace),
            assumption,
            outcome.notes,
            outcome.accepts,
        )

    def after_tiers(self) -> list[Outcome]:
        if self.stage.name == NORMAL:
            outcomes = self.program.profile_outcomes(self.view, self.stage.direction, self.packet)
            return [
                self.led_by(outcome.trace[0], "", Outcome(**{**vars(outcome), "trace": ()}))
                for outcome in outcomes
            ]
        decided = DecidedBy(self.stage.name)
        if self.stage.name != FORWARD:
            return [Outcome(CONTINUE, "", decided, (self.head, "no policy decides, goes on"), "", self.notes)]
        if self.forward_is_open():
            trace = (self.head, "no applyOnForward policy governs: forwarded traffic passes")
            return [Outcome(ALLOW, "forward-default", decided, trace, "", self.notes)]
        trace = (self.head, "no policy decides: the node's own FORWARD rules do")
        return [Outcome(CONTINUE, "forward-undecided", decided, trace, "", (*self.notes, KERNEL_NOTE))]

    def forward_is_open(self) -> bool:
        """Since v3.29 policy of one direction takes the default allow from both; not so in eBPF."""
        if self.program.dataplane == EBPF:
            return True
        if FORWARD_DEFAULT.affects(self.program.version, self.program.dataplane):
            return not self.view.governs(FORWARD)
        return not self.links


def directions(policy: Policy) -> tuple[str, ...]:
    """The directions that a policy governs."""
    governed = ((policy.governs_ingress, INGRESS), (policy.governs_egress, EGRESS))
    return tuple(direction for governs, direction in governed if governs)


def places(policy: Policy) -> Iterable[tuple[str, str]]:
    """The classes and directions in which a policy is asked, in Felix's priority."""
    for direction in directions(policy):
        if policy.do_not_track:
            yield UNTRACKED, direction
        elif policy.pre_dnat:
            if direction == INGRESS:
                yield PRE_DNAT, direction
        else:
            yield NORMAL, direction
            if policy.apply_on_forward:
                yield FORWARD, direction


def packet_of(flow: Flow, original: bool) -> Packet:
    """What rules see of a flow, before or after its destination was translated."""
    destination, port = flow.before_translation() if original else (flow.destination, flow.destination_port)
    return Packet(
        flow.version,
        flow.protocol,
        flow.source,
        destination,
        flow.source_port,
        port,
        flow.icmp_type,
        flow.icmp_code,
    )


# ICMPv6 types of neighbour discovery, redirects left out.
_NEIGHBOURS = range(133, 137)


def lifeline_hit(stage: Stage, packet: Packet, settings: Settings) -> str:
    """What of the node's kept lifeline lets a packet pass at a stage, or empty.

    It sets its mark after untracked policy was evaluated. Where a port is unknown, policy is evaluated.
    """
    if stage.name == UNTRACKED or not stage.failsafes:
        return ""
    if settings.lifeline.neighbours and packet.protocol == ICMPV6 and packet.icmp_type in _NEIGHBOURS:
        return "lifeline, IPv6 neighbour discovery"
    inbound = stage.failsafes == "inbound"
    other = packet.source if inbound else packet.destination
    for entry in settings.lifeline.inbound if inbound else settings.lifeline.outbound:
        if (entry.protocol, entry.port) == (packet.protocol, packet.destination_port) and (
            entry.net is None or entry.net.contains(other)
        ):
            return f"lifeline {entry}"
    return ""


def failsafe_hit(stage: Stage, packet: Packet, settings: Settings) -> tuple[str, bool]:
    """The failsafe entry that lets a packet through at a stage, as text, and whether that is sure."""
    inbound = stage.failsafes == "inbound"
    forth, back = (settings.inbound, settings.outbound) if inbound else (settings.outbound, settings.inbound)
    other = packet.source if inbound else packet.destination
    wanted = [(entry, packet.destination_port) for entry in forth]
    if stage.raw_failsafes:
        # Answers must not fall to untracked policy either.
        wanted += [(entry, packet.source_port) for entry in back if packet.source_port is not None]
    doubtful = ""
    for entry, port in wanted:
        if entry.protocol != packet.protocol or (entry.net and not entry.net.contains(other)):
            continue
        if port == entry.port:
            return str(entry), True
        if port is None and not doubtful:
            doubtful = str(entry)
    return doubtful, False
