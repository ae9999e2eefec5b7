# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import watchdogs
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.flavour import Flavour, FlavourKind
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.permissions import (
    TASKS,
    Permission,
    required,
    rules,
)

V1 = Flavour(FlavourKind.V1, "crd.projectcalico.org", "v1")
NATIVE = Flavour(FlavourKind.V3_NATIVE, "projectcalico.org", "v3")
AGGREGATED = Flavour(FlavourKind.AGGREGATED, "projectcalico.org", "v3")


@pytest.mark.parametrize("flavour", [V1, NATIVE, AGGREGATED])
def test_rules_allow_exactly_what_is_required(flavour):
    allowed = {
        Permission(group, resource, verb, name)
        for rule in rules(required(flavour))
        for name in rule.get("resourceNames", [""])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert allowed == set(required(flavour))
    assert not any("*" in str(permission) for permission in allowed)


@pytest.mark.parametrize("flavour", [V1, NATIVE])
def test_only_the_group_in_use(flavour):
    other = {"crd.projectcalico.org", "projectcalico.org"} - {flavour.group}
    assert other.isdisjoint(p.group for p in required(flavour))


def test_tiered_policies_are_asked_for_a_second_time_where_calico_does():
    tiered = {p for p in required(NATIVE) if p.resource.startswith("tier.")}
    assert Permission("projectcalico.org", "tier.globalnetworkpolicies", "delete") in tiered
    assert not [p for p in required(V1) if p.resource.startswith("tier.")]


def test_reading_takes_no_write():
    assert {p.verb for p in required(V1, [])} == {"get", "list"}


@pytest.mark.parametrize("flavour", [V1, NATIVE])
def test_of_leases_only_ours_may_be_changed(flavour):
    leases = [p for p in required(flavour) if p.resource == "leases"]
    assert {p.verb for p in leases if not p.name} == {"create", "list"}
    assert {p.name for p in leases if p.name} == {"hostfence", *watchdogs.NAMES}


def test_of_accounts_roles_and_tokens_only_the_watchdogs_may_be_changed():
    found = [p for p in required(V1) if "rbac" in p.group or p.resource.startswith("serviceaccounts")]
    assert {p.verb for p in found if not p.name} == {"create", "list"}
    assert {p.name for p in found if p.name} == {watchdogs.NAME, *watchdogs.NAMES}
    # A token for any account would be the permissions of any account.
    tokens = [p for p in required(V1) if p.resource == "serviceaccounts/token"]
    assert [p.name for p in tokens] == list(watchdogs.NAMES)


def test_kubelets_are_reached_only_where_that_was_asked_for():
    assert not [p for p in required(V1) if p.resource == "nodes/proxy"]
    assert Permission("", "nodes/proxy", "get") in required(V1, ["enforce_kubelets"])


def test_each_task_needs_something_of_its_own():
    for task in TASKS:
        assert not set(required(V1, [task])) <= set(required(V1, []))


def test_only_auto_writes_nodes():
    patch = Permission("", "nodes", "patch")
    assert patch in required(V1, ["host_endpoints_auto"])
    assert patch not in required(V1, [t for t in TASKS if t != "host_endpoints_auto"])
