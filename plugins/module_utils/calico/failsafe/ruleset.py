# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One form for the rules of every back end, and the hashes that Felix signs its rules with.

Felix puts ``cali:<16 characters>`` into each rule's comment: the rule's text as Felix renders it, hashed
together with the hash of the rule before it and, at the start, the chain's name
(felix/generictables/rules.go). A chain whose hashes can be computed again from its rules has not been edited,
reordered or cut open.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Optional

from ..felix import chains

IPTABLES = "iptables"
NFTABLES = "nftables"

Match = tuple[str, str]
"""Kind and value. Kinds: proto, dports, sports, saddr, daddr, iif, oif, mark, ctstate, src-set, dst-set,
src-type, dst-type, src-type-out (seen from the interface that the packet leaves by), rpf, ipvs; each with a
leading ``!`` where negated; ``?`` for what is not understood."""

NUMBERED_PROTOCOLS = {"tcp": 6, "udp": 17, "ipip": 4, "icmpv6": 58}


@dataclass(frozen=True)
class DumpedRule:
    """A rule of any back end.

    :ivar match: conditions in the order of the back end's listing
    :ivar action: accept, drop, reject, return, jump, goto, set-mark, clear-mark, notrack, nflog, masquerade,
        dscp, none, or ``?``
    :ivar target: chain of jump and goto (without nftables' layer), mark of set-mark and clear-mark, group,
        size and prefix of nflog, ``random`` or empty for masquerade, value of dscp
    :ivar hash: 16 characters, or empty where the rule carries none
    :ivar comments: other comments
    """

    match: tuple[Match, ...] = ()
    action: str = "none"
    target: str = ""
    hash: str = ""
    comments: tuple[str, ...] = ()

    @property
    def body(self) -> tuple[frozenset[Match], str, str]:
        """What the rule does, whatever the order in which it was written."""
        said = (item for item in self.match if not (item[0] in ("saddr", "daddr") and item[1].endswith("/0")))
        return frozenset(said), self.action, self.target

    def __str__(self) -> str:
        words = [f"{kind} {value}".strip() for kind, value in self.match]
        return " ".join([*words, self.action, self.target]).strip()


@dataclass
class Chain:
    """A chain whose rules are kept.

    :ivar hook: for nftables' base chains, the hook; for iptables, the built-in chain's own name
    :ivar policy: of a base chain
    """

    rules: list[DumpedRule] = field(default_factory=list)
    hook: str = ""
    policy: str = ""


@dataclass
class ForeignChain:
    """What is remembered of a chain that is not Calico's: enough to warn, little enough for 200,000 rules.

    :ivar accepts: holds a rule that may let a packet pass for good
    :ivar drops: holds a rule that drops or rejects what may be for a failsafe port
    :ivar drops_all: its first rule drops or rejects every packet
    :ivar accepts_all: its first rule accepts every packet
    """

    accepts: bool = False
    drops: bool = False
    drops_all: bool = False
    accepts_all: bool = False
    jumps: set[str] = field(default_factory=set)
    rules: int = 0


@dataclass
class Table:
    """One table of one family (for nftables: one layer of Calico's table).

    :ivar chains: Calico's chains on the way of host traffic, and the kernel's own
    :ivar declared: names of all of Calico's chains
    :ivar jumps: chain to the names of Calico's chains that its rules jump to
    """

    chains: dict[str, Chain] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)
    jumps: dict[str, set[str]] = field(default_factory=dict)
    foreign: dict[str, ForeignChain] = field(default_factory=dict)

    @property
    def referenced(self) -> set[str]:
        """Names that some rule jumps to."""
        return set().union(*self.jumps.values())


@dataclass
class BaseChain:
    """A foreign nftables base chain, and its rules as far as they are kept.

    :ivar of_iptables: in a table that iptables-nft-save lists too
    """

    name: str
    hook: str
    policy: str
    of_iptables: bool = False
    rules: list[DumpedRule] = field(default_factory=list)


