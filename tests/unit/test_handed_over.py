# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is planned is what is written, and no role reads what another one keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit import remedy
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.policy_sets import SET_OPTIONS
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.reach import OPTIONS as REACH_OPTIONS
from jinja2.nativetypes import NativeEnvironment

ROLES = Path(__file__).parents[2] / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())
# What only the plan is given: in other modes, other modules write.
OF_THE_PLAN = {"mode", "agents", "replace_auto", "auto_create_default", "auto_templates"}


def tasks_of(file: Path) -> Iterator[dict[str, Any]]:
    """Every task of a file, those of blocks too."""
    pending = list(yaml.safe_load(file.read_text()) or [])
    while pending:
        task = pending.pop(0)
        yield task
        for part in ("block", "rescue", "always"):
            pending += task.get(part, [])


def planned(step: str) -> set[str]:
    return set(yaml.safe_load((ROLES / "plan" / "vars" / "main.yml").read_text())[f"__plan_{step}"])


def written(role: str, tasks: str, module: str) -> set[str]:
    found: set[str] = set()
    for task in tasks_of(ROLES / role / "tasks" / tasks):
        found |= set(task.get(f"hostfence.calico.{module}", {}))
        found |= set(task.get("module_defaults", {}).get(f"hostfence.calico.{module}", {}))
    return found


@pytest.mark.parametrize(
    ("step", "tasks", "module"),
    [
        ("felix", ["write.yml"], "felix_configuration"),
        ("host_endpoints", ["write.yml", "reconcile.yml"], "host_endpoints"),
    ],
)
def test_every_option_that_is_planned_is_written(step, tasks, module):
    given = set().union(*(written(step, name, module) for name in tasks))
    assert planned(step) - OF_THE_PLAN - given == set()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, None),
        ({"host_endpoints_templates": ["a"]}, ["a"]),
        ({"host_endpoints_templates": ["a"], "host_endpoints_auto_templates": ["b"]}, ["b"]),
        ({"host_endpoints_templates": ["a"], "host_endpoints_auto_templates": []}, []),
    ],
)
def test_templates_of_all_modes_are_those_of_mode_auto(said: dict[str, Any], expected: Any) -> None:
    [written] = [
        task["hostfence.calico.auto_host_endpoints"]["templates"]
        for task in tasks_of(ROLES / "host_endpoints" / "tasks" / "auto.yml")
        if "hostfence.calico.auto_host_endpoints" in task
    ]
    of_the_plan = yaml.safe_load((ROLES / "plan" / "vars" / "main.yml").read_text())["__plan_host_endpoints"]
    for expression in (written, of_the_plan["auto_templates"]):
        rendered = (
            NativeEnvironment()
            .from_string(expression)
            .render({"host_endpoints_templates": [], "omit": None, **said})
        )
        assert rendered == expected


def test_a_policy_set_is_written_with_the_options_that_the_plan_returned():
    (each,) = tasks_of(ROLES / "policies" / "tasks" / "write.yml")
    assert (each["ansible.builtin.include_tasks"], each["loop"]) == ("set.yml", "{{ policies_planned }}")
    (task,) = tasks_of(ROLES / "policies" / "tasks" / "set.yml")
    given = task["hostfence.calico.policies"]
    of_the_set = {name for name in given if re.search(rf"\b__policies_set\.{name}\b", str(given[name]))}
    assert of_the_set == {*SET_OPTIONS}
    assert {*REACH_OPTIONS} <= {*given}


def test_what_is_planned_is_given_to_the_write():
    (step,) = tasks_of(ROLES / "plan" / "tasks" / "step.yml")
    assert step["vars"]["policies_planned"] == "{{ plan_made.sets_to_write }}"
    look = next(t for t in tasks_of(ROLES / "plan" / "tasks" / "main.yml") if "hostfence.calico.plan" in t)
    assert step["vars"]["policies_networks"] == look["hostfence.calico.plan"]["networks"]


def test_no_other_task_puts_a_policy_set_together():
    made = [
        f"{role}/{file.name}"
        for role in NAMES
        for file in sorted((ROLES / role / "tasks").glob("*.yml"))
        for task in tasks_of(file)
        if {"platform", "src"} & {*task.get("hostfence.calico.policies", {})}
    ]
    assert made == ["policies/set.yml"]


def kept_by(role: str) -> set[str]:
    """Names of the facts and results that a role keeps."""
    kept: set[str] = set()
    for file in (ROLES / role / "tasks").glob("*.yml"):
        for task in tasks_of(file):
            kept |= {task["register"]} if "register" in task else set()
            kept |= {*task.get("ansible.builtin.set_fact", {})} - {"cacheable"}
    return kept


@pytest.mark.parametrize("role", NAMES)
def test_no_role_reads_what_another_one_keeps(role):
    kept = set().union(*(kept_by(other) for other in NAMES if other != role)) - kept_by(role)
    assert len(kept) > 10
    sources = [
        path for path in (ROLES / role).rglob("*") if path.suffix in (".yml", ".j2") and path.is_file()
    ]
    words = {word for path in sources for word in re.findall(r"\w+", path.read_text())}
    assert kept & words == set()


def test_the_audit_is_given_every_variable_that_its_remedies_are_worded_in():
    named = set(re.findall(r'"(policies_\w+)"', Path(remedy.__file__).read_text())) - {"policies_allow"}
    given = yaml.safe_load((ROLES / "audit" / "vars" / "main.yml").read_text())["__audit_of_policies"]
    of_the_role = yaml.safe_load((ROLES / "policies" / "defaults" / "main.yml").read_text())
    assert len(named) > 5
    assert named == given.keys()
    assert named <= of_the_role.keys()


@cache
def switches() -> frozenset[str]:
    """Variables of roles that are true or false."""
    specs = [yaml.safe_load(file.read_text()) for file in ROLES.glob("*/meta/argument_specs.yml")]
    entries = [entry for spec in specs for entry in spec["argument_specs"].values()]
    options = [option for entry in entries for option in entry.get("options", {}).items()]
    return frozenset(name for name, option in options if option.get("type") == "bool")


def conditions(file: Path) -> Iterator[str]:
    """What a file of tasks makes conditional, and the conditions in any file's templates."""
    for task in tasks_of(file) if file.parent.name == "tasks" else ():
        asked = [task.get("when"), task.get("ansible.builtin.assert", {}).get("that")]
        yield from (str(one) for part in asked for one in (part if isinstance(part, list) else [part]))
    for template in re.findall(r"\{[{%].*?[%}]\}", file.read_text(), re.DOTALL):
        yield from re.findall(r"\bif\s+(.*?)(?:\belse\b|[)\]]|[%}]\})", template, re.DOTALL)


@pytest.mark.parametrize("role", NAMES)
def test_a_switch_that_a_command_line_gives_is_one(role):
    """-e gives text: true whatever it says, and where it is the whole of a condition, Ansible refuses it."""
    named = re.compile(rf"\b({'|'.join(sorted(switches()))})\b(?!\s*(?:\|[^|]*)?\|\s*bool\b)")
    parts = ("tasks/*.yml", "vars/*.yml", "defaults/*.yml", "templates/*")
    files = [file for part in parts for file in (ROLES / role).glob(part)]
    assert [
        (file.name, found[1]) for file in files for one in conditions(file) if (found := named.search(one))
    ] == []
