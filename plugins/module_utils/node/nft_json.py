# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read ``nft -j list ruleset`` (or ``list table``) element by element, without holding it whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Optional

from ..calico.failsafe.foreign import DROP_MARK, concerns_new_connections
from ..calico.failsafe.ruleset import (
    NFTABLES,
    BaseChain,
    Chain,
    DumpedRule,
    ForeignChain,
    Match,
    Ruleset,
    Table,
    is_watched,
)
from ..calico.mapping import mapping_of
from .limits import MAX_FOREIGN_CHAINS, MAX_JSON_ELEMENT, MAX_KEPT_RULES, DumpProblems

CALICO_TABLE = "calico"
LAYERS = ("filter", "mangle", "raw", "nat")
FAMILIES = {"ip": (4,), "ip6": (6,), "inet": (4, 6), "netdev": (4, 6)}
_PROTOCOLS = {6: "tcp", 17: "udp", 4: "ipip", 58: "icmpv6", "ipencap": "ipip", "ipv6-icmp": "icmpv6"}
_STATES = ("RELATED", "ESTABLISHED")
_VERDICTS = frozenset(("accept", "drop", "return", "notrack", "reject"))

# iptables-nft keeps its rules in tables of these names. Where iptables-nft-save was read too, that reading
# counts: nft loses negations of matches that it has no words for.
IPTABLES_TABLES = frozenset(("filter", "nat", "mangle", "raw", "security"))

Object = Mapping[str, Any]


def parse(chunks: Iterable[str]) -> tuple[Ruleset, Ruleset]:
    """Read a dump.

    :param chunks: the text in pieces of any size
    :returns: the rulesets of IPv4 and IPv6; ``problems`` of both name what is wrong with the dump
    """
    reader = Reader()
    reader.document(chunks)
    return reader.finish()


def elements(chunks: Iterable[str]) -> Iterator[Object]:
    """The members of the list under ``nftables``.

    :raises ValueError: the text is not such a document, or ends too early
    """
    stream = _Text(chunks)
    stream.expect("{")
    stream.expect('"nftables"')
    stream.expect(":")
    stream.expect("[")
    if stream.peek() != "]":
        yield _object(stream.value())
        while stream.peek() == ",":
            stream.expect(",")
            yield _object(stream.value())
    stream.expect("]")
    stream.expect("}")
    if stream.peek():
        raise ValueError("more text after the end")


def _object(value: object) -> Object:
    if not isinstance(value, dict):
        raise ValueError(f"an element that is not an object: {str(value)[:40]!r}")
    return value


class _Text:
    """A window on the text that grows until one JSON value is in it."""

    def __init__(self, chunks: Iterable[str]) -> None:
        self.chunks = iter(chunks)
        self.window = ""
        self.at = 0
        self.decoder = json.JSONDecoder()

    def more(self) -> bool:
        chunk = next(self.chunks, None)
        if chunk is None:
            return False
        if self.at > len(self.window) // 2:
            self.window, self.at = self.window[self.at :], 0
        self.window += chunk
        return True

    def peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            while self.at < len(self.window):
                if not self.window[self.at].isspace():
                    return self.window[self.at]
                self.at += 1
            if not self.more():
                return ""

    def expect(self, text: str) -> None:
        self.peek()
        while len(self.window) - self.at < len(text) and self.more():
            pass
        if not self.window.startswith(text, self.at):
            found = self.window[self.at : self.at + 20]
            raise ValueError(f"expected {text}, found {found!r}" if found else "the dump is cut off")
        self.at += len(text)

    def value(self) -> object:
        self.peek()
        wanted = 0
        while True:
            try:
                value, end = self.decoder.raw_decode(self.window, self.at)
            except ValueError:
                # Read as much again as was not enough, so that a long element costs linear time.
                have = len(self.window) - self.at
                if have > MAX_JSON_ELEMENT:
                    raise ValueError("an element larger than any rule or set can be")
                wanted = max(2 * have, 1)
                if not self.more():
                    raise ValueError("the dump is cut off, or not JSON")
                while len(self.window) - self.at < wanted and self.more():
                    pass
                continue
            self.at = end
            return value


