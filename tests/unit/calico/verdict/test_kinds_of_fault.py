# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each fault of verdicts in tests/integration/found as a kind: generated cases beyond the input."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.dataplanes import Dataplanes
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.interface_owner import NodeFacts
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.node_judges import (
    NodeJudges,
    NodeUse,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.vital_flows import (
    Surroundings,
    losses,
    summaries,
)

from tests.unit import builders
from tests.unit.builders import V3, Object
from tests.unit.calico.verdict.asked import flow, gnp, hep, judge, tier

# -- t19: the end of a tier ----------------------------------------------------------------------------

# Rules that the packets asked about here do not match.
PAST = (
    {"action": "Log"},
    {"action": "Allow", "protocol": "UDP"},
    {"action": "Deny", "protocol": "TCP", "destination": {"ports": [9999]}},
    {"action": "Pass", "source": {"nets": ["203.0.113.0/24"]}},
)


def test_the_end_of_a_tier_names_the_policies_that_govern(counted: list[object]) -> None:
    chance = random.Random(19)
    for _ in range(200):
        asked, direction = chance.choice((("ingress", "Ingress"), ("egress", "Egress")))
        name = chance.choice(("default", "security"))
        objects, governing = [hep(), tier("security", order=1)], []
        for order in range(chance.randrange(1, 9)):
            types = chance.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"]))
            selector = chance.choice(("role == 'db'", "all()", "role == 'web'"))
            staged = chance.random() < 0.2
            rules = chance.sample(PAST, chance.randrange(0, 3))
            kind = "StagedGlobalNetworkPolicy" if staged else "GlobalNetworkPolicy"
            spec = {"selector": selector, "order": order, "tier": name, "types": types}
            full = f"p{order}" if name == "default" else f"{name}.p{order}"
            objects.append(gnp(full, kind, ingress=rules, egress=rules, **spec))
            if direction in types and not staged and selector != "role == 'web'":
                governing.append(f"GlobalNetworkPolicy {full}")
        found = judge(flow(asked), *objects)
        if not governing:
            assert found.reason_code != "end-of-tier"
            continue
        assert (found.verdict, found.reason_code) == ("deny", "end-of-tier")
        assert (found.decided_by.tier, list(found.decided_by.policies)) == (name, governing)
        said = found.trace[-1]
        assert governing[0] in said
        assert f"and {len(governing) - 3} more" in said or all(one in said for one in governing)
        counted.append(governing)


# -- t25, t31: what is open, and about whom ------------------------------------------------------------

PEERS = (
    ({"selector": "app == 'dash'"}, 'is a pod with app == "dash"'),
    ({"notSelector": "app == 'dash'"}, 'is not a pod with app == "dash"'),
    ({"namespaceSelector": "team == 'watch'"}, 'is a pod with namespace label team == "watch"'),
    (
        {"serviceAccounts": {"names": ["prom"]}},
        'is a pod with projectcalico.org/serviceaccount in {"prom"}',
    ),
    ({"serviceAccounts": {"selector": "team == 'a'"}}, 'is a pod with service account label team == "a"'),
    (
        {"namespaceSelector": "team == 'watch'", "selector": "app == 'dash'"},
        'is a pod with namespace label team == "watch" && app == "dash"',
    ),
)
NODES = {"n": NodeFacts("n", {}, {"eth0": ()})}


def opposite(action: str) -> str:
    return "Deny" if action == "Allow" else "Allow"


def test_a_pod_that_nobody_knows_leaves_open_what_rules_about_pods_do(counted: list[object]) -> None:
    pods = ("10.42.0.8", "fd42::8")
    for (peer, said), action, pod, others in itertools.product(
        PEERS, ("Allow", "Deny"), pods, ([], [builders.resource("IPPool", "p", cidr="10.42.0.0/16")])
    ):
        for side, ways in (
            ("destination", {"interface": "eth0", "out_interface": "cali9"}),
            ("source", {"interface": "cali9", "out_interface": "eth0"}),
        ):
            direction = "ingress" if side == "destination" else "egress"
            rules = [{"action": action, side: peer}, {"action": opposite(action)}]
            policy = gnp(
                types=[direction.capitalize()],
                applyOnForward=True,
                **{"ingress": None, direction: rules},
            )
            other = "10.5.0.1" if "." in pod else "fd05::1"
            ends = {side: pod, ({"source", "destination"} - {side}).pop(): other}
            asked = flow("forward", **ways, **ends)
            endpoint = hep(interfaceName="eth0")
            found = judge(asked, endpoint, policy, *others, nodes=NODES)
            assert found.verdict == "undetermined", (peer, side)
            assert any(f"({pod} {said})" in text for text in found.assumptions), found.assumptions
            # Beyond another interface than a pod's, no rule about pods matches.
            host = {**asked, **{key: "eth1" for key, value in ways.items() if value == "cali9"}}
            if not others:
                assert judge(host, endpoint, policy, nodes=NODES).verdict != "undetermined"
            counted.append(asked)


POD, HOST = "10.244.3.3", "10.0.0.1"
SUBJECTS = (
    *PEERS,
    ({"services": {"name": "web", "namespace": "shop"}}, "belongs to service shop/web"),
    ({"domains": ["example.com", "*.example.org"]}, "is an address of example.com or *.example.org"),
)
PORTS = (
    ({"ports": [22, "80:90"]}, "the destination port is 22 or 80:90"),
    ({"ports": ["web", 22]}, "the destination port is 22 or web"),
    ({"notPorts": [22]}, "the destination port is not 22"),
)
MESSAGES = (
    ({"icmp": {"type": 8}}, "the ICMP type is 8"),
    ({"notICMP": {"type": 3}}, "the ICMP type is not 3"),
)


def unnamed() -> Iterator[tuple[Object, Object, str, str]]:
    """A rule without its action, a packet, its direction, and all that has to hold for the rule to match."""
    for (side, other), direction in itertools.product(
        (("source", "destination"), ("destination", "source")), ("ingress", "egress")
    ):
        ends: Object = {side: POD, other: HOST}
        for entity, said in SUBJECTS:
            yield {"protocol": "TCP", side: entity}, flow(direction, **ends), direction, f"{POD} {said}"
        for entity, said in PORTS:
            asked = flow(direction, **ends, destination_port=None)
            yield {"protocol": "TCP", "destination": entity}, asked, direction, said
            both = [f"{POD} {PEERS[0][1]}", said]
            rule = {"protocol": "TCP", "destination": entity}
            rule[side] = {**PEERS[0][0], **(entity if side == "destination" else {})}
            yield rule, asked, direction, " and ".join(both)
        for message, said in MESSAGES:
            asked = flow(direction, **ends, protocol="ICMP")
            yield {"protocol": "ICMP", **message}, asked, direction, said


def test_an_assumption_names_its_subject(counted: list[object]) -> None:
    pool = builders.resource("IPPool", "p", cidr="10.244.0.0/16")
    for (rule, asked, direction, said), action, dataplane in itertools.product(
        unnamed(), ("Allow", "Deny"), ("iptables", "nftables", "ebpf")
    ):
        rules = [{"action": action, **rule}, {"action": opposite(action)}]
        policy = gnp(types=[direction.capitalize()], **{"ingress": None, direction: rules})
        found = judge(asked, hep(), policy, pool, dataplane=dataplane)
        assert found.verdict == "undetermined", (rule, dataplane)
        named = {text.partition(": then ")[0] for text in found.assumptions}
        matches = f"GlobalNetworkPolicy p {direction}[0] matches ({said})"
        assert matches in named, (rule, dataplane, found.assumptions)
        counted.append(rule)


# -- t26: the environment decides the data plane -------------------------------------------------------

TRUE, FALSE = ("true", "1", "yes", "y", "t"), ("false", "0", "no", "n", "f")


def spelled(chance: random.Random, text: str) -> str:
    return "".join(chance.choice((letter.lower(), letter.upper())) for letter in text)


def test_the_environment_goes_before_configuration_however_it_is_spelled(counted: list[object]) -> None:
    """Felix compares names and values of variables without their case."""
    chance = random.Random(26)
    for _ in range(300):
        configured: Any = {
            "bpfEnabled": chance.choice((None, True, False)),
            "nftablesMode": chance.choice((None, "Enabled", "Disabled", "Auto")),
        }
        spec = {key: value for key, value in configured.items() if value is not None}
        name = chance.choice(("default", "node.n"))
        bpf, nftables = chance.choice((None, True, False)), chance.choice((None, "Enabled", "Disabled"))
        environment = {}
        if bpf is not None:
            environment[spelled(chance, "FELIX_BPFENABLED")] = spelled(
                chance, chance.choice((FALSE, TRUE)[bpf])
            )
        if nftables:
            environment[spelled(chance, "FELIX_NFTABLESMODE")] = spelled(chance, nftables)
        runs_bpf = configured["bpfEnabled"] if bpf is None else bpf
        mode = nftables or configured["nftablesMode"]
        expected = "ebpf" if runs_bpf else "nftables" if mode == "Enabled" else "iptables"
        objects = [hep(), builders.felix_configuration(name, **spec)]
        assert Dataplanes(objects, environment).of_node("n") == expected, (spec, environment)
        # What a look at the node found counts there as well.
        folded = {key.upper(): value for key, value in environment.items()}
        asked = NodeJudges(objects, Options(environment=folded), {"n": NodeUse("n", environment=folded)})
        assert asked.dataplane_of("n") == expected
        counted.append(environment)


# -- t27: IPVS -----------------------------------------------------------------------------------------

RANGES = ((None, (30000, 32767)), (["20000:20010"], (20000, 20010)), ([31000], (31000, 31000)))


def test_in_ipvs_mode_the_ports_of_services_are_not_the_policy_s(counted: list[object]) -> None:
    seen = {"n": NodeFacts("n", {}, {"eth0": (), "kube-ipvs0": ()})}
    deny = gnp(ingress=[{"action": "Deny"}])
    for (given, (first, last)), protocol, dataplane in itertools.product(
        RANGES, ("TCP", "UDP", "SCTP"), ("iptables", "nftables", "ebpf")
    ):
        felix = builders.felix_configuration(**({"kubeNodePortRanges": given} if given else {}))
        for port in {first - 1, first, (first + last) // 2, last, last + 1}:
            asked = flow(protocol=protocol, destination_port=port)
            taken = first <= port <= last and protocol != "SCTP" and dataplane != "ebpf"
            options = {"dataplane": dataplane}
            for mode, nodes in (("ipvs", None), ("", seen)):
                found = judge(asked, hep(), deny, felix, nodes=nodes, kube_proxy_mode=mode, **options)
                assert found.verdict == ("allow" if taken else "deny"), (port, protocol, dataplane, mode)
            for mode in ("iptables", "nftables"):
                found = judge(asked, hep(), deny, felix, kube_proxy_mode=mode, **options)
                assert (found.verdict, found.assumptions) == ("deny", ())
            unknown = judge(asked, hep(), deny, felix, **options)
            assert unknown.verdict == "deny"
            assert any("IPVS" in text for text in unknown.assumptions) == taken
            counted.append(port)


# -- t35: what an allow-list forgets -------------------------------------------------------------------

TCP = {"action": "Allow", "protocol": "TCP"}
UDP = {"action": "Allow", "protocol": "UDP"}
NEEDED = {
    "api": [{**TCP, "destination": {"ports": [443]}}],
    "kubelet": [
        {**TCP, "destination": {"nets": [net], "ports": [10250]}} for net in ("10.0.0.0/24", "fd00::/64")
    ],
    "etcd": [{**TCP, "destination": {"ports": ["2379:2380"]}}],
    "typha": [{**TCP, "destination": {"ports": [5473]}}],
    "dns": [{**UDP, "destination": {"ports": [53]}}, {**TCP, "destination": {"ports": [53]}}],
    "ntp": [{**UDP, "destination": {"ports": [123]}}],
    "neighbour-discovery": [{"action": "Allow", "protocol": "ICMPv6"}],
    "loopback": [
        {"action": "Allow", "destination": {"nets": ["127.0.0.0/8"]}},
        {"action": "Allow", "destination": {"nets": ["::1/128"]}},
    ],
}
HOSTS = ("node1", "node2", "node3")
CLUSTER: list[Object] = [
    builders.felix_configuration(api=V3, failsafeInboundHostPorts=[], failsafeOutboundHostPorts=[]),
    *(
        builders.node(
            name, f"10.0.0.{number}", f"fd00::{number}", labels={"node-role.kubernetes.io/control-plane": ""}
        )
        for number, name in enumerate(HOSTS, 1)
    ),
    *(builders.host_endpoint(f"{name}-h", node=name, api=V3, labels={"host": "yes"}) for name in HOSTS),
    builders.endpoint_slice("kubernetes", "10.0.0.1", "10.0.0.2", port=443),
    builders.endpoint_slice("calico-typha", "10.0.0.3", port=5473),
    builders.resource("IPPool", "v4", api=V3, cidr="10.244.0.0/16", vxlanMode="Always", natOutgoing=True),
]


@pytest.mark.parametrize("default_action", ["Deny", "Pass"])
def test_what_an_allow_list_forgets_is_refused_by_its_kind(
    default_action: str, counted: list[object]
) -> None:
    """At the end of a tier, or by a last rule, wherever the list forgets one kind or two."""
    last = [{"action": "Deny"}] if default_action == "Pass" else []
    for forgotten in ((), *itertools.combinations(NEEDED, 1), *itertools.combinations(NEEDED, 2)):
        rules = [rule for kind, allowed in NEEDED.items() if kind not in forgotten for rule in allowed]
        tight = builders.policy(
            "first.tight",
            api=V3,
            tier="first",
            order=10,
            selector="has(host)",
            types=["Egress"],
            egress=[*rules, *last],
        )
        own = builders.tier("first", api=V3, order=1, defaultAction=default_action)
        found = losses(CLUSTER, [*CLUSTER, own, tight], Surroundings())
        refused = {loss.vital.kind for loss in found if loss.refuses}
        # A node's own addresses are judged on the kubelet's port.
        assert {*forgotten} <= refused <= {*forgotten, *(("loopback",) if "kubelet" in forgotten else ())}
        assert len(summaries(found)) == len(refused)
        counted.append(forgotten)
