# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The gate between what was observed and what is to be enforced: module flow_audit, and the role's entry."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from builders import flows_document, network_set, policy
from module_run import run_module
from role_run import ON_THE_CONTROLLER, end_of, run_playbook, run_roles, start_playbook
from test_flow_audit import protected
from test_policies import ok

WEB = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [443]}}
OPEN = policy("open", ingress=[{"action": "Allow"}])
# One policy that allows 443; what ends its tier denies the rest.
CLOSED = policy("web", ingress=[WEB])


@pytest.fixture
def observed(tmp_path):
    """The folder that the role audit keeps, with what one node saw."""

    def write(*ports):
        folder = tmp_path / "audit" / "flows"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sim-0001.json").write_text(json.dumps(flows_document("sim-0001", *ports)))
        return str(folder)

    return write


def run_set(api, state, *definitions, check=False, name="edge"):
    given = {"name": name, "state": state, "definitions": list(definitions), "settle": 0, "lint": False}
    return ok(run_module("policies", api, check=check, reach=False, **given))


@pytest.mark.one_flavour
@pytest.mark.parametrize("state", ["staged", "audited"])
def test_the_end_of_a_tier_is_judged_as_it_is_once_the_set_is_enforced(clean_api, observed, state):
    """While it is staged, it ends in Pass."""
    protected(clean_api)
    run_set(clean_api, state, CLOSED)

    result = run_module("flow_audit", clean_api, flows=observed(9100, 443))

    assert (result["gate"], result["counts"]["would_deny"], result["counts"]["allow"]) == ("fail", 1, 1)
    (reason,) = result["reasons"]
    assert reason.startswith("would deny: from 192.0.2.9/32 to tcp/9100 of sim-0001, 4 times -> add a policy")


@pytest.mark.one_flavour
def test_writes_are_judged_by_what_stands_after_them(clean_api, observed):
    """An enforced set loses a network: what came from it is allowed now, and no more then."""
    protected(clean_api)
    by_office = policy("web", ingress=[{"action": "Allow", "source": {"selector": "role == 'office'"}}])
    run_set(clean_api, "enforced", by_office, network_set("office", "192.0.2.0/24"))
    flows = observed(443)
    smaller = (by_office, network_set("office", "198.51.100.0/24"))

    def judged(*definitions, state="enforced"):
        writes = run_set(clean_api, state, *definitions, check=True)["rehearsal"]
        return ok(run_module("flow_audit", clean_api, flows=flows, writes=writes))

    assert judged(*smaller)["counts"]["would_deny"] == 1
    assert judged(by_office, network_set("office", "192.0.2.0/25"))["counts"]["allow"] == 1
    assert judged(state="absent")["counts"] | {"allow": 1} == judged(state="absent")["counts"]
    run_set(clean_api, "staged", policy("other", "Deny", ingress=[{"action": "Deny"}]), name="other")
    assert judged(by_office, network_set("office", "192.0.2.0/25"))["counts"]["allow"] == 1


@pytest.mark.one_flavour
def test_what_changes_nothing_that_is_enforced_passes_without_a_window(clean_api, observed):
    protected(clean_api)
    run_set(clean_api, "enforced", CLOSED)
    flows = observed(9100)

    def gate_of(writes):
        return ok(run_module("flow_audit", clean_api, flows=flows, writes=writes, min_window="9w"))["gate"]

    again = run_set(clean_api, "enforced", CLOSED, check=True)["rehearsal"]
    more = run_set(clean_api, "staged", policy("other", "Deny"), check=True, name="other")["rehearsal"]
    opened = run_set(clean_api, "enforced", CLOSED, OPEN, check=True)["rehearsal"]
    assert more
    assert [gate_of([]), gate_of(again), gate_of(more), gate_of(opened)] == [
        "pass",
        "pass",
        "pass",
        "inconclusive",
    ]


@pytest.mark.one_flavour
def test_a_write_that_is_none_is_refused(clean_api, observed):
    result = run_module("flow_audit", clean_api, flows=observed(443), writes=[{"kind": "Tier"}])

    assert result["failed"]
    assert "writes[0]" in result["msg"]


