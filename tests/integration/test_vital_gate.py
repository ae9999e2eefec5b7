# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change that takes away what nodes and their cluster live by is refused, and nothing is written."""

from __future__ import annotations

import pytest
from builders import GNP, policy
from module_run import run_module
from test_found import FOUND
from test_policies import versions

pytestmark = pytest.mark.one_flavour

NODES = 3


def shutting(name, *ports):
    rule = {"action": "Deny", "protocol": "TCP", "destination": {"ports": list(ports)}}
    return policy(name, ingress=[rule])


LOGINS = [
    {"node": f"sim-000{n}", "ssh_connection": f"192.0.2.1 40000 100.64.0.{n} 22"} for n in range(1, NODES + 1)
]
ALLOW_LIST = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "GlobalNetworkPolicy",
    "metadata": {"name": "egress"},
    "spec": {
        "order": 10,
        "selector": "has(host-endpoint)",
        "types": ["Egress"],
        "egress": [
            {"action": "Allow", "protocol": "UDP", "destination": {"ports": [53]}},
            {"action": "Allow", "protocol": "TCP", "destination": {"ports": [6443]}},
            {"action": "Allow", "destination": {"nets": ["127.0.0.0/8"]}},
            {"action": "Allow", "destination": {"nets": ["::1/128"]}},
            {"action": "Allow", "protocol": "ICMPv6"},
        ],
    },
}


@pytest.fixture
def cluster(clean_api):
    clean_api.add_nodes(NODES)
    assert not run_module("host_endpoints", clean_api)["failed"]
    return clean_api


def enforce(api, *definitions, **options):
    given = {"definitions": list(definitions), "settle": 0, "logins": LOGINS, "state": "enforced"}
    return run_module("policies", api, **{"name": "mine", **given, **options})


def test_an_egress_allow_list_without_what_nodes_live_by_is_refused_in_one_line_a_kind(cluster):
    before = versions(cluster)
    uses = [
        {"node": f"sim-000{n}", "dns": ["192.0.2.53"], "ntp": ["192.0.2.123"], "api": [["192.0.2.9", 443]]}
        for n in range(1, NODES + 1)
    ]
    result = enforce(cluster, ALLOW_LIST, uses=uses)
    assert result["failed"]
    for kind in ("api", "kubelet", "dns", "ntp", "loopback"):
        assert result["msg"].count(f"; {kind}: at ") + result["msg"].count(f"written: {kind}: at ") == 1, kind
    assert "would be denied by the end of tier hostfence" in result["msg"]
    assert "tcp/443 to 192.0.2.9" in result["msg"]
    assert "\n" not in result["msg"]
    assert versions(cluster) == before


def test_a_kind_that_is_named_may_be_lost(cluster):
    shut = shutting("no-kubelet", 10250)
    refused = enforce(cluster, shut, default_action="Pass")
    assert refused["failed"]
    assert "accept_denied (policies_accept_denied): [kubelet" in refused["msg"]
    done = enforce(cluster, shut, default_action="Pass", accept_denied=["kubelet", "loopback", "pods"])
    assert not done["failed"], done["msg"]
    assert {loss["kind"] for loss in done["losses"]} >= {"kubelet"}
    assert any("kubelet: at sim-0001" in warning for warning in done["warnings"])
    # A later run says it again, though nothing is written.
    again = enforce(cluster, shut, default_action="Pass")
    assert not again["failed"], again["msg"]
    assert again["writes"] == []
    assert any("is and stays denied" in warning for warning in again["warnings"])


def test_what_cannot_be_judged_for_sure_is_a_warning_with_what_would_settle_it(cluster):
    web = {"services": {"name": "web", "namespace": "shop"}}
    rules = [{"action": "Deny", "destination": web}, {"action": "Allow"}]
    open_question = {**ALLOW_LIST, "spec": {**ALLOW_LIST["spec"], "egress": rules}}
    result = enforce(cluster, open_question, check=True)
    assert not result["failed"], result["msg"]
    assert {loss["verdict"] for loss in result["losses"]} == {"undetermined"}
    assert any(
        "kubelet" in warning and "depending on this: " in warning and "belongs to service shop/web" in warning
        for warning in result["warnings"]
    ), result["warnings"]


