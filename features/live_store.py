"""Events into the live state in Redis: each counted once, by one script on one member's keys.

The script reads and checks everything before it writes anything, so that an error leaves no half of an event behind, and a
server that is killed has all of it or nothing. What it does commutes: the order of a member's events does not matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from features.errors import CorruptRecord
from features.live_slots import Slots
from features.live_state import HEADER_BYTES, KEPT_DAYS, MAGIC
from features.scripts import Argument, Script
from features.store_errors import address_checked, translated
from features.store_keys import Keys

LIVE_SECONDS = KEPT_DAYS * 24 * 3600
Status = Literal["applied", "again", "late", "other_body", "erased"]
APPLY = Script("""
local SIZE = 10  -- bytes of an entry: '<I2d'

local function entries_merged(old, new, adding, smaller)
  local out, n, i, j = {}, 0, 1, 1
  while i <= #old or j <= #new do
    local a = i <= #old and struct.unpack('<I2', old, i) or 65536
    local b = j <= #new and struct.unpack('<I2', new, j) or 65536
    n = n + 1
    if a < b then
      out[n] = string.sub(old, i, i + SIZE - 1)
      i = i + SIZE
    elseif b < a then
      out[n] = string.sub(new, j, j + SIZE - 1)
      j = j + SIZE
    else
      local x, y = struct.unpack('<d', old, i + 2), struct.unpack('<d', new, j + 2)
      local value
      if a < adding then value = x + y
      elseif a < adding + smaller then value = math.min(x, y)
      else value = math.max(x, y) end
      out[n] = struct.pack('<I2d', a, value)
      i, j = i + SIZE, j + SIZE
    end
  end
  return table.concat(out)
end

