# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A document of flows as text a tenth as long: Ansible keeps several copies of every value of a result."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

MOST_BYTES = 512 * 1024 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_QUICK = 1
_AT_ONCE = 256


def pack(document: Mapping[str, Any]) -> str:
    """A document as JSON, compressed by gzip and in base64.

    Its ``flows`` may be an iterator: they are written as they come, and never all in memory.
    """
    packed = io.BytesIO()
    head = _json({**{name: value for name, value in document.items() if name != "flows"}, "flows": []})
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=_QUICK, mtime=0) as file:
        file.write(head[:-2].encode())
        for number, some in enumerate(_in_parts(document["flows"])):
            file.write(((", " if number else "") + _json(some)[1:-1]).encode())
        file.write(head[-2:].encode())
    return base64.b64encode(packed.getvalue()).decode("ascii")


def unpack(text: str, most_bytes: int = MOST_BYTES) -> str:
    """The JSON that :func:`pack` packed.

    :param most_bytes: of the JSON: nobody knows who packed it
    :raises ValueError: it is nothing of the kind, or longer
    """
    try:
        unpacking = zlib.decompressobj(_GZIP)
        found = unpacking.decompress(base64.b64decode(text.encode(), validate=True), most_bytes)
        if unpacking.unconsumed_tail:
            raise ValueError(f"more than {most_bytes} bytes")
        if not unpacking.eof:
            raise ValueError("the end is missing")
        return found.decode()
    except (binascii.Error, zlib.error, UnicodeDecodeError):
        raise ValueError("nothing that gzip packed") from None


def _in_parts(flows: Iterable[Any]) -> Iterable[list[Any]]:
    rest = iter(flows)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
