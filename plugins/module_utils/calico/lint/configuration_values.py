# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which values the fields of Calico's two configurations take.

Source: libcalico-go/lib/validator/v3, the types of api/pkg/apis/projectcalico/v3 and the schemas in
libcalico-go/config/crd, all v3.32.1. What only one of them refuses is refused here. An object of
``crd.projectcalico.org/v1`` is written past the validator: of it, what the schema refuses is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Callable, Optional

from ..address import parse_address, parse_net
from ..bad_input import BadInput
from ..host_endpoint import is_port_name
from ..mapping import mapping_of

Raw = Mapping[str, Any]

_MODES = ("Enabled", "Disabled")
# The validator takes Trace too, the schema None and Panic.
_LOG_LEVELS = ("Debug", "Info", "Warning", "Error", "Fatal")
_LOG = ("Trace", "Debug", "Info", "Warning", "Error", "Fatal")
_ACCEPT, _DENY = ("Accept", "Return"), ("Drop", "Reject")

_FELIX_FLAGS = (
    "allowIPIPPacketsFromWorkloads allowVXLANPacketsFromWorkloads bpfConnectTimeLoadBalancingEnabled "
    "bpfDisableUnprivileged bpfEnabled bpfHostConntrackBypass bpfKubeProxyIptablesCleanupEnabled "
    "bpfPolicyDebugEnabled debugDisableLogDropping disableConntrackInvalidCheck endpointReportingEnabled "
    "flowLogsCollectorDebugTrace genericXDPEnabled healthEnabled ipipEnabled ipv6Support "
    "prometheusGoMetricsEnabled prometheusMetricsEnabled prometheusProcessMetricsEnabled "
    "prometheusWireGuardMetricsEnabled removeExternalRoutes requireMTUFile routeSyncDisabled "
    "sidecarAccelerationEnabled usageReportingEnabled useInternalDataplaneDriver vxlanEnabled "
    "wireguardEnabled wireguardEnabledV6 wireguardHostEncryptionEnabled wireguardThreadingEnabled xdpEnabled"
)
_FELIX_DURATIONS = (
    "bpfKubeProxyMinSyncPeriod debugSimulateCalcGraphHangAfter debugSimulateDataplaneApplyDelay "
    "debugSimulateDataplaneHangAfter endpointReportingDelay flowLogsFlushInterval interfaceRefreshInterval "
    "ipsetsRefreshInterval iptablesLockProbeInterval iptablesPostWriteCheckInterval iptablesRefreshInterval "
    "netlinkTimeout reportingInterval reportingTTL routeRefreshInterval usageReportingInitialDelay "
    "usageReportingInterval wireguardKeepAlive xdpRefreshInterval"
)
# A backslash too many in the schema's pattern: it takes no fractions where it means to.
_WHOLE_UNITS = re.compile(r"([0-9]+(ms|s|m|h))*\Z")
_WHOLE_DURATION = "write a duration with its unit, in whole numbers, such as 90s, 5m or 1m30s"
_ANY_DURATION = "write a duration with its unit, such as 90s, 5m or 1m30s"
_FELIX_FRACTIONS: Mapping[str, Optional[re.Pattern[str]]] = {
    "liveMigrationRouteConvergenceTime": re.compile(r"([0-9]+(\.[0-9]+)?(ms|s|m|h))*\Z"),
    "dataplaneWatchdogTimeout": None,
    "nftablesRefreshInterval": None,
}
_FELIX_TEXTS = (
    "bpfCTLBLogFilter bpfDataIfacePattern bpfDisableGROForIfaces bpfL3IfacePattern cgroupV2Path "
    "dataplaneDriver debugHost debugMemoryProfilePath deviceRouteSourceAddress "
    "deviceRouteSourceAddressIPv6 endpointStatusPathPrefix flowLogsGoldmaneServer healthHost "
    "interfaceExclude interfacePrefix iptablesNATOutgoingInterfaceFilter logDebugFilenameRegex "
    "logFilePath metadataAddr mtuIfacePattern natOutgoingAddress openstackRegion policySyncPathPrefix "
    "prometheusMetricsCAFile prometheusMetricsCertFile prometheusMetricsHost prometheusMetricsKeyFile "
    "wireguardInterfaceName wireguardInterfaceNameV6 "
    "nodeSelector featureDetectOverride featureGates logActionRateLimit logPrefix"
)
# In just this case.
_FELIX_CHOICES: Mapping[str, tuple[str, ...]] = {
    "logSeverityScreen": _LOG,
    "logSeverityFile": _LOG,
    "logSeveritySys": _LOG,
    "defaultEndpointToHostAction": ("Drop", "Accept", "Return"),
    "iptablesFilterAllowAction": _ACCEPT,
    "iptablesMangleAllowAction": _ACCEPT,
    "nftablesFilterAllowAction": _ACCEPT,
    "nftablesMangleAllowAction": _ACCEPT,
    "iptablesFilterDenyAction": _DENY,
    "nftablesFilterDenyAction": _DENY,
    "nftablesMode": ("Disabled", "Enabled", "Auto"),
    "iptablesBackend": ("Legacy", "NFT", "Auto"),
    "awsSrcDstCheck": ("DoNothing", "Enable", "Disable"),
    "bpfAttachType": ("TC", "TCX"),
    "bpfConnectTimeLoadBalancing": ("TCP", *_MODES),
    "bpfConntrackLogLevel": ("Off", "Debug"),
    "bpfConntrackMode": ("Auto", "Userspace", "BPFProgram"),
    "bpfExternalServiceMode": ("Tunnel", "DSR"),
    "bpfHostNetworkedNATWithoutCTLB": _MODES,
    "bpfJITHardening": ("Auto", "Strict"),
    "bpfLogLevel": ("Debug", "Info", "Off"),
    "bpfProfiling": _MODES,
    "bpfRedirectToPeer": _MODES,
    "floatingIPs": _MODES,
    "flowLogsLocalReporter": _MODES,
    "flowLogsPolicyEvaluationMode": ("None", "Continuous"),
    "ipForwarding": _MODES,
    "istioAmbientMode": _MODES,
    "natOutgoingExclusions": ("IPPoolsOnly", "IPPoolsAndHostIPs"),
    "programClusterRoutes": _MODES,
    "prometheusMetricsClientAuth": (
        "RequireAndVerifyClientCert",
        "RequireAnyClientCert",
        "VerifyClientCertIfGiven",
        "NoClientCert",
    ),
    "serviceLoopPrevention": ("Drop", "Reject", "Disabled"),
    "windowsManageFirewallRules": _MODES,
    "workloadSourceSpoofing": ("Disabled", "Any"),
}
# Of these the empty text is no value either.
_NEVER_EMPTY = (
    "awsSrcDstCheck",
    "bpfAttachType",
    "bpfConnectTimeLoadBalancing",
    "bpfConntrackLogLevel",
    "bpfConntrackMode",
    "bpfHostNetworkedNATWithoutCTLB",
    "bpfJITHardening",
    "bpfProfiling",
    "bpfRedirectToPeer",
    "floatingIPs",
    "flowLogsLocalReporter",
    "flowLogsPolicyEvaluationMode",
    "ipForwarding",
    "iptablesBackend",
    "istioAmbientMode",
    "logActionRateLimit",
    "natOutgoingExclusions",
    "nftablesMode",
    "programClusterRoutes",
    "prometheusMetricsClientAuth",
    "windowsManageFirewallRules",
)
# In any case.
_FELIX_WORDS: Mapping[str, tuple[str, ...]] = {
    "bpfEnforceRPF": ("Disabled", "Strict", "Loose"),
    "bpfMapSizeConntrackScaling": ("Disabled", "DoubleIfFull"),
    "chainInsertMode": ("Insert", "Append"),
    "routeSource": ("WorkloadIPs", "CalicoIPAM"),
}
_PORT, _OWN_PORT = (0, 65535), (1, 65535)
_MARK = (0, 2**31 - 1)
_WHOLE = (-(2**63), 2**63 - 1)
_PRIORITY = (1, 2147483646)
_FELIX_NUMBERS = (
    "bpfExportBufferSizeMB bpfMapSizeConntrack bpfMapSizeIPSets bpfMapSizeIfState bpfMapSizeNATAffinity "
    "bpfMapSizeNATBackend bpfMapSizeNATFrontend bpfMapSizePerCpuConntrack bpfMapSizeRoute "
    "deviceRouteProtocol healthPort ipipMTU maxIpsetSize metadataPort prometheusMetricsPort vxlanMTU "
    "vxlanMTUV6 vxlanPort vxlanVNI wireguardMTU wireguardMTUV6"
)
_FELIX_RANGES: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(_FELIX_NUMBERS.split(), _WHOLE),
    "bpfExtToServiceConnmark": (0, 2**32 - 1),
    "bpfKubeProxyHealthzPort": _PORT,
    "bpfMaglevMaxEndpointsPerService": (1, 3000),
    "bpfMaglevMaxServices": (1, 3000),
    "bpfMapSizeConntrackCleanupQueue": (1, 2**63 - 1),
    "debugPort": _PORT,
    "goGCThreshold": (-1, 2**63 - 1),
    "goMaxProcs": (-1, 2**63 - 1),
    "goMemoryLimitMB": (-1, 2**63 - 1),
    "iptablesMarkMask": _MARK,
    "ipv4ElevatedRoutePriority": _PRIORITY,
    "ipv4NormalRoutePriority": _PRIORITY,
    "ipv6ElevatedRoutePriority": _PRIORITY,
    "ipv6NormalRoutePriority": _PRIORITY,
    "logActionRateLimitBurst": (0, 9999),
    "nftablesMarkMask": _MARK,
    "wireguardListeningPort": _OWN_PORT,
    "wireguardListeningPortV6": _OWN_PORT,
    "wireguardRoutingRulePriority": (1, 32765),
}
_SCHEMA_RANGES = ("bpfMapSizeConntrackCleanupQueue", "logActionRateLimitBurst")
_INTERFACE = (r"[a-zA-Z0-9_.-]{1,15}", "write an interface's name: at most 15 letters, digits, '_', '.', '-'")
_FLAG = r"[a-zA-Z0-9_]+=(true|false)?"
_FELIX_PATTERNS: Mapping[str, tuple[str, str]] = {
    "featureDetectOverride": (
        rf"({_FLAG},)*({_FLAG})?",
        "write name=true or name=false, several with commas",
    ),
    "featureGates": (
        r"([a-zA-Z0-9_]+=[^=,]+,+)*([a-zA-Z0-9_]+=[^=,]+)?",
        "write name=value, several with commas",
    ),
    "iptablesNATOutgoingInterfaceFilter": (
        r"[a-zA-Z0-9:._+-]{1,15}",
        "write an interface's name, with + at its end for all that begin with it",
    ),
    "logActionRateLimit": (r"[1-9]\d{0,3}/(second|minute|hour|day)", "write it like 100/minute"),
    "logPrefix": (r"[a-zA-Z0-9%: /_-]*", "write letters, digits, blanks and % : / _ -"),
    "openstackRegion": (
        r"[a-z0-9]([-a-z0-9]{0,44}[a-z0-9])?",
        "write at most 46 lower-case letters, digits, '-'",
    ),
    "prometheusMetricsHost": (r"[a-zA-Z0-9:._+-]{1,64}", "write a host's name or address"),
    "wireguardInterfaceName": _INTERFACE,
    "wireguardInterfaceNameV6": _INTERFACE,
}
_SCHEMA_FLAG = r"[a-zA-Z0-9_-]+=(true|false)?"
# Those of the schema.
_SCHEMA_PATTERNS: Mapping[str, tuple[str, str]] = {
    "featureDetectOverride": (
        rf"({_SCHEMA_FLAG},)*({_SCHEMA_FLAG})?",
        _FELIX_PATTERNS["featureDetectOverride"][1],
    ),
    "featureGates": (
        r"([a-zA-Z0-9_-]+=[^=]+,)*([a-zA-Z0-9_-]+=[^=]+)?",
        _FELIX_PATTERNS["featureGates"][1],
    ),
    "logActionRateLimit": _FELIX_PATTERNS["logActionRateLimit"],
    "logPrefix": _FELIX_PATTERNS["logPrefix"],
}
# What the schema's pattern takes. That one can be read in many ways, and Python would try them all.
_CONNTRACK_TIMEOUT = re.compile(r"(Auto|([0-9]*(\.[0-9]*)?(us|[msh]))+)\Z")
_LONGEST_NODE_SELECTOR, _LONGEST_TEMPLATE_NAME = 1024, 253
_FELIX_REGEXES = (
    "bpfDataIfacePattern",
    "bpfDisableGROForIfaces",
    "bpfL3IfacePattern",
    "logDebugFilenameRegex",
    "mtuIfacePattern",
)
_FELIX_ADDRESSES = {"deviceRouteSourceAddress": 4, "natOutgoingAddress": 4, "deviceRouteSourceAddressIPv6": 6}
_FELIX_NETS = ("bpfDSROptoutCIDRs", "bpfExcludeCIDRsFromNAT")
_DURATION = re.compile(r"[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)\Z")
_CIDR = "write a network or an address, such as 192.0.2.0/24"
_TEXT = "write a text, in quotes where it looks like something else"


