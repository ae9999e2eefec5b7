# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the API servers are, as EndpointSlices say it."""

from __future__ import annotations

from ansible_collections.hostfence.calico.plugins.module_utils.calico.endpoint_slice import API_VERSION, KIND
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.api_endpoints import (
    ALL,
    PATH,
    ApiEndpoint,
    endpoints_of,
    read_slices,
    vital_slices,
)

from tests.unit.cluster.answers import Answers, named

SLICE = named("kubernetes", endpoints=[{"addresses": ["10.0.0.1"]}], ports=[{"port": 6443}])


def test_each_address_has_each_port_of_its_slice() -> None:
    two = {
        "endpoints": [{"addresses": ["10.0.0.1", "10.0.0.2"]}, {"addresses": None}],
        "ports": [{"port": 6443}, {"port": 443}, {"name": "any"}],
    }
    assert endpoints_of([two, {"endpoints": None, "ports": None}, {}]) == [
        ApiEndpoint(address, port) for address in ("10.0.0.1", "10.0.0.2") for port in (6443, 443)
    ]


def test_of_the_services_that_nodes_live_by_kind_and_version_are_said() -> None:
    answers = Answers({ALL: [SLICE]})
    assert vital_slices(answers) == [{**SLICE, "apiVersion": API_VERSION, "kind": KIND}]
    assert answers.asked == {ALL: 1}


def test_who_may_read_no_more_gets_those_of_the_api_alone() -> None:
    answers = Answers({PATH: [SLICE]}, refused=(ALL,))
    assert [part["metadata"]["name"] for part in vital_slices(answers)] == ["kubernetes"]
    nothing = Answers({}, refused=(ALL, PATH))
    assert (vital_slices(nothing), read_slices(nothing)) == ([], None)
