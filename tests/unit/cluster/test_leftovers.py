# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Hostfence made is found by its labels, and what others have in it keeps it."""

from __future__ import annotations

from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint import OWNER, OWNER_LABEL
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.planner import inventory_of
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.flavour import PLURALS
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.leftovers import (
    Leftover,
    definitions,
    find,
    plan_policy_removal,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.owned_kinds import COLLECTIONS

from tests.unit.builders import V3, Object, host_endpoint, policy, tier
from tests.unit.cluster.answers import CALICO, V3_NATIVE, Answers, named

OURS = {OWNER_LABEL: OWNER}
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def of_set(name: str) -> dict[str, str]:
    return {**OURS, "hostfence.io/set": name}


def found(held: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    return [(one.kind, one.name, list(one.kept_by)) for one in find(Answers(held), V3_NATIVE)]


def test_what_carries_no_label_of_ours_or_is_going_is_not_ours() -> None:
    going = host_endpoint("going", node="a", api=V3, labels=OURS)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    held = {
        f"{CALICO}/hostendpoints": [
            going,
            host_endpoint("theirs", node="a", api=V3),
            host_endpoint("ours", node="a", api=V3, labels=OURS),
        ]
    }
    assert found(held) == [("HostEndpoint", "ours", [])]


def test_a_tier_stays_while_others_policies_are_in_it() -> None:
    held = {
        f"{CALICO}/tiers": [tier("edge", api=V3, labels=OURS), tier("own", api=V3, labels=OURS)],
        f"{CALICO}/globalnetworkpolicies": [
            policy("edge.theirs", api=V3, tier="edge"),
            policy("own.ours", api=V3, tier="own", labels=OURS),
        ],
    }
    assert found(held) == [
        ("GlobalNetworkPolicy", "own.ours", []),
        ("Tier", "edge", ["edge.theirs"]),
        ("Tier", "own", []),
    ]


def test_a_namespace_stays_while_others_have_something_in_it() -> None:
    account = named("ours")
    account["metadata"].update(labels=OURS, namespace="agents")
    space = named("agents")
    space["metadata"]["labels"] = OURS
    held: dict[str, Any] = {
        COLLECTIONS["Namespace"]: [space],
        COLLECTIONS["ServiceAccount"]: [account],
        "/api/v1/namespaces/agents/secrets": [named("theirs")],
    }
    assert found(held) == [
        ("ServiceAccount", "ours", []),
        ("Namespace", "agents", ["secrets/theirs"]),
    ]


def test_every_kind_has_the_version_of_its_collection() -> None:
    held = {path: [named("x")] for path in COLLECTIONS.values()}
    versions = {one.kind: one.api_version for one in find(Answers(held), V3_NATIVE)}
    assert versions["Namespace"] == versions["ConfigMap"] == "v1"
    assert versions["DaemonSet"] == "apps/v1"
    assert versions["ClusterRole"] == "rbac.authorization.k8s.io/v1"
    assert versions.keys() == COLLECTIONS.keys()


def definition(plural: str, group: str = "projectcalico.org") -> Object:
    versions = [{"name": "v2", "storage": False}, {"name": "v3", "storage": True}]
    spec = {"group": group, "versions": versions, "names": {"plural": plural}}
    return named(f"{plural}.{group}", spec=spec)


def test_a_definition_is_kept_by_what_is_stored_and_by_what_cannot_be_seen() -> None:
    held = {
        DEFINITIONS: [definition("tiers"), definition("hostendpoints"), definition("x", "example.org")],
        f"{CALICO}/tiers": [named("theirs")],
    }
    kind = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert definitions(Answers(held)) == [
        Leftover(*kind, "tiers.projectcalico.org", "", ["theirs"]),
        Leftover(*kind, "hostendpoints.projectcalico.org", "", []),
    ]


def test_all_sets_go_as_one_so_that_no_deny_outlives_the_allows_of_another() -> None:
    """The tier's end denies as long as one set is enforced; first comes what lets all pass."""
    deny = {"hostfence.io/default-action-a": "Deny"}
    stored: dict[str, list[Object]] = {
        "Tier": [tier("hostfence", api=V3, labels=OURS, order=100, defaultAction="Deny")],
        "GlobalNetworkPolicy": [
            policy("hostfence.a", api=V3, labels=of_set("a"), tier="hostfence", order=1),
            policy("hostfence.b", api=V3, labels=of_set("b"), tier="hostfence", order=2),
        ],
    }
    stored["Tier"][0]["metadata"]["annotations"] = deny
    inventory = inventory_of(stored, frozenset(PLURALS), V3, raw_v1=False, calico_version="")
    writes = plan_policy_removal(inventory).writes
    assert {(w.action, w.name) for w in writes if w.kind == "GlobalNetworkPolicy" and not w.interim} == {
        ("delete", "hostfence.a"),
        ("delete", "hostfence.b"),
    }
    assert ("delete", "Tier", "hostfence") in [(w.action, w.kind, w.name) for w in writes]
    kept = plan_policy_removal(inventory, frozenset({"hostfence"})).writes
    assert ("delete", "Tier", "hostfence") not in [(w.action, w.kind, w.name) for w in kept]


def test_nothing_of_ours_is_nothing_to_remove() -> None:
    theirs = {"GlobalNetworkPolicy": [policy("theirs", api=V3)]}
    assert (
        plan_policy_removal(
            inventory_of(theirs, frozenset(PLURALS), V3, raw_v1=False, calico_version="")
        ).writes
        == ()
    )
