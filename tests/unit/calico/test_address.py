# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One reader of nets for all that is written: what Go's net.ParseCIDR takes, as it looks."""

from __future__ import annotations

import ipaddress
import random

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.address import (
    Address,
    parse_address,
    parse_net,
    written_net,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("FD00:0::/8", "fd00::/8"),
        ("::1/128", "::1/128"),
        ("64:ff9b::192.0.2.0/120", "64:ff9b::c000:200/120"),
    ],
)
def test_a_net_is_written_in_one_form(text: str, written: str) -> None:
    assert written_net(text, "net", "no net") == written


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("::ffff:10.0.0.0/104", "IPv4's own form"),
        ("::ffff:0:0/96", "IPv4's own form"),
        ("::ffff:a00:0/8", "IPv4's own form"),
        ("10.0.0.1/8", "write 10.0.0.0/8"),
        ("2001:db8::1/32", "write 2001:db8::/32"),
        *(
            (text, "no net")
            for text in ("fe80::%eth0/64", "fe80::/64%eth0", "10.0.0.0", "10.0.0.0/", "/8", "")
        ),
        *(
            (text, "no net")
            for text in ("10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/ 8")
        ),
        *(
            (text, "no net")
            for text in ("010.0.0.0/8", "10.0.0/8", "10.0.0.0/255.0.0.0", "10.0.0.0/٨", None, 8)
        ),
    ],
)
def test_what_go_refuses_or_reads_otherwise_is_refused(text: object, why: str) -> None:
    with pytest.raises(BadInput, match=why) as refused:
        written_net(text, "net", "no net")
    assert refused.value.field == "net"


def test_every_net_without_host_bits_is_taken() -> None:
    chance = random.Random(11)
    for _each in range(2000):
        bits = chance.choice((32, 128))
        prefix = chance.randint(0, bits)
        number = chance.getrandbits(bits) >> (bits - prefix) << (bits - prefix)
        kind = ipaddress.IPv4Network if bits == 32 else ipaddress.IPv6Network
        net = str(kind((number, prefix)))
        assert written_net(net, "net", "no net") == net


@pytest.mark.parametrize(
    ("text", "net"),
    [
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3/32"),
        ("fd00::1", "fd00::1/128"),
        ("FD00::1/64", "fd00::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.0.0.0/24", "::/24"),
        ("::ffff:10.0.0.0/8", "::/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_nets(text: str, net: str) -> None:
    assert str(parse_net(text)) == net


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.0/33",
        "10.0.0/24",
        "010.0.0.1",
        "10.0.0.256",
        "10.0.0.0/-1",
        "10.0.0.0/255.0.0.0",
        "fe80::1%eth0",
        "fd00::/129",
        "10.0.0.0/ 8",
        "10.0.0.0/\uff18",
        "a",
    ],
)
def test_no_nets(text: str) -> None:
    assert parse_net(text) is None


def test_a_mapped_address_is_the_ipv4_address() -> None:
    assert parse_address("::ffff:1.2.3.4") == parse_address("1.2.3.4") == Address(4, 0x01020304)
