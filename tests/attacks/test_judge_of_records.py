# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The judge of records finds what it is to find: each broken promise is put before it once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from judge import Outcome, Record, cut, hurt, newly_denied, read, shut_at_the_end
from paths import Host, vital_paths

HOSTS = [Host(f"node{n}", (f"10.99.0.1{n}", f"fd99::1{n}")) for n in (1, 2, 3)]
PATHS = vital_paths(HOSTS)
GREEN, FAILED = Outcome(0, ""), Outcome(2, "refused")


def stored(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "crd.projectcalico.org/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": {"host": "yes"}},
        "spec": spec,
    }


OPEN = [
    *(
        stored(
            "HostEndpoint",
            host.name,
            {"node": host.name, "interfaceName": "*", "profiles": ["projectcalico-default-allow"]},
        )
        for host in HOSTS
    ),
    stored(
        "FelixConfiguration", "default", {"failsafeInboundHostPorts": [], "failsafeOutboundHostPorts": []}
    ),
]
DENIES_ALL = stored("GlobalNetworkPolicy", "default.shut", {"selector": "has(host)", "types": ["Ingress"]})
SHUT = [*OPEN, DENIES_ALL]
PATH = PATHS[0].name


def tries(*answers: bool) -> tuple[tuple[float, str, bool], ...]:
    return tuple((float(second), PATH, is_open) for second, is_open in enumerate(answers))


def test_each_node_is_watched_in_both_families() -> None:
    assert len({path.name for path in PATHS}) == len(PATHS) == 66
    assert {(path.node, ":" in path.destination) for path in PATHS} == {
        (host.name, six) for host in HOSTS for six in (False, True)
    }


def test_denied_paths_are_found_by_the_engine() -> None:
    found = newly_denied(Record(((0, OPEN), (1, SHUT))), PATHS)
    assert found == {path.name for path in PATHS if path.direction == "ingress"}


@pytest.mark.parametrize(
    ("outcome", "states", "answers", "why"),
    [
        (GREEN, (OPEN, SHUT), (), "it ended green, and these paths are shut"),
        (FAILED, (OPEN, SHUT), (), "left what decides other than it was"),
        (GREEN, (OPEN, OPEN), (True, False, False), "it ended green, and these paths are shut"),
        (FAILED, (OPEN, OPEN), (True, True, False, False), "paths are shut after it"),
    ],
)
def test_a_broken_promise_is_found(outcome: Outcome, states: Any, answers: Any, why: str) -> None:
    record = Record(tuple((float(at), objects) for at, objects in enumerate(states)), tries(*answers))
    (found,) = hurt(outcome, record, PATHS)
    assert why in found


@pytest.mark.parametrize(
    ("outcome", "states", "answers"),
    [
        (GREEN, (OPEN, OPEN), (True, True)),
        (FAILED, (OPEN, SHUT, OPEN), (True, False, False, True)),
        (FAILED, (OPEN,), ()),
        # It was shut from the start: nobody can be blamed for it.
        (GREEN, (SHUT, SHUT), (False, False, False)),
    ],
)
def test_a_kept_promise_is_not_blamed(outcome: Outcome, states: Any, answers: Any) -> None:
    record = Record(tuple((float(at), objects) for at, objects in enumerate(states)), tries(*answers))
    assert hurt(outcome, record, PATHS) == []


def test_how_long_a_path_was_cut() -> None:
    record = Record(((0, OPEN),), tries(True, False, False, False, True, False, True))
    assert cut(record) == {PATH: 2.0}
    assert shut_at_the_end(record) == set()


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    lines = [{"at": 1, "objects": OPEN}, {"at": 2, "mark": "flushed"}, {"at": 3, "path": PATH, "open": False}]
    (tmp_path / "record.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read(tmp_path / "record.jsonl")
    assert found.before == OPEN
    assert found.tries == ((3, PATH, False),)
    assert not found.wrote
