# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the kernels hold after the repair, seen without the collection's own eyes."""

from __future__ import annotations

testinfra_hosts = ["ansible://nodes"]


def test_ssh_is_the_first_failsafe_again(host):
    if host.check_output("hostname") == "node3":
        rules = host.check_output("nft list chain ip6 calico filter-cali-failsafe-in")
        assert "drop" not in rules
    else:
        rules = host.check_output("iptables-nft-save -t filter")
        assert '-A cali-failsafe-in -p tcp -m comment --comment "cali:wWFQM43tJU7wwnFZ"' in rules


def test_the_check_left_nothing_on_the_node(host):
    assert host.check_output("find ~ -type f") == ""