def felix_refusals(spec: Raw) -> Iterator[BadInput]:
    """What the API refuses of a FelixConfiguration; its failsafes are another rule's."""
    yield from _flags(spec)
    for field in _FELIX_DURATIONS.split():
        yield from _duration(spec, field, "spec", _WHOLE_UNITS)
    for field, taken in _FELIX_FRACTIONS.items():
        yield from _duration(spec, field, "spec", taken)
    for field in _FELIX_TEXTS.split():
        yield from _checked(spec, field, lambda value: isinstance(value, str), _TEXT)
    for field, choices in _FELIX_CHOICES.items():
        yield from choice(spec, field, choices, "spec", empty=field not in _NEVER_EMPTY)
    for field in _FELIX_REGEXES:
        yield from _checked(spec, field, _may_be_a_regex, "write a regular expression as Go reads it")
    for field, words in _FELIX_WORDS.items():
        folded = frozenset(word.lower() for word in (*words, ""))
        yield from _checked(spec, field, partial(_is_word, folded), _one_of(words))
    for field, (low, high) in _FELIX_RANGES.items():
        yield from number(spec, field, low, high, "spec")
    for field, (text, remedy) in _FELIX_PATTERNS.items():
        may_be_empty = "" if field in _NEVER_EMPTY else "?"
        pattern = re.compile(rf"({text}){may_be_empty}\Z")
        yield from _checked(spec, field, partial(_fits, pattern), remedy)
    for field, version in _FELIX_ADDRESSES.items():
        yield from _checked(spec, field, partial(_is_address, version), f"write an IPv{version} address")
    for field in _FELIX_NETS:
        yield from _texts(spec, field, _is_net, _CIDR, "spec")
    yield from _texts(spec, "externalNodesList", _is_ipv4_net, "write an IPv4 network or address", "spec")
    yield from _texts(spec, "bpfForceTrackPacketsFromIfaces", _is_interface_filter, _INTERFACE[1], "spec")
    yield from _too_long(spec, "nodeSelector", _LONGEST_NODE_SELECTOR, "spec")
    yield from _node_ports(spec)
    yield from _shapes(spec)
    yield from _route_tables(spec)


