# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the command looks at: a snapshot, files, or the live cluster."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...module_utils.calico.bad_input import BadInput
from ...module_utils.calico.stored.items import items_of
from ...module_utils.calico.stored.kube_proxy import configured_mode
from ...module_utils.calico.verdict.dataplanes import Dataplanes
from ...module_utils.calico.verdict.judge import Options

SCHEMA = "hostfence.snapshot/1"

Object = dict[str, Any]


class Unreachable(Exception):
    """The cluster could not be asked; the message is one line."""


@dataclass(frozen=True)
class Snapshot:
    """The objects of a cluster at one time, and what they do not say of themselves.

    :ivar native: as ``native_v3`` of :func:`..stored.reader.read`
    :ivar complete: as of :class:`..verdict.judge.Options`
    """

    objects: list[Object]
    origin: str
    calico_version: str = ""
    native: bool = False
    complete: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def options(self, staged: str = "ignore") -> Options:
        """How these objects are judged."""
        return Options(
            staged=staged,
            calico_version=self.calico_version,
            environment=self.environment,
            native_v3=self.native,
            complete=self.complete,
            kube_proxy_mode=configured_mode(self.objects),
        )

    @property
    def dataplanes(self) -> Dataplanes:
        """Which data plane each node has."""
        return Dataplanes(self.objects, self.environment, kube_proxy_mode=configured_mode(self.objects))

    def of_kind(self, kind: str) -> list[Object]:
        """The objects of one kind."""
        return [item for item in self.objects if item.get("kind") == kind]

    def as_json(self) -> str:
        """What :func:`read` reads again. Nothing in it is secret: Secrets are never read."""
        document = {"schema": SCHEMA, **vars(self)}
        return json.dumps(document, indent=1, sort_keys=True) + "\n"


def read(path: str) -> Snapshot:
    """A snapshot, or a file or directory of Kubernetes objects.

    :raises BadInput: nothing there, or not readable
    """
    file = Path(path).expanduser()
    if not file.exists():
        raise BadInput("PATH", path, "no such file or directory")
    document = _json_of(file) if file.suffix == ".json" and file.is_file() else None
    if isinstance(document, dict) and "schema" in document:
        return _of_document(document, path)
    from ...module_utils.cluster.policy_files import read_path

    objects = [one for found in read_path(path) for one in _opened(found.value, found.place)]
    return Snapshot(objects, path)


def live(connection: Mapping[str, Any], *, with_pods: bool = False) -> Snapshot:
    """The cluster that connection options, or ``K8S_AUTH_*``, name.

    :raises Unreachable: no answer, or not permitted
    """
    # Imported here: its import takes longer than the answer from a snapshot.
    try:
        from ...module_utils.cluster.client import ClusterError
        from ...module_utils.cluster.judged_objects import SOURCE_OPTIONS, gather
    except ImportError as error:
        raise Unreachable(f"{error}: the live cluster needs kubernetes and kubernetes.core")
    nothing: dict[str, Any] = {name: option.get("default") for name, option in SOURCE_OPTIONS.items()}
    try:
        judged = gather({**nothing, **connection}, with_pods=with_pods)
    except ClusterError as error:
        raise Unreachable(str(error))
    options = judged.options
    return Snapshot(
        [_lean(item) for item in judged.objects],
        judged.origin,
        options.calico_version,
        options.native_v3,
        options.complete,
    )


def _lean(item: Object) -> Object:
    """Without who wrote which field, which is most of an object and says nothing here."""
    metadata = {key: value for key, value in (item.get("metadata") or {}).items() if key != "managedFields"}
    return {**item, "metadata": metadata}


def _json_of(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError):
        return None  # read_path says what is wrong with it


def _of_document(document: Object, path: str) -> Snapshot:
    if document["schema"] != SCHEMA:
        raise BadInput("schema", document["schema"], f"must be {SCHEMA}", path)
    objects = document.get("objects")
    if not isinstance(objects, list):
        raise BadInput("objects", type(objects).__name__, "must be a list of objects", path)
    for item in objects:
        _checked(item, path)
    environment = document.get("environment") or {}
    return Snapshot(
        objects,
        str(document.get("origin") or path),
        str(document.get("calico_version") or ""),
        document.get("native") is True,
        document.get("complete") is True,
        {str(key): str(value) for key, value in environment.items()} if isinstance(environment, dict) else {},
    )


def _opened(value: object, place: str) -> Iterable[Object]:
    items = items_of(value)
    return [_checked(item, place) for item in ([value] if items is None else items)]


def _checked(value: object, place: str) -> Object:
    """An object of which at least it can be said what it is."""
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("kind"), str)
        or not isinstance(value.get("metadata"), dict)
        or not isinstance(value["metadata"].get("name"), str)
    ):
        raise BadInput("document", value, "an object with apiVersion, kind and metadata", place)
    return value
