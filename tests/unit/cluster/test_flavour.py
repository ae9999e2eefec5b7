# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which of Calico's API groups a cluster stores host protection in."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import ClusterError
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.flavour import (
    MIGRATION_PATH,
    PLURALS,
    FlavourKind,
    calico_version,
    detect,
    list_stored,
    migration_phase,
    require,
)

from tests.unit.cluster.answers import CALICO, V3_NATIVE, Answers, named

V1_PATH, V3_PATH = "/apis/crd.projectcalico.org/v1", "/apis/projectcalico.org/v3"
SERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v3.projectcalico.org"


def kinds(*found: str) -> dict[str, Any]:
    return {"resources": [{"kind": kind} for kind in (*(found or PLURALS), "Unknown")]}


BY_APISERVER = named("v3", spec={"service": {"name": "calico-api"}})


@pytest.mark.parametrize(
    ("held", "kind", "group"),
    [
        ({}, FlavourKind.NONE, "crd.projectcalico.org"),
        ({V1_PATH: kinds()}, FlavourKind.V1, "crd.projectcalico.org"),
        ({V3_PATH: kinds()}, FlavourKind.V3_NATIVE, "projectcalico.org"),
        (
            {V1_PATH: kinds(), V3_PATH: kinds(), SERVICE: BY_APISERVER},
            FlavourKind.AGGREGATED,
            "projectcalico.org",
        ),
        # v3's definitions were installed beside v1's, and Calico goes on with v1.
        ({V1_PATH: kinds(), V3_PATH: kinds()}, FlavourKind.V1, "crd.projectcalico.org"),
        (
            {V1_PATH: kinds(), V3_PATH: kinds(), SERVICE: named("v3", spec={})},
            FlavourKind.V1,
            "crd.projectcalico.org",
        ),
    ],
    ids=["none", "v1", "v3", "aggregated", "both", "both-by-crd"],
)
def test_calicos_own_rule_says_which_group_it_is(held: dict[str, Any], kind: FlavourKind, group: str) -> None:
    answers = Answers(held)
    found = detect(answers)
    assert (found.kind, found.group) == (kind, group)
    assert found.kinds == (frozenset() if kind is FlavourKind.NONE else frozenset(PLURALS))
    assert found.all_kinds == found.kinds | ({"Unknown"} if found.kinds else set())
    assert sum(answers.asked.values()) <= 4


def test_a_cluster_without_host_endpoints_is_told_what_to_do() -> None:
    with pytest.raises(ClusterError, match=r"hostfence\.calico\.crds"):
        require(Answers({V1_PATH: kinds("Tier")}))


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ({}, "Pending"),
        ({"phase": "Migrating"}, "Migrating"),
        ({"phase": "Complete"}, ""),
        ({"phase": "Completed"}, ""),
    ],
)
def test_nothing_is_written_while_data_moves(status: dict[str, str], phase: str) -> None:
    answers = Answers({V1_PATH: kinds(), MIGRATION_PATH: [named("m", status=status)]})
    assert migration_phase(answers) == phase
    if phase:
        with pytest.raises(ClusterError, match=phase):
            require(answers)
    else:
        assert require(answers).kind is FlavourKind.V1


def test_a_kind_that_is_not_served_is_not_asked_for() -> None:
    answers = Answers({V1_PATH: kinds("HostEndpoint")})
    found = detect(answers)
    assert list_stored(answers, found, "Tier") == []
    assert calico_version(answers, found) == ""
    assert not any("tiers" in path or "clusterinformations" in path for path in answers.asked)


def test_the_version_is_what_calico_noted() -> None:
    information = named("default", spec={"calicoVersion": "v3.32.1"})
    held = {f"{CALICO}/clusterinformations/default": information}
    assert calico_version(Answers(held), V3_NATIVE) == "v3.32.1"
    assert calico_version(Answers({}), V3_NATIVE) == ""


def test_paths_and_resources_are_of_the_group() -> None:
    assert V3_NATIVE.path("Tier", "a") == "/apis/projectcalico.org/v3/tiers/a"
    assert V3_NATIVE.resource("HostEndpoint") == "hostendpoints.projectcalico.org"
