# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Short-lived programs of the machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from testbed.errors import TestbedError

# A user's PATH may lack the directories where Debian keeps ip and nft.
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def run(command: Sequence[str], text: str | None = None) -> str:
    """Runs a program to its end.

    :param text: its standard input
    :returns: its standard output
    :raises TestbedError: it failed
    """
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, env={**os.environ, "PATH": PATH}
    )
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise TestbedError(f"{' '.join(command)}: {reason[-1]}")
    return done.stdout