def felix_schema_refusals(spec: Raw) -> Iterator[BadInput]:
    """What the schema alone refuses of a FelixConfiguration; its failsafes are another rule's."""
    yield from _flags(spec)
    for field in (*_FELIX_TEXTS.split(), *_FELIX_FRACTIONS):
        yield from _checked(spec, field, lambda value: isinstance(value, str), _TEXT)
    for field, taken in _FELIX_FRACTIONS.items():
        if taken:
            yield from _checked(spec, field, partial(_fits, taken), _ANY_DURATION)
    for field, (text, remedy) in _SCHEMA_PATTERNS.items():
        yield from _checked(spec, field, partial(_fits, re.compile(rf"({text})\Z")), remedy)
    yield from _too_long(spec, "nodeSelector", _LONGEST_NODE_SELECTOR, "spec")
    for field in _FELIX_DURATIONS.split():
        yield from _checked(spec, field, _is_whole_duration, _WHOLE_DURATION)
    for field, choices in {**_FELIX_CHOICES, **_FELIX_WORDS}.items():
        words = frozenset(word.lower() for word in (*choices, ""))
        if field == "prometheusMetricsClientAuth":
            yield from _any_text(spec, field, "spec")
        elif field in _NEVER_EMPTY:
            yield from choice(spec, field, choices, "spec")
        else:
            yield from _checked(spec, field, partial(_is_word, words), _one_of(choices))
    for field, (low, high) in _FELIX_RANGES.items():
        span = (low, high) if field in _SCHEMA_RANGES else _WHOLE
        yield from number(spec, field, *((-(2**31), high) if high == _MARK[1] else span), "spec")
    for field in (*_FELIX_NETS, "externalNodesList", "bpfForceTrackPacketsFromIfaces"):
        yield from _texts(spec, field, lambda value: isinstance(value, str), _TEXT, "spec")
    for field in ("natPortRange", "bpfPSNATPorts", "istioDSCPMark"):
        yield from _checked(spec, field, _is_number_or_text, "write a number or a text")
    yield from _texts(spec, "kubeNodePortRanges", _is_number_or_text, "write a number or a text", "spec")
    yield from _containers(spec)
    yield from _schema_shapes(spec)
    if spec.get("routeTableRange") is not None and spec.get("routeTableRanges") is not None:
        yield BadInput("spec.routeTableRange", spec["routeTableRange"], "write routeTableRanges alone")


