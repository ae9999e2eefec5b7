# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whatever happens, a module ends in one line."""

from __future__ import annotations

from typing import Any, NoReturn, cast

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import ApiError, ClusterError
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import (
    Result,
    Unfinished,
    conclude,
)


class Ended(Exception):
    """A module's end, as Ansible would see it."""


class Module:
    def __init__(self) -> None:
        self.result: dict[str, Any] = {}

    def exit_json(self, **result: Any) -> NoReturn:
        self.result = {"failed": False, **result}
        raise Ended

    def fail_json(self, **result: Any) -> NoReturn:
        self.result = {"failed": True, **result}
        raise Ended


def ended(work: Any) -> dict[str, Any]:
    module = Module()
    with pytest.raises(Ended):
        conclude(cast(AnsibleModule, module), work)
    return module.result


def raising(error: Exception) -> Any:
    def work() -> Result:
        raise error

    return work


def test_a_result_is_returned_as_it_is() -> None:
    assert ended(lambda: {"changed": True, "writes": []}) == {"failed": False, "changed": True, "writes": []}


@pytest.mark.parametrize(
    "error",
    [
        BadInput("state", "on", "write staged"),
        ClusterError("no answer"),
        ApiError(403, "Forbidden", "several\nlines", "GET", "/api"),
    ],
)
def test_what_cannot_be_done_is_one_line(error: Exception) -> None:
    found = ended(raising(error))
    assert found == {"failed": True, "msg": str(error)}
    assert "\n" not in found["msg"]


def test_what_was_done_before_is_not_hidden() -> None:
    found = ended(raising(Unfinished("half of it", {"changed": True, "writes": ["a"]})))
    assert found == {"failed": True, "msg": "half of it", "changed": True, "writes": ["a"]}


def test_a_fault_of_ours_is_no_message_to_users() -> None:
    with pytest.raises(ZeroDivisionError):
        conclude(cast(AnsibleModule, Module()), raising(ZeroDivisionError()))
