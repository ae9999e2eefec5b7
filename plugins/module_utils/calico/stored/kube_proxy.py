# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which mode kube-proxy runs, as far as its configuration says so: Felix goes by it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MODES = ("iptables", "ipvs", "nftables")
NAMESPACE, CONFIG_MAP = "kube-system", "kube-proxy"

# In YAML or JSON, which may be one line; a line that is a comment says nothing.
_MODE = re.compile(r"""^(?!\s*#)(?:.*[{,])?[\s"']*mode["']?\s*:\s*["']?([a-zA-Z]*)""", re.MULTILINE)


def configured_mode(objects: Iterable[Mapping[str, Any]]) -> str:
    """The mode in the ConfigMap that kubeadm writes, one of :data:`MODES`; empty where nothing says it."""
    for item in objects:
        metadata = item.get("metadata")
        if item.get("kind") != "ConfigMap" or not isinstance(metadata, Mapping):
            continue
        if (metadata.get("namespace"), metadata.get("name")) != (NAMESPACE, CONFIG_MAP):
            continue
        data = item.get("data")
        for text in data.values() if isinstance(data, Mapping) else ():
            found = _MODE.search(text) if isinstance(text, str) else None
            if found:
                mode = found.group(1).lower()
                return mode if mode in MODES else "iptables"
    return ""
