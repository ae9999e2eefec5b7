# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What goes is first made to decide nothing, by an update, and only then deleted.

A delete can be refused (an admission policy), or leave the object in place (someone's finalizer). An update
to an object that decides nothing has the same effect at once, so that what stands afterwards harms nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import audited
from .names import INGRESS, NETWORK_SET, PASS, POLICY, TIER
from .write import PolicyWrite

Object = dict[str, Any]

NOTHING = "!all()"
"""The selector of a policy that was taken back and not deleted."""

_NEUTRALISED = (POLICY, NETWORK_SET, TIER)


def selects_nothing(spec: Mapping[str, Any]) -> bool:
    """Whether a policy was taken back, and only stands because nobody could delete it."""
    return spec.get("selector") == NOTHING


def neutral_first(writes: Sequence[PolicyWrite], api_version: str) -> tuple[PolicyWrite, ...]:
    """The same writes, where each delete of what decides is an update in its place, and a delete at the end.

    The effect of each write, and so the order of effects, stays as it was.
    """
    contents: dict[tuple[str, str], Object] = {}
    kept: list[PolicyWrite] = []
    gone: list[PolicyWrite] = []
    for write in writes:
        key = (write.kind, write.name)
        before = contents.get(key) or dict(write.live or {})
        if write.action != "delete":
            contents[key] = write.wanted or {}
            kept.append(write)
            continue
        if write.kind in _NEUTRALISED and before and not _is_neutral(write.kind, before):
            # The tier's own policies are gone by then.
            last = kept if write.kind != TIER else gone
            last.append(_update(write, before, api_version))
        gone.append(write)
    return (*kept, *_in_order(gone))


def _in_order(deletes: Iterable[PolicyWrite]) -> list[PolicyWrite]:
    """A tier goes after what is in it."""
    listed = list(deletes)
    return [w for w in listed if w.kind != TIER] + [w for w in listed if w.kind == TIER]


def _update(write: PolicyWrite, before: Object, api_version: str) -> PolicyWrite:
    metadata = before["metadata"]
    told = {key: dict(metadata[key]) for key in ("labels", "annotations") if metadata.get(key)}
    wanted = {
        "apiVersion": api_version,
        "kind": write.kind,
        "metadata": {"name": write.name, **told},
        "spec": _neutral_spec(write.kind, before.get("spec") or {}),
    }
    return replace(write, action="update", wanted=wanted, interim=True)


def _neutral_spec(kind: str, spec: Mapping[str, Any]) -> Object:
    if kind == NETWORK_SET:
        return {"nets": []}
    if kind == TIER:
        return {**spec, "defaultAction": PASS}
    kept = {key: spec[key] for key in ("tier", "order") if spec.get(key) is not None}
    return {**kept, "selector": NOTHING, "types": [INGRESS]}


def _is_neutral(kind: str, obj: Object) -> bool:
    spec = obj.get("spec") or {}
    if audited.is_copy(kind, obj):
        return True
    if kind == NETWORK_SET:
        return not spec.get("nets")
    if kind == TIER:
        return spec.get("defaultAction") == PASS
    return selects_nothing(spec)
