"""Erased members taken out of the files of a data folder: facts, identities, kept scores, and the index of tags.

Their rows are deleted, orders and receipts with them: an order id would still lead to the person in the shop's own books.
What is made from facts (the state of the features, the last publish) is made anew by the next nightly run. Files of bulk jobs
have gone within a day by themselves, and models forget with their next training.
"""
# ruff: noqa: S608 -- names of tables and columns from the schema, and of our own files

import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from features.errors import FactsMissing
from features.events.archive import erase_events
from features.facts import connect
from features.facts_folder import Draft, Origin, every_bucket
from features.identity import ALIASES_FILE, REVIEW_FILE
from features.manifest import BUCKETED, Manifest, read_manifest
from features.member_index import MemberIndex
from features.published_tags import load_index, published_folder, save_index
from features.sources.schema import IDENTITIES, ITEMS, MEMBERS, FactTable
from features.sql_text import parquet

KEPT_BESIDE = ("cleaning.json",)
QUARANTINE = "quarantine.parquet"
BLANK = "{{erased-{position}}}"
"""What stands in the index in place of an erased id; no id has braces."""


@dataclass(frozen=True, slots=True)
class ErasedFiles:
    """Rows that were deleted, by table, and files of scores that were written anew."""

    rows: dict[str, int]
    score_files: int
    indexed: int

    @property
    def anything(self) -> bool:
        """Whether there was anything to delete."""
        return bool(sum(self.rows.values()) or self.score_files or self.indexed)


def erase_from_files(data_dir: Path, members: Collection[str]) -> ErasedFiles:
    """Delete these members from every file below a data folder that is kept longer than a day. Again is no harm.

    Killed anywhere, each file is the old one or the new one, and what is left is done by the next run.
    """
    rows = _from_facts(data_dir / "facts", sorted(members))
    in_facts = sum(rows.values())
    rows["archived events"] = erase_events(data_dir, sorted(members))
    if in_facts:
        shutil.rmtree(data_dir / "features", ignore_errors=True)  # sums that hold them: the next refresh builds anew
    return ErasedFiles(rows, _from_scores(data_dir / "scores", members), _from_index(published_folder(data_dir), members))


def members_in(facts: Path) -> list[str]:
    """Every member id in the facts; none where there are no facts."""
    try:
        manifest = read_manifest(facts)
    except FactsMissing:
        return []
    parts = [f"SELECT member_id FROM {parquet(facts / path)}" for path in _member_files(facts, manifest)]
    found = connect().con.execute(" UNION ".join(parts)).fetchall() if parts else []
    return [str(member) for (member,) in found if member is not None]


def _member_files(facts: Path, manifest: Manifest) -> Iterable[str]:
    yield f"{MEMBERS.name}.parquet"
    for table in BUCKETED:
        yield from manifest.files_of(table.name)


def _from_facts(folder: Path, members: list[str]) -> dict[str, int]:
    try:
        manifest = read_manifest(folder)
    except FactsMissing:
        return {}
    con = connect().con
    con.execute("CREATE TABLE gone AS SELECT unnest(?::VARCHAR[]) AS member_id", [members])
    found = {table.name: _count(con, _all_of(folder, manifest, table)) for table in (*BUCKETED, MEMBERS)}
    found[IDENTITIES.name] = _count(con, _observations(folder), whole=True)
    if sum(found.values()):
        _rewrite(folder, manifest, con, found)
    return found


def _rewrite(folder: Path, manifest: Manifest, con: Any, found: dict[str, int]) -> None:
    """Put facts without those members in the place of the facts."""
    draft = Draft(folder, con, buckets=manifest.buckets, base=manifest)
    try:
        for table in BUCKETED:
            for bucket in every_bucket(manifest.buckets) if found[table.name] else ():
                files = [folder / path for path in draft.files_of(table, bucket)]
                if files and _count(con, parquet(files)):
                    draft.write(table, _without(parquet(files)), bucket=bucket, anew=True)
        draft.write(MEMBERS, _without(parquet(folder / f"{MEMBERS.name}.parquet")))
        kept = f"SELECT * FROM {parquet(folder / 'identities.parquet')} WHERE observation_id NOT IN ({_seen(folder)})"
        draft.write(IDENTITIES, kept)
        draft.write(ITEMS, f"SELECT * FROM {parquet(folder / 'items.parquet')}")
        _beside(folder, draft, con)
        draft.finish(Origin(**{field.name: getattr(manifest, field.name) for field in fields(Origin)}))
    finally:
        draft.discard()


