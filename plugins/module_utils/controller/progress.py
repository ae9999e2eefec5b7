# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far long work is: a module writes it into a file, and its action plugin shows it meanwhile."""

from __future__ import annotations

import os
import threading
import time
from typing import Optional

OPTION = {"progress": {"type": "path"}}

_EVERY_SECONDS = 0.5


class Progress:
    """Counts what is done, from any thread.

    :param path: of the file, whose one line is replaced; None where nobody looks
    :param what: is counted, in the plural
    :param total: how many there are
    """

    def __init__(self, path: Optional[str], what: str, total: int) -> None:
        self._path, self._what, self._total = path, what, total
        self._done, self._told = 0, 0.0
        self._lock = threading.Lock()

    def step(self) -> None:
        """One more is done."""
        with self._lock:
            self._done += 1
            now = time.monotonic()
            if self._path is None or now - self._told < _EVERY_SECONDS:
                return
            self._told = now
            self._write(self._path)

    def _write(self, path: str) -> None:
        # Whole at every moment, because it is read meanwhile. What cannot be told must not end the work.
        try:
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                file.write(f"{self._done} of {self._total} {self._what}")
            os.replace(f"{path}.new", path)
        except OSError:
            self._path = None
