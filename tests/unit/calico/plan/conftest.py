# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an API server lists of three nodes."""

from __future__ import annotations

import json

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.view import Logins, View
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.reach import of_session

from tests.unit.calico.plan.planned import NODES, RECORDING


@pytest.fixture
def view() -> View:
    """Three nodes without HostEndpoints, as an API server lists them."""
    recorded = json.loads(RECORDING.read_text())
    logins = tuple(
        of_session(name, f"192.0.2.1 40000 100.64.0.{n} 22", "here") for n, name in enumerate(NODES, 1)
    )
    return View(
        recorded["flavour"],
        recorded["group"],
        recorded["version"],
        frozenset(recorded["kinds"]),
        recorded["objects"],
        calico_version=recorded["calico_version"],
        selected=NODES,
        logins=Logins(logins, {}, frozenset(NODES), frozenset(NODES)),
    )
