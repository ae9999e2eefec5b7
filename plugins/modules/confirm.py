#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: confirm
short_description: Confirm the wave of a transaction that waits for it
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Keeps the new policy of the wave that M(hostfence.calico.enforce) switched with
    O(hostfence.calico.enforce#module:confirm=manual). After the last wave the transaction is settled;
    before, the next run of M(hostfence.calico.enforce) goes on.
  - Fails if the wave went back meanwhile, by its window or by someone.
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
- name: Keep what was looked at
  hostfence.calico.confirm:
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
    CONFIRM,
    END_OPTIONS,
    end,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import run


def main() -> None:
    run(END_OPTIONS, lambda module, cluster: end(cluster, module.params, CONFIRM, check=module.check_mode))


if __name__ == "__main__":
    main()
