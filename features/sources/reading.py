"""Files of a shop as DuckDB can query them: what columns one has, and its rows with their position, bad ones told apart.

CSV and JSON are read as text and Parquet with its types. Nothing is sniffed: the first line names the columns, the mapping says
the rest. Files in other encodings than UTF-8, and Parquet inside gzip or zstandard, are first copied to a scratch folder.
"""
# ruff: noqa: S608 -- names and texts go through quoted() and text()

import codecs
import csv
import hashlib
import io
import shutil
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa

from features.errors import SourceError
from features.sources.mapping import COMPRESSED, WHITESPACE, TableMapping
from features.sql_text import quoted, text

JSON_SAMPLE = 10_000
"""Lines of JSON that are looked at for the names in them."""
WHICH_ENCODING = 'name its encoding in the mapping, such as encoding = "gbk"'
REJECTS = "row_errors"
"""The table into which DuckDB puts rows of CSV that do not have the columns of the rest."""


@dataclass(frozen=True, slots=True)
class RawFile:
    """One file, ready to be queried.

    Attributes
    ----------
    columns
        Name and DuckDB type of each column.
    rows_sql
        A query for them, with `rapport_row` (from 1, in the order of the file) and `rapport_broken`, true for
        a row that is none.
    """

    path: Path
    columns: Mapping[str, str]
    rows_sql: str


class BadFile(SourceError):
    """A file that cannot be read as what the mapping says it is."""


