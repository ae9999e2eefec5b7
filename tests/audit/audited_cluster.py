# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two nodes of a testbed, listeners on the first, and connections to it from the second and elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from module_run import run_module

from testbed.fabric import Fabric
from testbed.state import load, namespace_prefix

ROOT = Path(__file__).resolve().parents[2]
RUN = Path(os.environ.get("HOSTFENCE_AUDIT_RUN", "/run/hostfence-audit"))
PORTS = tuple(range(7001, 7009))
_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
_PATIENCE = 40.0

_LISTEN = """
import selectors, socket, sys
waiting = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        one = socket.socket(family)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind((address, port))
        one.listen(64)
        waiting.register(one, selectors.EVENT_READ)
print("listening", flush=True)
while True:
    for key, _events in waiting.select():
        key.fileobj.accept()[0].close()
"""
# All at once, so that those that are dropped are waited for together.
_CONNECT = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def reached(attempt):
    try:
        with socket.create_connection((attempt[0], attempt[1]), 2.5):
            return True
    except OSError:
        return False
with ThreadPoolExecutor(64) as pool:
    print(json.dumps(list(pool.map(reached, json.loads(sys.argv[1])))))
"""


@dataclass(frozen=True)
class Connections:
    """``count`` connections from a place, ``outside`` or a node, to a port of the first node."""

    place: str
    source: str
    destination: str
    port: int
    count: int = 1

    @property
    def flow(self) -> tuple[str, int]:
        return self.source, self.port


class AuditedCluster:
    """A testbed whose nodes are HostEndpoints."""

    def __init__(self, scratch: Path, backend: str) -> None:
        self.scratch = scratch
        _run([sys.executable, "-m", "testbed", "up", "--nodes", "2", "--felix-backend", backend])
        state = load(RUN)
        assert state is not None
        self.felix = bool(state.calico_bin)
        self._fabric = Fabric(namespace_prefix(RUN))
        self._api = SimpleNamespace(kubeconfig=str(RUN / "kubeconfig"))
        self.node, self.other = list(state.nodes.values())
        self.group_version = self.module("cluster_info")["api_version"]
        self.module("host_endpoints")
        listen = [*self.inside(self.node.name), sys.executable, "-c", _LISTEN, *map(str, PORTS)]
        self._listener = subprocess.Popen(listen, stdout=subprocess.PIPE)
        assert self._listener.stdout is not None
        assert self._listener.stdout.readline()

    def down(self) -> None:
        self._listener.kill()
        self._listener.wait()
        _run([sys.executable, "-m", "testbed", "down"])

    def inside(self, place: str) -> list[str]:
        """Begins a command in a node's network, or outside of all."""
        netns = self._fabric.netns if place == "outside" else self._fabric.node_netns(place)
        return ["nsenter", f"--net=/run/netns/{netns}"]

    def module(self, name: str, /, **options: Any) -> dict[str, Any]:
        result = run_module(name, self._api, **options)
        assert not result["failed"], result["msg"]
        return result

    def policies(self, state: str, **options: Any) -> dict[str, Any]:
        """The set ``edge``; that it shuts out this or that is what is to be seen here."""
        return self.module("policies", name="edge", state=state, reach=False, lint=False, **options)

    def playbook(self, name: str, **variables: Any) -> str:
        given = {"audit_directory": str(self.scratch / "audit"), "audit_min_window": "1s", **variables}
        command = [str(_PLAYBOOK), "-i", str(RUN / "inventory.yml"), f"playbooks/{name}.yml"]
        return _run([*command, "-e", json.dumps(given)])

    def connect(self, traffic: Sequence[Connections]) -> dict[tuple[str, int], list[bool]]:
        """Whether each connection came about."""
        found: dict[tuple[str, int], list[bool]] = {}
        for place in sorted({made.place for made in traffic}):
            of_place = [made for made in traffic if made.place == place]
            attempts = [(made.destination, made.port) for made in of_place for _ in range(made.count)]
            done = _run([*self.inside(place), sys.executable, "-c", _CONNECT, json.dumps(attempts)])
            answers = iter(json.loads(done))
            for made in of_place:
                found[made.flow] = [next(answers) for _ in range(made.count)]
        return found

    def counters(self) -> dict[tuple[str, Any], int]:
        """What the first node's kernel counted on the way in: (policy, rule) -> packets."""
        module = ROOT / "plugins/modules/audit_counters.py"
        done = _run(
            [*self.inside(self.node.name), sys.executable, str(module)], '{"ANSIBLE_MODULE_ARGS": {}}'
        )
        rows = json.loads(done)["counters"]
        return {(row["policy"], row["rule"]): row["packets"] for row in rows if row["direction"] == "ingress"}

    def reachable(self, port: int) -> bool:
        """From outside, by one connection."""
        return self.connect([Connections("outside", "", self.node.ipv4, port)])["", port] == [True]


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not what():
        assert time.monotonic() < end, "Felix does not program it"
        time.sleep(0.5)


def _run(command: Sequence[str], given: str | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        input=given,
        env={
            **os.environ,
            "HOSTFENCE_TESTBED": str(RUN),
            "K8S_AUTH_KUBECONFIG": str(RUN / "kubeconfig"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
