# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Felix's failsafe ports: reading them, refusing what Felix would die on, and which source wins.

Forms, defaults and precedence follow felix/config/{config_params.go,param_types.go} and
felix/daemon/daemon.go of Calico v3.32.1.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..address import parse_address, parse_net, written_net
from ..bad_input import BadInput
from ..version import FAILSAFES_FOR_TYPHA_AND_API, version_of
from .settings import FelixSettings, Setting, variable_of

Object = Mapping[str, Any]

INBOUND_FIELD = "failsafeInboundHostPorts"
OUTBOUND_FIELD = "failsafeOutboundHostPorts"
INBOUND_ENV = variable_of(INBOUND_FIELD)
OUTBOUND_ENV = variable_of(OUTBOUND_FIELD)
BUILT_IN = "built-in default"

_FAILSAFE_PROTOCOLS = ("tcp", "udp")

_ENV_ENTRY = re.compile(
    r"(?:(?P<protocol>[a-z]+):)?(?:(?:\[(?P<net6>[^\]]+)\]|(?P<net>[0-9a-z./]+)):)?(?P<port>\d{1,5})"
)


@dataclass(frozen=True)
class FailsafePort:
    """One failsafe entry.

    :ivar protocol: ``tcp`` or ``udp``
    :ivar port: 0 to 65535; Felix takes 0, we never write it
    :ivar net: CIDR of the other side (source of inbound, destination of outbound), or None for everybody
    """

    protocol: str
    port: int
    net: Optional[str] = None

    @property
    def family(self) -> Optional[int]:
        """4 or 6 where the net names one; None where the entry is in both."""
        return None if self.net is None else ipaddress.ip_network(self.net, strict=False).version

    def as_object(self) -> dict[str, Any]:
        """The entry in the form of the API."""
        entry: dict[str, Any] = {"protocol": self.protocol, "port": self.port}
        if self.net is not None:
            entry["net"] = self.net
        return entry

    def __str__(self) -> str:
        return f"{self.protocol}/{self.port}" + (f" ({self.net})" if self.net else "")


Ports = tuple[FailsafePort, ...]


@dataclass(frozen=True)
class Failsafes:
    """The effective lists of one node, in the order in which Felix renders them.

    :ivar inbound_source: what set the inbound list: an environment variable, ``FelixConfiguration NAME`` or
        the built-in
    :ivar undefined: why a list cannot be known (Felix would not start with what is configured), by field name
    """

    inbound: tuple[FailsafePort, ...]
    outbound: tuple[FailsafePort, ...]
    inbound_source: str = BUILT_IN
    outbound_source: str = BUILT_IN
    undefined: tuple[tuple[str, str], ...] = ()


_OLD_INBOUND = ("tcp/22", "udp/68", "tcp/179", "tcp/2379", "tcp/2380", "tcp/6666", "tcp/6667")
_OLD_OUTBOUND = ("udp/53", "udp/67", "tcp/179", "tcp/2379", "tcp/2380", "tcp/6666", "tcp/6667")
_TYPHA_AND_API = ("tcp/5473", "tcp/6443")


def built_in(calico_version: str = "") -> Failsafes:
    """Felix's own lists where nothing is configured.

    :param calico_version: ``v3.32.1`` or the like; unknown is taken as current. Typha's 5473 and the
        API's 6443 are in them since v3.15.
    """
    extra = () if _before_typha(calico_version) else _TYPHA_AND_API
    return Failsafes(_ports(_OLD_INBOUND, extra), _ports(_OLD_OUTBOUND, extra))


def _before_typha(calico_version: str) -> bool:
    return version_of(calico_version) < FAILSAFES_FOR_TYPHA_AND_API


def _ports(names: Sequence[str], extra: Sequence[str]) -> tuple[FailsafePort, ...]:
    at = len(names) - 2  # 6666 and 6667 come last in every version
    ordered = [*names[:at], *extra, *names[at:]]
    return tuple(
        FailsafePort(protocol, int(port)) for protocol, port in (name.split("/") for name in ordered)
    )


USED_BY = {
    22: "SSH",
    53: "DNS",
    67: "DHCP",
    68: "DHCP",
    179: "BGP",
    2379: "etcd",
    2380: "etcd",
    5473: "Typha",
    6443: "the API server",
}
"""What listens on ports of the built-in lists."""


def dropped_defaults(field: str, ports: Ports, calico_version: str = "") -> Ports:
    """What a list, which replaces the built-in one, leaves out of it; a port kept for some nets is kept."""
    defaults = built_in(calico_version)
    kept = {(entry.protocol, entry.port) for entry in ports}
    listed = defaults.inbound if field == INBOUND_FIELD else defaults.outbound
    return tuple(entry for entry in listed if (entry.protocol, entry.port) not in kept)


