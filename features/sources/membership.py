"""Whose a row is: identifiers in purchases and events exchanged for the member they lead to, and histories that move."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute
from ibis import ir

from features.errors import FactsMissing, SourceError
from features.facts import BUCKETED
from features.identity import Moves, Resolution, moves, read_resolution, resolve
from features.identity_policy import IdentityPolicy
from features.identity_rows import member_of
from features.sources.schema import ORDERS

IDENTIFIER = "id_"
"""Columns of a table handed over whose names begin so hold hashed identifiers of the kind that follows."""


class HistoriesDivide(SourceError):
    """A new observation takes an identifier out of a person: rows kept under that person's id have to be read again."""

    code = "histories_divide"


@dataclass(frozen=True, slots=True)
class Identification:
    """How identifiers lead to members: the shop's policy, and what tells the key they were hashed with."""

    policy: IdentityPolicy
    key_check: str = ""


@dataclass(frozen=True, slots=True)
class Membership:
    """Who is who by all observations so far, and which histories that are kept belong to another id from now on."""

    resolution: Resolution
    moved: Mapping[str, str]


def membership(identities: Path, identification: Identification, *, before: Path | None) -> Membership:
    """Who is who by the observations in a file.

    Parameters
    ----------
    before
        The facts folder that is added to, whose histories may have to move.

    Raises
    ------
    HistoriesDivide
        Adding is not enough.
    """
    resolution = resolve(identities, identification.policy, key_check=identification.key_check)
    changed = _changes(before, resolution)
    if changed is None:
        return Membership(resolution, {})
    if changed.splits.num_rows:
        raise HistoriesDivide(
            f"{changed.splits.num_rows:,} identifiers turn out to be another person's",
            remedy="read everything again: rapport import --mapping … --again",
        )
    pairs = changed.whole.to_pydict()
    return Membership(resolution, dict(zip(pairs["old_member_id"], pairs["new_member_id"], strict=True)))


def assigned(tables: Mapping[str, ir.Table], resolution: Resolution) -> dict[str, ir.Table]:
    """The tables with the member that each row's identifiers, or its member id itself, lead to."""
    found = dict(tables)
    merged = _has_merged(resolution)
    for schema in BUCKETED:
        table = found.get(schema.name)
        if table is None or schema is ORDERS:
            continue
        kinds = {name.removeprefix(IDENTIFIER): name for name in table.columns if name.startswith(IDENTIFIER)}
        if not kinds and not merged:
            continue
        backend = table.get_backend()
        relation = backend.con.sql(str(backend.compile(table)))
        rows = member_of(backend.con, relation, {**kinds, "member": "member_id"}, resolution).rows
        backend.con.execute(f"DROP TABLE IF EXISTS assigned_{schema.name}")
        rows.create(f"assigned_{schema.name}")
        found[schema.name] = backend.table(f"assigned_{schema.name}")
    return found


def moves_table(moved: Mapping[str, str]) -> pa.Table:
    """Old to new member ids, as a table of two columns."""
    return pa.table(
        {"old_member_id": pa.array(list(moved), pa.string()), "new_member_id": pa.array(list(moved.values()), pa.string())}
    )


def _changes(before: Path | None, now: Resolution) -> Moves | None:
    if before is None:
        return None
    try:
        return moves(read_resolution(before), now)
    except FactsMissing:
        return None


def _has_merged(resolution: Resolution) -> bool:
    """Whether some registered member's id stands for another one's."""
    aliases = resolution.aliases
    own = pa.compute.binary_join_element_wise("member", aliases["member_id"], ":")
    registered = pa.compute.starts_with(aliases["alias"], "member:")
    return bool(pa.compute.any(pa.compute.and_(registered, pa.compute.not_equal(aliases["alias"], own))).as_py())
