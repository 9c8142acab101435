"""THE call: features of every member as of a moment. Training and publishing both use it, and nothing else computes them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.capabilities import silent
from features.codec import missing_value
from features.contract import CONTRACT, Contract
from features.declarations import Aggregate
from features.derive import derive, derive_columns
from features.expressions import NUMPY, evaluate
from features.facts import Facts
from features.narrow import Members, Records
from features.scratch import scratch_folder
from features.summing import aggregates_at


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
    member_ids: Members
    records: Records
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
    require_zone(as_of)
    with facts.reading():
        member_ids, records = together(aggregates_by_bucket(facts, contract, as_of=as_of))
        known = scalars_at_midnight(facts, contract, as_of=as_of, records=records)
    return feature_rows(facts, contract, as_of=as_of, member_ids=member_ids, records=records, scalars=known)


def build_by_bucket(facts: Facts, *, as_of: datetime, scratch: Path, contract: Contract = CONTRACT) -> Iterator[FeatureRows]:
    """The same as `build`, one bucket of members after the other, so that memory does not grow with the shop.

    Aggregates of all members are kept in a temporary folder below `scratch` until the edges of the population are known.

    Raises
    ------
    FactsReplaced
        Other facts were put in place before the first row.
    """
    require_zone(as_of)
    day = facts.local_day(as_of)
    with scratch_folder(scratch, "aggregates") as folder, facts.reading():
        kept: list[tuple[Path, Path]] = []
        for members, records in aggregates_by_bucket(facts, contract, as_of=as_of):
            kept.append((folder / f"{len(kept)}.members.npy", folder / f"{len(kept)}.records.npy"))
            for path, array in zip(kept[-1], (members, records), strict=True):
                np.save(path, array, allow_pickle=False)
        at_midnight = (np.load(path, allow_pickle=False) for _, path in kept)
        if as_of != facts.midnight(day):
            at_midnight = (records for _, records in aggregates_by_bucket(facts, contract, as_of=facts.midnight(day)))
        known = scalars(contract, at_midnight, day=day, thresholds=facts.thresholds)
        facts.require_unchanged()
        for members_file, records_file in kept:
            members, records = np.load(members_file, allow_pickle=False), np.load(records_file, allow_pickle=False)
            yield feature_rows(facts, contract, as_of=as_of, member_ids=members, records=records, scalars=known)


def feature_rows(
    facts: Facts, contract: Contract, *, as_of: datetime, member_ids: Members, records: Records, scalars: Mapping[str, float]
) -> FeatureRows:
    """Feature rows of aggregates as of a moment, however these were come by."""
    day = facts.local_day(as_of)
    return FeatureRows(
        contract=contract,
        as_of=as_of.astimezone(UTC),
        day=day,
        time_zone=facts.manifest.time_zone,
        facts_hash=facts.manifest.hash,
        member_ids=member_ids,
        records=records,
        matrix=derive(contract, records, day=day, edges=scalars),
        edges=scalars,
    )


def require_zone(as_of: datetime) -> None:
    """Raise ValueError for a moment without a time zone."""
    if as_of.tzinfo is None:
        raise ValueError("as_of needs a time zone, for example datetime(2017, 12, 3, tzinfo=ZoneInfo('America/New_York'))")


def aggregates_by_bucket(facts: Facts, contract: Contract, *, as_of: datetime) -> Iterator[tuple[Members, Records]]:
    """Members with a fact before `as_of`, sorted by id, and their aggregates: one bucket of the facts after the other."""
    day = facts.local_day(as_of)
    silenced = silent(contract.aggregates, facts.absent(day))
    for bucket in facts.buckets:
        for members, records in aggregates_at(facts, bucket, contract, [as_of]):
            silence(records, silenced)
            yield members, records


def silence(records: Records, aggregates: tuple[Aggregate, ...]) -> None:
    """Make these aggregates missing: the shop's facts do not tell what they would sum up."""
    for aggregate in aggregates:
        records[aggregate.name] = missing_value(records.dtype[aggregate.name])


def together(parts: Iterable[tuple[Members, Records]]) -> tuple[Members, Records]:
    """All buckets as one, sorted by member id."""
    members, records = zip(*parts, strict=True)
    if len(members) == 1:
        return members[0], records[0]
    everyone = np.concatenate(members) if members else np.empty(0, dtype=np.str_)
    order = np.argsort(everyone, kind="stable")
    return everyone[order], np.concatenate(records)[order]


def scalars_at_midnight(facts: Facts, contract: Contract, *, as_of: datetime, records: Records) -> dict[str, float]:
    """Thresholds, and quintile edges of the population as it stood when T's day began. `records` are those as of T."""
    day = facts.local_day(as_of)
    if as_of != facts.midnight(day):
        records = np.concatenate([part for _, part in aggregates_by_bucket(facts, contract, as_of=facts.midnight(day))])
    return scalars(contract, [records], day=day, thresholds=facts.thresholds)


def scalars(contract: Contract, parts: Iterable[Records], *, day: int, thresholds: Mapping[str, float]) -> dict[str, float]:
    """Every number that features need beside a member's aggregates: thresholds, and the edges of the population.

    Edges cut the population into fifths: the lowest values with at least 20, 40, 60 and 80 % at or below them.

    Parameters
    ----------
    parts
        Aggregates of all members as of the midnight at which `day` begins, in as many parts as one likes.
    thresholds
        Values in place of the contract's defaults.
    """
    found = contract.threshold_values(thresholds)
    blank = {edge.name: float("nan") for edge in contract.edges}
    values: dict[str, list[NDArray[np.float64]]] = {quintiles.name: [] for quintiles in contract.quintiles}
    for records in parts:
        columns = derive_columns(contract, records, day=day, edges={**found, **blank})
        for quintiles in contract.quintiles:
            chosen = columns[quintiles.over.name][evaluate(quintiles.among, columns, NUMPY)]
            values[quintiles.name].append(chosen[~np.isnan(chosen)])
    for quintiles in contract.quintiles:
        known = np.concatenate(values[quintiles.name]) if values[quintiles.name] else np.empty(0)
        shares = np.quantile(known, _FIFTHS, method="inverted_cdf") if len(known) else [float("nan")] * len(_FIFTHS)
        found.update({edge.name: float(share) for edge, share in zip(quintiles.edges, shares, strict=True)})
    return found


_FIFTHS = (0.2, 0.4, 0.6, 0.8)
