"""A mapping file: how a shop's own tables become facts, in a few lines of TOML. Read and checked here, used in `mapped`.

source = "corner-shop"
time_zone = "Europe/Paris"
currency = "EUR"

[purchases]
files = "sales/*.csv"
order_id = "ticket"
member_id = "card"
occurred_at = "sold_at"
net = "total"
"""

import codecs
import difflib
import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from features.errors import SourceError
from features.sources.fields import FIELDS, WITH_IDENTIFIERS
from features.sources.row_choice import RowChoice, choice_of

SHOP_OPTIONS = ("source", "time_zone", "currency", "country", "on_bad_file")
SECTIONS = ("cleaning", "identity", "holidays")
"""Sections that other modules read; they are carried as they are."""
FILE_OPTIONS = ("files", "format", "encoding", "delimiter", "quote", "decimal", "columns", "skip", "identifiers",
                "only", "without")  # fmt: skip
FORMATS = ("csv", "parquet", "jsonl")
RULE_OPTIONS = ("column", "constant", "expression", "format", "zone", "unit", "values", "matches")
COMPRESSED = (".gz", ".zst")
WHITESPACE = "whitespace"
DELIMITERS = {"tab": "\t", WHITESPACE: WHITESPACE}


@dataclass(frozen=True, slots=True)
class FieldRule:
    """Where one field comes from: exactly one of `column`, `constant` and `expression`; the rest says how to read it.

    Attributes
    ----------
    format
        strptime patterns tried in order; "excel" for serial days, "unix" and "unix_ms" for a count since 1970. Empty reads
        ISO 8601. Of identifiers, "whole" for those that were saved as numbers: 17850.0 is 17850.
    zone
        Zone of moments that carry none; empty is the shop's.
    unit
        "units" (12.34) or "cents" (1234), for money.
    values
        Text found to text meant.
    matches
        A regular expression: the field is true where the text holds a match of it, for fields of yes and no.
    """

    column: str | None = None
    constant: str | int | float | bool | None = None
    expression: str | None = None
    format: tuple[str, ...] = ()
    zone: str = ""
    unit: Literal["units", "cents"] = "units"
    values: tuple[tuple[str, str], ...] = ()
    matches: str = ""


@dataclass(frozen=True, slots=True)
class TableMapping:
    """The files of one table, how to read them, and a rule for each field that the shop has.

    Attributes
    ----------
    columns
        Names of the columns of files without a header; empty where the first line has them.
    skip
        Lines above the header.
    identifiers
        Where each kind of identifier stands, such as a phone.
    rows
        Which rows of the files belong to the table.
    """

    name: str
    files: tuple[Path, ...]
    format: str
    encoding: str
    delimiter: str
    quote: str
    decimal: str
    columns: tuple[str, ...]
    skip: int
    rules: Mapping[str, FieldRule]
    identifiers: Mapping[str, FieldRule]
    rows: RowChoice = field(default_factory=RowChoice)


@dataclass(frozen=True, slots=True)
class ShopMapping:
    """A whole mapping file. `hash` is that of its text; `cleaning`, `identity`, `holidays` are carried as they stand there."""

    source: str
    time_zone: str
    currency: str
    tables: Mapping[str, TableMapping]
    country: str = ""
    skip_bad_files: bool = False
    cleaning: Mapping[str, Any] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)
    holidays: Mapping[str, Any] = field(default_factory=dict)
    hash: str = ""


def read_mapping(path: Path) -> ShopMapping:
    """The mapping in a file; globs are resolved against the file's folder.

    Raises
    ------
    SourceError
        It is no TOML, a name in it is unknown (the nearest known one is named), a required one is missing, or a pattern
        matches no file.
    """
    try:
        text = path.read_bytes()
        content = tomllib.loads(text.decode("utf-8-sig"))
    except FileNotFoundError as error:
        remedy = "docs/import.md shows how to write one, and rapport import --draft FILES proposes one"
        raise SourceError(f"there is no mapping {path}", remedy=remedy) from error
    except OSError as error:
        raise SourceError(f"the mapping {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not TOML in UTF-8: {error}") from error
    _only(content, (*SHOP_OPTIONS, *SECTIONS, *FIELDS), where=str(path))
    if "purchases" not in content:
        raise SourceError(f"{path} has no [purchases]", remedy="purchases are what everything else starts from")
    zone = _known_zone(str(content.get("time_zone", "")), where=f"{path}: time_zone")
    sections = {name: _section(content.get(name, {}), name) for name in (*FIELDS, *SECTIONS)}
    on_bad_file = content.get("on_bad_file", "refuse")
    if on_bad_file not in ("refuse", "skip"):
        raise SourceError(f"{path}: on_bad_file is refuse or skip")
    return ShopMapping(
        str(content.get("source", path.stem)),
        zone,
        str(content.get("currency", "")),
        {name: _table(name, sections[name], path.parent) for name in FIELDS if name in content},
        str(content.get("country", "")),
        on_bad_file == "skip",
        **{name: sections[name] for name in SECTIONS},
        hash=hashlib.sha256(text).hexdigest(),
    )


def _section(content: object, name: str) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise SourceError(f"{name} is to be a section: [{name}]")
    return content


