# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Beside policy, failsafes and HostEndpoints decide who comes in: what is refused while policy is enforced.

For changes of policy itself, see test_policies_reach.py.
"""

from __future__ import annotations

import json

import pytest
from builders import GNP, policy
from module_run import run_module
from role_run import run_roles
from test_policies import stored

SSH = [{"protocol": "tcp", "port": 22}]
OTHER = [{"protocol": "tcp", "port": 6443}]
DENY = policy("ssh-deny", "Deny", 20)
LOGINS = [{"node": "sim-0001", "ssh_connection": "192.0.2.1 40000 100.64.0.1 22"}]
REFUSED = "SSH from 192.0.2.1 to sim-0001"
# Before Calico 3.29 there are no tiers, and it is default.ssh-deny.
BY = "ssh-deny, ingress rule 0 (tier "


@pytest.fixture
def enforced(clean_api):
    """A node without HostEndpoint, policy that denies tcp/22, and tcp/22 among the failsafes."""
    clean_api.add_nodes(1)
    assert not failsafes(clean_api, SSH)["failed"]
    given = {"definitions": [DENY], "default_action": "Pass", "settle": 0}
    assert not run_module("policies", clean_api, name="shut", state="enforced", **given)["failed"]
    return clean_api


def failsafes(api, entries, **options):
    return run_module(
        "felix_configuration", api, failsafe_inbound_host_ports=entries, **{"logins": LOGINS, **options}
    )


def host_endpoints(api, **options):
    return run_module("host_endpoints", api, **{"logins": LOGINS, **options})


def made(api):
    return [obj["metadata"]["name"] for obj in api.admin.list(api.path("HostEndpoint"))]


def inbound(api):
    return api.admin.get(api.path("FelixConfiguration", "default"))["spec"]["failsafeInboundHostPorts"]


def refused(result):
    assert result["failed"]
    assert "\n" not in result["msg"]
    assert "is not written" in result["msg"]
    assert REFUSED in result["msg"]
    assert BY in result["msg"]


def test_a_failsafe_by_which_nodes_are_logged_in_to_is_not_taken_away(enforced):
    # Where there are no tiers, the end of the policies denies loopback, too.
    given = {"accept_denied": ["loopback"]}
    result = host_endpoints(enforced, **given)
    assert not result["failed"], result["msg"]
    refused(failsafes(enforced, OTHER, **given))
    refused(failsafes(enforced, OTHER, check=True, **given))
    assert [entry["port"] for entry in inbound(enforced)] == [22]


@pytest.mark.one_flavour
def test_a_failsafe_of_one_node_is_judged_for_that_node(enforced):
    enforced.add_nodes(1, first=2)
    assert not host_endpoints(enforced)["failed"]
    result = failsafes(enforced, OTHER, node="sim-0002")
    assert result["failed"]
    assert "to sim-0002 (" in result["msg"]
    assert BY in result["msg"]
    assert not failsafes(enforced, SSH, node="sim-0002")["failed"]


def test_a_node_is_not_put_under_policy_that_shuts_it(enforced):
    assert not failsafes(enforced, OTHER)["failed"]
    for check in (True, False):
        refused(host_endpoints(enforced, check=check))
    assert made(enforced) == []


@pytest.mark.one_flavour
def test_labels_do_not_put_a_node_under_policy_that_shuts_it(enforced):
    assert not host_endpoints(enforced, labels={"host-endpoint": "none"})["failed"]
    assert not failsafes(enforced, OTHER)["failed"]
    refused(host_endpoints(enforced))
    hep = enforced.admin.get(enforced.path("HostEndpoint", "sim-0001-hostfence"))
    assert "ingress" not in str(hep["metadata"])


@pytest.mark.one_flavour
def test_a_host_endpoint_that_shuts_by_itself_is_not_written(clean_api):
    clean_api.add_nodes(1)
    assert not failsafes(clean_api, OTHER)["failed"]
    result = host_endpoints(clean_api, profiles=[])
    assert result["failed"]
    assert REFUSED in result["msg"]
    assert "no-profile" in result["msg"]
    assert made(clean_api) == []


@pytest.mark.one_flavour
def test_automatic_host_endpoints_do_not_put_a_node_under_policy_that_shuts_it(enforced):
    assert not failsafes(enforced, OTHER)["failed"]
    options = {"node_labels": {"host-endpoint": "ingress"}, "logins": LOGINS, "wait": False}
    refused(run_module("auto_host_endpoints", enforced, **options))
    assert "host-endpoint" not in enforced.admin.get("/api/v1/nodes/sim-0001")["metadata"]["labels"]
    other = {**options, "node_labels": {"host-endpoint": "other"}}
    assert not run_module("auto_host_endpoints", enforced, **other)["failed"]


@pytest.mark.one_flavour
@pytest.mark.parametrize("where", [{"interface_cidrs": ["100.64.0.0/16"]}, {"interface_pattern": "^eth0$"}])
def test_nor_do_those_of_templates(enforced, where):
    reported = json.dumps([{"name": "eth0", "addresses": ["100.64.0.1"]}, {"name": "eth1"}])
    enforced.admin.patch(
        "/api/v1/nodes/sim-0001", {"metadata": {"annotations": {"projectcalico.org/Interfaces": reported}}}
    )
    assert not failsafes(enforced, OTHER)["failed"]
    template = {"generate_name": "st", "labels": {"host-endpoint": "ingress"}, **where}
    options = {"create_default": False, "logins": LOGINS, "wait": False}
    refused(run_module("auto_host_endpoints", enforced, templates=[template], **options))
    elsewhere = {**template, "interface_cidrs": ["198.51.100.0/24"], "interface_pattern": ""}
    assert not run_module("auto_host_endpoints", enforced, templates=[elsewhere], **options)["failed"]


@pytest.mark.one_flavour
def test_where_nobody_says_how_a_node_is_reached_its_address_is_taken(enforced):
    assert not failsafes(enforced, OTHER)["failed"]
    result = host_endpoints(enforced, logins=[])
    assert result["failed"]
    assert "to sim-0001 (100.64.0.1, tcp/22)" in result["msg"]
    assert "if the node sees this machine" in result["msg"]


@pytest.mark.one_flavour
def test_without_the_check_it_is_written_and_said_loudly(enforced):
    assert not host_endpoints(enforced)["failed"]
    rehearsed = failsafes(enforced, OTHER, reach=False, check=True)
    assert rehearsed["decides"] is True
    assert not any("nobody looked" in warning for warning in rehearsed["warnings"])
    result = failsafes(enforced, OTHER, reach=False)
    assert not result["failed"]
    assert result["decides"] is True
    assert any("nobody looked" in warning for warning in result["warnings"])


@pytest.mark.one_flavour
def test_where_nothing_is_enforced_nothing_is_judged(clean_api):
    clean_api.add_nodes(1)
    result = host_endpoints(clean_api)
    assert (result["decides"], result["obstacles"]) == (False, [])
    assert not [key for key in stored(clean_api) if key[0] == GNP]


@pytest.mark.one_flavour
def test_role_felix_takes_no_failsafe_away_that_is_needed(enforced):
    assert not host_endpoints(enforced)["failed"]
    done = run_roles(enforced.kubeconfig, ["felix"], felix_failsafe_inbound_host_ports=OTHER)
    assert done.code != 0
    assert "FelixConfiguration default is not written" in done.text, done.text[-900:]
    assert [entry["port"] for entry in inbound(enforced)] == [22]


@pytest.mark.one_flavour
@pytest.mark.parametrize("mode", ["direct", "daemonset", "job", "auto"])
def test_role_host_endpoints_puts_no_node_under_policy_that_shuts_it(enforced, mode):
    assert not failsafes(enforced, OTHER)["failed"]
    done = run_roles(enforced.kubeconfig, ["host_endpoints"], host_endpoints_mode=mode)
    assert done.code != 0
    assert "HostEndpoints is not written: SSH" in done.text, done.text[-900:]
    assert made(enforced) == []
    assert not enforced.admin.list(
        "/api/v1/configmaps", labelSelector="app.kubernetes.io/managed-by=hostfence"
    )
