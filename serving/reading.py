"""The store as scoring sees it: behind a breaker, with what seldom changes parsed once and priors kept in memory."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from features.answers import NightlyAnswer, read_answers
from features.errors import CorruptRecord, RapportError, StoreUnavailable
from features.online_reader import RedisReader
from features.stamp import Stamp
from serving.breaker import Breaker
from serving.ladder import Priors
from serving.metrics import Meter
from serving.scoring import PublishedFeatures

T = TypeVar("T")
PRIORS_KEPT_S = 30.0


@dataclass(frozen=True, slots=True)
class MembersRead:
    """Several members as stored, in the order asked for; `published` is None where nothing was published."""

    published: PublishedFeatures | None
    aggregates: list[bytes | None]
    opted_out: list[bytes | None]
    live: list[bytes | None]


class GuardedReader:
    """Reads through a breaker: a store that is away costs nobody more than the first few their timeout."""

    def __init__(self, reader: RedisReader, breaker: Breaker | None = None, meter: Meter | None = None) -> None:
        self.breaker = breaker or Breaker()
        self._meter = meter or Meter()
        self._reader = reader
        self._stamp: tuple[bytes, PublishedFeatures] | None = None
        self._priors = Priors()
        self._priors_until: float | None = None
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def priors(self) -> Priors:
        """What was known of everyone when the store was last asked."""
        return self._priors

    async def members(self, member_ids: Sequence[str]) -> MembersRead:
        """Aggregates, refusals and last days of members, in one round trip.

        Raises
        ------
        StoreUnavailable
            The store does not answer, or did not a moment ago.
        CorruptRecord
            The stamp cannot be read.
        """
        found = await self.guarded(self._reader.read_members(member_ids))
        if self._priors_until is None:  # the first of a worker that nobody asked whether it is ready
            await self.refresh_priors()
        else:
            self._refresh_priors(self._priors_until)
        return MembersRead(self._published(found.stamp), found.aggregates, found.opted_out, found.live)

    async def nightly(self, member_ids: Sequence[str]) -> list[NightlyAnswer | None]:
        """Last nightly answers; None for each where the store is away or holds none that can be read."""
        try:
            stamp, values = await self.guarded(self._reader.read_answers(member_ids))
            return read_answers(stamp, values)
        except (StoreUnavailable, CorruptRecord):
            return [None] * len(member_ids)

    async def guarded(self, asking: Awaitable[T]) -> T:
        """What the store answers, unless the breaker is open."""
        if not self.breaker.allows():
            if asyncio.iscoroutine(asking):
                asking.close()
            raise StoreUnavailable(
                "the online store did not answer a moment ago", remedy='see that Redis runs: "rapport status"'
            )
        try:
            found = await asking
        except StoreUnavailable:
            self._meter.add("rapport_store_failures_total")
            if self.breaker.failed():
                self._meter.add("rapport_store_open_total")
            raise
        self.breaker.succeeded()
        return found

    async def refresh_priors(self) -> None:
        """Read the means of the last nightly run; those known stay where the store is away."""
        self._priors_until = time.monotonic() + PRIORS_KEPT_S
        try:
            stamp, _ = await self.guarded(self._reader.read_answers([]))
        except RapportError:
            return
        if stamp is not None and stamp.current is not None:
            self._priors = Priors(stamp.current)

    async def close(self) -> None:
        """Let what is under way end."""
        if self._refreshing is not None:
            await self._refreshing

    def _refresh_priors(self, until: float) -> None:
        if time.monotonic() >= until and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.get_running_loop().create_task(self.refresh_priors())

    def _published(self, stamp: bytes | None) -> PublishedFeatures | None:
        """The stamp, parsed only when it is another than the last."""
        if stamp is None:
            return None
        if self._stamp is None or self._stamp[0] != stamp:
            self._stamp = (stamp, PublishedFeatures(Stamp.from_bytes(stamp)))
        return self._stamp[1]
