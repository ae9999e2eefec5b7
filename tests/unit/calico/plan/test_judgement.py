# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a change means, and what refuses it."""

from __future__ import annotations

from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint_plan import (
    HostEndpointChange,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.builder import make_plan
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.judgement import (
    open_without_policy,
    refusal,
    with_felix,
    with_host_endpoints,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.model import Plan
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.view import View
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.wishes import PoliciesWish, Wishes
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.reach import (
    obstacles,
    of_session,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.vital_flows import (
    Surroundings,
    losses,
)

from tests.unit import builders
from tests.unit.builders import V1, Object
from tests.unit.calico.plan.planned import HEPS, a_set


def test_a_trap_refuses_only_where_it_bites(view: View) -> None:
    spec = {"types": ["Ingress"], "ingress": [{"action": "Deny"}]}

    def planned(state: str, **more: Any) -> Plan:
        wish = PoliciesWish((a_set("shut", "Deny", state, **spec),), reach=False)
        return make_plan(view, Wishes(policies=wish, **more))

    assert any("deny-covers" in text for text in planned("enforced", host_endpoints=HEPS).all_refusals)
    staged = planned("staged", host_endpoints=HEPS)
    assert staged.all_refusals == []
    assert any("deny-covers" in str(finding) for finding in staged.steps[-1].findings)
    assert planned("enforced").all_refusals == []


def test_a_refusal_says_what_is_denied_and_how_to_lose_it_on_purpose() -> None:
    before = [builders.host_endpoint("h", node="n1"), builders.node("n1", "10.0.0.1")]
    before.append(builders.felix_configuration(failsafeInboundHostPorts=[], failsafeOutboundHostPorts=[]))
    shut = builders.policy("shut", selector="all()", ingress=[{"action": "Deny"}])
    login = of_session("n1", "192.0.2.1 40000 10.0.0.1 22", "here")
    blocking = obstacles(before, [*before, shut], [login], Options())
    lost = losses(before, [*before, shut], Surroundings())

    told = refusal("set shut", blocking, lost)

    assert told.startswith("set shut is not written: SSH from 192.0.2.1 to n1")
    assert "name it: accept_denied (policies_accept_denied): [" in told
    assert "accept_denied" not in refusal("set shut", blocking, [])
    assert refusal("set shut", [], []) == ""
    same = obstacles([*before, shut], [*before, shut], [login], Options())
    assert same
    assert refusal("set shut", same, []) == "", "what was denied before is no harm of this change"


def names(objects: list[Object]) -> list[tuple[str, object]]:
    return [(o["metadata"]["name"], o["spec"]) for o in objects]


def test_objects_once_felix_is_configured() -> None:
    live = builders.felix_configuration("default", ipv6Support=False, wireguardEnabled=True)
    assert names(with_felix([live], "default", {"ipv6Support": True}, V1)) == [
        ("default", {"ipv6Support": True, "wireguardEnabled": True})
    ]
    made = with_felix([live], "node.n1", {"ipv6Support": True}, V1)
    assert names(made[1:]) == [("node.n1", {"ipv6Support": True})]
    assert (made[1]["kind"], made[1]["apiVersion"]) == ("FelixConfiguration", V1)


def test_objects_once_host_endpoints_are_written() -> None:
    stored = [builders.host_endpoint(name, node="n1") for name in ("a", "b", "c")]
    wanted = builders.host_endpoint("b", node="n2")
    changes = [
        HostEndpointChange("delete", "n1", "a", stored[0]),
        HostEndpointChange("update", "n2", "b", stored[1], wanted),
    ]
    tier = builders.tier("a")
    assert with_host_endpoints([*stored, tier], changes) == [stored[2], tier, wanted]


def test_what_lets_pass_what_no_policy_decides() -> None:
    assert open_without_policy(builders.host_endpoint("h", node="n"))
    assert not open_without_policy(builders.host_endpoint("h", node="n", profiles=None))
