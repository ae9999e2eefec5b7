# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """What all modules of a transaction take, besides logins."""

    DOCUMENTATION = r"""
options:
  settle:
    description: Seconds within which Felix sees a write, where no node can be looked at.
    type: float
    default: 1
"""
