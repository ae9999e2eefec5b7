# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The way back with nothing but kubectl, as docs/operators.md prints it."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from module_run import run_module
from role_run import ROOT, run_roles
from test_enforce import NEW, OLD, enforce, left
from test_policies_role import NETWORKS, NOBODY_LOOKS

from testbed import binaries

PAGE = (ROOT / "docs" / "operators.md").read_text()
SECTION = PAGE.partition("## The way back")[2].partition("\n## ")[0]
SETTINGS, LOOK, OPEN, TAKE_AWAY, CLEAN_UP, TURN_BACK = re.findall(r"```bash\n(.*?)```", SECTION, re.DOTALL)

pytestmark = pytest.mark.parametrize("api", ["ours-v1", "v3-3.32.1"], indirect=True, scope="session")

STRANGER = {
    "node": "sim-0001",
    "direction": "ingress",
    "interface": "eth0",
    "protocol": "TCP",
    "source": "203.0.113.9",
    "source_port": 40000,
    "destination": "10.0.0.1",
    "destination_port": 8080,
}


@pytest.fixture
def shell(clean_api, tmp_path):
    """Runs a block of the page as an operator does."""
    kubectl = binaries.locate(["kubectl"], print)["kubectl"]
    settings = SETTINGS
    if clean_api.kinds["Tier"].group_version == "projectcalico.org/v3":
        settings = settings.replace("crd.projectcalico.org/v1", "projectcalico.org/v3", 1)
    environment = {
        "PATH": f"{kubectl.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "KUBECONFIG": clean_api.kubeconfig,
    }

    def run(block: str) -> str:
        command = ["bash", "-euo", "pipefail", "-c", settings + block]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def verdicts(api):
    flows = [
        STRANGER,
        {**STRANGER, "direction": "egress", "source": "10.0.0.1", "destination": "203.0.113.9"},
    ]
    return [found["verdict"] for found in run_module("flow_verdict", api, flows=flows)["verdicts"]]


def test_the_commands_open_the_hosts_and_take_the_sets_away(clean_api, shell):
    clean_api.add_nodes(1)
    run_module("host_endpoints", clean_api)
    variables = {**NETWORKS, **NOBODY_LOOKS, "policies_prove": False, "policies_reach": False}
    enforced = run_roles(clean_api.kubeconfig, ["policies"], policies_state="enforced", **variables)
    assert enforced.code == 0, enforced.output
    assert verdicts(clean_api) == ["deny", "allow"]

    assert "hostfence.ingress-lockdown-drop" in shell(LOOK)
    shell(OPEN)
    assert verdicts(clean_api) == ["allow", "allow"]
    shell(TAKE_AWAY)
    assert verdicts(clean_api) == ["allow", "allow"]
    shell(CLEAN_UP)
    assert verdicts(clean_api) == ["allow", "allow"]
    assert clean_api.admin.list(clean_api.path("GlobalNetworkPolicy")) == []

    again = run_roles(clean_api.kubeconfig, ["policies"], policies_state="staged", **variables)
    assert again.code == 0, again.output
    assert verdicts(clean_api) == ["allow", "allow"]


def test_the_commands_turn_back_a_change_that_waits(clean_api, shell):
    if "Tier" not in clean_api.kinds:
        pytest.skip("before Calico 3.29 there are no tiers")
    clean_api.add_nodes(1)
    run_module("host_endpoints", clean_api)
    assert enforce(clean_api, OLD)["changed"]
    # Port 22 is a failsafe port: policy does not decide about it.
    to_old, to_new = ({**STRANGER, "destination_port": port} for port in (23, 2222))

    def ports_allowed():
        flows = [to_old, to_new]
        return [found["verdict"] for found in run_module("flow_verdict", clean_api, flows=flows)["verdicts"]]

    assert ports_allowed() == ["allow", "deny"]
    assert enforce(clean_api, NEW, confirm="manual")["phase"] == "running"
    assert ports_allowed() == ["deny", "allow"]

    shell(TURN_BACK)

    assert ports_allowed() == ["allow", "deny"]
    told = run_module("policies_info", clean_api)["transaction"]
    assert [wave["phase"] for wave in told["waves"]] == ["rolled-back"]
    back = run_module("rollback", clean_api, settle=0)
    assert not back["failed"], back["msg"]
    assert ports_allowed() == ["allow", "deny"]
    assert not left(clean_api)
