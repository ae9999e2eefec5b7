# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The last resort of a node that a switch has cut off from every API server: no roll back can reach it.

One file, standard library only, Python 3.9; started as the watchdog is, with one JSON document: ``servers``,
``typha``, ``dns``, ``administrators`` (lists of [address, port]; for the last one, from where and to which
port), ``guards`` (names of the chains of the switch's guards), ``seconds`` until it looks, ``probe`` (the
program that reads the kernel), ``acted`` (a file for when it acted, which the next run makes an event of),
``remove`` (files to remove in the end).

When the window is over it tries new connections to the API servers. If one comes through, it ends. If none
does, it sets Calico's own accept mark on packets to and from the API, Typha, name servers and
administrators, in a table of its own and before Calico's chains see them: their first rule lets marked
packets pass. Once Felix has heard that the switch is off, or connections work without it, the table goes.
Nothing of Calico's is touched.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

TABLE = "hostfence-lifeline"
SECONDS_A_TRY = 3
# Neighbour discovery: without it nothing goes over IPv6 once the neighbour cache is cold.
NEIGHBOURS = "{ 133, 134, 135, 136 }"
# Until what the kernel shows is believed.
LOOKS = 3
SECONDS_BETWEEN = 1
Json = dict[str, Any]
Look = Callable[[list[str]], Json]


def wait(options: Json, own: str) -> bool:
    """Until the window is over; whether the last resort is still wanted."""
    end = time.monotonic() + float(options["seconds"])
    while time.monotonic() < end:
        if not os.path.exists(own):
            return False
        time.sleep(0.5)
    return os.path.exists(own)


def reaches(servers: list[list[Any]]) -> bool:
    """Whether a new connection to an API server comes through; one that is refused did."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
        return any(pool.map(_connects, servers))


def _connects(server: list[Any]) -> bool:
    try:
        with socket.create_connection((server[0], int(server[1])), SECONDS_A_TRY):
            return True
    except ConnectionRefusedError:
        return True
    except OSError:
        return False


def table(options: Json, mark: str) -> str:
    """The table, as nft reads it."""
    to_mark = f"meta mark set meta mark | {mark}"
    out = [f"{match} {to_mark}" for match in _outward(options)]
    inward = [
        f"{_family(address)} saddr {address} tcp dport {int(port)} {to_mark}"
        for address, port in options["administrators"]
    ]
    neighbours = f"icmpv6 type {NEIGHBOURS} {to_mark}"
    rules = "\n".join(
        [
            # After Calico's raw chains (-300), which clear marks, and before its mangle chains (-150).
            "chain out { type filter hook output priority -200; policy accept;",
            *out,
            neighbours,
            "}",
            "chain in { type filter hook prerouting priority -199; policy accept;",
            *inward,
            neighbours,
            "}",
        ]
    )
    return f"table inet {TABLE} {{\n{rules}\n}}\n"


def _outward(options: Json) -> Iterator[str]:
    for address, port in [*options["servers"], *options["typha"]]:
        yield f"{_family(address)} daddr {address} tcp dport {int(port)}"
    for address, port in options["dns"]:
        for protocol in ("udp", "tcp"):
            yield f"{_family(address)} daddr {address} {protocol} dport {int(port)}"


def _family(address: str) -> str:
    return "ip6" if ":" in address else "ip"


def nft(text: str) -> bool:
    done = subprocess.run(["nft", "-f", "-"], input=text.encode(), stdout=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def take_away() -> None:
    nft(f"table inet {TABLE} {{}}\ndelete table inet {TABLE}\n")


def accept_mark(look: Look, guards: list[str]) -> str:
    """Calico's accept mark as the kernel has it; empty where several looks do not show one."""
    for _try in range(LOOKS):
        mark = str(_seen(look, guards).get("accept_mark", ""))
        if mark:
            return mark
        time.sleep(SECONDS_BETWEEN)
    return ""


def hold(options: Json, own: str, look: Look) -> None:
    """Keep the table until Felix knows better, or nobody wants it any more.

    A single look does not count: reading the rules can fail while another program changes them, and a failed
    read looks like a kernel without policy.
    """
    in_a_row = 0
    while os.path.exists(own):
        time.sleep(SECONDS_BETWEEN)
        in_a_row = in_a_row + 1 if _is_over(_seen(look, options["guards"])) else 0
        if in_a_row == LOOKS:
            say("Felix has heard how the transaction ended: the lifeline goes")
            return


def _is_over(seen: Json) -> bool:
    """Whether the kernel holds the policy from before, a settled transaction or no policy at all."""
    return set(seen.get("guards", {"": "unread"}).values()) <= {"full"}


def _seen(look: Look, guards: list[str]) -> Json:
    """What a look shows; nothing where what it reads has no sense."""
    try:
        return look(guards)
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def note(path: str) -> None:
    """When it acted, in UTC; it has no rights to make an event itself."""
    with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as file:
        file.write(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


def say(text: str) -> None:
    sys.stderr.write(f"hostfence lifeline: {text}\n")
    sys.stderr.flush()
    with contextlib.suppress(OSError), open("/dev/kmsg", "w", encoding="ascii") as log:
        log.write(f"hostfence lifeline: {text}\n")


def main() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    own = sys.argv[1]
    with open(own, encoding="utf-8") as file:
        options = json.load(file)
    os.environ["PATH"] = "/usr/sbin:/sbin:" + os.environ.get("PATH", "/usr/bin:/bin")
    probe: Json = {}
    exec(compile(options["probe"], "probe", "exec"), probe)
    look = probe["kernel"]
    try:
        if not wait(options, own) or reaches(options["servers"]):
            return
        mark = accept_mark(look, options["guards"])
        if not mark:
            say("no accept mark of Calico's in the kernel: nothing can be done from here")
            return
        if not nft(table(options, mark)):
            say("nft refused the table")
            return
        say(
            "no API server answered at the end of the window: API, Typha, name servers and SSH "
            "pass Calico's chains"
        )
        note(options["acted"])
        hold(options, own, look)
    finally:
        take_away()
        for path in options.get("remove") or ():
            with contextlib.suppress(OSError):
                os.unlink(path)


if __name__ == "__main__":
    main()
