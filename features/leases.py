"""Which worker reads which partition: one at a time, an equal share each, and taken over some seconds after a worker is gone.

A lease keeps a member's events in order. It is no promise: a worker that was paused may go on for a batch under a lease that
another has by then. What it applies is applied once all the same, as each event is looked up by its id.

    rapport:stream:lease:<partition>   String   10 s      the worker that reads this partition
    rapport:stream:workers             Zset     never     workers by the moment they were last seen, seconds since 1970
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from features.scripts import Script, checked

LEASE_MS = 10_000
_RENEW = Script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
""")
_RELEASE = Script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""")


@dataclass
class Leases:
    """The leases of one worker. `client` is a blocking Redis client; errors are its own.

    Attributes
    ----------
    held
        Partitions that this worker reads, ascending.
    """

    client: Any
    prefix: str
    worker: str
    partitions: Sequence[int]
    lease_ms: int = LEASE_MS
    held: list[int] = field(default_factory=list)

    def renew(self) -> list[int]:
        """Keep, give away and take leases so that every worker has its share; returns the partitions taken just now."""
        share = self._share()
        calls = [((self._key(partition),), (self.worker, self.lease_ms)) for partition in self.held]
        renewed = checked(_RENEW.run(self.client, calls)) if calls else []
        kept = [partition for partition, ok in zip(self.held, renewed, strict=True) if ok]
        self.held = kept[:share]
        self._give_away(kept[share:])
        taken = self._take(share - len(self.held))
        self.held = sorted([*self.held, *taken])
        return taken

    def release(self) -> None:
        """Give every lease away: another worker need not wait."""
        self._give_away(self.held)
        self.client.zrem(self._workers, self.worker)
        self.held = []

    def _share(self) -> int:
        """Partitions that a worker may hold, by the workers seen within a lease's length."""
        now = float(self.client.time()[0])
        with self.client.pipeline(transaction=False) as pipeline:
            pipeline.zadd(self._workers, {self.worker: now})
            pipeline.zremrangebyscore(self._workers, "-inf", now - self.lease_ms / 1000 - 1)
            pipeline.zcard(self._workers)
            alive = int(pipeline.execute()[-1])
        return math.ceil(len(self.partitions) / max(alive, 1))

    def _take(self, most: int) -> list[int]:
        taken: list[int] = []
        for partition in self.partitions:
            if len(taken) >= most:
                break
            if partition not in self.held and self.client.set(self._key(partition), self.worker, nx=True, px=self.lease_ms):
                taken.append(partition)
        return taken

    def _give_away(self, partitions: Sequence[int]) -> None:
        if partitions:
            checked(_RELEASE.run(self.client, [((self._key(partition),), (self.worker,)) for partition in partitions]))

    @property
    def _workers(self) -> str:
        return f"{self.prefix}:stream:workers"

    def _key(self, partition: int) -> str:
        return f"{self.prefix}:stream:lease:{partition}"
