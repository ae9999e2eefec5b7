# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fault matrix: what goes wrong while a wave is switched, each for real, and what it comes to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.aggregated import aggregated
from tests.faults.lab import GROUP, NEIGHBOURS, Cutter, Lab, allow, policy
from tests.faults.recorder import Recorder

WINDOW = 30
# The last resort looks a while after the window, and Felix needs its time to start and to hear.
GRACE = 40
_ALL = 24
A = [policy("in", 10, ingress=[allow(22, 10250), NEIGHBOURS])]
B = [policy("in", 10, ingress=[allow(22, 9999), NEIGHBOURS])]
SHUT = [policy("in", 10, ingress=[NEIGHBOURS])]
DEAF = [policy("out", 10, egress=[allow(22), NEIGHBOURS])]

_LIFELINES = "dmesg | grep -c 'hostfence lifeline: no API server answered'"

Row = Callable[["Case"], str]


@dataclass
class Case:
    """One row as it runs. ``old`` and ``new`` are verdicts of real packets."""

    lab: Lab
    old: dict[str, str]
    new: dict[str, str]

    def start(self, wish: Any = None, *, kubeconfig: str = "", **more: Any) -> subprocess.Popen[bytes]:
        options = {"sets": ["edge"], "waves": ["all"], "window": WINDOW, "nodes": self.lab.logins, **more}
        writes = self.lab.rehearsal(B if wish is None else wish)
        return self.lab.start("enforce", kubeconfig=kubeconfig, writes=writes, **options)

    def switched(self, seconds: float = 120) -> None:
        if not self.lab.wait_for(lambda: self.lab.switch()[0] == "switched", seconds):
            raise Failed("it was never switched")

    def phase(self, wanted: str, seconds: float) -> str:
        """By whom the phase was written."""
        if not self.lab.wait_for(lambda: self.lab.switch()[0] == wanted, seconds):
            raise Failed(f"phase {self.lab.switch()[0]}, not {wanted}, after {seconds} s")
        return self.lab.switch()[1]

    def ends_as(self, wanted: dict[str, str], seconds: float = 10) -> None:
        if not self.lab.wait_for(lambda: self.lab.verdicts() == wanted, seconds):
            seen = self.lab.verdicts()
            raise Failed("verdicts differ: " + ", ".join(f for f in wanted if wanted[f] != seen[f])[:200])

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


class Failed(Exception):
    """A row did not come to what it should."""


def killed(case: Case) -> str:
    process = case.start(confirm="manual")
    case.switched()
    case.kill(process)
    by = case.phase("rolled-back", WINDOW + 5)
    case.ends_as(case.old)
    return f"switched back by {by}"


def api_lost(case: Case) -> str:
    cutter = Cutter(case.lab, 0)
    try:
        process = case.start(kubeconfig=cutter.kubeconfig, proofs=[{"host": "10.99.0.1", "port": 6443}])
        case.switched()
        cutter.mute_when = lambda: True
        by = case.phase("rolled-back", WINDOW + 10)
        case.ends_as(case.old)
        case.kill(process)
        cutter.mute_when = lambda: False
    finally:
        cutter.close()
    return f"switched back by {by}"


def ssh_lost(case: Case) -> str:
    with failsafes(case.lab, inbound=[{"protocol": "tcp", "port": 6443}]):
        process = case.start(SHUT)
        output, _errors = process.communicate()
        if b"rolled-back" not in output and b"every host" not in output.lower():
            raise Failed(output.decode()[-300:])
        if case.lab.left_behind():
            raise Failed("something is left")
    return "the proof failed, and the run switched back itself"


def one_watchdog_dies(case: Case) -> str:
    process = case.start(confirm="manual")
    case.switched()
    case.kill(process)
    _end_watchdog(case.lab, 1)
    by = case.phase("rolled-back", WINDOW + 5)
    case.ends_as(case.old)
    return f"switched back by {by}"


def all_watchdogs_die(case: Case) -> str:
    process = case.start()
    if not case.lab.wait_for(lambda: case.lab.switch()[0] in ("armed", "switched"), 60):
        raise Failed("never armed")
    case.lab.wait_for(lambda: case.lab.switch()[0] == "switched", 20)
    for number in (1, 2):
        _end_watchdog(case.lab, number)
    output, _errors = process.communicate()
    if b"a watchdog has stopped" not in output:
        raise Failed(output.decode()[-300:])
    case.ends_as(case.old)
    return "not confirmed, and the run switched back itself"


