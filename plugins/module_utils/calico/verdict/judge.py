# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Felix does with a packet, and why.

:class:`Judge` is made once for a set of objects and asked for any number of flows. Everything that many
nodes share is compiled once: the rules of a direction and family into one table, and the chains of host
endpoints per distinct set of labels that policy selectors look at. A flow then costs a few table look-ups,
whatever the number of nodes.

Where the input leaves open what decides, every answer is followed; only if they differ is the verdict
``undetermined``, with the assumptions that would settle it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional, Union

from ..address import Address, host_net
from ..bad_input import BadInput
from ..known_faults import faults_of
from ..stored.model import WILDCARD, HostEndpoint, Policy, Store, Tier
from ..stored.reader import ALL_NAMESPACES, Raw, inherited_labels, read
from ..stored.rules import PROTOCOLS
from ..version import version_of
from .address_sets import AddressSets
from .flow import ICMPV6, WITH_PORTS, Flow, parse_flow
from .interface_owner import NodeFacts, Ownership, is_workload_interface, possible_owners
from .packet_path import (
    CLASSES,
    DATAPLANES,
    EBPF,
    EGRESS,
    FORWARD,
    INGRESS,
    IPTABLES,
    NORMAL,
    UNTRACKED,
    LifelineRules,
    Owners,
    PodStage,
    Settings,
    Settled,
    Stage,
    is_ipvs_forward,
    settings_of,
    steps,
)
from .program import ALLOW, CONTINUE, DENY, KERNEL_NOTE, CompiledPolicies, DecidedBy, Outcome
from .tier_order import ended, promoted, rank

UNDETERMINED = "undetermined"
_ANY_EPHEMERAL = 50000
# Protocol and type of an ICMP request, and the type of its answer.
_ICMP_ANSWERS: Mapping[tuple[int, Optional[int]], int] = {
    (1, 8): 0,
    (1, 13): 14,
    (1, 15): 16,
    (1, 17): 18,
    (ICMPV6, 128): 129,
    (ICMPV6, 139): 140,
}
STAGED_CHOICES = ("ignore", "as_enforced", "compare")


