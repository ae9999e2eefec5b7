# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""etcd and Kubernetes' control plane, on 127.0.0.1 or inside a network namespace."""

from __future__ import annotations

import base64
import contextlib
import random
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import urllib3

from testbed.api import Api, write_kubeconfig
from testbed.errors import TestbedError
from testbed.pki import Authority
from testbed.process import Processes

SERVICE_ADDRESS = "10.96.0.1"
_SERVICE_RANGE = "10.96.0.0/16"
_READY_SECONDS = 60
# Somebody else may take a free port between our look at it and the server's bind.
_ATTEMPTS = 3
# Above what Kubernetes' own programs listen on by default.
_FIRST_PORT = 12_000


class ControlPlane:
    """One etcd and one kube-apiserver with RBAC, their own authority and client certificates.

    :param run: directory for all files
    :param binaries: paths of ``etcd`` and ``kube-apiserver``
    :param netns: named network namespace to run in; empty: the caller's, without root
    :param address: address the API server listens on
    :param port: its port; 0 takes a free one
    :param server_url: how the kubeconfig reaches it, where that is not ``address:port``
    :param tied: the processes die with the calling process
    """

    def __init__(
        self,
        run: Path,
        binaries: Mapping[str, Path],
        *,
        netns: str = "",
        address: str = "127.0.0.1",
        port: int = 0,
        server_url: str = "",
        tied: bool = False,
    ) -> None:
        self.run = run
        self._binaries = binaries
        self._netns = netns
        self._address = address
        self._port = port
        self._chosen_port = port
        self._server_url = server_url
        self._tied = tied
        self._processes = Processes(run)
        self._pki = Authority(run / "pki")
        # An authority of its own, as kubeadm makes one: whom it knows may speak for others, and nobody else's
        # certificate need be checked for that.
        self._front_proxy = Authority(run / "pki" / "front-proxy", "hostfence-testbed-front-proxy")
        self._etcd = urllib3.PoolManager()
        # In a namespace of its own every port is free.
        self._etcd_port, self._etcd_peer_port = (2379, 2380) if netns else (0, 0)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.run / "kubeconfig"

    @property
    def server(self) -> str:
        return self._server_url or f"https://{self._address}:{self._chosen_port}"

    def api(self) -> Api:
        """A new client with the administrator's rights."""
        return Api(self.kubeconfig)

    def start(self) -> None:
        """Starts both and waits until the API is ready.

        :raises TestbedError: one of them ended or did not get ready
        """
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Starts both without waiting."""
        if not self._netns:
            self._etcd_port, self._etcd_peer_port, free = free_ports(3)
            self._chosen_port = self._port or free
        self._start_etcd()
        self._start_apiserver()
        write_kubeconfig(self.kubeconfig, self.server, self._pki.pair.certificate, *self._admin())

    def launch_controllers(self) -> None:
        """Starts kube-controller-manager and kube-scheduler, in a namespace of their own only."""
        tokens = self._pki.signing_key("service-accounts")
        authority = self._pki.pair
        self._start_controller(
            "kube-controller-manager",
            f"--service-account-private-key-file={tokens}",
            f"--root-ca-file={authority.certificate}",
            "--use-service-account-credentials=true",
            "--node-monitor-grace-period=40s",
            # Its default is a directory of the machine, and it makes it.
            f"--flex-volume-plugin-dir={self.run / 'volume-plugins'}",
        )
        self._start_controller("kube-scheduler")

    def launch_calico_apiserver(self, binary: Path, host: str) -> int:
        """Starts Calico's own API server, which works through ours.

        :param host: the name under which kube-apiserver calls it
        :returns: its port
        """
        [port] = free_ports(1)
        serving = self._pki.server("calico-apiserver", [host])
        command = [
            str(binary),
            f"--secure-port={port}",
            "--bind-address=127.0.0.1",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--kubeconfig={self.kubeconfig}",
            f"--authentication-kubeconfig={self.kubeconfig}",
            f"--authorization-kubeconfig={self.kubeconfig}",
        ]
        environment = {"DATASTORE_TYPE": "kubernetes", "KUBECONFIG": str(self.kubeconfig)}
        self._processes.spawn("calico-apiserver", command, tied=self._tied, environment=environment)
        return port

    @property
    def authority(self) -> Path:
        """The certificate of the authority that issued all of its certificates."""
        return self._pki.pair.certificate

    def _start_controller(self, name: str, *arguments: str) -> None:
        pair = self._pki.client(f"system:{name}")
        kubeconfig = self.run / f"kubeconfig-{name}"
        server = f"https://{self._address}:{self._chosen_port}"
        write_kubeconfig(kubeconfig, server, self._pki.pair.certificate, pair.certificate, pair.key)
        command = [
            str(self._binaries[name]),
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--profiling=false",
            f"--cert-dir={self.run / 'pki'}",
            *arguments,
        ]
        self._processes.spawn(name, command, netns=self._netns)

    def wait(self) -> None:
        """Waits for what :meth:`launch` began."""
        for attempt in range(_ATTEMPTS):
            ended = self._wait_ready()
            if not ended:
                return
            if attempt == _ATTEMPTS - 1 or self._port:
                break
            self.stop()
            self.launch()
        raise TestbedError(f"{ended} ended: {self._processes.log_tail(ended)}")

    def stop(self) -> None:
        """Ends both; nothing needs to be saved."""
        self._processes.stop(
            [
                process
                for name in ("calico-apiserver", "kube-apiserver", "etcd")
                if (process := self._processes.get(name))
            ]
        )

    def kill(self) -> None:
        """Kills the API server, as a crash would."""
        if process := self._processes.get("kube-apiserver"):
            self._processes.stop([process], signal.SIGKILL)

    def restart(self) -> None:
        """Starts a killed or running API server anew on its old port and data."""
        self.kill()
        self._start_apiserver()
        if self._wait_ready():
            raise TestbedError(f"kube-apiserver ended: {self._processes.log_tail('kube-apiserver')}")

    def stored(self) -> dict[str, int]:
        """What etcd holds: keys and the revisions of their last changes."""
        everything = {"key": _base64("/registry/"), "range_end": _base64("/registry0"), "keys_only": True}
        url = f"http://127.0.0.1:{self._etcd_port}/v3/kv/range"
        found = self._etcd.request("POST", url, json=everything).json()["kvs"]
        return {base64.b64decode(item["key"]).decode(): int(item["mod_revision"]) for item in found}

    def client_kubeconfig(self, user: str, groups: Sequence[str] = (), path: Path | None = None) -> Path:
        """A kubeconfig for another user, for example one without rights.

        :param path: file to write; default ``kubeconfig-<user>`` in the run directory
        """
        pair = self._pki.client(user, groups)
        target = path or self.run / f"kubeconfig-{user.replace('/', '_').replace(':', '_')}"
        return write_kubeconfig(target, self.server, self._pki.pair.certificate, pair.certificate, pair.key)

    def admin_kubeconfig(self, server: str, path: Path) -> Path:
        """The administrator's kubeconfig for a caller that reaches the API under another address."""
        return write_kubeconfig(path, server, self._pki.pair.certificate, *self._admin())

    def _admin(self) -> tuple[Path, Path]:
        pair = self._pki.client("hostfence-testbed-admin", ["system:masters"])
        return pair.certificate, pair.key

    def _start_etcd(self) -> None:
        client = f"http://127.0.0.1:{self._etcd_port}"
        peer = f"http://127.0.0.1:{self._etcd_peer_port}"
        command = [
            str(self._binaries["etcd"]),
            f"--data-dir={self.run / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            # The data is thrown away with the testbed, so nothing has to survive a power cut.
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]
        self._processes.spawn("etcd", command, netns=self._netns, tied=self._tied)

    def _start_apiserver(self) -> None:
        hosts = ["localhost", "127.0.0.1", self._address, SERVICE_ADDRESS, "kubernetes.default.svc"]
        serving = self._pki.server("kube-apiserver", list(dict.fromkeys(hosts)))
        tokens = self._pki.signing_key("service-accounts")
        # The group is kubeadm's choice as well: the API server may do all to a kubelet.
        to_others = self._front_proxy.client("front-proxy-client")
        to_kubelets = self._pki.client("kube-apiserver-kubelet-client", ["system:masters"])
        command = [
            str(self._binaries["kube-apiserver"]),
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            f"--bind-address={self._address}",
            f"--advertise-address={self._address}",
            f"--secure-port={self._chosen_port}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={self._pki.pair.certificate}",
            f"--kubelet-certificate-authority={self._pki.pair.certificate}",
            f"--kubelet-client-certificate={to_kubelets.certificate}",
            f"--kubelet-client-key={to_kubelets.key}",
            "--kubelet-preferred-address-types=InternalIP",
            # By these an API server behind this one knows that it is this one which asks, and for whom.
            f"--requestheader-client-ca-file={self._front_proxy.pair.certificate}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={to_others.certificate}",
            f"--proxy-client-key-file={to_others.key}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--service-cluster-ip-range={_SERVICE_RANGE}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={tokens}",
            f"--service-account-signing-key-file={tokens}",
            "--allow-privileged=true",
            "--endpoint-reconciler-type=none",
            "--profiling=false",
            f"--cert-dir={self.run / 'pki'}",
        ]
        self._processes.spawn("kube-apiserver", command, netns=self._netns, tied=self._tied)

    def _wait_ready(self) -> str:
        """Waits; returns the name of the process that ended instead, or nothing."""
        api = self.api()
        deadline = time.monotonic() + _READY_SECONDS
        while reason := api.unready():
            for name in ("etcd", "kube-apiserver"):
                if self._has_ended(name):
                    return name
            if time.monotonic() > deadline:
                tail = self._processes.log_tail("kube-apiserver")
                raise TestbedError(
                    f"kube-apiserver is not ready after {_READY_SECONDS} s: {reason}; its last line: {tail}"
                )
            time.sleep(0.1)
        return ""

    def _has_ended(self, name: str) -> bool:
        process = self._processes.get(name)
        return process is not None and not process.alive()


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody uses now, and that the kernel gives to no outgoing connection."""
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = range(_FIRST_PORT, max(first_outgoing, _FIRST_PORT + 10_000))
    found: list[int] = []
    for port in random.sample(candidates, len(candidates)):
        if len(found) == count:
            break
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            found.append(port)
    return found
