# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An allow that stands behind a deny of another class or tier, and the remedy for it."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import lint
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import judge_objects

from tests.unit import builders
from tests.unit.builders import Object
from tests.unit.calico.lint.objects import (
    ALL,
    AOF,
    BOTH,
    DENY_ALL,
    Case,
    gnp,
    hep,
    ids_of,
    rules_found,
    staged,
)

EXPORTER = {
    "action": "Allow",
    "protocol": "TCP",
    "source": {"nets": ["192.0.2.0/24"]},
    "destination": {"ports": [9100]},
}
SSH_FROM_OFFICE = {**EXPORTER, "destination": {"ports": [22]}}
LOCKDOWN = [SSH_FROM_OFFICE, {"action": "Deny"}]
FIRST_TIER = builders.tier("first", order=1)
PASS_DNS = {"action": "Pass", "protocol": "UDP", "destination": {"ports": [53]}}
PASS_TCP = {"action": "Pass", "protocol": "TCP"}
DENY_EXPORTER = {"action": "Deny", "protocol": "TCP", "destination": {"ports": [9100]}}
ALL_UDP = {"action": "Allow", "protocol": "UDP"}
RAW = {"doNotTrack": True, **AOF}


CASES: list[Case] = [
    # The same set as preDNAT policy, with an order before the deny, is asked first.
    (
        "allow-behind-deny",
        [gnp("lockdown", ingress=LOCKDOWN, preDNAT=True, **AOF), gnp("own", order=5, ingress=[EXPORTER])],
        [
            gnp("lockdown", ingress=LOCKDOWN, preDNAT=True, **AOF),
            gnp("own", order=5, ingress=[EXPORTER], preDNAT=True, **AOF),
        ],
    ),
    # What the lockdown allows itself is not denied by it.
    (
        "allow-behind-deny",
        [gnp("lockdown", ingress=LOCKDOWN, preDNAT=True, **AOF), gnp("own", ingress=[EXPORTER])],
        [gnp("lockdown", ingress=LOCKDOWN, preDNAT=True, **AOF), gnp("own", ingress=[SSH_FROM_OFFICE])],
    ),
    # The end of an earlier tier denies all that its policies select.
    (
        "allow-behind-deny",
        [FIRST_TIER, gnp("a", tier="first", ingress=[SSH_FROM_OFFICE]), gnp("own", ingress=[EXPORTER])],
        [
            builders.tier("first", order=1, defaultAction="Pass"),
            gnp("a", tier="first", ingress=[SSH_FROM_OFFICE]),
            gnp("own", ingress=[EXPORTER]),
        ],
    ),
    # A Pass that such packets may meet leads past the rest of its tier; one of another port does not.
    (
        "allow-behind-deny",
        [FIRST_TIER, gnp("a", tier="first", ingress=[PASS_DNS, DENY_ALL]), gnp("own", ingress=[EXPORTER])],
        [FIRST_TIER, gnp("a", tier="first", ingress=[PASS_TCP, DENY_ALL]), gnp("own", ingress=[EXPORTER])],
    ),
    # doNotTrack comes before all other; a Pass there leads to them, and another port denies nothing here.
    (
        "allow-behind-deny",
        [gnp("raw", ingress=[DENY_ALL], **RAW), gnp("own", order=5, ingress=[EXPORTER])],
        [gnp("raw", ingress=[PASS_TCP, DENY_ALL], **RAW), gnp("own", order=5, ingress=[EXPORTER])],
    ),
    (
        "allow-behind-deny",
        [
            hep(interfaceName="eth0"),
            gnp("raw", ingress=[DENY_EXPORTER], **RAW),
            gnp("own", ingress=[EXPORTER], preDNAT=True, **AOF),
        ],
        [
            hep(interfaceName="eth0"),
            gnp("raw", ingress=[DENY_EXPORTER], **RAW),
            gnp("own", ingress=[SSH_FROM_OFFICE], preDNAT=True, **AOF),
        ],
    ),
    # On a host endpoint for all interfaces Felix ignores it.
    (
        "allow-behind-deny",
        [hep(interfaceName="eth0"), gnp("raw", ingress=[DENY_ALL], **RAW), gnp("own", ingress=[EXPORTER])],
        [hep(interfaceName="*"), gnp("raw", ingress=[DENY_ALL], **RAW), gnp("own", ingress=[EXPORTER])],
    ),
    # What is forwarded goes out without meeting it.
    (
        "allow-behind-deny",
        [gnp("raw", egress=[DENY_ALL], types=["Egress"], **RAW), gnp("own", egress=[EXPORTER], types=BOTH)],
        [
            gnp("raw", egress=[DENY_ALL], types=["Egress"], **RAW),
            gnp("own", egress=[EXPORTER], types=BOTH, **AOF),
        ],
    ),
    # Untracked policy of an earlier tier comes before untracked policy; other policy does not.
    (
        "allow-behind-deny",
        [
            FIRST_TIER,
            gnp("raw", tier="first", ingress=[DENY_ALL], **RAW),
            gnp("own", ingress=[EXPORTER], **RAW),
        ],
        [FIRST_TIER, gnp("a", tier="first", ingress=[DENY_ALL]), gnp("own", ingress=[EXPORTER], **RAW)],
    ),
    # A policy of other host endpoints denies nothing here; known host endpoints tell.
    (
        "allow-behind-deny",
        [hep(), FIRST_TIER, gnp("a", tier="first", selector="has(role)", ingress=[DENY_ALL]), gnp("own")],
        [hep(), FIRST_TIER, gnp("a", tier="first", selector="has(zone)", ingress=[DENY_ALL]), gnp("own")],
    ),
]