def gate(api, folder, **variables):
    play = {
        **ON_THE_CONTROLLER,
        "tasks": [
            {"ansible.builtin.include_role": {"name": "hostfence.calico.audit", "tasks_from": "gate"}},
            {
                "ansible.builtin.debug": {
                    "msg": "judged={{ audit_result.judged }} gate={{ audit_result.gate }}"
                }
            },
        ],
    }
    given = {"audit_directory": str(folder / "audit"), **variables}
    kept = {name: value for name, value in given.items() if value is not None}
    inventory = folder / "hosts.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"sim-0001": {}}}}))
    place = folder / "playbooks" / "play.json"
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps([play]))
    return end_of(start_playbook(api.kubeconfig, place, inventory=str(inventory), **kept))


@pytest.mark.one_flavour
def test_playbooks_enter_the_gate_by_one_include(clean_api, observed, tmp_path):
    protected(clean_api)
    metrics = {"action": "Deny", "protocol": "TCP", "destination": {"ports": [9100]}}
    run_set(clean_api, "staged", policy("metrics", ingress=[metrics, {"action": "Allow"}]))

    nothing = gate(clean_api, tmp_path)
    asked = gate(clean_api, tmp_path, audit_gate=True)
    observed(443, 9100)
    # localhost is not in the inventory. The files are looked for next to it all the same.
    failing = gate(clean_api, tmp_path, audit_directory=None)
    off = gate(clean_api, tmp_path, audit_gate=False)
    known = {"protocol": "tcp", "port": 9100, "reason": "It is switched off.", "until": "2099-12-31"}
    accepted = gate(clean_api, tmp_path, audit_accepted=[known])
    writes = run_set(clean_api, "enforced", OPEN, check=True)["rehearsal"]
    other = gate(clean_api, tmp_path, audit_writes=writes)

    assert nothing.code == 0, nothing.output
    assert "judged=False gate=off" in nothing.text
    assert asked.code != 0
    assert "audit: inconclusive: nothing was observed yet" in asked.text
    assert failing.code != 0
    assert (
        "audit: fail: would deny: from 192.0.2.9/32 to tcp/9100 of sim-0001, 4 times -> add" in failing.text
    )
    assert "judged=False gate=off" in off.text
    assert accepted.code == 0, accepted.output
    assert "judged=True gate=pass" in accepted.text
    assert other.code == 0, other.output


@pytest.mark.one_flavour
def test_the_role_that_enforces_enters_the_gate_by_itself(clean_api, observed, tmp_path):
    """That something was observed is enough; the rule to add is named, and nothing is written."""
    protected(clean_api)
    observed(9100)

    refused = run_roles(
        clean_api.kubeconfig,
        ["policies"],
        policies_state="enforced",
        policies_ssh_sources=["192.0.2.0/24"],
        policies_node_cidrs=["10.0.0.0/8"],
        policies_cluster_cidrs=["10.244.0.0/16"],
        policies_verify_failsafes=False,
        policies_prove=False,
        policies_reach=False,
        audit_directory=str(tmp_path / "audit"),
    )

    assert refused.code != 0
    assert (
        "audit: fail: would deny: from 192.0.2.9/32 to tcp/9100 of sim-0001, 4 times -> add" in refused.text
    )
    assert "Nothing was enforced" in refused.text
    assert clean_api.admin.list(clean_api.path("GlobalNetworkPolicy")) == []