def controllers_refusals(spec: Raw, *, by_schema: bool = False) -> Iterator[BadInput]:
    """What the API refuses of a KubeControllersConfiguration.

    :param by_schema: only what the schema refuses
    """
    period = _any_text if by_schema else _duration
    controllers = spec.get("controllers")
    if not isinstance(controllers, Mapping):
        yield BadInput("spec.controllers", controllers, "write a mapping, {} for Calico's defaults")
        return
    yield from choice(spec, "healthChecks", _MODES, "spec")
    levels = (*_LOG_LEVELS, "None", "Panic") if by_schema else _LOG_LEVELS
    yield from choice(spec, "logSeverityScreen", levels, "spec")
    yield from number(spec, "prometheusMetricsPort", *_PORT, "spec")
    yield from number(spec, "debugProfilePort", *_PORT, "spec")
    yield from period(spec, "etcdV3CompactionPeriod", "spec")
    for name, value in controllers.items():
        place = f"spec.controllers.{name}"
        if value is None:
            continue
        if not isinstance(value, Mapping):
            yield BadInput(place, value, "write a mapping, {} for Calico's defaults")
            continue
        yield from period(value, "reconcilerPeriod", place)
        yield from period(value, "leakGracePeriod", place)
        yield from choice(value, "syncLabels", _MODES, place)
        yield from choice(value, "enabled", _MODES, place)
        yield from choice(value, "assignIPs", ("AllServices", "RequestedServicesOnly"), place)
        endpoint = value.get("hostEndpoint")
        if isinstance(endpoint, Mapping):
            yield from _auto_endpoints(endpoint, f"{place}.hostEndpoint", by_schema=by_schema)
        elif endpoint is not None:
            yield BadInput(f"{place}.hostEndpoint", endpoint, "write a mapping")


