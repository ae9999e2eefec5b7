# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which order what Hostfence made goes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.owned_kinds import (
    COLLECTIONS,
    is_owned,
)


def test_rights_go_before_what_runs_and_restrictions_after_it() -> None:
    order = list(COLLECTIONS)
    rights = ("ClusterRoleBinding", "RoleBinding", "ClusterRole", "Role", "ServiceAccount")
    runs = ("DaemonSet", "Job")
    restrictions = ("ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy")
    assert max(map(order.index, rights)) < min(map(order.index, runs))
    assert max(map(order.index, runs)) < min(map(order.index, restrictions))
    assert order[-1] == "Namespace"


@pytest.mark.parametrize(
    ("metadata", "owned"),
    [
        ({}, False),
        ({"labels": None}, False),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, False),
        ({"labels": {"app.kubernetes.io/managed-by": "hostfence"}}, True),
    ],
)
def test_ours_carries_the_label(metadata: dict[str, Any], owned: bool) -> None:
    assert is_owned({"metadata": metadata}) is owned
