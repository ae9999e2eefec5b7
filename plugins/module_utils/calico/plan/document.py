# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan as JSON: the schema ``hostfence.plan/1`` (docs/plan.md), written and read back.

Within one version fields are only added; a reader passes over what it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..bad_input import BadInput
from .model import Object, Plan, State, Step, Write
from .seen import digest, moved

SCHEMA = "hostfence.plan/1"

_NOT_SHOWN = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink")


@dataclass(frozen=True)
class Saved:
    """What a saved plan is compared by.

    :ivar wishes: the options that it was made with
    :ivar writes: of each step, in order
    """

    wishes: Mapping[str, Any]
    seen: Mapping[str, str]
    writes: Sequence[Any]


def to_document(plan: Plan, wishes: Mapping[str, Any]) -> Object:
    """The plan as JSON.

    :param wishes: the options that it was made with; a saved plan is only carried out with the same
    """
    return {
        "schema": SCHEMA,
        "wishes": dict(wishes),
        "findings": [finding.as_dict() for finding in plan.findings],
        "refusals": plan.all_refusals,
        "changes_enforcement": plan.changes_enforcement,
        "governed": list(plan.governed),
        "unreached": list(plan.unreached),
        "steps": [_step(step) for step in plan.steps],
        "digest": digest(plan.seen),
        "seen": dict(plan.seen),
    }


def read_document(document: object, place: str) -> Saved:
    """What a saved plan is compared by.

    :param place: named in error messages
    :raises BadInput: no plan, or one of another version
    """
    if not isinstance(document, Mapping) or "schema" not in document:
        raise BadInput("schema", None, f"not a plan: save one with hostfence_plan_file ({SCHEMA})", place)
    if document["schema"] != SCHEMA:
        raise BadInput(
            "schema", document["schema"], f"this release reads {SCHEMA}: make the plan again", place
        )
    if digest(document.get("seen") or {}) != document.get("digest"):
        raise BadInput(
            "digest", document.get("digest"), "the file was changed after it was saved: make it again", place
        )
    steps = document.get("steps") or []
    return Saved(
        document.get("wishes") or {}, document.get("seen") or {}, [step.get("writes") for step in steps]
    )


def difference(saved: Saved, plan: Plan, wishes: Mapping[str, Any]) -> list[str]:
    """Why a saved plan may not be carried out any more, in words; empty where it may."""
    found = [f"the cluster has moved: {text}" for text in moved(saved.seen, plan.seen)]
    found += [f"asked for otherwise than in the plan: {name}" for name in _differing(saved.wishes, wishes)]
    if not found and list(saved.writes) != [_step(step)["writes"] for step in plan.steps]:
        found.append("the same cluster and wishes now lead to other writes: was it made by another release?")
    return found


def _differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names: list[str] = []
    for key in sorted({*then, *now}):
        old, new = then.get(key), now.get(key)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            names += [f"{key}.{name}" for name in _differing(old, new)]
        else:
            names.append(key)
    return names


def _step(step: Step) -> Object:
    return {
        "name": step.name,
        "subject": step.subject,
        "changes_enforcement": step.changes_enforcement,
        "writes": [_write(write) for write in step.writes],
        "at_risk": [obstacle.as_dict() for obstacle in step.at_risk],
        "losses": [loss.as_dict() for loss in step.losses],
        "findings": [finding.as_dict() for finding in step.findings],
        "refusals": list(step.refusals),
        "after": _state(step.after),
    }


def _state(state: State) -> Object:
    return {"nodes": list(state.nodes), "enforced": list(state.enforced), "staged": list(state.staged)}


def _write(write: Write) -> Object:
    return {
        "action": write.action,
        "kind": write.kind,
        "name": write.name,
        "namespace": write.namespace,
        "interim": write.interim,
        "before": shown(write.before),
        "after": shown(write.after),
    }


def shown(obj: Optional[Object]) -> Optional[Object]:
    """An object without what the API server notes in it."""
    if obj is None:
        return None
    metadata = {k: v for k, v in (obj.get("metadata") or {}).items() if k not in _NOT_SHOWN}
    return {**{k: v for k, v in obj.items() if k != "status"}, "metadata": metadata}
