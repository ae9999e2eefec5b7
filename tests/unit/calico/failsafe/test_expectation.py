# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What must be in a kernel, by the objects of a cluster."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.expectation import (
    ANY_INTERFACE,
    endpoint_chain,
    expect,
    failsafe_rules,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.ruleset import (
    IPTABLES,
    NFTABLES,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.felix.chains import (
    FAILSAFE_IN,
    FAILSAFE_OUT,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.felix.configuration import (
    FailsafePort,
    Failsafes,
)

from tests.unit import builders
from tests.unit.builders import V3
from tests.unit.calico.failsafe.objects import INTERFACES, hep, policy


def test_nets_are_in_their_family_only_and_answers_pass_in_raw() -> None:
    lists = Failsafes(
        (FailsafePort("tcp", 22, "10.0.0.0/8"), FailsafePort("udp", 68)),
        (FailsafePort("tcp", 6443, "fd00::/8"),),
    )
    assert [str(rule) for rule in failsafe_rules(lists, FAILSAFE_IN, "filter", 6)] == [
        "proto udp dports 68 accept"
    ]
    assert [str(rule) for rule in failsafe_rules(lists, FAILSAFE_OUT, "raw", 4)] == [
        "proto tcp sports 22 daddr 10.0.0.0/8 accept",
        "proto udp sports 68 accept",
    ]


def test_long_names_are_hashed_in_iptables_only() -> None:
    assert endpoint_chain("cali-fh-", ANY_INTERFACE, IPTABLES) == "cali-fh-any-interface-at-all"
    assert endpoint_chain("cali-fhfw-", ANY_INTERFACE, IPTABLES) == "cali-fhfw-_Nqh4HyA73udmyanQI"
    assert endpoint_chain("cali-fhfw-", ANY_INTERFACE, NFTABLES) == "cali-fhfw-any-interface-at-all"


@pytest.mark.parametrize(
    ("objects", "active"),
    [
        ([], {}),
        ([hep("a", "*")], {ANY_INTERFACE: "a"}),
        ([hep("a", "*", node="N1")], {}),
        ([hep("b", "*"), hep("a", "*")], {ANY_INTERFACE: "a"}),
        ([hep("a", "*"), hep("b", "eth0")], {ANY_INTERFACE: "a", "eth0": "b"}),
        ([hep("b", "eth0"), hep("a", "", ("10.0.0.1",))], {"eth0": "a"}),
        ([hep("a", "eth1", ("10.0.0.1",))], {"eth1": "a"}),
        ([hep("a", "eth9")], {}),
        ([hep("a", "cali12")], {}),
    ],
)
def test_which_endpoint_is_active_where(objects: Any, active: dict[str, str]) -> None:
    found = expect(objects, "n1", INTERFACES)
    assert {item.interface: item.name for item in found.endpoints} == active


@pytest.mark.parametrize(
    ("spec", "tables"),
    [
        ({}, {"filter from", "filter to", "mangle to"}),
        ({"preDNAT": True, "applyOnForward": True}, {"filter from", "filter to", "mangle to", "mangle from"}),
        (
            {"preDNAT": True, "applyOnForward": True, "types": ["Egress"]},
            {"filter from", "filter to", "mangle to"},
        ),
        (
            {"doNotTrack": True, "applyOnForward": True},
            {"filter from", "filter to", "mangle to", "raw from", "raw to"},
        ),
        ({"selector": "!has(hep)", "preDNAT": True}, {"filter from", "filter to", "mangle to"}),
    ],
)
def test_which_table_holds_which_failsafe_chain(spec: dict[str, Any], tables: set[str]) -> None:
    found = expect([hep("a", "eth0"), policy("p", **spec)], "n1", INTERFACES)
    held = {
        f"{table} {direction}"
        for table in ("raw", "mangle", "filter")
        for direction in ("from", "to")
        if found.dispatched(table, direction)
    }
    assert held == tables


def test_untracked_policy_is_nothing_for_the_wildcard() -> None:
    found = expect([hep("a", "*"), policy("p", doNotTrack=True, applyOnForward=True)], "n1", INTERFACES)
    assert found.dispatched("raw", "from") == ()


def test_a_named_endpoint_without_predenat_does_not_shield_its_interface_from_the_wildcards() -> None:
    named = hep("b", "eth0")
    named["metadata"]["labels"] = {}
    found = expect([hep("a", "*"), named, policy("p", preDNAT=True, applyOnForward=True)], "n1", INTERFACES)
    owner = found.owner("mangle", "from", "eth0")
    assert owner is not None
    assert owner.name == "a"


@pytest.mark.parametrize(
    ("spec", "interfaces", "ipv6"),
    [
        ({}, INTERFACES, True),
        ({"ipv6Support": False}, INTERFACES, False),
        ({}, {"lo": ["127.0.0.1/8"]}, False),
        ({}, None, True),
    ],
)
def test_whether_ipv6_must_be_there(spec: dict[str, Any], interfaces: Any, ipv6: bool) -> None:
    assert expect([builders.felix_configuration(api=V3, **spec)], "n1", interfaces).ipv6 is ipv6
