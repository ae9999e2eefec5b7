# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role policies, run by ansible-playbook against a real API server."""

from __future__ import annotations

import json

import pytest
from builders import policy
from module_run import run_module
from role_run import run_roles
from waiting import eventually

from testbed import node_objects
from testbed.api import ApiError

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
NETWORKS = {
    "policies_node_cidrs": ["10.99.0.0/24", "fd99::/64"],
    "policies_cluster_cidrs": ["10.244.0.0/16", "fd98::/48", "10.96.0.0/16"],
    "policies_ssh_sources": ["192.0.2.0/24", "2001:db8::/32"],
    "policies_nodeport_sources": ["198.51.100.0/24"],
    "policies_settle": 0,
    # The nodes have no kernel here.
    "policies_verify_failsafes": False,
}


# There is no node here to log in to.
NOBODY_LOOKS = {"enforce_watchdogs": 0, "enforce_settle": 0, "enforce_waves": ["all"]}
ENFORCED = {"policies_state": "enforced", "policies_prove": False, **NOBODY_LOOKS}


@pytest.fixture
def play(clean_api):
    """Runs the role; returns the exit code, the number of changed tasks and the output."""

    def run(*flags, **variables):
        done = run_roles(clean_api.kubeconfig, ["policies"], *flags, **{**NETWORKS, **variables})
        return done.code, done.changed, done.output

    return run


def names(api, kind):
    return {o["metadata"]["name"].rpartition(".")[2] for o in api.admin.list(api.path(kind))}


# platform-flows allows before DNAT too, as ingress-lockdown is enforced beside it.
SHIPPED = {
    "ingress-lockdown": {"ingress-lockdown-outbound", "ingress-lockdown-inbound", "ingress-lockdown-drop"},
    "nodeport": {"nodeport"},
    "platform-flows": {
        f"platform-flows-{where}-{direction}"
        for where in ("all-hosts", "control-plane")
        for direction in ("ingress", "egress", "ingress-prednat")
    },
    "platform-tier": {"platform-tier-all-hosts-ingress", "platform-tier-control-plane-ingress"},
}


# The module policies goes through all states on every flavour.
@pytest.mark.one_flavour
def test_shipped_sets_in_every_state(clean_api, play):
    policies = set().union(*SHIPPED.values())
    for state, kind in (("staged", "StagedGlobalNetworkPolicy"), ("enforced", "GlobalNetworkPolicy")):
        code, changed, output = play(policies_state=state, policies_sets=list(SHIPPED))
        assert code == 0, output
        assert changed == len(SHIPPED)
        assert names(clean_api, kind) == policies
        code, changed, output = play(policies_state=state, policies_sets=list(SHIPPED))
        assert (code, changed) == (0, 0), output
    code, changed, output = play(policies_state="absent", policies_sets=list(SHIPPED))
    assert (code, changed) == (0, len(SHIPPED)), output
    assert names(clean_api, "GlobalNetworkPolicy") == set()


@pytest.mark.one_flavour
def test_enforcing_without_ssh_sources_is_refused(clean_api, play):
    code, _changed, output = play(policies_state="enforced", policies_ssh_sources=[])
    assert code != 0
    assert "policies_ssh_sources: must not be empty" in output
    assert names(clean_api, "GlobalNetworkPolicy") == set()


@pytest.mark.one_flavour
def test_unknown_set_is_refused(play):
    code, _changed, output = play(policies_sets=["lockdown"])
    assert code != 0
    assert "policies_sets: 'lockdown': no such set" in output


@pytest.mark.one_flavour
@pytest.mark.parametrize("name", ["policies_sets", "policies_ssh_sources"])
def test_text_where_a_list_is_wanted_is_refused(clean_api, play, name):
    code, _changed, output = play(**{name: "nodeport"})
    assert code != 0
    assert f"{name}: text where a list is wanted" in output
    assert f"""-e '{{"{name}": ["nodeport"]}}'""" in output
    assert names(clean_api, "StagedGlobalNetworkPolicy") == set()


