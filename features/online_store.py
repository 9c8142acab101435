"""The online store: what is kept for each member, under which key, for how long, and the Redis that keeps it.

Keys (prefix `rapport` by default; the braces keep one member's keys on one node of a cluster):

    key                           type     written by   expires   holds
    rapport:stamp                 String   publish      never     what was published last: contract, as_of, edges
    rapport:agg:{member}          String   publish      never     packed aggregates; their age is in the header
    rapport:profile:{member}      Hash     publish      never     stage, tier, scores, for people and other systems
    rapport:answers               String   publish      never     which models answered for everyone last, and as of when
    rapport:answer:{member}       String   publish      never     packed answers of those models; run and age in the header
    rapport:live:{member}         String   stream       3 days    what today and yesterday add to the packed aggregates
    rapport:live_items:{member}:d Hash     stream       3 days    views, carts and purchases of each item on local day d
    rapport:event_ids:{member}:d  Hash     events       3 days    events of local day d: digest, and whether it was applied
    rapport:erased:{member}       String   members      3 days    there is one for a member who was erased lately
    rapport:stream:tally          Hash     stream       never     what workers of the stream did, by outcome
    rapport:parity                String   parity       never     what the last comparison of live features with the batch found
    rapport:opted_out:{member}    String   publish      never     there is one for a member who refused marketing; says who told
    rapport:opted_outs            Set      publish      never     members whose refusal stands in the facts last published
    rapport:lists                 String   publish      never     which night looked at everyone's lists last, JSON
    rapport:list:{member}         String   publish      2 days    recommendation list with source of each item
    rapport:list_items:{member}   Zset     publish      2 days    the same items by score, for ZREVRANGE
    rapport:list_past:{member}    String   publish      2 days    packed history and candidates: lists are made anew from it
    rapport:tags:current          String   publish      never     name of the generation of tags that readers use
    rapport:tags:unused           String   publish      never     keys that no reader needs any more, JSON; deleted next
    rapport:tags:<generation>     String   publish      never     as_of, size, tags and their counts of a generation, JSON
    rapport:tags:<generation>:*   String   publish      never     one bitmap a tag over the member index; none if empty
    rapport:tag_members:<gen.>    String   publish      never     bitmap of the positions that have a member
    rapport:tags:asked:<id>:<n>   String   audience     at once   a step of a question; made and deleted in one transaction
    rapport:tag_index:<id>:<n>    String   publish      never     packed member ids of 65,536 positions
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import redis
import redis.asyncio
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
from features.store_questions import Questions

OLDEST_REDIS = (7, 0)
JOB_TIMEOUT_S = 10.0
DELETED_TOGETHER = 500
SCANNED_TOGETHER = 5000
FROM_FACTS = b"facts"
"""Value of a refusal that stands in the retailer's own table; any other was said to us, and no publish takes it back."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of all keys."""

    prefix: str

    @property
    def stamp(self) -> str:
        """What was published last."""
        return f"{self.prefix}:stamp"

    @property
    def before_aggregates(self) -> str:
        """What stands before the member id in the key of packed aggregates; every member's key ends with a brace."""
        return f"{self.prefix}:agg:{{"

    @property
    def before_profile(self) -> str:
        """What stands before the member id in the key of a profile."""
        return f"{self.prefix}:profile:{{"

    @property
    def answers(self) -> str:
        """Which run of the models wrote the answers."""
        return f"{self.prefix}:answers"

    @property
    def before_answer(self) -> str:
        """What stands before the member id in the key of packed answers."""
        return f"{self.prefix}:answer:{{"

    def answer(self, member_id: str) -> str:
        """A member's packed answers."""
        return f"{self.before_answer}{member_id}}}"

    @property
    def before_live(self) -> str:
        """What stands before the member id in the key of their last days."""
        return f"{self.prefix}:live:{{"

    def live(self, member_id: str) -> str:
        """What a member's last days add to their packed aggregates."""
        return f"{self.before_live}{member_id}}}"

    def live_items(self, member_id: str, day: int) -> str:
        """How often a member viewed (`v:item`), put into the cart (`c:item`) and bought (`p:item`) each item on a local day."""
        return f"{self.prefix}:live_items:{{{member_id}}}:{day}"

    def event_ids(self, member_id: str, day: int) -> str:
        """Which of a member's events of a local day were accepted and applied: by id, a digest and the state."""
        return f"{self.prefix}:event_ids:{{{member_id}}}:{day}"

    def erased(self, member_id: str) -> str:
        """There for some days after a member was erased: what is still on its way is dropped."""
        return f"{self.prefix}:erased:{{{member_id}}}"

    @property
    def stream_tally(self) -> str:
        """What all workers of the stream did, by outcome."""
        return f"{self.prefix}:stream:tally"

    @property
    def parity(self) -> str:
        """What the last comparison of live features with the batch found."""
        return f"{self.prefix}:parity"

    @property
    def before_opted_out(self) -> str:
        """What stands before the member id in the key of a refusal."""
        return f"{self.prefix}:opted_out:{{"

    def opted_out(self, member_id: str) -> str:
        """There if a member refused marketing."""
        return f"{self.before_opted_out}{member_id}}}"

    @property
    def opted_outs(self) -> str:
        """Members whose refusal stands in the facts."""
        return f"{self.prefix}:opted_outs"

    def aggregates(self, member_id: str) -> str:
        """A member's packed aggregates."""
        return f"{self.before_aggregates}{member_id}}}"

    def profile(self, member_id: str) -> str:
        """A member's readable profile."""
        return f"{self.before_profile}{member_id}}}"

    @property
    def before_list(self) -> str:
        """What stands before the member id in the key of a recommendation list."""
        return f"{self.prefix}:list:{{"

    def recommendations(self, member_id: str) -> str:
        """A member's recommendation list with sources."""
        return f"{self.before_list}{member_id}}}"

    def recommended_items(self, member_id: str) -> str:
        """The items of that list by score."""
        return f"{self.prefix}:list_items:{{{member_id}}}"

    @property
    def lists(self) -> str:
        """Which night looked at everyone's lists."""
        return f"{self.prefix}:lists"

    def list_past(self, member_id: str) -> str:
        """What a member's list is made anew from."""
        return f"{self.prefix}:list_past:{{{member_id}}}"

    @property
    def current_tags(self) -> str:
        """The generation of tags that readers use."""
        return f"{self.prefix}:tags:current"

    @property
    def unused_tags(self) -> str:
        """Keys of generations that are not in use."""
        return f"{self.prefix}:tags:unused"

    def tag_generation(self, generation: str) -> str:
        """What a generation of tags holds."""
        return f"{self.prefix}:tags:{generation}"

    def tag(self, generation: str, name: str) -> str:
        """The bitmap of a tag."""
        return f"{self.prefix}:tags:{generation}:{name}"

    def tag_scratch(self, question: str) -> str:
        """First part of the temporary keys of one question."""
        return f"{self.prefix}:tags:asked:{question}"

    def tag_members(self, generation: str) -> str:
        """The bitmap of all members of a generation."""
        return f"{self.prefix}:tag_members:{generation}"

    def tag_index(self, identity: str, chunk: int) -> str:
        """The packed member ids of one chunk of an index."""
        return f"{self.prefix}:tag_index:{identity}:{chunk}"

    @property
    def trigger_tally(self) -> str:
        """What triggers came to."""
        return f"{self.prefix}:{{triggers}}:tally"

    def triggered(self, member_id: str) -> str:
        """When triggers fired for a member; it stays where a publish forgets the member, as caps and cool-downs do."""
        return f"{self.prefix}:trigger:{{{member_id}}}"

    def of_member(self, member_id: str) -> tuple[str, ...]:
        """Every key of a member."""
        return (
            self.aggregates(member_id),
            self.profile(member_id),
            self.answer(member_id),
            self.opted_out(member_id),
            self.recommendations(member_id),
            self.recommended_items(member_id),
            self.list_past(member_id),
            self.live(member_id),
        )


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


class RedisReader:
    """The store as serving sees it: asynchronous, impatient, without retries."""

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
            found = await self._client.mget(keys)
        many = len(member_ids)
        return StoredMembers(found[0], found[1 : many + 1], found[many + 1 : 2 * many + 1], found[2 * many + 1 :])

    async def read_answers(self, member_ids: Sequence[str]) -> tuple[AnswerStamp | None, list[bytes | None]]:
        """The last nightly answers as stored, for `features.answers.read_answers`, and their stamp, in one round trip."""
        with translated():
            stamp, *values = await self._client.mget([self._keys.answers, *map(self._keys.answer, member_ids)])
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
