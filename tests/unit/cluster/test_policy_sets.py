# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A set's options, and what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy import presets
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.policy_sets import (
    checked,
    in_source,
    options_of,
    policy_set,
    refuse_sets_of_one_name,
    refuse_unlimited_log,
)

from tests.unit.builders import V3, Object, endpoint_slice, policy, tier

COMMON: dict[str, Any] = {
    "state": "staged",
    "tier": {"name": "hostfence", "order": 100},
    "platform": {"preset": "kubeadm", "nodes": ["10.0.0.0/24"], "cluster": [], "ssh": []},
    "platform_tier": {"name": "platform", "order": 50, "directions": ["Ingress"]},
}
HOST = "https://api.example.org:6443"


def made(**options: Any) -> Any:
    given = checked({"name": "edge", **options}, "sets[0]")
    slices = [endpoint_slice("kubernetes", "10.0.0.1", port=6443)]
    return policy_set(given, lambda: slices, HOST)


def test_defaults_are_filled_in_and_types_converted() -> None:
    found = checked({"name": "edge", "tier": {"order": "5"}}, "sets[0]")
    assert (found["state"], found["tier"]) == ("staged", {"name": "hostfence", "order": 5.0})
    assert (found["default_action"], found["audit_log"]) == ("Deny", False)


@pytest.mark.parametrize(
    "given",
    [{"name": "e", "stat": "staged"}, {"name": "e", "state": "on"}, {"name": "e", "tier": {"order": "x"}}],
)
def test_an_option_that_no_set_has_is_named_with_its_place(given: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"sets\[3\]"):
        checked(given, "sets[3]")


def test_an_entry_is_a_shipped_set_or_a_path(tmp_path: Path) -> None:
    (tmp_path / "Edge.d").mkdir()
    own = options_of(f"{tmp_path}/Edge.d/", COMMON)
    assert (own["name"], own["src"], own["tier"]) == ("edge", f"{tmp_path}/Edge.d", COMMON["tier"])
    shipped = options_of(presets.PLATFORM_FLOWS, COMMON)
    assert shipped["platform"]["set"] == presets.PLATFORM_FLOWS
    with pytest.raises(BadInput, match=presets.PLATFORM_FLOWS):
        options_of("nothing-shipped", COMMON)


def test_only_the_set_that_has_a_tier_of_its_own_denies_by_that_tiers_end() -> None:
    actions = {name: options_of(name, COMMON)["default_action"] for name in presets.SHIPPED}
    assert [name for name, action in actions.items() if action == "Deny"] == [presets.PLATFORM_TIER]
    own = options_of(presets.PLATFORM_TIER, COMMON)
    assert own["tier"] == {"name": "platform", "order": 50}
    assert own["platform"]["directions"] == ["Ingress"]


def test_two_sets_of_one_name_would_take_away_each_others_policies() -> None:
    refuse_sets_of_one_name(["a", "b"])
    with pytest.raises(BadInput, match="two of a, b, a"):
        refuse_sets_of_one_name(["a", "b", "a"])


@pytest.mark.parametrize(
    ("state", "log", "limits", "refused"),
    [
        ("audited", True, {}, True),
        ("audited", True, {"node.a": "10/minute"}, True),
        ("audited", True, {"default": "10/minute"}, False),
        ("audited", False, {}, False),
        ("enforced", True, {}, False),
    ],
)
def test_every_packet_is_logged_only_with_felixs_limit(
    state: str, log: bool, limits: dict[str, str], refused: bool
) -> None:
    configurations: list[Object] = [
        {"metadata": {"name": name}, "spec": {"logActionRateLimit": limit}} for name, limit in limits.items()
    ]
    wanted = made(state=state, audit_log=log, definitions=[policy("p", api=V3)])
    if not refused:
        refuse_unlimited_log(wanted, configurations)
        return
    with pytest.raises(BadInput, match="logActionRateLimit"):
        refuse_unlimited_log(wanted, configurations)


def test_definitions_and_files_are_one_set(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\n"
        "metadata: {name: from-file}\nspec: {types: [Ingress]}\n"
    )
    found = made(definitions=[policy("given", api=V3)], src=str(tmp_path))
    assert sorted(p.name for p in found.definitions.policies) == [
        "hostfence.from-file",
        "hostfence.given",
    ]


def test_a_source_without_a_document_of_a_set_is_no_way_to_take_it_away(tmp_path: Path) -> None:
    (tmp_path / "service.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: web}\n")
    with pytest.raises(BadInput, match="state: absent"):
        made(src=str(tmp_path))
    assert made(src=str(tmp_path), state="absent").definitions.policies == ()
    given = checked({"name": "edge", "src": str(tmp_path)}, "sets[0]")
    assert [line for line in in_source(given).remarks if "Service" in line]


def test_a_tier_of_a_folder_is_read_with_its_policies() -> None:
    found = made(definitions=[tier("edge", api=V3, order=5), policy("p", api=V3, tier="edge")])
    assert [t.metadata.name for t in found.definitions.tiers] == ["edge"]


def test_a_shipped_set_without_what_it_is_made_of_says_which_variables_are_empty() -> None:
    found = policy_set(
        checked(options_of(presets.PLATFORM_FLOWS, COMMON), "sets[0]"),
        lambda: [endpoint_slice("kubernetes", "10.0.0.1", port=6443)],
        HOST,
    )
    assert found.missing == ("policies_cluster_cidrs",)
