# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs of ``enforce`` that are ended at every task: invariants I1 and I2.

That a run may be ended after every single write is tried by ``python -m tests.faults killed``, and how long
the way back takes by ``python -m tests.faults back`` (I8).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from judge import Outcome, cut, newly_denied, shut_at_the_end
from test_attacks import ANY, ENFORCE, open_world, policy, protected, set_failsafes  # noqa: F401
from world import CALICO, World, end_of

from testbed.api import ApiError

WINDOW = 30
# A watchdog's next look, and Felix's way to the kernel.
GRACE = 10
SECONDS_TO_END = 90
MORE_THAN_TASKS = 120
# Each run wants to deny another one, so that each has something to change.
DENIED_PORTS = {signal.SIGKILL: 8081, signal.SIGINT: 8082, signal.SIGHUP: 8083}


def closed(port: int) -> dict[str, Any]:
    rule = {"action": "Deny", "protocol": "TCP", "destination": {"ports": [port]}}
    return policy("closed", 10, types=["Ingress"], ingress=[rule, ANY])


def started(world: World, port: int) -> subprocess.Popen[str]:
    return world.start(
        ENFORCE,
        environment={"PYTHONUNBUFFERED": "1"},
        policies_sets=[world.policy_set("closed", closed(port))],
        policies_default_action="Pass",
        enforce_waves=["all"],
        enforce_window=WINDOW,
    )


def ended_at_task(world: World, number: int, by: signal.Signals) -> str:
    """End a run as soon as its nth task begins.

    :returns: the task's name; empty where the run has fewer
    """
    process = started(world, DENIED_PORTS[by])
    assert process.stdout
    seen = 0
    for line in process.stdout:
        if not line.startswith("TASK ["):
            continue
        seen += 1
        if seen == number:
            os.killpg(process.pid, by)
            try:
                process.communicate(timeout=SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                # Ansible itself may wait for ever after Ctrl-C, for a lock that a worker held as it ended.
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
            return line.split("[", 1)[1].split("]")[0]
    process.communicate()
    return ""


def phase(world: World) -> str:
    """Of the only wave; empty where none is under way."""
    with suppress(ApiError):
        found = world.api.get(f"{CALICO}/globalnetworksets/hostfence-switch-1")
        return str(found["metadata"]["annotations"]["hostfence.io/phase"])
    return ""


def until_nothing_waits(world: World) -> bool:
    """Whether no wave is switched and unconfirmed, at the latest when its window is over."""
    end = time.monotonic() + WINDOW + GRACE
    while time.monotonic() < end:
        if phase(world) != "switched":
            return True
        time.sleep(0.5)
    return False


def denied_by_kernels(world: World) -> set[tuple[int, ...]]:
    """Which ports are denied to new connections, at the addresses of all nodes: one answer if all agree."""
    addresses = [address for host in world.hosts for address in host.addresses]
    pairs = [(address, port) for address in addresses for port in DENIED_PORTS.values()]
    with ThreadPoolExecutor(len(pairs)) as pool:
        refused = dict(zip(pairs, pool.map(lambda pair: is_refused(world, *pair), pairs), strict=True))
    return {
        tuple(port for port in DENIED_PORTS.values() if not refused[address, port]) for address in addresses
    }


def is_refused(world: World, address: str, port: int) -> bool:
    """By the host, on which nothing listens: then policy let the packet pass."""
    host = f"[{address}]" if ":" in address else address
    tried = subprocess.run(
        ["nsenter", f"--net=/run/netns/{world.fabric.netns}", "socat", "-T1", "-u", "/dev/null",
         f"TCP:{host}:{port},connect-timeout=1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "refused" in tried.stderr


def taken_up(world: World, port: int) -> Outcome:
    """The same command again, as soon as what the last run left lets it."""
    end = time.monotonic() + WINDOW + 60
    while True:
        outcome = end_of(started(world, port))
        if outcome.code == 0 or time.monotonic() > end:
            return outcome
        assert any(word in outcome.text for word in ("holds", "is under way", "another run", "to confirm")), (
            outcome.output
        )
        time.sleep(2)


@pytest.fixture
def real_world(open_world: World) -> World:  # noqa: F811
    if not open_world.felix:
        pytest.skip("no real Felix here: set HOSTFENCE_CALICO_BIN, as this is about kernels")
    set_failsafes(open_world, None)
    return open_world


@pytest.fixture(scope="module")
def no_task() -> list[int]:
    """Numbers that no task of a run has, as far as they are known."""
    return []


@pytest.mark.invariant("I1", "I2")
@pytest.mark.parametrize("number", range(1, MORE_THAN_TASKS))
def test_runs_that_are_ended_at_a_task(real_world: World, no_task: list[int], number: int) -> None:
    """By each signal in turn, each run finds what the one before has left; the last one may end."""
    if no_task and number > no_task[0]:
        pytest.skip("an enforcing run has fewer tasks")
    with real_world.recorded() as recording:
        for by in DENIED_PORTS:
            task = ended_at_task(real_world, number, by)
            if not task:
                no_task.append(number)
                pytest.skip("an enforcing run has fewer tasks")
            recording.mark(f"{by.name} at {task}")
            assert until_nothing_waits(real_world), f"{by.name} at {task}: unconfirmed after the window"
            kernels = denied_by_kernels(real_world)
            assert len(kernels) == 1, f"{by.name} at {task}: some kernels have old policy and some new"
        outcome = taken_up(real_world, DENIED_PORTS[by])
    assert outcome.code == 0, f"{task}: {outcome.output}"
    assert denied_by_kernels(real_world) == {(DENIED_PORTS[by],)}
    worst = cut(recording.record)
    assert all(seconds <= WINDOW + GRACE for seconds in worst.values()), f"{task}: {worst}"
    assert shut_at_the_end(recording.record) == set()
    assert newly_denied(recording.record, real_world.paths) == set()
    left = [item["metadata"]["name"] for item in real_world.objects("tiers")]
    assert not [name for name in left if name.endswith("-next")], task
