# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documents of flows as the text that a module returns, and what a node may send in their place."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.hostfence.calico.plugins.action import flow_files
from ansible_collections.hostfence.calico.plugins.filter.unpacked_flows import FilterModule
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.packing import pack, unpack


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 600])
def test_what_was_packed_is_unpacked(count: int) -> None:
    document = {"flows": [{"number": number, "name": "é"} for number in range(count)], "node": "n1"}
    assert json.loads(unpack(pack(document))) == document
    assert json.loads(unpack(pack({**document, "flows": iter(document["flows"])}))) == document


def test_flows_are_written_as_they_come() -> None:
    """A few are in memory at any time: each part of them is gone when the next is made."""
    alive = 0

    class Record(dict):  # type: ignore[type-arg]
        def __init__(self) -> None:
            nonlocal alive
            alive += 1
            super().__init__(text="x" * 100)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def coming() -> Iterator[Record]:
        for _ in range(5000):
            yield Record()
            assert alive <= 600

    assert len(json.loads(unpack(pack({"flows": coming()})))["flows"]) == 5000


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "the end is missing"),
        ("{}", "gzip"),
        ("ä", "gzip"),
        (base64.b64encode(b"{}").decode(), "gzip"),
        (base64.b64encode(gzip.compress(b"\xff")).decode(), "gzip"),
        (base64.b64encode(gzip.compress(b"{}" * 50)[:-9]).decode(), "the end is missing"),
        (base64.b64encode(gzip.compress(bytes(1001))).decode(), "more than 1000 bytes"),
    ],
    # gzip notes the time: texts are another each second.
    ids=["nothing", "JSON", "no ASCII", "not compressed", "no text", "cut off", "too long"],
)
def test_what_a_node_sends_in_its_place_is_refused_in_words(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        unpack(text, most_bytes=1000)


def test_playbooks_unpack_by_a_filter() -> None:
    unpacked = FilterModule().filters()["unpacked_flows"]
    assert unpacked(pack({"node": "n1", "flows": []})) == '{"node":"n1","flows":[]}'
    with pytest.raises(AnsibleFilterError, match="flows: nothing that gzip packed"):
        unpacked("none")


def test_they_are_kept_where_only_their_owner_reads_them(tmp_path: Path) -> None:
    kept = tmp_path / "audit/flows/n1.json"
    packed = pack({"node": "n1", "flows": []})
    assert flow_files.keep(packed, kept, dry_run=True)
    assert not kept.parent.parent.exists()
    assert flow_files.keep(packed, kept, dry_run=False)
    assert kept.read_text() == '{"node":"n1","flows":[]}'
    assert [path.stat().st_mode & 0o777 for path in (kept, kept.parent, kept.parent.parent)] == [
        0o600,
        0o700,
        0o700,
    ]
    assert not flow_files.keep(packed, kept, dry_run=False)
    assert flow_files.keep(pack({"node": "n1", "flows": [1]}), kept, dry_run=False)
