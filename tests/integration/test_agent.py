# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The agent against a real API server, with the rights and the token that its pod has."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess

import pytest
from agent_process import NAMESPACE, Agent, Busy, apply_objects, replaces, token
from module_run import run_module
from waiting import eventually

from testbed.api import ApiError
from testbed.pki import Authority

CREATED, CORRECTED = "created the HostEndpoint", "corrected the HostEndpoint"
# What it may take to be back after somebody edited or deleted it.
BACK_SECONDS = 5


@pytest.fixture
def agents(clean_api, tmp_path):
    """Starts agents on a cluster that has what the role puts there; ends them."""
    apply_objects(clean_api)
    started = []

    def start(node, **options):
        directory = tmp_path / str(len(started))
        directory.mkdir()
        started.append(Agent(clean_api, directory, node, **options))
        return started[-1]

    yield start
    for agent in started:
        agent.stop()


def find(api, node):
    try:
        return api.admin.get(api.path("HostEndpoint", f"{node}-hostfence"))
    except ApiError as error:
        if error.status == 404:
            return None
        raise


def is_as_direct_would_write(api):
    planned = run_module("host_endpoints", api, check=True)
    assert not planned["failed"], planned
    return planned["changes"] == []


def test_makes_corrects_and_keeps_its_own(clean_api, agents):
    node, other = clean_api.add_nodes(2)
    agent = agents(node)
    eventually(agent.is_ready, 60, "ready")
    assert find(clean_api, other) is None
    clean_api.admin.delete(f"/api/v1/nodes/{other}")
    assert is_as_direct_would_write(clean_api)

    path = clean_api.path("HostEndpoint", f"{node}-hostfence")
    wrong = {"metadata": {"labels": {"host-endpoint": "wrong"}}, "spec": {"profiles": [], "expectedIPs": []}}
    clean_api.admin.patch(path, wrong)
    eventually(lambda: is_as_direct_would_write(clean_api), BACK_SECONDS, "edited")
    clean_api.admin.delete(path)
    eventually(lambda: find(clean_api, node) is not None, BACK_SECONDS, "deleted")
    clean_api.admin.patch(
        f"/api/v1/nodes/{node}", {"metadata": {"labels": {"topology.kubernetes.io/zone": "moved"}}}
    )
    eventually(lambda: is_as_direct_would_write(clean_api), BACK_SECONDS, "Node labelled")
    assert find(clean_api, node)["metadata"]["labels"]["topology.kubernetes.io/zone"] == "moved"

    eventually(agent.is_ready, 60, "ready again")
    changes = [line for line in agent.lines() if line["message"] in (CREATED, CORRECTED)]
    assert [line["message"] for line in changes] == [CREATED, CORRECTED, CREATED, CORRECTED]
    assert changes[1]["was_wrong"] == ["labels", "spec.expectedIPs", "spec.profiles"]
    assert len(agent.lines()) == 1 + len(changes)


@pytest.mark.one_flavour
def test_is_silent_and_asks_nothing_while_nothing_changes(clean_api, agents):
    (node,) = clean_api.add_nodes(1)
    agent = agents(node)
    eventually(agent.is_ready, 60, "ready")
    before, said = agent.metrics(), agent.messages()
    # One read and one watch for each of the two objects, and the creation.
    assert before["hostfence_agent_api_requests_total"] == 5
    # What others do to other objects is none of its business.
    clean_api.add_nodes(20, first=2)
    run_module("host_endpoints", clean_api)
    assert agent.metrics() == before
    assert agent.messages() == said


@pytest.mark.one_flavour
def test_runs_on_the_oldest_python_that_is_promised(clean_api, agents):
    python = os.environ.get("HOSTFENCE_PYTHON39") or shutil.which("python3.9")
    if not python or subprocess.run([python, "--version"], check=False, capture_output=True).returncode:
        pytest.skip("no Python 3.9: put python3.9 on the PATH, or name it with HOSTFENCE_PYTHON39")
    (node,) = clean_api.add_nodes(1)
    agent = agents(node, python=python)
    eventually(agent.is_ready, 60, "ready")
    clean_api.admin.delete(clean_api.path("HostEndpoint", f"{node}-hostfence"))
    eventually(lambda: find(clean_api, node) is not None, BACK_SECONDS, "deleted")


@pytest.mark.one_flavour
def test_takes_over_what_direct_made_without_a_write(clean_api, agents):
    (node,) = clean_api.add_nodes(1)
    run_module("host_endpoints", clean_api)
    version = find(clean_api, node)["metadata"]["resourceVersion"]
    agent = agents(node)
    eventually(agent.is_ready, 60, "ready")
    assert find(clean_api, node)["metadata"]["resourceVersion"] == version
    assert agent.metrics()["hostfence_agent_writes_total"] == 0


