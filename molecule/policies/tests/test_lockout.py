# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lockout protection: with tcp/22 no failsafe, one set opens SSH and another shuts it.

Taking the first one away is refused, whichever way it is tried; and if nobody judges it before, the proof
over new logins takes it back. So is what lets SSH in or keeps policy off a node without being policy: before
its proof enforced policy gives way.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from real_felix import felix_runs

from testbed.api import Api
from testbed.fabric import Fabric
from testbed.state import namespace_prefix, run_directory

sys.path.append(str(Path(__file__).parents[3] / "tests/integration"))
from role_run import ROOT, Run, end_of, start_playbook

RULE = {"protocol": "TCP", "destination": {"ports": [22]}}
# The address that the testbed's nodes see the controller come from.
CONTROLLER = {"nets": ["10.99.0.1/32"]}
ALONE = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {
            "ansible_connection": "local",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        },
        "roles": [f"hostfence.calico.{role}" for role in ("felix", "host_endpoints", "policies")],
    }
]
NO_SSH = {"felix_failsafe_inbound_host_ports": [{"protocol": "tcp", "port": 6443}]}
SSH = {"felix_failsafe_inbound_host_ports": [{"protocol": "tcp", "port": 22}]}
CALICO = "/apis/crd.projectcalico.org/v1"
# Recorded rules do not follow policy, so nobody could see a switch in a kernel.
WITHOUT_FELIX = {
    "policies_settle": 0,
    "policies_prove_after": 1,
    "policies_prove_programmed": False,
    "enforce_settle": 0,
    "enforce_hosts_group": "none",
    "enforce_watchdogs": 0,
}
UNSELECTED = {"host_endpoints_labels": {"host-endpoint": "none"}}


def policy(name: str, order: int, **rule: object) -> str:
    spec = {"order": order, "selector": "host-endpoint == 'ingress'", "types": ["Ingress"], "ingress": [rule]}
    kind = {"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy"}
    return json.dumps({**kind, "metadata": {"name": name}, "spec": spec})