class Reader:
    """Takes elements of one or several documents, and gives the rulesets."""

    def __init__(self) -> None:
        self.rulesets = {family: Ruleset(NFTABLES, family) for family in (4, 6)}
        self.problems = {family: DumpProblems(ruleset.problems) for family, ruleset in self.rulesets.items()}
        self.kept = 0
        self.began = False
        self.foreign: dict[tuple[str, str], dict[str, ForeignChain]] = {}
        self.bases: dict[tuple[str, str, str], BaseChain] = {}
        self.base_families: dict[tuple[str, str, str], tuple[int, ...]] = {}

    def problem(self, text: str) -> None:
        for problems in self.problems.values():
            problems.add(text)

    def document(self, chunks: Iterable[str]) -> None:
        """Take a whole document; what is wrong with it becomes a problem of the rulesets."""
        try:
            for element in elements(chunks):
                self.add(element)
        except ValueError as error:
            self.problem(f"not the output of nft -j: {error}")
        except RecursionError:
            self.problem("not the output of nft -j: nested too deeply")

    def finish(self) -> tuple[Ruleset, Ruleset]:
        """The rulesets of IPv4 and IPv6."""
        if not self.began:
            self.problem("not the output of nft -j: no metainfo")
        for key, base in self.bases.items():
            for family in self.base_families[key]:
                self.rulesets[family].hooked.append(base)
        for (family_name, _table), chains in self.foreign.items():
            for family in FAMILIES.get(family_name, ()):
                self.rulesets[family].tables.setdefault("", Table()).foreign.update(chains)
        return self.rulesets[4], self.rulesets[6]

    def add(self, element: Object) -> None:
        if "metainfo" in element:
            self.began = True
        elif "chain" in element:
            self.chain(mapping_of(element["chain"]))
        elif "rule" in element:
            self.rule(mapping_of(element["rule"]))

    def chain(self, chain: Object) -> None:
        family_name, table, name = _place(chain, "name")
        if table == CALICO_TABLE and family_name in ("ip", "ip6"):
            layer, _separator, short = name.partition("-")
            if layer not in LAYERS:
                return
            home = self.rulesets[FAMILIES[family_name][0]].tables.setdefault(layer, Table())
            if "hook" in chain:
                home.chains[short] = Chain(hook=str(chain["hook"]), policy=str(chain.get("policy", "")))
                return
            home.declared.add(short)
            if is_watched(short):
                home.chains[short] = Chain()
        elif family_name in FAMILIES and "hook" in chain:
            key = (family_name, table, name)
            self.bases[key] = BaseChain(
                f"{family_name} {table} {name}",
                str(chain["hook"]),
                str(chain.get("policy", "accept")),
                is_iptables(family_name, table),
            )
            self.base_families[key] = FAMILIES[family_name]

    def rule(self, rule: Object) -> None:
        family_name, table, name = _place(rule, "chain")
        if table == CALICO_TABLE and family_name in ("ip", "ip6"):
            self.calico_rule(FAMILIES[family_name][0], name, rule)
        elif family_name in FAMILIES:
            self.foreign_rule((family_name, table, name), rule)

    def calico_rule(self, family: int, name: str, rule: Object) -> None:
        layer, _separator, short = name.partition("-")
        home = self.rulesets[family].tables.get(layer)
        if home is None:
            return
        read = read_rule(rule, layer)
        if read.action in ("jump", "goto"):
            home.jumps.setdefault(short, set()).add(read.target)
        chain = home.chains.get(short)
        if chain is None:
            if short not in home.declared:
                self.problems[family].add(f"a rule of the undeclared chain {name[:40]!r}")
            return
        self.kept += 1
        if self.kept > MAX_KEPT_RULES:
            self.problems[family].add(f"more than {MAX_KEPT_RULES} rules on the way of host traffic")
            return
        chain.rules.append(read)

    def foreign_rule(self, key: tuple[str, str, str], rule: Object) -> None:
        self.note_mark(key, rule)
        base = self.bases.get(key)
        if base is not None:
            self.kept += 1
            if self.kept <= MAX_KEPT_RULES:
                base.rules.append(read_rule(rule, ""))
            return
        chains = self.foreign.setdefault(key[:2], {})
        if key[2] not in chains and sum(map(len, self.foreign.values())) >= MAX_FOREIGN_CHAINS:
            self.problem(f"more than {MAX_FOREIGN_CHAINS} chains of other programs")
            return
        summary = chains.setdefault(key[2], ForeignChain())
        summary.rules += 1
        read = read_rule(rule, "")
        if read.action in ("drop", "reject"):
            summary.drops |= concerns_new_connections(read)
            summary.drops_all |= summary.rules == 1 and not read.match
        elif read.action in ("jump", "goto"):
            summary.jumps.add(read.target)
        elif read.action in ("accept", "?"):
            summary.accepts = True

    def note_mark(self, key: tuple[str, str, str], rule: Object) -> None:
        for statement in _statements(rule):
            mangle = statement.get("mangle")
            if not isinstance(mangle, dict) or mangle.get("key") != {"meta": {"key": "mark"}}:
                continue
            value = mangle.get("value")
            mark = _operand(value, "|") or _operand(value, "^") or value
            if isinstance(mark, int) and mark & DROP_MARK:
                for family in FAMILIES[key[0]]:
                    if len(self.rulesets[family].set_marks) < 20:
                        self.rulesets[family].set_marks.append(f"{' '.join(key)}: sets mark {mark:#x}")


