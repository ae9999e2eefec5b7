# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules about policies as a whole: each fires on its trap, and is silent on what is none."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import lint
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options

from tests.unit import builders
from tests.unit.builders import V3, Object
from tests.unit.calico.lint.objects import (
    ALL,
    AOF,
    BOTH,
    DENY_ALL,
    V4_DENY,
    Case,
    gnp,
    hep,
    ids_of,
    rule,
    rules_found,
    staged,
)

WEB = {**hep(), "metadata": {"name": "a", "labels": {"env": "prod"}}}

CASES: list[Case] = [
    ("v1-empty-types", [gnp(types=None)], [gnp(types=None, api=V3)]),
    ("v1-empty-types", [gnp(types=[], egress=[ALL])], [gnp()]),
    (
        "negative-namespace-selector",
        [hep(), gnp(namespaceSelector="env != 'prod'")],
        [hep(), gnp(namespaceSelector="has(env) && env != 'prod'")],
    ),
    (
        "negative-namespace-selector",
        [gnp(selector="", namespaceSelector="!has(env)")],
        [gnp(namespaceSelector="all()")],
    ),
    ("selects-hosts-too", [gnp(selector="all()")], [gnp(selector="all()", namespaceSelector="all()")]),
    ("selects-hosts-too", [gnp(selector="")], [gnp(selector="has(role)")]),
    ("selects-hosts-too", [gnp(selector="all()")], [gnp(selector="all()", preDNAT=True, **AOF)]),
    (
        "equal-order",
        [gnp("a"), gnp("b", ingress=[DENY_ALL])],
        [gnp("a"), gnp("b", order=11, ingress=[DENY_ALL])],
    ),
    ("equal-order", [gnp("a", order=None), gnp("b", order=None, ingress=[DENY_ALL])], [gnp("a"), gnp("b")]),
    (
        "equal-order",
        [hep(), gnp("a"), gnp("b", ingress=[DENY_ALL])],
        [hep(), gnp("a"), gnp("b", selector="role == 'web'", ingress=[DENY_ALL])],
    ),
    ("early-without-forward", [gnp(preDNAT=True)], [gnp(preDNAT=True, **AOF)]),
    ("early-without-forward", [gnp(doNotTrack=True)], [gnp(doNotTrack=True, **AOF)]),
    ("prednat-with-egress", [gnp(preDNAT=True, **AOF, types=BOTH)], [gnp(preDNAT=True, **AOF)]),
    ("prednat-with-egress", [gnp(preDNAT=True, **AOF, egress=[ALL])], [gnp(types=BOTH, egress=[ALL])]),
    ("prednat-and-untracked", [gnp(preDNAT=True, doNotTrack=True, **AOF)], [gnp(preDNAT=True, **AOF)]),
    (
        "untracked-on-wildcard",
        [hep(), gnp(doNotTrack=True, **AOF)],
        [hep(interfaceName="eth0"), gnp(doNotTrack=True, **AOF)],
    ),
    ("policy-selects-nothing", [hep(), gnp(selector="role == 'web'")], [hep(), gnp()]),
    ("policy-selects-nothing", [hep(), gnp(selector="role == 'web'")], [gnp(selector="role == 'web'")]),
    ("missing-tier", [gnp(tier="t")], [gnp(tier="t"), builders.tier("t", order=1)]),
    ("missing-tier", [gnp(tier="t")], [gnp(tier="default")]),
    ("lone-enforced", [gnp("a"), staged("b")], [gnp("a"), staged("b"), gnp("c", order=11)]),
    (
        "lone-enforced",
        [gnp("a"), staged("b")],
        [gnp("a", tier="t"), staged("b", tier="t"), builders.tier("t", defaultAction="Pass")],
    ),
    ("forward-one-direction", [gnp(**AOF)], [gnp(**AOF, types=BOTH, egress=[ALL])]),
    ("forward-one-direction", [hep(), gnp(**AOF)], [hep(), gnp(preDNAT=True, **AOF)]),
    (
        "negative-selector",
        [hep(), gnp(selector="env != 'prod'")],
        [hep(), gnp(selector="role != 'web' && has(role)")],
    ),
    (
        "negative-selector",
        [gnp(selector="!has(quarantine)")],
        [gnp(selector="has(role) && !has(quarantine)")],
    ),
    (
        "negative-namespace-selector",
        [hep(), gnp(selector="projectcalico.org/namespace not in {'a', 'b'}")],
        [hep(), gnp(selector="projectcalico.org/namespace in {'a', 'b'}")],
    ),
    (
        "negative-namespace-selector",
        [gnp(selector="", serviceAccountSelector="name != 'x'")],
        [gnp(selector="", serviceAccountSelector="name == 'x'")],
    ),
    ("never-allows", [gnp(ingress=[{"action": "Log"}])], [gnp(ingress=[{"action": "Log"}, ALL])]),
    ("never-allows", [gnp(ingress=[V4_DENY])], [gnp(ingress=[DENY_ALL])]),
    ("never-allows", [gnp(ingress=[V4_DENY])], [gnp(ingress=[V4_DENY]), gnp("b", order=11)]),
    ("never-allows", [gnp(ingress=[V4_DENY])], [gnp(ingress=[V4_DENY], preDNAT=True, **AOF)]),
    ("rules-not-in-types", [gnp(egress=[ALL])], [gnp(egress=[ALL], types=BOTH)]),
    ("global-selector", [gnp(selector="global()")], [rule(source={"namespaceSelector": "global()"})]),
    (
        "negative-namespace-selector",
        [WEB, hep(), gnp(selector="role == 'db' && projectcalico.org/namespace != 'kube-system'")],
        [WEB, hep(), gnp(selector="has(role) || projectcalico.org/namespace == 'kube-system'")],
    ),
    (
        "negative-namespace-selector",
        [hep(), gnp(selector="!(projectcalico.org/namespace in {'a', 'b'})")],
        [hep(), gnp(selector="!has(projectcalico.org/namespace) && role == 'db'")],
    ),
    ("global-selector", [gnp(selector="role == 'db' && global( )")], [gnp(selector="role == 'global()'")]),
    ("global-selector", [rule(source={"selector": "global()"})], [rule(source={"selector": "all()"})]),
    ("global-selector", [rule(destination={"notSelector": "global()"})], [rule()]),
]


@pytest.mark.parametrize(("name", "fires", "silent"), CASES, ids=ids_of(CASES))
def test_rule(name: str, fires: list[Object], silent: list[Object]) -> None:
    assert name in rules_found(fires)
    assert name not in rules_found(silent)


def test_forward_in_one_direction_is_harmless_before_3_29() -> None:
    trap = [hep(), gnp(**AOF)]
    assert "forward-one-direction" not in {
        found.id for found in lint(trap, Options(calico_version="v3.28.2"))
    }
    assert "forward-one-direction" in {found.id for found in lint(trap, Options(calico_version="v3.29.0"))}
