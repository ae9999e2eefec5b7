# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where in a file an object, or a field of one, stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

import yaml

# The one in C is ten times as fast; not every PyYAML has it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class Locations:
    """Lines of the objects of some files.

    :param path: a file, or a directory as :func:`..policy_files.read_path` reads it
    """

    def __init__(self, path: str, suffixes: Iterable[str]) -> None:
        top = Path(path).expanduser()
        files = sorted(f for f in top.iterdir() if f.suffix in suffixes) if top.is_dir() else [top]
        self._objects: dict[tuple[str, str], tuple[str, yaml.Node]] = {}
        for file in files:
            for document in yaml.compose_all(file.read_text(encoding="utf-8"), Loader=_LOADER):
                self._add(str(file), document)

    def _add(self, file: str, document: Optional[yaml.Node]) -> None:
        kind, name = _text(_at(document, "kind")), _text(_at(_at(document, "metadata"), "name"))
        items = _at(document, "items")
        if kind == "List" and isinstance(items, yaml.SequenceNode):
            for item in items.value:
                self._add(file, item)
        elif document is not None and name:
            self._objects.setdefault((kind, name), (file, document))

    def placed(self, finding: Mapping[str, Any]) -> dict[str, Any]:
        """A lint finding with its ``file`` and ``line``, where they are known."""
        kind, _space, name = str(finding["object"]).partition(" ")
        # A policy of the tier default may be named with or without it, in the file and by Calico.
        names = (name, f"default.{name}", name.removeprefix("default."))
        found = next((self._objects[kind, one] for one in names if (kind, one) in self._objects), None)
        if found is None:
            return dict(finding)
        file, node = found
        return {**finding, "file": file, "line": _line(node, str(finding["field"]))}


def _line(node: yaml.Node, field: str) -> int:
    """The line of a field, or of the last part of its path that is there."""
    line = node.start_mark.line
    at: Optional[yaml.Node] = node
    for key, index in _STEP.findall(field):
        if isinstance(at, yaml.MappingNode) and key:
            pair = next((pair for pair in at.value if pair[0].value == key), None)
            if pair is None:
                break
            line, at = pair[0].start_mark.line, pair[1]
        elif isinstance(at, yaml.SequenceNode) and index and int(index) < len(at.value):
            at = at.value[int(index)]
            line = at.start_mark.line
        else:
            break
    return int(line) + 1


def _at(node: Optional[yaml.Node], key: str) -> Optional[yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _text(node: Optional[yaml.Node]) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""
