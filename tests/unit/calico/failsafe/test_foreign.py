# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What others put before Calico's chains."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.check import verify
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.expectation import expect
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.ruleset import (
    BaseChain,
    DumpedRule,
    Ruleset,
)

from tests.unit.calico.failsafe.objects import calico, ids


def test_somebody_elses_nftables_chain_that_drops_all() -> None:
    ruleset = calico("iptables-nft", True)
    base = BaseChain("inet evil in", "input", "accept", rules=[DumpedRule((), "drop")])
    other = Ruleset("nftables", 4, hooked=[base])
    found = verify(expect([], "n1", {"lo": ["127.0.0.1/8"]}), [ruleset, other])
    assert [(item.id, item.severity) for item in found] == [
        ("foreign.before", "info"),
        ("foreign.drop", "error"),
    ]


@pytest.mark.parametrize(
    ("match", "severity"),
    [
        ((("proto", "tcp"), ("dports", "22")), "error"),
        ((("proto", "tcp"), ("dports", "1:1024")), "error"),
        ((("iif", "eth0"),), "error"),
        ((("saddr", "192.0.2.1/32"),), "warning"),
        ((("?", "recent"),), "warning"),
        ((("proto", "tcp"), ("dports", "8080")), None),
        ((("proto", "icmp"),), None),
        ((("ctstate", "INVALID"),), None),
    ],
)
def test_how_bad_a_foreign_drop_before_calico_is(match: Any, severity: str | None) -> None:
    ruleset = calico("iptables-nft", True)
    ruleset.tables["filter"].chains["INPUT"].rules.insert(0, DumpedRule(match, "drop"))
    found = verify(expect([], "n1", {"lo": ["127.0.0.1/8"]}), [ruleset])
    drops = [item.severity for item in found if item.id == "foreign.drop"]
    assert drops == ([severity] if severity else [])


def test_a_foreign_program_that_sets_the_bit_by_which_calico_drops() -> None:
    ruleset = calico("iptables-nft", True)
    ruleset.set_marks.append("mangle: -A ts-forward -j MARK --set-xmark 0x40000/0xff0000")
    found = verify(expect([], "n1", {"lo": ["127.0.0.1/8"]}), [ruleset])
    assert ids(found) == ["mark.collision"]
