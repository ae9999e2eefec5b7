# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which definitions are to be created."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.builder import make_plan
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.definitions import (
    KNOWN_KINDS,
    absent_kinds,
    definition_writes,
    refused_definitions,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.view import View
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.wishes import Wishes

from tests.unit.builders import Object
from tests.unit.calico.plan.planned import titles

GROUP = "crd.projectcalico.org"


def test_definitions_that_are_absent_are_created_as_far_as_this_calico_knows_them(view: View) -> None:
    bare = replace(view, kinds=frozenset({"HostEndpoint"}), calico_version="v3.28.2")
    created = titles(make_plan(bare, Wishes(crds=True)), "crds")
    assert f"create CustomResourceDefinition globalnetworkpolicies.{view.group}" in created
    assert not any("tiers" in title or "staged" in title for title in created)


def definition(name: str, *versions: str) -> Object:
    return {"metadata": {"name": name}, "status": {"storedVersions": list(versions)}}


def test_before_calico_has_run_it_may_be_any_version() -> None:
    assert {known.kind for known in absent_kinds(frozenset(), "")} == {known.kind for known in KNOWN_KINDS}
    kinds = {known.kind for known in absent_kinds(frozenset({"Tier"}), "v3.29.1")}
    assert "StagedGlobalNetworkPolicy" not in kinds
    assert "HostEndpoint" in kinds
    assert "Tier" not in kinds


def test_a_definition_that_exists_is_never_written() -> None:
    absent = absent_kinds(frozenset(), "v3.28.0")
    names = [
        write.name for write in definition_writes(absent, GROUP, [definition(f"hostendpoints.{GROUP}", "v1")])
    ]
    assert f"hostendpoints.{GROUP}" not in names
    assert len(names) == len(absent) - 1


def test_one_of_a_version_that_hostfence_does_not_know_is_refused_by_name() -> None:
    absent = absent_kinds(frozenset(), "")
    stored = [
        definition(f"hostendpoints.{GROUP}", "v2"),
        definition(f"networksets.{GROUP}", "v1"),
        definition("other.example.com", "v2"),
    ]
    assert refused_definitions(absent, GROUP, stored) == [f"hostendpoints.{GROUP}"]
