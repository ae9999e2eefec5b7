# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Verdicts: what is unknown, staged policy, versions, data planes, and laws that always hold.

test_judge_recorded.py holds the engine against a real kernel.
"""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.interface_owner import (
    NodeFacts,
    parse_nodes,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import (
    Options,
    Verdict,
    count_verdicts,
    judge_objects,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import builders
from tests.unit.builders import Object
from tests.unit.calico.verdict.asked import (
    ALLOW,
    AOF,
    DENY,
    NEIGHBOUR,
    PASS,
    PEER,
    POOL,
    SSH,
    UNTRACKED_HEP,
    answer,
    flow,
    gnp,
    hep,
    judge,
    tier,
)

BOTH = ["Ingress", "Egress"]


def staged(name: str = "s", **spec: Any) -> Object:
    return gnp(name, "StagedGlobalNetworkPolicy", **spec)


@pytest.mark.parametrize("port", [29999, 30000, 31000, 32767, 32768])
@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
@pytest.mark.parametrize("dataplane", ["iptables", "nftables", "ebpf"])
def test_ipvs_takes_the_nodeport_range_for_forwarded(port: int, protocol: str, dataplane: str) -> None:
    asked = flow(protocol=protocol, destination_port=port)
    found = answer(asked, hep(profiles=[]), dataplane=dataplane, kube_proxy_mode="ipvs")
    taken = 30000 <= port <= 32767 and protocol != "SCTP" and dataplane != "ebpf"
    assert found == (("allow", "ipvs-node-port") if taken else ("deny", "no-profile"))


def test_the_nodeport_range_is_felixs_own_setting() -> None:
    ranges = builders.felix_configuration(kubeNodePortRanges=["20000:20010", 20050])
    for port, verdict in ((20005, "allow"), (20050, "allow"), (31000, "deny")):
        asked = flow(destination_port=port)
        assert answer(asked, hep(profiles=[]), ranges, kube_proxy_mode="ipvs")[0] == verdict


def test_return_leaves_a_pod_to_the_rest_of_input() -> None:
    back = builders.felix_configuration(defaultEndpointToHostAction="Return")
    found = judge(flow(interface="cali1", source="10.244.0.5"), hep(), back)
    assert any("own rules in INPUT" in text for text in found.assumptions)


class TestClasses:
    """Untracked, preDNAT, normal and forward policy."""

    def test_an_early_allow_spares_the_later_classes(self) -> None:
        closed = gnp("closed", order=99, ingress=[DENY], **AOF)
        for early in ({"preDNAT": True}, {"doNotTrack": True}):
            for direction in ("ingress", "forward"):
                answers = {"types": ["Ingress", "Egress"], "egress": [ALLOW]} if "doNotTrack" in early else {}
                objects = (UNTRACKED_HEP, gnp("early", **early, **answers, **AOF), closed)
                assert answer(flow(direction), *objects) == ("allow", "policy-allow")

    def test_an_early_allow_does_not_spare_the_way_out(self) -> None:
        closed = gnp("closed", types=["Egress"], ingress=None, egress=[DENY], **AOF)
        assert answer(flow("forward"), hep(), gnp("early", preDNAT=True, **AOF), closed)[0] == "deny"

    def test_an_early_policy_that_says_nothing_goes_on(self) -> None:
        quiet = gnp("early", preDNAT=True, ingress=[{**ALLOW, "source": {"nets": ["192.0.2.0/24"]}}], **AOF)
        assert answer(flow(), hep(), quiet) == ("allow", "profile-allow")
        assert answer(flow(), hep(profiles=[]), quiet) == ("deny", "no-profile")

    def test_prednat_sees_the_original_destination_and_normal_the_new_one(self) -> None:
        node_port = flow(
            "forward",
            destination="10.244.0.5",
            destination_port=8080,
            original_destination="10.0.0.1",
            original_destination_port=30080,
        )
        deny_30080 = [{**DENY, "protocol": "TCP", "destination": {"ports": [30080]}}, ALLOW]
        deny_8080 = [{**DENY, "protocol": "TCP", "destination": {"ports": [8080]}}, ALLOW]
        assert answer(node_port, hep(), gnp(preDNAT=True, ingress=deny_30080, **AOF))[0] == "deny"
        assert answer(node_port, hep(), gnp(preDNAT=True, ingress=deny_8080, **AOF))[0] == "allow"
        assert answer(node_port, hep(), gnp(ingress=deny_8080, **AOF))[0] == "deny"
        assert answer(node_port, hep(), gnp(ingress=deny_30080, **AOF))[0] == "allow"

    def test_normal_policy_does_not_touch_forwarded_traffic(self) -> None:
        assert answer(flow("forward"), hep(), gnp(ingress=[DENY])) == ("allow", "forward-default")

    def test_failsafes_come_before_untracked_and_prednat_denies(self) -> None:
        for early in ({"preDNAT": True}, {"doNotTrack": True}):
            assert answer(SSH, UNTRACKED_HEP, gnp(ingress=[DENY], **early, **AOF)) == ("allow", "failsafe")

    def test_answers_to_failsafe_connections_do_not_fall_to_untracked_policy(self) -> None:
        reply = flow(source_port=6443, destination_port=50000, state="established")
        closed = gnp(ingress=[DENY], doNotTrack=True, **AOF)
        assert answer(reply, UNTRACKED_HEP, closed)[0] == "allow"
        assert answer({**reply, "source_port": 443}, UNTRACKED_HEP, closed) == ("deny", "policy-deny")

    def test_untracked_policy_is_ignored_on_the_wildcard(self) -> None:
        assert answer(flow(), hep(), gnp(ingress=[DENY], doNotTrack=True, **AOF)) == (
            "allow",
            "profile-allow",
        )

    @pytest.mark.parametrize(
        ("protocol", "asked", "answers"), [("ICMP", 8, 0), ("ICMP", 13, 14), ("ICMPv6", 128, 129)]
    )
    @pytest.mark.parametrize("direction", ["ingress", "egress"])
    def test_what_untracked_policy_lets_in_is_answered_out_of_no_connection(
        self, protocol: str, asked: int, answers: int, direction: str
    ) -> None:
        family = {} if protocol == "ICMP" else {"source": "fd00::9", "destination": "fd00::1"}
        ping = flow(direction, protocol=protocol, icmp_type=asked, icmp_code=0, **family)
        one_way = gnp(
            "early",
            doNotTrack=True,
            types=[direction.capitalize()],
            **{"ingress": None, direction: [{**ALLOW, "protocol": protocol}]},
            **AOF,
        )
        back = {**ALLOW, "protocol": protocol, "icmp": {"type": answers}}
        both = gnp(
            "early", doNotTrack=True, types=["Ingress", "Egress"], ingress=[ALLOW], egress=[ALLOW], **AOF
        )
        assert answer(ping, UNTRACKED_HEP, one_way) == ("deny", "answer-denied")
        assert answer(ping, UNTRACKED_HEP, both) == ("allow", "policy-allow")
        other = {"ingress": "egress", "egress": "ingress"}[direction]
        narrow = gnp(
            "early",
            doNotTrack=True,
            types=["Ingress", "Egress"],
            **{direction: [{**ALLOW, "protocol": protocol}], other: [back]},
            **AOF,
        )
        assert answer(ping, UNTRACKED_HEP, narrow) == ("allow", "policy-allow")

    def test_a_named_endpoint_takes_the_wildcards_place_per_table(self) -> None:
        wild, named = hep("wild"), {**hep("named", interfaceName="eth0"), "metadata": {"name": "named"}}
        deny_early = gnp(preDNAT=True, ingress=[DENY], **AOF)
        assert answer(flow(), wild, named, deny_early) == ("deny", "policy-deny")
        assert answer(flow(), wild, named, gnp(ingress=[DENY])) == ("allow", "profile-allow")

    def test_forwarded_in_one_direction_only_depends_on_the_version(self) -> None:
        egress_only = gnp(types=["Egress"], ingress=None, egress=[PASS], **AOF)
        assert (
            judge(flow("forward"), hep(interfaceName="eth0"), egress_only).reason_code == "forward-undecided"
        )
        old = judge(flow("forward"), hep(interfaceName="eth0"), egress_only, calico_version="v3.28.0")
        assert old.reason_code == "forward-default"

    def test_an_undecided_forward_takes_the_nodes_own_rules_for_granted(self) -> None:
        verdict = judge(flow("forward"), hep(interfaceName="eth0"), gnp(ingress=[PASS], **AOF))
        assert any("FORWARD" in assumption for assumption in verdict.assumptions)


class TestStaged:
    """Staged policies: ignored, enforced, compared."""

    OBJECTS = (hep(), staged("s", ingress=[DENY]))

    def test_felix_ignores_them(self) -> None:
        verdict = judge(flow(), *self.OBJECTS)
        assert (verdict.verdict, verdict.staged) == ("allow", None)
        assert "tier default: StagedGlobalNetworkPolicy s ingress rule 0 would deny" in verdict.trace

    def test_as_enforced(self) -> None:
        assert answer(flow(), *self.OBJECTS, staged="as_enforced") == ("deny", "policy-deny")

    def test_compare(self) -> None:
        verdict = judge(flow(), *self.OBJECTS, staged="compare")
        assert verdict.verdict == "allow"
        assert verdict.staged
        assert verdict.staged.verdict == verdict.as_dict()["staged"]["verdict"] == "deny"

    def test_a_tier_ends_for_staged_policies_as_their_set_wants_it_once_enforced(self) -> None:
        """While the set is staged the tier is stored with Pass: nothing of it decides."""
        waiting = tier("t", 1, "Pass")
        waiting["metadata"]["annotations"] = {"sets.hostfence.io/edge": "DenyOnceEnforced"}
        objects = (hep(profiles=["projectcalico-default-allow"]), waiting, staged(tier="t", ingress=[]))

        verdict = judge(
            SSH, *objects, staged="compare", environment={"FELIX_FAILSAFEINBOUNDHOSTPORTS": "none"}
        )
        assert verdict.verdict == "allow"
        assert verdict.staged
        assert (verdict.staged.verdict, verdict.staged.reason_code) == ("deny", "end-of-tier")
        assert answer(flow(), *objects, staged="as_enforced") == ("deny", "end-of-tier")
        assert answer(flow(), *objects, staged="ignore") == ("allow", "profile-allow")
        waiting["metadata"]["annotations"] = {"sets.hostfence.io/edge": "Pass"}
        assert answer(flow(), *objects, staged="as_enforced") == ("allow", "profile-allow")

    def test_compare_without_staged_policies(self) -> None:
        verdict = judge(flow(), hep(), gnp(), staged="compare")
        assert verdict.staged
        assert verdict.staged.verdict == "allow"

    def test_one_replaces_the_enforced_policy_of_its_name(self) -> None:
        assert (
            answer(flow(), hep(), gnp("p", ingress=[DENY]), staged("p"), staged="as_enforced")[0] == "allow"
        )

    def test_a_staged_deletion_removes_it(self) -> None:
        deletion = builders.resource("StagedGlobalNetworkPolicy", "p", stagedAction="Delete")
        assert answer(flow(), hep(), gnp("p", ingress=[DENY]), deletion)[0] == "deny"
        assert answer(flow(), hep(), gnp("p", ingress=[DENY]), deletion, staged="as_enforced")[0] == "allow"

    def test_an_all_staged_tier_is_transparent_until_one_is_enforced(self) -> None:
        objects = [hep(), tier("t", 1), staged("a", tier="t", ingress=[]), staged("b", tier="t")]
        assert answer(flow(), *objects) == ("allow", "profile-allow")
        lone = gnp("lone", tier="t", ingress=[{**ALLOW, "protocol": "UDP"}])
        assert answer(flow(), *objects, lone) == ("deny", "end-of-tier")


class TestDataplanes:
    """Where the data planes part ways."""

    def test_neighbour_discovery_out(self) -> None:
        asked, objects = (
            flow("egress", **NEIGHBOUR),
            (hep(), gnp(types=["Egress"], ingress=None, egress=[DENY])),
        )
        assert answer(asked, *objects) == ("deny", "policy-deny")
        assert answer(asked, *objects, dataplane="nftables") == ("allow", "no-connection")
        assert answer(asked, *objects, dataplane="ebpf") == ("allow", "neighbour-discovery")

    def test_an_icmp_code_stops_felix_on_nftables(self) -> None:
        code = {**DENY, "protocol": "ICMP", "icmp": {"type": 3, "code": 4}}
        objects = (hep(), gnp(ingress=[code, ALLOW]))
        assert answer(flow(), *objects) == ("allow", "policy-allow")
        assert answer(flow(), *objects, dataplane="nftables") == ("undetermined", "unprogrammable-rule")
        elsewhere = (hep(), gnp(selector="role == 'web'", ingress=[code]))
        assert answer(flow(), *elsewhere, dataplane="nftables") == ("allow", "profile-allow")

    def test_ebpf_ignores_interfaces_outside_its_pattern(self) -> None:
        asked = flow(interface="br0")
        assert answer(asked, hep(profiles=[]), dataplane="ebpf") == ("allow", "not-an-ebpf-interface")

    def test_ebpf_forward_in_one_direction(self) -> None:
        egress_only = gnp(types=["Egress"], ingress=None, egress=[ALLOW], **AOF)
        assert (
            answer(flow("forward"), hep(interfaceName="eth0"), egress_only, dataplane="ebpf")[1]
            == "forward-default"
        )

    def test_bad_choices_are_refused(self) -> None:
        with pytest.raises(BadInput, match="dataplane"):
            Options(dataplane="ipvs")
        with pytest.raises(BadInput, match="staged"):
            Options(staged="yes")


class TestUnknown:
    """What the input does not say."""

    WEB = {**ALLOW, "protocol": "TCP", "destination": {"ports": [80]}}

    def test_a_missing_port_matters_only_if_it_decides(self) -> None:
        no_port = flow(destination_port=None)
        verdict = judge(no_port, hep(), gnp(ingress=[self.WEB]))
        assert verdict.verdict == "undetermined"
        said = "GlobalNetworkPolicy p ingress[0] matches (the destination port is 80): then allow"
        assert said in verdict.assumptions
        assert answer(no_port, hep(), gnp(ingress=[self.WEB, ALLOW])) == ("allow", "policy-allow")

    @pytest.mark.parametrize(
        ("rule", "asked", "said"),
        [
            ({"source": {"ports": [40000, "50000:50010"]}}, {}, "the source port is 40000 or 50000:50010"),
            (
                {"destination": {"notPorts": [80]}},
                {"destination_port": None},
                "the destination port is not 80",
            ),
            ({"protocol": "ICMP", "icmp": {"type": 8}}, {"protocol": "ICMP"}, "the ICMP type is 8"),
            (
                {"protocol": "ICMP", "notICMP": {"type": 8, "code": 0}},
                {"protocol": "ICMP", "icmp_type": 8},
                "the ICMP type is not 8 with code 0",
            ),
            (
                {"source": {"services": {"name": "s", "namespace": "d"}}},
                {},
                "10.0.0.9 belongs to service d/s",
            ),
            (
                {"source": {"services": {"name": "s", "namespace": "d"}}, "destination": {"ports": [80]}},
                {"destination_port": None},
                "10.0.0.9 belongs to service d/s and the destination port is 80",
            ),
        ],
    )
    def test_an_assumption_says_what_is_not_known(self, rule: Object, asked: Object, said: str) -> None:
        icmp = asked.get("protocol") == "ICMP"
        given = {"source_port": None, **({"destination_port": None} if icmp else {}), **asked}
        verdict = judge(flow(**given), hep(), gnp(ingress=[{**ALLOW, "protocol": "TCP", **rule}]))
        assert verdict.verdict == "undetermined"
        assert any(f"ingress[0] matches ({said})" in text for text in verdict.assumptions), verdict
        # Nothing is called a fact that rests on it.
        assert not any(line.endswith(" allows") for line in verdict.trace)
        assert any(line.endswith(", if it matches") for line in verdict.trace), verdict.trace

    def test_a_failsafe_may_match_an_unknown_port(self) -> None:
        verdict = judge(flow(destination_port=None), hep(), gnp(ingress=[{**DENY, "protocol": "TCP"}]))
        assert verdict.verdict == "undetermined"
        assert any("failsafe" in text for text in verdict.assumptions)

    def test_a_source_port_that_is_not_given_is_one_that_the_kernel_picks(self) -> None:
        rule = {**DENY, "protocol": "TCP", "source": {"ports": [22]}}
        verdict = judge(flow(source_port=None), hep(), gnp(ingress=[rule, ALLOW]))
        assert verdict.verdict == "allow"
        assert any("32768-60999" in text for text in verdict.assumptions)
        assert judge(flow(source_port=None), hep(), gnp()).assumptions == ()

    def test_labels_of_an_undescribed_pod(self) -> None:
        pool = builders.resource("IPPool", "pool", cidr="10.244.0.0/16")
        rule = {**ALLOW, "source": {"selector": "app == 'web'"}}
        asked = flow(source="10.244.0.5")
        assert judge(asked, hep(), pool, gnp(ingress=[rule])).reason_code == "unknown-match"
        assert answer(asked, hep(), pool, gnp(ingress=[rule]), complete=True)[0] == "deny"

    def test_pass_that_may_match_is_followed_to_its_end(self) -> None:
        maybe_pass = {**PASS, "protocol": "TCP", "destination": {"ports": [80]}}
        objects = (tier("t", 1), gnp("a", tier="t", ingress=[maybe_pass, DENY]))
        no_port = flow(destination_port=None, protocol="TCP")
        assert judge(no_port, hep(), *objects).reason_code == "unknown-match"
        assert answer(no_port, hep(profiles=[]), *objects, gnp("b", ingress=[DENY])) == (
            "undetermined",
            "unknown-match",
        )

    def test_the_interface_matters_only_if_it_decides(self) -> None:
        no_interface = flow(interface=None)
        assert answer(no_interface, hep(profiles=[]))[0] == "deny"
        objects = (hep("a", interfaceName="eth0", profiles=[]), hep("b"))
        verdict = judge(no_interface, *objects)
        assert (verdict.verdict, verdict.reason_code) == ("undetermined", "unknown-interface")
        known = {"n": NodeFacts("n", {}, {"eth1": ()})}
        assert answer(no_interface, *objects, nodes=known)[0] == "allow"

    def test_addresses_of_an_interface(self) -> None:
        by_address = hep(interfaceName=None, expectedIPs=["10.0.0.1"], profiles=[])
        assert judge(flow(), by_address).reason_code == "unknown-interface"
        for address, verdict in (("10.0.0.1/24", "deny"), ("10.0.0.2/24", "allow")):
            nodes = parse_nodes([{"name": "n", "interfaces": {"eth0": [address]}}])
            assert answer(flow(), by_address, nodes=nodes)[0] == verdict

    def test_an_unknown_node_is_refused_where_nodes_are_known(self) -> None:
        with pytest.raises(BadInput) as refused:
            judge(flow(node="m"), hep())
        assert refused.value.field == "flows[0].node"
        assert answer(flow(node="m"))[0] == "allow"


class TestDomains:
    """Which addresses a name stands for, each node learns by itself."""

    OUT = flow("egress", destination="192.0.2.7", destination_port=443)
    RULE: Object = {"action": "Allow", "protocol": "TCP", "destination": {"domains": ["example.com"]}}

    def policy(self, *rules: Object) -> Object:
        return gnp(types=["Egress"], ingress=None, egress=list(rules))

    def test_the_assumption_names_the_domain(self) -> None:
        verdict = judge(self.OUT, hep(), self.policy(self.RULE))
        assert (verdict.verdict, verdict.reason_code) == ("undetermined", "unknown-match")
        named = "GlobalNetworkPolicy p egress[0] matches (192.0.2.7 is an address of example.com)"
        assert f"{named}: then allow" in verdict.assumptions

    def test_what_does_not_depend_on_it_is_decided(self) -> None:
        assert answer(self.OUT, hep(), self.policy(self.RULE, ALLOW)) == ("allow", "policy-allow")
        udp = {**self.OUT, "protocol": "UDP"}
        assert answer(udp, hep(), self.policy(self.RULE)) == ("deny", "end-of-tier")


class TestPods:
    """Where a packet meets the policy of a pod as well."""

    POD: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "ns", "labels": {"app": "web"}},
        "spec": {"nodeName": "n"},
        "status": {"podIP": "10.244.0.5"},
    }
    NAMESPACE: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}}
    ACCOUNT: Object = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "sa", "namespace": "ns"},
    }
    KNOWN = (hep(), {**POD, "spec": {"nodeName": "n", "serviceAccountName": "sa"}}, NAMESPACE, ACCOUNT)
    TO_POD = flow("forward", out_interface="cali1", destination="10.244.0.5")

    def closed(self, **spec: Any) -> Object:
        made = gnp("closed", kind="NetworkPolicy", selector="app == 'web'", ingress=[DENY], **spec)
        made["metadata"]["namespace"] = "ns"
        return made

    def test_a_known_pods_policy_is_judged(self) -> None:
        assert answer(self.TO_POD, *self.KNOWN) == ("allow", "profile-allow")
        assert answer(self.TO_POD, *self.KNOWN, self.closed()) == ("deny", "policy-deny")

    def test_an_early_allow_does_not_spare_it(self) -> None:
        early = gnp("early", preDNAT=True, **AOF)
        assert answer(self.TO_POD, *self.KNOWN, early, self.closed()) == ("deny", "policy-deny")

    def test_it_stays_open_where_kubernetes_policies_are(self) -> None:
        native = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "k", "namespace": "ns"},
        }
        assert answer(self.TO_POD, *self.KNOWN, native) == ("undetermined", "pod-policy")

    @pytest.mark.parametrize(
        "kind", ["AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "ClusterNetworkPolicy"]
    )
    def test_it_stays_open_where_a_policy_of_the_whole_cluster_is(self, kind: str) -> None:
        api = "policy.networking.k8s.io/v1alpha2"
        native = {"apiVersion": api, "kind": kind, "metadata": {"name": "k"}, "spec": {"priority": 1}}
        assert answer(self.TO_POD, *self.KNOWN, native) == ("undetermined", "pod-policy")
        assert answer(flow(), *self.KNOWN, native) == ("allow", "profile-allow")

    def test_it_stays_open_where_the_namespace_is_not_known(self) -> None:
        assert answer(self.TO_POD, hep(), self.POD) == ("undetermined", "pod-policy")

    def test_from_a_pod_to_its_node(self) -> None:
        asked = flow(interface="cali1", source="10.244.0.5")
        accept = builders.felix_configuration(defaultEndpointToHostAction="Accept")
        assert answer(asked, *self.KNOWN, accept) == ("allow", "pod-to-host")
        egress = self.closed(types=["Egress"], egress=[DENY])
        assert answer(asked, *self.KNOWN, accept, egress) == ("deny", "policy-deny")


class TestTunnels:
    """Calico's own traffic between nodes."""

    VXLAN = flow(protocol="UDP", destination_port=4789)

    def test_from_and_to_a_node_they_pass_before_host_policy(self) -> None:
        objects = (hep(profiles=[]), POOL, PEER)
        assert answer(self.VXLAN, *objects) == ("allow", "tunnel")
        there = flow(
            "egress", protocol="UDP", destination_port=4789, source="10.0.0.1", destination="10.0.0.9"
        )
        assert answer(there, *objects) == ("allow", "tunnel")

    def test_from_others_they_do_not_pass_unless_it_is_a_node_after_all(self) -> None:
        verdict = judge({**self.VXLAN, "source": "10.0.0.8"}, hep(), POOL, PEER)
        assert (verdict.verdict, verdict.reason_code) == ("undetermined", "tunnel")
        assert verdict.assumptions == ("10.0.0.8 is the address of a node of this cluster",)

    def test_without_a_pool_that_wants_them_they_are_like_any_other(self) -> None:
        assert answer(self.VXLAN, hep(profiles=[]), PEER) == ("deny", "no-profile")
        off = builders.felix_configuration(vxlanEnabled=False)
        assert answer(self.VXLAN, hep(profiles=[]), POOL, PEER, off) == ("deny", "no-profile")

    def test_wireguard_checks_its_peers_itself(self) -> None:
        on = builders.felix_configuration(wireguardEnabled=True)
        assert answer(flow(protocol="UDP", destination_port=51820), hep(profiles=[]), on) == (
            "allow",
            "tunnel",
        )


