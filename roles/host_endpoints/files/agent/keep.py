# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes, corrects and keeps the HostEndpoints of one node. Never deletes anything."""

from __future__ import annotations

import time
from typing import Any, Optional

from .api import AgentApiError, Api
from .backoff import Backoff
from .bad_input import BadInput
from .configuration import Configuration
from .host_endpoint import hep_name
from .host_endpoint_auto import desired_by_templates, refuse_names_of_two
from .host_endpoint_plan import HostEndpointChange, plan
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

    :ivar ready: whether the HostEndpoints were as they should be when they were last seen
    :ivar beaten: when the loop last came round, by the monotonic clock
    :ivar writes: how many writes succeeded
    """

    def __init__(self, api: Api, configuration: Configuration, node_name: str) -> None:
        self._api = api
        self._configuration = configuration
        self._node = node_name
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
        self.watches = [Watch(api, self._board, NODE, self._read_node, NODES, node_name)]
        self._watched: set[str] = set()

    def run(self) -> None:
        """Never returns."""
        self.watches[0].start()
        if self._configuration.networks.create_default:
            self._watch(hep_name(self._node))
        while True:
            self.beaten = now = time.monotonic()
            due = self._not_before - now if self._unfinished else BEAT_SECONDS
            news = self._board.wait(min(BEAT_SECONDS, due))
            if news or self._unfinished:
                self._settle()

    def _read_node(self) -> tuple[Optional[dict[str, Any]], str]:
        # Without a version the watch begins with the object as it is, so what changes in between is seen.
        return self._api.get(f"{NODES}/{self._node}"), ""

    def _watch(self, name: str) -> None:
        """Watch a HostEndpoint, from when it is first known that the node should have it."""
        if name in self._watched:
            return
        self._watched.add(name)

        def read() -> tuple[Optional[dict[str, Any]], str]:
            found = self._api.list(self._configuration.host_endpoints, fieldSelector=f"metadata.name={name}")
            return next(iter(found["items"]), None), found["metadata"]["resourceVersion"]

        collection = self._configuration.host_endpoints
        watch = Watch(self._api, self._board, self._title(name), read, collection, name)
        self.watches.append(watch)
        watch.start()

    def _title(self, name: str) -> str:
        return HOST_ENDPOINT if name == hep_name(self._node) else f"{HOST_ENDPOINT} {name}"

    def _settle(self) -> None:
        """Compare, and write if something differs and it is time."""
        node = self._board.see(NODE)
        self._unfinished = False
        if node is UNKNOWN:
            return
        if node is None:
            self._trouble(f"Node {self._node} does not exist")
            return
        try:
            changes = self._changes(node)
        except BadInput as refused:
            # Of the template all is checked before we begin, so this is about the node or someone else's
            # object, and news of either ends it.
            self._trouble(str(refused))
            return
        if changes is None:
            return
        self.ready = not changes
        if not changes:
            self._problem = ""
            return
        self._unfinished = True
        if time.monotonic() >= self._not_before:
            for change in changes:
                if not self._write(change):
                    break

    def _changes(self, node: dict[str, Any]) -> Optional[list[HostEndpointChange]]:
        """What differs, or None as long as one of the HostEndpoints has not been read yet."""
        networks = self._configuration.networks
        wanted = desired_by_templates(
            node,
            self._configuration.template,
            networks.templates,
            self._configuration.api_version,
            create_default=networks.create_default,
        )
        refuse_names_of_two(wanted)
        names = [str(hep["metadata"]["name"]) for hep in wanted]
        for name in names:
            self._watch(name)
        seen = [self._board.see(self._title(name)) for name in names]
        if any(hep is UNKNOWN for hep in seen):
            return None
        return list(plan(wanted, [self._node], [hep for hep in seen if hep]).changes)

    def _write(self, change: HostEndpointChange) -> bool:
        """Write one; whether that succeeded."""
        collection = self._configuration.host_endpoints
        wanted = change.wanted or {}
        try:
            if change.live is None:
                self._api.create(collection, wanted)
            else:
                self._api.replace(f"{collection}/{change.name}", wanted)
        except AgentApiError as error:
            wait = self._after_failure.next(error.retry_after)
            # 409: it is newer than what we saw, and the watch is about to tell.
            if error.status != 409:
                self._trouble(str(error), change.name)
                self._unfinished = True
            self._not_before = time.monotonic() + wait
            return False
        else:
            self.writes += 1
            self._problem = ""
            self._after_failure.reset()
            # The watch tells of a write that succeeded long before it would be repeated.
            wait = self._wait_after_write()
            done = "created" if change.live is None else "corrected"
            say(INFO, f"{done} the HostEndpoint", name=change.name, was_wrong=_different(change))
            self._not_before = time.monotonic() + wait
            return True

    def _wait_after_write(self) -> float:
        now = time.monotonic()
        if now - self._last_write > QUIET_SECONDS:
            self._after_write.reset()
        self._last_write = now
        return self._after_write.next()

    def _trouble(self, problem: str, name: str = "") -> None:
        """Say once why the HostEndpoint is not as it should be."""
        self.ready = False
        if problem != self._problem:
            name = name or hep_name(self._node)
            say(WARNING, "the HostEndpoint is not as it should be", name=name, reason=problem)
        self._problem = problem


def _different(change: HostEndpointChange) -> list[str]:
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
