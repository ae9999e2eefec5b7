# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node needs to judge its own failsafes, and no more."""

from __future__ import annotations

from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.cluster.api_endpoints import PATH as SLICES
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.failsafe_resources import collect

from tests.unit.builders import V3, Object, endpoint_slice, host_endpoint, node, policy
from tests.unit.cluster.answers import CALICO, V3_NATIVE, Answers

RULES: list[Object] = [{"action": "Allow"}]
MASTER = {"node-role.kubernetes.io/control-plane": ""}


def collected(**more: Any) -> tuple[list[Object], dict[str, list[Object]]]:
    held: dict[str, Any] = {
        f"{CALICO}/hostendpoints": [
            host_endpoint("a-hep", node="a", api=V3, labels={"role": "edge"}),
            host_endpoint("gone-hep", node="gone", api=V3),
        ],
        f"{CALICO}/globalnetworkpolicies": [
            policy("edge", api=V3, selector="role == 'edge'", ingress=RULES),
            policy("pods", api=V3, selector="app == 'web'", ingress=RULES),
            policy("untyped", api=V3, types=None, selector="app == 'web'", ingress=RULES),
        ],
        "/api/v1/nodes": [node("a", "10.0.0.1"), node("m", "10.0.0.2", labels=MASTER)],
        SLICES: [endpoint_slice("kubernetes", "10.0.0.2", port=6443)],
        **more,
    }
    return collect(Answers(held), V3_NATIVE)


def names(objects: list[Object]) -> list[str]:
    return [f"{o['kind']} {o['metadata']['name']}" for o in objects]


def test_each_node_gets_its_own_and_all_get_what_they_share() -> None:
    shared, by_node = collected()
    assert {name: names(own) for name, own in by_node.items()} == {
        "a": ["Node a", "HostEndpoint a-hep"],
        "m": [],
        "gone": ["HostEndpoint gone-hep"],
    }
    # Where the API is, every node must know.
    assert {"Node m", "EndpointSlice kubernetes-ipv4"} <= set(names(shared))


def test_rules_of_policies_that_govern_no_host_stay_behind_unless_they_say_the_direction() -> None:
    shared, _by_node = collected()
    rules = {o["metadata"]["name"]: "ingress" in o["spec"] for o in shared if o["kind"].endswith("Policy")}
    assert rules == {"edge": True, "pods": False, "untyped": True}


def test_what_calico_cannot_read_goes_as_it_is_and_the_node_says_what_is_wrong() -> None:
    broken = policy("pods", api=V3, selector="app ==", ingress="no list")
    shared, _by_node = collected(**{f"{CALICO}/globalnetworkpolicies": [broken]})
    assert [o["spec"] for o in shared if o["metadata"]["name"] == "pods"] == [broken["spec"]]


def test_of_metadata_nothing_but_what_decides_travels() -> None:
    noted = {"projectcalico.org/metadata": "{}", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    stored = policy("edge", api=V3, labels={"a": "b"})
    stored["metadata"].update(annotations=noted, uid="u", managedFields=[{}])
    shared, _by_node = collected(**{f"{CALICO}/globalnetworkpolicies": [stored]})
    [metadata] = [o["metadata"] for o in shared if o["metadata"]["name"] == "edge"]
    assert metadata == {
        "name": "edge",
        "labels": {"a": "b"},
        "annotations": {"projectcalico.org/metadata": "{}"},
    }


def test_who_may_not_list_slices_gets_the_rest() -> None:
    answers = Answers({"/api/v1/nodes": [node("a", "10.0.0.1")]}, refused=(SLICES,))
    shared, by_node = collect(answers, V3_NATIVE)
    assert (shared, names(by_node["a"])) == ([], ["Node a"])