def api_restarts(case: Case) -> str:
    process = case.start(confirm="manual")
    case.switched()
    case.kill(process)
    _testbed("stop-api")
    time.sleep(10)
    _testbed("start-api")
    by = case.phase("rolled-back", WINDOW + 15)
    case.ends_as(case.old, 20)
    return f"switched back by {by}"


def webhook_lost(case: Case) -> str:
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    rules = [
        {
            "apiGroups": ["crd.projectcalico.org"],
            "apiVersions": ["*"],
            "resources": ["globalnetworkpolicies"],
            "operations": ["*"],
        }
    ]
    hook = {
        "name": "dead.hostfence.test",
        "rules": rules,
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 1,
        "clientConfig": {"url": "https://127.0.0.1:1/"},
    }
    process = case.start(confirm="manual")
    case.switched()
    case.kill(process)
    case.lab.api.post(path, {"metadata": {"name": "hostfence-test"}, "webhooks": [hook]})
    try:
        by = case.phase("rolled-back", WINDOW + 5)
        case.ends_as(case.old)
    finally:
        case.lab.api.delete(f"{path}/hostfence-test")
    return f"switched back by {by} while no policy could be written"


def node_is_deaf(case: Case) -> str:
    victim = list(case.lab.record.nodes)[1]
    before = case.lab.on(victim, _LIFELINES)
    with failsafes(case.lab, outbound=[{"protocol": "udp", "port": 53}]):
        waves = [f"kubernetes.io/hostname == '{victim}'"]
        process = case.start(DEAF, waves=waves, confirm="manual", last_resort=True)
        case.switched()
        case.kill(process)
        # The connection that Felix has would let it hear the way back: it breaks.
        _testbed("stop-api")
        _testbed("start-api")
        by = case.phase("rolled-back", WINDOW + 15)
        # The table may be gone within a second: what it wrote into the kernel's log stays.
        if not case.lab.wait_for(lambda: case.lab.on(victim, _LIFELINES) != before, 25):
            raise Failed("no lifeline was made")
        case.ends_as(case.old, 60)
        if not case.lab.wait_for(
            lambda: "hostfence-lifeline" not in case.lab.on(victim, "nft list tables"), 15
        ):
            raise Failed("the lifeline stayed")
        case.lab.module("rollback", nodes=case.lab.logins)
        events = case.lab.api.list("/api/v1/namespaces/default/events")
        if not any(
            (e["reason"], e["involvedObject"]["name"]) == ("HostfenceLastResort", victim) for e in events
        ):
            raise Failed("no event tells of it")
    done = "the node opened its own way, heard it, and took the lifeline away; an event tells of it"
    return f"switched back by {by}; {done}"


def felix_stopped(case: Case) -> str:
    name = list(case.lab.record.nodes)[2]
    pids = _felix(case.lab, name)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        process = case.start()
        case.lab.wait_for(lambda: process.poll() is not None, 45)
        if case.lab.switch()[0] not in ("", "prepared"):
            raise Failed(f"phase {case.lab.switch()[0]}")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    output, _errors = process.communicate()
    if b"is not in its kernel yet" not in output:
        raise Failed(output.decode()[-300:])
    case.ends_as(case.old)
    return "refused before the switch, by the node's name"


def felix_restarts(case: Case) -> str:
    process = case.start(confirm="manual")
    case.switched()
    case.kill(process)
    for pid in _felix(case.lab, list(case.lab.record.nodes)[2]):
        os.kill(pid, signal.SIGKILL)
    by = case.phase("rolled-back", WINDOW + 5)
    case.ends_as(case.old, 15)
    return f"switched back by {by}"


def two_operators(case: Case) -> str:
    first = case.start()
    case.lab.wait_for(lambda: case.lab.switch()[0] != "", 30)
    second = case.start()
    output, _errors = second.communicate()
    first.communicate()
    if b"another run changes what is enforced: " not in output:
        raise Failed(output.decode()[-300:])
    case.ends_as(case.new)
    return "the second was refused, by the name of the first"


