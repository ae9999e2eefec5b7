# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who the addresses of a row are, and that a scan does not make it grow."""

from __future__ import annotations

from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.address import parse_address
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.peers import Names, Peers

from tests.unit import builders
from tests.unit.builders import Object
from tests.unit.calico.audit.watched import ONLY_WEB, all_nodes, audited, cluster, document, record, staged


def test_servers_that_no_object_names_are_named_by_their_port():
    out = {"direction": "egress", "protocol": 17, "source": "10.0.3.1", "destination": "192.0.2.53"}
    records = [record(port=port, flow=out) for port in (53, 123, 9100)]

    result = audited(cluster(staged("out", types=["Egress"])), *all_nodes(*records))

    texts = [row["text"].split(" of ")[1] for row in result["rows"]]
    assert sorted(text.split(",")[0] for text in texts) == [
        "192.0.2.53/32",
        "192.0.2.53/32 (DNS)",
        "192.0.2.53/32 (NTP)",
    ]


def test_a_scan_is_some_rows_with_nets():
    """65,536 sources, and 5,000 ports: what is kept does not grow with them."""
    peers = [record(f"198.{number >> 8 & 255}.{number & 255}.7") for number in range(65536)]
    ports = [record(port=port) for port in range(1000, 6000)]

    result = audited(cluster(ONLY_WEB), *all_nodes(nodes=3), document(*peers, *ports))

    assert len(result["rows"]) < 80
    assert sum(row["flows"] for row in result["rows"]) == len(peers) + len(ports)
    scan = max(result["rows"], key=lambda row: row["flows"])
    assert len(scan["peers"]) <= 256
    assert scan["peers_widened"]
    assert scan["remedy"]["text"].startswith("no rule: too many peers")


def peers_of(*texts: str) -> Peers:
    peers = Peers()
    for text in texts:
        address = parse_address(text)
        assert address
        peers.add(address, None, 1)
    return peers


def test_neighbours_are_joined_only_where_they_are_complete() -> None:
    found = peers_of("192.0.2.8", "192.0.2.9", "192.0.2.10", "fd00::1")
    assert found.nets() == ["192.0.2.8/31", "192.0.2.10/32", "fd00::1/128"]
    assert found.nets("subnet") == ["192.0.2.0/24", "fd00::/64"]
    assert (len(found), len(found.each()), found.versions(), found.widened) == (4, 4, (4, 6), False)


def test_a_net_that_stands_for_addresses_is_no_list_of_peers() -> None:
    found = peers_of("192.0.2.8")
    address = parse_address("198.51.100.77")
    assert address
    found.add(address, 24, 1)
    assert (found.nets(), found.widened, found.each()) == (["192.0.2.8/32", "198.51.100.0/24"], True, ())


def test_who_an_address_is() -> None:
    service = {"kind": "Service", "metadata": {"name": "s", "namespace": "ns"}}
    names = Names(
        [
            builders.node("n1", "10.0.0.1"),
            {**service, "spec": {"clusterIPs": ["10.96.0.9"]}},
            builders.network_set("wide", nets=["192.0.2.0/24"]),
            builders.network_set("narrow", nets=["192.0.2.128/25"]),
            builders.endpoint_slice("kubernetes", "10.0.0.1", "10.0.9.9", port=443),
            builders.endpoint_slice("other", "10.0.9.8", port=443),
        ]
    )
    asked = {
        "10.0.0.1": ("node", "n1"),
        "10.96.0.9": ("service", "ns/s"),
        "192.0.2.1": ("network-set", "wide"),
        "192.0.2.200": ("network-set", "narrow"),
        "10.0.9.9": ("api", "kubernetes"),
        "10.0.9.8": ("other", ""),
        "127.0.0.5": ("local", ""),
        "fe80::1": ("local", ""),
    }
    assert {text: names.of(address) for text in asked if (address := parse_address(text))} == asked


def service(name: str, **spec: Any) -> Object:
    item = builders.resource("Service", name, api="v1", namespace="shop", **spec)
    return {**item, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.80"}]}}}


def test_services_are_named_whatever_became_of_their_address():
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30080}]
    objects = [service("web", clusterIPs=["10.96.0.7"], externalIPs=["192.0.2.81"], ports=ports)]
    objects += cluster(staged("closed", types=["Ingress", "Egress"], applyOnForward=True))
    out = {"direction": "egress", "source": "10.0.3.1", "destination": "10.244.1.7"}
    by_port = {"direction": "forward", "out_interface": "cali1", "destination": "10.244.1.7"}
    by_port |= {"original_destination": "10.0.3.1", "original_destination_port": 30080}
    for flow in (
        {**out, "original_destination": "10.96.0.7", "original_destination_port": 80},
        {**out, "original_destination": "192.0.2.80", "original_destination_port": 80},
        {**out, "original_destination": "192.0.2.81", "original_destination_port": 80},
        by_port,
    ):
        result = audited(objects, document(record(port=8080, flow=flow)))
        (row,) = result["rows"]
        assert row["services"] == ["shop/web"]
        assert " by service shop/web, once" in row["text"], row["text"]
    (row,) = audited(objects, document(record(port=8080, flow=out)))["rows"]
    assert row["services"] == []


def test_one_peer_is_named_and_several_are_counted():
    one = audited(cluster(ONLY_WEB), *all_nodes(record("10.0.3.2")))["rows"][0]
    two = audited(cluster(ONLY_WEB), *all_nodes(record("10.0.3.2"), record("10.0.3.3")))["rows"][0]

    assert one["text"].startswith("from 10.0.3.2/32 (n2) to ")
    assert two["text"].startswith("from 10.0.3.2/31 (2 nodes) to ")
    assert two["peer_names"] == ["n2", "n3"]