@dataclass(frozen=True)
class Verdict:
    """The answer for one flow.

    ``verdict`` is ``allow``, ``deny`` or ``undetermined``; ``reason_code`` one of reasons.py; ``trace``
    tells the packet's way in words. ``assumptions`` say what an undetermined verdict depends on, and what
    a determined one takes for granted. ``staged`` is the verdict with the staged policies enforced, where
    both were asked for. ``withheld`` is the verdict once Felix hears of everything, where it does not now.
    """

    verdict: str
    reason_code: str
    decided_by: DecidedBy
    trace: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    staged: Optional[Verdict] = None
    withheld: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The form in which the modules return it."""
        result: dict[str, Any] = {
            "verdict": self.verdict,
            "reason_code": self.reason_code,
            "decided_by": {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in vars(self.decided_by).items()
                if value not in ("", None, ())
            },
            "trace": list(self.trace),
            "assumptions": list(self.assumptions),
        }
        if self.staged is not None:
            result["staged"] = self.staged.as_dict()
        return result


@dataclass(frozen=True)
class Options:
    """How to judge.

    ``staged``: ``ignore`` as Felix does, ``as_enforced``, or ``compare`` (both). ``environment`` holds what
    is known of Felix's environment variables. ``native_v3``: as in :func:`..resources.read`. ``complete``:
    the objects are all there are in the cluster, so an address of the pods' nets that no pod has is no pod's.
    ``kube_proxy_mode``: one of kube_proxy.MODES, empty where it is not known. ``lifeline``: what the nodes'
    kept lifelines let pass.
    """

    staged: str = "ignore"
    dataplane: str = IPTABLES
    calico_version: str = ""
    environment: Optional[Mapping[str, str]] = None
    native_v3: bool = False
    complete: bool = False
    kube_proxy_mode: str = ""
    lifeline: LifelineRules = field(default_factory=LifelineRules)

    def __post_init__(self) -> None:
        if self.staged not in STAGED_CHOICES:
            raise BadInput("staged", self.staged, f"one of {', '.join(STAGED_CHOICES)}")
        if self.dataplane not in DATAPLANES:
            raise BadInput("dataplane", self.dataplane, f"one of {', '.join(DATAPLANES)}")


def judge_objects(
    objects: Iterable[Raw],
    flows: Sequence[object],
    nodes: Optional[Mapping[str, NodeFacts]] = None,
    options: Optional[Options] = None,
) -> list[Verdict]:
    """Judge flows against stored objects: the whole way from dictionaries to verdicts.

    :param objects: Kubernetes objects as dictionaries
    :param flows: dictionaries as :func:`..flow.parse_flow` reads them
    :param nodes: what the objects do not say of nodes, by name
    :raises BadInput: a bad object, flow or option, with its field
    """
    options = options or Options()
    store = read(objects, options.native_v3)
    refuse_unknown_kinds(store)
    judge = Judge(store, nodes, options)
    parsed = [parse_flow(raw, f"flows[{index}]") for index, raw in enumerate(flows)]
    judge.refuse_unknown_nodes(parsed)
    return [judge.verdict(flow) for flow in parsed]


def refuse_unknown_kinds(store: Store) -> None:
    """Reject objects whose kind their API does not have: left out, they would have no effect.

    :raises BadInput: field ``kind`` or ``apiVersion`` of the first of them
    """
    for ref, found in store.unknown_kinds():
        raise BadInput(found.field, found.value, found.meaning, str(ref))


def count_verdicts(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """How many flows got which verdict."""
    counted = {ALLOW: 0, DENY: 0, UNDETERMINED: 0}
    for verdict in verdicts:
        counted[verdict.verdict] += 1
    return counted


@dataclass(frozen=True)
class _Undecided:
    """A stage that may let the packet pass or not, and what that depends on."""

    reason: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Branch:
    """One way that a packet may take, as far as it has come."""

    accepted: bool = False
    last: Optional[Outcome] = None
    trace: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pending: tuple[_Undecided, ...] = ()


class Judge:
    """Verdicts over one set of objects. Compiles as it goes and keeps what it compiled."""

    def __init__(
        self, store: Store, nodes: Optional[Mapping[str, NodeFacts]] = None, options: Optional[Options] = None
    ) -> None:
        self.options = options or Options()
        self._store = store
        self._nodes = _known_nodes(store, nodes or {})
        self._sets = AddressSets(store, self.options.complete)
        after, ends = promoted(store.policies, store.staged_deletions), ended(store.tiers)
        if self.options.staged == "as_enforced":
            self._program = self._compile(after, ends)
        else:
            self._program = self._compile(store.policies, store.tiers)
        self._promoted = self._program
        if self.options.staged == "compare" and (after, ends) != (store.policies, store.tiers):
            self._promoted = self._compile(after, ends)
        self._stale = tuple(
            f"{ref}: {found.field} is corrected ({found.meaning})" for ref, found in store.stale()
        )
        self._misread: dict[tuple[str, str], list[str]] = {}
        for ref, found in store.misreadings:
            text = f"{ref}: {found.field}: {found.meaning}"
            self._misread.setdefault((ref.kind.replace("Staged", ""), ref.name), []).append(text)
        self._faults = tuple(
            f"Calico's fault {fault.id} does not show: {fault.what}"
            for fault in faults_of(self.options.calico_version, self.options.dataplane)
            if fault.casts_doubt
        )
        self._local: dict[str, list[HostEndpoint]] = {}
        for hep in store.host_endpoints:
            self._local.setdefault(hep.node, []).append(hep)
        self._wildcards: dict[str, Optional[HostEndpoint]] = {}
        self._own_settings = {
            str((item.get("metadata") or {}).get("name")) for item in store.felix_configurations
        } | (
            {WILDCARD}
            if any((item.get("spec") or {}).get("nodeSelector") for item in store.felix_configurations)
            else set()
        )
        self._pods = {address: pod for pod in store.workloads for address in pod.addresses}
        self._peers = frozenset(address for node in store.nodes.values() for address in node.addresses)
        self._settings: dict[Union[str, bool, None], Settings] = {}
        self._beyond: dict[frozenset[Address], Judge] = {}
        self._owned: dict[tuple[str, str], list[Ownership]] = {}

    def _compile(self, policies: Iterable[Policy], tiers: Mapping[str, Tier]) -> CompiledPolicies:
        version = version_of(self.options.calico_version)
        ranked = rank(policies, tiers, version)
        return CompiledPolicies(ranked, self._store, self._sets, self.options.dataplane, version)

    def learn(self, facts: NodeFacts) -> None:
        """Take in what a node itself says of its interfaces, before its flows are judged."""
        known = self._nodes.get(facts.name)
        labels = {**known.labels, **facts.labels} if known else facts.labels
        self._nodes[facts.name] = NodeFacts(facts.name, labels, facts.interfaces)

    def refuse_unknown_nodes(self, flows: Sequence[Flow]) -> None:
        """Reject a flow whose node is not among the known nodes.

        :raises BadInput: field ``flows[i].node``
        """
        known = self._nodes.keys() | self._local.keys()
        for index, flow in enumerate(flows):
            if known and flow.node not in known:
                some = ", ".join(sorted(known)[:5])
                raise BadInput(f"flows[{index}].node", flow.node, f"no such node; known are {some}")

    def verdict(self, flow: Flow) -> Verdict:
        """Judge one flow."""
        unknown = self._unknown_pods(flow)
        if unknown:
            return self._with_unknown_pods(unknown).verdict(flow)
        plain = self._judged(flow, self._program)
        if self.options.staged != "compare":
            return plain
        staged = plain if self._promoted is self._program else self._judged(flow, self._promoted)
        return replace(plain, staged=staged)

    def _unknown_pods(self, flow: Flow) -> frozenset[Address]:
        """Addresses beyond pods' interfaces of which no pod is known: any selector may stand for them."""
        if self.options.complete:
            return frozenset()
        prefixes = self.settings_of(flow.node).workload_prefixes
        ends = [(flow.interface, flow.destination if flow.direction == EGRESS else flow.source)]
        ends.append((flow.out_interface, flow.destination))
        return frozenset(
            address
            for interface, address in ends
            if interface
            and is_workload_interface(interface, prefixes)
            and address not in self._pods
            and not any(net.contains(address) for net in self._store.pod_nets)
        )

    def _with_unknown_pods(self, addresses: frozenset[Address]) -> Judge:
        if addresses not in self._beyond:
            nets = [*self._store.pod_nets, *map(host_net, sorted(addresses, key=str))]
            self._beyond[addresses] = Judge(replace(self._store, pod_nets=nets), self._nodes, self.options)
        return self._beyond[addresses]

    def untracks(self, node: str) -> bool:
        """Whether a doNotTrack policy governs a host endpoint of a node; on ``*`` Felix ignores them."""
        local = (hep for hep in self._local.get(node, ()) if hep.interface != WILDCARD)
        return any(self._program.view(hep).governs(UNTRACKED) for hep in local)

    # -- what gets the same verdicts ------------------------------------------------------------------

    def address_kind(self, address: Address) -> Optional[tuple[object, ...]]:
        """Addresses of one kind get the same verdicts from policies, staged and enforced.

        A pod is of a kind of its own. Nets of failsafes and profiles are the caller's to tell apart.

        :returns: None where rules look at more than nets and sets
        """
        now, then = self._program.address_kind(address), self._promoted.address_kind(address)
        if now is None or then is None:
            return None
        pod = address if address in self._pods else None
        return (address.version, now, then, address in self._peers, pod)

    def node_kind(self, node: str) -> object:
        """Nodes of one kind get the same verdicts for flows by interfaces of the same names."""
        local = self._local.get(node, ())
        alone = (
            any(not hep.interface for hep in local)
            or self._program.unprogrammable
            or self._promoted.unprogrammable
        )
        if alone:
            return node
        views = tuple(
            (hep.interface, id(self._program.view(hep)), id(self._promoted.view(hep)))
            for hep in sorted(local, key=_name)
        )
        return (id(self.settings_of(node)), views)

    # -- what is known of the node ---------------------------------------------------------------

    def settings_of(self, node: str) -> Settings:
        """What the node's Felix runs with. Nodes that no configuration tells apart share one answer."""
        special = f"node.{node}" in self._own_settings or WILDCARD in self._own_settings
        facts = self._nodes.get(node)
        runs_ipvs = self._runs_ipvs(node)
        key = node if special else runs_ipvs
        if key not in self._settings:
            found = settings_of(
                self._store.felix_configurations,
                node,
                facts.labels if facts else {},
                self.options.environment,
                self.options.calico_version,
                self._store.tunnels,
                runs_ipvs,
            )
            self._settings[key] = replace(found, lifeline=self.options.lifeline)
        return self._settings[key]

    def _runs_ipvs(self, node: str) -> Optional[bool]:
        """Whether kube-proxy runs in IPVS mode: as configured, or by the interface that it makes then."""
        if self.options.kube_proxy_mode:
            return self.options.kube_proxy_mode == "ipvs"
        facts = self._nodes.get(node)
        if facts is None or facts.interfaces is None:
            return None
        return True if "kube-ipvs0" in facts.interfaces else None

    def _owners_of(self, node: str, interface: str) -> list[Ownership]:
        key = (node, interface)
        if key not in self._owned:
            facts = self._nodes.get(node)
            self._owned[key] = possible_owners(
                self._local.get(node, ()),
                interface,
                facts.interfaces if facts else None,
                self.settings_of(node).workload_prefixes,
            )
        return self._owned[key]

    def _wildcard_of(self, node: str) -> Optional[HostEndpoint]:
        if node not in self._wildcards:
            heps = (hep for hep in self._local.get(node, ()) if hep.interface == WILDCARD)
            self._wildcards[node] = min(heps, key=_name, default=None)
        return self._wildcards[node]

    def _ways(self, flow: Flow, program: CompiledPolicies) -> Iterable[tuple[Flow, Owners, str]]:
        """Every way in which the flow's interfaces may be owned, with its condition."""
        wildcard = self._wildcard_of(flow.node)
        leaving = (
            self._owners_of(flow.node, flow.out_interface)
            if flow.direction == FORWARD
            else [Ownership("", None)]
        )
        for entry in self._owners_of(flow.node, flow.interface):
            for exit_ in leaving:
                heps = [hep for hep in (entry.owner, exit_.owner, wildcard) if hep]
                governed = frozenset(
                    (hep.name, kind) for hep in heps for kind in CLASSES if program.view(hep).governs(kind)
                )
                placed = flow
                if not flow.interface or (flow.direction == FORWARD and not flow.out_interface):
                    placed = replace(flow, interface=entry.interface, out_interface=exit_.interface)
                condition = " and ".join(part for part in (entry.condition, exit_.condition) if part)
                yield placed, Owners(entry.owner, exit_.owner, wildcard, governed, self._peers), condition

    # -- the verdict -----------------------------------------------------------------------------

    def _judged(self, flow: Flow, program: CompiledPolicies) -> Verdict:
        settings = self.settings_of(flow.node)
        answers = [
            (
                condition,
                self._with_answer(
                    program,
                    placed,
                    owners,
                    self._along(program, placed, self._steps(placed, owners, settings), settings),
                ),
            )
            for placed, owners, condition in self._ways(flow, program)
        ]
        verdict = answers[0][1]
        other = next((answer for answer in answers if answer[1].verdict != verdict.verdict), None)
        if other:
            assumptions = tuple(
                f"{condition}: then {answer.verdict}" for condition, answer in (answers[0], other)
            )
            return Verdict(UNDETERMINED, "unknown-interface", DecidedBy(), verdict.trace, assumptions)
        if flow.node in self._local and settings.problem:
            return _withheld(verdict, "unknown-configuration", (settings.problem,))
        if flow.node in self._local and self._stale:
            return _withheld(verdict, "unreadable-object", self._stale)
        if flow.node in self._local and self._faults:
            verdict = replace(verdict, assumptions=(*verdict.assumptions, *self._faults))
        verdict = self._with_misreadings(self._unless_ipvs(verdict, flow, settings))
        refused = self._refused_at(flow.node, program) if program.unprogrammable else ()
        if refused:
            return _withheld(
                verdict, "unprogrammable-rule", tuple(f"{text}: is corrected" for text in refused)
            )
        return verdict

    def _with_answer(
        self, program: CompiledPolicies, flow: Flow, owners: Owners, verdict: Verdict
    ) -> Verdict:
        """The verdict of a packet that untracked policy allows: its answers belong to no connection."""
        untracked = verdict.decided_by.stage == UNTRACKED and verdict.reason_code == "policy-allow"
        answered = flow.protocol in WITH_PORTS or (flow.protocol, flow.icmp_type) in _ICMP_ANSWERS
        local = flow.direction != FORWARD and flow.state == "new" and answered
        if not untracked or not local or verdict.verdict != ALLOW:
            return verdict
        settings = self.settings_of(flow.node)
        back = _answer_to(flow)
        answer = self._along(program, back, self._steps(back, owners, settings), settings)
        if answer.verdict == ALLOW:
            return verdict
        trace = (*verdict.trace, "the answer, which belongs to no connection:", *answer.trace)
        if answer.verdict == DENY:
            return Verdict(DENY, "answer-denied", answer.decided_by, trace, answer.assumptions)
        return replace(answer, trace=trace)

    def _unless_ipvs(self, verdict: Verdict, flow: Flow, settings: Settings) -> Verdict:
        """A deny of the NodePort range holds only where kube-proxy does not run in IPVS mode."""
        normal_ingress = flow.direction == INGRESS and verdict.decided_by.stage == NORMAL
        if verdict.verdict != DENY or not normal_ingress or settings.ipvs is not None:
            return verdict
        if self.options.dataplane == EBPF or not is_ipvs_forward(flow, settings):
            return verdict
        text = "kube-proxy does not run in IPVS mode, in which no normal policy is evaluated for this port"
        return replace(verdict, assumptions=(*verdict.assumptions, text))

    def _with_misreadings(self, verdict: Verdict) -> Verdict:
        """The verdict with what Felix does not read as it looks in the object that decided."""
        decided = verdict.decided_by
        texts = self._misread.get((decided.kind.replace("Staged", ""), decided.name))
        return replace(verdict, trace=(*verdict.trace, *texts)) if texts else verdict

    def _refused_at(self, node: str, program: CompiledPolicies) -> tuple[str, ...]:
        """The rules that the kernel's tools refuse and that Felix renders on this node."""
        endpoints = [(hep.labels, hep.profiles) for hep in self._local.get(node, ())]
        endpoints += [(pod.labels, pod.profiles) for pod in self._store.workloads if pod.node == node]
        labels = [inherited_labels(own, profiles, self._store.profiles) for own, profiles in endpoints]
        return tuple(
            text
            for policy, text in program.unprogrammable
            if any(policy.selector.matches(one) for one in labels)
        )

    def _steps(self, flow: Flow, owners: Owners, settings: Settings) -> Iterable[Union[Stage, Settled]]:
        """The places on the way, with the policy of pods put where pods are asked."""
        for step in steps(flow, owners, settings, self.options.dataplane):
            yield self._of_pod(step) if isinstance(step, PodStage) else step

    def _of_pod(self, step: PodStage) -> Union[Stage, Settled]:
        pod = self._pods.get(step.address)
        others = self._store.kubernetes_policies
        if pod is None or pod.unknown_labels or {pod.ref.namespace, ALL_NAMESPACES} & others:
            return step.unknown
        endpoint = HostEndpoint(
            replace(pod.ref, name=f"{pod.ref.namespace}/{pod.ref.name}", namespace=""),
            pod.node,
            "",
            pod.addresses,
            pod.labels,
            pod.profiles,
        )
        return Stage(NORMAL, step.direction, endpoint, step.place)

    def _along(
        self, program: CompiledPolicies, flow: Flow, way: Iterable[Union[Stage, Settled]], settings: Settings
    ) -> Verdict:
        branches = [_Branch()]
        ended: list[_Branch] = []
        for step in way:
            going: dict[object, _Branch] = {}
            for branch in branches:
                for outcome in _outcomes(program, step, branch, flow, settings):
                    grown = _grown(branch, outcome, step)
                    if outcome.verdict == DENY:
                        ended.append(grown)
                    else:
                        going.setdefault(
                            (grown.accepted, grown.last and grown.last.reason, grown.pending), grown
                        )
            branches = list(going.values())
        return _summary([*ended, *branches])


