"""Any number of identifiers, one member: who is who by connected components, at once or as observations come in.

The rules are in `identity_graph.grouped`, the kinds and limits in `identity_policy`; docs/identity.md tells them in words.
"""
# ruff: noqa: S608 -- the texts hold constants of this module

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from features.errors import ConfigurationError, FactsMissing
from features.identifiers import MEMBER, key_check
from features.identity_graph import NO_DAY, Grouping, Nodes, grouped, linked_since
from features.identity_policy import IdentityPolicy
from features.identity_sightings import Identities, crowded_observations, number, sightings, workshop

IDENTITIES_FILE, ALIASES_FILE, REVIEW_FILE = "identities.parquet", "aliases.parquet", "identity_review.parquet"
SHOWN_CANDIDATES = 10
ANONYMOUS = "anon-"
ALIASES = pa.schema(
    [("alias", pa.string()), ("anonymous_id", pa.string()), ("member_id", pa.string()), ("linked_day", pa.int32())]
)
REVIEW = pa.schema(
    [
        ("identifier_kind", pa.string()),
        ("identifier", pa.string()),
        ("reason", pa.string()),
        ("members", pa.int64()),
        ("candidates", pa.list_(pa.string())),
    ]
)
MOVES = pa.schema([("old_member_id", pa.string()), ("new_member_id", pa.string())])
SPLITS = pa.schema([("alias", pa.string()), *MOVES])

_NAMES = f"""
CREATE TABLE names AS
    SELECT grp, first.rank = 0 AS registered,
           CASE WHEN first.rank = 0 THEN first.identifier
                ELSE '{ANONYMOUS}' || left(least(first.identifier, weak.identifier), 16) END AS member_id
    FROM (SELECT grp, min(node) AS node, min(node) FILTER (node >= $strong) AS weak_node FROM outcome GROUP BY grp) found
    JOIN nodes first ON first.node = found.node LEFT JOIN nodes weak ON weak.node = found.weak_node;
"""
"""Nodes are numbered by rank, then by identifier: the first of a group is its smallest member id, if it has one."""
_ALIASES = f"""
SELECT identifier_kind || ':' || identifier AS alias,
       CASE WHEN rank > 0 THEN '{ANONYMOUS}' || left(identifier, 16) END AS anonymous_id, member_id,
       nullif(linked_day, {NO_DAY}) AS linked_day
FROM nodes JOIN outcome USING (node) JOIN names USING (grp) ORDER BY node
"""
_REVIEW = f"""
WITH crowd AS (
         SELECT DISTINCT crowded.node AS question, theirs.grp
         FROM crowded JOIN sightings mine USING (node) JOIN sightings other USING (observation)
         JOIN outcome theirs ON theirs.node = other.node),
     candidates AS (
         SELECT question, count(*) AS members, list(member_id ORDER BY member_id)[:{SHOWN_CANDIDATES}] AS candidates
         FROM (SELECT * FROM claims UNION ALL SELECT * FROM crowd) JOIN names USING (grp) WHERE registered GROUP BY question)
SELECT identifier_kind, identifier,
       CASE WHEN crowded.node IS NOT NULL THEN 'crowded' WHEN shared THEN 'shared' ELSE 'chained' END AS reason,
       coalesce(members, 0) AS members, coalesce(candidates, []) AS candidates
FROM nodes JOIN outcome USING (node) LEFT JOIN crowded USING (node) LEFT JOIN candidates USING (question)
WHERE shared OR chained OR crowded.node IS NOT NULL
ORDER BY node
"""