def _auto_endpoints(endpoint: Raw, place: str, *, by_schema: bool) -> Iterator[BadInput]:
    yield from choice(endpoint, "autoCreate", _MODES, place)
    if by_schema:
        yield from _any_text(endpoint, "createDefaultHostEndpoint", place)
    else:
        yield from choice(endpoint, "createDefaultHostEndpoint", _MODES, place, empty=True)
    templates = endpoint.get("templates")
    if templates is None:
        return
    if not isinstance(templates, list):
        yield BadInput(f"{place}.templates", templates, "write a list")
        return
    for index, template in enumerate(templates):
        where = f"{place}.templates[{index}]"
        if not isinstance(template, Mapping):
            yield BadInput(
                where, template, "write a mapping with generateName and interfaceCIDRs or interfacePattern"
            )
            continue
        for field in ("generateName", "interfacePattern", "nodeSelector"):
            yield from _any_text(template, field, where)
        yield from _too_long(template, "generateName", _LONGEST_TEMPLATE_NAME, where)
        labels = template.get("labels")
        if labels is not None and not (
            isinstance(labels, Mapping)
            and all(isinstance(value, (str, type(None))) for value in labels.values())
        ):
            yield BadInput(f"{where}.labels", labels, "write a mapping of names to texts")
        # Calico's validator does not look into templates any further (tests/unit/recordings).
        yield from _texts(template, "interfaceCIDRs", lambda value: isinstance(value, str), _TEXT, where)
        yield from _twice(template, "interfaceCIDRs", where)


