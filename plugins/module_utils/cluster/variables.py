# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What users wrote into an inventory, looked at before a role uses it. Runs on the controller only."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from ..calico.bad_input import BadInput
from ..calico.policy.reader import check_network

_ROLES = Path(__file__).resolve().parents[3] / "roles"
# Variables of the playbooks.
_NOT_OF_A_ROLE = (
    "hostfence_kubeconfig",
    "hostfence_context",
    "hostfence_hosts",
    "hostfence_plan_file",
    "explain_flow",
    "explain_nodes",
    "explain_staged",
    "explain_dataplane",
    "explain_felix_environment",
)
# How like a known name another one must be: policy_sets is 0.83, felix alone far from any.
_ALIKE = 0.83


@cache
def known_variables() -> frozenset[str]:
    """The variables of all roles of this collection, by their argument specifications."""
    import yaml  # which a node may lack; this is asked on the controller only

    found = set(_NOT_OF_A_ROLE)
    for file in _ROLES.glob("*/meta/argument_specs.yml"):
        entry_points = yaml.safe_load(file.read_text())["argument_specs"].values()
        found.update(name for entry in entry_points for name in entry.get("options", {}))
    return frozenset(found)


def misspelt(names: Iterable[str]) -> list[str]:
    """Of variables, those that look like one of the collection and are none, each with what is meant.

    :param names: all that are set
    """
    known = known_variables()
    # What a role registers, keeps as a fact or derives stands in its files; users seldom hit on such a name.
    return [
        f"{name}: no variable of Hostfence; did you mean {close[0]}?"
        for name in sorted(set(names) - known - _kept_by_roles())
        if (close := difflib.get_close_matches(name, known, 1, _ALIKE))
    ]


@cache
def _kept_by_roles() -> frozenset[str]:
    playbooks = (_ROLES.parent / "playbooks").glob("*.yml")
    files = [*_ROLES.glob("*/tasks/*.yml"), *_ROLES.glob("*/vars/*.yml"), *playbooks]
    return frozenset(name for file in files for name in re.findall(r"^\s*(\w+):", file.read_text(), re.M))


def network_faults(lists: Mapping[str, object]) -> list[str]:
    """What in lists of networks is none, each by the variable's name, its place and what to write."""
    faults = []
    for name, networks in lists.items():
        for index, network in enumerate(networks if isinstance(networks, (list, tuple)) else []):
            try:
                check_network(str(network), f"{name}[{index}]")
            except BadInput as refused:
                faults.append(str(refused))
    return faults


def set_path(path: str, inventories: Sequence[str], working_directory: str) -> str:
    """Where a set's file or directory is: in the directory of an inventory, else in the working directory.

    :param inventories: files or directories
    :returns: an absolute path; that in the working directory if it is nowhere
    """
    given = Path(path).expanduser()
    if given.is_absolute():
        return str(given)
    sources = [Path(source) for source in inventories]
    beside = [source if source.is_dir() else source.parent for source in sources if source.exists()]
    candidates = [directory / given for directory in (*beside, Path(working_directory))]
    return str(next((one for one in candidates if one.exists()), candidates[-1]))
