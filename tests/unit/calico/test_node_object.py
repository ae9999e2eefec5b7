# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a Node object, and others with a status, say of themselves."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.node_object import (
    is_control_plane,
    is_true,
)

from tests.unit import builders


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({"node-role.kubernetes.io/control-plane": ""}, True),
        ({"node-role.kubernetes.io/master": ""}, True),
        ({"node-role.kubernetes.io/worker": ""}, False),
        (None, False),
    ],
)
def test_a_node_of_the_control_plane_has_one_of_two_labels_whatever_its_value(
    labels: Any, found: bool
) -> None:
    assert is_control_plane(builders.node("n", labels=labels)) is found


@pytest.mark.parametrize(
    ("status", "found"),
    [
        ({"conditions": [{"type": "Ready", "status": "True"}]}, True),
        ({"conditions": [{"type": "Ready", "status": "False"}]}, False),
        ({"conditions": [{"type": "Ready", "status": "Unknown"}]}, False),
        ({"conditions": [{"type": "DiskPressure", "status": "True"}]}, False),
        ({"conditions": None}, False),
        (None, False),
    ],
)
def test_a_condition_that_is_not_said_to_hold_does_not(status: Any, found: bool) -> None:
    assert is_true({"status": status}, "Ready") is found
