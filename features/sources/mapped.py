"""Any shop's files to facts, by a mapping: text in, canonical tables out, and rows that cannot be read set aside with reasons.

Files are read as text, so that identifiers keep their zeros and `NA` stays `NA`; each field is then read by its rule. What
cannot be read is a reason, never an error and never a guess.
"""
# ruff: noqa: S608 -- names and texts go through _quoted and _text, expressions through _safe

import codecs
import gzip
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import duckdb
import ibis
import sqlglot
from ibis import ir
from sqlglot import exp

from features.cleaning import RuleCount
from features.errors import SourceError
from features.facts_folder import Origin
from features.sources.landing import Imported, Incoming, land
from features.sources.mapping import FIELDS, Field, FieldRule, ShopMapping, TableMapping, read_mapping
from features.sources.schema import CHANNELS

NATIVE_ENCODINGS = {"utf-8", "utf8"}
ARITHMETIC = (exp.Column, exp.Identifier, exp.Literal, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Neg, exp.Paren, exp.Abs,
              exp.Coalesce, exp.Round, exp.Concat, exp.DPipe, exp.Upper, exp.Lower, exp.Trim, exp.Null)  # fmt: skip
TRUE_WORDS = ("1", "true", "t", "yes", "y")
UNREADABLE = "unreadable_"
"""Reasons begin with this; the name of the field follows."""


def import_mapped(folder: Path, mapping_file: Path) -> Imported:
    """Bring the files that a mapping names into a facts folder; what was there before is replaced.

    Importing the same files again gives the same facts; new files that match the patterns are taken along.

    Raises
    ------
    SourceError
        The mapping is wrong, a file cannot be read, or a column that it names is not there.
    """
    mapping = read_mapping(mapping_file)
    connection = ibis.duckdb.connect()
    duck: duckdb.DuckDBPyConnection = connection.con
    with tempfile.TemporaryDirectory() as scratch:
        for table in mapping.tables.values():
            _read_text(duck, table, Path(scratch))
            duck.execute(f'CREATE TABLE "read_{table.name}" AS {canonical_sql(duck, table, mapping)}')
    tables = {name: _readable(connection.table(f"read_{name}")) for name in mapping.tables}
    purchases = connection.table("read_purchases")
    incoming = Incoming(
        tables,
        Origin(mapping.source, mapping.time_zone, mapping.currency, files={}),
        unreadable=purchases.filter(ibis._.reason.notnull()),
        unreadable_counts=_unreadable_counts(purchases),
    )
    return land(folder, incoming)


def canonical_sql(duck: duckdb.DuckDBPyConnection, table: TableMapping, mapping: ShopMapping) -> str:
    """The query that reads every field of a raw table; a column `reason` names the first field that could not be read."""
    columns = {row[0] for row in duck.execute(f'DESCRIBE "raw_{table.name}"').fetchall()}
    fields = {field.name: field for field in FIELDS[table.name]}
    parts, reasons = {}, []
    for name, rule in table.rules.items():
        _require_columns(table, name, rule, columns)
        parts[name] = _value_sql(fields[name], rule, table, mapping)
        unread = f"({parts[name]}) IS NULL AND nullif(trim({_found_sql(rule)}), '') IS NOT NULL"
        if fields[name].required:
            unread = f"({parts[name]}) IS NULL"
        if fields[name].form != "text" or fields[name].required:
            reasons.append(f"WHEN {unread} THEN '{UNREADABLE}{name}'")
    parts |= {field.name: _default_sql(field) for field in fields.values() if field.name not in parts}
    case = f"CASE {' '.join(reasons)} END" if reasons else "NULL"
    inner = ", ".join(f'{sql} AS "{name}"' for name, sql in parts.items())
    return _shaped(table.name, f'SELECT {inner}, {case} AS reason, file, row FROM "raw_{table.name}"')


def _shaped(name: str, read: str) -> str:
    """From fields as mapped to columns as in the schema."""
    if name == "items":
        return (
            f"SELECT item_id, department, category, subcategory, brand, own_brand, pack_size, price AS price_cents, reason "
            f"FROM ({read}) QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY file, row) = 1"
        )
    if name == "members":
        return (
            f"SELECT member_id, registered AS registered_day, age_band, household_size, children, reason "
            f"FROM ({read}) QUALIFY row_number() OVER (PARTITION BY member_id ORDER BY file, row) = 1"
        )
    channels = ", ".join(f"'{channel}'" for channel in CHANNELS)
    return f"""
        SELECT order_id,
               CAST(row_number() OVER (PARTITION BY order_id, file ORDER BY row) - 1 AS INTEGER) AS line_no,
               member_id, item_id, quantity, net AS net_cents, discount AS discount_cents, coupon AS coupon_cents,
               CASE WHEN lower(channel) IN ({channels}) THEN lower(channel) ELSE 'other' END AS channel, store_id,
               CASE WHEN lower(kind) IN ('sale', 'return') THEN lower(kind)
                    WHEN coalesce(net, 0) < 0 OR coalesce(quantity, 0) < 0 THEN 'return' ELSE 'sale' END AS kind,
               occurred_at.utc AS occurred_at,
               CAST(date_diff('day', DATE '1970-01-01', CAST(occurred_at.local AS DATE)) AS INTEGER) AS local_day,
               CAST(hour(occurred_at.local) AS INTEGER) AS local_hour, reason
        FROM (SELECT * REPLACE (
                coalesce(order_id, coalesce(member_id, file || ':' || row) || '@' || occurred_at.utc::VARCHAR) AS order_id
              ) FROM ({read}))
    """


