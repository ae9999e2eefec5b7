# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SARIF 2.1.0, as code scanning reads it: the findings of lint, with file and line where they are known."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from .shown import visible

Json = dict[str, Any]
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
DOCS = "https://github.com/hostfence/hostfence.calico/blob/main/docs/lint.md"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def sarif(document: Json, meanings: dict[str, str]) -> str:
    """The lint findings of a report.

    :param meanings: what each lint rule means, by its id
    """
    rules = sorted({finding["id"] for finding in document["lint"]})
    run: Json = {
        "tool": {
            "driver": {
                "name": "hostfence",
                "version": document["hostfence_version"],
                "informationUri": DOCS,
                "rules": [_rule(rule, meanings.get(rule, rule)) for rule in rules],
            }
        },
        "results": [_result(finding, rules) for finding in document["lint"]],
        "columnKind": "unicodeCodePoints",
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1, sort_keys=True) + "\n"


def _rule(rule: str, meaning: str) -> Json:
    return {"id": visible(rule), "shortDescription": {"text": visible(meaning)}, "helpUri": DOCS}


def _result(finding: Json, rules: list[str]) -> Json:
    text = f"{finding['object']}: {finding['message']}. {finding['remedy']}"
    location: Json = {
        "logicalLocations": [
            {
                "name": visible(finding["object"]),
                "fullyQualifiedName": visible(_path(finding)),
                "kind": "object",
            }
        ]
    }
    if finding.get("file"):
        location["physicalLocation"] = {
            "artifactLocation": {"uri": quote(str(finding["file"]), errors="surrogatepass")},
            "region": {"startLine": int(finding.get("line") or 1)},
        }
    return {
        "ruleId": visible(finding["id"]),
        "ruleIndex": rules.index(finding["id"]),
        "level": _LEVELS.get(finding["severity"], "note"),
        "message": {"text": visible(text)},
        "locations": [location],
    }


def _path(finding: Json) -> str:
    return f"{finding['object']} {finding['field']}".strip()
