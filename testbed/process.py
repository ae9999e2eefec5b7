# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Long-running processes that another command can end later, without ever hitting a stranger."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import TestbedError

# The process writes its own /proc/<pid>/stat before it becomes the program: from its first instruction on it
# is on record, whatever happens to the command that started it.
_RECORD_THEN_EXEC = 'read -r stat < "/proc/$$/stat"; printf "%s\n" "$stat" > "$0"; exec "$@"'
_KILL_SECONDS = 10
# Kubernetes' programs allocate much when they start. With garbage collected less often than Go does by itself
# they are up with a third less work, for half as much memory again.
_LAVISH = {"GOGC": "400"}
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Process:
    """A recorded process.

    :param name: what it is to us
    :param pid: its id in the machine's own pid namespace
    :param start: start time in clock ticks, which tells it from a later process of the same id
    """

    name: str
    pid: int
    start: int

    def alive(self) -> bool:
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return False
        state, start, threads = _state_start_threads(stat)
        # A zombie that still has threads is on its way out and holds on to its ports.
        return start == self.start and (state not in "ZX" or threads > 1)

    def signal(self, number: int) -> None:
        if not self.alive():
            return
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return


class Processes:
    """The processes of one run directory.

    :param run: the directory; records go to ``pids/``, output to ``logs/``
    """

    def __init__(self, run: Path) -> None:
        self._pids = run / "pids"
        self.logs = run / "logs"
        self._children: list[subprocess.Popen[bytes]] = []

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        netns: str = "",
        tied: bool = False,
        pass_fds: Sequence[int] = (),
        environment: dict[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Starts a process in a session of its own.

        :param netns: named network namespace it runs in
        :param tied: the kernel kills it when this process ends, however this process ends
        :param environment: added to ours
        """
        self._pids.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        prefix = ["setpriv", "--pdeathsig", "KILL"] if tied else []
        if netns:
            prefix += ["nsenter", f"--net=/run/netns/{netns}"]
        command = [*prefix, "sh", "-c", _RECORD_THEN_EXEC, str(self._pids / name), *argv]
        with (self.logs / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=pass_fds,
                env={**_LAVISH, **os.environ, **(environment or {})},
            )
        self._children.append(child)
        return child

    def spawn_python(
        self, name: str, module: str, *arguments: str, netns: str, pass_fds: Sequence[int] = ()
    ) -> None:
        """Starts a module of the testbed, as :meth:`spawn` starts a program."""
        environment = {"PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", module, *arguments]
        self.spawn(name, command, netns=netns, pass_fds=pass_fds, environment=environment)

    def get(self, name: str) -> Process | None:
        """The record of one process, whether it lives or not."""
        try:
            stat = (self._pids / name).read_text()
        except OSError:
            return None
        if not stat.endswith("\n"):
            return None
        return Process(name, int(stat.split(" ", 1)[0]), _state_start_threads(stat)[1])

    def all(self) -> list[Process]:
        if not self._pids.is_dir():
            return []
        return [process for path in sorted(self._pids.iterdir()) if (process := self.get(path.name))]

    def stop(self, processes: Sequence[Process], number: int = signal.SIGKILL) -> None:
        """Ends processes and waits for it; one that ignores the signal is killed.

        :raises TestbedError: one of them cannot be ended
        """
        for process in processes:
            process.signal(number)
        deadline = time.monotonic() + _KILL_SECONDS
        while alive := [process for process in processes if process.alive()]:
            if time.monotonic() > deadline and number == signal.SIGKILL:
                raise TestbedError(f"{alive[0].name} (pid {alive[0].pid}) does not end")
            if time.monotonic() > deadline:
                self.stop(alive)
                break
            self._collect()
            time.sleep(0.02)
        self._collect()
        for process in processes:
            (self._pids / process.name).unlink(missing_ok=True)

    def _collect(self) -> None:
        """Ended children count as processes until they are waited for."""
        self._children = [child for child in self._children if child.poll() is None]

    def log_tail(self, name: str) -> str:
        """The last line a process wrote, for an error message."""
        try:
            text = (self.logs / f"{name}.log").read_text(errors="replace").strip()
        except OSError:
            text = ""
        return text.splitlines()[-1][-400:] if text else "wrote nothing"


def _state_start_threads(stat: str) -> tuple[str, int, int]:
    # The second field is the command in parentheses and may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    return fields[0], int(fields[19]), int(fields[17])
