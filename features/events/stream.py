"""The streams as consumers see them: groups, reading, acknowledging, claiming what another left, the dead letter, trimming.

Every entry is delivered to every group at least once. What it does must be done once, so consumers look at the event id.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from features.errors import ConfigurationError
from features.events.intake import EventRefused, EventSetAside, Intake
from features.events.keys import ARCHIVE_GROUP, EVENT_FIELD, RAW_FIELD, EventKeys
from features.events.schema import Event, event_of
from features.scripts import Script, checked
from features.store_errors import address_checked, translated

MOST_DELIVERIES = 5
QUARANTINE_DAYS, DEAD_DAYS = 14, 90
READ_TOGETHER = 500
TIMEOUT_S = 10.0
_FORGET_IDLE = Script("""
local gone = 0
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local about = {}
  for i = 1, #consumer, 2 do about[consumer[i]] = consumer[i + 1] end
  if about['pending'] == 0 and about['idle'] >= tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], about['name'])
    gone = gone + 1
  end
end
return gone
""")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a stream.

    Attributes
    ----------
    entry_id
        Its id in the stream of the partition.
    event
        What it says; None for an entry that cannot be read, then `problem` says why.
    fields
        As stored.
    deliveries
        How often it was handed to a consumer of this group, this time included.
    """

    partition: int
    entry_id: bytes
    event: Event | None
    problem: str = ""
    fields: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    deliveries: int = 1


