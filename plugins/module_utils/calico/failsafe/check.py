# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare what a node's kernel holds with what its failsafes need.

Each way for a failsafe not to work is a finding of its own with a stable id (docs/failsafes.md lists them).
Nothing is proven by a name: a rule counts when its body does what is expected, and its chain's hashes can be
computed again from the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from ..felix import chains
from ..felix.chains import FAILSAFE_IN, FAILSAFE_OUT
from ..finding import ERROR, WARNING, Finding
from .expectation import (
    ANY_INTERFACE,
    ActiveEndpoint,
    Expectation,
    endpoint_chain,
    failsafe_rules,
)
from .foreign import foreign_findings
from .ruleset import (
    NFTABLES,
    Chain,
    DumpedRule,
    HashBreak,
    Ruleset,
    Table,
    find_break,
    follow,
    is_watched,
    render,
    start,
)

FELIX_REPAIRS = (
    "Felix repairs its chains within 3 minutes; if not, restart calico-node on this node and read its log"
)
# iptables 1.8.7, for one, leaves matches out that 1.8.9 has written in nftables' own way.
OLD_READER = (
    f"{FELIX_REPAIRS}; an iptables-nft-save that is older than the iptables inside calico-node does not show "
    "all that its rules match: check a dump that was taken there (option dump)"
)


@dataclass(frozen=True)
class Hook:
    """A place where the kernel must hand packets to Calico, and where Calico hands them to the dispatch.

    :ivar needed_match: kind of condition on the jump to the dispatch, with the value where it is fixed
    :ivar last: what the hooked chain must end with, or empty where that does not touch failsafes
    """

    table: str
    kernel_chain: str
    direction: str
    dispatch: str
    needed_match: tuple[str, str] = ("", "")
    last: str = ""

    @property
    def chain(self) -> str:
        return chains.hooked(self.kernel_chain)


HOOKS = (
    Hook("raw", "PREROUTING", "from", chains.FROM_HOST_ENDPOINT, ("mark", ""), "accept"),
    Hook("raw", "OUTPUT", "to", chains.TO_HOST_ENDPOINT, ("", ""), "accept"),
    Hook("mangle", "PREROUTING", "from", chains.FROM_HOST_ENDPOINT, ("", ""), "accept"),
    Hook("mangle", "POSTROUTING", "to", chains.TO_HOST_ENDPOINT, ("ctstate", "DNAT"), "return"),
    Hook("filter", "INPUT", "from", chains.FROM_HOST_ENDPOINT, ("", ""), "accept"),
    Hook("filter", "OUTPUT", "to", chains.TO_HOST_ENDPOINT, ("!ctstate", "DNAT"), "accept"),
    Hook("filter", "FORWARD", "from", chains.FROM_FORWARDED, ("mark", ""), ""),
    Hook("filter", "FORWARD", "to", chains.TO_FORWARDED, ("", ""), ""),
)


RAW_OUTPUT = HOOKS[1]

TABLES = ("raw", "mangle", "filter", "nat")

ALWAYS = (
    ("nat", chains.hooked("PREROUTING"), chains.FLOATING_IP),
    ("nat", chains.hooked("OUTPUT"), chains.FLOATING_IP),
    ("filter", chains.WORKLOAD_TO_HOST, chains.FROM_WORKLOADS),
)
"""Table, chain and a jump that Felix writes there whatever is configured, to a chain that others jump to
as well."""


def verify(expectation: Expectation, rulesets: Sequence[Ruleset]) -> list[Finding]:
    """Everything that is wrong with a node's failsafes in iptables or nftables.

    :param rulesets: of every back end and family that was read; those without any of Calico's chains included
    """
    findings = list(_configuration(expectation))
    for ruleset in rulesets:
        findings.extend(_unreadable(ruleset))
    for family in (4, 6):
        mine = [ruleset for ruleset in rulesets if ruleset.family == family]
        elsewhere = any(ruleset.holds_calico for ruleset in rulesets if ruleset.family != family)
        findings.extend(_family(expectation, family, mine, elsewhere))
    return findings


