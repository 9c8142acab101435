"""Visitors whom nobody knows yet: their last events wait until they log in or buy, then become their member's, once.

Keys (the braces hold the anonymous id under which facts keep a visitor):

    rapport:alias:{visitor}              String   400 days  the member whom the visitor turned out to be
    rapport:visitor:{visitor}            List     3 days    their events that wait for a member, the last 200
    rapport:visitor_ids:{visitor}:<day>  Hash     3 days    for each event of a local day the member it went to, or nothing
    rapport:claimed:{visitor}:<member>   List     3 days    events on their way to a member
    rapport:visitors_of:{member}         Set      400 days  the visitors whom a member was, for erasure

Which member an event goes to is decided once, on the visitor's keys, whatever is delivered again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from features.events.keys import EventKeys
from features.scripts import Script, checked
from features.store_keys import Keys

WAITING_EVENTS = 200
WAITING_SECONDS = 3 * 24 * 3600
ALIAS_SECONDS = 400 * 24 * 3600
_NOTE = Script("""
local known = redis.call('HGET', KEYS[2], ARGV[1])
if known then return known end
local member = redis.call('GET', KEYS[1]) or ''
redis.call('HSET', KEYS[2], ARGV[1], member)
redis.call('EXPIRE', KEYS[2], ARGV[3])
if member == '' then
  redis.call('RPUSH', KEYS[3], ARGV[2])
  redis.call('LTRIM', KEYS[3], -tonumber(ARGV[4]), -1)
  redis.call('EXPIRE', KEYS[3], ARGV[3])
end
return member
""")
_CLAIM = Script("""
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
local waiting = redis.call('LRANGE', KEYS[2], 0, -1)
for _, event in ipairs(waiting) do redis.call('RPUSH', KEYS[3], event) end
redis.call('DEL', KEYS[2])
redis.call('EXPIRE', KEYS[3], ARGV[2])
return redis.call('LRANGE', KEYS[3], 0, -1)
""")
_DONE = Script("""
if redis.call('LLEN', KEYS[1]) == tonumber(ARGV[2]) and redis.call('LINDEX', KEYS[1], 0) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
""")


@dataclass(frozen=True, slots=True)
class Claim:
    """A visitor who turned out to be a member, and the events that are the member's now."""

    visitor: str
    member_id: str
    events: tuple[bytes, ...] = ()


class Visitors:
    """The visitors of one shop. `client` is a blocking Redis client; errors are its own."""

    def __init__(self, client: Any, *, prefix: str) -> None:
        self._client, self._prefix = client, prefix

    def note(self, events: Sequence[tuple[str, int, str, bytes]]) -> list[str]:
        """Events of visitors, as visitor, local day, event id and bytes: the member each goes to, or "" while nobody knows.

        Ids are kept by day: those of a device that is never idle would never expire.
        """
        calls = [
            (
                (self._alias(visitor), f"{self._key('visitor_ids', visitor)}:{day}", self._key("visitor", visitor)),
                (event_id, content, WAITING_SECONDS, WAITING_EVENTS),
            )
            for visitor, day, event_id, content in events
        ]
        return [reply.decode() for reply in checked(_NOTE.run(self._client, calls))] if calls else []

    def claim(self, pairs: Sequence[tuple[str, str]]) -> list[Claim]:
        """Visitors and the members they are: their waiting events, which are the member's from now on. Again is no harm.

        Nothing is claimed for a member who was erased lately: it would lead to them again for a year.
        """
        pairs = self._of_members_there(pairs)
        if not pairs:
            return []
        with self._client.pipeline(transaction=False) as pipeline:
            for visitor, member in pairs:
                pipeline.sadd(self._of(member), visitor)
                pipeline.expire(self._of(member), ALIAS_SECONDS)
            pipeline.execute()
        calls = [
            (
                (self._alias(visitor), self._key("visitor", visitor), self._claimed(visitor, member)),
                (member, WAITING_SECONDS, ALIAS_SECONDS),
            )
            for visitor, member in pairs
        ]
        replies = checked(_CLAIM.run(self._client, calls))
        return [Claim(visitor, member, tuple(reply)) for (visitor, member), reply in zip(pairs, replies, strict=True)]

    def done(self, claims: Sequence[Claim]) -> None:
        """The events of these claims have been applied."""
        calls = [((self._claimed(c.visitor, c.member_id),), (c.events[0], len(c.events))) for c in claims if c.events]
        if calls:
            checked(_DONE.run(self._client, calls))

    def member_of(self, visitor: str) -> str | None:
        """The member whom a visitor turned out to be."""
        found = self._client.get(self._alias(visitor))
        return found.decode() if found is not None else None

    def forget(self, member_id: str) -> list[str]:
        """Delete what leads from visitors to a member; returns the visitors who are nobody's by then.

        A device on which another member has logged in since is that member's: only what is on its way to this one goes.
        """
        found = [each.decode() for each in self._client.smembers(self._of(member_id))]
        theirs = [visitor for visitor in found if self.member_of(visitor) in (member_id, None)]
        for visitor in found:
            self._client.delete(self._claimed(visitor, member_id))
        for visitor in theirs:
            self._client.delete(self._alias(visitor), self._key("visitor", visitor))
        self._client.delete(self._of(member_id))
        return theirs

    def _of_members_there(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those pairs whose member was not erased lately."""
        with self._client.pipeline(transaction=False) as pipeline:
            for _, member in pairs:
                pipeline.exists(Keys(self._prefix).erased(member))
            return [pair for pair, erased in zip(pairs, pipeline.execute(), strict=True) if not erased]

    def _key(self, name: str, visitor: str) -> str:
        return f"{self._prefix}:{name}:{{{visitor}}}"

    def _alias(self, visitor: str) -> str:
        return EventKeys(self._prefix).alias(visitor)

    def _claimed(self, visitor: str, member_id: str) -> str:
        return f"{self._key('claimed', visitor)}:{member_id}"

    def _of(self, member_id: str) -> str:
        return self._key("visitors_of", member_id)
