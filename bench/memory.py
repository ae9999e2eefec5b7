# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The most memory that a running process has had.

What getrusage and wait4 tell counts the memory of the process that started it, too, and a bench is large.
"""

from __future__ import annotations

import re
from pathlib import Path


def high_water(pid: int) -> float:
    """MiB; 0 for a process that has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+)", status, re.M)
    return int(found[1]) / 1024 if found else 0