def test_counts() -> None:
    verdicts = judge_objects([hep(profiles=[])], [flow(), SSH, flow()])
    assert count_verdicts(verdicts) == {"allow": 1, "deny": 2, "undetermined": 0}


# -- laws ------------------------------------------------------------------------------------------

NETS = st.sampled_from(["10.0.0.0/8", "10.0.0.9", "192.0.2.0/24", "fd00::/16", "0.0.0.0/0", "::/0"])


SIDES = st.fixed_dictionaries(
    {},
    optional={
        "nets": st.lists(NETS, min_size=1, max_size=2),
        "notNets": st.lists(NETS, min_size=1, max_size=2),
        "selector": st.sampled_from(["role == 'db'", "set == 's'"]),
        "notSelector": st.sampled_from(["set == 's'"]),
    },
)
RULES = st.one_of(
    st.fixed_dictionaries(
        {
            "action": st.sampled_from(["Allow", "Deny", "Pass", "Log"]),
            "source": SIDES,
            "destination": SIDES,
        }
    ),
    st.fixed_dictionaries(
        {
            "action": st.sampled_from(["Allow", "Deny", "Pass", "Log"]),
            "protocol": st.sampled_from(["TCP", "UDP"]),
            "destination": st.fixed_dictionaries(
                {"ports": st.lists(st.sampled_from([22, 80, "1:100", 8080]), min_size=1, max_size=2)}
            ),
        }
    ),
)
POLICIES = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["normal", "forward", "preDNAT", "doNotTrack"]),
        "order": st.sampled_from([None, 1, 2, 3]),
        "tier": st.sampled_from(["default", "first", "gone"]),
        "selector": st.sampled_from(["role == 'db'", "all()", "role == 'web'"]),
        "types": st.sampled_from([["Ingress"], ["Egress"], BOTH, None]),
        "ingress": st.lists(RULES, max_size=3),
        "egress": st.lists(RULES, max_size=3),
    }
)


