# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs a module of the collection as Ansible does: its own process, JSON in, JSON out."""

from __future__ import annotations

import json
import os
from typing import Any

import warm_client
import warm_python

_PLUGINS = "ansible_collections.hostfence.calico.plugins"
# Not packed here, as the module is run where it lies.
_IMPORTED = (
    "ansible.module_utils.basic",
    "ansible_collections.kubernetes.core.plugins.module_utils.k8s.client",
    *(
        f"{_PLUGINS}.module_utils.{path.parent.name}.{path.stem}"
        for path in sorted(warm_python.ROOT.glob("plugins/module_utils/*/[!_]*.py"))
    ),
)


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
    module = f"{_PLUGINS}.modules.{name}"
    _status, output, errors = warm_client.run_captured(
        {**os.environ, warm_python.SOCKET: warm_python.address()},
        ["-m", module],
        imported=",".join(_IMPORTED),
        given=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode(),
    )
    assert output.strip().startswith(b"{"), (output + errors).decode()
    result: dict[str, Any] = json.loads(output)
    warnings = [_text(warning) for warning in result.get("warnings", [])]
    return {"failed": False, **result, "warnings": warnings}


def _text(warning: Any) -> str:
    """A module's warning before Ansible's own callback has shown it: a structure since ansible-core 2.19."""
    return warning if isinstance(warning, str) else warning["event"]["msg"]
