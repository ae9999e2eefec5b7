# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policies and tiers of Hostfence, which the tests of transactions share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction.state import Contents

from tests.unit import builders
from tests.unit.builders import Object

OURS = {"app.kubernetes.io/managed-by": "hostfence"}


def gnp(name: str, **spec: Any) -> Object:
    given = {"tier": "t", "order": 10, "selector": "role == 'host'", **spec}
    return builders.policy(f"t.{name}", labels=OURS, **given)


def tier(name: str = "t", order: Optional[float] = 100, action: str = "Deny") -> Object:
    return builders.tier(name, labels=OURS, order=order, defaultAction=action)


def contents(objects: Iterable[Object]) -> Contents:
    return Contents(tuple(objects))
