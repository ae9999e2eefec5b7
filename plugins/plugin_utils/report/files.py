# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A report's forms as files of one directory."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from ...module_utils.calico.bad_input import BadInput
from ...module_utils.calico.lint.run import RULES
from .document import UNFIT
from .junit import junit
from .pages import html, markdown
from .prometheus import prometheus
from .sarif import sarif

Json = dict[str, Any]


def as_json(document: Json) -> str:
    """The document itself, the same bytes for the same content, a line for each node, finding and flow."""
    return (
        "{\n"
        + ",\n".join(f"{json.dumps(key)}: {_lines(document[key])}" for key in sorted(document))
        + "\n}\n"
    )


# Made once: json.dumps makes one for each of the thousands of lines.
_encode = json.JSONEncoder(sort_keys=True).encode


def _lines(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(_lines(member) for member in value) + "\n]"
    return _encode(value)


@dataclass(frozen=True)
class Form:
    """One form of the report, and the name of its file."""

    file: str
    write: Callable[[Json], str]


FORMS: Mapping[str, Form] = {
    "html": Form("report.html", html),
    "json": Form("report.json", as_json),
    "junit": Form("junit.xml", junit),
    "sarif": Form("lint.sarif", lambda document: sarif(document, dict(RULES))),
    "markdown": Form("report.md", markdown),
    "prometheus": Form("hostfence.prom", prometheus),
}


def write_files(
    document: Json, formats: Sequence[str], directory: str, *, dry_run: bool = False
) -> list[Json]:
    """Write a report; a reader of the directory never sees half a file.

    :param formats: keys of :data:`FORMS`
    :returns: for each file its ``format``, ``path``, and whether it ``changed``
    :raises BadInput: a format that is not known, a directory that cannot be written to, or a document that
        its schema does not describe
    """
    for name in formats:
        if name not in FORMS:
            raise BadInput("formats", name, f"one of {', '.join(FORMS)}")
    top = Path(directory).expanduser()
    try:
        return [_one(document, name, top, dry_run=dry_run) for name in dict.fromkeys(formats)]
    except OSError as error:
        raise BadInput("directory", directory, f"cannot be written to: {error.strerror}")


def _one(document: Json, name: str, top: Path, *, dry_run: bool) -> Json:
    form = FORMS[name]
    path = top / form.file
    # A name in the API may hold half of a surrogate pair, which no encoding writes; shown.py has replaced it.
    content = _text(form, document).encode("utf-8", "backslashreplace")
    changed = not path.is_file() or path.read_bytes() != content
    if changed and not dry_run:
        _replace(path, content)
    return {"format": name, "path": str(path), "changed": changed}


def _text(form: Form, document: Json) -> str:
    try:
        return form.write(document)
    except (*UNFIT, jinja2.UndefinedError) as unfit:
        remedy = "the document is no whole report: see docs/report.schema.json"
        raise BadInput("report", f"{type(unfit).__name__}: {unfit}", remedy)


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # node_exporter runs as another user; mkstemp's mode is for secrets, of which a report has none.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
