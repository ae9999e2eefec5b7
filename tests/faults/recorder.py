# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Notes, ten times a second and from outside and inside every node, what a person would want to be true."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.lab import Lab

_WATCH = """
import json, socket, sys, time
targets = json.loads(sys.argv[1])
while True:
    for name, address, port in targets:
        try:
            socket.create_connection((address, port), timeout=0.5).close()
            good = True
        except ConnectionRefusedError:
            good = name.endswith("API")  # a server that is down is not a firewall
        except OSError:
            good = False
        print(json.dumps([time.time(), name, good]), flush=True)
    time.sleep(0.1)
"""


class Recorder:
    """:param path: where the record goes, one JSON document a line"""

    def __init__(self, lab: Lab, path: Path) -> None:
        self._lab = lab
        self._path = path
        self._file = path.open("w", encoding="utf-8")
        self._stop = threading.Event()
        self._lock = threading.Lock()
        nodes = lab.record.nodes.values()
        outside = [[f"{node.name} SSH", node.ipv4, 22] for node in nodes]
        self._processes = [self._start(lab.outside, outside)]
        self._processes += [
            self._start(lab.inside[node.name], [[f"{node.name} to API", "10.99.0.1", 6443]]) for node in nodes
        ]
        self._threads = [threading.Thread(target=self._read, args=(p,), daemon=True) for p in self._processes]
        self._threads.append(threading.Thread(target=self._switches, daemon=True))
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._stop.set()
        for process in self._processes:
            process.kill()
            process.wait()
        for thread in self._threads:
            thread.join(3)
        self._file.close()

    def longest_outage(self) -> tuple[float, str]:
        """Seconds of the longest time that something did not work, and what it was; read from the record."""
        began: dict[str, float] = {}
        last: dict[str, float] = {}
        worst = (0.0, "nothing")
        for line in self._path.read_text(encoding="utf-8").splitlines():
            when, name, good = json.loads(line)
            if name.startswith("switch"):
                continue
            if good:
                began.pop(name, None)
            elif name in began:
                worst = max(worst, (when - began[name], name))
            else:
                began[name] = last.get(name, when)
            last[name] = when
        return worst

    def phases(self) -> list[str]:
        """Phases of the first switch, in their order."""
        found: list[str] = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            _when, name, phase = json.loads(line)
            if name.startswith("switch") and phase and (not found or found[-1] != phase):
                found.append(phase)
        return found

    def _start(self, netns: str, targets: Sequence[Any]) -> subprocess.Popen[str]:
        command = ["nsenter", f"--net=/run/netns/{netns}", sys.executable, "-c", _WATCH, json.dumps(targets)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            if not self._stop.is_set():
                self._note(line)

    def _note(self, line: str) -> None:
        with self._lock:
            if not self._file.closed:
                self._file.write(line)

    def _switches(self) -> None:
        while not self._stop.is_set():
            try:
                phase, _by = self._lab.switch()
                self._note(json.dumps([time.time(), "switch 1", phase]) + "\n")
            except Exception:
                pass
            time.sleep(0.1)
