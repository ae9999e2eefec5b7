# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which IPv6 neighbours a node's probe finds, on real links: a proof that errs here rolls back what is
right, or confirms what is wrong.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "plugins/module_utils/node/switch_probe.py"
HERE, THERE = "hostfence-nd-here", "hostfence-nd-there"
# Answers to solicitations, and nothing else, are dropped on their way in.
NO_ANSWERS = "add rule ip6 t input icmpv6 type nd-neighbor-advert drop"
# A peer that asks for this node again and again.
ASK_AGAIN = """
import socket, subprocess, sys, time
client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
while True:
    subprocess.run(["ip", "-6", "neigh", "flush", "dev", "eth0"], stderr=subprocess.DEVNULL)
    client.sendto(b"", (sys.argv[1], 9, 0, socket.if_nametoindex("eth0")))
    time.sleep(0.2)
"""
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces")


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def inside(netns: str, *command: str) -> str:
    return run("ip", "netns", "exec", netns, *command)


@pytest.fixture
def peer() -> Iterator[str]:
    """The link-local address of a neighbour on eth0."""
    for netns in (HERE, THERE):
        run("ip", "netns", "add", netns)
    try:
        run("ip", "link", "add", "eth0", "netns", HERE, "type", "veth", "peer", "eth0", "netns", THERE)
        for netns in (HERE, THERE):
            inside(netns, "sysctl", "-q", "net.ipv6.conf.eth0.accept_dad=0")
            inside(netns, "ip", "link", "set", "eth0", "up")
        yield link_local(THERE)
    finally:
        for netns in (HERE, THERE):
            run("ip", "netns", "del", netns)


def link_local(netns: str) -> str:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        found = re.search(r"inet6 (fe80:\S+)/", inside(netns, "ip", "-6", "addr", "show", "dev", "eth0"))
        if found:
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"{netns} has no link-local address")


def drop_answers() -> None:
    for line in (
        "add table ip6 t",
        "add chain ip6 t input { type filter hook input priority 0 ; }",
        NO_ANSWERS,
    ):
        inside(HERE, "nft", line)


def ask(address: str) -> str:
    """Why the probe does not find a neighbour; empty where it does."""
    (answer,) = probe(f"connect([['neighbour', '{address}%eth0', 0]])")
    return answer


def probe(expression: str) -> list[Any]:
    """What one of the probe's functions says on this side of the link."""
    program = (
        "import json, sys, types; found = types.ModuleType('probe'); "
        f"exec(open({str(PROGRAM)!r}).read(), found.__dict__); "
        f"print(json.dumps(eval({expression!r}, found.__dict__)))"
    )
    answer: list[Any] = json.loads(inside(HERE, sys.executable, "-c", program))
    return answer


def test_a_neighbour_that_answers(peer):
    assert ask(peer) == ""
    assert ask(peer) == ""


def test_one_whose_answers_are_dropped(peer):
    assert ask(peer) == ""
    drop_answers()
    assert "REACHABLE" in inside(HERE, "ip", "-6", "neigh", "show", peer)
    assert ask(peer) == "does not answer neighbour discovery"


def test_that_it_asks_itself_does_not_mean_that_it_is_found(peer):
    """Its own question leaves an entry with its hardware address, which was once taken for an answer."""
    drop_answers()
    command = ["ip", "netns", "exec", THERE, sys.executable, "-c", ASK_AGAIN, link_local(HERE)]
    with subprocess.Popen(command) as asking:
        try:
            assert ask(peer) == "does not answer neighbour discovery"
            assert "lladdr" in inside(HERE, "ip", "-6", "neigh", "show", peer)
        finally:
            asking.kill()


def test_which_are_tried(peer):
    """Routers that do not answer, too, but no permanent entries."""
    for line in (
        "route add default via fe80::1 dev eth0",
        "neigh add fe80::2 dev eth0 nud stale lladdr 02:00:00:00:00:02",
        "neigh add fe80::3 dev eth0 nud permanent lladdr 02:00:00:00:00:03",
        "link add cali0 type veth peer name cali1",
        "link set cali0 up",
        "neigh add fe80::4 dev cali0 nud stale lladdr 02:00:00:00:00:04",
    ):
        inside(HERE, "ip", "-6", *line.split())
    assert probe("targets()['neighbours']") == [["fe80::1%eth0", 0], ["fe80::2%eth0", 0]]
    ask("fe80::2")
    assert probe("targets()['neighbours']") == [["fe80::1%eth0", 0], ["fe80::2%eth0", 0]]


def test_an_address_that_nobody_has(peer):
    assert ask("fe80::dead") == "does not answer neighbour discovery"
