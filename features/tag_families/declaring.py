"""What a tag is: a name, a rule over what is known of a member, its meaning in two languages, and what it is used for.

A rule is an expression of `features.expressions`. Its operands are features of the contract, columns of `members`, the
purchases and views of a topic, fifths of the population, and the day and month of T. This module imports no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from features.contract import CONTRACT
from features.declarations import Feature, Freshness
from features.expressions import Call, Column, Expression

TagFamily = Literal["basic", "preference", "scene", "channel", "lifecycle_value_risk", "latent_need"]
FAMILIES: tuple[TagFamily, ...] = get_args(TagFamily)

MONTH = Column("month")
"""The calendar month of T in the shop's zone, 1 to 12."""
FIFTHS = ("lowest", "low", "middle", "high", "highest")


@dataclass(frozen=True, slots=True, eq=False)
class Fifth(Expression):
    """1 to 5: the fifth of all members with a known value that a member's value lies in; 5 is highest."""

    feature: Feature

    def __str__(self) -> str:
        return f"fifth({self.feature})"


@dataclass(frozen=True, slots=True, eq=False)
class Touch(Expression):
    """Days ago, within `LOOK_BACK_DAYS`, of a member's last or first purchase or view of a topic; missing without one."""

    topic: str
    what: Literal["last_purchase", "first_purchase", "last_view"]

    def __str__(self) -> str:
        return f"days_since_{self.what}_of({self.topic})"


LOOK_BACK_DAYS = 180
"""How far back purchases and views of topics, categories and brands are looked at."""


@dataclass(frozen=True, slots=True)
class Topic:
    """Goods recognised by words in department, category and subcategory, in English or Chinese.

    Attributes
    ----------
    words
        English words match whole, with or without a plural; Chinese ones anywhere. Case does not count.
    without
        Words that take goods out again, such as the hot dog out of the dog's.
    """

    name: str
    meaning: str
    chinese: str
    words: tuple[str, ...]
    without: tuple[str, ...] = ()

    @property
    def last_purchase(self) -> Touch:
        """Days since the last purchase."""
        return Touch(self.name, "last_purchase")

    @property
    def first_purchase(self) -> Touch:
        """Days since the first purchase within the look-back."""
        return Touch(self.name, "first_purchase")

    @property
    def last_view(self) -> Touch:
        """Days since the last view."""
        return Touch(self.name, "last_view")


@dataclass(frozen=True, slots=True)
class Tag:
    """A label that a member has or has not as of T. A value of a categorical tag is named `tag=value`.

    A rule is false where what it rests on is missing, unless it asks for just that with `missing` or `fill`.

    Attributes
    ----------
    chinese
        The meaning in Chinese, as marketers search for it.
    use
        What marketing does with it.
    """

    name: str
    family: TagFamily
    rule: Expression
    meaning: str
    chinese: str
    use: str

    @property
    def refresh(self) -> Freshness:
        """`event` if all it rests on moves with events of the day; else `nightly`."""
        moving = all(isinstance(leaf, Feature) and leaf.freshness == "event" for leaf in leaves(self.rule) if leaf is not MONTH)
        return "event" if moving else "nightly"


def of_family(family: TagFamily) -> Callable[[str, Expression, str, str, str], Tag]:
    """What declares tags of one family: by name, rule, meaning, meaning in Chinese, and use."""

    def tag(name: str, rule: Expression, meaning: str, chinese: str, use: str) -> Tag:
        return Tag(name, family, rule, meaning, chinese, use)

    return tag


def leaves(expression: Expression) -> Iterator[Feature | Fifth | Touch | Column]:
    """What a rule rests on; features are not taken apart."""
    if isinstance(expression, Call):
        for argument in expression.arguments:
            yield from leaves(argument)
    elif isinstance(expression, Feature | Fifth | Touch | Column):
        yield expression


def feature(name: str) -> Feature:
    """A feature of the contract, under the name that marketers use in audiences as well."""
    return CONTRACT.feature(name)


def category_of(name: str, value: str) -> Expression:
    """True for members whose coded feature, such as the lifecycle stage, has this value."""
    coded = feature(name)
    return coded.equals(coded.categories.index(value))


@dataclass(frozen=True, slots=True)
class Level:
    """One value of a categorical tag: where the number is at least the last level's `below` and less than this one's."""

    value: str
    below: float
    meaning: str
    chinese: str
    use: str


REST = float("inf")


def by_level(
    tag: str, family: TagFamily, number: Expression, levels: Iterable[Level], *, among: Expression | None = None
) -> list[Tag]:
    """A categorical tag that cuts a number into levels. The first level takes everything below its upper end.

    Parameters
    ----------
    among
        Only members for whom this is true have any of the values.
    """
    tags, low = [], None
    for level in levels:
        parts = [] if low is None else [number >= low]
        parts += [number < level.below] if level.below != REST else []
        parts += [among] if among is not None else []
        rule = parts[0]
        for part in parts[1:]:
            rule = rule & part
        tags.append(Tag(f"{tag}={level.value}", family, rule, level.meaning, level.chinese, level.use))
        low = level.below
    return tags


CHINESE_FIFTHS = ("最低", "较低", "中等", "较高", "最高")


def by_fifth(tag: str, family: TagFamily, over: str, meaning: str, chinese: str, use: str) -> list[Tag]:
    """A categorical tag by fifths of the population: lowest, low, middle, high, highest."""
    return [
        Tag(
            f"{tag}={name}",
            family,
            Fifth(feature(over)).equals(position),
            f"{meaning}: {name} fifth of all members",
            f"{chinese}：{CHINESE_FIFTHS[position - 1]}的五分之一",
            use,
        )
        for position, name in enumerate(FIFTHS, start=1)
    ]
