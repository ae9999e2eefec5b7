# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fields, selectors and rules of a stored policy, as libcalico-go converts and Felix filters them.

Source: libcalico-go/lib/backend/syncersv1/updateprocessors (rules, selectors), lib/validator/v1,
api/pkg/lib/numorstring, all v3.32.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Optional

from ..address import Net, parse_net
from ..bad_input import BadInput
from ..host_endpoint import is_port_name
from ..selector import Selector, parse
from .fields import Notes, Raw, list_field, mapping_field, text_field
from .model import MISSING, SKIPPED, STALE, EndpointPort, Entity, Ports, Rule

NAMESPACE_LABEL = "projectcalico.org/namespace"
SERVICE_ACCOUNT_LABEL = "projectcalico.org/serviceaccount"

PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "sctp": 132, "udplite": 136}
_WITH_PORTS = {6, 17, 132}
_ACTIONS = {"": "allow", "allow": "allow", "deny": "deny", "pass": "pass", "next-tier": "pass", "log": "log"}

_LABEL_NAME = re.compile(r"[A-Za-z0-9_./-]{1,512}\Z")
_LABEL_VALUE = re.compile(r"[a-zA-Z0-9]?([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?\Z")
_PORT_TEXT = re.compile(r"[a-zA-Z0-9_.-]{1,128}\Z")
_PORT_RANGE = re.compile(r"([0-9]+):([0-9]+)\Z")


@lru_cache(maxsize=65536)
def _is_label(name: str, value: str) -> bool:
    return bool(_LABEL_NAME.match(name) and _LABEL_VALUE.match(value))


def check_labels(labels: Mapping[str, str], notes: Notes) -> None:
    for name, value in labels.items():
        if not _is_label(name, value):
            notes.add(
                f"metadata.labels[{name}]", value, MISSING, "not a label for Felix: the object is ignored"
            )


def endpoint_ports(entries: Sequence[Any], notes: Notes) -> tuple[EndpointPort, ...]:
    """Named ports of an endpoint, as the v1 model's EndpointPort takes them.

    Its protocol goes by name only, and its name may be any text of letters, digits, ``_``, ``.`` and ``-``:
    a rule can name fewer than an endpoint can have (validateBackendEndpointPort, nameRegex).
    """
    ports = []
    for index, raw in enumerate(entries):
        place = f"spec.ports[{index}]"
        entry = {} if raw is None else raw
        if not isinstance(entry, Mapping):
            raise BadInput(place, entry, "a mapping with name, protocol and port")
        protocol, port = entry.get("protocol"), entry.get("port")
        number = PROTOCOLS.get(str(protocol).lower(), 0)
        if number not in _WITH_PORTS:
            meaning = "the name TCP, UDP or SCTP, not a number: the endpoint is ignored"
            notes.add(f"{place}.protocol", protocol, MISSING, meaning)
        if port is None:
            port = 0
        if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
            notes.add(f"{place}.port", port, STALE, "not a port: Felix cannot decode the object")
            continue
        if port == 0:
            notes.add(f"{place}.port", port, MISSING, "port 0: the endpoint is ignored")
        name = str(entry.get("name") or "")
        if not _PORT_TEXT.match(name):
            notes.add(f"{place}.name", name, MISSING, "not a port name: the endpoint is ignored")
        ports.append(EndpointPort(name, number, port))
    return tuple(ports)


def policy_selector(spec: Raw, namespace: str, notes: Notes) -> Selector:
    """Join the selectors of a policy as the update processors do, text replacement included."""
    text = text_field(spec, "selector", "spec")
    if namespace:
        own = f"{NAMESPACE_LABEL} == '{namespace}'"
        text = f"({text}) && {own}" if text else own
    else:
        text = _narrowed(text, spec, "namespaceSelector", "pcns.", NAMESPACE_LABEL, notes)
    text = _narrowed(
        text, spec, "serviceAccountSelector", "pcsa.", SERVICE_ACCOUNT_LABEL, notes, not namespace
    )
    try:
        return parse(text)
    except BadInput as bad:
        given = text_field(spec, "selector", "spec")
        notes.add("spec.selector", given, MISSING, f"{_why(given, bad)}: the policy is ignored")
        return parse("")


def _why(text: str, bad: BadInput) -> str:
    """What is wrong with the user's own text, rather than with what it was joined to."""
    try:
        parse(text)
    except BadInput as own:
        return own.remedy
    return bad.remedy


def _narrowed(
    text: str, spec: Raw, key: str, prefix: str, label: str, notes: Notes, replace_all: bool = True
) -> str:
    wanted = text_field(spec, key, "spec")
    if not wanted:
        return text
    try:
        added = str(parse(wanted).prefixed(prefix))
        text = f"({text}) && {added}" if text else added
    except BadInput as bad:
        notes.add(f"spec.{key}", wanted, SKIPPED, f"{bad.remedy}: the policy applies as if it were not there")
    return text.replace("all()", f"has({label})") if replace_all else text


