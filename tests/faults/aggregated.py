# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A cluster with Calico's own API server, which a testbed has not: no Felix runs there, watchdogs do."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testbed import binaries, calico_apiserver, crds, installation, node_objects
from testbed.api import Api, ApiError
from testbed.control_plane import ControlPlane
from tests.unit.controller.ssh_server import ssh_server

STORED = "/apis/crd.projectcalico.org/v1"


class Aggregated:
    """:ivar login: how this machine is logged in to, as the node on which a watchdog runs"""

    def __init__(self, control_plane: ControlPlane, login: dict[str, Any]) -> None:
        self.kubeconfig = str(control_plane.kubeconfig)
        self.login = login
        self.api: Api = control_plane.api()
        record = control_plane._processes.get("calico-apiserver")
        assert record
        self.pid = record.pid

    def phase(self) -> str:
        """Of the first switch, past Calico's API server: it keeps its own annotations in one."""
        try:
            found = self.api.get(f"{STORED}/globalnetworksets/hostfence-switch-1")
        except ApiError:
            return ""
        return next(
            (
                phase
                for phase in ("rolled-back", "confirmed", "switched", "armed")
                if f'hostfence.io/phase":"{phase}' in str(found["metadata"]["annotations"])
                or found["metadata"]["annotations"].get("hostfence.io/phase") == phase
            ),
            "",
        )


@contextmanager
def aggregated() -> Iterator[Aggregated]:
    program = Path(os.environ.get("HOSTFENCE_CALICO_BIN", ""), calico_apiserver.PROGRAM)
    if not os.access(program, os.X_OK):
        raise SystemExit(f"HOSTFENCE_CALICO_BIN has no {calico_apiserver.PROGRAM}")
    found = binaries.locate(binaries.CONTROL_PLANE, lambda line: print(line, file=sys.stderr))
    with tempfile.TemporaryDirectory(prefix="hostfence-fault-") as run, ssh_server(Path(run)) as server:
        place = Path(run) / "api"
        place.mkdir()
        control_plane = ControlPlane(place, found, tied=True)
        try:
            control_plane.start()
            api = control_plane.api()
            definitions = crds.load("ours", "v1")
            crds.install(api, definitions)
            installation.create_defaults(api, crds.kinds(definitions), installation.version_of("ours"))
            installation.create_placeholders(api, installation.version_of("ours"))
            node_objects.create(api, node_objects.simulated(1))
            calico_apiserver.start(control_plane, program)
            yield Aggregated(control_plane, server.node("controller", sys.executable))
        finally:
            control_plane.stop()
