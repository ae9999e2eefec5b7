# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which host endpoint owns an interface."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.address import Address, parse_address
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.model import (
    HostEndpoint,
    Reference,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.interface_owner import (
    parse_nodes,
    possible_owners,
    resolve_host_endpoints,
)


def addresses(*texts: str) -> tuple[Address, ...]:
    return tuple(address for address in map(parse_address, texts) if address)


def hep(name: str, interface: str = "", *expected: str, node: str = "n") -> HostEndpoint:
    return HostEndpoint(Reference("HostEndpoint", name), node, interface, addresses(*expected), {}, ())


INTERFACES = {
    "lo": addresses("127.0.0.1"),
    "eth0": addresses("10.0.0.1", "fd00::1"),
    "eth1": addresses("10.1.0.1", "10.0.0.9"),
    "cali123": addresses("169.254.1.1"),
}


def owners(*heps: HostEndpoint) -> dict[str, Optional[str]]:
    resolved = resolve_host_endpoints(heps, "n", INTERFACES)
    found = {name: hep.name for name, hep in resolved.by_interface.items()}
    return {**found, "*": resolved.wildcard.name if resolved.wildcard else None}


def test_by_name() -> None:
    assert owners(hep("a", "eth0")) == {"eth0": "a", "*": None}


def test_by_address_it_may_own_several() -> None:
    assert owners(hep("a", "", "10.0.0.1", "10.1.0.1")) == {"eth0": "a", "eth1": "a", "*": None}


def test_one_with_a_name_never_matches_by_address() -> None:
    assert owners(hep("a", "eth7", "10.0.0.1")) == {"*": None}


def test_the_first_name_wins_whether_by_name_or_address() -> None:
    assert owners(hep("b", "eth0"), hep("a", "", "fd00::1"))["eth0"] == "a"
    assert owners(hep("a", "eth0"), hep("b", "", "fd00::1"))["eth0"] == "a"


def test_names_compare_as_bytes() -> None:
    assert owners(hep("node-a", "*"), hep("node.a", "*"), hep("Node", "*"))["*"] == "Node"
    assert owners(hep("node1-auto-hep", "*"), hep("node1", "*"))["*"] == "node1"


def test_the_loser_is_idle() -> None:
    resolved = resolve_host_endpoints([hep("a", "*"), hep("b", "*"), hep("c", "eth9")], "n", INTERFACES)
    assert [idle.name for idle in resolved.idle] == ["b", "c"]
    assert resolved.owner("eth0") is resolved.wildcard


def test_the_nodes_name_is_compared_as_written() -> None:
    assert owners(hep("a", "eth0", node="N")) == {"*": None}


def test_pod_interfaces_have_no_owner() -> None:
    assert owners(hep("a", "cali123")) == {"*": None}


def ways(interface: str, known: Optional[dict[str, Any]], *heps: HostEndpoint) -> list[Optional[str]]:
    return [way.owner.name if way.owner else None for way in possible_owners(heps, interface, known)]


def test_nothing_is_open_where_addresses_are_known() -> None:
    assert ways("eth0", INTERFACES, hep("a", "", "10.0.0.1"), hep("b", "eth0")) == ["a"]


def test_nothing_is_open_where_none_goes_by_address() -> None:
    assert ways("eth0", None, hep("b", "eth0"), hep("c", "*")) == ["b"]
    assert ways("eth1", None, hep("b", "eth0"), hep("c", "*")) == [None]


def test_by_address_is_open_where_addresses_are_unknown() -> None:
    assert ways("eth0", None, hep("a", "", "10.0.0.1"), hep("b", "eth0"), hep("c", "", "10.0.0.2")) == [
        "a",
        "b",
    ]
    assert ways("eth1", None, hep("a", "", "10.0.0.1"), hep("b", "eth0")) == ["a", None]


def test_an_unknown_interface_may_be_any() -> None:
    assert ways("", None, hep("a", "eth0")) == [None, "a"]
    assert ways("", INTERFACES, hep("a", "eth0")) == [None, "a", None, None]
    assert ways("", None) == [None]


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ("n", "nodes"),
        (["n"], "nodes[0]"),
        ([{"labels": {}}], "nodes[0].name"),
        ([{"name": "n", "labels": []}, {}], "nodes[1].name"),
        ([{"name": "n", "labels": [1]}], "nodes[0].labels"),
        ([{"name": "n", "interfaces": ["eth0"]}], "nodes[0].interfaces"),
        ([{"name": "n", "interfaces": {"eth0": ["10.0.0"]}}], "nodes[0].interfaces.eth0"),
        ([{"name": "n"}, {"name": "n"}], "nodes[1].name"),
    ],
)
def test_bad_nodes(raw: Any, field: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_nodes(raw)
    assert refused.value.field == field


def test_interfaces_that_are_not_given_are_unknown_not_none() -> None:
    nodes = parse_nodes([{"name": "a"}, {"name": "b", "interfaces": {"eth0": ["10.0.0.1/24"]}}])
    assert nodes["a"].interfaces is None
    assert nodes["b"].interfaces == {"eth0": addresses("10.0.0.1")}