def is_iptables(family_name: str, table: str) -> bool:
    """Whether a table is one that iptables-nft-save lists."""
    return family_name in ("ip", "ip6") and table in IPTABLES_TABLES


def read_rule(rule: Object, layer: str) -> DumpedRule:
    """A rule element in our form.

    :param layer: of Calico's table; its prefix is taken off jump targets
    """
    match: list[Match] = []
    actions: list[tuple[str, str]] = []
    for statement in _statements(rule):
        if len(statement) != 1:
            match.append(("?", str(sorted(statement))))
            continue
        ((kind, value),) = statement.items()
        if kind == "match":
            match.extend(_match(mapping_of(value)))
        elif kind not in ("counter", "continue"):
            actions.append(_action(kind, value, layer))
    if len(actions) > 1:
        # Such as a limit before an accept: what the last one does, the others may prevent.
        match.extend(("?", f"{action} {target}".strip()) for action, target in actions[:-1])
    action, target = actions[-1] if actions else ("none", "")
    hash_, comments = _comment(rule.get("comment"))
    return DumpedRule(tuple(_with_protocol(match)), action, target, hash_, comments)


def _action(kind: str, value: object, layer: str) -> tuple[str, str]:
    if kind in _VERDICTS and (value is None or kind == "reject"):
        return kind, ""
    if kind in ("jump", "goto"):
        target = str(mapping_of(value).get("target", ""))
        if layer and target.startswith(layer + "-"):
            target = target[len(layer) + 1 :]
        return kind, target
    if kind == "mangle":
        return _mangle(mapping_of(value))
    if kind == "masquerade" and value in (None, {"flags": "fully-random"}):
        return "masquerade", "random" if value else ""
    return _log(mapping_of(value)) if kind == "log" else ("?", kind)


def _statements(rule: Object) -> list[Object]:
    expressions = rule.get("expr")
    if not isinstance(expressions, list):
        return []
    return [item if isinstance(item, dict) else {"?": item} for item in expressions]


def _place(element: Object, chain: str) -> tuple[str, str, str]:
    """Family, table and chain of an element; ``chain`` is the chain's key in it."""
    return str(element.get("family", "")), str(element.get("table", "")), str(element.get(chain, ""))


def _comment(text: object) -> tuple[str, tuple[str, ...]]:
    if not isinstance(text, str) or not text:
        return "", ()
    if text.startswith("cali:") and len(text) >= 22 and text[21] == ";":
        rest = text[22:].strip()
        return text[5:21], (rest,) if rest else ()
    return "", (text,)


def _with_protocol(match: list[Match]) -> list[Match]:
    """nft leaves out the protocol match that a port match implies; Felix writes it, first."""
    ports = [index for index, (kind, _value) in enumerate(match) if kind.lstrip("!") in ("dports", "sports")]
    if not ports:
        return match
    protocols = {value.split(":", 1)[0] for kind, value in match if kind.lstrip("!") in ("dports", "sports")}
    cleaned = [
        (kind, value.split(":", 1)[1]) if kind.lstrip("!") in ("dports", "sports") else (kind, value)
        for kind, value in match
    ]
    if any(kind == "proto" for kind, _value in match) or len(protocols) != 1:
        return cleaned
    return [("proto", protocols.pop()), *cleaned]


def _match(item: Object) -> list[Match]:
    operator = item.get("op")
    left, right = item.get("left"), item.get("right")
    inverted = "!" if operator == "!=" else ""
    if operator not in ("==", "!=", "in") or not isinstance(left, dict):
        return [("?", str(operator))]
    payload = mapping_of(left.get("payload"))
    if payload:
        return [_payload(payload, right, inverted)]
    meta = mapping_of(left.get("meta")).get("key")
    if meta in ("iifname", "oifname") and isinstance(right, str):
        name = right[:-1] + "+" if right.endswith("*") else right
        return [(f"{inverted}{meta[0]}if", name)]
    if meta == "l4proto" and isinstance(right, (str, int)):
        return [(f"{inverted}proto", _PROTOCOLS.get(right, str(right)))]
    if meta == "mark" and isinstance(right, int):
        return [(f"{inverted}mark", f"{right:#x}/0xffffffff")]
    mask = _operand(left, "&")
    if mask is not None and isinstance(right, int):
        return [(f"{inverted}mark", f"{right:#x}/{mask:#x}")]
    tracked = mapping_of(left.get("ct")).get("key")
    if tracked in ("state", "status"):
        return [_conntrack(str(tracked), right, inverted)]
    fib = mapping_of(left.get("fib"))
    if (
        fib.get("result") == "oif"
        and fib.get("flags") == ["saddr", "mark", "iif"]
        and right in ("0", 0, False)
    ):
        return [("rpf", "")]
    if fib.get("result") == "type" and fib.get("flags") == ["saddr", "oif"]:
        return [(f"{inverted}src-type-out", str(right).upper())]
    if fib.get("result") == "type" and fib.get("flags") in (["saddr"], ["daddr"], "saddr", "daddr"):
        side = fib["flags"] if isinstance(fib["flags"], str) else fib["flags"][0]
        return [(f"{inverted}{'src' if side == 'saddr' else 'dst'}-type", str(right).upper())]
    return [("?", str(left)[:60])]