def _found_sql(rule: FieldRule) -> str:
    """The text a rule finds in a row."""
    if rule.column is not None:
        return _quoted(rule.column)
    if rule.expression is not None:
        return f"CAST(({_safe(rule.expression, numbers=False)}) AS VARCHAR)"
    return _text(str(rule.constant).lower() if isinstance(rule.constant, bool) else str(rule.constant))


def _value_sql(field: Field, rule: FieldRule, table: TableMapping, mapping: ShopMapping) -> str:
    text = f"nullif(trim({_found_sql(rule)}), '')"
    if rule.values:
        cases = " ".join(f"WHEN {_text(found)} THEN {_text(meant)}" for found, meant in rule.values)
        text = f"CASE {text} {cases} ELSE {text} END"
    match field.form:
        case "text":
            return text
        case "boolean":
            words = ", ".join(f"'{word}'" for word in TRUE_WORDS)
            return f"lower({text}) IN ({words})"
        case "integer":
            whole = f"TRY_CAST({_number(text, rule, table)} AS DECIMAL(18, 6))"
            return f"CASE WHEN {whole} = round({whole}) THEN TRY_CAST({whole} AS INTEGER) END"
        case "money":
            scale = 100 if rule.unit == "units" else 1
            return f"TRY_CAST(round_even(TRY_CAST({_number(text, rule, table)} AS DECIMAL(18, 6)) * {scale}, 0) AS BIGINT)"
        case "day":
            moment = _moment(text, rule, mapping)
            return f"CAST(date_diff('day', DATE '1970-01-01', CAST(({moment}).local AS DATE)) AS INTEGER)"
    return _moment(text, rule, mapping)


def _number(text: str, rule: FieldRule, table: TableMapping) -> str:
    """A number as text with a point: thousands separators and currency signs taken out."""
    if rule.expression is not None:
        return f"({_safe(rule.expression, numbers=True, decimal=table.decimal)})"
    return _plain_number(text, table.decimal)


def _plain_number(text: str, decimal: str) -> str:
    bare = f"regexp_replace({text}, '[^0-9.,eE+-]', '', 'g')"
    return f"replace(replace({bare}, '.', ''), ',', '.')" if decimal == "," else f"replace({bare}, ',', '')"


def _moment(text: str, rule: FieldRule, mapping: ShopMapping) -> str:
    """A struct of `utc` and `local`, both without zone; NULL where the text is no moment between the years 1 and 9999."""
    zone = rule.zone or mapping.time_zone
    tries = []
    for pattern in rule.format:
        if pattern == "excel":
            days = f"TRY_CAST({text} AS DOUBLE)"
            tries.append(f"TIMESTAMP '1899-12-30' + to_microseconds(CAST(round({days} * 86400) AS BIGINT) * 1000000)")
        else:
            tries.append(f"try_strptime({text}, {_text(pattern)})")
    if not rule.format:
        # A text with a zone of its own is taken to the zone that texts without one are read in.
        own = f"regexp_matches({text}, '[Zz]$|[+-][0-9]{{2}}:?[0-9]{{2}}$')"
        tries.append(f"CASE WHEN {own} THEN timezone({_text(zone)}, TRY_CAST({text} AS TIMESTAMPTZ)) END")
        tries.append(f"TRY_CAST({text} AS TIMESTAMP)")
    naive = f"coalesce({', '.join(tries)})"
    utc = f"(timezone({_text(zone)}, {naive}) AT TIME ZONE 'UTC')"
    local = f"timezone({_text(mapping.time_zone)}, timezone('UTC', {utc}))"
    return f"CASE WHEN {naive} IS NOT NULL THEN {{'utc': {utc}, 'local': {local}}} END"


def _default_sql(field: Field) -> str:
    types = {"text": "VARCHAR", "integer": "INTEGER", "money": "BIGINT", "day": "INTEGER", "boolean": "BOOLEAN"}
    value = "NULL" if field.default is None else _text(field.default) if isinstance(field.default, str) else str(field.default)
    return f"CAST({value} AS {types[field.form]})"


