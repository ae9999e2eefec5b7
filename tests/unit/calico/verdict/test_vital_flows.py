# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change that takes away what a cluster lives by is refused: each flow, denied alone, is found by kind."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.address import parse_address
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.node_judges import parse_use
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.vital_flows import (
    KINDS,
    Controller,
    Networks,
    Surroundings,
    check_accepted,
    check_networks,
    losses,
    summaries,
)

from tests.unit import builders
from tests.unit.builders import V3

NODES = ("node1", "node2", "node3")


def node(name, number, families=(4, 6)):
    labels = {"node-role.kubernetes.io/control-plane": ""} if number < 3 else {}
    addresses = {4: f"10.0.0.{number}", 6: f"fd00::{number}"}
    return builders.node(name, *(addresses[family] for family in families), labels=labels)


def hep(name, profiles=builders.ALLOW_ALL):
    return builders.host_endpoint(
        f"{name}-hostfence", node=name, api=V3, labels={"host": "yes"}, profiles=list(profiles)
    )


def policy(*rules, direction="Ingress", name="test", **spec):
    given = {"order": 10, "selector": "has(host)", "types": [direction], direction.lower(): list(rules)}
    return builders.policy(name, api=V3, **{**given, **spec})


NO_FAILSAFES = builders.felix_configuration(api=V3, failsafeInboundHostPorts=[], failsafeOutboundHostPorts=[])
BASE = [
    NO_FAILSAFES,
    *(node(name, number) for number, name in enumerate(NODES, 1)),
    *map(hep, NODES),
    builders.endpoint_slice("kubernetes", "10.0.0.1", "10.0.0.2", port=443),
    builders.endpoint_slice("calico-typha", "10.0.0.3", port=5473),
    builders.resource("IPPool", "v4", api=V3, cidr="10.244.0.0/16", vxlanMode="Always", natOutgoing=True),
    builders.resource("IPPool", "v6", api=V3, cidr="fd01::/64", vxlanMode="Never"),
]
USES = tuple(
    parse_use({"node": name, "dns": ["192.0.2.53"], "ntp": ["192.0.2.123"]}, "uses") for name in NODES
)
AROUND = Surroundings(uses=USES, networks=Networks(ssh=("198.51.100.0/24",)))
PASS = {"action": "Allow"}


def deny(protocol, *ports, **match):
    to = {"destination": {"ports": list(ports)}} if ports else {}
    return {"action": "Deny", "protocol": protocol, **to, **match}


def lost(*policies, around=AROUND, base=BASE, **more):
    return losses(base, [*base, *policies], around, **more)


def kinds(found):
    return {loss.vital.kind for loss in found if loss.refuses}


CUTS = [
    ("ssh", "Ingress", deny("TCP", 22), {}),
    ("api", "Egress", deny("TCP", 443), {}),
    ("api", "Ingress", deny("TCP", 443), {}),
    ("kubelet", "Ingress", deny("TCP", 10250, source={"nets": ["10.0.0.0/24"]}), {}),
    (
        "kubelet",
        "Egress",
        deny("TCP", 10250, ipVersion=6, destination={"nets": ["fd00::/64"], "ports": [10250]}),
        {},
    ),
    ("etcd", "Ingress", deny("TCP", 2380), {}),
    ("etcd", "Egress", deny("TCP", 2379), {}),
    ("typha", "Egress", deny("TCP", 5473), {}),
    ("overlay", "Ingress", deny("UDP", 4789), {"preDNAT": True, "applyOnForward": True}),
    ("bgp", "Egress", deny("TCP", 179), {}),
    ("dns", "Egress", deny("UDP", 53), {}),
    ("dns", "Egress", deny("TCP", 53), {}),
    ("ntp", "Egress", deny("UDP", 123), {}),
    ("pods", "Ingress", deny("UDP", 53), {"preDNAT": True, "applyOnForward": True}),
    (
        "pods",
        "Ingress",
        {"action": "Deny", "destination": {"notNets": ["10.0.0.0/8"]}, "source": {"nets": ["10.244.0.0/16"]}},
        {"preDNAT": True, "applyOnForward": True},
    ),
    ("neighbour-discovery", "Ingress", deny("ICMPv6", icmp={"type": 135}), {}),
    ("neighbour-discovery", "Ingress", deny("ICMPv6", icmp={"type": 136}), {}),
    ("neighbour-discovery", "Ingress", deny("ICMPv6", icmp={"type": 134}), {}),
    ("neighbour-discovery", "Egress", deny("ICMPv6", icmp={"type": 135}), {}),
    ("loopback", "Ingress", {"action": "Deny", "source": {"nets": ["127.0.0.0/8"]}}, {}),
    ("loopback", "Egress", {"action": "Deny", "destination": {"nets": ["::1/128"]}}, {}),
]


