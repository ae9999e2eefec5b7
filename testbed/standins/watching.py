# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watched collections that wake a loop: what both stand-ins are built on."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable

import urllib3

from testbed.api import Api, ApiError, Json
from testbed.crds import GROUPS

# Many events come together; one look at the whole answers all of them.
_SETTLE_SECONDS = 0.1
_RETRY_SECONDS = 1


class Mirror:
    """Copies of whole collections, kept up to date.

    :param api: client of its own for each collection is not needed: watches take one connection each
    :param paths: path of each collection by name
    """

    def __init__(self, api: Api, paths: dict[str, str]) -> None:
        self._api = api
        self._paths = paths
        self._changed: queue.Queue[str] = queue.Queue()
        self._lock = threading.Lock()
        self._objects: dict[str, dict[str, Json]] = {}

    def run(self, look: Callable[[dict[str, dict[str, Json]]], None]) -> None:
        """Calls ``look`` with name -> object of each collection after every change, for ever."""
        for name in self._paths:
            threading.Thread(target=self._follow, args=(name,), daemon=True).start()
        while True:
            self._changed.get()
            time.sleep(_SETTLE_SECONDS)
            while not self._changed.empty():
                self._changed.get()
            with self._lock:
                objects = {name: dict(items) for name, items in self._objects.items()}
            if objects.keys() != self._paths.keys():
                continue
            try:
                look(objects)
            except (ApiError, urllib3.exceptions.HTTPError) as error:
                say(f"again in {_RETRY_SECONDS} s: {error}")
                time.sleep(_RETRY_SECONDS)
                self._changed.put("retry")

    def _follow(self, name: str) -> None:
        while True:
            try:
                self._list_and_watch(name)
            except (ApiError, urllib3.exceptions.HTTPError) as error:
                # An older Calico does not have every kind; then there are none of it, until there are.
                if isinstance(error, ApiError) and error.status == 404:
                    self._none_of(name)
                else:
                    say(f"{name}: {error}")
                time.sleep(_RETRY_SECONDS)

    def _none_of(self, name: str) -> None:
        with self._lock:
            news = self._objects.get(name) != {}
            self._objects[name] = {}
        if news:
            self._changed.put(name)

    def _list_and_watch(self, name: str) -> None:
        path = self._paths[name]
        answer = self._api.get(path)
        # Items of a list lack what every object on its own has.
        common = {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")}
        items = {item["metadata"]["name"]: {**common, **item} for item in answer["items"]}
        with self._lock:
            self._objects[name] = items
        self._changed.put(name)
        version = answer["metadata"]["resourceVersion"]
        for event in self._api.watch(path, resourceVersion=version, timeoutSeconds="600"):
            item = event["object"]
            with self._lock:
                if event["type"] == "DELETED":
                    items.pop(item["metadata"]["name"], None)
                else:
                    items[item["metadata"]["name"]] = item
            self._changed.put(name)


def calico_group_version(api: Api) -> str:
    """The API that Calico's own programs would use: v3 where only v3 is.

    Waits until there is one.
    """
    while True:
        groups = {group["name"] for group in api.get("/apis")["groups"]}
        for version in ("v1", "v3"):
            if GROUPS[version] in groups:
                return f"{GROUPS[version]}/{version}"
        time.sleep(_RETRY_SECONDS)


def say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, file=sys.stderr)
