"""Requests for lists that arrive together, read together; those that ask for nothing but own lists are answered on the spot.

Most requests of a page or a campaign are of that kind. All others get what was read, and are answered by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from features.errors import StoreUnavailable
from serving.bundle import ModelSet
from serving.list_grounds import ListGrounds
from serving.list_parsing import QuickRecommendRequest
from serving.list_reading import MEMBERS_TOGETHER, ListReader, ReadLists, StoredMember
from serving.list_schemas import RecommendRequest
from serving.metrics import Meter
from serving.own_rows import KeptItems, Standings, answered_plainly, own_row
from serving.problems import ApiError
from serving.quick_rows import QuickRules
from serving.rules_in_force import Ruling
from serving.running_loop import RunningLoop
from serving.together import Together

FEW = 16
"""Members of a request that is answered on the spot; while a longer one is, others may be."""
Told = bytes | list[StoredMember] | None
"""The answer, or else the members as stored; None where the store does not answer."""


@dataclass(slots=True, eq=False)
class _Question:
    asked: QuickRecommendRequest | RecommendRequest
    request_id: str
    member_ids: list[str]
    answer: asyncio.Future[Told]


@dataclass(slots=True)
class _Moment:
    """What the answers of one batch share; `grounds` by placement, store and adult: quick rules and the passport's end."""

    models: ModelSet
    ruling: Ruling
    moment: datetime
    text: bytes
    read: ReadLists
    standings: Standings
    grounds: dict[tuple[str | None, str | None, bool], tuple[QuickRules, bytes] | None] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)


class ListEngine:
    """What answers plain requests for lists of one worker."""

    def __init__(
        self,
        reader: ListReader,
        grounds: ListGrounds,
        models: Callable[[], ModelSet],
        clock: Callable[[], datetime],
        *,
        stale_after_s: float,
        meter: Meter,
    ) -> None:
        self._reader, self._grounds = reader, grounds
        self._models, self._clock = models, clock
        self._stale_after_s, self._meter = stale_after_s, meter
        self._kept, self._running = KeptItems(), RunningLoop()
        self._together: Together[_Question] = Together(self._answered, members=MEMBERS_TOGETHER)

    async def ask(self, asked: QuickRecommendRequest | RecommendRequest, request_id: str) -> Told:
        """The answer to a request, or its members as stored."""
        question = _Question(asked, request_id, asked.member_ids, self._running().create_future())
        self._together.add(question)
        return await question.answer

    async def close(self) -> None:
        """Let what is under way end."""
        await self._together.close()

    async def _answered(self, batch: list[_Question]) -> None:
        ruling = await self._grounds.rules.now()
        models, moment = self._models(), self._clock()
        try:
            read = await self._reader.read([member for question in batch for member in question.member_ids], moment)
        except StoreUnavailable:
            _give_all(batch, [None] * len(batch))
            return
        standings = Standings(moment, read.stamp, stale_after_s=self._stale_after_s)
        now = _Moment(models, ruling, moment, moment.isoformat().encode(), read, standings)
        start, told = 0, []
        for question in batch:
            stop = start + len(question.member_ids)
            told.append(self._answer(question, start, now) or read.members(start, stop))
            start = stop
        _give_all(batch, told)
        for status, rows in now.counted.items():
            self._meter.add("rapport_rows_total", "recommend", status, by=rows)
            self._meter.add("rapport_ladder_total", "recommend", "none", by=rows)

    def _answer(self, question: _Question, start: int, now: _Moment) -> bytes | None:
        """The body of an answer; None where one of the rows needs a closer look."""
        asked, read = question.asked, now.read
        ground = self._ground(asked, now) if len(asked.member_ids) <= FEW and not (asked.context or asked.dry_run) else None
        if ground is None:
            return None
        rows: list[bytes] = []
        statuses: list[str] = []
        for place, member in enumerate(asked.member_ids, start):
            record = read.lists[place]
            if record is None or read.refused[place] or place in read.since:
                return None
            row = own_row(member, record, asked.k, asked.exclude, ground[0], now.standings, self._kept)
            if row is None:
                return None
            statuses.append(row[0])
            rows.append(row[1])
        for status in statuses:
            now.counted[status] = now.counted.get(status, 0) + 1
        head = (question.request_id.encode(), now.text, ground[1])
        return b'{"passport":{"decision_id":"%b","moment":"%b",%b,"rows":[%b]}' % (*head, b",".join(rows))

    def _ground(self, asked: QuickRecommendRequest | RecommendRequest, now: _Moment) -> tuple[QuickRules, bytes] | None:
        """Rules and passport of a request; None where these rules do more than to take items away, or there are none."""
        key = (asked.placement, asked.store, asked.adult)
        if key not in now.grounds:
            now.grounds[key] = self._looked_up(asked, now)
        return now.grounds[key]

    def _looked_up(self, asked: QuickRecommendRequest | RecommendRequest, now: _Moment) -> tuple[QuickRules, bytes] | None:
        try:
            rules = self._grounds.rules_of(now.ruling, asked.placement)
        except ApiError:  # it is told by who looks closer
            return None
        compiled = now.ruling.compiled(rules, store=asked.store, adult=asked.adult)
        if compiled is None or not len(compiled.shelf) or not answered_plainly(rules):
            return None
        passport = self._grounds.written_passport(now.models, now.moment, now.ruling, rules)
        return self._grounds.quick(now.ruling, compiled), passport


def _give_all(batch: Sequence[_Question], told: Sequence[Told]) -> None:
    for question, one in zip(batch, told, strict=True):
        if not question.answer.done():  # whoever asked may have gone
            question.answer.set_result(one)
