# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every playbook does that people start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

PLAYBOOKS = Path(__file__).parents[2] / "playbooks"
# Only imported by others.
PARTS = {"carry_out", "kernels", "limited", "misspelt"}
# These look for misspelt variables: by themselves, or because they plan.
LOOK = {"hostfence.calico.misspelt", "hostfence.calico.carry_out"}


def plays(name: str) -> list[dict[str, Any]]:
    return yaml.safe_load((PLAYBOOKS / f"{name}.yml").read_text())


def looks_for_misspelt_variables(play: dict[str, Any]) -> bool:
    roles = [task.get("ansible.builtin.import_role", {}).get("name") for task in play.get("tasks", [])]
    return play.get("import_playbook") in LOOK or "hostfence.calico.plan" in roles


@pytest.mark.parametrize("name", sorted({path.stem for path in PLAYBOOKS.glob("*.yml")} - PARTS))
def test_misspelt_variables_are_named_before_anything_else(name: str) -> None:
    begun = [play for play in plays(name) if play.get("import_playbook") != "hostfence.calico.limited"]
    assert looks_for_misspelt_variables(begun[0])
