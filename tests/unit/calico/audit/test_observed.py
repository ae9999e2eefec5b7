# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documents of nodes, some of which want to do harm."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.observed import FlowDocument
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.policy_files import as_yaml

from tests.unit.calico.audit.watched import ONLY_WEB, all_nodes, audited, cluster, document, record


def test_names_from_a_node_reach_neither_report_nor_yaml_as_anything_else():
    evil = '"}\n- action: Allow {{ lookup("pipe", "id") }} <script>\x1b[31m'

    result = audited(cluster(ONLY_WEB), *all_nodes(record(owner={"process": evil})))

    (row,) = result["rows"]
    shown = "\n".join((row["text"], *result["message"], as_yaml(row["remedy"]["policies"])))
    assert not {"{{", "<script", "\x1b", '"}'} & {
        part for part in ("{{", "<script", "\x1b", '"}') if part in shown
    }
    assert "\n- action: Allow {" not in shown


@pytest.mark.parametrize(
    "raw", [None, [], {"schema": "other"}, {"schema": "hostfence.flows/1", "node": 1},
            {"schema": "hostfence.flows/1", "node": "n", "flows": {}},
            {"schema": "hostfence.flows/1", "node": "n", "flows": [], "window": {"start": "x"}}]
)  # fmt: skip
def test_what_is_no_document_is_one_clear_error(raw):
    with pytest.raises(BadInput) as refused:
        FlowDocument(raw, "flows/n1.json")
    assert "flows/n1.json" in str(refused.value)


def test_a_flow_that_cannot_be_read_is_named_and_the_others_are_read() -> None:
    found = FlowDocument(document({"flow": 1}, record(port=80), record(flow={"protocol": "?"})), "here")
    assert [observed.flow.destination_port for observed in found.flows()] == [80]
    assert [text.split(": ")[:2] for text in found.unreadable] == [
        ["n1", "flows[0]"],
        ["n1", "flows[2].flow.protocol"],
    ]


def test_a_flow_is_of_the_node_whose_document_it_is_in() -> None:
    (found,) = FlowDocument(document(record(flow={"node": "another"})), "here").flows()
    assert found.flow.node == "n1"


@pytest.mark.parametrize(
    ("seen", "field", "value"),
    [
        ({"count": -5}, "count", 0),
        ({"count": True}, "count", 0),
        ({"count": 2**70}, "count", 2**63),
        ({"replied": "yes"}, "replied", None),
        ({"interface_by": "route"}, "interface_assumed", True),
        ({"direction_certain": False}, "direction_certain", False),
        ({"older_than_window": 1}, "older_than_window", False),
        ({"source_prefix": 16}, "source_bits", 16),
        ({"source_prefix": 32}, "source_bits", None),
        ({"destination_prefix": -1}, "destination_bits", None),
        ({"owner": {"process": "a" * 100}}, "owner", "a" * 64),
        ({"owner": {"process": "", "unit": "x\n.service"}}, "owner", "x?.service"),
        ({"owner": "root"}, "owner", ""),
    ],
)
def test_what_a_node_writes_of_a_flow_is_kept_within_bounds(seen: Any, field: str, value: object) -> None:
    (found,) = FlowDocument(document(record(**seen)), "here").flows()
    assert getattr(found, field) == value


@pytest.mark.parametrize(
    ("window", "gaps"),
    [
        ({"start": 0, "end": 60, "complete": True, "gaps": []}, ()),
        ({"start": 0, "end": 60, "gaps": []}, ("incomplete",)),
        ({"start": 0, "end": 60, "complete": True}, ("unreadable",)),
        (
            {"start": 0, "end": 60, "complete": True, "gaps": [{"id": "set-full"}, 7]},
            ("set-full", "unreadable"),
        ),
    ],
)
def test_a_window_without_a_word_of_its_gaps_is_not_complete(window: Any, gaps: tuple[str, ...]) -> None:
    found = FlowDocument({**document(), "window": window}, "here").window
    assert (found.gaps, found.seconds) == (gaps, 60)
    assert FlowDocument({**document(), "window": {**window, "end": -60}}, "here").window.seconds == 0


@pytest.mark.parametrize("time", [float("nan"), float("inf"), 1e300, -1, 2**40])
def test_a_time_that_cannot_be_is_none(time: float) -> None:
    raw = document()
    raw["window"].update(start=time, end=time)

    found = FlowDocument(raw, "here").window

    assert (found.start, found.end) == (0, 0)


def test_of_flows_that_cannot_be_read_a_few_are_kept_and_all_are_counted():
    raw = FlowDocument(document(*({"flow": number} for number in range(5000))), "n1")

    assert list(raw.flows()) == []
    assert (raw.unreadable_flows, len(raw.unreadable)) == (5000, 20)
