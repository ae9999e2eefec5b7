# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps a node's flows on the controller; the module of this name documents it.

No process is started for it, here or there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from ansible.plugins.action import ActionBase
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import published_flows
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.packing import unpack

OPTIONS: dict[str, Any] = {
    "flows": {"type": "str", "required": True},
    "dest": {"type": "path", "required": True},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(OPTIONS)
        path = Path(options["dest"]).expanduser()
        try:
            changed = keep(str(options["flows"]), path, dry_run=self._task.check_mode)
        except ValueError as refused:
            return {"failed": True, "msg": f"flows: {refused}: must be what node_flows returned"}
        except OSError as error:
            return {"failed": True, "msg": f"dest {str(path)!r}: cannot be written to: {error.strerror}"}
        return {"changed": changed, "path": str(path)}


def keep(flows: str, path: Path, *, dry_run: bool) -> bool:
    """:returns: whether the file is new, or another one than before"""
    document = unpack(flows)
    if not dry_run:
        _make_private(path.parent)
    return published_flows.keep(path, document, dry_run=dry_run)


def _make_private(directory: Path) -> None:
    """Whatever of it is not there yet; several nodes' flows may be kept at once."""
    missing = [place for place in (directory, *directory.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(mode=0o700, exist_ok=True)
