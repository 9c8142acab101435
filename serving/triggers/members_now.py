"""What triggers read of members: last night's records, what their last days add, and the counts of an item today."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray
from redis.backoff import NoBackoff
from redis.retry import Retry

from features.codec import decode, empty_records, is_readable
from features.contract import CONTRACT, Contract
from features.days import day_of, microseconds, moment_of
from features.live_state import first_live_day, merged, unknown_in
from features.online_store import JOB_TIMEOUT_S
from features.scripts import checked
from features.stamp import Stamp
from features.store_errors import address_checked, translated
from features.store_keys import Keys
from serving.scoring import PublishedFeatures, ScoringContext, editions_of
from serving.triggers.happening import ItemCounts
from serving.triggers.records import Records

COUNTED = ("v", "c", "p")
"""First letters of the fields that count views, carts and purchases of an item."""
Live = Sequence[bytes | None]


@dataclass(frozen=True)
class Bases:
    """Last night's records of members, in the order asked for; empty ones for members of whom the night knew nothing."""

    member_ids: Sequence[str]
    published: PublishedFeatures
    records: NDArray[np.void]
    editions: NDArray[np.intp]
    known_us: NDArray[np.int64]

    def moved(self, live: Live, context: ScoringContext) -> Records:
        """The records with what the last days add, ready to be derived."""
        zone, now = self.published.zone, microseconds(context.moment)
        first = {known: first_live_day(moment_of(known), zone) for known in set(self.known_us.tolist())}
        days = np.array([first[known] for known in self.known_us.tolist()], dtype=np.int64)
        records, _ = merged(context.contract, self.records, live, days)
        return Records(
            context,
            self.published,
            records,
            editions=self.editions,
            as_of=tuple(moment_of(known).isoformat() for known in self.known_us.tolist()),
            age_s=tuple(((now - self.known_us).clip(0) // 1_000_000).tolist()),
        )


class MembersNow:
    """Reads members: blocking, without blind retries."""

    def __init__(self, url: str, *, prefix: str, contract: Contract = CONTRACT, timeout_s: float = JOB_TIMEOUT_S) -> None:
        self._keys, self._contract = Keys(prefix), contract
        self._stamp: tuple[bytes, PublishedFeatures] | None = None
        self._unknown: tuple[bytes, tuple[str, ...]] = (b"", ())
        with address_checked():
            self._client: Any = redis.Redis.from_url(
                url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
            )

    def bases(self, member_ids: Sequence[str]) -> tuple[Bases | None, list[bytes | None]]:
        """Last night's records of members, and what is stored of their last days; None where nothing was published.

        Raises
        ------
        ContractMismatch
            Something was published, by other declarations than those of this process.
        StoreUnavailable, CorruptRecord
            The store does not answer, or its stamp cannot be read.
        """
        with translated():
            keys = [*map(self._keys.aggregates, member_ids), *map(self._keys.live, member_ids)]
            stamp, *found = self._client.mget([self._keys.stamp, *keys])
        if stamp is None:
            return None, found[len(member_ids) :]
        return self._bases(member_ids, stamp, found[: len(member_ids)]), found[len(member_ids) :]

    def _bases(self, member_ids: Sequence[str], stamp: bytes, values: Sequence[bytes | None]) -> Bases:
        published = self._published(stamp)
        there = [row for row, value in enumerate(values) if value is not None and is_readable(self._contract, value)]
        stored = decode(self._contract, [values[row] or b"" for row in there])
        if there and self._unknown[0] != stamp:
            self._unknown = (stamp, unknown_in(self._contract, stored.records[0]))
        records = empty_records(self._contract, len(values), unknown=self._unknown[1])
        editions, known = np.zeros(len(values), dtype=np.intp), np.full(len(values), published.known_us[0])
        if there:
            records[there] = stored.records
            editions[there] = editions_of(published.stamp, stored.written_at)
            known[there] = np.maximum(stored.as_of, published.known_us[editions[there]])
        return Bases(member_ids, published, records, editions, known)

    def _published(self, stamp: bytes) -> PublishedFeatures:
        """The stamp, parsed only when it is another than the last."""
        if self._stamp is None or self._stamp[0] != stamp:
            self._stamp = (stamp, PublishedFeatures(Stamp.from_bytes(stamp)))
        self._stamp[1].require(self._contract)
        return self._stamp[1]

    def item_counts(self, asked: Sequence[tuple[str, str, Sequence[int]] | None]) -> list[ItemCounts | None]:
        """Counts of an item on some local days together, by member, item and days; None where nothing is asked."""
        wanted = [each for each in asked if each is not None]
        with translated(), self._client.pipeline(transaction=False) as pipeline:
            for member, item, days in wanted:
                for day in days:
                    pipeline.hmget(self._keys.live_items(member, day), [f"{letter}:{item}" for letter in COUNTED])
            replies = pipeline.execute(raise_on_error=False) if wanted else []
            found = iter([_of_one_member(reply) for reply in replies])
        return [None if each is None else _added([next(found) for _ in each[2]]) for each in asked]

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()


def _of_one_member(reply: Any) -> Sequence[bytes | None]:
    """The fields of a day; nothing of a key that is not as the stream writes it, which would be so every time."""
    if isinstance(reply, redis.ResponseError) and "WRONGTYPE" in str(reply):
        return [None] * len(COUNTED)
    found: Sequence[bytes | None] = checked([reply])[0]
    return found


def _added(days: Sequence[Sequence[bytes | None]]) -> ItemCounts:
    return ItemCounts(*(sum(int(day[place] or 0) for day in days) for place in range(len(COUNTED))))


def days_until(first: int, moment: datetime, published: PublishedFeatures) -> range:
    """Local days from the first to that of a moment, no more than the last three."""
    last = day_of(moment, published.zone)
    return range(max(first, last - 2), max(first, last) + 1)
