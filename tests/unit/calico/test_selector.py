# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The selector language: every operator, every habit of Calico's grammar, and no way to make it fall over."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.selector import Selector, parse
from hypothesis import given, settings
from hypothesis import strategies as st

LABELS = {"role": "db", "zone": "eu-west", "empty": "", "a.b/c-d_e": "x"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \t",
        "all()",
        "all( )",
        "global()",
        "has(role)",
        "has( role\t)",
        "!has(missing)",
        "!!has(role)",
        "role == 'db'",
        'role=="db"',
        "role != 'web'",
        "missing != 'anything'",
        "missing not in {'a'}",
        "missing notin {'a'}",
        "role in {'db', 'web'}",
        "role in {'db','web',}",
        "role not in {}",
        "role notin{'web'}",
        "zone contains 'u-w'",
        "zone starts with 'eu'",
        "zone startswith'eu'",
        "zone starts \t with 'eu'",
        "zone ends with 'west'",
        "zone endswith 'west'",
        "zone contains ''",
        "empty == ''",
        "a.b/c-d_e == 'x'",
        "has(role) && has(zone) || has(missing)",
        "has(missing) && has(missing) || has(role)",
        "has(role) || has(missing) && has(missing)",
        "!(has(missing) || role == 'web')",
        "((((has(role)))))",
        "!(!has(role))",
    ],
)
def test_matches(text: str) -> None:
    assert parse(text).matches(LABELS)


@pytest.mark.parametrize(
    "text",
    [
        "role == 'DB'",
        "role in {}",
        "missing == ''",
        "missing contains ''",
        "missing starts with ''",
        "has(Role)",
        "!all()",
        "!global()",
        "(has(role) || has(zone)) && has(missing)",
        "!(has(role) && has(zone))",
    ],
)
def test_does_not_match(text: str) -> None:
    assert not parse(text).matches(LABELS)


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("role = 'db'", 6, "=="),
        ("role & x", 6, "&&"),
        ("role | x", 6, "||"),
        ("role == db", 9, "quoted string"),
        ("role == 'db", 9, "never closed"),
        ("role", 5, "after a label"),
        ("role zone", 6, "after a label"),
        ("role not in zone", 6, "after a label"),
        ("role in 'db'", 9, "set"),
        ("role in {'a' 'b'}", 14, "}"),
        ("role in {,}", 10, "}"),
        ("role in {'a'", 13, "}"),
        ("has(role", 9, ")"),
        ("has()", 5, "label name"),
        ("has (role)", 5, "after a label"),
        ("all(x)", 5, "close all("),
        ("(has(role)", 1, "never closed"),
        ("has(role))", 10, "&&"),
        ("has(role) has(zone)", 11, "&&"),
        ("has(role) &&", 13, "expected a label"),
        ("&& has(role)", 1, "expected a label"),
        ("()", 2, "expected a label"),
        ("has(role) \n", 11, "label name"),
        ("rôle == 'x'", 2, "after a label"),
        ("'role' == 'x'", 1, "expected a label"),
        ("!", 2, "expected a label"),
        ("a" * 513 + " == 'x'", 1, "512"),
    ],
)
def test_bad_selector_names_the_column(text: str, column: int, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(text)
    assert caught.value.field == "selector"
    assert f"column {column}:" in caught.value.remedy
    assert says in caught.value.remedy


def test_longest_label_is_accepted() -> None:
    label = "a" * 512
    assert parse(f"has({label})").matches({label: ""})


def test_a_selector_must_be_text() -> None:
    with pytest.raises(BadInput):
        parse(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("", "all()"),
        ("a=='x'&&b!='y'||has( c )", '((a == "x" && b != "y") || has(c))'),
        ("a in {'z','y','y'}", 'a in {"y", "z"}'),
        ("a notin {}", "a not in {}"),
        ("!(a startswith 'x')", '!a starts with "x"'),
        ("""a == '"'""", """a == '"'"""),
        ("!(a == 'x' && (b == 'y' || all()))", '!(a == "x" && (b == "y" || all()))'),
    ],
)
def test_printed_as_calico_prints_it(text: str, printed: str) -> None:
    assert str(parse(text)) == printed


def test_prefix_goes_before_every_label() -> None:
    prefixed = parse("a == 'x' || !has(b) || all()").prefixed("pcns.")
    assert str(prefixed) == '(pcns.a == "x" || !has(pcns.b) || all())'


