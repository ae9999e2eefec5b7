# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What policy_lint says Calico's API refuses, although Calico's validator takes it: the API is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import lint

from testbed.api import ApiError

CONTROLLERS = "KubeControllersConfiguration"
JUDGED = Path(__file__).parents[1] / "unit" / "recordings" / "calicoctl_validate.jsonl"


def said_to_be_refused() -> Iterator[dict[str, Any]]:
    for line in JUDGED.read_text().splitlines():
        row = json.loads(line)
        found = lint([{"apiVersion": "projectcalico.org/v3", **row["object"]}])
        if not row["refused"] and any(finding.id == "refused-by-api" for finding in found):
            yield row["object"]


def test_it_is_refused(clean_api: Any) -> None:
    if clean_api.flavour.startswith(("ours-", "v1-3.28")):
        pytest.skip("the schema is not that of Calico v3.32.1")
    asked = list(said_to_be_refused())
    assert len(asked) == 13
    if clean_api.flavour.startswith("aggregated"):
        # Calico's API server adds an empty one, and calicoctl with it; kubectl on the CRDs alone is refused.
        asked = [obj for obj in asked if "controllers" in obj["spec"] or obj["kind"] != CONTROLLERS]
    for obj in asked:
        with pytest.raises(ApiError, match="is invalid"):
            write(clean_api, obj)


def write(api: Any, obj: dict[str, Any]) -> None:
    path, name = api.path(obj["kind"]), obj["metadata"]["name"]
    if name == "default":
        api.admin.put(f"{path}/{name}", {**api.admin.get(f"{path}/{name}"), "spec": obj["spec"]})
    else:
        api.admin.post(path, {**obj, "apiVersion": api.kinds[obj["kind"]].group_version})
