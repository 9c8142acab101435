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

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from features.errors import SourceError

Form = Literal["text", "integer", "money", "moment", "day", "boolean"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a canonical table as a mapping may name it."""

    name: str
    form: Form
    required: bool = False
    default: str | int | None = None


FIELDS: Mapping[str, tuple[Field, ...]] = {
    "purchases": (
        Field("order_id", "text"),
        Field("member_id", "text"),
        Field("item_id", "text"),
        Field("quantity", "integer"),
        Field("net", "money", required=True),
        Field("discount", "money", default=0),
        Field("coupon", "money", default=0),
        Field("channel", "text", default="store"),
        Field("store_id", "text"),
        Field("kind", "text"),
        Field("occurred_at", "moment", required=True),
    ),
    "items": (
        Field("item_id", "text", required=True),
        Field("department", "text"),
        Field("category", "text"),
        Field("subcategory", "text"),
        Field("brand", "text"),
        Field("own_brand", "boolean"),
        Field("pack_size", "text"),
        Field("price", "money"),
    ),
    "members": (
        Field("member_id", "text", required=True),
        Field("registered", "day"),
        Field("age_band", "text"),
        Field("household_size", "text"),
        Field("children", "text"),
    ),
}
FILE_OPTIONS = ("files", "format", "encoding", "delimiter", "decimal")
FORMATS = ("csv", "parquet", "jsonl")
RULE_OPTIONS = ("column", "constant", "expression", "format", "zone", "unit", "values")


@dataclass(frozen=True, slots=True)
class FieldRule:
    """Where one field comes from: exactly one of `column`, `constant` and `expression`; the rest says how to read it.

    Attributes
    ----------
    format
        strptime patterns tried in order; "excel" for serial days. Empty reads ISO 8601.
    zone
        Zone of moments that carry none; empty is the shop's.
    unit
        "units" (12.34) or "cents" (1234), for money.
    values
        Text found to text meant.
    """

    column: str | None = None
    constant: str | int | float | bool | None = None
    expression: str | None = None
    format: tuple[str, ...] = ()
    zone: str = ""
    unit: Literal["units", "cents"] = "units"
    values: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TableMapping:
    """The files of one table, how to read them, and a rule for each field that the shop has."""

    name: str
    files: tuple[Path, ...]
    format: str
    encoding: str
    delimiter: str
    decimal: str
    rules: Mapping[str, FieldRule]


@dataclass(frozen=True, slots=True)
class ShopMapping:
    """A whole mapping file."""

    source: str
    time_zone: str
    currency: str
    tables: Mapping[str, TableMapping]


def read_mapping(path: Path) -> ShopMapping:
    """The mapping in a file; globs are resolved against the file's folder.

    Raises
    ------
    SourceError
        It is no TOML, a name in it is unknown (the nearest known one is named), a required one is missing, or a pattern
        matches no file.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SourceError(f"there is no mapping {path}", remedy="docs/import.md shows how to write one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not TOML in UTF-8: {error}") from error
    _only(content, ("source", "time_zone", "currency", *FIELDS), where=str(path))
    if "purchases" not in content:
        raise SourceError(f"{path} has no [purchases]", remedy="purchases are what everything else starts from")
    zone = str(content.get("time_zone", ""))
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise SourceError(f"{path}: time_zone {zone!r} is unknown", remedy="write one like Europe/Paris") from error
    tables = {name: _table(name, content[name], path.parent) for name in FIELDS if name in content}
    return ShopMapping(str(content.get("source", path.stem)), zone, str(content.get("currency", "")), tables)


def _table(name: str, content: Mapping[str, Any], base: Path) -> TableMapping:
    fields = {field.name: field for field in FIELDS[name]}
    _only(content, (*FILE_OPTIONS, *fields), where=f"[{name}]")
    missing = [field.name for field in fields.values() if field.required and field.name not in content]
    if missing:
        raise SourceError(f"[{name}] does not say where {', '.join(missing)} comes from")
    files = _files(content.get("files", ()), base, name)
    form = str(content.get("format") or _format_of(files[0]))
    if form not in FORMATS:
        raise SourceError(f"[{name}] format {form!r} is not one of {', '.join(FORMATS)}")
    return TableMapping(
        name,
        files,
        form,
        str(content.get("encoding", "utf-8")),
        str(content.get("delimiter", ",")),
        str(content.get("decimal", ".")),
        {field: _rule(f"{name}.{field}", content[field]) for field in fields if field in content},
    )


def _files(patterns: str | Sequence[str], base: Path, table: str) -> tuple[Path, ...]:
    found: list[Path] = []
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        whole = Path(pattern)
        matched = sorted(whole.parent.glob(whole.name)) if whole.is_absolute() else sorted(base.glob(pattern))
        if not matched:
            raise SourceError(f"[{table}] files: nothing matches {pattern}", remedy=f"looked below {base.resolve()}")
        found += matched
    if not found:
        raise SourceError(f"[{table}] names no files")
    return tuple(dict.fromkeys(found))


def _format_of(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    return {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}.get(
        suffixes[-1] if suffixes else "", "csv"
    )


def _rule(where: str, content: object) -> FieldRule:
    if isinstance(content, str):
        return FieldRule(column=content)
    if not isinstance(content, dict):
        raise SourceError(f"{where} is neither the name of a column nor a table of options")
    _only(content, RULE_OPTIONS, where=where)
    if sum(option in content for option in ("column", "constant", "expression")) != 1:
        raise SourceError(f"{where} needs exactly one of column, constant and expression")
    if content.get("unit", "units") not in ("units", "cents"):
        raise SourceError(f"{where}: unit is units (12.34) or cents (1234)")
    formats = content.get("format", ())
    return FieldRule(
        column=content.get("column"),
        constant=content.get("constant"),
        expression=content.get("expression"),
        format=(formats,) if isinstance(formats, str) else tuple(formats),
        zone=str(content.get("zone", "")),
        unit=content.get("unit", "units"),
        values=tuple((str(found), str(meant)) for found, meant in content.get("values", {}).items()),
    )


def _only(content: Mapping[str, object], known: Sequence[str], *, where: str) -> None:
    for name in content:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise SourceError(
                f"{where}: {name!r} is unknown", remedy=f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            )
