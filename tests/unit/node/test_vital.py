# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a node is probed."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.vital_paths import Target
from ansible_collections.hostfence.calico.plugins.module_utils.node.vital import own_targets

INTERFACES = {
    "lo": ["127.0.0.1/8", "::1/128"],
    "eth0": ["10.0.0.1/24", "fd00::1/64", "fe80::1/64"],
    "docker0": ["172.17.0.1/16"],
}
BOTH = ["10.0.0.1", "fd00::1"]


@pytest.mark.parametrize(
    ("listening", "known", "targets"),
    [
        ({("0.0.0.0", 22)}, BOTH, ["10.0.0.1:22"]),
        ({("::", 22)}, BOTH, ["10.0.0.1:22", "[fd00::1]:22"]),
        ({("10.0.0.1", 22)}, BOTH, ["10.0.0.1:22"]),
        ({("192.0.2.1", 22)}, BOTH, []),
        ({("::", 80)}, BOTH, []),
        ({("0.0.0.0", 22)}, [], ["10.0.0.1:22", "172.17.0.1:22"]),
        ({("0.0.0.0", 22)}, ["203.0.113.1"], ["10.0.0.1:22", "172.17.0.1:22"]),
    ],
)
def test_a_node_is_tried_where_it_listens(
    listening: set[Target], known: list[str], targets: list[str]
) -> None:
    assert own_targets(frozenset(listening), INTERFACES, known, iter([22, 6443])) == targets
