# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an agent's pod may do with its token, tried for real: its own HostEndpoint, nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from agent_process import BINDING, POLICY, Agent, apply_objects, replaces, token
from waiting import eventually

# What only the admission policy stands in the way of.
BY_POLICY = 21
ATTEMPTS = 24 + 17


@pytest.fixture
def attempt(clean_api, tmp_path):
    """Tries everything from the pod of one of two nodes; returns status and message by attempt."""
    apply_objects(clean_api)
    node, other = clean_api.add_nodes(2)
    role = {"node-role.kubernetes.io/control-plane": ""}
    clean_api.admin.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": role}})
    for name in (node, other):
        directory = tmp_path / name
        directory.mkdir()
        agent = Agent(clean_api, directory, name)
        eventually(agent.is_ready, 60, "ready")
        agent.stop()
        path = clean_api.path("HostEndpoint", f"{name}-hostfence")
        clean_api.admin.patch(path, {"metadata": {"labels": {"enforced": "yes"}}})
    directory = tmp_path / node
    shutil.copy(Path(__file__).with_name("agent_attempts.py"), directory)
    host, _colon, port = clean_api.admin.server.removeprefix("https://").rpartition(":")
    environment = {
        "NODE_NAME": node,
        "OTHER_NODE": other,
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": port,
    }

    def run():
        done = subprocess.run(
            [sys.executable, "agent_attempts.py", "--credentials", str(directory / "serviceaccount")],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        *lines, count = [json.loads(line) for line in done.stdout.splitlines()]
        return {line["attempt"]: (line["status"], line["said"]) for line in lines}, count

    # The API server takes a second or two to act on a policy that is new, or that was removed just before.
    eventually(lambda: run()[0]["spec.node of another"][0] == 403, 60, "the admission policy is in force")
    return run


def test_everything_but_its_own_work_is_refused(attempt):
    answers, count = attempt()
    wrong = {name: answer for name, answer in answers.items() if answer[0] != 403}
    assert wrong == {}
    assert count == {"refused": ATTEMPTS, "of": ATTEMPTS}
    assert (
        sum("ValidatingAdmissionPolicy 'hep-vap'" in said for _status, said in answers.values()) == BY_POLICY
    )


@pytest.mark.one_flavour
def test_without_the_policy_they_are_not(clean_api, attempt):
    clean_api.admin.delete(BINDING)
    clean_api.admin.delete(POLICY)
    eventually(lambda: attempt()[1]["refused"] == ATTEMPTS - BY_POLICY, 60, "the policy is gone")
    answers, _count = attempt()
    let_through = [name for name, (status, _said) in answers.items() if status != 403]
    assert len(let_through) == BY_POLICY
    assert "spec.node of another" in let_through


@pytest.mark.one_flavour
def test_a_token_of_no_pod_may_write_nothing(clean_api, attempt, tmp_path):
    path = "/api/v1/namespaces/hostfence-agents/serviceaccounts/hep-sa/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    unbound = clean_api.admin.post(path, request)["status"]["token"]
    (tmp_path / "sim-0001/serviceaccount/token").write_text(unbound)
    with pytest.raises(AssertionError, match="403"):
        attempt()


@pytest.mark.one_flavour
def test_named_ports_pass_as_configured_and_no_others(clean_api, tmp_path):
    given = [{"name": "ssh", "port": "22"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    apply_objects(clean_api, host_endpoints_ports=given)
    (node,) = clean_api.add_nodes(1)
    agent = Agent(clean_api, tmp_path, node)
    eventually(agent.is_ready, 60, "ready")
    agent.stop()
    path = clean_api.path("HostEndpoint", f"{node}-hostfence")
    ssh = {"name": "ssh", "protocol": "TCP", "port": 22}
    dns = {"name": "dns", "protocol": "UDP", "port": 53}
    hep = clean_api.admin.get(path)
    assert hep["spec"]["ports"] == [ssh, dns]
    bearer = token(clean_api, node)

    def status(ports):
        return replaces(clean_api, bearer, path, {**hep, "spec": {**hep["spec"], "ports": ports}})

    eventually(lambda: status([ssh]) == 403, 60, "the admission policy is in force")
    assert status([]) == 403
    assert status([ssh, {**dns, "port": 54}]) == 403
    assert status([ssh, {**dns, "protocol": "TCP"}]) == 403
    assert status([ssh, dns]) == 200
