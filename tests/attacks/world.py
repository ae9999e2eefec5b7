# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The cluster that is attacked: a testbed whose inventory hides nothing, and ways to run playbooks at it.

The inventory names no ControlPath; the API is on 443 as well, and on a governed node; Node objects list
IPv4 only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from judge import Outcome, Record, read
from paths import Host, VitalPath, vital_paths
from record import Recorder

from testbed.api import Api
from testbed.fabric import Fabric
from testbed.state import load, namespace_prefix
from tests.signals import heed_signals

ROOT = Path(__file__).resolve().parents[2]
RUN = Path("/run/hostfence-attacks")
# Three seconds of a recorder say more about a run's end than one look.
_AFTERWARDS = 3.0
_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
CALICO = "/apis/crd.projectcalico.org/v1"


class World:
    """A testbed, brought up for the attacks."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._runs = 0
        self._helpers: list[subprocess.Popen[bytes]] = []
        _testbed("up", "--nodes", "3")
        state = load(RUN)
        assert state is not None
        self.felix = bool(state.calico_bin)
        self.fabric = Fabric(namespace_prefix(RUN))
        self.api = Api(RUN / "kubeconfig")
        self.hosts = [Host(node.name, (node.ipv4, node.ipv6)) for node in state.nodes.values()]
        self.paths: list[VitalPath] = vital_paths(self.hosts)
        self.inventory = self._write_inventory()
        self._list_one_family()
        self._offer_api_on_443()

    def down(self) -> None:
        for helper in self._helpers:
            helper.kill()
            helper.wait()
        _testbed("down")

    @contextmanager
    def recorded(self) -> Iterator[Recording]:
        """Records until the block ends, and a little longer where packets are tried."""
        self._runs += 1
        path = self._scratch / f"record-{self._runs}.jsonl"
        recorder = Recorder(path, self.api, self.fabric, self.paths, packets=self.felix)
        recording = Recording(recorder)
        time.sleep(_AFTERWARDS if self.felix else 0.5)
        try:
            yield recording
        finally:
            time.sleep(_AFTERWARDS if self.felix else 0.5)
            recorder.stop()
            recording.record = read(path)

    def start(
        self,
        playbook: str,
        *flags: str,
        environment: dict[str, str] | None = None,
        inventory: Path | None = None,
        inside: Sequence[str] = (),
        **variables: Any,
    ) -> subprocess.Popen[str]:
        """Starts ansible-playbook in a process group of its own."""
        kubeconfig = RUN / ("kubeconfig-nodes" if inside else "kubeconfig")
        return subprocess.Popen(
            [
                *inside,
                str(_PLAYBOOK),
                "-i",
                str(inventory or self.inventory),
                playbook,
                "-e",
                json.dumps(variables),
                *flags,
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_FORCE_COLOR": "0",
                "K8S_AUTH_KUBECONFIG": str(kubeconfig),
                "HOSTFENCE_TESTBED": str(RUN),
                **(environment or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
            preexec_fn=heed_signals,
        )

    def run(self, playbook: str, *flags: str, **variables: Any) -> Outcome:
        return end_of(self.start(playbook, *flags, **variables))

    def policy_set(self, name: str, *policies: dict[str, Any]) -> str:
        """Writes a set's file; returns its path."""
        path = self._scratch / f"{name}.yaml"
        path.write_text("\n---\n".join(json.dumps(policy) for policy in policies))
        return str(path)

    def objects(self, plural: str) -> list[dict[str, Any]]:
        return self.api.list(f"{CALICO}/{plural}")

    def inside(self, node: str) -> list[str]:
        """Begins a command that is to run in a node's network."""
        return ["nsenter", f"--net=/run/netns/{self.fabric.node_netns(node)}"]

    @contextmanager
    def felix_stopped(self, node: str) -> Iterator[None]:
        """A real Felix that does nothing until the block ends, as one that hangs."""
        found = subprocess.run(
            ["ip", "netns", "pids", self.fabric.node_netns(node)], capture_output=True, text=True, check=True
        )
        felix = [
            int(pid)
            for pid in found.stdout.split()
            if Path("/proc", pid, "comm").read_text().strip() == "calico-felix"
        ]
        assert felix
        for pid in felix:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in felix:
                os.kill(pid, signal.SIGCONT)

    def _write_inventory(self) -> Path:
        """No ControlPath, no ControlMaster: what users have is what is tried."""
        variables = {
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_common_args": f"-F {RUN / 'ssh_config'}",
        }
        hosts = {host.name: {"ansible_host": host.addresses[0]} for host in self.hosts}
        path = self._scratch / "inventory.json"
        local = {"localhost": {"ansible_connection": "local"}}
        nodes = {"hosts": hosts, "vars": variables}
        path.write_text(json.dumps({"all": {"hosts": local, "children": {"nodes": nodes}}}))
        return path

    def _list_one_family(self) -> None:
        for host in self.hosts:
            addresses = [
                {"type": "InternalIP", "address": host.addresses[0]},
                {"type": "Hostname", "address": host.name},
            ]
            self.api.patch(f"/api/v1/nodes/{host.name}/status", {"status": {"addresses": addresses}})

    def _offer_api_on_443(self) -> None:
        """On the first node: there the API is on a governed host. On the bridge the probe itself listens."""
        command = ["socat", "TCP6-LISTEN:443,fork,reuseaddr", "TCP:10.99.0.1:6443"]
        self._helpers.append(subprocess.Popen([*self.inside(self.hosts[0].name), *command]))


class Recording:
    """A record in the making; ``record`` is there once it is over."""

    record: Record

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def mark(self, name: str) -> None:
        self._recorder.mark(name)


def end_of(process: subprocess.Popen[str]) -> Outcome:
    output, _none = process.communicate(timeout=600)
    return Outcome(process.returncode, output)


def _testbed(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "testbed", *arguments],
        cwd=ROOT,
        env={**os.environ, "HOSTFENCE_TESTBED": str(RUN)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
