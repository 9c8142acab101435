"""Identities numbered for the graph: text to integers in DuckDB, which moves to disk what does not fit into memory."""
# ruff: noqa: S608 -- the texts hold constants of this module

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import duckdb
import pyarrow as pa

from features.errors import SourceError
from features.identifiers import HASH_PATTERN, MEMBER, canonical_kind
from features.identity_graph import NO_DAY, Sightings
from features.identity_policy import IdentityPolicy
from features.sources.schema import IDENTITIES

Identities: TypeAlias = pa.Table | Path
"""Rows of the table `identities`, held in memory or in a Parquet file."""
MEMORY = "2GB"

_NUMBERING = f"""
CREATE TABLE nodes AS
    SELECT CAST(row_number() OVER (ORDER BY rank, identifier, identifier_kind) - 1 AS INTEGER) AS node, *
    FROM (SELECT DISTINCT identifier_kind, identifier,
                 CASE WHEN identifier_kind = '{MEMBER}' THEN 0
                      WHEN list_contains($strong, identifier_kind) THEN 1 ELSE 2 END AS rank
          FROM seen);
"""
_OBSERVATIONS = f"""
CREATE TABLE observations AS
    SELECT observation_id, CAST(row_number() OVER (ORDER BY observation_id) - 1 AS INTEGER) AS observation, size,
           size > $size OR members > $members AS crowded, day
    FROM (SELECT observation_id, count(*) AS size, count(*) FILTER (identifier_kind = '{MEMBER}') AS members,
                 coalesce(max(local_day), {NO_DAY}) AS day
          FROM seen WHERE observation_id <> '' GROUP BY observation_id)
    WHERE size > 1;
"""
_SIGHTINGS = """
CREATE TABLE sightings AS
    SELECT observation, node, rank, size, day
    FROM seen JOIN observations USING (observation_id) JOIN nodes USING (identifier_kind, identifier)
    WHERE NOT crowded;
"""
_CROWDED = """
CREATE TABLE crowded AS
    WITH busy AS (SELECT node FROM sightings WHERE rank = 2 GROUP BY node HAVING sum(size - 1) > $weak)
    SELECT mine.node FROM sightings mine SEMI JOIN busy USING (node) JOIN sightings other USING (observation)
    WHERE mine.node <> other.node GROUP BY mine.node HAVING count(DISTINCT other.node) > $weak
    UNION ALL
    SELECT mine.node FROM sightings mine JOIN sightings other USING (observation)
    WHERE mine.rank = 1 AND other.rank = 0 GROUP BY mine.node HAVING count(DISTINCT other.node) > $members;
"""


@contextmanager
def workshop() -> Iterator[duckdb.DuckDBPyConnection]:
    """A private database in bounded memory, gone at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="rapport-identity-") as folder:
        connection = duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": folder})
        connection.execute("SET enable_progress_bar = false")
        try:
            yield connection
        finally:
            connection.close()


def number(duck: duckdb.DuckDBPyConnection, parts: Sequence[Identities], policy: IdentityPolicy, *, only: str = "") -> None:
    """Make the tables `seen`, `nodes`, `observations`, `sightings` and `crowded` (the nodes seen with too many others).

    Parameters
    ----------
    only
        A member id: observations in which no identifier was seen that leads to it, by the table `aliases` of `duck`, are
        left out. Empty: none are.

    Raises
    ------
    SourceError
        An identifier is no keyed hash, or a kind has another spelling than the usual. No message shows an identifier.
    """
    _collect(duck, parts, only)
    _refuse_raw(duck)
    duck.execute(_NUMBERING, {"strong": sorted(policy.strong)})
    duck.execute(_OBSERVATIONS, {"size": policy.identifiers_per_observation, "members": policy.members_per_identifier})
    duck.execute(_SIGHTINGS)
    duck.execute(_CROWDED, {"weak": policy.identifiers_per_weak, "members": policy.members_per_identifier})


def sightings(duck: duckdb.DuckDBPyConnection, *, with_crowded: bool = False) -> Sightings:
    """What was numbered, as arrays; without the nodes seen with too many others, unless asked for."""
    members, strong, nodes = _one(duck, "SELECT count(*) FILTER (rank = 0), count(*) FILTER (rank < 2), count(*) FROM nodes")
    chosen = "sightings" if with_crowded else "sightings ANTI JOIN crowded USING (node)"
    columns = duck.sql(f"SELECT observation, node, day FROM {chosen} ORDER BY observation, node").fetchnumpy()
    rows = (columns["observation"], columns["node"], columns["day"])
    return Sightings(*rows, nodes=nodes, strong=strong, members=members)


def crowded_observations(duck: duckdb.DuckDBPyConnection) -> int:
    """How many observations hold too many identifiers to link any."""
    return _one(duck, "SELECT count(*) FROM observations WHERE crowded")[0]


def _one(duck: duckdb.DuckDBPyConnection, sql: str) -> tuple[int, ...]:
    (row,) = duck.sql(sql).fetchall()
    return tuple(int(value) for value in row)


def _collect(duck: duckdb.DuckDBPyConnection, parts: Sequence[Identities], only: str) -> None:
    """The rows of all parts without repetitions, as `seen`."""
    names = [column.name for column in IDENTITIES.columns]
    chosen = ["SELECT NULL::VARCHAR AS observation_id, '' AS identifier_kind, '' AS identifier, 0 AS local_day WHERE false"]
    for place, part in enumerate(parts):
        if isinstance(part, Path):
            duck.read_parquet(str(part)).create_view(f"part_{place}")
        else:
            duck.register(f"part_{place}", part.select(names))
        chosen.append(f"SELECT {', '.join(names)} FROM part_{place} WHERE identifier <> ''")
    duck.execute(f"CREATE VIEW every AS {' UNION ALL '.join(chosen)}")
    theirs = """observation_id IN (SELECT observation_id FROM every
        WHERE identifier_kind || ':' || identifier IN (SELECT alias FROM aliases WHERE member_id = $only))"""
    duck.execute(
        f"CREATE TABLE seen AS SELECT {', '.join(IDENTITIES.key)}, CAST(max(local_day) AS INTEGER) AS local_day FROM every "
        f"WHERE {theirs if only else 'true'} GROUP BY ALL",
        {"only": only} if only else {},
    )


def _refuse_raw(duck: duckdb.DuckDBPyConnection) -> None:
    """SourceError for identifiers that are no hashes, and for kinds spelt in another way than hashes are made for."""
    found = duck.execute(
        "SELECT identifier_kind, count(*) FILTER (identifier_kind <> $member AND NOT regexp_full_match(identifier, $hash)) "
        "FROM seen GROUP BY identifier_kind ORDER BY identifier_kind",
        {"member": MEMBER, "hash": HASH_PATTERN},
    ).fetchall()
    for kind, raw in found:
        if kind != canonical_kind(kind):
            raise SourceError(f"identifiers of kind {kind!r} are spelt {canonical_kind(kind)!r} here", remedy="rename the kind")
        if raw:
            raise SourceError(
                f"{raw:,} identifiers of kind {kind!r} are no keyed hashes",
                remedy="hash them with features.identifiers.hash_identifier: facts keep no identifier as it is",
            )
