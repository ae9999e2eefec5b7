#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback
short_description: Go back to the policy from before a transaction
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Switches every wave back, confirmed or not, and removes the transaction.
  - After it is settled, and as long as the policy from before is kept, makes a transaction of its own back
    to it, with all hosts in one wave.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.logins.programs
  - hostfence.calico.transaction
  - hostfence.calico.attributes
  - hostfence.calico.attributes.cluster
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
seealso:
  - module: hostfence.calico.enforce
"""

EXAMPLES = r"""
- name: Go back
  hostfence.calico.rollback:
    nodes:
      - node: node1
        host: 192.0.2.11
        user: root
"""

RETURN = r"""
phase:
  description: Phase of the transaction now; empty where there is none.
  returned: always
  type: str
timeline:
  description: What happened when, C(at) which time and C(seconds) after the module began.
  returned: always
  type: list
  elements: dict
remarks:
  description: What else there is to say.
  returned: always
  type: list
  elements: str
writes:
  description: How many writes were sent.
  returned: always
  type: int
"""

from ansible_collections.hostfence.calico.plugins.module_utils.cluster.enforcement import (
    END_OPTIONS,
    ROLL_BACK,
    end,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import run


def main() -> None:
    run(END_OPTIONS, lambda module, cluster: end(cluster, module.params, ROLL_BACK, check=module.check_mode))


if __name__ == "__main__":
    main()
