# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calico's selector language: parse, evaluate, print.

The grammar is that of libcalico-go/lib/selector (tokenizer and parser, v3.32.1). Two of its habits
surprise people and are kept: only blanks and tabs are white space, and ``has``, ``all`` and ``global``
must touch their opening parenthesis.

A selector is kept as a flat postfix program, so that neither a deep nor a long one can exhaust the
stack: parsing, evaluating and printing all take time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, islice
from typing import Optional, Union

from .bad_input import BadInput

MAX_LABEL_LENGTH = 512
_SHOWN = 200
_TRIED_EXAMPLES = 64

_BLANKS = re.compile(r"[ \t]*")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_./-]+")
_FUNCTION = re.compile(r"(has|all|global)\([ \t]*")
_OPERATOR = re.compile(
    r"(?:(contains)|(starts[ \t]*with)|(ends[ \t]*with)|(not[ \t]*in)|(in))(?![A-Za-z0-9_./-])"
)
_OPERATOR_NAMES = ("contains", "starts with", "ends with", "not in", "in")
# Calico looks past the blanks after a word of two parts before it decides that the word ends there.
_TWO_WORDS = {"starts with", "ends with", "not in"}
_PUNCTUATION = re.compile(r"==|!=|&&|\|\||[(){},!]")
_HALF_OPERATORS = {"=": "==", "&": "&&", "|": "||"}


@dataclass(frozen=True)
class Term:
    """One comparison.

    ``op`` is one of ``==  !=  in  not in  contains  starts with  ends with  has  all  global``;
    ``label`` is empty for ``all`` and ``global``; ``values`` is sorted and without repetition.
    """

    op: str
    label: str = ""
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a set of labels satisfies this comparison."""
        if not self.label:
            return True
        value = labels.get(self.label)
        if value is None:
            return self.op in ("!=", "not in")
        return self._accepts(value)

    def _accepts(self, value: str) -> bool:
        op = self.op
        if op == "has":
            return True
        if op in ("==", "in"):
            return value in self.values
        if op in ("!=", "not in"):
            return value not in self.values
        wanted = self.values[0]
        if op == "contains":
            return wanted in value
        return value.startswith(wanted) if op == "starts with" else value.endswith(wanted)

    def suggestion(self) -> Optional[str]:
        """A value of the label that satisfies this comparison; None where the label is better left out."""
        if self.op in ("all", "global", "!=", "not in") or (self.op == "in" and not self.values):
            return None
        return self.values[0] if self.values else ""

    def __str__(self) -> str:
        if self.op in ("all", "global"):
            return f"{self.op}()"
        if self.op == "has":
            return f"has({self.label})"
        if self.op in ("in", "not in"):
            return f"{self.label} {self.op} {{{', '.join(_quoted(v) for v in self.values)}}}"
        return f"{self.label} {self.op} {_quoted(self.values[0])}"


@dataclass(frozen=True)
class Combine:
    """Joins the last ``count`` results: ``op`` is ``!`` (count 1), ``&&`` or ``||``."""

    op: str
    count: int


Step = Union[Term, Combine]


class Selector:
    """A parsed selector.

    ``program`` holds its steps in postfix order. Two selectors are equal when Calico would print them alike.
    """

    __slots__ = ("_text", "program")

    def __init__(self, program: tuple[Step, ...]) -> None:
        self.program = program
        self._text: Optional[str] = None

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a complete set of labels satisfies the selector."""
        program = self.program
        if len(program) == 1:
            return program[0].matches(labels)  # type: ignore[union-attr]
        results: list[bool] = []
        for step in program:
            if isinstance(step, Term):
                results.append(step.matches(labels))
            elif step.op == "!":
                results[-1] = not results[-1]
            else:
                joined = results[-step.count :]
                del results[-step.count :]
                results.append(all(joined) if step.op == "&&" else any(joined))
        return results[0]

    def decide(self, labels: Mapping[str, str], unknown: tuple[str, ...]) -> Optional[bool]:
        """As :meth:`matches`, where labels that start with one of ``unknown`` may or may not be set.

        :param unknown: beginnings of label names; the empty text stands for every label that ``labels`` lacks
        :returns: None when the answer depends on an unknown label
        """
        results: list[Optional[bool]] = []
        for step in self.program:
            if isinstance(step, Term):
                hidden = bool(step.label) and step.label not in labels and step.label.startswith(unknown)
                results.append(None if hidden else step.matches(labels))
                continue
            joined = results[-step.count :]
            del results[-step.count :]
            results.append(_combine(step.op, joined))
        return results[0]

    def label_names(self) -> frozenset[str]:
        """The labels that the selector looks at."""
        return frozenset(step.label for step in self.program if isinstance(step, Term) and step.label)

    def example(self) -> Optional[dict[str, str]]:
        """Labels that satisfy the selector, as many as it speaks of; None where none were found quickly."""
        wanted = [(step.label, step.suggestion()) for step in self.program if isinstance(step, Term)]
        wanted = list(dict.fromkeys((label, value) for label, value in wanted if label and value is not None))
        for count in range(len(wanted), -1, -1):
            for chosen in islice(combinations(wanted, count), _TRIED_EXAMPLES):
                labels = {label: value for label, value in chosen if value is not None}
                if self.matches(labels):
                    return labels
        return None

    def prefixed(self, prefix: str) -> Selector:
        """The same selector with a prefix before every label name."""
        return Selector(
            tuple(
                Term(step.op, prefix + step.label, step.values)
                if isinstance(step, Term) and step.label
                else step
                for step in self.program
            )
        )

    def __str__(self) -> str:
        if self._text is None:
            self._text = _render(self.program)
        return self._text

    def __repr__(self) -> str:
        return f"Selector({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selector) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


