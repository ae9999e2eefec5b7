# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""YAML as kubectl and calicoctl read it, and nothing that would change in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.reader import Document
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.policy_files import (
    as_yaml,
    read_definitions,
    read_path,
    read_text,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20:22", "20:22"),
        ("010", "010"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"),
        ("0x1F", 31),
        ("-5", -5),
        ("1.5", 1.5),
        ("1e3", "1e3"),
        ("true", True),
        ("", None),
        ("10.0.0.0", "10.0.0.0"),
    ],
)
def test_words_and_numbers_are_what_calicos_clients_read(text: str, value: Any) -> None:
    assert read_text(f"a: {text}", "p") == [Document({"a": value}, "p")]


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        ("a: 1\na: 2", "line 2", "the key 'a' stands twice"),
        ("a:\n  b: 1\n  b: 1", "line 3", "the key 'b' stands twice"),
        ("a: [", "line 1", "not YAML"),
        ("a: !!python/object:os.system {}", "line 1", "not YAML"),
        ("a: 1\n\tb: 2", "line 2", "not YAML"),
    ],
)
def test_what_is_in_doubt_is_refused_with_its_line(text: str, where: str, problem: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_text(text, "edge.yaml")
    assert where in str(refused.value)
    assert problem in str(refused.value)
    assert "edge.yaml" in str(refused.value)


def test_documents_are_numbered_where_there_are_several_and_empty_ones_are_left_out() -> None:
    assert read_text("---\na: 1\n---\n---\nb: 2\n", "p") == [
        Document({"a": 1}, "p, document 1"),
        Document({"b": 2}, "p, document 2"),
    ]


def test_a_directory_is_read_in_the_order_of_its_paths_without_what_is_hidden(tmp_path: Path) -> None:
    for name in (
        "b.yml",
        "a/z.yaml",
        "c.json",
        "notes.txt",
        ".hidden.yml",
        ".git/x.yml",
        "kustomization.yaml",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"name: {name}\n")
    assert [document.place for document in read_path(str(tmp_path))] == ["a/z.yaml", "b.yml", "c.json"]
    assert [document.place for document in read_path(str(tmp_path / "notes.txt"))] == ["notes.txt"]


@pytest.mark.parametrize(("name", "why"), [("absent", "no such file"), (".", "neither the directory")])
def test_where_nothing_is_to_be_read_it_is_said(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        read_path(str(tmp_path / name))


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(b"a: \xe4")
    with pytest.raises(BadInput, match=r"not UTF-8 text \(byte 3\)"):
        read_path(str(tmp_path))


def test_definitions_are_objects_or_text() -> None:
    assert read_definitions([{"a": 1}, "b: 2", 5]) == [
        Document({"a": 1}, "definitions[0]"),
        Document({"b": 2}, "definitions[1]"),
        Document(5, "definitions[2]"),
    ]


def test_what_is_written_is_read_back_as_it_is() -> None:
    objects = [{"a": "20:22", "b": ["010", 1.5, True, None], "c": {"d": "x" * 200}}, {"e": "\u00e4"}]
    assert [document.value for document in read_text(as_yaml(objects), "p")] == objects
