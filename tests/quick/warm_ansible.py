# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ansible-playbook or ansible-inventory (the first argument says which), by a Python that has imported it.

Modules and tasks are run with fewer processes between. Without all of this, as an installer has it, the test
of the artefact runs site.yml, and that of Ctrl-C begins it.
"""

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
from ansible._internal._task import TaskContext
from ansible.executor.task_executor import TaskExecutor
from ansible.executor.task_result import _RawTaskResult
from ansible.inventory.host import Host
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import connection_loader, get_plugin_loader_namespace
from ansible.plugins.strategy import StrategyBase

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


def _without_forks(queue_task: Callable[..., None]) -> Callable[..., None]:
    """Has the tasks of a play with one host run without a fork, which takes longer than most of them."""

    def queue(
        strategy: StrategyBase, host: Host, task: Task, task_vars: dict[str, Any], play_context: PlayContext
    ) -> None:
        if len(strategy._hosts_cache) > 1:
            queue_task(strategy, host, task, task_vars, play_context)
            return
        known = {"host": host, "task": task, "task_vars": task_vars, "play_context": play_context}
        strategy._queued_task_cache[(host.name, task._uuid)] = known
        strategy._tqm.send_callback("v2_runner_on_start", host, task)
        # Its fields are templated in place, and it may be run again.
        own = task.copy(exclude_parent=True)
        own._parent = task._parent
        with TaskContext(own):
            told = TaskExecutor(
                host,
                own,
                task_vars,
                play_context,
                strategy._loader,
                get_plugin_loader_namespace(),
                strategy._final_q,
                strategy._variable_manager,
            ).run()
        result = _RawTaskResult(host=host, task=own, return_data=told, task_fields=own.dump_attrs())
        strategy._final_q.send_task_result(result)
        strategy._pending_results += 1

    return queue


StrategyBase._queue_task = _without_forks(StrategyBase._queue_task)

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
