# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why agents do not come up, told by the role: what the cluster says of them, not what a test notes."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.api import Api, ApiError
from testbed.state import run_directory

sys.path.append(str(Path(__file__).parents[3] / "tests/integration"))
from role_run import run_roles

HEPS = "/apis/crd.projectcalico.org/v1/hostendpoints"
NAMESPACE = "/api/v1/namespaces/hostfence-agents"
CLUSTER_ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/hep-cr"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
AGENTS = "system:serviceaccount:hostfence-agents:hep-sa"
IMAGE = (run_directory() / "agent-image").read_text().strip()


@pytest.fixture(scope="module")
def api():
    return Api(run_directory() / "kubeconfig")


@pytest.fixture(scope="module")
def role():
    """Runs the role; returns its exit code and what it said, on one line."""

    def run(**variables):
        given = {"host_endpoints_mode": "daemonset", "host_endpoints_agent_image": IMAGE, **variables}
        done = run_roles(str(run_directory() / "kubeconfig"), ["host_endpoints"], **given)
        return done.code, done.text

    yield run
    # Whatever a test left, the role puts right.
    code, said = run()
    assert code == 0, said


@pytest.fixture
def refused(role):
    """Rolls something new out, which is to fail, and returns what the role says of it."""

    def run(**variables):
        # An old pod ends, a new one starts and fails: some seconds, on a busy machine more.
        code, said = role(host_endpoints_wait_timeout=20, **variables)
        assert code != 0, said
        assert "have a ready agent, and no more in 20 s" in said
        return said

    return run


@contextmanager
def there(api, collection, *bodies):
    for body in bodies:
        api.post(collection, body)
    try:
        yield
    finally:
        for body in bodies:
            api.delete(f"{collection}/{body['metadata']['name']}")


def in_force(api, message):
    """Waits until the API server refuses the canary: it takes its time with an admission policy."""
    canary = {
        "apiVersion": "crd.projectcalico.org/v1",
        "kind": "HostEndpoint",
        "metadata": {"name": "canary"},
        "spec": {"node": "node1", "interfaceName": "*"},
    }

    def refuses():
        try:
            api.post(HEPS, canary, dryRun="All")
        except ApiError as refusal:
            return message in str(refusal)
        return False

    until(refuses)


def ready_agents(api):
    conditions = [pod["status"].get("conditions", []) for pod in api.list(f"{NAMESPACE}/pods")]
    return sum({"type": "Ready", "status": "True"}.items() <= c.items() for own in conditions for c in own)


def until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_an_image_that_nobody_has(refused):
    said = refused(host_endpoints_agent_image="hostfence.test/nobody-has:this")
    assert "hostfence.test/nobody-has:this" in said


def test_a_quota_of_the_namespace(api, refused):
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    with there(api, f"{NAMESPACE}/resourcequotas", quota):
        said = refused(host_endpoints_agent_priority_class="system-cluster-critical")
    assert "exceeded quota: none" in said


def test_rights_that_somebody_takes_back(api, refused):
    """As a controller does that keeps the ClusterRole as it is in somebody's repository."""
    over = threading.Event()

    def take_back():
        while not over.wait(0.2):
            if api.get(CLUSTER_ROLE)["rules"]:
                api.patch(CLUSTER_ROLE, {"rules": []})

    thief = threading.Thread(target=take_back)
    thief.start()
    try:
        said = refused(host_endpoints_agent_priority_class="system-cluster-critical")
    finally:
        over.set()
        thief.join()
    assert f'User "{AGENTS}" cannot' in said.replace("\\", "")


def test_an_admission_policy_of_somebody_else(api, role, refused):
    code, said = role()
    assert code == 0, said
    rule = {
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "resources": ["hostendpoints"],
        "operations": ["CREATE", "UPDATE"],
    }
    ours = f"request.userInfo.username == '{AGENTS}' || object.metadata.name == 'canary'"
    policy = {
        "metadata": {"name": "no-host-endpoints"},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": f"!({ours})", "message": "none of yours here"}],
        },
    }
    binding = {
        "metadata": {"name": "no-host-endpoints"},
        "spec": {"policyName": "no-host-endpoints", "validationActions": ["Deny"]},
    }
    with (
        there(api, f"{ADMISSION}/validatingadmissionpolicies", policy),
        there(api, f"{ADMISSION}/validatingadmissionpolicybindings", binding),
    ):
        in_force(api, "none of yours here")
        before = ready_agents(api)
        api.delete(f"{HEPS}/node1-hostfence")
        until(lambda: ready_agents(api) < before)
        said = refused()
    assert "none of yours here" in said