@pytest.mark.one_flavour
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"policies_sets": ["nodeport", "./mine/NodePort/"]}, "would be one set by name"),
        ({"policies_sets": ["./a/edge.yml", "./b/edge.json"]}, "would be one set by name"),
        ({"policies_prove_rounds": 0}, "policies_prove_rounds 0: must be at least 1"),
    ],
)
def test_what_would_undo_itself_is_refused(clean_api, play, given, said):
    code, _changed, output = play(**given)
    assert code != 0
    assert said in output
    assert names(clean_api, "StagedGlobalNetworkPolicy") == set()


METRICS = {"name": "metrics", "ports": [9100, "30500:30501"], "sources": ["198.18.0.0/15"]}


def verdicts(api, source="198.18.0.9", node="node1"):
    """What becomes of a packet to the monitoring port, a NodePort, and another port."""
    flow = {
        "node": node,
        "direction": "ingress",
        "protocol": "TCP",
        "source": source,
        "destination": "10.99.0.11",
        "interface": "eth0",
    }
    flows = [{**flow, "destination_port": port} for port in (9100, 30500, 9101)]
    return [v["verdict"] for v in run_module("flow_verdict", api, flows=flows)["verdicts"]]


def governed_node(api):
    hep = {"node": "node1", "interfaceName": "*", "profiles": ["projectcalico-default-allow"]}
    labels = {"host-endpoint": "ingress", "kubernetes.io/hostname": "node1"}
    api.admin.post(node_objects.PATH, node_objects.node("node1", 1, ("10.99.0.11", "fd99::11")))
    api.create("HostEndpoint", "node1-hostfence", hep, labels=labels)


@pytest.mark.one_flavour
@pytest.mark.parametrize("name", SHIPPED)
def test_a_port_that_is_to_be_reachable_is_past_every_shipped_set(clean_api, play, name):
    governed_node(clean_api)
    options = {**ENFORCED, "policies_sets": [name]}
    code, _changed, output = play(**options)
    assert code == 0, output
    without = verdicts(clean_api)
    code, _changed, output = play(**options, policies_allow=[METRICS])
    assert code == 0, output
    assert verdicts(clean_api) == ["allow", "allow", without[2]]
    # Others are let in no further.
    assert verdicts(clean_api, source="203.0.113.9") == without


@pytest.mark.one_flavour
def test_a_port_is_reachable_on_its_nodes_until_it_is_taken_away(clean_api, play):
    governed_node(clean_api)
    options = {**ENFORCED, "policies_sets": list(SHIPPED)}
    code, _changed, output = play(**options)
    assert code == 0, output
    without = verdicts(clean_api)
    code, _changed, output = play(**options, policies_allow=[METRICS])
    assert code == 0, output
    assert verdicts(clean_api) == ["allow", "allow", without[2]]
    assert verdicts(clean_api, source="203.0.113.9") == without
    code, changed, output = play(**options, policies_allow=[METRICS])
    assert (code, changed) == (0, 0), output
    code, _changed, output = play(**options, policies_allow=[{**METRICS, "nodes": ["node2"]}])
    assert (code, verdicts(clean_api)) == (0, without), output
    # Left out, what was let in stays; an empty list takes it away.
    code, changed, output = play(**options)
    assert (code, changed) == (0, 0), output
    code, changed, output = play(**options, policies_allow=[])
    assert (code, changed) == (0, 1), output
    assert not any(name.startswith("allow") for name in names(clean_api, "GlobalNetworkPolicy"))


@pytest.mark.one_flavour
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"policies_ssh_sources": ["192.0.2.7"]},
            "policies_ssh_sources[0]: '192.0.2.7': write 192.0.2.7/32: a rule takes networks only",
        ),
        (
            {"policies_allow": [{**METRICS, "sources": ["192.0.2.7"]}]},
            "policies_allow[0].sources[0]: '192.0.2.7': write 192.0.2.7/32",
        ),
        (
            {"policies_allow": [{**METRICS, "source": []}]},
            "policies_allow[0].source: []: did you mean sources?",
        ),
    ],
)
def test_an_address_is_refused_by_the_variables_own_name(clean_api, play, given, said):
    code, _changed, output = play(**given)
    assert code != 0
    assert said in " ".join(output.split())
    assert names(clean_api, "StagedGlobalNetworkPolicy") == set()