def number(mapping: Raw, field: str, low: int, high: int, place: str) -> Iterator[BadInput]:
    """A whole number in a range, where there is one."""
    value = mapping.get(field)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if value is None or (whole and low <= value <= high):
        return
    span = "a whole number" if (low, high) == _WHOLE else f"a number from {low} to {high}"
    yield BadInput(f"{place}.{field}", value, f"write {span}")


def choice(
    mapping: Raw, field: str, choices: tuple[str, ...], place: str, *, empty: bool = False
) -> Iterator[BadInput]:
    """One of some words, where there is one.

    :param empty: whether the empty text is one, too
    """
    value = mapping.get(field)
    if value not in (None, *choices) and not (empty and value == ""):
        yield BadInput(f"{place}.{field}", value, _one_of(choices))


def _one_of(choices: tuple[str, ...]) -> str:
    return f"write {', '.join(choices[:-1])} or {choices[-1]}"


def _checked(spec: Raw, field: str, right: Callable[[Any], object], remedy: str) -> Iterator[BadInput]:
    value = spec.get(field)
    if value is not None and not right(value):
        yield BadInput(f"spec.{field}", value, remedy)


def _flags(spec: Raw) -> Iterator[BadInput]:
    for field in _FELIX_FLAGS.split():
        yield from _checked(spec, field, lambda value: isinstance(value, bool), "write true or false")


def _duration(
    mapping: Raw, field: str, place: str, pattern: Optional[re.Pattern[str]] = None
) -> Iterator[BadInput]:
    """A duration as Go writes it, where there is one.

    :param pattern: which of them the schema takes
    """
    value = mapping.get(field)
    if value is None:
        return
    if not isinstance(value, str) or not _DURATION.match(value) or (pattern and not pattern.match(value)):
        remedy = _WHOLE_DURATION if pattern is _WHOLE_UNITS else _ANY_DURATION
        yield BadInput(f"{place}.{field}", value, remedy)


def _any_text(mapping: Raw, field: str, place: str) -> Iterator[BadInput]:
    value = mapping.get(field)
    if value is not None and not isinstance(value, str):
        yield BadInput(f"{place}.{field}", value, _TEXT)


def _too_long(mapping: Raw, field: str, longest: int, place: str) -> Iterator[BadInput]:
    value = mapping.get(field)
    if isinstance(value, str) and len(value) > longest:
        yield BadInput(f"{place}.{field}", f"{value[:40]}...", f"write at most {longest} characters")


def _twice(mapping: Raw, field: str, place: str) -> Iterator[BadInput]:
    values = mapping.get(field)
    listed = values if isinstance(values, list) else []
    for index, value in enumerate(listed):
        if value in listed[:index]:
            yield BadInput(f"{place}.{field}[{index}]", value, "it is listed twice; keep one")


def _is_whole_duration(value: object) -> bool:
    return isinstance(value, str) and bool(_WHOLE_UNITS.match(value))


