# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""However Ansible is run, what an order of writes enforced is proved by new logins, or taken back.

A rule of somebody else would find any switch, so that an order of writes is what was asked for.
"""

from __future__ import annotations

import json
from pathlib import Path

import ansible_mitogen
import pytest
from builders import GNP, LEASE, policy
from module_run import run_module
from role_run import ON_THE_CONTROLLER, end_of, start_playbook
from test_policies import stored

pytestmark = pytest.mark.one_flavour

THEIRS = "by-hand"

# Stands for OpenSSH and a node: tells a session, until as many logins as `works` have been.
SSH = """#!/bin/sh
number=$(cat {place}/count 2>/dev/null || echo 0); number=$((number + 1)); echo $number > {place}/count
[ $number -le {works} ] || {{ echo "connect to host: Connection refused" >&2; exit 255; }}
printf '\\nhostfence-login 192.0.2.1 %s 100.64.0.1 22\\n' $((40000 + number))
"""


RULE = {"action": "Deny", "protocol": "TCP", "destination": {"ports": [7]}}
MINE = policy("mine", ingress=[RULE])


@pytest.fixture
def cluster(clean_api):
    clean_api.add_nodes(1)
    assert not run_module("host_endpoints", clean_api)["failed"]
    finds_a_switch = {"action": "Allow", "source": {"selector": "!has(pods)"}}
    theirs = {"selector": "has(pods)", "types": ["Ingress"], "ingress": [finds_a_switch]}
    clean_api.create(GNP, THEIRS, theirs)
    return clean_api


def enforce(api, place, works, *flags, host=None, **variables):
    program = place / "ssh"
    program.write_text(SSH.format(place=place, works=works))
    program.chmod(0o755)
    (place / "mine.json").write_text(json.dumps(MINE))
    own = {"ansible_ssh_executable": str(program), **(host or {})}
    inventory = {
        "all": {
            "hosts": {"localhost": {"ansible_connection": "local"}},
            "children": {"nodes": {"hosts": {"sim-0001": own}}},
        }
    }
    (place / "hosts.json").write_text(json.dumps(inventory))
    given = {
        "policies_sets": [str(place / "mine.json")],
        "policies_state": "enforced",
        "policies_default_action": "Pass",
        "enforce_without_switch": True,
        "policies_settle": 0,
        "policies_prove_after": 0,
        # The nodes have no kernel here.
        "policies_verify_failsafes": False,
        **variables,
    }
    (place / "play.json").write_text(
        json.dumps(
            [
                {
                    **ON_THE_CONTROLLER,
                    "roles": ["hostfence.calico.policies"],
                }
            ]
        )
    )
    hosts = str(place / "hosts.json")
    # mitogen's processes may wait for one another.
    return end_of(
        start_playbook(api.kubeconfig, place / "play.json", *flags, inventory=hosts, **given), within=180
    )


def logins(place):
    return int((place / "count").read_text())


def enforced(api):
    return [key for key in stored(api) if key[0] == GNP and not key[1].endswith(THEIRS)]


WAYS = {
    "linear": ({}, {}),
    "free": ({"ANSIBLE_STRATEGY": "free"}, {}),
    "host_pinned": ({"ANSIBLE_STRATEGY": "host_pinned"}, {}),
    "one fork": ({"ANSIBLE_FORKS": "1"}, {}),
    "kept connections": (
        {"ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=300s -o ControlPath=/tmp/hostfence"},
        {},
    ),
    "paramiko": ({}, {"ansible_connection": "paramiko"}),
    "any error is fatal": ({"ANSIBLE_ANY_ERRORS_FATAL": "true"}, {}),
}
STRATEGIES_OF_MITOGEN = Path(ansible_mitogen.__file__).parent / "plugins" / "strategy"
# It keeps one connection to a node for all tasks.
MITOGEN = {"ANSIBLE_STRATEGY": "mitogen_linear", "ANSIBLE_STRATEGY_PLUGINS": str(STRATEGIES_OF_MITOGEN)}


@pytest.mark.parametrize("way", WAYS)
def test_it_is_proved_by_as_many_new_logins_as_wanted(cluster, tmp_path, monkeypatch, way):
    environment, host = WAYS[way]
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    done = enforce(cluster, tmp_path, 100, host=host)
    assert done.code == 0, done.text[-1500:]
    assert logins(tmp_path) == 1 + 3
    assert "1 of 1 nodes took new logins, 3 in all" in done.text
    assert enforced(cluster)


@pytest.mark.parametrize(
    ("environment", "works"),
    [
        (WAYS["linear"][0], 1),
        (WAYS["linear"][0], 3),
        (WAYS["free"][0], 3),
        (WAYS["host_pinned"][0], 3),
        (WAYS["any error is fatal"][0], 1),
        (MITOGEN, 3),
    ],
    ids=["linear-1", "linear-3", "free-3", "host_pinned-3", "any error is fatal-1", "mitogen_linear-3"],
)
def test_it_is_taken_back_where_a_login_fails(cluster, tmp_path, monkeypatch, environment, works):
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    done = enforce(cluster, tmp_path, works)
    assert done.code != 0
    assert logins(tmp_path) == works + 1 + 3  # and whether the way back helped is tried three times
    assert "The policies were taken back" in done.text, done.text[-1500:]
    assert "sim-0001 (connect to host: Connection refused)" in done.text
    assert "Still none after the way back: sim-0001" in done.text
    assert not enforced(cluster)


def test_what_no_switch_can_do_is_asked_for(cluster, tmp_path):
    done = enforce(cluster, tmp_path, 100, enforce_without_switch=False)
    assert done.code != 0
    assert "Nothing was written. selector" in done.text, done.text[-1500:]
    assert "or set enforce_without_switch" in done.text
    assert not enforced(cluster)


def test_nobody_logs_in_to_a_local_connection(cluster, tmp_path):
    done = enforce(cluster, tmp_path, 100, host={"ansible_connection": "local"})
    assert done.code != 0
    assert "Nothing was written." in done.text, done.text[-1500:]
    assert not enforced(cluster)


def test_what_is_enforced_is_proved_again_though_nothing_is_written(cluster, tmp_path):
    assert enforce(cluster, tmp_path, 100).code == 0
    (tmp_path / "count").unlink()
    again = enforce(cluster, tmp_path, 100)
    assert (again.code, again.changed) == (0, 0), again.text[-1500:]
    assert logins(tmp_path) == 1 + 3
    (tmp_path / "count").unlink()
    shut = enforce(cluster, tmp_path, 0)
    assert shut.code != 0
    assert "cannot log in to them" in shut.text, shut.text[-1500:]


def bring(api, state, **options):
    """As a run that is killed before anybody logs in."""
    given = {"name": "mine", "definitions": [MINE], "default_action": "Pass", "settle": 0, **options}
    return run_module("policies", api, state=state, **given)


def lease(api):
    place, _, name = LEASE.rpartition("/")
    return [found for found in api.admin.list(place) if found["metadata"]["name"] == name]


def unproved(api):
    return [s["unproved"] for s in run_module("policies_info", api)["sets"] if s["unproved"]]


def test_what_an_interrupted_run_left_unproved_is_said_and_proved_once(cluster, tmp_path):
    assert not bring(cluster, "enforced")["failed"]
    (text,) = unproved(cluster)
    assert text.startswith("not proved since ")
    assert "process" in text
    shut = enforce(cluster, tmp_path, 1)
    assert shut.code != 0
    assert "this run proves it" in shut.text
    assert unproved(cluster) == [text]
    (tmp_path / "count").unlink()
    done = enforce(cluster, tmp_path, 100)
    assert (done.code, done.changed) == (0, 1), done.text[-1500:]
    assert "unproved: set mine is not proved since" in done.text
    assert "this run proves it" in done.text
    assert unproved(cluster) == []
    assert lease(cluster) == []
    (tmp_path / "count").unlink()
    again = enforce(cluster, tmp_path, 100)
    assert (again.code, again.changed) == (0, 0)
    assert "unproved" not in again.text


def test_only_what_is_enforced_is_unproved(cluster):
    assert not bring(cluster, "staged")["failed"]
    assert lease(cluster) == []
    shut = policy("mine", ingress=[{"action": "Deny"}])
    assert "denied" in bring(cluster, "enforced", definitions=[shut], logins=[{"node": "sim-0001"}])["msg"]
    assert lease(cluster) == []
    assert not bring(cluster, "enforced")["failed"]
    assert cluster.admin.get(LEASE)["spec"] == {}
    assert not bring(cluster, "enforced")["changed"]
    assert len(unproved(cluster)) == 1
    assert not bring(cluster, "staged")["failed"]
    assert lease(cluster) == []


def test_ssh_by_way_of_a_jump_host_is_said_not_to_be_judged(cluster, tmp_path):
    done = enforce(cluster, tmp_path, 100)
    assert "place: SSH to sim-0001 comes from 192.0.2.1, which is no address of this machine" in done.text
