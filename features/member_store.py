"""One member in the online store: everything that is kept of them, read for people, and erased at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import redis

from features.answers import AnswerStamp, NightlyAnswer, read_answers
from features.errors import CorruptRecord, StoreUnavailable
from features.events.erasing import forget, forget_visitor
from features.live_store import LIVE_SECONDS
from features.member_index import CHUNK, chunks_of
from features.stamp import Stamp
from features.store_errors import translated
from features.tag_store import ATTEMPTS, TagStamp, TagStore
from features.visitors import Visitors

CONSENTS: Mapping[str, bool | None] = {"consent=yes": True, "consent=no": False}
INTEGER = np.dtype("<u4")
ERASED = "\x00"
"""What stands in the index in place of each byte of an erased id; no id holds it."""


@dataclass(frozen=True, slots=True)
class KnownMember:
    """What the store holds of one member.

    Attributes
    ----------
    profile
        Fields of the readable profile.
    stamp
        What was published last.
    answer
        The last nightly answers; None if the models never answered for this member.
    tags, tags_as_of
        Names of the member's tags, in the order of their declaration, and the moment they are of; None without tags.
    list_seconds_left
        How long the recommendation list stays; None without one.
    refused
        Whether the member refused marketing, by the facts or by word to us.
    """

    profile: Mapping[str, str]
    stamp: Stamp | None
    answer: NightlyAnswer | None
    tags: tuple[str, ...]
    tags_as_of: datetime | None
    list_seconds_left: int | None
    refused: bool


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure took away: keys of the member's own, and tags they had."""

    keys: int
    tags: int


