# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nothing that an API can store stops the readers: objects of every kind, with whatever a schema lets in."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import lint
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.known_fields import SPEC_FIELDS
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.model import SKIPPED
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import (
    Options,
    judge_objects,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.packet_path import DATAPLANES

from tests.unit import builders
from tests.unit.builders import Object

EACH = 400

TEXTS = (
    *("", "a", "a'b", 'a"b', "has(", "all()", "global()", "a == 'b'", "!has(a)", "a" * 508 + " == 'b'"),
    *(
        "(" * 40,
        "10.0.0.0/8",
        "::/0",
        "::ffff:10.0.0.0/104",
        "fe80::%eth0/64",
        "1.2.3.4/40",
        "80:90",
        "90:80",
    ),
    *("70000", "*", "TCP", "6", "vrrp", "Allow", "allow", "none", "\u00e9", "Ingress", "ingress", "a" * 600),
    *("x\ny", "{}", "~[("),
)
NUMBERS = (-1, 0, 1, 4, 6, 17, 22, 255, 256, 65535, 65536, 2**31 - 1)
LISTS = frozenset(
    (
        *("nets", "notNets", "ports", "notPorts", "names", "types", "performanceHints", "expectedIPs"),
        *("profiles", "ingress", "egress", "paths", "methods", "templates", "interfaceCIDRs"),
        *("failsafeInboundHostPorts", "failsafeOutboundHostPorts"),
    )
)
WHOLE = frozenset(["port", "code", "type", "ipVersion", "order"])
FLAGS = frozenset(["doNotTrack", "preDNAT", "applyOnForward", "bpfEnabled", "wireguardEnabled"])
EITHER = frozenset(["protocol", "notProtocol"])


def value_of(name: str, fields: Any, chance: random.Random) -> Any:
    """A value that the schema of this field lets in."""
    if name in LISTS:
        return [item_of(name, fields, chance) for _ in range(chance.randrange(3))]
    if fields is not None:
        return {key: value_of(key, fields[key], chance) for key in fields if chance.random() < 0.4}
    if name in FLAGS:
        return chance.random() < 0.5
    if name == "order":
        return chance.choice((*NUMBERS, 1.5))
    if name in WHOLE:
        return chance.choice(NUMBERS)
    if name in EITHER:
        return chance.choice((*TEXTS, *NUMBERS))
    if name in ("labels", "annotations"):
        return {chance.choice(TEXTS): chance.choice(TEXTS)}
    return chance.choice(TEXTS)


def item_of(name: str, fields: Any, chance: random.Random) -> Any:
    if chance.random() < 0.1:
        return None
    if fields is not None:
        return {key: value_of(key, fields[key], chance) for key in fields if chance.random() < 0.4}
    return chance.choice((*TEXTS, *NUMBERS)) if name in ("ports", "notPorts") else chance.choice(TEXTS)


def stored(kind: str, chance: random.Random) -> Object:
    labels = {chance.choice(("a", "role", "x" * 509)): chance.choice(("", "b", "c"))}
    notes = {
        "projectcalico.org/metadata": chance.choice(
            (
                *("", "{", "[]", "null", '{"labels": 1}', '{"name": 5}', '{"labels": {"a": 1}}'),
                *('{"labels": ["a"]}', '{"annotations": 1}', "[" * 100_000),
            )
        )
    }
    metadata: Object = {"name": f"o{chance.randrange(10**9)}", "uid": "u", "resourceVersion": "1"}
    metadata.update({"labels": labels} if chance.random() < 0.5 else {})
    metadata.update({"annotations": notes} if chance.random() < 0.3 else {})
    fields = SPEC_FIELDS[kind]
    spec = {key: value_of(key, fields[key], chance) for key in fields if chance.random() < 0.5}
    if kind == "HostEndpoint":
        spec["node"] = "n"
    api = chance.choice(("crd.projectcalico.org/v1", "projectcalico.org/v3"))
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}