def test_equality_is_by_meaning_of_the_text() -> None:
    assert parse("a=='x'") == parse('( a == "x" )')
    assert parse("a=='x'") != parse("a=='y'")
    assert len({parse("a=='x'"), parse("a == 'x'")}) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("has(role)", True),
        ("pod == 'x'", None),
        ("pod != 'x'", None),
        ("role == 'web' && pod == 'x'", False),
        ("role == 'db' || pod == 'x'", True),
        ("role == 'db' && pod == 'x'", None),
        ("!(pod == 'x')", None),
        ("other == 'x'", False),
        ("all()", True),
    ],
)
def test_unknown_labels_leave_the_answer_open(text: str, expected: object) -> None:
    assert parse(text).decide(LABELS, ("pod",)) is expected


def test_everything_unknown() -> None:
    assert parse("other == 'x'").decide(LABELS, ("",)) is None
    assert parse("role == 'web'").decide(LABELS, ("",)) is False


# Text of the grammar's own pieces finds far more of the parser than random characters do.
PIECES = st.sampled_from(
    [
        *(
            "a",
            "b.c/d",
            "has(",
            "has(a)",
            "all(",
            "all()",
            "global()",
            "in",
            "not in",
            "notin",
            "not",
            "contains",
        ),
        *("starts with", "endswith", "(", ")", "{", "}", ",", "!", "==", "!=", "=", "&", "&&", "|", "||"),
        *("'x'", '"y"', "'", '"', " ", "\t", "\n", "é", "\x00"),
    ]
)


@settings(max_examples=600, deadline=None)
@given(st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join)))
def test_any_text_parses_or_is_refused_in_one_line(text: str) -> None:
    try:
        selector = parse(text)
    except BadInput as refused:
        complaint = str(refused)
    else:
        complaint = ""
    assert "\n" not in complaint
    if complaint:
        return
    again = parse(str(selector))
    for labels in (LABELS, {}, {"a": "x"}, {"a": "y", "b.c/d": "x"}):
        assert again.matches(labels) == selector.matches(labels)


TERMS = st.sampled_from(
    [
        "a == 'x'",
        "b != 'y'",
        "has(a)",
        "a in {'x','y'}",
        "b not in {'x'}",
        "a contains 'x'",
        "all()",
        "global()",
    ]
)
TREES = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        inner.map("!({})".format),
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: f"({' && '.join(parts)})"),
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: f"({' || '.join(parts)})"),
    ),
    max_leaves=20,
)
LABEL_SETS = st.dictionaries(st.sampled_from("ab"), st.sampled_from(["", "x", "y", "xy"]))


@settings(max_examples=300, deadline=None)
@given(TREES, LABEL_SETS)
def test_print_and_parse_keep_the_meaning(text: str, labels: dict[str, str]) -> None:
    selector = parse(text)
    again = parse(str(selector))
    assert again.matches(labels) == selector.matches(labels)
    assert selector.matches(labels) is selector.decide(labels, ())


@settings(max_examples=300, deadline=None)
@given(TREES, LABEL_SETS, LABEL_SETS)
def test_a_decision_in_spite_of_unknown_labels_is_right(
    text: str, known: dict[str, str], hidden: dict[str, str]
) -> None:
    selector = parse(text)
    decided = selector.decide(known, ("",))
    if decided is not None:
        assert selector.matches({**hidden, **known}) is decided


def _work(selector_text: str) -> int:
    """Python function calls and lines spent on a selector: a clock that a busy machine cannot disturb."""
    steps = 0

    def count(_frame: object, _event: str, _argument: object) -> object:
        nonlocal steps
        steps += 1
        return count

    sys.settrace(count)  # type: ignore[arg-type]
    try:
        selector = parse(selector_text)
        selector.matches(LABELS)
        str(selector)
        selector.decide(LABELS, ("x",))
    except BadInput:
        pass
    finally:
        sys.settrace(None)
    return steps


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "(" * n + "has(a)" + ")" * n,
        lambda n: "!(has(b) && " * n + "has(a)" + ")" * n,
        lambda n: "!" * n + "has(a)",
        lambda n: " && ".join(["a == 'x'"] * n),
        lambda n: "a in {" + ",".join(f"'{i}'" for i in range(n)) + "}",
        lambda n: "(" * n,
        lambda n: "a" * n,
        lambda n: "'" + " " * n,
        lambda n: "a not" + " " * n,
        lambda n: " " * n + "(" + " " * n,
    ],
)
def test_work_grows_linearly(make: object) -> None:
    small, large = _work(make(500)), _work(make(5000))  # type: ignore[operator]
    assert large <= 11 * small + 200


def test_a_very_deep_selector_does_not_exhaust_the_stack() -> None:
    depth = 20_000
    selector = parse("!(has(b) || " * depth + "has(a)" + ")" * depth)
    assert isinstance(selector, Selector)
    assert selector.matches({"a": "1"})
    assert len(str(selector)) > depth
