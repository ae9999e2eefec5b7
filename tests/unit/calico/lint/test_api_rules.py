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
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.known_fields import SPEC_FIELDS

from tests.unit import builders
from tests.unit.builders import V3, Object
from tests.unit.calico.lint.objects import Case, gnp, ids_of, rules_found

JUDGED = Path(__file__).parents[2] / "recordings" / "calicoctl_validate.jsonl"
VALUES = JUDGED.with_name("calicoctl_values.jsonl")


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


def refusals(kind: str, spec: dict[str, Any]) -> set[str]:
    judged = {"apiVersion": V3, "kind": kind, "metadata": {"name": "default"}, "spec": spec}
    return {found.field for found in lint([judged]) if found.id in ("refused-by-api", "failsafe-entry")}


def test_every_value_that_calicos_validator_refuses_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Field by field, of every kind but policies; what both take must still be taken."""
    rows = [json.loads(line) for line in VALUES.read_text().splitlines()]
    named = {"HostEndpoint": "h", "GlobalNetworkSet": "s", "Tier": "t"}
    for row in rows:
        judged = {"kind": row["kind"], "metadata": {"name": named.get(row["kind"], "default")}}
        assert is_refused({**judged, "spec": row["spec"]}) is row["refused"], row
    refused = sum(row["refused"] for row in rows)
    with capsys.disabled():
        print(f"\n{refused} of {refused} values that Calico's validator refuses are refused")
    fields = {field for row in rows if row["kind"] == "FelixConfiguration" for field in row["spec"]}
    # Calico's validator ends in a panic on any value of the one that is left out.
    assert fields == SPEC_FIELDS["FelixConfiguration"].keys() - {"bpfExportBufferSizeMB"}


@pytest.mark.parametrize(
    ("field", "right", "wrong"),
    [
        ("bpfEnabled", [True, False, None], ["true", "yes", 1]),
        ("chainInsertMode", ["Append", "insert", ""], ["Prepend", True]),
        ("prometheusMetricsClientAuth", ["NoClientCert"], ["", "none"]),
        ("bpfDataIfacePattern", ["^eth.*", "[[:alpha:]]+"], ["("]),
        ("natPortRange", ["20000:29999", 80], [0, "2:1", True]),
        ("routeTableRange", [{"min": 1, "max": 250}], [{}, {"min": 2, "max": 1}]),
        ("defaultEndpointToHostAction", ["Drop", ""], ["drop", "Deny"]),
        ("bpfExternalServiceMode", ["DSR"], ["dsr"]),
        ("iptablesRefreshInterval", ["90s", "1m30s", "0s", "1.5h"], ["90", 90, "1 m", "1d"]),
        ("logActionRateLimit", ["100/minute"], ["100", "0/minute", "1/week"]),
        ("wireguardListeningPort", [1, 65535], [0, 65536, "51820"]),
        ("wireguardInterfaceName", ["wg0"], ["wireguard-interface"]),
        ("natOutgoingAddress", ["192.0.2.1"], ["fd00::1", "192.0.2.1/32"]),
        ("externalNodesList", [["192.0.2.0/24", "192.0.2.1"]], [["fd00::/8"], ["x"], "192.0.2.1"]),
        ("bpfDSROptoutCIDRs", [["192.0.2.0/24", "fd00::/8"]], [["x"], [1]]),
        ("kubeNodePortRanges", [["30000:32767", 80]], [["http"], ["1:99999"], ["1:2"] * 8, "1:2"]),
        ("featureDetectOverride", ["A=true,B=false", ""], ["A", "A=true;B=x=y"]),
    ],
)
def test_what_a_field_of_felix_takes(field: str, right: list[object], wrong: list[object]) -> None:
    for value in right:
        assert not refusals("FelixConfiguration", {field: value}), value
    for value in wrong:
        [place] = refusals("FelixConfiguration", {field: value})
        assert place.startswith(f"spec.{field}")


@pytest.mark.parametrize(
    "controllers",
    [
        *({"node": "x"}, {"node": {"hostEndpoint": [1]}}, {"node": {"hostEndpoint": {"templates": {}}}}, "x"),
        {"node": {"hostEndpoint": {"templates": ["x"]}}},
        {"node": {"hostEndpoint": {"templates": [{"nodeSelector": 5}]}}},
        {"policy": {"reconcilerPeriod": 5}},
        {"loadBalancer": {"assignIPs": "some"}},
    ],
)
def test_controllers_of_another_shape_are_refused(controllers: object) -> None:
    [field] = refusals("KubeControllersConfiguration", {"controllers": controllers})
    assert field.startswith("spec.controllers")


@pytest.mark.parametrize("kind", ["FelixConfiguration", "KubeControllersConfiguration"])
def test_objects_of_another_shape_are_refused_and_do_not_end_in_a_traceback(kind: str) -> None:
    for metadata in ({"labels": 5}, {"labels": ["a"]}, {"labels": {"a": 1}}):
        judged = {"kind": kind, "metadata": {"name": "default", **metadata}, "spec": {"controllers": {}}}
        if kind == "FelixConfiguration":
            judged["spec"] = {}
        assert is_refused(judged)
    for spec in ([1], "x", 5):
        assert is_refused({"kind": kind, "metadata": {"name": "default"}, "spec": spec})
