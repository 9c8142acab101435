"""From the streams to disk: every acknowledged entry is in a file before its stream may forget it.

    data/events/new/<when>-<id>.parquet       entries as they were read; some may be there twice
    data/events/archive/<number>.parquet      events, each once, with the member they are of: features.events.archive

Killed anywhere, an entry is still pending in its stream or in a file, or both. Which of two is the same event is for the
archive to see. The files are the retailer's record of what was acknowledged: keep them as long as the facts.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from features.days import microseconds
from features.disk import disk_full
from features.events.keys import EventKeys
from features.events.schema import Event
from features.events.stream import READ_TOGETHER, Entry, EventStream
from features.private_files import private_folder
from features.put_in_place import synced

MOST_TOGETHER = 20_000
"""Entries of one file, and in memory."""
SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("subject", pa.string()),
        ("member_id", pa.string()),
        ("visitor", pa.string()),
        ("local_day", pa.int32()),
        ("occurred_us", pa.int64()),
        ("received_us", pa.int64()),
        ("entry_ms", pa.int64()),
        ("entry_no", pa.int64()),
        ("event", pa.binary()),
    ]
)
"""`subject` is whose event it was when it came; `event` is `Event.to_bytes`; an entry's id orders a member's events."""


def new_folder(data_dir: Path) -> Path:
    """Where entries lie that the archive has not looked at."""
    return private_folder(private_folder(data_dir / "events") / "new")


def take(stream: EventStream, keys: EventKeys, data_dir: Path) -> int:
    """Every entry that is in the streams now, to disk, acknowledged and forgotten; returns how many events.

    One at a time for a data folder: what another run had taken and not acknowledged is taken over at once.

    Raises
    ------
    StoreUnavailable
        Redis stopped answering; what is on disk is there, and the rest is still in the streams.
    DiskFull
        There is no room: nothing was acknowledged that is not on disk.
    """
    stream.ensure_groups()
    taken = 0
    while entries := _some(stream, keys):
        taken += _keep(stream, entries, new_folder(data_dir))
    for partition in keys.every_partition:
        stream.trim(partition)
    stream.trim_kept()
    return taken


def _some(stream: EventStream, keys: EventKeys) -> list[Entry]:
    """What a run before left pending, or else what is new."""
    found: list[Entry] = []
    for partition in keys.every_partition:
        found += stream.reclaim(partition, min_idle_ms=0, count=MOST_TOGETHER, most=0)
    if found:
        return found
    partitions = list(keys.every_partition)
    while len(found) < MOST_TOGETHER and (more := stream.read(partitions, count=READ_TOGETHER)):
        found += more
    return found


def _keep(stream: EventStream, entries: Sequence[Entry], folder: Path) -> int:
    """Entries into a file and acknowledged; those that cannot be read go into the quarantine."""
    good = [(entry, entry.event) for entry in entries if entry.event is not None]
    if good:
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(6)}.parquet"
        write_events(folder / name, pa.Table.from_pylist([_row(entry, event) for entry, event in good], SCHEMA))
    by_partition: dict[int, list[bytes]] = {}
    for entry in entries:
        if entry.event is None:
            stream.set_aside(entry, entry.problem)
        else:
            by_partition.setdefault(entry.partition, []).append(entry.entry_id)
    for partition, entry_ids in by_partition.items():
        stream.ack(partition, entry_ids)
    return len(good)


def write_events(path: Path, content: pa.Table) -> None:
    """A file of events, on the disk whole or not there at all."""
    draft = path.with_name(f".{path.name}.writing")
    try:
        pa.parquet.write_table(content, draft, compression="zstd")
        synced(draft).replace(path)
        synced(path.parent)
    except OSError as error:
        raise disk_full(error) or error from error
    finally:
        draft.unlink(missing_ok=True)


def _row(entry: Entry, event: Event) -> dict[str, object]:
    first, _, second = entry.entry_id.partition(b"-")
    return {
        "event_id": event.event_id,
        "subject": event.subject,
        "member_id": event.member_id,
        "visitor": event.visitor,
        "local_day": event.local_day,
        "occurred_us": microseconds(event.occurred_at),
        "received_us": microseconds(event.received_at),
        "entry_ms": int(first),
        "entry_no": int(second or 0),
        "event": event.to_bytes(),
    }
