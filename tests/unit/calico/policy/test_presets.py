# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each shipped set, enforced in the verdict engine on every platform."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.planner import (
    PolicySet,
    WritePlan,
    inventory_after,
    inventory_of,
    objects_after,
    plan,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.presets import (
    INGRESS_LOCKDOWN,
    NODEPORT,
    PLATFORM_FLOWS,
    PLATFORM_TIER,
    SHIPPED,
    NodePorts,
    preset,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.reader import Document, parse
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.required_flows import (
    PLATFORMS,
    PlatformNetworks,
    Shape,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import judge_objects
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.node_judges import (
    NodeUse,
    parse_use,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.vital_flows import (
    Networks,
    Surroundings,
    losses,
    open_questions,
)

from tests.unit import builders
from tests.unit.builders import V3

AROUND = PlatformNetworks(
    nodes=("10.99.0.0/24", "fd99::/64"),
    cluster=("10.244.0.0/16", "10.96.0.0/16"),
    ssh=("192.0.2.0/24", "2001:db8::/32"),
)
USERS = NodePorts(sources=("198.51.100.0/24",))
KINDS = frozenset({"GlobalNetworkPolicy", "StagedGlobalNetworkPolicy", "GlobalNetworkSet", "Tier"})
NODE, ADMIN, STRANGER, USER = "10.99.0.2", "192.0.2.7", "203.0.113.9", "198.51.100.3"


def enforced(names: list[str], platform: str) -> list[dict[str, Any]]:
    """What is stored once the sets are enforced, with one worker and no failsafe at all."""
    inventory = inventory_of({}, KINDS, V3, raw_v1=False, calico_version="v3.32.1")
    for name in names:
        is_tier = name == PLATFORM_TIER
        directions = ("Ingress",) if is_tier else ("Ingress", "Egress")
        shape = Shape(
            name,
            "host-endpoint == 'ingress'",
            "has(control-plane)",
            directions,
            pre_dnat=name == PLATFORM_FLOWS,
        )
        documents = [Document(o, name) for o in preset(name, platform, AROUND, shape, USERS)]
        tier = "platform" if is_tier else "hostfence"
        wanted = PolicySet(
            name,
            "enforced",
            parse(documents, tier),
            tier,
            200 if is_tier else 100,
            "Deny" if is_tier else "Pass",
        )
        inventory = inventory_after(inventory, plan(inventory, wanted))
    return [
        *objects_after(inventory, WritePlan()),
        builders.host_endpoint("n1-hostfence", node="n1", api=V3, labels={"host-endpoint": "ingress"}),
        builders.felix_configuration(api=V3, failsafeInboundHostPorts=[], failsafeOutboundHostPorts=[]),
    ]


def flow(source: str, port: int, direction: str = "ingress", **more: Any) -> dict[str, Any]:
    ends = {"source": source, "destination": "10.99.0.1"}
    if direction == "egress":
        ends = {"source": "10.99.0.1", "destination": source}
    return builders.flow(direction, **{"node": "n1", "destination_port": port, **ends, **more})


def verdict(names: list[str], platform: str, asked: dict[str, Any]) -> str:
    [found] = judge_objects(enforced(names, platform), [asked])
    return found.verdict


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
@pytest.mark.parametrize("name", SHIPPED)
def test_what_a_node_lives_by_stays_open(name: str, platform: str) -> None:
    for asked in (
        flow(NODE, 10250),
        flow(ADMIN, 22) if name != PLATFORM_FLOWS else flow(NODE, 10250),
        flow("127.0.0.1", 9099, interface="lo"),
        flow("10.244.3.7", 10250),
        flow("8.8.8.8", 53, "egress", protocol="UDP"),
    ):
        assert verdict([name], platform, asked) == "allow", asked


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
@pytest.mark.parametrize(
    ("name", "port"),
    [(INGRESS_LOCKDOWN, 22), (INGRESS_LOCKDOWN, 8080), (NODEPORT, 30080), (PLATFORM_TIER, 8080)],
)
def test_a_stranger_is_kept_out(name: str, port: int, platform: str) -> None:
    assert verdict([name], platform, flow(STRANGER, port)) == "deny"


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_users_of_nodeports_come_in(platform: str) -> None:
    assert verdict([NODEPORT], platform, flow(USER, 30080)) == "allow"
    assert verdict([NODEPORT, INGRESS_LOCKDOWN], platform, flow(USER, 30080)) == "allow"
    assert verdict([NODEPORT, INGRESS_LOCKDOWN], platform, flow(STRANGER, 30080)) == "deny"


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_what_the_platform_needs_passes_the_lockdown(platform: str) -> None:
    both = [PLATFORM_FLOWS, INGRESS_LOCKDOWN]
    assert verdict(both, platform, flow(STRANGER, 10256)) == "allow"
    assert verdict([INGRESS_LOCKDOWN], platform, flow(STRANGER, 10256)) == "deny"


@pytest.mark.parametrize(
    "uses", [(), (parse_use({"node": "n1", "interfaces": {"eth0": ["10.99.0.1"]}}, "uses"),)]
)
@pytest.mark.parametrize("interface", ["*", "eth0"])
@pytest.mark.parametrize("names", [[name] for name in SHIPPED] + [[PLATFORM_FLOWS, INGRESS_LOCKDOWN]])
def test_a_shipped_set_leaves_nothing_open_about_what_a_cluster_lives_by(
    names: list[str], interface: str, uses: tuple[NodeUse, ...]
) -> None:
    """The gate names what is open: an ordinary run is to have nothing of that."""
    around = [
        *(
            builders.node(f"n{n}", f"10.99.0.{n}", labels={"node-role.kubernetes.io/control-plane": ""})
            for n in (1, 2)
        ),
        builders.resource("IPPool", "v4", api=V3, cidr="10.244.0.0/16", vxlanMode="Always", natOutgoing=True),
        builders.endpoint_slice("kubernetes", "10.99.0.2", port=6443),
    ]
    objects = [*around, *enforced(names, "kubeadm")]
    for item in objects:
        if item["kind"] == "HostEndpoint":
            item["spec"].update(interfaceName=interface, expectedIPs=["10.99.0.1"])
    bare = [*around, *(o for o in objects if o["kind"] == "HostEndpoint")]
    found = losses(bare, objects, Surroundings(uses=uses, networks=Networks(ssh=AROUND.ssh)))
    assert open_questions(found) == []


def test_neighbour_discovery_stays() -> None:
    asked = {
        **flow("fe80::1", 0),
        "protocol": "ICMPv6",
        "destination": "fe80::2",
        "icmp_type": 135,
        "icmp_code": 0,
    }
    del asked["destination_port"]
    assert verdict([INGRESS_LOCKDOWN], "kubeadm", asked) == "allow"
