# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shipped sets in every state: a second run changes nothing, and packets do what the set says."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from real_felix import felix_runs

from testbed.state import run_directory

sys.path.append(str(Path(__file__).parents[3] / "tests/integration"))
from role_run import end_of, start_playbook

SCENARIO = Path(__file__).resolve().parent.parent
ALL = ["ingress-lockdown", "nodeport", "platform-flows", "platform-tier"]
# Felix needs a tenth of this; a busy machine may need more.
FELIX_SECONDS = 3

OUTSIDERS = ("admin", "client", "stranger")


def of(*flows):
    return {f"{flow} v{version}" for flow in flows for version in "46"}


EVERYBODY_ELSE = of(*(f"{who} other" for who in OUTSIDERS))
STRANGE_SSH = of("client ssh", "stranger ssh")
STRANGE_NODEPORT = of("admin nodeport", "stranger nodeport")
TIER = (
    EVERYBODY_ELSE
    | STRANGE_SSH
    | STRANGE_NODEPORT
    | of("client nodeport", "peer other", "own address", "to peer")
)

# Sets, further variables, and the flows that are cut off then: all others must work, loopback, the failsafe
# port and IPv6 with a cold neighbour cache among them.
CASES = {
    "lockdown": (
        ["ingress-lockdown"],
        {},
        EVERYBODY_ELSE | STRANGE_SSH | STRANGE_NODEPORT | of("client nodeport"),
    ),
    "nodeport": (["nodeport"], {}, STRANGE_NODEPORT),
    "tier, both directions": (
        ["platform-tier"],
        {"policies_platform_tier_directions": ["Ingress", "Egress"]},
        TIER | of("outbound"),
    ),
    "three together": (
        ["platform-flows", "nodeport", "ingress-lockdown"],
        {},
        EVERYBODY_ELSE | STRANGE_SSH | STRANGE_NODEPORT,
    ),
}


def converge(state: str, sets: list[str], **variables: object) -> int:
    """Runs the role; returns how many tasks changed something."""
    # Nobody has to be waited for where no Felix runs.
    given = {} if felix_runs() else {"policies_settle": 0, "enforce_settle": 0}
    given |= {"policies_state": state, "policies_sets": sets, **variables}
    kubeconfig = str(run_directory() / "kubeconfig")
    done = end_of(start_playbook(kubeconfig, SCENARIO / "converge.yml", **given))
    assert done.code == 0, done.output
    return done.changed


def cut_off() -> set[str]:
    time.sleep(FELIX_SECONDS)
    done = subprocess.run(
        [sys.executable, str(SCENARIO / "probe.py")], capture_output=True, text=True, check=True
    )
    return {flow for flow, works in json.loads(done.stdout).items() if not works}


def needs_felix() -> None:
    if not felix_runs():
        pytest.skip("no real Felix here: set HOSTFENCE_CALICO_BIN to see packets judged")


def test_staged_cuts_nothing_off():
    needs_felix()
    assert cut_off() == set()


def test_every_state_twice():
    converge("absent", ALL)
    for state in ("enforced", "absent", "staged"):
        # What governs nodes changes at once, in one transaction.
        assert converge(state, ALL) == (1 if state == "enforced" else len(ALL))
        assert converge(state, ALL) == 0
    assert converge("absent", ALL) == len(ALL)


@pytest.mark.parametrize("case", CASES)
def test_enforced_cuts_off_what_it_says_and_absent_nothing(case):
    needs_felix()
    sets, variables, expected = CASES[case]
    converge("enforced", sets, **variables)
    assert cut_off() == expected
    converge("absent", sets)
    assert cut_off() == set()
