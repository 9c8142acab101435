"""A moment asked about: its windows, and the records that an aggregate's values go into."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.codec import missing_value
from features.declarations import Aggregate
from features.narrow import Records


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment asked about.

    Attributes
    ----------
    day
        Its local day; windows begin so many days before.
    until
        The local day before which facts count; None if the facts are those known and past as of the moment.
    records
        What is filled: one record for every member of the bucket.
    """

    day: int
    until: int | None
    records: Records


def start_of(aggregate: Aggregate, moment: Moment) -> int | None:
    """The first day of an aggregate's window; None is the beginning."""
    return None if aggregate.days is None else moment.day - aggregate.days


def store_known(records: Records, aggregate: Aggregate, values: NDArray[np.float64], known: NDArray[np.bool_]) -> None:
    """Values into a field, missing where they are not known."""
    dtype = records.dtype[aggregate.name]
    field_values = np.full(len(records), missing_value(dtype), dtype=dtype)
    field_values[known] = values[known]
    records[aggregate.name] = field_values
