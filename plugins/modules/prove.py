#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: prove
short_description: Prove by new SSH logins that nodes can still be reached
version_added: 0.1.0
author: The Hostfence founders (@hostfence)
description:
  - Logs in to nodes from the machine that this runs on, the controller, all at once and over connections of
    its own. Ansible's connection plugin, strategy and C(forks) make no difference, nor does a connection that
    OpenSSH keeps open (C(ControlPath)) - the kernel lets those live on after new ones are denied.
  - A login counts only if the node tells by C(SSH_CONNECTION) that it came over a new connection.
  - Where it may look, as root or by C(sudo -n), it first waits until the node's kernel holds the chains of
    O(nodes[].policies). With eBPF there are none, so name none.
  - A node whose kernel holds no chain of Calico at all takes logins whatever policy says. It is named in
    RV(without_felix), and nothing is proved of it.
  - Nodes whose O(nodes[].connection) is no SSH connection count as failed.
  - The first failure ends it; logins that have begun are waited for.
  - Uses keys or an agent only; it never asks for a password.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.logins.proved
  - hostfence.calico.attributes
attributes:
  check_mode:
    support: full
    description: Logs in as well; nothing is changed on the nodes, nor noted in the cluster.
  diff_mode:
    support: none
options:
  rounds:
    description: How many logins in a row must work on every node.
    type: int
    default: 1
  pause:
    description: Seconds before each round.
    type: float
    default: 0
  timeout:
    description: Seconds for one login.
    type: float
    default: 10
  patience:
    description: Seconds to wait for the kernel.
    type: float
    default: 30
  programmed:
    description:
      - Whether logins count only once the node's kernel holds the policies that O(nodes) names.
      - Without it they count at once, and RV(summary) says that the kernel was not looked at.
    type: bool
    default: true
    version_added: 0.3.0
  strict:
    description: Whether the task fails if a node could not be logged in to.
    type: bool
    default: true
  mark_proved:
    description:
      - Whether this proves all that is enforced. Once every node took its logins, the note is taken away that
        M(hostfence.calico.policies) leaves in the cluster when it enforces a set, and the task has changed
        something.
      - Without it no API server is asked.
    type: bool
    default: false
  progress:
    description: >-
      A file for how far the work is. The action plugin fills it in, and shows it every few seconds.
    type: path
seealso:
  - module: hostfence.calico.policies
"""

EXAMPLES = r"""
- name: Prove that every node still takes new logins
  hostfence.calico.prove:
    nodes:
      - {node: worker-1, host: 192.0.2.11, user: admin, policies: [hostfence.ingress-lockdown-drop]}
      - {node: worker-2, host: 192.0.2.12, user: admin, policies: [hostfence.ingress-lockdown-drop]}
    rounds: 3
    pause: 3
  delegate_to: localhost
"""

RETURN = r"""
nodes:
  description: What was proved, node by node.
  returned: always
  type: list
  elements: dict
  contains:
    node:
      description: Name of the node.
      type: str
    reached:
      description: Whether all logins worked.
      type: bool
    logins:
      description: How many new logins worked, since the kernel held the policies.
      type: int
    ssh_connection:
      description: Addresses and ports of both ends of the last one, as the node sees them.
      type: str
    host:
      description: What was connected to.
      type: str
    port:
      description: Its port.
      type: int
    programmed:
      description: Whether the kernel held the policies; null where the kernel could not be read.
      type: bool
    without_felix:
      description: Whether the kernel held no chain of Calico at all.
      type: bool
    error:
      description: Why it is not proved, or empty.
      type: str
