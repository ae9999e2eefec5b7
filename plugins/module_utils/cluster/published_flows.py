# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the agents of audit_mode daemonset published: one ConfigMap a node, read as written by a stranger."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..calico.host_endpoint import OWNER, OWNER_LABEL
from ..node.flows.packing import unpack
from .agent_objects import AUDIT, MODE_LABEL
from .client import Cluster, Object

PREFIX = "flows-"
KEY = "flows.json.gz"
_MOST_BYTES = 64 * 1024 * 1024


def read(cluster: Cluster, namespace: str, left_out: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(node, document ``hostfence.flows/1``) of each node.

    :param left_out: takes what cannot be used, and why
    """
    selector = f"{OWNER_LABEL}={OWNER},{MODE_LABEL}={AUDIT}"
    for stored in cluster.list(f"/api/v1/namespaces/{namespace}/configmaps", labelSelector=selector):
        name = str(stored["metadata"]["name"])
        if not name.startswith(PREFIX):
            continue
        node = name[len(PREFIX) :]
        try:
            yield node, _document(stored, node)
        except ValueError as error:
            left_out.append(f"ConfigMap {namespace}/{name}: {error}")


def _document(stored: Object, node: str) -> dict[str, Any]:
    try:
        text = unpack((stored.get("binaryData") or {}).get(KEY) or "", _MOST_BYTES)
    except ValueError as error:
        raise ValueError(f"{KEY}: {error}") from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{KEY}: no JSON") from None
    if not isinstance(document, dict) or document.get("node") != node:
        raise ValueError("says that it is of another node")
    return document


def keep(path: Path, text: str, *, dry_run: bool) -> bool:
    """Write a file where it holds something else.

    :returns: whether it is new, or another one than before
    """
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    if not dry_run:
        write(path, text)
    return True


def write(path: Path, text: str) -> None:
    """Replace a file at once; only its owner can read it."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    beside.replace(path)