def made(index: int, raw: Object, kind: str = "GlobalNetworkPolicy") -> Object:
    spec = {key: value for key, value in raw.items() if key != "kind"}
    if raw["kind"] != "normal":
        spec["applyOnForward"] = True
    if raw["kind"] in ("preDNAT", "doNotTrack"):
        spec[raw["kind"]] = True
    return gnp(f"p{index}", kind, **spec)


WORLDS = st.fixed_dictionaries(
    {
        "policies": st.lists(POLICIES, max_size=4),
        "interface": st.sampled_from(["*", "eth0"]),
        "profiles": st.sampled_from([[], ["projectcalico-default-allow"]]),
        "tier": st.sampled_from(["Deny", "Pass"]),
    }
)


def world(raw: Object) -> list[Object]:
    return [
        hep(interfaceName=raw["interface"], profiles=raw["profiles"], expectedIPs=["10.0.0.1"]),
        tier("first", 5, raw["tier"]),
        builders.network_set("s", labels={"set": "s"}, nets=["192.0.2.0/25", "fd00::9/128"]),
        *(made(index, policy) for index, policy in enumerate(raw["policies"])),
    ]


V4 = st.sampled_from(["10.0.0.9", "10.0.0.1", "192.0.2.7", "203.0.113.1"])
V6 = st.sampled_from(["fd00::9", "fd00::1", "2001:db8::1"])


