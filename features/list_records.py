"""A member's recommendation list as it is stored: what it holds, and its bytes.

16 hex digits   of all that the list says, without its moment: a night compares them and writes only what differs
JSON            [model, as_of, items, day, lately, group], each item [item_id, score, source, times, last_day, gap_days]

The moment is that of the night that wrote it; a later one that would have written the same says so in the stamp of all lists.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b

import msgspec

from features.errors import CorruptRecord

FINGERPRINT = 16
"""Bytes at the beginning of a stored list."""
_REMEDY = 'publish again: "rapport publish"'


class RecommendedItem(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One item of a list, where it came from, and the score by which it was ranked.

    There are fifty a list, and none can be part of a circle: the garbage collector need not look at them.

    Attributes
    ----------
    times, last_day, gap_days
        On how many days the member bought it, the last of them (days since 1970-01-01), and the days from one to the next by
        their own rhythm; None where not known.
    """

    item_id: str
    score: float
    source: str
    times: int | None = None
    last_day: int | None = None
    gap_days: float | None = None


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    """The JSON; lists of an earlier version end before `group`."""

    model: str
    as_of: str
    items: tuple[RecommendedItem, ...]
    day: int | None
    lately: dict[str, int]
    group: int = -1


_decoder = msgspec.json.Decoder(_Stored)
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class RecommendationList:
    """A member's list, best first, and what made it.

    Attributes
    ----------
    day
        The shop's local day of `as_of`; None in lists that do not say.
    lately
        The last local day of what they bought within the days that rules may look back, by item.
    group
        Row of their buying group in the catalogue of `model`; -1 where it is not known.
    """

    model: str
    as_of: str
    items: tuple[RecommendedItem, ...]
    day: int | None = None
    lately: Mapping[str, int] = field(default_factory=dict)
    group: int = -1

    def to_bytes(self) -> bytes:
        """The list as it is stored."""
        if not all(math.isfinite(item.score) for item in self.items):
            raise ValueError("the score of an item is not JSON compliant: it has to be a finite number")
        said = _encoder.encode((self.model, self.items, self.lately, self.group))
        content = _encoder.encode((self.model, self.as_of, self.items, self.day, self.lately, self.group))
        return blake2b(said, digest_size=FINGERPRINT // 2).hexdigest().encode() + content

    @classmethod
    def from_bytes(cls, value: bytes) -> "RecommendationList":
        """The list from its bytes; CorruptRecord if they are none."""
        try:
            found = _decoder.decode(value[FINGERPRINT:])
            moment_of(found.as_of)
        except (ValueError, TypeError, msgspec.DecodeError, RecursionError) as error:
            raise CorruptRecord("a stored list cannot be read", remedy=_REMEDY) from error
        return cls(found.model, found.as_of, found.items, found.day, found.lately, found.group)


@lru_cache(maxsize=64)
def moment_of(text: str) -> datetime:
    """An aware moment in ISO 8601, ValueError if it is none; the lists of a night share theirs."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return moment


@dataclass(frozen=True, slots=True)
class ListStamp:
    """Which night looked at everyone's lists last: those that it did not write stand as it would have written them.

    Attributes
    ----------
    model
        Name and version of what made them.
    day
        The shop's local day of `as_of`.
    """

    model: str
    as_of: str
    day: int

    def to_bytes(self) -> bytes:
        """The stamp as JSON."""
        return json.dumps({"model": self.model, "as_of": self.as_of, "day": self.day}).encode()

    @classmethod
    def from_bytes(cls, value: bytes) -> "ListStamp":
        """The stamp from JSON; CorruptRecord if it is none."""
        try:
            stamp = _stamps.decode(value)
            moment_of(stamp.as_of)
        except (ValueError, msgspec.DecodeError) as error:
            raise CorruptRecord("the stamp of the lists cannot be read", remedy=_REMEDY) from error
        return stamp


_stamps = msgspec.json.Decoder(ListStamp)
