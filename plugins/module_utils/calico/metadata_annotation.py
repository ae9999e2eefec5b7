# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calico's own metadata, which its clients keep in an annotation of what crd.projectcalico.org/v1 stores.

Source: ConvertK8sResourceToCalicoResource (libcalico-go/lib/backend/k8s/resources/resources.go, v3.32.1). It
decodes all of it or nothing, with the types of Kubernetes' ObjectMeta.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

METADATA_ANNOTATION = "projectcalico.org/metadata"


@dataclass(frozen=True)
class KeptMetadata:
    """What the annotation says.

    :ivar name: the name that Calico's clients show; empty where it is the object's own
    :ivar labels: they win over the object's own of the same keys
    :ivar annotations: those that others wrote, and that Calico's clients moved here
    :ivar whole: all of it, also what has no part here
    """

    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    whole: Mapping[str, Any] = field(default_factory=dict)

    def rewritten(self, **fields: Mapping[str, str]) -> str:
        """The annotation's text with other labels or annotations."""
        return json.dumps({**self.whole, **fields}, separators=(",", ":"))


_NOTHING = KeptMetadata()


def kept_metadata(metadata: Mapping[str, Any]) -> KeptMetadata:
    """What the annotation in an object's metadata says; nothing without one that Calico can decode."""
    text = (metadata.get("annotations") or {}).get(METADATA_ANNOTATION)
    return (decoded(text) if text else None) or _NOTHING


def decoded(text: object) -> Optional[KeptMetadata]:
    """What the annotation's text says, or None where Calico cannot decode it."""
    try:
        whole = json.loads(text) if isinstance(text, str) else []
    except (ValueError, RecursionError):
        return None
    # Go decodes null into anything, and leaves it empty.
    whole = {} if whole is None else whole
    if not isinstance(whole, dict):
        return None
    name = whole.get("name")
    labels, annotations = _texts(whole.get("labels")), _texts(whole.get("annotations"))
    if not isinstance(name, (str, type(None))) or labels is None or annotations is None:
        return None
    return KeptMetadata(name or "", labels, annotations, whole)


def _texts(value: object) -> Optional[dict[str, str]]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, (str, type(None))) for text in value.values()):
        return None
    return {key: text or "" for key, text in value.items()}
