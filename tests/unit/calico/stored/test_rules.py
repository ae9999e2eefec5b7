# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules and selectors of stored policies, read as Felix reads them."""

from __future__ import annotations

from typing import Optional

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.model import (
    MISSING,
    SKIPPED,
    STALE,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.rules import PROTOCOLS

from tests.unit.builders import Object
from tests.unit.calico.stored.objects import RULE, effects, gnp, policy, thing


def test_protocol_names_are_those_of_calico() -> None:
    assert set(PROTOCOLS) == {"tcp", "udp", "icmp", "icmpv6", "sctp", "udplite"}


class TestSelectors:
    """Joined as text, so that Calico's replacements hit what they hit there."""

    @pytest.mark.parametrize(
        ("spec", "printed"),
        [
            ({}, "all()"),
            ({"selector": "a == 'x'"}, 'a == "x"'),
            (
                {"selector": "all()", "namespaceSelector": "env == 'p'"},
                '(has(projectcalico.org/namespace) && pcns.env == "p")',
            ),
            ({"selector": "all( )", "namespaceSelector": "env == 'p'"}, '(all() && pcns.env == "p")'),
            ({"namespaceSelector": "all()"}, "has(projectcalico.org/namespace)"),
            ({"namespaceSelector": "!has(x)"}, "!has(pcns.x)"),
            ({"namespaceSelector": "global()"}, "global()"),
            ({"serviceAccountSelector": "all()"}, "has(projectcalico.org/serviceaccount)"),
            (
                {"selector": "a == 'x'", "namespaceSelector": "has(b)", "serviceAccountSelector": "has(c)"},
                '((a == "x" && has(pcns.b)) && has(pcsa.c))',
            ),
        ],
    )
    def test_of_a_policy(self, spec: Object, printed: str) -> None:
        assert str(policy(gnp(**spec)).selector) == printed

    def test_a_bad_namespace_selector_is_left_out(self) -> None:
        store = read([gnp(selector="has(a)", namespaceSelector="oops(")])
        assert str(store.policies[0].selector) == "has(a)"
        assert effects(store) == {("spec.namespaceSelector", SKIPPED)}

    def test_of_a_namespaced_policy(self) -> None:
        raw = thing(
            "NetworkPolicy",
            {"selector": "has(a)", "ingress": [{**RULE, "source": {"selector": "has(b)"}}]},
            namespace="ns",
        )
        found = policy(raw)
        assert str(found.selector) == '(has(a) && projectcalico.org/namespace == "ns")'
        assert str(found.ingress[0].source.selector) == '(projectcalico.org/namespace == "ns" && has(b))'

    @pytest.mark.parametrize(
        ("side", "wanted", "unwanted"),
        [
            ({}, None, None),
            ({"selector": "has(a)"}, "has(a)", None),
            ({"notSelector": "has(a)"}, None, "has(a)"),
            ({"selector": "has(a)", "notSelector": "has(b)"}, "(has(a) && !has(b))", None),
            ({"namespaceSelector": "global()"}, "!has(projectcalico.org/namespace)", None),
            (
                {"namespaceSelector": "all()", "notSelector": "has(b)"},
                "(has(projectcalico.org/namespace) && !has(b))",
                None,
            ),
            (
                {"serviceAccounts": {"names": ["s"], "selector": "has(x)"}},
                '(has(pcsa.x) && projectcalico.org/serviceaccount in {"s"})',
                None,
            ),
        ],
    )
    def test_of_a_rule(self, side: Object, wanted: Optional[str], unwanted: Optional[str]) -> None:
        source = policy(gnp(ingress=[{**RULE, "source": side}])).ingress[0].source
        assert (source.selector and str(source.selector)) == wanted
        assert (source.not_selector and str(source.not_selector)) == unwanted


class TestMisread:
    """What the API takes and Felix does not."""

    @pytest.mark.parametrize(
        ("rule", "field", "effect"),
        [
            ({"source": {"nets": ["10.0.0.0/33"]}}, "source.nets[0]", SKIPPED),
            ({"protocol": "TCP", "destination": {"ports": [70000]}}, "destination.ports[0]", STALE),
            ({"protocol": "TCP", "destination": {"ports": ["9:1"]}}, "destination.ports[0]", STALE),
            ({"protocol": "TCP", "destination": {"ports": [-1]}}, "destination.ports[0]", STALE),
            ({"protocol": "TCP", "destination": {"ports": ["a/b"]}}, "destination.ports[0]", STALE),
            ({"protocol": "TCP", "destination": {"ports": [0]}}, "destination.ports[0]", MISSING),
            ({"protocol": "TCP", "destination": {"ports": ["HTTP"]}}, "destination.ports[0]", MISSING),
            ({"destination": {"ports": [80]}}, "destination.ports", MISSING),
            ({"protocol": 6, "destination": {"ports": [80]}}, "", ""),
            ({"protocol": "6", "destination": {"ports": [80]}}, "", ""),
            ({"protocol": "ICMP", "source": {"notPorts": ["http"]}}, "source.notPorts", MISSING),
            ({"protocol": "GRE"}, "protocol", MISSING),
            ({"protocol": 0}, "protocol", MISSING),
            ({"protocol": 256}, "protocol", STALE),
            ({"notProtocol": "nonsense"}, "notProtocol", MISSING),
            ({"ipVersion": 5}, "ipVersion", MISSING),
            ({"protocol": "ICMP", "icmp": {"type": 255}}, "icmp.type", MISSING),
            ({"protocol": "ICMP", "icmp": {"code": 1}}, "icmp.code", SKIPPED),
            ({"source": {"selector": "has("}}, "source.selector", MISSING),
            ({"source": {"namespaceSelector": "has("}}, "source.namespaceSelector", MISSING),
            ({"action": "Reject"}, "action", STALE),
        ],
    )
    def test_rule(self, rule: Object, field: str, effect: str) -> None:
        store = read([gnp(ingress=[{**RULE, **rule}])])
        assert effects(store) == ({(f"spec.ingress[0].{field}", effect)} if field else set())
        assert bool(store.policies) == (effect in ("", SKIPPED))
        assert bool(store.stale()) == (effect == STALE)

    def test_a_rule_whose_only_net_is_none_matches_everybody(self) -> None:
        store = read([gnp(ingress=[{**RULE, "source": {"nets": ["10.0.0.0/33"]}}])])
        assert store.policies[0].ingress[0].source.nets == ()

    def test_a_bad_selector_makes_the_policy_vanish(self) -> None:
        store = read([gnp(selector="a = 'b'")])
        assert store.policies == []
        assert [str(ref) for ref, _found in store.dropped] == ["GlobalNetworkPolicy x"]

    def test_host_endpoint_with_a_label_that_felix_refuses(self) -> None:
        spec = {"node": "n", "interfaceName": "*"}
        assert read([thing("HostEndpoint", spec, labels={"a": "b/c"})]).host_endpoints == []
        assert len(read([thing("HostEndpoint", spec, labels={"a": "b.c"})]).host_endpoints) == 1
