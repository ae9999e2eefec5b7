# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does a real Felix run on the testbed?"""

from __future__ import annotations

from testbed.state import load, run_directory


def felix_runs() -> bool:
    """Whether somebody programs the nodes' kernels, and takes a moment; else recorded rules stand there."""
    state = load(run_directory())
    return bool(state and state.calico_bin)
