"""THE call: features of every member as of a moment. Training and publishing both use it, and nothing else computes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.codec import empty_records, missing_value
from features.compile import aggregate_sql, feature_sql
from features.contract import CONTRACT, Contract
from features.derive import derive_columns
from features.expressions import NUMPY, evaluate
from features.facts import Facts


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """Features of all members with a fact before `as_of`, sorted by member id.

    Attributes
    ----------
    member_ids
        Row i of `records` and of `matrix` belongs to member_ids[i].
    records
        Aggregates, as `features.codec.record_dtype` of the contract.
    matrix
        float32, one column for each of `contract.feature_names`; NaN is missing.
    edges
        Every scalar of the contract by name: population edges as of last midnight, NaN where nobody bought; and thresholds.
    """

    contract: Contract
    as_of: datetime
    day: int
    time_zone: str
    facts_hash: str
    member_ids: NDArray[np.str_]
    records: NDArray[np.void]
    matrix: NDArray[np.float32]
    edges: Mapping[str, float]

    def column(self, name: str) -> NDArray[np.float32]:
        """One feature of every member; KeyError if it is not in the contract."""
        if name not in self.contract.feature_names:
            raise KeyError(name)
        return self.matrix[:, self.contract.feature_names.index(name)]


def build(facts: Facts, *, as_of: datetime, contract: Contract = CONTRACT) -> FeatureRows:
    """Aggregates and features of every member with a fact before `as_of`.

    Windows of n days reach from local midnight of T's day minus n days up to T. Population edges are those of last
    midnight, so that a row built in the course of a day equals the live row of that moment.

    Raises
    ------
    ValueError
        `as_of` has no time zone.
    ConfigurationError
        The facts carry a threshold that the contract does not know.
    """
    if as_of.tzinfo is None:
        raise ValueError("as_of needs a time zone, for example datetime(2017, 12, 3, tzinfo=ZoneInfo('America/New_York'))")
    day = facts.local_day(as_of)
    thresholds = contract.threshold_values(facts.thresholds)
    aggregates = _aggregates(facts, contract, as_of=as_of, day=day)
    member_ids, records = _records(aggregates, contract)
    edges = thresholds | _edges_at_midnight(facts, contract, as_of=as_of, day=day, records=records)
    return FeatureRows(
        contract=contract,
        as_of=as_of.astimezone(UTC),
        day=day,
        time_zone=facts.manifest.time_zone,
        facts_hash=facts.manifest.hash,
        member_ids=member_ids,
        records=records,
        matrix=_matrix(facts, contract, aggregates, day=day, edges=edges),
        edges=edges,
    )


def _aggregates(facts: Facts, contract: Contract, *, as_of: datetime, day: int) -> pa.Table:
    return facts.query(aggregate_sql(contract), as_of=as_of.astimezone(UTC).replace(tzinfo=None), day=day)


def _records(aggregates: pa.Table, contract: Contract) -> tuple[NDArray[np.str_], NDArray[np.void]]:
    records = empty_records(contract, aggregates.num_rows)
    for aggregate in contract.aggregates:
        column = aggregates[aggregate.name].combine_chunks()
        records[aggregate.name] = column.fill_null(missing_value(records.dtype[aggregate.name])).to_numpy()
    return np.asarray(aggregates["member_id"].to_pylist(), dtype=np.str_), records


def _edges_at_midnight(
    facts: Facts, contract: Contract, *, as_of: datetime, day: int, records: NDArray[np.void]
) -> dict[str, float]:
    """Quintile edges of the population as it stood when T's day began."""
    if as_of != facts.midnight(day):
        aggregates = _aggregates(facts, contract, as_of=facts.midnight(day), day=day)
        records = _records(aggregates, contract)[1]
    return population_edges(contract, records, day=day, thresholds=contract.threshold_values(facts.thresholds))


def population_edges(
    contract: Contract, records: NDArray[np.void], *, day: int, thresholds: Mapping[str, float]
) -> dict[str, float]:
    """Edges that cut the population into fifths: the lowest values with at least 20, 40, 60 and 80 % at or below them."""
    blank = {edge.name: float("nan") for edge in contract.edges}
    columns = derive_columns(contract, records, day=day, edges={**thresholds, **blank})
    edges: dict[str, float] = {}
    for quintiles in contract.quintiles:
        values = columns[quintiles.over.name][evaluate(quintiles.among, columns, NUMPY)]
        known = values[~np.isnan(values)]
        shares = np.quantile(known, _FIFTHS, method="inverted_cdf") if len(known) else [float("nan")] * len(_FIFTHS)
        edges.update({edge.name: float(share) for edge, share in zip(quintiles.edges, shares, strict=True)})
    return edges


_FIFTHS = (0.2, 0.4, 0.6, 0.8)


def _matrix(
    facts: Facts, contract: Contract, aggregates: pa.Table, *, day: int, edges: Mapping[str, float]
) -> NDArray[np.float32]:
    """Features by Ibis, rounded to float32 at the end; rows in the order of the member ids."""
    facts.connection.con.register("aggregates", aggregates)
    columns = facts.query(feature_sql(contract), day=float(day), **edges)
    facts.connection.con.unregister("aggregates")
    matrix = np.empty((columns.num_rows, columns.num_columns), dtype=np.float32)
    for position in range(columns.num_columns):
        matrix[:, position] = columns.column(position).to_numpy()
    return matrix
