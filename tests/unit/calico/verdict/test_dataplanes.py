# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each node's own data plane."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.judgement import traps
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.dataplanes import Dataplanes
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.node_judges import NodeJudges
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.reach import (
    obstacles,
    of_session,
)

from tests.unit import builders
from tests.unit.builders import Object


def felix(name: str, **spec: Any) -> Object:
    return builders.felix_configuration(name, **spec)


def node(name: str, **labels: str) -> Object:
    return builders.node(name, labels=labels)


def hep(name: str) -> Object:
    return builders.host_endpoint(f"{name}-hostfence", node=name, labels={"role": "db"})


def policy(*rules: Object) -> Object:
    return builders.policy("p", selector="role == 'db'", order=1, ingress=list(rules))


@pytest.mark.parametrize(
    ("objects", "environment", "expected"),
    [
        ([], {}, "iptables"),
        ([felix("default", nftablesMode="Enabled")], {}, "nftables"),
        ([felix("default", bpfEnabled=True, nftablesMode="Enabled")], {}, "ebpf"),
        ([felix("node.n1", bpfEnabled=True)], {}, "ebpf"),
        ([felix("node.n2", bpfEnabled=True)], {}, "iptables"),
        ([felix("default", bpfEnabled=True), felix("node.n1", bpfEnabled=False)], {}, "iptables"),
        ([node("n1", pool="a"), felix("a", nodeSelector="pool == 'a'", bpfEnabled=True)], {}, "ebpf"),
        ([node("n1", pool="b"), felix("a", nodeSelector="pool == 'a'", bpfEnabled=True)], {}, "iptables"),
        ([felix("default", bpfEnabled=True)], {"FELIX_BPFENABLED": "false"}, "iptables"),
    ],
)
def test_the_strongest_source_names_the_data_plane(
    objects: list[dict[str, Any]], environment: dict[str, str], expected: str
) -> None:
    assert Dataplanes(objects, environment).of_node("n1") == expected


def test_what_is_forced_wins() -> None:
    assert Dataplanes([felix("default", bpfEnabled=True)], forced="nftables").of_node("n1") == "nftables"


def test_those_of_nodes_with_a_host_endpoint_are_in_use() -> None:
    objects = [
        hep("n1"),
        hep("n2"),
        felix("node.n2", bpfEnabled=True),
        felix("node.n3", nftablesMode="Enabled"),
    ]
    assert Dataplanes(objects).in_use == ("ebpf", "iptables")


@pytest.mark.parametrize("where", ["default", "node.n1"])
def test_the_gravest_of_all_data_planes_is_told(where: str) -> None:
    rule = {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8, "code": 0}}
    objects = [hep("n1"), hep("n2"), policy(rule)]
    assert [f.severity for f in traps(objects, Options()) if f.id == "icmp-code"] == ["info"]
    objects.append(felix(where, nftablesMode="Enabled"))
    assert [f.severity for f in traps(objects, Options()) if f.id == "icmp-code"] == ["error"]


def test_traps_are_those_of_the_data_plane_by_environment() -> None:
    rule = {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8, "code": 0}}
    for options in (
        Options(environment={"FELIX_NFTABLESMODE": "Enabled"}),
        Options(kube_proxy_mode="nftables"),
    ):
        found = traps([hep("n1"), policy(rule)], options)
        assert [f.severity for f in found if f.id == "icmp-code"] == ["error"]


def test_a_connection_is_judged_as_felix_follows_kube_proxy() -> None:
    objects = [hep("n1"), node("n1")]
    for mode, expected in (("nftables", "nftables"), ("iptables", "iptables"), ("", "iptables")):
        judges = NodeJudges(objects, Options(kube_proxy_mode=mode))
        assert judges.dataplane_of("n1") == expected


def test_a_connection_is_judged_by_its_nodes_data_plane() -> None:
    """On nftables the kernel's tools refuse a rule with an ICMP code, and no policy is programmed."""
    before = [hep("n1"), hep("n2"), node("n1"), node("n2"), felix("default", failsafeInboundHostPorts=[])]
    before.append(felix("node.n2", nftablesMode="Enabled", failsafeInboundHostPorts=[]))
    coded = {"action": "Deny", "protocol": "ICMP", "icmp": {"type": 8, "code": 0}}
    after = [*before, policy(coded, {"action": "Deny"})]
    connections = [of_session(name, "192.0.2.1 40000 10.0.0.1 22", "here") for name in ("n1", "n2")]
    found = obstacles(before, after, connections, Options())
    said = {o.connection.node: o.verdict.reason_code for o in found}
    assert said["n1"] == "policy-deny"
    assert said["n2"] != "policy-deny"