def _safe(expression: str, *, numbers: bool, decimal: str = ".") -> str:
    """An expression of the mapping as DuckDB's SQL: arithmetic and text joining over columns, and nothing else.

    Raises
    ------
    SourceError
        It cannot be parsed, or uses more than that.
    """
    try:
        tree = sqlglot.parse_one(expression, dialect="duckdb")
    except sqlglot.errors.SqlglotError as error:
        raise SourceError(f"expression {expression!r} cannot be read", remedy="write, for example, qty * unit_price") from error
    for node in tree.walk():
        if not isinstance(node, ARITHMETIC):
            raise SourceError(
                f"expression {expression!r} uses {type(node).__name__.lower()}",
                remedy="columns, numbers, + - * / ( ), abs, round, coalesce, upper, lower, trim and || may be used",
            )
    if numbers:
        tree = tree.transform(lambda node: _as_number(node, decimal))
    return str(tree.sql(dialect="duckdb", identify=True))


def _as_number(node: exp.Expr, decimal: str) -> exp.Expr:
    if isinstance(node, exp.Column):
        return sqlglot.parse_one(f"TRY_CAST({_plain_number(_quoted(node.name), decimal)} AS DOUBLE)", dialect="duckdb")
    return node


def _require_columns(table: TableMapping, name: str, rule: FieldRule, columns: set[str]) -> None:
    if rule.column is not None:
        wanted = {rule.column}
    elif rule.expression is not None:
        _safe(rule.expression, numbers=False)
        wanted = {column.name for column in sqlglot.parse_one(rule.expression, dialect="duckdb").find_all(exp.Column)}
    else:
        wanted = set()
    missing = sorted(wanted - columns)
    if missing:
        found = ", ".join(sorted(columns - {"file", "row"}))
        raise SourceError(
            f"{table.name}.{name}: the files of [{table.name}] have no column {', '.join(missing)}",
            remedy=f"they have: {found}",
        )


def _read_text(duck: duckdb.DuckDBPyConnection, table: TableMapping, scratch: Path) -> None:
    """The files of a table as `raw_<name>`: every column as text, with `file` and `row`."""
    try:
        for position, path in enumerate(table.files):
            with _in_utf8(path, table, scratch) as readable:
                source = _scan(table, readable)
                columns = f"SELECT COLUMNS(*)::VARCHAR, {_text(path.name)} AS file, row_number() OVER () AS row FROM {source}"
                target = f'"raw_{table.name}"'
                duck.execute(
                    f"CREATE TABLE {target} AS {columns}" if position == 0 else f"INSERT INTO {target} BY NAME {columns}"
                )
    except duckdb.Error as error:
        raise SourceError(f"[{table.name}] {path.name} cannot be read: {str(error).splitlines()[0]}") from error


def _scan(table: TableMapping, path: Path) -> str:
    place = _text(str(path))
    if table.format == "parquet":
        return f"read_parquet({place})"
    if table.format == "jsonl":
        return f"read_json({place}, format = 'newline_delimited', convert_strings_to_integers = false)"
    return f"read_csv({place}, all_varchar = true, header = true, delim = {_text(table.delimiter)}, nullstr = '')"


@contextmanager
def _in_utf8(path: Path, table: TableMapping, scratch: Path) -> Iterator[Path]:
    """The file itself, or a copy in UTF-8 where it is in another encoding; byte order marks are taken off."""
    if table.format == "parquet" or codecs.lookup(table.encoding).name in {codecs.lookup(n).name for n in NATIVE_ENCODINGS}:
        yield path
        return
    copy = scratch / f"{table.name}-{path.name.removesuffix('.gz')}"
    try:
        with _opened(path, table.encoding) as text, copy.open("w", encoding="utf-8") as out:
            shutil.copyfileobj(text, out)
    except UnicodeDecodeError as error:
        raise SourceError(f"{path.name} is not in {table.encoding}", remedy="name its encoding in the mapping") from error
    yield copy
    copy.unlink()


def _opened(path: Path, encoding: str) -> IO[str]:
    return gzip.open(path, "rt", encoding=encoding) if path.suffix == ".gz" else path.open(encoding=encoding)


def _readable(read: ir.Table) -> ir.Table:
    """A canonical table without the rows that could not be read."""
    return read.filter(read.reason.isnull()).drop("reason")


def _unreadable_counts(read: ir.Table) -> tuple[RuleCount, ...]:
    """How many purchases could not be read, by field."""
    found = read.filter(read.reason.notnull()).group_by("reason").agg(rows=ibis._.count()).order_by("reason")
    return tuple(
        RuleCount(
            row["reason"], "quarantine", int(row["rows"]), f"{row['reason'].removeprefix(UNREADABLE)} missing or unreadable"
        )
        for row in found.to_pyarrow().to_pylist()
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
