# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policies as people publish them: what policy_lint and flow_verdict must say of each.

Each file in found/ was rebuilt from a public report or manifest and says what is right.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from module_run import run_module

FOUND = Path(__file__).parent / "found"
NO_CLUSTER = SimpleNamespace(kubeconfig="/nonexistent")

# file, rule, severity, object, part of message or remedy
SAID = [
    ("t01", "unknown-kind", "error", "GlobalNetworkpolicy shut-it", "did you mean GlobalNetworkPolicy?"),
    ("t03", "unknown-field", "error", "FelixConfiguration default", "write failsafeInboundHostPorts"),
    ("t03", "unknown-field", "error", "FelixConfiguration default", "write ipv6Support"),
    (
        "t09",
        "missing-tier",
        "warning",
        "GlobalNetworkPolicy security.nodeport-only-me",
        "not among these objects",
    ),
    (
        "t10",
        "negative-namespace-selector",
        "error",
        "GlobalNetworkPolicy shut-all-but-system",
        "true for hosts",
    ),
    ("t12", "one-family-deny", "warning", "GlobalNetworkPolicy only-me", "notNets"),
    ("t14", "untracked-one-direction", "warning", "GlobalNetworkPolicy fast-in-only", "answers"),
    ("t16", "deny-covers-loopback", "warning", "GlobalNetworkPolicy few", "10.20.0.5 to 10.20.0.5"),
    ("t18", "never-allows", "warning", "GlobalNetworkPolicy just-watch", "only log"),
    ("t20", "failsafe-drops-default", "warning", "FelixConfiguration default", "tcp/5473 (Typha)"),
    ("t20", "failsafe-drops-default", "warning", "FelixConfiguration node.h2", "tcp/6443 (the API server)"),
    ("t23", "failsafe-shadows-deny", "warning", "GlobalNetworkPolicy outside-in", "tcp/6443"),
    ("t25", "peer-not-found", "info", "GlobalNetworkPolicy vpn-in", "finds no endpoint"),
    ("t28", "endpoint-without-profile", "warning", "HostEndpoint node-1-ens3", "on ens3"),
    ("t30", "invalid-protocol", "error", "GlobalNetworkPolicy cp", "112"),
    ("t33", "failsafe-entry", "error", "FelixConfiguration default", "write [] for no failsafe at all"),
    ("t38", "unknown-field", "warning", "GlobalNetworkPolicy registries", "commercial editions"),
    ("t40", "allow-behind-deny", "warning", "GlobalNetworkPolicy scraper", "write here preDNAT: true"),
    *(
        ("t34", "refused-by-api", "error", f"GlobalNetworkPolicy {name}", "Calico's API refuses this")
        for name in (
            "mixed-nets",
            "bare-ip",
            "host-bits",
            "lower-action",
            "catch-all-not",
            "services-wrong-side",
            "types-twice",
            "icmp-family",
        )
    ),
    ("t16", "deny-covers-loopback", "warning", "GlobalNetworkPolicy few", "{nets: [10.20.0.5/32]}"),
    ("t38", "unknown-field", "warning", "GlobalNetworkPolicy registries", "write nets, or a selector"),
    ("t34", "rules-not-in-types", "warning", "GlobalNetworkPolicy rules-without-type", "never evaluated"),
]
# file, rule, object: what must not be said of it
UNSAID = [
    ("t07", "deny-covers-loopback", ""),
    ("t07", "deny-without-neighbour-discovery", ""),
    ("t14", "untracked-one-direction", "fast-both"),
    ("t28", "endpoint-without-profile", "loopback"),
]


def src_of(name: str) -> str:
    (path,) = FOUND.glob(f"{name}-*.yaml")
    return str(path)


def findings(name: str, **options: Any) -> list[dict[str, Any]]:
    result = run_module("policy_lint", NO_CLUSTER, src=src_of(name), **options)
    assert not result["failed"], result
    return result["findings"]


@pytest.mark.parametrize(("name", "rule", "severity", "subject", "text"), SAID)
def test_said(name: str, rule: str, severity: str, subject: str, text: str) -> None:
    assert any(
        (found["id"], found["severity"], found["object"]) == (rule, severity, subject)
        and text in f"{found['message']} {found['remedy']}"
        for found in findings(name)
    ), findings(name)


@pytest.mark.parametrize(("name", "rule", "text"), UNSAID)
def test_unsaid(name: str, rule: str, text: str) -> None:
    assert not [
        found
        for found in findings(name)
        if found["id"] == rule and text in f"{found['object']} {found['message']}"
    ]


def test_a_deny_that_a_failsafe_undoes_comes_first() -> None:
    warnings = [found for found in findings("t23") if found["severity"] == "warning"]
    assert warnings[0]["id"] == "failsafe-shadows-deny"
    assert "failsafeInboundHostPorts" in warnings[0]["remedy"]


@pytest.mark.parametrize("name", ["t07", "t08"])
def test_policies_for_pods_pass_a_pipeline(name: str) -> None:
    result = run_module("policy_lint", NO_CLUSTER, src=src_of(name), fail_on="warning")
    assert not result["failed"], result["msg"]
    assert all("assumed" in found["message"] for found in result["findings"])


