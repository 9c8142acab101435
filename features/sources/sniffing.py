"""What a file looks like: encoding, delimiter, decimal sign, columns and the shapes of their values. For a draft only.

An import never guesses; a draft does nothing else, and says where it was unsure.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from features.errors import SourceError
from features.sources.mapping import WHITESPACE, format_of

BYTES = 1 << 19
ROWS = 1_000
DELIMITERS = (",", ";", "\t", "|", "::")
BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
DATE_FORMATS = (
    *("%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%Y", "%m-%d-%Y", "%Y%m%d", "%Y.%m.%d"),
    *("%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%Y年%m月%d日"),
)
TIME_FORMATS = ("", " %H:%M:%S", " %H:%M", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S.%f")
ISO = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}([ T]+\d{1,2}:\d{2}(:\d{2}(\.\d+)?)? *([Zz]|UTC|[+-]\d{2}(:?\d{2})?)?)?")
NUMBER = re.compile(r"[^\d\s(]{0,3}\s?\(?[+-]?\d[\d.,' ]*\)?\s?[^\d\s)]{0,3}")
TIME = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")


@dataclass(frozen=True, slots=True)
class ColumnSample:
    """One column: its name, some values that are not blank, how many were, and its type where the file has types."""

    name: str
    values: tuple[str, ...]
    blanks: int = 0
    type: str = "text"

    @property
    def distinct(self) -> float:
        """Distinct values per value, from 0 to 1."""
        return len(set(self.values)) / len(self.values) if self.values else 0.0

    @property
    def numeric(self) -> bool:
        """All values are numbers."""
        return bool(self.values) and all(NUMBER.fullmatch(value) for value in self.values)

    @property
    def fractional(self) -> bool:
        """Numbers, and most of them with decimals."""
        return self.numeric and sum(bool(re.search(r"[.,]\d", value)) for value in self.values) * 2 > len(self.values)

    @property
    def whole(self) -> bool:
        """All values are whole numbers."""
        return bool(self.values) and all(re.fullmatch(r"-?\d+([.,]0+)?", value) for value in self.values)

    @property
    def times(self) -> bool:
        """All values are times of a day."""
        return bool(self.values) and all(TIME.fullmatch(value) for value in self.values)

    @property
    def dates(self) -> tuple[str, ...]:
        """The formats that read all values as moments, most likely first; "" is ISO 8601, none is no moment."""
        if not self.values or self.type in {"money", "number"}:
            return ()
        if self.type == "moment" or all(ISO.fullmatch(value) for value in self.values):
            return ("",)
        some = list(dict.fromkeys(self.values))[:200]
        if self.whole:
            return tuple(name for name, low, high in _COUNTED if all(low <= float(value) <= high for value in some))[:1] or (
                ("%Y%m%d",) if all(len(v) == 8 and v[:2] in {"19", "20"} and _reads(v, "%Y%m%d") for v in some) else ()
            )
        formats = (day + time for day in DATE_FORMATS for time in TIME_FORMATS)
        return tuple(pattern for pattern in formats if _reads(some[0], pattern) and all(_reads(v, pattern) for v in some))


_COUNTED = (("unix", 8e8, 2.2e9), ("unix_ms", 8e11, 2.2e12), ("excel", 30_000, 60_000))


@dataclass(frozen=True, slots=True)
class FileSample:
    """One file as it looks. `doubts` are sentences for the reader."""

    path: Path
    format: str
    columns: tuple[ColumnSample, ...]
    encoding: str = "utf-8"
    delimiter: str = ","
    header: bool = True
    decimal: str = "."
    doubts: tuple[str, ...] = ()


def sample(path: Path) -> FileSample:
    """Look at the first rows of a file.

    Raises
    ------
    SourceError
        There is no such file, it is empty, or it is none of CSV, JSON lines and Parquet.
    """
    try:
        kind = format_of(path)
        found = {"parquet": _parquet, "jsonl": _json_lines}.get(kind, _csv)(path)
    except FileNotFoundError as error:
        raise SourceError(f"there is no file {path}") from error
    except (OSError, EOFError, UnicodeError, ValueError, csv.Error, pa.ArrowException) as error:
        raise SourceError(f"{path.name} cannot be read as {kind}: {error}") from error
    if not found.columns:
        raise SourceError(f"{path.name} is empty")
    return found


def _parquet(path: Path) -> FileSample:
    with pa.parquet.ParquetFile(path) as file:
        batch = next(file.iter_batches(batch_size=ROWS), None)
        names = file.schema_arrow.names
    if batch is None:
        return FileSample(path, "parquet", tuple(ColumnSample(name, ()) for name in names))
    columns = [
        _column(
            name, [None if v is None else str(v) for v in batch.column(place).to_pylist()], _type_of(batch.schema.types[place])
        )
        for place, name in enumerate(names)
    ]
    return FileSample(path, "parquet", tuple(columns))


def _type_of(kind: pa.DataType) -> str:
    if pa.types.is_temporal(kind):
        return "moment"
    if pa.types.is_boolean(kind):
        return "boolean"
    return "money" if pa.types.is_floating(kind) or pa.types.is_decimal(kind) else "text"


def _json_lines(path: Path) -> FileSample:
    content = _start_of(path).decode("utf-8-sig", errors="ignore")
    rows: list[dict[str, str | None]] = []
    for line in content.splitlines()[:ROWS]:
        with suppress(json.JSONDecodeError):
            found = json.loads(line, parse_int=str, parse_float=str)
            if isinstance(found, dict):
                rows.append(_flat(found))
    names = dict.fromkeys(name for row in rows for name in row)
    return FileSample(path, "jsonl", tuple(_column(name, [row.get(name) for row in rows]) for name in names))


def _flat(found: dict[str, object]) -> dict[str, str | None]:
    flat: dict[str, str | None] = {}
    for name, value in found.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": None if v is None else str(v) for inner, v in value.items()}
        elif not isinstance(value, list):
            flat[name] = None if value is None else str(value)
    return flat


def _csv(path: Path) -> FileSample:
    start = _start_of(path)
    encoding, sure = _encoding(start)
    text = start.decode(encoding, errors="ignore").removeprefix("\ufeff")
    lines = [line for line in text.splitlines()[: ROWS + 1] if line.strip()]
    if len(start) >= BYTES and len(lines) <= ROWS:
        lines = lines[:-1]  # the last one may be cut off
    delimiter = _delimiter(lines)
    table = [line.split() for line in lines] if delimiter == WHITESPACE else list(_records(lines, delimiter))
    if not table:
        return FileSample(path, "csv", ())
    header = _is_header(table[0], table[1:])
    names = [name.strip() for name in table[0]] if header else [f"column_{number}" for number in range(1, len(table[0]) + 1)]
    rows = [row for row in (table[1:] if header else table) if len(row) == len(names)]
    columns = tuple(_column(name, [row[place] for row in rows]) for place, name in enumerate(names))
    doubts = [] if sure else [f"the encoding looks like {encoding}"]
    if not header:
        doubts.append("the first line looks like values, not like names: name the columns")
    return FileSample(path, "csv", columns, encoding, delimiter, header, _decimal(columns), tuple(doubts))


def _start_of(path: Path) -> bytes:
    with pa.input_stream(str(path), compression="detect") as stream:
        return bytes(stream.read(BYTES))


def _encoding(start: bytes) -> tuple[str, bool]:
    """The encoding, and whether that is sure."""
    for mark, name in BOMS:
        if start.startswith(mark):
            return name, True
    with suppress(UnicodeDecodeError):
        start[: max(start.rfind(b"\n"), 0) or None].decode("utf-8")
        return "utf-8", True
    # In GBK nearly every byte above 127 stands beside another one; in Western text umlauts and accents stand alone.
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", start)]
    beside = sum(run for run in runs if run > 1) > 0.8 * sum(runs)
    return ("gbk" if beside else "cp1252"), False


def _records(lines: Iterable[str], delimiter: str) -> Iterable[list[str]]:
    if len(delimiter) > 1:
        return (line.split(delimiter) for line in lines)
    return csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter)


def _delimiter(lines: Sequence[str]) -> str:
    """The sign that gives most columns with the same number of them in nearly every line."""
    best, most = ",", 1
    for delimiter in DELIMITERS:
        counts = [len(record) for record in islice(_records(lines, delimiter), 200)]
        usual = max(set(counts), key=counts.count) if counts else 0
        if usual > most and counts.count(usual) >= 0.9 * len(counts):
            best, most = delimiter, usual
    if most == 1:
        blanks = [len(line.split()) for line in lines[:200]]
        if blanks and blanks[0] > 1 and blanks.count(blanks[0]) >= 0.9 * len(blanks):
            return WHITESPACE
    return best


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    cells = [cell.strip() for cell in first]
    if len(set(cells)) < len(cells) or not all(cells):
        return not rest or bool(set(cells) - {""} and not any(NUMBER.fullmatch(cell) for cell in cells))
    return not any(NUMBER.fullmatch(cell) or ISO.fullmatch(cell) for cell in cells)


def _decimal(columns: Iterable[ColumnSample]) -> str:
    values = [value for column in columns if column.numeric and not column.dates for value in column.values]
    commas = sum(bool(re.search(r",\d{1,2}$|,\d{4,}$", value)) for value in values)
    points = sum(bool(re.search(r"\.\d{1,2}$|\.\d{4,}$", value)) for value in values)
    return "," if commas > points else "."


def _column(name: str, values: Sequence[str | None], kind: str = "text") -> ColumnSample:
    there = tuple(value.strip() for value in values if value is not None and value.strip())
    return ColumnSample(name, there, len(values) - len(there), kind)


def _reads(value: str, pattern: str) -> bool:
    with suppress(ValueError):
        return 1900 <= datetime.strptime(value, pattern).year <= 2100  # noqa: DTZ007 # a shape, not a moment
    return False
