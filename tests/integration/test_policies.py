# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The modules policies and policies_info against a real API server, on every flavour of Calico's API."""

from __future__ import annotations

import pytest
from module_run import run_module

GNP, SGNP, GNS, TIER = "GlobalNetworkPolicy", "StagedGlobalNetworkPolicy", "GlobalNetworkSet", "Tier"
KINDS = (GNP, SGNP, GNS, TIER)


def policy(name, action="Allow", order=10, **spec):
    rule = {"action": action, "protocol": "TCP", "destination": {"ports": [22]}}
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": GNP,
        "metadata": {"name": name},
        "spec": {"order": order, "selector": "host-endpoint == 'ingress'", "ingress": [rule], **spec},
    }


def network_set(name, *nets):
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": GNS,
        "metadata": {"name": name, "labels": {"role": name}},
        "spec": {"nets": list(nets)},
    }


SET = [policy("ssh"), policy("rest", "Deny", 20), network_set("office", "192.0.2.0/24")]


def run_set(api, state="enforced", definitions=SET, **options):
    return run_module("policies", api, name="edge", state=state, definitions=definitions, settle=0, **options)


def stored(api):
    """All policy in the cluster but Calico's own tiers: (kind, name) -> object."""
    found = {}
    for kind in (k for k in KINDS if k in api.kinds):
        for obj in api.admin.list(api.path(kind)):
            name = obj["metadata"]["name"]
            if kind != TIER or name not in ("default", "kube-admin", "kube-baseline"):
                found[kind, name] = obj
    return found


def versions(api):
    return {key: obj["metadata"]["resourceVersion"] for key, obj in stored(api).items()}


def stored_name(api, name):
    """Where a policy of the set's tier is stored: before tiers were, in the tier default."""
    return f"hostfence.{name}" if TIER in api.kinds else f"default.{name}"


def expected(api, kind):
    keys = {(GNS, "office")}
    if kind in api.kinds:
        keys |= {(kind, stored_name(api, name)) for name in ("ssh", "rest")}
    if TIER in api.kinds:
        keys.add((TIER, "hostfence"))
    return keys


def ok(result):
    assert not result["failed"], result["msg"]
    return result


def test_enforced(clean_api):
    result = ok(run_set(clean_api))
    assert result["changed"]
    found = stored(clean_api)
    assert set(found) == expected(clean_api, GNP)
    ssh = found[GNP, stored_name(clean_api, "ssh")]
    assert ssh["spec"]["types"] == ["Ingress"]
    assert ssh["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "hostfence"
    assert ssh["metadata"]["labels"]["hostfence.io/set"] == "edge"
    if TIER in clean_api.kinds:
        assert found[TIER, "hostfence"]["spec"] == {"order": 100, "defaultAction": "Deny"}
        assert ssh["spec"]["tier"] == "hostfence"


def test_staged(clean_api):
    result = ok(run_set(clean_api, "staged"))
    assert set(stored(clean_api)) == expected(clean_api, SGNP)
    if SGNP in clean_api.kinds:
        assert result["not_stored"] == []
        assert stored(clean_api)[SGNP, "hostfence.ssh"]["spec"]["stagedAction"] == "Set"
        assert stored(clean_api)[TIER, "hostfence"]["spec"]["defaultAction"] == "Pass"
    else:
        assert result["not_stored"] == ["ssh", "rest"]
        assert "no staged policies" in result["warnings"][0]


@pytest.mark.parametrize("state", ["staged", "enforced", "absent"])
def test_second_run_writes_nothing(clean_api, state):
    ok(run_set(clean_api, "enforced"))
    ok(run_set(clean_api, state))
    before = versions(clean_api)
    result = ok(run_set(clean_api, state, diff=True))
    assert not result["changed"]
    assert result["writes"] == []
    assert result["diff"] == []
    assert versions(clean_api) == before


@pytest.mark.parametrize("first", ["staged", "enforced", "absent"])
@pytest.mark.parametrize("then", ["staged", "enforced", "absent"])
def test_every_state_after_every_other(clean_api, first, then):
    ok(run_set(clean_api, first))
    ok(run_set(clean_api, then))
    kind = {"staged": SGNP, "enforced": GNP}.get(then)
    assert set(stored(clean_api)) == (expected(clean_api, kind) if kind else set())