def test_folders_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "sub" / "deeper").mkdir(parents=True)
    shutil.copy(src_of("t06"), tmp_path / "ok.yaml")
    shutil.copy(src_of("t05"), tmp_path / "sub" / "deeper" / "bad.yaml")
    found = run_module("policy_lint", NO_CLUSTER, src=str(tmp_path))["findings"]
    assert "ports-without-protocol" in {one["id"] for one in found}
    (tmp_path / "ok.yaml").unlink()
    assert run_module("policy_lint", NO_CLUSTER, src=str(tmp_path))["findings"]


def test_what_kustomize_reads_is_no_object(tmp_path: Path) -> None:
    shutil.copy(src_of("t06"), tmp_path / "ok.yaml")
    (tmp_path / "kustomization.yaml").write_text("resources: [ok.yaml]\n")
    assert run_module("policy_lint", NO_CLUSTER, src=str(tmp_path))["counts"]["error"] == 0


def test_an_object_of_another_api_is_an_error_and_gets_no_verdict(tmp_path: Path) -> None:
    (policy, host_endpoint) = (tmp_path / "policy.yaml", tmp_path / "hep.yaml")
    policy.write_text("apiVersion: calico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: p}\n")
    host_endpoint.write_text(
        "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {name: h, lables: {a: b}}\n"
        "spec: {node: n1, interfaceName: eth0, profiles: [projectcalico-default-allow]}\n"
    )
    found = run_module("policy_lint", NO_CLUSTER, src=str(tmp_path))["findings"]
    errors = {(one["id"], one["remedy"]) for one in found if one["severity"] == "error"}
    assert errors == {
        ("unknown-kind", "write apiVersion: projectcalico.org/v3 and kind: GlobalNetworkPolicy"),
        ("unknown-field", "write labels"),
    }
    asked = flow(source="192.0.2.9", destination="10.0.0.1", destination_port=80)
    refused = run_module("flow_verdict", NO_CLUSTER, src=str(tmp_path), flows=[asked])
    assert refused["failed"]
    assert "write apiVersion: projectcalico.org/v3" in refused["msg"]


def test_a_tier_in_another_file_of_the_folder_counts(tmp_path: Path) -> None:
    shutil.copy(src_of("t09"), tmp_path / "policy.yaml")
    (tmp_path / "tiers").mkdir()
    (tmp_path / "tiers" / "security.yaml").write_text(
        "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: security}\nspec: {order: 10}\n"
    )
    found = run_module("policy_lint", NO_CLUSTER, src=str(tmp_path))["findings"]
    assert "missing-tier" not in {one["id"] for one in found}


def test_a_list_of_objects_is_read_as_calicoctl_does() -> None:
    assert {found["object"] for found in findings("t06")} == {
        "HostEndpoint w1-eth0",
        "GlobalNetworkPolicy web",
    }


def test_a_cluster_without_host_endpoints(clean_api: Any) -> None:
    clean_api.create(
        "GlobalNetworkPolicy",
        "drop-rest",
        {
            "applyOnForward": True,
            "preDNAT": True,
            "order": 20,
            "selector": "has(host-endpoint)",
            "types": ["Ingress"],
            "ingress": [{"action": "Deny"}],
        },
    )
    found = run_module("policy_lint", clean_api)["findings"]
    assert "no host endpoint exists: this policy protects nothing" in {one["message"] for one in found}
    assert "deny-covers-loopback" not in {one["id"] for one in found}


def flow(**fields: Any) -> dict[str, Any]:
    given = {
        "node": "n1",
        "direction": "ingress",
        "interface": "eth0",
        "protocol": "TCP",
        "source_port": 40000,
    }
    return {**given, **fields}


def verdict(name: str, asked: dict[str, Any], **options: Any) -> dict[str, Any]:
    result = run_module("flow_verdict", NO_CLUSTER, src=src_of(name), flows=[asked], **options)
    assert not result["failed"], result
    return {**result["verdicts"][0], "dataplane": result["dataplane"], "misread": result["misread"]}


def test_a_verdict_is_not_given_on_an_unknown_kind() -> None:
    asked = flow(node="r1", source="203.0.113.99", destination="10.20.0.11", destination_port=443)
    result = run_module("flow_verdict", NO_CLUSTER, src=src_of("t01"), flows=[asked])
    assert result["failed"]
    assert "did you mean GlobalNetworkPolicy?" in result["msg"]


def test_a_verdict_tells_of_fields_that_are_not_read() -> None:
    asked = flow(
        node="vm1", interface="enp0s3", source="10.0.0.9", destination="10.0.0.1", destination_port=3389
    )
    found = verdict("t03", asked)
    assert found["verdict"] == "deny"
    assert any("write failsafeInboundHostPorts" in one["meaning"] for one in found["misread"])


def test_the_end_of_a_tier_names_the_policies_that_govern() -> None:
    asked = flow(node="cp1", source="203.0.113.9", destination="10.31.0.5", destination_port=443)
    found = verdict("t19", asked)
    assert found["reason_code"] == "end-of-tier"
    assert found["decided_by"]["policies"] == ["GlobalNetworkPolicy watch-resolver"]
    assert any("no rule of GlobalNetworkPolicy watch-resolver matches" in line for line in found["trace"])