@pytest.mark.parametrize(("kind", "direction", "rule", "spec"), CUTS)
def test_each_vital_flow_denied_alone_is_refused_by_its_kind(kind, direction, rule, spec):
    extra = [] if spec.get("preDNAT") else [PASS]
    found = lost(policy(rule, *extra, direction=direction, **spec))
    # What a node reaches over its own addresses goes with the port.
    assert kind in kinds(found)
    assert kinds(found) <= {kind, "loopback", "pods", "api"} if kind != "pods" else True
    (line,) = [text for text in summaries(found) if text.startswith(f"{kind}: ")]
    assert "GlobalNetworkPolicy test" in line
    assert KINDS[kind] in line
    assert kinds(lost(policy(rule, *extra, direction=direction, **spec), accepted=KINDS)) == set()


def test_every_kind_is_denied_somewhere_above():
    assert {cut[0] for cut in CUTS} | {"controller"} == set(KINDS)


FOREIGN = {"api": V3, "selector": "!all()", "types": ["Ingress"]}
UNHEARD = {
    "an object that Felix cannot decode": [
        builders.policy(
            "foreign", ingress=[{"action": "Allow", "destination": {"ports": [70000]}}], **FOREIGN
        )
    ],
    "a configuration with which Felix does not start": [
        builders.felix_configuration(
            "node.node2", api=V3, failsafeInboundHostPorts=[{"protocol": "tcp", "port": 1, "net": "::%a/64"}]
        ),
        builders.felix_configuration(
            "node.node1", api=V3, failsafeInboundHostPorts=[{"protocol": "tcp", "port": 1, "net": "::%a/64"}]
        ),
    ],
    "a rule that nft refuses": [
        builders.felix_configuration(
            api=V3, nftablesMode="Enabled", failsafeInboundHostPorts=[], failsafeOutboundHostPorts=[]
        ),
        policy(
            {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8, "code": 1}},
            PASS,
            name="nft",
            order=20,
        ),
    ],
}


@pytest.mark.parametrize("why", UNHEARD)
def test_a_deny_that_felix_does_not_hear_of_yet_is_refused_as_well(why):
    """It comes into force when somebody corrects the object that Felix cannot read."""
    names = {(item["kind"], item["metadata"]["name"]) for item in UNHEARD[why]}
    base = [*UNHEARD[why], *(o for o in BASE if (o["kind"], o["metadata"]["name"]) not in names)]
    found = lost(policy(deny("TCP", 10250), PASS), base=base)
    assert {loss.vital.node for loss in found if loss.refuses and loss.vital.kind == "kubelet"} == {*NODES}
    assert "GlobalNetworkPolicy test" in summaries(found)[0]
    assert not lost(policy(PASS), base=base)


@pytest.mark.parametrize("direction", ["Ingress", "Egress"])
def test_a_policy_that_allows_all_loses_nothing(direction):
    assert lost(policy(PASS, direction=direction)) == []


