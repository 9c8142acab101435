"""Rows of /v1/recommend straight to JSON: what `recommending` makes where nothing is left to chance and nobody asks why.

One list at a time, candidate by candidate, in plain Python: for a list of twenty that is a tenth of what arrays, dictionaries
and an encoder take. Tests hold the two against each other under random rules. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, zip_longest

import msgspec

from features.list_records import RecommendedItem
from features.rules.compiled import CompiledRules
from features.rules.declared import Rules
from serving.candidates import Asked, Below, Member, of_group
from serving.recommending import bought_lately, step_of
from training.predictors.list_reasons import Known, sentences

Offer = tuple[str, str, float | None, RecommendedItem | None]
"""Item, source, score, and what is known of it as one of the member's own."""


@dataclass(frozen=True, slots=True)
class QuickCap:
    """The most items of a group: the group of each row, and the limit of each group."""

    group: memoryview
    limit: list[int]


@dataclass(frozen=True, slots=True)
class QuickRules:
    """Compiled rules as plain Python reads them fastest: bytes, views and dictionaries."""

    compiled: CompiledRules
    barred: bytes
    caps: tuple[QuickCap, ...]
    category: memoryview
    categories: list[str]

    @classmethod
    def of(cls, compiled: CompiledRules) -> QuickRules:
        """The same rules."""
        shelf = compiled.shelf
        caps = tuple(QuickCap(cap.group.data, cap.limit.tolist()) for cap in compiled.caps)
        middle = shelf.levels[:, 1].copy().data
        return cls(compiled, compiled.barred.tobytes(), caps, middle, shelf.categories.tolist())

    @property
    def rules(self) -> Rules:
        """What was declared."""
        return self.compiled.rules

    def category_of(self, row: int) -> str | None:
        """The name of an item's category."""
        place = self.category[row]
        return None if place < 0 else self.categories[place]


def quick_row(member: Member, asked: Asked, below: Below, quick: QuickRules) -> bytes | None:
    """The row of a member as JSON, as `list_schemas.RecommendRow`; None where `recommending` has to look at it.

    That is where the list would be empty, shorter than the rules want, left to chance, or traced.
    """
    rules = quick.rules
    if (
        asked.dry_run
        or (rules.exploration.share > 0 and asked.decision_id)
        or (member.impersonal and rules.opted_out == "empty")
    ):
        return None
    items = _taken(member, asked, below, quick)
    if len(items) < max(1, min(rules.min_length, asked.k)):
        return None
    return _json_of(member, below, _items(items, member, asked, quick))


def _taken(member: Member, asked: Asked, below: Below, quick: QuickRules) -> list[tuple[int, Offer]]:
    """What comes into the list, in order, with rows of the shelf: the first k offers that no rule is against."""
    row_of, barred, rules = quick.compiled.shelf.row_of, quick.barred, quick.rules
    against = {*asked.exclude, *asked.context, *bought_lately(member, rules)}
    counts: list[dict[int, int]] = [{} for _ in quick.caps]
    taken: list[tuple[int, Offer]] = []
    for offer in _offers(member, asked, below, rules):
        item = offer[0]
        row = row_of.get(item)
        if row is None or barred[row] or item in against or (counts and not _within(quick.caps, counts, row)):
            continue
        against.add(item)
        taken.append((row, offer))
        if len(taken) == asked.k:
            break
    return taken


def _within(caps: tuple[QuickCap, ...], counts: list[dict[int, int]], row: int) -> bool:
    """Whether one more item of its groups may come; counts it if so."""
    for cap, count in zip(caps, counts, strict=True):
        group = cap.group[row]
        if count.get(group, 0) >= cap.limit[group]:
            return False
    for cap, count in zip(caps, counts, strict=True):
        group = cap.group[row]
        count[group] = count.get(group, 0) + 1
    return True


def _offers(member: Member, asked: Asked, below: Below, rules: Rules) -> Iterator[Offer]:
    """Candidates in the order of `candidates.feeds_of`."""
    own: Iterable[Offer] = ()
    if member.own is not None:
        own = ((item.item_id, item.source, item.score, item) for item in member.own.items)
    if below.with_context:
        aside = [(item, "goes_with_context", score, None) for item, score in below.with_context]
        own = (offer for pair in zip_longest(aside, own) for offer in pair if offer is not None)
    return chain(
        ((item, "pinned", None, None) for item in rules.pinned),
        own,
        ((item, "popular_in_store", score, None) for item, score in below.in_store),
        ((item, "popular_in_group", score, None) for item, score in of_group(member, below)),
        ((item, "popular", score, None) for item, score in below.popular),
    )


def _items(taken: list[tuple[int, Offer]], member: Member, asked: Asked, quick: QuickRules) -> str:
    """The items as JSON."""
    anything = asked.context[0] if len(asked.context) == 1 else None
    today, parts = member.day, []
    for place, (row, (item_id, source, score, own)) in enumerate(taken, start=1):
        if own is not None:
            last = own.last_day
            ago = None if last is None or today is None else max(0, today - last)
            told = _told(source, own.times, ago, own.gap_days, quick.category_of(row), None)
        else:
            told = _told(source, None, None, None, None, anything if source == "goes_with_context" else None)
        number = "null" if score is None else repr(score)
        parts.append(f'{{"item_id":{_quoted(item_id)},"place":{place},"score":{number},{told}}}')
    return ",".join(parts)


@lru_cache(maxsize=16_384)
def _told(
    source: str, times: int | None, days_ago: int | None, gap_days: float | None, category: str | None, item_id: str | None
) -> str:
    """What an item says of where it came from; many members are told the same."""
    code, english, chinese = sentences(source, Known(times, days_ago, gap_days, category, item_id))
    reason = msgspec.json.encode({"code": code, "en": english, "zh": chinese}).decode()
    return f'"source":"{source}","reason":{reason},"explored":false,"propensity":null,"list_propensity":null'


@lru_cache(maxsize=65_536)
def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _json_of(member: Member, below: Below, items: str) -> bytes:
    model = member.own.model if member.own is not None else None
    head = {"member_id": member.member_id, **member.standing, "fallback": step_of(member, below), "list_model": model}
    head["live"] = member.live
    return msgspec.json.encode(head)[:-1] + f',"items":[{items}],"removed":null}}'.encode()
