# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What protects the hosts in a transaction, how each of it is switched off, and the test that must see it."""

from __future__ import annotations

from dataclasses import dataclass

_PURE = "plugins/module_utils/calico/transaction"
_NODE = "plugins/module_utils/node"
_RUN = "plugins/module_utils/cluster"
_STEPS = "tests/unit/calico/transaction/test_steps.py"
_CHANGE = "tests/unit/calico/transaction/test_change.py"
_WAVES = "tests/unit/calico/transaction/test_waves.py"
_STATE = "tests/unit/calico/transaction/test_state.py"
_VIEW = "tests/unit/calico/transaction/test_kernel_view.py"
_WATCHDOG = "tests/unit/node/test_watchdog.py"
_LIFELINE = "tests/unit/node/test_lifeline.py"
_FORGET = "tests/unit/node/test_forget_connections.py"
_PROBE = "tests/unit/node/test_switch_probe.py"
_LOGINS = "tests/unit/controller/test_logins.py"
_PERMISSIONS = "tests/unit/cluster/test_permissions.py"


@dataclass(frozen=True)
class Protection:
    """One protection, and how to do without it.

    :ivar name: what it does
    :ivar path: file of the repository that holds it
    :ivar there: text that is in the file once
    :ivar without: what stands in its place when it is switched off
    :ivar test: what must fail then: file and name of a test, or the number of a row of the fault matrix
    """

    name: str
    path: str
    there: str
    without: str
    test: str


