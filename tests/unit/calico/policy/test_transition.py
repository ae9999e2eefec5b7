# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No instant of a transition is stricter than both its ends.

The evaluator here is small and knows nothing of transition.py: tiers, order, actions, the three classes
a tracked packet can meet, end-of-tier drop, default-allow profile.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico import selector
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.transition import (
    PolicyState,
    PolicyStep,
    Ranked,
    SetMembers,
    is_bridge,
    plan,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

ADDRESSES = ("10.0.0.1/32", "10.0.0.2/32")
PORTS = (22, 80)
ENDPOINTS = ({"role": "a"}, {"role": "b"})
FLOWS = list(itertools.product(("ingress", "egress", "forward"), range(len(ENDPOINTS)), ADDRESSES, PORTS))


def allowed(state, flow, profile_allows=True):
    """Whether a new connection gets through in one state of the cluster."""
    direction, endpoint, address, port = flow
    labels = ENDPOINTS[endpoint]

    def stage(chosen, side):
        return stage_verdict(state, chosen, side, labels, address, port)

    def pre_dnat(spec):
        return spec.get("preDNAT")

    def normal(spec):
        return not spec.get("preDNAT")

    def forwarded(spec):
        return not spec.get("preDNAT") and spec.get("applyOnForward")

    if direction == "egress":
        return verdict(stage(normal, "Egress"), profile_allows)
    first = stage(pre_dnat, "Ingress")
    if first == "Deny":
        return False
    if direction == "ingress":
        return first == "Allow" or verdict(stage(normal, "Ingress"), profile_allows)
    if first != "Allow" and stage(forwarded, "Ingress") == "Deny":
        return False
    return stage(forwarded, "Egress") != "Deny"


def verdict(found, default):
    return default if found is None else found == "Allow"


def stage_verdict(state, chosen, side, labels, address, port):
    def rank(name):
        tier = state.tiers.get(name)
        return (tier is None, math.inf if tier is None or tier.order is None else tier.order, name)

    for name in sorted({s.get("tier", "default") for s in state.policies.values()}, key=rank):
        members = [
            (order(spec), policy, spec)
            for policy, spec in state.policies.items()
            if spec.get("tier", "default") == name
            and chosen(spec)
            and side in spec["types"]
            and selector.parse(spec.get("selector", "")).matches(labels)
        ]
        if not members:
            continue
        found = next(
            (
                rule["action"]
                for _order, _policy, spec in sorted(members, key=lambda m: m[:2])
                for rule in spec.get(side.lower(), [])
                if rule["action"] != "Log" and matches(state, rule, address, port)
            ),
            None,
        )
        if found in ("Allow", "Deny"):
            return found
        tier = state.tiers.get(name)
        drops = tier is None or tier.default_action == "Deny"
        if found is None and drops and not members[0][2].get("preDNAT"):
            return "Deny"
    return None


def order(spec):
    return math.inf if spec.get("order") is None else spec["order"]


def matches(state, rule, address, port):
    wanted = rule.get("source", {}).get("selector")
    if wanted:
        parsed = selector.parse(wanted)
        if not any(address in s.nets and parsed.matches(s.labels) for s in state.network_sets.values()):
            return False
    ports = rule.get("destination", {}).get("ports")
    return not ports or port in ports


def after(state, step):
    field = {"GlobalNetworkPolicy": "policies", "GlobalNetworkSet": "network_sets", "Tier": "tiers"}[
        step.kind
    ]
    objects = {k: v for k, v in getattr(state, field).items() if k != step.name}
    if not step.deletes:
        objects[step.name] = step.content
    return replace(state, **{field: objects})


def states_of(old, steps):
    return list(itertools.accumulate(steps, after, initial=old))


def too_strict(old, new, steps):
    """Flows that both ends allow and an instant between does not."""
    found = []
    for profile in (True, False):
        kept = [f for f in FLOWS if allowed(old, f, profile) and allowed(new, f, profile)]
        found += [
            (n, f)
            for n, state in enumerate(states_of(old, steps))
            for f in kept
            if not allowed(state, f, profile)
        ]
    return found


def equal(one, other):
    return (dict(one.policies), dict(one.network_sets), dict(one.tiers)) == (
        dict(other.policies),
        dict(other.network_sets),
        dict(other.tiers),
    )


@st.composite
def rules(draw):
    rule = {"action": draw(st.sampled_from(["Allow", "Deny", "Pass", "Log"]))}
    if draw(st.booleans()):
        rule["destination"] = {"ports": [draw(st.sampled_from(PORTS))]}
    if draw(st.booleans()):
        rule["source"] = {"selector": draw(st.sampled_from(["set == 'x'", "has(set)", "set == 'y'"]))}
    return rule


@st.composite
def specs(draw, tier):
    spec = {
        "tier": tier,
        "selector": draw(st.sampled_from(["role == 'a'", "role == 'b'", "has(role)", "all()"])),
        "types": draw(st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]])),
    }
    chosen = draw(st.sampled_from(["normal", "normal", "forward", "preDNAT"]))
    if chosen != "normal":
        spec["applyOnForward"] = True
    if chosen == "preDNAT":
        spec.update(preDNAT=True, types=["Ingress"])
    if draw(st.booleans()):
        spec["order"] = draw(st.integers(0, 3))
    for side in spec["types"]:
        spec[side.lower()] = draw(st.lists(rules(), max_size=2))
    return spec


