"""From one file's rows to canonical ones, as one query: fields read, reasons named, ids and days made where there are none."""
# ruff: noqa: S608 -- names and texts go through quoted() and text()

from collections.abc import Mapping
from dataclasses import dataclass

from features.sources.field_sql import Reading, column_text, default_sql, identifier_text, reading, text_found
from features.sources.fields import FIELDS, STATES, TYPES, Field
from features.sources.forms_sql import local_day_sql, local_sql
from features.sources.mapping import TableMapping
from features.sources.reading import RawFile
from features.sources.schema import CHANNELS, EVENT_TYPES
from features.sql_text import quoted, text

HASHED = "hashed_identifier"
"""The name under which DuckDB knows the function that hashes an identifier of a kind."""
UNREADABLE = "unreadable_"
"""Reasons begin with this; the name of the field follows, or `row`."""
BROKEN_ROW = f"{UNREADABLE}row"
MARKS: Mapping[str, str] = {"reason": "VARCHAR", "unread": "VARCHAR", "file": "VARCHAR", "row": "BIGINT"}
"""Why a row is set aside; which of its fields could not be read; where it stands."""
OBSERVATION = "observation_id"
IDENTIFIER = "id_"
"""Columns whose names begin so hold hashed identifiers of the kind that follows."""
_WHEN: Mapping[str, str] = {"occurred_at": "TIMESTAMP", "local_day": "INTEGER", "local_hour": "INTEGER"}


@dataclass(frozen=True, slots=True)
class Shape:
    """One table of a mapping, for the shop's zone."""

    table: TableMapping
    zone: str

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields that the table may have."""
        return FIELDS[self.table.name]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of identifiers in the rows."""
        return tuple(self.table.identifiers)

    @property
    def columns(self) -> dict[str, str]:
        """Name and DuckDB type of the columns of the staged table: canonical ones, then marks, then identifiers."""
        columns = {field.target: TYPES[field.form] for field in self.fields}
        if self.table.name == "purchases":
            columns["kind"] = "VARCHAR"
        if "occurred_at" in columns:
            columns |= _WHEN
        if self.kinds or self.table.name == "identities":
            columns |= {OBSERVATION: "VARCHAR", **{f"{IDENTIFIER}{kind}": "VARCHAR" for kind in self.kinds}}
        return {**columns, **MARKS}

    def query(self, raw: RawFile, file: str) -> str:
        """The rows of one file with the columns of the staged table."""
        readings = {
            field.name: reading(field, self.table.rules[field.name], raw.columns, decimal=self.table.decimal, zone=self.zone)
            for field in self.fields
            if field.name in self.table.rules
        }
        values = self._judged(self._valued(self._found(raw, readings), readings), readings)
        with_ids = f"SELECT * REPLACE ({', '.join(self._made_ids())}) FROM ({values})" if self._made_ids() else values
        return f"SELECT {', '.join(self._finished(file))} FROM ({with_ids})"

    def _found(self, raw: RawFile, readings: Mapping[str, Reading]) -> str:
        """What the rules find, identifiers hashed, and a fingerprint of it all."""
        found = [f"{part.found} AS {quoted(f'found_{name}')}" for name, part in readings.items()]
        ids = {
            kind: f"{HASHED}({text(kind)}, {identifier_text(rule, raw.columns)})"
            for kind, rule in self.table.identifiers.items()
        }
        found += [f"{sql} AS {quoted(IDENTIFIER + kind)}" for kind, sql in ids.items()]
        needed = self._needs_fingerprint(readings)
        made = f"CASE WHEN {needed} THEN md5({self._fingerprint(raw, ids)}) END AS fingerprint"
        return f"SELECT {', '.join(found)}, {made}, rapport_row, rapport_broken FROM ({raw.rows_sql}) WHERE {self.taken(raw)}"

    def taken(self, raw: RawFile) -> str:
        """A condition on the rows of a file that belong to the table; a broken one may."""
        chosen = self.table.rows.taken(lambda name: column_text(name, raw.columns[name]))
        return f"(rapport_broken OR ({chosen}))" if chosen else "true"

    def _fingerprint(self, raw: RawFile, ids: Mapping[str, str]) -> str:
        """All that the rules read in a row; identifiers hashed, since a hash of few digits is no secret."""
        read = [text_found(rule, raw.columns) for name, rule in self.table.rules.items() if name != "identifier"]
        return " || chr(31) || ".join([*read, *(f"coalesce({sql}, '')" for sql in ids.values())]) or "''"

    def _needs_fingerprint(self, readings: Mapping[str, Reading]) -> str:
        """A condition on the rows that have no id of their own."""
        own = {"purchases": ("order_id", "member_id"), "events": ("event_id",), "identities": (OBSERVATION,)}
        if self.table.name not in own:
            return "false"
        there = [f"({readings[name].found}) IS NULL" for name in own[self.table.name] if name in readings]
        return " AND ".join(there) or "true"

    def _valued(self, found: str, readings: Mapping[str, Reading]) -> str:
        fields = {field.name: field for field in self.fields}
        parts = [f"{_or_default(fields[name], part.value)} AS {quoted(name)}" for name, part in readings.items()]
        parts += [f"{part.readable} AS {quoted(f'readable_{name}')}" for name, part in readings.items() if part.readable]
        parts += [f"{default_sql(field)} AS {quoted(field.name)}" for field in self.fields if field.name not in readings]
        return f"SELECT *, {', '.join(parts)} FROM ({found})"

    def _judged(self, valued: str, readings: Mapping[str, Reading]) -> str:
        """With the reason for which a row is set aside, and the fields that could not be read in one that is kept."""
        reasons, unread = [f"WHEN rapport_broken THEN {text(BROKEN_ROW)}"], list[str]()
        for field in self.fields:
            if field.name in readings:
                ok = quoted(f"readable_{field.name}") if readings[field.name].readable else f"{quoted(field.name)} IS NOT NULL"
                bad = (
                    f"NOT {ok}" if field.required or field.firm else f"{quoted(f'found_{field.name}')} IS NOT NULL AND NOT {ok}"
                )
                kept = self.table.name in STATES and not field.required
                (unread if kept else reasons).append(f"WHEN {bad} THEN {text(field.name if kept else UNREADABLE + field.name)}")
        named = ", ".join(f"CASE {condition} END" for condition in unread)
        words = f"nullif(concat_ws(',', {named}), '')" if named else "CAST(NULL AS VARCHAR)"
        return f"SELECT *, CASE {' '.join(reasons)} END AS reason, {words} AS unread FROM ({valued})"

    def _made_ids(self) -> list[str]:
        """Ids for rows that have none, from what stands in them, so that the same rows get the same ids in every file."""
        row = "'row-' || fingerprint"
        if self.table.name == "purchases":
            person = ", ".join(["member_id", *(quoted(f"{IDENTIFIER}{kind}") for kind in self.kinds), row])
            return [f"coalesce(order_id, coalesce({person}) || '@' || CAST(occurred_at AS VARCHAR)) AS order_id"]
        if self.table.name == "events" and "event_id" in self.table.rules:
            return [f"coalesce(event_id, {row}) AS event_id"]
        if self.table.name == "events":
            time_over = "row_number() OVER (PARTITION BY fingerprint ORDER BY rapport_row)"
            return [f"{row} || '-' || {time_over} AS event_id"]
        if self.table.name == "identities":
            hashed = f"{HASHED}(identifier_kind, identifier)"
            return [f"coalesce(observation_id, {row} || coalesce({hashed}, '')) AS observation_id", f"{hashed} AS identifier"]
        return []

    def _finished(self, file: str) -> list[str]:
        """The columns of the staged table from fields and marks."""
        made: dict[str, str] = {
            **{field.target: quoted(field.name) for field in self.fields},
            **{f"{IDENTIFIER}{kind}": quoted(f"{IDENTIFIER}{kind}") for kind in self.kinds},
            "local_day": local_day_sql("occurred_at", self.zone),
            "local_hour": f"CAST(hour({local_sql('occurred_at', self.zone)}) AS INTEGER)",
            "channel": _one_of("channel", CHANNELS),
            "event_type": _one_of("event_type", EVENT_TYPES),
            "kind": "CASE WHEN lower(kind) IN ('sale', 'return') THEN lower(kind) "
            "WHEN coalesce(net, 0) < 0 OR coalesce(quantity, 0) < 0 THEN 'return' ELSE 'sale' END",
            "reason": "reason",
            "unread": "unread",
            "file": text(file),
            "row": "rapport_row",
        }
        if self.table.name == "identities":
            made["local_day"] = "seen"
        else:
            made[OBSERVATION] = f"'{self.table.name}:' || {_OBSERVED.get(self.table.name, 'NULL')}"
        if "line_no" not in self.table.rules:
            made["line_no"] = "CAST(row_number() OVER (PARTITION BY order_id ORDER BY rapport_row) - 1 AS INTEGER)"
        return [f"{made[name]} AS {quoted(name)}" for name in self.columns]


