"""Any shop's files to facts, by a mapping: files in, canonical tables out, and rows that cannot be read set aside with reasons.

Identifiers keep their zeros and `NA` stays `NA`. What cannot be read is a reason, never an error and never a guess. Tables go
through a DuckDB file beside the facts, so that a hundred million rows need disk, not memory.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import ibis
from ibis import ir

from features.cleaning import CleaningReport, Policy, RuleCount
from features.errors import FactsMissing, SourceError
from features.facts_folder import Origin
from features.holidays import own_days
from features.identifiers import hash_identifier, key_check
from features.identifiers import identity_key as key_of
from features.identity_policy import IdentityPolicy
from features.manifest import Manifest, read_manifest
from features.scratch import scratch_folder
from features.sources.fields import STATES
from features.sources.landing import Incoming, land
from features.sources.mapping import ShopMapping, read_mapping
from features.sources.membership import HistoriesDivide, Identification
from features.sources.staging import Hashed, SkippedFile, Staging


@dataclass(frozen=True, slots=True)
class MappedImport:
    """What an import by a mapping left behind.

    Attributes
    ----------
    report
        What became of every row of purchases; None if there was no new file.
    files
        Names of the files that were read.
    skipped
        Files that could not be read and were left out, because the mapping says so.
    notes
        Rows that the mapping chose to leave out, rows of other tables that were set aside, and values that were left out.
    gone
        Files whose rows were in the facts that were replaced, and that are not among the mapping's files any more.
    """

    manifest: Manifest
    report: CleaningReport | None
    files: tuple[str, ...] = ()
    skipped: tuple[SkippedFile, ...] = ()
    notes: tuple[RuleCount, ...] = ()
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Todo:
    """Files to read, by table, and whether their rows join those that are there."""

    files: Mapping[str, list[Path]]
    append: bool


def import_mapped(
    folder: Path, mapping_file: Path, *, identity_key: str = "", latest: datetime | None = None, again: bool = False
) -> MappedImport:
    """Bring the files that a mapping names into a facts folder.

    Files whose content is in the facts already, by the same mapping, are not read again. After a change of the mapping all
    are, and what was there before is replaced. Importing the same files twice gives the same facts.

    Parameters
    ----------
    identity_key
        The shop's key for hashing identifiers; needed if the mapping has some.
    latest
        Last moment, UTC without a zone, at which a purchase can have happened; None leaves the future open.
    again
        Read everything and replace what is there, whatever was imported before.

    Raises
    ------
    SourceError
        The mapping is wrong, or a file cannot be read or changes meanwhile; the facts are as they were.
    SchemaMismatch
        Columns that the mapping names are not there or of another type: the message has all of them.
    HistoriesDivide
        All files have to be read again, and some that are in the facts are not there any more.
    ConfigurationError
        There are identifiers and no way to hash them.
    """
    mapping = read_mapping(mapping_file)
    try:
        return _import(folder, mapping, identity_key=identity_key, latest=latest, again=again)
    except HistoriesDivide as divided:
        gone = _gone(_manifest_in(folder), {path.name for table in mapping.tables.values() for path in table.files})
        if gone:
            raise HistoriesDivide(
                f"{divided}; all files have to be read again, and {', '.join(gone)} cannot be found",
                remedy="bring them back, or go on without their rows: rapport import --mapping … --again",
            ) from divided
        return _import(folder, mapping, identity_key=identity_key, latest=latest, again=True)


def _import(folder: Path, mapping: ShopMapping, *, identity_key: str, latest: datetime | None, again: bool) -> MappedImport:
    with _staging(folder, mapping, _hashing(mapping, identity_key)) as (connection, staging):
        hashes = staging.hashes()
        before = None if again else _state_of(folder, mapping)
        todo = _todo(hashes, before)
        if before is not None and not any(todo.files.values()):
            return MappedImport(before, None, skipped=tuple(staging.skipped))
        good = staging.check(todo.files)
        taken = {name: staging.stage(name, good.get(name, []), hashes[name]) for name in staging.shapes}
        if not taken["purchases"] and not todo.append:
            raise SourceError("none of the files of [purchases] could be read", remedy=_first_reason(staging))
        if not todo.append:
            staging.require_rows("purchases")
        tables = {name: connection.table(f"read_{name}") for name in staging.finish()}
        files = {hashes[name][path]: path.name for name, paths in taken.items() for path in paths}
        known = {**(before.files if before else {}), **files}
        incoming = replace(_incoming(mapping, tables, staging, known, identity_key), latest=latest)
        gone = () if before else _gone(_manifest_in(folder), {path.name for paths in hashes.values() for path in paths})
        imported = land(folder, incoming, base=before)
        notes = [count for name in staging.shapes for count in _notes(staging, name)]
    return MappedImport(imported.manifest, imported.report, tuple(files.values()), tuple(staging.skipped), tuple(notes), gone)


@contextmanager
def _staging(folder: Path, mapping: ShopMapping, hashed: Hashed | None) -> Iterator[tuple[Any, Staging]]:
    """A DuckDB file beside the facts, gone afterwards, as Ibis has it and ready for the mapping's files."""
    with scratch_folder(folder.parent, f"{folder.name}.staging") as scratch:
        # Not disconnected: Ibis still drops tables of its own when they are collected. The file has no name by then.
        connection = ibis.duckdb.connect(scratch / "staged.duckdb")
        yield connection, Staging(connection.con, mapping, scratch, hashed)