@pytest.mark.one_flavour
def test_somebody_elses_is_not_touched(clean_api, agents):
    (node,) = clean_api.add_nodes(1)
    clean_api.create("HostEndpoint", f"{node}-hostfence", {"node": node, "interfaceName": "eth9"})
    agent = agents(node)
    eventually(lambda: len(agent.lines()) == 2, 60, "a complaint")
    assert "made this one, under the name we need" in agent.lines()[1]["reason"]
    assert (agent.answers("ready"), agent.answers("live")) == (503, 200)
    clean_api.admin.delete(clean_api.path("HostEndpoint", f"{node}-hostfence"))
    eventually(agent.is_ready, BACK_SECONDS, "its own after the other went")


@pytest.mark.one_flavour
def test_waits_for_a_node_that_is_not_there_yet_and_never_deletes(clean_api, agents):
    agent = agents("sim-0001")
    eventually(lambda: len(agent.lines()) == 2, 60, "a complaint")
    assert agent.lines()[1]["reason"] == "Node sim-0001 does not exist"
    clean_api.add_nodes(1)
    eventually(agent.is_ready, BACK_SECONDS, "ready")
    clean_api.admin.delete("/api/v1/nodes/sim-0001")
    eventually(lambda: not agent.is_ready(), BACK_SECONDS, "not ready without a Node")
    assert find(clean_api, "sim-0001") is not None


@pytest.mark.one_flavour
def test_reads_anew_after_the_api_server_was_restarted(clean_api, agents):
    (node,) = clean_api.add_nodes(1)
    agent = agents(node)
    eventually(agent.is_ready, 60, "ready")
    # What the agent last saw is older than what a new server starts from only if something was written since.
    clean_api.add_nodes(1, first=2)
    clean_api.kill()
    eventually(lambda: "lost the watch, trying again" in agent.messages(), 60, "it noticed")
    assert agent.answers("live") == 200
    clean_api.restart()
    # By now the server has forgotten what the agent last saw: 410.
    clean_api.admin.delete(clean_api.path("HostEndpoint", f"{node}-hostfence"))
    eventually(lambda: find(clean_api, node) is not None, 60, "back after the restart")
    lost = [line["watch"] for line in agent.lines() if line["message"] == "lost the watch, trying again"]
    assert sorted(lost) == ["HostEndpoint", "Node"]
    again = [line for line in agent.lines() if line["message"] == "reading again"]
    assert again
    assert all("too old" in line["reason"] for line in again)
    eventually(lambda: agent.messages().count("watching again") == 2, 60, "both watches")


@pytest.mark.one_flavour
def test_waits_as_long_as_an_overloaded_server_asks(clean_api, agents):
    node, *_others = clean_api.add_nodes(300)
    run_module("host_endpoints", clean_api)
    flow_control = "/apis/flowcontrol.apiserver.k8s.io/v1"
    none = {"nominalConcurrencyShares": 0, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}
    level = {"type": "Limited", "limited": none}
    account = {"kind": "ServiceAccount", "serviceAccount": {"namespace": NAMESPACE, "name": "hep-sa"}}
    whatever = {key: ["*"] for key in ("verbs", "apiGroups", "resources", "namespaces")}
    everything = {"resourceRules": [{**whatever, "clusterScope": True}]}
    schema = {
        "priorityLevelConfiguration": {"name": "refuse-agents"},
        "matchingPrecedence": 2,
        "rules": [{**everything, "subjects": [account]}],
    }
    for plural, kind, name, spec in (
        ("prioritylevelconfigurations", "PriorityLevelConfiguration", "refuse-agents", level),
        ("flowschemas", "FlowSchema", "refuse-agents", schema),
    ):
        body = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": kind, "metadata": {"name": name}}
        clean_api.admin.post(f"{flow_control}/{plural}", {**body, "spec": spec})
    try:
        # A request is let in while no other of its level is at work; so others always are.
        with Busy(clean_api, clean_api.path("HostEndpoint"), token(clean_api, node)) as busy:
            eventually(lambda: busy.refused > 0, 60, "refused")
            agent = agents(node)
            eventually(
                lambda: any(" 429 " in line.get("reason", "") for line in agent.lines()), 30, "told to wait"
            )
            assert agent.answers("live") == 200
    finally:
        for plural in ("flowschemas", "prioritylevelconfigurations"):
            clean_api.admin.delete(f"{flow_control}/{plural}/refuse-agents")
    eventually(agent.is_ready, 60, "ready once it is let in")


