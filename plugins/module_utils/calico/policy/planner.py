# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is to be written so that policy sets are in their state: objects in, writes in their order out.

A set is what carries its name in the label ``hostfence.io/set``. Tiers are shared: a tier of Hostfence
remembers in its annotations which sets use it and what each wants at its end, and its defaultAction is
Deny as long as one of them wants that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ..bad_input import BadInput
from ..host_endpoint import FIELD_MANAGER, OWNER, OWNER_LABEL, effective_labels
from ..metadata_annotation import METADATA_ANNOTATION, kept_metadata
from ..tier_wishes import DENY_ONCE_ENFORCED, PREFIX, wishes
from . import audited, neutral, transition
from .definition import (
    Definitions,
    Metadata,
    NetworkSetDefinition,
    PolicyDefinition,
    TierDefinition,
    normal_spec,
    wire,
)
from .names import (
    BUILTIN_TIERS,
    DEFAULT_TIER,
    DENY,
    MAX_NAME,
    NETWORK_SET,
    PASS,
    POLICY,
    SET_LABEL,
    STAGED_POLICY,
    TIER,
    TIER_LABEL,
    canonical_name,
    is_simple_name,
    stored_name,
    stores_default_prefix,
)
from .write import PolicyWrite

Object = dict[str, Any]

# KEPT is wanted only: what the cluster has stays.
KEPT, STAGED, AUDITED, ENFORCED, ABSENT = "kept", "staged", "audited", "enforced", "absent"
STATES = (KEPT, STAGED, AUDITED, ENFORCED, ABSENT)
KINDS = (POLICY, STAGED_POLICY, NETWORK_SET, TIER)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True)
class PolicySet:
    """What is wanted of a set.

    :ivar tier: tier of policies that name none; made by us with ``tier_order`` where it is used
    :ivar default_action: what ends such a tier once the set is enforced
    :ivar audit_log: whether the kernel logs what would be denied while the set is audited
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
    audit_log: bool = False

    def __post_init__(self) -> None:
        if not is_simple_name(self.name):
            raise BadInput("name", self.name, "a set's name is at most 63 lower-case letters, digits and '-'")
        if not is_simple_name(self.tier):
            raise BadInput("tier.name", self.tier, "a tier's name has no dot, and at most 63 characters")
        for policy in self.definitions.policies:
            self._refuse_tier_of_copies(policy.spec.tier, policy.source)
            if transition.is_bridge(policy.name, self.name):
                raise BadInput(
                    "metadata.name", policy.name, "Hostfence uses this name itself: change it", policy.source
                )
        for tier in (self.tier, *(tier.metadata.name for tier in self.definitions.tiers)):
            self._refuse_tier_of_copies(tier)

    def _refuse_tier_of_copies(self, tier: str, source: str = "") -> None:
        if audited.is_tier_of_copies(tier):
            raise BadInput("spec.tier", tier, "Hostfence uses tiers of such names itself: change it", source)


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

    @property
    def is_copy(self) -> bool:
        """Whether it is there to be counted, and decides nothing (:mod:`.audited`)."""
        return audited.is_copy(self.kind, self.stored)

    @property
    def enforces(self) -> bool:
        """Whether it is a policy that decides: no copy, and none that was taken back and not deleted."""
        return self.kind == POLICY and not self.is_copy and not neutral.selects_nothing(self.spec)


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
class WritePlan:
    """:ivar not_stored: names of policies that this version of Calico has no kind to store as staged
    :ivar left_out: what of an audited set the kernel does not count, and why
    """

    writes: tuple[PolicyWrite, ...] = ()
    not_stored: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
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
    :raises BadInput: an object of that name belongs to someone else or to another set, or a tier is
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
    """The set with the state that it is to have: by :data:`KEPT` one that is enforced or audited stays so.

    :raises BadInput: nobody can tell, as a run was interrupted
    """
    if wanted.state != KEPT:
        return wanted
    objects = inventory.of_set(wanted.name)
    stands = state_of(objects)
    if stands == ENFORCED and any(o.kind == STAGED_POLICY or o.is_copy for o in objects):
        raise BadInput(
            "state",
            KEPT,
            f"set {wanted.name} is enforced in part, as a run was interrupted: say whether it is to be "
            "enforced or staged (policies_state)",
        )
    return replace(wanted, state=stands if stands in (AUDITED, ENFORCED) else STAGED)


def once_enforced(inventory: Inventory) -> tuple[list[Object], list[Object]]:
    """What decides about packets now, and what will once every staged policy of a set is enforced.

    What a set wants at the end of a tier is not stored while it is staged, so tiers are the same in both.
    """
    deciding = [o for o in inventory.objects if o.kind != STAGED_POLICY and not o.is_copy]
    now = {(o.kind, o.name): (o.kind, o.stored) for o in deciding}
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
    enforced = [o for o in inventory.objects if o.enforces]
    return any(_decides(write, enforced) for write in planned.writes)


def bridge_of(planned: WritePlan, set_name: str) -> str:
    """The policy that would allow all while the set's policies change, or empty."""
    names = (write.name for write in planned.writes if write.kind == POLICY and write.wanted)
    return next((name for name in names if transition.is_bridge(name, set_name)), "")


