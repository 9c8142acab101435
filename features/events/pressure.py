"""How full the streams and the server are: no event is accepted for which there may be no room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FULL_SHARE = 0.9
"""Share of `maxmemory` above which no event is accepted: publishing and the answers need the rest."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """What was found when last looked.

    Attributes
    ----------
    events
        Entries in all streams: those that some group has not acknowledged yet, or nobody has trimmed.
    memory_share
        Memory in use as a share of the server's limit; 0 without a limit.
    appendonly, fsync
        Whether the server writes each change to disk, and when it waits for the disk; "" where it does not say.
    """

    events: int = 0
    memory_share: float = 0.0
    appendonly: bool = False
    fsync: str = ""

    def why_full(self, backlog: int) -> str:
        """Why nothing more is accepted; "" if something is."""
        if self.memory_share >= FULL_SHARE:
            return f"the online store's memory is {self.memory_share:.0%} full"
        if self.events >= backlog:
            return f"{self.events:,} events wait to be applied or archived"
        return ""

    @property
    def durable(self) -> str:
        """What an acknowledgement is worth if the store's machine loses power."""
        if not self.appendonly:
            return "memory"
        return {"always": "disk", "everysec": "disk_within_a_second"}.get(self.fsync, "disk_at_some_time")


def ask(pipeline: Any, streams: Sequence[str]) -> None:
    """The questions, into a pipeline of either client; `read` takes its replies."""
    pipeline.info("memory")
    pipeline.info("persistence")
    pipeline.config_get("appendfsync")
    for stream in streams:
        pipeline.xlen(stream)


def read(replies: Sequence[Any]) -> Pressure:
    """The pressure from a pipeline's replies, errors among them: a server may keep its configuration to itself."""
    memory, persistence, config, *lengths = replies
    for reply in (memory, persistence, *lengths):
        if isinstance(reply, Exception):
            raise reply
    most = int(memory.get("maxmemory", 0))
    fsync: Mapping[Any, Any] = {} if isinstance(config, Exception) else config
    told = fsync.get("appendfsync", fsync.get(b"appendfsync", ""))
    return Pressure(
        events=sum(map(int, lengths)),
        memory_share=int(memory["used_memory"]) / most if most else 0.0,
        appendonly=bool(int(persistence.get("aof_enabled", 0))),
        fsync=told.decode() if isinstance(told, bytes) else str(told),
    )
