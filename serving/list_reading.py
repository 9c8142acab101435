"""What the store knows for lists: requests that arrive together are read together, and what was done since the night is parsed.

One round trip serves all requests of a turn of the loop, as in `engine`; a second one, only for members who did something
since the night, fetches what their lists are made anew from.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from features.errors import CorruptRecord, StoreUnavailable
from features.list_records import ListStamp, moment_of
from features.live_items import LiveItems, live_items
from features.online_reader import RedisReader, StoredLists

logger = logging.getLogger("rapport")
DAY_S = 24 * 3600
MOST_DAYS = 3
"""Days of which the stream keeps what was done: a night that is late by more is not made up for."""
QUIET_TURNS, MEMBERS_TOGETHER = 3, 1000


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
class _Asked:
    member_ids: Sequence[str]
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
        self._waiting: deque[_Asked] = deque()
        self._working: asyncio.Task[None] | None = None

    async def members(self, member_ids: Sequence[str], moment: datetime) -> list[StoredMember]:
        """The members of one request, in its order.

        Raises
        ------
        StoreUnavailable
            The store does not answer, or did not a moment ago.
        """
        asked = _Asked(member_ids, moment)
        self._waiting.append(asked)
        if self._working is None or self._working.done():
            self._working = asyncio.get_running_loop().create_task(self._work())
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
        if self._working is not None:
            await self._working

    async def _work(self) -> None:
        while self._waiting:
            await self._let_others_come()
            batch = self._take()
            try:
                found = await self._read([member for asked in batch for member in asked.member_ids], batch[0].moment)
            except Exception as error:  # noqa: BLE001 # the named edge: whoever waits has to be told
                for asked in batch:
                    _give(asked, error)
                continue
            for asked in batch:
                size = len(asked.member_ids)
                _give(asked, found[:size])
                del found[:size]

    async def _let_others_come(self) -> None:
        """Take turns of the loop as long as requests arrive: microseconds each, and a round trip shared."""
        quiet, seen = 0, 0
        while quiet < QUIET_TURNS:
            await asyncio.sleep(0)
            quiet = 0 if len(self._waiting) > seen else quiet + 1
            seen = len(self._waiting)

    def _take(self) -> list[_Asked]:
        batch = [self._waiting.popleft()]
        members = len(batch[0].member_ids)
        while self._waiting and members + len(self._waiting[0].member_ids) <= MEMBERS_TOGETHER:
            batch.append(self._waiting.popleft())
            members += len(batch[-1].member_ids)
        return batch

    async def _read(self, member_ids: Sequence[str], moment: datetime) -> list[StoredMember]:
        if self._live and self._stamp is None:
            self._read_stamp(await self._guarded(self._first_look()))
        days = self._days(moment)
        stored = await self._guarded(self.reader.read_for_lists(member_ids, days))
        self._read_stamp(stored)
        stamp = self._stamp[1] if self._stamp is not None else None
        width, found = len(days), []
        for place, (content, refused) in enumerate(zip(stored.lists, stored.refused, strict=True)):
            news = () if refused else _since(days, stored.live[place * width : (place + 1) * width])
            found.append(StoredMember(content, refused, stamp, news))
        return await self._with_pasts(member_ids, found)

    async def _first_look(self) -> StoredLists:
        return StoredLists(await self.reader.read_list_stamp(), [], [], [])

    async def _with_pasts(self, member_ids: Sequence[str], found: list[StoredMember]) -> list[StoredMember]:
        news = [place for place, member in enumerate(found) if member.since]
        if news:
            try:
                pasts = await self.reader.read_list_pasts([member_ids[place] for place in news])
            except StoreUnavailable as error:  # lists are there: of these only what was bought is taken away
                logger.warning("%s", error)
                return found
            for place, past in zip(news, pasts, strict=True):
                one = found[place]
                found[place] = StoredMember(one.content, one.refused, one.stamp, one.since, past)
        return found

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


def _give(asked: _Asked, outcome: list[StoredMember] | Exception) -> None:
    if asked.answer.done():  # whoever asked has gone
        return
    if isinstance(outcome, Exception):
        asked.answer.set_exception(outcome)
    else:
        asked.answer.set_result(outcome)
