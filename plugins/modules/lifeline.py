#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: lifeline
short_description: Keep ways of a node open that no failsafe of Calico's covers
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Runs on the node, as root. Makes one nftables table, C(inet hostfence-lifeline-kept), that sets Calico's
    own accept mark on the packets named here before Calico's chains see them. Nothing of Calico's is touched.
  - What it lets pass is as with failsafes - normal and preDNAT policy is not asked. doNotTrack policy is, and
    eBPF knows no such mark.
  - A unit of systemd loads it at boot. Without systemd it lasts until the next one, and RV(remarks) says so.
  - The mark is read from Calico's rules in the kernel. M(hostfence.calico.failsafe_info) says where it is no
    longer Calico's; then run this again.
extends_documentation_fragment:
  - hostfence.calico.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  state:
    description: V(always) keeps it, V(absent) removes it.
    type: str
    choices: [always, absent]
    required: true
  api:
    description: API servers that the node reaches, for those on ports that are no failsafes, such as 443.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: Address or network.
        type: str
        required: true
      port:
        description: TCP port.
        type: int
        default: 443
  kubelet_sources:
    description: Addresses or networks of the control plane, from where API servers reach kubelets.
    type: list
    elements: str
    default: []
  kubelet_port:
    description: TCP port of the kubelet.
    type: int
    default: 10250
  neighbour_discovery:
    description: Whether IPv6 neighbour discovery passes, in both directions.
    type: bool
    default: true
seealso:
  - module: hostfence.calico.failsafe_info
"""

EXAMPLES = r"""
- name: Keep open what the control plane needs
  hostfence.calico.lifeline:
    state: always
    api:
      - host: 192.0.2.1
    kubelet_sources: [192.0.2.0/28]
  become: true
"""

RETURN = r"""
lifeline:
  description: What it lets pass then, C(outbound), C(inbound), C(neighbours) and C(mark); empty without it.
  returned: always
  type: dict
remarks:
  description: What else there is to say.
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.node import kept_lifeline

OPTIONS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["always", "absent"], "required": True},
    "api": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "default": 443},
        },
    },
    "kubelet_sources": {"type": "list", "elements": "str", "default": []},
    "kubelet_port": {"type": "int", "default": 10250},
    "neighbour_discovery": {"type": "bool", "default": True},
}


def work(module: AnsibleModule) -> dict[str, Any]:
    wanted = _wanted(module.params) if module.params["state"] == "always" else None
    before, after = kept_lifeline.stored(), kept_lifeline.files(wanted)
    changed = before != after or kept_lifeline.live() != wanted
    if changed and not module.check_mode:
        problem = kept_lifeline.write(wanted)
        if problem:
            module.fail_json(msg=f"the lifeline is not in force: {problem}")
    result: dict[str, Any] = {
        "changed": changed,
        "lifeline": wanted.as_dict() if wanted else {},
        "remarks": [],
    }
    if wanted and not kept_lifeline.has_systemd():
        result["remarks"].append("without systemd the lifeline lasts until the next boot")
    if module._diff:
        result["diff"] = [
            {"before_header": path, "after_header": path, "before": before[path], "after": after[path]}
            for path in before
        ]
    return result


def _wanted(params: dict[str, Any]) -> kept_lifeline.Lifeline:
    api = [(one["host"], one["port"]) for one in params["api"]]
    sources = [(net, params["kubelet_port"]) for net in params["kubelet_sources"]]
    neighbours = params["neighbour_discovery"]
    if not (api or sources or neighbours):
        raise BadInput("state", "always", "names nothing: api, kubelet_sources or neighbour_discovery")
    mark = kept_lifeline.accept_mark()
    if not mark:
        raise BadInput(
            "state",
            "always",
            "no accept mark of Calico's is in this kernel: Felix does not run here yet, or it runs eBPF",
        )
    return kept_lifeline.wanted(api, sources, neighbours=neighbours, mark=mark)


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        result = work(module)
    except BadInput as refused:
        module.fail_json(msg=str(refused))
    except OSError as error:
        module.fail_json(msg=f"the lifeline cannot be written: {error}")
    else:
        module.exit_json(**result)


if __name__ == "__main__":
    main()