def _known_zone(name: str, *, where: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SourceError(f"{where} {name!r} is unknown", remedy="write one like Europe/Paris") from error
    return name


def _table(name: str, content: Mapping[str, Any], base: Path) -> TableMapping:
    fields = {field.name: field for field in FIELDS[name]}
    _only(content, (*FILE_OPTIONS, *fields), where=f"[{name}]")
    missing = [field.name for field in fields.values() if field.required and field.name not in content]
    if missing:
        raise SourceError(f"[{name}] does not say where {', '.join(missing)} comes from")
    files = _files(content.get("files", ()), base, name)
    identifiers = _section(content.get("identifiers", {}), f"{name}.identifiers")
    _require_identifiers(name, content, identifiers)
    return TableMapping(
        name,
        files,
        _one_of(FORMATS, str(content.get("format") or format_of(files[0])), where=f"[{name}] format"),
        _encoding(str(content.get("encoding", "utf-8")), name),
        _delimiter(str(content.get("delimiter", ",")), name),
        str(content.get("quote", '"')),
        _one_of((".", ","), str(content.get("decimal", ".")), where=f"[{name}] decimal"),
        _texts(content.get("columns", ()), where=f"{name}.columns"),
        _count(content.get("skip", 0), where=f"{name}.skip"),
        {field: _rule(f"{name}.{field}", content[field]) for field in fields if field in content},
        {kind: _rule(f"{name}.identifiers.{kind}", rule) for kind, rule in identifiers.items()},
        choice_of(content.get("only", {}), content.get("without", {}), table=name),
    )


def _require_identifiers(name: str, content: Mapping[str, Any], identifiers: Mapping[str, Any]) -> None:
    if identifiers and name not in WITH_IDENTIFIERS:
        raise SourceError(f"[{name}] has no identifiers", remedy=f"{', '.join(WITH_IDENTIFIERS)} may have some")
    if name == "identities" and not identifiers and not {"identifier_kind", "identifier"} <= set(content):
        raise SourceError(
            "[identities] does not say where the identifiers come from",
            remedy='write identifiers = { phone = "tel" }, or name the columns identifier_kind and identifier',
        )


def _files(patterns: object, base: Path, table: str) -> tuple[Path, ...]:
    found: list[Path] = []
    for pattern in _texts(patterns, where=f"{table}.files"):
        whole = Path(pattern)
        matched = sorted(whole.parent.glob(whole.name)) if whole.is_absolute() else sorted(base.glob(pattern))
        matched = [path for path in matched if path.is_file()]
        if not matched:
            raise SourceError(f"[{table}] files: nothing matches {pattern}", remedy=f"looked below {base.resolve()}")
        found += matched
    if not found:
        raise SourceError(f"[{table}] names no files")
    return tuple(dict.fromkeys(found))


def format_of(path: Path) -> str:
    """csv, parquet or jsonl, by a file's endings; csv where they say nothing."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in COMPRESSED]
    return {".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}.get(
        suffixes[-1] if suffixes else "", "csv"
    )


def _encoding(name: str, table: str) -> str:
    try:
        codecs.lookup(name)
    except (LookupError, ValueError) as error:
        raise SourceError(f"[{table}] encoding {name!r} is unknown", remedy="write one like utf-8, gbk or cp1252") from error
    return name


def _delimiter(written: str, table: str) -> str:
    delimiter = DELIMITERS.get(written, written)
    if not delimiter or (delimiter != WHITESPACE and len(delimiter.encode()) > 4):
        raise SourceError(f"[{table}] delimiter is one to four characters, tab or whitespace")
    return delimiter


def _one_of(known: Sequence[str], given: str, *, where: str) -> str:
    if given not in known:
        raise SourceError(f"{where} {given!r} is not one of {' '.join(known)}")
    return given


def _texts(content: object, *, where: str) -> tuple[str, ...]:
    several = (content,) if isinstance(content, str) else content
    if not isinstance(several, list | tuple) or not all(isinstance(text, str) for text in several):
        raise SourceError(f"{where} is a text or a list of texts")
    return tuple(several)


def _count(content: object, *, where: str) -> int:
    if not isinstance(content, int) or isinstance(content, bool) or content < 0:
        raise SourceError(f"{where} is a whole number from 0")
    return content


def _rule(where: str, content: object) -> FieldRule:
    if isinstance(content, str):
        return FieldRule(column=content)
    if not isinstance(content, dict):
        raise SourceError(f"{where} is neither the name of a column nor a table of options")
    _only(content, RULE_OPTIONS, where=where)
    if sum(option in content for option in ("column", "constant", "expression")) != 1:
        raise SourceError(f"{where} needs exactly one of column, constant and expression")
    for option in ("column", "expression", "matches"):
        if not isinstance(content.get(option, ""), str):
            raise SourceError(f"{where}.{option} is a text")
    zone = str(content.get("zone", ""))
    return FieldRule(
        column=content.get("column"),
        constant=_constant(content.get("constant"), where=f"{where}.constant"),
        expression=content.get("expression"),
        format=_texts(content.get("format", ()), where=f"{where}.format"),
        zone=_known_zone(zone, where=f"{where}: zone") if zone else "",
        unit=_unit(content.get("unit", "units"), where=where),
        values=tuple(
            (str(found), str(meant)) for found, meant in _section(content.get("values", {}), f"{where}.values").items()
        ),
        matches=content.get("matches", ""),
    )


def _constant(content: object, *, where: str) -> str | int | float | bool | None:
    if content is None or isinstance(content, str | int | float | bool):
        return content
    raise SourceError(f"{where} is a text, a number, or true or false")


def _unit(content: object, *, where: str) -> Literal["units", "cents"]:
    if content == "units":
        return "units"
    if content == "cents":
        return "cents"
    raise SourceError(f"{where}: unit is units (12.34) or cents (1234)")


def _only(content: Mapping[str, object], known: Sequence[str], *, where: str) -> None:
    for name in content:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise SourceError(
                f"{where}: {name!r} is unknown", remedy=f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            )
