# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No change of what is enforced cuts off who makes it: what is refused, before anything is written.

Where real nodes are to be logged in to, and for the proof that takes a change back, see molecule/policies.
"""

from __future__ import annotations

import json

import pytest
from builders import GNP, policy
from module_run import run_module
from role_run import run_roles
from test_policies import stored, versions

pytestmark = pytest.mark.one_flavour

NODES = 2
ALLOW = policy("ssh-allow", "Allow", 10)
DENY = policy("ssh-deny", "Deny", 20)
LOGINS = [
    {"node": f"sim-000{n}", "ssh_connection": f"192.0.2.1 40000 100.64.0.{n} 22"} for n in range(1, NODES + 1)
]
OPEN = [{"protocol": "tcp", "port": 6443}]


@pytest.fixture
def cluster(clean_api):
    """Nodes with HostEndpoints, and tcp/22 not among the failsafes."""
    clean_api.add_nodes(NODES)
    assert not run_module("host_endpoints", clean_api)["failed"]
    assert not run_module("felix_configuration", clean_api, failsafe_inbound_host_ports=OPEN)["failed"]
    return clean_api


def run_set(api, name, *definitions, state="enforced", check=False, **options):
    given = {"definitions": list(definitions), "default_action": "Pass", "settle": 0, "logins": LOGINS}
    return run_module("policies", api, check=check, name=name, state=state, **{**given, **options})


def refused(result, *says):
    assert result["failed"]
    assert "\n" not in result["msg"]
    for text in ("is not written: SSH from 192.0.2.1 to sim-0001 and 1 more nodes", *says):
        assert text in result["msg"]


def test_a_set_that_denies_ssh_is_not_written(cluster):
    before = versions(cluster)
    says = "would be denied by GlobalNetworkPolicy hostfence.ssh-deny, ingress rule 0 (tier hostfence)"
    refused(run_set(cluster, "shut", DENY), says, "allow tcp/22 from 192.0.2.1", "failsafe")
    assert versions(cluster) == before


@pytest.mark.parametrize("why", ["failsafe", "allowed before", "staged"])
def test_near_misses_are_written(cluster, why):
    if why == "failsafe":
        run_module(
            "felix_configuration", cluster, failsafe_inbound_host_ports=[{"protocol": "tcp", "port": 22}]
        )
    definitions = [ALLOW, DENY] if why == "allowed before" else [DENY]
    result = run_set(cluster, "shut", *definitions, state="staged" if why == "staged" else "enforced")
    assert not result["failed"], result["msg"]
    assert result["decides"] is (why != "staged")
    assert result["obstacles"] == []


@pytest.mark.parametrize("change", ["absent", "staged", "changed"])
def test_what_keeps_ssh_open_is_not_taken_away_while_another_set_denies(cluster, change):
    assert not run_set(cluster, "open", ALLOW)["failed"]
    assert not run_set(cluster, "shut", DENY)["failed"]
    before = versions(cluster)
    definitions = [] if change == "absent" else [ALLOW]
    if change == "changed":
        definitions = [policy("ssh-allow", "Allow", 30)]
    state = "enforced" if change == "changed" else change
    refused(run_set(cluster, "open", *definitions, state=state), "ssh-deny")
    assert versions(cluster) == before
    # The other way round, nothing stands in the way.
    assert not run_set(cluster, "shut", state="absent")["failed"]
    assert not run_set(cluster, "open", *definitions, state=state)["failed"]


def test_what_is_denied_already_does_not_keep_a_deny_from_being_removed(cluster):
    assert not run_set(cluster, "one", policy("one", "Deny", 20), reach=False)["failed"]
    assert not run_set(cluster, "two", policy("two", "Deny", 21), reach=False)["failed"]
    result = run_set(cluster, "one", state="absent")
    assert not result["failed"], result["msg"]
    assert any("is and stays denied" in warning for warning in result["warnings"])


def test_without_the_check_it_is_written_and_said_loudly(cluster):
    result = run_set(cluster, "shut", DENY, reach=False)
    assert not result["failed"]
    assert any("nobody looked" in warning for warning in result["warnings"])


def test_a_change_can_be_undone_by_what_it_returns(cluster):
    for name, definition in (("open", ALLOW), ("shut", DENY)):
        assert not run_set(cluster, name, definition)["failed"]
    kept = {key: (obj["spec"], obj["metadata"]["labels"]) for key, obj in stored(cluster).items()}
    for state, definitions in (
        ("absent", []),
        ("staged", [DENY]),
        ("enforced", [policy("other", "Deny", 27)]),
    ):
        changed = run_set(cluster, "shut", *definitions, state=state, without_switch=True)
        assert changed.get("changed"), changed["msg"]
        undone = run_module("policies", cluster, **changed["before"], lint=False, reach=False, settle=0)
        assert not undone["failed"], undone["msg"]
        found = {key: (obj["spec"], obj["metadata"]["labels"]) for key, obj in stored(cluster).items()}
        assert found == kept


PLAYS = {
    "as documented": {},
    "serial": {"hosts": "all", "serial": 1},
    "serial and free": {"hosts": "all", "serial": 1, "strategy": "free", "any_errors_fatal": False},
}


@pytest.mark.parametrize("how", PLAYS)
def test_the_role_alone_changes_nothing_on_nodes_that_it_cannot_log_in_to(cluster, tmp_path, how):
    """Also in a play of the user's own, over all hosts, one after the other."""
    (tmp_path / "mine.json").write_text(json.dumps(DENY))
    given = {
        "policies_sets": [str(tmp_path / "mine.json")],
        "policies_state": "enforced",
        "policies_default_action": "Pass",
    }
    groups = {"nodes": [f"sim-000{n}" for n in range(1, NODES + 1)]}
    done = run_roles(cluster.kubeconfig, ["policies"], groups=groups, head=PLAYS[how], **given)
    assert done.code != 0
    assert "Nothing was written." in done.text, done.text[-900:]
    assert "sim-0001, sim-0002" in done.text
    assert not [key for key in stored(cluster) if key[0] == GNP]


