# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the agent was told to do; anything wrong in it ends the program."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..calico.bad_input import BadInput


@dataclass(frozen=True)
class Configuration:
    """The same for all nodes of a cluster.

    :ivar read_seconds: between two readings of the kernel's table
    :ivar publish_seconds: between two writes to the API
    :ivar most_bytes: of what is published, compressed
    :ivar most_flows: distinct flows that are kept
    """

    namespace: str
    set_size: int
    read_seconds: float
    publish_seconds: float
    most_bytes: int
    most_flows: int


def read(path: Path) -> Configuration:
    """Read the configuration file, which the role audit writes.

    :raises BadInput: it is absent, is no JSON, or something is missing in it
    """
    try:
        said = json.loads(path.read_text())
        return Configuration(
            str(said["namespace"]),
            int(said["set_size"]),
            float(said["read_seconds"]),
            float(said["publish_seconds"]),
            int(said["most_bytes"]),
            int(said["most_flows"]),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadInput(
            "configuration", str(error), "must be the JSON that the role writes", str(path)
        ) from error
