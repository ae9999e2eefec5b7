# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lets the playbooks of a test run start their modules quickly."""

from __future__ import annotations

DOCUMENTATION = r"""
name: quick_modules
type: aggregate
short_description: Start modules quickly
author: The Hostfence founders (@hostfence)
description:
  - Once a run Ansible packs a module with all that it imports, which takes longer than most modules work.
    Here it finds what an earlier run has packed, in the directory that E(HOSTFENCE_PAYLOADS) names. Each
    place in which the collection is installed has a directory of its own there.
  - On the controller a module forks from the Python that listens at E(HOSTFENCE_WARM_PYTHON), if that is set;
    see tests/quick/warm_python.py.
options: {}
"""

import hashlib
import os
import sys
from pathlib import Path

from ansible import constants
from ansible.plugins.callback import CallbackBase

_WARM_PYTHON = Path(__file__).resolve().parent.parent / "warm-python"


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "quick_modules"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        _share_payloads(os.environ["HOSTFENCE_PAYLOADS"])
        if os.environ.get("HOSTFENCE_WARM_PYTHON"):
            # Playbooks know it as ansible_playbook_python.
            sys.executable = str(_WARM_PYTHON)


def _share_payloads(directory: str) -> None:
    import ansible_collections.hostfence.calico as collection

    place = os.path.realpath(collection.__path__[0])
    shared = os.path.join(directory, hashlib.sha256(place.encode()).hexdigest()[:16])
    os.makedirs(shared, exist_ok=True)
    os.symlink(shared, os.path.join(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache"))
