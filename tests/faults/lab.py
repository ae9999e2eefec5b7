# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A testbed with a real Felix, seen from outside: real packets, real runs of the modules, and ways to break
them.
"""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from testbed import state as testbed_state
from testbed.api import Api, ApiError
from testbed.fabric import Fabric
from tests.signals import heed_signals

_MODULES = "ansible_collections.hostfence.calico.plugins.modules"
GROUP = "/apis/crd.projectcalico.org/v1"
SELECTOR = "host-endpoint == 'ingress'"
_PORTS = (22, 6443, 9999, 10250, 30001)

# Runs where the packets are to come from. A refusal is an answer: the packet came through.
_PROBE = """
import concurrent.futures,json,socket,sys
def verdict(flow):
    address, port = flow
    try:
        socket.create_connection((address, port), timeout=0.6).close()
    except ConnectionRefusedError:
        pass
    except OSError:
        return "deny"
    return "allow"
flows = json.load(sys.stdin)
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    print(json.dumps(list(pool.map(verdict, flows))))
"""


class Lab:
    """The testbed that ``HOSTFENCE_TESTBED`` names."""

    def __init__(self) -> None:
        self.run = testbed_state.run_directory()
        record = testbed_state.load(self.run)
        if record is None or not record.up:
            raise SystemExit("no testbed is up: HOSTFENCE_CALICO_BIN=... python -m testbed up")
        if not record.calico_bin:
            raise SystemExit("the testbed has no real Felix: set HOSTFENCE_CALICO_BIN before `testbed up`")
        self.record = record
        self.backend = record.felix_backend
        self.kubeconfig = str(self.run / "kubeconfig")
        self.api = Api(self.run / "kubeconfig")
        network = Fabric(testbed_state.namespace_prefix(self.run))
        self.outside = network.netns
        self.inside = {name: network.node_netns(name) for name in record.nodes}

    # Policy, and runs.

    def protect(self) -> None:
        """A HostEndpoint for every node."""
        self.must(
            self.module(
                "host_endpoints",
                labels={"host-endpoint": "ingress"},
                node_labels=["kubernetes.io/hostname", "node-role.kubernetes.io/control-plane"],
            )
        )

    def module(
        self, name: str, /, *, check: bool = False, kubeconfig: str = "", **options: Any
    ) -> dict[str, Any]:
        process = self.start(name, check=check, kubeconfig=kubeconfig, **options)
        output, errors = process.communicate()
        try:
            found: dict[str, Any] = json.loads(output)
        except ValueError:
            return {
                "failed": True,
                "msg": (output + errors).decode()[-2000:],
                "killed": process.returncode < 0,
            }
        return {"failed": False, **found}

    def start(
        self, name: str, /, *, check: bool = False, kubeconfig: str = "", **options: Any
    ) -> subprocess.Popen[bytes]:
        arguments = {"kubeconfig": kubeconfig or self.kubeconfig, **options, "_ansible_check_mode": check}
        process = subprocess.Popen(
            [sys.executable, "-m", f"{_MODULES}.{name}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=heed_signals,
        )
        assert process.stdin
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        process.stdin.close()
        process.stdin = None
        return process

    def must(self, result: dict[str, Any]) -> dict[str, Any]:
        if result["failed"]:
            raise SystemExit(str(result.get("msg")))
        return result

    def rehearsal(self, policies: Sequence[dict[str, Any]], name: str = "edge") -> list[dict[str, Any]]:
        """What the set of these policies would write."""
        wanted: dict[str, Any] = (
            {"state": "enforced", "definitions": list(policies)} if policies else {"state": "absent"}
        )
        found: list[dict[str, Any]] = self.must(
            self.module("policies", check=True, name=name, reach=False, lint=False, **wanted)
        )["rehearsal"]
        return found

    def directly(self, policies: Sequence[dict[str, Any]]) -> None:
        """Enforce without any transaction, and wait for Felix."""
        wanted: dict[str, Any] = (
            {"state": "enforced", "definitions": list(policies)} if policies else {"state": "absent"}
        )
        self.must(
            self.module("policies", name="edge", reach=False, lint=False, without_switch=True, **wanted)
        )
        time.sleep(2)

    @property
    def logins(self) -> list[dict[str, Any]]:
        return [
            {
                "node": node.name,
                "host": node.ipv4,
                "user": "root",
                "ssh_args": f"-F {self.run / 'ssh_config'}",
                "python": "/usr/bin/python3",
            }
            for node in self.record.nodes.values()
        ]

    def switch(self, number: int = 1) -> tuple[str, str]:
        """Phase of a wave and by whom it was written; empty where there is none."""
        try:
            found = self.api.get(f"{GROUP}/globalnetworksets/hostfence-switch-{number}")
        except ApiError:
            return "", ""
        noted = found["metadata"]["annotations"]
        return noted["hostfence.io/phase"], noted.get("hostfence.io/by", "")

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return True
            time.sleep(0.1)
        return False

    def on(self, node: str, command: str) -> str:
        """The output of a command on a node."""
        done = subprocess.run(
            ["ssh", "-F", str(self.run / "ssh_config"), node, command], capture_output=True, text=True
        )
        return done.stdout

    # What is there.

    def flows(self) -> list[tuple[str, str, int]]:
        """(from, address, port): from outside to every node, and from every node outwards and to a peer."""
        nodes = list(self.record.nodes.values())
        found = [("outside", a, p) for n in nodes for a in (n.ipv4, n.ipv6) for p in _PORTS]
        for index, node in enumerate(nodes):
            peer = nodes[(index + 1) % len(nodes)]
            found += [(node.name, a, p) for a in ("10.99.0.1", "fd99::1") for p in (6443, 9999)]
            found += [(node.name, a, p) for a in (peer.ipv4, peer.ipv6) for p in (22, 9999, 10250)]
            found += [(node.name, a, 9999) for a in ("127.0.0.1", "::1")]
        return found

    def verdicts(self) -> dict[str, str]:
        """What real packets see of every flow."""
        by_source: dict[str, list[tuple[str, int]]] = {}
        for source, address, port in self.flows():
            by_source.setdefault(source, []).append((address, port))
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda item: self._probe(*item), by_source.items())
            return {
                f"{source} > {address} {port}": verdict
                for (source, flows), found in zip(by_source.items(), answers)
                for (address, port), verdict in zip(flows, found)
            }

    def _probe(self, source: str, flows: Sequence[tuple[str, int]]) -> list[str]:
        netns = self.outside if source == "outside" else self.inside[source]
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{netns}", sys.executable, "-c", _PROBE],
            input=json.dumps(flows),
            capture_output=True,
            text=True,
            check=True,
        )
        found: list[str] = json.loads(done.stdout)
        return found

    def left_behind(self) -> list[str]:
        """Everything of a transaction that is in the cluster or on a node, but for the record of a settled
        one.
        """
        found = []
        for plural in ("globalnetworkpolicies", "globalnetworksets", "tiers"):
            for obj in self.api.list(f"{GROUP}/{plural}"):
                name, labels = obj["metadata"]["name"], obj["metadata"].get("labels") or {}
                noted = obj["metadata"].get("annotations") or {}
                settled = '"phase": "settled"' in noted.get("hostfence.io/state", "")
                if (
                    "hostfence.io/transaction" in labels
                    or "hostfence.io/switch" in labels
                    or (name == "hostfence-transaction" and not settled)
                ):
                    found.append(f"{plural}/{name}")
        inside = "/api/v1/namespaces/kube-system/serviceaccounts"
        found += [o["metadata"]["name"] for o in self.api.list(inside) if "watchdog" in o["metadata"]["name"]]
        return found


def policy(name: str, order: float, **more: Any) -> dict[str, Any]:
    """A GlobalNetworkPolicy; ``ingress`` and ``egress`` say which directions it governs."""
    types = [t for t in ("Ingress", "Egress") if t.lower() in more]
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": name},
        "spec": {"order": order, "selector": SELECTOR, "types": types, **more},
    }


def allow(*ports: int) -> dict[str, Any]:
    return {"action": "Allow", "protocol": "TCP", "destination": {"ports": list(ports)}}


NEIGHBOURS = {"action": "Allow", "protocol": "ICMPv6"}


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_about: object) -> None:
        """A client that was killed breaks off: that is what this is for."""


class Cutter:
    """An HTTP server between a module and the API that ends the module after its nth write.

    :param end_after: the number of the write that is applied, and whose answer comes too late; 0 for none
    :param by: the signal
    :ivar did_end_it: whether there was such a write
    :ivar mute_when: while this is so, nothing is handed on
    :ivar writes: how many came by
    """

    def __init__(self, lab: Lab, end_after: int, by: signal.Signals = signal.SIGKILL) -> None:
        self.writes = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.mute_when: Callable[[], bool] = lambda: False
        self.did_end_it = False
        self._end_after = end_after
        self._by = by
        self._lock = threading.Lock()
        self._lab = lab
        cutter = self
        self._pool = Api(lab.run / "kubeconfig")._pool

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                cutter.forward(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, *_arguments: object) -> None:
                return

        self._server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.kubeconfig = str(lab.run / f"cutter-{end_after}.kubeconfig")
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        given = yaml.safe_load(Path(lab.kubeconfig).read_text())
        authority = base64.b64decode(given["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
        published = {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": authority}}
        # As Kubernetes' own controller does, which does not run here.
        with contextlib.suppress(ApiError):
            lab.api.post("/api/v1/namespaces/kube-system/configmaps", published)
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }
        Path(self.kubeconfig).write_text(json.dumps(document))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        Path(self.kubeconfig).unlink(missing_ok=True)

    def forward(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        while self.mute_when():
            time.sleep(1)
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length) if length else None
        headers = {k: v for k, v in handler.headers.items() if k.lower() in ("content-type", "accept")}
        answer = self._pool.request(
            handler.command, self._lab.api.server + handler.path, body=body, headers=headers, retries=False
        )
        writes = handler.command != "GET" and "dryRun" not in handler.path
        with self._lock:
            self.writes += writes
            cut = writes and self.writes == self._end_after and self.process is not None
        if cut and self.process:
            self.did_end_it = True
            os.killpg(self.process.pid, self._by)
        try:
            handler.send_response(answer.status)
            handler.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
            handler.send_header("Content-Length", str(len(answer.data)))
            handler.end_headers()
            handler.wfile.write(answer.data)
        except OSError:
            return