def verify_beside_bpf(expectation: Expectation, rulesets: Sequence[Ruleset]) -> list[Finding]:
    """What is wrong in iptables or nftables on a node in eBPF mode.

    Untracked egress policy of named interfaces stays in raw there, with its failsafes
    (updateHostEndpoints in felix/dataplane/linux/endpoint_mgr.go); all other chains of host endpoints are
    left over from another mode.
    """
    findings = list(_configuration(expectation))
    for ruleset in rulesets:
        findings.extend(_unreadable(ruleset))
    for family in (4, 6) if expectation.ipv6 else (4,):
        mine = [ruleset for ruleset in rulesets if ruleset.family == family]
        active = _most_complete([ruleset for ruleset in mine if ruleset.holds_calico])
        for ruleset in mine:
            if ruleset.polices_hosts:
                findings.append(_leftover(ruleset, None))
        if active is not None:
            findings.extend(_Checker(expectation, active).untracked_egress())
        elif expectation.dispatched("raw", "to"):
            findings.append(_absent(family, mine))
        for table, chain, severity, id_, message in foreign_findings(None, mine, expectation.failsafes):
            remedy = "take the rule away: Calico's programs come before it, and it after them"
            findings.append(Finding(id_, severity, message, remedy, family, table, chain))
    return findings


def active_backend(rulesets: Iterable[Ruleset]) -> str:
    """The back end that holds Calico's chains: its name, ``none``, or several joined by ``+``."""
    names = {ruleset.backend for ruleset in rulesets if ruleset.holds_calico}
    return "+".join(sorted(names)) or "none"


def _configuration(expectation: Expectation) -> Iterator[Finding]:
    failsafes = expectation.failsafes
    for field, problem in failsafes.undefined:
        yield Finding(
            "config.undefined",
            ERROR,
            f"Felix does not start with this configuration: {problem}",
            f"correct {field}",
        )
    if not expectation.active:
        return
    for name in expectation.undefined_interfaces:
        yield Finding(
            "interfaces.unknown",
            WARNING,
            f"host endpoint {name} is found by its addresses, and the node's addresses are not known",
            "give the node's interfaces",
        )
    lists = (
        ("inbound", failsafes.inbound, failsafes.inbound_source),
        ("outbound", failsafes.outbound, failsafes.outbound_source),
    )
    for direction, ports, source in lists:
        if not ports:
            yield Finding(
                "config.none",
                ERROR,
                f"the {direction} failsafe list is empty ({source}): a wrong policy locks this node out",
                f"give the {direction} failsafe ports that this node cannot do without",
            )


def _unreadable(ruleset: Ruleset) -> Iterator[Finding]:
    for problem in ruleset.problems:
        yield Finding(
            "dump.unreadable",
            ERROR,
            f"{ruleset.backend}: {problem}",
            "take the dump again, whole and as text, as root",
            ruleset.family,
        )


def _family(
    expectation: Expectation, family: int, rulesets: Sequence[Ruleset], elsewhere: bool
) -> Iterator[Finding]:
    """:param elsewhere: whether the other family holds Calico's chains"""
    holders = [ruleset for ruleset in rulesets if ruleset.holds_calico]
    if family == 6 and not expectation.ipv6:
        if holders:
            yield Finding(
                "family.leftover",
                WARNING,
                "Calico's chains stand for IPv6, which Felix is configured to leave alone: they go stale",
                "reboot the node, or take these chains away",
                family,
            )
        holders = []
    elif not holders:
        if expectation.active or elsewhere:
            yield _absent(family, rulesets)
        return
    active = _most_complete(holders)
    for ruleset in holders:
        if ruleset is not active:
            yield _leftover(ruleset, active)
    if active is not None:
        checker = _Checker(expectation, active)
        yield from checker.findings()
        others = [ruleset for ruleset in rulesets if ruleset is not active]
        for table, chain, severity, id_, message in foreign_findings(active, others, expectation.failsafes):
            remedy = "let Calico's chains stand first (chainInsertMode: Insert), or take the rule away"
            yield Finding(id_, severity, message, remedy, family, table, chain)


