# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policy definitions as files or text, read as Calico's own clients read them, only stricter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

try:
    import yaml
except ImportError:
    # The kubernetes package cannot be without it, and its absence is reported where the cluster is named.
    yaml = None  # type: ignore[assignment]

from ..calico.bad_input import BadInput
from ..calico.policy.reader import Document

SUFFIXES = (".yml", ".yaml", ".json")


@cache
def _loader() -> Any:
    """A YAML loader without what would change a policy's meaning in silence."""

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen: set[object] = set()
            for key_node, _value in node.value:
                key = self.construct_object(key_node, deep=True)
                if isinstance(key, (str, int)) and key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} stands twice", key_node.start_mark
                    )
                seen.add(key if isinstance(key, (str, int)) else id(key_node))
            found: dict[Any, Any] = super().construct_mapping(node, deep)
            return found

    # PyYAML reads the port range 20:22 as the number 1222, 010 as eight and 2026-01-01 as a date;
    # kubectl and calicoctl do none of that.
    Loader.yaml_implicit_resolvers = {
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag.rpartition(":")[2] not in ("int", "float", "timestamp")
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    whole = re.compile(r"[-+]?(?:0|[1-9][0-9]*|0x[0-9a-fA-F]+)$")
    real = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$|[-+]?\.(?:inf|nan)$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:int", whole, list("-+0123456789"))
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", real, list("-+.0123456789"))
    return Loader


def read_path(path: str) -> list[Document]:
    """All documents of a file, or of the files of a directory and its folders in the order of their paths.

    :raises BadInput: nothing there, not readable, or not YAML
    """
    top = Path(path).expanduser()
    if top.is_dir():
        files = _files_below(top)
        if not files:
            raise BadInput(
                "src",
                path,
                f"neither the directory nor its folders hold a file that ends in {', '.join(SUFFIXES)}",
            )
    elif top.exists():
        files = [top]
    else:
        raise BadInput("src", path, "no such file or directory on the machine that runs the module")
    return [
        document
        for file in files
        for document in read_text(_text_of(file), str(file.relative_to(top)) if top.is_dir() else file.name)
    ]


def _files_below(top: Path) -> list[Path]:
    """The files of a directory and its folders, without what is hidden."""
    return sorted(
        file
        for file in top.rglob("*")
        if file.suffix in SUFFIXES
        and file.stem.lower() != "kustomization"  # names files, and is no object
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(top).parts)
    )


def read_definitions(definitions: Iterable[object]) -> list[Document]:
    """The option ``definitions``: mappings, or YAML text of one or more documents."""
    found: list[Document] = []
    for index, item in enumerate(definitions):
        place = f"definitions[{index}]"
        found += read_text(item, place) if isinstance(item, str) else [Document(item, place)]
    return found


def read_text(text: str, place: str) -> list[Document]:
    """The documents of a YAML text; empty ones are left out.

    :param place: what messages call the text
    :raises BadInput: not YAML, with the line
    """
    try:
        values = [value for value in _documents(text) if value is not None]
    except yaml.YAMLError as error:
        raise _not_yaml(error, place)
    several = len(values) > 1
    return [
        Document(value, f"{place}, document {number}" if several else place)
        for number, value in enumerate(values, 1)
    ]


def _documents(text: str) -> Iterator[object]:
    # A loader that is given text, never bytes, cannot meet another encoding.
    loader = _loader()(text)
    try:
        while loader.check_data():
            yield loader.get_data()
    finally:
        loader.dispose()


def _not_yaml(error: yaml.YAMLError, place: str) -> BadInput:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    return BadInput(f"line {line}", problem, "not YAML that can be read without doubt", place)


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput("src", str(file), f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        raise BadInput("src", str(file), f"not UTF-8 text (byte {error.start})")


def as_yaml(objects: Iterable[Any]) -> str:
    """Objects as YAML documents that ``read_path`` and kubectl read back as they are."""
    text: str = yaml.safe_dump_all(list(objects), sort_keys=False, allow_unicode=False, width=100)
    return text