# Stands for OpenSSH and the nodes.
SSH = """#!/bin/sh
case "$*" in *sim-0002*) number=2 ;; *) number=1 ;; esac
printf '\\nhostfence-login 192.0.2.1 40000 100.64.0.%s 22\\n' $number
"""


def test_a_node_outside_of_the_batch_and_of_the_limit_is_judged_before_the_first_write(cluster, tmp_path):
    """One that is not in it would be shut all the same: policy is the cluster's, not the batch's."""
    ssh = {"nets": ["100.64.0.2/32"], "ports": [22]}
    shut = policy("mine", ingress=[{"action": "Deny", "protocol": "TCP", "destination": ssh}])
    (tmp_path / "mine.json").write_text(json.dumps(shut))
    (tmp_path / "ssh").write_text(SSH)
    (tmp_path / "ssh").chmod(0o755)
    before = versions(cluster)
    done = run_roles(
        cluster.kubeconfig,
        ["policies"],
        *("--limit", "localhost,sim-0001"),
        groups={"nodes": [f"sim-000{n}" for n in range(1, NODES + 1)]},
        head=PLAYS["serial"],
        policies_sets=[str(tmp_path / "mine.json")],
        policies_state="enforced",
        policies_default_action="Pass",
        policies_verify_failsafes=False,
        ansible_ssh_executable=str(tmp_path / "ssh"),
    )
    assert done.code != 0
    said = "SSH from 192.0.2.1 to sim-0002 (100.64.0.2, tcp/22) would be denied"
    assert said in done.text, done.text[-900:]
    assert versions(cluster) == before


def test_removing_everything_is_refused_where_others_would_deny(cluster):
    assert not run_set(cluster, "open", ALLOW)["failed"]
    spec = {"order": 1, "selector": "all()", "types": ["Ingress"], "ingress": [{"action": "Deny"}]}
    cluster.create(GNP, "others", spec)
    before = versions(cluster)
    result = run_module("policies_absent", cluster, settle=0)
    assert "the removal of all sets is not written" in result["msg"]
    assert versions(cluster) == before


def test_an_unreadable_session_is_one_line(cluster):
    result = run_set(cluster, "shut", DENY, logins=[{"node": "sim-0001", "ssh_connection": "motd"}])
    assert result["msg"].startswith("logins[0].ssh_connection: 'motd': four words")
