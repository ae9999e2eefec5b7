# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is to be written so that policy sets are in their state: objects in, writes in their order out.

A set is what carries its name in the label ``hostfence.io/set``. Tiers are shared: a tier of Hostfence
remembers in its annotations which sets use it and what each wants at its end, and its defaultAction is
Deny as long as one of them wants that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ..bad_input import BadInput
from ..host_endpoint import FIELD_MANAGER, METADATA_ANNOTATION, OWNER, OWNER_LABEL, effective_labels
from . import transition
from .definition import (
    BUILTIN_TIERS,
    DEFAULT_TIER,
    DENY,
    NETWORK_SET,
    PASS,
    POLICY,
    SET_LABEL,
    STAGED_POLICY,
    TIER,
    TIER_LABEL,
    Definitions,
    Metadata,
    NetworkSet,
    Policy,
    Tier,
    canonical_name,
    is_simple_name,
    normal_spec,
    stored_name,
    stores_default_prefix,
    wire,
)

Object = dict[str, Any]

# KEPT is wanted only: what the cluster has stays.
KEPT, STAGED, ENFORCED, ABSENT = "kept", "staged", "enforced", "absent"
KINDS = (POLICY, STAGED_POLICY, NETWORK_SET, TIER)
# One annotation per policy set that uses the tier; its value is the defaultAction that set wants.
WISH_PREFIX = "sets.hostfence.io/"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True)
class PolicySet:
    """What is wanted of a set.

    :ivar tier: tier of policies that name none; made by us with ``tier_order`` where it is used
    :ivar default_action: what ends such a tier once the set is enforced
    :ivar remarks: what was left alone or rewritten where the definitions were read
    :ivar missing: names of the variables that are empty and without which the set must not be enforced
    """

    name: str
    state: str
    definitions: Definitions = field(default_factory=Definitions)
    tier: str = OWNER
    tier_order: float = 100
    default_action: str = DENY
    remarks: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not is_simple_name(self.name):
            raise BadInput("name", self.name, "a set's name is at most 63 lower-case letters, digits and '-'")
        if not is_simple_name(self.tier):
            raise BadInput("tier.name", self.tier, "a tier's name has no dot, and at most 63 characters")
        for policy in self.definitions.policies:
            if transition.is_bridge(policy.name, self.name):
                raise BadInput(
                    "metadata.name", policy.name, "Hostfence uses this name itself: change it", policy.source
                )


@dataclass(frozen=True)
class Live:
    """One stored object. ``name`` is canonical, ``spec`` normal, ``set_name`` empty where not of a set."""

    kind: str
    name: str
    spec: Object
    ours: bool
    set_name: str
    stored: Object

    @property
    def tier(self) -> str:
        return str(self.spec.get("tier") or DEFAULT_TIER)

    @property
    def stored_name(self) -> str:
        return str(self.stored["metadata"]["name"])


@dataclass(frozen=True)
class Inventory:
    """All policy of the cluster.

    :ivar serves: kinds that the API knows
    :ivar default_prefix: whether policies of the tier default are stored as ``default.<name>``
    """

    objects: tuple[Live, ...]
    serves: frozenset[str]
    api_version: str
    default_prefix: bool

    def find(self, kind: str, name: str) -> Optional[Live]:
        return next((o for o in self.objects if (o.kind, o.name) == (kind, name)), None)

    def of_set(self, set_name: str, kind: Optional[str] = None) -> list[Live]:
        return [o for o in self.objects if o.set_name == set_name and kind in (None, o.kind)]


@dataclass(frozen=True)
class Write:
    """One write.

    :ivar action: ``create``, ``update`` or ``delete``
    :ivar wanted: the object to write, or None to delete
    :ivar live: what is stored when the run begins, or None
    :ivar interim: belongs to the way only, and is not what stays at the end
    """

    action: str
    kind: str
    name: str
    wanted: Optional[Object]
    live: Optional[Object]
    interim: bool = False


@dataclass(frozen=True)
class WritePlan:
    """:ivar not_stored: names of policies that this version of Calico has no kind to store as staged."""

    writes: tuple[Write, ...] = ()
    not_stored: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def inventory_of(
    objects: Mapping[str, Iterable[Object]],
    serves: frozenset[str],
    api_version: str,
    *,
    raw_v1: bool,
    calico_version: str,
) -> Inventory:
    """The inventory of objects as the API lists them, by their kind.

    :param raw_v1: whether nothing stands between Hostfence and the storage form
    """
    found = tuple(_live(kind, obj) for kind in KINDS for obj in objects.get(kind, ()))
    prefix = raw_v1 and stores_default_prefix(calico_version, TIER in serves)
    return Inventory(found, serves, api_version, prefix)