def _outcomes(
    program: CompiledPolicies, step: Union[Stage, Settled], branch: _Branch, flow: Flow, settings: Settings
) -> Sequence[Outcome]:
    if branch.accepted and step.skipped_once_accepted:
        return (Outcome(CONTINUE, "", DecidedBy(), (f"{step.place}: already accepted",)),)
    if isinstance(step, Settled):
        return (_settled(step, flow),)
    return program.judge(step, flow, settings)


def _settled(step: Settled, flow: Flow) -> Outcome:
    decided, trace = DecidedBy(step.place), (f"{step.place}: {step.text}",)
    if step.verdict in ("pass", UNDETERMINED):
        if flow.state in ("established", "related"):
            return Outcome(ALLOW, "established", decided, (f"{step.place}: known connection",))
        return Outcome(CONTINUE, step.reason, decided, trace, notes=(step.assumption,))
    notes = (step.assumption,) if step.assumption else ()
    return Outcome(step.verdict, step.reason, decided, trace, notes=notes)


def _answer_to(flow: Flow) -> Flow:
    """What comes back for a packet that is not tracked; over UDP the kernel takes it for a new connection."""
    source, port = flow.before_translation()
    kind = _ICMP_ANSWERS.get((flow.protocol, flow.icmp_type))
    back = _ANY_EPHEMERAL if flow.source_port is None else flow.source_port
    return Flow(
        flow.node,
        INGRESS if flow.direction == EGRESS else EGRESS,
        flow.protocol,
        source,
        flow.source,
        flow.interface,
        source_port=port,
        destination_port=back if kind is None else None,
        icmp_type=kind,
        icmp_code=None if kind is None else 0,
        state="new" if flow.protocol == PROTOCOLS["udp"] else "invalid",
    )


