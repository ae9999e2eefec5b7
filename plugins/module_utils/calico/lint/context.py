# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all lint rules look at: the objects, the host endpoints in groups, and the compiled policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..finding import ERROR, INFO, WARNING, Finding
from ..selector import Selector
from ..stored.model import WILDCARD, HostEndpoint, Policy, Reference, Rule, Store
from ..stored.reader import inherited_labels
from ..verdict.address_sets import AddressSets
from ..verdict.interface_owner import NodeFacts
from ..verdict.judge import Options
from ..verdict.packet_path import INGRESS
from ..verdict.program import CompiledPolicies, directions
from ..verdict.tier_order import promoted, rank
from ..version import version_of

SEVERITIES = (ERROR, WARNING, INFO)


def trap(rule: str, severity: str, object: str, field: str, message: str, remedy: str) -> Finding:
    """A finding of a lint rule.

    :param object: ``Kind name``
    :param field: a path in the object, or empty
    """
    return Finding(rule, severity, message, remedy, object=object, field=field)


@dataclass(frozen=True)
class EndpointGroup:
    """Host endpoints that policy cannot tell apart; ``example`` stands for all of ``members``.

    ``imagined``: there is no such host endpoint yet; it is made up for a policy's selector, so that nothing
    about it is more than worth knowing.
    """

    example: HostEndpoint
    labels: Mapping[str, str]
    members: tuple[HostEndpoint, ...]
    imagined: bool = False

    def __str__(self) -> str:
        if self.imagined:
            return "a host endpoint that it would select (assumed: the input has none)"
        others = len(self.members) - 1
        return f"host endpoint {self.example.name}" + (f" and {others} more" if others else "")


# Labels that Calico puts on pods and never on host endpoints.
POD_LABELS = (
    "projectcalico.org/namespace",
    "projectcalico.org/orchestrator",
    "projectcalico.org/serviceaccount",
)
_POD_PREFIXES = ("pcns.", "pcsa.")
POD_LABEL_BEGINNINGS = (*POD_LABELS, *_POD_PREFIXES)


