# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ServiceAccount for later runs, and what of it is written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.access import (
    access_writes,
    objects_of,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.builder import make_plan
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.view import View
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.wishes import AccessWish, Wishes

from tests.unit.builders import Object
from tests.unit.calico.plan.planned import titles


def test_access_is_not_widened_by_itself(view: View) -> None:
    wish = AccessWish("hostfence", "hostfence", [])
    assert len(titles(make_plan(view, Wishes(access=wish)), "access")) == 4
    itself = replace(view, user=wish.user)
    assert titles(make_plan(itself, Wishes(access=wish)), "access") == []
    with pytest.raises(BadInput, match="access_namespace: 'Host_fence'"):
        AccessWish("Host_fence", "hostfence", [])


WISH = AccessWish("hostfence", "runner", [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}])


def stored(**changed: Object) -> dict[str, Object]:
    return {o["kind"]: {**o, **changed.get(o["kind"], {})} for o in objects_of(WISH)}


def writes(found: dict[str, Object]) -> list[str]:
    return [f"{write.action} {write.title}" for write in access_writes(WISH, found)]


def test_what_is_there_as_wanted_is_not_written() -> None:
    assert writes(stored()) == []
    assert writes({}) == [
        "create Namespace hostfence",
        "create ServiceAccount hostfence/runner",
        "create ClusterRole runner",
        "create ClusterRoleBinding runner",
    ]


@pytest.mark.parametrize(
    ("changed", "written"),
    [
        ({"ClusterRole": {"rules": []}}, ["update ClusterRole runner"]),
        ({"ClusterRoleBinding": {"subjects": []}}, ["update ClusterRoleBinding runner"]),
        ({"ServiceAccount": {"metadata": {"name": "runner"}}}, ["update ServiceAccount hostfence/runner"]),
        # Not labelled as Hostfence's, for a teardown would then delete it.
        ({"Namespace": {"metadata": {"name": "hostfence"}}}, []),
    ],
)
def test_what_differs_is_written(changed: dict[str, Object], written: list[str]) -> None:
    assert writes(stored(**changed)) == written


def test_all_is_made_again_in_a_namespace_that_is_being_deleted() -> None:
    going = {"name": "hostfence", "deletionTimestamp": "2026-11-28T00:00:00Z"}
    assert len(writes(stored(Namespace={"metadata": going}))) == 4
