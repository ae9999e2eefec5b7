# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation site has every guide in the order of the index; a survey has the shape that AWX takes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent.parent
sys.path.insert(0, str(ROOT / "docs" / "docsite"))
import build  # noqa: E402
import survey  # noqa: E402


def test_the_order_is_that_of_the_index_and_has_every_guide():
    names = build.order((ROOT / "docs" / "README.md").read_text())
    assert names[0] == "preflight"
    assert sorted(names) == sorted(
        page.stem for page in (ROOT / "docs").glob("*.md") if page.stem != "README"
    )


def test_links_out_of_the_guides_lead_to_roles_pages_or_the_repository():
    text = "[a](../roles/policies/README.md) [b](../SECURITY.md) [c](verdict.md#x) [d](https://e.example)"
    assert build.relinked(text) == (
        f"[a](../reference/policies_role.rst) [b]({build.REPOSITORY}/SECURITY.md) "
        "[c](verdict.md#x) [d](https://e.example)"
    )


def test_the_sources_are_whole(tmp_path):
    build.sources(tmp_path)
    index = (tmp_path / "index.md").read_text()
    listed = re.findall(r"^guides/(\S+)$", index, re.MULTILINE)
    assert listed == build.order((ROOT / "docs" / "README.md").read_text())
    assert {page.stem for page in (tmp_path / "guides").glob("*.md")} == set(listed)
    assert (tmp_path / "guides" / "report.png").is_file()
    assert "Hostfence protects the hosts" in index


ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if (path / "meta").is_dir())
# The keys and types that AWX takes: awx/main/models/mixins.py and awx/api/views, survey_spec.
AWX_TYPES = {"text", "textarea", "password", "integer", "float", "multiplechoice", "multiselect"}


@pytest.mark.parametrize("role", ROLES)
def test_a_survey_has_the_shape_that_awx_takes(role):
    made = survey.survey([role])
    assert set(made) == {"name", "description", "spec"}
    options = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())
    specified = {}
    for entry in options["argument_specs"].values():
        specified.update(entry.get("options") or {})
    for question in made["spec"]:
        kind, default = question["type"], question["default"]
        assert kind in AWX_TYPES
        assert question["question_name"]
        assert question["question_description"]
        assert specified[question["variable"]]["type"] in ("str", "path", "int", "float", "list")
        if kind in ("multiplechoice", "multiselect"):
            assert question["choices"]
            given = default.split("\n") if kind == "multiselect" else [default]
            assert set(given) <= {*question["choices"], ""}
        if kind in ("integer", "float"):
            assert default == "" or question["min"] <= default <= question["max"]
        if kind == "text":
            assert len(default) <= question["max"]
            assert "{{" not in default


def test_a_survey_asks_for_the_state_and_the_mode():
    made = {question["variable"]: question for question in survey.survey(list(survey.DEFAULT_ROLES))["spec"]}
    assert {"staged", "enforced", "absent"} <= set(made["policies_state"]["choices"])
    assert made["policies_state"]["default"] in made["policies_state"]["choices"]
    assert made["host_endpoints_mode"]["type"] == "multiplechoice"
    assert made["report_formats"]["type"] == "multiselect"
    assert "policies_node_cidrs" not in made
