# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs a module as ever, and shows meanwhile how far it is."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

from ansible.plugins.action import ActionBase

SECONDS = 3.0
"""No more than a line in this time."""


class ProgressAction(ActionBase):  # type: ignore[misc]
    """The action plugin of a module with the option ``progress``, which it fills in where it runs here."""

    TRANSFERS_FILES = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        if self._connection.transport != "local" or self._task.async_val:
            return {**result, **self._execute_module(task_vars=task_vars)}
        with shown(self._display.display, SECONDS) as path:
            arguments = {**self._task.args, "progress": str(path)}
            return {**result, **self._execute_module(module_args=arguments, task_vars=task_vars)}


@contextmanager
def shown(show: Callable[[str], object], seconds: float) -> Iterator[Path]:
    """A file whose line is shown whenever it has changed, at most every so many seconds."""
    ended = threading.Event()
    with tempfile.TemporaryDirectory(prefix="hostfence-progress-") as directory:
        path = Path(directory) / "progress"
        watching = threading.Thread(target=_watch, args=(path, show, seconds, ended), daemon=True)
        watching.start()
        try:
            yield path
        finally:
            ended.set()
            watching.join()


def _watch(path: Path, show: Callable[[str], object], seconds: float, ended: threading.Event) -> None:
    told = ""
    while not ended.wait(seconds):
        try:
            line = path.read_text(encoding="utf-8")
        except OSError:
            continue
        if line != told:
            show(f"  {line}")
            told = line
