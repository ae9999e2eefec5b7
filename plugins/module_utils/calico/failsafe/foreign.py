# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules of other programs that a packet for a failsafe port meets, whatever Calico says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Optional

from ..felix.chains import hooked
from ..felix.configuration import FailsafePort, Failsafes, built_in
from .ruleset import NFTABLES, BaseChain, Chain, DumpedRule, Ruleset, Table

DROP_MARK = 0x40000
"""The bit with which Calico's policies mark what they drop."""

# Chains that local packets pass, by the direction of the failsafe list; in filter only what stands before
# Calico's jump counts, because a failsafe's ACCEPT ends that table.
IPTABLES_WAY = (
    ("raw", "PREROUTING", "in"),
    ("mangle", "PREROUTING", "in"),
    ("mangle", "INPUT", "in"),
    ("filter", "INPUT", "in"),
    ("security", "INPUT", "in"),
    ("raw", "OUTPUT", "out"),
    ("mangle", "OUTPUT", "out"),
    ("filter", "OUTPUT", "out"),
    ("security", "OUTPUT", "out"),
    ("mangle", "POSTROUTING", "out"),
)
NFTABLES_WAY = {
    "ingress": "in",
    "prerouting": "in",
    "input": "in",
    "output": "out",
    "postrouting": "out",
    "egress": "out",
}

Found = tuple[str, str, str, str, str]
"""Table, chain, severity, id, message."""


def foreign_findings(
    active: Optional[Ruleset], others: Sequence[Ruleset], failsafes: Failsafes
) -> Iterator[Found]:
    """What other programs do to packets on the way to failsafe ports.

    :param active: the ruleset that holds Calico's chains; None in eBPF mode
    :param others: the other rulesets of the same family
    """
    rulesets = [active, *others] if active else others
    if active is None:
        pass
    elif active.dialect == NFTABLES:
        with_iptables = any(other.dialect != NFTABLES for other in others)
        yield from _base_chains(active.hooked, active.tables, failsafes, with_iptables)
    else:
        yield from _built_in(active, failsafes, before_calico=True)
        yield from _bypasses(active)
    for other in others:
        if other.dialect == NFTABLES:
            yield from _base_chains(other.hooked, other.tables, failsafes, without_iptables=True)
        else:
            yield from _built_in(other, failsafes, before_calico=False)
    for text in (text for ruleset in rulesets for text in ruleset.set_marks):
        yield (
            "", "", "warning", "mark.collision",
            f"another program sets the mark bit by which Calico's policies drop ({DROP_MARK:#x}): {text}",
        )  # fmt: skip


def _built_in(ruleset: Ruleset, failsafes: Failsafes, before_calico: bool) -> Iterator[Found]:
    for table_name, name, direction in IPTABLES_WAY:
        table = ruleset.tables.get(table_name)
        chain = table.chains.get(name) if table else None
        if table is None or chain is None:
            continue
        rules = _foreign_rules(chain, name, until_calico=before_calico and table_name == "filter")
        ports = _ports(failsafes, direction)
        yield from _judge(rules, table, table_name, name, ports)
        if before_calico and table_name == "filter" and any(_accepts_all(rule, table) for rule in rules):
            yield (
                table_name, name, "warning", "foreign.accept",
                f"another program accepts everything in {table_name}/{name} before Calico's jump: no host "
                "policy is in force there. Remove the rule, or set Felix's chainInsertMode to Insert",
            )  # fmt: skip
        ends_here = not before_calico or table_name != "filter"
        if chain.policy == "DROP" and ends_here:
            severity = "error" if not rules else "warning"
            yield (
                table_name, name, severity, "foreign.policy",
                f"the policy of {table_name}/{name} is DROP: what other programs do not accept is lost",
            )  # fmt: skip


def _accepts_all(rule: DumpedRule, table: Table) -> bool:
    return _accepts(rule, table) and not rule.match


def _accepts(rule: DumpedRule, table: Table) -> bool:
    """Whether a rule, or the chain that it leads to, accepts whatever it matches."""
    led_to = table.foreign.get(rule.target) if rule.action in ("jump", "goto") else None
    return rule.action == "accept" or bool(led_to and led_to.accepts_all)


# Where Calico's jump stands in the kernel's chains, and what of its policy an accept before it takes away.
_JUMPS = (
    ("raw", "PREROUTING", "untracked policy"),
    ("raw", "OUTPUT", "untracked policy"),
    ("mangle", "PREROUTING", "preDNAT policy"),
    ("filter", "INPUT", "host policy"),
    ("filter", "FORWARD", "applyOnForward policy"),
    ("filter", "OUTPUT", "host policy"),
)


def _bypasses(ruleset: Ruleset) -> Iterator[Found]:
    """Accepts of whole kinds of packets before a jump of Calico's; those of filter's everything aside."""
    for table_name, name, policy in _JUMPS:
        table = ruleset.tables.get(table_name)
        chain = table.chains.get(name) if table else None
        if table is None or chain is None or all(rule.target != hooked(name) for rule in chain.rules):
            continue
        for rule in _foreign_rules(chain, name, until_calico=True):
            said_already = table_name == "filter" and name != "FORWARD" and not rule.match
            if said_already or not _accepts(rule, table) or not all(map(_is_wide, rule.match)):
                continue
            yield (
                table_name, name, "warning", "foreign.bypass",
                f"{str(rule)[:120]} of another program accepts in {table_name}/{name} before Calico's jump: "
                f"{policy} is not in force for what it matches. Remove the rule, narrow it, or set Felix's "
                "chainInsertMode to Insert",
            )  # fmt: skip