NAMES = {"t.one": "t", "t.two": "t", "u.one": "u", "u.two": "u", "one": "default", "two": "default"}
ranks = st.builds(Ranked, st.sampled_from([None, 1, 2]), st.sampled_from(["Pass", "Deny"]))
members = st.builds(
    SetMembers,
    st.frozensets(st.sampled_from(ADDRESSES)),
    st.sampled_from([{"set": "x"}, {"set": "y"}]),
)


def pairs(content):
    """Content before and after: unchanged, made, removed, changed, or never there."""
    nothing = st.none()
    return st.one_of(
        content.map(lambda c: (c, c)),
        st.tuples(nothing, content),
        st.tuples(content, nothing),
        st.tuples(content, content),
        st.tuples(nothing, nothing),
    )


@st.composite
def changes(draw, shapes=pairs):
    policies = {name: draw(shapes(specs(tier))) for name, tier in NAMES.items()}
    sets = {name: draw(shapes(members)) for name in ("x", "y")}
    tiers = {name: draw(shapes(ranks)) for name in ("t", "u")}
    with_default = draw(st.booleans())

    def state(end):
        used = {NAMES[n] for n, p in policies.items() if p[end]} - {"default"}
        found = {n: t[end] or Ranked(1, "Pass") for n, t in tiers.items() if t[end] or n in used}
        if with_default:
            found["default"] = Ranked(1000, "Deny")
        return PolicyState(
            policies={n: p[end] for n, p in policies.items() if p[end]},
            network_sets={n: s[end] for n, s in sets.items() if s[end]},
            tiers=found,
        )

    return state(0), state(1)


def made_or_gone(content):
    return st.one_of(
        content.map(lambda c: (c, c)),
        st.tuples(st.none(), content),
        st.tuples(st.none(), st.none()),
    )


def rule_of(action, port=None, selector=None):
    rule = {"action": action}
    if port:
        rule["destination"] = {"ports": [port]}
    if selector:
        rule["source"] = {"selector": selector}
    return rule


def ingress(tier, order, *rules):
    return {"tier": tier, "order": order, "selector": "all()", "types": ["Ingress"], "ingress": list(rules)}


