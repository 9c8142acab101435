"""What events do to members: accepted events as changes of the live state, many at a time. Pure: no Redis in here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

import numpy as np

from features.contract import Contract
from features.days import calendar_day
from features.events.rows import IsHoliday, Rows, fold_columns, live_rows, no_holidays
from features.events.schema import ANONYMOUS, Event
from features.live_slots import entries_of, values_of
from features.live_store import Change, Counter

ITEM_LETTER = {"view": "v", "cart": "c", "favourite": "f", "purchase": "p"}
"""First letter of an item's field among those of the day, by type of event."""
POINT_PLACES = 2


@dataclass(frozen=True, slots=True)
class Counting:
    """What people see grow with each purchase, in the profile.

    Attributes
    ----------
    points
        Points for 100 cents, by channel; a channel without a rate gives none. The field is `points`.
    tiers
        Spend of a calendar year that reaches a tier, in cents, ascending. Fields `spend_cents_<year>` and what is missing.
    """

    points: Mapping[str, Decimal] = field(default_factory=dict)
    tiers: tuple[int, ...] = ()

    def of(self, event: Event) -> tuple[Counter, ...]:
        """What an event adds: a purchase as much as its return takes away."""
        if event.type not in {"purchase", "return"}:
            return ()
        cents = sum(line.net_cents for line in event.lines) * (1 if event.type == "purchase" else -1)
        counters = []
        rate = self.points.get(event.channel or "")
        if rate is not None:
            hundredths = (Decimal(cents) * rate).quantize(Decimal(1), rounding=ROUND_HALF_UP)
            counters.append(Counter("points", int(hundredths), POINT_PLACES))
        if self.tiers:
            counters.append(Counter(f"spend_cents_{_year(event.local_day)}", cents, steps=self.tiers))
        return tuple(counters)


def changes_of(
    contract: Contract,
    told: Sequence[tuple[Event, str]],
    *,
    is_holiday: IsHoliday = no_holidays,
    counting: Counting | None = None,
) -> list[Change]:
    """What events do to the members they are told of, one change each, in order.

    Nothing is counted for a visitor: a profile never expires, and their member is given it once they are known.
    """
    rows = [live_rows(event, member_id=member, is_holiday=is_holiday) for event, member in told]
    values = values_of(contract, fold_columns(rows), _row_of(rows), len(rows))
    return [
        Change(
            event_id=event.event_id,
            digest=event.digest(),
            member_id=member,
            day=event.local_day,
            entries=entries,
            items=_items(event),
            counters=counting.of(event) if counting is not None and not member.startswith(ANONYMOUS) else (),
        )
        for (event, member), entries in zip(told, entries_of(contract, values), strict=True)
    ]


def _row_of(rows: Sequence[Rows]) -> dict[str, np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """By table which event each fact belongs to, in the order of `fold_columns`."""
    found: dict[str, list[int]] = {}
    for number, tables in enumerate(rows):
        for table, facts in tables.items():
            found.setdefault(table, []).extend([number] * len(facts))
    return {table: np.array(numbers, dtype=np.intp) for table, numbers in found.items()}


def _items(event: Event) -> tuple[tuple[str, int], ...]:
    """Fields of the day's items: each item of an order once, whatever its quantity."""
    letter = ITEM_LETTER.get(event.type)
    if letter is None:
        return ()
    items = dict.fromkeys(line.item_id for line in event.lines) if event.lines else (event.item_id,)
    return tuple((f"{letter}:{item}", 1) for item in items if item is not None)


@cache
def _year(day: int) -> int:
    return calendar_day(day).year