def gitops(case: Case) -> str:
    process = case.start(confirm="manual")
    case.switched()
    case.kill(process)
    case.phase("rolled-back", WINDOW + 5)
    path = f"{GROUP}/globalnetworksets/hostfence-switch-1"
    case.lab.api.patch(path, {"spec": {"nets": []}})
    if not case.lab.wait_for(lambda: bool(case.lab.api.get(path)["spec"].get("nets")), 5):
        raise Failed("it stayed on")
    case.ends_as(case.old)
    return "turned on behind our back, and off again"


def confirm_at_the_deadline(case: Case) -> str:
    process = case.start(confirm="manual")
    case.switched()
    process.communicate()
    case.lab.wait_for(lambda: False, WINDOW - 4)
    answer = case.lab.module("confirm", nodes=case.lab.logins)
    confirmed = not answer["failed"]
    case.ends_as(case.new if confirmed else case.old)
    return f"exactly one won: {'confirm' if confirmed else 'roll back'}"


def hung_up(case: Case) -> str:
    process = case.start()
    case.lab.wait_for(lambda: case.lab.switch()[0] == "armed", 60)
    os.killpg(process.pid, signal.SIGHUP)
    process.communicate()
    time.sleep(1)
    if case.lab.switch()[0] == "switched":
        case.phase("rolled-back", WINDOW + 5)
    case.ends_as(case.old)
    return "nothing was switched, or it went back"


def calico_apiserver_lost(case: Case) -> str:
    """On a cluster of its own, without Felix."""
    with aggregated() as cluster:
        case.lab.must(
            case.lab.module(
                "host_endpoints", kubeconfig=cluster.kubeconfig, labels={"host-endpoint": "ingress"}
            )
        )
        given = {"name": "edge", "state": "enforced", "definitions": A, "reach": False, "lint": False}
        there = {"kubeconfig": cluster.kubeconfig}
        planned = case.lab.must(case.lab.module("policies", check=True, **there, **given))
        options = {"waves": ["all"], "window": WINDOW, "watchdogs": 1, "nodes": [cluster.login]}
        waiting = case.lab.module(
            "enforce",
            kubeconfig=cluster.kubeconfig,
            writes=planned["rehearsal"],
            confirm="manual",
            **options,
        )
        case.lab.must(waiting)
        os.kill(cluster.pid, signal.SIGSTOP)
        try:
            early = case.lab.wait_for(lambda: cluster.phase() == "rolled-back", WINDOW + 5)
        finally:
            os.kill(cluster.pid, signal.SIGCONT)
        if early:
            raise Failed("it went back without Calico's API server")
        # kube-apiserver looks only twice a minute whether it is back.
        if not case.lab.wait_for(lambda: cluster.phase() == "rolled-back", 90):
            raise Failed(f"phase {cluster.phase()} after Calico's API server came back")
        case.lab.must(case.lab.module("rollback", kubeconfig=cluster.kubeconfig))
    return "the watchdog waits for it, and switches back (no Felix there)"


def typha_lost(case: Case) -> str:
    """A listener stands in for Typha, and a connection of each node's for Felix's."""
    with (
        service(case.lab, 5473),
        connections_of_nodes(case.lab, 5473),
        failsafes(case.lab, outbound=[{"protocol": "tcp", "port": 6443}]),
    ):
        said = refused_by_the_proof(case, egress_but(5473))
    if "Typha 10.99.0.1 worked before and does not now" not in said:
        raise Failed(said[-300:])
    return "the proof failed (Typha), and the run switched back itself"


def names_lost(case: Case) -> str:
    resolver = "echo nameserver 10.99.0.1 > /run/resolv.test; mount --bind /run/resolv.test /etc/resolv.conf"
    with service(case.lab, 53), failsafes(case.lab, outbound=[{"protocol": "tcp", "port": 6443}]):
        for node in case.lab.record.nodes:
            case.lab.on(node, resolver)
        try:
            said = refused_by_the_proof(case, egress_but(53))
        finally:
            for node in case.lab.record.nodes:
                case.lab.on(node, "umount /etc/resolv.conf; rm /run/resolv.test")
    if "DNS 10.99.0.1 over" not in said:
        raise Failed(said[-300:])
    return "the proof failed (DNS), and the run switched back itself"