def _texts(
    mapping: Raw, field: str, right: Callable[[object], bool], remedy: str, place: str
) -> Iterator[BadInput]:
    values = mapping.get(field)
    if values is None:
        return
    if not isinstance(values, list):
        yield BadInput(f"{place}.{field}", values, "write a list")
        return
    for index, value in enumerate(values):
        if not right(value):
            yield BadInput(f"{place}.{field}[{index}]", value, remedy)


def _is_net(value: object) -> bool:
    return parse_net(value) is not None if isinstance(value, str) else False


def _is_ipv4_net(value: object) -> bool:
    net = parse_net(value) if isinstance(value, str) else None
    return net is not None and net.version == 4


def _is_address(version: int, value: object) -> bool:
    address = parse_address(value)
    return value == "" or (address is not None and address.version == version)


def _is_word(words: frozenset[str], value: object) -> bool:
    return str(value).lower() in words


def _fits(pattern: re.Pattern[str], value: object) -> bool:
    return not isinstance(value, str) or bool(pattern.match(value))  # said of its type


def _is_interface_filter(value: object) -> bool:
    return isinstance(value, str) and bool(re.match(r"[a-zA-Z0-9:._+-]{1,15}\Z", value))


# What only Go reads.
_OF_GO = re.compile(r"\\[pPzCQ]|\(\?[imsU-]+[):]|\[\[")


def _may_be_a_regex(value: object) -> bool:
    if not isinstance(value, str) or _OF_GO.search(value):
        return True  # said of its type, or left to Calico
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _containers(spec: Raw) -> Iterator[BadInput]:
    """Fields that hold more than one value and do not."""
    for field, remedy in _MAPPINGS.items():
        value = spec.get(field)
        if value is not None and not isinstance(value, Mapping):
            yield BadInput(f"spec.{field}", value, remedy)
    for field, remedy in _LISTS.items():
        values = spec.get(field)
        if values is None:
            continue
        if not isinstance(values, list):
            yield BadInput(f"spec.{field}", values, remedy)
            continue
        for index, value in enumerate(values):
            if not isinstance(value, Mapping):
                yield BadInput(f"spec.{field}[{index}]", value, remedy)


def _shapes(spec: Raw) -> Iterator[BadInput]:
    """Fields that hold more than one value."""
    yield from _containers(spec)
    timeouts = spec.get("healthTimeoutOverrides")
    for index, value in enumerate(timeouts if isinstance(timeouts, list) else ()):
        yield from _health_timeout(mapping_of(value), f"spec.healthTimeoutOverrides[{index}]")
    for name, value in mapping_of(spec.get("bpfLogFilters")).items():
        if not (
            isinstance(name, str) and re.match(r"[a-zA-Z0-9_.-]{1,15}\Z", name) and isinstance(value, str)
        ):
            yield BadInput(
                f"spec.bpfLogFilters[{name}]", value, "write an interface's name and a filter's text"
            )
    yield from _conntrack_timeouts(spec, _is_timeout)
    for field in ("natPortRange", "bpfPSNATPorts"):
        value = spec.get(field)
        named = isinstance(value, str) and is_port_name(value)
        if value is not None and not named and not _is_port_range(value):
            yield BadInput(f"spec.{field}", value, "write a number, or a range like 20000:29999")
    mark = spec.get("istioDSCPMark")
    whole = isinstance(mark, int) and not isinstance(mark, bool) and 0 <= mark <= 255
    if mark is not None and not whole and not isinstance(mark, str):
        yield BadInput("spec.istioDSCPMark", mark, "write a number from 0 to 63, or a DSCP name such as EF")


