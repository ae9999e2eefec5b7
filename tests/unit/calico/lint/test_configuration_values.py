# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the fields of Calico's two configurations take, as Calico's own validator and schemas judged it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import lint
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.known_fields import SPEC_FIELDS

from tests.unit.builders import V1, V3
from tests.unit.calico.lint.test_api_rules import is_refused

VALUES = Path(__file__).parents[2] / "recordings" / "calicoctl_values.jsonl"


def refusals(kind: str, spec: dict[str, Any], api: str = V3, name: str = "default") -> set[str]:
    judged = {"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec}
    return {found.field for found in lint([judged]) if found.id in ("refused-by-api", "failsafe-entry")}


def test_every_value_that_calico_refuses_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Field by field, of every kind but policies; what both take must still be taken.

    ``refused`` is by the validator, ``by_schema`` what it takes and the CRD's schema refuses (v3.32.1).
    """
    rows = [json.loads(line) for line in VALUES.read_text().splitlines()]
    named = {"HostEndpoint": "h", "GlobalNetworkSet": "s", "Tier": "t"}
    for row in rows:
        judged = {"kind": row["kind"], "metadata": {"name": named.get(row["kind"], "default")}}
        refused = row["refused"] or row.get("by_schema", False)
        assert is_refused({**judged, "spec": row["spec"]}) is refused, row
    by_validator = sum(row["refused"] for row in rows)
    by_schema = sum(row.get("by_schema", False) for row in rows)
    taken = len(rows) - by_validator - by_schema
    with capsys.disabled():
        print(
            f"\n{by_validator} of {by_validator} values that Calico's validator refuses are refused, and "
            f"{by_schema} of {by_schema} that its schemas alone refuse; of {taken} that both take, none is"
        )
    fields = {field for row in rows if row["kind"] == "FelixConfiguration" for field in row["spec"]}
    # Calico's validator ends in a panic on any value of the one that is left out.
    assert fields == SPEC_FIELDS["FelixConfiguration"].keys() - {"bpfExportBufferSizeMB"}


def test_of_v1_what_its_schema_refuses_is_refused_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    """It is written past Calico's validator.

    ``of_v1`` is what an API server with Calico's definitions (v3.32.1) refused of an object named ``edge``.
    """
    kinds = ("FelixConfiguration", "KubeControllersConfiguration")
    rows = [json.loads(line) for line in VALUES.read_text().splitlines()]
    judged = [row for row in rows if row["kind"] in kinds]
    for row in judged:
        found = refusals(row["kind"], row["spec"], V1, "edge")
        assert bool(found) is row.get("of_v1", False), (row, found)
    refused = sum(row.get("of_v1", False) for row in judged)
    with capsys.disabled():
        print(
            f"\n{refused} of {refused} values that the schema of v1 refuses are refused of v1, "
            f"and none of the {len(judged) - refused} that it takes"
        )


@pytest.mark.parametrize(
    ("field", "taken", "wrong"),
    [
        ("bpfEnabled", [True], ["true", 1]),
        ("iptablesRefreshInterval", ["90s", ""], ["1.5h", 90]),
        ("nftablesRefreshInterval", ["1.5h", "soon"], [90]),
        ("defaultEndpointToHostAction", ["drop", ""], ["Deny", True]),
        ("nftablesMode", ["Auto"], ["auto", ""]),
        ("chainInsertMode", ["append"], ["Prepend"]),
        ("prometheusMetricsClientAuth", ["any"], [1]),
        ("wireguardListeningPort", [0, 70000], ["51820", True]),
        ("iptablesMarkMask", [-1], [2**31]),
        ("logActionRateLimitBurst", [9999], [10000]),
        ("natPortRange", ["x", 1], [True, []]),
        ("kubeNodePortRanges", [["http"]], ["80", [None]]),
        ("externalNodesList", [["x"]], [[1], "x"]),
        ("bpfLogFilters", [{}], ["x"]),
        ("routeTableRanges", [[]], [{}, [1]]),
        ("interfacePrefix", ["cali"], [5]),
        ("featureDetectOverride", ["A-B=true,C=,", ""], ["A", "A=TRUE", "A=true;B=true"]),
        ("featureGates", ["A-B=c,", "A=b,c"], ["A", "A=b=c", "=b"]),
        ("logActionRateLimit", ["9999/day"], ["", "0/day", "10000/day", "1/week"]),
        ("logPrefix", ["", "%t a_b: "], ["a.b", "a=b", "a\n"]),
        ("liveMigrationRouteConvergenceTime", ["1.5s", "", "1h30m"], ["soon", "1us", "-1s"]),
        ("nodeSelector", ["x" * 1024], ["x" * 1025]),
        ("bpfLogFilters", [{"eth0": "", "eth1": None}], [{"eth0": 1}, {"eth0": ["x"]}]),
        ("healthTimeoutOverrides", [[{"name": "", "timeout": "x"}]], [[{"name": "x"}], [{"timeout": "1s"}]]),
        ("routeTableRange", [{"min": 2, "max": -1}], [{"min": 1}, {"min": "1", "max": 2}]),
        ("routeTableRanges", [[{"min": 1, "max": 2}]], [[{}], [{"min": 1, "max": True}]]),
        (
            "bpfConntrackTimeouts",
            [{"tcpSynSent": timeout} for timeout in ("Auto", "1h", "1.5us", "s", "mms", ".s")],
            [{"tcpSynSent": timeout} for timeout in ("auto", "", "1ns", "+1s", "0", "1s ", 5)],
        ),
    ],
)
def test_what_the_schema_takes_of_a_field_of_felix(
    field: str, taken: list[object], wrong: list[object]
) -> None:
    for value in taken:
        assert not refusals("FelixConfiguration", {field: value}, V1, "edge"), value
    for value in wrong:
        [place] = refusals("FelixConfiguration", {field: value}, V1, "edge")
        assert place.startswith("spec.routeTableRange" if "routeTable" in field else f"spec.{field}")


@pytest.mark.parametrize(
    ("controllers", "refused"),
    [
        ({"node": {"reconcilerPeriod": "soon", "hostEndpoint": {"createDefaultHostEndpoint": "x"}}}, False),
        ({"node": {"reconcilerPeriod": 5}}, True),
        ({"node": {"hostEndpoint": {"autoCreate": True}}}, True),
        ({"node": {"hostEndpoint": {"createDefaultHostEndpoint": True}}}, True),
        ({"node": "x"}, True),
        (None, True),
    ],
)
def test_what_the_schema_takes_of_controllers(controllers: object, refused: bool) -> None:
    found = refusals("KubeControllersConfiguration", {"controllers": controllers}, V1)
    assert bool(found) is refused


@pytest.mark.parametrize("api", [V1, V3])
@pytest.mark.parametrize(
    ("field", "taken", "wrong"),
    [
        ("generateName", "x" * 253, "x" * 254),
        ("interfaceCIDRs", ["10.0.0.0/8", "10.0.0.0/9"], ["10.0.0.0/8", "10.0.0.0/8"]),
        ("labels", {"a": "b", "c": None}, {"a": 1}),
    ],
)
def test_what_the_schema_takes_of_a_template(api: str, field: str, taken: object, wrong: object) -> None:
    def refused(value: object) -> bool:
        endpoint = {"templates": [{"generateName": "t", field: value}]}
        spec = {"controllers": {"node": {"hostEndpoint": endpoint}}}
        return bool(refusals("KubeControllersConfiguration", spec, api))

    assert not refused(taken)
    assert refused(wrong)


def test_a_pattern_of_the_schema_is_no_burden() -> None:
    long = {"tcpSynSent": "ms" * 5000 + "!"}
    assert refusals("FelixConfiguration", {"bpfConntrackTimeouts": long}, V1)


@pytest.mark.parametrize("api", [V1, V3])
@pytest.mark.parametrize(("name", "refused"), [("default", True), ("node.n1", True), ("edge", False)])
def test_only_a_configuration_of_its_own_name_selects_nodes(api: str, name: str, refused: bool) -> None:
    judged = {"apiVersion": api, "kind": "FelixConfiguration", "metadata": {"name": name}}
    found = lint([{**judged, "spec": {"nodeSelector": "has(edge)"}}])
    assert ("refused-by-api" in {one.id for one in found}) is refused


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
        ("iptablesRefreshInterval", ["90s", "1m30s", "0s"], ["90", 90, "1 m", "1d", "1.5h"]),
        ("logActionRateLimit", ["100/minute"], ["100", "0/minute", "1/week"]),
        ("wireguardListeningPort", [1, 65535], [0, 65536, "51820"]),
        ("wireguardInterfaceName", ["wg0"], ["wireguard-interface"]),
        ("natOutgoingAddress", ["192.0.2.1"], ["fd00::1", "192.0.2.1/32"]),
        ("externalNodesList", [["192.0.2.0/24", "192.0.2.1"]], [["fd00::/8"], ["x"], "192.0.2.1"]),
        ("bpfDSROptoutCIDRs", [["192.0.2.0/24", "fd00::/8"]], [["x"], [1]]),
        ("kubeNodePortRanges", [["30000:32767", 80]], [["http"], ["1:99999"], ["1:2"] * 8, "1:2"]),
        ("featureDetectOverride", ["A=true,B=false", ""], ["A", "A=true;B=x=y"]),
        ("bpfConntrackTimeouts", [{"icmpTimeout": "90s"}], [{"icmpTimeout": "1ns"}, {"icmpTimeout": "s"}]),
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
        {"node": {"hostEndpoint": {"templates": [{"labels": ["x"]}]}}},
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
