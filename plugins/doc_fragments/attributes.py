# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    # What every module of the collection promises; a module adds how far it keeps the first two.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and predict the change without making it.
  diff_mode:
    description: Returns what would change, or has changed, before and after.
  idempotent:
    description: Run again with the same options, it changes nothing.
    support: full
"""

    # For modules that change nothing.
    READS = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: Only reads.
  diff_mode:
    support: N/A
    details: Only reads.
"""

    # For modules that talk to the cluster's API.
    CLUSTER = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/hostfence.calico.cluster) in C(module_defaults) to set connection options once.
    support: full
    membership:
      - hostfence.calico.cluster
requirements:
  - python >= 3.11
  - kubernetes >= 31
  - PyYAML >= 6
notes:
  - Runs on the controller (C(delegate_to=localhost)); no node needs the kubernetes package.
"""
