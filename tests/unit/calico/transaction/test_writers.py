# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who else writes an object, as the API server notes it."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction import writers


def stored(name, *entries):
    fields = [
        {"manager": manager, "operation": "Update", "fieldsV1": {part: {}}, **more}
        for manager, part, more in entries
    ]
    return {"kind": "GlobalNetworkPolicy", "metadata": {"name": name, "managedFields": fields}}


@pytest.mark.parametrize(
    ("entries", "managers"),
    [
        ((), []),
        ((("hostfence", "f:spec", {}),), []),
        ((("hostfence", "f:spec", {}), ("argocd-controller", "f:spec", {})), ["argocd-controller"]),
        # Labels and status of others change no verdict.
        ((("kubectl-label", "f:metadata", {}), ("x", "f:spec", {"subresource": "status"})), []),
    ],
)
def test_only_who_writes_the_spec_counts(entries, managers):
    assert writers.others(stored("a", *entries)) == managers


def test_a_few_are_named_and_all_are_counted():
    shared = [stored(f"p{number}", ("kustomize-controller", "f:spec", {})) for number in range(5)]

    assert writers.remark([stored("own", ("hostfence", "f:spec", {}))]) == ""
    told = writers.remark(shared)
    assert "GlobalNetworkPolicy p0 (by kustomize-controller)" in told
    assert "p3" not in told
    assert " and 2 more. " in told
