# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the inventory says of a node: addresses, groups and variables."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.inventory.nodes import (
    InventoryModule,
    described,
    group_names,
    ip_addresses,
    preferred,
)

ADDRESSES = {
    "InternalIP": ["10.99.0.11", "fd99::11"],
    "ExternalIP": ["192.0.2.11"],
    "Hostname": ["node1"],
}
NODE = {
    "metadata": {
        "name": "node1",
        "labels": {
            "node-role.kubernetes.io/control-plane": "",
            "node-role.kubernetes.io/etcd": "true",
            "topology.kubernetes.io/zone": "eu-west-1a",
            "example.com/rack": "r 1",
        },
    },
    "status": {
        "addresses": [{"type": kind, "address": a} for kind, those in ADDRESSES.items() for a in those],
        "conditions": [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
    },
}


def test_a_node_is_described_by_its_own_object():
    node = described(NODE)
    assert node == {
        "name": "node1",
        "addresses": ADDRESSES,
        "roles": ["control-plane", "etcd"],
        "labels": NODE["metadata"]["labels"],
        "ready": True,
    }


@pytest.mark.parametrize("status", [{}, {"conditions": [{"type": "Ready", "status": "Unknown"}]}])
def test_a_node_that_does_not_say_it_is_ready_is_not(status):
    node = described({"metadata": {"name": "n"}, "status": status})
    assert node["ready"] is False
    assert (node["addresses"], node["roles"], node["labels"]) == ({}, [], {})


@pytest.mark.parametrize(
    ("types", "family", "chosen"),
    [
        (["InternalIP", "ExternalIP"], "any", "10.99.0.11"),
        (["InternalIP", "ExternalIP"], "ipv6", "fd99::11"),
        (["ExternalIP", "InternalIP"], "any", "192.0.2.11"),
        (["ExternalIP", "InternalIP"], "ipv6", "fd99::11"),
        (["ExternalIP"], "ipv6", ""),
        (["Hostname"], "ipv4", "node1"),
        (["InternalDNS"], "any", ""),
    ],
)
def test_the_address_to_connect_to(types, family, chosen):
    assert preferred(ADDRESSES, types, family) == chosen


def test_ip_addresses_are_listed_once_and_internal_ones_first():
    both = {"ExternalIP": ["192.0.2.1", "10.0.0.1"], "InternalIP": ["10.0.0.1"], "Hostname": ["node1"]}
    assert ip_addresses(both) == ["10.0.0.1", "192.0.2.1"]


def test_groups_have_names_that_ansible_takes():
    names = group_names(described(NODE), ["example.com/rack", "absent"])
    assert names == [
        "nodes",
        "role_control_plane",
        "role_etcd",
        "zone_eu_west_1a",
        "label_example_com_rack_r_1",
    ]


@pytest.mark.parametrize("name", ["nodes.yml", "prod.nodes.yaml", "hostfence.yml", "hosts.yml", "nodes.ini"])
def test_only_files_of_its_own_names_are_taken(tmp_path, name):
    path = tmp_path / name
    path.write_text("plugin: hostfence.calico.nodes\n")
    assert InventoryModule().verify_file(str(path)) == (name not in ("hosts.yml", "nodes.ini"))