def _is_wide(condition: tuple[str, str]) -> bool:
    """Whether most packets of strangers meet a condition: an interface, new connections, a protocol."""
    kind, value = condition
    if kind in ("iif", "oif"):
        return value not in ("lo", "lo+")
    if kind == "ctstate":
        return "NEW" in value.split(",")
    return (kind, value) in (("proto", "tcp"), ("proto", "udp")) or value in ("0.0.0.0/0", "::/0")


def _foreign_rules(chain: Chain, name: str, until_calico: bool) -> list[DumpedRule]:
    calico = hooked(name)
    if until_calico:
        at = next(
            (index for index, rule in enumerate(chain.rules) if rule.target == calico), len(chain.rules)
        )
        return list(chain.rules[:at])
    return [rule for rule in chain.rules if rule.target != calico and not _of_bpf_mode(rule)]


def _of_bpf_mode(rule: DumpedRule) -> bool:
    """Felix's own rules in the kernel's chains, in eBPF mode: signed, and each with a condition on Calico's
    marks that no packet meets which its programs let pass."""
    return bool(rule.hash) and any(kind.lstrip("!") == "mark" for kind, _value in rule.match)


def _base_chains(
    chains: Sequence[BaseChain],
    tables: dict[str, Table],
    failsafes: Failsafes,
    without_iptables: bool,
) -> Iterator[Found]:
    foreign = tables.get("") or Table()
    for chain in chains:
        direction = NFTABLES_WAY.get(chain.hook)
        if direction is None or (without_iptables and chain.of_iptables):
            continue
        ports = _ports(failsafes, direction)
        yield from _judge(chain.rules, foreign, "", chain.name, ports)
        if chain.policy == "drop":
            severity = "error" if not chain.rules else "warning"
            yield (
                "", chain.name, severity, "foreign.policy",
                f"the policy of {chain.name} is drop: what its program does not accept is lost",
            )  # fmt: skip


def _judge(
    rules: Sequence[DumpedRule],
    table: Table,
    table_name: str,
    name: str,
    ports: Sequence[FailsafePort],
) -> Iterator[Found]:
    if not rules:
        return
    listed = "; ".join(str(rule)[:60] for rule in rules[:5]) + ("; ..." if len(rules) > 5 else "")
    yield table_name, name, "info", "foreign.before", f"{len(rules)} rules of other programs: {listed}"
    spared = False
    for rule in rules:
        if rule.action in ("drop", "reject"):
            reach = _reach(rule, ports)
            if reach:
                severity = "error" if reach == "all" and not spared else "warning"
                yield (
                    table_name,
                    name,
                    severity,
                    "foreign.drop",
                    f"{str(rule)[:120]} drops before a failsafe is met",
                )
        elif rule.action in ("jump", "goto"):
            drops = _drops(table, rule.target)
            if drops:
                certain = drops == "all" and _reach(rule, ports) == "all" and not spared
                yield (
                    table_name, name, "error" if certain else "warning", "foreign.drop",
                    f"{rule.target} of another program {'drops everything' if certain else 'may drop'} "
                    "before a failsafe is met",
                )  # fmt: skip
                if certain:
                    return
            spared |= _may_accept(table, rule.target)
        elif rule.action == "accept":
            if not rule.match:
                return
            spared |= bool(_reach(rule, ports))


def _ports(failsafes: Failsafes, direction: str) -> tuple[FailsafePort, ...]:
    """What must not be dropped; where no failsafe is configured, what Felix would keep open."""
    if direction == "in":
        return failsafes.inbound or built_in().inbound
    return failsafes.outbound or built_in().outbound


def _reach(rule: DumpedRule, ports: Sequence[FailsafePort]) -> str:
    """``all`` where the rule meets new connections to a failsafe port from everybody, ``some``, or empty."""
    reach = "all"
    said = dict(rule.match)
    if not concerns_new_connections(rule):
        return ""
    protocol = said.get("proto")
    if protocol is not None and not any(entry.protocol == protocol for entry in ports):
        return ""
    if "dports" in said and not any(
        _in_ports(entry.port, said["dports"]) and protocol in (None, entry.protocol) for entry in ports
    ):
        return ""
    for kind, value in rule.match:
        if kind in ("proto", "dports") or (kind, value) == ("ctstate", "NEW"):
            continue
        if kind in ("iif", "oif") and value not in ("lo", "lo+"):
            continue
        reach = "some"
    return reach


def _in_ports(port: int, listed: str) -> bool:
    for part in listed.split(","):
        first, _separator, last = part.partition(":")
        if first.isdigit() and int(first) <= port <= int(last if last.isdigit() else first):
            return True
    return False


def concerns_new_connections(rule: DumpedRule) -> bool:
    """Whether a rule that drops may meet a connection from elsewhere to a failsafe port."""
    if dict(rule.match).get("ctstate") in _NOT_NEW:
        return False
    return not any(
        kind in ("saddr", "daddr") and value.startswith(("127.", "::1/")) for kind, value in rule.match
    )


_NOT_NEW = ("INVALID", "RELATED,ESTABLISHED", "ESTABLISHED", "RELATED")


def _may_accept(table: Table, chain: str) -> bool:
    return any(name not in table.foreign or table.foreign[name].accepts for name in _reachable(table, chain))


def _reachable(table: Table, chain: str) -> set[str]:
    """A foreign chain and those that it leads to."""
    found: set[str] = set()
    waiting = [chain]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            summary = table.foreign.get(name)
            waiting.extend(summary.jumps if summary else ())
    return found


def _drops(table: Table, chain: str) -> str:
    """Whether a foreign chain, or one it jumps to, drops: ``all``, ``some`` or empty."""
    first = table.foreign.get(chain)
    if first is not None and first.drops_all:
        return "all"
    reachable = (table.foreign.get(name) for name in _reachable(table, chain))
    return "some" if any(summary is not None and summary.drops for summary in reachable) else ""
