# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``python -m testbed``."""

from __future__ import annotations

import sys

try:
    from testbed.cli import main
except ModuleNotFoundError as missing:
    sys.exit(f"testbed: no package {missing.name!r} here: 'make dev', then .venv/bin/python -m testbed")

sys.exit(main())
