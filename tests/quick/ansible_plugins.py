# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plugins that ansible-playbook loads whatever it runs, to be imported beforehand."""

from __future__ import annotations

from ansible.plugins import loader

loader.init_plugin_loader()
for kind in (
    loader.action_loader,
    loader.become_loader,
    loader.callback_loader,
    loader.connection_loader,
    loader.filter_loader,
    loader.inventory_loader,
    loader.shell_loader,
    loader.test_loader,
):
    list(kind.all(class_only=True))
loader.strategy_loader.get("linear", class_only=True)
# With what Ansible keeps of its own collection and of this one.
loader.inventory_loader.get("hostfence.calico.nodes", class_only=True)
