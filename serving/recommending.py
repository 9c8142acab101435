"""Lists for many members: their own candidates and, where those end, the steps below, all of them under the rules.

Pure: no HTTP, no store, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.list_records import RecommendedItem
from features.rules.codes import CODES, MEANINGS, code_of
from features.rules.compiled import Codes, CompiledRules
from features.rules.declared import Rules
from features.rules.exploration import Shown, as_filled, explored, generator_of
from features.rules.filling import Filling, Rows
from features.rules.shelf import ABSENT, PADDING, Shelf
from serving.candidates import Asked, Below, Feed, Member, Row, Told, feeds_of, of_group
from training.predictors.list_reasons import sentences

_EXCLUDED, _IN_BASKET, _LATELY = code_of("EXCLUDED_BY_REQUEST"), code_of("IN_BASKET"), code_of("BOUGHT_RECENTLY")
_UNTOLD = frozenset({code_of("NO_CANDIDATE"), code_of("ALREADY_IN_LIST"), code_of("LIST_FULL"), 0})


def recommend_members(members: Sequence[Member], asked: Asked, below: Below, rules: CompiledRules) -> list[Row]:
    """One row per member, in the order asked for, as `list_schemas.RecommendRow`."""
    shelf, k = rules.shelf, asked.k
    drawn = rules.rules.exploration
    explores = drawn.share > 0 and bool(asked.decision_id) and not asked.dry_run
    filling = Filling.empty(rules, lists=len(members), k=k + (drawn.pool if explores else 0))
    feeds: list[Feed] = []
    blocked = _blocked_for_all(asked, shelf)
    lately = [shelf.rows_of(bought_lately(member, rules.rules)) for member in members]
    for feed in feeds_of(members, asked, below, rules):
        if feeds and not len(filling.lacking):
            break
        filling.feed(feed.rows, against=_against(feed.rows, blocked, lately))
        feeds.append(feed)
    short = _too_short(filling, rules, k=k)
    shown = as_filled(filling, k=k)
    if explores:
        generators = [generator_of(asked.decision_id, row) for row in range(len(members))]
        shown = explored(filling, k=k, share=drawn.share, pinned=len(rules.pinned), generators=generators)
    lists = _Lists(feeds, filling, shown, shelf, explores=explores)
    return [_row(lists, which, member, asked, below, short=bool(short[which])) for which, member in enumerate(members)]


def _blocked_for_all(asked: Asked, shelf: Shelf) -> Codes:
    """Codes of what the request itself rules out, by row of the shelf, two more for the rows that are no item."""
    blocked = np.zeros(len(shelf) + 2, dtype=np.int8)
    for items, code in ((asked.exclude, _EXCLUDED), (asked.context, _IN_BASKET)):
        rows = [shelf.row_of[item] for item in items if item in shelf.row_of]
        blocked[rows] = code
    return blocked


def bought_lately(member: Member, rules: Rules) -> list[str]:
    """What a member bought within the days of the rule and is not due to buy again."""
    if member.own is None or member.day is None:
        return []
    return bought_within(member.own.items, member.own.lately, member.day, rules)


def bought_within(items: Sequence[RecommendedItem], lately: Mapping[str, int], today: int, rules: Rules) -> list[str]:
    """The same of a list's items and what it says was bought of late, on a local day."""
    within = rules.bought_within_days
    if within is None:
        return []
    last_days = {item.item_id: item.last_day for item in items if item.last_day is not None} | dict(lately)
    bought = {item: today - day for item, day in last_days.items() if today - day <= within}
    if rules.unless_due:
        due = {item.item_id for item in items if item.item_id in bought and _is_due(item, last_days[item.item_id], today)}
        bought = {item: days_ago for item, days_ago in bought.items() if item not in due}
    return list(bought)


def _is_due(item: RecommendedItem, last_day: int, today: int) -> bool:
    """Whether it is time again: as many days have passed as usual, or the night found so and it was not bought since."""
    if item.gap_days is not None and today - last_day >= item.gap_days:
        return True
    return item.source == "due_again" and item.last_day == last_day


