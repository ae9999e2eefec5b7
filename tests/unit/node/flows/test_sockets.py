# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who listens on this machine; its own kernel answers."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows import sockets
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.sockets import Owner, SocketOwners

TCP, UDP = 6, 17
ANY = b"\0" * 4
POD = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def port_of(one: socket.socket) -> int:
    port: int = one.getsockname()[1]
    return port


def test_a_listener_is_known_by_its_process_and_user(listener: socket.socket) -> None:
    owners, port = SocketOwners(), port_of(listener)
    assert (TCP, port) in owners.listening()
    owner = owners.of_listener(TCP, socket.inet_aton("127.0.0.1"), port)
    assert owner is not None
    assert owner.uid == os.getuid()
    with open("/proc/self/comm", encoding="utf-8") as file:
        assert owner.process == file.read().strip()


def test_who_listens_at_another_address_does_not_answer_for_this_one(listener: socket.socket) -> None:
    owners, port = SocketOwners(), port_of(listener)
    assert owners.of_listener(TCP, socket.inet_aton("127.0.0.2"), port) is None
    assert owners.of_listener(UDP, socket.inet_aton("127.0.0.1"), port) is None


def test_who_listens_at_all_addresses_answers_for_each_of_both_families() -> None:
    with ExitStack() as opened:
        everywhere = opened.enter_context(socket.create_server(("", 0)))
        both = opened.enter_context(
            socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        )
        datagrams = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagrams.bind(("", 0))
        owners = SocketOwners()
        for protocol, port in ((TCP, port_of(everywhere)), (TCP, port_of(both)), (UDP, port_of(datagrams))):
            assert owners.of_listener(protocol, socket.inet_aton("192.0.2.1"), port) is not None


def test_a_listener_of_ipv6_alone_does_not_answer_for_ipv4() -> None:
    with socket.create_server(("", 0), family=socket.AF_INET6) as alone:
        owners = SocketOwners()
        assert owners.of_listener(TCP, b"\0" * 15 + b"\1", port_of(alone)) is not None
        assert owners.of_listener(TCP, ANY, port_of(alone)) is None


def test_a_group_that_is_gone_has_no_owner() -> None:
    assert SocketOwners().of_group(2**63, 0) is None


@pytest.mark.parametrize(
    ("path", "unit", "pod"),
    [
        ("/system.slice/sshd.service", "sshd.service", ""),
        ("/system.slice/sshd.service/", "sshd.service", ""),
        (f"/kubepods.slice/kubepods-pod{POD.replace('-', '_')}.slice/cri-1.scope", "cri-1.scope", POD),
        (f"/kubepods/burstable/pod{POD}/f00", "f00", POD),
    ],
)
def test_a_group_says_unit_and_pod(monkeypatch: pytest.MonkeyPatch, path: str, unit: str, pod: str) -> None:
    monkeypatch.setattr(sockets, "_control_groups", lambda: {5: path})
    assert SocketOwners().of_group(5, 33) == Owner(unit, pod, "", 33)


def test_names_of_processes_are_never_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "/" + "\x1b[31m\u202e" + "x" * 500
    monkeypatch.setattr(sockets, "_control_groups", lambda: {5: hostile})
    owner = SocketOwners().of_group(5, 0)
    assert owner is not None
    assert owner.unit == "?[31m?" + "x" * 122


def test_what_is_not_known_is_left_out() -> None:
    assert Owner("a.service", "", "", 0).as_dict() == {"unit": "a.service", "uid": 0}
