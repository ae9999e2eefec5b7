# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of the last resort: what it lets pass."""

from __future__ import annotations

from ansible_collections.hostfence.calico.plugins.module_utils.node.lifeline import table


def test_it_marks_what_the_node_lives_by_and_nothing_else() -> None:
    options = {
        "servers": [["10.0.0.1", 6443], ["fd00::1", 443]],
        "typha": [["10.0.0.2", 5473]],
        "dns": [["10.0.0.3", 53]],
        "administrators": [["192.0.2.9", 2222]],
    }
    lines = table(options, "0x10000").splitlines()
    marked = [
        line.partition(" meta mark set")[0] for line in lines if "meta mark set meta mark | 0x10000" in line
    ]
    assert marked == [
        "ip daddr 10.0.0.1 tcp dport 6443",
        "ip6 daddr fd00::1 tcp dport 443",
        "ip daddr 10.0.0.2 tcp dport 5473",
        "ip daddr 10.0.0.3 udp dport 53",
        "ip daddr 10.0.0.3 tcp dport 53",
        "icmpv6 type { 133, 134, 135, 136 }",
        "ip saddr 192.0.2.9 tcp dport 2222",
        "icmpv6 type { 133, 134, 135, 136 }",
    ]
