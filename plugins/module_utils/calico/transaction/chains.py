# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of the chains that Felix makes of policies."""

from __future__ import annotations

import base64
import hashlib

from ..felix.chains import POLICIES

_LIMIT = 28
_PREFIXES = dict(zip(("Ingress", "Egress"), POLICIES))


def chain_names(policy: str, tier: str, direction: str) -> frozenset[str]:
    """The names that a policy's chain may have in one direction.

    Felix v3.32 names it after the kind and the name (felix/types/policy_id.go), earlier ones after the tier
    and the name; what is longer than iptables allows is hashed (libcalico-go/lib/hash/unique_id.go).
    """
    prefix = _PREFIXES[direction]
    ids = (f"gnp/{policy}", f"{tier}/{policy}", f"{tier}/{policy.partition('.')[2]}")
    return frozenset(name for text in ids for name in _names(prefix, text))


def _names(prefix: str, text: str) -> tuple[str, ...]:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
    hashed = f"{prefix}_{digest[: _LIMIT - 1 - len(prefix)]}"
    # nftables allows long names, so there the whole one stands.
    return (prefix + text,) if len(prefix + text) <= _LIMIT else (hashed, prefix + text)