def _absent(family: int, rulesets: Sequence[Ruleset]) -> Finding:
    return Finding(
        "family.missing",
        ERROR,
        f"none of Calico's chains is in the kernel for IPv{family}"
        + ("" if rulesets else ", or that family was not read"),
        "see that calico-node runs on this node and is ready",
        family,
    )


def _most_complete(holders: Sequence[Ruleset]) -> Optional[Ruleset]:
    """The ruleset that Felix keeps up: the one hooked into most of the kernel's chains."""

    def score(ruleset: Ruleset) -> tuple[int, int]:
        hooked = sum(
            1
            for table in ruleset.tables.values()
            for chain in table.chains.values()
            if chain.hook and any(rule.target.startswith(chains.PREFIX) for rule in chain.rules)
        )
        return hooked, sum(len(table.declared) for table in ruleset.tables.values())

    return max(holders, key=score, default=None)


def _leftover(ruleset: Ruleset, active: Optional[Ruleset]) -> Finding:
    names = sorted({name for table in ruleset.tables.values() for name in table.declared})
    return Finding(
        "dataplane.leftover",
        ERROR,
        f"{ruleset.backend} holds {len(names)} of Calico's chains ({', '.join(names[:3])}, ...), although "
        f"{active.backend if active else 'eBPF'} is in use: a packet must pass both",
        "restart calico-node on this node, which cleans up; or reboot it",
        ruleset.family,
    )