def _state_of(folder: Path, mapping: ShopMapping) -> Manifest | None:
    """The manifest of facts that the same mapping made, if it says which files they are from."""
    manifest = _manifest_in(folder)
    same = manifest is not None and manifest.mapping_hash == mapping.hash and manifest.source == mapping.source
    return manifest if same and manifest is not None and manifest.files else None


def _manifest_in(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder)
    except FactsMissing:
        return None


def _gone(before: Manifest | None, names: Collection[str]) -> tuple[str, ...]:
    """Names of files that went into the facts, without those that are still there, be it with other content."""
    return tuple(sorted(set(before.files.values()) - set(names))) if before is not None else ()


def _todo(hashes: Mapping[str, Mapping[Path, str]], before: Manifest | None) -> _Todo:
    """What is new. The catalogue and the members, as known now, are read whole if anything is."""
    known = before.files if before is not None else {}
    new = {name: [path for path, content in paths.items() if content not in known] for name, paths in hashes.items()}
    if before is not None and any(new.values()):
        new |= {name: list(hashes[name]) for name in STATES if name in hashes}
    return _Todo(new, append=before is not None)


def _incoming(
    mapping: ShopMapping, tables: Mapping[str, ir.Table], staging: Staging, files: dict[str, str], identity_key: str
) -> Incoming:
    """What landing takes, with all that the mapping says about the shop."""
    identification = None
    if "identities" in tables:
        identification = Identification(IdentityPolicy.of(mapping.identity), key_check(key_of(identity_key)))
    return Incoming(
        {name: table.filter(table.reason.isnull()).drop("reason") for name, table in tables.items()},
        Origin(
            mapping.source,
            mapping.time_zone,
            mapping.currency,
            files,
            mapping_hash=mapping.hash,
            line_key="number" if "line_no" in mapping.tables["purchases"].rules else "content",
            country=mapping.country,
            holidays=own_days(mapping.holidays),
        ),
        unreadable=tables["purchases"].filter(ibis._.reason.notnull()),
        unreadable_counts=staging.reasons("purchases"),
        identification=identification,
        cleaning=Policy.of(mapping.cleaning),
    )


def _hashing(mapping: ShopMapping, identity_key: str) -> Hashed | None:
    """How identifiers are hashed; None where there is no key, which is refused only if there are identifiers."""
    if not identity_key:
        return None
    key, country = key_of(identity_key), IdentityPolicy.of(mapping.identity).country
    return lambda kind, values: [hash_identifier(kind, value, key, country=country) for value in values]


def _notes(staging: Staging, name: str) -> tuple[RuleCount, ...]:
    set_aside = staging.reasons(name) if name != "purchases" else ()
    return (*staging.choices(name), *set_aside, *staging.gaps(name))


def _first_reason(staging: Staging) -> str:
    return staging.skipped[0].reason if staging.skipped else ""
