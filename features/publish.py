"""Offline rows into the online store: what has changed since the last publish, then the stamp.

Readers never see half a publish. First the stamp announces it, with its edges; a row that it wrote names it in its header
and is read with those edges; the stamp that ends it makes them everyone's. A publish that was broken off stays announced
until one has ended, and that one writes every row.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from features.build import FeatureRows
from features.bulk_load import MemberIds, utf8
from features.codec import missing_value, pack
from features.errors import CorruptRecord, NotEnoughData
from features.last_publish import Changes, PublishedRows, changes_since, everything, forget_others, positions
from features.live_state import unknown_in
from features.online_store import OnlineStore
from features.stamp import Edition, Stamp

BATCH = 500
BLOCK = 50_000
DIGITS: NDArray[np.bytes_] = np.arange(10).astype("S1")
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Published:
    """What a publish did.

    Attributes
    ----------
    written, deleted
        Members whose aggregates were written, and members forgotten because they are no longer among the rows.
    whole
        Why every row was written, in a few words; empty if only changes were.
    kept
        Whether the rows could be kept for the next publish to compare with.
    """

    stamp: Stamp
    written: int
    deleted: int
    whole: str
    kept: bool


def publish(
    rows: FeatureRows,
    store: OnlineStore,
    *,
    kept: Path | None = None,
    all_rows: bool = False,
    progress: Progress = lambda done: None,
    block: int = BLOCK,
) -> Published:
    """Bring the store to these rows: aggregates, profiles, then the stamp. Running it again is no harm, killed or not.

    Parameters
    ----------
    kept
        Folder with what the last publish wrote; without it every row is written.
    all_rows
        Write every row even so, and forget however many members: for a store that something else has changed.
    progress
        Called with the number of members done since the last call.
    block
        Members between two calls.

    Raises
    ------
    NotEnoughData
        More than half of the members published before are not among the rows. Nothing was written.
    StoreUnavailable
        The store stopped answering or refused: the stamp still tells readers of the last publish that ended.
    """
    standing = _standing(store)
    written_at, generation = datetime.now(UTC), uuid4().hex
    edges = {name: None if math.isnan(value) else value for name, value in rows.edges.items()}
    edition = Edition(rows.as_of.isoformat(), written_at.isoformat(), edges)
    now = PublishedRows(utf8(rows.member_ids), rows.records, profile_rows(rows))
    whole = "asked for" if all_rows else _why_whole(rows, standing)
    before = PublishedRows.read(kept, standing.generation) if kept and standing and not whole else None
    whole = whole or ("" if before else "what was published last is not known here")
    changes = changes_since(before, now) if before else everything(now, _others(store, now.member_ids))
    if not all_rows:
        _not_most(changes.vanished, standing)
    if standing is not None:
        store.write_stamp(standing.begun(edition))
    _write(rows, now, changes, store, written_at=written_at, progress=progress, block=block)
    store.delete_members(changes.vanished)
    is_kept = kept is not None and _keep(now, kept, generation)
    stamp = Stamp(
        contract=rows.contract.hash,
        as_of=edition.as_of,
        published_at=edition.published_at,
        time_zone=rows.time_zone,
        facts_hash=rows.facts_hash,
        members=len(now.member_ids),
        edges=edges,
        generation=generation,
        unknown=unknown_in(rows.contract, rows.records[0]) if len(rows.records) else (),
    )
    store.write_stamp(stamp)
    if kept is not None:
        forget_others(kept, generation)
    return Published(stamp, int(changes.records.sum()), len(changes.vanished), whole, is_kept)


def profile_rows(rows: FeatureRows) -> NDArray[np.void]:
    """What people and other systems read of each member: one field of text each, empty where it is not known."""
    last_day = rows.records["last_purchase_day"]
    known = last_day != missing_value(last_day.dtype)
    fields = {
        "lifecycle_stage": _labels(rows, "lifecycle_stage"),
        "rfm_tier": _labels(rows, "rfm_tier"),
        "last_purchase": np.where(known, _dates(np.where(known, last_day, 0)), b""),
        "spend_cents_365d": rows.records["spend_cents_365d"].astype("S20"),
        **{name: _digit(rows.column(name)) for name in ("recency_score", "frequency_score", "monetary_score")},
    }
    profiles = np.empty(len(last_day), dtype=[(name, column.dtype) for name, column in fields.items()])
    for name, column in fields.items():
        profiles[name] = column
    return profiles


def _standing(store: OnlineStore) -> Stamp | None:
    """The stamp in the store; one that cannot be read is about to be replaced."""
    try:
        return store.read_stamp()
    except CorruptRecord:
        return None


def _why_whole(rows: FeatureRows, standing: Stamp | None) -> str:
    """Why changes alone would not do; empty if they might."""
    if standing is None:
        return "nothing was published"
    if standing.pending:
        return "the last publish was broken off"
    if standing.contract != rows.contract.hash:
        return "the features were declared anew"
    if rows.as_of < standing.as_of_moment:  # rows left as they are would be from after the moment asked for
        return "the last publish was as of a later moment"
    return ""


def _others(store: OnlineStore, member_ids: MemberIds) -> MemberIds:
    """Members in the store who are not among these."""
    stored = np.unique(np.concatenate([np.empty(0, dtype="S1"), *store.stored_members()]))
    return stored[positions(stored, member_ids) < 0]


def _not_most(vanished: MemberIds, standing: Stamp | None) -> None:
    if standing is not None and 2 * len(vanished) > standing.members:
        raise NotEnoughData(
            f"this publish would forget {len(vanished):,} members of {standing.members:,}",
            remedy='see that the import was complete; if that is how it should be: "rapport publish --everything"',
        )


def _write(
    rows: FeatureRows,
    now: PublishedRows,
    changes: Changes,
    store: OnlineStore,
    *,
    written_at: datetime,
    progress: Progress,
    block: int,
) -> None:
    for start in range(0, len(now.member_ids), block):
        changed = start + np.flatnonzero(changes.records[start : start + block])
        packed = pack(rows.contract, now.records[changed], as_of=rows.as_of, written_at=written_at)
        store.load_aggregates(now.member_ids[changed], packed)
        changed = start + np.flatnonzero(changes.profiles[start : start + block])
        store.load_profiles(now.member_ids[changed], now.profiles[changed])
        progress(min(block, len(now.member_ids) - start))


def _keep(now: PublishedRows, folder: Path, generation: str) -> bool:
    """Keep the rows for the next publish; without room for them it writes every row, and that is all."""
    try:
        now.keep(folder, generation)
    except OSError:
        return False
    return True


def _labels(rows: FeatureRows, name: str) -> NDArray[np.bytes_]:
    """The categories of a coded feature as text."""
    categories = rows.contract.feature(name).categories
    texts = np.array([*(category.encode() for category in categories), b""])
    codes = rows.column(name)
    return texts[np.where(np.isnan(codes), len(categories), codes).astype(np.intp)]


def _dates(days: NDArray[np.integer[Any]]) -> NDArray[np.bytes_]:
    """Days since 1970-01-01 as text. Many members share a day."""
    different, place = np.unique(days, return_inverse=True)
    texts: NDArray[np.bytes_] = np.datetime_as_string(different.astype("datetime64[D]")).astype("S10")
    return texts[place]


def _digit(scores: NDArray[np.float32]) -> NDArray[np.bytes_]:
    """Scores from 0 to 9 as text."""
    missing = np.isnan(scores)
    return np.where(missing, b"", DIGITS[np.where(missing, 0, scores).astype(np.intp)])
