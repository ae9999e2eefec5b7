# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an agent that observes flows publishes: exact while there is room, then coarser, never silent."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
Document = dict[str, Any]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The package as the ConfigMap mounts it."""
    package = tmp_path_factory.mktemp("program") / "hostfence"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, source in (
        ("agent", "roles/audit/files/agent"),
        ("calico", "plugins/module_utils/calico"),
        ("node", "plugins/module_utils/node"),
    ):
        (package / name).symlink_to(ROOT / source)
    sys.path.insert(0, str(package.parent))
    try:
        from hostfence.agent import aggregate, publish  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(package.parent))
    return SimpleNamespace(Aggregate=aggregate.Aggregate, packed=publish.packed)


def record(source: str, port: int = 443, count: int = 1, **seen: Any) -> Document:
    flow = {"direction": "ingress", "interface": "eth0", "protocol": 6, "source": source}
    flow |= {"destination": "10.0.3.1", "destination_port": port}
    given = {"first": None, "last": None, "count": count, "replied": None, "older_than_window": False}
    given |= {"by": ["set"], "interface_by": "hook", "direction_certain": True}
    prefixes = {"source_prefix": None, "destination_prefix": None}
    return {"flow": flow, "all_of": None, "seen": {**given, **prefixes, **seen}, "owner": None}


def reading(*records: Document, end: float = 60, gaps: tuple[str, ...] = (), lost: int = 0) -> Document:
    window = {"start": 0, "end": end, "complete": not gaps, "gaps": [{"id": gap} for gap in gaps]}
    head = {"schema": "hostfence.flows/1", "node": "n1", "not_recorded": lost, "window": window}
    return {**head, "flows": list(records)}


def unpacked(data: bytes) -> Document:
    found: Document = json.loads(gzip.decompress(data))
    return found


def test_readings_are_one_window_with_first_and_last_time(agent: Any) -> None:
    kept = agent.Aggregate(10)
    kept.add(reading(record("192.0.2.1", count=2), record("192.0.2.2"), end=60))
    kept.add(reading(record("192.0.2.1", count=5, replied=True), end=120, gaps=("connections-full",), lost=3))
    kept.add(reading(record("192.0.2.1", count=5), end=180, lost=3))

    document = kept.document()

    one, other = (found["seen"] for found in document["flows"])
    assert (one["count"], one["first"], one["last"], one["replied"]) == (5, 60, 120, True)
    assert (other["count"], other["first"], other["last"]) == (1, 60, 60)
    assert document["window"] == {
        "start": 0,
        "end": 180,
        "complete": False,
        "gaps": [{"id": "connections-full"}],
    }
    assert document["not_recorded"] == 3


def test_what_only_the_table_of_connections_had_is_exact_once_the_set_has_it(agent: Any) -> None:
    kept = agent.Aggregate(10)
    guessed = {"by": ["conntrack"], "interface_by": "route", "direction_certain": False}
    kept.add(reading(record("192.0.2.1", **guessed, older_than_window=True), end=60))
    kept.add(reading(record("192.0.2.1"), end=120))

    [found] = kept.document()["flows"]
    assert (found["seen"]["interface_by"], found["seen"]["older_than_window"]) == ("hook", False)


def test_flows_beyond_the_limit_are_counted(agent: Any) -> None:
    kept = agent.Aggregate(2)
    for _turn in range(2):
        kept.add(reading(*(record(f"192.0.2.{number}", count=4) for number in range(5))))

    assert len(kept.document()["flows"]) == 2
    assert kept.document()["not_recorded"] == 12


def test_what_fits_is_published_as_it_is(agent: Any) -> None:
    document = reading(*(record(f"192.0.2.{number}") for number in range(50)))

    assert unpacked(agent.packed(document, 49152)) == document


def test_what_is_too_large_gets_its_peers_as_nets_and_keeps_every_count(agent: Any) -> None:
    peers = [
        f"198.{18 + number // 65536}.{number // 256 % 256}.{number % 256}" for number in range(0, 90000, 30)
    ]
    document = reading(*(record(peer, 443, 1, first=1, last=2) for peer in peers))

    data = agent.packed(document, 2048)

    assert len(data) <= 2048
    found = unpacked(data)
    assert found["window"]["complete"]
    assert {one["seen"]["source_prefix"] for one in found["flows"]} <= {24, 16, 0}
    assert sum(one["seen"]["count"] for one in found["flows"]) == len(peers)


def test_what_no_net_makes_smaller_loses_the_rarest_and_says_so(agent: Any) -> None:
    """A scan of all ports."""
    scanned = [record("192.0.2.1", port, 1 + (port == 22), first=1, last=2) for port in range(1, 4000)]

    data = agent.packed(reading(*scanned), 4096)

    found = unpacked(data)
    assert len(data) <= 4096
    assert [gap["id"] for gap in found["window"]["gaps"]] == ["published-cut"]
    assert sum(one["seen"]["count"] for one in found["flows"]) + found["not_recorded"] == 4000
    assert any(one["flow"]["destination_port"] == 22 for one in found["flows"])
