# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which fields the spec of Calico's kinds has, and what a name that is none of them was meant to be.

The API prunes or refuses any other field: what it says is not in force. Source: the schemas of Calico v3.32.1
(libcalico-go/config/crd).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from ..commercial import is_commercial

# A mapping has fields of its own, in an object or in each object of a list; None is not looked into.
Fields = Mapping[str, Any]


def _plain(names: str) -> dict[str, Optional[Fields]]:
    return dict.fromkeys(names.split())


_SIDE: Fields = {
    **_plain("nets notNets ports notPorts selector notSelector namespaceSelector"),
    "serviceAccounts": _plain("names selector"),
    "services": _plain("name namespace"),
}
_RULE: Fields = {
    **_plain("action ipVersion protocol notProtocol"),
    "icmp": _plain("type code"),
    "notICMP": _plain("type code"),
    "source": _SIDE,
    "destination": _SIDE,
    "http": {"methods": None, "paths": _plain("exact prefix")},
    "metadata": _plain("annotations"),
}
_NAMESPACED_POLICY: Fields = {
    **_plain("tier order selector serviceAccountSelector types performanceHints"),
    "ingress": _RULE,
    "egress": _RULE,
}
_GLOBAL_POLICY: Fields = {
    **_NAMESPACED_POLICY,
    **_plain("namespaceSelector doNotTrack preDNAT applyOnForward"),
}
_FAILSAFE = _plain("protocol port net")
_FELIX: Fields = {
    **_plain(
        "allowIPIPPacketsFromWorkloads allowVXLANPacketsFromWorkloads awsSrcDstCheck bpfAttachType "
        "bpfCTLBLogFilter bpfConnectTimeLoadBalancing bpfConnectTimeLoadBalancingEnabled "
        "bpfConntrackLogLevel bpfConntrackMode bpfConntrackTimeouts bpfDSROptoutCIDRs bpfDataIfacePattern "
        "bpfDisableGROForIfaces bpfDisableUnprivileged bpfEnabled bpfEnforceRPF bpfExcludeCIDRsFromNAT "
        "bpfExportBufferSizeMB bpfExtToServiceConnmark bpfExternalServiceMode "
        "bpfForceTrackPacketsFromIfaces bpfHostConntrackBypass bpfHostNetworkedNATWithoutCTLB "
        "bpfJITHardening bpfKubeProxyHealthzPort bpfKubeProxyIptablesCleanupEnabled "
        "bpfKubeProxyMinSyncPeriod bpfL3IfacePattern bpfLogFilters bpfLogLevel "
        "bpfMaglevMaxEndpointsPerService bpfMaglevMaxServices bpfMapSizeConntrack "
        "bpfMapSizeConntrackCleanupQueue bpfMapSizeConntrackScaling bpfMapSizeIPSets bpfMapSizeIfState "
        "bpfMapSizeNATAffinity bpfMapSizeNATBackend bpfMapSizeNATFrontend bpfMapSizePerCpuConntrack "
        "bpfMapSizeRoute bpfPSNATPorts bpfPolicyDebugEnabled bpfProfiling bpfRedirectToPeer cgroupV2Path "
        "chainInsertMode dataplaneDriver dataplaneWatchdogTimeout debugDisableLogDropping debugHost "
        "debugMemoryProfilePath debugPort debugSimulateCalcGraphHangAfter "
        "debugSimulateDataplaneApplyDelay debugSimulateDataplaneHangAfter defaultEndpointToHostAction "
        "deviceRouteProtocol deviceRouteSourceAddress deviceRouteSourceAddressIPv6 "
        "disableConntrackInvalidCheck endpointReportingDelay endpointReportingEnabled "
        "endpointStatusPathPrefix externalNodesList failsafeInboundHostPorts failsafeOutboundHostPorts "
        "featureDetectOverride featureGates floatingIPs flowLogsCollectorDebugTrace flowLogsFlushInterval "
        "flowLogsGoldmaneServer flowLogsLocalReporter flowLogsPolicyEvaluationMode genericXDPEnabled "
        "goGCThreshold goMaxProcs goMemoryLimitMB healthEnabled healthHost healthPort "
        "healthTimeoutOverrides interfaceExclude interfacePrefix interfaceRefreshInterval ipForwarding "
        "ipipEnabled ipipMTU ipsetsRefreshInterval iptablesBackend iptablesFilterAllowAction "
        "iptablesFilterDenyAction iptablesLockProbeInterval iptablesMangleAllowAction iptablesMarkMask "
        "iptablesNATOutgoingInterfaceFilter iptablesPostWriteCheckInterval iptablesRefreshInterval "
        "ipv4ElevatedRoutePriority ipv4NormalRoutePriority ipv6ElevatedRoutePriority "
        "ipv6NormalRoutePriority ipv6Support istioAmbientMode istioDSCPMark kubeNodePortRanges "
        "liveMigrationRouteConvergenceTime logActionRateLimit logActionRateLimitBurst "
        "logDebugFilenameRegex logFilePath logPrefix logSeverityFile logSeverityScreen logSeveritySys "
        "maxIpsetSize metadataAddr metadataPort mtuIfacePattern natOutgoingAddress natOutgoingExclusions "
        "natPortRange netlinkTimeout nftablesFilterAllowAction nftablesFilterDenyAction "
        "nftablesMangleAllowAction nftablesMarkMask nftablesMode nftablesRefreshInterval nodeSelector "
        "openstackRegion policySyncPathPrefix programClusterRoutes prometheusGoMetricsEnabled "
        "prometheusMetricsCAFile prometheusMetricsCertFile prometheusMetricsClientAuth "
        "prometheusMetricsEnabled prometheusMetricsHost prometheusMetricsKeyFile prometheusMetricsPort "
        "prometheusProcessMetricsEnabled prometheusWireGuardMetricsEnabled removeExternalRoutes "
        "reportingInterval reportingTTL requireMTUFile routeRefreshInterval routeSource routeSyncDisabled "
        "routeTableRange routeTableRanges serviceLoopPrevention sidecarAccelerationEnabled "
        "usageReportingEnabled usageReportingInitialDelay usageReportingInterval "
        "useInternalDataplaneDriver vxlanEnabled vxlanMTU vxlanMTUV6 vxlanPort vxlanVNI "
        "windowsManageFirewallRules wireguardEnabled wireguardEnabledV6 wireguardHostEncryptionEnabled "
        "wireguardInterfaceName wireguardInterfaceNameV6 wireguardKeepAlive wireguardListeningPort "
        "wireguardListeningPortV6 wireguardMTU wireguardMTUV6 wireguardRoutingRulePriority "
        "wireguardThreadingEnabled workloadSourceSpoofing xdpEnabled xdpRefreshInterval"
    ),
    "failsafeInboundHostPorts": _FAILSAFE,
    "failsafeOutboundHostPorts": _FAILSAFE,
    "bpfConntrackTimeouts": _plain(
        "creationGracePeriod genericTimeout icmpTimeout tcpEstablished tcpFinsSeen tcpResetSeen tcpSynSent "
        "udpTimeout"
    ),
    "healthTimeoutOverrides": _plain("name timeout"),
    "routeTableRange": _plain("min max"),
    "routeTableRanges": _plain("min max"),
}
_CONTROLLERS: Fields = {
    "loadBalancer": _plain("assignIPs"),
    "namespace": _plain("reconcilerPeriod"),
    "node": {
        **_plain("leakGracePeriod reconcilerPeriod syncLabels"),
        "hostEndpoint": {
            **_plain("autoCreate createDefaultHostEndpoint"),
            "templates": _plain("generateName interfaceCIDRs interfacePattern labels nodeSelector"),
        },
    },
    "policy": _plain("reconcilerPeriod"),
    "policyMigration": _plain("enabled"),
    "serviceAccount": _plain("reconcilerPeriod"),
    "workloadEndpoint": _plain("reconcilerPeriod"),
}

