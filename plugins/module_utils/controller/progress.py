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


class Line:
    """The one line of a file, replaced now and then.

    :param path: of the file; None where it is not shown
    """

    def __init__(self, path: Optional[str]) -> None:
        self._path = path
        self._written = 0.0

    def show(self, text: str) -> None:
        """Write a line, unless one was written a moment ago."""
        now = time.monotonic()
        if self._path is None or now - self._written < _EVERY_SECONDS:
            return
        self._written = now
        self._write(self._path, text)

    def _write(self, path: str, text: str) -> None:
        # Whole at every moment, because it is read meanwhile; and a line that cannot be written ends no work.
        try:
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(f"{path}.new", path)
        except OSError:
            self._path = None


class Progress:
    """Counts what is done, from any thread.

    :param path: of the file; None where it is not shown
    :param what: is counted, in the plural
    :param total: how many there are
    """

    def __init__(self, path: Optional[str], what: str, total: int) -> None:
        self._line, self._what, self._total = Line(path), what, total
        self._done = 0
        self._lock = threading.Lock()

    def step(self) -> None:
        """One more is done."""
        with self._lock:
            self._done += 1
            self._line.show(f"{self._done} of {self._total} {self._what}")
