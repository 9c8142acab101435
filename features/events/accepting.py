"""The way of an event into its stream: its id is noted on the member's keys, then the event is added. Again is no harm.

An answer is given only when both are done. Whoever gets none sends the event again: an id that was noted and whose event was
not applied is added to the stream once more, and consumers look at the id before they do anything. Nothing is kept of members
who refused marketing, nor of visitors who are known to be such a member.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha1
from typing import Any

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from features.errors import StoreUnavailable
from features.events import pressure
from features.events.keys import DIGEST_BYTES, EVENT_FIELD, IDS_SECONDS, EventKeys
from features.events.pressure import Pressure
from features.events.schema import Event
from features.events.stream import QUARANTINE_DAYS, oldest_kept, require_partitions, require_same_partitions
from features.store_errors import address_checked, translated

_NOTE = f"""
if redis.call('EXISTS', KEYS[2]) == 1 then return 'o' end
local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. 'a')
  redis.call('EXPIRE', KEYS[1], {IDS_SECONDS})
  return 'n'
end
if string.sub(known, 1, {DIGEST_BYTES}) ~= ARGV[2] then return 'c' end
return string.sub(known, {DIGEST_BYTES + 1})
"""
"""n: new; a: accepted before; d: applied before; c: another event of this id; o: the member refused marketing."""
_NOTE_SHA = sha1(_NOTE.encode(), usedforsecurity=False).hexdigest()


class Outcome(Enum):
    """What became of an event."""

    ACCEPTED = "accepted"
    CONFLICT = "conflict"
    OPTED_OUT = "opted_out"


_OUTCOMES = {b"c": Outcome.CONFLICT, b"o": Outcome.OPTED_OUT}


@dataclass(frozen=True, slots=True)
class _Noted:
    """What the first round trip found: an outcome each, and the events to be added to their streams."""

    outcomes: list[Outcome]
    to_add: list[Event]


class EventWriter:
    """Accepts events for a program that waits: the Kafka bridge, a replay, tests."""

    def __init__(self, url: str, keys: EventKeys, *, timeout_s: float = 10.0) -> None:
        self._keys, self._checked = keys, False
        with address_checked():
            self._client: Any = redis.Redis.from_url(
                url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
            )

    def accept(self, events: Sequence[Event]) -> list[Outcome]:
        """Events into their streams; one outcome each.

        Raises
        ------
        StoreUnavailable
            Redis does not answer or takes no more: nothing is known of these events, send them again.
        ConfigurationError
            The streams were made with another number of partitions: nobody would read these.
        """
        with translated():
            if not self._checked:
                require_partitions(self._client, self._keys)
                self._checked = True
            unwanted = self._unwanted(events)
            asked = [event for event in events if event.subject not in unwanted]
            replies = self._note(asked)
            if _unknown_script(replies):
                self._client.script_load(_NOTE)
                replies = self._note(asked)
            noted = _noted(asked, replies)
            if noted.to_add:
                with self._client.pipeline(transaction=False) as pipeline:
                    _add(pipeline, self._keys, noted.to_add)
                    pipeline.execute()
        return _for_all(events, unwanted, noted.outcomes)

    def _unwanted(self, events: Sequence[Event]) -> set[str]:
        """Visitors among the subjects who are known to be members that refused marketing."""
        visitors = _visitors(events)
        known = _known(visitors, self._client.mget(map(self._keys.alias, visitors)) if visitors else [])
        return _refusing(known, self._client.mget(map(self._keys.opted_out, known.values())) if known else [])

    def _note(self, events: Sequence[Event]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipeline:
            _ask(pipeline, self._keys, events)
            return list(pipeline.execute(raise_on_error=False))

    def pressure(self) -> Pressure:
        """How full the streams and the server are."""
        with translated(), self._client.pipeline(transaction=False) as pipeline:
            pressure.ask(pipeline, [self._keys.stream(partition) for partition in self._keys.every_partition])
            return pressure.read(pipeline.execute(raise_on_error=False))

    def aside(self) -> tuple[int, int]:
        """How many events are in the quarantine, and how many entries among the dead letters."""
        with translated():
            return int(self._client.xlen(self._keys.quarantine)), int(self._client.xlen(self._keys.dead))

    def set_aside(self, reason: str, content: bytes) -> None:
        """An event with which nothing can be done yet, into the quarantine."""
        with translated():
            kept = {"reason": reason, "event": content}
            self._client.xadd(self._keys.quarantine, kept, minid=oldest_kept(QUARANTINE_DAYS), approximate=True)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()


class AsyncEventWriter:
    """The same for a server."""

    def __init__(self, url: str, keys: EventKeys, *, timeout_s: float) -> None:
        self._keys, self._checked = keys, False
        with address_checked():
            self._client: Any = redis.asyncio.Redis.from_url(
                url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=None
            )

    @property
    def client(self) -> Any:
        """The connection pool, for what is read beside."""
        return self._client

    async def accept(self, events: Sequence[Event]) -> list[Outcome]:
        """Events into their streams; one outcome each. Raises as `EventWriter.accept`."""
        with translated():
            if not self._checked:
                await self._client.set(self._keys.partition_count, self._keys.partitions, nx=True)
                require_same_partitions(self._keys, await self._client.get(self._keys.partition_count))
                self._checked = True
            unwanted = await self._unwanted(events)
            asked = [event for event in events if event.subject not in unwanted]
            replies = await self._note(asked)
            if _unknown_script(replies):
                await self._client.script_load(_NOTE)
                replies = await self._note(asked)
            noted = _noted(asked, replies)
            if noted.to_add:
                async with self._client.pipeline(transaction=False) as pipeline:
                    _add(pipeline, self._keys, noted.to_add)
                    await pipeline.execute()
        return _for_all(events, unwanted, noted.outcomes)

    async def _unwanted(self, events: Sequence[Event]) -> set[str]:
        """Visitors among the subjects who are known to be members that refused marketing."""
        visitors = _visitors(events)
        known = _known(visitors, await self._client.mget(map(self._keys.alias, visitors)) if visitors else [])
        return _refusing(known, await self._client.mget(map(self._keys.opted_out, known.values())) if known else [])

    async def _note(self, events: Sequence[Event]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipeline:
            _ask(pipeline, self._keys, events)
            return list(await pipeline.execute(raise_on_error=False))

    async def set_aside(self, kept: Sequence[tuple[str, bytes]]) -> None:
        """Events with which nothing can be done yet, each with its reason, into the quarantine."""
        with translated():
            oldest = oldest_kept(QUARANTINE_DAYS)
            async with self._client.pipeline(transaction=False) as pipeline:
                for reason, content in kept:
                    entry = {"reason": reason, "event": content}
                    pipeline.xadd(self._keys.quarantine, entry, minid=oldest, approximate=True)
                await pipeline.execute()

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()


def _visitors(events: Sequence[Event]) -> list[str]:
    """Subjects that are visitors, each once."""
    return list(dict.fromkeys(event.subject for event in events if event.member_id is None))


def _known(visitors: Sequence[str], aliases: Sequence[bytes | None]) -> dict[str, str]:
    """Visitors and the members they turned out to be."""
    return {visitor: alias.decode() for visitor, alias in zip(visitors, aliases, strict=True) if alias is not None}


def _refusing(known: Mapping[str, str], refusals: Sequence[bytes | None]) -> set[str]:
    return {visitor for visitor, refusal in zip(known, refusals, strict=True) if refusal is not None}


def _for_all(events: Sequence[Event], unwanted: set[str], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """An outcome each: those of the others in their order, and nothing is kept of unwanted visitors."""
    asked = iter(outcomes)
    return [Outcome.OPTED_OUT if event.subject in unwanted else next(asked) for event in events]


def _ask(pipeline: Any, keys: EventKeys, events: Sequence[Event]) -> None:
    """One question an event: whether its id is new."""
    for event in events:
        subject = event.subject
        ids, refused = keys.event_ids(subject, event.local_day), keys.opted_out(subject)
        pipeline.evalsha(_NOTE_SHA, 2, ids, refused, event.event_id, event.digest())


def _unknown_script(replies: Sequence[Any]) -> bool:
    """Whether the server has been started anew and knows the script no more; any other error is raised."""
    for reply in replies:
        if isinstance(reply, redis.RedisError) and not isinstance(reply, NoScriptError):
            raise reply
    return any(isinstance(reply, NoScriptError) for reply in replies)


def _noted(events: Sequence[Event], replies: Sequence[Any]) -> _Noted:
    if _unknown_script(replies):
        raise StoreUnavailable("the online store forgot a script at once", remedy="send the events again")
    outcomes = [_OUTCOMES.get(reply, Outcome.ACCEPTED) for reply in replies]
    added: dict[tuple[str, str, int], Event] = {}  # an event that came twice in one request is added once
    for event, reply in zip(events, replies, strict=True):
        if reply in (b"n", b"a"):
            added[event.subject, event.event_id, event.local_day] = event
    return _Noted(outcomes, list(added.values()))


def _add(pipeline: Any, keys: EventKeys, events: Sequence[Event]) -> None:
    for event in events:
        pipeline.xadd(keys.stream(keys.partition_of(event.subject)), {EVENT_FIELD: event.to_bytes()})
