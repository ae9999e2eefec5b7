# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a change of policy would cut off who makes it."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.address import parse_address
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.reach import (
    API,
    SSH,
    Connection,
    obstacles,
    of_session,
    remedy,
    sentences,
)

from tests.unit import builders


def hep(node, **spec):
    return builders.host_endpoint(f"{node}-hostfence", node=node, labels={"host": "yes"}, **spec)


def policy(name, order, *rules, **spec):
    return builders.policy(name, order=order, selector="has(host)", ingress=list(rules), **spec)


SSH_RULE = {"protocol": "TCP", "destination": {"ports": [22]}}
ALLOW = policy("allow", 1, {"action": "Allow", **SSH_RULE, "source": {"nets": ["192.0.2.1/32"]}})
DENY = policy("deny", 2, {"action": "Deny", **SSH_RULE}, {"action": "Allow"})
NO_FAILSAFES = builders.felix_configuration(failsafeInboundHostPorts=[])
HEPS = [hep("node1"), hep("node2")]
BASE = [NO_FAILSAFES, *HEPS]
LOGINS = [of_session(f"node{n}", f"192.0.2.1 40000 10.0.0.{n} 22", "logins") for n in (1, 2)]


def test_what_a_set_would_shut_is_told_in_one_sentence_for_all_nodes():
    found = obstacles(BASE, [*BASE, DENY], LOGINS)
    assert [(o.connection.node, o.shuts) for o in found] == [("node1", True), ("node2", True)]
    assert sentences(found) == [
        "SSH from 192.0.2.1 to node1 and 1 more nodes (10.0.0.1, tcp/22) would be denied by "
        "GlobalNetworkPolicy deny, ingress rule 0 (tier default)"
    ]
    assert "tcp/22 from 192.0.2.1" in remedy(found)


@pytest.mark.parametrize(
    "after",
    [
        [*BASE, ALLOW, DENY],
        [*HEPS, DENY],  # tcp/22 is a failsafe by default
        [
            *BASE,
            policy(
                "other",
                1,
                {"action": "Deny", "protocol": "TCP", "destination": {"ports": [23]}},
                {"action": "Allow"},
            ),
        ],
        [*BASE, builders.policy("deny", kind="StagedGlobalNetworkPolicy", **DENY["spec"])],
        [NO_FAILSAFES, DENY],  # no host endpoint
    ],
)
def test_near_misses_let_it_through(after):
    assert obstacles(BASE, after, LOGINS) == []


def test_taking_the_allow_away_shuts_as_well():
    found = obstacles([*BASE, ALLOW, DENY], [*BASE, DENY], LOGINS)
    assert [o.shuts for o in found] == [True, True]


def test_the_end_of_a_tier_is_named():
    found = obstacles(BASE, [*BASE, policy("other", 1, {"action": "Allow", "protocol": "UDP"})], LOGINS)
    assert "would be denied by the end of tier default (defaultAction Deny)" in sentences(found)[0]


def test_what_was_denied_before_is_no_harm_of_this_change():
    second = policy("deny-too", 3, {"action": "Deny", **SSH_RULE})
    found = obstacles([*BASE, DENY, second], [*BASE, second], LOGINS)
    assert [o.shuts for o in found] == [False, False]
    assert "is and stays denied" in sentences(found)[0]


def test_what_cannot_be_told_is_said_with_its_assumption():
    named = [NO_FAILSAFES, hep("node1", interfaceName="eth0"), hep("node2")]
    (found,) = obstacles(named, [*named, DENY], LOGINS[:1])
    assert (found.verdict.verdict, found.shuts) == ("undetermined", False)
    assert "depends on this: " in sentences([found])[0]


