"""Bitmaps over the member index: a bit a position, as Redis keeps them; and the table of all tags of a publish."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.member_index import MemberIndex

Bitmap: TypeAlias = NDArray[np.uint8]
"""One bit a position, the first position in the highest bit of the first byte, as in Redis."""


def count(bitmap: Bitmap) -> int:
    """How many bits are set."""
    return int(np.bitwise_count(bitmap).sum())


def positions_in(bitmap: Bitmap) -> NDArray[np.int64]:
    """Positions of the bits that are set, ascending."""
    return np.flatnonzero(np.unpackbits(bitmap))


@dataclass(frozen=True)
class TagTable:
    """Tags of a population as of a moment. Grain: position of the member index.

    Attributes
    ----------
    population
        Positions with a member: everyone with a fact before `as_of`, or registered by then.
    tags
        A bitmap for every tag there is, empty ones too; no bit outside the population is set.
    """

    index: MemberIndex
    as_of: datetime
    facts_hash: str
    population: Bitmap
    tags: Mapping[str, Bitmap]
