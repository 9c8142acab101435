"""Rows of /v1/recommend straight to JSON: what `recommending` makes where nothing is left to chance and nobody asks why.

One list at a time, candidate by candidate, in plain Python: for a list of twenty that is a tenth of what arrays, dictionaries
and an encoder take. Tests hold the two against each other under random rules. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, count, zip_longest

import msgspec

from features.list_records import RecommendedItem
from features.rules.compiled import CompiledRules
from features.rules.declared import Rules
from serving.candidates import Asked, Below, Member, Row, of_group
from serving.item_texts import ItemTexts, ShownItem, items_json, told, told_of_own
from serving.recommending import bought_lately, step_of

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
    texts: ItemTexts
    edition: int = field(default_factory=count().__next__)
    """Another number for all that is compiled anew."""

    @classmethod
    def of(cls, compiled: CompiledRules, texts: ItemTexts | None = None) -> QuickRules:
        """The same rules, with the texts of their shelf's items where these are known."""
        caps = tuple(QuickCap(cap.group.data, cap.limit.tolist()) for cap in compiled.caps)
        return cls(compiled, compiled.barred.tobytes(), caps, texts or ItemTexts(compiled.shelf))

    @property
    def rules(self) -> Rules:
        """What was declared."""
        return self.compiled.rules


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
    return _json_of(member, below, _items(items, member, asked))


def _taken(member: Member, asked: Asked, below: Below, quick: QuickRules) -> list[tuple[ShownItem, Offer]]:
    """What comes into the list, in order: the first k offers that no rule is against."""
    known, barred, rules = quick.texts.known, quick.barred, quick.rules
    against = {*asked.exclude, *asked.context, *bought_lately(member, rules)}
    counts: list[dict[int, int]] = [{} for _ in quick.caps]
    taken: list[tuple[ShownItem, Offer]] = []
    for offer in _offers(member, asked, below, rules):
        item = offer[0]
        if item in against:
            continue
        shown = known.get(item) or quick.texts.written(item)
        if shown is None or barred[shown[0]] or (counts and not within_caps(quick.caps, counts, shown[0])):
            continue
        against.add(item)
        taken.append((shown, offer))
        if len(taken) == asked.k:
            break
    return taken


def within_caps(caps: tuple[QuickCap, ...], counts: list[dict[int, int]], row: int) -> bool:
    """Whether one more item of its groups may come; counts it if so."""
    for cap, counted in zip(caps, counts, strict=True):
        group = cap.group[row]
        if counted.get(group, 0) >= cap.limit[group]:
            return False
    for cap, counted in zip(caps, counts, strict=True):
        group = cap.group[row]
        counted[group] = counted.get(group, 0) + 1
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


def _items(taken: list[tuple[ShownItem, Offer]], member: Member, asked: Asked) -> bytes:
    """The items as JSON."""
    anything = asked.context[0] if len(asked.context) == 1 else None
    tolds = []
    for (_, _, category), (_, source, _, own) in taken:
        if own is not None:
            tolds.append(told_of_own(source, own.times, days_ago(own.last_day, member.day), own.gap_days, category))
        else:
            tolds.append(told(source, item_id=anything) if source == "goes_with_context" else told(source))
    return items_json([shown[1] for shown, _ in taken], [offer[2] for _, offer in taken], tolds)


def days_ago(last_day: int | None, today: int | None) -> int | None:
    """Days since something was bought last; None where one of the days is not known."""
    return None if last_day is None or today is None else max(0, today - last_day)


def _json_of(member: Member, below: Below, items: bytes) -> bytes:
    model = member.own.model if member.own is not None else None
    step = step_of(member, below)
    head = msgspec.json.encode(member.member_id), behind_id(member.standing, step, model, live=member.live)
    return b'{"member_id":%b%b%b%b' % (*head, items, ROW_END)


ROW_END = b'],"removed":null}'
"""What stands behind the items of a row that nobody asked to trace."""


def behind_id(standing: Row, step: str, model: str | None, *, live: bool) -> bytes:
    """A row from behind the member's id up to its items."""
    head: bytes = msgspec.json.encode({**standing, "fallback": step, "list_model": model, "live": live})
    return b',%b,"items":[' % head[1:-1]
