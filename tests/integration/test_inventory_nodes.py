# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inventory plugin as ansible-inventory runs it, against a real API server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from role_run import ROOT

# A Node and a name of a HostEndpoint are all it reads, so what the CRDs are like is no matter here.
pytestmark = pytest.mark.parametrize("api", ["ours-v1"], indirect=True, scope="session")


def inventory(file, *arguments, **environment):
    """Output and errors of ansible-inventory, which must not read anybody's own settings."""
    settings = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
    }
    run = subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), "-i", str(file), *arguments],
        env={**os.environ, **settings, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return run.stdout, run.stderr


def listed(file, **environment):
    out, errors = inventory(file, "--list", **environment)
    assert out.startswith("{"), errors
    # What comes from the cluster is marked as data that is never a template.
    found = json.loads(out, object_hook=lambda o: o.get("__ansible_unsafe", o))
    return found, found["_meta"]["hostvars"]


@pytest.fixture
def source(clean_api, tmp_path):
    def write(name="test.nodes.yml", **options):
        file = tmp_path / name
        options = {"plugin": "hostfence.calico.nodes", "kubeconfig": clean_api.kubeconfig, **options}
        file.write_text(yaml.safe_dump(options))
        return file

    return write


def label(api, node, **labels):
    api.admin.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": labels}})


def test_nodes_become_hosts_in_groups(clean_api, source):
    first, second, third, fourth = clean_api.add_nodes(4)
    label(clean_api, first, **{"node-role.kubernetes.io/control-plane": ""})
    label(clean_api, fourth, **{"kubernetes.io/os": "windows"})
    clean_api.create("HostEndpoint", "some", {"node": first, "interfaceName": "*"})

    groups, variables = listed(source(label_groups=["kubernetes.io/arch"]))

    assert groups["nodes"]["hosts"] == [first, second, third]
    assert groups["role_control_plane"]["hosts"] == [first]
    assert groups["zone_a"]["hosts"] == [first]
    assert groups["label_kubernetes_io_arch_amd64"]["hosts"] == [first, second, third]
    one = variables[first]
    assert one["ansible_host"] == "100.64.0.1"
    assert one["hostfence_addresses"] == ["100.64.0.1", "fd99:0:0:1::1"]
    assert one["hostfence_node"]["host_endpoint"] == "some"
    assert one["hostfence_node"]["roles"] == ["control-plane"]
    assert one["hostfence_node"]["ready"] is True
    assert variables[second]["hostfence_node"]["host_endpoint"] is None


def test_the_graph_names_every_node(clean_api, source):
    names = clean_api.add_nodes(2)
    out, errors = inventory(source(), "--graph")
    assert "@nodes:" in out
    assert all(f"--{name}" in out for name in names), errors


def test_selector_and_address_preference(clean_api, source):
    first, second = clean_api.add_nodes(2)
    label(clean_api, second, pick="me")
    _groups, variables = listed(source(label_selector="pick=me", address_family="ipv6"))
    assert list(variables) == [second]
    assert variables[second]["ansible_host"] == "fd99:0:0:1::2"
    _groups, variables = listed(source(address_types=["Hostname"]))
    assert variables[first]["ansible_host"] == first


def test_constructed_groups_and_variables(clean_api, source):
    first, second = clean_api.add_nodes(2)
    file = source(
        compose={"ansible_user": "'user-' ~ hostfence_node.name"},
        groups={"uncovered": "hostfence_node.host_endpoint is none"},
        keyed_groups=[{"prefix": "os", "key": "hostfence_node.labels['kubernetes.io/os']"}],
    )
    groups, variables = listed(file)
    assert variables[first]["ansible_user"] == f"user-{first}"
    assert groups["uncovered"]["hosts"] == [first, second]
    assert groups["os_linux"]["hosts"] == [first, second]


def test_what_the_cluster_says_is_data_and_never_a_template(clean_api, source):
    (name,) = clean_api.add_nodes(1)
    addresses = [{"type": "Hostname", "address": "{{ 6 * 7 }}"}]
    clean_api.admin.patch(f"/api/v1/nodes/{name}/status", {"status": {"addresses": addresses}})
    file = source(address_types=["Hostname"], compose={"copied": "ansible_host"})
    variables = listed(file)[1][name]
    assert variables["ansible_host"] == "{{ 6 * 7 }}"
    assert variables["copied"] == "{{ 6 * 7 }}"


def test_the_cache_is_used_until_told_otherwise_and_not_for_other_nodes(clean_api, source, tmp_path):
    (first,) = clean_api.add_nodes(1)
    cached = {
        "cache": True,
        "cache_plugin": "ansible.builtin.jsonfile",
        "cache_connection": str(tmp_path / "cache"),
    }
    file = source(**cached)
    assert list(listed(file)[1]) == [first]
    (second,) = clean_api.add_nodes(1, first=2)
    assert list(listed(file)[1]) == [first], "read from the cache"
    out, errors = inventory(file, "--list", "--flush-cache")
    assert sorted(json.loads(out)["_meta"]["hostvars"]) == [first, second], errors
    other = source(**cached, label_selector=f"kubernetes.io/hostname={second}")
    assert list(listed(other)[1]) == [second], "another selector is another list"


def test_connection_from_the_environment(clean_api, source):
    names = clean_api.add_nodes(1)
    file = source(kubeconfig=None)
    assert list(listed(file, K8S_AUTH_KUBECONFIG=clean_api.kubeconfig)[1]) == names


def test_strict_wants_an_address_for_every_node(clean_api, source):
    (name,) = clean_api.add_nodes(1)
    assert "ansible_host" not in listed(source(address_types=["ExternalIP"]))[1][name]
    _out, errors = inventory(source(address_types=["ExternalIP"], strict=True), "--list")
    assert f"Node {name} has no address that address_types and address_family allow" in errors


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"kubeconfig": "/no/such/file"}, "no usable connection to a cluster"),
        ({"label_selector": "a in"}, "label_selector: 'a in'"),
        ({"address_types": ["Wishful"]}, "Wishful"),
    ],
)
def test_faults_are_one_line_without_a_traceback(clean_api, source, options, complaint):
    clean_api.add_nodes(1)
    _out, errors = inventory(source(**options), "--list")
    assert complaint in errors
    assert "Traceback" not in errors


def test_without_permission(clean_api, source):
    _out, errors = inventory(source(kubeconfig=clean_api.client_kubeconfig("nobody")), "--list")
    assert "403" in errors
    assert "Traceback" not in errors
