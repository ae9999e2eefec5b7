# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A survey for AWX, from what the roles specify: one question a variable.

    python docs/docsite/survey.py host_endpoints policies report > survey.json

Only what a survey can ask is in it: texts, numbers, and choices. AWX hands a bool over as a text and knows no
list but one of choices, so these, networks above all, belong into the inventory.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any, Optional

import yaml

ROLES = Path(__file__).resolve().parent.parent.parent / "roles"
DEFAULT_ROLES = ("preflight", "host_endpoints", "policies", "report")
_TYPES = {"str": "text", "path": "text", "int": "integer", "float": "float"}
# C(code), O(option), V(value) and their kind are for documentation alone.
_MARKUP = re.compile(r"\b[A-Z]+\(([^)]*)\)")


def survey(roles: list[str]) -> dict[str, Any]:
    """The survey as AWX's API takes it at ``/api/v2/job_templates/<id>/survey_spec/``."""
    questions = [found for role in roles for found in map(_question, *_options(role)) if found]
    return {"name": "", "description": "", "spec": questions}


def _options(role: str) -> tuple[list[str], list[dict[str, Any]]]:
    text = (ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    options: dict[str, Any] = {}
    for entry in yaml.safe_load(text)["argument_specs"].values():
        options.update(entry.get("options") or {})
    return list(options), list(options.values())


def _question(name: str, option: dict[str, Any]) -> Optional[dict[str, Any]]:
    kind = _kind(option)
    if kind is None:
        return None
    default = option.get("default", "")
    if isinstance(default, str) and "{{" in default:
        default = ""
    told = option.get("description") or ""
    described = " ".join(told if isinstance(told, list) else [told])
    question: dict[str, Any] = {
        "question_name": name.replace("_", " "),
        "question_description": _MARKUP.sub(r"\1", described),
        "variable": name,
        "type": kind,
        "required": bool(option.get("required", False)),
        "default": "\n".join(default) if isinstance(default, list) else default,
        "choices": [str(choice) for choice in option.get("choices") or ()],
        "min": 0 if kind in ("text", "integer", "float") else None,
        "max": 1024 if kind == "text" else 2**31 - 1 if kind in ("integer", "float") else None,
        "new_question": True,
    }
    return question


def _kind(option: dict[str, Any]) -> Optional[str]:
    kind = option.get("type", "str")
    if option.get("choices"):
        return {"str": "multiplechoice", "list": "multiselect"}.get(kind)
    return _TYPES.get(kind)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("roles", nargs="*", metavar="ROLE", help=f"default: {' '.join(DEFAULT_ROLES)}")
    given = arguments.parse_args().roles or list(DEFAULT_ROLES)
    unknown = [role for role in given if not (ROLES / role).is_dir()]
    if unknown:
        known = ", ".join(sorted(path.name for path in ROLES.iterdir()))
        arguments.error(f"no role {', '.join(unknown)}; there are {known}")
    print(json.dumps(survey(given), indent=1))


if __name__ == "__main__":
    main()
