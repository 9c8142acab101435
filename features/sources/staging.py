"""A shop's files, one by one, into tables on disk with canonical columns: a file is taken whole or not at all."""
# ruff: noqa: S608 -- names and texts go through quoted() and text()

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType
from duckdb.sqltypes import VARCHAR

from features.cleaning import Action, RuleCount
from features.errors import ConfigurationError, SourceError
from features.sources.differences import Difference, differences, refuse, unreadable
from features.sources.field_sql import column_text
from features.sources.fields import FIELDS, STATES
from features.sources.mapping import ShopMapping, TableMapping
from features.sources.reading import REJECTS, WHICH_ENCODING, BadFile, RawFile, columns_of_file, raw_file, sha256_of
from features.sources.schema import STORED
from features.sources.shaping import BROKEN_ROW, HASHED, IDENTIFIER, OBSERVATION, UNREADABLE, Shape, identities_sql
from features.sql_text import quoted, text

Hashed = Callable[[str, Sequence[str]], Sequence[str]]
"""From a kind of identifier and some of them to what is kept of each: features.identity says how."""
ENOUGH_ROWS = 10
"""So many rows of which not one can be read in a field mean another column or type, not rows gone wrong."""
MEMORY = "3GB"
"""What DuckDB may use; beyond that it goes on in the scratch folder."""


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that was left out, and why."""

    file: str
    reason: str


@dataclass
class Staging:
    """The files of a shop on their way to facts, in a DuckDB file of their own.

    Attributes
    ----------
    skipped
        Files left out because they could not be read, where the mapping says so.
    left_out
        Rows that `only` and `without` of a table's mapping leave out, by table.
    """

    duck: duckdb.DuckDBPyConnection
    mapping: ShopMapping
    scratch: Path
    hashed: Hashed | None = None
    skipped: list[SkippedFile] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    _words_found: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shapes = {name: Shape(table, self.mapping.time_zone) for name, table in self.mapping.tables.items()}
        self.duck.execute(f"SET TimeZone = 'UTC'; SET memory_limit = '{MEMORY}'; SET enable_progress_bar = false")
        # Parquet's smallest and largest values leave NaN out, and DuckDB 2.0 concludes from them that there is none.
        self.duck.execute("SET disabled_optimizers = 'statistics_propagation'")
        self.duck.execute(f"SET temp_directory = {text(str(self.scratch / 'spill'))}")
        with_ids = [name for name, shape in self.shapes.items() if shape.kinds or name == "identities"]
        if with_ids and self.hashed is None:
            raise ConfigurationError(
                f"[{with_ids[0]}] has identifiers, and there is no key to hash them with", remedy="set RAPPORT_IDENTITY_KEY"
            )
        if with_ids:
            _teach_hashing(self.duck, self.hashed)

    def hashes(self) -> dict[str, dict[Path, str]]:
        """The content's hash of every readable file, by table."""
        found: dict[str, dict[Path, str]] = {name: {} for name in self.shapes}
        for name, shape in self.shapes.items():
            for path in shape.table.files:
                try:
                    found[name][path] = sha256_of(path)
                except BadFile as error:
                    self._skip(path, error)
        return found

    def check(self, files: Mapping[str, Sequence[Path]]) -> dict[str, list[Path]]:
        """The files that can be opened, after all of them were compared with the mapping.

        Raises
        ------
        SchemaMismatch
            Columns are missing, renamed or of another type: a table of all of them.
        """
        found: list[Difference] = []
        columns: dict[str, set[str]] = {}
        good: dict[str, list[Path]] = {}
        for name, paths in files.items():
            table = self.shapes[name].table
            good[name] = []
            for path in paths:
                try:
                    there = columns_of_file(self.duck, path, table, self.scratch)
                except BadFile as error:
                    self._skip(path, error)
                    continue
                good[name].append(path)
                columns.setdefault(name, set()).update(there)
                found += differences(table, there, path.name)
        refuse(found, columns)
        return good

    def stage(self, name: str, files: Sequence[Path], hashes: Mapping[Path, str]) -> list[Path]:
        """Bring files into the table's staged table; returns those that are in it.

        Raises
        ------
        BadFile
            A file cannot be read to its end, or changed meanwhile; unless such are skipped.
        SchemaMismatch
            Not a single value of a field could be read.
        """
        columns = self.shapes[name].columns
        typed = ", ".join(f"{quoted(column)} {kind}" for column, kind in columns.items())
        self.duck.execute(f'CREATE TABLE "staged_{name}" ({typed})')
        taken = []
        for path in files:
            self.duck.execute("BEGIN")
            try:
                self._take(name, path, hashes[path])
            except SourceError as error:
                self.duck.execute("ROLLBACK")
                self.duck.execute(f"DROP TABLE IF EXISTS {REJECTS}; DROP TABLE IF EXISTS {REJECTS}_scans")
                if not isinstance(error, BadFile):
                    raise
                self._skip(path, error)
            else:
                self.duck.execute("COMMIT")
                taken.append(path)
        return taken

    def finish(self) -> tuple[str, ...]:
        """Make `read_<table>` of every staged table, and return their names.

        It has the canonical columns, `reason`, `file` and `row`, and the hashed identifiers that lead to the row's member.
        """
        canonical = {schema.name: [column.name for column in schema.columns] for schema in STORED}
        made = []
        for name, shape in self.shapes.items():
            if name == "identities":
                continue
            extra = [column for column in ("reason", "file", "row", OBSERVATION) if column in shape.columns]
            ids = [f"{IDENTIFIER}{kind}" for kind in shape.kinds]
            there = [quoted(column) for column in (*canonical[name], *extra, *ids) if column in shape.columns]
            self.duck.execute(f"CREATE VIEW read_{name} AS SELECT {', '.join(there)} FROM {self._rows_of(name)}")
            made.append(name)
        seen = identities_sql(self.shapes)
        if seen:
            self.duck.execute(f"CREATE VIEW read_identities AS SELECT *, CAST(NULL AS VARCHAR) AS reason FROM ({seen})")
            made.append("identities")
        return tuple(made)

    def reasons(self, name: str) -> tuple[RuleCount, ...]:
        """How many rows of a table were set aside, by reason."""
        rows = self.duck.execute(
            f'SELECT reason, count(*) FROM "staged_{name}" WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 1'
        ).fetchall()
        action: Action = "quarantine" if name == "purchases" else "note"
        return tuple(
            RuleCount(reason if name == "purchases" else f"{name}_{reason}", action, n, _words(reason)) for reason, n in rows
        )

    def require_rows(self, name: str) -> None:
        """Refuse a choice of rows that leaves nothing of a table.

        Raises
        ------
        SourceError
            Every row of its files is left out by `only` or `without`; the words that stand there are named.
        """
        rows = self.duck.execute(f'SELECT count(*) FROM "staged_{name}"').fetchone() or (0,)
        if self.left_out.get(name) and not rows[0]:
            raise SourceError(
                f"[{name}] only and without leave none of {self.left_out[name]:,} rows", remedy=self._words_found[name]
            )

    def choices(self, name: str) -> tuple[RuleCount, ...]:
        """How many rows the mapping leaves out of a table, where it chooses among them."""
        if not self.shapes[name].table.rows.columns:
            return ()
        words = f"row that is none of {name} by only or without of the mapping"
        return (RuleCount(f"{name}_left_out", "note", self.left_out.get(name, 0), words),)

    def gaps(self, name: str) -> tuple[RuleCount, ...]:
        """How many values of a table were left out because they could not be read, by field."""
        rows = self.duck.execute(
            f"SELECT field, count(*) FROM (SELECT unnest(string_split(unread, ',')) AS field FROM \"staged_{name}\" "
            "WHERE reason IS NULL AND unread IS NOT NULL) GROUP BY 1 ORDER BY 1"
        ).fetchall()
        words = "unreadable and left out; the row is kept"
        return tuple(RuleCount(f"{name}_{UNREADABLE}{field}", "note", n, f"{field} {words}") for field, n in rows)

    def _take(self, name: str, path: Path, hash_before: str) -> None:
        shape = self.shapes[name]
        with raw_file(self.duck, path, shape.table, self.scratch) as raw:
            self.duck.execute(f'INSERT INTO "staged_{name}" BY NAME {shape.query(raw, path.name)}')
            left_out = self._left_out(raw, shape)
            self.duck.execute(
                f'INSERT INTO "staged_{name}" (reason, file, row) SELECT {text(BROKEN_ROW)}, {text(path.name)}, unnest(?)',
                [self._rejected(path)],
            )
        if sha256_of(path) != hash_before:
            raise BadFile(f"{path.name} changed while it was read", remedy="import again when nothing writes to it")
        self._require_readable(shape.table, path)
        self.left_out[name] = self.left_out.get(name, 0) + left_out

    def _left_out(self, raw: RawFile, shape: Shape) -> int:
        """How many rows of a file the mapping leaves out."""
        if not shape.table.rows.columns:
            return 0
        rows, left_out = self.duck.execute(
            f"SELECT count(*), count(*) FILTER (NOT {shape.taken(raw)}) FROM ({raw.rows_sql})"
        ).fetchone() or (0, 0)
        if rows == left_out:
            self._words_found[shape.table.name] = f"in {raw.path.name} {self._words_in(raw, shape)}"
        return int(left_out)

    def _words_in(self, raw: RawFile, shape: Shape) -> str:
        """What stands most often in the columns by which rows are chosen."""
        found = []
        for column in shape.table.rows.columns:
            word = f"trim(coalesce({column_text(column, raw.columns[column])}, ''))"
            words = self.duck.execute(
                f"SELECT {word} AS word FROM ({raw.rows_sql}) GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 5"
            ).fetchall()
            found.append(f"{column} says {', '.join(repr(row[0]) for row in words)}")
        return "; ".join(found)

    def _rejected(self, path: Path) -> list[int]:
        """The lines of the CSV file just read that have too few or too many columns or broken quotes."""
        tables = {row[0] for row in self.duck.execute("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall()}
        if REJECTS not in tables:
            return []
        found = self.duck.execute(
            f"SELECT line, min(error_type::VARCHAR) FROM {REJECTS} GROUP BY line ORDER BY line"
        ).fetchall()
        self.duck.execute(f"DROP TABLE {REJECTS}; DROP TABLE {REJECTS}_scans")
        if any(kind == "INVALID ENCODING" for _, kind in found):
            raise BadFile(f"{path.name} is not in UTF-8", remedy=WHICH_ENCODING)
        return [int(line) for line, _ in found]

    def _require_readable(self, table: TableMapping, path: Path) -> None:
        rows, *read = self.duck.execute(
            f"SELECT count(*), mode(reason), count(*) FILTER (reason = mode_reason) FROM (SELECT reason, mode(reason) OVER () "
            f'AS mode_reason FROM "staged_{table.name}" WHERE file = {text(path.name)})'
        ).fetchone() or (0, None, 0)
        reason, most = read
        if reason is None or most < rows or rows < ENOUGH_ROWS:
            return
        if reason == BROKEN_ROW:
            raise BadFile(
                f"[{table.name}] {path.name}: not one row has the columns of the first", remedy="is the delimiter right?"
            )
        refuse([unreadable(table, reason.removeprefix(UNREADABLE), path.name)], {})

    def _rows_of(self, name: str) -> str:
        """A staged table in SQL: of states the newest row of each key, of purchases without quantities that are weights."""
        if name in STATES:
            key = FIELDS[name][0].name
            newest = f"row_number() OVER (PARTITION BY {key} ORDER BY file DESC, row DESC) = 1"
            return f"(SELECT * FROM staged_{name} QUALIFY reason IS NOT NULL OR {newest})"
        if name == "purchases" and "items" in self.shapes and "sold_by_measure" in self.shapes["items"].table.rules:
            weighed = f"SELECT item_id FROM {self._rows_of('items')} WHERE sold_by_measure AND reason IS NULL"
            pieces = f"CASE WHEN coalesce(item_id IN ({weighed}), false) THEN NULL ELSE quantity END AS quantity"
            return f"(SELECT * REPLACE ({pieces}) FROM staged_purchases)"
        return f"staged_{name}"

    def _skip(self, path: Path, error: BadFile) -> None:
        if not self.mapping.skip_bad_files:
            raise error
        self.skipped.append(SkippedFile(path.name, str(error)))


def _teach_hashing(duck: duckdb.DuckDBPyConnection, hashed: Hashed | None) -> None:
    """Let DuckDB hash identifiers of a kind: each distinct one once, `member` not at all, nothing where there is none."""

    def hash_all(kinds: pa.Array, values: pa.Array) -> pa.Array:
        pairs = list(zip(kinds.to_pylist(), values.to_pylist(), strict=True))
        by_kind: dict[str, set[str]] = {}
        for kind, value in pairs:
            if kind is not None and value is not None:
                by_kind.setdefault(kind, set()).add(value)
        kept: dict[tuple[str, str], str] = {}
        for kind, values_of_kind in by_kind.items():
            several = sorted(values_of_kind)
            hashes = several if kind == "member" or hashed is None else hashed(kind, several)
            kept |= {(kind, value): kept_as for value, kept_as in zip(several, hashes, strict=True)}
        return pa.array([kept.get(pair) for pair in pairs], pa.string())

    arrow, special = PythonUDFType.ARROW, FunctionNullHandling.SPECIAL
    duck.create_function(HASHED, hash_all, [VARCHAR, VARCHAR], VARCHAR, type=arrow, null_handling=special)


def _words(reason: str) -> str:
    if reason == BROKEN_ROW:
        return "row with too few or too many columns, or broken quotes"
    return f"{reason.removeprefix(UNREADABLE)} missing or unreadable"
