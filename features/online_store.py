"""The online store as jobs see it: what they write and read of members, under the keys of features/store_keys.py."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import redis
from numpy.typing import NDArray
from redis.backoff import NoBackoff
from redis.retry import Retry

from features.answers import AnswerStamp
from features.bulk_load import Chunk, MemberIds, hsets, msets, send
from features.codec import Packed
from features.errors import ConfigurationError
from features.list_records import ListStamp as ListStamp
from features.list_records import RecommendationList as RecommendationList
from features.list_records import RecommendedItem as RecommendedItem
from features.list_store import LIST_SECONDS as LIST_SECONDS
from features.list_store import kept, lists_written, records_written
from features.stamp import Edition as Edition
from features.stamp import Stamp as Stamp
from features.store_errors import address_checked, translated
from features.store_keys import Keys

OLDEST_REDIS = (7, 0)
JOB_TIMEOUT_S = 10.0
DELETED_TOGETHER = 500
SCANNED_TOGETHER = 5000
FROM_FACTS = b"facts"
"""Value of a refusal that stands in the retailer's own table; any other was said to us, and no publish takes it back."""

Profile = Mapping[str, str | int | float]


class OnlineStore(Protocol):
    """What jobs do with the store. Sequences run in parallel: values[i] belongs to member_ids[i]."""

    def write_aggregates(self, member_ids: Sequence[str], values: Sequence[bytes]) -> None:
        """Store packed aggregates."""
        ...

    def write_profiles(self, member_ids: Sequence[str], profiles: Sequence[Profile]) -> None:
        """Set fields of the readable profiles; fields not named stay."""
        ...

    def write_lists(self, member_ids: Sequence[str], lists: Sequence[RecommendationList]) -> int:
        """Let recommendation lists be these; returns how many had to be written."""
        ...

    def write_list_pasts(self, member_ids: Sequence[str], fingerprints: Sequence[bytes], made: Callable[[int], bytes]) -> int:
        """Let the records that lists are made anew from be these; returns how many had to be written."""
        ...

    def write_list_stamp(self, stamp: ListStamp) -> None:
        """Say which night looked at everyone's lists."""
        ...

    def load_aggregates(self, member_ids: MemberIds, packed: Iterable[Packed]) -> None:
        """Store the packed aggregates of many members; `rows` of a group are positions among the ids."""
        ...

    def load_profiles(self, member_ids: MemberIds, fields: NDArray[np.void]) -> None:
        """Set fields of many readable profiles, a structured array of texts; fields not named stay."""
        ...

    def load_answers(self, member_ids: MemberIds, values: NDArray[np.void]) -> None:
        """Store the packed answers of many members."""
        ...

    def write_answer_stamp(self, stamp: AnswerStamp) -> None:
        """Say which run answered for everyone, or that one has begun."""
        ...

    def read_answer_stamp(self) -> AnswerStamp | None:
        """Which runs answered; None if none ever did."""
        ...

    def replace_opt_outs(self, member_ids: MemberIds) -> tuple[int, int]:
        """Let the refusals that stand in the facts be these; returns how many were added and taken away."""
        ...

    def delete_members(self, member_ids: MemberIds) -> None:
        """Forget all that is kept of these members."""
        ...

    def stored_members(self) -> Iterator[MemberIds]:
        """Ids of all members with aggregates, in no order, perhaps some of them twice."""
        ...

    def write_stamp(self, stamp: Stamp) -> None:
        """Say what has been published, or that a publish has begun."""
        ...

    def read_aggregates(self, member_ids: Sequence[str]) -> list[bytes | None]:
        """Packed aggregates; None for members the store does not know."""
        ...

    def read_stamp(self) -> Stamp | None:
        """What was published last; None if nothing was."""
        ...