KNOWN = builders.host_endpoint(
    "h", node="n", labels={"a": "b"}, profiles=None, expectedIPs=["10.0.0.1", "fd00::1"]
)
FLOWS = [
    {"node": "n", "direction": direction, "interface": "eth0", "protocol": "TCP", "source": source,
     "destination": destination, "destination_port": 80}
    for direction in ("ingress", "egress")
    for source, destination in (("10.0.0.9", "10.0.0.1"), ("fd00::9", "fd00::1"))
]  # fmt: skip


@pytest.mark.parametrize("kind", sorted(SPEC_FIELDS))
def test_what_can_be_stored_never_stops_a_run(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(kind)
    for count in range(EACH):
        objects = [KNOWN, stored(kind, chance)]
        options = Options(dataplane=DATAPLANES[count % 3])
        lint(objects, options)
        judge_objects(objects, FLOWS, options=options)
    with capsys.disabled():
        print(f"\n{EACH} of {EACH} storable objects of kind {kind} read, linted and judged")


def policy(**spec: Any) -> Object:
    """One that an API server has stored: it has a uid."""
    found = builders.policy("p", **{"selector": "a == 'b'", **spec})
    found["metadata"]["uid"] = "u"
    return found


def test_names_with_a_quote_leave_the_rule_without_its_selector() -> None:
    store = read([policy(ingress=[{"action": "Allow", "source": {"serviceAccounts": {"names": ["a'b"]}}}])])
    assert store.policies[0].ingress[0].source.selector is None
    ((_ref, found),) = store.misreadings
    assert (found.field, found.effect) == ("spec.ingress[0].source.serviceAccounts.names", SKIPPED)


@pytest.mark.parametrize("length", range(508, 513))
def test_a_label_too_long_with_its_prefix_drops_the_policy(length: int) -> None:
    text = "x" * length + " == 'y'"
    side = {"namespaceSelector": text}
    assert not read([policy(ingress=[{"action": "Allow", "source": side}])]).policies
    assert not read([policy(namespaceSelector=text)]).policies
    assert not read([policy(serviceAccountSelector=text)]).policies
    assert read([policy(selector=text)]).policies


def test_a_null_rule_allows_everything() -> None:
    (stored_policy,) = read([policy(ingress=[None])]).policies
    assert stored_policy.ingress[0].action == "allow"


def test_an_undecodable_stored_object_is_said_and_not_raised() -> None:
    store = read([policy(ingress=[{"action": "Allow", "source": []}])])
    assert not store.policies
    assert store.stale()


@pytest.mark.parametrize("name", ["HTTP", "80-90", "a.b"])
def test_felix_keeps_an_endpoint_with_a_port_name_that_no_rule_can_use(name: str) -> None:
    hep = {**KNOWN, "spec": {**KNOWN["spec"], "ports": [{"name": name, "protocol": "TCP", "port": 80}]}}  # type: ignore[dict-item]
    assert [found.name for found in read([hep]).host_endpoints] == ["h"]
    rule = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [name]}}
    assert not read([policy(ingress=[rule])]).policies


@pytest.mark.parametrize(
    "port",
    [
        {"name": "a", "protocol": 6, "port": 80},
        {"name": "a", "protocol": "6", "port": 80},
        {"name": "a", "protocol": "TCP", "port": 0},
        {"name": "a", "port": 80},
    ],
)
def test_ports_with_which_felix_drops_the_endpoint(port: Object) -> None:
    hep = {**KNOWN, "spec": {**KNOWN["spec"], "ports": [port]}}  # type: ignore[dict-item]
    assert not read([hep]).host_endpoints


def test_kinds_of_other_programs_are_passed_over() -> None:
    others = [
        ("kubeflow.org/v1", "Profile"),
        ("example.com/v1", "Tier"),
        ("networking.example.com/v1", "NetworkSet"),
    ]
    store = read([{"apiVersion": api, "kind": kind, "metadata": {"name": "x"}} for api, kind in others])
    assert not store.misreadings
    assert not store.tiers
