# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Versions are read the same way everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.version import (
    CURRENT,
    noted_version,
    parse_version,
    tokens_name_nodes,
    version_of,
)

UTILS = Path(__file__).resolve().parents[3] / "plugins" / "module_utils"


@pytest.mark.parametrize(
    ("text", "version"), [("v3.32.1", (3, 32)), ("1.34+", (1, 34)), ("", None), ("master", None)]
)
def test_parse_version(text, version):
    assert parse_version(text) == version
    assert version_of(text) == (version or CURRENT)


@pytest.mark.parametrize(
    ("kubernetes", "so"),
    [("v1.29.9", False), ("v1.30.0", True), ("v1.34.1-eks", True), ("v1.9.0", False), ("", True)],
)
def test_since_when_tokens_name_nodes(kubernetes, so):
    assert tokens_name_nodes(kubernetes) is so


@pytest.mark.parametrize("information", [{}, {"spec": None}, {"spec": {"calicoVersion": None}}])
def test_no_version_is_noted(information):
    assert noted_version(information) == ""


def test_the_noted_version():
    assert noted_version({"spec": {"calicoVersion": "v3.31.2"}}) == "v3.31.2"


def test_no_other_file_reads_versions_by_itself():
    readers = [path.name for path in UTILS.rglob("*.py") if r"v?(\d+)" in path.read_text()]
    assert readers == ["version.py"]