_OBSERVED = {"purchases": "order_id", "events": "event_id", "members": "member_id"}


def _or_default(field: Field, value: str) -> str:
    """An amount taken off that is blank is none; a blank anywhere else is missing."""
    if field.form != "money" or field.default is None or field.firm:
        return value
    return f"CASE WHEN {quoted(f'found_{field.name}')} IS NULL THEN {default_sql(field)} ELSE {value} END"


def _one_of(name: str, known: tuple[str, ...]) -> str:
    """A word of a closed list; every other one is `other`."""
    words = " ".join(f"WHEN {text(word)} THEN {text(word)}" for word in known)
    return f"CASE lower({name}) {words} ELSE 'other' END"


def identities_sql(shapes: Mapping[str, Shape]) -> str:
    """One row an identifier seen, out of every staged table that has some; the shop's own member id is one of them."""
    parts = []
    for name, shape in shapes.items():
        day = {"members": "registered_day"}.get(name, "local_day")
        pairs = [(text(kind), quoted(f"{IDENTIFIER}{kind}")) for kind in shape.kinds]
        if pairs and name != "identities":
            pairs.append(("'member'", "member_id"))
        if name == "identities" and "identifier" in shape.table.rules:
            pairs.append(("identifier_kind", "identifier"))
        parts += [
            f"SELECT {OBSERVATION}, {kind} AS identifier_kind, {found} AS identifier, {day} AS local_day "
            f"FROM staged_{name} WHERE reason IS NULL AND {found} IS NOT NULL AND {kind} IS NOT NULL"
            for kind, found in pairs
        ]
    return f"SELECT DISTINCT * FROM ({' UNION ALL '.join(parts)})" if parts else ""
