# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation site has every guide, in the order of the index, and no link out of it leads nowhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent.parent
sys.path.insert(0, str(ROOT / "docs" / "docsite"))
import build  # noqa: E402


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