class RedisStore:
    """The store as jobs see it: blocking, patient, without blind retries."""

    def __init__(self, url: str, *, prefix: str, timeout_s: float = JOB_TIMEOUT_S) -> None:
        self._keys = Keys(prefix)
        with address_checked():
            self._client: Any = redis.Redis.from_url(
                url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
            )

    def check_server(self) -> str:
        """The server's version.

        Raises
        ------
        ConfigurationError
            The server is older than 7.0, or throws keys away when memory is full.
        """
        with translated():
            server, memory = self._client.info("server"), self._client.info("memory")
        version = str(server["redis_version"])
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
            raise ConfigurationError(f"Redis {version} is too old", remedy="use Redis 7.0 or newer, or Valkey")
        if memory.get("maxmemory_policy", "noeviction") != "noeviction":
            raise ConfigurationError(
                f"this Redis evicts keys (maxmemory-policy {memory['maxmemory_policy']})",
                remedy="CONFIG SET maxmemory-policy noeviction",
            )
        return version

    def write_aggregates(self, member_ids: Sequence[str], values: Sequence[bytes]) -> None:
        """Store packed aggregates."""
        if member_ids:
            with translated():
                self._client.mset({self._keys.aggregates(m): v for m, v in zip(member_ids, values, strict=True)})

    def write_profiles(self, member_ids: Sequence[str], profiles: Sequence[Profile]) -> None:
        """Set fields of the readable profiles; fields not named stay."""
        with translated(), self._client.pipeline(transaction=False) as pipeline:
            for member, profile in zip(member_ids, profiles, strict=True):
                pipeline.hset(self._keys.profile(member), mapping=dict(profile))
            pipeline.execute()

    def load_aggregates(self, member_ids: MemberIds, packed: Iterable[Packed]) -> None:
        """Store the packed aggregates of many members; `rows` of a group are positions among the ids."""
        self._load(msets(self._keys.before_aggregates, member_ids, packed))

    def load_profiles(self, member_ids: MemberIds, fields: NDArray[np.void]) -> None:
        """Set fields of many readable profiles, a structured array of texts; fields not named stay."""
        self._load(hsets(self._keys.before_profile, member_ids, fields))

    def load_answers(self, member_ids: MemberIds, values: NDArray[np.void]) -> None:
        """Store the packed answers of many members."""
        self._load(msets(self._keys.before_answer, member_ids, [Packed(np.arange(len(values)), values)]))

    def write_answer_stamp(self, stamp: AnswerStamp) -> None:
        """Say which run answered for everyone, or that one has begun."""
        with translated():
            self._client.set(self._keys.answers, stamp.to_bytes())

    def read_answer_stamp(self) -> AnswerStamp | None:
        """Which runs answered; None if none ever did."""
        with translated():
            value = self._client.get(self._keys.answers)
        return AnswerStamp.from_bytes(value) if value is not None else None

    def read_answers(self, member_ids: Sequence[str]) -> list[bytes | None]:
        """Packed answers as stored, for `features.answers.read_answers`; None for members without any."""
        with translated():
            return list(self._client.mget([self._keys.answer(m) for m in member_ids])) if member_ids else []

    def _load(self, chunks: Iterator[Chunk]) -> None:
        with translated():
            connection = self._client.connection_pool.get_connection()
            complete = False
            try:
                send(connection, chunks)
                complete = True
            finally:
                if not complete:  # replies may be on their way, and the next command must not take them for its own
                    connection.disconnect()
                self._client.connection_pool.release(connection)

    def replace_opt_outs(self, member_ids: MemberIds) -> tuple[int, int]:
        """Let the refusals that stand in the facts be these; returns how many were added and taken away.

        A refusal that was said to us stays, whatever the facts hold. Killed midway and run again, the outcome is the same:
        a refusal counts as known only once its key is written, and as forgotten only once it is gone.
        """
        with translated():
            known = np.array(sorted(self._client.smembers(self._keys.opted_outs)) or [b""], dtype=np.bytes_)
        known = known[known != b""]
        added, gone = np.setdiff1d(member_ids, known), np.setdiff1d(known, member_ids)
        for start in range(0, len(added), DELETED_TOGETHER):
            part = added[start : start + DELETED_TOGETHER].tolist()
            with translated(), self._client.pipeline(transaction=False) as pipeline:
                for member in part:
                    pipeline.set(self._keys.opted_out(member.decode()), FROM_FACTS, nx=True)
                pipeline.sadd(self._keys.opted_outs, *part)
                pipeline.execute()
        self._take_back(gone.tolist())
        return len(added), len(gone)

    def _take_back(self, member_ids: list[bytes]) -> None:
        """Forget refusals of the facts that no longer stand there."""
        for start in range(0, len(member_ids), DELETED_TOGETHER):
            part = member_ids[start : start + DELETED_TOGETHER]
            keys = [self._keys.opted_out(member.decode()) for member in part]
            with translated():
                told = self._client.mget(keys)
                theirs = [key for key, by in zip(keys, told, strict=True) if by == FROM_FACTS]
                if theirs:
                    self._client.delete(*theirs)
                self._client.srem(self._keys.opted_outs, *part)

    def delete_members(self, member_ids: MemberIds) -> None:
        """Forget all that is kept of these members, each member at once; a refusal stays until the facts take it back."""
        for start in range(0, len(member_ids), DELETED_TOGETHER):
            with translated(), self._client.pipeline(transaction=False) as pipeline:
                for member in member_ids[start : start + DELETED_TOGETHER].tolist():
                    keys = set(self._keys.of_member(member.decode()))
                    pipeline.delete(*sorted(keys - {self._keys.opted_out(member.decode())}))
                pipeline.execute()

    def stored_members(self) -> Iterator[MemberIds]:
        """Ids of all members with aggregates, in no order, perhaps some of them twice. Walks over all keys of the server."""
        before = self._keys.before_aggregates
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", before) + "*"
        cursor = 0
        while True:
            with translated():
                cursor, keys = self._client.scan(cursor, match=pattern, count=SCANNED_TOGETHER)
            if keys:
                yield np.array([key[len(before.encode()) : -1] for key in keys], dtype=np.bytes_)
            if not cursor:
                return

    def write_lists(self, member_ids: Sequence[str], lists: Sequence[RecommendationList]) -> int:
        """Let lists be these, packed and sorted form together; those that stand already are only kept alive.

        Returns
        -------
        How many were written.
        """
        records = [recommended.to_bytes() for recommended in lists]
        pairs = [(self._keys.recommendations(m), self._keys.recommended_items(m)) for m in member_ids]
        with translated():
            stands = kept(self._client, pairs, records)
        new = [place for place, there in enumerate(stands) if not there]
        self._load(lists_written([pairs[p] for p in new], [lists[p] for p in new], [records[p] for p in new]))
        return len(new)

    def write_list_pasts(self, member_ids: Sequence[str], fingerprints: Sequence[bytes], made: Callable[[int], bytes]) -> int:
        """Let the records that lists are made anew from be these; those that stand already are only kept alive.

        Parameters
        ----------
        fingerprints
            The beginning of each record, which differs where anything does that does not follow from the day.
        made
            Makes the record of a position among the members.

        Returns
        -------
        How many were written.
        """
        keys = [self._keys.list_past(member) for member in member_ids]
        with translated():
            stands = kept(self._client, [(key, key) for key in keys], fingerprints)
        new = [place for place, there in enumerate(stands) if not there]
        self._load(records_written([keys[place] for place in new], [made(place) for place in new]))
        return len(new)

    def write_list_stamp(self, stamp: ListStamp) -> None:
        """Say which night looked at everyone's lists."""
        with translated():
            self._client.set(self._keys.lists, stamp.to_bytes())

    def write_stamp(self, stamp: Stamp) -> None:
        """Say what has been published, or that a publish has begun."""
        with translated():
            self._client.set(self._keys.stamp, stamp.to_bytes())

    def read_aggregates(self, member_ids: Sequence[str]) -> list[bytes | None]:
        """Packed aggregates; None for members the store does not know."""
        with translated():
            return list(self._client.mget([self._keys.aggregates(m) for m in member_ids])) if member_ids else []

    def read_profile(self, member_id: str) -> dict[str, str]:
        """A member's readable profile; empty for a member the store does not know."""
        with translated():
            stored: dict[bytes, bytes] = self._client.hgetall(self._keys.profile(member_id))
        return {name.decode(): value.decode() for name, value in stored.items()}

    def read_stamp(self) -> Stamp | None:
        """What was published last; None if nothing was."""
        with translated():
            value = self._client.get(self._keys.stamp)
        return Stamp.from_bytes(value) if value is not None else None

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()
