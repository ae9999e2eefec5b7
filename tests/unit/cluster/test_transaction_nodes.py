# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The last resort of a node: whom it lets in, and where there can be none."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.transaction import TransactionOptions
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.transaction_nodes import (
    _no_lifeline,
    _ways_in,
)


def test_administrators_come_in_where_this_machine_did() -> None:
    session = ["192.0.2.9", "40000", "10.0.0.1", "2222"]
    assert _ways_in(session, ["198.51.100.0/24", "192.0.2.9"]) == [
        ["192.0.2.9", 2222],
        ["198.51.100.0/24", 2222],
    ]
    assert _ways_in([], ["198.51.100.0/24"]) == [["198.51.100.0/24", 22]]


@pytest.mark.parametrize(
    ("nft", "mark", "says"),
    [(True, "0x10000", ""), (False, "0x10000", "no nft"), (True, "", "accept mark is not in its kernel")],
)
def test_a_node_that_can_have_no_last_resort_says_why(nft: bool, mark: str, says: str) -> None:
    told = _no_lifeline({"nft": nft, "kernel": {"accept_mark": mark}})
    assert (says in told) if says else not told


def test_an_administrators_network_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="admin_sources"):
        TransactionOptions(admin_sources=["10.0.0.0/8", "office"])
