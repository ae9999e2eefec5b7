# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a value of any shape is read where a mapping belongs: what is stored or dumped never stops a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def mapping_of(value: object) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    # Nearly all are plain ones, 50,000 rules of a dump among them: of those it is known at once.
    return value if isinstance(value, dict) or isinstance(value, Mapping) else {}  # noqa: SIM101
