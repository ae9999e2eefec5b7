# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ansible-playbook, run by a warm Python that has imported it."""

from __future__ import annotations

import atexit
import shutil
import tempfile

from ansible import constants
from ansible.cli.playbook import main

# The one that was made on import is of all that fork.
constants.DEFAULT_LOCAL_TMP = tempfile.mkdtemp(prefix="hostfence-ansible-")
atexit.register(shutil.rmtree, constants.DEFAULT_LOCAL_TMP, ignore_errors=True)

main()
