# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The exact difference of two sets of objects as Felix reads them: object by object, rule by rule.

How an object was written makes no difference: a field that only repeats Calico's default is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from difflib import SequenceMatcher
from typing import Any, Optional

from ..mapping import mapping_of
from .model import Policy, Reference, Rule
from .reader import opened, read

Object = Mapping[str, Any]

ADDED, REMOVED, CHANGED, MOVED = "added", "removed", "changed", "moved"
_STAGED_PREFIX = "Staged"
# What a field of the model is called in the API; several may come from one field, and one from several.
_SPEC_NAMES: Mapping[str, tuple[str, ...]] = {
    "tier": ("tier",),
    "order": ("order",),
    "selector": ("selector", "namespaceSelector", "serviceAccountSelector"),
    "namespace_selector_text": ("namespaceSelector",),
    "account_selector_text": ("serviceAccountSelector",),
    "governs_ingress": ("types",),
    "governs_egress": ("types",),
    "do_not_track": ("doNotTrack",),
    "pre_dnat": ("preDNAT",),
    "apply_on_forward": ("applyOnForward",),
    "node": ("node",),
    "interface": ("interfaceName",),
    "expected_ips": ("expectedIPs",),
    "profiles": ("profiles",),
    "ports": ("ports",),
    "default_action": ("defaultAction",),
    "nets": ("nets",),
}
# Compared elsewhere, or without a say in what happens to a packet.
_NOT_FIELDS = frozenset(
    ("ref", "misreadings", "types_given", "staged", "ingress", "egress", "labels", "selector_text")
)


@dataclass(frozen=True)
class FieldChange:
    """A field that differs; its values as JSON, None where it is not given."""

    field: str
    before: Optional[str]
    after: Optional[str]


@dataclass(frozen=True)
class RuleChange:
    """A rule that is added, removed, or moved: rules are evaluated in their order.

    :ivar before: its index in the list before, None where it was not there; ``after`` likewise
    :ivar rule: the rule as JSON
    """

    action: str
    direction: str
    before: Optional[int]
    after: Optional[int]
    rule: str


