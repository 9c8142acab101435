"""Why two ids are one member, or why not: the shortest chain of observations from one to the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from features.identifiers import MEMBER
from features.identity import Resolution
from features.identity_graph import Sightings
from features.identity_sightings import number, sightings, workshop

STRONG_STEP, WEAK_STEP, REVIEW_STEP = 1.0, 2.0**20, 2.0**40
"""Lengths of a step: a chain takes as few identifiers from review as it can, then as few weak ones, then as few steps."""
SHOWN_DIGITS = 16
NOWHERE = -9999
"""What scipy writes where a chain begins, or nothing leads."""

Reason = Literal["linked", "review", "no_link", "unknown"]


@dataclass(frozen=True, slots=True)
class Step:
    """An identifier of a chain. `observation_id` is what it and the one before were seen in; empty for the first.

    `identifier` is a member id, or the first 16 digits of a hash. `review` is the reason for which it joins nobody, if so.
    """

    kind: str
    identifier: str
    observation_id: str
    review: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether two ids are one member, and by what.

    Attributes
    ----------
    reason
        linked: they are one member, by `chain`. review: the best `chain` there is needs identifiers that join nobody.
        no_link: no chain of observations leads from one to the other. unknown: an id was never seen.
    members
        The member ids that the two lead to; empty for one that was never seen.
    """

    reason: Reason
    members: tuple[str, str]
    chain: tuple[Step, ...] = ()


def why(resolution: Resolution, one: str, other: str) -> Explanation:
    """The shortest chain of observations between two ids; strong identifiers are preferred to weak ones.

    Parameters
    ----------
    one, other
        Member ids, anonymous ids (`anon-…`), or aliases (`kind:hash`). Not identifiers as they are: hash these first.
    """
    with workshop() as duck:
        duck.register("aliases", resolution.aliases)
        ends = [_alias(duck, text) for text in (one, other)]
        members = (ends[0][1], ends[1][1])
        if not all(members):
            return Explanation("unknown", members)
        linked = members[0] == members[1]
        number(duck, resolution.identities, resolution.policy, only=members[0] if linked else "")
        duck.register("review", resolution.review)
        chain = _chain(duck, ends[0][0], ends[1][0])
        if not chain:
            return Explanation("no_link", members)
        return Explanation("linked" if linked else "review", members, chain)


def _alias(duck: duckdb.DuckDBPyConnection, text: str) -> tuple[str, str]:
    """The alias that an id names and the member it leads to; both empty if it was never seen. Member ids come first."""
    found = duck.execute(
        "SELECT alias, member_id FROM aliases WHERE alias IN ($member, $text) OR anonymous_id = $text "
        "ORDER BY alias <> $member, alias LIMIT 1",
        {"member": f"{MEMBER}:{text}", "text": text},
    ).fetchall()
    return (str(found[0][0]), str(found[0][1])) if found else ("", "")


def _chain(duck: duckdb.DuckDBPyConnection, one: str, other: str) -> tuple[Step, ...]:
    nodes = duck.sql("""
        SELECT identifier_kind, identifier, coalesce(reason, '') AS reason FROM nodes LEFT JOIN review
        USING (identifier_kind, identifier) ORDER BY node
    """).to_arrow_table()
    place = duck.execute(
        "SELECT identifier_kind || ':' || identifier, node FROM nodes WHERE identifier_kind || ':' || identifier IN ($1, $2)",
        [one, other],
    ).fetchall()
    node_of = {str(alias): int(node) for alias, node in place}
    seen = sightings(duck, with_crowded=True)
    reviewed = np.array([bool(reason) for reason in nodes["reason"].to_pylist()])
    found = _shortest(seen, reviewed, node_of[one], node_of[other])
    ids = _observation_ids(duck, found[1::2])
    return tuple(
        _step(nodes.slice(node, 1).to_pylist()[0], ids[found[place - 1]] if place else "")
        for place, node in enumerate(found)
        if place % 2 == 0
    )


def _shortest(seen: Sightings, reviewed: NDArray[np.bool_], one: int, other: int) -> list[int]:
    """Nodes and observations by turns, from one node to the other; empty if nothing leads there."""
    if one == other:
        return [one]
    steps = np.where(np.arange(seen.nodes) < seen.strong, STRONG_STEP, WEAK_STEP)
    steps[reviewed] = REVIEW_STEP
    places = seen.nodes + seen.observation  # observations stand behind the nodes
    size = seen.nodes + int(seen.observation.max(initial=-1)) + 1
    lengths = np.concatenate([np.ones(len(seen.node)), steps[seen.node]])
    graph = coo_array(
        (lengths, (np.concatenate([seen.node, places]), np.concatenate([places, seen.node]))), shape=(size, size)
    ).tocsr()
    _, before = dijkstra(graph, indices=np.array([one]), return_predecessors=True)
    chain = [other]
    while before[0, chain[-1]] != NOWHERE:
        chain.append(int(before[0, chain[-1]]))
    chain.reverse()
    if chain[0] != one:
        return []
    return [place - seen.nodes if position % 2 else place for position, place in enumerate(chain)]


def _observation_ids(duck: duckdb.DuckDBPyConnection, numbers: Sequence[int]) -> dict[int, str]:
    duck.register("passed", pa.table({"observation": pa.array(numbers, pa.int32())}))
    return dict(
        duck.sql("SELECT observation, observation_id FROM observations SEMI JOIN passed USING (observation)").fetchall()
    )


def _step(row: dict[str, str], observation_id: str) -> Step:
    shown = row["identifier"] if row["identifier_kind"] == MEMBER else row["identifier"][:SHOWN_DIGITS]
    return Step(row["identifier_kind"], shown, observation_id, row["reason"])
