# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``python -m testbed``."""

from __future__ import annotations

import sys

from testbed.cli import main

sys.exit(main())