@pytest.mark.one_flavour
def test_takes_a_new_token_and_a_new_authority(clean_api, agents, tmp_path):
    (node,) = clean_api.add_nodes(1)
    agent = agents(node)
    eventually(agent.is_ready, 60, "ready")
    token_file, ca_file = agent.credentials / "token", agent.credentials / "ca.crt"
    good, authority = token(clean_api, node), ca_file.read_text()
    path = clean_api.path("HostEndpoint", f"{node}-hostfence")

    token_file.write_text("no-token-at-all")
    clean_api.admin.delete(path)
    eventually(lambda: " 401 " in agent.lines()[-1].get("reason", ""), 60, "refused")
    token_file.write_text(good)
    eventually(lambda: find(clean_api, node) is not None, 60, "back with the new token")

    ca_file.write_text(Authority(tmp_path / "other").pair.certificate.read_text())
    clean_api.admin.delete(path)
    eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in agent.lines()[-1].get("reason", ""), 60, "refused")
    ca_file.write_text(authority)
    eventually(lambda: find(clean_api, node) is not None, 60, "back with the right authority")


@pytest.mark.one_flavour
def test_leaves_when_told_to(clean_api, agents):
    (node,) = clean_api.add_nodes(1)
    agent = agents(node)
    eventually(agent.is_ready, 60, "ready")
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(timeout=3) == 0
    assert find(clean_api, node) is not None


@pytest.mark.one_flavour
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"interface": "far too long a name"}, "interface: 'far too long a name'"),
        ({"labels": {"no label": "x"}}, "labels.no label"),
        ({"labels": {"app.kubernetes.io/managed-by": "me"}}, "this label says who owns the object"),
        ({"ports": [{"name": "x", "protocol": "TCP", "port": 70000}]}, "ports[0].port: 70000"),
        ({"profiles": ["Upper"]}, "profiles[0]: 'Upper'"),
        ({"templates": [{"generate_name": "x"}]}, "templates[0].interface_cidrs"),
        ({"ports": [{"nonsense": 1}]}, "must be the JSON that the role writes"),
        ("{", "must be the JSON that the role writes"),
        ("{}", "api_version: None: is missing"),
        (None, "NODE_NAME: '': must be the name of this pod's node"),
    ],
)
def test_ends_only_on_a_configuration_error_and_says_which(clean_api, agents, change, said):
    good = {
        "api_version": "crd.projectcalico.org/v1",
        "node_selector": "",
        "labels": {},
        "node_labels": [],
        "interface": "*",
        "profiles": [],
        "ports": [],
        "templates": [],
        "create_default": True,
    }
    config = change if isinstance(change, str) else json.dumps({**good, **(change or {})})
    agent = agents("sim-0001", config=config, environment={} if change else {"NODE_NAME": ""})
    assert agent.process.wait(timeout=60) == 2
    assert [line["message"] for line in agent.lines()] == ["cannot work with this configuration"]
    assert said in agent.lines()[0]["reason"]


@pytest.fixture
def job(clean_api, tmp_path):
    """Runs the job's task once, as its pod would; returns exit code and log."""
    apply_objects(clean_api, "job")

    def run(number):
        directory = tmp_path / f"job-{number}"
        directory.mkdir()
        agent = Agent(clean_api, directory, "sim-0001", task="once")
        return agent.process.wait(timeout=60), agent.lines()

    return run


def test_a_job_reconciles_all_nodes_once(clean_api, job):
    clean_api.add_nodes(30)
    clean_api.create("HostEndpoint", "by-hand", {"node": "gone", "interfaceName": "eth9"})
    owned = {"app.kubernetes.io/managed-by": "hostfence"}
    clean_api.create("HostEndpoint", "gone-hostfence", {"node": "gone", "interfaceName": "*"}, labels=owned)
    wrong = {"node": "sim-0001", "interfaceName": "eth9"}
    clean_api.create("HostEndpoint", "sim-0001-hostfence", wrong, labels=owned)
    code, lines = job(1)
    assert code == 0
    assert lines[-1]["message"] == "30 of 30 nodes have their HostEndpoint"
    done = [line["message"] for line in lines[:-1]]
    assert {said: done.count(said) for said in done} == {
        "created the HostEndpoint": 29,
        "updated the HostEndpoint": 1,
        "deleted the HostEndpoint": 1,
    }
    assert is_as_direct_would_write(clean_api)
    assert clean_api.admin.get(clean_api.path("HostEndpoint", "by-hand"))
    code, lines = job(2)
    assert (code, len(lines)) == (0, 1)


