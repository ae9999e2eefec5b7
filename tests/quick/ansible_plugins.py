# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plugins that ansible-playbook loads whatever it runs, to be imported beforehand."""

from __future__ import annotations

from ansible.plugins import loader

for kind in (loader.callback_loader, loader.filter_loader, loader.test_loader):
    list(kind.all(class_only=True))
for kind, name in (
    (loader.strategy_loader, "linear"),
    (loader.connection_loader, "local"),
    (loader.shell_loader, "sh"),
    (loader.action_loader, "normal"),
):
    kind.get(name, class_only=True)
