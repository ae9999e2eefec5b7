# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of connections: what is kept of it is bounded, and what is not kept is counted."""

from __future__ import annotations

import random

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows import conntrack

OWN = bytes((10, 0, 3, 1))
UDP = 17


def entry(source: bytes, port: int) -> conntrack._Entry:
    there = conntrack.Tuple(source, OWN, UDP, 40000, port, None)
    back = conntrack.Tuple(OWN, source, UDP, port, 40000, None)
    return conntrack._Entry(0, there, back, replied=True, related=False, taken_up_late=False)


@pytest.mark.parametrize("nets", [1, 65536])
def test_invented_senders_fill_neither_the_flows_nor_their_nets(monkeypatch, nets):
    """The kernel's table itself would need a million entries: what it hands over is made here."""
    chance = random.Random(nets)
    made = [
        entry((0xC6120000 if nets == 1 else chance.getrandbits(16) << 16).to_bytes(4, "big")[:2]
              + chance.randbytes(2), 1024 + chance.randrange(60000))
        for _ in range(20_000)
    ]  # fmt: skip
    monkeypatch.setattr(conntrack, "_entries", lambda: made)

    found = conntrack.read(1000, frozenset())

    assert found.entries == len(made)
    assert len(found.flows) <= 1250
    kept = sum(known.count for known in found.flows.values())
    assert kept + found.lost == len(made)
    assert found.lost > 0
