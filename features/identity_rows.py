"""Identifiers in a source's rows: hashed, taken out as observations, and exchanged for the member they lead to."""
# ruff: noqa: S608 -- names go through quoted, texts through text

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from features.identifiers import MEMBER, canonical_kind, hash_identifier
from features.identity import ANONYMOUS, Resolution
from features.identity_graph import NO_DAY
from features.sql_text import quoted, text

_COUNTS = f"""
SELECT count(*) FILTER (NOT anonymous), count(*) FILTER (anonymous), count(*) FILTER (anonymous IS NULL),
       count(*) FILTER (conflicting)
FROM (SELECT *, starts_with(member_id, '{ANONYMOUS}') AS anonymous FROM given)
"""


@dataclass(frozen=True, slots=True)
class Assigned:
    """Rows with their `member_id`, and how they came by it.

    Attributes
    ----------
    rows
        As given, without the columns of identifiers, and with `member_id`: null where a row has no identifier; and with
        `linked_day`, the first day by which one of its identifiers led to that member: null where it always did.
    registered, anonymous, without
        How many rows belong to a registered member, to a person known by identifiers alone, to nobody.
    conflicting
        How many rows have identifiers of more than one registered member; the strongest one decided.
    """

    rows: duckdb.DuckDBPyRelation
    registered: int
    anonymous: int
    without: int
    conflicting: int


def hash_identifiers(kind: str, values: pa.Array | pa.ChunkedArray, key: bytes, *, country: str = "") -> pa.ChunkedArray:
    """`hash_identifier` of each value, made once for each different one. Shape (n,); null where nothing is left."""
    chunked = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
    coded = pa.concat_arrays([pa.array([], pa.string()), *chunked.cast(pa.string()).chunks]).dictionary_encode()
    texts = [hash_identifier(kind, text, key, country=country) or None for text in coded.dictionary.to_pylist()]
    return pa.chunked_array([pc.take(pa.array(texts, pa.string()), coded.indices)])


def with_hashes(
    connection: duckdb.DuckDBPyConnection,
    rows: duckdb.DuckDBPyRelation,
    columns: Mapping[str, str],
    key: bytes,
    *,
    country: str = "",
) -> duckdb.DuckDBPyRelation:
    """Rows with the identifiers in them hashed, each different one once. Grain and columns as before.

    Parameters
    ----------
    connection
        The one that `rows` belongs to; it goes on holding a table of hashes for each column.
    columns
        Kind of identifier to the name of the column that holds it.
    """
    for kind, column in columns.items():
        found = f"CAST(given.{quoted(column)} AS VARCHAR)"
        raw = _query(rows, f"SELECT DISTINCT {found} AS found FROM given WHERE {found} IS NOT NULL").to_arrow_table()
        hashes = hash_identifiers(kind, raw["found"], key, country=country)
        name = _kept(connection, pa.table({"found": raw["found"], "hash": hashes}))
        rows = _query(
            rows,
            f"SELECT given.* REPLACE (h.hash AS {quoted(column)}) FROM given LEFT JOIN {name} h ON {found} = h.found",
        )
    return rows


def identities_of(
    rows: duckdb.DuckDBPyRelation, *, observation: str, identifiers: Mapping[str, str], day: str = ""
) -> duckdb.DuckDBPyRelation:
    """The observations in rows whose identifiers are hashed: columns of the fact table `identities`, one row an identifier.

    Parameters
    ----------
    observation, day
        Columns with what the identifiers of a row were seen in (an order, a visit), and with its local day, if there is one.
    identifiers
        Kind of identifier to the name of the column that holds it.
    """
    local_day = f"CAST(min({quoted(day)}) AS INTEGER)" if day else "CAST(NULL AS INTEGER)"
    each = " UNION ALL ".join(  # names are quoted
        f"SELECT CAST({quoted(observation)} AS VARCHAR) AS observation_id, {text(canonical_kind(kind))} AS identifier_kind, "
        f"CAST({quoted(column)} AS VARCHAR) AS identifier, {local_day} AS local_day FROM given "
        f"WHERE {quoted(column)} <> '' AND {quoted(observation)} IS NOT NULL GROUP BY ALL"
        for kind, column in identifiers.items()
    )
    return _query(rows, each)


