"""Who was addressed when, and what may therefore be said now: the rules of firing, and the same rules as a script of Redis.

One Hash a member, `rapport:trigger:{member}`:

    c:<trigger>     when the trigger fired last, microseconds since 1970
    k:<campaign>    when triggers of the campaign fired, as far back as its caps look; k:* over all triggers
    d:<firing>      when a firing was decided; it is known by its id, so that it is not decided again
    p:<firing>      its message, until it is published

The script looks at everything before it writes anything. A firing that was decided and not yet published, because whoever did
so was killed, gives its message back to the next who asks.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias

from serving.triggers.declared import Cap, Trigger, Triggers
from serving.triggers.spans import MOST_TIMES

Verdict: TypeAlias = Literal["FREE", "FIRED", "WAITING", "SENT", "OPTED_OUT", "ERASED", "COOLING", "CAPPED", "UNREADABLE"]
"""FREE: it may fire. WAITING: it fired, its message is to be published. SENT: it was. The others: it may not, and
why; UNREADABLE, that the member's Hash is none of ours."""
DECISIONS_KEPT = timedelta(days=8)
"""How long a firing is known by its id: longer than any event can come again."""
EVERYTHING = "*"
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a trigger may fire. Spans in microseconds."""

    trigger: str
    campaign: str
    cool_us: int
    caps: tuple[tuple[str, int, int, int], ...]
    """Name of the list of moments, how many at most (0: any number), in which span, and how far back the list is kept."""


def terms_of(trigger: Trigger, everything: Triggers) -> Terms:
    """The terms of a trigger among all that are in force."""
    campaign = [other.cap for other in everything.triggers if other.campaign == trigger.campaign]
    caps = [
        _cap(trigger.campaign, trigger.cap, kept=_longest(campaign)),
        _cap(EVERYTHING, everything.limit, kept=_longest([everything.limit])),
    ]
    return Terms(trigger.name, trigger.campaign, trigger.cool_down // _MICROSECOND, tuple(caps))


def kept_ms(everything: Triggers) -> int:
    """How long a member's Hash has to be kept after a firing, in milliseconds."""
    spans = [DECISIONS_KEPT, *(trigger.cool_down for trigger in everything.triggers)]
    caps = [everything.limit, *(trigger.cap for trigger in everything.triggers)]
    return max([*spans, *(cap.window for cap in caps if cap is not None)]) // timedelta(milliseconds=1)


def _longest(caps: Iterable[Cap | None]) -> int:
    return max((cap.window // _MICROSECOND for cap in caps if cap is not None), default=0)


def _cap(name: str, cap: Cap | None, *, kept: int) -> tuple[str, int, int, int]:
    return (name, cap.times, cap.window // _MICROSECOND, kept) if cap is not None else (name, 0, 0, kept)


@dataclass(slots=True)
class Ledger:
    """The rules in memory, for replays and as what the script is tested against. One member's; forgets nothing."""

    opted_out: bool = False
    erased: bool = False
    last: dict[str, int] = field(default_factory=dict)
    moments: dict[str, list[int]] = field(default_factory=dict)
    decided: dict[str, bool] = field(default_factory=dict)

    def ask(self, firing: str, terms: Terms, now_us: int) -> Verdict:
        """What may be done at a moment; nothing changes."""
        if firing in self.decided:
            return "SENT" if self.decided[firing] else "WAITING"
        if self.erased or self.opted_out:
            return "ERASED" if self.erased else "OPTED_OUT"
        last = self.last.get(terms.trigger)
        if last is not None and now_us - last < terms.cool_us:
            return "COOLING"
        for name, times, window, _ in terms.caps:
            if times and sum(now_us - moment < window for moment in self.moments.get(name, ())) >= times:
                return "CAPPED"
        return "FREE"

    def decide(self, firing: str, terms: Terms, now_us: int) -> Verdict:
        """Fire if it may."""
        verdict = self.ask(firing, terms, now_us)
        if verdict != "FREE":
            return verdict
        self.decided[firing] = False
        self.last[terms.trigger] = now_us
        for name, _, _, kept in terms.caps:
            if kept:
                before = [moment for moment in self.moments.get(name, ()) if now_us - moment < kept]
                self.moments[name] = [*before, now_us][-MOST_TIMES:]
        return "FIRED"

    def published(self, firing: str) -> None:
        """Its message is out."""
        self.decided[firing] = True


DECIDE = """
local state, refused, erased = KEYS[1], KEYS[2], KEYS[3]
local firing, trigger, now, message = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local cool, decisions_kept, kept_ms = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
if redis.call('HEXISTS', state, 'd:' .. firing) == 1 then
  local waiting = redis.call('HGET', state, 'p:' .. firing)
  if waiting then return {'WAITING', waiting} end
  return {'SENT', ''}
end
if redis.call('EXISTS', erased) == 1 then return {'ERASED', ''} end
if redis.call('EXISTS', refused) == 1 then return {'OPTED_OUT', ''} end
local last = redis.call('HGET', state, 'c:' .. trigger)
if last and now - tonumber(last) < cool then return {'COOLING', ''} end
local lists = {}
for i = 8, #ARGV, 4 do
  local field, times, window, kept = 'k:' .. ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local found, within = {}, 0
  for moment in string.gmatch(redis.call('HGET', state, field) or '', '[^,]+') do
    local age = now - tonumber(moment)
    if age < kept then found[#found + 1] = moment end
    if age < window then within = within + 1 end
  end
  if times > 0 and within >= times then return {'CAPPED', ''} end
  if kept > 0 then
    found[#found + 1] = ARGV[3]
    lists[field] = table.concat(found, ',', math.max(1, #found - 49))
  end
end
if message == '' then return {'FREE', ''} end
local gone = {}
local everything = redis.call('HGETALL', state)
for i = 1, #everything, 2 do
  if string.sub(everything[i], 1, 2) == 'd:' and now - tonumber(everything[i + 1]) >= decisions_kept then
    gone[#gone + 1] = everything[i]
    gone[#gone + 1] = 'p:' .. string.sub(everything[i], 3)
  end
end
if #gone > 0 then redis.call('HDEL', state, unpack(gone)) end
redis.call('HSET', state, 'd:' .. firing, ARGV[3], 'p:' .. firing, message, 'c:' .. trigger, ARGV[3])
for field, moments in pairs(lists) do redis.call('HSET', state, field, moments) end
if redis.call('PTTL', state) < kept_ms then redis.call('PEXPIRE', state, kept_ms) end
return {'FIRED', message}
"""


def decide_arguments(firing: str, terms: Terms, now_us: int, message: bytes, *, hash_kept_ms: int) -> list[str | bytes | int]:
    """What the script is called with beside its keys; an empty message only asks."""
    caps = [part for cap in terms.caps for part in cap]
    decisions = microseconds_of(DECISIONS_KEPT)
    return [firing, terms.trigger, now_us, message, terms.cool_us, decisions, hash_kept_ms, *caps]


def microseconds_of(span: timedelta) -> int:
    """A span in whole microseconds."""
    return span // _MICROSECOND