def _against(rows: Rows, blocked: Codes, lately: Sequence[Rows]) -> Codes:
    """Codes of what speaks against each candidate beside the items themselves, shape (lists, columns)."""
    codes = np.broadcast_to(blocked[rows], (len(lately), rows.shape[-1])).copy()
    for which, bought in enumerate(lately):
        if len(bought):
            offered = rows[which] if rows.ndim == 2 else rows
            is_bought = np.zeros(len(blocked), dtype=np.bool_)
            is_bought[bought[bought != ABSENT]] = True
            codes[which, (codes[which] == 0) & is_bought[offered]] = _LATELY
    return codes


def _too_short(filling: Filling, rules: CompiledRules, *, k: int) -> NDArray[np.bool_]:
    """Empty the lists that are shorter than is shown; what was asked for may be less than that."""
    return filling.shortened(least=min(rules.rules.min_length, k))


@dataclass(frozen=True, slots=True)
class _Lists:
    """Filled lists, and where each of their items came from."""

    feeds: Sequence[Feed]
    filling: Filling
    shown: Shown
    shelf: Shelf
    explores: bool

    def items(self, which: int) -> list[Row]:
        """The items of a list, as `list_schemas.Item`."""
        places = np.flatnonzero(self.shown.chosen[which] != PADDING).tolist()
        return [self._item(which, place) for place in places]

    def _item(self, which: int, place: int) -> Row:
        source, score, known = self.origin(which, int(self.shown.position[which, place]))
        code, english, chinese = sentences(source, known)
        return {
            "item_id": str(self.shelf.item_ids[self.shown.chosen[which, place]]),
            "place": place + 1,
            "source": source,
            "score": score,
            "reason": {"code": code, "en": english, "zh": chinese},
            "explored": bool(self.shown.explored[which, place]),
            "propensity": float(self.shown.propensity[which, place]) if self.explores else None,
            "list_propensity": float(self.shown.inclusion[which, place]) if self.explores else None,
        }

    def origin(self, which: int, position: int) -> Told:
        """Source, score and what is known of the candidate at a position counted over all feeds."""
        for feed in self.feeds:
            if position < feed.rows.shape[-1]:
                return feed.of(which, position)
            position -= feed.rows.shape[-1]
        raise IndexError(position)

    def verdicts(self, which: int) -> NDArray[np.int8]:
        """What became of every candidate of a list, in order."""
        return np.concatenate([verdicts[which] for verdicts in self.filling.verdicts])


def _row(lists: _Lists, which: int, member: Member, asked: Asked, below: Below, *, short: bool) -> Row:
    hidden = member.impersonal and lists.filling.compiled.rules.opted_out == "empty"
    items = [] if hidden else lists.items(which)
    row = {"member_id": member.member_id, **member.standing, "fallback": step_of(member, below)}
    row |= {"list_model": member.own.model if member.own is not None else None, "live": member.live, "items": items}
    if not items and not hidden:
        row |= _why_empty(lists.verdicts(which), row["status"], short=short)
    return row | {"removed": removed(lists, which) if asked.dry_run else None}


def step_of(member: Member, below: Below) -> str:
    """The highest step that the list could start from."""
    if member.own is not None:
        return "none"
    if below.with_context:
        return "item_item"
    if below.in_store:
        return "popular_in_store"
    return "popular_in_group" if of_group(member, below) else "popular"


def _why_empty(verdicts: NDArray[np.int8], status: str, *, short: bool) -> Row:
    """Status and reason of an empty list; nothing changes where there was nothing to offer in the first place."""
    against = set(np.unique(verdicts).tolist()) - _UNTOLD
    if not short and not against:
        return {}
    only_request = against <= {_EXCLUDED, _IN_BASKET}
    reason = "too_short" if short else "all_excluded" if only_request else "nothing_allowed"
    return {"status": status if status == "OPTED_OUT" else "PARTIAL", "reason": reason}


def removed(lists: _Lists, which: int) -> list[Row]:
    """Each candidate that a rule took away, and which rule, in the order in which they were looked at."""
    told: dict[str, Row] = {}
    for feed, verdicts in zip(lists.feeds, lists.filling.verdicts, strict=True):
        ids = feed.items[which] if feed.rows.ndim == 2 else feed.items
        for column in np.flatnonzero(~np.isin(verdicts[which], list(_UNTOLD))).tolist():
            code = CODES[verdicts[which, column]]
            told.setdefault(ids[column], {"item_id": ids[column], "rule": code, "meaning": MEANINGS[code]})
    return list(told.values())