@dataclass
class Ruleset:
    """What one back end holds for one address family.

    :ivar backend: iptables-nft, iptables-legacy, iptables (a dump that does not say) or nftables
    :ivar family: 4 or 6
    :ivar problems: why the dump cannot be trusted: truncated, binary, malformed
    :ivar hooked: foreign nftables base chains that see this family's packets
    :ivar set_marks: foreign rules that set Calico's drop bit, as text
    """

    backend: str
    family: int
    tables: dict[str, Table] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    hooked: list[BaseChain] = field(default_factory=list)
    set_marks: list[str] = field(default_factory=list)

    @property
    def dialect(self) -> str:
        return NFTABLES if self.backend == NFTABLES else IPTABLES

    @property
    def holds_calico(self) -> bool:
        """Whether any of Calico's chains is in it."""
        return any(table.declared for table in self.tables.values())

    @property
    def polices_hosts(self) -> bool:
        """Whether it holds the chains by which Calico polices what comes in: in every mode but eBPF."""
        table = self.tables.get("filter")
        return table is not None and chains.INPUT in table.declared


WATCHED_PREFIXES = (
    *chains.HOOKED,
    chains.FAILSAFE_PREFIX,
    *(chains.FROM_HOST_ENDPOINT, chains.TO_HOST_ENDPOINT, chains.FROM_FORWARDED, chains.TO_FORWARDED),
    *(chains.ENDPOINT_FROM, chains.ENDPOINT_TO, chains.FORWARDED_FROM, chains.FORWARDED_TO),
    *chains.GROUPS,
)
"""Chains whose rules are kept and hashed: those between the kernel's hook and a failsafe port, and the groups
of policies, whose jumps name the policies' chains."""


def is_watched(chain: str) -> bool:
    return chain.startswith(WATCHED_PREFIXES)


def render(rule: DumpedRule, chain: str, family: int, dialect: str) -> list[str]:
    """Texts that Felix may have hashed for a rule; more than one where a listing does not tell them apart.

    :param chain: name with nftables' layer where there is one
    :returns: empty where the rule is not of a kind that Felix writes into the watched chains
    """
    if dialect == NFTABLES:
        return _render_nftables(rule, chain, family)
    return _render_iptables(rule, chain)


def start(chain: str) -> bytes:
    """The hash before a chain's first rule."""
    return hashlib.sha224(chain.encode()).digest()


def follow(before: bytes, text: str) -> tuple[bytes, str]:
    """The hash after a rule, in full and as it stands in the comment."""
    after = hashlib.sha224(before + text.encode()).digest()
    return after, base64.urlsafe_b64encode(after).decode()[:16]


def chain_hashes(rules: Iterable[DumpedRule], chain: str, family: int, dialect: str) -> list[str]:
    """The hashes that Felix writes for a chain that is expected here; the first rendering of each rule is
    taken."""
    state, hashes = start(chain), []
    for rule in rules:
        state, text = follow(state, render(rule, chain, family, dialect)[0])
        hashes.append(text)
    return hashes


@dataclass(frozen=True)
class HashBreak:
    """Where a chain's hashes stop being what its rules say.

    :ivar index: of the rule, from 0
    :ivar known: False where the rule is of a kind whose hash cannot be computed, so that nothing is proven
    """

    index: int
    known: bool


def find_break(
    rules: Sequence[DumpedRule], chain: str, family: int, dialect: str, expected: Sequence[DumpedRule] = ()
) -> Optional[HashBreak]:
    """The first rule whose hash does not follow from its text and the rules before it, or None.

    :param expected: rules that stand for those of the same place where both do the same: a kernel drops what
        says nothing, such as a net of /0, and Felix hashed it
    """
    state = start(chain)
    for index, rule in enumerate(rules):
        texts = render(rule, chain, family, dialect)
        after = _next_state(state, texts, rule.hash)
        if after is None and index < len(expected) and expected[index].body == rule.body:
            stand_ins = render(expected[index], chain, family, dialect)
            texts = [*texts, *stand_ins]
            after = _next_state(state, stand_ins, rule.hash)
        if after is None:
            return HashBreak(index, known=bool(texts) or not rule.hash)
        state = after
    return None


