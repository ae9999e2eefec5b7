# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes, corrects and keeps the HostEndpoint of one node. Never deletes anything."""

from __future__ import annotations

import time
from typing import Any, Optional

from .api import AgentApiError, Api
from .backoff import Backoff
from .bad_input import BadInput
from .configuration import Configuration
from .host_endpoint import desired, hep_name
from .host_endpoint_plan import Change, plan
from .log import INFO, WARNING, say
from .watch import UNKNOWN, Board, Watch

NODES = "/api/v1/nodes"
NODE, HOST_ENDPOINT = "Node", "HostEndpoint"
BEAT_SECONDS = 10
# What fails is tried less and less often; so is a HostEndpoint written that someone else keeps changing.
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30
QUIET_SECONDS = 60


class Keeper:
    """The agent's own loop.

    :ivar ready: whether the HostEndpoint was as it should be when it was last seen
    :ivar beaten: when the loop last came round, by the monotonic clock
    :ivar writes: how many writes succeeded
    """

    def __init__(self, api: Api, configuration: Configuration, node_name: str) -> None:
        self._api = api
        self._configuration = configuration
        self._node = node_name
        self._name = hep_name(node_name)
        self._board = Board()
        self._after_failure = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        self._after_write = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        self._last_write = 0.0
        self._not_before = 0.0
        self._unfinished = False
        self._problem = ""
        self.ready = False
        self.beaten = time.monotonic()
        self.writes = 0
        collection = configuration.host_endpoints
        self.watches = (
            Watch(api, self._board, NODE, self._read_node, NODES, node_name),
            Watch(api, self._board, HOST_ENDPOINT, self._read_host_endpoint, collection, self._name),
        )

    def run(self) -> None:
        """Never returns."""
        for watch in self.watches:
            watch.start()
        while True:
            self.beaten = now = time.monotonic()
            due = self._not_before - now if self._unfinished else BEAT_SECONDS
            news = self._board.wait(min(BEAT_SECONDS, due))
            if news or self._unfinished:
                self._settle()

    def _read_node(self) -> tuple[Optional[dict[str, Any]], str]:
        # Without a version the watch begins with the object as it is, so what changes in between is seen.
        return self._api.get(f"{NODES}/{self._node}"), ""

    def _read_host_endpoint(self) -> tuple[Optional[dict[str, Any]], str]:
        found = self._api.list(
            self._configuration.host_endpoints, fieldSelector=f"metadata.name={self._name}"
        )
        return next(iter(found["items"]), None), found["metadata"]["resourceVersion"]

    def _settle(self) -> None:
        """Compare, and write if something differs and it is time."""
        node, hep = self._board.see(NODE), self._board.see(HOST_ENDPOINT)
        self._unfinished = False
        if node is UNKNOWN or hep is UNKNOWN:
            return
        if node is None:
            self._trouble(f"Node {self._node} does not exist")
            return
        try:
            change = self._change(node, hep)
        except BadInput as refused:
            # Of the template all is checked before we begin, so this is about the node or someone else's
            # object, and news of either ends it.
            self._trouble(str(refused))
            return
        self.ready = change is None
        if change is None:
            self._problem = ""
            return
        self._unfinished = True
        if time.monotonic() >= self._not_before:
            self._write(change)

    def _change(self, node: dict[str, Any], hep: Optional[dict[str, Any]]) -> Optional[Change]:
        heps = [hep] if hep else []
        wanted = desired(node, self._configuration.template, self._configuration.api_version)
        changes = plan([wanted], [self._node], heps).changes
        return next(iter(changes), None)

    def _write(self, change: Change) -> None:
        collection = self._configuration.host_endpoints
        wanted = change.wanted or {}
        try:
            if change.live is None:
                self._api.create(collection, wanted)
            else:
                self._api.replace(f"{collection}/{self._name}", wanted)
        except AgentApiError as error:
            wait = self._after_failure.next(error.retry_after)
            # 409: it is newer than what we saw, and the watch is about to tell.
            if error.status != 409:
                self._trouble(str(error))
                self._unfinished = True
        else:
            self.writes += 1
            self._problem = ""
            self._after_failure.reset()
            # The watch tells of a write that succeeded long before it would be repeated.
            wait = self._wait_after_write()
            done = "created" if change.live is None else "corrected"
            say(INFO, f"{done} the HostEndpoint", name=self._name, was_wrong=_different(change))
        self._not_before = time.monotonic() + wait

    def _wait_after_write(self) -> float:
        now = time.monotonic()
        if now - self._last_write > QUIET_SECONDS:
            self._after_write.reset()
        self._last_write = now
        return self._after_write.next()

    def _trouble(self, problem: str) -> None:
        """Say once why the HostEndpoint is not as it should be."""
        self.ready = False
        if problem != self._problem:
            say(WARNING, "the HostEndpoint is not as it should be", name=self._name, reason=problem)
        self._problem = problem


def _different(change: Change) -> list[str]:
    """What a correction changes, by name."""
    if change.live is None or change.wanted is None:
        return []
    before, after = change.live, change.wanted
    fields = sorted({*(before.get("spec") or {}), *after["spec"]})
    found = [f"spec.{f}" for f in fields if (before.get("spec") or {}).get(f) != after["spec"].get(f)]
    for part in ("labels", "annotations"):
        if before["metadata"].get(part) != after["metadata"].get(part):
            found.insert(0, part)
    return found
