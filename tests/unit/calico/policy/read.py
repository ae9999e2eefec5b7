# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policies as people write them, and what the reader makes of them."""

from __future__ import annotations

from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.definition import wire
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.reader import Document, parse

from tests.unit.builders import V3, resource


def gnp(name="ssh", **spec):
    return resource("GlobalNetworkPolicy", name, api=V3, **spec)


def rule(**fields):
    return {"action": "Allow", **fields}


def read(*objects, tier="hostfence"):
    return parse([Document(o, "a.yml") for o in objects], tier)


def spec_of(obj, tier="hostfence"):
    return wire(read(obj, tier=tier).policies[0].spec)
