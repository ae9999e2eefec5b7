# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""By which connections nodes and the API are reached from this machine, and the gate that asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.reach import API, SSH
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.host_view import HostView
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.reach import (
    NO_NETWORKS,
    CutOff,
    assess,
    assumed_logins,
    controllers_of,
    of_api,
    of_logins,
    of_nodes,
    options_of,
    outlook,
)

from tests.unit.builders import V3, Object, endpoint_slice, host_endpoint, node, policy
from tests.unit.cluster.answers import CALICO, V3_NATIVE, Answers

HERE = "127.0.0.1"
NODES = [node("a", "10.0.0.1"), node("b", "10.0.0.2")]
SESSION = {"node": "a", "ssh_connection": "192.0.2.9 40000 10.0.0.1 2222", "host": "a", "port": 2222}
DENY = {"action": "Deny", "protocol": "TCP", "destination": {"ports": [22]}}


def ways(connections: Any) -> list[tuple[str, str, str, str, int, bool]]:
    return [(c.node, c.what, str(c.source), str(c.destination), c.port, bool(c.doubt)) for c in connections]


def test_a_session_says_both_ends_itself() -> None:
    assert ways(of_logins([SESSION])) == [("a", SSH, "192.0.2.9", "10.0.0.1", 2222, False)]


def test_without_one_the_node_is_taken_to_see_what_others_see_and_that_is_doubt() -> None:
    untried = {"node": "b", "ssh_connection": "", "host": HERE, "port": 22}
    assert ways(of_logins([SESSION, untried]))[1] == ("b", SSH, "192.0.2.9", HERE, 22, True)
    assert ways(of_logins([untried])) == [("b", SSH, HERE, HERE, 22, True)]


def test_a_host_that_has_no_address_is_no_connection() -> None:
    assert of_logins([{"node": "b", "ssh_connection": "", "host": "no.such.host.invalid", "port": 22}]) == []


def test_a_session_in_another_form_is_named_by_its_place() -> None:
    with pytest.raises(BadInput, match=r"logins\[1\]"):
        of_logins([SESSION, {**SESSION, "ssh_connection": "tty1"}])


def test_every_governed_node_is_logged_in_to_on_the_port_that_the_others_have() -> None:
    objects = [*NODES, host_endpoint("a", node="a"), host_endpoint("b", node="b")]
    assert [(c.node, c.port) for c in of_nodes(objects, [SESSION])] == [("a", 2222), ("b", 2222)]
    assert [(c.node, c.port) for c in of_nodes(objects)] == [("a", 22), ("b", 22)]
    assert of_nodes(NODES) == []


def test_two_ports_say_nothing_of_a_third_node() -> None:
    other = {"node": "c", "ssh_connection": "192.0.2.9 1 10.0.0.3 22", "host": "c", "port": 22}
    assert [c.port for c in assumed_logins(NODES, [SESSION, other])["b"]] == [22]


def test_assumed_are_only_nodes_that_were_not_tried() -> None:
    failed = {"node": "b", "reached": False, "ssh_connection": "", "host": "b", "port": 22}
    assert assumed_logins(NODES, [SESSION, failed]) == {}


def test_the_api_on_a_node_is_judged_as_it_is_and_behind_a_balancer_with_doubt() -> None:
    answers = Answers({})
    on_node = [node("m", HERE)]
    assert ways(of_api(answers, on_node, [])) == [("m", API, HERE, HERE, 6443, False)]
    slices = [endpoint_slice("kubernetes", "10.0.0.1", port=6444)]
    assert ways(of_api(answers, NODES, slices)) == [("a", API, HERE, "10.0.0.1", 6444, True)]
    assert of_api(answers, NODES, []) == []


def test_a_jump_host_that_is_a_node_needs_its_way_on() -> None:
    logins = of_logins([{**SESSION, "node": "b", "ssh_connection": "10.0.0.1 40000 10.0.0.2 22"}])
    [controller] = controllers_of(Answers({}), NODES, logins)
    assert (controller.node, [target[0] for target in controller.targets]) == ("a", ["SSH of b"])


@pytest.fixture
def api() -> Answers:
    """A policy that would deny SSH, and no HostEndpoint that it governs."""
    return Answers(
        {
            "/api/v1/nodes": NODES,
            f"{CALICO}/felixconfigurations": [
                {"metadata": {"name": "default"}, "spec": {"failsafeInboundHostPorts": []}}
            ],
            f"{CALICO}/globalnetworkpolicies": [policy("shut", api=V3, selector="all()", ingress=[DENY])],
        }
    )


@pytest.fixture
def params() -> dict[str, Any]:
    session = {**SESSION, "ssh_connection": "192.0.2.9 40000 10.0.0.1 22", "port": 22}
    return {"reach": True, "logins": [session], "uses": [], "networks": NO_NETWORKS, "accept_denied": []}


def governed(objects: Sequence[Object]) -> list[Object]:
    return [*objects, host_endpoint("a", node="a", api=V3)]


def test_a_change_that_would_deny_a_login_is_refused_and_each_list_is_read_once(
    api: Answers, params: dict[str, Any]
) -> None:
    view = HostView(api, V3_NATIVE)
    with pytest.raises(CutOff, match=r"SSH from 192\.0\.2\.9 to a"):
        outlook(view, params, "the change", governed)
    # Who lints as well judges by the same.
    assert options_of(view).native_v3
    assert {path: count for path, count in api.asked.items() if count > 1} == {}


def test_where_no_node_is_governed_nothing_is_judged(api: Answers, params: dict[str, Any]) -> None:
    found = outlook(HostView(api, V3_NATIVE), params, "the change", list)
    assert (found.decides, found.obstacles, found.unseen) == (False, (), "")


def test_who_looks_at_nothing_is_told_so(api: Answers, params: dict[str, Any]) -> None:
    found = assess(HostView(api, V3_NATIVE), {**params, "reach": False}, "the change", [], [])
    assert found.unseen.startswith("the change: reach is off")
    assert api.asked == {}
