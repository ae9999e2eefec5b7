# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nodes to log in to, as modules are given them, and what is told of a login afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction.chains import chain_names
from ansible_collections.hostfence.calico.plugins.module_utils.controller.logins import LoginProof
from ansible_collections.hostfence.calico.plugins.module_utils.controller.targets import (
    OPTIONS,
    login_of,
    read,
)

NODE: dict[str, Any] = {"node": "node1", "policies": [], "absent_policies": []}


def test_a_policy_is_known_by_any_chain_that_either_direction_may_have() -> None:
    found = read({**NODE, "policies": ["web", "tier.db"], "absent_policies": ["old"]}, "nodes[0]")
    assert [*found.present] == [
        chain_names(name, tier, "Ingress") | chain_names(name, tier, "Egress")
        for name, tier in (("web", "default"), ("tier.db", "tier"))
    ]
    assert found.gone == chain_names("old", "default", "Ingress") | chain_names("old", "default", "Egress")


def test_a_login_that_cannot_be_used_is_named_by_its_place() -> None:
    with pytest.raises(BadInput, match=r"nodes\[3\]\.host"):
        read({**NODE, "host": "-v"}, "nodes[3]")


def test_every_option_of_a_login_is_an_option_of_a_node() -> None:
    assert {"node", "host", "port", "policies", "absent_policies"} <= OPTIONS.keys()


def test_a_login_is_told_as_the_modules_that_judge_take_it() -> None:
    proof = LoginProof(read({**NODE, "host": "192.0.2.1", "port": 2222}, "nodes[0]"))
    assert login_of(proof) == {
        "node": "node1",
        "reached": False,
        "ssh_connection": "",
        "host": "192.0.2.1",
        "port": 2222,
    }