logins:
  description: By which connections the nodes are reached, for O(hostfence.calico.policies#module:logins).
  returned: always
  type: list
  elements: dict
proved:
  description: Names of the nodes that are proved.
  returned: always
  type: list
  elements: str
failed_nodes:
  description: Names of the others.
  returned: always
  type: list
  elements: str
cut_off:
  description: For people, those that failed by themselves; nodes are not tried to the end once one failed.
  returned: always
  type: str
without_felix:
  description: Names of nodes whose kernel holds no chain of Calico. Felix is not running there.
  returned: always
  type: list
  elements: str
unlooked:
  description: Names of nodes whose kernel could not be read for the policies.
  returned: always
  type: list
  elements: str
marked_proved:
  description: Names of the policy sets that were noted as unproved until now.
  returned: always
  type: list
  elements: str
summary:
  description: One line.
  returned: always
  type: str
"""

from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import lease
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import (
    CONNECTION_OPTIONS,
    Cluster,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import Unfinished, conclude
from ansible_collections.hostfence.calico.plugins.module_utils.controller import progress, targets
from ansible_collections.hostfence.calico.plugins.module_utils.controller.logins import (
    LoginProof,
    Wanted,
    as_result,
    prove,
)

OPTIONS: dict[str, Any] = {
    "nodes": {"type": "list", "elements": "dict", "required": True, "options": targets.OPTIONS},
    "rounds": {"type": "int", "default": 1},
    "pause": {"type": "float", "default": 0},
    "timeout": {"type": "float", "default": 10},
    "patience": {"type": "float", "default": 30},
    "programmed": {"type": "bool", "default": True},
    "strict": {"type": "bool", "default": True},
    "mark_proved": {"type": "bool", "default": False},
    **progress.OPTION,
}


def work(params: dict[str, Any]) -> dict[str, Any]:
    """:raises BadInput: an option that cannot be used"""
    if params["rounds"] < 1:
        raise BadInput("rounds", params["rounds"], "must be at least 1")
    for name in ("timeout", "patience"):
        if params[name] <= 0:
            raise BadInput(name, params[name], "must be a number of seconds above 0")
    nodes = [targets.read(raw, f"nodes[{index}]") for index, raw in enumerate(params["nodes"])]
    looked_at = (
        nodes if params["programmed"] else [replace(node, present=(), gone=frozenset()) for node in nodes]
    )
    wanted = Wanted(params["rounds"], params["pause"], params["timeout"], params["patience"])
    shown = progress.Progress(params["progress"], "logins", len(nodes) * wanted.rounds)
    result = _result(prove(looked_at, wanted, shown.step))
    if looked_at != nodes:
        result["summary"] += "; not looked whether Felix has the policy"
    return result


def _result(proofs: list[LoginProof]) -> dict[str, Any]:
    proved = [p.target.node for p in proofs if p.proved]
    failed = [p.target.node for p in proofs if not p.proved]
    logins = sum(p.logins for p in proofs)
    text = f"{len(proved)} of {len(proofs)} nodes took new logins, {logins} in all"
    if failed:
        # One that failed by itself says more than one that was not tried to the end.
        first = min((p for p in proofs if not p.proved), key=lambda p: p.error.startswith("not tried"))
        text += f"; {first.target.node}: {first.error}"
    without_felix = [p.target.node for p in proofs if p.without_felix]
    if without_felix:
        text += f"; not proved: Felix is not running on {', '.join(without_felix)} (no chain of Calico there)"
    unlooked = [p.target.node for p in proofs if p.target.present and p.programmed is None and p.proved]
    if unlooked:
        text += f"; not seen whether Felix has the policy on {', '.join(unlooked)}: only root may look there"
    return {
        "nodes": [as_result(proof) for proof in proofs],
        "logins": [targets.login_of(proof) for proof in proofs],
        "proved": proved,
        "failed_nodes": failed,
        "cut_off": _cut_off([p for p in proofs if not p.proved]),
        "without_felix": without_felix,
        "unlooked": unlooked,
        "summary": text,
    }


def _cut_off(failed: list[LoginProof]) -> str:
    # Once one node takes no login, the others are not tried to the end.
    own = [p for p in failed if not p.error.startswith("not tried")]
    names = ", ".join(sorted(p.target.node for p in own))
    return f"{names} ({'; '.join(dict.fromkeys(p.error for p in own))})" if own else ""


def _run(module: AnsibleModule) -> dict[str, Any]:
    """:raises Unfinished: a node took no login, and the task is strict"""
    marks = None
    if module.params["mark_proved"] and not module.check_mode:
        # Before the first login: what is enforced after it is not proved by it.
        marks = lease.Marks(Cluster.of_module(module))
    result = work(module.params)
    if result["failed_nodes"] and module.params["strict"]:
        raise Unfinished(result["summary"], result)
    proved = bool(result["proved"]) and not (result["failed_nodes"] or result["without_felix"])
    marked = [mark.subject for mark in marks.unproved] if marks and proved and marks.take_away() else []
    return {**result, "changed": bool(marked), "marked_proved": marked}


def main() -> None:
    module = AnsibleModule(argument_spec={**CONNECTION_OPTIONS, **OPTIONS}, supports_check_mode=True)
    conclude(module, lambda: _run(module))


if __name__ == "__main__":
    main()
