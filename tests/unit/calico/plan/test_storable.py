# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Going back always works: no object that somebody else has stored stops or refuses the plan for it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.builder import make_plan
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.screen import screen
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.view import View
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.wishes import Wishes
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.known_fields import SPEC_FIELDS

from tests.unit.calico.plan.planned import CLOSED, HEPS, a_set, after, policies
from tests.unit.calico.stored.test_storable import stored

EACH = 12


@pytest.mark.parametrize("kind", sorted(SPEC_FIELDS))
def test_what_can_be_stored_keeps_nobody_from_going_back(
    kind: str, view: View, capsys: pytest.CaptureFixture[str]
) -> None:
    enforced = after(
        view, make_plan(view, Wishes(host_endpoints=HEPS, policies=policies(a_set("edge", "Allow"))))
    )
    chance = random.Random(kind)
    for _count in range(EACH):
        strange = stored(kind, chance)
        seen = replace(enforced, objects={**enforced.objects, kind: [*enforced.of(kind), strange]})
        for state in ("staged", "absent"):
            plan = make_plan(seen, Wishes(policies=policies(a_set("edge", "Allow", state))))
            assert plan.all_refusals == [], strange
            assert plan.steps[-1].writes, strange
            assert screen(plan)
        make_plan(seen, Wishes(host_endpoints=HEPS, felix=CLOSED))
    with capsys.disabled():
        print(f"\n{EACH} of {EACH} storable objects of kind {kind} do not stand in the way back")
