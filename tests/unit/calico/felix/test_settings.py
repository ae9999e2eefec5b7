# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which source of Felix's settings wins on a node."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.felix.settings import (
    FelixSettings,
    selector_scoped,
    variable_of,
)

from tests.unit import builders
from tests.unit.builders import Object

LABELS = {"rack": "a"}


def configuration(name: str, created: str = "", **spec: Any) -> Object:
    made = builders.felix_configuration(name, **spec)
    made["metadata"]["creationTimestamp"] = created
    return made


# The strongest first.
SOURCES = ("environment", "file", "node", "scoped", "default")


def said(chosen: tuple[str, ...]) -> FelixSettings:
    objects = {
        "node": configuration("node.n1", logFilePath="node"),
        "scoped": configuration("rack", nodeSelector="rack == 'a'", logFilePath="scoped"),
        "default": configuration("default", logFilePath="default"),
    }
    others = [configuration("node.n2", logFilePath="other"), configuration("other", logFilePath="other")]
    return FelixSettings(
        [*(objects[name] for name in reversed(SOURCES) if name in chosen and name in objects), *others],
        "n1",
        LABELS,
        {"felix_LogFilePath": "environment"} if "environment" in chosen else {},
        {"FELIX_LOGFILEPATH": "file"} if "file" in chosen else {},
    )


@pytest.mark.parametrize(
    "chosen", [some for count in range(6) for some in itertools.combinations(SOURCES, count)], ids="-".join
)
def test_of_any_sources_the_strongest_wins_and_the_others_are_said_after_it(chosen: tuple[str, ...]) -> None:
    found = said(chosen)
    assert tuple(setting.value for setting in found.said("logFilePath")) == chosen
    assert found.value("logFilePath") == (chosen[0] if chosen else None)


def test_sources_are_named_as_messages_name_them() -> None:
    assert [(setting.source, setting.textual) for setting in said(SOURCES).said("logFilePath")] == [
        ("environment variable FELIX_LOGFILEPATH", True),
        ("Felix's configuration file", True),
        ("FelixConfiguration node.n1", False),
        ("FelixConfiguration rack", False),
        ("FelixConfiguration default", False),
    ]
    assert variable_of("bpfEnabled") == "FELIX_BPFENABLED"


@pytest.mark.parametrize(
    ("text", "flag"),
    [("true", True), ("1", True), ("YES", True), (" t ", True), ("false", False), ("on", False), ("", True)],
)
def test_a_flag_by_variable_is_read_as_felix_reads_text(text: str, flag: bool) -> None:
    settings = FelixSettings(
        [configuration("default", bpfEnabled=True)], "n1", {}, {"FELIX_BPFENABLED": text}
    )
    assert settings.flag("bpfEnabled", default=False) is flag


@pytest.mark.parametrize(("value", "flag"), [(True, True), (False, False), ("true", False), (1, False)])
def test_a_flag_by_object_is_true_only_if_it_is(value: object, flag: bool) -> None:
    settings = FelixSettings([configuration("default", bpfEnabled=value)], "n1", {})
    assert settings.flag("bpfEnabled", default=not flag) is flag
    assert FelixSettings([], "n1", {}).flag("bpfEnabled", default=flag) is flag


def test_of_several_that_select_a_node_the_oldest_wins_and_of_one_age_the_first_name() -> None:
    selector = {"nodeSelector": "has(rack)"}
    old, young = configuration("z", "2026-01-01", **selector), configuration("a", "2026-02-01", **selector)
    assert selector_scoped([young, old], LABELS) is old
    twin = configuration("b", "2026-01-01", **selector)
    assert selector_scoped([old, twin], LABELS) is twin


@pytest.mark.parametrize("selector", ["rack == 'b'", "rack = 'a'", "", None, 5])
def test_one_whose_selector_does_not_match_or_cannot_be_read_is_left_out(selector: Any) -> None:
    assert selector_scoped([configuration("x", nodeSelector=selector)], LABELS) is None