@dataclass(frozen=True, slots=True)
class Resolution:
    """Who is who, by all observations so far.

    Attributes
    ----------
    aliases
        One row per identifier, in a fixed order: its `alias` (`kind:identifier`), the `member_id` it leads to, `anonymous_id`,
        under which a history may stand from before it led to anybody (null for member ids), and `linked_day`, the first day
        by which the observations that lead it to a registered member had been made (null for that id itself, for anonymous
        persons, and where no day is known): before it, nobody could know that the history is the member's.
    review
        One row per identifier that joins nobody, in a fixed order: `reason` is shared (seen with several registered
        members), chained (linked to several through other weak identifiers) or crowded (seen with more than the policy's
        limit); `members` counts the registered members it leads to, `candidates` names the first ten.
    crowded_observations
        How many observations hold too many identifiers to link any.
    identities
        The observations themselves, as they were given.
    key_check
        Tells which key the identifiers were hashed with; empty where it is not known.
    """

    aliases: pa.Table
    review: pa.Table
    crowded_observations: int
    policy: IdentityPolicy
    identities: tuple[Identities, ...] = field(repr=False)
    key_check: str = ""

    def counts(self) -> dict[str, int]:
        """Identifiers, members, merged member ids, anonymous persons, and what is for review by reason."""
        with workshop() as duck:
            duck.register("aliases", self.aliases)
            (row,) = duck.sql(f"""
                SELECT count(*), count(DISTINCT member_id) FILTER (NOT anonymous), count(DISTINCT member_id) FILTER (anonymous),
                       count(*) FILTER (anonymous_id IS NULL AND alias <> '{MEMBER}:' || member_id)
                FROM (SELECT *, starts_with(member_id, '{ANONYMOUS}') AS anonymous FROM aliases)
            """).fetchall()
        found = dict(zip(("identifiers", "members", "anonymous", "merged_member_ids"), map(int, row), strict=True))
        reasons = self.review["reason"].to_pylist()
        found |= {reason: reasons.count(reason) for reason in ("shared", "chained", "crowded")}
        return {**found, "crowded_observations": self.crowded_observations}

    def has(self, text: str) -> bool:
        """Whether a text is a member id, an anonymous id or an alias here, and not an identifier still to be hashed."""
        known = pc.or_kleene(
            pc.is_in(self.aliases["alias"], pa.array([text, f"{MEMBER}:{text}"])), pc.equal(self.aliases["anonymous_id"], text)
        )
        return bool(pc.any(known).as_py())


@dataclass(frozen=True, slots=True)
class Moves:
    """What changed for histories already kept under a member id.

    Attributes
    ----------
    whole
        `old_member_id` to `new_member_id`: everything under the old id belongs to the new one. One row an old id.
    splits
        `alias`, `old_member_id`, `new_member_id`: a newer observation took this identifier out of the person it had been
        given to, as when a second member logs in on a tablet. Rows written by way of that identifier belong to the new id.
    """

    whole: pa.Table
    splits: pa.Table


def resolve(
    identities: Identities | Sequence[Identities], policy: IdentityPolicy | None = None, *, key_check: str = ""
) -> Resolution:
    """Who is who by these observations. Their order, repetitions and division into parts change nothing.

    Parameters
    ----------
    identities
        Rows as in `features.sources.schema.IDENTITIES`, in one or several tables or Parquet files.

    Raises
    ------
    SourceError
        An identifier is no keyed hash.
    """
    parts = (identities,) if isinstance(identities, pa.Table | Path) else tuple(identities)
    rules = policy or IdentityPolicy()
    with workshop() as duck:
        number(duck, parts, rules)
        seen = sightings(duck)
        if not seen.nodes:
            return Resolution(ALIASES.empty_table(), REVIEW.empty_table(), 0, rules, parts, key_check)
        found = grouped(seen)
        _register(duck, found, linked_since(seen, found))
        duck.execute(_NAMES, {"strong": seen.strong})
        aliases = duck.sql(_ALIASES).to_arrow_table().cast(ALIASES)
        review = duck.sql(_REVIEW).to_arrow_table().cast(REVIEW)
        return Resolution(aliases, review, crowded_observations(duck), rules, parts, key_check)


def extend(previous: Resolution, new: Identities, policy: IdentityPolicy | None = None) -> tuple[Resolution, Moves]:
    """Who is who by the observations so far and newer ones, as `resolve` of all of them says, and what has changed.

    Parameters
    ----------
    policy
        Another one than before, if it is given.
    """
    now = resolve((*previous.identities, new), policy or previous.policy, key_check=previous.key_check)
    return now, moves(previous, now)