@dataclass(frozen=True)
class ObjectChange:
    """One object that differs. One that is added or removed has all of its fields and rules."""

    action: str
    kind: str
    name: str
    namespace: str = ""
    fields: tuple[FieldChange, ...] = ()
    rules: tuple[RuleChange, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """In plain types, as modules and reports have it."""
        return {
            **asdict(self),
            "fields": [asdict(change) for change in self.fields],
            "rules": [asdict(change) for change in self.rules],
        }


@dataclass(frozen=True)
class _Side:
    """Parsed objects, and their texts, by (kind, namespace, name)."""

    parsed: Mapping[tuple[str, str, str], Any]
    stored: Mapping[tuple[str, str, str], Object]

    def text(self, item: Any) -> Object:
        ref: Reference = item.ref
        for name in (ref.stored_name, ref.name, f"default.{ref.name}"):
            found = self.stored.get((ref.kind, ref.namespace, name))
            if found is not None:
                return found
        return {}


def differences(
    before: Iterable[Object], after: Iterable[Object], *, native: bool = False
) -> list[ObjectChange]:
    """In what policies, tiers, network sets and host endpoints differ; what Felix drops counts as absent.

    A policy that is staged on one side and enforced on the other is one object that changed.

    :param native: as ``native_v3`` of :func:`.reader.read`
    :raises BadInput: as :func:`.reader.read`
    """
    old, new = _side(before, native), _side(after, native)
    pairs = {key: (old.parsed.get(key), new.parsed.get(key)) for key in {*old.parsed, *new.parsed}}
    for key in [key for key, (was, _now) in pairs.items() if was is None]:
        twin = (_other_kind(key[0]), *key[1:])
        if pairs.get(twin, (None, None))[0] is not None and pairs[twin][1] is None:
            pairs[key] = (pairs.pop(twin)[0], pairs[key][1])
    found = (
        _change(was, now, old, new) for _key, (was, now) in sorted(pairs.items(), key=lambda pair: pair[0])
    )
    return [change for change in found if change is not None]


def lines(changes: Iterable[ObjectChange]) -> Iterator[str]:
    """The difference for people: ``+`` is new, ``-`` is gone, ``~`` differs; fields and rules below."""
    signs = {ADDED: "+", REMOVED: "-", CHANGED: "~", MOVED: "~"}
    for change in changes:
        place = f"{change.namespace}/" if change.namespace else ""
        yield f"{signs[change.action]} {change.kind} {place}{change.name}"
        for field in change.fields:
            yield f"    {field.field}: {field.before or 'not set'} -> {field.after or 'not set'}"
        for rule in change.rules:
            yield f"    {signs[rule.action]} {_place(rule)}: {rule.rule}"


def _place(rule: RuleChange) -> str:
    if rule.action == MOVED:
        return f"{rule.direction}[{rule.before}] -> [{rule.after}]"
    return f"{rule.direction}[{rule.after if rule.before is None else rule.before}]"


def _other_kind(kind: str) -> str:
    return kind.removeprefix(_STAGED_PREFIX) if kind.startswith(_STAGED_PREFIX) else f"{_STAGED_PREFIX}{kind}"


def _side(objects: Iterable[Object], native: bool) -> _Side:
    raws = list(opened(objects))
    store = read(raws, native)
    parsed: dict[tuple[str, str, str], Any] = {}
    items: list[Any] = [*store.policies, *store.host_endpoints, *store.network_sets, *store.tiers.values()]
    for item in items:
        parsed[item.ref.kind, item.ref.namespace, item.ref.name] = item
    stored = {}
    for raw in raws:
        metadata = raw.get("metadata") or {}
        stored[str(raw.get("kind")), str(metadata.get("namespace") or ""), str(metadata.get("name"))] = raw
    return _Side(parsed, stored)


def _change(was: Any, now: Any, old: _Side, new: _Side) -> Optional[ObjectChange]:
    one = was if now is None else now
    action = ADDED if was is None else REMOVED if now is None else CHANGED
    texts = ({} if was is None else old.text(was), {} if now is None else new.text(now))
    changed = tuple(_fields(was, now, texts) if action == CHANGED else _all_fields(*texts))
    rules = tuple(_rules(was, now, texts)) if isinstance(one, Policy) else ()
    if action == CHANGED and not changed and not rules:
        return None
    return ObjectChange(action, one.ref.kind, one.ref.name, one.ref.namespace, changed, rules)


def _fields(was: Any, now: Any, texts: tuple[Object, Object]) -> Iterator[FieldChange]:
    if was.ref.kind != now.ref.kind:
        yield FieldChange("kind", was.ref.kind, now.ref.kind)
    if getattr(was, "labels", None) != getattr(now, "labels", None):
        yield FieldChange("labels", _json(dict(was.labels)), _json(dict(now.labels)))
    names: dict[str, None] = {}
    for part in fields(was):
        if part.name not in _NOT_FIELDS and getattr(was, part.name) != getattr(now, part.name):
            names.update(dict.fromkeys(_SPEC_NAMES[part.name]))
    for name in names:
        before, after = (mapping_of(text.get("spec")).get(name) for text in texts)
        if before != after:
            yield FieldChange(name, _json(before), _json(after))


def _all_fields(before: Object, after: Object) -> Iterator[FieldChange]:
    """The fields of an object that is on one side only."""
    old, new = mapping_of(before.get("spec")), mapping_of(after.get("spec"))
    for name in sorted({*old, *new} - {"ingress", "egress"}):
        yield FieldChange(name, _json(old.get(name)), _json(new.get(name)))


def _rules(
    was: Optional[Policy], now: Optional[Policy], texts: tuple[Object, Object]
) -> Iterator[RuleChange]:
    for direction in ("ingress", "egress"):
        old: Sequence[Rule] = () if was is None else getattr(was, direction)
        new: Sequence[Rule] = () if now is None else getattr(now, direction)
        yield from _of_one_list(direction, old, new, texts)


def _of_one_list(
    direction: str, old: Sequence[Rule], new: Sequence[Rule], texts: tuple[Object, Object]
) -> Iterator[RuleChange]:
    # Where a rule stands is no part of what it says.
    bare_old, bare_new = ([replace(rule, index=0) for rule in side] for side in (old, new))
    gone: list[int] = []
    come: list[int] = []
    for what, first, last, first_new, last_new in SequenceMatcher(
        None, bare_old, bare_new, autojunk=False
    ).get_opcodes():
        if what != "equal":
            gone += range(first, last)
            come += range(first_new, last_new)
    for at in gone:
        there = next((index for index in come if bare_new[index] == bare_old[at]), None)
        if there is not None:
            come.remove(there)
            yield RuleChange(MOVED, direction, at, there, _rule(texts[1], direction, new[there]))
        else:
            yield RuleChange(REMOVED, direction, at, None, _rule(texts[0], direction, old[at]))
    for at in come:
        yield RuleChange(ADDED, direction, None, at, _rule(texts[1], direction, new[at]))


def _rule(text: Object, direction: str, rule: Rule) -> str:
    given = mapping_of(text.get("spec")).get(direction)
    if isinstance(given, list) and rule.index < len(given):
        return json.dumps(given[rule.index], ensure_ascii=False, sort_keys=True)
    return rule.action


def _json(value: object) -> Optional[str]:
    return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
