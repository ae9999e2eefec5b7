# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a check found: one class and one JSON shape for lint, preflight, failsafes and probes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

ERROR, WARNING, INFO, OK = "error", "warning", "info", "ok"
SEVERITIES = (ERROR, WARNING, INFO, OK)
"""Gravest first. An error ends a run; ``ok`` says what was looked at and is as it should be."""


@dataclass(frozen=True)
class Finding:
    """One thing that a check has found.

    :ivar id: its stable name, documented on the page of the check that reports it
    :ivar severity: one of ``SEVERITIES``
    :ivar message: what was found, in one line
    :ivar remedy: what to do about it; empty where all is well
    :ivar family: 4 or 6 where it is about the kernel's rules of one address family, else 0
    :ivar table: table of the kernel's rules, or empty
    :ivar chain: chain in that table, or empty
    :ivar object: ``Kind name`` of the API's object that it is about, or empty
    :ivar field: path of the field in that object, or empty
    """

    id: str
    severity: str
    message: str
    remedy: str = ""
    family: int = 0
    table: str = ""
    chain: str = ""
    object: str = ""
    field: str = ""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Two findings with the same one say the same; also an order that does not change."""
        return self.object, self.id, self.field, self.message

    def as_dict(self) -> dict[str, Any]:
        """The form in which modules return it: every key, empty where it does not apply."""
        return {**vars(self), "family": f"ipv{self.family}" if self.family else ""}


def is_ok(findings: Iterable[Finding]) -> bool:
    """Whether none of them is an error."""
    return all(finding.severity != ERROR for finding in findings)