def _grown(branch: _Branch, outcome: Outcome, step: Union[Stage, Settled]) -> _Branch:
    pending, notes = branch.pending, branch.notes
    if (
        isinstance(step, Settled)
        and step.verdict in ("pass", UNDETERMINED)
        and outcome.verdict == CONTINUE
        and outcome.reason
    ):
        pending = (*pending, _Undecided(outcome.reason, outcome.notes))
    else:
        notes = (*notes, *(note for note in outcome.notes if note not in notes))
    if outcome.reason != "forward-undecided":
        # Whatever the last forward chain comes to is what counts there.
        notes = tuple(note for note in notes if note != KERNEL_NOTE) if outcome.reason else notes
    return _Branch(
        branch.accepted or outcome.accepts,
        _weightier(branch.last, outcome),
        (*branch.trace, *outcome.trace),
        (*branch.conditions, outcome.assumption) if outcome.assumption else branch.conditions,
        notes,
        pending,
    )


def _weightier(before: Optional[Outcome], outcome: Outcome) -> Optional[Outcome]:
    """Which of two outcomes explains the verdict: the later one, unless it has nothing to say."""
    if before is None or outcome.verdict == DENY:
        return outcome
    if not outcome.reason or outcome.reason == "pod-policy":
        return before
    quiet = ("forward-default", "no-host-endpoint")
    return (
        before
        if outcome.reason in quiet and before.reason in ("policy-allow", "profile-allow", "established")
        else outcome
    )