def assumed(api_version: str) -> Inventory:
    """The inventory of a cluster that has no Calico yet."""
    return Inventory((), frozenset(KINDS), api_version, default_prefix=False)


def plan(inventory: Inventory, wanted: PolicySet, tiers_in_use: frozenset[str] = frozenset()) -> WritePlan:
    """What is to be written, in order.

    :param tiers_in_use: tiers to keep, whoever wants them no more
    :raises BadInput: an object of that name belongs to somebody else or to another set, or a tier is
        named that nobody makes
    """
    return _Planner(inventory, wanted, tiers_in_use).plan()


def calico_name(obj: Object) -> str:
    """The name that Calico's clients show for an object that we write."""
    tier = (obj.get("spec") or {}).get("tier") or DEFAULT_TIER
    name = str(obj["metadata"]["name"])
    return canonical_name(name, tier) if obj["kind"] in (POLICY, STAGED_POLICY) else name


def objects_after(inventory: Inventory, planned: WritePlan) -> list[Object]:
    """The policy objects as they will be once all is written."""
    objects = {(o.kind, o.stored_name): o.stored for o in inventory.objects}
    for write in planned.writes:
        if write.wanted is None:
            objects.pop((write.kind, write.name), None)
        else:
            objects[write.kind, write.name] = write.wanted
    return [
        {**obj, "apiVersion": inventory.api_version, "kind": kind} for (kind, _name), obj in objects.items()
    ]


def settled(inventory: Inventory, wanted: PolicySet) -> PolicySet:
    """The set with the state that it is to have: by :data:`KEPT` one that is enforced stays so."""
    if wanted.state != KEPT:
        return wanted
    enforced = any(o.kind == POLICY for o in inventory.of_set(wanted.name))
    return replace(wanted, state=ENFORCED if enforced else STAGED)


def once_enforced(inventory: Inventory) -> tuple[list[Object], list[Object]]:
    """What decides about packets now, and what will once every staged policy of a set is enforced.

    What a set wants at the end of a tier is not stored while it is staged, so tiers are the same in both.
    """
    now = {(o.kind, o.name): (o.kind, o.stored) for o in inventory.objects if o.kind != STAGED_POLICY}
    staged = [o for o in inventory.objects if o.kind == STAGED_POLICY and o.set_name]
    then = {**now, **{(POLICY, o.name): (POLICY, _without_staged_action(o.stored)) for o in staged}}
    before, after = (
        [{**obj, "apiVersion": inventory.api_version, "kind": kind} for kind, obj in side.values()]
        for side in (now, then)
    )
    return before, after


def _without_staged_action(stored: Object) -> Object:
    return {**stored, "spec": {k: v for k, v in (stored.get("spec") or {}).items() if k != "stagedAction"}}


def changes_enforcement(inventory: Inventory, planned: WritePlan) -> bool:
    """Whether the writes change what is enforced, be it by a tier or a network set of an enforced policy."""
    enforced = [o for o in inventory.objects if o.kind == POLICY]
    return any(_decides(write, enforced) for write in planned.writes)


def _decides(write: Write, enforced: Sequence[Live]) -> bool:
    if write.kind == POLICY:
        return True
    ends = [obj for obj in (write.live, write.wanted) if obj]
    if write.kind == TIER:
        specs = [normal_spec(obj.get("spec") or {}) for obj in ends]
        return any(o.tier == write.name for o in enforced) and (len(ends) < 2 or specs[0] != specs[1])
    if write.kind == NETWORK_SET:
        members = [_members(obj) for obj in ends]
        same = len(members) == 2 and members[0] == members[1]
        return not same and any(transition.refers_to(o.spec, m.labels) for o in enforced for m in members)
    return False


def inventory_after(inventory: Inventory, planned: WritePlan) -> Inventory:
    """The inventory once all is written."""
    return rehearsed(inventory, told(planned))


def rehearsed(inventory: Inventory, writes: Iterable[Mapping[str, Any]]) -> Inventory:
    """The inventory once the writes that a rehearsal told (:func:`told`) were done."""
    objects = {(o.kind, o.stored_name): o for o in inventory.objects}
    for write in writes:
        key = (write["kind"], write["name"])
        objects.pop(key, None)
        if write["object"]:
            objects[key] = _live(write["kind"], write["object"])
    return replace(inventory, objects=tuple(objects.values()))


