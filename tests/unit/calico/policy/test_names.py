# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of kinds, tiers and policies, and how Calico stores them."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.names import (
    canonical_name,
    stored_name,
    stores_default_prefix,
)

from tests.unit.calico.policy.read import gnp, read


@pytest.mark.parametrize(
    ("given", "tier", "canonical"),
    [
        ("ssh", "hostfence", "hostfence.ssh"),
        ("hostfence.ssh", "hostfence", "hostfence.ssh"),
        ("ssh", "default", "ssh"),
        ("default.ssh", "default", "ssh"),
    ],
)
def test_canonical_name(given, tier, canonical):
    assert canonical_name(given, tier) == canonical
    assert read(gnp(given), tier=tier).policies[0].name == canonical


@pytest.mark.parametrize(
    ("version", "tiers", "prefix"),
    [
        ("v3.28.2", False, True),
        ("v3.31.0", True, True),
        ("v3.32.0", True, False),
        ("v3.32.1-0.dev-5-gabc", True, False),
        ("v4.0.0", True, False),
        ("", True, False),
        ("", False, True),
        ("master", True, False),
    ],
)
def test_names_in_storage_by_version(version, tiers, prefix):
    assert stores_default_prefix(version, tiers) is prefix
    assert stored_name("ssh", "default", prefix) == ("default.ssh" if prefix else "ssh")
    assert stored_name("edge.ssh", "edge", prefix) == "edge.ssh"
