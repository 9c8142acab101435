"""Whether what is served equals the batch: records of the same members from both sides, held against each other. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from features.codec import floats_of
from features.contract import Contract
from features.declarations import Aggregate, Feature
from features.derive import derive
from features.events.rows import LIVE_TABLES

WITHIN = 1e-6
"""How far floats may be apart, as a share of the larger one, or outright below 1: what a float32 keeps."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How many members have another value of a feature or aggregate, and by how much at most; inf where one has none."""

    members: int
    largest: float


@dataclass(frozen=True, slots=True)
class Parity:
    """What a comparison found.

    Attributes
    ----------
    members, active
        How many were compared, and how many of them had done something today.
    missing, extra
        Members of the facts whom the store does not know, and the reverse.
    differences
        By feature or aggregate that moves with events; those without any are left out.
    unsettled
        Members that differed and moved again between the looks: no verdict.
    """

    members: int
    active: int
    missing: int
    extra: int
    differences: Mapping[str, Difference] = field(default_factory=dict)
    unsettled: int = 0

    @property
    def mismatches(self) -> int:
        """Values that differ."""
        return sum(difference.members for difference in self.differences.values())


@dataclass(frozen=True, slots=True)
class Compared:
    """What differs: names of the columns, whether each value does, shape (members, columns), and by how much."""

    names: tuple[str, ...]
    differs: NDArray[np.bool_]
    errors: NDArray[np.float64]

    @property
    def rows(self) -> NDArray[np.bool_]:
        """Which members differ anywhere."""
        return np.asarray(self.differs.any(axis=1))

    def differences(self, rows: NDArray[np.bool_]) -> dict[str, Difference]:
        """Column by column, of these members."""
        counts, largest = self.differs[rows].sum(axis=0), np.where(self.differs[rows], self.errors[rows], 0.0)
        return {
            name: Difference(int(counts[column]), float(largest[:, column].max()))
            for column, name in enumerate(self.names)
            if counts[column]
        }


def compared(
    contract: Contract, batch: NDArray[np.void], live: NDArray[np.void], *, day: int, edges: Mapping[str, float]
) -> Compared:
    """Everything that moves with events, of the same members: integers must be equal, floats within `WITHIN`.

    What rests on exposures is left out: they come with the facts of a night, not as events.
    """
    whole = [row for row, a in enumerate(contract.aggregates) if _streamed(a) and a.dtype != "float64"]
    columns = [column for column, feature in enumerate(contract.features) if all(_streamed(a) for a in _under(feature))]
    sides = []
    for records in (batch, live):
        features = derive(contract, records, day=day, edges=edges)[:, columns].astype(np.float64)
        sides.append(np.concatenate([floats_of(contract, records)[whole].T, features], axis=1))
    expected, found = sides
    errors = np.abs(expected - found)
    errors[np.isnan(expected) != np.isnan(found)] = np.inf
    errors[np.isnan(errors)] = 0.0
    allowed = WITHIN * np.maximum(np.nan_to_num(np.abs(expected)), 1.0)
    allowed[:, : len(whole)] = 0.0
    names = (*(contract.aggregates[row].name for row in whole), *(contract.features[column].name for column in columns))
    return Compared(names, errors > allowed, errors)


def _streamed(aggregate: Aggregate) -> bool:
    return aggregate.freshness == "event" and aggregate.table in LIVE_TABLES


def _under(feature: Feature) -> list[Aggregate]:
    return [source for source in feature.sources() if isinstance(source, Aggregate)]
