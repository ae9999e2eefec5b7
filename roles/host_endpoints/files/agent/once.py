# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reconciles the HostEndpoints of all nodes once, as the module host_endpoints does from outside."""

from __future__ import annotations

import time
from typing import Any, Callable, TypeVar

from .api import AgentApiError, Api
from .backoff import Backoff
from .bad_input import BadInput
from .configuration import Configuration
from .host_endpoint_auto import desired_by_templates, refuse_names_of_two
from .host_endpoint_plan import HostEndpointChange, HostEndpointPlan, plan
from .log import ERROR, INFO, say

NODES = "/api/v1/nodes"
# A second look finds what others wrote during the first.
PASSES = 3
TRIES = 8
# Answers after which the same request may succeed.
WORTH_ANOTHER_TRY = (0, 429, 500, 502, 503, 504)

NODES_A_PAGE = "50"

Object = dict[str, Any]
T = TypeVar("T")


def reconcile(api: Api, configuration: Configuration) -> bool:
    """Create, correct, and remove orphans of Hostfence; say ``n of n``.

    :returns: whether every selected node has its HostEndpoint, and no orphan is left
    :raises BadInput: someone else's HostEndpoint has a name that Hostfence needs, or no node is selected
    """
    for _pass in range(PASSES):
        planned = _plan(api, configuration)
        if not planned.changes or not _carry_out(api, configuration, planned):
            break
    left = _plan(api, configuration).changes
    total = len(planned.selected)
    missing = len({change.node for change in left if change.action == "create"})
    say(
        ERROR if left else INFO,
        f"{total - missing} of {total} nodes have their HostEndpoint",
        not_done=[f"{change.action} {change.name}" for change in left],
    )
    return not left


def _plan(api: Api, configuration: Configuration) -> HostEndpointPlan:
    selector = {"labelSelector": configuration.node_selector} if configuration.node_selector else {}
    wanted = _patiently(lambda: _wanted(api, configuration, selector))
    heps = _patiently(lambda: api.list(configuration.host_endpoints))["items"]
    if not wanted:
        # An empty answer must never remove everything.
        raise BadInput("node_selector", configuration.node_selector, "selects no node of this cluster")
    return plan(wanted, [hep["spec"]["node"] for hep in wanted], heps)


def _wanted(api: Api, configuration: Configuration, selector: dict[str, str]) -> list[Object]:
    """The HostEndpoints that should be. No Node is kept: a pod's memory is limited, and a Node is large."""
    pages = api.pages(NODES, limit=NODES_A_PAGE, **selector)
    networks = configuration.networks
    wanted = [
        hep
        for page in pages
        for node in page["items"]
        for hep in desired_by_templates(
            node,
            configuration.template,
            networks.templates,
            configuration.api_version,
            create_default=networks.create_default,
        )
    ]
    refuse_names_of_two(wanted)
    return wanted


def _carry_out(api: Api, configuration: Configuration, planned: HostEndpointPlan) -> bool:
    """Orphans last, and not at all if a write before them failed; returns whether another look may help."""
    kept = [change for change in planned.changes if change.action != "delete"]
    gone = [change for change in planned.changes if change.action == "delete"]
    done = [_write(api, configuration, change) for change in kept]
    if all(done):
        done = [_write(api, configuration, change) for change in gone]
    return not all(done)


def _write(api: Api, configuration: Configuration, change: HostEndpointChange) -> bool:
    try:
        _patiently(lambda: _send(api, configuration.host_endpoints, change))
    except AgentApiError as error:
        say(ERROR, f"could not {change.action} the HostEndpoint", name=change.name, reason=str(error))
        return False
    say(INFO, f"{change.action}d the HostEndpoint", name=change.name)
    return True


def _send(api: Api, collection: str, change: HostEndpointChange) -> None:
    path = f"{collection}/{change.name}"
    if change.action == "create":
        api.create(collection, change.wanted or {})
    elif change.action == "update":
        api.replace(path, change.wanted or {})
    else:
        api.delete(path, (change.live or {})["metadata"]["uid"])


def _patiently(request: Callable[[], T]) -> T:
    backoff = Backoff(first=0.5, longest=10)
    for left in reversed(range(TRIES)):
        try:
            return request()
        except AgentApiError as error:
            if not left or error.status not in WORTH_ANOTHER_TRY:
                raise
            time.sleep(backoff.next(error.retry_after))
    raise AssertionError("the last try returns or raises")
