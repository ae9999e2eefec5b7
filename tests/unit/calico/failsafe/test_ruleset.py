# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules as dumps hold them, and the hashes that Felix gives them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.expectation import (
    failsafe_rules,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.ruleset import (
    IPTABLES,
    NFTABLES,
    DumpedRule,
    HashBreak,
    chain_hashes,
    find_break,
    is_watched,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.felix.chains import FAILSAFE_IN
from ansible_collections.hostfence.calico.plugins.module_utils.calico.felix.configuration import built_in

# The published ones of Felix's default lists.
DEFAULT_IN = [
    "wWFQM43tJU7wwnFZ",
    "LwNV--R8MjeUYacw",
    "QOO5NUOqOSS1_Iw0",
    "cwZWoBSwVeIAZmVN",
    "7FbNXT91kugE_upR",
    "8Ftbkk2dRH2eEeq1",
    "-JoRSaAQZPJAegMo",
    "PUKij4Rn9njHfVTi",
    "vSprVE-4rient0wc",
]
RAW_REST = [
    "5FMJxeFRJfisGvcj",
    "oFvJCuh5JYJWtOxJ",
    "tB3k-uOYKx5Eojo1",
    "g8ehpdolb2tqoKZq",
    "Xq497yMLKgOppNs8",
    "n5ydGurw6_3FeGBL",
    "LW8T61IMKSNx_sl0",
    "7eZAxCiiFv6o92sE",
    "r2XbJ4DDeEDLpH9E",
]


@pytest.mark.parametrize(("table", "hashes"), [("filter", DEFAULT_IN), ("raw", DEFAULT_IN + RAW_REST)])
def test_the_default_lists_have_felixs_hashes(table: str, hashes: list[str]) -> None:
    rules = failsafe_rules(built_in(), FAILSAFE_IN, table, 4)
    assert chain_hashes(rules, FAILSAFE_IN, 4, IPTABLES) == hashes


def hashed(dialect: str) -> list[DumpedRule]:
    """Felix's default list for what comes in, with Felix's hashes."""
    rules = failsafe_rules(built_in(), FAILSAFE_IN, "filter", 4)
    return [replace(r, hash=h) for r, h in zip(rules, chain_hashes(rules, FAILSAFE_IN, 4, dialect))]


@pytest.mark.parametrize("dialect", [IPTABLES, NFTABLES])
def test_a_chain_breaks_where_a_rule_was_changed_taken_out_or_put_in(dialect: str) -> None:
    rules = hashed(dialect)
    assert find_break(rules, FAILSAFE_IN, 4, dialect) is None
    narrowed = replace(rules[2], match=(*rules[2].match, ("saddr", "10.0.0.0/8")))
    changed = find_break([*rules[:2], narrowed, *rules[3:]], FAILSAFE_IN, 4, dialect)
    assert changed == HashBreak(2, known=True)
    assert find_break([*rules[:4], *rules[5:]], FAILSAFE_IN, 4, dialect) == HashBreak(4, known=True)
    unsigned = DumpedRule((("proto", "tcp"),), "drop")
    assert find_break([unsigned, *rules], FAILSAFE_IN, 4, dialect) == HashBreak(0, known=True)
    assert find_break(rules, f"{FAILSAFE_IN}-other", 4, dialect) == HashBreak(0, known=True)


def test_a_rule_of_a_kind_that_cannot_be_hashed_proves_nothing() -> None:
    strange = DumpedRule((("?", "-m recent --set"),), "accept", hash="A" * 16)
    assert find_break([strange], FAILSAFE_IN, 4, IPTABLES) == HashBreak(0, known=False)


def test_a_net_of_everybody_that_the_kernel_left_out_was_hashed_all_the_same() -> None:
    written = DumpedRule((("proto", "tcp"), ("dports", "22"), ("saddr", "0.0.0.0/0")), "accept")
    (signed,) = chain_hashes([written], FAILSAFE_IN, 4, IPTABLES)
    listed = DumpedRule(written.match[:2], "accept", hash=signed)
    assert find_break([listed], FAILSAFE_IN, 4, IPTABLES) == HashBreak(0, known=True)
    assert find_break([listed], FAILSAFE_IN, 4, IPTABLES, [written]) is None


def test_which_chains_are_watched() -> None:
    watched = ("cali-INPUT", "cali-failsafe-in", "cali-th-eth0", "cali-gi-abc")
    left_out = ("cali-pi-abc", "cali-fw-cali1", "INPUT", "KUBE-FIREWALL")
    assert [name for name in (*watched, *left_out) if is_watched(name)] == [*watched]
