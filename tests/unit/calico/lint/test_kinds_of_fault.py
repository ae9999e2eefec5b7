# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each fault of tests/integration/found as a kind: generated cases beyond the input, and remedies followed.

Where a remedy says what to write, it is written, and the finding must be gone.
"""

from __future__ import annotations

import copy
import itertools
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.felix import configuration as felix
from ansible_collections.hostfence.calico.plugins.module_utils.calico.finding import Finding
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import LintSurroundings, lint
from ansible_collections.hostfence.calico.plugins.module_utils.calico.selector import parse
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.known_fields import (
    SPEC_FIELDS,
    Fields,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import (
    Options,
    judge_objects,
)

from tests.unit import builders
from tests.unit.builders import V1, V3, Object

DIRECTIONS = ("ingress", "egress")
LIVING = [
    {"action": "Allow", "protocol": "ICMPv6"},
    {"action": "Allow", "source": {"nets": ["127.0.0.0/8"]}},
    {"action": "Allow", "source": {"nets": ["::1/128"]}},
]


def hep(name: str = "h", labels: Any = None, **spec: Any) -> Object:
    given = {"node": "n1", "expectedIPs": ["10.0.0.1", "fd00::1"], **spec}
    return builders.host_endpoint(name, labels=labels or {"role": "db"}, **given)


def gnp(name: str = "p", api: str = V1, **spec: Any) -> Object:
    given = {"selector": "role == 'db'", "order": 10, "types": ["Ingress"], **spec}
    return builders.policy(name, api=api, **given)


def directed(direction: str, rules: list[Object], **spec: Any) -> Object:
    return gnp(**{**dict.fromkeys(DIRECTIONS), direction: rules}, types=[direction.capitalize()], **spec)


def found(objects: list[Object], rule: str, **options: Any) -> list[Finding]:
    return [one for one in lint(objects, Options(**options)) if one.id == rule]


def grave(objects: list[Object]) -> list[Finding]:
    return [one for one in lint(objects) if one.severity != "info"]


def followed(policy: Object, direction: str, remedy: str) -> Object:
    """The policy with the rule that a remedy says to write, before all others."""
    match = re.search(r"\{action.*\}", remedy)
    assert match, remedy
    changed = copy.deepcopy(policy)
    spec: Any = changed["spec"]
    spec[direction] = [yaml.safe_load(match.group()), *(spec.get(direction) or [])]
    return changed


# -- t01, t03: read by nobody -------------------------------------------------------------------------

KINDS = [kind for kind in SPEC_FIELDS if kind not in ("Tier", "NetworkPolicy", "NetworkSet")]


def test_a_kind_in_another_spelling_is_an_error(counted: list[object]) -> None:
    for kind in SPEC_FIELDS:
        for other in (kind.lower(), kind.upper(), kind[0].lower() + kind[1:], kind + "s", kind[:-1]):
            raw = builders.resource(other, "o", api=V3)
            (one,) = found([raw], "unknown-kind")
            assert f"did you mean {kind}?" in one.message
            with pytest.raises(BadInput, match=f"did you mean {kind}"):
                judge_objects([raw], [])
            counted.append(other)


def test_an_api_that_has_no_such_kind_is_an_error(counted: list[object]) -> None:
    for kind, api in itertools.product(
        KINDS, ("projectcalico/v3", "calico.org/v3", "Projectcalico.org/v3", "policy.projectcalico.org/v1")
    ):
        raw = builders.resource(kind, "o", api=api)
        (one,) = found([raw], "unknown-kind")
        with pytest.raises(BadInput, match="apiVersion"):
            judge_objects([raw], [])
        assert one.remedy == f"write apiVersion: projectcalico.org/v3 and kind: {kind}"
        counted.append((kind, api))


def places(fields: Fields, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, inner in fields.items():
        yield (*path, name)
        if inner:
            yield from places(inner, (*path, name))


def nested(path: tuple[str, ...], name: str) -> Object:
    value: Any = {name: "x"}
    for part in reversed(path):
        value = {part: value}
    return value  # type: ignore[no-any-return]


def test_a_field_in_another_case_is_an_error_with_the_right_one(counted: list[object]) -> None:
    for kind, fields in SPEC_FIELDS.items():
        for *path, name in places(fields):
            for other in {name[0].upper() + name[1:], name.upper(), name.lower()} - {name}:
                raw = {"apiVersion": V3, "kind": kind, "metadata": {"name": "o"}}
                try:
                    findings = lint([{**raw, "spec": nested(tuple(path), other)}])
                except BadInput:  # a mapping where the field takes a list: refused as a whole
                    continue
                hits = [one for one in findings if one.id == "unknown-field"]
                assert [one.remedy for one in hits] == [f"write {name}"], (kind, path, other)
                counted.append((kind, other))


@pytest.mark.parametrize("kind", list(SPEC_FIELDS))
def test_misspelt_keys_around_the_spec_are_errors(kind: str) -> None:
    raw = builders.resource(kind, "o", api=V3)
    for changed, remedy in (
        ({**raw, "Spec": {}}, "write spec"),
        ({**raw, "metadata": {"name": "o", "lables": {"a": "b"}}}, "write labels"),
        ({**raw, "metadata": {"name": "o", "Annotations": {}}}, "write annotations"),
    ):
        assert [one.remedy for one in found([changed], "unknown-field")] == [remedy]


# -- t07, t08, t09: policy of others -------------------------------------------------------------------

BOUND = (
    "all()",
    "has(env)",
    "env == 'prod'",
    "env in {'a', 'b'}",
    "has(env) && env != 'x'",
    "env contains 'a'",
)
PEERS = ({}, {"nets": ["10.0.0.0/8"]}, {"selector": "app == 'x'"}, {"namespaceSelector": "all()"})
PORTS: tuple[Any, ...] = (None, [22], [80, "8000:8100"], ["http"])


def test_policy_of_pods_alone_is_no_matter_of_hosts(counted: list[object]) -> None:
    """Whatever it denies: it selects no host endpoint, none is assumed, and nothing is an error."""
    for bound, peer, ports in itertools.product(BOUND, PEERS, PORTS):
        for field in ("namespaceSelector", "serviceAccountSelector"):
            side = {"destination": {"ports": ports}, "protocol": "TCP"} if ports else {}
            rules = [{"action": "Deny", "source": peer, **side}, {"action": "Allow"}]
            policy = gnp(selector="app == 'x'", ingress=rules, **{field: bound})
            assert not [one for one in lint([policy]) if "host" in one.message], policy
            counted.append(policy)


def test_policy_that_may_be_of_pods_is_info_at_most(counted: list[object]) -> None:
    for action, ports, label in itertools.product(("Allow", "Deny"), PORTS[1:3], ("app", "tier", "k8s-app")):
        rule = {"action": action, "protocol": "TCP", "destination": {"ports": ports}}
        policy = gnp(selector=f"{label} == 'x'", ingress=[rule, {"action": "Allow", "protocol": "UDP"}])
        assert not grave([policy])
        assert all("assumed" in one.message for one in lint([policy]) if "host" in one.message)
        counted.append(policy)


def test_a_tier_that_is_elsewhere_is_no_error(counted: list[object]) -> None:
    for tier, live in itertools.product(("security", "platform", "a"), (True, False)):
        around = LintSurroundings(live=live)
        findings = lint([gnp(f"{tier}.p", tier=tier, ingress=LIVING)], surroundings=around)
        assert [one.severity for one in findings if one.id == "missing-tier"] == [
            "error" if live else "warning"
        ]
        counted.append(tier)


# -- t10: what a label is not --------------------------------------------------------------------------

OF_PODS = ("projectcalico.org/namespace", "projectcalico.org/serviceaccount", "pcns.env", "pcsa.env")
NOT = ("{} != 'x'", "{} not in {{'x', 'y'}}", "!({} == 'x')", "!({} in {{'x'}})", "!({} contains 'x')")
WITH = ("{}", "({}) && role == 'db'", "has(role) && ({})", "({}) && other != 'z'")


def test_selectors_that_hosts_meet_by_lacking_a_label_of_pods(counted: list[object]) -> None:
    elsewhere = hep("a", {"env": "prod"}, node="n0")  # sorted before the one that is selected
    for label, negative, joined in itertools.product(OF_PODS, NOT, WITH):
        text = joined.format(negative.format(label))
        assert parse(text).matches({"role": "db"})
        policy = gnp(selector=text, ingress=LIVING)
        (one,) = found([elsewhere, hep(), policy], "negative-namespace-selector")
        assert one.severity == "error"
        added = re.search(r"has\((.*?)\)", one.remedy)
        assert added
        fixed = gnp(selector=f"has({added.group(1)}) && ({text})", ingress=LIVING)
        assert not found([elsewhere, hep(), fixed], "negative-namespace-selector")
        counted.append(text)


@pytest.mark.parametrize(
    "text",
    [
        "!has(projectcalico.org/namespace) && role == 'db'",
        "projectcalico.org/orchestrator != 'k8s' && has(role)",
        "has(role) || projectcalico.org/namespace == 'x'",
        "role == 'db'",
    ],
)
def test_selectors_that_mean_hosts_are_no_trap(text: str) -> None:
    assert not found([hep(), gnp(selector=text, ingress=LIVING)], "negative-namespace-selector")


# -- t12, families: rules that are not what they seem --------------------------------------------------

NETS = {4: ["10.0.0.0/8", "192.0.2.0/24"], 6: ["fd00::/8", "2001:db8::/32"]}


def test_a_deny_by_nets_of_one_family_leaves_the_other_open(counted: list[object]) -> None:
    for version, field, side, direction in itertools.product(
        (4, 6), ("nets", "notNets"), ("source", "destination"), DIRECTIONS
    ):
        rule = {"action": "Deny", side: {field: NETS[version]}}
        (one,) = found([hep(), directed(direction, [rule, {"action": "Allow"}])], "one-family-deny")
        assert f"ipVersion: {version} here" in one.remedy
        other = {**rule, side: {field: NETS[10 - version]}}
        for followed_rules in ([rule, other], [{**rule, "ipVersion": version}]):
            fixed = directed(direction, [*followed_rules, {"action": "Allow"}])
            assert not found([hep(), fixed], "one-family-deny")
        counted.append(rule)


def test_rules_that_no_packet_matches(counted: list[object]) -> None:
    chance = random.Random(12)
    for _ in range(200):
        version = chance.choice((4, 6))
        own, other = NETS[version][0], NETS[10 - version][0]
        icmp = {4: "ICMP", 6: "ICMPv6"}[10 - version]
        whole = {4: ["0.0.0.0/1", "128.0.0.0/1"], 6: ["::/1", "8000::/1"]}[version]
        low = chance.randrange(1, 60000)
        rule = chance.choice(
            (
                {"source": {"nets": [own]}, "destination": {"nets": [other]}},
                {"ipVersion": 10 - version, "source": {"nets": [own]}},
                {"ipVersion": 10 - version, "destination": {"notNets": [own]}},
                {"protocol": icmp, "source": {"nets": [own]}},
                {"protocol": {4: 58, 6: 1}[version], "source": {"nets": [own]}},
                {"source": {"nets": [own], "notNets": [own]}},
                {"source": {"notNets": whole}},
                {"protocol": "TCP", "destination": {"ports": [low], "notPorts": [f"{low}:{low + 9}"]}},
                {"protocol": "UDP", "source": {"notPorts": ["1:30000", "30001:65535"]}},
                {"protocol": "TCP", "notProtocol": "TCP"},
                {"source": {"notSelector": "all()"}},
            )
        )
        action = chance.choice(("Allow", "Deny"))
        policy = directed(chance.choice(DIRECTIONS), [{"action": action, **rule}, *LIVING])
        assert {one.severity for one in found([hep(), policy], "never-matches")} == {
            "error" if action == "Deny" else "warning"
        }, rule
        counted.append(rule)


# -- t14: answers -----------------------------------------------------------------------------------------


def test_the_answers_of_untracked_rules_follow_from_the_remedy(counted: list[object]) -> None:
    chance = random.Random(14)
    ends = (
        None,
        {"nets": ["fd00::/8"], "ports": ["http"]},
        {"nets": ["10.0.0.0/8"]},
        {"ports": [9091]},
        {"ports": [80, "8000:8100"], "nets": ["10.0.0.0/8"]},
    )
    named = hep(interfaceName="eth0")
    for _ in range(100):
        direction = chance.choice(DIRECTIONS)
        other = DIRECTIONS[direction == "ingress"]
        rule: Object = {"action": "Allow", "protocol": chance.choice(("TCP", "UDP", "SCTP"))}
        rule.update({side: end for side in ("source", "destination") if (end := chance.choice(ends))})
        policy = directed(direction, [rule], doNotTrack=True, applyOnForward=True)
        (one,) = found([named, policy], "untracked-one-direction")
        fixed = followed(policy, other, one.remedy)
        fixed["spec"]["types"] = ["Ingress", "Egress"]  # type: ignore[index]
        assert not found([named, fixed], "untracked-one-direction"), one.remedy
        counted.append(rule)


# -- t16: what every node lives by ------------------------------------------------------------------------


def test_the_remedies_about_loopback_and_neighbours_can_be_followed(counted: list[object]) -> None:
    """Each rule that a remedy names is written, until nothing is denied any more."""
    for direction, pre_dnat, profiles in itertools.product(DIRECTIONS, (False, True), (True, False)):
        if pre_dnat and direction == "egress":
            continue
        spec: Object = {"preDNAT": True, "applyOnForward": True} if pre_dnat else {}
        policy = directed(direction, [{"action": "Deny"}], **spec)
        endpoint = hep(profiles=["projectcalico-default-allow"] if profiles else None)
        for _ in range(20):
            denied = [
                one
                for rule in ("deny-covers-loopback", "deny-without-neighbour-discovery")
                for one in found([endpoint, policy], rule)
            ]
            if not denied:
                break
            one = denied[0]
            if one.object.startswith("HostEndpoint"):
                assert one.field == "spec.profiles"
                endpoint = hep()
            else:
                assert one.field == f"spec.{direction}"
                policy = followed(policy, direction, one.remedy)
            counted.append(one)
        assert not denied


# -- t18: logging is not neutral -----------------------------------------------------------------------


def test_policy_that_never_allows_denies(counted: list[object]) -> None:
    rules = ({"action": "Log"}, {"action": "Log", "protocol": "TCP"}, {"action": "Deny", "protocol": "UDP"})
    for count, direction in itertools.product((1, 2, 3), DIRECTIONS):
        for chosen in itertools.permutations(rules, count):
            policy = directed(direction, list(chosen))
            (one,) = found([hep(), policy], "never-allows")
            assert one.field == f"spec.{direction}"
            for last in ("Pass", "Allow"):
                fixed = directed(direction, [*chosen, {"action": last}])
                assert not found([hep(), fixed], "never-allows")
            counted.append(chosen)


# -- t20, t23, t33: failsafes ----------------------------------------------------------------------------


def test_what_a_list_leaves_out_of_the_built_in_one_is_named(counted: list[object]) -> None:
    chance = random.Random(20)
    defaults = felix.built_in()
    for _ in range(100):
        field, whole = chance.choice(
            ((felix.INBOUND_FIELD, defaults.inbound), (felix.OUTBOUND_FIELD, defaults.outbound))
        )
        kept = [entry for entry in whole if chance.random() < 0.5]
        entries = [{"protocol": entry.protocol.upper(), "port": entry.port} for entry in kept]
        findings = found([builders.felix_configuration(**{field: entries})], "failsafe-drops-default")
        gone = [str(entry) for entry in whole if entry not in kept]
        assert [one.remedy for one in findings] == (
            [f"add {', '.join(gone)}, except what your nodes do not need"] if gone else []
        )
        counted.append(kept)


def test_a_deny_of_a_failsafe_port_follows_from_the_remedy(counted: list[object]) -> None:
    defaults = felix.built_in()
    for direction, entries, field in (
        ("ingress", defaults.inbound, felix.INBOUND_FIELD),
        ("egress", defaults.outbound, felix.OUTBOUND_FIELD),
    ):
        for entry in entries:
            rule = {
                "action": "Deny",
                "protocol": entry.protocol.upper(),
                "destination": {"ports": [entry.port]},
            }
            policy = directed(direction, [rule, {"action": "Allow"}])
            (one,) = found([hep(), policy], "failsafe-shadows-deny")
            assert one.severity == "warning"
            listed = re.search(r"with (.*) and without", one.remedy)
            assert listed
            kept = [text.split("/") for text in listed.group(1).split(", ")]
            written = [{"protocol": protocol, "port": int(port)} for protocol, port in kept]
            configuration = builders.felix_configuration(**{field: written})
            assert not found([hep(), policy, configuration], "failsafe-shadows-deny")
            # The other way that it names: for some nets only, which is then no more than worth knowing.
            narrow = [*written, {"protocol": entry.protocol, "port": entry.port, "net": "192.0.2.0/24"}]
            configuration = builders.felix_configuration(**{field: narrow})
            (left,) = found([hep(), policy, configuration], "failsafe-shadows-deny")
            assert left.severity == "info"
            assert "192.0.2.0/24" in left.message
            counted.append(entry)


def test_where_the_environment_decides_the_remedy_is_there() -> None:
    rule = {"action": "Deny", "protocol": "TCP", "destination": {"ports": [22]}}
    objects = [hep(), directed("ingress", [rule, {"action": "Allow"}])]
    for text, left in (("tcp:22", "none"), ("tcp:22,tcp:[fd00::/8]:179", "tcp:[fd00::/8]:179")):
        environment = {"FELIX_FailsafeInboundHostPorts": text}
        (one,) = found(objects, "failsafe-shadows-deny", environment=environment)
        assert one.remedy.startswith("environment variable FELIX_FAILSAFEINBOUNDHOSTPORTS decides")
        assert one.remedy.endswith(f"write there {left}")
        after = {"FELIX_FailsafeInboundHostPorts": left}
        assert not found(objects, "failsafe-shadows-deny", environment=after)


@pytest.mark.parametrize("value", ["none", "", "tcp:22", 0, 22, {}, {"protocol": "tcp", "port": 22}, True])
@pytest.mark.parametrize("field", [felix.INBOUND_FIELD, felix.OUTBOUND_FIELD])
def test_a_list_that_is_none_is_told_what_to_write(field: str, value: object) -> None:
    (one,) = found([builders.felix_configuration(**{field: value})], "failsafe-entry")
    assert "write [] for no failsafe at all" in one.remedy


# -- t28, t30: said as it is ------------------------------------------------------------------------------


def test_only_a_wildcard_covers_loopback(counted: list[object]) -> None:
    for interface in ("*", "eth0", "ens3", "bond0.100", None):
        (one,) = found([hep(interfaceName=interface, profiles=None)], "endpoint-without-profile")
        assert ("loopback" in one.message) == (interface == "*")
        counted.append(interface)


NAMED = {
    "vrrp": 112,
    "ospf": 89,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "igmp": 2,
    "ipip": 4,
    "pim": 103,
    "l2tp": 115,
}


def test_protocols_that_calico_does_not_know_by_name(counted: list[object]) -> None:
    for (name, number), field in itertools.product(NAMED.items(), ("protocol", "notProtocol")):
        for text in (name, name.upper()):
            rule = {"action": "Allow", field: text}
            (one,) = found([hep(), directed("ingress", [rule, *LIVING])], "invalid-protocol")
            assert f"write {field}: {number};" in one.remedy
            fixed = directed("ingress", [{"action": "Allow", field: number}, *LIVING])
            assert not found([hep(), fixed], "invalid-protocol")
            counted.append(text)
