# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A transaction, as a part of the report: its state, and its timeline."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.document import build
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.transactions import transaction

from tests.unit.report import sample
from tests.unit.report.test_document import valid

WAVE = sample.RECORD["waves"][0]


def record(phase: str, *waves: dict[str, object]) -> dict[str, object]:
    given = [{**WAVE, **wave} for wave in waves]
    return {**sample.RECORD, "phase": phase, "waves": given, "finished": ""}


def test_the_timeline_of_a_run_has_every_step_with_its_time():
    steps = transaction(sample.RECORD, sample.TIMELINE)["steps"]
    assert [step["event"] for step in steps] == [step["event"] for step in sample.TIMELINE]
    assert steps[2] == {"at": "2026-11-28T16:20:10Z", "event": "switched", "text": "wave canary"}


def test_without_a_timeline_the_steps_are_those_that_the_cluster_remembers():
    steps = transaction(sample.RECORD)["steps"]
    assert [(step["at"][11:], step["event"]) for step in steps] == [
        ("16:20:00Z", "begun"),
        ("16:20:15Z", "settled"),
        ("16:20:16Z", "settled"),
    ]


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (record("preparing", {"phase": "prepared"}), "pending"),
        (record("running", {"phase": "armed"}), "pending"),
        (record("running", {"phase": "switched"}), "live"),
        (record("running", {"phase": "confirmed"}, {"phase": "prepared"}), "live"),
        (record("running", {"phase": "confirmed"}, {"phase": "rolled-back"}), "rolled-back"),
        (record("settled", {"phase": "settled"}), "confirmed"),
    ],
)
def test_the_state_is_that_of_the_waves(found, state):
    document = valid(build(sample.found(transaction=transaction(found)), sample.AT, "0.1.0"))
    assert document["transaction"]["state"] == state


def test_what_was_undone_leaves_no_record_but_the_run_knows():
    undone = [{"event": "undone", "wave": "", "seconds": 9.0, "at": "2026-11-28T16:20:10Z"}]
    assert transaction({}, undone)["state"] == "rolled-back"
    assert transaction({})["state"] == "none"


def test_the_deadline_is_that_of_the_wave_that_waits():
    waits = {"phase": "switched", "deadline": "2026-11-28T16:22:10Z"}
    assert transaction(record("running", waits))["deadline"] == "2026-11-28T16:22:10Z"
    assert "deadline" not in transaction(sample.RECORD)