def described(ports: Ports) -> str:
    """Entries with who uses them, those that someone uses first."""
    known = [f"{entry} ({USED_BY[entry.port]})" for entry in ports if entry.port in USED_BY]
    return ", ".join([*known, *(str(entry) for entry in ports if entry.port not in USED_BY)])


def no_list_remedy(field: str) -> str:
    """What to write in place of a list that is none; ``none`` is a word of environment variables only."""
    ports = "SSH, the API server and Typha" if field == INBOUND_FIELD else "DNS, the API server and Typha"
    return (
        f"write [] for no failsafe at all, which leaves {ports} to policy alone; leave the field out for the "
        "built-in list"
    )


def check_entries(value: object, field: str) -> list[dict[str, Any]]:
    """Entries as they may be written to the API: what Felix would die on, or read otherwise, is refused.

    Felix restarts for ever on a protocol other than TCP and UDP, and keeps old rules on a bad net
    (projectcalico/calico#2904).

    :param value: list of ``{protocol, port, net?}``
    :param field: name of the list, for the error message
    :returns: the entries with protocol in lower case and net in canonical form, in the same order
    :raises BadInput: the first entry that is wrong, with its index and key
    """
    if not isinstance(value, list):
        raise BadInput(field, value, f"must be a list of {{protocol, port, net}}; {no_list_remedy(field)}")
    entries = [_check_entry(entry, f"{field}[{index}]") for index, entry in enumerate(value)]
    for index, entry in enumerate(entries):
        if entry in entries[:index]:
            raise BadInput(f"{field}[{index}]", dict(entry.as_object()), "stands in the list twice; keep one")
    return [entry.as_object() for entry in entries]


def _check_entry(entry: object, field: str) -> FailsafePort:
    if not isinstance(entry, Mapping):
        raise BadInput(field, entry, "must be {protocol, port, net}")
    for key in entry:
        if key not in ("protocol", "port", "net"):
            raise BadInput(f"{field}.{key}", entry[key], "no such key; an entry has protocol, port and net")
    protocol = entry.get("protocol")
    if not isinstance(protocol, str) or protocol.lower() not in _FAILSAFE_PROTOCOLS:
        raise BadInput(
            f"{field}.protocol", protocol, "must be TCP or UDP; Felix does not start with another one"
        )
    port = entry.get("port")
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise BadInput(f"{field}.port", port, "must be a number from 1 to 65535")
    net = entry.get("net")
    return FailsafePort(protocol.lower(), port, None if net is None else _check_net(net, f"{field}.net"))


def _check_net(net: object, field: str) -> str:
    return written_net(net, field, "must be a network like 192.0.2.0/24 or 2001:db8::/32")


def parse_env(text: str, field: str) -> Optional[tuple[FailsafePort, ...]]:
    """A list in the form of Felix's environment variables: ``none``, or ``[proto:][net:]port`` with commas.

    :returns: None where the text is empty, which Felix ignores
    :raises BadInput: Felix would not start with this value
    """
    text = text.strip()
    if not text:
        return None
    if text.lower() == "none":
        return ()
    return tuple(_parse_env_entry(part.strip().lower(), field) for part in text.split(",") if part.strip())


def _parse_env_entry(part: str, field: str) -> FailsafePort:
    found = _ENV_ENTRY.fullmatch(part)
    protocol = (found["protocol"] or "tcp") if found else ""
    if not found or protocol not in _FAILSAFE_PROTOCOLS or int(found["port"]) > 65535:
        raise BadInput(field, part, "must be PROTOCOL:PORT or PROTOCOL:NET:PORT with protocol tcp or udp")
    net = found["net6"] or found["net"]
    return FailsafePort(protocol, int(found["port"]), None if net is None else _read_net(net, field, part))


def _read_net(net: str, field: str, value: object) -> str:
    """A net as Felix keeps it: bits of the host are cut off, an address alone is a net of one.

    An IPv4 net written as IPv6 loses its brackets on the way (protoPortSliceToString), and cannot be parsed.
    """
    found = parse_net(net)
    mapped = ":" in net and parse_address(net.partition("/")[0])
    if found is None or (mapped and mapped.version == 4):
        raise BadInput(field, value, "its net is none that Felix can read; it does not start with it")
    return str(found)


def read_entries(value: object, field: str) -> tuple[FailsafePort, ...]:
    """Entries as they stand in a stored object, read as Felix reads them: port 0 and host bits pass.

    :raises BadInput: Felix would not start with this entry
    """
    if not isinstance(value, list):
        raise BadInput(field, value, "must be a list")
    return tuple(_read_entry(entry, f"{field}[{index}]") for index, entry in enumerate(value))