def ssh_elsewhere(case: Case) -> str:
    """SSH on port 2222, which no failsafe keeps open: the gate refuses, and so would the proof."""
    lab = case.lab
    lab.directly([policy("in", 10, ingress=[allow(22, 2222, 10250), NEIGHBOURS])])
    for node in lab.record.nodes:
        config = lab.run / "nodes" / node / "sshd_config"
        lab.on(node, f"/usr/sbin/sshd -f {config} -p 2222 -o PidFile=/run/sshd-2222.pid")
    logins = [{**login, "port": 2222} for login in lab.logins]
    try:
        gate = lab.module(
            "policies",
            check=True,
            name="edge",
            state="enforced",
            definitions=B,
            lint=False,
            logins=[{"node": login["node"], "host": login["host"], "port": 2222} for login in logins],
        )
        if not gate["failed"] or "2222" not in str(gate.get("msg")):
            raise Failed(f"the gate let it pass: {gate.get('msg')}")
        said = refused_by_the_proof(case, B, nodes=logins)
        if "2222" not in said and "SSH" not in said:
            raise Failed(said[-300:])
    finally:
        for node in lab.record.nodes:
            lab.on(node, "kill $(cat /run/sshd-2222.pid)")
    return "the gate refused it by the port; without the gate the proof failed, and the run switched back"


def clock_jumps(case: Case) -> str:
    """The run's clock is a day ahead: so is the deadline that it wrote."""
    process = case.start(confirm="manual")
    case.switched()
    case.kill(process)
    path = f"{GROUP}/globalnetworksets/hostfence-switch-1"
    late = {"hostfence.io/deadline": f"{time.time() + 86400:.0f}"}
    case.lab.api.patch(path, {"metadata": {"annotations": late}})
    by = case.phase("rolled-back", WINDOW + 5)
    case.ends_as(case.old)
    return f"switched back by {by}, by its own clock"


def controllers_stopped(case: Case) -> str:
    pids = _processes_called(case.lab, "kube-controllers")
    if not pids:
        raise Failed("kube-controllers do not run")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        process = case.start(waves=["canary"])
        output, _errors = process.communicate()
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    if b'"phase": "settled"' not in output:
        raise Failed(output.decode()[-300:])
    case.ends_as(case.new)
    return "no label is copied for a switch: all waves settled without them"


def evictions(case: Case) -> str:
    output, _errors = case.start(window=300).communicate()
    if b"from 30 to 240" not in output or case.lab.left_behind():
        raise Failed(output.decode()[-300:])
    return "a window of 300 s, in which Kubernetes would evict pods, is refused before anything is written"


def broken_by_the_next_reconnect(case: Case) -> str:
    """A connection that only old policy allows, held over the switch."""
    lab = case.lab
    name = list(lab.record.nodes)[1]
    lab.directly([policy("in", 10, ingress=[allow(22, 7001, 10250), NEIGHBOURS])])
    survived = []
    with service(lab, 7001, inside=name):
        for flush in (False, True):
            with conversation(lab, lab.record.nodes[name].ipv4, 7001) as goes_on:
                if not goes_on():
                    raise Failed("the connection does not work before")
                process = case.start(confirm="manual", flush_conntrack=flush)
                output, _errors = process.communicate()
                if b'"event": "proved"' not in output:
                    raise Failed(output.decode()[-300:])
                survived.append(goes_on())
            lab.must(lab.module("rollback", nodes=lab.logins))
    if survived != [True, False]:
        raise Failed(f"the connection went on without and with flushing: {survived}")
    return "it goes on unseen; with flush_conntrack it breaks inside the window"


def node_object_gone(case: Case) -> str:
    """eBPF itself does not run here: its configuration is that of a node that is not there."""
    endpoints, configurations = f"{GROUP}/hostendpoints", f"{GROUP}/felixconfigurations"
    spec = {"node": "ghost", "interfaceName": "*", "expectedIPs": ["10.99.0.99"]}
    labels = {"host-endpoint": "ingress", "kubernetes.io/hostname": "ghost"}
    case.lab.api.post(endpoints, _object("HostEndpoint", "ghost", spec, labels))
    bpf = _object("FelixConfiguration", "node.ghost", {"bpfEnabled": True})
    case.lab.api.post(configurations, bpf)
    try:
        output, _errors = case.start().communicate()
    finally:
        case.lab.api.delete(f"{endpoints}/ghost")
        case.lab.api.delete(f"{configurations}/node.ghost")
    if b"ghost" not in output or b"eBPF" not in output or case.lab.left_behind():
        raise Failed(output.decode()[-300:])
    case.ends_as(case.old)
    return "refused before anything is written, by the node's name"


