# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Flows at many nodes, each judged as its own Felix runs, by what a look at the node found out."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.flow import parse_flow
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options, Verdict
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.node_judges import (
    NodeJudges,
    parse_use,
)

from tests.unit import builders
from tests.unit.builders import Object

CLOSED = builders.policy("closed", selector="all()", ingress=[{"action": "Deny"}])


def hep(node: str, **spec: Any) -> Object:
    return builders.host_endpoint(f"{node}-hep", node=node, **spec)


def judges(*objects: Object, options: Optional[Options] = None, **uses: Any) -> NodeJudges:
    return NodeJudges(
        objects,
        options or Options(),
        {node: parse_use({"node": node, **use}, "uses") for node, use in uses.items()},
    )


def verdict(asked: NodeJudges, node: str = "n1", port: int = 80, **fields: Any) -> Verdict:
    given = builders.flow(node=node, destination_port=port, **{"interface": None, **fields})
    return asked.verdict(parse_flow({key: value for key, value in given.items() if value is not None}))


def test_a_use_is_read_as_a_look_at_a_node_returns_it() -> None:
    use = parse_use(
        {
            "node": "n1",
            "api": [["10.0.0.9", 6443]],
            "dns": ["192.0.2.53", "no address"],
            "interfaces": {"eth0": ["10.0.0.1/24", "fd00::1/64"], "eth1": []},
            "environment": {"felix_bpfenabled": True},
            "dataplane": "nftables",
            "lifeline": {"inbound": [["10.0.0.0/28", 10250]], "neighbours": True},
        },
        "uses[0]",
    )
    assert use.api == (("10.0.0.9", 6443),)
    assert [str(address) for address in use.dns] == ["192.0.2.53"]
    assert use.interfaces
    assert [str(address) for address in use.interfaces["eth0"]] == ["10.0.0.1", "fd00::1"]
    assert use.environment == {"FELIX_BPFENABLED": "True"}
    assert [(entry.port, str(entry.net)) for entry in use.lifeline.inbound] == [(10250, "10.0.0.0/28")]
    assert (use.lifeline.neighbours, use.lifeline.outbound, use.ntp) == (True, (), ())


def test_where_nobody_looked_interfaces_are_not_known() -> None:
    assert parse_use({"node": "n1", "interfaces": {}}, "uses").interfaces is None


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({}, "uses[3].node"),
        ({"node": ""}, "uses[3].node"),
        ({"node": 1}, "uses[3].node"),
        ({"node": "n", "dataplane": "ipvs"}, "uses[3].dataplane"),
    ],
)
def test_a_use_that_is_none_is_refused_by_its_place(raw: Any, field: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_use(raw, "uses[3]")
    assert refused.value.field == field


def test_what_was_seen_of_a_node_goes_before_what_objects_say_and_counts_there_alone() -> None:
    objects = (hep("n1"), hep("n2"), builders.felix_configuration(bpfEnabled=True), CLOSED)
    asked = judges(*objects, n1={"dataplane": "iptables"})
    assert [asked.dataplane_of(node) for node in ("n1", "n2")] == ["iptables", "ebpf"]
    open_here = judges(*objects, n1={"environment": {"FELIX_FAILSAFEINBOUNDHOSTPORTS": "tcp:80"}})
    assert verdict(open_here).reason_code == "failsafe"
    assert verdict(open_here, "n2").verdict == "deny"


def test_the_environment_of_all_nodes_holds_where_a_node_has_no_other() -> None:
    options = Options(environment={"FELIX_FAILSAFEINBOUNDHOSTPORTS": "tcp:80"})
    asked = judges(hep("n1"), CLOSED, options=options, n1={"environment": {"FELIX_LOGFILEPATH": "none"}})
    assert verdict(asked).reason_code == "failsafe"


def test_a_flow_passes_the_interface_that_carries_the_nodes_own_address() -> None:
    objects = (hep("n1", interfaceName="eth1"), CLOSED)
    for carried, expected in ({"eth1": "deny", "eth0": "allow"}).items():
        asked = judges(*objects, n1={"interfaces": {"eth0": [], "eth1": [], carried: ["10.0.0.1/24"]}})
        assert verdict(asked).verdict == expected, carried
    assert verdict(judges(*objects)).verdict == "undetermined"


def test_where_nobody_looked_it_passes_where_a_host_endpoint_expects_the_address() -> None:
    expected = judges(hep("n1", interfaceName="eth1", expectedIPs=["10.0.0.1"]), CLOSED)
    found = verdict(expected)
    assert (found.verdict, found.assumptions[-1]) == (
        "deny",
        "it comes in by an interface that carries 10.0.0.1",
    )
    elsewhere = judges(hep("n1", interfaceName="eth1", expectedIPs=["10.0.0.2"]), CLOSED)
    assert verdict(elsewhere).verdict == "undetermined"


def test_what_untracked_policy_allows_needs_its_answers_allowed() -> None:
    untracked = builders.policy(
        "raw", selector="all()", doNotTrack=True, applyOnForward=True, ingress=[{"action": "Allow"}],
        egress=[{"action": "Allow"}], types=["Ingress", "Egress"],
    )  # fmt: skip
    found = verdict(judges(hep("n1", interfaceName="eth0"), untracked), interface="eth0")
    assert found.verdict == "undetermined"
    assert "answers too" in found.assumptions[-1]
