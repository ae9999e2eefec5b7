# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gives ansible-test's own virtual environments a pip from the standard library.

ansible-test looks for a bootstrap script in its cache and downloads one only where there is none.
With this one in that place, sanity tests need no server but a package index.
"""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: ensurepip switches pip's configuration off for the process it runs in.
subprocess.check_call([sys.executable, "-m", "ensurepip"])
wanted = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *wanted]))
