# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Networks as the objects of a cluster name them."""

from __future__ import annotations

from ansible_collections.hostfence.calico.plugins.module_utils.cluster.surroundings import (
    node_networks,
    pod_networks,
)


def node(*addresses: object, **spec: object) -> dict[str, object]:
    return {"kind": "Node", "spec": spec, "status": {"addresses": [{"address": a} for a in addresses]}}


def test_addresses_of_nodes_are_joined_and_names_are_left_out() -> None:
    nodes = [node("10.0.0.0", "node-a"), node("10.0.0.1", "fd00::1"), node("10.0.0.9", None), {"kind": "Pod"}]
    assert node_networks(nodes) == ["10.0.0.0/31", "10.0.0.9/32", "fd00::1/128"]


def test_networks_of_pods_are_pools_and_what_nodes_were_given() -> None:
    objects = [
        {"kind": "IPPool", "spec": {"cidr": "10.244.0.0/16"}},
        {"kind": "IPPool", "spec": None},
        {"kind": "Tier", "spec": {"cidr": "10.9.0.0/16"}},
        node(podCIDRs=["10.244.3.0/24", "fd01::/64"]),
    ]
    assert pod_networks(objects) == ["10.244.0.0/16", "fd01::/64"]


def test_without_objects_there_are_none() -> None:
    assert node_networks([]) == pod_networks([{"kind": "Node"}]) == []