def _next_state(before: bytes, texts: Iterable[str], written: str) -> Optional[bytes]:
    """The hash in full after the one of these texts whose short form is written in the rule, or None."""
    for text in texts:
        after, short = follow(before, text)
        if short == written:
            return after
    return None


def _render_iptables(rule: DumpedRule, chain: str) -> list[str]:
    action = _iptables_action(rule)
    if action is None:
        return []
    head = " ".join(["-A", chain, "HASH", *(f'-m comment --comment "{text}"' for text in rule.comments)])
    texts = []
    for match in _felix_orders(rule.match):
        options = [_iptables_match(kind, value) for kind, value in match]
        texts += [" ".join(word for word in (head, *chosen, action) if word) for chosen in product(*options)]
    return texts


_ORDERS = (
    {"proto": 0, "dports": 1, "sports": 1, "saddr": 2, "daddr": 2},
    {"proto": 0, "saddr": 1, "daddr": 1, "dports": 2, "sports": 2},
    {"proto": 0, "ctstate": 1},
)


def _felix_orders(match: Sequence[Match]) -> list[list[Match]]:
    """Orders in which Felix may have written what a listing moved.

    Listings put protocol, nets and interfaces first. Felix writes nets after the ports in a failsafe, before
    them in OpenStack's rule for DHCP, and interfaces after the state of the connection in Istio's.
    """
    orders: list[list[Match]] = []
    for places in _ORDERS:
        ordered = sorted(match, key=lambda item: places.get(item[0].lstrip("!"), 3))
        if ordered not in orders:
            orders.append(ordered)
    return orders


def _iptables_match(kind: str, value: str) -> list[str]:
    inverted = "! " if kind.startswith("!") else ""
    kind = kind.lstrip("!")
    if kind == "proto":
        number = NUMBERED_PROTOCOLS.get(value)
        return [f"{inverted}-p {name}" for name in (value, number) if name is not None]
    if kind in ("dports", "sports"):
        side = "destination" if kind == "dports" else "source"
        return [f"-m multiport {inverted}--{side}-ports {value}", f"{inverted}--{kind[0]}port {value}"]
    if kind in ("saddr", "daddr"):
        option = "--source" if kind == "saddr" else "--destination"
        texts = [f"{inverted}{option} {value}"]
        address, _separator, length = value.partition("/")
        if length in ("32", "128"):
            texts.append(f"{inverted}{option} {address}")
        return texts
    if kind == "mark":
        mark, _separator, mask = value.partition("/")
        return [f"-m mark {inverted}--mark {'0' if mark == '0x0' else mark}/{mask}"]
    template = {
        "iif": "{0}--in-interface {1}",
        "oif": "{0}--out-interface {1}",
        "ctstate": "-m conntrack {0}--ctstate {1}",
        "src-set": "-m set {0}--match-set {1} src",
        "dst-set": "-m set {0}--match-set {1} dst",
        "src-type": "-m addrtype {0}--src-type {1}",
        "src-type-out": "-m addrtype {0}--src-type {1} --limit-iface-out",
        "dst-type": "-m addrtype {0}--dst-type {1}",
        "rpf": "-m rpfilter --invert --validmark",
        "ipvs": "-m ipvs {0}--ipvs",
    }.get(kind)
    return [template.format(inverted, value)] if template else []


def _iptables_action(rule: DumpedRule) -> Optional[str]:
    plain = {"accept": "ACCEPT", "drop": "DROP", "reject": "REJECT", "return": "RETURN", "notrack": "NOTRACK"}
    if rule.action in plain:
        return f"--jump {plain[rule.action]}"
    if rule.action in ("jump", "goto"):
        return f"--{rule.action} {rule.target}"
    if rule.action == "nflog":
        group, size, prefix = rule.target.split(" ", 2)
        length = "" if size == "0" else f" --nflog-size {size}"
        return f"--jump NFLOG --nflog-group {group} --nflog-prefix {prefix}{length}"
    if rule.action == "dscp":
        return f"--jump DSCP --set-dscp {rule.target}"
    if rule.action == "masquerade":
        return "--jump MASQUERADE" + (" --random-fully" if rule.target else "")
    if rule.action == "clear-mark":
        return f"--jump MARK --set-mark 0/{rule.target}"
    if rule.action == "set-mark":
        mark, _separator, mask = rule.target.partition("/")
        return f"--jump MARK --set-mark {mark}/{mask}"
    return "" if rule.action == "none" else None


