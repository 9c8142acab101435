"""What lists are made of: members as stored, what is offered to everybody, and candidates of each source in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np

from features.errors import CorruptRecord
from features.list_records import ListStamp, RecommendationList, RecommendedItem, moment_of
from features.rules.compiled import CompiledRules
from features.rules.filling import Rows
from features.rules.shelf import PADDING, Shelf
from training.predictors.list_reasons import REASONS, Known

Row = dict[str, Any]
Scored = tuple[str, float | None]
Told = tuple[str, float | None, Known]
DAY_S = 24 * 3600
STEP = 100
"""Items offered at once of what is the same for everybody: lists are mostly full before."""
_NOTHING = Known()


class Positions(Protocol):
    """Anything that has an entry at a position."""

    def __getitem__(self, position: int, /) -> Any:
        """The entry."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member as far as lists go: what is stored for them, how the answer stands, and the local day it is answered on.

    `impersonal` are those who refused marketing. `live` are those whose list was made anew from what they did since the night.
    `group` is the row of their buying group in the catalogue of the models that answer, -1 where it is not known.
    """

    member_id: str
    own: RecommendationList | None
    standing: Row
    day: int | None = None
    impersonal: bool = False
    live: bool = False
    group: int = -1


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request wants. Places are left to chance only for a decision with an id, which the random numbers come from."""

    k: int
    exclude: frozenset[str] = frozenset()
    context: tuple[str, ...] = ()
    dry_run: bool = False
    decision_id: str = ""


@dataclass(frozen=True, slots=True)
class Below:
    """What is offered to everybody where own lists end, best first: items with scores; `in_groups` by buying group."""

    with_context: Sequence[Scored] = ()
    in_store: Sequence[Scored] = ()
    popular: Sequence[Scored] = ()
    in_groups: Sequence[Sequence[Scored]] = ()


@dataclass(frozen=True, slots=True)
class Feed:
    """Candidates of one source for all lists, as rows of the shelf, with what is told of them.

    Attributes
    ----------
    rows
        Shape (lists, columns), or (columns,) where they are the same for all.
    items, told
        The id of each column, also of items that the shelf does not hold; its source, score and what is known. By list where
        the rows are.
    """

    rows: Rows
    items: Sequence[Any]
    told: Sequence[Any]

    def of(self, which: int, column: int) -> Told:
        """Source, score and what is known of a candidate."""
        found: Told = (self.told[which] if self.rows.ndim == 2 else self.told)[column]
        return found


def feeds_of(members: Sequence[Member], asked: Asked, below: Below, rules: CompiledRules) -> Iterator[Feed]:
    """What is offered, in this order: pinned items; own candidates, every other one that goes with the context; the rest."""
    shelf = rules.shelf
    pinned = rules.rules.pinned
    yield Feed(rules.pinned, pinned, [("pinned", None, _NOTHING)] * len(pinned))
    yield _own_and_context(members, asked, below, shelf)
    yield from _for_everybody("popular_in_store", below.in_store, shelf)
    if any(of_group(member, below) for member in members):
        yield from _by_group(members, below, shelf)
    yield from _for_everybody("popular", below.popular, shelf)


def of_group(member: Member, below: Below) -> Sequence[Scored]:
    """What sells well in a member's buying group; nothing where that is not known."""
    return below.in_groups[member.group] if 0 <= member.group < len(below.in_groups) else ()


def _for_everybody(source: str, scored: Sequence[Scored], shelf: Shelf) -> Iterator[Feed]:
    for start in range(0, len(scored), STEP):
        part = scored[start : start + STEP]
        items = [item for item, _ in part]
        yield Feed(shelf.rows_of(items), items, [(source, score, _NOTHING) for _, score in part])


def _by_group(members: Sequence[Member], below: Below, shelf: Shelf) -> Iterator[Feed]:
    """What sells well in the group of each member; the last group is of nobody's, with nothing in it."""
    groups = [*below.in_groups, ()]
    mine = np.array([member.group if of_group(member, below) else len(groups) - 1 for member in members])
    for start in range(0, max(map(len, groups)), STEP):
        parts = [scored[start : start + STEP] for scored in groups]
        rows = np.full((len(groups), STEP), PADDING, dtype=np.int32)
        for group, part in enumerate(parts):
            rows[group, : len(part)] = shelf.rows_of([item for item, _ in part])
        ids = [[item for item, _ in part] for part in parts]
        told = [[("popular_in_group", score, _NOTHING) for _, score in part] for part in parts]
        yield Feed(rows[mine], [ids[group] for group in mine], [told[group] for group in mine])