# Chance finds these too rarely. A set that comes into being feeds a deny that was there before it ...
STANDING_DENY = {"t.two": ingress("t", 5, rule_of("Deny", selector="set == 'x'"))}
X = {"x": SetMembers(frozenset(ADDRESSES), {"set": "x"})}
PASS_TIERS = {"t": Ranked(1, "Pass"), "u": Ranked(2, "Pass")}
SET_BEFORE_ITS_ALLOW = (
    PolicyState(STANDING_DENY, {}, PASS_TIERS),
    PolicyState({**STANDING_DENY, "t.one": ingress("t", 1, rule_of("Allow"))}, X, PASS_TIERS),
)
# ... and a Pass that is there before the allow of the next tier leads into that tier's deny.
TWO_TIERS = {"t.two": ingress("t", 5, rule_of("Allow")), "u.two": ingress("u", 5, rule_of("Deny"))}
PASS_BEFORE_ITS_ALLOW = (
    PolicyState(TWO_TIERS, {}, PASS_TIERS),
    PolicyState(
        {
            **TWO_TIERS,
            "t.one": ingress("t", 1, rule_of("Pass", 22)),
            "u.one": ingress("u", 1, rule_of("Allow", 22)),
        },
        {},
        PASS_TIERS,
    ),
)
# A rule that only logs ends nothing: what comes after it decides.
LOGGED = {"tier": "t", "types": ["Ingress"], "selector": "all()", "applyOnForward": True, "preDNAT": True}
LOG_BEFORE_ITS_ALLOW = (
    PolicyState({"t.two": {**LOGGED, "ingress": [rule_of("Allow")]}}, {}, PASS_TIERS),
    PolicyState(
        {
            "t.one": {**LOGGED, "ingress": [rule_of("Log")]},
            "t.two": {**LOGGED, "ingress": [rule_of("Allow")]},
            "two": {**LOGGED, "tier": "default", "ingress": [rule_of("Allow")]},
        },
        {},
        PASS_TIERS,
    ),
)


@settings(max_examples=150, deadline=None)
@example(SET_BEFORE_ITS_ALLOW)
@example(PASS_BEFORE_ITS_ALLOW)
@given(changes())
def test_no_instant_is_stricter_than_both_ends(ends):
    old, new = ends
    steps = plan(old, new, "edge")
    assert too_strict(old, new, steps) == []
    assert equal(states_of(old, steps)[-1], new)


@settings(max_examples=150, deadline=None)
@example(SET_BEFORE_ITS_ALLOW, False)
@example(SET_BEFORE_ITS_ALLOW, True)
@example(PASS_BEFORE_ITS_ALLOW, False)
@example(PASS_BEFORE_ITS_ALLOW, True)
@example(LOG_BEFORE_ITS_ALLOW, False)
@example(LOG_BEFORE_ITS_ALLOW, True)
@given(changes(made_or_gone), st.booleans())
def test_growing_and_shrinking(ends, backwards):
    old, new = ends[::-1] if backwards else ends
    steps = plan(old, new, "edge")
    assert too_strict(old, new, steps) == []
    assert equal(states_of(old, steps)[-1], new)


@settings(max_examples=100, deadline=None)
@given(changes(), st.data())
def test_an_interrupted_run_is_finished_by_the_next(ends, data):
    old, new = ends
    reached = states_of(old, plan(old, new, "edge"))
    middle = data.draw(st.sampled_from(reached))
    steps = plan(middle, new, "edge")
    assert too_strict(middle, new, steps) == []
    assert equal(states_of(middle, steps)[-1], new)


def policy(action, order_, port=None, tier="t", **more):
    rule = {"action": action, **({"destination": {"ports": [port]}} if port else {})}
    return {
        "tier": tier,
        "order": order_,
        "selector": "all()",
        "types": ["Ingress"],
        "ingress": [rule],
        **more,
    }


PASSING = {"t": Ranked(1, "Pass")}
DENYING = {"t": Ranked(1, "Deny")}
ALLOW_AND_DENY = {"t.allow": policy("Allow", 1, 22), "t.deny": policy("Deny", 2)}


def test_the_evaluator_sees_a_naive_order_fail():
    old, new = PolicyState(), PolicyState(ALLOW_AND_DENY, {}, PASSING)
    naive = [PolicyStep("Tier", "t", PASSING["t"])] + [
        PolicyStep("GlobalNetworkPolicy", name, new.policies[name]) for name in ("t.deny", "t.allow")
    ]
    assert too_strict(old, new, naive) != []
    assert too_strict(old, new, plan(old, new, "edge")) == []


