# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a transaction remembers, and where: all of it in annotations of GlobalNetworkSets.

One set, the *record*, holds what changes and in which waves; creating it is what makes one operator the only
one. One more for each wave, the wave's *switch*, holds the wave's phase: the phase and the members that
decide between old and new policy change in one write of one object.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

from ..bad_input import BadInput
from ..host_endpoint import OWNER, OWNER_LABEL
from ..policy.names import NETWORK_SET

Object = dict[str, Any]

RECORD = "hostfence-transaction"
SWITCH_PREFIX = "hostfence-switch-"
SWITCH_LABEL = "hostfence.io/switch"
TRANSACTION_LABEL = "hostfence.io/transaction"

# Phases of the whole transaction, in the record.
PREPARING, RUNNING, SETTLING, UNDOING, SETTLED = "preparing", "running", "settling", "undoing", "settled"
# Phases of one wave, in its switch.
PREPARED, ARMED, SWITCHED, CONFIRMED, ROLLED_BACK = (
    "prepared",
    "armed",
    "switched",
    "confirmed",
    "rolled-back",
)

# Felix keeps a /0 as two halves (felix/labelindex/named_port_index.go), so both families are covered.
EVERYTHING = ("0.0.0.0/0", "::/0")

_PREFIX = "hostfence.io/"
STATE, OLD, NEW = f"{_PREFIX}state", f"{_PREFIX}old", f"{_PREFIX}new"
PHASE, ARMING, WINDOW, DEADLINE = (f"{_PREFIX}{key}" for key in ("phase", "arming", "window", "deadline"))
BY, AT, REASON, WAVE = (f"{_PREFIX}{key}" for key in ("by", "at", "reason", "wave"))
# The API keeps at most 256 KiB of annotations an object.
_LIMIT = 240 * 1024


@dataclass(frozen=True)
class Wave:
    """Hosts that change together.

    :ivar selector: of their HostEndpoints; empty for everything
    :ivar nodes: names of the Nodes behind them when the waves were computed
    """

    name: str
    selector: str
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TransactionState:
    """The record, without the policies.

    :ivar since: when it began, RFC 3339
    :ivar who: the operator, as ``user@host``
    :ivar sets: names of the policy sets it brings into their state
    :ivar window: seconds until an unconfirmed wave goes back
    :ivar keep: hours for which the policy from before is kept once it is settled
    :ivar finished: when it was settled
    """

    id: str
    who: str
    since: str
    phase: str = PREPARING
    sets: tuple[str, ...] = ()
    waves: tuple[Wave, ...] = ()
    window: int = 120
    keep: float = 24
    finished: str = ""


@dataclass(frozen=True)
class Switch:
    """A wave's switch as stored.

    :ivar on: whether new policy decides
    :ivar arming: a word of its own for each arming, which watchdogs repeat
    :ivar deadline: seconds since the epoch, 0 if none
    """

    number: int
    on: bool
    phase: str
    arming: str = ""
    window: int = 0
    deadline: float = 0
    by: str = ""
    at: str = ""
    reason: str = ""
    resource_version: str = ""

    @property
    def pending(self) -> bool:
        return self.phase in (ARMED, SWITCHED)


@dataclass(frozen=True)
class Contents:
    """All objects that a change touches, by (kind, name): what Calico holds before or after it."""

    objects: tuple[Object, ...] = field(default_factory=tuple)

    def of(self, kind: str) -> list[Object]:
        return [obj for obj in self.objects if obj["kind"] == kind]


def switch_name(number: int) -> str:
    return f"{SWITCH_PREFIX}{number}"


def switch_labels(number: int) -> dict[str, str]:
    """All labels of a switch: the one that the guards look for, so that no other rule finds it."""
    return {SWITCH_LABEL: str(number)}


def switch_selector(number: int) -> str:
    return f"{SWITCH_LABEL} == '{number}'"


def switch_object(api_version: str, number: int, annotations: Mapping[str, str], *, on: bool) -> Object:
    return {
        "apiVersion": api_version,
        "kind": NETWORK_SET,
        "metadata": {
            "name": switch_name(number),
            "labels": switch_labels(number),
            "annotations": dict(annotations),
        },
        "spec": {"nets": [] if on else list(EVERYTHING)},
    }


def read_switch(obj: Object) -> Switch:
    """A stored switch; what is not readable of it reads as not set."""
    metadata = obj["metadata"]
    noted = metadata.get("annotations") or {}
    return Switch(
        number=int(metadata["name"][len(SWITCH_PREFIX) :]),
        on=not (obj.get("spec") or {}).get("nets"),
        phase=noted.get(PHASE, ""),
        arming=noted.get(ARMING, ""),
        window=int(_number(noted.get(WINDOW))),
        deadline=_number(noted.get(DEADLINE)),
        by=noted.get(BY, ""),
        at=noted.get(AT, ""),
        reason=noted.get(REASON, ""),
        resource_version=str(metadata.get("resourceVersion") or ""),
    )


def record_object(api_version: str, state: TransactionState, old: Contents, new: Contents) -> Object:
    """The record as it is stored.

    :raises BadInput: the policies are more than annotations hold
    """
    annotations = {STATE: json.dumps(asdict(state)), OLD: packed(old), NEW: packed(new)}
    size = sum(len(key) + len(value) for key, value in annotations.items())
    if size > _LIMIT:
        raise BadInput(
            "sets",
            ", ".join(state.sets),
            f"the policies that change take {size} bytes packed, and a transaction remembers {_LIMIT}: "
            "enforce the sets one after the other",
        )
    return {
        "apiVersion": api_version,
        "kind": NETWORK_SET,
        "metadata": {"name": RECORD, "labels": {OWNER_LABEL: OWNER}, "annotations": annotations},
        "spec": {"nets": []},
    }


def read_record(obj: Object) -> Optional[tuple[TransactionState, Contents, Contents]]:
    """The stored record, or None where it cannot be read."""
    noted = obj["metadata"].get("annotations") or {}
    try:
        raw = json.loads(noted[STATE])
        waves = tuple(Wave(w["name"], w["selector"], tuple(w["nodes"])) for w in raw.pop("waves"))
        state = TransactionState(**{**raw, "sets": tuple(raw["sets"]), "waves": waves})
        return state, unpacked(noted[OLD]), unpacked(noted[NEW])
    except (KeyError, TypeError, ValueError, zlib.error):
        return None


def refuse_pending(record: Optional[Object]) -> None:
    """Stop whatever else would write policy while a transaction is under way.

    :param record: the stored record, or None
    :raises BadInput: names who began it, and when
    """
    found = read_record(record) if record else None
    if found and found[0].phase != SETTLED:
        state = found[0]
        raise BadInput(
            "state",
            state.phase,
            f"a transaction of {state.who}, begun {state.since}, is under way (sets "
            f"{', '.join(state.sets)}): end "
            "it with the playbooks enforce, confirm or rollback first",
        )


def packed(contents: Contents) -> str:
    text = json.dumps([clean(obj) for obj in contents.objects], separators=(",", ":"), sort_keys=True)
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpacked(text: str) -> Contents:
    return Contents(tuple(json.loads(zlib.decompress(base64.b64decode(text)))))


def clean(obj: Object) -> Object:
    """An object without what the API server sets."""
    metadata = {
        key: obj["metadata"][key] for key in ("name", "labels", "annotations") if obj["metadata"].get(key)
    }
    return {"kind": obj["kind"], "metadata": metadata, "spec": obj.get("spec") or {}}


def _number(text: Optional[str]) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0
