# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What agents published is read as written by a stranger."""

from __future__ import annotations

import base64
import gzip
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import published_flows
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.published_flows import KEY, read, write

from tests.unit.builders import Object
from tests.unit.cluster.answers import Answers, named

PATH = "/api/v1/namespaces/audit/configmaps"


def packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def published(node: str, text: Any) -> Object:
    return named(f"flows-{node}", binaryData={KEY: text})


def found(*objects: Object) -> tuple[dict[str, Any], list[str]]:
    left_out: list[str] = []
    return dict(read(Answers({PATH: objects}), "audit", left_out)), left_out


def test_each_node_has_its_document() -> None:
    document = {"node": "a", "flows": []}
    mine = published("a", packed(json.dumps(document).encode()))
    assert found(mine, named("others")) == ({"a": document}, [])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the end is missing"),
        (None, "the end is missing"),
        ("???", "nothing that gzip packed"),
        (base64.b64encode(b"plain").decode(), "nothing that gzip packed"),
        (packed(b"{"), "no JSON"),
        (packed(b"\xff"), "nothing that gzip packed"),
        (packed(b"[" * 100_000), "no JSON"),
        (packed(b"[]"), "another node"),
        (packed(b'{"node": "b"}'), "another node"),
    ],
)
def test_what_cannot_be_used_is_left_out_with_why_and_the_others_stay(text: Any, why: str) -> None:
    good = published("z", packed(b'{"node": "z"}'))
    documents, left_out = found(published("a", text), good)
    assert documents == {"z": {"node": "z"}}
    [line] = left_out
    assert line.startswith("ConfigMap audit/flows-a: ")
    assert why in line


def test_what_would_unpack_to_more_than_fits_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_flows, "_MOST_BYTES", 1000)
    documents, [line] = found(published("a", packed(b" " * 1_000_000)))
    assert documents == {}
    assert "more than 1000 bytes" in line


def test_a_file_is_replaced_at_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("before")
    (tmp_path / ".a.json.new").write_text("left behind by a run that was killed")
    write(path, "after")
    assert path.read_text() == "after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