class Sets:
    """The two sets as files, and playbooks run on them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.opening, self.shutting = str(place / "opening.json"), str(place / "shutting.json")
        self.open_for(CONTROLLER)
        Path(self.shutting).write_text(policy("shutting", 20, action="Deny", **RULE))
        (place / "alone.json").write_text(json.dumps(ALONE))

    def open_for(self, source: object) -> None:
        Path(self.opening).write_text(policy("opening", 10, action="Allow", source=source, **RULE))

    def run(self, playbook: str, state: str, *sets: str, **variables: object) -> Run:
        given = {
            "policies_state": state,
            "policies_sets": list(sets),
            "policies_default_action": "Pass",
            "policies_verify_failsafes": False,
            "enforce_waves": ["all"],
            **({} if felix_runs() else WITHOUT_FELIX),
            **variables,
        }
        kubeconfig = str(run_directory() / "kubeconfig")
        path = self.place / "alone.json" if playbook == "alone" else ROOT / playbook
        return end_of(start_playbook(kubeconfig, path, inventory="inventories/testbed", **given))


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sets]:
    found = Sets(tmp_path_factory.mktemp("sets"))
    both = (found.opening, found.shutting)
    enforced = found.run("alone", "enforced", *both, **NO_SSH)
    assert enforced.code == 0, enforced.output
    yield found
    found.open_for(CONTROLLER)
    removed = found.run("alone", "absent", *both, **SSH)
    assert removed.code == 0, removed.output


@pytest.fixture(scope="module")
def api() -> Api:
    return Api(run_directory() / "kubeconfig")


def logs_in() -> bool:
    command = [
        "ssh",
        "-F",
        str(run_directory() / "ssh_config"),
        "-o",
        "ConnectTimeout=5",
        "10.99.0.12",
        "true",
    ]
    return subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize(
    ("playbook", "state"),
    [("alone", "absent"), ("site.yml", "staged"), ("playbooks/enforce.yml", "enforced")],
)
def test_what_keeps_ssh_open_cannot_be_taken_away(sets: Sets, playbook: str, state: str) -> None:
    # Enforced anew, it would no longer let this machine in.
    sets.open_for({"nets": ["192.0.2.0/24"]} if state == "enforced" else CONTROLLER)
    done = sets.run(playbook, state, sets.opening)
    assert done.code != 0, done.output
    said = done.text
    assert "set opening is not written: SSH from 10.99.0.1 to node1 and 2 more nodes" in said
    assert "would be denied by GlobalNetworkPolicy hostfence.shutting, ingress rule 0" in said
    assert logs_in()


@pytest.mark.parametrize("playbook", ["alone", "site.yml"])
def test_what_nobody_judged_before_is_taken_back(sets: Sets, playbook: str) -> None:
    if not felix_runs():
        pytest.skip("no real Felix here: set HOSTFENCE_CALICO_BIN to see logins refused")
    sets.open_for(CONTROLLER)
    done = sets.run(playbook, "absent", sets.opening, policies_reach=False)
    assert done.code != 0, done.output
    assert "taken back to what they were: these nodes took a new login before and none after" in done.text
    again = sets.run(playbook, "enforced", sets.opening)
    assert again.code == 0, again.output
    assert "changed=0" in again.output
    assert logs_in()


def test_site_does_not_shut_the_nodes_by_what_is_not_policy(sets: Sets, api: Api) -> None:
    # By the roles alone: recorded rules do not follow the failsafes, and playbooks verify them.
    def prepare(state: str, *which: str, **variables: object) -> None:
        done = sets.run("alone", state, *which, **variables)
        assert done.code == 0, done.output

    def refused(what: str, path: str) -> None:
        before = api.get(path)
        done = sets.run("site.yml", "enforced", sets.shutting, **NO_SSH)
        assert done.code != 0, done.output
        said = done.text
        assert f"{what} is not written: SSH from 10.99.0.1 to node1 and 2 more nodes" in said
        assert "would be denied by GlobalNetworkPolicy hostfence.shutting, ingress rule 0" in said
        assert api.get(path) == before
        assert logs_in()

    prepare("absent", sets.opening, sets.shutting, **SSH)
    prepare("enforced", sets.shutting, **SSH)
    refused("FelixConfiguration default", f"{CALICO}/felixconfigurations/default")
    prepare("enforced", sets.shutting, **SSH, **UNSELECTED)
    prepare("enforced", sets.shutting, **NO_SSH, **UNSELECTED)
    refused("the change of HostEndpoints", f"{CALICO}/hostendpoints/node1-hostfence")


# What Felix does when SSH is no failsafe any more and policy denies it.
SHUT = """
table inet shut {
  chain input {
    type filter hook input priority -10
    tcp dport 22 ct state new drop
  }
}
"""


@contextmanager
def kernel_of_node2(api: Api) -> Iterator[None]:
    """Shuts node2 for new logins between other failsafes and no policy, if no Felix does."""
    if felix_runs():
        yield
        return
    over = threading.Event()
    changed = api.get(f"{CALICO}/felixconfigurations/default")["metadata"]["resourceVersion"]
    inside = ["nsenter", f"--net=/run/netns/{Fabric(namespace_prefix(run_directory())).node_netns('node2')}"]

    def waits_for(true) -> bool:
        while not over.wait(0.1):
            if true():
                return True
        return False

    def follow() -> None:
        path = f"{CALICO}/felixconfigurations/default"
        if waits_for(lambda: api.get(path)["metadata"]["resourceVersion"] != changed):
            subprocess.run([*inside, "nft", "-f", "-"], input=SHUT, text=True, check=True)
            waits_for(lambda: not api.list(f"{CALICO}/globalnetworkpolicies"))
            subprocess.run([*inside, "nft", "delete", "table", "inet", "shut"], check=True)

    felix = threading.Thread(target=follow)
    felix.start()
    try:
        yield
    finally:
        over.set()
        felix.join()


def test_policy_gives_way_where_other_failsafes_shut_a_node(sets: Sets, api: Api) -> None:
    for state, which in (("absent", (sets.opening, sets.shutting)), ("enforced", (sets.shutting,))):
        prepared = sets.run("alone", state, *which, **SSH)
        assert prepared.code == 0, prepared.output
    with kernel_of_node2(api):
        unasked = {"felix_reach": False, "policies_reach": False}
        done = sets.run("site.yml", "enforced", sets.shutting, **unasked, **NO_SSH)
        assert done.code != 0, done.output
        assert "took a new login before failsafes or HostEndpoints were changed and none after: " in done.text
        assert "node2" in done.text
        assert "Only staged now is what was enforced until then: shutting." in done.text
        assert api.list(f"{CALICO}/globalnetworkpolicies") == []
        assert any(
            obj["metadata"]["name"].endswith("shutting")
            for obj in api.list(f"{CALICO}/stagedglobalnetworkpolicies")
        )
    assert logs_in()