def endpoint_without_profile(case: Case) -> str:
    refused = case.lab.module("host_endpoints", labels={"host-endpoint": "ingress"}, profiles=[])
    if not refused["failed"] or "denied" not in str(refused.get("msg")):
        raise Failed(f"it was not refused: {refused.get('msg')}")
    case.ends_as(case.old)
    return "refused by the gate before anything is written"


def egress_but(port: int) -> Any:
    denied = [
        {"action": "Deny", "protocol": protocol, "destination": {"ports": [port]}}
        for protocol in ("TCP", "UDP")
    ]
    return [*A, policy("out", 20, egress=[*denied, {"action": "Allow"}])]


def refused_by_the_proof(case: Case, wish: Any, **more: Any) -> str:
    """What the run says once it has switched, seen that something broke, and switched back."""
    output, _errors = case.start(wish, **more).communicate()
    said = output.decode()
    if '"event": "switched"' not in said or "Every host has the policy that it had before" not in said:
        raise Failed(said[-300:])
    if case.lab.left_behind():
        raise Failed("something is left")
    return said


# Numbers as in the failure matrix of docs/enforcing.md.
ROWS: dict[int, tuple[str, Row]] = {
    1: ("the run is killed after the switch", killed),
    2: ("the run loses the API", api_lost),
    3: ("the run loses SSH to the nodes", ssh_lost),
    4: ("one watchdog dies", one_watchdog_dies),
    5: ("all watchdogs die", all_watchdogs_die),
    6: ("the API server restarts", api_restarts),
    7: ("the API server loses its policy webhook", webhook_lost),
    8: ("Calico's API server is cut off", calico_apiserver_lost),
    9: ("a node is cut off from the API", node_is_deaf),
    10: ("nodes lose Typha", typha_lost),
    11: ("nodes lose their name servers", names_lost),
    12: ("SSH on another port", ssh_elsewhere),
    13: ("Felix of a node does nothing", felix_stopped),
    14: ("Felix of a node restarts in the window", felix_restarts),
    15: ("the clock jumps by a day", clock_jumps),
    16: ("two operators", two_operators),
    17: ("somebody turns the switch on again", gitops),
    18: ("kube-controllers do nothing", controllers_stopped),
    19: ("a window as long as it takes to evict", evictions),
    20: ("what breaks only on reconnect", broken_by_the_next_reconnect),
    21: ("eBPF on a node whose Node object is gone", node_object_gone),
    22: ("confirm and deadline race", confirm_at_the_deadline),
    23: ("the run is hung up on", hung_up),
    24: ("HostEndpoints without the default-allow profile", endpoint_without_profile),
}


def main(lab: Lab, only: list[int]) -> bool:
    """:returns: whether every row came to what it should"""
    lab.directly(B)
    new = lab.verdicts()
    good = tried = 0
    for number, (text, row) in ROWS.items():
        if only and number not in only:
            continue
        tried += 1
        lab.directly(A)
        case = Case(lab, lab.verdicts(), new)
        recorder = Recorder(lab, Path(tempfile.gettempdir()) / f"hostfence-fault-{number}.jsonl")
        try:
            outcome = row(case)
            good_row = True
        except Failed as failed:
            outcome, good_row = f"FAILED: {failed}", False
        finally:
            recorder.close()
        seconds, what = recorder.longest_outage()
        if seconds > WINDOW + GRACE:
            outcome, good_row = f"FAILED: {what} was cut off for {seconds:.0f} s", False
        lab.module("rollback", nodes=lab.logins)
        again = lab.module(
            "enforce", writes=lab.rehearsal(A), sets=["edge"], waves=["all"], watchdogs=0, nodes=lab.logins
        )
        if again["failed"] or lab.left_behind():
            outcome, good_row = f"FAILED: {again.get('msg')} {lab.left_behind()}", False
        good += good_row
        print(f"{number:2} {text}: {outcome} (longest cut: {what} {seconds:.1f} s)", flush=True)
    print(f"faults survived on {lab.backend}: {good}/{tried if only else _ALL}")
    lab.directly([])
    return good == tried