class MemberStore(TagStore):
    """The store as those see it who look at one member or erase them."""

    def read_member(self, member_id: str) -> KnownMember | None:
        """Everything kept of a member; None if the store does not know them."""
        with translated(), self._client.pipeline(transaction=True) as pipeline:
            pipeline.exists(self._keys.aggregates(member_id))
            pipeline.hgetall(self._keys.profile(member_id))
            pipeline.get(self._keys.stamp)
            pipeline.get(self._keys.answers)
            pipeline.get(self._keys.answer(member_id))
            pipeline.ttl(self._keys.recommendations(member_id))
            pipeline.exists(self._keys.opted_out(member_id))
            there, profile, stamp, answers, answer, seconds, refused = pipeline.execute()
        tag_stamp = self.read_tag_stamp()
        position = None if tag_stamp is None else self._position(tag_stamp, member_id)
        has_tags = tag_stamp is not None and position is not None
        if not there and not profile and not has_tags and not refused:
            return None
        return KnownMember(
            profile={name.decode(): value.decode() for name, value in profile.items()},
            stamp=Stamp.from_bytes(stamp) if stamp is not None else None,
            answer=read_answers(AnswerStamp.from_bytes(answers) if answers is not None else None, [answer])[0],
            tags=self._tags_at(tag_stamp, position) if tag_stamp is not None and position is not None else (),
            tags_as_of=tag_stamp.as_of_moment if tag_stamp is not None and has_tags else None,
            list_seconds_left=seconds if seconds > 0 else None,
            refused=bool(refused),
        )

    def read_lists(self, member_ids: Sequence[str]) -> list[bytes | None]:
        """Recommendation lists as stored, for `RecommendationList.from_bytes`; None for members without one."""
        with translated():
            return list(self._client.mget([self._keys.recommendations(m) for m in member_ids])) if member_ids else []

    def erase(self, member_id: str) -> Erased:
        """Delete every key of a member, clear their bit in every tag, and blank their id in the index. Again is no harm.

        A publish under way may bring the member back: publishing erases again, at its end, whoever is owed it.

        Raises
        ------
        StoreUnavailable
            Redis does not answer, or tags were published again and again meanwhile.
        """
        with translated():
            self._client.set(self._keys.erased(member_id), b"", ex=LIVE_SECONDS)  # before: what is on its way comes to nothing
            keys = int(self._client.delete(*self._keys.of_member(member_id)))
            self._client.srem(self._keys.opted_outs, member_id)
            visitors = Visitors(self._client, prefix=self._keys.prefix).forget(member_id)
        keys += forget(self._client, self._keys.prefix, member_id)
        keys += sum(forget_visitor(self._client, self._keys.prefix, visitor) for visitor in visitors)
        for _ in range(ATTEMPTS):
            stamp = self.read_tag_stamp()
            position = None if stamp is None else self._position(stamp, member_id)
            if stamp is None or position is None:
                return Erased(keys, 0)
            try:
                return Erased(keys, self._clear(stamp, position, len(member_id.encode())))
            except redis.WatchError:
                continue
            except redis.RedisError as error:
                with translated():
                    raise error
        raise StoreUnavailable("tags were published again and again while a member was erased", remedy="ask again")

    def _clear(self, stamp: TagStamp, position: int, length: int) -> int:
        """Clear the bits and the id at a position, unless another generation of tags has come into use meanwhile."""
        names = [name for name, members in stamp.counts.items() if members]
        chunk, place = divmod(position, CHUNK)
        with self._client.pipeline(transaction=True) as pipeline:
            pipeline.watch(self._keys.current_tags)
            if pipeline.get(self._keys.current_tags) != stamp.generation.encode():
                raise redis.WatchError
            begin = self._begin_of(self._keys.tag_index(stamp.index, chunk), place)
            pipeline.multi()
            for name in names:
                pipeline.setbit(self._keys.tag(stamp.generation, name), position, 0)
            pipeline.setbit(self._keys.tag_members(stamp.generation), position, 0)
            pipeline.setrange(self._keys.tag_index(stamp.index, chunk), begin, ERASED * length)
            return sum(pipeline.execute()[: len(names)])

    def _tags_at(self, stamp: TagStamp, position: int) -> tuple[str, ...]:
        names = [name for name, members in stamp.counts.items() if members]
        with translated(), self._client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.getbit(self._keys.tag(stamp.generation, name), position)
            return tuple(name for name, bit in zip(names, pipeline.execute(), strict=True) if bit)

    def _position(self, stamp: TagStamp, member_id: str) -> int | None:
        """Position of a member in the index of a generation, found by looking through it; None for one who is not there.

        Positions are not kept by member, as that would cost a key each: a million ids are ten megabytes to look through.
        """
        for number in range(chunks_of(stamp.size)):
            with translated():
                packed = self._client.get(self._keys.tag_index(stamp.index, number))
            place = None if packed is None else place_of(packed, member_id.encode())
            if place is not None:
                position = number * CHUNK + place
                with translated():
                    there = self._client.getbit(self._keys.tag_members(stamp.generation), position)
                return position if there else None
        return None

    def _begin_of(self, key: str, place: int) -> int:
        """Where the text of an id begins within the value of its chunk, in bytes."""
        size, before = self._client.getrange(key, 0, 3), self._client.getrange(key, 4 * place, 4 * place + 3)
        if len(size) != len(before) or len(size) != INTEGER.itemsize:
            raise CorruptRecord("a part of the member index is not in the store", remedy='publish again: "rapport publish"')
        header = 4 + 4 * int(np.frombuffer(size, INTEGER)[0])
        return header + (int(np.frombuffer(before, INTEGER)[0]) if place else 0)


def place_of(packed: bytes, member_id: bytes) -> int | None:
    """Which place an id has among the packed ids of a chunk; None if it is not among them."""
    count = int(np.frombuffer(packed, dtype="<u4", count=1)[0])
    ends = np.frombuffer(packed, dtype="<u4", count=count, offset=4).astype(np.int64)
    text = np.frombuffer(packed, dtype=np.uint8, offset=4 + 4 * count)
    begins = np.concatenate([[0], ends[:-1]]) if count else ends
    left = np.flatnonzero(ends - begins == len(member_id))
    for offset in range(len(member_id) - 1, -1, -1):  # ids differ most at their end
        left = left[text[begins[left] + offset] == member_id[offset]]
        if not len(left):
            return None
    return int(left[0]) if len(left) else None