class _Checker:
    """Checks one family of the back end in use."""

    def __init__(self, expectation: Expectation, ruleset: Ruleset) -> None:
        self.expectation = expectation
        self.ruleset = ruleset
        self.dialect = ruleset.dialect
        self.found: list[Finding] = []

    def untracked_egress(self) -> list[Finding]:
        """What is wrong with the part that eBPF mode leaves here."""
        broken = self.check_hashes(("raw",))
        if self.expectation.dispatched("raw", "to"):
            self.check_hook(RAW_OUTPUT, broken)
        self.check_direction("raw", "to")
        self.check_failsafe_chain("raw", FAILSAFE_OUT, "to", broken)
        return self.found

    def findings(self) -> list[Finding]:
        broken = self.check_hashes(TABLES)
        for hook in HOOKS:
            self.check_hook(hook, broken)
        for table in ("raw", "mangle", "filter"):
            self.check_endpoints(table)
            self.check_failsafe_chains(table, broken)
        self.check_base_chains()
        self.check_nat()
        self.check_references()
        return self.found

    def add(
        self, id_: str, table: str, chain: str, message: str, severity: str = ERROR, remedy: str = ""
    ) -> None:
        self.found.append(
            Finding(id_, severity, message, remedy or FELIX_REPAIRS, self.ruleset.family, table, chain)
        )

    def table(self, name: str) -> Table:
        return self.ruleset.tables.get(name) or Table()

    def full_name(self, table: str, chain: str) -> str:
        return f"{table}-{chain}" if self.dialect == NFTABLES else chain

    # -- hashes ----------------------------------------------------------------------------------

    def check_hashes(self, tables: Sequence[str]) -> dict[tuple[str, str], HashBreak]:
        """Find the chains whose hashes are not those of their rules."""
        broken: dict[tuple[str, str], HashBreak] = {}
        for table_name in tables:
            table = self.table(table_name)
            for name, chain in table.chains.items():
                if not is_watched(name):
                    continue
                expected = self.expected_failsafes(table_name, name)
                place = self.full_name(table_name, name)
                found = find_break(chain.rules, place, self.ruleset.family, self.dialect, expected)
                if found is not None:
                    broken[table_name, name] = found
                    self.report_break(table_name, name, chain, found)
        return broken

    def report_break(self, table: str, name: str, chain: Chain, found: HashBreak) -> None:
        rule = chain.rules[found.index]
        if found.known:
            what = (
                "was not written by Felix"
                if not rule.hash
                else "was edited, moved, doubled, or follows a gap"
            )
            message = f"rule {found.index + 1} ({_short(rule)}) {what}"
            old = OLD_READER if self.ruleset.backend == "iptables-nft" else ""
            self.add("hash.broken", table, name, message, remedy=old)
            return
        # What cannot be proven is an error only where it stands in the way of a failsafe.
        before_jump = any(item.action in ("jump", "goto") for item in chain.rules[found.index + 1 :])
        harmless = _passes_on(rule) or not before_jump or table == "nat"
        self.add(
            "hash.unverified",
            table,
            name,
            f"rule {found.index + 1} ({_short(rule)}) is of a kind whose hash this check cannot compute",
            WARNING if harmless else ERROR,
            "look at the rule; if it is Felix's own, report its kind to this collection",
        )

    # -- from the kernel to the dispatch -----------------------------------------------------------

    def check_hook(self, hook: Hook, broken: Mapping[tuple[str, str], HashBreak]) -> None:
        if not self.expectation.active:
            return
        table = self.table(hook.table)
        kernel = table.chains.get(hook.kernel_chain)
        jumps = [rule for rule in kernel.rules if rule.target == hook.chain] if kernel else []
        if not jumps:
            if hook.direction == "from" or hook.kernel_chain != "FORWARD":
                self.add(
                    "hook.missing", hook.table, hook.kernel_chain,
                    f"the kernel's {hook.kernel_chain} does not jump to {hook.chain}",
                )  # fmt: skip
            return
        self.check_jump(hook, jumps)
        chain = table.chains.get(hook.chain)
        if chain is not None:
            self.check_way(hook, chain, broken)

    def check_jump(self, hook: Hook, jumps: Sequence[DumpedRule]) -> None:
        name = self.full_name(hook.table, hook.kernel_chain)
        wanted = DumpedRule((), "jump", hook.chain)
        _state, hash_ = follow(start(name), render(wanted, name, self.ruleset.family, self.dialect)[0])
        first = jumps[0]
        if first.body != wanted.body:
            self.add(
                "hook.conditional",
                hook.table,
                hook.kernel_chain,
                f"the jump to {hook.chain} is {_short(first)}",
            )
        elif first.hash != hash_:
            self.add(
                "hook.foreign",
                hook.table,
                hook.kernel_chain,
                f"the jump to {hook.chain} is not the one Felix writes",
            )
        if len(jumps) > 1:
            self.add("hook.doubled", hook.table, hook.kernel_chain, f"{len(jumps)} jumps to {hook.chain}")

    def check_way(self, hook: Hook, chain: Chain, broken: Mapping[tuple[str, str], HashBreak]) -> None:
        jump = next((rule for rule in chain.rules if rule.target == hook.dispatch), None)
        if jump is None:
            self.add("path.missing", hook.table, hook.chain, f"{hook.chain} does not jump to {hook.dispatch}")
        elif jump.action != "jump" or not _has_only(jump, hook.needed_match):
            self.add(
                "path.conditional", hook.table, hook.chain, f"the jump to {hook.dispatch} is {_short(jump)}"
            )
        last = chain.rules[-1] if chain.rules else DumpedRule()
        if hook.last and (hook.table, hook.chain) not in broken and not _is_last(last, hook.last):
            self.add(
                "chain.cut",
                hook.table,
                hook.chain,
                f"{hook.chain} ends with {_short(last)}: rules are missing at its end",
            )

    def check_base_chains(self) -> None:
        """nftables' base chains are Calico's own: in each stands the jump, and nothing else but in
        FORWARD."""
        if self.dialect != NFTABLES:
            return
        for table_name, table in self.ruleset.tables.items():
            for name, chain in table.chains.items():
                if not chain.hook or not chain.rules:
                    continue
                strangers = chain.rules if name != "FORWARD" else chain.rules[:1]
                for rule in strangers:
                    if rule.target != chains.hooked(name):
                        self.add("hook.foreign", table_name, name, f"not a rule of Felix: {_short(rule)}")

    def check_nat(self) -> None:
        """No failsafe depends on nat or on pods; but what Felix keeps up is whole, or Felix is not at
        work."""
        table = self.table("nat")
        for name in ("PREROUTING", "OUTPUT", "POSTROUTING"):
            kernel = table.chains.get(name)
            if kernel is not None and not any(rule.target == chains.hooked(name) for rule in kernel.rules):
                self.add(
                    "hook.missing", "nat", name, f"the kernel's {name} does not jump to {chains.hooked(name)}"
                )
        for table_name, chain, target in ALWAYS:
            table = self.table(table_name)
            if chain in table.declared and target not in table.jumps.get(chain, ()):
                self.add("path.missing", table_name, chain, f"{chain} does not jump to {target}")

    # -- from the dispatch to the endpoint -----------------------------------------------------------

    def check_endpoints(self, table: str) -> None:
        for direction in ("from", "to"):
            self.check_direction(table, direction)
        if table == "filter":
            for direction, root in (("from", chains.FROM_FORWARDED), ("to", chains.TO_FORWARDED)):
                prefix = chains.FORWARDED_FROM if direction == "from" else chains.FORWARDED_TO
                self.check_dispatch(table, direction, root, prefix)
                for endpoint in self.expectation.endpoints:
                    self.check_policies(table, "forward", direction, endpoint, prefix)

    def check_direction(self, table: str, direction: str) -> None:
        prefix = chains.ENDPOINT_FROM if direction == "from" else chains.ENDPOINT_TO
        root = chains.FROM_HOST_ENDPOINT if direction == "from" else chains.TO_HOST_ENDPOINT
        self.check_dispatch(table, direction, root, prefix)
        for endpoint in self.expectation.dispatched(table, direction):
            self.check_endpoint(table, direction, endpoint, prefix)
            self.check_policies(table, table, direction, endpoint, prefix)

    def check_dispatch(self, table: str, direction: str, root: str, prefix: str) -> None:
        chains = self.table(table).chains
        named = _named_in(chains, root)
        tried = {*self.expectation.interfaces, *named}
        tried.update(
            endpoint.interface
            for endpoint in self.expectation.endpoints
            if endpoint.interface != ANY_INTERFACE
        )
        unlisted = "another interface"
        for interface in (*sorted(tried), ""):
            owner = self.expectation.owner(table, direction, interface or ANY_INTERFACE)
            wanted = endpoint_chain(prefix, owner.interface, self.dialect) if owner else ""
            reached = _dispatch(chains, root, interface, direction)
            if reached == wanted:
                continue
            place = interface or unlisted
            if not wanted:
                self.add(
                    "dispatch.extra", table, root,
                    f"packets of {place} are led to {reached}, although the API has no host endpoint there",
                )  # fmt: skip
            elif not reached:
                self.add("dispatch.missing", table, root, f"packets of {place} are not led to {wanted}")
            else:
                self.add(
                    "dispatch.wrong", table, root, f"packets of {place} are led to {reached}, not to {wanted}"
                )

    def check_endpoint(self, table: str, direction: str, endpoint: ActiveEndpoint, prefix: str) -> None:
        name = endpoint_chain(prefix, endpoint.interface, self.dialect)
        chain = self.table(table).chains.get(name)
        failsafe = FAILSAFE_IN if direction == "from" else FAILSAFE_OUT
        if chain is None:
            self.add("endpoint.missing", table, name, f"host endpoint {endpoint.name} has no chain {name}")
            return
        at = next((i for i, rule in enumerate(chain.rules) if rule.target == failsafe), None)
        if at is None or chain.rules[at].body != DumpedRule((), "jump", failsafe).body:
            self.add(
                "endpoint.no-failsafe", table, name,
                f"no jump to {failsafe}" + ("" if at is None else f", but {_short(chain.rules[at])}"),
            )  # fmt: skip
            return
        for rule in chain.rules[:at]:
            if not _may_stand_first(rule):
                what = "policy" if rule.target.startswith(chains.PREFIX) else "a rule"
                self.add(
                    "endpoint.failsafe-late",
                    table,
                    name,
                    f"{what} stands before the failsafe jump: {_short(rule)}",
                )
        if table == "filter" and not _ends_closed(chain):
            self.add(
                "chain.cut",
                table,
                name,
                f"{name} ends with {_short(chain.rules[-1])}: rules are missing at its end",
            )

    def check_policies(
        self, table: str, place: str, direction: str, endpoint: ActiveEndpoint, prefix: str
    ) -> None:
        """Count the policies that an endpoint's chain leads to, itself or through groups."""
        name = endpoint_chain(prefix, endpoint.interface, self.dialect)
        if name not in self.table(table).chains:
            return
        jumps = self.table(table).jumps
        targets = set(jumps.get(name, ()))
        for group in [target for target in targets if target.startswith(chains.GROUPS)]:
            targets |= jumps.get(group, set())
        held = sum(target.startswith(chains.POLICIES) for target in targets)
        wanted = endpoint.enforced.get((place, direction), 0)
        if held != wanted:
            self.add(
                "endpoint.policies", table, name,
                f"{held} policies are in force, and by the API {wanted} govern {endpoint.name} here",
                WARNING,
                "see calico-node's log: Felix takes a policy that it cannot read for a missing one",
            )  # fmt: skip

    # -- the failsafe chains ---------------------------------------------------------------------

    def expected_failsafes(self, table: str, chain: str) -> list[DumpedRule]:
        if chain not in (FAILSAFE_IN, FAILSAFE_OUT):
            return []
        return failsafe_rules(self.expectation.failsafes, chain, table, self.ruleset.family)

    def check_failsafe_chains(self, table: str, broken: Mapping[tuple[str, str], HashBreak]) -> None:
        for name, direction in ((FAILSAFE_IN, "from"), (FAILSAFE_OUT, "to")):
            self.check_failsafe_chain(table, name, direction, broken)

    def check_failsafe_chain(
        self, table: str, name: str, direction: str, broken: Mapping[tuple[str, str], HashBreak]
    ) -> None:
        chain = self.table(table).chains.get(name)
        needed = self.expectation.dispatched(table, direction)
        if chain is not None and needed:
            self.compare(table, name, chain.rules, consistent=(table, name) not in broken)
        elif chain is not None:
            self.add(
                "failsafe.unneeded", table, name, f"{name} stands in {table}, where no host endpoint needs it"
            )
        elif needed:
            self.add(
                "failsafe.no-chain", table, name, f"there is no chain {name}, although host endpoints need it"
            )

    def compare(self, table: str, name: str, rules: Sequence[DumpedRule], consistent: bool) -> None:
        expected = self.expected_failsafes(table, name)
        wanted, held = [rule.body for rule in expected], [rule.body for rule in rules]
        if wanted == held:
            return
        missing = [rule for rule in expected if rule.body not in held]
        extra = [rule for rule in rules if rule.body not in wanted]
        cut = held == wanted[: len(held)]
        if consistent and not cut:
            source = (
                self.expectation.failsafes.inbound_source
                if name == FAILSAFE_IN
                else self.expectation.failsafes.outbound_source
            )
            self.add(
                "failsafe.config", table, name,
                "Felix runs with other failsafe ports than configured "
                f"({source}): missing {_shorts(missing)}; beyond it {_shorts(extra)}",
                remedy="see which environment or FelixConfiguration this Felix reads, and that it restarted",
            )  # fmt: skip
            return
        if missing:
            self.add("failsafe.missing", table, name, f"missing: {_shorts(missing)}")
        if extra:
            self.add("failsafe.extra", table, name, f"not configured: {_shorts(extra)}")
        if not missing and not extra:
            self.add(
                "failsafe.order", table, name, "the rules are not those configured, in their order, each once"
            )

    # -- the rest ----------------------------------------------------------------------------------

    def check_references(self) -> None:
        """Felix writes only chains that something refers to: one without is a jump that was taken away."""
        for name, table in self.ruleset.tables.items():
            unused = table.declared - table.referenced
            if name == "filter" and self.expectation.forced_policies:
                unused = {chain for chain in unused if not chain.startswith(chains.POLICIES)}
            if self.dialect == NFTABLES:
                # Verdict maps lead to pods' chains there, and no failsafe has to do with either.
                unused = {chain for chain in unused if not chain.startswith(chains.WORKLOADS)}
            for chain in sorted(unused)[:20]:
                self.add(
                    "chain.unreferenced",
                    name,
                    chain,
                    f"nothing jumps to {chain}: a jump was removed, or it is left over",
                )
            for chain in sorted(table.referenced - table.declared)[:20]:
                self.add("chain.absent", name, chain, f"a rule jumps to {chain}, which is not there")