def _schema_shapes(spec: Raw) -> Iterator[BadInput]:
    """What the schema says of fields that hold more than one value."""
    yield from _conntrack_timeouts(spec, _is_schema_timeout)
    for name, value in mapping_of(spec.get("bpfLogFilters")).items():
        if value is not None and not isinstance(value, str):
            yield BadInput(f"spec.bpfLogFilters[{name}]", value, _TEXT)
    overrides = spec.get("healthTimeoutOverrides")
    for index, entry in enumerate(overrides if isinstance(overrides, list) else ()):
        for key in ("name", "timeout"):
            text = mapping_of(entry).get(key)
            if isinstance(entry, Mapping) and not isinstance(text, str):
                yield BadInput(f"spec.healthTimeoutOverrides[{index}].{key}", text, _TEXT)
    for found in _table_ranges(spec):
        if isinstance(found, Mapping) and not all(map(_is_whole, (found.get("min"), found.get("max")))):
            yield BadInput("spec.routeTableRange", found, _TABLES)


def _conntrack_timeouts(spec: Raw, right: Callable[[object], bool]) -> Iterator[BadInput]:
    for name, value in mapping_of(spec.get("bpfConntrackTimeouts")).items():
        if value is not None and not right(value):
            yield BadInput(
                f"spec.bpfConntrackTimeouts.{name}", value, "write a duration such as 90s, or Auto"
            )


def _is_schema_timeout(value: object) -> bool:
    return isinstance(value, str) and bool(_CONNTRACK_TIMEOUT.match(value))


def _is_timeout(value: object) -> bool:
    return _is_schema_timeout(value) and (value == "Auto" or bool(_DURATION.match(str(value))))


def _health_timeout(entry: Raw, place: str) -> Iterator[BadInput]:
    name, timeout = entry.get("name"), entry.get("timeout")
    if not isinstance(name, str) or not re.match(r"[a-zA-Z0-9_ -]+\Z", name):
        yield BadInput(f"{place}.name", name, "write letters, digits, blanks and _ -")
    if not isinstance(timeout, str) or timeout.startswith("-") or not _DURATION.match(timeout):
        yield BadInput(f"{place}.timeout", timeout, "write a duration with its unit, such as 90s")


_TABLES = "write {min: 1, max: 250}, with min at least 1 and not above max"
_MAPPINGS = {
    "bpfConntrackTimeouts": "write a mapping of timeouts",
    "bpfLogFilters": "write a mapping of interfaces to filters",
    "routeTableRange": _TABLES,
}
_LISTS = {
    "healthTimeoutOverrides": "write a list of {name, timeout}",
    "routeTableRanges": f"in a list: {_TABLES}",
}


def _is_number_or_text(value: object) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _is_port_range(value: object) -> bool:
    first, colon, last = str(value).partition(":")
    ends = [first, last] if colon else [first, first]
    plain = not isinstance(value, bool) and all(end.isascii() and end.isdigit() for end in ends)
    return plain and 1 <= int(ends[0]) <= int(ends[1]) <= 65535


def _node_ports(spec: Raw) -> Iterator[BadInput]:
    ports = spec.get("kubeNodePortRanges")
    if ports is None:
        return
    if not isinstance(ports, list) or len(ports) > 7:
        yield BadInput("spec.kubeNodePortRanges", ports, "write a list of at most 7 ports or ranges")
        return
    for index, port in enumerate(ports):
        if not _is_port_range(port):
            yield BadInput(
                f"spec.kubeNodePortRanges[{index}]", port, "write a number, or a range like 30000:32767"
            )


def _route_tables(spec: Raw) -> Iterator[BadInput]:
    if spec.get("routeTableRange") is not None and spec.get("routeTableRanges") is not None:
        yield BadInput("spec.routeTableRange", spec["routeTableRange"], "write routeTableRanges alone")
    for found in _table_ranges(spec):
        low, high = (mapping_of(found).get(key) for key in ("min", "max"))
        whole = _is_whole(low) and _is_whole(high)
        if isinstance(found, Mapping) and not (whole and 1 <= low <= high <= 2**32 - 1):  # type: ignore[operator]
            yield BadInput("spec.routeTableRange", found, _TABLES)


def _table_ranges(spec: Raw) -> Iterator[object]:
    listed = spec.get("routeTableRanges")
    ranges = [spec.get("routeTableRange"), *(listed if isinstance(listed, list) else ())]
    return (one for one in ranges if one is not None)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