# -- rules -----------------------------------------------------------------------------------------


def read_rules(spec: Raw, direction: str, namespace: str, notes: Notes) -> tuple[Rule, ...]:
    rules = []
    for index, raw in enumerate(list_field(spec, direction, "spec")):
        place = f"spec.{direction}[{index}]"
        # A null decodes into a rule without fields, which allows everything.
        entry = {} if raw is None else raw
        if not isinstance(entry, Mapping):
            raise BadInput(place, entry, "a rule is a mapping with an action")
        if not entry.get("action"):
            notes.add(f"{place}.action", entry.get("action"), SKIPPED, "no action: Felix allows what matches")
        rules.append(_rule(entry, index, place, namespace, notes))
    return tuple(rules)


def _rule(raw: Raw, index: int, place: str, namespace: str, notes: Notes) -> Rule:
    action = _ACTIONS.get(text_field(raw, "action", place).lower())
    if action is None:
        notes.add(f"{place}.action", raw.get("action"), STALE, "not an action: Felix cannot program it")
    protocol_text = raw.get("protocol")
    protocol = _protocol(protocol_text, f"{place}.protocol", notes)
    version = raw.get("ipVersion")
    if version is None:
        version = {"icmp": 4, "icmpv6": 6}.get(str(protocol_text).lower())
    elif version not in (4, 6) or isinstance(version, bool):
        notes.add(f"{place}.ipVersion", version, MISSING, "4 or 6: the policy is ignored")
    source = _entity(raw, "source", place, namespace, notes)
    destination = _entity(raw, "destination", place, namespace, notes)
    for side, entity in (("source", source), ("destination", destination)):
        for key, ports in (("ports", entity.ports), ("notPorts", entity.not_ports)):
            refused = bool(ports.ranges) if protocol is None else bool(ports) and protocol not in _WITH_PORTS
            if refused:
                notes.add(
                    f"{place}.{side}.{key}",
                    (raw.get(side) or {}).get(key),
                    MISSING,
                    "ports need protocol TCP, UDP or SCTP: the policy is ignored",
                )
    return Rule(
        index,
        action or "log",
        version,
        protocol,
        _protocol(raw.get("notProtocol"), f"{place}.notProtocol", notes),
        _icmp(raw, "icmp", place, notes),
        _icmp(raw, "notICMP", place, notes),
        source,
        destination,
        bool(raw.get("http")),
    )


def _protocol(value: object, place: str, notes: Notes) -> Optional[int]:
    if value is None:
        return None
    if isinstance(value, str) and re.match(r"[0-9]{1,3}\Z", value) and int(value) <= 255:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= 255:
            notes.add(place, value, STALE, "not a protocol number: Felix cannot decode the policy")
        elif value == 0:
            notes.add(place, value, MISSING, "protocol 0: the policy is ignored")
        return value
    number = PROTOCOLS.get(str(value).lower())
    if number is None:
        notes.add(place, value, MISSING, "not a protocol that Calico knows: the policy is ignored")
        return 0
    return number


def _icmp(raw: Raw, key: str, place: str, notes: Notes) -> Optional[tuple[int, Optional[int]]]:
    value = raw.get(key)
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise BadInput(f"{place}.{key}", value, "a mapping with type and code")
    for part, top in (("type", 254), ("code", 255)):
        number = value.get(part)
        if number is None:
            continue
        if not isinstance(number, int) or isinstance(number, bool):
            raise BadInput(f"{place}.{key}.{part}", number, "a number")
        if not 0 <= number <= top:
            notes.add(f"{place}.{key}.{part}", number, MISSING, f"0 to {top}: the policy is ignored")
    if value.get("type") is None:
        if value.get("code") is not None:
            notes.add(f"{place}.{key}.code", value["code"], SKIPPED, "a code without a type is left out")
        return None
    return value["type"], value.get("code")


def _entity(raw: Raw, side: str, place: str, namespace: str, notes: Notes) -> Entity:
    value = raw.get(side)
    if value is None:
        value = {}
    place = f"{place}.{side}"
    if not isinstance(value, Mapping):
        raise BadInput(place, value, "a mapping")
    selector, not_selector = _entity_selectors(value, place, namespace, notes)
    services = mapping_field(value, "services", place)
    service = f"{services.get('namespace') or ''}/{services['name']}" if services.get("name") else ""
    if services and not service:
        notes.add(
            f"{place}.services.name",
            services.get("name"),
            SKIPPED,
            "no name: Felix leaves the service out, so that the rule matches any",
        )
    return Entity(
        _nets(value, "nets", place, notes),
        _nets(value, "notNets", place, notes),
        _ports(value, "ports", place, notes),
        _ports(value, "notPorts", place, notes),
        selector,
        not_selector,
        service,
        tuple(str(name) for name in list_field(value, "domains", place)),
    )