PROTECTIONS = (
    Protection(
        "a guard of new policy passes while the switch is off",
        f"{_PURE}/guards.py",
        '"notSelector" if when_on else "selector"',
        '"notSelector"',
        f"{_STEPS}::test_a_tier_that_is_new_and_one_that_goes",
    ),
    Protection(
        "a guard selects no direction that no policy governs",
        f"{_PURE}/guards.py",
        '"types": list(selection.types),',
        '"types": [INGRESS, EGRESS],',
        f"{_STEPS}::test_one_direction_governed_before_and_the_other_after",
    ),
    Protection(
        "a guard stands before every policy of its tier",
        f"{_PURE}/guards.py",
        "return min(orders, default=1.0) - 1",
        "return max(orders, default=1.0) + 1",
        f"{_STEPS}::test_a_guard_comes_before_what_it_guards",
    ),
    Protection(
        "each wave has a switch of its own",
        f"{_PURE}/guards.py",
        'return wave if selector == "all()" else f"({selector}) && ({wave})"',
        "return selector",
        f"{_STEPS}::test_one_direction_governed_before_and_the_other_after",
    ),
    Protection(
        "a tier with somebody else's policy gets no guard",
        f"{_PURE}/change.py",
        'if obj["kind"] != POLICY or labels.get(OWNER_LABEL) != OWNER:',
        "if False:",
        f"{_CHANGE}::test_what_no_switch_can_do_is_refused_by_name",
    ),
    Protection(
        "a network set that changes under a policy is refused",
        f"{_PURE}/change.py",
        'found = next(filter(None, (matched_by(labels, some) for some in readers)), "")',
        'found = ""',
        f"{_CHANGE}::test_a_network_set_that_changes_under_a_policy_is_refused",
    ),
    Protection(
        "a rule that would find the switch is refused",
        f"{_PURE}/change.py",
        "found = matched_by(switch_labels(number), [p for p in policies if not is_guard(p)])",
        'found = ""',
        f"{_CHANGE}::test_a_rule_that_would_find_the_switch_is_refused",
    ),
    Protection(
        "a tier does not move past another one",
        f"{_PURE}/change.py",
        "between = [rank for rank in others if first < rank < last]",
        "between = []",
        f"{_CHANGE}::test_what_no_switch_can_do_is_refused_by_name",
    ),
    Protection(
        "doNotTrack policy is refused",
        f"{_PURE}/change.py",
        'if (obj.get("spec") or {}).get("doNotTrack"):',
        "if False:",
        f"{_CHANGE}::test_what_no_switch_can_do_is_refused_by_name",
    ),
    Protection(
        "Calico's own tiers are refused",
        f"{_PURE}/change.py",
        "if name in BUILTIN_TIERS:",
        "if False:",
        f"{_CHANGE}::test_what_no_switch_can_do_is_refused_by_name",
    ),
    Protection(
        "no host is without a switch",
        f"{_PURE}/waves.py",
        "return (*first, Wave(last.name, rest, last.nodes))",
        "return tuple(waves)",
        f"{_WAVES}::test_every_endpoint_is_in_exactly_one_wave",
    ),
    Protection(
        "control-plane nodes change singly and last",
        f"{_PURE}/waves.py",
        'waves += [(f"control plane {host.node}", [host]) for host in control_plane]',
        'waves += [("control plane", control_plane)]',
        f"{_WAVES}::test_canary_grows_and_ends_with_single_control_plane_nodes",
    ),
    Protection(
        "a host with eBPF and without a Node object is refused",
        f"{_PURE}/waves.py",
        'flag("bpfEnabled", default=False)',
        'flag("none", default=False)',
        f"{_WAVES}::test_a_host_with_ebpf_and_without_a_node_object_is_refused",
    ),
    Protection(
        "nothing is switched before the kernel holds the new policy",
        f"{_PURE}/kernel_view.py",
        "if any(not names & chains for names in _chains(write, endpoints)):",
        "if False:",
        f"{_VIEW}::test_a_policy_that_is_not_in_the_kernel_is_named",
    ),
    Protection(
        "nothing is taken away before the kernel has let go of it",
        f"{_PURE}/kernel_view.py",
        "if all_chains(write) & chains:",
        "if False:",
        f"{_VIEW}::test_a_policy_that_is_to_be_gone_is_named",
    ),
    Protection(
        "guards know the switch before old policy has one",
        f"{_PURE}/kernel_view.py",
        "if seen != wanted:",
        "if False:",
        f"{_VIEW}::test_guards_must_know_the_switch_as_it_is",
    ),
    Protection(
        "half of all addresses does not count as all",
        f"{_NODE}/switch_probe.py",
        "if members >= HALVES or",
        "if members & HALVES or",
        f"{_PROBE}::test_half_of_all_addresses_is_not_all",
    ),
    Protection(
        "a FORWARD chain that drops is seen",
        f"{_NODE}/switch_probe.py",
        'r"^:FORWARD DROP"',
        'r"^:FORWARD NONE"',
        f"{_PROBE}::test_a_forward_chain_that_drops_is_seen",
    ),
    Protection(
        "whoever else writes policy is kept away by name",
        f"{_PURE}/state.py",
        "if found and found[0].phase != SETTLED:",
        "if False:",
        f"{_STATE}::test_whoever_else_writes_policy_is_kept_away_by_name",
    ),
    Protection(
        "policies that no record holds are refused",
        f"{_PURE}/state.py",
        "if size > _LIMIT:",
        "if False:",
        f"{_STATE}::test_policies_that_no_annotation_holds_are_refused_before_anything_is_written",
    ),
    Protection(
        "a watchdog switches back at the end of the window",
        f"{_NODE}/watchdog.py",
        "and now >= self.deadline",
        "and now >= self.deadline + 3600",
        f"{_WATCHDOG}::test_a_clock_that_jumps_changes_nothing_for_one_that_saw_the_arming",
    ),
    Protection(
        "a watchdog decides by its own clock",
        f"{_NODE}/watchdog.py",
        "if self.known_since_arming:",
        "if False:",
        f"{_WATCHDOG}::test_a_clock_that_jumps_changes_nothing_for_one_that_saw_the_arming",
    ),
    Protection(
        "a watchdog never waits for longer than a window",
        f"{_NODE}/watchdog.py",
        'return max(0.0, min(window, _number(noted.get(f"{PREFIX}deadline")) - wall))',
        'return max(0.0, _number(noted.get(f"{PREFIX}deadline")) - wall)',
        f"{_WATCHDOG}::test_one_that_was_started_in_a_window_waits_for_what_is_left_of_it",
    ),
    Protection(
        "a watchdog leaves what is confirmed alone",
        f"{_NODE}/watchdog.py",
        'return phase == "switched" and',
        "return",
        f"{_WATCHDOG}::test_what_is_confirmed_is_left_alone",
    ),
    Protection(
        "a watchdog switches back what somebody turned on again",
        f"{_NODE}/watchdog.py",
        'if phase == "rolled-back":\n            return is_on',
        'if phase == "rolled-back":\n            return False',
        f"{_WATCHDOG}::test_what_went_back_and_is_on_again_goes_back_again",
    ),
    Protection(
        "a watchdog loses to a confirmation that it has not read",
        f"{_NODE}/watchdog.py",
        'version = {"resourceVersion": obj["metadata"]["resourceVersion"]}',
        "version: Json = {}",
        f"{_WATCHDOG}::test_the_way_back_is_taken_only_at_the_version_that_was_read",
    ),
    Protection(
        "the last resort opens ways and nothing else",
        f"{_NODE}/lifeline.py",
        'yield f"{_family(address)} daddr {address} tcp dport {int(port)}"\n    for',
        'yield f"{_family(address)} daddr {address}"\n    for',
        f"{_LIFELINE}::test_it_marks_what_the_node_lives_by_and_nothing_else",
    ),
    Protection(
        "the last resort lets IPv6 neighbours be found",
        f"{_NODE}/lifeline.py",
        'NEIGHBOURS = "{ 133, 134, 135, 136 }"',
        'NEIGHBOURS = "{ 128 }"',
        f"{_LIFELINE}::test_it_marks_what_the_node_lives_by_and_nothing_else",
    ),
    Protection(
        "the last resort comes before Calico's chains",
        f"{_NODE}/lifeline.py",
        "hook prerouting priority -199",
        "hook prerouting priority 0",
        f"{_LIFELINE}::test_it_stands_between_what_clears_marks_and_what_reads_them",
    ),
    Protection(
        "the last resort stays shut while a server can be reached",
        f"{_NODE}/lifeline.py",
        "except ConnectionRefusedError:\n        return True",
        "except ConnectionRefusedError:\n        return False",
        f"{_LIFELINE}::test_a_server_that_refuses_was_reached",
    ),
    Protection(
        "the last resort ends when it is asked to",
        f"{_NODE}/lifeline.py",
        "return os.path.exists(own)",
        "return True",
        f"{_LIFELINE}::test_one_that_was_asked_to_end_does_nothing",
    ),
    Protection(
        "the last resort does not go for one look that failed",
        f"{_NODE}/lifeline.py",
        "LOOKS = 3",
        "LOOKS = 1",
        f"{_LIFELINE}::test_one_look_that_fails_does_not_end_it",
    ),
    Protection(
        "Felix's connections are spared",
        f"{_NODE}/forget_connections.py",
        "return local and original not in spared and",
        "return local and",
        f"{_FORGET}::test_what_ends_at_the_host_goes",
    ),
    Protection(
        "connections that are only forwarded are spared",
        f"{_NODE}/forget_connections.py",
        "local = original[0][0] in own or reply[0][0] in own",
        "local = True",
        f"{_FORGET}::test_what_ends_at_the_host_goes",
    ),
    Protection(
        "a proof goes over a connection of its own",
        "plugins/module_utils/controller/openssh.py",
        '"ControlPath": "none",',
        "",
        "tests/unit/controller/test_openssh.py::test_our_options_stand_where_openssh_takes_them",
    ),
    Protection(
        "the same connection twice proves nothing",
        "plugins/module_utils/controller/logins.py",
        "if client in seen:",
        "if False:",
        f"{_LOGINS}::test_a_program_that_tells_no_session_is_not_believed",
    ),
    Protection(
        "a connection that comes from no outside proves nothing",
        "plugins/module_utils/controller/openssh.py",
        "if self.is_local:",
        "if False:",
        f"{_LOGINS}::test_a_connection_that_is_no_ssh_is_never_proved",
    ),
    Protection(
        "a token is made for no account but a watchdog's",
        "plugins/module_utils/cluster/permissions.py",
        '("", "serviceaccounts/token", *watchdogs.NAMES): ("create",),',
        '("", "serviceaccounts/token"): ("create",),',
        f"{_PERMISSIONS}::test_of_accounts_roles_and_tokens_only_the_watchdogs_may_be_changed",
    ),
    Protection(
        "kubelets are reached only where that was asked for",
        "plugins/module_utils/cluster/permissions.py",
        '("", "services", "kubernetes"): ("get",),',
        '("", "services", "kubernetes"): ("get",), ("", "nodes/proxy"): ("get",),',
        f"{_PERMISSIONS}::test_kubelets_are_reached_only_where_that_was_asked_for",
    ),
)


# What only a whole transaction on a real Felix shows. That a node cannot be logged in to after the switch is
# not among it: both the look at its kernel and the proof see that, and either is enough.
ON_FELIX = (
    Protection(
        "what broke after the switch is not confirmed",
        f"{_RUN}/transaction_proof.py",
        "broken = [name for name in proof.failed if name in self._before[node].worked]",
        "broken: list[str] = []",
        "11",
    ),
    Protection(
        "without watchdogs that live nothing is confirmed",
        f"{_RUN}/transaction.py",
        "if self._watchdogs and len(self._watchdogs.alive()) < self.options.watchdogs:",
        "if False:",
        "5",
    ),
    Protection(
        "policy that a kernel does not show is not switched",
        f"{_RUN}/transaction.py",
        "if late:",
        "if False:",
        "13",
    ),
    Protection(
        "the last resort of a wave's nodes is armed",
        f"{_RUN}/transaction.py",
        "        self._arm_nodes(number, wave, script)\n",
        "",
        "9",
    ),
)
