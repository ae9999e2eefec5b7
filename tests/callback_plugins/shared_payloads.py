# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lets all playbooks of a test run share what Ansible has packed."""

from __future__ import annotations

DOCUMENTATION = r"""
name: shared_payloads
type: aggregate
short_description: Share packed modules between playbooks
author: The Hostfence founders (@hostfence)
description:
  - Once a run Ansible packs a module with all that it imports, which takes longer than most modules work.
    Here it finds what an earlier run has packed, in the directory that E(HOSTFENCE_PAYLOADS) names.
  - Each place in which the collection is installed has a directory of its own there.
options: {}
"""

import hashlib
import os

from ansible import constants
from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "shared_payloads"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        import ansible_collections.hostfence.calico as collection

        place = os.path.realpath(collection.__path__[0])
        shared = os.path.join(
            os.environ["HOSTFENCE_PAYLOADS"], hashlib.sha256(place.encode()).hexdigest()[:16]
        )
        os.makedirs(shared, exist_ok=True)
        os.symlink(shared, os.path.join(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache"))
