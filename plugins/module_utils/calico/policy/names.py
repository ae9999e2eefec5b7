# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of kinds, tiers and policies, and how Calico stores them."""

from __future__ import annotations

import re

from ..version import NAMES_WITHOUT_TIER_PREFIX, parse_version

API_VERSION = "projectcalico.org/v3"
POLICY = "GlobalNetworkPolicy"
STAGED_POLICY = "StagedGlobalNetworkPolicy"
NETWORK_SET = "GlobalNetworkSet"
TIER = "Tier"

INGRESS, EGRESS = "Ingress", "Egress"
DEFAULT_TIER = "default"
DENY, PASS = "Deny", "Pass"
# Calico's own tiers: their defaultAction is fixed by the CRD, or they are generated.
BUILTIN_TIERS = (
    DEFAULT_TIER,
    "kube-admin",
    "kube-baseline",
    "adminnetworkpolicy",
    "baselineadminnetworkpolicy",
)

SET_LABEL = "hostfence.io/set"
# Calico's clients look policies of a tier up by this label (clientv3, addTierLabel).
TIER_LABEL = "projectcalico.org/tier"

MAX_NAME = 253
_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(rf"{_LABEL}\Z")
_DNS_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")


def canonical_name(name: str, tier: str) -> str:
    """The name of a policy whatever version of Calico stored it.

    Up to v3.31 a policy of the tier default is stored as ``default.<name>``, from v3.32 as given.
    """
    base = name[len(tier) + 1 :] if name.startswith(f"{tier}.") else name
    return base if tier == DEFAULT_TIER else f"{tier}.{base}"


def stored_name(canonical: str, tier: str, with_default_prefix: bool) -> str:
    """The object's name in a cluster's storage."""
    return f"{DEFAULT_TIER}.{canonical}" if tier == DEFAULT_TIER and with_default_prefix else canonical


def stores_default_prefix(calico_version: str, serves_tiers: bool) -> bool:
    """Whether policies of the tier default carry ``default.`` in this version's v1 storage.

    :param calico_version: as in ClusterInformation, for example ``v3.31.2``; empty where unknown
    :param serves_tiers: whether the API knows the kind Tier (no version before 3.29 does)
    """
    version = parse_version(calico_version)
    return version < NAMES_WITHOUT_TIER_PREFIX if version else not serves_tiers


def is_dns_label(text: str) -> bool:
    """Whether a text has the form of one part of a DNS name, of whatever length."""
    return bool(_DNS_LABEL.match(text))


def is_dns_name(text: str) -> bool:
    """Whether a text has the form of a DNS name, of whatever length."""
    return bool(_DNS_NAME.match(text))


def is_simple_name(name: str) -> bool:
    """Whether a name is a DNS label: what a tier and a set's name must be."""
    return len(name) <= 63 and is_dns_label(name)
