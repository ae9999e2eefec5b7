# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How policy is brought back, from what stood before the plan."""

from __future__ import annotations

from collections.abc import Sequence

from ..policy import planner
from .model import POLICIES, Step, WayBack

_UNCHANGED = (
    "This run changed nothing that is enforced, and these nodes take no new login any more (the way back is "
    "the same command with -e policies_state=staged)"
)
_AS_BEFORE = (
    "The policies were taken back to what they were: these nodes took a new login before and none after the "
    "change"
)
_STAGED = (
    "Only staged now is what was enforced until then: {names}. Put back what was changed, and enforce again: "
    "these nodes took a new login before failsafes or HostEndpoints were changed and none after"
)


def as_before(stored: planner.Inventory, steps: Sequence[Step]) -> WayBack:
    """The policy sets as they were, the last that changes first.

    :param stored: the policies that stood before the plan
    :param steps: in the order in which they are carried out
    """
    changed = [step for step in reversed(steps) if step.name == POLICIES and step.writes]
    if not any(step.changes_enforcement for step in changed):
        return WayBack(message=_UNCHANGED)
    return WayBack(tuple(planner.restore_options(stored, step.subject) for step in changed), _AS_BEFORE)


def only_staged(stored: planner.Inventory) -> WayBack:
    """Whatever is enforced is staged.

    Nobody keeps how failsafes and HostEndpoints were; but policy that is only staged denies nothing, whatever
    they are.
    """
    enforced = sorted({o.set_name for o in stored.objects if o.enforces and o.set_name})
    sets = [{**planner.restore_options(stored, name), "state": planner.STAGED} for name in enforced]
    return WayBack(tuple(sets), _STAGED.format(names=", ".join(enforced) or "no set of Hostfence"))