@st.composite
def flows(draw: Any) -> Object:
    ends = draw(st.sampled_from([V4, V6]))
    return flow(
        draw(st.sampled_from(["ingress", "egress", "forward"])),
        source=draw(ends),
        destination=draw(ends),
        protocol=draw(st.sampled_from(["TCP", "UDP"])),
        destination_port=draw(st.sampled_from([22, 80, 8080, 53])),
        state=draw(st.sampled_from(["new", "new", "established"])),
    )


PLANES = st.sampled_from(["iptables", "nftables", "ebpf"])
LAW = settings(max_examples=120, deadline=None)


def told(verdict: Verdict) -> tuple[str, str, object]:
    return verdict.verdict, verdict.reason_code, verdict.decided_by


@LAW
@given(WORLDS, POLICIES, flows(), PLANES)
def test_a_staged_policy_never_changes_a_verdict(
    raw: Object, extra: Object, asked: Object, plane: str
) -> None:
    objects = world(raw)
    before = judge(asked, *objects, dataplane=plane)
    after = judge(asked, *objects, made(99, extra, "StagedGlobalNetworkPolicy"), dataplane=plane)
    assert after.verdict == before.verdict


@LAW
@given(WORLDS, flows(), PLANES, st.randoms())
def test_the_order_of_the_input_never_matters(raw: Object, asked: Object, plane: str, chance: Any) -> None:
    objects = world(raw)
    before = judge(asked, *objects, dataplane=plane)
    chance.shuffle(objects)
    assert told(judge(asked, *objects, dataplane=plane)) == told(before)