SPEC_FIELDS: Mapping[str, Fields] = {
    "HostEndpoint": {
        **_plain("node interfaceName expectedIPs profiles"),
        "ports": _plain("name protocol port"),
    },
    "GlobalNetworkPolicy": _GLOBAL_POLICY,
    "StagedGlobalNetworkPolicy": {**_GLOBAL_POLICY, "stagedAction": None},
    "NetworkPolicy": _NAMESPACED_POLICY,
    "StagedNetworkPolicy": {**_NAMESPACED_POLICY, "stagedAction": None},
    "Tier": _plain("order defaultAction"),
    "GlobalNetworkSet": _plain("nets"),
    "NetworkSet": _plain("nets"),
    "FelixConfiguration": _FELIX,
    "KubeControllersConfiguration": {
        **_plain(
            "debugProfilePort etcdV3CompactionPeriod healthChecks logSeverityScreen prometheusMetricsPort"
        ),
        "controllers": _CONTROLLERS,
    },
}
# Kinds of Calico's API that say nothing about hosts: they are passed over.
OTHER_KINDS = frozenset(
    _plain(
        "BGPConfiguration BGPFilter BGPPeer BlockAffinity CalicoNodeStatus ClusterInformation IPAMBlock "
        "IPAMConfig IPAMConfiguration IPAMHandle IPPool IPReservation Node Profile "
        "StagedKubernetesNetworkPolicy WorkloadEndpoint AlertException BFDConfiguration "
        "DeepPacketInspection EgressGatewayPolicy ExternalNetwork GlobalAlert GlobalAlertTemplate "
        "GlobalReport GlobalReportType GlobalThreatFeed LicenseKey ManagedCluster Network PacketCapture "
        "RemoteClusterConfiguration SecurityEventWebhook UISettings UISettingsGroup"
    )
)


