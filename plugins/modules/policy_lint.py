#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: policy_lint
short_description: Find the traps in host endpoints, policies and failsafes
version_added: 0.1.0
author: The Hostfence founders (@hostfence)
description:
  - Names what locks hosts out, opens them, or means something else to Felix than it says, before it bites.
  - Staged policies are looked at as if they were enforced.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.attributes
  - hostfence.calico.attributes.reads
  - hostfence.calico.attributes.cluster
  - hostfence.calico.judged_objects
options:
  ssh_ports:
    description: Ports that sshd listens on.
    type: list
    elements: int
    default: [22]
  api_ports:
    description: Ports of the API server, in addition to those of the endpoints of the service C(kubernetes).
    type: list
    elements: int
    default: []
  fail_on:
    description: Fail if there is a finding of this severity or a graver one.
    type: str
    choices: [none, info, warning, error]
    default: none
seealso:
  - module: hostfence.calico.flow_verdict
  - name: Traps
    description: Every rule with its stable id.
    link: https://github.com/hostfence/hostfence.calico/blob/main/docs/lint.md
"""

EXAMPLES = r"""
- name: Look at the cluster
  hostfence.calico.policy_lint:
  register: lint

- name: Stop a pipeline at what would lock hosts out
  hostfence.calico.policy_lint:
    src: policies/
    fail_on: error
"""

RETURN = r"""
findings:
  description: What was found, errors first.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Stable id of the rule.
      type: str
      sample: v1-empty-types
    severity:
      description: V(error), V(warning) or V(info).
      type: str
    object:
      description: Kind and name.
      type: str
      sample: GlobalNetworkPolicy deny-all
    field:
      description: Path of the field in the object.
      type: str
      sample: spec.types
    message:
      description: What is wrong.
      type: str
    remedy:
      description:
        - What would be right. The other keys of a finding, C(family), C(table) and C(chain), are empty here.
      type: str
counts:
  description: How many findings have which severity.
  returned: always
  type: dict
  sample: {error: 0, warning: 2, info: 1}
origin:
  description: Where the objects came from, V(resources), a path or the API server's address.
  returned: always
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.context import SEVERITIES
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import (
    LintSurroundings,
    as_dicts,
    count_findings,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.judgement import traps
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import (
    CONNECTION_OPTIONS,
    ClusterError,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.judged_objects import (
    SOURCE_OPTIONS,
    SOURCE_RULES,
    gather,
)

OPTIONS: dict[str, Any] = {
    "ssh_ports": {"type": "list", "elements": "int", "default": [22]},
    "api_ports": {"type": "list", "elements": "int", "default": []},
    "fail_on": {"type": "str", "choices": ["none", *reversed(SEVERITIES)], "default": "none"},
    **SOURCE_OPTIONS,
}


def work(params: dict[str, Any]) -> dict[str, Any]:
    judged = gather(params)
    around = LintSurroundings(
        judged.nodes, tuple(params["ssh_ports"]), tuple(params["api_ports"]), live=judged.live
    )
    findings = traps(judged.objects, judged.options, around=around, dataplanes=judged.dataplanes)
    return {
        "changed": False,
        "findings": as_dicts(findings),
        "counts": count_findings(findings),
        "origin": judged.origin,
    }


def grave(result: dict[str, Any], fail_on: str) -> list[dict[str, Any]]:
    """The findings at which the module is to fail."""
    if fail_on == "none":
        return []
    counted = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    return [finding for finding in result["findings"] if finding["severity"] in counted]


def main() -> None:
    module = AnsibleModule(
        argument_spec={**CONNECTION_OPTIONS, **OPTIONS}, supports_check_mode=True, **SOURCE_RULES
    )
    try:
        result = work(module.params)
    except (BadInput, ClusterError) as refused:
        module.fail_json(msg=str(refused))
    refusing = grave(result, module.params["fail_on"])
    if refusing:
        first = refusing[0]
        more = f", and {len(refusing) - 1} more" if len(refusing) > 1 else ""
        text = f"{first['object']}: {first['field']}: {first['id']}: {first['message']}{more}"
        module.fail_json(msg=text, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