@pytest.mark.one_flavour
def test_what_the_inventory_says_for_the_shipped_sets_is_known(clean_api, observed, tmp_path):
    """A login on another port, from an address that no network of those that may log in holds."""
    protected(clean_api)
    run_set(clean_api, "staged", policy("ingress-lockdown-drop", ingress=[{"action": "Deny"}]))
    observed(2222)
    said = {"policies_ssh_port": 2222, "policies_ssh_sources": ["192.0.2.128/25"]}

    missing = gate(clean_api, tmp_path, **said)
    folder = tmp_path / "audit"
    made = run_playbook(clean_api.kubeconfig, "playbooks/recommend.yml", audit_directory=str(folder), **said)

    assert "192.0.2.9/32 to tcp/2222 of sim-0001, 4 times -> add 192.0.2.9/32 to policies_ssh_sources" in (
        missing.text
    )
    assert made.code == 0, made.output
    rules = [
        rule
        for item in yaml.safe_load_all((folder / "recommended.yml").read_text())
        for rule in item["spec"].get("ingress", [])
    ]
    logins = [rule for rule in rules if rule.get("source", {}).get("nets") == said["policies_ssh_sources"]]
    assert [rule["destination"]["ports"] for rule in logins] == [[2222]]


# With these, on a cluster whose nodes nobody can log in to, the audit alone stands in the way.
ALONE = {
    "policies_node_cidrs": ["100.64.0.0/10", "fd99::/48"],
    "policies_cluster_cidrs": ["10.244.0.0/16", "fd98::/48"],
    "policies_ssh_sources": ["192.0.2.128/25"],
    "policies_settle": 0,
    "policies_verify_failsafes": False,
    "policies_prove": False,
    "enforce_watchdogs": 0,
    "enforce_settle": 0,
    "enforce_waves": ["all"],
}


@pytest.mark.one_flavour
def test_the_playbooks_that_enforce_go_on_only_where_the_audit_passes(clean_api, tmp_path):
    """One window, judged for each candidate again; audit_gate is given as a command line gives it."""
    protected(clean_api)
    seen = flows_document("sim-0001", 9101, 9102, 9103, 9104)
    for number, record in enumerate(seen["flows"]):
        record["seen"] = {**record["seen"], "count": 10 + number}
    folder = tmp_path / "audit" / "flows"
    folder.mkdir(parents=True)
    (folder / "sim-0001.json").write_text(json.dumps(seen))

    def run(playbook, ports, **variables):
        web = {"name": "web", "ports": [ports], "sources": ["192.0.2.0/24"]}
        given = {"audit_directory": str(tmp_path / "audit"), "policies_allow": [web], **variables}
        flags = ("-e", "audit_gate=true", "--skip-tags", "access,drift,failsafes,report")
        return run_playbook(clean_api.kubeconfig, f"playbooks/{playbook}.yml", *flags, **ALONE, **given)

    def enforced():
        found = clean_api.admin.list(clean_api.path("GlobalNetworkPolicy"))
        return {item["metadata"]["name"].rpartition(".")[2]: item["spec"] for item in found}

    short = run("enforce", "9101:9104", audit_min_window="2w", audit_max_age="0s")
    assert short.code != 0
    assert (
        "audit: inconclusive: a window shorter than 2w at sim-0001; "
        "a window that ended more than 0s ago at sim-0001. Nothing was enforced"
    ) in short.text
    assert enforced() == {}

    passing = run("enforce", "9101:9104")
    assert passing.code == 0, passing.output
    assert "hostfence.calico.audit : The audit passes" in passing.text
    before = enforced()
    assert {"allow-web", "ingress-lockdown-drop"} <= before.keys()

    narrower = run("site", "9101", policies_state="enforced")
    assert narrower.code != 0
    (reasons, *_again) = re.findall(r"audit: fail: (.*?)\. Nothing was enforced", narrower.text)
    named = [reason.split(" -> ") for reason in reasons.split("; ")]
    assert [what for what, _rule in named] == [
        f"would deny: from 192.0.2.9/32 to tcp/{port} of sim-0001, {times} times"
        for port, times in ((9104, 13), (9103, 12), (9102, 11))
    ]
    assert all(rule.startswith("add {") and rule.endswith("} to policies_allow") for _what, rule in named)
    assert enforced() == before

    wider = run("site", "9101:9105", policies_state="enforced")
    assert wider.code == 0, wider.output
    assert "hostfence.calico.audit : The audit passes" in wider.text
    assert enforced()["allow-web"] != before["allow-web"]
