"""A rules file to `Rules`: every problem at once, each with the key, the value and what to write instead."""

import tomllib
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from features.errors import RulesRefused
from features.rules.declared import LATELY_DAYS, LEVELS, MOST_EXPLORED, MOST_PINNED, Band, Exploration, Named, Rules
from features.toml_sections import TomlSection, shown

LARGEST_LIST = 50
MOST_NAMES = 10_000
NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")


def read_rules(path: Path) -> Rules:
    """The rules in a file. Its name without `.toml` is that of the placement or campaign.

    Raises
    ------
    RulesRefused
        The file cannot be read, is no TOML, or says something that rules cannot say; the message lists every problem.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RulesRefused(
            path.name, [f"the file cannot be read ({type(error).__name__}): see that it is UTF-8 text"]
        ) from error
    return parse_rules(path.stem, text, source=path.name)


def parse_rules(name: str, text: str, *, source: str = "") -> Rules:
    """The rules in a text; `source` is what messages call it."""
    source = source or name
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesRefused(source, [f"this is no TOML: {error}"]) from error
    problems: list[str] = []
    if not name or not set(name) <= NAME_LETTERS:
        problems.append(f'the name "{name}" cannot be asked for: name the file with a-z, 0-9, _ and - only')
    sections = _sections(content, problems)
    rules = _rules(name, sections)
    for section in sections.values():
        section.refuse_the_rest()
    problems.extend(_contradictions(rules))
    if problems:
        raise RulesRefused(source, problems)
    return rules


class _Section(TomlSection):
    """A section of such a file."""

    def flag(self, key: str, *, default: bool) -> bool:
        return bool(self.take(key, "true or false", lambda value: isinstance(value, bool), default))

    def whole(self, key: str, low: int, high: int) -> int | None:
        found: int | None = self.take(key, f"a whole number from {low} to {high}", _whole(low, high), None)
        return found

    def number(self, key: str, low: float, high: float) -> float | None:
        found = self.take(key, f"a number from {low:g} to {high:g}", _number(low, high), None)
        return None if found is None else float(found)

    def one_of(self, key: str, allowed: tuple[str, ...], default: str) -> Any:
        words = " or ".join(f'"{word}"' for word in allowed)
        return self.take(key, words, lambda value: isinstance(value, str) and value in allowed, default)

    def names(self, key: str, *, most: int = MOST_NAMES) -> tuple[str, ...]:
        wanted = f'a list of at most {most} different texts, such as ["A", "B"]'
        return tuple(self.take(key, wanted, lambda value: _are_names(value, most), []))

    def caps(self, key: str) -> tuple[tuple[str, int], ...]:
        wanted = 'names with whole numbers from 1 to 50, such as {"A" = 2}'
        return tuple(self.take(key, wanted, _are_caps, {}).items())

    def refuse_the_rest(self) -> None:
        for key in self.values.keys() - set(self.known):
            known = ", ".join(self.known if self.name else [*self.known, *(f"[{section}]" for section in SECTIONS)])
            self.problems.append(f"{self.of(key)} is no rule: {self.name or 'at the top'} there is {known}")


SECTIONS = ("list", "stock", "price", "margin", "category", "brand", "bought", "withdrawn", "age", "consent", "exploration")


def _sections(content: Mapping[str, Any], problems: list[str]) -> dict[str, _Section]:
    """Every section, empty where the file has none, and the top of the file under the empty name."""
    found = {}
    for name in SECTIONS:
        value = content.get(name, {})
        if not isinstance(value, dict):
            problems.append(f"{name} = {shown(value)} cannot be: write it as a section, [{name}]")
            value = {}
        found[name] = _Section(name, value, problems)
    top = _Section("", {key: value for key, value in content.items() if key not in SECTIONS}, problems)
    return {**found, "": top}


def _rules(name: str, sections: Mapping[str, _Section]) -> Rules:
    shown, bought, age, explored = sections["list"], sections["bought"], sections["age"], sections["exploration"]
    margin, category = sections["margin"], sections["category"]
    unknown_margin = margin.one_of("unknown", ("remove", "keep"), "remove")
    level = category.one_of("level", LEVELS, "category")
    return Rules(
        name,
        describes=sections[""].take("describes", "a text", lambda value: isinstance(value, str), ""),
        pinned=shown.names("pinned", most=MOST_PINNED),
        min_length=shown.whole("min_length", 0, LARGEST_LIST) or 0,
        in_stock=sections["stock"].flag("required", default=True),
        in_store=sections["stock"].flag("at_store", default=True),
        price=_price(sections["price"]),
        margin_share=Band(least=margin.number("min_share", -1, 1), unknown=unknown_margin),
        margin_cents=Band(least=margin.whole("min_cents", -(10**9), 10**9), unknown=unknown_margin),
        level=level,
        category=_named(category),
        brand=_named(sections["brand"]),
        bought_within_days=bought.whole("within_days", 1, LATELY_DAYS),
        unless_due=bought.flag("unless_due", default=True),
        withdrawn=sections["withdrawn"].names("items"),
        adult_categories=age.names("restricted_categories"),
        adult_items=age.names("restricted_items"),
        opted_out=sections["consent"].one_of("opted_out", ("generic", "empty"), "generic"),
        exploration=Exploration(explored.number("share", 0, MOST_EXPLORED) or 0.0, explored.whole("pool", 1, 200) or 20),
    )


def _price(section: _Section) -> Band:
    most = 10**9
    return Band(
        section.whole("min_cents", 0, most),
        section.whole("max_cents", 0, most),
        section.one_of("unknown", ("remove", "keep"), "remove"),
    )


def _named(section: _Section) -> Named:
    return Named(
        section.names("include"), section.names("exclude"), section.whole("cap", 1, LARGEST_LIST), section.caps("caps")
    )


def _contradictions(rules: Rules) -> list[str]:
    """What each key may say alone, but not together."""
    found = []
    price = rules.price
    if price.least is not None and price.most is not None and price.least > price.most:
        found.append(f"price.min_cents = {price.least:g} is above price.max_cents = {price.most:g}: exchange them")
    for section, named in (("category", rules.category), ("brand", rules.brand)):
        both = sorted(set(named.include) & set(named.exclude))
        found += [f'{section}.include and {section}.exclude both name "{name}": take it out of one' for name in both]
        none = [name for name, _ in named.caps if name in named.exclude]
        found += [f'{section}.caps limits "{name}", which {section}.exclude shows none of: take it out of one' for name in none]
    gone = sorted(set(rules.pinned) & set(rules.withdrawn))
    found += [f'list.pinned names "{item}", and withdrawn.items does, too: take it out of one' for item in gone]
    return found


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and low <= value <= high
    )


def _are_names(value: Any, most: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= most
        and all(isinstance(entry, str) and entry.strip() for entry in value)
        and len(set(value)) == len(value)
    )


def _are_caps(value: Any) -> bool:
    return isinstance(value, dict) and all(name.strip() and _whole(1, LARGEST_LIST)(cap) for name, cap in value.items())
