# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The objects of each step of a transaction. Every step can be taken again: it says what shall be, not what
to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Optional

from ..host_endpoint import OWNER, OWNER_LABEL
from ..policy.names import PASS, POLICY, TIER, TIER_LABEL
from .change import Change, TierChange, base_name
from .guards import first_order, guard, selections
from .state import TRANSACTION_LABEL, Object, Wave

OLD_GUARD, NEW_GUARD, SETTLE_GUARD = "hostfence-old", "hostfence-new", "hostfence-settle"


@dataclass(frozen=True)
class WantedObject:
    """One object as it shall be; ``wanted`` None deletes it."""

    kind: str
    name: str
    wanted: Optional[Object] = None


@dataclass(frozen=True)
class Script:
    """All steps of one change.

    :ivar waves: in their order; wave number n is the nth, from 1
    """

    id: str
    api_version: str
    change: Change
    waves: tuple[Wave, ...]

    # Prepare: while every switch is off.

    def sets(self) -> list[WantedObject]:
        return [self._as_is(obj) for obj in self.change.added_sets]

    def next_tiers_open(self) -> list[WantedObject]:
        """The neighbours, ending in Pass until their guards are known everywhere."""
        return [self._next_tier(tier, PASS) for tier in self.change.tiers if tier.new]

    def new_guards(self) -> list[WantedObject]:
        return [w for tier in self.change.tiers for w in self._guards(tier, NEW_GUARD)]

    def old_guards(self) -> list[WantedObject]:
        return [w for tier in self.change.tiers for w in self._guards(tier, OLD_GUARD)]

    def moved(self) -> list[WantedObject]:
        """The new policies, in the neighbours."""
        return [self._moved(tier, obj) for tier in self.change.tiers for obj in tier.new]

    def next_tiers(self) -> list[WantedObject]:
        return [self._next_tier(tier, tier.default_action) for tier in self.change.tiers if tier.new]

    # Settle: while every switch is on, so that nobody evaluates the tiers themselves.

    def tiers(self) -> list[WantedObject]:
        return [self._as_is(tier.after) for tier in self.change.tiers if tier.after]

    def settle_guards(self) -> list[WantedObject]:
        return [w for tier in self.change.tiers for w in self._guards(tier, SETTLE_GUARD)]

    def policies(self) -> list[WantedObject]:
        return [w for tier in self.change.tiers for w in self._policies(tier)]

    def last(self) -> list[WantedObject]:
        """What nothing enforced refers to any more."""
        late = [self._as_is(obj) for obj in self.change.late_sets]
        return [*late, *(WantedObject(kind, name) for kind, name in self.change.gone)]

    def _policies(self, tier: TierChange) -> Iterator[WantedObject]:
        after = {base_name(obj) for obj in tier.new}
        yield from (self._as_is(obj) for obj in tier.new)
        for obj in tier.old:
            if base_name(obj) not in after:
                yield WantedObject(POLICY, obj["metadata"]["name"])

    def _guards(self, tier: TierChange, role: str) -> Iterator[WantedObject]:
        behind = tier.old if role == OLD_GUARD else tier.new
        place = tier.next if role == NEW_GUARD else tier.name
        order = first_order([obj["spec"] for obj in (*tier.old, *tier.new)])
        for number, wave in enumerate(self.waves, start=1):
            for index, selection in enumerate(selections([obj["spec"] for obj in behind])):
                spec = guard(selection, wave, number, place, order, when_on=role != NEW_GUARD)
                yield self._policy(f"{place}.{role}-{number}-{index}", place, spec)

    def _moved(self, tier: TierChange, obj: Object) -> WantedObject:
        return self._policy(f"{tier.next}.{base_name(obj)}", tier.next, {**obj["spec"], "tier": tier.next})

    def _policy(self, name: str, tier: str, spec: Object) -> WantedObject:
        return WantedObject(POLICY, name, self._object(POLICY, name, spec, {TIER_LABEL: tier}))

    def _next_tier(self, tier: TierChange, action: str) -> WantedObject:
        spec = {"order": tier.next_order, "defaultAction": action}
        return WantedObject(TIER, tier.next, self._object(TIER, tier.next, spec, {}))

    def _object(self, kind: str, name: str, spec: Object, labels: dict[str, str]) -> Object:
        owned = {**labels, OWNER_LABEL: OWNER, TRANSACTION_LABEL: self.id}
        return {
            "apiVersion": self.api_version,
            "kind": kind,
            "metadata": {"name": name, "labels": owned},
            "spec": spec,
        }

    def _as_is(self, obj: Object) -> WantedObject:
        return WantedObject(obj["kind"], obj["metadata"]["name"], {**obj, "apiVersion": self.api_version})


def names(writes: Sequence[WantedObject], kind: str = POLICY) -> list[str]:
    return [write.name for write in writes if write.kind == kind]
