# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nodes to log in to, as modules are given them."""

from __future__ import annotations

from typing import Any

from ..calico.transaction.chains import chain_names
from . import openssh
from .logins import LoginProof, Target, as_result

OPTIONS: dict[str, Any] = {
    **openssh.OPTIONS,
    "policies": {"type": "list", "elements": "str", "default": []},
    "absent_policies": {"type": "list", "elements": "str", "default": []},
}
# What the modules that judge are given of a login.
_LOGIN = ("node", "reached", "ssh_connection", "host", "port")


def read(raw: dict[str, Any], place: str) -> Target:
    """A node and how to log in to it.

    :param raw: :data:`OPTIONS`
    :param place: named in error messages
    :raises BadInput: an option that cannot be used
    """
    return Target(
        **openssh.login_fields(raw, place),
        present=[_chains(name) for name in raw["policies"]],
        gone=frozenset(chain for name in raw["absent_policies"] for chain in _chains(name)),
    )


def login_of(proof: LoginProof) -> dict[str, Any]:
    """By which connection a node is reached, as the option ``logins`` of the modules that judge."""
    whole = as_result(proof)
    return {name: whole[name] for name in _LOGIN}


def _chains(policy: str) -> frozenset[str]:
    """Names that its chains may have: in which direction it has rules, its name does not say."""
    tier = policy.partition(".")[0] if "." in policy else "default"
    return chain_names(policy, tier, "Ingress") | chain_names(policy, tier, "Egress")
