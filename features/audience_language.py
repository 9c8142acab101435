"""The language of audiences: `tier=diamond and stage=at_risk and not bought:dairy_30d` read into a tree over known names.

    audience   = or ;                     or  = and { "or" and } ;          and = not { "and" not } ;
    not        = "not" not | "(" audience ")" | test ;
    test       = name                                              a tag
               | name ("=" | "!=") value                           a value of a categorical tag, or of a feature
               | name ("<" | "<=" | ">" | ">=") number             a feature
               | name ["not"] "in" "(" value { "," value } ")"
               | name ["not"] "between" number "and" number        both ends included

Names and values with blanks or signs stand in single or double quotes, a quote within them doubled. Words of the
language may be written in capitals.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from features.errors import AudienceUnreadable
from features.tags import group_of, slug

Comparison = Literal["=", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Tagged:
    """Members who have a tag."""

    tag: str


@dataclass(frozen=True, slots=True)
class Compared:
    """Members whose feature is known and compares so with a number."""

    feature: str
    sign: Comparison
    number: float


@dataclass(frozen=True, slots=True)
class Not:
    """Members who are not in another selection."""

    operand: Selection


@dataclass(frozen=True, slots=True)
class All:
    """Members in every one of these."""

    operands: tuple[Selection, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """Members in at least one of these."""

    operands: tuple[Selection, ...]


Selection: TypeAlias = Tagged | Compared | Not | All | Either


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What an audience may speak of: tags by name, and features with the names of their codes, if they have any."""

    tags: Collection[str]
    features: Mapping[str, tuple[str, ...]]


def leaves_of(selection: Selection) -> Iterator[Tagged | Compared]:
    """Every test of a selection, from left to right."""
    if isinstance(selection, Tagged | Compared):
        yield selection
    elif isinstance(selection, Not):
        yield from leaves_of(selection.operand)
    else:
        for operand in selection.operands:
            yield from leaves_of(operand)


def parse(text: str, vocabulary: Vocabulary) -> Selection:
    """The tree of an audience expression.

    Raises
    ------
    AudienceUnreadable
        It breaks the grammar, or names what the vocabulary does not have. The message shows where, the remedy what
        may have been meant.
    """
    if len(text) > LONGEST:
        raise AudienceUnreadable(f"the audience has {len(text):,} characters", remedy=f"write at most {LONGEST:,}")
    return _Parser(text, vocabulary).whole()


LONGEST = 20_000
DEEPEST = 100
_TOKEN = re.compile(
    r"""(?P<quoted>"(?:[^"]|"")*"|'(?:[^']|'')*')|(?P<sign><=|>=|!=|[=<>(),])|(?P<word>[^\s()<>=!,"']+)|(?P<wrong>\S)"""
)
_WORDS = ("and", "or", "not", "in", "between")


@dataclass(frozen=True, slots=True)
class _Token:
    """A piece of the text. `kind` is the sign or word of the language itself, or "name", or "end"."""

    kind: str
    text: str
    at: int


def _tokens(text: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(text):
        piece, at = found.group(), found.start()
        if found.lastgroup == "wrong":
            raise _refusal(text, at, "a quote without its end" if piece in "\"'" else f"{piece!r} has no meaning here")
        elif found.lastgroup == "quoted":
            yield _Token("name", piece[1:-1].replace(piece[0] * 2, piece[0]), at)
        elif found.lastgroup == "word":
            yield _Token(piece.lower() if piece.lower() in _WORDS else "name", piece, at)
        else:
            yield _Token(piece, piece, at)
    yield _Token("end", "the end", len(text))


def _refusal(text: str, at: int, message: str, *, remedy: str = "docs/audience.md has the grammar") -> AudienceUnreadable:
    """The error, with the line of the text around the place, and a mark below it."""
    begin = max(0, at - 60)
    shown = re.sub(r"\s", " ", text[begin : at + 60])
    return AudienceUnreadable(f"{message}, at character {at + 1}\n  {shown}\n  {' ' * (at - begin)}^", remedy=remedy)


class _Parser:
    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._names = _Names(text, vocabulary)
        self._at = 0
        self._depth = 0

    def whole(self) -> Selection:
        found = self._either()
        if self._next.kind != "end":
            raise self._expected("and, or, or the end")
        return found

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *kinds: str) -> _Token | None:
        token = self._next
        if token.kind not in kinds:
            return None
        self._at += 1
        return token

    def _need(self, kind: str, meaning: str) -> _Token:
        token = self._take(kind)
        if token is None:
            raise self._expected(meaning)
        return token

    def _expected(self, meaning: str) -> AudienceUnreadable:
        token = self._next
        found = "the audience ends" if token.kind == "end" else f"{token.text!r} stands"
        return _refusal(self._text, token.at, f"{found} where {meaning} is expected")

    def _either(self) -> Selection:
        operands = [self._all()]
        while self._take("or"):
            operands.append(self._all())
        return operands[0] if len(operands) == 1 else Either(tuple(operands))

    def _all(self) -> Selection:
        operands = [self._not()]
        while self._take("and"):
            operands.append(self._not())
        return operands[0] if len(operands) == 1 else All(tuple(operands))

    def _not(self) -> Selection:
        self._depth += 1
        if self._depth > DEEPEST:
            raise _refusal(self._text, self._next.at, f"more than {DEEPEST} levels of parentheses and not")
        found: Selection
        if self._take("not"):
            found = Not(self._not())
        elif self._take("("):
            found = self._either()
            self._need(")", "a closing parenthesis")
        else:
            found = self._test()
        self._depth -= 1
        return found

    def _test(self) -> Selection:
        name = self._need("name", "a tag, a feature, not, or a parenthesis")
        if self._take("not"):
            if self._next.kind not in {"in", "between"}:
                raise self._expected("in or between")
            return Not(self._in_range(name))
        if self._next.kind in {"in", "between"}:
            return self._in_range(name)
        sign = self._take("=", "!=", "<", "<=", ">", ">=")
        if sign is None:
            return self._names.tag(name)
        value = self._need("name", "a value")
        if sign.kind in {"=", "!="}:
            return self._names.equal(name, value, differs=sign.kind == "!=")
        return self._names.compared(name, sign.kind, value)

    def _in_range(self, name: _Token) -> Selection:
        if self._take("between"):
            low = self._need("name", "a number")
            self._need("and", "and")
            high = self._need("name", "a number")
            return All((self._names.compared(name, ">=", low), self._names.compared(name, "<=", high)))
        self._need("in", "in")
        self._need("(", "an opening parenthesis")
        values = [self._need("name", "a value")]
        while self._take(","):
            values.append(self._need("name", "a value"))
        self._need(")", "a comma or a closing parenthesis")
        found = tuple(self._names.equal(name, value, differs=False) for value in values)
        return found[0] if len(found) == 1 else Either(found)


