# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who must be seen before and after what is enforced changes, from explicit results of every node.

Never from which hosts Ansible still counts as alive: ``serial``, ``rescue`` and ``max_fail_percentage`` do
not see a host that a firewall has just cut off.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def unreached(governed: Iterable[str], reached: Collection[str]) -> tuple[str, ...]:
    """Nodes that policy governs and that could not be logged in to."""
    return tuple(sorted({*governed} - {*reached}))


def provable(governed: Iterable[str], reached: Collection[str]) -> tuple[str, ...]:
    """Nodes that are to take a new login afterwards.

    A node that could not be reached before says nothing about the change.
    """
    return tuple(sorted({*governed} & {*reached}))


def unverified(governed: Iterable[str], verified: Collection[str]) -> tuple[str, ...]:
    """Nodes that policy governs and whose failsafes were not seen in their kernel."""
    return tuple(sorted({*governed} - {*verified}))


def unreached_refusal(nodes: Iterable[str], enforced: Sequence[str]) -> str:
    """Why nothing is written while these nodes cannot be logged in to.

    :param enforced: sets that are in force already, and may be why
    """
    way_back = (
        f"In force already, and perhaps why: {', '.join(enforced)}. The way back is the same command with "
        "-e policies_state=staged. "
    )
    return (
        "Nothing was written. What is enforced on these nodes would change or is to be proved, and this "
        "machine cannot log in to them to see whether they still let it in afterwards: "
        f"{', '.join(nodes)}. {way_back if enforced else ''}Fix that, add them to the inventory group of the "
        "nodes if they are not in it, or set policies_prove to false."
    )
