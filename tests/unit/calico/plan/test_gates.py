# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who must be seen before and after what is enforced changes."""

from __future__ import annotations

from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan import gates


def test_who_must_be_seen() -> None:
    governed, reached = ["a", "b", "c"], {"a", "b", "x"}
    assert gates.unreached(governed, reached) == ("c",)
    assert gates.provable(governed, reached) == ("a", "b")
    assert gates.unverified(governed, {"a", "c"}) == ("b",)


def test_the_refusal_names_the_nodes_and_what_to_do() -> None:
    text = gates.unreached_refusal(("a", "b"), ())
    assert text.startswith("Nothing was written.")
    assert ": a, b." in text
    assert "policies_prove" in text
    assert "In force already" not in text
    assert "and perhaps why: ssh. The way back" in gates.unreached_refusal(("a",), ("ssh",))