class _Names:
    """Names of an expression looked up in the vocabulary."""

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self._text = text
        self._vocabulary = vocabulary

    def tag(self, name: _Token) -> Selection:
        if name.text in self._vocabulary.tags:
            return Tagged(name.text)
        group, sign, value = name.text.partition("=")  # a quoted 'tier=gold'
        if sign:
            return self.equal(_Token("name", group, name.at), _Token("name", value, name.at), differs=False)
        if name.text in self._vocabulary.features:
            raise _refusal(
                self._text, name.at, f"{name.text!r} is a feature", remedy=f"compare it, for example {name.text} > 0"
            )
        values = self._values_of(name.text)
        if values:
            raise _refusal(self._text, name.at, f"{name.text!r} has values", remedy=f"write {name.text}={_listed(values)}")
        raise self._unknown(name)

    def equal(self, name: _Token, value: _Token, *, differs: bool) -> Selection:
        tag = f"{name.text}={slug(value.text)}"
        if tag in self._vocabulary.tags:
            return Not(Tagged(tag)) if differs else Tagged(tag)
        if name.text in self._vocabulary.features:
            codes = self._vocabulary.features[name.text]
            if value.text in codes:
                return Compared(name.text, "!=" if differs else "=", float(codes.index(value.text)))
            if codes:
                raise _refusal(
                    self._text, value.at, f"{name.text} has no value {value.text!r}", remedy=f"write {_listed(codes)}"
                )
            return self.compared(name, "!=" if differs else "=", value)
        values = self._values_of(name.text)
        if values:
            near = difflib.get_close_matches(slug(value.text), values, n=3) or values
            raise _refusal(
                self._text,
                value.at,
                f"{name.text} has no value {value.text!r}",
                remedy=f"did you mean {name.text}={_listed(near)}?",
            )
        raise self._unknown(name)

    def compared(self, name: _Token, sign: str, value: _Token) -> Selection:
        if name.text not in self._vocabulary.features:
            if name.text in self._vocabulary.tags or self._values_of(name.text):
                raise _refusal(
                    self._text, name.at, f"{name.text!r} is a tag, which members have or have not: it is not compared"
                )
            raise self._unknown(name)
        try:
            number = float(value.text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise _refusal(self._text, value.at, f"{value.text!r} is no number", remedy="write digits, such as 30 or 0.25")
        return Compared(name.text, sign, number)  # type: ignore[arg-type] # the parser lets only comparisons through

    def _values_of(self, group: str) -> list[str]:
        return [tag.partition("=")[2] for tag in self._vocabulary.tags if group_of(tag) == group]

    def _unknown(self, name: _Token) -> AudienceUnreadable:
        known = {*self._vocabulary.tags, *self._vocabulary.features, *(group_of(tag) or tag for tag in self._vocabulary.tags)}
        near = difflib.get_close_matches(name.text, sorted(known), n=3, cutoff=0.5)
        remedy = f"did you mean {_listed(near)}?" if near else "docs/tags.md and docs/features.md list what there is"
        return _refusal(self._text, name.at, f"no tag or feature is named {name.text!r}", remedy=remedy)


MOST_LISTED = 12


def _listed(names: Collection[str]) -> str:
    """Names for a remedy, the last with an or."""
    shown = [f'"{name}"' if " " in name else name for name in names][:MOST_LISTED]
    rest = " …" if len(names) > MOST_LISTED else ""
    return (", ".join(shown[:-1]) + " or " + shown[-1] if len(shown) > 1 else shown[0]) + rest
