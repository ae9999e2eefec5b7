# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shows how far the module of this name is."""

from __future__ import annotations

from ansible_collections.hostfence.calico.plugins.plugin_utils.progress import ProgressAction


class ActionModule(ProgressAction):
    pass
