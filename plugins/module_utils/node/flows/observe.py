# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What flows this node had: once, or over a window that the kernel keeps by itself."""

from __future__ import annotations

import errno
import ipaddress
import time
from collections.abc import Iterator, Mapping
from typing import Any, Callable, Optional, TypeVar

from ...calico.bad_input import BadInput
from ..boot import boot_id
from . import conntrack, document, flow_table
from .routes import Routes
from .sockets import SocketOwners

GAPS = {
    "one-shot": "Only what the kernel still knew was seen: about two minutes, and no refused connection.",
    "table-gone": "The table was deleted or flushed since the window began; its flows are lost.",
    "table-replaced": "The table is another than the one that the window began with.",
    "rules-gone": "Rules of the table were removed; it no longer saw everything.",
    "rebooted": "The node was started again since the window began; flows before are lost.",
    "set-full": "A set was full, and so was the one that keeps nets: connections were not recorded.",
    "connections-full": "The table of connections is nearly full: the kernel may have dropped entries.",
    "connections-cut": "More distinct flows than the limit: some of the table of connections were left out.",
    "refused-unseen": "The table of connections was read now and then: refused connections are not in it.",
    "dumps-late": "Reading the table of connections took long, so that it was read too seldom to see all.",
    "events-off": "nf_conntrack_events is 0: the kernel tells no events, so refused connections are lost.",
    "events-lost": "The buffer for events of connections was full: refused connections were lost.",
    "published-cut": "More distinct flows than an agent publishes: the rarest were left out.",
    "not-tracked": "This node tracks no connections of an address family, so none of them are known.",
}
_Result = TypeVar("_Result")
_NEARLY_FULL = 0.95
# With it a look takes less than 64 MiB, whatever the table of connections holds.
LIMIT = 8_192
EVENT_BUFFER = 1 << 24
_DRAIN_SECONDS = 0.05
_MOST_OF_A_CORE = 0.01


def once(node: str, limit: int = LIMIT) -> dict[str, Any]:
    """What the table of connections and the sockets say now; reads only.

    :param limit: the most distinct flows that are kept one by one
    :raises BadInput: not permitted, or the kernel has no such table
    """
    now = time.time()
    owners, routes = SocketOwners(), Routes()
    found = _connections(owners, limit)
    legs = document.with_connections((), found.flows, routes, in_window=False)
    gaps = ["one-shot", *_gaps_of(found)]
    if len(_tracked()) < len(flow_table.FAMILIES):
        gaps.append("not-tracked")
    interfaces = routes.addresses()
    routes.close()
    flows = document.records(legs, owners, ())
    return _document(node, "once", (now, now), gaps, found.lost, interfaces, flows)


def watch(
    node: str,
    duration: float,
    *,
    refused: bool = False,
    limit: int = LIMIT,
    event_buffer: int = EVENT_BUFFER,
) -> dict[str, Any]:
    """A window without a table: the table of connections is read again before it forgets what was answered.

    :param duration: how long to watch, in seconds
    :param refused: also take the kernel's events, which tell connections that were refused
    :raises BadInput: not permitted, or the kernel has no such table
    """
    begun = time.time()
    owners, routes = SocketOwners(), Routes()
    looks = _permitted(lambda: conntrack.Looks(limit, owners.listening(), event_buffer if refused else 0))
    try:
        late = _permitted(lambda: _look_until(looks, time.monotonic() + duration, refused=refused))
        lost_events = looks.lost_events
    finally:
        looks.close()
    interfaces = routes.addresses()
    legs = document.with_connections((), looks.found.flows, routes, in_window=False)
    routes.close()
    gaps = _gaps_of_looks(looks.found, interfaces, refused=refused, late=late, lost_events=lost_events)
    return _document(
        node,
        "watched",
        (begun, time.time()),
        gaps,
        looks.found.lost + lost_events,
        interfaces,
        document.records(legs, SocketOwners(), ()),
    )


def _look_until(looks: conntrack.Looks, end: float, *, refused: bool) -> bool:
    """Look until a time is reached; whether an entry can have come and gone between two looks."""
    life, late, before = conntrack.shortest_life(), False, time.monotonic()
    while True:
        begun, spent = time.monotonic(), -time.process_time()
        looks.look()
        spent += time.process_time()
        looks.drain()
        now = time.monotonic()
        late = late or now - before > life
        if now >= end:
            return late
        before = begun
        _wait(looks, min(now + max(life / 2, spent / _MOST_OF_A_CORE), end), refused=refused)


def _wait(looks: conntrack.Looks, end: float, *, refused: bool) -> None:
    while True:
        rest = end - time.monotonic()
        if rest <= 0:
            return
        time.sleep(min(rest, _DRAIN_SECONDS) if refused else rest)
        looks.drain()


def _gaps_of_looks(
    found: conntrack.Connections,
    interfaces: Mapping[str, list[str]],
    *,
    refused: bool,
    late: bool,
    lost_events: int,
) -> list[str]:
    gaps = _gaps_of(found)
    if not refused:
        gaps.append("refused-unseen")
    elif not conntrack.tells_events():
        gaps.append("events-off")
    if lost_events:
        gaps.append("events-lost")
    if late:
        gaps.append("dumps-late")
    tracked = {4 if len(flow.source) == 4 else 6 for flow in found.flows}
    return gaps if _families(interfaces) <= tracked else [*gaps, "not-tracked"]


def _families(interfaces: Mapping[str, list[str]]) -> set[int]:
    """Of the addresses that others reach."""
    own = (ipaddress.ip_interface(text) for addresses in interfaces.values() for text in addresses)
    return {one.version for one in own if not (one.is_loopback or one.is_link_local)}