def parse(text: str) -> Selector:
    """Read a selector.

    :param text: as in ``spec.selector``; the empty string selects everything
    :raises BadInput: field ``selector``; the remedy says what is wrong at which column (counted from 1)
    """
    if not isinstance(text, str):
        raise BadInput("selector", text, "a selector is a string")
    return _parse_cached(text)


@lru_cache(maxsize=4096)
def _parse_cached(text: str) -> Selector:
    return Selector(_Parser(text).run())


def _combine(op: str, results: list[Optional[bool]]) -> Optional[bool]:
    if op == "!":
        return None if results[0] is None else not results[0]
    decisive = op == "||"
    if decisive in results:
        return decisive
    return None if None in results else not decisive


def _quoted(value: str) -> str:
    return f"'{value}'" if '"' in value else f'"{value}"'


def _render(program: tuple[Step, ...]) -> str:
    """Print a postfix program by walking it backwards; the pieces come out in reverse."""
    pieces: list[str] = []
    open_nodes: list[list[object]] = []  # [operands still to come, separator, what opens it]
    for step in reversed(program):
        if isinstance(step, Combine):
            if step.op == "!":
                open_nodes.append([1, "", "!"])
            else:
                pieces.append(")")
                open_nodes.append([step.count, f" {step.op} ", "("])
            continue
        pieces.append(str(step))
        while open_nodes:
            node = open_nodes[-1]
            node[0] = int(str(node[0])) - 1
            if node[0]:
                pieces.append(str(node[1]))
                break
            pieces.append(str(node[2]))
            open_nodes.pop()
    return "".join(reversed(pieces))


@dataclass(frozen=True)
class _Token:
    kind: str  # label, string, term (has, all, global), operator, end, or the punctuation itself
    column: int
    value: str = ""
    term: Optional[Term] = None