def left_out(inventory: Inventory, set_name: str) -> tuple[str, ...]:
    """What the kernel does not count of a set that is audited, and why; empty for other sets."""
    stored = inventory.of_set(set_name)
    if state_of(stored) != AUDITED:
        return ()
    return _left_out(inventory, set_name, [_v3(o.name, o.spec) for o in stored if o.kind == STAGED_POLICY])


def _left_out(inventory: Inventory, set_name: str, policies: Sequence[Object]) -> tuple[str, ...]:
    """:param policies: of the set, as :func:`.audited.audited` takes them"""
    if TIER not in inventory.serves:
        why = "this Calico has no tiers (they came with 3.29), and a copy would decide"
        return tuple(f"{policy['metadata']['name']}: {why}" for policy in policies)
    found = list(audited.left_out(policies))
    for tier in sorted({str(policy["spec"].get("tier") or DEFAULT_TIER) for policy in policies}):
        others = [
            o.name for o in inventory.objects if o.enforces and o.tier == tier and o.set_name != set_name
        ]
        if others:
            found.append(
                f"tier {tier}: what enforced policies of others decide in it before these is counted too, "
                f"as if they were not there: {', '.join(others)}"
            )
    return tuple(found)


def state_of(objects: Sequence[Live]) -> str:
    """The state of a set by its objects; what a run left half done counts as enforced."""
    if any(o.enforces for o in objects):
        return ENFORCED
    if any(o.is_copy for o in objects):
        return AUDITED
    return STAGED if objects else ABSENT


def _v3(name: str, spec: Object) -> Object:
    return {"metadata": {"name": name}, "spec": spec}


def _is_neutral(policy: Object) -> bool:
    return audited.is_copy(POLICY, policy) or neutral.selects_nothing(policy.get("spec") or {})


def _decides(write: PolicyWrite, enforced: Sequence[Live]) -> bool:
    ends = [obj for obj in (write.live, write.wanted) if obj]
    if write.kind == POLICY:
        # What deletes a bridge has no end: the bridge is neither there before nor after.
        return not ends or not all(_is_neutral(obj) for obj in ends)
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
    objects = {(o.kind, o.stored_name): o for o in inventory.objects}
    for write in planned.writes:
        key = (write.kind, write.name)
        objects.pop(key, None)
        if write.wanted:
            objects[key] = _live(write.kind, write.wanted)
    return replace(inventory, objects=tuple(objects.values()))


def told(planned: WritePlan) -> list[Object]:
    """The writes with their whole objects, as modules return them."""
    return [{"kind": w.kind, "name": w.name, "object": w.wanted} for w in planned.writes]


