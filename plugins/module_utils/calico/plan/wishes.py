# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wanted of each step, as far as a plan is concerned."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ..bad_input import BadInput
from ..felix.configuration import FelixFields
from ..host_endpoint import HostEndpointTemplate
from ..host_endpoint_auto import AutoHostEndpoints
from ..policy.planner import PolicySet

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")

AUTO, DAEMONSET = "auto", "daemonset"


@dataclass(frozen=True)
class AccessWish:
    """A ServiceAccount for later runs.

    :ivar rules: of its ClusterRole
    """

    namespace: str
    service_account: str
    rules: Sequence[Mapping[str, Any]]

    def __post_init__(self) -> None:
        if not _LABEL.fullmatch(self.namespace):
            raise BadInput(
                "access_namespace",
                self.namespace,
                "must be lower-case letters, digits and '-', with a letter or digit at both ends, 63 "
                "characters at most",
            )
        if not _SUBDOMAIN.fullmatch(self.service_account) or len(self.service_account) > 253:
            raise BadInput(
                "access_service_account",
                self.service_account,
                "must be lower-case letters, digits, '-' and '.', with a letter or digit at both ends and on "
                "both sides of a '.', 253 characters at most",
            )

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.service_account}"


@dataclass(frozen=True)
class FelixWish:
    """:ivar reach: whether to refuse what would deny a login
    :ivar accepted: kinds of vital flows whose loss is accepted in this step
    """

    fields: FelixFields
    reach: bool = True
    accepted: frozenset[str] = frozenset()


@dataclass(frozen=True)
class HostEndpointsWish:
    """:ivar replace_auto: whether automatic HostEndpoints that others switched on may be replaced
    :ivar accepted: kinds of vital flows whose loss is accepted in this step
    :ivar networks: which HostEndpoints Hostfence makes for a node: the default one, and those of templates
    """

    mode: str
    template: HostEndpointTemplate
    node_selector: str = ""
    replace_auto: bool = False
    reach: bool = True
    networks: AutoHostEndpoints = field(default_factory=AutoHostEndpoints)
    accepted: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PoliciesWish:
    """Policy sets, in the order in which they are brought into their state."""

    sets: Sequence[PolicySet] = ()
    lint: bool = True
    reach: bool = True


@dataclass(frozen=True)
class Wishes:
    """What is wanted of the steps; None leaves a step out.

    :ivar prove: whether nodes must be reachable before what is enforced changes
    :ivar preflight_ignored: checks whose stops do not count
    """

    crds: bool = False
    access: Optional[AccessWish] = None
    felix: Optional[FelixWish] = None
    host_endpoints: Optional[HostEndpointsWish] = None
    policies: Optional[PoliciesWish] = None
    prove: bool = True
    preflight_ignored: Sequence[str] = field(default_factory=tuple)