def told(planned: WritePlan) -> list[Object]:
    """The writes of a rehearsal, whole."""
    return [{"kind": w.kind, "name": w.name, "object": w.wanted} for w in planned.writes]


def restore_options(inventory: Inventory, set_name: str) -> Object:
    """The options of the module policies that bring a set back to what it is now."""
    ours = inventory.of_set(set_name)
    tiers = [o for o in inventory.objects if o.kind == TIER and o.ours and set_name in wishes(o.stored)]
    enforced = any(o.kind == POLICY for o in ours)
    kept = (POLICY if enforced else STAGED_POLICY, NETWORK_SET)
    return {
        "name": set_name,
        "state": ENFORCED if enforced else STAGED if ours else ABSENT,
        "definitions": [
            *(
                _definition(o, {**o.spec, "tier": o.tier} if o.kind != NETWORK_SET else dict(o.spec))
                for o in ours
                if o.kind in kept
            ),
            *(_definition(o, {**o.spec, "defaultAction": wishes(o.stored)[set_name]}) for o in tiers),
        ],
    }


def _definition(live: Live, spec: Object) -> Object:
    metadata = {
        "name": live.name,
        "labels": {
            k: v
            for k, v in effective_labels(live.stored).items()
            if k not in (OWNER_LABEL, SET_LABEL, TIER_LABEL)
        },
        "annotations": {
            k: v
            for k, v in (live.stored["metadata"].get("annotations") or {}).items()
            if k not in (METADATA_ANNOTATION, _LAST_APPLIED) and not k.startswith(WISH_PREFIX)
        },
    }
    return {"apiVersion": "projectcalico.org/v3", "kind": live.kind, "metadata": metadata, "spec": spec}


def shown(obj: Optional[Object]) -> Object:
    """The fields of an object that are ours to decide, for a diff."""
    if obj is None:
        return {}
    annotations = {
        k: v for k, v in (obj["metadata"].get("annotations") or {}).items() if k != METADATA_ANNOTATION
    }
    found = {"labels": effective_labels(obj), "annotations": annotations, "spec": obj.get("spec") or {}}
    return normal_spec(found)


def wishes(tier: Object) -> dict[str, str]:
    """Which sets use a tier, and what each wants at its end."""
    annotations = tier["metadata"].get("annotations") or {}
    return {k[len(WISH_PREFIX) :]: str(v) for k, v in annotations.items() if k.startswith(WISH_PREFIX)}