local function days_of(value, first)
  local days, at = {}, first
  while at <= #value do
    local day, count, after = struct.unpack('<i4I2', value, at)
    days[#days + 1] = {day, string.sub(value, after, after + count * SIZE - 1)}
    at = after + count * SIZE
  end
  return days
end

local live_key, ids_key, items_key, profile_key, erased_key = unpack(KEYS)
local event_id, digest, header, day, entries = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local adding, smaller, kept, seconds = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local item_count, counter_count = tonumber(ARGV[10]), tonumber(ARGV[11])

local known = redis.call('HGET', ids_key, event_id)
if known and string.sub(known, 1, 8) ~= digest then return {'other_body'} end
if known and string.sub(known, -1) == 'd' then return {'again'} end
if redis.call('EXISTS', erased_key) == 1 then return {'erased'} end

local before = redis.call('GET', live_key)
local days = {}
if before and string.sub(before, 1, #header) == header then days = days_of(before, #header + 1) end
local newest, found = day, false
for _, held in ipairs(days) do
  newest = math.max(newest, held[1])
  if held[1] == day then
    held[2] = entries_merged(held[2], entries, adding, smaller)
    found = true
  end
end
local late = day <= newest - kept
local after = nil
if not late then
  if not found then days[#days + 1] = {day, entries} end
  table.sort(days, function(a, b) return a[1] < b[1] end)
  local out = {header}
  for _, held in ipairs(days) do
    if held[1] > newest - kept then
      out[#out + 1] = struct.pack('<i4I2', held[1], #held[2] / SIZE) .. held[2]
    end
  end
  after = table.concat(out)
end

local place, counters = 12 + 2 * item_count, {}
for i = 1, counter_count do  -- name, how much more in units of the last place, places, steps
  local name, more, places = ARGV[place], tonumber(ARGV[place + 1]), tonumber(ARGV[place + 2])
  local stored = redis.call('HGET', profile_key, name)
  local units = tonumber(stored or '0')
  if not units then return redis.error_reply('COUNTER a field of the profile is no number') end
  units = math.floor(units * 10 ^ places + 0.5) + more
  counters[#counters + 1] = name
  counters[#counters + 1] = string.format('%.' .. places .. 'f', units / 10 ^ places)
  if ARGV[place + 3] ~= '' then
    local left = 0
    for step in string.gmatch(ARGV[place + 3], '%d+') do
      if tonumber(step) > units then
        left = tonumber(step) - units
        break
      end
    end
    counters[#counters + 1] = name .. '_to_next'
    counters[#counters + 1] = string.format('%.0f', left)
  end
  place = place + 4
end
if not late and item_count > 0 then redis.call('HLEN', items_key) end

redis.call('HSET', ids_key, event_id, digest .. 'd')
redis.call('EXPIRE', ids_key, seconds)
if #counters > 0 then redis.call('HSET', profile_key, unpack(counters)) end
if late then return {'late'} end
redis.call('SET', live_key, after, 'EX', seconds)
for i = 12, 11 + 2 * item_count, 2 do redis.call('HINCRBY', items_key, ARGV[i], ARGV[i + 1]) end
if item_count > 0 then redis.call('EXPIRE', items_key, seconds) end
return {'applied', before or '', after}
""")


@dataclass(frozen=True, slots=True)
class Counter:
    """How much more a field of the profile holds.

    Attributes
    ----------
    more, places
        In units of the last of so many decimal places.
    steps
        Ascending; a second field, `<name>_to_next`, says how much is missing to the next of them, 0 above the last.
    """

    name: str
    more: int
    places: int = 0
    steps: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What one event does to one member.

    Attributes
    ----------
    digest
        8 bytes that differ where the event of that id does.
    day
        Local day on which it happened.
    entries
        What it adds to that day, as `features.live_slots.entries_of` packs it.
    items
        Fields of the day's items and by how much they grow.
    """

    event_id: str
    digest: bytes
    member_id: str
    day: int
    entries: bytes
    items: tuple[tuple[str, int], ...] = ()
    counters: tuple[Counter, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a change; the live value before and after it if it was applied.

    `late`: counted among the ids and in the counters, but its day is no longer kept; tonight's features have it.
    """

    status: Status
    before: bytes | None = None
    after: bytes = b""


class LiveStore:
    """The live state of members: written by the stream's workers. Blocking, without blind retries."""

    def __init__(self, url: str, *, prefix: str, slots: Slots, timeout_s: float = 10.0) -> None:
        self._keys = Keys(prefix)
        self._header = MAGIC + slots.signature
        self._counts = (slots.adding, slots.smaller, KEPT_DAYS, LIVE_SECONDS)
        if len(self._header) != HEADER_BYTES:
            raise ValueError("the signature of the slots has 8 bytes")
        with address_checked():
            self._client: Any = redis.Redis.from_url(
                url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
            )

    def apply(self, changes: Sequence[Change]) -> list[Outcome | CorruptRecord]:
        """What became of each change, in order; a CorruptRecord for one that a member's keys do not let be applied.

        Raises
        ------
        StoreUnavailable
            Redis does not answer, or takes no writes: any of the changes may or may not have been applied. Apply all again.
        """
        with translated():
            replies = APPLY.run(self._client, [(self._keys_of(change), self._arguments(change)) for change in changes])
            return [self._outcome(reply) for reply in replies]

    def read(self, member_ids: Sequence[str]) -> list[bytes | None]:
        """Live values as stored, for `features.live_state.merged`; None for members without one."""
        with translated():
            return list(self._client.mget([self._keys.live(m) for m in member_ids])) if member_ids else []

    def items(self, member_id: str, day: int) -> dict[str, int]:
        """How often a member viewed, carted and bought each item on a local day, by field."""
        with translated():
            found = self._client.hgetall(self._keys.live_items(member_id, day))
        return {field.decode(): int(count) for field, count in found.items()}

    def active_members(self) -> list[str]:
        """Members and visitors with a live value. Walks over all keys of the server."""
        before = self._keys.before_live
        with translated():
            return [key[len(before.encode()) : -1].decode() for key in self._client.scan_iter(f"{before}*", count=5000)]

    def write_parity(self, result: bytes) -> None:
        """Keep what the last comparison with the batch found."""
        with translated():
            self._client.set(self._keys.parity, result)

    def read_parity(self) -> bytes | None:
        """What the last comparison found, if there was one."""
        with translated():
            found: bytes | None = self._client.get(self._keys.parity)
        return found

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _keys_of(self, change: Change) -> tuple[str, ...]:
        member = change.member_id
        return (
            self._keys.live(member),
            self._keys.event_ids(member, change.day),
            self._keys.live_items(member, change.day),
            self._keys.profile(member),
            self._keys.erased(member),
        )

    def _arguments(self, change: Change) -> list[Argument]:
        items = [part for pair in change.items for part in pair]
        counters = [part for c in change.counters for part in (c.name, c.more, c.places, _text(c.steps))]
        head = (change.event_id, change.digest, self._header, change.day, change.entries, *self._counts)
        return [*head, len(change.items), len(change.counters), *items, *counters]

    def _outcome(self, reply: Any) -> Outcome | CorruptRecord:
        if isinstance(reply, redis.ResponseError) and _is_of_one_member(reply):
            return CorruptRecord("a member's keys in the store are not as the stream writes them", remedy="docs/realtime.md")
        if isinstance(reply, Exception):
            raise reply
        status = reply[0].decode()
        return Outcome(status, reply[1] or None, reply[2]) if status == "applied" else Outcome(status)


def _text(steps: tuple[int, ...]) -> str:
    return " ".join(map(str, steps))


def _is_of_one_member(error: redis.ResponseError) -> bool:
    """Whether an error says something of one member's keys, and would come again with every attempt."""
    return any(word in str(error) for word in ("WRONGTYPE", "COUNTER", "not an integer", "hash value"))