def _render_nftables(rule: DumpedRule, chain: str, family: int) -> list[str]:
    action = _nftables_action(rule, chain)
    if action is None:
        return []
    protocol = dict(rule.match).get("proto", "")
    ending = ("counter", action.replace("<ip>", "ip6" if family == 6 else "ip")) if action else ()
    texts = []
    for match in _felix_orders(rule.match):
        options = [_nftables_match(kind, value, family, protocol) for kind, value in match]
        for chosen in product(*options):
            texts.append(" ".join(word for word in (*chosen, *ending) if word) or "continue")
    return texts


def _nftables_match(kind: str, value: str, family: int, protocol: str) -> list[str]:
    unequal = "!= " if kind.startswith("!") else ""
    kind = kind.lstrip("!")
    address = "ip6" if family == 6 else "ip"
    if kind == "proto":
        number = NUMBERED_PROTOCOLS.get(value)
        return [f"meta l4proto {unequal}{name}" for name in (value, number) if name is not None]
    if kind in ("dports", "sports"):
        listed = value.replace(":", "-").replace(",", ", ")
        head = f"{protocol} {kind[:-1]} {unequal}"
        return [f"{head}{{ {listed} }}", f"{head}{listed}"]
    if kind == "mark":
        mark, _separator, mask = value.partition("/")
        if mark == "0x0":
            return [f"meta mark & {mask} {'!=' if unequal else '=='} {zero}" for zero in ("0", "0x0")]
        return [f"meta mark & {mask} {'!=' if unequal else '=='} {mark}"]
    if kind == "ctstate":
        if value == "DNAT":
            return [f"ct status {unequal}dnat"]
        return [f"ct state {unequal}{value.lower()}"]
    if kind in ("saddr", "daddr"):
        texts = [f"{address} {kind} {unequal}{value}"]
        host, _separator, length = value.partition("/")
        return [*texts, f"{address} {kind} {unequal}{host}"] if length in ("32", "128") else texts
    if kind in ("iif", "oif"):
        return [f"{kind}name {unequal}{value[:-1] + '*' if value.endswith('+') else value}"]
    template = {
        "src-set": "{0} saddr {1}@{2}",
        "dst-set": "{0} daddr {1}@{2}",
        "src-type": "fib saddr type {1}{2}",
        "src-type-out": "fib saddr . oif type {1}{2}",
        "dst-type": "fib daddr type {1}{2}",
        "rpf": "fib saddr . mark . iif oif 0",
    }.get(kind)
    value = value.lower() if kind in ("src-type", "src-type-out", "dst-type") else value
    return [template.format(address, unequal, value)] if template else []


def _nftables_action(rule: DumpedRule, chain: str) -> Optional[str]:
    if rule.action in ("accept", "drop", "reject", "return", "notrack"):
        return rule.action
    if rule.action in ("jump", "goto"):
        layer = chain.split("-", 1)[0]
        return f"{rule.action} {layer}-{rule.target}"
    if rule.action == "nflog":
        group, size, prefix = rule.target.split(" ", 2)
        length = "" if size == "0" else f" snaplen {size}"
        return f'log prefix "{prefix}"{length} group {group}'
    if rule.action == "dscp":
        return f"<ip> dscp set {rule.target}"
    if rule.action == "masquerade":
        return "masquerade" + (" fully-random" if rule.target else "")
    if rule.action == "clear-mark":
        return f"meta mark set mark & {int(rule.target, 16) ^ 0xFFFFFFFF:#x}"
    if rule.action == "set-mark":
        mark, _separator, mask = rule.target.partition("/")
        if mark == mask:
            return f"meta mark set mark or {mark}"
        return f"meta mark set mark & {int(mask, 16) ^ 0xFFFFFFFF:#x} ^ {mark}"
    return "" if rule.action == "none" else None
