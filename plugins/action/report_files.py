# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes a report on the controller, where the templates are; the module of this name documents it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Optional

from ansible.plugins.action import ActionBase
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.plugin_utils.collection import version
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.audited import audit
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.document import Found, build
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.files import FORMS, write_files
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.transactions import transaction

_PARTS = (
    "nodes",
    "failsafes",
    "probes",
    "sets",
    "foreign",
    "lint",
    "pending",
    "unseen",
    "cluster",
)
_DICTS = {"type": "list", "elements": "dict"}
OPTIONS: dict[str, Any] = {
    "generated_at": {"type": "str", "required": True},
    "directory": {"type": "path"},
    "formats": {"type": "list", "elements": "str", "choices": list(FORMS), "default": ["html", "json"]},
    "nodes": _DICTS,
    "failsafes": {"type": "dict"},
    "probes": {"type": "dict", "default": {}},
    "sets": _DICTS,
    "foreign": {**_DICTS, "default": []},
    "lint": _DICTS,
    "flows": _DICTS,
    "verdicts": _DICTS,
    "audit": {"type": "dict"},
    "transaction": {"type": "dict"},
    "timeline": {**_DICTS, "default": []},
    "pending": _DICTS,
    "unseen": {"type": "list", "elements": "str", "default": []},
    "cluster": {"type": "dict", "default": {}},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(OPTIONS, required_together=[("flows", "verdicts")])
        try:
            return {"failed": False, **_report(options, dry_run=self._task.check_mode)}
        except BadInput as refused:
            return {"failed": True, "msg": str(refused)}


def _read(option: str, part: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return part()
    except (AttributeError, KeyError, TypeError, ValueError) as missing:
        raise BadInput(option, str(missing), "must be what the module that is documented for it returned")


def _report(options: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    # Values of variables carry where they come from, and may still be lazy: the report takes what they say.
    given: dict[str, Any] = json.loads(json.dumps(options))
    flows, verdicts = given["flows"], given["verdicts"]
    if flows is not None and len(flows) != len(verdicts):
        raise BadInput("verdicts", len(verdicts), f"one for each of the {len(flows)} flows, in their order")
    record, audited = given["transaction"], given["audit"]
    found = Found(
        flows=None if flows is None else list(zip(flows, verdicts)),
        audit=None if audited is None else _read("audit", lambda: audit(audited)),
        transaction=None
        if record is None
        else _read("transaction", lambda: transaction(record, given["timeline"])),
        **{name: given[name] for name in _PARTS},
    )
    document = build(found, given["generated_at"], version())
    files = (
        write_files(document, given["formats"], given["directory"], dry_run=dry_run)
        if given["directory"]
        else []
    )
    return {
        "changed": any(file["changed"] for file in files),
        "files": files,
        "verdict": document["verdict"],
        "counts": document["counts"],
    }
