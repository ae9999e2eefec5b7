# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One write of a policy set's plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

Object = dict[str, Any]


@dataclass(frozen=True)
class PolicyWrite:
    """One write.

    :ivar action: ``create``, ``update`` or ``delete``
    :ivar wanted: the object to write, or None to delete
    :ivar live: what is stored when the run begins, or None
    :ivar interim: belongs to the way only, and is not what stays at the end
    """

    action: str
    kind: str
    name: str
    wanted: Optional[Object]
    live: Optional[Object]
    interim: bool = False
