# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calico's CustomResourceDefinitions on the testbed: ours, somebody else's directory, or none."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jinja2
import yaml

from testbed.api import Api, ApiError, Json, in_parallel
from testbed.errors import TestbedError

TEMPLATES = Path(__file__).resolve().parent.parent / "roles" / "crds" / "templates"
GROUPS = {"v1": "crd.projectcalico.org", "v3": "projectcalico.org"}

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_ESTABLISHED_SECONDS = 30


@dataclass(frozen=True)
class Kind:
    """A kind that a definition serves.

    :param path: of its collection over all namespaces
    :param schema: OpenAPI schema of its objects
    :param has_status: status is a subresource of its own
    """

    name: str
    group_version: str
    path: str
    namespaced: bool
    schema: Json
    has_status: bool


def load(source: str, version: str = "v1") -> list[Json]:
    """The definitions to install.

    :param source: ``ours``, ``none`` or a directory of YAML files
    :param version: ``v1`` or ``v3``: the group of ours
    :raises TestbedError: nothing there
    """
    if source == "none":
        return []
    texts = _rendered(version) if source == "ours" else _texts(Path(source))
    definitions = [document for text in texts for document in yaml.safe_load_all(text) if document]
    return [document for document in definitions if document.get("kind") == "CustomResourceDefinition"]


def kinds(definitions: Sequence[Json]) -> dict[str, Kind]:
    """What the definitions serve, by kind."""
    found = {}
    for definition in definitions:
        spec = definition["spec"]
        version = next(version for version in spec["versions"] if version["storage"])
        group_version = f"{spec['group']}/{version['name']}"
        name = spec["names"]["kind"]
        found[name] = Kind(
            name,
            group_version,
            f"/apis/{group_version}/{spec['names']['plural']}",
            spec["scope"] == "Namespaced",
            version["schema"]["openAPIV3Schema"],
            "status" in (version.get("subresources") or {}),
        )
    return found


def install(api: Api, definitions: Sequence[Json]) -> None:
    """Creates definitions and waits until the server serves them.

    :raises TestbedError: one does not become Established
    """
    in_parallel([partial(_create, api, definition) for definition in definitions])
    deadline = time.monotonic() + _ESTABLISHED_SECONDS
    for definition in definitions:
        [kind] = kinds([definition]).values()
        while not (_served(api, kind) and _established(api, definition["metadata"]["name"])):
            if time.monotonic() > deadline:
                raise TestbedError(f"{kind.name} of {kind.group_version} is not Established and served")
            time.sleep(0.05)


def _create(api: Api, definition: Json) -> None:
    try:
        api.post(_DEFINITIONS, definition)
    except ApiError as error:
        raise TestbedError(f"{definition['metadata']['name']}: {error}")


def _served(api: Api, kind: Kind) -> bool:
    try:
        api.get(kind.path, limit="1")
    except ApiError:
        return False
    return True


def _established(api: Api, name: str) -> bool:
    """Whether the server is done with a definition: it serves a kind a moment before it says so."""
    conditions = api.get(f"{_DEFINITIONS}/{name}").get("status", {}).get("conditions", [])
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def _rendered(version: str) -> list[str]:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, autoescape=False
    )
    names = sorted(path.name for path in TEMPLATES.glob("*.yaml.j2"))
    if not names:
        raise TestbedError(f"no definitions in {TEMPLATES}: give --crds DIR")
    values = {"crds_group": GROUPS[version], "crds_version": version}
    return [environment.get_template(name).render(values) for name in names]


def _texts(directory: Path) -> list[str]:
    files = sorted([*directory.glob("*.yaml"), *directory.glob("*.yml")])
    if not files:
        raise TestbedError(f"{directory}: no YAML files of CustomResourceDefinitions")
    return [file.read_text() for file in files]
