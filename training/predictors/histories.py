"""What members bought of a catalogue, as one entry a member and item that a further purchase is simply added to."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int32]
Numbers = NDArray[np.float32]
FAST_DAYS, SLOW_DAYS = 21.0, 90.0
"""Half-lives of the two decayed counts: what somebody buys these weeks, and what they buy at all."""


@dataclass(frozen=True, slots=True)
class Histories:
    """Purchases of several members before (the end of) a day; entries of member i stand at [starts[i], starts[i + 1]).

    Attributes
    ----------
    day
        Local day that ages are counted back from.
    starts
        Shape (members + 1,).
    items
        Row of the catalogue; within a member ascending and without doubles.
    times
        Days on which the member bought the item; 0 where they only looked at it.
    first_days, last_days
        The first and the last of them; of a look where nothing was bought.
    fast, slow
        The same days, each counting half as much after every `FAST_DAYS` or `SLOW_DAYS`.
    interest
        Views, carts and the like since, by the weight of their kind, fading as `fast`.
    trips, pace
        Days with any purchase of the catalogue, and the same fading as `fast`; one entry a member.
    stores
        Row of the catalogue's stores where the member bought last, -1 if unknown; one entry a member.
    """

    day: int
    starts: NDArray[np.int64]
    items: Rows
    times: Numbers
    first_days: Rows
    last_days: Rows
    fast: Numbers
    slow: Numbers
    interest: Numbers
    trips: Numbers
    pace: Numbers
    stores: Rows

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def owners(self) -> NDArray[np.int64]:
        """Member of each entry."""
        if len(self) == 1:
            return np.zeros(len(self.items), dtype=np.int64)
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.starts))

    def of(self, first: int, until: int) -> "Histories":
        """Members [first, until) alone."""
        low, high = int(self.starts[first]), int(self.starts[until])
        parts = {name: getattr(self, name)[low:high] for name in ENTRY_FIELDS}
        parts |= {name: getattr(self, name)[first:until] for name in MEMBER_FIELDS}
        return Histories(day=self.day, starts=self.starts[first : until + 1] - low, **parts)

    def blocks(self, size: int) -> Iterator["Histories"]:
        """All members, `size` at a time."""
        for first in range(0, len(self), size):
            yield self.of(first, min(first + size, len(self)))

    def taken(self, rows: NDArray[np.int64]) -> "Histories":
        """These members in this order; -1 stands for somebody of whom nothing is known."""
        known = rows >= 0
        sizes = np.where(known, np.diff(self.starts, append=self.starts[-1])[rows], 0)
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        inside = np.arange(starts[-1]) - np.repeat(starts[:-1], sizes)
        entries = np.repeat(self.starts[:-1][rows] if len(self) else sizes, sizes) + inside
        nothing = {"trips": 0, "pace": 0, "stores": -1}
        about: dict[str, Any] = {
            name: np.where(known, np.append(getattr(self, name), value)[rows], value).astype(_DTYPES.get(name, np.float32))
            for name, value in nothing.items()
        }
        return Histories(day=self.day, starts=starts, **{name: getattr(self, name)[entries] for name in ENTRY_FIELDS}, **about)

    def as_of(self, day: int) -> "Histories":
        """The same purchases seen from a later day.

        Raises
        ------
        ValueError
            The day lies before that of the histories: what has faded does not come back.
        """
        if day < self.day:
            raise ValueError(f"histories of day {self.day} cannot be seen from the earlier day {day}")
        quick, slowly = _faded(day - self.day)
        return replace(
            self,
            day=day,
            fast=self.fast * quick,
            slow=self.slow * slowly,
            interest=self.interest * quick,
            pace=self.pace * quick,
        )


MEMBER_FIELDS = ("trips", "pace", "stores")
ENTRY_FIELDS = tuple(field.name for field in fields(Histories) if field.name not in {"day", "starts", *MEMBER_FIELDS})
_DTYPES = {"items": np.int32, "first_days": np.int32, "last_days": np.int32, "stores": np.int32}


def no_histories(members: int, *, day: int) -> Histories:
    """Members of whom nothing is known."""
    entries: dict[str, Any] = {name: np.empty(0, dtype=_DTYPES.get(name, np.float32)) for name in ENTRY_FIELDS}
    about: dict[str, Any] = {"trips": np.zeros(members, np.float32), "pace": np.zeros(members, np.float32)}
    return Histories(day=day, starts=np.zeros(members + 1, np.int64), **entries, **about, stores=np.full(members, -1, np.int32))


def bought_once(rows: list[Rows], *, day: int) -> Histories:
    """Members who bought these rows of a catalogue the day before, and of whom nothing else is known."""
    entries = [np.unique(row, return_counts=True) for row in rows]
    items = np.concatenate([np.empty(0, np.int32), *(found for found, _ in entries)]).astype(np.int32)
    times = np.concatenate([np.empty(0, np.float32), *(counts for _, counts in entries)]).astype(np.float32)
    sizes = [len(found) for found, _ in entries]
    then = np.full(len(items), day - 1, dtype=np.int32)
    trips = np.array([min(size, 1) for size in sizes], dtype=np.float32)
    return Histories(
        day=day,
        starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        items=items,
        times=times,
        first_days=then,
        last_days=then,
        fast=times,
        slow=times,
        interest=np.zeros(len(items), dtype=np.float32),
        trips=trips,
        pace=trips,
        stores=np.full(len(rows), -1, dtype=np.int32),
    )


def with_today(one: Histories, *, bought: Rows, looked: Rows, weights: Numbers, day: int, store: int = -1) -> Histories:
    """One member's history with what they bought and looked at on a day added to it.

    Parameters
    ----------
    bought, looked
        Rows of the catalogue; an item bought twice on one day counts once.
    weights
        What each look counts, by its kind.
    store
        Row of the catalogue's stores where they bought, -1 if unknown.

    Raises
    ------
    ValueError
        There is not exactly one member, or a row lies outside of what int32 rows may be.
    """
    if len(one) != 1:
        raise ValueError(f"today is added to one member's history, not to {len(one)}")
    if (bought < 0).any() or (looked < 0).any():
        raise ValueError("rows of a catalogue are 0 or more: leave out items that it does not know")
    grown = _with_entries(one.as_of(day), np.unique(np.concatenate([bought, looked])), day)
    is_trip = len(bought) > 0 and not bool(((grown.last_days == day) & (grown.times > 0)).any())
    np.add.at(grown.interest, np.searchsorted(grown.items, looked), weights)
    again = np.searchsorted(grown.items, np.unique(bought))
    first = again[grown.times[again] == 0]
    fresh = again[(grown.last_days[again] != day) | (grown.times[again] == 0)]
    for counted in (grown.times, grown.fast, grown.slow):
        counted[fresh] += 1
    grown.first_days[first] = day
    grown.last_days[again] = day
    return _with_trip(grown, is_trip=is_trip, store=store)


def _with_entries(one: Histories, named: Rows, day: int) -> Histories:
    """One member's history with empty entries for those items that it does not hold yet; its arrays are its own."""
    at = np.searchsorted(one.items, named)
    is_new = at == np.searchsorted(one.items, named, side="right")
    places = at[is_new] + np.arange(is_new.sum())
    size = len(one.items) + len(places)
    old = np.ones(size, dtype=np.bool_)
    old[places] = False
    entries: dict[str, Any] = {}
    for name, value in {**dict.fromkeys(ENTRY_FIELDS, 0), "items": named[is_new], "first_days": day, "last_days": day}.items():
        entries[name] = np.empty(size, dtype=_DTYPES.get(name, np.float32))
        entries[name][old] = getattr(one, name)
        entries[name][places] = value
    about = {name: getattr(one, name) for name in MEMBER_FIELDS}
    return Histories(day=one.day, starts=np.array([0, size], dtype=np.int64), **entries, **about)


def _with_trip(one: Histories, *, is_trip: bool, store: int) -> Histories:
    stores = one.stores if store < 0 else np.array([store], dtype=np.int32)
    step = np.float32(is_trip)
    return replace(one, trips=one.trips + step, pace=one.pace + step, stores=stores)


def _faded(days: int) -> tuple[np.float32, np.float32]:
    return np.float32(0.5 ** (days / FAST_DAYS)), np.float32(0.5 ** (days / SLOW_DAYS))
