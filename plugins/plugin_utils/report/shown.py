# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Text that others chose, made safe to look at.

Names of nodes, labels and processes come from the cluster. Escaping is the template engine's work; what is
done here is about characters that would not be seen, or change what is seen around them.
"""

from __future__ import annotations

import re

# Control characters, those that change the direction of text or have no width, halves of surrogate pairs and
# what Unicode says is no character: none is allowed in XML, or seen by a reader.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """What cannot be seen is written as ``\\u202e``, so that two names that differ look different."""
    return _UNSEEN.sub(_written, text)


def _written(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}"
