# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lint rules about failsafe ports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..bad_input import BadInput
from ..felix import configuration as felix
from ..finding import ERROR, INFO, WARNING, Finding
from ..selector import parse
from ..stored.model import Policy, Rule
from ..verdict.packet_path import INGRESS, NORMAL, PRE_DNAT, UNTRACKED, Failsafe, Settings, settings_of
from ..verdict.program import places
from ..verdict.rule_match import applies_to_family
from ..verdict.vital_flows import DNS_PORT, TCP, TYPHA_PORT, UDP
from .context import LintContext, rules_of, trap

RULES = {
    "failsafe-entry": "An entry that Felix cannot read: it does not start with it, or keeps old rules.",
    "felix-unused": "A FelixConfiguration that no Felix reads, by its name.",
    "failsafe-drops-default": "A list of failsafes that leaves out ports of the built-in one.",
    "failsafe-lacks-port": "A port that keeps a node reachable is not among the failsafes.",
    "failsafe-shadows-deny": "A deny for a port that a failsafe opens before policy is evaluated.",
}


def check(context: LintContext) -> Iterator[Finding]:
    """All findings of this file's rules."""
    for configuration in context.store.felix_configurations:
        yield from _unused(context, configuration)
        yield from _entries(configuration)
        yield from _dropped_defaults(configuration, context.options.calico_version)
    if not (context.has_endpoints() or context.policies):
        return
    seen: set[Settings] = set()
    for node, labels in _nodes(context):
        settings = settings_of(
            context.store.felix_configurations,
            node,
            labels,
            context.options.environment,
            context.options.calico_version,
        )
        if settings in seen or settings.problem:
            continue
        seen.add(settings)
        sources = _sources(context, node, labels)
        yield from _lacking(context, settings, sources)
        yield from _shadowing(context, settings, sources)


def _nodes(context: LintContext) -> list[tuple[str, Mapping[str, str]]]:
    """Every node that may have a configuration of its own; one without a name where none is known."""
    known = {name: node.labels for name, node in context.store.nodes.items()}
    known.update({name: facts.labels for name, facts in context.nodes.items()})
    for hep in context.store.host_endpoints:
        known.setdefault(hep.node, {})
    return sorted(known.items()) or [("", {})]


def _sources(context: LintContext, node: str, labels: Mapping[str, str]) -> dict[str, str]:
    """By field of a list, what set it: an object, an environment variable, or the object that could."""
    effective = felix.effective(
        context.store.felix_configurations,
        node,
        labels,
        context.options.environment,
        context.options.calico_version,
    )
    found = {felix.INBOUND_FIELD: effective.inbound_source, felix.OUTBOUND_FIELD: effective.outbound_source}
    return {
        field: "FelixConfiguration default" if source == felix.BUILT_IN else source
        for field, source in found.items()
    }


def _unused(context: LintContext, configuration: Mapping[str, Any]) -> Iterator[Finding]:
    """One that has neither a name that Felix looks for nor a selector of nodes (Calico 3.32)."""
    name = configuration["metadata"]["name"]
    node = name[len("node.") :] if name.startswith("node.") else ""
    selector = (configuration.get("spec") or {}).get("nodeSelector")
    if isinstance(selector, str) and selector and not node and name != "default":
        try:
            parse(selector)
        except BadInput as bad:
            yield trap(
                "felix-unused",
                WARNING,
                f"FelixConfiguration {name}",
                "spec.nodeSelector",
                f"{selector!r}: {bad.remedy}: every Felix leaves this configuration out",
                "write a selector on the labels of nodes, such as has(edge)",
            )
        return
    if name == "default":
        return
    if node and not (context.live and node not in context.store.nodes):
        return
    yield trap(
        "felix-unused",
        WARNING,
        f"FelixConfiguration {name}",
        "metadata.name",
        f"{name!r}: there is no node {node}" if node else f"{name!r}: no Felix looks for this name",
        "name it default for all nodes, or node. and the node's name for one",
    )


