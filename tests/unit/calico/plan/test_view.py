# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was seen of a cluster."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.view import View, nodes_of

from tests.unit import builders
from tests.unit.calico.plan.planned import NODES


def test_what_is_not_there_is_an_empty_list(view: View) -> None:
    assert [o["metadata"]["name"] for o in view.of("Node")] == [*NODES]
    assert (view.of("Tier"), view.find("Node", "no such")) == ((), None)
    found = view.find("Node", NODES[1])
    assert found
    assert found["metadata"]["name"] == NODES[1]


def test_what_decides_has_kind_and_version_that_lists_leave_out(view: View) -> None:
    hep = {"metadata": {"name": "h"}, "spec": {"node": NODES[0]}}
    pods = builders.endpoint_slice("kubernetes", "10.0.0.1", port=443)
    found = replace(view, objects={**view.objects, "HostEndpoint": [hep], "EndpointSlice": [pods]}).around()
    said = {(o["kind"], o["apiVersion"]) for o in found}
    assert said == {
        ("HostEndpoint", view.api_version),
        ("FelixConfiguration", view.api_version),
        ("Node", "v1"),
        ("EndpointSlice", "discovery.k8s.io/v1"),
    }
    assert view.api_version == "crd.projectcalico.org/v1"


def test_nodes_with_a_host_endpoint() -> None:
    heps = [builders.host_endpoint(name, node=node) for name, node in (("b", "n2"), ("a", "n1"), ("c", "n2"))]
    assert nodes_of([*heps, builders.node("n3")]) == ("n1", "n2")