def _beside(folder: Path, draft: Draft, con: Any) -> None:
    """What lies beside the tables: reports as they are, rows in quarantine and who is who without those members."""
    for name in KEPT_BESIDE:
        if (folder / name).exists():
            draft.keep(name, (folder / name).read_text())
    for name, column in ((QUARANTINE, "member_id"), (ALIASES_FILE, "member_id")):
        if (folder / name).exists():
            _filtered(folder / name, draft.place / name, con, column)
    if (folder / REVIEW_FILE).exists():
        review = pa.parquet.read_table(folder / REVIEW_FILE)
        gone = {member for (member,) in con.execute("SELECT member_id FROM gone").fetchall()}
        keep = [not gone.intersection(candidates or ()) for candidates in review["candidates"].to_pylist()]
        _replace(draft.place / REVIEW_FILE, review.filter(pa.array(keep, pa.bool_())))


def _filtered(source: Path, target: Path, con: Any, column: str) -> None:
    """A Parquet file without the rows of those members, its metadata kept."""
    table = pa.parquet.read_table(source)
    gone = pa.array([member for (member,) in con.execute("SELECT member_id FROM gone").fetchall()], pa.string())
    if column in table.column_names:
        _replace(target, table.filter(pa.compute.invert(pa.compute.is_in(table[column].cast(pa.string()), value_set=gone))))


def _from_scores(folder: Path, members: Collection[str]) -> int:
    """Kept nights without those members; returns how many files had one."""
    gone = pa.array(sorted(members), pa.string())
    changed = 0
    for path in sorted(folder.glob("*.parquet")) if folder.is_dir() else ():
        ids = pa.parquet.read_table(path, columns=["member_id"])["member_id"]
        theirs = pa.compute.is_in(ids, value_set=gone)
        if pa.compute.any(theirs).as_py():
            _replace(path, pa.parquet.read_table(path).filter(pa.compute.invert(theirs)))
            changed += 1
    return changed


def _from_index(folder: Path, members: Collection[str]) -> int:
    """The index of tags with blanks in place of those members; returns how many there were."""
    index = load_index(folder)
    gone = np.flatnonzero(np.isin(index.ids, np.array(sorted(members), dtype=np.str_)))
    if not len(gone):
        return 0
    ids = index.ids.astype(object)
    ids[gone] = [BLANK.format(position=position) for position in gone.tolist()]
    save_index(folder, MemberIndex(index.identity, ids.astype(np.str_)))
    return len(gone)


def _all_of(folder: Path, manifest: Manifest, table: FactTable) -> str:
    if table not in BUCKETED:
        return parquet(folder / f"{table.name}.parquet")
    files = [folder / path for path in manifest.files_of(table.name)]
    return parquet(files) if files else "(SELECT NULL::VARCHAR AS member_id LIMIT 0)"


def _without(rows: str) -> str:
    return f"SELECT * FROM {rows} WHERE member_id IS NULL OR member_id NOT IN (SELECT member_id FROM gone)"


def _seen(folder: Path) -> str:
    """Observations in which one of those members was seen."""
    theirs = "identifier_kind = 'member' AND identifier IN (SELECT member_id FROM gone)"
    return f"SELECT observation_id FROM {parquet(folder / 'identities.parquet')} WHERE {theirs}"


def _observations(folder: Path) -> str:
    return f"(SELECT * FROM {parquet(folder / 'identities.parquet')} WHERE observation_id IN ({_seen(folder)}))"


def _count(con: Any, rows: str, *, whole: bool = False) -> int:
    condition = "" if whole else " WHERE member_id IN (SELECT member_id FROM gone)"
    return int(con.execute(f"SELECT count(*) FROM {rows}{condition}").fetchall()[0][0])


def _replace(path: Path, table: pa.Table) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(f".{path.name}.writing")
    pa.parquet.write_table(table, draft, compression="zstd")
    draft.replace(path)