def moves(previous: Resolution, now: Resolution) -> Moves:
    """What changes for histories kept by the previous resolution."""
    with workshop() as duck:
        duck.register("before", previous.aliases)
        duck.register("after", now.aliases)
        duck.execute("""
            CREATE TABLE led AS SELECT alias, before.member_id AS old_member_id, after.member_id AS new_member_id
            FROM before JOIN after USING (alias);
            CREATE TABLE whole AS SELECT old_member_id, any_value(new_member_id) AS new_member_id
            FROM led GROUP BY old_member_id HAVING count(DISTINCT new_member_id) = 1;
        """)
        whole = duck.sql("SELECT * FROM whole WHERE old_member_id <> new_member_id ORDER BY old_member_id")
        splits = duck.sql(
            "SELECT led.* FROM led ANTI JOIN whole USING (old_member_id) WHERE old_member_id <> new_member_id ORDER BY alias"
        )
        return Moves(whole.to_arrow_table().cast(MOVES), splits.to_arrow_table().cast(SPLITS))


def canonical(resolution: Resolution, ids: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    """The member id that each id stands for now: a member id, merged or not, or an anonymous one. Shape (n,).

    Ids that were never seen stand for themselves.
    """
    with workshop() as duck:
        duck.register("aliases", resolution.aliases)
        duck.register("asked", pa.table({"id": ids, "place": np.arange(len(ids))}))
        found = duck.sql(f"""
            WITH known AS (
                SELECT coalesce(anonymous_id, substr(alias, {len(MEMBER) + 2})) AS id, min(member_id) AS member_id
                FROM aliases WHERE anonymous_id IS NOT NULL OR starts_with(alias, '{MEMBER}:') GROUP BY 1)
            SELECT coalesce(known.member_id, asked.id) AS member_id FROM asked LEFT JOIN known USING (id) ORDER BY place
        """).to_arrow_table()
        return found["member_id"]


def write_resolution(folder: Path, resolution: Resolution) -> None:
    """Write `aliases.parquet` and `identity_review.parquet` into a folder; the observations are a fact table of their own."""
    kept = {
        "policy": json.dumps(resolution.policy.to_content()),
        "crowded_observations": str(resolution.crowded_observations),
        "key_check": resolution.key_check,
    }
    pyarrow.parquet.write_table(resolution.aliases.replace_schema_metadata(kept), folder / ALIASES_FILE, compression="zstd")
    pyarrow.parquet.write_table(resolution.review, folder / REVIEW_FILE, compression="zstd")


def read_resolution(folder: Path) -> Resolution:
    """What `write_resolution` wrote, with the folder's own `identities.parquet`, which is read only when it is needed.

    Raises
    ------
    FactsMissing
        The folder holds no resolution.
    """
    files = [folder / name for name in (ALIASES_FILE, REVIEW_FILE, IDENTITIES_FILE)]
    if not all(path.exists() for path in files):
        raise FactsMissing(
            f"there are no identities in {folder}", remedy="import a source that has identifiers: docs/identity.md"
        )
    aliases = pyarrow.parquet.read_table(files[0])
    kept: Mapping[bytes, bytes] = aliases.schema.metadata or {}
    return Resolution(
        aliases.replace_schema_metadata(None),
        pyarrow.parquet.read_table(files[1]),
        int(kept[b"crowded_observations"]),
        IdentityPolicy.of(json.loads(kept[b"policy"])),
        (files[2],),
        kept[b"key_check"].decode(),
    )


def require_same_key(resolution: Resolution, key: bytes) -> None:
    """ConfigurationError if the identifiers were hashed with another key: nothing would be found, nobody joined."""
    if resolution.key_check and resolution.key_check != key_check(key):
        raise ConfigurationError(
            "RAPPORT_IDENTITY_KEY is not the key that the identities in the facts were hashed with",
            remedy="set the former key, or import everything again with the new one",
        )


def _register(duck: duckdb.DuckDBPyConnection, found: Grouping, linked_day: Nodes) -> None:
    columns = {
        "grp": found.group,
        "linked_day": linked_day,
        "question": found.question,
        "shared": found.shared,
        "chained": found.chained,
    }
    outcome = pa.table({"node": np.arange(len(found.group), dtype=np.int32), **columns})
    duck.register("outcome", outcome)
    duck.register("claims", pa.table({"question": found.claims[:, 0], "grp": found.claims[:, 1]}))