def _summary(branches: Sequence[_Branch]) -> Verdict:
    answers = [(_answer(branch), branch) for branch in branches]
    answer, branch = answers[-1]
    last = branch.last or Outcome(ALLOW, "no-host-endpoint", DecidedBy())
    if all(other == answer for other, _branch in answers):
        if answer == UNDETERMINED:
            assumed = (*(note for stage in branch.pending for note in stage.notes), *branch.notes)
            return Verdict(UNDETERMINED, branch.pending[-1].reason, last.decided_by, branch.trace, assumed)
        sure = next((found for _answer_, found in answers if not found.conditions), branch)
        last = sure.last or last
        return Verdict(answer, last.reason, last.decided_by, sure.trace, sure.notes)
    doubtful = next(found for _other, found in answers if found.conditions)
    assumptions = tuple(
        f"{' and '.join(found.conditions)}: then {other}" if found.conditions else f"otherwise: {other}"
        for other, found in answers
    )
    decided = doubtful.last.decided_by if doubtful.last else DecidedBy()
    return Verdict(UNDETERMINED, "unknown-match", decided, doubtful.trace, assumptions)


def _answer(branch: _Branch) -> str:
    if branch.last and branch.last.verdict == DENY:
        return DENY
    return UNDETERMINED if branch.pending else ALLOW


def _withheld(verdict: Verdict, reason: str, assumptions: tuple[str, ...]) -> Verdict:
    then = f"once that is so: {verdict.verdict} ({verdict.reason_code})"
    return Verdict(
        UNDETERMINED,
        reason,
        verdict.decided_by,
        verdict.trace,
        (*assumptions, then),
        withheld=verdict.withheld or verdict.verdict,
    )


def _name(hep: HostEndpoint) -> bytes:
    return hep.name.encode()


def _known_nodes(store: Store, given: Mapping[str, NodeFacts]) -> dict[str, NodeFacts]:
    """What the objects and the user say of nodes; the user adds labels and gives the interfaces."""
    nodes = {name: NodeFacts(name, node.labels) for name, node in store.nodes.items()}
    for name, facts in given.items():
        labels = {**nodes[name].labels, **facts.labels} if name in nodes else facts.labels
        nodes[name] = NodeFacts(name, labels, facts.interfaces)
    return nodes
