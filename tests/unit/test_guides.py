# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the guides promise is so: links, the index, the tree, and the recipes of CONTRIBUTING.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.presets import SHIPPED
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.required_flows import PLATFORMS
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.reasons import REASONS

ROOT = Path(__file__).resolve().parents[2]
GUIDES = (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("roles/*/README.md"))
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#]+)(?:#[^)]*)?\)")
GUARD = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())


def read(path: str) -> str:
    return (ROOT / path).read_text()


def load(path: str) -> Any:
    return yaml.safe_load(read(path)) if (ROOT / path).exists() else None


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(guide: Path) -> None:
    # The changelog is generated.
    links = [] if guide.name == "CHANGELOG.md" else LINK.findall(guide.read_text())
    assert [link for link in links if not (guide.parent / link).exists()] == []


def test_the_index_lists_every_page() -> None:
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    listed = {link for link in LINK.findall(read("docs/README.md")) if "/" not in link}
    assert pages == listed
    assert "docs/README.md" in LINK.findall(read("README.md"))


def test_on_a_cluster_of_ones_own_the_plan_is_run_first() -> None:
    section = read("README.md").partition("## On your cluster")[2].partition("\n## ")[0]
    commands = [line for line in section.splitlines() if line.startswith("ansible-playbook")]
    assert ".plan" in commands[0]
    assert ".site" in commands[1]


def test_the_architecture_names_every_place() -> None:
    page = read("docs/architecture.md")
    utilities = ROOT / "plugins" / "module_utils"
    places = {path.parent for path in utilities.rglob("*.py")} - {utilities}
    places |= {path for path in (ROOT / "plugins").iterdir() if path.is_dir()} - {utilities}
    names = {f"{path.relative_to(ROOT)}/" for path in places if any(path.iterdir())}
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_every_recipe_names_a_test_that_is_there() -> None:
    recipes = read("CONTRIBUTING.md").partition("## Recipes")[2].split("\n### ")[1:]
    assert len(recipes) >= 7
    for recipe in recipes:
        guards = GUARD.findall(recipe)
        assert guards, recipe
        for path, name in guards:
            assert f"def {name}(" in read(path), f"{path}::{name}"


def test_every_preset_can_be_chosen_and_is_documented() -> None:
    options = load("roles/policies/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert set(options["policies_platform"]["choices"]) == set(PLATFORMS)
    described = read("roles/policies/README.md")
    assert [name for name in PLATFORMS if name not in described] == []
    documentation = yaml.safe_load(read("plugins/modules/policies.py").split('r"""')[1].split('"""')[0])
    assert set(documentation["options"]["platform"]["suboptions"]["preset"]["choices"]) == set(PLATFORMS)


def test_every_shipped_set_is_documented_and_tested() -> None:
    shipped = [*SHIPPED, "allow"]
    described = read("roles/policies/README.md")
    tests = "".join(
        path.read_text()
        for folder in ("tests/integration", "molecule")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".yml")
    )
    assert [name for name in shipped if f"**`{name}`**" not in described or name not in tests] == []


def test_every_reason_has_a_test() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests/unit/calico/verdict").glob("test_*.py"))
    assert [code for code in REASONS if f'"{code}"' not in tests] == []


def test_the_execution_environment_names_the_artefact_that_is_built() -> None:
    built = f"hostfence-calico-{load('galaxy.yml')['version']}.tar.gz"
    definition = load("execution-environment.yml")
    assert definition["additional_build_files"][0]["src"] == f"dist/{built}"
    assert definition["dependencies"]["galaxy"]["collections"][-1]["name"] == f"artefact/{built}"


def test_a_checkout_is_a_project_with_all_that_it_needs() -> None:
    needed = [
        {"name": name, "version": version} for name, version in load("galaxy.yml")["dependencies"].items()
    ]
    assert load("requirements.yml")["collections"] == needed
    assert load("collections/requirements.yml")["collections"] == [*needed, {"name": ".", "type": "dir"}]


def test_the_version_is_not_older_than_what_it_holds() -> None:
    def numbers(version: str) -> tuple[int, ...]:
        return tuple(int(part) for part in re.findall(r"\d+", version)[:3])

    sources = [
        path for folder in ("plugins", "roles") for path in (ROOT / folder).rglob("*") if path.is_file()
    ]
    texts = [path.read_text() for path in sources if path.suffix in (".py", ".yml")]
    added = {found for text in texts for found in re.findall(r"version_added: '?\"?([\d.]+)", text)}
    assert added
    assert max(numbers(version) for version in added) <= numbers(load("galaxy.yml")["version"])


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_is_specified_defaulted_and_documented(role: str) -> None:
    options: dict[str, Any] = {}
    for entry in load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"].values():
        options.update(entry.get("options") or {})
    defaults = load(f"roles/{role}/defaults/main.yml") or {}
    described = read(f"roles/{role}/README.md")
    assert {name for name, option in options.items() if "default" in option} <= set(defaults)
    assert set(defaults) <= set(options)
    assert [name for name in options if not name.startswith(role)] == []
    assert [name for name in options if not is_named(name, described)] == []


def is_named(variable: str, text: str) -> bool:
    """Whether it is there in full, or as the end of a family of variables: `…_api_ports`."""
    endings = (f"`…{variable[at:]}`" for at in range(len(variable)))
    return f"`{variable}`" in text or any(ending in text for ending in endings)