@pytest.mark.parametrize(("name", "fires", "silent"), CASES, ids=ids_of(CASES))
def test_rule(name: str, fires: list[Object], silent: list[Object]) -> None:
    assert name in rules_found(fires)
    assert name not in rules_found(silent)


def behind(objects):
    return [finding for finding in lint(objects) if finding.id == "allow-behind-deny"]


def test_the_remedy_of_an_allow_behind_a_lockdown_can_be_followed():
    lockdown = gnp("lockdown", order=500, ingress=LOCKDOWN, preDNAT=True, tier="first", **AOF)
    own = gnp("own", order=50, ingress=[EXPORTER], types=BOTH, egress=[ALL])
    (found,) = behind([FIRST_TIER, lockdown, own])
    assert (found.object, found.field) == ("GlobalNetworkPolicy own", "spec.ingress[0]")
    assert "denied before DNAT, by GlobalNetworkPolicy lockdown ingress[1]" in found.message
    assert found.remedy == (
        "move the ingress rules into a policy of their own with tier: first, preDNAT: true, "
        "applyOnForward: true, types: [Ingress] and an order below 500"
    )
    followed = gnp("own-in", order=50, ingress=[EXPORTER], preDNAT=True, tier="first", **AOF)
    assert not behind([FIRST_TIER, lockdown, followed])
    # One that is asked after it stays behind, and is told so by the rule for one tier.
    late = gnp("own-in", order=501, ingress=[EXPORTER], preDNAT=True, tier="first", **AOF)
    (found,) = [one for one in lint([FIRST_TIER, lockdown, late]) if one.id == "unreachable-rule"]
    assert found.remedy == "remove it, or give the policy an order below 500, that of lockdown"


def test_the_remedy_of_an_allow_behind_a_tier_can_be_followed():
    first = gnp("a", order=7, tier="first", ingress=[{**EXPORTER, "action": "Deny"}, ALL])
    (found,) = behind([FIRST_TIER, first, gnp("own", ingress=[EXPORTER])])
    assert (
        "in tier first, which comes before tier default, by GlobalNetworkPolicy a ingress[0]" in found.message
    )
    assert found.remedy.startswith(
        "write here tier: first, and an order below 7; or put a rule {action: Pass}"
    )
    assert not behind([FIRST_TIER, first, gnp("own", order=6, tier="first", ingress=[EXPORTER])])
    passing = gnp(
        "a", order=7, tier="first", ingress=[{**EXPORTER, "action": "Pass"}, first["spec"]["ingress"][0]]
    )
    assert not behind([FIRST_TIER, passing, gnp("own", ingress=[EXPORTER])])
    # So can that of the end of a tier.
    (found,) = behind(
        [FIRST_TIER, gnp("a", tier="first", ingress=[SSH_FROM_OFFICE]), gnp("own", ingress=[EXPORTER])]
    )
    assert "the end of tier first" in found.message
    ended = gnp("a", tier="first", ingress=[SSH_FROM_OFFICE, {"action": "Pass"}])
    assert not behind([FIRST_TIER, ended, gnp("own", ingress=[EXPORTER])])


def test_a_staged_lockdown_counts_as_it_will_be():
    lockdown = staged("lockdown", ingress=LOCKDOWN, preDNAT=True, **AOF)
    (found,) = behind([lockdown, gnp("own", ingress=[EXPORTER])])
    assert "StagedGlobalNetworkPolicy lockdown" in found.message


def test_the_remedy_of_an_allow_behind_untracked_policy_can_be_followed():
    raw = gnp("raw", order=500, tier="first", ingress=[ALL_UDP, DENY_EXPORTER], **RAW)
    own = gnp("own", order=50, ingress=[EXPORTER])
    objects = [FIRST_TIER, hep(interfaceName="eth0"), raw]
    (found,) = behind([*objects, own])
    assert (found.object, found.field) == ("GlobalNetworkPolicy own", "spec.ingress[0]")
    assert (
        "by doNotTrack policy, which comes before all other, by GlobalNetworkPolicy raw ingress[1]"
        in found.message
    )
    assert found.remedy.startswith(
        "put a rule {action: Pass} for it before ingress[1] of raw, or into a policy"
    )
    assert "tier: first, doNotTrack: true, applyOnForward: true and an order below 500" in found.remedy
    passing = [{**EXPORTER, "action": "Pass"}]
    inside = gnp("raw", order=500, tier="first", ingress=[ALL_UDP, *passing, DENY_EXPORTER], **RAW)
    before = gnp("ours", order=499, tier="first", ingress=passing, **RAW)
    asked = builders.flow(
        source="192.0.2.7", destination="10.0.0.1", destination_port=9100, node="n1", interface="eth0"
    )

    def verdict(*policies: Object) -> str:
        (judged,) = judge_objects([*objects[:2], *policies], [asked])
        return judged.verdict

    assert verdict(raw, own) == "deny"
    for followed in ([inside, own], [raw, before, own]):
        assert not behind([*objects[:2], *followed])
        assert verdict(*followed) == "allow"