def kind_meant(kind: str) -> Optional[str]:
    """The kind of Calico's API that a text was meant to be; None where nothing is like it."""
    known = [*SPEC_FIELDS, *sorted(OTHER_KINDS)]
    return _meant(kind, known)


# Of these names no other program has a kind.
_UNMISTAKABLE = (
    "HostEndpoint",
    "GlobalNetworkPolicy",
    "StagedGlobalNetworkPolicy",
    "GlobalNetworkSet",
    "FelixConfiguration",
    "KubeControllersConfiguration",
)


def meant_for_calico(kind: str, api: str) -> str:
    """What to write where an object of another API, or of none, was meant for Calico's; empty for others'.

    :param kind: one that Kubernetes itself does not have
    """
    if "calico" in api.lower() or not api:
        meant = _meant(kind, list(SPEC_FIELDS))
    else:
        close = difflib.get_close_matches(kind.lower(), [name.lower() for name in _UNMISTAKABLE], 1, 0.87)
        meant = next((name for name in _UNMISTAKABLE if close and name.lower() == close[0]), None)
    return f"write apiVersion: projectcalico.org/v3 and kind: {meant}" if meant else ""


# Fields of Kubernetes' ObjectMeta, and of the object itself.
_METADATA = _plain(
    "name generateName namespace selfLink uid resourceVersion generation creationTimestamp deletionTimestamp "
    "deletionGracePeriodSeconds labels annotations ownerReferences finalizers managedFields clusterName"
)
_OBJECT = _plain("apiVersion kind metadata spec status")


def unknown_fields(raw: Mapping[str, Any]) -> Iterator[tuple[str, object, str]]:
    """Fields of an object that its kind does not have: path, value, and what to write instead."""
    fields = SPEC_FIELDS.get(raw["kind"])
    if fields is None:
        return
    yield from _unknown(raw, {**_OBJECT, "metadata": _METADATA, "spec": fields}, "")


def _unknown(value: object, fields: Fields, place: str) -> Iterator[tuple[str, object, str]]:
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _unknown(item, fields, f"{place}[{index}]")
        return
    if not isinstance(value, Mapping):
        return
    for name, inner in value.items():
        path = f"{place}.{name}" if place else str(name)
        if name not in fields:
            yield path, inner, _advice(str(name), fields)
        elif fields[name] is not None:
            yield from _unknown(inner, fields[name], path)


def _advice(name: str, fields: Fields) -> str:
    if name == "domains":
        return (
            "only Calico's commercial editions have this field: write nets, or a selector of a network set "
            "that holds them"
        )
    if is_commercial(name):
        return "only Calico's commercial editions have this field: take it out, or use them"
    meant = _meant(name, list(fields))
    return f"write {meant}" if meant else f"take it out: the fields here are {', '.join(list(fields)[:12])}"


def _meant(name: str, known: list[str]) -> Optional[str]:
    folded = {item.lower(): item for item in known}
    if name.lower() in folded:
        return folded[name.lower()]
    close = difflib.get_close_matches(name.lower(), list(folded), 1, 0.75)
    return folded[close[0]] if close else None
