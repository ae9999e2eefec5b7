# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module flow_audit, on a live cluster and on files."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from builders import flows_document
from module_run import run_module

SPEC = {
    "selector": "host-endpoint == 'ingress'",
    "order": 5,
    "types": ["Ingress"],
    "ingress": [{"action": "Allow", "protocol": "TCP", "destination": {"ports": [443]}}],
}
NO_CLUSTER = SimpleNamespace(kubeconfig="/nonexistent")


@pytest.fixture
def observed(tmp_path):
    folder = tmp_path / "flows"
    folder.mkdir()

    def write(node, port):
        (folder / f"{node}.json").write_text(json.dumps(flows_document(node, port)))
        return str(folder)

    return write


def protected(api):
    api.add_nodes(1)
    run_module("host_endpoints", api)


def test_what_a_staged_policy_would_deny_is_named_with_the_rule_that_allows_it(clean_api, observed, tmp_path):
    if "StagedGlobalNetworkPolicy" not in clean_api.kinds:
        pytest.skip(f"CRDs {clean_api.flavour} have no staged policy")
    protected(clean_api)
    clean_api.create("StagedGlobalNetworkPolicy", "closed", SPEC)
    flows = observed("sim-0001", 9100)

    result = run_module("flow_audit", clean_api, flows=flows)

    assert (result["gate"], result["counts"]["would_deny"], result["changed"]) == ("fail", 1, False)
    (row,) = result["rows"]
    assert row["text"] == "from 192.0.2.9/32 to tcp/9100 of sim-0001, 4 times"
    remedy = tmp_path / "remedy.yml"
    remedy.write_text(row["remedy"]["yaml"])
    again = run_module("flow_audit", clean_api, flows=flows, candidate=str(remedy))
    assert again["gate"] == "pass", again["message"]


@pytest.mark.one_flavour
def test_services_of_the_cluster_are_named(clean_api, observed, tmp_path):
    if "StagedGlobalNetworkPolicy" not in clean_api.kinds:
        pytest.skip(f"CRDs {clean_api.flavour} have no staged policy")
    protected(clean_api)
    clean_api.create("StagedGlobalNetworkPolicy", "closed", SPEC)
    services = "/api/v1/namespaces/default/services"
    ports = [{"port": 80, "nodePort": 30099}]
    clean_api.admin.post(
        services,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "exporter"},
            "spec": {"type": "NodePort", "ports": ports},
        },
    )
    try:
        document = flows_document("sim-0001", 9100)
        document["flows"][0]["flow"].update(original_destination="10.0.0.9", original_destination_port=30099)
        flows = tmp_path / "sim-0001.json"
        flows.write_text(json.dumps(document))

        result = run_module("flow_audit", clean_api, flows=str(flows))
    finally:
        clean_api.admin.delete(f"{services}/exporter")

    (row,) = result["rows"]
    assert row["services"] == ["default/exporter"]
    assert " by service default/exporter, 4 times" in row["text"]


@pytest.mark.one_flavour
@pytest.mark.parametrize("anonymise", [False, True])
def test_what_a_recommendation_prints_can_be_without_addresses(clean_api, tmp_path, anonymise):
    """Too many peers for a rule, so the set would deny them, and names them."""
    document = flows_document("sim-0001", 9100)
    record = document["flows"][0]
    peers = (f"198.18.{number >> 8}.{number & 255}" for number in range(400))
    document["flows"] = [{**record, "flow": {**record["flow"], "source": peer}} for peer in peers]
    flows = tmp_path / "sim-0001.json"
    flows.write_text(json.dumps(document))
    protected(clean_api)

    result = run_module(
        "policy_recommendation",
        clean_api,
        flows=str(flows),
        selector="host-endpoint == 'ingress'",
        anonymise=anonymise,
    )

    assert result["denied"] == 400
    assert ("198.18" in str(result["message"])) is not anonymise


@pytest.mark.one_flavour
def test_a_directory_that_is_in_no_cluster_is_judged(clean_api, observed, tmp_path):
    protected(clean_api)
    candidate = tmp_path / "closed.yml"
    candidate.write_text(
        json.dumps(
            {
                "apiVersion": "projectcalico.org/v3",
                "kind": "GlobalNetworkPolicy",
                "metadata": {"name": "closed"},
                "spec": SPEC,
            }
        )
    )

    result = run_module("flow_audit", clean_api, flows=observed("sim-0001", 443), candidate=str(candidate))

    assert (result["gate"], result["counts"]["allow"]) == ("pass", 1)
    assert result["nodes"] == 1


@pytest.mark.one_flavour
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"flows": "/nonexistent"}, "node_flows"),
        ({"accepted": [{"port": 1, "until": "2030-01-01"}]}, "audit_accepted[0].reason"),
    ],
)
def test_bad_input_is_one_clear_error(clean_api, observed, options, text):
    given = {"flows": observed("sim-0001", 443), "resources": [], **options}

    result = run_module("flow_audit", NO_CLUSTER, **given)

    assert result["failed"]
    assert text in result["msg"]
