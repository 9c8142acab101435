"""The nightly refresh: last night's aggregates brought to this midnight by the facts that came in or left a window since.

What it costs follows from the day, not from history (`features.advance`). Members of whose past something became known, such
as a late line or another category of an item, are summed up from all their facts. The outcome equals a full build: integers
bit for bit, floats to 12 digits, as decayed totals are carried on instead of added up.
"""
# ruff: noqa: S608 -- names of tables and columns from the schema and the contract

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from features.advance import advance
from features.build import FeatureRows, feature_rows, scalars, silence, together
from features.capabilities import silent
from features.contract import CONTRACT, Contract
from features.days import naive_utc
from features.facts import Facts
from features.manifest import hash_probe
from features.narrow import Members, Records
from features.night import Arrivals, Nights, buckets_of
from features.sources.schema import ITEMS, LINES, PURCHASES, FactTable
from features.sql_text import parquet
from features.state import BucketState, State, StateDraft, full_bucket
from features.summing import aggregates_at

MOST_DAYS = 62
"""Days between two states beyond which nearly everyone is touched and a full build is cheaper."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did.

    Attributes
    ----------
    reason
        Why everything was built anew; empty if it was not.
    touched
        Members for whom a fact came or left a window, or who were summed up from all their facts.
    """

    state: State
    members: int
    touched: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """From one midnight to another, and what became known of the past since: new files, changed items."""

    from_day: int
    to_day: int
    new_files: frozenset[str] = frozenset()
    items_before: Path | None = None


def refresh(facts: Facts, folder: Path, *, day: int, contract: Contract = CONTRACT) -> Refreshed:
    """Bring the state in a folder to the midnight at which a local day begins; build it if it cannot be gone on from.

    Equal to a full build: integers bit for bit, floats to 12 digits.
    Killed at any moment and run again, the outcome is the same.

    Raises
    ------
    FactsReplaced
        Other facts were put in place meanwhile; the state stays as it was.
    """
    state = State.open(folder, contract)
    reason = _reason_to_build(facts, state, day)
    draft = StateDraft(folder)
    members = touched = 0
    try:
        with facts.reading():
            silenced = silent(contract.aggregates, facts.absent(day))
            for bucket, part, anew in _parts(facts, contract, None if reason else state, day):
                silence(part.records, silenced)
                members, touched = members + len(part.member_ids), touched + anew
                draft.write(bucket, part, contract)
            return Refreshed(draft.finish(facts, contract, day=day), members, touched, reason)
    finally:
        draft.discard()


def _parts(facts: Facts, contract: Contract, state: State | None, day: int) -> Iterator[tuple[int, BucketState, int]]:
    """Each bucket as of the midnight at which a day begins, from a state if there is one; and how many were summed up anew."""
    nights = Nights(facts, contract, start=state.manifest.day if state else day, day=day)
    for run in nights.runs():
        gone_on = [bucket for bucket in run if state is not None and not _rewritten(facts, state, bucket)]
        for bucket in run:
            if bucket not in gone_on:
                part = full_bucket(facts, contract, bucket, day=day)
                yield bucket, part, len(part.member_ids)
        if state is not None and gone_on:
            with facts.one_thread():
                yield from _advanced(nights, run, gone_on, state)


def _advanced(nights: Nights, run: range, buckets: list[int], state: State) -> Iterator[tuple[int, BucketState, int]]:
    """Buckets of a run gone on from a state, and how many members the days between touched in each."""
    change = _change(nights.facts, state, nights.day)
    tables = {aggregate.table.name: aggregate.table for aggregate in nights.contract.aggregates}
    arrivals = Arrivals(nights, run)
    repaired = {name: repaired_members(nights, run, buckets, table, change) for name, table in tables.items()}
    places = {name: buckets_of(nights.facts, members) for name, members in repaired.items()}
    for bucket in buckets:
        again = {name: members[places[name] == bucket] for name, members in repaired.items()}
        base = replace(state.bucket(bucket), tiles=state.tiles(bucket, nights.contract))
        part, touched = advance(nights, arrivals.of(bucket), base, bucket, again)
        yield bucket, part, touched
    arrivals.close()