def _payload(payload: Object, right: object, inverted: str) -> Match:
    protocol, field = payload.get("protocol"), payload.get("field")
    if protocol in ("tcp", "udp") and field in ("dport", "sport"):
        ports = _ports(right)
        return (f"{inverted}{field}s", f"{protocol}:{ports}") if ports else ("?", "ports")
    if protocol in ("ip", "ip6") and field in ("saddr", "daddr"):
        if isinstance(right, str) and right.startswith("@"):
            return f"{inverted}{'src' if field == 'saddr' else 'dst'}-set", right[1:]
        net = _net(right, 32 if protocol == "ip" else 128)
        return (f"{inverted}{field}", net) if net else ("?", str(field))
    if protocol in ("ip", "ip6") and field in ("protocol", "nexthdr") and isinstance(right, (str, int)):
        return f"{inverted}proto", _PROTOCOLS.get(right, str(right))
    return "?", f"{protocol} {field}"


def _net(right: object, host_length: int) -> Optional[str]:
    if isinstance(right, str):
        return f"{right}/{host_length}"
    prefix = mapping_of(mapping_of(right).get("prefix"))
    if prefix:
        return f"{prefix.get('addr')}/{prefix.get('len')}"
    return None


def _ports(right: object) -> str:
    if isinstance(right, int):
        return str(right)
    members = mapping_of(right).get("set")
    if isinstance(members, list):
        texts = [_ports(member) for member in members]
        return ",".join(texts) if all(texts) else ""
    limits = mapping_of(right).get("range")
    if isinstance(limits, list) and len(limits) == 2:
        return f"{limits[0]}:{limits[1]}"
    return ""


def _conntrack(key: str, right: object, inverted: str) -> Match:
    members = right.get("set") if isinstance(right, dict) else right
    states = [members] if isinstance(members, str) else members
    if not isinstance(states, list) or not all(isinstance(state, str) for state in states):
        return "?", f"ct {key}"
    names = [state.upper() for state in states]
    if sorted(names) == sorted(_STATES):
        names = list(_STATES)
    if (key == "status") != (names == ["DNAT"]):
        return "?", f"ct {key} {','.join(names)}"
    return f"{inverted}ctstate", ",".join(names)


def _log(item: Object) -> tuple[str, str]:
    if "group" not in item:
        return "?", "log"
    return "nflog", f"{item['group']} {item.get('snaplen', 0)} {item.get('prefix', '')}"


def _mangle(item: Object) -> tuple[str, str]:
    field = mapping_of(mapping_of(item.get("key")).get("payload")).get("field")
    if field == "dscp" and isinstance(item.get("value"), int):
        return "dscp", str(item["value"])
    if item.get("key") != {"meta": {"key": "mark"}}:
        return "?", "mangle"
    value = item.get("value")
    kept = _operand(value, "&")
    if kept is not None:
        return "clear-mark", f"{kept ^ 0xFFFFFFFF:#x}"
    added = _operand(value, "|")
    if added is not None:
        return "set-mark", f"{added:#x}/{added:#x}"
    toggled = _operand_of_masked(value)
    if toggled is not None:
        mark, kept = toggled
        return "set-mark", f"{mark:#x}/{kept ^ 0xFFFFFFFF:#x}"
    return "?", "meta mark set"


def _operand(value: object, operator: str) -> Optional[int]:
    """The constant of ``meta mark OPERATOR constant``."""
    pair = mapping_of(value).get(operator)
    if isinstance(pair, list) and len(pair) == 2 and pair[0] == {"meta": {"key": "mark"}}:
        return pair[1] if isinstance(pair[1], int) else None
    return None


def _operand_of_masked(value: object) -> Optional[tuple[int, int]]:
    """The constants of ``meta mark & kept ^ mark``."""
    pair = mapping_of(value).get("^")
    if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], int):
        kept = _operand(pair[0], "&")
        if kept is not None:
            return pair[1], kept
    return None