def _read_entry(entry: object, field: str) -> FailsafePort:
    if not isinstance(entry, Mapping):
        raise BadInput(field, entry, "must be {protocol, port, net}")
    protocol = str(entry.get("protocol") or "").lower()
    if protocol not in _FAILSAFE_PROTOCOLS:
        raise BadInput(
            f"{field}.protocol",
            entry.get("protocol"),
            "Felix does not start with a protocol other than TCP or UDP",
        )
    port = entry.get("port")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise BadInput(f"{field}.port", port, "must be a number from 0 to 65535")
    net = entry.get("net")
    return FailsafePort(protocol, port, _read_net(str(net), f"{field}.net", net) if net else None)


def effective(
    configurations: Iterable[Object],
    node_name: str,
    node_labels: Mapping[str, str],
    environment: Optional[Mapping[str, str]] = None,
    calico_version: str = "",
    config_file: Optional[Mapping[str, str]] = None,
) -> Failsafes:
    """What one node's Felix runs with.

    Which source wins says :mod:`.settings`. Felix parses the losing sources too, and does not start with a
    bad one.

    :param configurations: FelixConfiguration objects, of any flavour
    :param environment: of the running Felix, where it could be read
    :param config_file: settings of its configuration file, under the names of the variables
    """
    settings = FelixSettings(configurations, node_name, node_labels, environment, config_file)
    defaults = built_in(calico_version)
    undefined: list[tuple[str, str]] = []

    def read(field: str, setting: Setting) -> Optional[Ports]:
        if setting.textual:
            return parse_env(setting.value, variable_of(field))
        return read_entries(setting.value, field)

    def pick(field: str, default: Ports) -> tuple[Ports, str]:
        won: Optional[tuple[Ports, str]] = None
        for setting in settings.said(field):
            try:
                ports = read(field, setting)
            except BadInput as problem:
                undefined.append((field, f"{setting.source}: {problem}"))
                continue
            if ports is not None and won is None:
                won = ports, setting.source
        return won or (default, BUILT_IN)

    inbound, inbound_source = pick(INBOUND_FIELD, defaults.inbound)
    outbound, outbound_source = pick(OUTBOUND_FIELD, defaults.outbound)
    return Failsafes(inbound, outbound, inbound_source, outbound_source, tuple(undefined))


def remarks(wanted: FelixFields, spec: Mapping[str, Any], calico_version: str = "") -> list[tuple[str, str]]:
    """What wanted lists mean, where they leave ports to policy alone: what, and what that costs.

    :param spec: the lists to be, by field
    """
    found = []
    for field, whole in ((INBOUND_FIELD, wanted.inbound), (OUTBOUND_FIELD, wanted.outbound)):
        if spec.get(field) == []:
            found.append((f"{field} is empty", "no port stays open when a policy is wrong"))
        elif whole is not None:
            dropped = dropped_defaults(field, read_entries(spec[field], field), calico_version)
            what = f"{field} replaces Felix's built-in list and leaves out {described(dropped)}"
            found += [(what, "only policy opens these")] if dropped else []
    return found


@dataclass(frozen=True)
class Edit:
    """Single failsafes to put into a list and to take out of it; the rest of the list stays.

    :ivar remove: an entry without a net takes out all entries of its port
    """

    add: Ports = ()
    remove: Ports = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)

    def applied(self, ports: Ports) -> Ports:
        """The list afterwards. What is removed and added is narrowed, and doing so again changes nothing."""
        kept = tuple(entry for entry in ports if entry in self.add or not self._removes(entry))
        return kept + tuple(entry for entry in self.add if entry not in kept)

    def _removes(self, entry: FailsafePort) -> bool:
        return any(
            (gone.protocol, gone.port) == (entry.protocol, entry.port) and gone.net in (None, entry.net)
            for gone in self.remove
        )


def edit_of(add: Sequence[Object], remove: Sequence[Object], field: str) -> Edit:
    """An edit as the user wrote it.

    :raises BadInput: as :func:`check_entries`
    """
    adding, removing = (
        read_entries(check_entries(list(entries), f"{field} ({what})"), field)
        for entries, what in ((add, "add"), (remove, "remove"))
    )
    return Edit(adding, removing)


