# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a transaction remembers, and whom it keeps away."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction.state import (
    SETTLED,
    Contents,
    TransactionState,
    Wave,
    read_record,
    read_switch,
    record_object,
    refuse_pending,
    switch_object,
)

V1 = "crd.projectcalico.org/v1"
STATE = TransactionState(
    "id", "mary@desk", "2026-11-28T10:00:00Z", "running", ("edge",), (Wave("all", "", ("n1",)),)
)


def policy(text: str) -> Contents:
    return Contents(
        ({"kind": "GlobalNetworkPolicy", "metadata": {"name": "t.a"}, "spec": {"selector": text}},)
    )


def test_a_record_is_read_as_it_was_written() -> None:
    stored = record_object(V1, STATE, policy("has(old)"), policy("has(new)"))
    assert read_record(stored) == (STATE, policy("has(old)"), policy("has(new)"))
    assert read_record({"metadata": {"annotations": {"hostfence.io/state": "{}"}}}) is None


def test_whoever_else_writes_policy_is_kept_away_by_name() -> None:
    with pytest.raises(BadInput, match="a transaction of mary@desk, begun 2026-11-28T10:00:00Z, is"):
        refuse_pending(record_object(V1, STATE, Contents(), Contents()))
    refuse_pending(record_object(V1, replace(STATE, phase=SETTLED), Contents(), Contents()))
    refuse_pending(None)


def test_policies_that_no_annotation_holds_are_refused_before_anything_is_written() -> None:
    noise = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=400_000))
    with pytest.raises(BadInput, match="enforce the sets one after the other"):
        record_object(V1, STATE, Contents(), policy(noise))


@pytest.mark.parametrize("on", [True, False])
def test_a_switch_is_on_where_it_holds_no_address(on: bool) -> None:
    obj = switch_object(V1, 3, {"hostfence.io/phase": "switched", "hostfence.io/deadline": "x"}, on=on)
    seen = read_switch(obj)
    assert (seen.number, seen.on, seen.phase, seen.deadline) == (3, on, "switched", 0)
    assert bool(obj["spec"]["nets"]) is not on
