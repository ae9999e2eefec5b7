# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calico's own metadata is decoded in one place, as Go decodes an ObjectMeta."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.metadata_annotation import (
    METADATA_ANNOTATION,
    KeptMetadata,
    decoded,
    kept_metadata,
)

PLUGINS = Path(__file__).parents[3] / "plugins"


def metadata(text: Any) -> dict[str, Any]:
    return {"name": "stored", "annotations": {METADATA_ANNOTATION: text}}


@pytest.mark.parametrize(
    ("text", "name", "labels", "annotations"),
    [
        ("{}", "", {}, {}),
        ("null", "", {}, {}),
        ('{"name": null, "labels": null, "annotations": null}', "", {}, {}),
        ('{"name": "p", "labels": {"a": "1"}, "annotations": {"b": "2"}}', "p", {"a": "1"}, {"b": "2"}),
        ('{"labels": {"a": null}}', "", {"a": ""}, {}),
        ('{"uid": 5, "anything": ["else"]}', "", {}, {}),
    ],
)
def test_what_calico_decodes(
    text: str, name: str, labels: dict[str, str], annotations: dict[str, str]
) -> None:
    found = decoded(text)
    assert found == kept_metadata(metadata(text))
    assert found is not None
    assert (found.name, found.labels, found.annotations) == (name, labels, annotations)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '"text"', "5", "[" * 100_000, '{"a":' * 100_000, None, 5),
        *('{"name": 5}', '{"labels": 1}', '{"labels": ["a"]}', '{"labels": {"a": 1}}', '{"annotations": 1}'),
        '{"name": "p", "labels": {"a": {}}}',
    ],
    ids=lambda text: str(text)[:20],
)
def test_one_field_that_calico_cannot_decode_takes_all_with_it(text: Any) -> None:
    assert decoded(text) is None
    assert kept_metadata(metadata(text)) == KeptMetadata()


@pytest.mark.parametrize("found", [{}, {"annotations": None}, {"annotations": {"other": "{"}}])
def test_without_the_annotation_nothing_is_kept(found: dict[str, Any]) -> None:
    assert kept_metadata(found) == KeptMetadata()


def test_rewriting_keeps_what_is_not_rewritten() -> None:
    kept = kept_metadata(
        metadata('{"name": "p", "uid": "u", "labels": {"a": "1"}, "annotations": {"b": "2"}}')
    )
    assert json.loads(kept.rewritten(labels={})) == {
        "name": "p",
        "uid": "u",
        "labels": {},
        "annotations": {"b": "2"},
    }


def test_no_other_file_names_the_annotation() -> None:
    """Who names it would decode it on their own."""
    named = [
        path.name
        for path in PLUGINS.rglob("*.py")
        if re.search(rf'"{re.escape(METADATA_ANNOTATION)}"', path.read_text())
    ]
    assert named == ["metadata_annotation.py"]