def _passes_on(rule: DumpedRule) -> bool:
    """Whether a packet goes on after the rule, whatever it matches."""
    if rule.action == "?":
        return rule.target.split(" ")[0] in ("LOG", "CONNMARK", "log", "mangle")
    return rule.action in ("none", "dscp", "set-mark", "clear-mark", "nflog", "notrack")


def _short(rule: DumpedRule) -> str:
    return str(rule)[:120]


def _shorts(rules: Sequence[DumpedRule]) -> str:
    return ", ".join(_port(rule) for rule in rules[:12]) or "nothing"


def _port(rule: DumpedRule) -> str:
    said = dict(rule.match)
    port = said.get("dports") or (f"from {said['sports']}" if "sports" in said else "")
    if rule.action != "accept" or not port:
        return _short(rule)
    net = said.get("saddr") or said.get("daddr")
    return f"{said.get('proto', 'any')}/{port}" + (f" ({net})" if net else "")


def _has_only(rule: DumpedRule, needed: tuple[str, str]) -> bool:
    """Whether a jump has exactly the condition that Felix puts there."""
    kind, value = needed
    if not kind:
        return not rule.match
    if len(rule.match) != 1 or rule.match[0][0] != kind:
        return False
    found = rule.match[0][1]
    return found == value if value else found.startswith("0x0/")


