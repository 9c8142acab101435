"""What the store knows for lists: requests that arrive together are read together, and what was done since the night is parsed.

One round trip serves all requests of a turn of the loop, as in `engine`; a second one, only for members who did something
since the night, fetches what their lists are made anew from.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from features.errors import CorruptRecord, StoreUnavailable
from features.list_records import ListStamp, moment_of
from features.live_items import LiveItems, live_items
from features.online_reader import RedisReader, StoredLists
from serving.together import Together

logger = logging.getLogger("rapport")
DAY_S = 24 * 3600
MOST_DAYS = 3
"""Days of which the stream keeps what was done: a night that is late by more is not made up for."""
MEMBERS_TOGETHER = 1000


@dataclass(frozen=True, slots=True)
class StoredMember:
    """One member as stored.

    Attributes
    ----------
    stamp
        Which night looked at everyone's lists last; None if none said so.
    since
        What they did from the day of that night on, by day; days without anything left out.
    past
        What their list is made anew from; read only if there is anything since.
    """

    content: bytes | None
    refused: bool
    stamp: ListStamp | None = None
    since: tuple[LiveItems, ...] = ()
    past: bytes | None = None


@dataclass(frozen=True, slots=True)
class ReadLists:
    """Several members as stored, in the order asked for. `stamp` is that of all lists.

    Attributes
    ----------
    since, pasts
        What those did, by place, who did anything and did not refuse, and what their lists are made anew from.
    """

    lists: Sequence[bytes | None]
    refused: Sequence[bool]
    stamp: ListStamp | None
    since: Mapping[int, tuple[LiveItems, ...]]
    pasts: Mapping[int, bytes | None]

    def members(self, start: int, stop: int) -> list[StoredMember]:
        """The members at some places."""
        return [
            StoredMember(self.lists[at], self.refused[at], self.stamp, self.since.get(at, ()), self.pasts.get(at))
            for at in range(start, stop)
        ]


@dataclass(frozen=True, slots=True)
class _Asked:
    member_ids: list[str]
    moment: datetime
    answer: asyncio.Future[list[StoredMember]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class ListReader:
    """Reads for all requests of a worker.

    Parameters
    ----------
    guarded
        Lets a question through to the store, or not: `GuardedReader.guarded`.
    live
        Whether what was done since the night is looked at.
    """

    def __init__(
        self, reader: RedisReader, guarded: Callable[[Awaitable[StoredLists]], Awaitable[StoredLists]], *, live: bool = True
    ) -> None:
        self.reader = reader
        self._guarded, self._live = guarded, live
        self._stamp: tuple[bytes | None, ListStamp | None] | None = None
        self._together: Together[_Asked] = Together(self._give, members=MEMBERS_TOGETHER)

    async def members(self, member_ids: Sequence[str], moment: datetime) -> list[StoredMember]:
        """The members of one request, in its order.

        Raises
        ------
        StoreUnavailable
            The store does not answer, or did not a moment ago.
        """
        asked = _Asked(list(member_ids), moment)
        self._together.add(asked)
        return await asked.answer

    async def pasts(self, member_ids: Sequence[str]) -> list[bytes | None]:
        """What lists of members are made anew from; nothing where the store does not answer."""
        try:
            return await self.reader.read_list_pasts(member_ids)
        except StoreUnavailable as error:
            logger.warning("%s", error)
            return [None] * len(member_ids)

    async def close(self) -> None:
        """Let what is under way end."""
        await self._together.close()

    async def _give(self, batch: list[_Asked]) -> None:
        read = await self.read([member for asked in batch for member in asked.member_ids], batch[0].moment)
        start = 0
        for asked in batch:
            stop = start + len(asked.member_ids)
            if not asked.answer.done():  # whoever asked may have gone
                asked.answer.set_result(read.members(start, stop))
            start = stop

    async def read(self, member_ids: Sequence[str], moment: datetime) -> ReadLists:
        """Members whose requests came together, in one round trip; a second and a third where somebody did something.

        Raises
        ------
        StoreUnavailable
            The store does not answer, or did not a moment ago.
        """
        if self._live and self._stamp is None:
            self._read_stamp(await self._guarded(self._first_look()))
        days = self._days(moment)
        stored = await self._guarded(self.reader.read_for_lists(member_ids, days))
        self._read_stamp(stored)
        stamp = self._stamp[1] if self._stamp is not None else None
        since: dict[int, tuple[LiveItems, ...]] = {}
        for place in range(len(member_ids)) if stored.live else ():
            news = _since(days, stored.live[place * len(days) : (place + 1) * len(days)])
            if news and not stored.refused[place]:
                since[place] = news
        return ReadLists(stored.lists, stored.refused, stamp, since, await self._pasts_of(member_ids, list(since)))

    async def _pasts_of(self, member_ids: Sequence[str], places: Sequence[int]) -> dict[int, bytes | None]:
        """What lists are made anew from, by place; where it cannot be fetched, of these only what was bought is taken away."""
        if not places:
            return {}
        return dict(zip(places, await self.pasts([member_ids[place] for place in places]), strict=True))

    async def _first_look(self) -> StoredLists:
        return StoredLists(await self.reader.read_list_stamp(), [], [], [])

    def _days(self, moment: datetime) -> list[int]:
        """Local days that the night had not seen: from its own day on."""
        stamp = self._stamp[1] if self._stamp is not None else None
        if stamp is None or not self._live:
            return []
        first = max(stamp.day, today_of(stamp, moment) - MOST_DAYS + 1)
        return list(range(first, today_of(stamp, moment) + 1))

    def _read_stamp(self, stored: StoredLists) -> None:
        """The stamp, parsed only when it is another than the last."""
        if self._stamp is None or self._stamp[0] != stored.stamp:
            try:
                self._stamp = (stored.stamp, ListStamp.from_bytes(stored.stamp) if stored.stamp is not None else None)
            except CorruptRecord as error:  # lists say themselves when they were made
                logger.warning("%s", error)
                self._stamp = (stored.stamp, None)


def today_of(stamp: ListStamp, moment: datetime) -> int:
    """The shop's local day at a moment: nights begin with it."""
    return stamp.day + max(0, int((moment - moment_of(stamp.as_of)).total_seconds())) // DAY_S


def _since(days: Sequence[int], hashes: Sequence[dict[bytes, bytes]]) -> tuple[LiveItems, ...]:
    try:
        return tuple(live_items(day, fields) for day, fields in zip(days, hashes, strict=True) if fields)
    except CorruptRecord as error:  # the list of the night is right without it
        logger.warning("%s", error)
        return ()
