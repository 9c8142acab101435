"""The most frequent row of /v1/recommend, from stored bytes to JSON: a member's own list of the night that fills what is asked.

Nothing else is looked at: whoever refused marketing, did something since, has no list or too short a one, and whatever is
pinned, left to chance or asked with a context, is answered by `quick_rows` and `recommending`, which say the same of these rows
as well (a test). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from features.list_records import FINGERPRINT, ListStamp, RecommendedItem
from features.rules.declared import Rules
from serving.candidates import standing_of
from serving.item_texts import (
    KIND_OF,
    SAYS_BOUGHT,
    SAYS_CATEGORY,
    SAYS_DUE,
    ShownItem,
    items_json,
    told,
    told_of_own,
)
from serving.list_schemas import Source
from serving.quick_rows import ROW_END, QuickRules, behind_id, within_caps
from serving.recommending import bought_within

Standing = tuple[str, int | None, bytes]
"""Status, local day of the answer, and what stands in a row between the member's id and its items."""


Kept = tuple["Night", int, int, int | None, bytes]
"""Night of a stored list, k, edition of the rules and local day: what its items depend on beside it. Last, these as JSON."""
KEPT_BYTES = 32 * 1024 * 1024
BESIDE = 400
"""Bytes that an entry takes beside its texts."""
NOTICED = 100_000
"""Lists that came once, of which a number is kept."""


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


class Night(NamedTuple):
    """Which night made a list, as the list has it."""

    model: str
    as_of: str
    day: int | None


class Standings:
    """How answers with own lists stand at one moment: lists of a night stand alike, and what is written of them as well."""

    def __init__(self, moment: datetime, stamp: ListStamp | None, *, stale_after_s: float) -> None:
        self._moment, self._stamp, self._stale_after_s = moment, stamp, stale_after_s
        self._known: dict[Night, Standing] = {}

    def of(self, night: Night) -> Standing:
        """How the answer with a list of a night stands; ValueError where its moment is none."""
        found = self._known.get(night)
        if found is None:
            row, day = standing_of(night, self._stamp, moment=self._moment, stale_after_s=self._stale_after_s)
            found = self._known[night] = (row["status"], day, behind_id(row, "none", night.model, live=False))
        return found


class KeptItems:
    """Items as they were written of lists that have not changed since, by the very bytes of those lists.

    What else they depend on is kept beside them. No id of a member is: whoever has gone, refused, or has another list by now is
    not found, as what was read of them just now is what is looked for. A list is kept once it comes a second time: those of a
    campaign, which asks for each member once, would only take the room. What was used longest ago makes room.
    """

    def __init__(self, most_bytes: int = KEPT_BYTES, noticed: int = NOTICED) -> None:
        self._half, self._most_noticed = most_bytes // 2, noticed // 2
        self._size = 0
        self._young: dict[bytes, Kept] = {}
        self._old: dict[bytes, Kept] = {}
        self._noticed: set[int] = set()
        self._noticed_before: set[int] = set()

    def get(self, record: bytes) -> Kept | None:
        """What was written of a stored list last."""
        kept = self._young.get(record)
        if kept is None:
            kept = self._old.get(record)
            if kept is not None:
                self._keep(record, kept)
        return kept

    def offer(self, record: bytes, kept: Kept) -> None:
        """Keep what was written of a stored list if the list has come before."""
        seen = hash(record)
        if seen in self._noticed or seen in self._noticed_before:
            self._keep(record, kept)
            return
        if len(self._noticed) >= self._most_noticed:
            self._noticed_before, self._noticed = self._noticed, set()
        self._noticed.add(seen)

    def _keep(self, record: bytes, kept: Kept) -> None:
        size = len(record) + len(kept[4]) + BESIDE
        if self._size + size > self._half:
            self._old, self._young, self._size = self._young, {}, 0
        if record not in self._young:
            self._size += size
        self._young[record] = kept


def answered_plainly(rules: Rules) -> bool:
    """Whether rules leave lists as they are but for items that they take away."""
    return not rules.pinned and not rules.exploration.share


def own_row(
    member_id: str,
    record: bytes,
    k: int,
    exclude: Sequence[str],
    quick: QuickRules,
    standings: Standings,
    kept: KeptItems | None = None,
) -> tuple[str, bytes] | None:
    """Status and row of a member, under rules that are `answered_plainly`; None where others have to look at it."""
    known = kept.get(record) if kept is not None and not exclude else None
    if known is not None and known[1] == k and known[2] == quick.edition:
        status, today, behind = standings.of(known[0])
        if today == known[3]:
            return status, b'{"member_id":%b%b%b%b' % (_encode(member_id), behind, known[4], ROW_END)
    try:
        own = _decoder.decode(memoryview(record)[FINGERPRINT:])
        night = Night(own.model, own.as_of, own.day)
        status, today, behind = standings.of(night)
    except (ValueError, TypeError, RecursionError):  # unreadable, or of sources without words
        return None
    items = _items(own, k, exclude, quick, today)
    if items is None:
        return None
    if kept is not None and not exclude:
        kept.offer(record, (night, k, quick.edition, today, items))
    return status, b'{"member_id":%b%b%b%b' % (_encode(member_id), behind, items, ROW_END)


def _items(own: OwnList, k: int, exclude: Sequence[str], quick: QuickRules, today: int | None) -> bytes | None:
    """The first k items that no rule is against, as JSON; None if there are fewer."""
    known, barred, caps = quick.texts.known, quick.barred, quick.caps
    against = {*exclude}
    if quick.rules.bought_within_days is not None and today is not None:
        against.update(bought_within(own.items, own.lately, today, quick.rules))
    counts: list[dict[int, int]] = [{} for _ in caps]
    taken: list[OwnItem] = []
    texts: list[ShownItem] = []
    for item in own.items:
        item_id = item.item_id
        if item_id in against:
            continue
        shown = known.get(item_id) or quick.texts.written(item_id)
        if shown is None or barred[shown[0]] or (counts and not within_caps(caps, counts, shown[0])):
            continue
        against.add(item_id)
        taken.append(item)
        texts.append(shown)
        if len(taken) == k:
            return items_json([text[1] for text in texts], [item.score for item in taken], _tolds(taken, texts, today))
    return None


def _tolds(items: Sequence[OwnItem], texts: Sequence[ShownItem], today: int | None) -> list[bytes]:
    """`told_of_own` of each item. The three kinds of which nearly all are, are told apart right here: a call costs as much."""
    tolds: list[bytes] = []
    for item, (_, _, category) in zip(items, texts, strict=True):
        source, last, gap = item.source, item.last_day, item.gap_days
        kind = KIND_OF[source]
        ago = None if last is None or today is None else today - last if today > last else 0
        if kind == SAYS_CATEGORY:
            tolds.append(told(source, None, None, None, category))
        elif kind == SAYS_BOUGHT:
            tolds.append(told(source, item.times, ago))
        elif kind == SAYS_DUE and gap is not None and ago is not None:
            tolds.append(told(source, None, ago, round(gap)))
        else:
            tolds.append(told_of_own(source, item.times, ago, gap, category))
    return tolds
