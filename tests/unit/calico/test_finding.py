# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One JSON shape for what all checks find."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.finding import (
    ERROR,
    OK,
    SEVERITIES,
    WARNING,
    Finding,
    is_ok,
)

KEYS = ["id", "severity", "message", "remedy", "family", "table", "chain", "object", "field"]


def test_every_key_is_there_and_empty_where_it_does_not_apply():
    found = Finding("permissions", ERROR, "what", "do").as_dict()
    assert list(found) == KEYS
    assert found == {**dict.fromkeys(KEYS, ""), "id": "permissions", "severity": ERROR} | {
        "message": "what",
        "remedy": "do",
    }


def test_the_family_is_a_word():
    assert Finding("hook.missing", ERROR, "m", "r", family=6).as_dict()["family"] == "ipv6"


@pytest.mark.parametrize("severity", SEVERITIES)
def test_only_an_error_is_not_ok(severity):
    findings = [Finding("a", OK, "m"), Finding("b", severity, "m"), Finding("c", WARNING, "m")]
    assert is_ok(findings) is (severity != ERROR)