def sha256_of(path: Path) -> str:
    """The hash of a file's content; BadFile where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadFile(f"{path.name} cannot be read: {error.strerror}") from error


@contextmanager
def raw_file(duck: duckdb.DuckDBPyConnection, path: Path, table: TableMapping, scratch: Path) -> Iterator[RawFile]:
    """A file as its table's mapping says to read it.

    Parameters
    ----------
    scratch
        A folder for copies, which are gone afterwards.

    Raises
    ------
    BadFile
        It is empty, cut off, in another encoding or another format.
    """
    with _readable_copy(path, table, scratch) as readable:
        try:
            yield _raw(duck, path, readable, table)
        except duckdb.Error as error:
            message = str(error).splitlines()[0].replace(str(readable), path.name)
            raise BadFile(f"[{table.name}] {path.name} cannot be read: {message}") from error


def columns_of_file(duck: duckdb.DuckDBPyConnection, path: Path, table: TableMapping, scratch: Path) -> Mapping[str, str]:
    """Name and DuckDB type of each column of a file; as `raw_file`, without a copy where the first line says it all."""
    if table.format == "csv":
        return dict.fromkeys(_unique(table.columns or _header(path, path, table)), "VARCHAR")
    with raw_file(duck, path, table, scratch) as raw:
        return raw.columns


def _raw(duck: duckdb.DuckDBPyConnection, path: Path, readable: Path, table: TableMapping) -> RawFile:
    if table.format == "parquet":
        return _parquet(duck, path, readable)
    if table.format == "jsonl":
        return _json_lines(duck, path, readable, table)
    return _csv(path, readable, table)


def _parquet(duck: duckdb.DuckDBPyConnection, path: Path, readable: Path) -> RawFile:
    source = f"read_parquet({text(str(readable))}, binary_as_string = true)"
    found = duck.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    columns = {str(row[0]): str(row[1]) for row in found}
    return RawFile(path, columns, f"SELECT *, file_row_number + 1 AS rapport_row, false AS rapport_broken FROM {source}")


def _csv(path: Path, readable: Path, table: TableMapping) -> RawFile:
    names = _unique(table.columns or _header(path, readable, table))
    columns = dict.fromkeys(names, "VARCHAR")
    place, header = text(str(readable)), "false" if table.columns else "true"
    if table.delimiter == WHITESPACE:
        first = table.skip + (0 if table.columns else 1)
        lines = (
            f"SELECT string_split_regex(trim(line, E' \\t\\r'), '[ \\t]+') AS parts, row_number() OVER () AS rapport_row "
            f"FROM read_csv({place}, columns = {{'line': 'VARCHAR'}}, auto_detect = false, header = false, delim = E'\\x01', "
            f"quote = '', escape = '', skip = {first})"
        )
        parts = ", ".join(f"parts[{number}] AS {quoted(name)}" for number, name in enumerate(names, start=1))
        rows = f"SELECT {parts}, rapport_row, len(parts) <> {len(names)} AS rapport_broken FROM ({lines}) WHERE parts <> ['']"
        return RawFile(path, columns, rows)
    typed = ", ".join(f"{text(name)}: 'VARCHAR'" for name in names)
    rows = (
        f"SELECT *, row_number() OVER () AS rapport_row, false AS rapport_broken "
        f"FROM read_csv({place}, columns = {{{typed}}}, "
        f"auto_detect = false, header = {header}, delim = {text(table.delimiter)}, quote = {text(table.quote)}, "
        f"escape = {text(table.quote)}, nullstr = '', skip = {table.skip}, max_line_size = 16777216, "
        f"store_rejects = true, rejects_limit = 0, rejects_table = '{REJECTS}', rejects_scan = '{REJECTS}_scans')"
    )
    return RawFile(path, columns, rows)


def _header(path: Path, readable: Path, table: TableMapping) -> tuple[str, ...]:
    encoding = "utf-8-sig" if _is_utf8(table.encoding) or readable != path else table.encoding
    with _opened(readable, encoding) as lines:
        try:
            line = next(islice(lines, table.skip, None), "")
            if table.delimiter == WHITESPACE:
                names = line.split()
            elif len(table.delimiter) > 1:
                names = line.rstrip("\r\n").split(table.delimiter)
            else:
                quote = table.quote or None
                whole = (part for part in (line, *lines))  # a quoted name may go on in the next line
                quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
                names = next(csv.reader(whole, delimiter=table.delimiter, quotechar=quote, quoting=quoting), [])
        except UnicodeError as error:
            raise BadFile(f"[{table.name}] {path.name} is not in {table.encoding.upper()}", remedy=WHICH_ENCODING) from error
        except (csv.Error, OSError, EOFError, pa.ArrowException) as error:
            raise BadFile(f"[{table.name}] the first line of {path.name} cannot be read: {error}") from error
    if not any(name.strip() for name in names):
        raise BadFile(f"[{table.name}] {path.name} has no columns in its first line", remedy="is the file empty?")
    return tuple(names)


def _unique(names: tuple[str, ...]) -> list[str]:
    """Names without blanks around them; one that stands there already, in whatever case, gets its number."""
    unique: list[str] = []
    taken: set[str] = set()
    for number, name in enumerate(names, start=1):
        bare = name.strip() or f"column_{number}"
        while bare.casefold() in taken:
            bare = f"{bare}_{number}"
        taken.add(bare.casefold())
        unique.append(bare)
    return unique


def _json_lines(duck: duckdb.DuckDBPyConnection, path: Path, readable: Path, table: TableMapping) -> RawFile:
    """Names are those of the objects, and `outer.inner` for what stands one level further in."""
    source = f"read_ndjson_objects({text(str(readable))}, ignore_errors = true, maximum_object_size = 16777216)"
    wanted = _wanted(table)
    names = _json_names(duck, f"(SELECT json FROM {source} LIMIT {JSON_SAMPLE})", wanted)
    if wanted - set(names):
        names = _json_names(duck, f"(SELECT json FROM {source})", wanted)
    if not names:
        raise BadFile(f"[{table.name}] {path.name} has no JSON objects, one a line")
    paths = ", ".join(text(path_of) for path_of in names.values())
    values = ", ".join(f"found[{number}] AS {quoted(name)}" for number, name in enumerate(names, start=1))
    rows = (
        f"SELECT {values}, rapport_row, rapport_broken FROM (SELECT json_extract_string(json, [{paths}]) AS found, "
        f"row_number() OVER () AS rapport_row, json IS NULL OR json_type(json) <> 'OBJECT' AS rapport_broken FROM {source})"
    )
    return RawFile(path, dict.fromkeys(names, "VARCHAR"), rows)


def _json_names(duck: duckdb.DuckDBPyConnection, sample: str, wanted: Set[str]) -> dict[str, str]:
    """Name to path of every value in the objects of a query; of two that differ in case only, the wanted one."""
    outer = f"SELECT json, unnest(json_keys(json)) AS name FROM {sample} WHERE json_type(json) = 'OBJECT'"
    inner = "coalesce(json_keys(json, '$.\"' || replace(name, '\"', '\\\"') || '\"'), [])"
    found = duck.execute(f"SELECT DISTINCT name, unnest(list_append({inner}, NULL)) FROM ({outer})").fetchall()
    paths = {
        **{f"{name}.{within}": _json_path(name, within) for name, within in found if within is not None},
        **{str(name): _json_path(name) for name, _ in found},
    }
    by_case = {name.casefold(): name for name in sorted(paths, key=lambda name: (name in wanted, name))}
    return {name: paths[name] for name in sorted(by_case.values())}


def _json_path(*names: str) -> str:
    return "$" + "".join('."' + name.replace('"', '\\"') + '"' for name in names)


def _wanted(table: TableMapping) -> set[str]:
    rules = (*table.rules.values(), *table.identifiers.values())
    return {rule.column for rule in rules if rule.column is not None} | set(table.rows.columns)


@contextmanager
def _readable_copy(path: Path, table: TableMapping, scratch: Path) -> Iterator[Path]:
    """The file itself, or a copy that DuckDB can read."""
    packed = path.suffix.lower() in COMPRESSED
    if (table.format == "parquet" and not packed) or (table.format != "parquet" and _is_utf8(table.encoding)):
        yield path
        return
    copy = scratch / f"copy{''.join(suffix for suffix in path.suffixes if suffix.lower() not in COMPRESSED)}"
    try:
        if table.format == "parquet":
            with _unpacked(path) as content, copy.open("wb") as binary:
                shutil.copyfileobj(content, binary)
        else:
            with _opened(path, table.encoding) as lines, copy.open("w", encoding="utf-8", newline="") as out:
                shutil.copyfileobj(lines, out)
    except UnicodeError as error:
        raise BadFile(f"[{table.name}] {path.name} is not in {table.encoding.upper()}", remedy=WHICH_ENCODING) from error
    except (OSError, EOFError, pa.ArrowException) as error:
        raise BadFile(f"[{table.name}] {path.name} cannot be read: {error}") from error
    try:
        yield copy
    finally:
        copy.unlink()


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name in {"utf-8", "utf-8-sig", "ascii"}


@contextmanager
def _unpacked(path: Path) -> Iterator[io.BufferedReader]:
    """A file's bytes, out of gzip or zstandard."""
    try:
        stream = pa.input_stream(str(path), compression="detect")
    except OSError as error:
        raise BadFile(f"{path.name} cannot be read: {error}") from error
    with stream, io.BufferedReader(stream) as content:
        yield content


@contextmanager
def _opened(path: Path, encoding: str) -> Iterator[io.TextIOWrapper]:
    """A file's text, out of gzip or zstandard."""
    with _unpacked(path) as content, io.TextIOWrapper(content, encoding=encoding, newline="") as lines:
        yield lines
