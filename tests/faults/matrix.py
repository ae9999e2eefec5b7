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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.lab import GROUP, NEIGHBOURS, Cutter, Lab, allow, policy
from tests.faults.recorder import Recorder

WINDOW = 30
# The last resort looks a while after the window, and Felix needs its time to start and to hear.
GRACE = 40
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
    return f"switched back by {by}; the node opened its own way, heard it, and took the lifeline away"


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


# Numbers as in the failure matrix of docs/enforcing.md.
ROWS: dict[int, tuple[str, Row]] = {
    1: ("the run is killed after the switch", killed),
    2: ("the run loses the API", api_lost),
    3: ("the run loses SSH to the nodes", ssh_lost),
    4: ("one watchdog dies", one_watchdog_dies),
    5: ("all watchdogs die", all_watchdogs_die),
    6: ("the API server restarts", api_restarts),
    7: ("the API server loses its policy webhook", webhook_lost),
    9: ("a node is cut off from the API", node_is_deaf),
    13: ("Felix of a node does nothing", felix_stopped),
    14: ("Felix of a node restarts in the window", felix_restarts),
    16: ("two operators", two_operators),
    17: ("somebody turns the switch on again", gitops),
    22: ("confirm and deadline race", confirm_at_the_deadline),
    23: ("the run is hung up on", hung_up),
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
    print(f"faults survived on {lab.backend}: {good}/{tried}")
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


def _felix(lab: Lab, node: str) -> list[int]:
    """The processes of a node's Felix: it alone runs in the node's network and is called so."""
    wanted = os.stat(f"/run/netns/{lab.inside[node]}").st_ino
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name = (entry / "comm").read_text().strip()
                same = (entry / "ns" / "net").stat().st_ino == wanted
            except OSError:
                continue
            if same and name == "calico-felix":
                found.append(int(entry.name))
    return found


def _testbed(command: str) -> None:
    subprocess.run([sys.executable, "-m", "testbed", command], check=True, capture_output=True)