class EventStream:
    """The streams of one shop for one group of consumers.

    Attributes
    ----------
    intake
        Reads entries that trusted producers add as they are; without one such entries are a problem.
    """

    def __init__(
        self,
        url: str,
        keys: EventKeys,
        *,
        group: str,
        consumer: str,
        intake: Intake | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._keys, self._group, self._consumer, self.intake = keys, group, consumer, intake
        with address_checked():
            self._client: Any = redis.Redis.from_url(
                url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
            )

    @property
    def client(self) -> Any:
        """The connection, for what a consumer does beside."""
        return self._client

    def ensure_groups(self, partitions: Iterable[int] | None = None) -> None:
        """Make the group on every partition that lacks it; it begins with the oldest entry that is there.

        Raises
        ------
        ConfigurationError
            The streams were made with another number of partitions.
        """
        with translated():
            require_partitions(self._client, self._keys)
            for partition in self._keys.every_partition if partitions is None else partitions:
                try:
                    self._client.xgroup_create(self._keys.stream(partition), self._group, id="0", mkstream=True)
                except ResponseError as error:
                    if "BUSYGROUP" not in str(error):
                        raise

    def read(self, partitions: Sequence[int], *, count: int = READ_TOGETHER, block_ms: int | None = None) -> list[Entry]:
        """Entries that this group has not seen yet, oldest first within a partition; `count` of each at most.

        A group that was deleted is made anew and begins with the oldest entry. Raises StoreUnavailable.
        """
        streams = {self._keys.stream(partition): ">" for partition in partitions}
        with translated():
            try:
                found = self._client.xreadgroup(self._group, self._consumer, streams, count=count, block=block_ms)
            except ResponseError as error:
                if not _is_without_group(error):
                    raise
                self.ensure_groups(partitions)
                return []
        partition_of = {self._keys.stream(partition).encode(): partition for partition in partitions}
        return [
            self._entry(partition_of[bytes(name)], entry_id, fields)
            for name, entries in _by_stream(found)
            for entry_id, fields in entries
        ]

    def reclaim(
        self, partition: int, *, min_idle_ms: int, count: int = READ_TOGETHER, most: int = MOST_DELIVERIES
    ) -> list[Entry]:
        """Entries that some consumer took and did not acknowledge for so long, oldest first, now taken by this one.

        What was delivered `most` times goes to the dead letters instead; 0 tries for ever.
        """
        stream = self._keys.stream(partition)
        with translated():
            try:
                waiting = self._client.xpending_range(stream, self._group, "-", "+", count, idle=min_idle_ms)
            except ResponseError as error:
                if not _is_without_group(error):
                    raise
                self.ensure_groups([partition])
                return []
            if not waiting:
                return []
            before = {
                bytes(each["message_id"]): int(each["times_delivered"])
                for each in (_alone_if_suspect(waiting) if most else waiting)
            }
            claimed = self._client.xclaim(stream, self._group, self._consumer, min_idle_ms, list(before))
        found = [
            self._entry(partition, entry_id, fields, before[bytes(entry_id)] + 1)
            for entry_id, fields in claimed
            if fields is not None
        ]
        for entry in found:
            if most and entry.deliveries > most:
                self.bury(entry, entry.problem or f"it failed {most} times")
        return [entry for entry in found if not most or entry.deliveries <= most]

    def ack(self, partition: int, entry_ids: Sequence[bytes]) -> None:
        """Say that the group is done with these entries."""
        if entry_ids:
            with translated():
                self._client.xack(self._keys.stream(partition), self._group, *entry_ids)

    def bury(self, entry: Entry, reason: str) -> None:
        """Put an entry among the dead letters, and acknowledge it. Killed between the two, it is there twice."""
        self._keep(self._keys.dead, entry, reason, DEAD_DAYS)

    def set_aside(self, entry: Entry, reason: str) -> None:
        """Put an entry into the quarantine with the reason, and acknowledge it."""
        self._keep(self._keys.quarantine, entry, reason, QUARANTINE_DAYS)

    def trim(self, partition: int) -> int:
        """Remove entries that every group has acknowledged; returns how many.

        Before the archive has begun nothing is removed: what nobody has on disk is not to be forgotten.
        """
        stream = self._keys.stream(partition)
        with translated():
            try:
                groups = self._client.xinfo_groups(stream)
            except ResponseError as error:
                if "no such key" in str(error).lower():
                    return 0
                raise
            if ARCHIVE_GROUP.encode() not in {bytes(group["name"]) for group in groups}:
                return 0
            least = min(self._oldest_needed(stream, group) for group in groups)
            return int(self._client.xtrim(stream, minid=f"{least[0]}-{least[1]}", approximate=False))

    def trim_kept(self) -> int:
        """Remove what was set aside or buried longer ago than it is kept, though nothing follows it; returns how many."""
        with translated():
            return sum(
                int(self._client.xtrim(name, minid=oldest_kept(days), approximate=False))
                for name, days in ((self._keys.quarantine, QUARANTINE_DAYS), (self._keys.dead, DEAD_DAYS))
            )

    def forget_idle(self, partition: int, *, min_idle_ms: int) -> int:
        """Delete consumers of this group that hold nothing and were not seen for so long; returns how many.

        One that is there after all is made anew by what it reads next: with nothing in hand it loses nothing. Looking and
        deleting is one script, as entries that a consumer takes in between would go with it.
        """
        with translated():
            reply = _FORGET_IDLE.run(self._client, [((self._keys.stream(partition),), (self._group, min_idle_ms))])[0]
            if isinstance(reply, ResponseError) and _is_without_group(reply):
                return 0
            return int(checked([reply])[0])

    def lag(self, partition: int) -> int:
        """Entries that this group has not acknowledged."""
        stream = self._keys.stream(partition)
        with translated():
            for group in self._client.xinfo_groups(stream) if self._client.exists(stream) else ():
                if bytes(group["name"]) == self._group.encode():
                    return int(group["pending"]) + int(group.get("lag") or 0)
        return 0

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _oldest_needed(self, stream: str, group: Mapping[str, Any]) -> tuple[int, int]:
        """The smallest id that a group may still need. The group's last id was read before, so what came since is above it."""
        if int(group["pending"]):
            summary = self._client.xpending(stream, group["name"])
            if summary["min"] is not None:
                return _numbers(summary["min"])
        first, second = _numbers(group["last-delivered-id"])
        return first, second + 1

    def _keep(self, target: str, entry: Entry, reason: str, days: int) -> None:
        kept: dict[Any, Any] = {"reason": reason, "group": self._group, "partition": entry.partition, "entry": entry.entry_id}
        with translated():
            self._client.xadd(target, kept | dict(entry.fields), minid=oldest_kept(days), approximate=True)
            self._client.xack(self._keys.stream(entry.partition), self._group, entry.entry_id)

    def _entry(self, partition: int, entry_id: bytes, fields: Mapping[bytes, bytes], deliveries: int = 1) -> Entry:
        try:
            event, problem = self._event(entry_id, fields), ""
        except EventRefused as error:
            event, problem = None, str(error)
        except EventSetAside as error:
            event, problem = None, error.reason
        except ValueError:
            event, problem = None, "unreadable"
        return Entry(partition, bytes(entry_id), event, problem, fields, deliveries)

    def _event(self, entry_id: bytes, fields: Mapping[bytes, bytes]) -> Event:
        if EVENT_FIELD in fields:
            return event_of(fields[EVENT_FIELD])
        if RAW_FIELD in fields and self.intake is not None:
            return self.intake.read_bytes(fields[RAW_FIELD], received_at=moment_of_entry(entry_id))
        raise ValueError("an entry without an event")


def oldest_kept(days: int) -> str:
    """The id before which entries of a stream are of no use any more, where they are kept for some days."""
    return str(int(datetime.now(UTC).timestamp() * 1000) - days * 86_400_000)


def require_partitions(client: Any, keys: EventKeys) -> None:
    """Raise ConfigurationError if the streams were made with another number of partitions: a member's order would be lost."""
    client.set(keys.partition_count, keys.partitions, nx=True)
    require_same_partitions(keys, client.get(keys.partition_count))


def require_same_partitions(keys: EventKeys, there: bytes | None) -> None:
    """Raise ConfigurationError if the number that stands in the store is another one; none stands for ours."""
    if there is not None and int(there) != keys.partitions:
        raise ConfigurationError(
            f"RAPPORT_EVENT_PARTITIONS is {keys.partitions}, and the streams have {int(there)}",
            remedy=f"set it to {int(there)}; docs/events.md tells how to change it",
        )


def moment_of_entry(entry_id: bytes) -> datetime:
    """When an entry was added, by the server's clock."""
    return datetime.fromtimestamp(_numbers(entry_id)[0] / 1000, UTC)


def _numbers(entry_id: bytes) -> tuple[int, int]:
    first, _, second = bytes(entry_id).partition(b"-")
    return int(first), int(second or 0)


def _alone_if_suspect(waiting: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """What may be claimed together: what failed once already, perhaps by ending its consumer, takes no neighbours with it."""
    tried = [int(each["times_delivered"]) > 1 for each in waiting]
    return waiting[:1] if tried[0] else waiting[: tried.index(True)] if any(tried) else waiting


def _is_without_group(error: ResponseError) -> bool:
    return "NOGROUP" in str(error) or "no such key" in str(error).lower()


def _by_stream(found: Any) -> Iterable[tuple[bytes, Any]]:
    """Streams with their entries, whichever protocol the reply came in."""
    return found.items() if isinstance(found, dict) else found or ()
