# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Agents by the hundred in one process, without pods: the agent's own classes, each with its own token.

``bench/agent.py`` starts it. The first line of standard input is the job. Each line after it is answered with
the number of agents that are ready; ``no-jitter`` takes the chance out of their waiting.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

# Thousands of threads that do little.
_STACK_BYTES = 512 * 1024


def main() -> None:
    job = json.loads(sys.stdin.readline())
    answers, sys.stdout = sys.stdout, Path(job["log"]).open("w")  # noqa: SIM115
    # In front of this file's own directory, where a benchmark has the package's name.
    sys.path.insert(0, job["program"])
    os.environ.update(job["environment"])
    threading.stack_size(_STACK_BYTES)
    from agent import backoff, configuration
    from agent.api import Api
    from agent.keep import Keeper

    settings = configuration.read(Path(job["program"], "agent", "config.json"))
    keepers = [Keeper(Api(Path(job["credentials"], node)), settings, node) for node in job["nodes"]]

    def start() -> None:
        for keeper in keepers:
            threading.Thread(target=keeper.run, daemon=True).start()
            time.sleep(job["pause"])

    threading.Thread(target=start, daemon=True).start()
    for line in sys.stdin:
        if line.strip() == "no-jitter":
            backoff.random = SimpleNamespace(uniform=lambda _least, most: most)
        print(sum(keeper.ready for keeper in keepers), file=answers, flush=True)


if __name__ == "__main__":
    main()