def test_a_deny_that_felix_does_not_hear_of_yet_shuts():
    rule = {"action": "Allow", "destination": {"ports": [70000]}}
    deaf = [*BASE, builders.policy("foreign", selector="!all()", ingress=[rule])]
    found = obstacles(deaf, [*deaf, DENY], LOGINS[:1])
    assert [o.shuts for o in found] == [True]
    assert "would be denied by GlobalNetworkPolicy deny" in sentences(found)[0]
    assert [o.shuts for o in obstacles(deaf, [*deaf, ALLOW, DENY], LOGINS[:1])] == [False]
    assert [o.shuts for o in obstacles([*deaf, DENY], [*deaf, DENY], LOGINS[:1])] == [False]


BY_ADDRESS = hep("node1", interfaceName="", expectedIPs=["10.0.0.1"])
ON_ETH0 = hep("node1", interfaceName="eth0", expectedIPs=["fd00::1", "10.0.0.1"])


@pytest.mark.parametrize("named", [BY_ADDRESS, ON_ETH0])
def test_where_a_host_endpoint_expects_the_address_it_is_taken_to_come_in_there(named):
    base = [NO_FAILSAFES, named]
    (found,) = obstacles(base, [*base, DENY], LOGINS[:1])
    assert (found.verdict.verdict, found.shuts, found.denied_before) == ("deny", True, False)
    assert found.verdict.assumptions[-1] == "it comes in by an interface that carries 10.0.0.1"
    (again,) = obstacles([*base, DENY], [*base, DENY], LOGINS[:1])
    assert (again.shuts, again.denied_before) == (False, True)
    assert obstacles(base, [*base, ALLOW, DENY], LOGINS[:1]) == []


@pytest.mark.parametrize(
    "other",
    [
        hep("node1", interfaceName="", expectedIPs=["10.0.0.2"]),
        hep("node2", interfaceName="", expectedIPs=["10.0.0.1"]),
        hep("node1", interfaceName="eth0", expectedIPs=["fd00::1"]),
    ],
)
def test_where_none_expects_the_address_it_is_not_taken_for_sure(other):
    base = [NO_FAILSAFES, other]
    assert not any(o.shuts for o in obstacles(base, [*base, DENY], LOGINS[:1]))


def test_of_two_that_expect_the_address_one_that_shuts_is_enough():
    second = builders.host_endpoint("a", **{**BY_ADDRESS["spec"], "interfaceName": "eth1"})
    base = [NO_FAILSAFES, second, BY_ADDRESS]
    (found,) = obstacles(base, [*base, DENY], LOGINS[:1])
    assert found.shuts


def test_a_doubtful_address_refuses_for_ssh_and_warns_for_the_api():
    ends = (parse_address("192.0.2.1"), parse_address("10.0.0.1"))
    doubtful = [Connection("node1", what, *ends, 22, "the node sees 192.0.2.1") for what in (SSH, API)]
    found = obstacles(BASE, [*BASE, DENY], doubtful)
    assert [o.shuts for o in found] == [True, False]
    assert sentences(found)[1].endswith("if the node sees 192.0.2.1")


def test_untracked_policy_leaves_the_answers_open():
    untracked = policy("raw", 1, {"action": "Allow"}, doNotTrack=True, applyOnForward=True)
    named = [NO_FAILSAFES, hep("node1", interfaceName="eth0", expectedIPs=["10.0.0.1"])]
    found = obstacles(named, [*named, untracked], LOGINS[:1])
    assert [o.verdict.reason_code for o in found] == ["answer-denied"]
    answered = policy("raw", 1, {"action": "Allow"}, doNotTrack=True, applyOnForward=True)
    answered["spec"].update({"types": ["Ingress", "Egress"], "egress": [{"action": "Allow"}]})
    assert [o.verdict.verdict for o in obstacles(named, [*named, answered], LOGINS[:1])] == ["undetermined"]
    assert obstacles(BASE, [*BASE, untracked], LOGINS[:1]) == []  # ignored on "*"


@pytest.mark.parametrize("text", ["", "192.0.2.1 1 10.0.0.1", "a 1 10.0.0.1 22", "192.0.2.1 1 10.0.0.1 x"])
def test_a_session_in_another_form_is_refused(text):
    with pytest.raises(BadInput, match="four words"):
        of_session("node1", text, "logins[0].ssh_connection")
