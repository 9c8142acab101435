"""Sentences of reasons as functions: a wording is read once, and then said of each member from the values of some features."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

from training.predictors.reason_sentences import LANGUAGES, NOTHING_KNOWN, WORDINGS, Language, Wording

Teller = Callable[[Sequence[float]], str]
"""From the values of some features to what is said of them."""
_Values = Callable[[Sequence[float]], list[Any] | None]


def sentence(code: str, values: Mapping[str, float], language: Language) -> str:
    """What to say of a code for a member whose features have these values; NaN or absent is unknown."""
    features = features_of(code)
    return teller(code, features, language)([values.get(name, math.nan) for name in features])


@cache
def features_of(code: str) -> tuple[str, ...]:
    """The features whose values sentences of a code tell."""
    return tuple(dict.fromkeys(name for wording in WORDINGS[code] for name in (*wording.needs, *wording.largest)))


@cache
def teller(code: str, features: tuple[str, ...], language: Language) -> Teller:
    """What says the sentence of a code, made once: it takes the values of these features, in this order."""
    spoken = [_spoken(wording, features, language) for wording in WORDINGS[code]]
    nothing = NOTHING_KNOWN[language]

    def told(values: Sequence[float]) -> str:
        for say in spoken:
            said = say(values)
            if said is not None:
                return said
        return nothing

    return told


def _spoken(wording: Wording, features: tuple[str, ...], language: Language) -> Callable[[Sequence[float]], str | None]:
    """A wording whose format has been read: what it says, None where a number that it needs is unknown."""
    if not {*wording.needs} <= {*features}:
        return lambda values: None
    values_of = _values(wording, features, language)
    text = wording.english if language == "en" else wording.chinese
    parts = [part for part in string.Formatter().parse(text) if part[1] is not None]
    names = _names(wording)
    shown = [(names.index(str(name)), _form(str(form))) for _, name, form, _ in parts]
    template = _FIELD.sub("%s", text.replace("%", "%%"))

    def say(values: Sequence[float]) -> str | None:
        known = values_of(values)
        return None if known is None else template % tuple([form(known[place]) for place, form in shown])

    return say


def _names(wording: Wording) -> tuple[str, ...]:
    """What stands in a wording's braces, in the order in which `_values` gives it."""
    return (*wording.needs, *(("largest", "largest_share") if wording.largest else ()), *(("grade",) if wording.grades else ()))


def _values(wording: Wording, features: tuple[str, ...], language: Language) -> _Values:
    """The numbers and words that fill a sentence, or None where one is unknown."""
    needed = [features.index(name) for name in wording.needs]
    words = [(features.index(name), labels) for name, labels in wording.largest.items() if name in features]
    column = LANGUAGES.index(language)

    def found(values: Sequence[float]) -> list[Any] | None:
        told: list[Any] = [values[place] for place in needed]
        if any(map(math.isnan, told)):
            return None
        if wording.largest:
            shares = [(values[place], labels[column]) for place, labels in words if not math.isnan(values[place])]
            if not shares:
                return None
            share, largest = max(shares, key=_FIRST)
            told += [largest, share]
        if wording.grades:
            grade = int(told[0])
            if not 1 <= grade <= len(wording.grades):
                return None
            told.append(wording.grades[grade - 1][column])
        return told

    return found


def _form(spec: str) -> Callable[[Any], str]:
    """How a value is written: a form for each kind."""
    if spec in _FORMS:
        return _FORMS[spec]
    one, many = spec.split("/")

    def counted(value: float) -> str:
        shown = _number(value)
        return f"{shown} {one if shown == '1' else many}"

    return counted


def _number(value: float) -> str:
    """Whole where it is whole or at least 10, else with one digit after the point."""
    known = _WHOLE.get(value)
    if known is not None:
        return known
    text = f"{value:,.0f}" if abs(value) >= 9.95 else f"{value:.1f}"
    return text.removesuffix(".0")


_FIELD = re.compile(r"\{[^}]*\}")
_FIRST = itemgetter(0)
_WHOLE = {float(number): str(number) for number in range(1000)}
"""Days and counts, which most numbers are, as they are written."""
_FORMS: Mapping[str, Callable[[Any], str]] = {
    "": str,
    "n": _number,
    "share": lambda value: f"{value:.0%}",
    "money": lambda value: f"{value / 100:,.2f}",
}