class LintContext:
    """The objects of one lint run.

    ``live``: they are all that a cluster holds, so that what is not among them does not exist.
    """

    def __init__(
        self,
        store: Store,
        options: Options,
        nodes: Mapping[str, NodeFacts],
        ssh_ports: tuple[int, ...],
        api_ports: tuple[int, ...],
        *,
        live: bool = False,
    ) -> None:
        self.live = live
        self.store = store
        self.options = options
        self.nodes = nodes
        self.ssh_ports = ssh_ports
        self.api_ports = api_ports
        self.version = version_of(options.calico_version)
        self.sets = AddressSets(store, options.complete)
        # Namespaced policies never select a host.
        self.policies = [policy for policy in store.policies if not policy.ref.namespace]
        self.intended = [
            policy for policy in promoted(store.policies, store.staged_deletions) if not policy.ref.namespace
        ]
        self._staged = {policy.ref.name for policy in self.policies if policy.staged}
        ranked = rank(self.intended, store.tiers, self.version)
        self.tiers = {tier.name: tier for tier in ranked}
        self.program = CompiledPolicies(ranked, store, self.sets, options.dataplane, self.version)
        self.groups = self._all_groups()
        self._selected: dict[Reference, list[EndpointGroup]] = {}

    def _all_groups(self) -> list[EndpointGroup]:
        if self.store.host_endpoints:
            return self._groups_of(self.store.host_endpoints)
        return [] if self.live else self._imagined_groups()

    def _groups_of(self, heps: Sequence[HostEndpoint]) -> list[EndpointGroup]:
        groups: dict[object, list[HostEndpoint]] = {}
        for hep in heps:
            interface = hep.interface if hep.interface == WILDCARD else "named"
            groups.setdefault((id(self.program.view(hep)), interface), []).append(hep)
        return [
            EndpointGroup(
                members[0],
                inherited_labels(members[0].labels, members[0].profiles, self.store.profiles),
                tuple(members),
            )
            for members in groups.values()
        ]

    def _imagined_groups(self) -> list[EndpointGroup]:
        """Where there is no host endpoint yet: for each selector one that it finds, with its labels alone."""
        groups = []
        selectors = {str(policy.selector): policy.selector for policy in self.intended}
        for index, (_text, selector) in enumerate(sorted(selectors.items())):
            labels = self._host_example(selector)
            if not selector.matches(labels):
                continue
            ref = Reference("HostEndpoint", f"imagined-{index}")
            hep = HostEndpoint(ref, "", WILDCARD, (), labels, ("projectcalico-default-allow",))
            groups.append(EndpointGroup(hep, labels, (hep,), True))
        return groups

    def selected(self, policy: Policy) -> list[EndpointGroup]:
        """The groups of host endpoints that a policy selects; none where there are no host endpoints."""
        if policy.ref not in self._selected:
            self._selected[policy.ref] = [
                group for group in self.groups if not group.imagined and policy.selector.matches(group.labels)
            ]
        return self._selected[policy.ref]

    def has_endpoints(self) -> bool:
        return bool(self.store.host_endpoints)

    def judges_hosts(self, policy: Policy) -> bool:
        """Whether a policy reaches hosts, as far as is known."""
        if policy.do_not_track or policy.pre_dnat or policy.apply_on_forward:
            return True
        if self.has_endpoints():
            return bool(self.selected(policy))
        return self.can_select_hosts(policy)

    def can_select_hosts(self, policy: Policy) -> bool:
        """Whether some host endpoint could be selected: one without the labels that only pods carry."""
        return policy.selector.matches(self._host_example(policy.selector))

    @staticmethod
    def _host_example(selector: Selector) -> dict[str, str]:
        return {name: value for name, value in (selector.example() or {}).items() if not is_pod_label(name)}

    def assumed(self, policy: Policy) -> str:
        """What a finding that holds for hosts alone adds where no host endpoint shows that any is meant."""
        special = policy.do_not_track or policy.pre_dnat or policy.apply_on_forward
        return (
            ""
            if special or self.has_endpoints() or self.live
            else " (assumed: a host endpoint that it selects)"
        )

    def severity(self, group: EndpointGroup, severity: str) -> str:
        """How grave a finding about a group is: nothing about one that does not exist is more than info."""
        return INFO if group.imagined else severity

    def name_of(self, kind: str, name: str) -> str:
        """How a finding names an object that decided once all staged policies are enforced."""
        if kind == "GlobalNetworkPolicy" and name in self._staged:
            return f"StagedGlobalNetworkPolicy {name}"
        return f"{kind} {name}"

    def uses_ipv6(self) -> bool:
        """Whether any node is known to have an IPv6 address of its own, loopback and link-local aside."""
        addresses = [address for hep in self.store.host_endpoints for address in hep.expected_ips]
        addresses += [address for node in self.store.nodes.values() for address in node.addresses]
        addresses += [
            address
            for node in self.nodes.values()
            for listed in (node.interfaces or {}).values()
            for address in listed
        ]
        return any(
            address.version == 6 and address.number != 1 and address.number >> 118 != 0x3FA
            for address in addresses
        )


def in_yaml(value: object) -> str:
    """A net or a range of ports as one writes it in a list: in quotes where YAML would read a colon."""
    text = str(value)
    return f"'{text}'" if ":" in text else text


def is_pod_label(name: str) -> bool:
    """Whether only pods carry a label."""
    return name in POD_LABELS or name.startswith(_POD_PREFIXES)


def rules_of(policy: Policy) -> list[tuple[str, Rule, str]]:
    """Every rule of a policy that is asked: direction, rule and field."""
    found: list[tuple[str, Rule, str]] = []
    for direction in directions(policy):
        rules = policy.ingress if direction == INGRESS else policy.egress
        found.extend((direction, rule, f"spec.{direction}[{rule.index}]") for rule in rules)
    return found
