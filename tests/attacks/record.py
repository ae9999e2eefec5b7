# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is written down while an attack runs, beside it and without its help: one JSON line an observation.

- ``{"at", "path", "open"}``: a new connection was tried (:mod:`probe`), where a real Felix programs the nodes
- ``{"at", "objects": [...]}``: everything that decides about hosts, whenever any of it has changed
- ``{"at", "mark": name}``: what the attack itself did
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paths import OUTSIDE, VitalPath

from testbed.api import Api, ApiError
from testbed.fabric import Fabric

_PROBE = Path(__file__).with_name("probe.py")
_KINDS = ("globalnetworkpolicies", "tiers", "hostendpoints", "globalnetworksets", "felixconfigurations")
_CALICO = "/apis/crd.projectcalico.org/v1"
_NAMES = {
    "globalnetworkpolicies": "GlobalNetworkPolicy",
    "tiers": "Tier",
    "hostendpoints": "HostEndpoint",
    "globalnetworksets": "GlobalNetworkSet",
    "felixconfigurations": "FelixConfiguration",
}
_SECONDS_BETWEEN_LOOKS = 0.2
LISTENS = {
    OUTSIDE: [("TCP", 443), ("UDP", 53), ("TCP", 53), ("UDP", 123)],
    "node": [("TCP", 10250), ("UDP", 4789)],
}


class Recorder:
    """Watches a cluster until it is stopped.

    :param path: file of observations
    :param packets: whether new connections are tried: only a real Felix makes them mean something
    """

    def __init__(
        self, path: Path, api: Api, fabric: Fabric, paths: Sequence[VitalPath], *, packets: bool
    ) -> None:
        self._file = path.open("w")
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._api = api
        self._threads = [threading.Thread(target=self._watch_objects, daemon=True)]
        self._probes: list[subprocess.Popen[str]] = []
        if packets:
            self._start_probes(fabric, paths)
        for thread in self._threads:
            thread.start()

    def mark(self, name: str) -> None:
        """Notes what the attack does."""
        self._write({"mark": name})

    def stop(self) -> None:
        """Ends the watch; what it saw is on disk then."""
        self._over.set()
        for probe in self._probes:
            probe.kill()
            probe.wait()
        for thread in self._threads:
            thread.join()
        self._file.close()

    def _start_probes(self, fabric: Fabric, paths: Sequence[VitalPath]) -> None:
        nodes = sorted({path.node for path in paths})
        for opener in (OUTSIDE, *nodes):
            netns = fabric.netns if opener == OUTSIDE else fabric.node_netns(opener)
            probe = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{netns}", sys.executable, str(_PROBE)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            asked = {
                "listen": LISTENS.get(opener, LISTENS["node"]),
                "paths": [
                    [path.name, path.protocol, path.source, path.destination, path.port]
                    for path in paths
                    if path.opener == opener
                ],
                "every": 0.3,
            }
            assert probe.stdin is not None
            assert probe.stdout is not None
            probe.stdin.write(json.dumps(asked) + "\n")
            probe.stdin.flush()
            if not probe.stdout.readline():
                raise RuntimeError(f"the probe in {opener} did not start")
            self._probes.append(probe)
            self._threads.append(threading.Thread(target=self._follow, args=(probe,), daemon=True))

    def _follow(self, probe: subprocess.Popen[str]) -> None:
        assert probe.stdout is not None
        for line in probe.stdout:
            with contextlib.suppress(ValueError):
                self._write(json.loads(line))

    def _watch_objects(self) -> None:
        last = None
        while True:
            over = self._over.is_set()
            with contextlib.suppress(ApiError, OSError, Exception):
                seen = snapshot(self._api)
                if seen != last:
                    self._write({"objects": seen})
                    last = seen
            if over:
                return
            self._over.wait(_SECONDS_BETWEEN_LOOKS)

    def _write(self, entry: dict[str, Any]) -> None:
        with self._lock:
            if not self._file.closed:
                self._file.write(json.dumps({"at": time.time(), **entry}) + "\n")
                self._file.flush()


def snapshot(api: Api) -> list[dict[str, Any]]:
    """Everything that decides about hosts, with what nobody compares taken out."""
    found = []
    for plural in _KINDS:
        for item in api.list(f"{_CALICO}/{plural}"):
            metadata = item["metadata"]
            kept = {k: metadata[k] for k in ("name", "labels", "annotations") if k in metadata}
            found.append(
                {
                    "apiVersion": "crd.projectcalico.org/v1",
                    "kind": _NAMES[plural],
                    "metadata": kept,
                    "spec": item.get("spec") or {},
                }
            )
    return found
