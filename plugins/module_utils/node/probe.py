# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""New TCP connections: the only proof that a port can be reached; an established one shows nothing."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..calico.bad_input import BadInput
from ..calico.finding import ERROR, Finding

SECONDS = 3.0
REMEDY = "look at the findings of that node, and at firewalls between the two"


def result(targets: Sequence[str]) -> dict[str, Any]:
    """Try all targets and put the outcome into the form of the module's result.

    :raises BadInput: a target that is not an address and a port
    """
    parsed = [_parse(target, index) for index, target in enumerate(targets)]
    with ThreadPoolExecutor(max_workers=8) as pool:
        problems = list(pool.map(_connect, parsed))
    probes = [
        {"target": target, "ok": not problem, "message": problem or "connected"}
        for target, problem in zip(targets, problems)
    ]
    findings = [
        Finding(
            "probe.failed",
            ERROR,
            f"a new connection to {entry['target']} failed: {entry['message']}",
            REMEDY,
        )
        for entry in probes
        if not entry["ok"]
    ]
    good = len(probes) - len(findings)
    return {
        "ok": not findings,
        "findings": [finding.as_dict() for finding in findings],
        "probes": probes,
        "summary": f"{good} of {len(probes)} new connections",
    }


def _parse(target: str, index: int) -> tuple[str, int]:
    host, _separator, port = target.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise BadInput(f"probe_targets[{index}]", target, "must be ADDRESS:PORT or [ADDRESS]:PORT")
    return host, int(port)


def _connect(target: tuple[str, int]) -> str:
    """Empty where the connection was set up; else why not."""
    try:
        with socket.create_connection(target, timeout=SECONDS):
            return ""
    except socket.timeout:
        return f"no answer in {SECONDS:.0f} s: the packets are dropped on the way"
    except OSError as error:
        if error.errno == errno.ECONNREFUSED:
            return "refused: nothing listens there"
        return str(error)