def test_the_evaluator_sees_the_switch_turned_too_early():
    old, new = (
        PolicyState(),
        PolicyState({"t.a": policy("Allow", 1, 22), "t.b": policy("Allow", 2, 80)}, {}, DENYING),
    )
    early = [PolicyStep("Tier", "t", DENYING["t"])] + [
        PolicyStep("GlobalNetworkPolicy", n, new.policies[n]) for n in new.policies
    ]
    assert too_strict(old, new, early) != []


def names(steps):
    return [(("-" if s.deletes else "+") + s.name) for s in steps]


def test_one_change_is_one_write():
    old = PolicyState(ALLOW_AND_DENY, {}, DENYING)
    new = PolicyState({**ALLOW_AND_DENY, "t.allow": policy("Allow", 1, 80)}, {}, DENYING)
    assert names(plan(old, new, "edge")) == ["+t.allow"]


def test_first_enforcement_opens_nothing():
    steps = plan(PolicyState(), PolicyState(ALLOW_AND_DENY, {}, DENYING), "edge")
    assert names(steps) == ["+t", "+t.allow", "+t.deny", "+t"]
    assert [s.content.default_action for s in steps if s.kind == "Tier"] == ["Pass", "Deny"]


def test_removal_takes_denies_first():
    steps = plan(PolicyState(ALLOW_AND_DENY, {}, DENYING), PolicyState(), "edge")
    assert names(steps) == ["+t", "-t.deny", "-t.allow", "-t"]
    assert steps[0].content.default_action == "Pass"


def test_a_tier_that_cannot_be_switched_gets_a_bridge():
    new = {name: {**spec, "tier": "default"} for name, spec in ALLOW_AND_DENY.items()}
    renamed = {name.partition(".")[2]: spec for name, spec in new.items()}
    steps = plan(PolicyState(), PolicyState(renamed), "edge")
    assert names(steps) == ["+edge-changing", "+allow", "+deny", "-edge-changing"]
    assert is_bridge("edge-changing", "edge")
    assert not is_bridge("allow", "edge")


def test_a_bridge_stands_before_what_it_bridges_and_covers_both_selectors():
    old = PolicyState(
        {"t.a": policy("Allow", 5, selector="role == 'a'"), "t.b": policy("Deny", 6)}, {}, DENYING
    )
    new = PolicyState(
        {
            "t.a": policy("Allow", 3, selector="role == 'b'"),
            "t.b": policy("Deny", 7, 80, selector="role == 'b'"),
        },
        {},
        DENYING,
    )
    bridge = plan(old, new, "edge")[0].content
    assert bridge["order"] < 3
    assert all(selector.parse(bridge["selector"]).matches(labels) for labels in ENDPOINTS)


@pytest.mark.parametrize("field", ["namespaceSelector", "serviceAccountSelector"])
def test_a_bridge_over_joined_selectors_selects_all(field):
    old = PolicyState(
        {"t.a": policy("Allow", 5, **{field: "x == 'y'"}), "t.b": policy("Deny", 6)}, {}, DENYING
    )
    new = PolicyState({"t.a": policy("Allow", 5), "t.b": policy("Deny", 7)}, {}, DENYING)
    assert plan(old, new, "edge")[0].content["selector"] == "all()"


def test_a_policy_that_felix_drops_does_not_break_its_bridge():
    broken = policy("Deny", 6, selector="role == ")
    old = PolicyState({"t.a": broken, "t.b": policy("Deny", 7)}, {}, DENYING)
    new = PolicyState({"t.a": policy("Allow", 5, selector="role == 'a'")}, {}, DENYING)
    selector.parse(plan(old, new, "edge")[0].content["selector"])


def test_nothing_to_do():
    state = PolicyState(ALLOW_AND_DENY, {}, DENYING)
    assert plan(state, state, "edge") == []