class _Planner:
    def __init__(self, inventory: Inventory, wanted: PolicySet, tiers_in_use: frozenset[str]) -> None:
        self.inventory = inventory
        self.wanted = wanted
        self.tiers_in_use = tiers_in_use
        self.policies = () if wanted.state == ABSENT else tuple(self._placed())
        self.sets = () if wanted.state == ABSENT else wanted.definitions.network_sets
        self.tiers = self._tiers()

    def plan(self) -> WritePlan:
        self._refuse_strangers()
        old, new = self._states()
        writes = list(self._decisive_writes(transition.plan(old, new, self.wanted.name)))
        decided = {(w.kind, w.name) for w in writes}
        writes += [w for w in self._metadata_writes() if (w.kind, w.name) not in decided]
        leaving = [w for w in writes if w.kind == TIER and w.action == "delete"]
        staying = [w for w in writes if w not in leaving]
        return WritePlan((*staying, *self._staged_writes(), *leaving), *self._not_stored())

    # What is wanted.

    def _placed(self) -> Iterator[Policy]:
        """The policies in the tiers they can be stored in: before tiers were, there was only one."""
        seen: dict[str, str] = {}
        for policy in self.wanted.definitions.policies:
            placed = policy
            if TIER not in self.inventory.serves:
                base = policy.name.rpartition(".")[2]
                placed = replace(
                    policy,
                    metadata=replace(policy.metadata, name=base),
                    spec=replace(policy.spec, tier=DEFAULT_TIER),
                )
            if placed.name in seen:
                raise BadInput(
                    "metadata.name",
                    policy.name,
                    f"without tiers (Calico before 3.29) the same as the one in {seen[placed.name]}",
                    policy.source,
                )
            seen[placed.name] = policy.source
            yield placed

    def _tiers(self) -> dict[str, Object]:
        """The tiers that are ours to write, as they are to be."""
        if TIER not in self.inventory.serves:
            return {}
        declared = {t.metadata.name: t for t in self.wanted.definitions.tiers}
        declared.setdefault(self.wanted.tier, Tier(Metadata(self.wanted.tier), self.wanted.tier_order))
        used = {p.spec.tier for p in self.policies}
        found = {
            name: self._tier(tier)
            for name, tier in declared.items()
            if name in used and name not in BUILTIN_TIERS
        }
        for name in used - set(found) - set(BUILTIN_TIERS):
            if not self.inventory.find(TIER, name):
                source = next(p.source for p in self.policies if p.spec.tier == name)
                raise BadInput("spec.tier", name, "no such tier: add it to the set, or make it first", source)
        for live in self._tiers_to_leave(found):
            found[live.name] = self._tier_without_us(live)
        return found

    def _tier(self, tier: Tier) -> Object:
        live = self.inventory.find(TIER, tier.metadata.name)
        action = tier.default_action or self.wanted.default_action
        wish = action if self.wanted.state == ENFORCED else PASS
        return self._tier_object(
            tier.metadata, tier.order, {**(wishes(live.stored) if live else {}), self.wanted.name: wish}
        )

    def _tiers_to_leave(self, kept: Mapping[str, Object]) -> list[Live]:
        tiers = (o for o in self.inventory.objects if o.kind == TIER and o.ours and o.name not in kept)
        return [t for t in tiers if self.wanted.name in wishes(t.stored)]

    def _tier_without_us(self, live: Live) -> Object:
        others = {name: wish for name, wish in wishes(live.stored).items() if name != self.wanted.name}
        return self._tier_object(Metadata(live.name), live.spec.get("order"), others)

    def _tier_object(self, metadata: Metadata, order: Optional[float], wish: Mapping[str, str]) -> Object:
        action = DENY if DENY in wish.values() else PASS
        annotations = {**metadata.annotations, **{f"{WISH_PREFIX}{n}": w for n, w in wish.items()}}
        spec = {**({} if order is None else {"order": order}), "defaultAction": action}
        return self._object(TIER, metadata.name, spec, metadata.labels, annotations)

    def _is_emptied(self, tier: str) -> bool:
        """Whether a tier of ours is used by nobody any more."""
        if wishes(self.tiers[tier]) or tier in self.tiers_in_use:
            return False
        return not any(
            o.tier == tier and o.set_name != self.wanted.name
            for o in self.inventory.objects
            if o.kind in (POLICY, STAGED_POLICY)
        )

    def _object(
        self,
        kind: str,
        name: str,
        spec: Object,
        labels: Mapping[str, str],
        annotations: Mapping[str, str],
    ) -> Object:
        metadata: Object = {"name": name, "labels": {**labels, OWNER_LABEL: OWNER}}
        if kind != TIER:
            metadata["labels"][SET_LABEL] = self.wanted.name
        if kind in (POLICY, STAGED_POLICY) and TIER in self.inventory.serves:
            metadata["labels"][TIER_LABEL] = spec["tier"]
        if annotations:
            metadata["annotations"] = dict(annotations)
        return {
            "apiVersion": self.inventory.api_version,
            "kind": kind,
            "metadata": metadata,
            "spec": spec,
        }

    def _policy_object(self, kind: str, name: str, spec: Object, metadata: Metadata) -> Object:
        live = self.inventory.find(kind, name)
        stored = live.stored_name if live else self._name_to_store(name)
        obj = self._object(kind, stored, dict(spec), metadata.labels, metadata.annotations)
        if TIER not in self.inventory.serves:
            del obj["spec"]["tier"]  # a field that older CRDs prune
        if kind == STAGED_POLICY:
            obj["spec"]["stagedAction"] = "Set"
        return obj

    def _name_to_store(self, name: str) -> str:
        tier = name.partition(".")[0] if "." in name else DEFAULT_TIER
        return stored_name(name, tier, self.inventory.default_prefix)

    # What may not be touched.

    def _refuse_strangers(self) -> None:
        for policy in self.policies:
            for kind in (POLICY, STAGED_POLICY):
                self._refuse_stranger(kind, policy.name, policy.source)
        for network_set in self.sets:
            self._refuse_stranger(NETWORK_SET, network_set.metadata.name, network_set.source)
        for name in self.tiers:
            live = self.inventory.find(TIER, name)
            if live and not live.ours:
                raise BadInput(
                    "tier",
                    name,
                    "a tier of this name exists and is not ours: name another, or name this one in each "
                    "policy's spec.tier and we use it as it is",
                )

    def _refuse_stranger(self, kind: str, name: str, source: str) -> None:
        live = self.inventory.find(kind, name)
        if live is None or live.set_name == self.wanted.name:
            return
        owner = f"belongs to the set {live.set_name}" if live.set_name else "was made by somebody else"
        raise BadInput(
            "metadata.name", name, f"{kind} {live.stored_name} exists and {owner}: rename yours", source
        )

    # The way from what is to what is wanted.

    def _states(self) -> tuple[transition.State, transition.State]:
        ours = self.inventory.of_set(self.wanted.name)
        enforced = self.policies if self.wanted.state == ENFORCED else ()
        tiers = {p.spec.tier for p in enforced} | {o.tier for o in ours if o.kind == POLICY} | set(self.tiers)
        stored = {
            o.name: {**o.spec, "tier": o.tier}
            for o in self.inventory.objects
            if o.kind == POLICY and o.tier in tiers
        }
        others = {
            name: spec
            for name, spec in stored.items()
            if name not in {o.name for o in ours if o.kind == POLICY}
        }
        ranks = {
            o.name: _ranked(o.spec) for o in self.inventory.objects if o.kind == TIER and o.name in tiers
        }
        left = {name for name in self.tiers if self._is_emptied(name)}
        old = transition.State(
            policies=stored,
            network_sets={o.name: _members(o.stored) for o in ours if o.kind == NETWORK_SET},
            tiers=ranks,
        )
        new = transition.State(
            policies={**others, **{p.name: wire(p.spec) for p in enforced}},
            network_sets={s.metadata.name: self._members_to_be(s) for s in self.sets},
            tiers={
                name: rank
                for name, rank in {**ranks, **{n: _ranked(t["spec"]) for n, t in self.tiers.items()}}.items()
                if name not in left
            },
        )
        return old, new

    def _members_to_be(self, network_set: NetworkSet) -> transition.Members:
        """Labels that others put there stay, and decide too."""
        members = _members(self._set_object(network_set))
        live = self.inventory.find(NETWORK_SET, network_set.metadata.name)
        if not live:
            return members
        ours = written_by_us(live.stored, "labels")
        others = {k: v for k, v in effective_labels(live.stored).items() if k not in ours}
        return replace(members, labels={**others, **members.labels})

    def _set_object(self, network_set: NetworkSet) -> Object:
        meta = network_set.metadata
        spec = normal_spec({"nets": list(network_set.nets)})
        return self._object(NETWORK_SET, meta.name, spec, meta.labels, meta.annotations)

    def _decisive_writes(self, steps: Iterable[transition.Step]) -> Iterator[Write]:
        written: set[tuple[str, str]] = set()
        for step in steps:
            live = self.inventory.find(step.kind, step.name)
            stored = live.stored if live else None
            if step.deletes:
                name = live.stored_name if live else self._name_to_store(step.name)
                yield Write("delete", step.kind, name, None, stored, interim=live is None)
                continue
            wanted, interim = self._wanted(step)
            action = "update" if live or (step.kind, step.name) in written else "create"
            written.add((step.kind, step.name))
            yield Write(action, step.kind, wanted["metadata"]["name"], wanted, stored, interim)

    def _wanted(self, step: transition.Step) -> tuple[Object, bool]:
        """The object that a step writes, and whether it is only for the way."""
        if step.kind == TIER:
            final = self.tiers[step.name]
            interim = final["spec"]["defaultAction"] != step.content.default_action
            return (self._opened(final) if interim else final), interim
        if step.kind == NETWORK_SET:
            return self._set_object(next(s for s in self.sets if s.metadata.name == step.name)), False
        policy = next((p for p in self.policies if p.name == step.name), None)
        metadata = policy.metadata if policy else Metadata(step.name)
        return self._policy_object(POLICY, step.name, step.content, metadata), policy is None

    def _opened(self, tier: Object) -> Object:
        """A tier at Pass, and remembering that we want it so: a run of another set may come between."""
        wish = {f"{WISH_PREFIX}{self.wanted.name}": PASS}
        annotations = tier["metadata"].get("annotations") or {}
        kept = {k: wish.get(k, v) for k, v in annotations.items()}
        metadata = {**tier["metadata"], **({"annotations": kept} if kept else {})}
        return {**tier, "metadata": metadata, "spec": {**tier["spec"], "defaultAction": PASS}}

    def _metadata_writes(self) -> Iterator[Write]:
        """Objects whose decision stays as it is, and whose labels or annotations do not."""
        enforced = self.policies if self.wanted.state == ENFORCED else ()
        objects = [(POLICY, p.name, self._final(POLICY, p)) for p in enforced]
        objects += [(NETWORK_SET, s.metadata.name, self._set_object(s)) for s in self.sets]
        objects += [(TIER, name, tier) for name, tier in self.tiers.items()]
        for kind, name, wanted in objects:
            live = self.inventory.find(kind, name)
            if live and not _same_metadata(live.stored, wanted):
                yield Write("update", kind, live.stored_name, wanted, live.stored)

    def _final(self, kind: str, policy: Policy) -> Object:
        return self._policy_object(kind, policy.name, wire(policy.spec), policy.metadata)

    def _staged_writes(self) -> Iterator[Write]:
        if STAGED_POLICY not in self.inventory.serves:
            return
        staged = self.policies if self.wanted.state == STAGED else ()
        for policy in staged:
            wanted = self._final(STAGED_POLICY, policy)
            live = self.inventory.find(STAGED_POLICY, policy.name)
            if (
                not live
                or live.spec != normal_spec(wanted["spec"])
                or not _same_metadata(live.stored, wanted)
            ):
                action, stored = ("update", live.stored) if live else ("create", None)
                yield Write(action, STAGED_POLICY, wanted["metadata"]["name"], wanted, stored)
        kept = {p.name for p in staged}
        for live in self.inventory.of_set(self.wanted.name, STAGED_POLICY):
            if live.name not in kept:
                yield Write("delete", STAGED_POLICY, live.stored_name, None, live.stored)

    def _not_stored(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if self.wanted.state != STAGED or STAGED_POLICY in self.inventory.serves or not self.policies:
            return (), ()
        return tuple(p.name for p in self.policies), (
            f"set {self.wanted.name}: this Calico has no staged policies (they came with 3.30): its "
            f"{len(self.policies)} policies are not stored until the set is enforced",
        )


def _live(kind: str, obj: Object) -> Live:
    labels = effective_labels(obj)
    spec = normal_spec(obj.get("spec") or {})
    ours = labels.get(OWNER_LABEL) == OWNER
    name = _own_name(obj)
    if kind in (POLICY, STAGED_POLICY):
        name = canonical_name(name, str(spec.get("tier") or DEFAULT_TIER))
    return Live(kind, name, spec, ours, labels.get(SET_LABEL, "") if ours else "", obj)


def _own_name(obj: Object) -> str:
    """The name that Calico's clients show: that of its metadata annotation where there is one."""
    metadata = obj["metadata"]
    try:
        hidden = json.loads((metadata.get("annotations") or {}).get(METADATA_ANNOTATION) or "{}")
    except ValueError:
        hidden = {}
    return str((hidden.get("name") if isinstance(hidden, dict) else "") or metadata["name"])


def _ranked(spec: Mapping[str, Any]) -> transition.Ranked:
    return transition.Ranked(spec.get("order"), str(spec.get("defaultAction") or DENY))


def _members(obj: Object) -> transition.Members:
    nets: Iterable[str] = (obj.get("spec") or {}).get("nets") or ()
    return transition.Members(frozenset(nets), effective_labels(obj))


def _same_metadata(live: Object, wanted: Object) -> bool:
    return _same_keys(live, "labels", effective_labels(live), wanted) and _same_keys(
        live, "annotations", live["metadata"].get("annotations") or {}, wanted
    )


def _same_keys(live: Object, what: str, found: Mapping[str, str], wanted: Object) -> bool:
    """Whether all wanted keys are there, and none that we once wrote and no longer want."""
    keys = wanted["metadata"].get(what) or {}
    stale = (written_by_us(live, what) & set(found)) - set(keys)
    return not stale and all(found.get(key) == value for key, value in keys.items())


def written_by_us(obj: Object, what: str) -> set[str]:
    """The keys of ``labels`` or ``annotations`` that Hostfence wrote."""
    ours = (m for m in obj["metadata"].get("managedFields") or [] if m.get("manager") == FIELD_MANAGER)
    found = (m.get("fieldsV1", {}).get("f:metadata", {}).get(f"f:{what}", {}) for m in ours)
    return {key[2:] for keys in found for key in keys if key.startswith("f:")}