def test_a_pod_that_is_not_known_leaves_the_verdict_open() -> None:
    asked = {
        "node": "gw1",
        "direction": "forward",
        "interface": "kilo0",
        "out_interface": "cali9",
        "protocol": "TCP",
        "source": "10.5.0.1",
        "destination": "10.42.0.8",
        "destination_port": 3000,
    }
    nodes = [{"name": "gw1", "interfaces": {"kilo0": ["10.4.0.1/32"]}}]
    found = verdict("t25", asked, nodes=nodes)
    assert found["verdict"] == "undetermined"
    assert any("10.42.0.8 is a pod with" in text for text in found["assumptions"])


@pytest.mark.parametrize(
    ("environment", "dataplane"),
    [
        ({"FELIX_BPFENABLED": "true"}, "ebpf"),
        ({"FELIX_BpfEnabled": "True"}, "ebpf"),
        ({"FELIX_NFTABLESMODE": "Enabled"}, "nftables"),
        ({"felix_nftablesMode": "enabled"}, "nftables"),
        ({}, "iptables"),
    ],
)
def test_the_environment_decides_the_data_plane(environment: dict[str, str], dataplane: str) -> None:
    asked = flow(node="h1", source="10.0.0.9", destination="10.20.1.10", destination_port=80)
    assert verdict("t26", asked, felix_environment=environment)["dataplane"] == dataplane


def test_the_environment_of_the_running_calico_node_decides_too(clean_api: Any) -> None:
    """A live run looks at the DaemonSet; what the user gives goes before it."""
    clean_api.add_nodes(1)
    assert not run_module("host_endpoints", clean_api)["failed"]
    path = "/apis/apps/v1/namespaces/kube-system/daemonsets"
    container = {
        "name": "calico-node",
        "image": "calico/node:v3.32.1",
        "env": [{"name": "FELIX_BPFENABLED", "value": "true"}],
    }
    labels = {"k8s-app": "calico-node"}
    clean_api.admin.post(
        path,
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "calico-node", "labels": labels},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        },
    )
    try:
        asked = flow(node="sim-0001", source="10.0.0.9", destination="100.64.0.1", destination_port=80)
        found = run_module("flow_verdict", clean_api, flows=[asked])
        given = run_module(
            "flow_verdict", clean_api, flows=[asked], felix_environment={"felix_BPFEnabled": "false"}
        )
    finally:
        clean_api.admin.delete(f"{path}/calico-node")
    assert found["dataplane"] == "ebpf", found
    assert given["dataplane"] == "iptables"


def test_names_in_the_environment_are_compared_without_case() -> None:
    asked = flow(node="h1", source="10.0.0.9", destination="10.20.1.10", destination_port=22)
    assert verdict("t26", asked)["reason_code"] == "failsafe"
    shut = verdict("t26", asked, felix_environment={"FELIX_FailsafeInboundHostPorts": "none"})
    assert shut["verdict"] == "deny"


NODE_PORT = flow(source="10.0.0.200", destination="10.0.0.11", destination_port=31000)


def test_ipvs_takes_the_nodeport_range_away_from_policy() -> None:
    assert verdict("t27", NODE_PORT, kube_proxy_mode="ipvs")["verdict"] == "allow"
    assert verdict("t27", NODE_PORT, kube_proxy_mode="iptables")["verdict"] == "deny"
    seen = [{"name": "n1", "interfaces": {"eth0": ["10.0.0.11/24"], "kube-ipvs0": ["10.96.0.1/32"]}}]
    assert verdict("t27", NODE_PORT, nodes=seen)["verdict"] == "allow"
    for port, expected in ((9000, "deny"), (10250, "allow")):
        found = verdict("t27", {**NODE_PORT, "destination_port": port}, kube_proxy_mode="ipvs")
        assert found["verdict"] == expected


def test_an_unknown_mode_of_kube_proxy_is_an_assumption() -> None:
    found = verdict("t27", NODE_PORT)
    assert found["verdict"] == "deny"
    assert any("IPVS" in text for text in found["assumptions"])


def test_untracked_in_one_direction() -> None:
    asked = flow(node="lb1", source="10.0.0.9", destination="10.31.0.41", destination_port=9091)
    assert verdict("t14", asked, dataplane="iptables")["reason_code"] == "answer-denied"
    assert verdict("t14", asked, dataplane="nftables")["verdict"] == "allow"
    assert verdict("t14", {**asked, "destination_port": 9090})["verdict"] == "allow"


def test_an_assumption_names_its_subject() -> None:
    asked = flow(node="node1", source="10.244.3.3", destination="10.20.1.10", destination_port=9100)
    found = verdict("t31", asked)
    assert found["verdict"] == "undetermined"
    text = " ".join(found["assumptions"])
    assert "10.244.3.3 is a pod with" in text
    assert 'kubernetes.io/metadata.name == "watch"' in text
    assert 'app == "prom"' in text