def _entries(configuration: Mapping[str, Any]) -> Iterator[Finding]:
    name = f"FelixConfiguration {configuration['metadata']['name']}"
    spec = configuration.get("spec") or {}
    for field in (felix.INBOUND_FIELD, felix.OUTBOUND_FIELD):
        entries = spec.get(field)
        if entries is None:
            continue
        if not isinstance(entries, list):
            yield _no_list(name, field, entries)
            continue
        for index, entry in enumerate(entries):
            try:
                felix.read_entries([entry], field)
            except BadInput as bad:
                yield trap(
                    "failsafe-entry",
                    ERROR,
                    name,
                    f"spec.{field}[{index}]",
                    f"{bad.value!r}: {bad.remedy}",
                    _entry_remedy(bad.field.rpartition(".")[2]),
                )


def _no_list(name: str, field: str, entries: object) -> Finding:
    return trap(
        "failsafe-entry",
        ERROR,
        name,
        f"spec.{field}",
        f"{entries!r} is no list, and the API refuses it; none is a word of the environment variable only",
        felix.no_list_remedy(field),
    )


def _entry_remedy(key: str) -> str:
    if key == "protocol":
        return "write protocol: TCP or UDP; there are no failsafes of another protocol"
    if key == "port":
        return "write port: a number from 1 to 65535"
    if key == "net":
        return "write net: a net such as 192.0.2.0/24 or 2001:db8::/32, or leave it out for everybody"
    return "write {protocol: TCP or UDP, port: 1-65535} and, if you like, net: a CIDR"


def _dropped_defaults(configuration: Mapping[str, Any], version: str) -> Iterator[Finding]:
    """A list replaces the built-in one: what it leaves out is no failsafe any more."""
    name = f"FelixConfiguration {configuration['metadata']['name']}"
    spec = configuration.get("spec") or {}
    for field in (felix.INBOUND_FIELD, felix.OUTBOUND_FIELD):
        if not isinstance(spec.get(field), list):
            continue
        try:
            dropped = felix.dropped_defaults(field, felix.read_entries(spec[field], field), version)
        except BadInput:
            continue  # said by failsafe-entry
        if not dropped:
            continue
        yield trap(
            "failsafe-drops-default",
            WARNING,
            name,
            f"spec.{field}",
            f"the list replaces the built-in one and leaves out {felix.described(dropped)}: only policy "
            "opens these",
            f"add {', '.join(map(str, dropped))}, except what your nodes do not need",
        )


def _lacking(context: LintContext, settings: Settings, sources: Mapping[str, str]) -> Iterator[Finding]:
    api = sorted(
        {member.port for member in context.store.services.get("default/kubernetes", ())}
        | set(context.api_ports)
    )
    typha = any(name.endswith("/calico-typha") for name in context.store.services)
    inbound = [(TCP, port, "SSH") for port in context.ssh_ports]
    outbound = [(TCP, port, "the API server") for port in api] + [(UDP, DNS_PORT, "DNS")]
    if typha:
        outbound.append((TCP, TYPHA_PORT, "Typha"))
        inbound.append((TCP, TYPHA_PORT, "Typha"))
    for wanted, entries, field in (
        (inbound, settings.inbound, felix.INBOUND_FIELD),
        (outbound, settings.outbound, felix.OUTBOUND_FIELD),
    ):
        for protocol, port, what in wanted:
            if any(entry.protocol == protocol and entry.port == port for entry in entries):
                continue
            text = str(Failsafe(protocol, port, None))
            yield trap(
                "failsafe-lacks-port",
                WARNING,
                _object_of(sources[field]),
                f"spec.{field}",
                f"{text} ({what}) is not in the list: only policy keeps it open",
                f"add {text} in {sources[field]}, or make sure that a policy allows it before any deny",
            )


def _object_of(source: str) -> str:
    return source if source.startswith("FelixConfiguration") else "FelixConfiguration default"


