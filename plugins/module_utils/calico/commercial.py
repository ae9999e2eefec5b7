# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fields that people bring along from the documentation of Calico's commercial editions."""

from __future__ import annotations

_FIELDS = {"domains", "allowedEgressDomains", "egressGateway", "applicationLayer"}
_BEGINNINGS = (
    "dnsTrusted",
    "dnsCache",
    "dnsLogs",
    "dnsPolicy",
    "dnsExtra",
    "flowLogs",
    "l7Logs",
    "capture",
)


def is_commercial(field: str) -> bool:
    """Whether only Calico's commercial editions have a field of this name."""
    return field in _FIELDS or field.startswith(_BEGINNINGS)