def restore_options(inventory: Inventory, set_name: str) -> Object:
    """The options of the module policies that bring a set back to what it is now."""
    ours = inventory.of_set(set_name)
    tiers = [
        o
        for o in inventory.objects
        if o.kind == TIER and o.ours and not o.is_copy and set_name in wishes(o.stored)
    ]
    state = state_of(ours)
    kept = (POLICY if state == ENFORCED else STAGED_POLICY, NETWORK_SET)
    return {
        "name": set_name,
        "state": state,
        "definitions": [
            *(
                _definition(o, {**o.spec, "tier": o.tier} if o.kind != NETWORK_SET else dict(o.spec))
                for o in ours
                if o.kind in kept and not o.is_copy and not neutral.selects_nothing(o.spec)
            ),
            *(_definition(o, {**o.spec, "defaultAction": _wanted_end(o, set_name)}) for o in tiers),
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
            if k not in (METADATA_ANNOTATION, _LAST_APPLIED) and not k.startswith(PREFIX)
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


def _wanted_end(tier: Live, set_name: str) -> str:
    wish = wishes(tier.stored)[set_name]
    return DENY if wish == DENY_ONCE_ENFORCED else wish


class _Planner:
    def __init__(self, inventory: Inventory, wanted: PolicySet, tiers_in_use: frozenset[str]) -> None:
        self.inventory = inventory
        self.wanted = wanted
        self.tiers_in_use = tiers_in_use
        self.policies = () if wanted.state == ABSENT else tuple(self._placed())
        self.sets = () if wanted.state == ABSENT else wanted.definitions.network_sets
        self.tiers = self._tiers()
        self.copies = {(c["kind"], c["metadata"]["name"]): c for c in self._copies()}

    def plan(self) -> WritePlan:
        self._refuse_strangers()
        old, new = self._states()
        writes = list(self._decisive_writes(transition.plan(old, new, self.wanted.name)))
        decided = {(w.kind, w.name) for w in writes}
        writes += [w for w in self._metadata_writes() if (w.kind, w.name) not in decided]
        leaving = [w for w in writes if w.kind == TIER and w.action == "delete"]
        staying = [w for w in writes if w not in leaving]
        in_order = (*staying, *self._staged_writes(), *self._copy_writes(), *self._taken_back(), *leaving)
        not_stored, warnings = self._not_stored()
        writes_in_order = neutral.neutral_first(in_order, self.inventory.api_version)
        return WritePlan(writes_in_order, not_stored, self._left_out(), warnings)

    # What is wanted.

    def _placed(self) -> Iterator[PolicyDefinition]:
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
        used = {p.spec.tier for p in self.policies}
        found = {
            name: self._tier(tier)
            for name, tier in self._declared_tiers().items()
            if name in used and name not in BUILTIN_TIERS
        }
        for name in used - set(found) - set(BUILTIN_TIERS):
            if not self.inventory.find(TIER, name):
                source = next(p.source for p in self.policies if p.spec.tier == name)
                raise BadInput("spec.tier", name, "no such tier: add it to the set, or make it first", source)
        for live in self._tiers_to_leave(found):
            found[live.name] = self._tier_without_us(live)
        return found

    def _declared_tiers(self) -> dict[str, TierDefinition]:
        declared = {t.metadata.name: t for t in self.wanted.definitions.tiers}
        declared.setdefault(
            self.wanted.tier, TierDefinition(Metadata(self.wanted.tier), self.wanted.tier_order)
        )
        return declared

    def _tier(self, tier: TierDefinition) -> Object:
        live = self.inventory.find(TIER, tier.metadata.name)
        wish = self._end_of(tier)
        if self.wanted.state != ENFORCED:
            wish = DENY_ONCE_ENFORCED if wish == DENY else PASS
        return self._tier_object(
            tier.metadata, tier.order, {**(wishes(live.stored) if live else {}), self.wanted.name: wish}
        )

    def _end_of(self, tier: TierDefinition) -> str:
        """What ends a tier of Hostfence once the set is enforced, if no other set wants otherwise."""
        return tier.default_action or self.wanted.default_action

    def _tiers_to_leave(self, kept: Mapping[str, Object]) -> list[Live]:
        tiers = (o for o in self.inventory.objects if o.kind == TIER and o.ours and o.name not in kept)
        return [t for t in tiers if not t.is_copy and self.wanted.name in wishes(t.stored)]

    def _tier_without_us(self, live: Live) -> Object:
        others = {name: wish for name, wish in wishes(live.stored).items() if name != self.wanted.name}
        return self._tier_object(Metadata(live.name), live.spec.get("order"), others)

    def _tier_object(self, metadata: Metadata, order: Optional[float], wish: Mapping[str, str]) -> Object:
        action = DENY if DENY in wish.values() else PASS
        annotations = {**metadata.annotations, **{f"{PREFIX}{n}": w for n, w in wish.items()}}
        spec = {**({} if order is None else {"order": order}), "defaultAction": action}
        return self._object(TIER, metadata.name, spec, metadata.labels, annotations)

    def _is_emptied(self, tier: str) -> bool:
        """Whether nothing uses a tier of Hostfence any more."""
        return not wishes(self.tiers[tier]) and not self._is_used_by_others(tier)

    def _is_used_by_others(self, tier: str) -> bool:
        return tier in self.tiers_in_use or any(
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
        for kind, name in self.copies:
            if kind == POLICY:
                self._refuse_stranger(POLICY, name, "")
        tiers_of_copies = [name for kind, name in self.copies if kind == TIER]
        for name in (*self.tiers, *tiers_of_copies):
            live = self.inventory.find(TIER, name)
            if live and not live.ours:
                raise BadInput(
                    "tier",
                    name,
                    "a tier of this name exists and is not managed by Hostfence: name another, or name this "
                    "one in each policy's spec.tier, and it is used as it is",
                )

    def _refuse_stranger(self, kind: str, name: str, source: str) -> None:
        live = self.inventory.find(kind, name)
        if live is None or live.set_name == self.wanted.name:
            return
        owner = f"belongs to the set {live.set_name}" if live.set_name else "was made by someone else"
        raise BadInput(
            "metadata.name", name, f"{kind} {live.stored_name} exists and {owner}: rename yours", source
        )

    # What is counted and decides nothing.

    def _copies(self) -> Iterable[Object]:
        """The copies of an audited set with their tiers, as they are to be."""
        if self.wanted.state != AUDITED or TIER not in self.inventory.serves:
            return
        orders = [o.spec.get("order") for o in self.inventory.objects if o.kind == TIER and not o.is_copy]
        orders += [tier["spec"].get("order") for tier in self.tiers.values()]
        rendered = audited.audited(
            [_v3(p.name, wire(p.spec)) for p in self.policies],
            [audited.CandidateTier(name, self._end(name)) for name in sorted(self._used_tiers())],
            min((order for order in orders if order is not None), default=None),
            self.wanted.name,
            log=self.wanted.audit_log,
        )
        for copy in rendered.objects:
            name, spec = copy["metadata"]["name"], dict(copy["spec"])
            if copy["kind"] == TIER:
                yield self._tier_of_copies(name, spec["order"])
            else:
                self._refuse_name(name)
                yield self._object(POLICY, name, spec, {}, {})

    def _refuse_name(self, copy: str) -> None:
        original = audited.original_name(copy)
        clashes = audited.is_end_of_tier(original) and any(p.name == original for p in self.policies)
        if clashes or len(copy) > MAX_NAME:
            why = "Hostfence uses this name itself" if clashes else f"with {audited.PREFIX} it is too long"
            raise BadInput("metadata.name", original, f"{why}: change it")

    def _used_tiers(self) -> set[str]:
        return {p.spec.tier for p in self.policies}

    def _tier_of_copies(self, name: str, order: float) -> Object:
        if not is_simple_name(name):
            raise BadInput(
                "tier.name",
                audited.original_name(name),
                f"with {audited.PREFIX} it must not exceed 63 characters",
            )
        live = self.inventory.find(TIER, name)
        users = {**(wishes(live.stored) if live else {}), self.wanted.name: PASS}
        return self._tier_object(Metadata(name), order, users)

    def _end(self, tier: str) -> str:
        """What ends a tier once the set is enforced."""
        live = self.inventory.find(TIER, tier)
        declared = self._declared_tiers().get(tier)
        if tier not in self.tiers or declared is None:
            return str((live.spec.get("defaultAction") if live else "") or DENY)
        others = wishes(self.tiers[tier])
        return DENY if DENY in (self._end_of(declared), *others.values()) else PASS

    def _copy_writes(self) -> Iterator[PolicyWrite]:
        """Tiers before the copies in them, and away after them. At no time does any of them decide."""
        for (kind, name), wanted in self.copies.items():
            live = self.inventory.find(kind, name)
            same = live and live.spec == normal_spec(wanted["spec"]) and _same_metadata(live.stored, wanted)
            if not same:
                yield PolicyWrite(
                    "update" if live else "create", kind, name, wanted, live.stored if live else None
                )
        for live in self.inventory.of_set(self.wanted.name, POLICY):
            if live.is_copy and (POLICY, live.name) not in self.copies:
                yield PolicyWrite("delete", POLICY, live.stored_name, None, live.stored)
        for live in self.inventory.objects:
            if live.kind == TIER and live.is_copy and (TIER, live.name) not in self.copies:
                yield from self._without_us(live)

    def _without_us(self, tier: Live) -> Iterator[PolicyWrite]:
        if self.wanted.name not in wishes(tier.stored):
            return
        wanted = self._tier_without_us(tier)
        if wishes(wanted) or self._is_used_by_others(tier.name):
            yield PolicyWrite("update", TIER, tier.name, wanted, tier.stored)
        else:
            yield PolicyWrite("delete", TIER, tier.name, None, tier.stored)

    def _left_out(self) -> tuple[str, ...]:
        if self.wanted.state != AUDITED:
            return ()
        policies = [_v3(p.name, wire(p.spec)) for p in self.policies]
        return _left_out(self.inventory, self.wanted.name, policies)

    # The way from what is to what is wanted.

    def _states(self) -> tuple[transition.PolicyState, transition.PolicyState]:
        ours = [o for o in self.inventory.of_set(self.wanted.name) if not o.is_copy]
        enforced = self.policies if self.wanted.state == ENFORCED else ()
        tiers = {p.spec.tier for p in enforced} | {o.tier for o in ours if o.kind == POLICY} | set(self.tiers)
        stored = {
            o.name: {**o.spec, "tier": o.tier}
            for o in self.inventory.objects
            if o.enforces and o.tier in tiers
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
        old = transition.PolicyState(
            policies=stored,
            network_sets={o.name: _members(o.stored) for o in ours if o.kind == NETWORK_SET},
            tiers=ranks,
        )
        new = transition.PolicyState(
            policies={**others, **{p.name: wire(p.spec) for p in enforced}},
            network_sets={s.metadata.name: self._members_to_be(s) for s in self.sets},
            tiers={
                name: rank
                for name, rank in {**ranks, **{n: _ranked(t["spec"]) for n, t in self.tiers.items()}}.items()
                if name not in left
            },
        )
        return old, new

    def _members_to_be(self, network_set: NetworkSetDefinition) -> transition.SetMembers:
        """Labels that others put there stay, and decide too."""
        members = _members(self._set_object(network_set))
        live = self.inventory.find(NETWORK_SET, network_set.metadata.name)
        if not live:
            return members
        ours = written_by_us(live.stored, "labels")
        others = {k: v for k, v in effective_labels(live.stored).items() if k not in ours}
        return replace(members, labels={**others, **members.labels})

    def _set_object(self, network_set: NetworkSetDefinition) -> Object:
        meta = network_set.metadata
        spec = normal_spec({"nets": list(network_set.nets)})
        return self._object(NETWORK_SET, meta.name, spec, meta.labels, meta.annotations)

    def _decisive_writes(self, steps: Iterable[transition.PolicyStep]) -> Iterator[PolicyWrite]:
        written: set[tuple[str, str]] = set()
        for step in steps:
            live = self.inventory.find(step.kind, step.name)
            stored = live.stored if live else None
            if step.deletes:
                name = live.stored_name if live else self._name_to_store(step.name)
                yield PolicyWrite("delete", step.kind, name, None, stored, interim=live is None)
                continue
            wanted, interim = self._wanted(step)
            action = "update" if live or (step.kind, step.name) in written else "create"
            written.add((step.kind, step.name))
            yield PolicyWrite(action, step.kind, wanted["metadata"]["name"], wanted, stored, interim)

    def _wanted(self, step: transition.PolicyStep) -> tuple[Object, bool]:
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
        wish = {f"{PREFIX}{self.wanted.name}": PASS}
        annotations = tier["metadata"].get("annotations") or {}
        kept = {k: wish.get(k, v) for k, v in annotations.items()}
        metadata = {**tier["metadata"], **({"annotations": kept} if kept else {})}
        return {**tier, "metadata": metadata, "spec": {**tier["spec"], "defaultAction": PASS}}

    def _metadata_writes(self) -> Iterator[PolicyWrite]:
        """Objects whose decision stays as it is, and whose labels or annotations do not."""
        enforced = self.policies if self.wanted.state == ENFORCED else ()
        objects = [(POLICY, p.name, self._final(POLICY, p)) for p in enforced]
        objects += [(NETWORK_SET, s.metadata.name, self._set_object(s)) for s in self.sets]
        objects += [(TIER, name, tier) for name, tier in self.tiers.items()]
        for kind, name, wanted in objects:
            live = self.inventory.find(kind, name)
            if live and not _same_metadata(live.stored, wanted):
                yield PolicyWrite("update", kind, live.stored_name, wanted, live.stored)

    def _final(self, kind: str, policy: PolicyDefinition) -> Object:
        return self._policy_object(kind, policy.name, wire(policy.spec), policy.metadata)

    def _staged_writes(self) -> Iterator[PolicyWrite]:
        if STAGED_POLICY not in self.inventory.serves:
            return
        staged = self.policies if self.wanted.state in (STAGED, AUDITED) else ()
        for policy in staged:
            wanted = self._final(STAGED_POLICY, policy)
            live = self.inventory.find(STAGED_POLICY, policy.name)
            if (
                not live
                or live.spec != normal_spec(wanted["spec"])
                or not _same_metadata(live.stored, wanted)
            ):
                action, stored = ("update", live.stored) if live else ("create", None)
                yield PolicyWrite(action, STAGED_POLICY, wanted["metadata"]["name"], wanted, stored)
        kept = {p.name for p in staged}
        for live in self.inventory.of_set(self.wanted.name, STAGED_POLICY):
            if live.name not in kept:
                yield PolicyWrite("delete", STAGED_POLICY, live.stored_name, None, live.stored)

    def _taken_back(self) -> Iterator[PolicyWrite]:
        """What an earlier run made to decide nothing, and could not delete."""
        wanted = {p.name for p in self.policies} if self.wanted.state == ENFORCED else set()
        for live in self.inventory.of_set(self.wanted.name, POLICY):
            if not (live.enforces or live.is_copy) and live.name not in wanted:
                yield PolicyWrite("delete", POLICY, live.stored_name, None, live.stored)

    def _not_stored(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        stores = self.wanted.state not in (STAGED, AUDITED) or STAGED_POLICY in self.inventory.serves
        if stores or not self.policies:
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
    return kept_metadata(metadata).name or str(metadata["name"])


def _ranked(spec: Mapping[str, Any]) -> transition.Ranked:
    return transition.Ranked(spec.get("order"), str(spec.get("defaultAction") or DENY))


def _members(obj: Object) -> transition.SetMembers:
    nets: Iterable[str] = (obj.get("spec") or {}).get("nets") or ()
    return transition.SetMembers(frozenset(nets), effective_labels(obj))


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
