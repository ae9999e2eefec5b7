# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Event source of ansible-rulebook: the Nodes of a cluster, as far as host protection depends on them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

DOCUMENTATION = r"""
---
short_description: Nodes of a Kubernetes cluster that join, change or leave
description:
  - Watches Nodes. An event is C({node, change}), where C(change) is V(present) for a Node that is there when
    the watch begins, V(joined), V(changed), or V(left).
  - A Node has changed when its labels, its addresses, or the addresses that Calico noted on it have.
    Heartbeats and conditions make no event.
  - Needs the right to list and watch Nodes, and nothing else. A connection that ends is opened again, and
    what happened meanwhile is reported then.
options:
  kubeconfig:
    description: >-
      Path of the kubeconfig. Left out, C(KUBECONFIG), C(~/.kube/config), or the pod's service account.
    type: str
  context:
    description: Context of the kubeconfig.
    type: str
  present:
    description: >-
      Whether Nodes that are there at the start make an event, so that nothing is missed between two runs.
    type: bool
    default: true
"""

EXAMPLES = r"""
- hostfence.calico.nodes:
    kubeconfig: /etc/kubernetes/hostfence.conf
"""

CALICO_ADDRESSES = ("projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address")
# An API server ends a watch from time to time; asking for it bounds what a broken connection can hide.
_WATCH_SECONDS = 300
_PAUSES = (1, 2, 5, 10, 30)

_log = logging.getLogger(__name__)
Event = dict[str, str]
Fingerprint = tuple[Any, ...]


def fingerprint(node: Any) -> Fingerprint:
    """All of a Node that host protection depends on."""
    noted = node.metadata.annotations or {}
    addresses = sorted((entry.type, entry.address) for entry in node.status.addresses or ())
    labels = sorted((node.metadata.labels or {}).items())
    return (node.metadata.uid, labels, addresses, [noted.get(key) for key in CALICO_ADDRESSES])


class Nodes:
    """What is known of the Nodes, and which events a look at them makes."""

    def __init__(self, *, present: bool) -> None:
        self._known: dict[str, Fingerprint] = {}
        self._first = "present" if present else ""

    def listed(self, nodes: Iterable[Any]) -> Iterator[Event]:
        """All Nodes at one time."""
        there = {node.metadata.name: node for node in nodes}
        for name in sorted(self._known.keys() - there.keys()):
            yield from self.left(name)
        for _name, node in sorted(there.items()):
            yield from self.seen(node, joined=self._first)
        self._first = "joined"

    def seen(self, node: Any, joined: str = "joined") -> Iterator[Event]:
        """A Node as it is now."""
        name, now = node.metadata.name, fingerprint(node)
        before = self._known.get(name)
        self._known[name] = now
        if before is None and joined:
            yield {"node": name, "change": joined}
        elif before is not None and before != now:
            yield {"node": name, "change": "changed"}

    def left(self, name: str) -> Iterator[Event]:
        """A Node that is gone."""
        if self._known.pop(name, None) is not None:
            yield {"node": name, "change": "left"}


def follow(api: client.CoreV1Api, nodes: Nodes, report: Callable[[Event], None]) -> None:
    """List the Nodes, and watch them until the API server ends the watch.

    :raises ApiException, HTTPError: no answer, or none that goes on; call again
    """
    listing = api.list_node()
    for event in nodes.listed(listing.items):
        report(event)
    # One that begins at the listing's version misses nothing in between.
    version = listing.metadata.resource_version
    stream = watch.Watch().stream(api.list_node, resource_version=version, timeout_seconds=_WATCH_SECONDS)
    for change in stream:
        node = change["object"]
        found = nodes.left(node.metadata.name) if change["type"] == "DELETED" else nodes.seen(node)
        for event in found:
            report(event)


def keep_following(api: client.CoreV1Api, nodes: Nodes, report: Callable[[Event], None]) -> None:
    """Follow the Nodes for ever, whatever the API server does meanwhile."""
    failed = 0
    while True:
        try:
            follow(api, nodes, report)
            failed = 0
        except (ApiException, HTTPError) as error:
            # 410: the version is too old to watch from, which a new listing heals at once.
            if getattr(error, "status", None) != 410:
                pause = _PAUSES[min(failed, len(_PAUSES) - 1)]
                _log.warning("Nodes cannot be watched, again in %s s: %s", pause, error)
                time.sleep(pause)
                failed += 1


async def main(queue: asyncio.Queue[Event], args: dict[str, Any]) -> None:
    """What ansible-rulebook calls."""
    config.load_config(config_file=args.get("kubeconfig") or None, context=args.get("context") or None)
    loop = asyncio.get_running_loop()

    def report(event: Event) -> None:
        asyncio.run_coroutine_threadsafe(queue.put(event), loop).result()

    nodes = Nodes(present=bool(args.get("present", True)))
    await asyncio.to_thread(keep_following, client.CoreV1Api(), nodes, report)