@dataclass(frozen=True)
class FelixFields:
    """The fields of one FelixConfiguration that are to be set; None leaves a field alone.

    :ivar node: name of the node whose own configuration it is; empty for all nodes (``default``)
    :ivar inbound: the whole list
    :ivar inbound_edit: what of the list that applies now is to change
    """

    node: str = ""
    inbound: Optional[Sequence[Object]] = None
    outbound: Optional[Sequence[Object]] = None
    dns_trusted_servers: Optional[Sequence[str]] = None
    flow_logs_enable_host_endpoint: Optional[bool] = None
    inbound_edit: Edit = Edit()
    outbound_edit: Edit = Edit()

    def __post_init__(self) -> None:
        for field, whole, edit in (
            (INBOUND_FIELD, self.inbound, self.inbound_edit),
            (OUTBOUND_FIELD, self.outbound, self.outbound_edit),
        ):
            if whole is not None and edit:
                raise BadInput(field, list(whole), "is given as a whole: put into it what is to be added")

    @property
    def name(self) -> str:
        return f"node.{self.node}" if self.node else "default"

    @property
    def edits(self) -> dict[str, Edit]:
        """By field, those that change something."""
        edits = {INBOUND_FIELD: self.inbound_edit, OUTBOUND_FIELD: self.outbound_edit}
        return {field: edit for field, edit in edits.items() if edit}


def edited_lists(
    wanted: FelixFields,
    configurations: Iterable[Object],
    node_labels: Mapping[str, str],
    calico_version: str = "",
) -> dict[str, Any]:
    """The lists that edits make of what applies now: to one node, or to nodes that only have ``default``.

    :param configurations: all FelixConfigurations
    :returns: by field; a list that stays as it is, is not among them
    :raises BadInput: what applies now cannot be read
    """
    if not wanted.edits:
        return {}
    seen = [
        item
        for item in configurations
        if wanted.node or (item.get("metadata") or {}).get("name") == wanted.name
    ]
    now = effective(seen, wanted.node, node_labels, None, calico_version)
    for field, why in now.undefined:
        if field in wanted.edits:
            raise BadInput(field, why, "Felix cannot read the list that is there: write it as a whole")
    lists = {INBOUND_FIELD: now.inbound, OUTBOUND_FIELD: now.outbound}
    found = {field: (lists[field], edit.applied(lists[field])) for field, edit in wanted.edits.items()}
    return {
        field: [entry.as_object() for entry in after]
        for field, (before, after) in found.items()
        if before != after
    }


# Calico's open-source API does not have these; where the API drops them they are reported, not believed.
OPTIONAL_FIELDS = ("dnsTrustedServers", "flowLogsEnableHostEndpoint")

_NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_SERVICE = re.compile(r"k8s-service:[a-z0-9-]+(/[a-z0-9-]+)?")
# An IPv6 address is in brackets where a port follows it.
_WITH_PORT = re.compile(r"(?P<server>k8s-service:[^:]+|\[[^\]]+\]|[^:]+):(?P<port>\d{1,5})")


def wanted_spec(wanted: FelixFields) -> dict[str, Any]:
    """The fields of the spec to write.

    :raises BadInput: a value that Felix would not start with
    """
    if wanted.node and not _NODE_NAME.fullmatch(wanted.node):
        raise BadInput("node", wanted.node, "must be a node's name")
    spec: dict[str, Any] = {}
    if wanted.inbound is not None:
        spec[INBOUND_FIELD] = check_entries(list(wanted.inbound), INBOUND_FIELD)
    if wanted.outbound is not None:
        spec[OUTBOUND_FIELD] = check_entries(list(wanted.outbound), OUTBOUND_FIELD)
    if wanted.dns_trusted_servers is not None:
        for index, server in enumerate(wanted.dns_trusted_servers):
            if not _is_trusted_server(server):
                raise BadInput(
                    f"dnsTrustedServers[{index}]",
                    server,
                    "must be an address like 10.96.0.10 or k8s-service:[namespace/]name; a port from 1 to "
                    "65535 may follow: 10.96.0.10:53, [2001:db8::53]:53",
                )
        spec["dnsTrustedServers"] = list(wanted.dns_trusted_servers)
    if wanted.flow_logs_enable_host_endpoint is not None:
        spec["flowLogsEnableHostEndpoint"] = wanted.flow_logs_enable_host_endpoint
    return spec


def _is_trusted_server(text: str) -> bool:
    with_port = _WITH_PORT.fullmatch(text)
    server = with_port["server"] if with_port else text
    if with_port and not 1 <= int(with_port["port"]) <= 65535:
        return False
    if server.startswith("[") and server.endswith("]"):
        return ":" in server and parse_address(server[1:-1]) is not None
    return bool(_SERVICE.fullmatch(server)) or parse_address(server) is not None


def changed_fields(live: Object, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the fields whose value in the live spec means something else.

    A list that says the same in other words (``TCP`` for ``tcp``) is left as it is.
    """
    return {field: value for field, value in spec.items() if not _same(field, live.get(field), value)}


def _same(field: str, live: object, value: object) -> bool:
    if live is None or field not in (INBOUND_FIELD, OUTBOUND_FIELD):
        return live == value
    try:
        return read_entries(live, field) == read_entries(value, field)
    except BadInput:
        return False