@dataclass
class _Group:
    """What has been read since an opening parenthesis (or the start)."""

    negated: bool
    column: int
    alternatives: int = 0
    conjuncts: int = 0


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.program: list[Step] = []

    def fail(self, column: int, problem: str) -> BadInput:
        shown = self.text if len(self.text) <= _SHOWN else self.text[:_SHOWN] + "…"
        return BadInput("selector", shown, f"column {column}: {problem}")

    # -- text to tokens ------------------------------------------------------------------------

    def tokens(self) -> list[_Token]:
        found: list[_Token] = []
        position = 0
        while True:
            position = self.skip_blanks(position)
            if position == len(self.text):
                found.append(_Token("end", position + 1))
                return found
            after_label = bool(found) and found[-1].kind == "label"
            token, position = self.token_at(position, after_label)
            found.append(token)

    def skip_blanks(self, position: int) -> int:
        match = _BLANKS.match(self.text, position)
        return match.end() if match else position

    def token_at(self, position: int, after_label: bool) -> tuple[_Token, int]:
        char = self.text[position]
        if char in "\"'":
            return self.string_at(position)
        punctuation = _PUNCTUATION.match(self.text, position)
        if punctuation:
            return _Token(punctuation.group(), position + 1), punctuation.end()
        if char in _HALF_OPERATORS:
            raise self.fail(position + 1, f"expected {_HALF_OPERATORS[char]}")
        if after_label:
            return self.operator_at(position)
        function = _FUNCTION.match(self.text, position)
        if function:
            return self.function_at(function)
        label, end = self.identifier_at(position)
        return _Token("label", position + 1, label), end

    def string_at(self, position: int) -> tuple[_Token, int]:
        end = self.text.find(self.text[position], position + 1)
        if end < 0:
            raise self.fail(position + 1, "this quote is never closed")
        return _Token("string", position + 1, self.text[position + 1 : end]), end + 1

    def operator_at(self, position: int) -> tuple[_Token, int]:
        match = _OPERATOR.match(self.text, position)
        if match:
            name = _OPERATOR_NAMES[(match.lastindex or 1) - 1]
            end = self.skip_blanks(match.end())
            if name not in _TWO_WORDS or not _IDENTIFIER.match(self.text, end):
                return _Token("operator", position + 1, name), end
        raise self.fail(
            position + 1, "after a label comes ==, !=, in, not in, contains, starts with or ends with"
        )

    def function_at(self, match: re.Match[str]) -> tuple[_Token, int]:
        name, end, label = match.group(1), match.end(), ""
        if name == "has":
            label, end = self.identifier_at(end)
            end = self.skip_blanks(end)
        if not self.text.startswith(")", end):
            raise self.fail(end + 1, f"expected ) to close {name}(")
        return _Token("term", match.start() + 1, term=Term(name, label)), end + 1

    def identifier_at(self, position: int) -> tuple[str, int]:
        match = _IDENTIFIER.match(self.text, position)
        if not match:
            found = repr(self.text[position]) if position < len(self.text) else "the end"
            raise self.fail(position + 1, f"expected a label name, found {found}")
        if len(match.group()) > MAX_LABEL_LENGTH:
            raise self.fail(position + 1, f"a label name has at most {MAX_LABEL_LENGTH} characters")
        return match.group(), match.end()

    # -- tokens to program ---------------------------------------------------------------------

    def run(self) -> tuple[Step, ...]:
        tokens = self.tokens()
        if tokens[0].kind == "end":
            return (Term("all"),)
        groups = [_Group(False, 1)]
        index = 0
        while True:
            index = self.operand(tokens, index, groups)
            token = tokens[index]
            while token.kind == ")" and len(groups) > 1:
                self.close(groups.pop())
                groups[-1].conjuncts += 1
                index += 1
                token = tokens[index]
            if token.kind == "end":
                break
            if token.kind == "||":
                self.close_conjunction(groups[-1])
            elif token.kind != "&&":
                raise self.fail(token.column, "expected &&, || or the end of the selector")
            index += 1
        if len(groups) > 1:
            raise self.fail(groups[-1].column, "this parenthesis is never closed")
        self.close(groups[0])
        return tuple(self.program)

    def operand(self, tokens: list[_Token], index: int, groups: list[_Group]) -> int:
        """Read negations, opening parentheses and one comparison; return the index after them."""
        while True:
            negated = False
            while tokens[index].kind == "!":
                negated = not negated
                index += 1
            if tokens[index].kind != "(":
                break
            groups.append(_Group(negated, tokens[index].column))
            index += 1
        term, index = self.comparison(tokens, index)
        self.program.append(term)
        if negated:
            self.program.append(Combine("!", 1))
        groups[-1].conjuncts += 1
        return index

    def comparison(self, tokens: list[_Token], index: int) -> tuple[Term, int]:
        token = tokens[index]
        if token.term:
            return token.term, index + 1
        if token.kind != "label":
            raise self.fail(token.column, "expected a label name, has(), all(), global(), ! or (")
        operator = tokens[index + 1]
        name = operator.value or operator.kind
        if name in ("in", "not in"):
            values, index = self.value_set(tokens, index + 2)
            return Term(name, token.value, values), index
        if operator.kind not in ("==", "!=", "operator"):
            raise self.fail(
                operator.column, "after a label comes ==, !=, in, not in, contains, starts with or ends with"
            )
        value = tokens[index + 2]
        if value.kind != "string":
            raise self.fail(value.column, f"expected a quoted string after {name}")
        return Term(name, token.value, (value.value,)), index + 3

    def value_set(self, tokens: list[_Token], index: int) -> tuple[tuple[str, ...], int]:
        if tokens[index].kind != "{":
            raise self.fail(tokens[index].column, "expected a set such as {'a', 'b'}")
        index += 1
        values: set[str] = set()
        while tokens[index].kind == "string":
            values.add(tokens[index].value)
            index += 1
            if tokens[index].kind != ",":
                break
            index += 1
        if tokens[index].kind != "}":
            raise self.fail(tokens[index].column, "expected } or a comma and a quoted string")
        return tuple(sorted(values)), index + 1

    def close_conjunction(self, group: _Group) -> None:
        if group.conjuncts > 1:
            self.program.append(Combine("&&", group.conjuncts))
        group.conjuncts = 0
        group.alternatives += 1

    def close(self, group: _Group) -> None:
        self.close_conjunction(group)
        if group.alternatives > 1:
            self.program.append(Combine("||", group.alternatives))
        if group.negated:
            self.program.append(Combine("!", 1))
