# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What came after the last release says so, for who writes a playbook for an older version."""

from __future__ import annotations

import yaml

from tests.unit.docs.released import RELEASED, ROOT, options

KNOWN = frozenset(RELEASED.read_text().splitlines())
RELEASES = yaml.safe_load((ROOT / "changelogs" / "changelog.yaml").read_text())["releases"]


def numbers(version):
    return tuple(map(int, version.split(".")))


def is_new(where, path):
    return f"{where} {path}".strip() not in KNOWN


def test_what_is_newer_than_the_last_release_names_its_version():
    found = list(options())
    versions = {(where, path): version for where, path, version in found}
    assert len(found) > 400
    silent = set()
    for where, path, version in found:
        parent = path.rpartition(".")[0]
        # Of what is new as a whole, and says so, nothing more need be said.
        whole = (is_new(where, "") and versions[where, ""]) or (parent and is_new(where, parent))
        if is_new(where, path) and not version and not whole:
            silent.add(f"{where} {path}")
    assert silent == set()


def test_what_was_released_has_no_later_version():
    last = max(map(numbers, RELEASES))
    late = {
        f"{where} {path}"
        for where, path, version in options()
        if version and not is_new(where, path) and numbers(version) > last
    }
    assert late == set()
