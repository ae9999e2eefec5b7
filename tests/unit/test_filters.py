# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters load what they need when they are called: each process that asks for one loads them all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COLLECTION = "ansible_collections.hostfence.calico.plugins"
FILTERS = sorted(
    path.stem for path in (Path(__file__).resolve().parents[2] / "plugins" / "filter").glob("*.py")
)
PRINT_LOADED = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(f"{sys.argv[1]}.filter.{name}")
print(*(name for name in sys.modules if name.startswith(f"{sys.argv[1]}.module_utils.calico.policy")))
"""


def loaded(*filters: str) -> str:
    command = [sys.executable, "-c", PRINT_LOADED, COLLECTION, *filters]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_no_filter_loads_the_reader_of_policies_before_it_is_called():
    assert len(FILTERS) > 5
    assert loaded(*FILTERS) == ""
