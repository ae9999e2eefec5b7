# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lifeline that is kept: its table, and what nft says of it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe import bpf
from ansible_collections.hostfence.calico.plugins.module_utils.node.failsafe_check import (
    Reading,
    lifeline_findings,
)
from ansible_collections.hostfence.calico.plugins.module_utils.node.kept_lifeline import (
    Lifeline,
    read,
    text,
    wanted,
)

LIFELINE = Lifeline(frozenset({("10.0.0.1", 443)}), frozenset({("10.0.0.0/28", 10250)}), True, 0x10000)
# nft 1.0.6, `nft -j list table inet hostfence-lifeline-kept`, without chains and handles.
MARK = {"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"|": [{"meta": {"key": "mark"}}, 65536]}}}
DISCOVERY = ["nd-router-solicit", "nd-router-advert", "nd-neighbor-solicit", "nd-neighbor-advert"]


def match(protocol: str, field: str, right: Any) -> dict[str, Any]:
    return {
        "match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}
    }


def rule(chain: str, *expressions: dict[str, Any]) -> dict[str, Any]:
    return {"rule": {"family": "inet", "chain": chain, "expr": [*expressions, MARK]}}


NEIGHBOURS = match("icmpv6", "type", {"set": DISCOVERY})
LISTED = {
    "nftables": [
        {"table": {"family": "inet", "name": "hostfence-lifeline-kept"}},
        rule("out", match("ip", "daddr", "10.0.0.1"), match("tcp", "dport", 443)),
        rule("out", NEIGHBOURS),
        rule(
            "in",
            match("ip", "saddr", {"prefix": {"addr": "10.0.0.0", "len": 28}}),
            match("tcp", "dport", 10250),
        ),
        rule("in", NEIGHBOURS),
    ]
}


def test_what_nft_says_of_the_table_is_what_was_wanted() -> None:
    assert read(LISTED) == LIFELINE
    assert wanted([("10.0.0.1", 443)], [("10.0.0.3/28", 10250)], neighbours=True, mark=0x10000) == LIFELINE
    assert "ip saddr 10.0.0.0/28 tcp dport 10250 meta mark set meta mark | 0x10000" in text(LIFELINE)
    # Neither a rule of somebody else's in it, nor half of neighbour discovery, counts as ours.
    assert read({"nftables": [*LISTED["nftables"], rule("in", match("ip", "saddr", "10.9.9.9"))]}) is None
    half = read({"nftables": LISTED["nftables"][:-1]})
    assert half is not None
    assert not half.neighbours


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "10.0.0", "everybody"])
def test_everything_and_what_cannot_be_read_is_refused(network: str) -> None:
    with pytest.raises(BadInput, match="kubelet_sources"):
        wanted([], [(network, 10250)], neighbours=False, mark=1)


def test_a_mark_that_is_not_calicos_is_a_finding() -> None:
    def ids(mark: int) -> list[str]:
        reading = Reading([], bpf.Kernel({}, None), lifeline=LIFELINE, accept_mark=mark)
        return [finding.id for finding in lifeline_findings(reading)]

    assert ids(0x10000) == []
    assert ids(0x20000) == ["lifeline.mark"]