def test_the_end_of_a_tier_is_named():
    found = lost(policy({"action": "Allow", "protocol": "SCTP"}))
    assert {"ssh", "kubelet", "neighbour-discovery", "loopback"} <= kinds(found)
    assert any("the end of tier default" in text for text in summaries(found))
    assert len(summaries(found)) == len(kinds(found))


def test_what_was_denied_before_is_no_harm_of_this_change():
    first = policy(deny("TCP", 10250), PASS, name="first")
    second = policy(deny("TCP", 10250), PASS, name="second")
    found = losses([*BASE, first], [*BASE, first, second], AROUND)
    assert found
    assert kinds(found) == set()
    assert all("is and stays denied" in text for text in summaries(found))


def test_a_failsafe_keeps_it():
    felix = builders.felix_configuration(
        api=V3, failsafeInboundHostPorts=[{"protocol": "tcp", "port": 10250}]
    )
    base = [felix, *BASE[1:]]
    cut = policy(deny("TCP", 10250), PASS)
    assert "kubelet" not in kinds(lost(cut, base=base))


def test_failsafes_that_a_node_really_has_go_before_the_api_s():
    felix = builders.felix_configuration(
        api=V3, failsafeInboundHostPorts=[{"protocol": "tcp", "port": 10250}]
    )
    base = [felix, *BASE[1:]]
    other = parse_use({"node": "node2", "environment": {"FELIX_FailsafeInboundHostPorts": "none"}}, "uses")
    found = lost(policy(deny("TCP", 10250), PASS), base=base, around=Surroundings(uses=(other,)))
    assert {loss.vital.node for loss in found if loss.vital.kind == "kubelet"} == {"node2"}


def test_an_etcd_elsewhere_is_known_by_a_look_at_the_node():
    around = Surroundings((parse_use({"node": "node2", "etcd": [["192.0.2.79", 2379]]}, "uses"),))
    cut = policy(deny("TCP", 2379, destination={"nets": ["192.0.2.79/32"]}), PASS, direction="Egress")
    assert kinds(lost(cut)) == set()
    (loss,) = lost(cut, around=around)
    assert (loss.vital.kind, loss.vital.node) == ("etcd", "node2")


def test_where_nobody_looked_any_name_server_will_do():
    around = Surroundings()
    some = policy(
        {"action": "Allow", "destination": {"nets": ["203.0.113.0/24", "10.0.0.0/8"]}}, direction="Egress"
    )
    none = policy({"action": "Allow", "protocol": "TCP"}, direction="Egress")
    assert not kinds(lost(some, around=around)) & {"dns", "ntp"}
    assert {"dns", "ntp"} <= kinds(lost(none, around=around))


def test_ipv6_counts_where_only_a_login_uses_it():
    base = [
        NO_FAILSAFES,
        *(node(name, number, (4,)) for number, name in enumerate(NODES, 1)),
        *map(hep, NODES),
    ]
    cut = policy({"action": "Deny", "protocol": "ICMPv6"}, PASS)
    assert kinds(lost(cut, base=base)) == set()
    logins = tuple((name, parse_address(f"fd99::1{n}")) for n, name in enumerate(NODES))
    assert kinds(lost(cut, base=base, around=Surroundings(addresses=logins))) == {"neighbour-discovery"}


def test_a_host_endpoint_without_profile_is_like_a_deny():
    bare = [item for item in BASE if item["kind"] != "HostEndpoint"]
    open_heps, shut_heps = [*map(hep, NODES)], [hep(name, ()) for name in NODES]
    assert losses(bare, [*bare, *open_heps], AROUND) == []
    found = losses(bare, [*bare, *shut_heps], AROUND)
    assert {"kubelet", "api", "dns", "loopback", "ntp", "ssh"} <= kinds(found)


