# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    # The options of modules that judge objects: which objects, and how.
    DOCUMENTATION = r"""
options:
  resources:
    description:
      - Calico and Kubernetes objects to judge.
      - With neither this nor O(src), they are read from the cluster.
    type: list
    elements: dict
  src:
    description: A YAML or JSON file, or a directory of them, to judge.
    type: path
  nodes:
    description:
      - What the objects do not say of nodes - C(name), C(labels), and C(interfaces), a mapping of interface
        names to lists of addresses.
      - Interfaces are needed where host endpoints are found by address.
    type: list
    elements: dict
  dataplane:
    description:
      - Felix's data plane. Left out, it is each node's own, as its environment and FelixConfiguration say,
        else V(iptables).
    type: str
    choices: [iptables, nftables, ebpf]
  calico_version:
    description:
      - Version whose behaviour counts, such as V(v3.32.1). Left out, the cluster's, or the newest known.
    type: str
  api:
    description:
      - How C(projectcalico.org/v3) objects without C(types) were defaulted, by the aggregated API server or
        by the admission policy of V(v3-native) CRDs. Only for O(resources) and O(src).
    type: str
    choices: [aggregated, v3-native]
    default: aggregated
  kube_proxy_mode:
    description:
      - Mode of kube-proxy. In V(ipvs) mode Felix evaluates no normal policy for new connections to the
        NodePort range, and Felix's C(nftablesMode=Auto) follows V(nftables).
      - Left out, it is what the ConfigMap C(kube-proxy) of the namespace C(kube-system) says, where it is
        among the objects, and IPVS where O(nodes) has an interface C(kube-ipvs0).
    type: str
    choices: [iptables, ipvs, nftables]
  felix_environment:
    description:
      - Environment variables of the running Felix that set its configuration, such as
        C(FELIX_FAILSAFEINBOUNDHOSTPORTS). They win over FelixConfiguration.
      - They go before what the DaemonSet C(calico-node) sets, where it is among the objects or in the
        cluster.
    type: dict
"""
