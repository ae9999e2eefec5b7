# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What people write of Felix's failsafes, before anything is asked of the API."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.felix_configuration import (
    OPTIONS,
    wanted_of,
)

SSH = {"protocol": "tcp", "port": 22}


def wanted(**given: Any) -> Any:
    defaults = {name: option.get("default") for name, option in OPTIONS.items()}
    return wanted_of({**defaults, "node": "", **given})


def test_types_are_converted_and_what_was_not_set_is_not_there() -> None:
    found = wanted(
        failsafe_inbound_host_ports=[{"protocol": "tcp", "port": "22", "net": None}, "port=53 protocol=udp"]
    )
    assert found.inbound == [SSH, {"protocol": "udp", "port": 53}]
    assert found.outbound is None


def test_an_empty_list_is_not_the_same_as_none() -> None:
    assert wanted(failsafe_inbound_host_ports=[]).inbound == []
    assert wanted().inbound is None


@pytest.mark.parametrize("word", ["none", " None "])
def test_the_word_of_the_environment_variable_is_refused_with_what_to_write(word: str) -> None:
    with pytest.raises(BadInput, match="environment variable only"):
        wanted(failsafe_outbound_host_ports=[word])


@pytest.mark.parametrize("entry", [5, "tcp:22", [], {"protocol": "tcp", "port": "ssh"}, {**SSH, "ports": 1}])
def test_what_is_no_entry_is_named_by_its_place(entry: Any) -> None:
    with pytest.raises(BadInput, match=r"failsafe_inbound_host_ports\[1\]"):
        wanted(failsafe_inbound_host_ports=[SSH, entry])


def test_entries_are_added_and_taken_away_of_the_list_that_applies() -> None:
    found = wanted(failsafe_inbound_add=[SSH])
    assert found.edits
    assert not wanted().edits