def _own_and_context(members: Sequence[Member], asked: Asked, below: Below, shelf: Shelf) -> Feed:
    """Own candidates in the odd columns and those that go with the context in the even ones, where the request has any."""
    own: list[Sequence[RecommendedItem]] = [member.own.items if member.own is not None else () for member in members]
    step = 2 if below.with_context else 1
    width = step * max([len(below.with_context), *map(len, own)])
    rows = np.full((len(members), width), PADDING, dtype=np.int32)
    anything = asked.context[0] if len(asked.context) == 1 else None
    aside = [("goes_with_context", score, Known(item_id=anything)) for _, score in below.with_context]
    if below.with_context:
        rows[:, 0 : step * len(aside) : step] = shelf.rows_of([item for item, _ in below.with_context])
    ids: list[Positions] = []
    told: list[Positions] = []
    context_ids = [item for item, _ in below.with_context]
    for which, items in enumerate(own):
        mine = [item.item_id for item in items]
        rows[which, step - 1 : step * len(items) : step] = shelf.rows_of(mine)
        facts = _Facts(items, members[which].day, shelf)
        ids.append(mine if step == 1 else _Alternating(context_ids, mine))
        told.append(facts if step == 1 else _Alternating(aside, facts))
    return Feed(rows, ids, told)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is told of a member's own candidates, worked out for those that are asked for."""

    items: Sequence[RecommendedItem]
    day: int | None
    shelf: Shelf

    def __getitem__(self, position: int, /) -> Told:
        item = self.items[position]
        return item.source, item.score, _known(item, self.day, self.shelf)


@dataclass(frozen=True, slots=True)
class _Alternating:
    """Two lists read in turns: even positions of the one, odd ones of the other."""

    even: Positions
    odd: Positions

    def __getitem__(self, position: int, /) -> Any:
        return (self.odd if position % 2 else self.even)[position // 2]


def _known(item: RecommendedItem, day: int | None, shelf: Shelf) -> Known:
    row = shelf.row_of.get(item.item_id)
    return Known(
        times=item.times,
        days_ago=None if item.last_day is None or day is None else max(0, day - item.last_day),
        gap_days=item.gap_days,
        category=None if row is None else shelf.category_of(row, 1),
    )


def read_member(
    member_id: str,
    stored: bytes | None,
    *,
    refused: bool,
    personal: bool,
    moment: datetime,
    stale_after_s: float,
    stamp: ListStamp | None = None,
) -> Member:
    """A member with the list that is stored for them.

    Parameters
    ----------
    refused
        Whether they refused marketing: nothing of theirs is used.
    personal
        False where the store did not answer, so that nothing is known.
    stamp
        Which night looked at everyone's lists last, and left those as they were that it would have written again.
    """
    nothing: Row = {"as_of": None, "age_seconds": None}
    if not personal:
        return Member(member_id, None, {"status": "FALLBACK", "reason": "store_unavailable", **nothing})
    if refused:
        return Member(member_id, None, {"status": "OPTED_OUT", "reason": None, **nothing}, impersonal=True)
    if stored is None:
        return Member(member_id, None, {"status": "COLD", "reason": "no_list", **nothing})
    try:
        own = _of_known_sources(RecommendationList.from_bytes(stored))
    except CorruptRecord:
        return Member(member_id, None, {"status": "FALLBACK", "reason": "record_unreadable", **nothing})
    standing, day = standing_of(own, stamp, moment=moment, stale_after_s=stale_after_s)
    return Member(member_id, own, standing, day)


class Dated(Protocol):
    """A list as far as it says when it was made, and by what."""

    @property
    def model(self) -> str:
        """Name and version of what made it."""

    @property
    def as_of(self) -> str:
        """The moment of the night that wrote it."""

    @property
    def day(self) -> int | None:
        """The shop's local day of that."""


def standing_of(own: Dated, stamp: ListStamp | None, *, moment: datetime, stale_after_s: float) -> tuple[Row, int | None]:
    """How the answer with a list stands, and the local day that it is answered on."""
    as_of, first_day = _confirmed(own, stamp)
    age = max(0, int((moment - moment_of(as_of)).total_seconds()))
    status = "STALE" if age > stale_after_s else "OK"
    day = None if first_day is None else first_day + age // DAY_S
    return {"status": status, "reason": None, "as_of": as_of, "age_seconds": age}, day


def _confirmed(own: Dated, stamp: ListStamp | None) -> tuple[str, int | None]:
    """The last moment at which a list was what would have been written, and its local day."""
    if stamp is None or stamp.model != own.model or moment_of(stamp.as_of) <= moment_of(own.as_of):
        return own.as_of, own.day
    return stamp.as_of, stamp.day


def _of_known_sources(stored: RecommendationList) -> RecommendationList:
    """The list itself; one with sources that this version has no words for was written by another."""
    if any(item.source not in REASONS for item in stored.items):
        raise CorruptRecord("a stored list names a source unknown here", remedy='publish again: "rapport publish"')
    return stored