def _is_last(rule: DumpedRule, action: str) -> bool:
    """Whether this is the rule with which Felix ends a hooked chain: let pass what is marked as accepted."""
    if len(rule.match) != 1 or rule.match[0][0] != "mark":
        return False
    mark, _separator, mask = rule.match[0][1].partition("/")
    if mark != mask and mask != "0xffffffff":
        return False
    return rule.action in (action, "return", "accept")


def _ends_closed(chain: Chain) -> bool:
    last = chain.rules[-1]
    return last.action in ("drop", "reject") and not last.match


def _may_stand_first(rule: DumpedRule) -> bool:
    """Felix lets established connections pass, and drops what conntrack finds invalid, before failsafes."""
    if rule.match == (("ctstate", "RELATED,ESTABLISHED"),):
        return rule.action in ("accept", "return", "set-mark")
    return rule.match == (("ctstate", "INVALID"),) and rule.action in ("drop", "reject")


def _named_in(chains: Mapping[str, Chain], root: str) -> set[str]:
    """Interfaces that a dispatch names."""
    return {
        value
        for name, chain in chains.items()
        if name == root or name.startswith(f"{root}-")
        for rule in chain.rules
        for kind, value in rule.match
        if kind in ("iif", "oif") and not value.endswith("+")
    }


def _dispatch(chains: Mapping[str, Chain], root: str, interface: str, direction: str, depth: int = 0) -> str:
    """The endpoint chain that a packet of an interface meets; empty if none.

    :param interface: empty for one that no rule names
    """
    chain = chains.get(root)
    if chain is None or depth > 8:
        return ""
    kind = "iif" if direction == "from" else "oif"
    for rule in chain.rules:
        if not all(_interface_matches(condition, kind, interface) for condition in rule.match):
            continue
        if rule.action in ("goto", "jump"):
            if rule.target.startswith(f"{root}-"):
                return _dispatch(chains, rule.target, interface, direction, depth + 1)
            return rule.target
        if rule.action in ("return", "accept", "drop", "reject"):
            return "" if rule.action == "return" else rule.action
    return ""


def _interface_matches(condition: tuple[str, str], kind: str, interface: str) -> bool:
    found, value = condition
    if found != kind:
        return False  # a condition that Felix never puts there: the rule leads nobody for sure
    return interface.startswith(value[:-1]) if value.endswith("+") else interface == value
