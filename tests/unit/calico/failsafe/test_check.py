# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The findings that no recorded dump shows: of families, back ends, and a configuration of no use."""

from __future__ import annotations

from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.check import verify
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.expectation import expect
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.ruleset import Ruleset
from ansible_collections.hostfence.calico.plugins.module_utils.calico.finding import is_ok

from tests.unit import builders
from tests.unit.builders import V3
from tests.unit.calico.failsafe.objects import INTERFACES, calico, hep, ids


def test_a_node_with_an_endpoint_and_without_calicos_chains() -> None:
    found = verify(expect([hep("a", "*")], "n1", INTERFACES), [])
    assert ids(found) == ["family.missing", "family.missing"]


def test_a_node_without_endpoint_needs_nothing() -> None:
    assert verify(expect([], "n1", INTERFACES), []) == []


def test_a_configuration_that_felix_would_not_start_with() -> None:
    bad = builders.felix_configuration(api=V3, failsafeInboundHostPorts=[{"protocol": "SCTP", "port": 1}])
    assert ids(verify(expect([bad], "n1", INTERFACES), [])) == ["config.undefined"]


def test_leftovers_of_another_back_end() -> None:
    found = verify(
        expect([], "n1", {"lo": ["127.0.0.1/8"]}),
        [calico("iptables-legacy", False), calico("iptables-nft", True)],
    )
    assert [(item.id, item.message.split()[0]) for item in found] == [
        ("dataplane.leftover", "iptables-legacy")
    ]


def test_chains_of_a_family_that_felix_was_told_to_leave_alone() -> None:
    off = builders.felix_configuration(api=V3, ipv6Support=False)
    old = Ruleset("iptables-nft", 6, calico("iptables-nft", True).tables)
    found = verify(expect([off], "n1", INTERFACES), [calico("iptables-nft", True), old])
    assert [item.id for item in found if item.family == 6] == ["family.leftover"]
    assert is_ok(found)
