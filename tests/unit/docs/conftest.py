# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings in which no part is missing."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.document import Found


@pytest.fixture
def everything_found() -> Found:
    return Found(
        nodes=[],
        failsafes={},
        sets=[{"name": "s", "state": "staged"}],
        lint=[],
        flows=[],
        audit={"gate": "pass", "groups": []},
        transaction={"state": "none", "steps": [], "changes": []},
        pending=[],
    )