@pytest.mark.one_flavour
def test_a_job_that_may_not_write_says_so_and_removes_nothing(clean_api, job):
    clean_api.add_nodes(2)
    owned = {"app.kubernetes.io/managed-by": "hostfence"}
    clean_api.create("HostEndpoint", "gone-hostfence", {"node": "gone", "interfaceName": "*"}, labels=owned)
    role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/hep-job"
    rules = clean_api.admin.get(role)["rules"]
    rules[0]["verbs"] = ["list", "delete"]
    clean_api.admin.patch(role, {"rules": rules})
    code, lines = job(1)
    assert code == 1
    assert lines[-1]["message"] == "0 of 2 nodes have their HostEndpoint"
    assert " 403 " in lines[0]["reason"]
    assert find(clean_api, "gone") is not None


TEMPLATES = [
    {"generate_name": "uplink", "interface_cidrs": ["100.64.0.0/10"], "labels": {"network": "uplink"}},
    {"generate_name": "nic", "interface_pattern": "^eth[0-9]$", "labels": {"host-endpoint": "nic"}},
    {"generate_name": "elsewhere", "interface_cidrs": ["203.0.113.0/24"]},
]
INTERFACES = "projectcalico.org/Interfaces"


@pytest.mark.one_flavour
def test_a_job_makes_one_for_each_network_that_a_node_is_in(clean_api, tmp_path):
    apply_objects(clean_api, "job", host_endpoints_templates=TEMPLATES)
    nodes = clean_api.add_nodes(3)
    reported = json.dumps([{"name": "eth1", "addresses": ["192.0.2.5"]}])
    annotated = {"metadata": {"annotations": {INTERFACES: reported}}}
    clean_api.admin.patch(f"/api/v1/nodes/{nodes[0]}", annotated)
    once = Agent(clean_api, tmp_path, nodes[0], task="once")
    assert once.process.wait(timeout=60) == 0
    heps = {hep["metadata"]["name"] for hep in clean_api.admin.list(clean_api.path("HostEndpoint"))}
    made = {f"{node}{network}-hostfence" for node in nodes for network in ("", "-uplink")}
    assert heps == {*made, f"{nodes[0]}-nic-eth1-hostfence"}
    direct = run_module("host_endpoints", clean_api, check=True, templates=TEMPLATES)
    assert not direct["failed"], direct
    assert direct["changes"] == []


@pytest.mark.one_flavour
@pytest.mark.parametrize("create_default", [True, False])
def test_keeps_one_for_each_network_that_its_node_is_in(clean_api, tmp_path, create_default):
    apply_objects(clean_api, host_endpoints_templates=TEMPLATES, host_endpoints_create_default=create_default)
    (node,) = clean_api.add_nodes(1)
    agent = Agent(clean_api, tmp_path, node)
    try:
        eventually(agent.is_ready, 60, "ready")
        options = {"templates": TEMPLATES, "create_default": create_default}

        def differs():
            planned = run_module("host_endpoints", clean_api, check=True, **options)
            assert not planned["failed"], planned
            return [(change["action"], change["name"]) for change in planned["changes"]]

        def names():
            heps = clean_api.admin.list(clean_api.path("HostEndpoint"))
            return {hep["metadata"]["name"].removeprefix(f"{node}-") for hep in heps}

        own = {"hostfence", "uplink-hostfence"} if create_default else {"uplink-hostfence"}
        eventually(lambda: names() == own, BACK_SECONDS, "the networks of the node")
        assert differs() == []
        # calico-node tells of an interface.
        reported = json.dumps([{"name": "eth1", "addresses": ["192.0.2.5"]}])
        clean_api.admin.patch(f"/api/v1/nodes/{node}", {"metadata": {"annotations": {INTERFACES: reported}}})
        eventually(lambda: names() == {*own, "nic-eth1-hostfence"}, BACK_SECONDS, "the new interface")
        assert differs() == []
        clean_api.admin.delete(clean_api.path("HostEndpoint", f"{node}-uplink-hostfence"))
        wrong = {"metadata": {"labels": {"host-endpoint": "wrong"}}}
        clean_api.admin.patch(clean_api.path("HostEndpoint", f"{node}-nic-eth1-hostfence"), wrong)
        eventually(lambda: differs() == [], 2 * BACK_SECONDS, "deleted and edited")
        bearer, path = token(clean_api, node), clean_api.path("HostEndpoint", f"{node}-nic-eth1-hostfence")
        hep = clean_api.admin.get(path)
        labelled = {**hep["metadata"], "labels": {**hep["metadata"]["labels"], "host-endpoint": "ingress"}}
        assert replaces(clean_api, bearer, path, hep) == 200
        assert replaces(clean_api, bearer, path, {**hep, "metadata": labelled}) == 403
        other = {**hep, "spec": {**hep["spec"], "interfaceName": "eth2"}}
        assert replaces(clean_api, bearer, path, other) == 403
    finally:
        agent.stop()
