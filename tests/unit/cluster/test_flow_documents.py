# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of observed flows."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import flow_documents
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.flow_documents import documents, files


def test_a_file_is_taken_whatever_its_name_and_of_a_directory_those_that_end_in_json(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", "notes.txt"):
        (tmp_path / name).write_text("{}")
    assert files(str(tmp_path / "notes.txt")) == [tmp_path / "notes.txt"]
    assert files(str(tmp_path)) == [tmp_path / "a.json", tmp_path / "b.json"]


@pytest.mark.parametrize("name", ["absent", "."])
def test_where_there_is_none_it_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="node_flows"):
        files(str(tmp_path / name))


def test_another_document_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"schema": "hostfence.plan/1"}')
    with pytest.raises(BadInput, match=r"a\.json: schema: .*hostfence\.plan/1"):
        list(documents([tmp_path / "a.json"]))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\udcff"])
def test_what_is_no_json_is_named_with_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadInput, match=r"a\.json"):
        list(documents([tmp_path / "a.json"]))


def test_one_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_documents, "MAX_BYTES", 3)
    (tmp_path / "a.json").write_text("{}  ")
    with pytest.raises(BadInput, match="at most 3 bytes"):
        list(documents([tmp_path / "a.json"]))
