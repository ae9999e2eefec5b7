# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What calicoctl validate refuses is refused by policy_lint: 480 random objects, judged by Calico itself.

recordings/calicoctl_validate.jsonl holds the answers of libcalico-go's validator (v3.32.1, strict decoding
included), one object a line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import lint

from tests.unit import builders
from tests.unit.builders import V3, Object
from tests.unit.calico.lint.objects import Case, gnp, ids_of, rules_found

JUDGED = Path(__file__).parents[2] / "recordings" / "calicoctl_validate.jsonl"


def is_refused(judged: dict[str, Any]) -> bool:
    try:
        findings = lint([{"apiVersion": V3, **judged}])
    except BadInput:
        return True
    return any(found.severity == "error" for found in findings if found.id != "deny-covers-loopback")


def test_all_that_calicos_validator_refuses_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.loads(line) for line in JUDGED.read_text().splitlines()]
    refused = [row["object"] for row in rows if row["refused"]]
    missed = [judged for judged in refused if not is_refused(judged)]
    assert missed == []
    taken = [row["object"] for row in rows if not row["refused"]]
    api_only = [judged for judged in taken if "refused-by-api" in rules_of(judged)]
    with capsys.disabled():
        print(
            f"\n{len(refused)} of {len(refused)} objects that Calico's validator refuses are refused; of "
            f"{len(taken)} that it takes, {len(api_only)} are refused all the same"
        )
    # Calico's schema refuses them (tests/integration/test_stricter.py asks it), which the validator is not.
    assert {field_of(judged) for judged in api_only} == {
        ("FelixConfiguration", "spec.nftablesMode"),
        ("GlobalNetworkSet", "spec.nets[1]"),
        ("HostEndpoint", "spec.expectedIPs[1]"),
        ("KubeControllersConfiguration", "spec.controllers"),
        ("KubeControllersConfiguration", "spec.prometheusMetricsPort"),
    }


def field_of(judged: dict[str, Any]) -> tuple[str, str]:
    [first, *_more] = [f for f in lint([{"apiVersion": V3, **judged}]) if f.id == "refused-by-api"]
    return judged["kind"], first.field


def rules_of(judged: dict[str, Any]) -> set[str]:
    return {found.id for found in lint([{"apiVersion": V3, **judged}])}


NAMES = {"kind": "GlobalNetworkPolicy", "metadata": {"name": "t.p"}, "spec": {"tier": "a.b", "order": 1}}
PORTS = {"action": "Allow", "protocol": "TCP", "destination": {"ports": ["HTTP", "a.b"]}}


def test_what_only_a_set_refuses_is_not_said_to_be_the_api() -> None:
    assert "refused-by-api" not in rules_of(NAMES)
    assert "refused-by-api" in rules_of({**NAMES, "spec": {"tier": "A"}})
    assert "refused-by-api" in rules_of({**NAMES, "metadata": {"name": "A"}})
    # What Felix makes of such a port has a rule of its own.
    rules = rules_of({**NAMES, "metadata": {"name": "p"}, "spec": {"ingress": [PORTS]}})
    assert "refused-by-api" not in rules
    assert "invalid-port" in rules


@pytest.mark.parametrize(
    ("kind", "field", "wrong", "right"),
    [
        ("FelixConfiguration", "logActionRateLimitBurst", 10000, 9999),
        ("FelixConfiguration", "bpfMapSizeConntrackCleanupQueue", 0, 1),
        ("FelixConfiguration", "iptablesMarkMask", 2**31, 2**31 - 1),
        ("FelixConfiguration", "failsafeInboundHostPorts", [{"protocol": "tcp", "port": 65536}], []),
        ("FelixConfiguration", "failsafeOutboundHostPorts", [{"protocol": "tcp", "port": -1}], []),
        ("KubeControllersConfiguration", "prometheusMetricsPort", 65536, 65535),
        ("KubeControllersConfiguration", "debugProfilePort", -1, 0),
    ],
)
def test_a_number_outside_its_range_is_an_error(kind: str, field: str, wrong: object, right: object) -> None:
    def refused(value: object) -> bool:
        spec = {field: value, **({"controllers": {}} if kind != "FelixConfiguration" else {})}
        return is_refused({"kind": kind, "metadata": {"name": "default"}, "spec": spec})

    assert refused(wrong)
    assert not refused(right)


@pytest.mark.parametrize(("name", "order"), [("kube-admin", 1_000), ("kube-baseline", 10_000_000)])
def test_tiers_of_calico_s_own_end_in_a_pass(name: str, order: int) -> None:
    def refused(**spec: object) -> bool:
        return is_refused({"kind": "Tier", "metadata": {"name": name}, "spec": {"order": order, **spec}})

    assert not refused(defaultAction="Pass")
    assert refused(defaultAction="Deny")
    assert refused()


@pytest.mark.parametrize("metadata", [{"uid": "u"}, {"resourceVersion": "1"}])
def test_what_an_api_server_has_stored_is_not_asked_again(metadata: dict[str, str]) -> None:
    wrong = {"kind": "HostEndpoint", "metadata": {"name": "h"}, "spec": {"node": "n"}}
    assert "refused-by-api" in rules_of(wrong)
    assert "refused-by-api" not in rules_of({**wrong, "metadata": {"name": "h", **metadata}})


CASES: list[Case] = [
    ("refused-by-api", [gnp(api=V3, types=["ingress"])], [gnp(api=V3)]),
    ("refused-by-api", [gnp(api=V3, types=["Ingress"] * 2)], [gnp(types=["Ingress"] * 2)]),
    (
        "refused-by-api",
        [builders.resource("HostEndpoint", "h", api=V3, node="n")],
        [builders.resource("HostEndpoint", "h", api=V3, node="n", interfaceName="*")],
    ),
    (
        "refused-by-api",
        [builders.resource("KubeControllersConfiguration", "default", api=V3)],
        [builders.resource("KubeControllersConfiguration", "default", api=V3, controllers={})],
    ),
]


@pytest.mark.parametrize(("name", "fires", "silent"), CASES, ids=ids_of(CASES))
def test_rule(name: str, fires: list[Object], silent: list[Object]) -> None:
    assert name in rules_found(fires)
    assert name not in rules_found(silent)


V3 = "projectcalico.org/v3"


@pytest.mark.parametrize("kind", ["GlobalNetworkSet", "HostEndpoint", "Tier", "GlobalNetworkPolicy"])
def test_annotations_of_every_kind_are_checked(kind: str) -> None:
    spec = {"node": "n", "interfaceName": "*"} if kind == "HostEndpoint" else {}
    metadata = {"name": "x", "annotations": {"a b": "c"}}
    raw = {"apiVersion": V3, "kind": kind, "metadata": metadata, "spec": spec}
    assert [f.field for f in lint([raw]) if f.id == "refused-by-api"] == ["metadata.annotations[a b]"]
