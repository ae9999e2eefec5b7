# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which addresses are this machine's own, and how others are reached; its own kernel answers."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import NoReturn

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.netlink import Netlink
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.routes import Routes


def packed(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


@pytest.fixture(scope="module")
def routes() -> Iterator[Routes]:
    found = Routes()
    yield found
    found.close()


@pytest.mark.parametrize(
    ("address", "own"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("192.0.2.9", False), ("2001:db8::9", False)],
)
def test_its_own_addresses_are_those_of_the_local_table_nets_among_them(
    routes: Routes, address: str, own: bool
) -> None:
    assert routes.is_own(packed(address)) is own


@pytest.mark.parametrize(
    ("address", "many"),
    [
        ("224.0.0.18", True),
        ("239.255.255.255", True),
        ("255.255.255.255", True),
        ("127.255.255.255", True),
        ("ff02::1", True),
        ("223.255.255.255", False),
        ("240.0.0.1", False),
        ("fe80::1", False),
    ],
)
def test_multicast_and_broadcast_are_for_many(routes: Routes, address: str, many: bool) -> None:
    assert routes.is_for_many(packed(address)) is many


def test_loopback_is_reached_by_lo_and_has_its_prefix(routes: Routes) -> None:
    assert routes.towards(packed("127.0.0.1")) == "lo"
    assert "127.0.0.1/8" in routes.addresses()["lo"]


def test_where_there_is_no_route_there_is_no_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_asked: object) -> NoReturn:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    found = Routes()
    monkeypatch.setattr(Netlink, "get", refused)
    assert found.towards(packed("192.0.2.9")) == ""
    found.close()
