# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of observed flows, read one at a time: those of 5,000 nodes never stand in memory together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ..calico.audit.observed import FlowDocument
from ..calico.bad_input import BadInput

SUFFIX = ".json"
MAX_BYTES = 512 * 1024 * 1024


def files(path: str) -> list[Path]:
    """The file, or a directory's files that end in ``.json``, in the order of their names.

    :raises BadInput: there is none
    """
    root = Path(path)
    if root.is_file():
        return [root]
    found = sorted(root.glob(f"*{SUFFIX}")) if root.is_dir() else []
    if not found:
        raise BadInput("flows", path, "a file that node_flows' result was written to, or a directory of them")
    return found


def documents(paths: list[Path]) -> Iterator[FlowDocument]:
    """Each file's document.

    :raises BadInput: a file that is no such document
    """
    for path in paths:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput("flows", str(path), f"a file of at most {MAX_BYTES} bytes")
        try:
            raw = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise BadInput("flows", str(path), f"JSON: {error}") from error
        yield FlowDocument(raw, str(path))
