"""The most frequent row of /v1/recommend, from stored bytes to JSON: a member's own list of the night that fills what is asked.

Nothing else is looked at: whoever refused marketing, did something since, has no list or too short a one, and whatever is
pinned, left to chance or asked with a context, is answered by `quick_rows` and `recommending`, which say the same of these rows
as well (a test). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from features.list_records import FINGERPRINT, ListStamp, RecommendedItem
from features.rules.declared import Rules
from serving.candidates import standing_of
from serving.item_texts import items_json, told_of_own
from serving.list_schemas import Source
from serving.quick_rows import ROW_END, QuickRules, behind_id, within_caps
from serving.recommending import bought_within

Standing = tuple[str, int | None, bytes]
"""Status, local day of the answer, and what stands in a row between the member's id and its items."""


class OwnItem(RecommendedItem, array_like=True, frozen=True, gc=False):
    """An item whose source has words here; reading it says so, and reads it faster."""

    source: Source


class OwnList(msgspec.Struct, array_like=True, frozen=True):
    """`features.list_records.RecommendationList` as it stands in JSON."""

    model: str
    as_of: str
    items: tuple[OwnItem, ...]
    day: int | None
    lately: dict[str, int]
    group: int = -1


_decoder = msgspec.json.Decoder(OwnList)
_encode = msgspec.json.Encoder().encode


class Standings:
    """How answers with own lists stand at one moment: lists of a night stand alike, and what is written of them as well."""

    def __init__(self, moment: datetime, stamp: ListStamp | None, *, stale_after_s: float) -> None:
        self._moment, self._stamp, self._stale_after_s = moment, stamp, stale_after_s
        self._known: dict[tuple[str, str, int | None], Standing] = {}

    def of(self, own: OwnList) -> Standing:
        """How the answer with a list stands; ValueError where its moment is none."""
        night = (own.model, own.as_of, own.day)
        found = self._known.get(night)
        if found is None:
            row, day = standing_of(own, self._stamp, moment=self._moment, stale_after_s=self._stale_after_s)
            found = self._known[night] = (row["status"], day, behind_id(row, "none", own.model, live=False))
        return found


def answered_plainly(rules: Rules) -> bool:
    """Whether rules leave lists as they are but for items that they take away."""
    return not rules.pinned and not rules.exploration.share


def own_row(
    member_id: str, record: bytes, k: int, exclude: Sequence[str], quick: QuickRules, standings: Standings
) -> tuple[str, bytes] | None:  # fmt: skip
    """Status and row of a member, under rules that are `answered_plainly`; None where others have to look at it."""
    try:
        own = _decoder.decode(memoryview(record)[FINGERPRINT:])
        status, today, behind = standings.of(own)
    except (ValueError, TypeError, RecursionError):  # unreadable, or of sources without words
        return None
    items = _items(own, k, exclude, quick, today)
    if items is None:
        return None
    return status, b'{"member_id":%b%b%b%b' % (_encode(member_id), behind, items, ROW_END)


def _items(own: OwnList, k: int, exclude: Sequence[str], quick: QuickRules, today: int | None) -> bytes | None:
    """The first k items that no rule is against, as JSON; None if there are fewer."""
    known, barred, caps = quick.texts.known, quick.barred, quick.caps
    against = {*exclude}
    if quick.rules.bought_within_days is not None and today is not None:
        against.update(bought_within(own.items, own.lately, today, quick.rules))
    counts: list[dict[int, int]] = [{} for _ in caps]
    befores: list[bytes] = []
    scores: list[float] = []
    tolds: list[bytes] = []
    for item in own.items:
        item_id = item.item_id
        if item_id in against:
            continue
        shown = known.get(item_id) or quick.texts.written(item_id)
        if shown is None or barred[shown[0]] or (counts and not within_caps(caps, counts, shown[0])):
            continue
        against.add(item_id)
        befores.append(shown[1])
        scores.append(item.score)
        last = item.last_day
        ago = None if last is None or today is None else max(0, today - last)
        tolds.append(told_of_own(item.source, item.times, ago, item.gap_days, shown[2]))
        if len(scores) == k:
            return items_json(befores, scores, tolds)
    return None
