# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Versions of Calico and Kubernetes, and what began with which.

Read in the sources and release notes of Calico; docs/verdict.md, docs/policies.md and docs/failsafes.md say
what each means for hosts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Optional

Version = tuple[int, int]

CURRENT: Version = (3, 32)
"""Whose behaviour counts where no version is known."""

# Calico
FAILSAFES_FOR_TYPHA_AND_API: Version = (3, 15)
IPV6_IN_EBPF_BY_DEFAULT: Version = (3, 27)
TIERS: Version = (3, 29)
DEFAULT_ALLOW_FOR_BOTH_DIRECTIONS: Version = (3, 29)
STAGED_POLICIES: Version = (3, 30)
NAMES_WITHOUT_TIER_PREFIX: Version = (3, 32)

# Kubernetes
SERVER_SIDE_APPLY: Version = (1, 22)
RULES_IN_SCHEMAS: Version = (1, 25)
TOKENS_NAME_NODES: Version = (1, 30)


def parse_version(text: str) -> Optional[Version]:
    """Major and minor of ``v3.32.1``, ``1.34+`` or the like; None where it is no version."""
    found = re.match(r"v?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def tokens_name_nodes(kubernetes: str) -> bool:
    """Whether a pod's token names its node, and admission policies can ask for it.

    A version that cannot be read is taken as a new one.

    :param kubernetes: version of the API server, such as ``v1.34.1``
    """
    return (parse_version(kubernetes) or TOKENS_NAME_NODES) >= TOKENS_NAME_NODES


def version_of(text: str) -> Version:
    """Major and minor of a version of Calico; the newest known one where it is no version."""
    return parse_version(text) or CURRENT


def noted_version(information: Mapping[str, Any]) -> str:
    """The version that Calico noted in the ClusterInformation ``default``; empty where it noted none."""
    return str((information.get("spec") or {}).get("calicoVersion") or "")
