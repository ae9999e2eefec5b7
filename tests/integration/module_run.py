# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs a module of the collection as Ansible does: its own process, JSON in, JSON out.

The processes fork from one that has imported what modules import, as importing the kubernetes package takes
longer than most modules work. That is the standard library's forkserver; what runs is the module's own file.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
_PLUGINS = "ansible_collections.hostfence.calico.plugins"
_IMPORTED = (
    "ansible.module_utils.basic",
    "ansible_collections.kubernetes.core.plugins.module_utils.k8s.client",
    *(
        ".".join((_PLUGINS, *path.relative_to(ROOT / "plugins").with_suffix("").parts))
        for path in sorted(ROOT.glob("plugins/module_utils/**/[!_]*.py"))
    ),
)
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["__main__", *_IMPORTED])


def run_module(
    name: str, api: Any, /, check: bool = False, diff: bool = False, **options: Any
) -> dict[str, Any]:
    """One run of a module against an API server.

    :param api: has ``kubeconfig``, used unless the options name another
    :returns: what the module returned, with ``failed`` and ``warnings`` (as texts) in any case
    """
    arguments = {
        "kubeconfig": api.kubeconfig,
        **options,
        "_ansible_check_mode": check,
        "_ansible_diff": diff,
    }
    output, errors = _run(f"{_PLUGINS}.modules.{name}", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    assert output.strip().startswith("{"), output + errors
    result: dict[str, Any] = json.loads(output)
    warnings = [_text(warning) for warning in result.get("warnings", [])]
    return {"failed": False, **result, "warnings": warnings}


def _run(module: str, given: str) -> tuple[str, str]:
    """Standard output and standard error of one run."""
    with tempfile.TemporaryDirectory(prefix="hostfence-module-") as directory:
        streams = [Path(directory, name) for name in ("stdin", "stdout", "stderr")]
        streams[0].write_text(given)
        for stream in streams[1:]:
            stream.touch()
        process = _FORKS.Process(target=_forked, args=(module, dict(os.environ), os.getcwd(), streams))
        process.start()
        process.join()
        return streams[1].read_text(), streams[2].read_text()


def _forked(module: str, environment: dict[str, str], directory: str, streams: list[Path]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    for number, (path, flags) in enumerate(zip(streams, (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY))):
        os.dup2(os.open(path, flags), number)
    sys.stdin = os.fdopen(0)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _text(warning: Any) -> str:
    """A module's warning before Ansible's own callback has shown it: a structure since ansible-core 2.19."""
    return warning if isinstance(warning, str) else warning["event"]["msg"]
