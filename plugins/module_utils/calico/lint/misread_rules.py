# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lint rules about values that Felix does not read as they look, and names that Calico does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..finding import ERROR, INFO, WARNING, Finding
from ..known_faults import KnownFault, faults_of
from ..stored.model import MISSING, STALE, Misreading, Reference
from ..stored.reader import UNDECODABLE, UNKNOWN_API, UNKNOWN_FIELD
from .context import LintContext, trap

RULES = {
    "known-fault": "A fault of this version of Calico on this data plane.",
    "hidden-labels": "Labels that Calico's metadata annotation overrides.",
    "invalid-net": "Not a net: Felix leaves it out, and a rule without nets matches everybody.",
    "invalid-port": "Not a port: Felix drops the policy, or sees no further policy change at all.",
    "ports-without-protocol": "Ports without TCP, UDP or SCTP: Felix ignores the whole policy.",
    "invalid-selector": "Not a selector: Felix ignores the whole policy, or just this selector.",
    "invalid-protocol": "Not a protocol: Felix ignores the object.",
    "invalid-icmp": "Not an ICMP type or code.",
    "invalid-address": "Not an address: Felix leaves it out.",
    "invalid-label": "Not a label for Felix: the object is ignored.",
    "service-without-name": "A service without its name: Felix leaves it out, and the rule matches any.",
    "invalid-field": "Another value that Felix does not take.",
    "unknown-kind": "A kind that Calico's API does not have: the object does nothing.",
    "unknown-field": "A field that Calico's API does not have: what it says is not in force.",
}

_BY_FIELD = (
    (re.compile(r"^(kind|apiVersion)$"), "unknown-kind"),
    (re.compile(r"annotations\[|^metadata\.labels$"), "hidden-labels"),
    (re.compile(r"^metadata\.labels\["), "invalid-label"),
    (re.compile(r"\.(nets|notNets)\[\d+\]$"), "invalid-net"),
    (re.compile(r"\.(ports|notPorts)\[\d+\](\.port|\.name)?$"), "invalid-port"),
    (re.compile(r"\.(ports|notPorts)$"), "ports-without-protocol"),
    (re.compile(r"[sS]elector$"), "invalid-selector"),
    (re.compile(r"[pP]rotocol$"), "invalid-protocol"),
    (re.compile(r"\.(icmp|notICMP)\."), "invalid-icmp"),
    (re.compile(r"expectedIPs\["), "invalid-address"),
    (re.compile(r"services\.name$"), "service-without-name"),
)


def check(context: LintContext) -> Iterator[Finding]:
    """All findings of this file's rules."""
    for ref, found in context.store.misreadings:
        yield _misread(ref, found)
    if context.has_endpoints() and context.options.calico_version:
        for fault in faults_of(context.options.calico_version, context.options.dataplane):
            if fault.casts_doubt:
                yield _known_fault(context.options.calico_version, fault)


def _known_fault(version: str, fault: KnownFault) -> Finding:
    return trap("known-fault", INFO, f"Calico {version}", "", f"{fault.id}: {fault.what}", fault.way_out)


def _misread(ref: Reference, found: Misreading) -> Finding:
    rule = next((rule for pattern, rule in _BY_FIELD if pattern.search(found.field)), "invalid-field")
    if found.meaning.startswith(UNKNOWN_FIELD):
        rule = "unknown-field"
    message = f"{found.value!r}: {found.meaning}"
    severity = ERROR if _is_grave(rule, found) else WARNING
    return trap(rule, severity, str(ref), found.field, message, _remedy(rule, found))


def _is_grave(rule: str, found: Misreading) -> bool:
    if found.effect in (MISSING, STALE):
        return True
    if rule == "unknown-field":
        return "commercial" not in found.meaning
    in_rule = found.field.startswith(("spec.ingress", "spec.egress"))
    return rule in ("invalid-selector", "service-without-name") or (
        in_rule and rule in ("invalid-net", "invalid-field")
    )


_REMEDIES = {
    "hidden-labels": "change the labels through Calico's own API, or in the annotation as well",
    "unknown-kind": "write the kind as Calico does; kinds are case-sensitive",
    "invalid-net": "write a net such as 192.0.2.0/24 or 2001:db8::/32",
    "invalid-port": "write a number from 1 to 65535, a range such as 8000:8100, or a port name: at most 15 "
    "lower-case letters, digits and single '-', with a letter in it",
    "ports-without-protocol": "set protocol to TCP, UDP or SCTP; for several write a rule for each",
    "invalid-protocol": "write TCP, UDP, SCTP, UDPLite, ICMP or ICMPv6, or a protocol's number from 1 to 255",
    "invalid-icmp": "write type as a number from 0 to 254 and, if you like, code as one from 0 to 255",
    "service-without-name": "write the service's name and its namespace, or take services out",
    "invalid-address": "write an address without prefix length, such as 192.0.2.7 or 2001:db8::7",
    "invalid-label": "write the name with at most 512 letters, digits, '.', '_', '-' and '/', and the value "
    "with at most 63 letters, digits, '-', '_' and '.', first and last a letter or a digit",
    "invalid-selector": "write a selector such as role == 'db' && has(zone); label names have at most 512 "
    "characters, Calico's own prefix counted",
}
# Numbers of protocols that are often written by a name that Calico does not know.
_NUMBERS = {
    "vrrp": 112,
    "ospf": 89,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "igmp": 2,
    "ipip": 4,
    "pim": 103,
    "l2tp": 115,
}


def _remedy(rule: str, found: Misreading) -> str:
    if found.meaning.startswith(UNDECODABLE):
        return f"write {found.meaning.partition(': ')[2]}"
    if found.meaning.startswith((UNKNOWN_FIELD, UNKNOWN_API)):
        return found.meaning.rpartition("; ")[2]
    if found.field.startswith("metadata.annotations["):
        return "remove the annotation: the object's own labels count then"
    field = found.field.rpartition(".")[2]
    number = _NUMBERS.get(str(found.value).lower())
    of_endpoint = _OF_ENDPOINT.get(field) if found.field.startswith("spec.ports[") else None
    if rule == "invalid-protocol" and number and not of_endpoint:
        return f"write {field}: {number}; names are known for TCP, UDP, SCTP, UDPLite, ICMP and ICMPv6 only"
    by_name = of_endpoint or _BY_NAME.get(field.partition("[")[0])
    return by_name or _REMEDIES.get(rule, "write what the field takes, or leave it out")


# Remedies by the last part of a field's path, for those whose rule has none of its own.
_BY_NAME = {
    "action": "write Allow, Deny, Log or Pass",
    "ipVersion": "write 4 or 6, or leave it out for both",
    "names": "write names of service accounts: lower-case letters, digits, '-' and '.'",
    "performanceHints": "write performanceHints: [AssumeNeededOnEveryNode], or leave it out",
    "node": "write the node's name as Kubernetes has it",
    "interfaceName": "write '*' or the name of an interface: at most 15 letters, digits, '_', '.' and '-'",
    "profiles": "write projectcalico-default-allow, or at most 128 letters, digits, '_', '.' and '-'",
}
# Ports that a host endpoint names: other rules than for ports in a policy's rule.
_OF_ENDPOINT = {
    "name": "write at most 15 lower-case letters, digits and single '-', with a letter in it",
    "port": "write a number from 1 to 65535",
    "protocol": "write TCP, UDP or SCTP",
}
