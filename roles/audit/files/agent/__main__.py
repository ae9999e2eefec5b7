# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program: ``python3 -m hostfence.agent`` observes the flows of one node and publishes what it saw.

The kernel keeps the flows in a table that goes with this process. It is read every minute into an aggregate,
which is published now and then. One thread, and no wait without an end: whatever goes wrong ends the program,
and the kubelet starts it again.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from pathlib import Path

from ..calico.api import CREDENTIALS, AgentApiError, Api
from ..calico.backoff import Backoff
from ..calico.bad_input import BadInput
from ..calico.log import ERROR, INFO, WARNING, say
from ..node.flows import observe
from . import configuration
from .aggregate import Aggregate
from .publish import config_map, packed

BAD_CONFIGURATION = 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="agent")
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.json"))
    parser.add_argument("--credentials", type=Path, default=CREDENTIALS)
    options = parser.parse_args()
    # Nobody else sets one for the first process of a container, which would not be ended by a signal then.
    signal.signal(signal.SIGTERM, _leave)
    node = os.environ.get("NODE_NAME", "")
    try:
        if not node:
            raise BadInput("NODE_NAME", node, "must be the name of this pod's node (spec.nodeName)")
        _observe(Api(options.credentials), configuration.read(options.config), node)
    except BadInput as refused:
        say(ERROR, "cannot observe this node", reason=str(refused))
        return BAD_CONFIGURATION
    return 1


def _observe(api: Api, settings: configuration.Configuration, node: str) -> None:
    held = observe.hold(settings.set_size)
    say(INFO, "observing the flows of this node", node=node)
    aggregate, failures = Aggregate(settings.most_flows), Backoff(1, settings.publish_seconds)
    # Each at a time of its own, so that the API server never has all nodes at once.
    due = time.monotonic() + random.uniform(0, settings.publish_seconds)
    try:
        while True:
            aggregate.add(observe.collect(node, limit=settings.most_flows))
            if time.monotonic() >= due:
                due = time.monotonic() + _publish(api, settings, node, aggregate, failures)
            time.sleep(settings.read_seconds)
    finally:
        held.close()


def _publish(
    api: Api, settings: configuration.Configuration, node: str, aggregate: Aggregate, failures: Backoff
) -> float:
    """Publish what was seen; seconds until the next time."""
    data = packed(aggregate.document(), settings.most_bytes)
    path = f"/api/v1/namespaces/{settings.namespace}/configmaps/flows-{node}"
    try:
        api.apply(path, config_map(settings.namespace, node, data))
    except AgentApiError as error:
        say(WARNING, "what was seen could not be published", reason=str(error))
        return failures.next(error.retry_after)
    failures.reset()
    return settings.publish_seconds


def _leave(_number: int, _frame: object) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
