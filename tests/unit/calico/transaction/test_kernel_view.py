# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nothing is switched before every kernel shows the new policy, behind guards that know the switch."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction.kernel_view import (
    Expected,
    all_chains,
    difference,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction.steps import WantedObject

INGRESS_GUARD = "t-next.guard-1-0"


def write(name: str, selector: str = "role == 'host'") -> WantedObject:
    spec = {"tier": "t-next", "selector": selector, "types": ["Ingress"]}
    return WantedObject("GlobalNetworkPolicy", name, {"metadata": {"name": name}, "spec": spec})


def kernel(*policies: str, guards: str = "") -> dict[str, Any]:
    chains = {chain for name in policies for chain in all_chains(write(name)) if chain.startswith("cali-pi-")}
    states = {chain: guards for chain in chains if INGRESS_GUARD in chain} if guards else {}
    return {"chains": sorted(chains), "guards": states}


HOST = [{"role": "host"}]
NEW, GUARD = write("t-next.in"), write(INGRESS_GUARD)


def test_a_policy_that_is_not_in_the_kernel_is_named() -> None:
    assert difference(Expected(present=[NEW]), kernel(), HOST) == "policy t-next.in is not in its kernel yet"
    assert difference(Expected(present=[NEW]), kernel("t-next.in"), HOST) == ""


def test_a_policy_that_selects_nothing_of_the_node_is_not_waited_for() -> None:
    assert difference(Expected(present=[NEW]), kernel(), [{"role": "db"}]) == ""


def test_a_policy_that_is_to_be_gone_is_named() -> None:
    assert "t-next.in is still in its kernel" in difference(Expected(absent=[NEW]), kernel("t-next.in"), HOST)


@pytest.mark.parametrize(
    ("full", "seen", "good"),
    [
        (True, "full", True),
        (True, "empty", False),
        (True, "other", False),
        (True, "", False),
        (False, "empty", True),
        (False, "full", False),
    ],
)
def test_guards_must_know_the_switch_as_it_is(full: bool, seen: str, good: bool) -> None:
    told = difference(Expected(guards=[GUARD], full=full), kernel(INGRESS_GUARD, guards=seen), HOST)
    assert (told == "") is good
