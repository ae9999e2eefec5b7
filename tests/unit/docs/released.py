# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options that the last release has, so that those which came later say so.

python -m tests.unit.docs.released > tests/unit/docs/released.txt      # RELEASING.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent.parent
RELEASED = Path(__file__).parent / "released.txt"
_DOCUMENTATION = re.compile(r'^DOCUMENTATION = r"""(.*?)^"""', re.MULTILINE | re.DOTALL)

# Where it is documented, its path there, and the version that it was added in.
Option = tuple[str, str, str]


def options() -> Iterator[Option]:
    """All options of modules, plugins and roles; the plugin or role itself has an empty path."""
    for file in sorted((ROOT / "plugins").glob("*/*.py")):
        found = _DOCUMENTATION.search(file.read_text())
        if found:
            yield from _of(f"{file.parent.name}/{file.stem}", yaml.safe_load(found[1]))
    for file in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        role = f"role/{file.parent.parent.name}"
        for entry in yaml.safe_load(file.read_text())["argument_specs"].values():
            yield from _of(role, entry)


def _of(where: str, document: dict[str, Any]) -> Iterator[Option]:
    yield where, "", str(document.get("version_added", ""))
    yield from _members(where, "", document.get("options") or {})


def _members(where: str, prefix: str, given: dict[str, Any]) -> Iterator[Option]:
    for name, option in given.items():
        yield where, f"{prefix}{name}", str(option.get("version_added", ""))
        inner = option.get("suboptions") or option.get("options") or {}
        yield from _members(where, f"{prefix}{name}.", inner)


if __name__ == "__main__":
    print(*sorted({f"{where} {path}".strip() for where, path, _version in options()}), sep="\n")