INBOUND = [("TCP", port) for port in (22, 179, 2379, 2380, 5473, 6443, 6666, 6667)] + [("UDP", 68)]
OUTBOUND = [("TCP", port) for port in (179, 2379, 2380, 5473, 6443, 6666, 6667)] + [("UDP", 53), ("UDP", 67)]


@LAW
@given(WORLDS, flows(), PLANES, st.integers(0, 8))
def test_a_failsafe_flow_is_never_denied_locally(raw: Object, asked: Object, plane: str, which: int) -> None:
    if asked["direction"] == "forward":
        asked = {**asked, "direction": "ingress"}
        del asked["out_interface"]
    protocol, port = (INBOUND if asked["direction"] == "ingress" else OUTBOUND)[which]
    verdict = judge({**asked, "protocol": protocol, "destination_port": port}, *world(raw), dataplane=plane)
    assert verdict.verdict == "allow"


@LAW
@given(WORLDS, flows(), PLANES, st.integers(0, 20))
def test_taking_a_deny_out_never_denies_more(raw: Object, asked: Object, plane: str, which: int) -> None:
    places = [
        (policy, direction, index)
        for policy in raw["policies"]
        for direction in ("ingress", "egress")
        for index, rule in enumerate(policy[direction])
        if rule["action"] == "Deny"
    ]
    if not places:
        return
    before = judge(asked, *world(raw), dataplane=plane)
    policy, direction, index = places[which % len(places)]
    policy[direction] = policy[direction][:index] + policy[direction][index + 1 :]
    after = judge(asked, *world(raw), dataplane=plane)
    assert not (before.verdict == "allow" and after.verdict == "deny")


@LAW
@given(WORLDS, flows(), PLANES)
def test_a_flow_with_all_fields_is_always_decided(raw: Object, asked: Object, plane: str) -> None:
    assert judge(asked, *world(raw), dataplane=plane).verdict in ("allow", "deny")


@LAW
@given(WORLDS, flows(), PLANES)
def test_what_is_decided_without_a_port_is_decided_so_for_every_port(
    raw: Object, asked: Object, plane: str
) -> None:
    without = {key: value for key, value in asked.items() if key != "destination_port"}
    verdict = judge(without, *world(raw), dataplane=plane)
    if verdict.verdict != "undetermined":
        assert judge(asked, *world(raw), dataplane=plane).verdict == verdict.verdict
