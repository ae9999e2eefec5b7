# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules enforce, confirm and rollback do: from options to a transaction, and from it to a result.

Whoever writes holds the Lease of all that changes what is enforced, so that these and the module policies
exclude each other by name. One thing needs no Lease, as a watchdog needs none: switching waves back.
"""

from __future__ import annotations

import calendar
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Callable, Optional

from ..calico.bad_input import BadInput
from ..calico.host_endpoint import effective_labels
from ..calico.policy.audited import is_copy, is_tier_of_copies
from ..calico.policy.names import NETWORK_SET, POLICY, TIER
from ..calico.stored.difference import differences
from ..calico.transaction import state as states
from ..calico.transaction import waves as waving
from ..calico.transaction import writers
from ..calico.transaction.change import (
    NoSwitch,
    change_of,
    compare,
    is_guard,
    refuse_matching,
    refuse_others,
    refuse_shared_sets,
)
from ..calico.transaction.state import Contents, Object, TransactionState, Wave
from ..calico.transaction.steps import WantedObject
from ..controller.node_programs import OPTIONS as NODES
from ..controller.node_programs import logins
from . import flavour, lease
from .client import Cluster, ClusterError
from .flavour import Flavour, list_stored
from .module import Unfinished
from .transaction import Transaction, TransactionOptions, begin
from .transaction_store import Stored

CONFIRM, ROLL_BACK = "confirm", "rollback"
# Of how a transaction goes about it.
OPTIONS: dict[str, Any] = {
    "waves": {"type": "list", "elements": "str", "default": ["canary"]},
    "window": {"type": "int", "default": 120},
    "bake": {"type": "int", "default": 0},
    "confirm": {"type": "str", "choices": ["auto", "manual"], "default": "auto"},
    "keep": {"type": "float", "default": 24},
    "watchdogs": {"type": "int", "default": 2},
    "watchdog_mode": {"type": "str", "choices": ["node", "pod"], "default": "node"},
    "watchdog_image": {"type": "str", "default": ""},
    "last_resort": {"type": "bool", "default": True},
    "admin_sources": {"type": "list", "elements": "str", "default": []},
    "flush_conntrack": {"type": "bool", "default": False},
    "proofs": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "from": {"type": "str"},
        },
    },
    "settle": {"type": "float", "default": 1},
}
# Of the two modules that end what is under way.
END_OPTIONS: dict[str, Any] = {"settle": {"type": "float", "default": 1}, **NODES}
_RFC3339 = "%Y-%m-%dT%H:%M:%SZ"
_DECISIVE = (TIER, NETWORK_SET, POLICY)
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_ROLE = "node-role.kubernetes.io/"


def options_of(params: Mapping[str, Any]) -> TransactionOptions:
    """How a transaction goes about it.

    :param params: options of the module enforce, all or some
    :raises BadInput: one cannot be fulfilled, or a wave's selector cannot be read
    """
    waving.check(params["waves"])
    names = {field.name for field in fields(TransactionOptions)}
    return TransactionOptions(**{name: value for name, value in params.items() if name in names})


def enforce(cluster: Cluster, params: Mapping[str, Any], *, check: bool) -> dict[str, Any]:
    """:raises Unfinished: a wave went back; carries the result"""
    served = flavour.require(cluster)
    options = options_of(params)
    heps = list_stored(cluster, served, "HostEndpoint")
    transaction = Transaction(cluster, served, logins(params["nodes"]), heps, options)
    if check:
        return _planned(cluster, transaction, heps, params)
    if not params["writes"] and not _is_pending(transaction.stored.record()):
        return {**_result(transaction, None), "changed": False}
    return _guarded(transaction, lambda: _enforced(cluster, transaction, heps, params))


def end(cluster: Cluster, params: Mapping[str, Any], wish: str, *, check: bool) -> dict[str, Any]:
    """End what is under way, or what was the last.

    :param wish: ``confirm`` or ``rollback``
    :raises BadInput: there is nothing to confirm, or the policy from before is kept no more
    :raises Unfinished: it did not come to an end; carries the result
    """
    served = flavour.require(cluster)
    heps = list_stored(cluster, served, "HostEndpoint")
    # Back must work from anywhere: a watchdog is for what goes forward.
    options = TransactionOptions(settle=params["settle"], watchdogs=0, keep=0)
    transaction = Transaction(cluster, served, logins(params["nodes"]), heps, options)
    found = transaction.stored.record()
    if wish == CONFIRM and not _is_pending(found):
        raise BadInput("confirm", "", "no transaction is under way")
    if found is None:
        return {**_result(transaction, None), "changed": False}
    if check:
        return {**_result(transaction, found[0]), "changed": True}
    return _guarded(transaction, lambda: _ended(cluster, transaction, found, wish))


def _planned(
    cluster: Cluster, transaction: Transaction, heps: Sequence[Object], params: Mapping[str, Any]
) -> dict[str, Any]:
    """What would be done, in check mode."""
    served = transaction.stored.served
    live = {kind: list_stored(cluster, served, kind) for kind in _DECISIVE}
    before = _contents(live)
    old, new = compare(before, _with(before, params["writes"], served))
    if not (old.objects or new.objects):
        return {**_result(transaction, None), "changed": bool(params["writes"])}
    try:
        waves = _check(cluster, served, old, new, live, heps, params["waves"])
    except NoSwitch as reason:
        return {**_result(transaction, None), "changed": False, "without_switch": str(reason)}
    _note_lost_nodes(cluster, transaction, heps)
    _note_other_writers(transaction, live, old, new)
    return {**_result(transaction, begin(params["sets"], waves, transaction.options)), "changed": True}


def _enforced(
    cluster: Cluster, transaction: Transaction, heps: Sequence[Object], params: Mapping[str, Any]
) -> dict[str, Any]:
    with lease.held(cluster) as ours:
        transaction.hold(ours)
        pending = transaction.take_up()
        served = transaction.stored.served
        live = {kind: list_stored(cluster, served, kind) for kind in _DECISIVE}
        before = _contents(live)
        after = _with(before, params["writes"], served)
        if pending:
            state, old, new = pending
            transaction.state = state
            if states.packed(compare(old, after)[1]) != states.packed(new):
                raise ClusterError(
                    f"waves of a transaction of {state.who} (sets {', '.join(state.sets)}, begun "
                    f"{state.since}) are confirmed, and what is wanted now is not what it brings: enforce "
                    "the same again, or run hostfence.calico.rollback first"
                )
            return _finished(transaction, transaction.go_on(state, old, new), params["writes"])
        old, new = compare(before, after)
        if not (old.objects or new.objects):
            _rest(transaction, params["writes"])
            return {**_result(transaction, None), "changed": transaction.stored.writes > 0}
        try:
            waves = _check(cluster, served, old, new, live, heps, params["waves"])
        except NoSwitch as reason:
            return {**_result(transaction, None), "changed": False, "without_switch": str(reason)}
        _note_lost_nodes(cluster, transaction, heps)
        _note_other_writers(transaction, live, old, new)
        state = transaction.state = begin(params["sets"], waves, transaction.options)
        return _finished(transaction, transaction.run(state, old, new), params["writes"])


def _ended(
    cluster: Cluster, transaction: Transaction, found: tuple[TransactionState, Contents, Contents], wish: str
) -> dict[str, Any]:
    going_back = wish == ROLL_BACK and found[0].phase not in (states.SETTLED, states.SETTLING)
    if going_back:
        transaction.switch_back("rolled back by the operator")
    try:
        with lease.held(cluster) as ours:
            transaction.hold(ours)
            # Whoever held it before may have brought it to an end.
            last = transaction.stored.record()
            if last is None:
                return {**_result(transaction, None), "changed": transaction.stored.writes > 0}
            transaction.state = last[0]
            return _end_of(cluster, transaction, last, wish)
    except lease.Held as held:
        if not going_back:
            raise
        raise ClusterError(
            f"every host has the policy from before, but what the transaction made is not removed: {held}"
        )


def _end_of(
    cluster: Cluster, transaction: Transaction, found: tuple[TransactionState, Contents, Contents], wish: str
) -> dict[str, Any]:
    state, old, new = found
    if wish == CONFIRM:
        return _finished(transaction, transaction.confirm(state, old, new), ())
    if state.phase == states.SETTLED:
        return _back_after(cluster, transaction, state, old, new)
    if state.phase == states.SETTLING:
        raise ClusterError(
            "the transaction is being settled: enforce again, which ends that, and then roll back"
        )
    transaction.undo(state, old, new)
    return {**_result(transaction, None), "changed": True}


def description(cluster: Cluster, served: Flavour) -> dict[str, Any]:
    """The transaction that is under way, or the last one, for whoever looks; empty if there is none."""
    stored = Stored(cluster, served)
    found = stored.record() if served.serves(NETWORK_SET) else None
    if found is None:
        return {}
    state, old, new = found
    switches = {switch.number: switch for switch in stored.switches()}
    waves = []
    for number, wave in enumerate(state.waves, start=1):
        switch = switches.get(number)
        deadline = time.strftime(_RFC3339, time.gmtime(switch.deadline)) if switch and switch.deadline else ""
        waves.append(
            {
                "name": wave.name,
                "nodes": list(wave.nodes),
                "phase": switch.phase if switch else state.phase,
                "deadline": deadline,
                "by": switch.by if switch else "",
                "at": switch.at if switch else "",
                "reason": switch.reason if switch else "",
            }
        )
    return {
        "phase": state.phase,
        "who": state.who,
        "since": state.since,
        "finished": state.finished,
        "sets": list(state.sets),
        "waves": waves,
        "changes": _changes(old, new, served),
    }


def _changes(old: Contents, new: Contents, served: Flavour) -> list[dict[str, Any]]:
    """What of policy the transaction changes, object by object and rule by rule."""
    before, after = (
        [{**obj, "apiVersion": served.api_version} for obj in side.objects] for side in (old, new)
    )
    native = served.kind is flavour.FlavourKind.V3_NATIVE
    return [change.as_dict() for change in differences(before, after, native=native)]


def _back_after(
    cluster: Cluster,
    transaction: Transaction,
    state: TransactionState,
    old: Contents,
    new: Contents,
) -> dict[str, Any]:
    """A settled transaction the other way round."""
    if time.time() > calendar.timegm(time.strptime(state.finished, _RFC3339)) + state.keep * 3600:
        raise BadInput(
            "keep", state.keep, f"hours are over since {state.finished}: enforce what is wanted instead"
        )
    served = transaction.stored.served
    live = {kind: list_stored(cluster, served, kind) for kind in _DECISIVE}
    before = _contents(live)
    kept = {_key(obj): obj for obj in old.objects}
    writes: list[dict[str, Any]] = [
        {"kind": kind, "name": name, "object": obj} for (kind, name), obj in kept.items()
    ]
    writes += [
        {"kind": kind, "name": name, "object": None}
        for kind, name in map(_key, new.objects)
        if (kind, name) not in kept
    ]
    was, will = compare(before, _with(before, writes, served))
    if not (was.objects or will.objects):
        transaction.stored.forget()
        return {**_result(transaction, None), "changed": True}
    heps = list_stored(cluster, served, "HostEndpoint")
    waves = _check(cluster, served, was, will, live, heps, [waving.ALL])
    transaction.stored.forget()
    back = transaction.state = begin(state.sets, waves, transaction.options)
    return _finished(transaction, transaction.run(back, was, will), writes)


def _check(
    cluster: Cluster,
    served: Flavour,
    old: Contents,
    new: Contents,
    live: Mapping[str, Sequence[Object]],
    heps: Sequence[Object],
    wish: Sequence[str],
) -> tuple[Wave, ...]:
    """The waves, once nothing forbids a switch."""
    if not served.serves(TIER):
        raise NoSwitch(
            "tier", "", "this Calico has no tiers (they came with 3.29): set enforce_without_switch"
        )
    change = change_of(old, new, [t for t in live[TIER] if not is_guard(t)])
    policies = [_typed(obj, POLICY, served) for obj in live[POLICY] if not is_copy(POLICY, obj)]
    policies += _namespaced(cluster, served)
    refuse_others(change, [p for p in policies if not is_guard(p)])
    refuse_shared_sets(change, old, [p for p in policies if not is_guard(p)])
    refuse_matching(policies, 1)
    refuse_matching([_typed(obj, POLICY, served) for tier in change.tiers for obj in tier.new], 1)
    return waves_of(cluster, served, heps, wish)


def _note_lost_nodes(cluster: Cluster, transaction: Transaction, heps: Sequence[Object]) -> None:
    """:raises BadInput: one of them must not be changed"""
    endpoints = {str(hep["spec"].get("node")): str(hep["metadata"]["name"]) for hep in heps}
    nodes = [node["metadata"]["name"] for node in cluster.list("/api/v1/nodes")]
    configurations = list_stored(cluster, transaction.stored.served, "FelixConfiguration")
    told = waving.without_node(endpoints, nodes, configurations)
    if told:
        transaction.timeline.remarks.append(told)


def _note_other_writers(
    transaction: Transaction, live: Mapping[str, Sequence[Object]], old: Contents, new: Contents
) -> None:
    changing = {_key(obj) for obj in (*old.objects, *new.objects)}
    stored = ({**obj, "kind": kind} for kind, objects in live.items() for obj in objects)
    told = writers.remark(obj for obj in stored if _key(obj) in changing)
    if told:
        transaction.timeline.remarks.append(told)


def _hosts(cluster: Cluster, heps: Sequence[Object]) -> list[waving.Host]:
    nodes = {n["metadata"]["name"]: n["metadata"].get("labels") or {} for n in cluster.list("/api/v1/nodes")}
    found: dict[str, waving.Host] = {}
    for hep in heps:
        name = str(hep["spec"].get("node"))
        labels = nodes.get(name)
        if labels is None or name in found:
            continue
        roles = ",".join(sorted(key[len(_ROLE) :] for key in labels if key.startswith(_ROLE)))
        found[name] = waving.Host(
            name, effective_labels(hep), _CONTROL_PLANE in labels, labels.get(waving.ZONE, ""), roles
        )
    return list(found.values())


def both_sides(
    cluster: Cluster, served: Flavour, writes: Iterable[Mapping[str, Any]]
) -> tuple[Contents, Contents]:
    """What changes, as it is and as it shall be."""
    before = _contents({kind: list_stored(cluster, served, kind) for kind in _DECISIVE})
    return compare(before, _with(before, writes, served))


def waves_of(
    cluster: Cluster, served: Flavour, heps: Sequence[Object], wish: Sequence[str]
) -> tuple[Wave, ...]:
    """The waves that a wish means for the hosts that there are."""
    single = wish[0] if len(wish) == 1 and wish[0] in (waving.ALL, waving.CANARY) else list(wish)
    return waving.compute(single, _hosts(cluster, heps))


def _namespaced(cluster: Cluster, served: Flavour) -> list[Object]:
    path = f"/apis/{served.group}/{served.version}/networkpolicies"
    found = cluster.list_if_readable(path) or []
    return [_typed(obj, "NetworkPolicy", served) for obj in found]


def _contents(live: Mapping[str, Sequence[Object]]) -> Contents:
    return Contents(
        tuple(
            states.clean({**obj, "kind": k})
            for k, objs in live.items()
            for obj in objs
            if _is_policy(obj) and not is_copy(k, obj)
        )
    )


def _is_policy(obj: Object) -> bool:
    name = str(obj["metadata"]["name"])
    return not (is_guard(obj) or name == states.RECORD or name.startswith(states.SWITCH_PREFIX))


def _with(before: Contents, writes: Iterable[Mapping[str, Any]], served: Flavour) -> Contents:
    objects = {_key(obj): obj for obj in before.objects}
    for write in writes:
        key = (write["kind"], write["name"])
        if write["kind"] not in _DECISIVE:
            continue
        if write["object"]:
            if is_copy(write["kind"], write["object"]):
                continue
            objects[key] = states.clean({**write["object"], "kind": write["kind"]})
        else:
            objects.pop(key, None)
    return Contents(tuple(objects.values()))


def _rest(transaction: Transaction, writes: Iterable[Mapping[str, Any]]) -> None:
    """What decides nothing: staged policies, counted copies, and labels and annotations of the others."""
    last = {(w["kind"], w["name"]): w["object"] for w in writes}
    steps = sorted({_step(kind, name, obj) for (kind, name), obj in last.items()})
    for step in steps:
        transaction.stored.put(
            [WantedObject(k, n, o) for (k, n), o in last.items() if _step(k, n, o) == step]
        )
        if step in (_TIERS_OF_COPIES, _COPIES) and step != steps[-1]:
            # Felix watches each kind on its own, and denies what passes on in a tier it does not know.
            time.sleep(transaction.options.settle)


_TIERS_OF_COPIES, _COPIES, _TIERS_WANTED, _TIERS_GONE = 0, 1, 2, 6


def _step(kind: str, name: str, obj: Optional[Object]) -> int:
    """In which order: policies, staged ones as well, need their tier as long as they are there. Calico's API
    server refuses one without.
    """
    counted = is_tier_of_copies(name.partition(".")[0])
    if kind == TIER:
        return (_TIERS_OF_COPIES if counted else _TIERS_WANTED) if obj else _TIERS_GONE
    if counted and kind == POLICY:
        return _COPIES
    return {POLICY: 3, NETWORK_SET: 4}.get(kind, 5)


def _finished(
    transaction: Transaction, ended: TransactionState, writes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    if ended.phase == states.SETTLED:
        _rest(transaction, writes)
    return {**_result(transaction, ended), "changed": True}


def _is_pending(found: Optional[tuple[TransactionState, Contents, Contents]]) -> bool:
    return found is not None and found[0].phase != states.SETTLED


def _guarded(transaction: Transaction, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """:raises Unfinished: in place of every error but bad input, with what was done until then"""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return work()
    except KeyboardInterrupt:
        raise Unfinished("interrupted; the next run takes it up", _result(transaction, transaction.state))
    except ClusterError as error:
        result = _result(transaction, transaction.state)
        raise Unfinished(str(error), {**result, "changed": transaction.stored.writes > 0})


def _interrupt(_number: int, _frame: object) -> None:
    """Whoever ends the run wants the wave back now, and not at the end of its window."""
    raise KeyboardInterrupt


def _result(transaction: Transaction, state: Optional[TransactionState]) -> dict[str, Any]:
    return {
        "phase": state.phase if state else "",
        "transaction": state.id if state else "",
        "waves": [asdict(wave) for wave in state.waves] if state else [],
        "timeline": transaction.timeline.events,
        "remarks": transaction.timeline.remarks,
        "without_switch": "",
        "writes": transaction.stored.writes,
    }


def _typed(obj: Object, kind: str, served: Flavour) -> Object:
    return {**obj, "kind": kind, "apiVersion": served.api_version}


def _key(obj: Object) -> tuple[str, str]:
    return obj["kind"], obj["metadata"]["name"]
