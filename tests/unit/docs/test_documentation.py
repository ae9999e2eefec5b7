# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What documentation says beside what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.hostfence.calico.plugins.action.flow_files import OPTIONS as FLOW_OPTIONS
from ansible_collections.hostfence.calico.plugins.action.report_files import OPTIONS as REPORT_OPTIONS
from ansible_collections.hostfence.calico.plugins.doc_fragments.connection import ModuleDocFragment
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import CONNECTION_OPTIONS
from ansible_collections.hostfence.calico.plugins.modules import flow_files, report_files
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.checks import CHECKS
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.document import build
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.files import FORMS
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.prometheus import prometheus

ROOT = Path(__file__).resolve().parent.parent.parent.parent
MODULES = sorted((ROOT / "plugins" / "modules").glob("*.py"))
REPORT = (ROOT / "docs" / "report.md").read_text()


def told(options):
    """Of each option what a module's code says of it as well."""
    return {
        name: {
            "type": option.get("type", "str"),
            "aliases": option.get("aliases", []),
            "elements": option.get("elements"),
            "choices": option.get("choices"),
            "default": option.get("default"),
            "required": option.get("required", False),
            "options": told(option.get("options") or option.get("suboptions") or {}),
        }
        for name, option in options.items()
    }


def test_our_connection_options_are_those_of_kubernetes_core():
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    assert told(documented) == told(CONNECTION_OPTIONS)


@pytest.mark.parametrize(("module", "options"), [(report_files, REPORT_OPTIONS), (flow_files, FLOW_OPTIONS)])
def test_the_action_takes_what_its_module_documents(module, options):
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert told(documented) == told(options)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_documentation_needs_no_other_collection(module):
    document = re.search(r'^DOCUMENTATION = r"""(.*?)^"""', module.read_text(), re.MULTILINE | re.DOTALL)[1]
    fragments = yaml.safe_load(document).get("extends_documentation_fragment", [])
    assert fragments
    assert all(name.startswith("hostfence.calico.") for name in fragments)


def test_links_of_plugins_lead_to_this_repository():
    links = {
        found
        for file in (ROOT / "plugins").rglob("*.py")
        for found in re.findall(r"https://github\.com/hostfence/([\w./-]+)", file.read_text())
    }
    assert len(links) > 3
    for link in links:
        path = link.partition("hostfence.calico/blob/main/")[2]
        assert (ROOT / path).is_file(), link


def test_changes_are_written_without_the_markup_of_modules():
    """A changelog shows it as it is."""
    for file in (ROOT / "changelogs" / "fragments").glob("*.yml"):
        assert re.findall(r"(?<!`)\b[CVOMRIBE]+\([^)]*\)", file.read_text()) == [], file.name


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_every_check_of_a_report_is_in_its_guide(check):
    findings = ", ".join(f"`{prefix}.*`" for prefix in check.findings) or "-"
    assert f"| {check.title} | {check.question} | {findings} |" in REPORT


def test_every_form_and_metric_is_in_its_guide(everything_found):
    for name, form in FORMS.items():
        assert f"| `{name}` | `{form.file}` |" in REPORT
    metrics = set(
        re.findall(
            r"^# TYPE (\S+)", prometheus(build(everything_found, "2026-11-28T16:30:00Z", "0")), re.MULTILINE
        )
    )
    rows = [line for line in REPORT.splitlines() if line.startswith("| `hostfence_")]
    documented = {name for row in rows for name in re.findall(r"`(hostfence_\w+)[`{]", row.split("|")[1])}
    assert documented == metrics
    assert all(len(row.rstrip(" |").rsplit("|", 1)[1].strip()) > 10 for row in rows)
