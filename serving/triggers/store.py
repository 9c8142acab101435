"""Triggers in Redis: what was decided for whom, what is due when, and the stream of what fired.

Keys (prefix `rapport` by default):

    key                                type     written by     expires       holds
    rapport:trigger:{member}           Hash     triggers       by its caps   when triggers fired for the member: `ledger`
    rapport:{triggers}                 Stream   triggers       trimmed       what fired: `id`, and `message` as JSON
    rapport:{triggers}:sent:<firing>   String   triggers       8 days        there is one for what was published
    rapport:{triggers}:due             Zset     triggers       when done     firings to be looked at again, by moment in ms
    rapport:{triggers}:held            Hash     triggers       when done     what is known of each of those, JSON
    rapport:{triggers}:night           String   nightly        never         the last two days whose night looked
    rapport:{triggers}:tally           Hash     triggers       never         what triggers came to: `gauges`

`rapport:{triggers}` is the channel of Pub/Sub as well. The braces of the shared keys are in the names themselves, so that one
script may write them on one node of a cluster.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from features.days import microseconds
from features.online_store import JOB_TIMEOUT_S
from features.scripts import Script, checked
from features.store_errors import address_checked, translated
from features.store_keys import Keys
from serving.triggers.happening import Happening
from serving.triggers.ledger import DECIDE, DECISIONS_KEPT, Terms, Verdict, decide_arguments

READ_TOGETHER = 200
_DECIDE = Script(DECIDE)
_PUBLISH = Script("""
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('XADD', KEYS[1], '*', 'id', ARGV[1], 'message', ARGV[2])
redis.call('SET', KEYS[2], '1', 'EX', ARGV[3])
redis.call('PUBLISH', KEYS[1], ARGV[2])
return 1
""")
_PUT_OFF = Script("""
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
if redis.call('ZADD', KEYS[1], 'NX', ARGV[2], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return 1
""")


class Due(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A firing to be looked at again at a moment, in milliseconds since 1970.

    `before` are the numbers of before that its condition speaks of; `happening` is None for what a night found.
    """

    firing: str
    trigger: str
    member_id: str
    due_ms: int
    happening: Happening | None = None
    before: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Asked:
    """A firing that is asked for, with the terms of its trigger."""

    firing: str
    member_id: str
    terms: Terms


@dataclass(frozen=True, slots=True)
class TriggerKeys:
    """The names of these keys."""

    prefix: str

    def state(self, member_id: str) -> str:
        """When triggers fired for a member."""
        return Keys(self.prefix).triggered(member_id)

    @property
    def stream(self) -> str:
        """What fired, and the channel it is published on."""
        return f"{self.prefix}:{{triggers}}"

    def sent(self, firing: str) -> str:
        """There if a firing was published."""
        return f"{self.stream}:sent:{firing}"

    @property
    def due(self) -> str:
        """Firings by the moment they are to be looked at."""
        return f"{self.stream}:due"

    @property
    def held(self) -> str:
        """What is known of those."""
        return f"{self.stream}:held"

    @property
    def night(self) -> str:
        """Which nights looked last."""
        return f"{self.stream}:night"


class TriggerStore:
    """These keys: blocking, without blind retries. Every command may be sent again without harm."""

    def __init__(self, url: str, *, prefix: str, timeout_s: float = JOB_TIMEOUT_S) -> None:
        self.keys, self._members = TriggerKeys(prefix), Keys(prefix)
        with address_checked():
            self._client: Any = redis.Redis.from_url(
                url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
            )

    def ask(self, asked: Sequence[Asked], moment: datetime, *, kept_ms: int) -> list[tuple[Verdict, bytes]]:
        """What may be done, with the message of those that wait to be published. Nothing changes."""
        return self.decide(asked, [b""] * len(asked), moment, kept_ms=kept_ms)

    def decide(
        self, asked: Sequence[Asked], messages: Sequence[bytes], moment: datetime, *, kept_ms: int
    ) -> list[tuple[Verdict, bytes]]:
        """Let those fire that may, each in one script; messages that fired, now or before, are kept until published."""
        now = microseconds(moment)
        calls = [
            (self._keys_of(each.member_id), decide_arguments(each.firing, each.terms, now, message, hash_kept_ms=kept_ms))
            for each, message in zip(asked, messages, strict=True)
        ]
        with translated():
            return [_verdict(reply) for reply in _DECIDE.run(self._client, calls)] if calls else []

    def _keys_of(self, member_id: str) -> tuple[str, str, str]:
        return self.keys.state(member_id), self._members.opted_out(member_id), self._members.erased(member_id)

    def publish(self, firings: Sequence[tuple[str, str, bytes]]) -> int:
        """Publish messages by firing and member, each once whoever asks how often; returns how many were new."""
        if not firings:
            return 0
        seconds = int(DECISIONS_KEPT.total_seconds())
        calls = [((self.keys.stream, self.keys.sent(firing)), (firing, message, seconds)) for firing, _, message in firings]
        with translated():
            new = sum(checked(_PUBLISH.run(self._client, calls)))
            with self._client.pipeline(transaction=False) as pipeline:
                for firing, member, _ in firings:
                    pipeline.hdel(self.keys.state(member), f"p:{firing}")
                pipeline.execute()
        return int(new)

    def put_off(self, entries: Sequence[Due]) -> int:
        """Remember firings until they are due; those known or published stay as they are. Returns how many are new."""
        calls = [
            ((self.keys.due, self.keys.held, self.keys.sent(e.firing)), (e.firing, e.due_ms, msgspec.json.encode(e)))
            for e in entries
        ]
        with translated():
            return int(sum(checked(_PUT_OFF.run(self._client, calls)))) if calls else 0

    def postpone(self, entries: Sequence[Due]) -> None:
        """Let firings that are due be looked at later once more."""
        if entries:
            with translated(), self._client.pipeline(transaction=True) as pipeline:
                pipeline.zadd(self.keys.due, {entry.firing: entry.due_ms for entry in entries}, xx=True)
                pipeline.execute()

    def due(self, moment: datetime, *, most: int = READ_TOGETHER) -> list[Due]:
        """Firings that are due, the longest ago first; those that cannot be read are forgotten."""
        with translated():
            firings = self._client.zrangebyscore(self.keys.due, "-inf", microseconds(moment) // 1000, start=0, num=most)
            values = self._client.hmget(self.keys.held, firings) if firings else []
        found, lost = [], []
        for firing, value in zip(firings, values, strict=True):
            try:
                found.append(_DUE.decode(value or b""))
            except msgspec.DecodeError:
                lost.append(firing.decode())
        self.done(lost)
        return found

    def due_count(self) -> int:
        """How many firings are put off."""
        with translated():
            return int(self._client.zcard(self.keys.due))

    def messages(self) -> Iterator[bytes]:
        """Messages of the stream, the oldest first."""
        return (value for _, value in self._entries())

    def done(self, firings: Sequence[str]) -> None:
        """Forget firings that were due."""
        if firings:
            with translated(), self._client.pipeline(transaction=True) as pipeline:
                pipeline.zrem(self.keys.due, *firings)
                pipeline.hdel(self.keys.held, *firings)
                pipeline.execute()

    def trim(self, moment: datetime, *, kept: timedelta) -> int:
        """Take from the stream what fired longer ago; returns how many entries."""
        oldest = microseconds(moment - kept) // 1000
        with translated():
            return int(self._client.xtrim(self.keys.stream, minid=oldest, approximate=False))

    def nights(self) -> tuple[int, int] | None:
        """The last two local days whose nights looked, the earlier first; None if none did."""
        with translated():
            value = self._client.get(self.keys.night)
        if value is None:
            return None
        before, last = value.decode().split(",")
        return int(before), int(last)

    def looked(self, before: int, day: int) -> None:
        """Say that the night of a day has looked, and which one it compared itself with."""
        with translated():
            self._client.set(self.keys.night, f"{before},{day}")

    def add_counts(self, counts: Mapping[str, int]) -> None:
        """Add to the tally."""
        if counts:
            with translated(), self._client.pipeline(transaction=True) as pipeline:
                for name, number in counts.items():
                    pipeline.hincrby(self._members.trigger_tally, name, number)
                pipeline.execute()

    def _entries(self) -> Iterator[tuple[bytes, bytes]]:
        last = "-"
        while True:
            with translated():
                found = self._client.xrange(self.keys.stream, last, "+", count=1000)
            yield from ((entry, fields.get(b"message", b"{}")) for entry, fields in found)
            if len(found) < 1000:
                return
            last = f"({found[-1][0].decode()}"

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()


_DUE = msgspec.json.Decoder(Due)


def _verdict(reply: Any) -> tuple[Verdict, bytes]:
    """What a script said. A key of one member that is not as we write it is theirs alone, and would be so every time."""
    if isinstance(reply, redis.ResponseError) and "WRONGTYPE" in str(reply):
        return "UNREADABLE", b""
    verdict, message = checked([reply])[0]
    return cast("Verdict", verdict.decode()), message
