# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs at the same time lose nothing: wishes add up, and no tier goes or stays open under an enforced set."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from builders import GNP, LEASE, lease_held_elsewhere, policy
from module_run import run_module

from testbed.api import Api

pytestmark = pytest.mark.one_flavour

TRIES = 5
ANNOTATION = "sets.hostfence.io/"


def run_set(api, name, state):
    definitions = [] if state == "absent" else [policy(f"{name}-allow")]
    return run_module("policies", api, name=name, state=state, definitions=definitions, settle=0, lint=False)


def again_while_held(api, name, state):
    """As a person would: told who holds the Lease, they run it again."""
    told = 0
    while True:
        result = run_set(api, name, state)
        if not result["failed"]:
            return told
        assert "another run changes what is enforced" in result["msg"] or "other runs keep" in result["msg"]
        told += 1


def tier(api: Api):
    return next((t for t in api.admin.list(api.path("Tier")) if t["metadata"]["name"] == "hostfence"), None)


def wishes(api):
    annotations = tier(api)["metadata"].get("annotations") or {}
    return {key[len(ANNOTATION) :]: text for key, text in annotations.items() if key.startswith(ANNOTATION)}


def at_once(*calls):
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        return [future.result() for future in [pool.submit(*call) for call in calls]]


@pytest.mark.parametrize("attempt", range(TRIES))
def test_two_sets_enforced_at_once_both_have_their_wish(clean_api, attempt):
    at_once(*((again_while_held, clean_api, name, "enforced") for name in ("one", "two")))
    assert wishes(clean_api) == {"one": "Deny", "two": "Deny"}
    assert tier(clean_api)["spec"]["defaultAction"] == "Deny"
    assert len(clean_api.admin.list(clean_api.path(GNP))) == 2


@pytest.mark.parametrize("attempt", range(TRIES))
def test_a_tier_is_kept_while_one_set_goes_and_another_comes(clean_api, attempt):
    assert not run_set(clean_api, "one", "enforced")["failed"]
    at_once((again_while_held, clean_api, "one", "absent"), (again_while_held, clean_api, "two", "enforced"))
    assert wishes(clean_api) == {"two": "Deny"}
    assert tier(clean_api)["spec"]["defaultAction"] == "Deny"


def test_a_second_run_is_told_who_holds_the_lease_and_writes_nothing(clean_api):
    clean_api.admin.post(LEASE.rpartition("/")[0], lease_held_elsewhere())
    try:
        refused = run_set(clean_api, "one", "enforced")
        assert "another run changes what is enforced: elsewhere, process 7" in refused["msg"]
        assert not clean_api.admin.list(clean_api.path(GNP))
        # A rehearsal writes nothing, and needs no Lease.
        assert not run_module(
            "policies", clean_api, check=True, name="one", definitions=[policy("a")], settle=0
        )["failed"]
        # One that has run out is taken over, and given back.
        live = clean_api.admin.get(LEASE)
        live["spec"]["renewTime"] = "2026-01-01T00:00:00.000000Z"
        clean_api.admin.put(LEASE, live)
        assert not run_set(clean_api, "one", "enforced")["failed"]
        assert clean_api.admin.get(LEASE)["spec"] == {}
        assert not run_set(clean_api, "one", "absent")["failed"]
    finally:
        left = [item["metadata"]["name"] for item in clean_api.admin.list(LEASE.rpartition("/")[0])]
        if "hostfence" in left:
            clean_api.admin.delete(LEASE)
    assert "hostfence" not in left
