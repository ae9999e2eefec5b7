# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What users write into inventories."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.variables import (
    known_variables,
    misspelt,
    network_faults,
    set_path,
)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("host_endpoint_labels", "host_endpoints_labels"),
        ("hostendpoints_mode", "host_endpoints_mode"),
        ("policy_sets", "policies_sets"),
        ("policies_ssh_source", "policies_ssh_sources"),
        ("policies_node_cidr", "policies_node_cidrs"),
        ("felix_failsafe_inbound_hostports", "felix_failsafe_inbound_host_ports"),
        ("hostfence_kubeconf", "hostfence_kubeconfig"),
        ("report_flow", "report_flows"),
        ("explain_flows", "explain_flow"),
    ],
)
def test_what_is_misspelt_is_named(name, meant):
    assert misspelt([name]) == [f"{name}: no variable of Hostfence; did you mean {meant}?"]


def test_no_variable_of_the_collection_or_of_others_is():
    others = ["ansible_host", "inventory_hostname", "my_policies", "policy", "endpoints", "nodes", "felix"]
    kept = ["plan_made", "failsafes_uses", "failsafes_verified_node", "enforce_result"]
    kept += ["host_endpoints_daemonset_objects", "enforce_is_switched"]
    assert misspelt([*known_variables(), *others, *kept]) == []


def test_networks_by_the_name_of_their_variable():
    faults = network_faults(
        {"policies_ssh_sources": ["192.0.2.0/24", "192.0.2.7", "2001:db8::1"], "b": ["x"]}
    )
    assert faults[0] == (
        "policies_ssh_sources[1]: '192.0.2.7': write 192.0.2.7/32: a rule takes networks only"
    )
    assert faults[1].startswith("policies_ssh_sources[2]: '2001:db8::1': write 2001:db8::1/128")
    assert faults[2].startswith("b[0]: 'x': not a network")
    assert len(faults) == 3


def test_a_set_beside_the_inventory_or_in_the_working_directory(tmp_path):
    for place in ("inventory/sets/both", "work/sets/both", "work/sets/one"):
        (tmp_path / place).mkdir(parents=True)
    file = tmp_path / "inventory" / "hosts.yml"
    file.touch()
    work = str(tmp_path / "work")
    for inventories in ([str(file)], [str(tmp_path / "inventory")], ["host1,", str(file)]):
        assert set_path("sets/both", inventories, work) == str(tmp_path / "inventory/sets/both")
        assert set_path("./sets/one", inventories, work) == str(tmp_path / "work/sets/one")
        assert set_path("sets/none", inventories, work) == str(tmp_path / "work/sets/none")
    assert set_path("/absolute", [str(file)], work) == "/absolute"