def start(node: str, *, size: int = flow_table.DEFAULT_SIZE, enable_tracking: bool = False) -> dict[str, Any]:
    """Open a window, unless one is open.

    :param size: distinct flows of TCP and of UDP that each set keeps one by one
    :param enable_tracking: open it even where the kernel tracks no connection yet: the table makes it do so
    :returns: what :func:`collect` needs to tell later whether this window was kept; ``opened`` tells whether
        this call made it
    :raises BadInput: not permitted, no nf_tables, or nothing is tracked and ``enable_tracking`` is false
    """
    existing = _permitted(flow_table.find)
    _refuse_held(existing)
    if existing is None and not enable_tracking and not _tracked():
        raise BadInput(
            "node",
            node,
            "this node tracks no connections, and a window would make it; allow that with enable_tracking",
        )
    window = existing or _permitted(lambda: flow_table.start(round(time.time(), 3), size))
    return {
        "node": node,
        "boot_id": boot_id(),
        "handle": window.handle,
        "start": window.start,
        "opened": existing is None,
    }


def hold(size: int = flow_table.DEFAULT_SIZE) -> flow_table.HeldTable:
    """Open a window that goes with this process; :func:`collect` reads it.

    :raises BadInput: not permitted, no nf_tables, or a window is open already
    """
    existing = _permitted(flow_table.find)
    if existing is not None:
        raise BadInput(
            "table", flow_table.NAME, "a window is open on this node: close it (state=stopped) first"
        )
    return _permitted(lambda: flow_table.HeldTable(round(time.time(), 3), size))


def is_open() -> bool:
    """Whether a window is open."""
    return _permitted(flow_table.find) is not None


def collect(node: str, started: Optional[Mapping[str, Any]] = None, limit: int = LIMIT) -> dict[str, Any]:
    """What the open window saw until now; it stays open.

    ``flows`` is an iterator, as it is elsewhere: the kernel's sets, of which each may hold 65,536 flows and
    more, are read as it goes on. All of it has to be taken before :func:`stop`.

    :param started: what :func:`start` returned: tells a window that was lost meanwhile
    :raises BadInput: not permitted, or no window is open and none was started
    """
    now = time.time()
    window = _permitted(flow_table.find)
    if window is None and not started:
        raise BadInput("node", node, "no window is open on this node; open one with state=started")
    owners, routes = SocketOwners(), Routes()
    gaps = _gaps_of_window(window, started or {})
    # Before the sets, so that a connection which they do not have is older than they are.
    found = _connections(owners, limit)
    legs: document.Legs = ()
    not_recorded = 0
    openers: list[flow_table.Opener] = []
    if window is not None:
        legs = document.from_table(flow_table.flows(), routes)
        openers = list(flow_table.openers())
        health = flow_table.health()
        not_recorded = health.lost
        if not health.intact:
            gaps.append("rules-gone")
        if not_recorded:
            gaps.append("set-full")
    legs = document.with_connections(legs, found.flows, routes, in_window=window is not None)
    interfaces = routes.addresses()
    routes.close()
    since = window.start if window and window.start else float((started or {}).get("start") or now)
    return _document(
        node,
        "window",
        (since, now),
        [*gaps, *_gaps_of(found)],
        not_recorded + found.lost,
        interfaces,
        document.records(legs, owners, openers),
    )


def stop() -> bool:
    """Close the window; whether one was open.

    :raises BadInput: not permitted, or an agent holds it
    """
    _refuse_held(_permitted(flow_table.find))
    return _permitted(flow_table.delete)


def _refuse_held(window: Optional[flow_table.OpenWindow]) -> None:
    if window is not None and window.owned:
        raise BadInput(
            "table",
            flow_table.NAME,
            "an agent of audit_mode daemonset holds this window: read it by audit_mode",
        )


def _gaps_of_window(window: Optional[flow_table.OpenWindow], started: Mapping[str, Any]) -> list[str]:
    if started and started.get("boot_id") != boot_id():
        return ["rebooted"]
    if window is None:
        return ["table-gone"]
    if started and (started.get("handle"), started.get("start")) != (window.handle, window.start):
        return ["table-replaced"]
    return [] if window.start else ["table-replaced"]


def _gaps_of(found: conntrack.Connections) -> list[str]:
    gaps = ["connections-cut"] if found.lost else []
    entries, most = conntrack.fill()
    return [*gaps, "connections-full"] if most and entries >= most * _NEARLY_FULL else gaps


def _connections(owners: SocketOwners, limit: int) -> conntrack.Connections:
    return _permitted(lambda: conntrack.read(limit, owners.listening()))


def _tracked() -> frozenset[int]:
    return _permitted(conntrack.tracked_families)


def _permitted(call: Callable[[], _Result]) -> _Result:
    try:
        return call()
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            raise BadInput(
                "become", False, "reading the kernel's flows needs root (CAP_NET_ADMIN)"
            ) from error
        raise BadInput(
            "kernel",
            error.strerror,
            "this kernel offers no nf_tables or no table of connections over netlink; without "
            "nf_tables use state=watched",
        ) from error


def _document(
    node: str,
    mode: str,
    window: tuple[float, float],
    gaps: list[str],
    not_recorded: int,
    interfaces: dict[str, list[str]],
    flows: Iterator[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "schema": document.SCHEMA,
        "node": node,
        "boot_id": boot_id(),
        "mode": mode,
        "window": {
            "start": round(window[0], 3),
            "end": round(window[1], 3),
            "complete": not gaps,
            "gaps": [{"id": gap, "message": GAPS[gap]} for gap in gaps],
        },
        "not_recorded": not_recorded,
        "interfaces": interfaces,
        "flows": flows,
    }