@pytest.mark.one_flavour
def test_what_is_enforced_on_nodes_changes_by_a_switch(clean_api, play, tmp_path):
    """Several policies of an enforced set change, and nothing opens the hosts meanwhile."""
    clean_api.add_nodes(1)
    assert not run_module("host_endpoints", clean_api)["failed"]
    file = tmp_path / "mine.yml"
    options = {"policies_state": "enforced", "policies_prove": False, "policies_sets": [str(file)]}
    options["policies_default_action"] = "Pass"
    for ports in ((22, 23), (24, 2222)):
        both = [policy(name, order=port, port=port) for name, port in zip(("one", "two"), ports)]
        file.write_text("\n---\n".join(map(json.dumps, both)))
        code, changed, output = play(**options, **NOBODY_LOOKS)
        assert (code, changed) == (0, 1), output
        steps = ["prepared", "armed - all", "switched - all", "proved - all", "confirmed - all", "settled"]
        assert [step for step in steps if step not in output] == []
        assert [o["spec"]["ingress"][0]["destination"]["ports"] for o in stored(clean_api)] == [
            [port] for port in ports
        ]
    # Without watchdogs, which need nodes, or saying that there are to be none, nothing is switched.
    file.write_text(json.dumps(policy("one")))
    code, _changed, output = play(**options)
    assert code != 0
    assert "2 watchdogs are wanted, and 0 nodes can be logged in to" in " ".join(output.split())
    assert len(stored(clean_api)) == 2


def stored(api):
    return api.admin.list(api.path("GlobalNetworkPolicy"))


@pytest.fixture
def refuses_late(clean_api):
    """An API server that takes every rehearsal of a policy named ``late``, and never the policy."""
    rule = {
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "resources": ["globalnetworkpolicies"],
        "operations": ["CREATE"],
    }
    expression = "request.dryRun || !object.metadata.name.endsWith('late')"
    bodies = {
        "validatingadmissionpolicies": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": expression, "message": "not today"}],
        },
        "validatingadmissionpolicybindings": {"policyName": "late", "validationActions": ["Deny"]},
    }
    for plural, spec in bodies.items():
        clean_api.admin.post(f"{ADMISSION}/{plural}", {"metadata": {"name": "late"}, "spec": spec})
    yield
    for plural in bodies:
        clean_api.admin.delete(f"{ADMISSION}/{plural}/late")


def is_refused(api):
    try:
        api.create("GlobalNetworkPolicy", "canary-late", {"selector": "all()"})
    except ApiError as error:
        return "not today" in str(error)
    api.admin.delete(api.path("GlobalNetworkPolicy", "canary-late"))
    return False


@pytest.mark.one_flavour
def test_a_set_that_cannot_be_written_takes_the_others_back(clean_api, play, refuses_late, tmp_path):
    (tmp_path / "early.json").write_text(json.dumps(policy("early")))
    (tmp_path / "late.json").write_text(json.dumps(policy("late")))
    early, late = str(tmp_path / "early.json"), str(tmp_path / "late.json")
    code, _changed, output = play(policies_state="enforced", policies_sets=[early])
    assert code == 0, output
    before = clean_api.admin.list(clean_api.path("GlobalNetworkPolicy"))

    (tmp_path / "early.json").write_text(json.dumps(policy("early", order=20)))
    eventually(lambda: is_refused(clean_api), 30)
    code, _changed, output = play(policies_state="enforced", policies_sets=[early, late])
    assert code != 0, output
    said = " ".join(output.split())
    assert "not today" in said
    assert "What decides about hosts was taken back to what it was." in said
    assert [(o["metadata"]["name"], o["spec"]) for o in before] == [
        (o["metadata"]["name"], o["spec"])
        for o in clean_api.admin.list(clean_api.path("GlobalNetworkPolicy"))
    ]
