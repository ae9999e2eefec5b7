# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ansible-playbook or ansible-inventory (the first argument says which), by a Python that has imported it."""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import warm_client
from ansible import constants
from ansible.plugins.loader import connection_loader

# What the connection is to run where a module's Python is the warm one.
_MODULE = f"/bin/sh -c '{Path(__file__).resolve().with_name('warm-python')} && sleep 0'"


def _without_shells(exec_command: Callable[..., Any]) -> Callable[..., Any]:
    """Has a module run without three shells and a Python in between."""

    def execute(
        connection: Any, cmd: str, in_data: bytes | None = None, sudoable: bool = True
    ) -> tuple[int, bytes, bytes]:
        if cmd == _MODULE and in_data:
            return warm_client.run_captured(os.environ, program=in_data)
        return exec_command(connection, cmd, in_data=in_data, sudoable=sudoable)

    return execute


local = connection_loader.get("local", class_only=True)
local.exec_command = _without_shells(local.exec_command)

# It has been, to import the plugins of collections beforehand.
warnings.filterwarnings("ignore", "AnsibleCollectionFinder has already been configured")

# The one that was made on import is of all that fork.
constants.DEFAULT_LOCAL_TMP = tempfile.mkdtemp(prefix="hostfence-ansible-")
atexit.register(shutil.rmtree, constants.DEFAULT_LOCAL_TMP, ignore_errors=True)
# Who looks a thousand times a second whether a task has ended takes the processor from what it waits for.
constants.DEFAULT_INTERNAL_POLL_INTERVAL = 0.01

importlib.import_module(f"ansible.cli.{sys.argv.pop(1)}").main()
