# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A short hash of everything that a plan rests on, so that one can say later what moved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .model import Object
from .view import View

# Set by the API server or a controller, and without any bearing on the plan.
_IGNORED = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink")
_SHOWN = 5


def seen_of(view: View) -> dict[str, str]:
    """The hash of each object, by ``Kind name``, and of what is no object."""
    found = {
        f"{kind} {_name(obj)}": _hash(_meaning(kind, obj))
        for kind, objects in view.objects.items()
        for obj in objects
    }
    found["Calico's API"] = _hash([view.api_version, view.flavour, sorted(view.kinds), view.calico_version])
    return dict(sorted(found.items()))


def digest(seen: Mapping[str, str]) -> str:
    """One hash of it all."""
    return f"sha256:{hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()}"


def moved(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What is no longer as it was seen, in words; the first few of each sort, and how many more."""
    sorts = {
        "changed": sorted(name for name in then.keys() & now.keys() if then[name] != now[name]),
        "new": sorted(now.keys() - then.keys()),
        "gone": sorted(then.keys() - now.keys()),
    }
    return [f"{sort}: {_some(names)}" for sort, names in sorts.items() if names]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _name(obj: Object) -> str:
    metadata = obj["metadata"]
    return (
        f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])
    )


def _meaning(kind: str, obj: Object) -> Any:
    metadata = {k: v for k, v in obj["metadata"].items() if k not in _IGNORED}
    if kind == "Node":
        addresses = (obj.get("status") or {}).get("addresses") or []
        annotations = {
            k: v for k, v in (metadata.get("annotations") or {}).items() if "projectcalico.org" in k
        }
        return {"labels": metadata.get("labels"), "addresses": addresses, "annotations": annotations}
    rest = {k: v for k, v in obj.items() if k not in ("metadata", "status", "apiVersion", "kind")}
    return {"metadata": metadata, **rest}


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