@contextmanager
def failsafes(lab: Lab, **lists: list[dict[str, Any]]) -> Iterator[None]:
    """Felix with other failsafes; it restarts for that."""
    path = f"{GROUP}/felixconfigurations/default"
    names = {"inbound": "failsafeInboundHostPorts", "outbound": "failsafeOutboundHostPorts"}
    fields = {names[side]: ports for side, ports in lists.items()}
    lab.api.patch(path, {"spec": fields})
    time.sleep(6)
    try:
        yield
    finally:
        lab.api.patch(path, {"spec": dict.fromkeys(fields)})
        time.sleep(6)


def _end_watchdog(lab: Lab, number: int) -> None:
    # In brackets, so that the shell that looks does not find itself.
    for node in lab.record.nodes:
        lab.on(
            node,
            f"pkill -KILL -f '[h]ostfence-watchdog-{number}.py'; rm -f "
            f"/run/hostfence/hostfence-watchdog-{number}.*",
        )


_SERVE = """
import socket, sys, threading
port, name = int(sys.argv[1]), "0.0.0.0"
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind((name, port))
def answer():
    while True:
        query, peer = datagrams.recvfrom(512)
        datagrams.sendto(query[:2] + bytes([0x81, 0x83]) + query[4:], peer)
threading.Thread(target=answer, daemon=True).start()
def echo(connection):
    while True:
        data = connection.recv(100)
        if not data:
            return
        connection.sendall(data)
with socket.create_server((name, port)) as server:
    print("ready", flush=True)
    while True:
        connection, _peer = server.accept()
        threading.Thread(target=echo, args=(connection,), daemon=True).start()
"""
_TALK = """
import socket, sys, time
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
connection.settimeout(2)
for line in sys.stdin:
    try:
        connection.sendall(b"x")
        print("yes" if connection.recv(1) else "no", flush=True)
    except OSError:
        print("no", flush=True)
"""
_HOLD = """
import socket, sys, time
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
print("ready", flush=True)
time.sleep(600)
"""


@contextmanager
def _program(netns: str, program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = ["nsenter", f"--net=/run/netns/{netns}", sys.executable, "-c", program, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def service(lab: Lab, port: int, inside: str = "") -> Iterator[None]:
    """Something that answers on a port, over UDP as a name server does: outside, or on a node."""
    with _program(lab.inside[inside] if inside else lab.outside, _SERVE, str(port)) as process:
        assert process.stdout
        process.stdout.readline()
        yield


@contextmanager
def connections_of_nodes(lab: Lab, port: int) -> Iterator[None]:
    """A connection that each node has open."""
    with ExitStack() as stack:
        for netns in lab.inside.values():
            process = stack.enter_context(_program(netns, _HOLD, "10.99.0.1", str(port)))
            assert process.stdout
            process.stdout.readline()
        yield


@contextmanager
def conversation(lab: Lab, address: str, port: int) -> Iterator[Callable[[], bool]]:
    """One connection from outside to a node, and whether it still works."""
    with _program(lab.outside, _TALK, address, str(port)) as process:

        def goes_on() -> bool:
            assert process.stdin
            assert process.stdout
            process.stdin.write("?\n")
            process.stdin.flush()
            return process.stdout.readline() == "yes\n"

        yield goes_on


def _object(kind: str, name: str, spec: Any, labels: Any = None) -> Any:
    metadata = {"name": name, "labels": labels or {}}
    return {"apiVersion": "crd.projectcalico.org/v1", "kind": kind, "metadata": metadata, "spec": spec}


def _processes_called(lab: Lab, name: str) -> list[int]:
    """Processes of this testbed, by their name and its network."""
    return [pid for pid in _named(name) if _network(pid) == os.stat(f"/run/netns/{lab.outside}").st_ino]


def _named(name: str) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        # The kernel keeps the first fifteen characters of a name.
        if entry.name.isdigit() and _text(entry / "comm").strip() == name[:15]:
            yield int(entry.name)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _network(pid: int) -> int:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return 0


def _felix(lab: Lab, node: str) -> list[int]:
    """The processes of a node's Felix: it alone runs in the node's network and is called so."""
    wanted = os.stat(f"/run/netns/{lab.inside[node]}").st_ino
    return [pid for pid in _named("calico-felix") if _network(pid) == wanted]


def _testbed(command: str) -> None:
    subprocess.run([sys.executable, "-m", "testbed", command], check=True, capture_output=True)
