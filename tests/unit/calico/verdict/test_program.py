# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compiled policies: the order of tiers, what passes and what ends there, and failsafes before them."""

from __future__ import annotations

from typing import Any

from tests.unit import builders
from tests.unit.builders import Object
from tests.unit.calico.verdict.asked import ALLOW, DENY, LOG, PASS, SSH, answer, flow, gnp, hep, judge, tier


class TestTiers:
    """Order, Pass, and the end of a tier."""

    def test_pass_goes_to_the_next_tier(self) -> None:
        objects = (hep(), tier("first", 1), gnp("a", tier="first", ingress=[PASS, DENY]), gnp("b"))
        verdict = judge(flow(), *objects)
        assert verdict.decided_by.name == "b"
        assert verdict.trace == (
            "filter INPUT: normal ingress policy of host endpoint hep",
            "tier first: GlobalNetworkPolicy a ingress rule 0 passes to the next tier",
            "tier default: GlobalNetworkPolicy b ingress rule 0 allows",
        )

    def test_pass_from_the_last_tier_leads_to_the_profiles(self) -> None:
        assert answer(flow(), hep(), gnp(ingress=[PASS])) == ("allow", "profile-allow")
        assert answer(flow(), hep(profiles=[]), gnp(ingress=[PASS])) == ("deny", "no-profile")

    def test_log_goes_on(self) -> None:
        assert answer(flow(), hep(), gnp(ingress=[LOG, ALLOW])) == ("allow", "policy-allow")
        assert answer(flow(), hep(), gnp(ingress=[LOG])) == ("deny", "end-of-tier")

    def test_a_tier_without_policy_for_the_direction_is_not_there(self) -> None:
        objects = (hep(), tier("first", 1), gnp("a", tier="first", types=["Egress"], ingress=None))
        assert answer(flow(), *objects) == ("allow", "profile-allow")
        assert answer(flow("egress"), *objects) == ("deny", "end-of-tier")

    def test_the_end_of_a_tier_denies_or_passes_as_the_tier_says(self) -> None:
        undecided = gnp("a", tier="t", ingress=[])
        assert answer(flow(), hep(), tier("t", 1), undecided) == ("deny", "end-of-tier")
        assert answer(flow(), hep(), tier("t", 1, "Pass"), undecided) == ("allow", "profile-allow")
        assert answer(flow(), hep(), tier("t", 1, "Pass"), undecided, gnp("b"))[1] == "policy-allow"

    def test_policy_of_a_missing_tier_comes_last_and_denies(self) -> None:
        lost = gnp("lost", tier="gone", order=1, ingress=[{**ALLOW, "protocol": "UDP"}])
        verdict = judge(flow(), hep(), lost)
        assert (verdict.verdict, verdict.decided_by.tier) == ("deny", "gone")
        assert answer(flow(), hep(), lost, gnp("first")) == ("allow", "policy-allow")

    def test_decided_by_counts_rules_from_0_as_written(self) -> None:
        rules = [{**ALLOW, "protocol": "UDP"}, LOG, {**DENY, "protocol": "TCP"}]
        verdict = judge(flow(), hep(), gnp(ingress=rules))
        assert verdict.as_dict()["decided_by"] == {
            "stage": "normal",
            "tier": "default",
            "kind": "GlobalNetworkPolicy",
            "name": "p",
            "rule_index": 2,
        }


class TestFailsafes:
    """Effective lists, nets, families."""

    def felix(self, name: str = "default", **spec: Any) -> Object:
        return builders.felix_configuration(name, **spec)

    def test_a_net_limits_an_entry(self) -> None:
        entry = {"protocol": "TCP", "port": 22, "net": "192.0.2.0/24"}
        objects = (hep(), gnp(ingress=[DENY]), self.felix(failsafeInboundHostPorts=[entry]))
        assert answer(SSH, *objects)[0] == "deny"
        assert answer({**SSH, "source": "192.0.2.7"}, *objects) == ("allow", "failsafe")
        v6 = {**SSH, "source": "fd00::9", "destination": "fd00::1"}
        assert answer(v6, *objects)[0] == "deny"

    def test_an_empty_list_is_none(self) -> None:
        assert answer(SSH, hep(profiles=[]), self.felix(failsafeInboundHostPorts=[]))[0] == "deny"

    def test_a_nodes_own_configuration_wins(self) -> None:
        objects = (hep(profiles=[]), self.felix(failsafeInboundHostPorts=[]))
        own = self.felix("node.n", failsafeInboundHostPorts=[{"protocol": "TCP", "port": 22}])
        assert answer(SSH, *objects, own) == ("allow", "failsafe")
        assert answer(SSH, *objects, environment={"FELIX_FAILSAFEINBOUNDHOSTPORTS": "tcp:22"})[0] == "allow"
