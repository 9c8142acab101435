"""The keys of events in Redis, and how events are spread over streams.

Keys (prefix `rapport` by default; partitions count from 0; the braces keep one member's keys on one node of a cluster):

    key                                type     written by       expires   holds
    rapport:events:<partition>         Stream   whoever accepts  trimmed   an entry an event: field e, or r from a producer
    rapport:events:partitions          String   the first        never     how many partitions there are
    rapport:events:quarantine          Stream   routes, archive  14 days   what nothing can be done with yet, with the reason
    rapport:events:dead                Stream   consumers        90 days   what failed five times, with the reason
    rapport:event_ids:{member}:<day>   Hash     accept, apply    3 days    event id: digest in 8 bytes, then a or d
    rapport:events:request:<hash>      String   routes           1 day     digest of the request under an Idempotency-Key
    rapport:events:shop                String   publish          never     time zone, currency and holidays of the shop, JSON

Streams are trimmed by id, below the oldest entry that a group has not acknowledged, never by length.
"""

from binascii import crc32
from dataclasses import dataclass

IDS_SECONDS = 3 * 24 * 3600
ACCEPTED, APPLIED = b"a", b"d"
"""Last byte of an event id's value."""
DIGEST_BYTES = 8
LIVE_GROUP, ARCHIVE_GROUP = "live", "archive"
EVENT_FIELD, RAW_FIELD = b"e", b"r"
"""Fields of an entry: an event of ours as `Event.to_bytes` writes it, or JSON as a producer sends it to POST /v1/events."""
PARTITIONS = 8


@dataclass(frozen=True, slots=True)
class EventKeys:
    """The names of these keys, and the partition of each member."""

    prefix: str
    partitions: int = PARTITIONS

    def stream(self, partition: int) -> str:
        """The stream of a partition."""
        return f"{self.prefix}:events:{partition}"

    def partition_of(self, subject: str) -> int:
        """The partition in which a member's events stand, or a visitor's, one after the other."""
        return crc32(subject.encode()) % self.partitions

    @property
    def every_partition(self) -> range:
        """Numbers of all partitions."""
        return range(self.partitions)

    @property
    def partition_count(self) -> str:
        """How many partitions there are."""
        return f"{self.prefix}:events:partitions"

    @property
    def quarantine(self) -> str:
        """Events that were set aside."""
        return f"{self.prefix}:events:quarantine"

    @property
    def dead(self) -> str:
        """Entries that failed again and again."""
        return f"{self.prefix}:events:dead"

    @property
    def shop(self) -> str:
        """What events need to know of the shop."""
        return f"{self.prefix}:events:shop"

    def request(self, name: str) -> str:
        """What came under an Idempotency-Key."""
        return f"{self.prefix}:events:request:{name}"

    def event_ids(self, subject: str, day: int) -> str:
        """Ids of a member's events of a local day."""
        return f"{self.prefix}:event_ids:{{{subject}}}:{day}"

    def opted_out(self, subject: str) -> str:
        """There if a member refused marketing (as `features.store_keys.Keys`)."""
        return f"{self.prefix}:opted_out:{{{subject}}}"

    def alias(self, visitor: str) -> str:
        """The member whom a visitor turned out to be (as `features.visitors`)."""
        return f"{self.prefix}:alias:{{{visitor}}}"
