# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program.

``python3 -m agent keep`` keeps one node's HostEndpoint, ``python3 -m agent once`` reconciles those of all.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from . import configuration
from .api import CREDENTIALS, AgentApiError, Api
from .bad_input import BadInput
from .health import Health
from .keep import Keeper
from .log import ERROR, INFO, say
from .once import reconcile

BAD_CONFIGURATION = 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="agent")
    parser.add_argument("task", choices=["keep", "once"])
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.json"))
    parser.add_argument("--credentials", type=Path, default=CREDENTIALS)
    parser.add_argument("--health-port", type=int, default=8080)
    options = parser.parse_args()
    # The first process of a container has no default handler, and a signal would not end it.
    signal.signal(signal.SIGTERM, _leave)
    try:
        settings = configuration.read(options.config)
        if options.task == "once":
            return 0 if reconcile(Api(options.credentials, keep_connection=True), settings) else 1
        _keep(Api(options.credentials), settings, options.health_port)
    except BadInput as refused:
        say(ERROR, "cannot work with this configuration", reason=str(refused))
        return BAD_CONFIGURATION
    except AgentApiError as error:
        say(ERROR, "the API did not let us finish", reason=str(error))
    return 1


def _keep(api: Api, settings: configuration.Configuration, health_port: int) -> None:
    node = os.environ.get("NODE_NAME", "")
    if not node:
        raise BadInput("NODE_NAME", node, "must be the name of this pod's node (spec.nodeName)")
    keeper = Keeper(api, settings, node)
    Health(keeper, api, health_port).start()
    say(INFO, "keeping the HostEndpoint of this node", node=node, api_version=settings.api_version)
    keeper.run()


def _leave(_number: int, _frame: object) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