def test_the_controllers_own_node():
    target = ("the API", parse_address("203.0.113.9"), 6443)
    around = Surroundings(uses=USES, controllers=(Controller("node1", (target,)),))
    found = lost(policy(deny("TCP", 6443), PASS, direction="Egress"), around=around)
    assert "controller" in kinds(found)
    assert "the API at 203.0.113.9, tcp/6443" in " ".join(summaries(found))


def test_one_address_too_few_is_found_among_many_nodes():
    count = 40
    many = [node(f"n{n:02}", n, (4,)) for n in range(1, count + 1)]
    base = [NO_FAILSAFES, *many, *(hep(f"n{n:02}") for n in range(1, count + 1))]
    for left_out in (1, 17, count):
        nets = [f"10.0.0.{n}/32" for n in range(1, count + 1) if n != left_out]
        rules = [{"action": "Allow", "source": {"nets": [*nets, "127.0.0.0/8"]}}]
        found = losses(base, [*base, policy(*rules)], Surroundings())
        assert any(f"10.0.0.{left_out}" in loss.vital.what for loss in found if loss.vital.kind == "kubelet")


LABELLED = {"action": "Deny", "source": {"selector": "team == 'red'"}}
BEFORE_DNAT = {"preDNAT": True, "applyOnForward": True}
ON_ETH1 = [
    builders.host_endpoint(f"{name}-eth1", node=name, interfaceName="eth1", api=V3, labels={"host": "yes"})
    for name in NODES
]
OPEN = [
    ("pods", [policy(LABELLED, **BEFORE_DNAT)], BASE, 'a pod with team == "red"'),
    (
        "kubelet",
        [policy(deny("TCP", 10250), PASS)],
        [*[o for o in BASE if o not in BASE[4:7]], *ON_ETH1],
        "eth1",
    ),
    (
        "api",
        [
            policy(
                {"action": "Deny", "destination": {"services": {"name": "web", "namespace": "shop"}}},
                PASS,
                direction="Egress",
            )
        ],
        BASE,
        "belongs to service",
    ),
]


@pytest.mark.parametrize(("kind", "policies", "base", "settled"), OPEN)
def test_what_is_open_is_said_with_what_would_settle_it_and_refuses_nothing(kind, policies, base, settled):
    found = lost(*policies, base=base)
    assert kinds(found) == set()
    line = next(text for text in summaries(found) if kind in text.partition(": ")[0].split(", "))
    assert "depending on this: " in line
    assert settled in line
    assert "at node1 and 2 more nodes, " in line
    assert {loss.as_dict()["verdict"] for loss in found} == {"undetermined"}


def test_networks_that_contain_none_of_the_cluster_are_refused_by_name():
    with pytest.raises(
        BadInput, match=r"policies_node_cidrs.*10\.9\.0\.0/24.*none of the cluster's addresses of Nodes"
    ):
        check_networks(BASE, Networks(nodes=("10.9.0.0/24",)))
    with pytest.raises(BadInput, match=r"policies_cluster_cidrs.*10\.24\.0\.0/16"):
        check_networks(BASE, Networks(cluster=("10.24.0.0/16",)))
    right = Networks(nodes=("10.0.0.0/24", "fd00::/64"), cluster=("10.244.0.0/16", "fd01::/64"))
    assert check_networks(BASE, right) == []
    (warning,) = check_networks(BASE, Networks(nodes=("10.0.0.0/24",)))
    assert "fd00::1" in warning
    assert check_networks([], Networks(nodes=("10.9.0.0/24",), cluster=("10.24.0.0/16",))) == []


def test_an_accepted_kind_must_exist():
    with pytest.raises(BadInput, match="accept_denied: 'kublet'"):
        check_accepted(["kublet"])


@pytest.mark.parametrize("dataplane", ["iptables", "nftables", "ebpf"])
def test_every_data_plane_is_judged(dataplane):
    cut = policy(deny("TCP", 10250), PASS)
    assert "kubelet" in kinds(lost(cut, options=Options(dataplane=dataplane)))
