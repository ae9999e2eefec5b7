# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is planned is what is written: both are given the same variables."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).parents[2] / "roles"
# What only the plan is given: in other modes, other modules write.
OF_THE_PLAN = {"mode", "agents", "replace_auto", "auto_create_default", "auto_templates"}


def planned(step: str) -> set[str]:
    return set(yaml.safe_load((ROLES / "plan" / "vars" / "main.yml").read_text())[f"__plan_{step}"])


def written(role: str, tasks: str, module: str) -> set[str]:
    found: set[str] = set()
    for task in yaml.safe_load((ROLES / role / "tasks" / tasks).read_text()):
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
