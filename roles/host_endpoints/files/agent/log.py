# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One line of JSON for each thing that happened, and none for what did not."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone

INFO, WARNING, ERROR = "info", "warning", "error"


def say(level: str, message: str, **fields: object) -> None:
    """Write one line to standard output, where a pod's log comes from."""
    time = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    line = json.dumps({"time": time, "level": level, "message": message, **fields})
    # In one write, so that lines of two threads never mix.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
