"""The online store as serving sees it: asynchronous and impatient, one round trip for a request, nothing parsed on the way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import redis.asyncio

from features.answers import AnswerStamp
from features.stamp import Stamp
from features.store_errors import address_checked, translated
from features.store_keys import Keys
from features.store_questions import Questions


@dataclass(frozen=True, slots=True)
class StoredMembers:
    """What the store holds of several members, as bytes, in the order asked for; None where there is nothing."""

    stamp: bytes | None
    aggregates: list[bytes | None]
    opted_out: list[bytes | None]
    live: list[bytes | None]


@dataclass(frozen=True, slots=True)
class StoredLists:
    """What the store holds about the lists of several members, in the order asked for.

    Attributes
    ----------
    stamp
        Which night looked at everyone's lists last.
    live
        The Hashes of what they did: all days of the first member, all of the second, and so on; none where nobody did
        anything.
    """

    stamp: bytes | None
    lists: list[bytes | None]
    refused: list[bool]
    live: list[dict[bytes, bytes]]


class OnlineReader(Protocol):
    """What serving does with the store."""

    async def read(self, member_ids: Sequence[str]) -> tuple[Stamp | None, list[bytes | None]]:
        """The stamp and the packed aggregates, in one round trip."""
        ...

    async def read_lists(self, member_ids: Sequence[str]) -> list[bytes | None]:
        """Recommendation lists as stored, for `RecommendationList.from_bytes`; None for members without one."""
        ...


class RedisReader:
    """Reads what requests need, without retries."""

    def __init__(self, url: str, *, prefix: str, timeout_ms: int) -> None:
        self._keys = Keys(prefix)
        self._questions = Questions(url, timeout_s=timeout_ms / 1000)
        with address_checked():
            self._client: Any = redis.asyncio.Redis.from_url(
                url, socket_timeout=timeout_ms / 1000, socket_connect_timeout=timeout_ms / 1000, retry=None
            )

    async def read(self, member_ids: Sequence[str]) -> tuple[Stamp | None, list[bytes | None]]:
        """The stamp and the packed aggregates, in one round trip."""
        with translated():
            stamp, *values = await self._client.mget([self._keys.stamp, *map(self._keys.aggregates, member_ids)])
        return (Stamp.from_bytes(stamp) if stamp is not None else None), values

    async def read_members(self, member_ids: Sequence[str]) -> StoredMembers:
        """Aggregates, refusals and last days of several members with the stamp, in one round trip; nothing is parsed."""
        keys = [self._keys.stamp]
        for before in (self._keys.before_aggregates, self._keys.before_opted_out, self._keys.before_live):
            keys += [f"{before}{member}}}" for member in member_ids]
        with translated():
            (found,) = await self._questions.ask(("MGET", *keys))
        many = len(member_ids)
        return StoredMembers(found[0], found[1 : many + 1], found[many + 1 : 2 * many + 1], found[2 * many + 1 :])

    async def read_answers(self, member_ids: Sequence[str]) -> tuple[AnswerStamp | None, list[bytes | None]]:
        """The last nightly answers as stored, for `features.answers.read_answers`, and their stamp, in one round trip."""
        with translated():
            keys = [self._keys.answers, *map(self._keys.answer, member_ids)]
            ((stamp, *values),) = await self._questions.ask(("MGET", *keys))
        return (AnswerStamp.from_bytes(stamp) if stamp is not None else None), values

    async def read_lists(self, member_ids: Sequence[str]) -> list[bytes | None]:
        """Recommendation lists as stored, for `RecommendationList.from_bytes`; None for members without one."""
        with translated():
            return list(await self._client.mget([self._keys.recommendations(m) for m in member_ids]))

    async def read_list_stamp(self) -> bytes | None:
        """Which night looked at everyone's lists, for `ListStamp.from_bytes`."""
        with translated():
            found: bytes | None = await self._client.get(self._keys.lists)
        return found

    async def read_for_lists(self, member_ids: Sequence[str], days: Sequence[int] = ()) -> StoredLists:
        """Lists and refusals of several members, and what they did on some local days; nothing is parsed.

        One round trip, in which is asked, too, whether any of them did anything; a second one only where somebody did.
        """
        lists, refusals = self._keys.before_list, self._keys.before_opted_out
        reads = ["MGET", self._keys.lists, *[f"{lists}{member}}}" for member in member_ids]]
        reads += [f"{refusals}{member}}}" for member in member_ids]
        done = [self._keys.live_items(member, day) for member in member_ids for day in days]
        with translated():
            found, *some = await self._questions.ask(tuple(reads), *([("EXISTS", *done)] if done else []))
            live = await self._hashes(done) if some and some[0] else []
        until = len(member_ids) + 1
        return StoredLists(found[0], found[1:until], [refusal is not None for refusal in found[until:]], live)

    async def _hashes(self, keys: Sequence[str]) -> list[dict[bytes, bytes]]:
        """Several Hashes; a key of another type is of one member, and an empty one."""
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.hgetall(key)
        return [{} if isinstance(each, Exception) else each for each in await pipeline.execute(raise_on_error=False)]

    async def read_list_pasts(self, member_ids: Sequence[str]) -> list[bytes | None]:
        """What lists of members are made anew from, for `training.predictors.packed_history.unpack`."""
        with translated():
            return list(await self._client.mget([self._keys.list_past(member) for member in member_ids]))

    async def read_stream(self) -> tuple[dict[bytes, bytes], bytes | None, dict[bytes, bytes]]:
        """What the stream's workers counted, what the last comparison with the batch found, and counts of triggers."""
        with translated():
            tally, triggers = [await self._client.hgetall(k) for k in (self._keys.stream_tally, self._keys.trigger_tally)]
            return tally, await self._client.get(self._keys.parity), triggers

    async def close(self) -> None:
        """Give the connections back."""
        await self._questions.close()
        await self._client.aclose()
