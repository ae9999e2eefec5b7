# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Opens a connection and keeps it idle: SOURCE, TO, PORT."""

from __future__ import annotations

import socket
import sys
import time

source, to, port = sys.argv[1:]
one = socket.create_connection((to, int(port)), source_address=(source, 0))
print("open", flush=True)
time.sleep(3600)