def _shadowing(context: LintContext, settings: Settings, sources: Mapping[str, str]) -> Iterator[Finding]:
    for policy in context.policies:
        if not context.judges_hosts(policy) or not _is_judged_with_failsafes(policy):
            continue
        for direction, rule, place in rules_of(policy):
            inbound = direction == INGRESS
            entries = settings.inbound if inbound else settings.outbound
            opened = [
                entry for entry in entries if _denies_port(rule, entry) and _meet(rule, entry, direction)
            ]
            if opened:
                field = felix.INBOUND_FIELD if inbound else felix.OUTBOUND_FIELD
                yield trap(
                    "failsafe-shadows-deny",
                    _gravity(context, policy, rule, opened),
                    str(policy.ref),
                    place,
                    f"denies what failsafe {', '.join(map(str, opened))} lets through before any policy is "
                    f"evaluated: it stays open to {_whom(opened)}{context.assumed(policy)}",
                    _shadow_remedy(field, opened, entries, sources[field]),
                )


def _gravity(context: LintContext, policy: Policy, rule: Rule, opened: Sequence[Failsafe]) -> str:
    """Grave where the rule names just the port. What is kept for some nets only was kept on purpose."""
    exactly = any((entry.port, entry.port) in rule.destination.ports.ranges for entry in opened)
    on_purpose = all(entry.net is not None and entry.net.prefix for entry in opened)
    return WARNING if exactly and not on_purpose and not context.assumed(policy) else INFO


def _meet(rule: Rule, entry: Failsafe, direction: str) -> bool:
    """Whether a failsafe lets through anything of what a rule denies, by the nets of the other end."""
    if entry.net is None:
        return True
    side = rule.source if direction == INGRESS else rule.destination
    if not applies_to_family(rule, entry.net.version) or any(net.covers(entry.net) for net in side.not_nets):
        return False
    nets = [net for net in side.nets if net.version == entry.net.version]
    return not nets or any(net.covers(entry.net) or entry.net.covers(net) for net in nets)


def _whom(opened: Sequence[Failsafe]) -> str:
    nets = list(dict.fromkeys(entry.net for entry in opened))
    return "everybody" if None in nets else ", ".join(map(str, nets))


def _shadow_remedy(field: str, opened: Sequence[Failsafe], entries: Sequence[Failsafe], source: str) -> str:
    kept = ", ".join(str(entry) for entry in entries if entry not in opened)
    first = opened[0]
    name = "tcp" if first.protocol == TCP else "udp"
    without = f"{kept or 'no entry'} and without {', '.join(map(str, opened))}"
    if not source.startswith("FelixConfiguration"):
        left = ",".join(_in_environment(entry) for entry in entries if entry not in opened)
        return f"{source} decides, whatever FelixConfiguration says: write there {left or 'none'}"
    return (
        f"in {source} write {field} with {without}; or keep it for some only: {{protocol: {name}, "
        f"port: {first.port}, net: 192.0.2.0/24}}"
    )


def _in_environment(entry: Failsafe) -> str:
    """An entry as Felix's environment variables have it."""
    protocol = "tcp" if entry.protocol == TCP else "udp"
    if entry.net is None:
        return f"{protocol}:{entry.port}"
    net = f"[{entry.net}]" if entry.net.version == 6 else str(entry.net)
    return f"{protocol}:{net}:{entry.port}"


def _is_judged_with_failsafes(policy: Policy) -> bool:
    return any(policy_class in (NORMAL, PRE_DNAT, UNTRACKED) for policy_class, _direction in places(policy))


def _denies_port(rule: Rule, entry: Failsafe) -> bool:
    """Whether a deny names the port; a deny of everything is not surprising."""
    ranges: Sequence[tuple[int, int]] = rule.destination.ports.ranges
    named = any(first <= entry.port <= last for first, last in ranges)
    return rule.action == "deny" and rule.protocol == entry.protocol and named