def _nets(value: Raw, key: str, place: str, notes: Notes) -> tuple[Net, ...]:
    nets = []
    given = list_field(value, key, place)
    for index, text in enumerate(given):
        net = parse_net(text) if isinstance(text, str) else None
        if net:
            nets.append(net)
        else:
            last = len(given) == 1
            meaning = "not a net: left out" + (", so the rule matches every address" if last else "")
            notes.add(f"{place}.{key}[{index}]", text, SKIPPED, meaning)
    return tuple(nets)


def _ports(value: Raw, key: str, place: str, notes: Notes) -> Ports:
    ranges: list[tuple[int, int]] = []
    names: list[str] = []
    for index, entry in enumerate(list_field(value, key, place)):
        where = f"{place}.{key}[{index}]"
        numbers = _port_numbers(entry)
        if numbers is None and isinstance(entry, str) and _PORT_TEXT.match(entry) and not entry.isdigit():
            if not is_port_name(entry):
                notes.add(
                    where,
                    entry,
                    MISSING,
                    "not a port, a range such as 8000:8100 or a port name: policy ignored",
                )
            names.append(entry)
            continue
        if numbers is None or numbers[1] > 65535 or numbers[0] > numbers[1]:
            notes.add(
                where, entry, STALE, "not a port: Felix cannot decode this and sees no further policy change"
            )
            continue
        if numbers[0] < 1:
            notes.add(where, entry, MISSING, "port 0: the policy is ignored")
        ranges.append(numbers)
    return Ports(tuple(ranges), tuple(names))


def _port_numbers(entry: object) -> Optional[tuple[int, int]]:
    if isinstance(entry, bool):
        return None
    if entry is None:
        return 0, 0  # what Go decodes a null into
    if isinstance(entry, int):
        return (entry, entry) if entry >= 0 else None
    if not isinstance(entry, str) or not entry.isascii():
        return None
    if entry.isdigit() and len(entry) < 12:
        return int(entry), int(entry)
    match = _PORT_RANGE.match(entry)
    if match and len(entry) < 24:
        return int(match.group(1)), int(match.group(2))
    return None


def _entity_selectors(
    value: Raw, place: str, namespace: str, notes: Notes
) -> tuple[Optional[Selector], Optional[Selector]]:
    """Join the selectors of one side of a rule (GetEntityRuleSelector, combineMatchesIfPossible)."""
    own = text_field(value, "selector", place)
    negated = text_field(value, "notSelector", place)
    for_namespaces = text_field(value, "namespaceSelector", place)
    accounts = mapping_field(value, "serviceAccounts", place)
    list_field(accounts, "names", f"{place}.serviceAccounts")
    texts = {
        "selector": own,
        "notSelector": negated,
        "namespaceSelector": for_namespaces,
        "serviceAccounts.selector": text_field(accounts, "selector", f"{place}.serviceAccounts"),
    }
    for key, text in texts.items():
        try:
            parse(text)
        except BadInput as bad:
            notes.add(f"{place}.{key}", text, MISSING, f"{bad.remedy}: the policy is ignored")
            return None, None
    account = _account_selector(accounts, f"{place}.serviceAccounts", notes)
    positive = " && ".join(f"({part})" for part in (account, own) if part)
    spaces = ""
    if for_namespaces:
        spaces = str(parse(for_namespaces).prefixed("pcns."))
        spaces = spaces.replace("all()", f"has({NAMESPACE_LABEL})").replace(
            "global()", f"!has({NAMESPACE_LABEL})"
        )
    elif namespace:
        spaces = f"{NAMESPACE_LABEL} == '{namespace}'"
    if spaces and (positive or negated or for_namespaces):
        positive = f"({spaces}) && ({positive})" if positive else spaces
    if positive and negated:
        positive, negated = f"({positive}) && (!({negated}))", ""
    try:
        return (parse(positive) if positive else None, parse(negated) if negated else None)
    except BadInput as bad:
        # A label that is just short enough is too long once it has the prefix that Calico gives it.
        notes.add(f"{place}.selector", positive, MISSING, f"{bad.remedy}: the policy is ignored")
        return None, None


def _account_selector(accounts: Raw, place: str, notes: Notes) -> str:
    """The selector of service accounts; none at all where their names cannot be put into one."""
    selector = text_field(accounts, "selector", place)
    text = str(parse(selector).prefixed("pcsa.")) if selector else ""
    names = accounts.get("names") or []
    if not names:
        return text
    quoted = "', '".join("" if name is None else str(name) for name in names)
    try:
        by_name = str(parse(f"{SERVICE_ACCOUNT_LABEL} in {{ '{quoted}' }}"))
    except BadInput:
        meaning = "names with a quote: Felix leaves the service accounts out, so that the rule matches any"
        notes.add(f"{place}.names", list(names), SKIPPED, meaning)
        return ""
    return f"({text}) && ({by_name})" if text else by_name
