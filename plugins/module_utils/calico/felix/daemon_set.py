# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which settings Felix has by the environment of its DaemonSet; they win over FelixConfiguration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..mapping import mapping_of

KIND, API_VERSION = "DaemonSet", "apps/v1"
LABEL, NAMES = "k8s-app", ("calico-node", "canal")
CONTAINER = "calico-node"
_PREFIX = "FELIX_"

Object = Mapping[str, Any]


def configured_environment(objects: Iterable[Object]) -> dict[str, str]:
    """Felix's variables with their values, names as they are written; empty where no DaemonSet has any.

    A value that is taken from elsewhere (``valueFrom``) is another one on each node, and left out.

    :param objects: of any kinds
    """
    return {
        str(entry["name"]): str(entry["value"])
        for item in objects
        if item.get("kind") == KIND and _runs_felix(item)
        for entry in _entries(item)
        if entry.get("value") is not None
    }


def only_settings(item: Object) -> dict[str, Any]:
    """A DaemonSet without anything but Felix's variables: the others are nobody's business here."""
    container = {"name": CONTAINER, "env": [dict(entry) for entry in _entries(item)]}
    metadata = {key: value for key, value in mapping_of(item.get("metadata")).items() if key in _KEPT}
    return {"metadata": metadata, "spec": {"template": {"spec": {"containers": [container]}}}}


_KEPT = ("name", "namespace", "labels")


def _runs_felix(item: Object) -> bool:
    metadata = mapping_of(item.get("metadata"))
    return metadata.get("name") in NAMES or mapping_of(metadata.get("labels")).get(LABEL) in NAMES


def _entries(item: Object) -> Iterator[Object]:
    template = mapping_of(mapping_of(item.get("spec")).get("template"))
    for container in mapping_of(template.get("spec")).get("containers") or ():
        if not isinstance(container, Mapping) or container.get("name") != CONTAINER:
            continue
        for entry in container.get("env") or ():
            if isinstance(entry, Mapping) and str(entry.get("name")).upper().startswith(_PREFIX):
                yield entry
