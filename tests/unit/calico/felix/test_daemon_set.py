# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Felix's settings by the environment of the DaemonSet that runs it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.felix.daemon_set import (
    configured_environment,
    only_settings,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.dataplanes import Dataplanes

ENTRIES = [
    {"name": "FELIX_BPFENABLED", "value": "true"},
    {"name": "Felix_IPv6Support", "value": "false"},
    {"name": "FELIX_FELIXHOSTNAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    {"name": "ETCD_KEY", "value": "secret"},
]


def daemon_set(name: str = "calico-node", container: str = "calico-node", **metadata: Any) -> dict[str, Any]:
    others = {"name": "other", "env": [{"name": "FELIX_OTHER", "value": "x"}]}
    containers = [others, {"name": container, "env": ENTRIES}]
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "kube-system", **metadata},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


SET = {"FELIX_BPFENABLED": "true", "Felix_IPv6Support": "false"}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (daemon_set(), SET),
        (daemon_set("canal"), SET),
        (daemon_set("mine", labels={"k8s-app": "calico-node"}), SET),
        (daemon_set("mine"), {}),
        (daemon_set(container="flannel"), {}),
        ({**daemon_set(), "kind": "Deployment"}, {}),
        *(
            ({**daemon_set(), "spec": spec}, {})
            for spec in (None, {}, {"template": {"spec": {"containers": [None]}}})
        ),
    ],
)
def test_what_the_container_of_felix_is_given(item: dict[str, Any], expected: dict[str, str]) -> None:
    assert configured_environment([item]) == expected
    assert configured_environment([{**only_settings(item), "kind": item["kind"]}]) == expected


def test_nothing_else_of_it_is_kept() -> None:
    kept = only_settings(daemon_set(annotations={"a": "secret"}))
    assert "secret" not in str(kept)


def test_it_decides_the_data_plane() -> None:
    assert Dataplanes([], configured_environment([daemon_set()])).of_node("n") == "ebpf"
