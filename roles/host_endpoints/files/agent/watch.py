# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two objects, this node and its HostEndpoint, as the API server has them: watched, never polled."""

from __future__ import annotations

import random
import threading
import time
from typing import Any, Callable, Optional

from .api import AgentApiError, Api, Stream
from .backoff import Backoff
from .log import INFO, WARNING, say

# How long the server is asked to keep a watch open. Random, so that those of many nodes do not end together.
OPEN_SECONDS = (1800, 3600)
# A server that sends bookmarks does so about once a minute; after longer silence the connection is dead.
SILENT_SECONDS = 90
# What a server may take beyond the time that it was asked for.
GRACE_SECONDS = 60
FIRST_WAIT_SECONDS = 4
LONGEST_WAIT_SECONDS = 30

Object = dict[str, Any]


class Unknown:
    """What an object is until it has been read."""


UNKNOWN = Unknown()


class Board:
    """What was seen last, and a bell for who waits for news."""

    def __init__(self) -> None:
        self._bell = threading.Condition()
        self._news = False
        self._seen: dict[str, Any] = {}
        self._failure: Optional[BaseException] = None

    def put(self, kind: str, obj: Optional[Object]) -> None:
        with self._bell:
            self._seen[kind] = obj
            self._news = True
            self._bell.notify()

    def see(self, kind: str) -> Any:
        """The object, None where it does not exist, UNKNOWN where it has not been read yet."""
        with self._bell:
            return self._seen.get(kind, UNKNOWN)

    def fail(self, error: BaseException) -> None:
        """Let the waiting thread end with this error: a watch that is dead must not look alive."""
        with self._bell:
            self._failure = error
            self._bell.notify()

    def wait(self, seconds: float) -> bool:
        """Wait for news; returns whether there are any."""
        with self._bell:
            if not self._news and not self._failure:
                self._bell.wait(max(0, seconds))
            if self._failure:
                raise self._failure
            news, self._news = self._news, False
            return news


class Watch(threading.Thread):
    """Keeps one object on the board.

    :param kind: what it is called on the board and in the log
    :param read: reads the object: itself or None, and the version of the API's data, empty where the answer
        does not tell; a watch from there misses nothing
    :param collection: URL path of its kind
    :param name: its name
    """

    def __init__(
        self,
        api: Api,
        board: Board,
        kind: str,
        read: Callable[[], tuple[Optional[Object], str]],
        collection: str,
        name: str,
    ) -> None:
        super().__init__(name=kind, daemon=True)
        self._api = api
        self._board = board
        self._kind = kind
        self._read = read
        self._collection = collection
        self._object_name = name
        self._version: Optional[str] = None
        self._backoff = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        self._sends_bookmarks = False
        self._lost = False
        self.times_lost = 0

    def run(self) -> None:
        try:
            while True:
                self._once()
        except BaseException as error:
            self._board.fail(error)

    def _once(self) -> None:
        """One watch, from its beginning to its end."""
        begun = time.monotonic()
        try:
            if self._version is None:
                obj, self._version = self._read()
                self._board.put(self._kind, obj)
            self._follow()
        except AgentApiError as error:
            if error.status == 410:
                # What we saw last is older than what the server remembers. It is there, so not for long.
                self._version = None
                say(INFO, "reading again", watch=self._kind, reason=str(error))
                time.sleep(random.uniform(0, FIRST_WAIT_SECONDS))
                return
            if time.monotonic() - begun > LONGEST_WAIT_SECONDS:
                self._backoff.reset()
            self._say_lost(error)
            time.sleep(self._wait(error.retry_after))

    def _wait(self, at_least: float) -> float:
        """Seconds until the next try; short as long as nothing was read yet, as when a pod begins."""
        if self._version is None:
            return self._backoff.next(at_least)
        # All agents lose their watches when the API server restarts, and it takes connections seconds
        # before it serves them: those that came back meanwhile would all be served at one moment.
        return at_least + random.uniform(0, LONGEST_WAIT_SECONDS)

    def _follow(self) -> None:
        asked = random.randint(*OPEN_SECONDS)
        query = {
            "fieldSelector": f"metadata.name={self._object_name}",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(asked),
            **({"resourceVersion": self._version} if self._version else {}),
        }
        begun = time.monotonic()
        stream = self._api.watch(self._collection, query)
        try:
            self._say_found()
            # Where a server sends no bookmarks, only the connection's keepalive tells that it is dead.
            stream.patience(SILENT_SECONDS if self._sends_bookmarks else asked + GRACE_SECONDS)
            for event in stream.events():
                self._take(event, stream)
        finally:
            stream.close()
        # A server that goes down ends all watches at once; who then comes back at once would be a herd.
        if time.monotonic() - begun < asked - 1:
            raise AgentApiError("the watch ended before its time")

    def _take(self, event: Object, stream: Stream) -> None:
        kind, obj = event["type"], event["object"]
        if kind == "ERROR":
            raise AgentApiError(str(obj.get("message")), int(obj.get("code") or 0))
        if kind == "BOOKMARK":
            self._sends_bookmarks = True
            stream.patience(SILENT_SECONDS)
        else:
            self._board.put(self._kind, None if kind == "DELETED" else obj)
        self._version = obj["metadata"]["resourceVersion"]

    def _say_lost(self, error: AgentApiError) -> None:
        """Once, however often it is tried again."""
        if not self._lost:
            self.times_lost += 1
            say(WARNING, "lost the watch, trying again", watch=self._kind, reason=str(error))
        self._lost = True

    def _say_found(self) -> None:
        if self._lost:
            say(INFO, "watching again", watch=self._kind)
        self._lost = False
