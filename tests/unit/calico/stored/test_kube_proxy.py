# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which mode kube-proxy runs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.kube_proxy import configured_mode


def config_map(data: Any, name: str = "kube-proxy", namespace: str = "kube-system") -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


# As kubeadm writes it.
KUBEADM = """apiVersion: kubeproxy.config.k8s.io/v1alpha1
iptables:
  masqueradeAll: false
kind: KubeProxyConfiguration
metricsBindAddress: ""
mode: {}
nftables:
  syncPeriod: 0s
"""


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        (KUBEADM.format("ipvs"), "ipvs"),
        (KUBEADM.format('"nftables"'), "nftables"),
        (KUBEADM.format("'IPVS'"), "ipvs"),
        # Empty, and what no kube-proxy knows, is its default.
        (KUBEADM.format('""'), "iptables"),
        (KUBEADM.format("userspace"), "iptables"),
        ('{"kind": "KubeProxyConfiguration", "mode": "ipvs"}', "ipvs"),
        ('{"detectLocalMode": "ClusterCIDR", "mode":"ipvs", "kind": "KubeProxyConfiguration"}', "ipvs"),
        ("{kind: KubeProxyConfiguration, mode: nftables}", "nftables"),
        ("detectLocalMode: ClusterCIDR\nonlymode: ipvs\n", ""),
        ("# by default, mode: ipvs\n#mode: ipvs\nmode: nftables\n", "nftables"),
        ("", ""),
    ],
)
def test_the_mode_stands_in_one_of_its_files(text: str, mode: str) -> None:
    assert configured_mode([config_map({"kubeconfig.conf": "apiVersion: v1", "config.conf": text})]) == mode


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"kind": "ConfigMap", "metadata": None},
        config_map({"config.conf": "mode: ipvs"}, name="other"),
        config_map({"config.conf": "mode: ipvs"}, namespace="default"),
        {**config_map({"config.conf": "mode: ipvs"}), "kind": "Secret"},
        config_map(None),
        config_map({"config.conf": 7}),
    ],
)
def test_where_nothing_says_it_the_mode_is_empty(item: dict[str, Any]) -> None:
    assert configured_mode([item]) == ""