def member_of(
    connection: duckdb.DuckDBPyConnection,
    rows: duckdb.DuckDBPyRelation,
    identifiers: Mapping[str, str],
    resolution: Resolution,
) -> Assigned:
    """Rows with the member that their identifiers lead to. Grain as before.

    A strong identifier decides before a weak one, a registered member before an anonymous person, then the order of
    `identifiers`. An identifier that no observation has shown stands for a person of its own.

    Parameters
    ----------
    connection
        The one that `rows` belongs to; it goes on holding the aliases.
    identifiers
        Kind of identifier to the name of the column that holds it, hashed; kind `member` for the shop's own id.
    """
    aliases = _kept(connection, resolution.aliases.select(["alias", "member_id", "linked_day"]))
    strong = resolution.policy.strong
    ranked = sorted(identifiers.items(), key=lambda pair: canonical_kind(pair[0]) not in strong)
    leads = [f"lead_{place}" for place in range(len(ranked))]
    joins = " ".join(_join(aliases, lead, *pair) for lead, pair in zip(leads, ranked, strict=True))
    owners = [_owner(lead, *pair) for lead, pair in zip(leads, ranked, strict=True)]
    strongs = [owner for owner, (kind, _) in zip(owners, ranked, strict=True) if canonical_kind(kind) in strong]
    tiers = [tier for group in (strongs, owners[len(strongs) :]) for tier in (*map(_registered, group), *group)]
    dropped = ", ".join(quoted(column) for column in dict.fromkeys(identifiers.values()))
    made = f"{_first(tiers)} AS member_id, {_linked_day(_first(tiers), leads, owners)}, {_claims(owners)} > 1 AS conflicting"
    assigned = _query(rows, f"SELECT given.* EXCLUDE ({dropped}), {made} FROM given {joins}")
    (counts,) = _query(assigned, _COUNTS).fetchall()
    return Assigned(_query(assigned, "SELECT * EXCLUDE (conflicting) FROM given"), *map(int, counts))


def _query(rows: duckdb.DuckDBPyRelation, sql: str) -> duckdb.DuckDBPyRelation:
    """The rows of a SELECT in which `given` is the relation."""
    return cast("duckdb.DuckDBPyRelation", rows.query("given", sql))


def _join(aliases: str, lead: str, kind: str, column: str) -> str:
    return f"LEFT JOIN {aliases} {lead} ON {lead}.alias = {text(canonical_kind(kind) + ':')} || given.{quoted(column)}"


def _owner(lead: str, kind: str, column: str) -> str:
    """The id that an identifier leads to; an identifier not seen in any observation leads to an id of its own."""
    found = f"nullif(CAST(given.{quoted(column)} AS VARCHAR), '')"
    own = found if canonical_kind(kind) == MEMBER else f"'{ANONYMOUS}' || left({found}, 16)"
    return f"coalesce({lead}.member_id, {own})"


def _registered(owner: str) -> str:
    return f"CASE WHEN NOT starts_with({owner}, '{ANONYMOUS}') THEN {owner} END"


def _first(values: list[str]) -> str:
    return f"coalesce({', '.join(values)})"


def _linked_day(member: str, leads: list[str], owners: list[str]) -> str:
    """The earliest day of the leads to the member of a row; those without a day were there before all others."""
    days = [
        f"CASE WHEN {owner} = {member} THEN coalesce({lead}.linked_day, {NO_DAY}) END"
        for lead, owner in zip(leads, owners, strict=True)
    ]
    return f"nullif(least({', '.join(days)}), {NO_DAY}) AS linked_day"


def _claims(owners: list[str]) -> str:
    """How many different registered members the identifiers of a row lead to."""
    return f"len(list_distinct([{', '.join(map(_registered, owners))}]))"  # which drops nulls


def _kept(connection: duckdb.DuckDBPyConnection, content: pa.Table) -> str:
    """A name of its own for a table: relations are lazy, and a later call may not change what an earlier one reads."""
    name = f"identity_{uuid.uuid4().hex}"
    connection.register(name, content)
    return name
