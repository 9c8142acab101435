"""Items of lists as JSON, put together from pieces: what is the same in many answers is written once.

An item is written `{"item_id":…,"place":…,"score":…,"source":…,"reason":…,…}`. Its beginning belongs to the item, its end to
what is said of where it came from, which thousands of members are told alike; the numbers between are written in one go. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from features.rules.shelf import Shelf
from serving.schemas import MAX_K
from training.predictors.list_reasons import REASONS, Known, sentences

MOST_ITEMS = 65_536
"""Items of which the beginnings are kept: some ten megabytes."""
PLACES = [b'%d,"score":' % place for place in range(1, MAX_K + 1)]
_BOUGHT, _DUE = frozenset({"times", "days_ago"}), frozenset({"times", "days_ago", "gap_days"})
_NEEDS = {
    source: frozenset(name for wording in reason.wordings for name in wording.needs) for source, reason in REASONS.items()
}
SAYS_NOTHING, SAYS_CATEGORY, SAYS_BOUGHT, SAYS_DUE, SAYS_ANYTHING = range(5)
_KINDS = {frozenset[str](): SAYS_NOTHING, frozenset({"category"}): SAYS_CATEGORY, _BOUGHT: SAYS_BOUGHT, _DUE: SAYS_DUE}
KIND_OF = {source: _KINDS.get(needs - {"item_id"}, SAYS_ANYTHING) for source, needs in _NEEDS.items()}
"""By source, what the sentence about one of a member's own items is made of."""

ShownItem = tuple[int, bytes, str | None]
"""Row of an item on the shelf, the beginning of its JSON with a comma before it, and the name of its category."""


class ItemTexts:
    """The beginnings of items of a shelf, each written when it is first offered."""

    def __init__(self, shelf: Shelf) -> None:
        self._row_of = shelf.row_of
        self._levels = shelf.levels
        self._category, self._categories = shelf.levels[:, 1].copy().data, shelf.categories.tolist()
        self.known: dict[str, ShownItem] = {}

    def are_of(self, shelf: Shelf) -> bool:
        """Whether these are those of a shelf as well; one that differs in its stock alone has the same."""
        return self._row_of is shelf.row_of and self._levels is shelf.levels

    def written(self, item_id: str) -> ShownItem | None:
        """An item that is not known yet; None for one that the shelf does not hold."""
        row = self._row_of.get(item_id)
        if row is None:
            return None
        if len(self.known) >= MOST_ITEMS:
            self.known.clear()
        place = self._category[row]
        shown = (row, before_place(item_id), None if place < 0 else self._categories[place])
        self.known[item_id] = shown
        return shown


def before_place(item_id: str) -> bytes:
    """An item's JSON up to its place, with a comma before it."""
    return b',{"item_id":%b,"place":' % msgspec.json.encode(item_id)


def told_of_own(
    source: str, times: int | None, days_ago: int | None, gap_days: float | None, category: str | None
) -> bytes:  # fmt: skip
    """What is said of one of a member's own items. What its sentence does not name is left out, so that many share it."""
    kind = KIND_OF[source]
    if kind == SAYS_CATEGORY:
        return told(source, None, None, None, category)
    if kind == SAYS_NOTHING:
        return told(source)
    if kind == SAYS_ANYTHING:
        return told(source, times, days_ago, gap_days, category)
    if kind == SAYS_DUE and gap_days is not None and days_ago is not None:
        return told(source, None, days_ago, round(gap_days))  # sentences name whole days
    return told(source, times, days_ago)


@lru_cache(maxsize=16_384)
def told(
    source: str,
    times: int | None = None,
    days_ago: int | None = None,
    gap_days: float | None = None,
    category: str | None = None,
    item_id: str | None = None,
) -> bytes:
    """The end of an item's JSON, from behind its score on."""
    code, english, chinese = sentences(source, Known(times, days_ago, gap_days, category, item_id))
    reason = msgspec.json.encode({"code": code, "en": english, "zh": chinese})
    end = b'"explored":false,"propensity":null,"list_propensity":null}'
    return b',"source":%b,"reason":%b,%b' % (msgspec.json.encode(source), reason, end)


def items_json(befores: Sequence[bytes], scores: Sequence[float | None], tolds: Sequence[bytes]) -> bytes:
    """Items as JSON, without the brackets around them; at least one and at most `MAX_K`."""
    many = len(befores)
    pieces: list[bytes] = [b""] * (4 * many)
    pieces[0::4], pieces[1::4], pieces[2::4], pieces[3::4] = befores, PLACES[:many], numbers(scores), tolds
    pieces[0] = pieces[0][1:]
    return b"".join(pieces)


def numbers(scores: Sequence[float | None]) -> list[bytes]:
    """Each score as Python writes it, a tenth as slowly: JSON has the same digits but for very large and very small ones."""
    text: bytes = msgspec.json.encode(scores)
    if b"e" in text or b"0.0000" in text:
        return [b"null" if score is None else repr(score).encode() for score in scores]
    return text[1:-1].split(b",")
