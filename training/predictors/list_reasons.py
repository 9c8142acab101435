"""Why an item stands in a list: stable codes, and a sentence in English and in Chinese, made of what is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Known:
    """What a sentence may say; None where it is not known.

    Attributes
    ----------
    times
        On how many days the member bought the item.
    days_ago
        Days since the last of them.
    gap_days
        Days from one purchase to the next, by the member's own rhythm as far as it shows.
    category
        Name of the item's category, as the shop calls it.
    item_id
        The item that it goes with.
    """

    times: int | None = None
    days_ago: int | None = None
    gap_days: float | None = None
    category: str | None = None
    item_id: str | None = None


@dataclass(frozen=True, slots=True)
class Wording:
    """A sentence in both languages that can be said where everything that it names is known.

    `once` names a number for which it is said only if that is one.
    """

    needs: tuple[str, ...]
    english: str
    chinese: str
    once: str = ""

    def holds(self, known: Known) -> bool:
        """Whether all that it names is known, and what is to be one is."""
        named = (*self.needs, self.once) if self.once else self.needs
        there = all(getattr(known, name) is not None for name in named)
        return there and (not self.once or _whole(known, self.once) == 1)


@dataclass(frozen=True, slots=True)
class ListReason:
    """A kind of reason. `wordings` are tried in order; the last needs nothing."""

    code: str
    meaning: str
    wordings: tuple[Wording, ...]


_BOUGHT = (
    Wording(("days_ago",), "you bought this once, {days_ago}", "您在{days_ago}买过一次", once="times"),
    Wording(("times", "days_ago"), "you bought this {times}, last {days_ago}", "您买过{times}次，上次在{days_ago}"),
    Wording(("days_ago",), "you bought this {days_ago}", "您在{days_ago}买过"),
    Wording((), "you bought this before", "您以前买过"),
)
REASONS: Final[Mapping[str, ListReason]] = {
    "due_again": ListReason(
        "DUE_AGAIN",
        "by the member's own rhythm it is time to buy it again",
        (
            Wording(
                ("days_ago",),
                "you buy this nearly every day; last time {days_ago}",
                "您几乎每天都买，上次在{days_ago}",
                once="gap_days",
            ),
            Wording(
                ("gap_days", "days_ago"),
                "you usually buy this every {gap_days}; last time {days_ago}",
                "您通常每{gap_days}天买一次，上次在{days_ago}",
            ),
            *_BOUGHT,
        ),
    ),
    "bought_before": ListReason("BOUGHT_BEFORE", "the member bought it before", _BOUGHT),
    "viewed": ListReason(
        "VIEWED", "the member looked at it lately", (Wording((), "you looked at this lately", "您最近看过这件商品"),)
    ),
    "goes_with": ListReason(
        "GOES_WITH",
        "it is bought by those who buy what the member buys",
        (
            Wording(("category",), "goes with what you buy, from {category}", "与您常买的商品相配，来自{category}"),
            Wording((), "goes with what you buy", "与您常买的商品相配"),
        ),
    ),
    "goes_with_context": ListReason(
        "GOES_WITH_CONTEXT",
        "it is bought by those who buy the items of the request: a basket, or a page",
        (
            Wording(("item_id",), "often bought together with {item_id}", "常与{item_id}一起购买"),
            Wording((), "often bought together with these items", "常与这些商品一起购买"),
        ),
    ),
    "similar_taste": ListReason(
        "SIMILAR_TASTE",
        "members of similar taste buy it",
        (Wording((), "members whose taste is like yours buy this", "与您口味相近的会员也在买"),),
    ),
    "category": ListReason(
        "CATEGORY",
        "it sells well in a category that the member buys from",
        (
            Wording(("category",), "a favourite in {category}, where you often buy", "您常买的{category}中的热门商品"),
            Wording((), "a favourite where you often buy", "您常买品类中的热门商品"),
        ),
    ),
    "trending": ListReason(
        "TRENDING",
        "more members buy it than some weeks ago",
        (Wording((), "more and more members buy this", "最近越来越多会员购买"),),
    ),
    "popular_in_store": ListReason(
        "POPULAR_IN_STORE", "it sells well in the store of the request", (Wording((), "popular in this store", "本店热销"),)
    ),
    "popular_in_group": ListReason(
        "POPULAR_IN_GROUP",
        "it sells well among members who buy the same kinds of things",
        (Wording((), "popular with members who buy the same kinds of things", "购买同类商品的会员热销"),),
    ),
    "popular": ListReason("POPULAR", "most members buy it", (Wording((), "popular with our members", "会员热销商品"),)),
    "pinned": ListReason("PINNED", "the shop put it there", (Wording((), "chosen by the shop", "门店推荐"),)),
}
"""By the source of an item. Codes and sources are public names: they may be added, never renamed."""
LIST_SOURCES: Final = tuple(REASONS)
UNITS: Final = {"times": ("time", "times"), "days_ago": ("day ago", "days ago"), "gap_days": ("day", "days")}


def sentences(source: str, known: Known) -> tuple[str, str, str]:
    """The code of a source, and what it says in English and in Chinese."""
    reason = REASONS[source]
    wording = next(wording for wording in reason.wordings if wording.holds(known))
    english = wording.english.format(**{name: _counted(name, known) for name in wording.needs})
    chinese = wording.chinese.format(**{name: _plain(name, known) for name in wording.needs})
    return reason.code, english, chinese


def _plain(name: str, known: Known) -> str:
    """A whole number, 1 at the least; days ago as they are said in Chinese; texts as they are."""
    value = getattr(known, name)
    if isinstance(value, str):
        return value
    if name == "days_ago":
        return f"{value}天前" if value else "今天"
    return str(_whole(known, name))


def _whole(known: Known, name: str) -> int:
    """A number as it is said: whole, and 1 at the least."""
    number: float = getattr(known, name)
    return max(1, round(number))


def _counted(name: str, known: Known) -> str:
    """The same in English, with its unit: 1 day, 2 days ago."""
    if name not in UNITS:
        return _plain(name, known)
    if name == "days_ago" and not known.days_ago:
        return "today"
    one, many = UNITS[name]
    number = _whole(known, name)
    return f"{number} {one if number == 1 else many}"