@pytest.mark.parametrize(
    ("networks", "variable"),
    [
        ({"nodes": ["10.9.0.0/24"]}, "policies_node_cidrs"),
        ({"cluster": ["10.24.0.0/16"]}, "policies_cluster_cidrs"),
    ],
)
def test_networks_with_a_wrong_octet_are_refused_by_name(cluster, networks, variable):
    before = versions(cluster)
    result = enforce(cluster, policy("any", "Allow", 10), default_action="Pass", networks=networks)
    assert result["failed"]
    assert result["msg"].startswith(f"{variable}: ")
    assert versions(cluster) == before


def test_the_module_alone_judges_ssh_to_every_node(cluster):
    run_module(
        "felix_configuration", cluster, failsafe_inbound_host_ports=[{"protocol": "tcp", "port": 6443}]
    )
    shut, free = policy("no-ssh", "Deny", 10), shutting("no-echo", 7)
    result = enforce(cluster, shut, default_action="Pass", logins=[])
    assert result["failed"]
    assert "SSH from" in result["msg"]
    assert not cluster.admin.list(cluster.path(GNP))
    done = enforce(cluster, free, default_action="Pass", logins=[])
    assert not done["failed"], done["msg"]
    assert any("nobody told how this machine logs in to sim-0001" in warning for warning in done["warnings"])


def test_failsafes_by_the_environment_of_felix_are_judged(cluster):
    """SSH is a failsafe in the API, and none for the Felix that runs; the module alone looks at no node."""
    shut = policy("no-ssh", "Deny", 10)
    path = "/apis/apps/v1/namespaces/kube-system/daemonsets"
    labels = {"k8s-app": "calico-node"}
    env = [{"name": "FELIX_FailsafeInboundHostPorts", "value": "tcp:6443"}]
    container = {"name": "calico-node", "image": "calico/node:v3.32.1", "env": env}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    cluster.admin.post(
        path,
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "calico-node", "labels": labels},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
    )
    try:
        refused = enforce(cluster, shut, default_action="Pass", check=True)
    finally:
        cluster.admin.delete(f"{path}/calico-node")
    assert refused["failed"]
    assert "SSH from" in refused["msg"]
    assert not enforce(cluster, shut, default_action="Pass", check=True)["failed"]


def test_host_endpoints_without_a_profile_are_like_a_deny(clean_api):
    clean_api.add_nodes(NODES)
    result = run_module("host_endpoints", clean_api, profiles=[])
    assert result["failed"]
    assert "no-profile" in result["msg"], result["msg"]
    for kind in ("kubelet", "loopback", "dns"):
        assert f"{kind}: at " in result["msg"]
    assert not clean_api.admin.list(clean_api.path("HostEndpoint"))


def test_felix_without_a_failsafe_that_the_cluster_lives_by_is_refused(cluster):
    open_ports = [{"protocol": "tcp", "port": port} for port in (22, 10250)]
    ours = {"failsafe_inbound_host_ports": open_ports}
    assert not run_module("felix_configuration", cluster, **ours)["failed"]
    assert not enforce(cluster, shutting("no-kubelet", 10250), default_action="Pass")["failed"]
    result = run_module("felix_configuration", cluster, failsafe_inbound_host_ports=open_ports[:1])
    assert result["failed"]
    assert "kubelet: at sim-0001" in result["msg"]


def test_a_gate_that_looks_at_ssh_only_would_forget_the_nodes(cluster):
    """found/t35: SSH stays open, and every node would lose the API, Typha and its peers."""
    path = cluster.path("FelixConfiguration", "default")
    cluster.admin.patch(path, {"spec": {"failsafeOutboundHostPorts": [{"protocol": "udp", "port": 53}]}})
    (found,) = FOUND.glob("t35-*.yaml")
    uses = [
        {"node": login["node"], "api": [["10.20.0.11", 6443]], "typha": [["10.20.0.12", 5473]]}
        for login in LOGINS
    ]
    refused = run_module(
        "policies",
        cluster,
        check=True,
        name="mine",
        src=str(found),
        state="enforced",
        logins=LOGINS,
        uses=uses,
    )
    assert refused["failed"]
    assert "SSH" not in refused["msg"]
    for kind in ("api", "typha", "kubelet"):
        assert f"{kind}: at sim-0001 and 2 more nodes" in refused["msg"], kind
