# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stored objects, and what the reader makes of them."""

from __future__ import annotations

from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.model import Policy, Store
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read

from tests.unit import builders
from tests.unit.builders import V1, Object


def thing(kind: str, spec: Object, api: str = V1, name: str = "x", **metadata: Any) -> Object:
    found = builders.resource(kind, name, api=api, **spec)
    found["metadata"].update(metadata)
    return found


def gnp(api: str = V1, **spec: Any) -> Object:
    return thing("GlobalNetworkPolicy", spec, api)


def policy(raw: Object, native_v3: bool = False) -> Policy:
    (found,) = read([raw], native_v3).policies
    return found


def effects(store: Store) -> set[tuple[str, str]]:
    return {(found.field, found.effect) for _ref, found in store.misreadings}


RULE = {"action": "Allow"}