def snapshots(facts: Facts, days: Iterable[int], *, contract: Contract = CONTRACT) -> Iterator[FeatureRows]:
    """Feature rows as of the midnights at which local days begin, ascending; each equals a build as of that moment.

    Each bucket is read once for all of them.

    Raises
    ------
    FactsReplaced
        Other facts were put in place meanwhile; nothing was yielded.
    """
    wanted = sorted(set(days))
    parts: dict[int, list[tuple[Members, Records]]] = {day: [] for day in wanted}
    with facts.reading():
        for bucket in facts.buckets if wanted else ():
            found = aggregates_at(facts, bucket, contract, [facts.midnight(day) for day in wanted])
            for day, (members, records) in zip(wanted, found, strict=True):
                silence(records, silent(contract.aggregates, facts.absent(day)))
                parts[day].append((members, records))
        facts.require_unchanged()
    for day in wanted:
        members, records = together(parts.pop(day))
        known = scalars(contract, [records], day=day, thresholds=facts.thresholds)
        yield feature_rows(facts, contract, as_of=facts.midnight(day), member_ids=members, records=records, scalars=known)


def repaired_members(nights: Nights, run: range, buckets: Collection[int], table: FactTable, change: Change) -> Members:
    """Members of some of a run of buckets of whose past in a fact table something else is known than before, sorted.

    Members of the other buckets of the run may be among them.
    """
    facts, contract = nights.facts, nights.contract
    source = PURCHASES if table is LINES else table
    names = {column.name for column in source.columns}
    before = f"local_day < {change.from_day}"
    known = {name for name in ("recorded_at", "superseded_at") if name in names}
    conditions = [f"{name} >= $since AND {name} < $until AND {before}" for name in sorted(known)]
    parts = [f"SELECT member_id FROM {source.name} WHERE {condition}" for condition in conditions]
    parts += [
        f"SELECT member_id FROM {parquet((facts.folder or Path()) / path)} WHERE {before}"
        for bucket in buckets
        for path in facts.manifest.files_of(source.name, bucket)
        if path in change.new_files
    ]
    if table is LINES and change.items_before is not None:
        changed = _changed_items(contract, change.items_before)
        parts.append(f"SELECT member_id FROM {source.name} WHERE {before} AND item_id IN ({changed})")
    if not parts:
        return np.empty(0, dtype=np.str_)
    moments = {"since": naive_utc(facts.midnight(change.from_day)), "until": naive_utc(facts.midnight(change.to_day))}
    found = facts.query(
        f"SELECT DISTINCT member_id FROM ({' UNION ALL '.join(parts)}) WHERE member_id IS NOT NULL ORDER BY member_id",
        bucket=run,
        **(moments if known else {}),
    )
    return np.asarray(found["member_id"].to_pylist(), dtype=np.str_)


def _changed_items(contract: Contract, before: Path) -> str:
    """The query for items about which the catalogue now says something else that aggregates rest on."""
    used = sorted({column for a in contract.aggregates for table, column in a.columns() if table == ITEMS.name})
    columns = ", ".join(["item_id", *(name for name in used if name != "item_id")])
    old = f"SELECT {columns} FROM {parquet(before)}"
    now = f"SELECT {columns} FROM {ITEMS.name}"
    return f"SELECT item_id FROM (({now} EXCEPT {old}) UNION ALL ({old} EXCEPT {now}))"


def _reason_to_build(facts: Facts, state: State | None, day: int) -> str:
    if state is None:
        return "there is no state of this version's features yet"
    known = state.manifest
    if known.buckets != facts.manifest.buckets:
        return "the facts are spread over buckets anew"
    if day < known.day:
        return "the state is of a later day"
    if day - known.day > MOST_DAYS:
        return f"the state is {day - known.day} days old"
    if known.hash_probe != hash_probe(facts.connection.con):
        return "this version of the database tells keys apart in another way"
    if known.absent != sorted(facts.absent(day)):
        return "the facts tell something that they did not tell before"
    return ""


def _rewritten(facts: Facts, state: State, bucket: int) -> bool:
    """Whether a file of the bucket that went into the state is not there any more."""
    names = {f"{bucket:02d}"}
    now = facts.manifest.sha256
    gone = [path for path, digest in state.manifest.files.items() if now.get(path) != digest]
    return any(path.split("/")[-1].split("-")[0] in names for path in gone)


def _change(facts: Facts, state: State, day: int) -> Change:
    old, now = state.manifest.files, facts.manifest.sha256
    items = f"{ITEMS.name}.parquet"
    return Change(
        from_day=state.manifest.day,
        to_day=day,
        new_files=frozenset(now.keys() - old.keys()),
        items_before=state.folder / items if old.get(items) != now.get(items) else None,
    )
