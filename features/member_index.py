"""The dense member index: position i of every tag's bitmap belongs to one member, and stays theirs from publish to publish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

CHUNK = 65_536
"""Members whose ids are packed into one value of the store."""


@dataclass(frozen=True)
class MemberIndex:
    """Members by position.

    Attributes
    ----------
    identity
        Random name of this order of members. Positions of two indexes may be compared only if it is the same.
    ids
        ids[i] has position i. Unique. New members are appended; nobody is moved or taken away.
    """

    identity: str
    ids: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.ids)

    def extended(self, members: NDArray[np.str_]) -> MemberIndex:
        """The same index with members it does not know yet appended, sorted by id."""
        fresh = np.setdiff1d(members, self.ids)
        if not len(fresh):
            return self
        return MemberIndex(self.identity, np.concatenate([self.ids, fresh]))

    def positions(self, members: NDArray[np.str_]) -> NDArray[np.int64]:
        """Position of each member, -1 for those not in the index."""
        if not len(self.ids) or not len(members):
            return np.full(len(members), -1, dtype=np.int64)
        order, ordered = self._sorted
        found = np.minimum(np.searchsorted(ordered, members), len(ordered) - 1)
        return np.where(ordered[found] == members, order[found], -1)

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
        order = np.argsort(self.ids, kind="stable")
        return order, self.ids[order]

    def chunk(self, number: int) -> bytes:
        """The packed ids of one chunk."""
        return pack_ids(self.ids[number * CHUNK : (number + 1) * CHUNK].tolist())


def chunks_of(size: int) -> int:
    """How many chunks hold the ids of an index of this size."""
    return -(-size // CHUNK)


def pack_ids(ids: Sequence[str]) -> bytes:
    """Ids as bytes: their number, the end of each in the text, all as little-endian uint32; then the text in UTF-8."""
    texts = [member.encode() for member in ids]
    ends = np.cumsum([len(text) for text in texts], dtype="<u4")
    return b"".join([len(texts).to_bytes(4, "little"), ends.tobytes(), *texts])


def unpack_ids(packed: bytes, chosen: NDArray[np.int64] | Sequence[int] | None = None) -> list[str]:
    """All ids of a chunk, or those at some places within it, in their order.

    Raises
    ------
    ValueError
        These bytes were not made by `pack_ids`, or a place lies outside.
    """
    count = int(np.frombuffer(packed, dtype="<u4", count=1)[0])
    ends = np.frombuffer(packed, dtype="<u4", count=count, offset=4)
    text = packed[4 + 4 * count :]
    if len(text) != (int(ends[-1]) if count else 0):
        raise ValueError("packed ids are cut short")
    begins = np.concatenate([np.zeros(1, dtype=ends.dtype), ends[:-1]]) if count else ends
    places = slice(None) if chosen is None else np.asarray(chosen, dtype=np.int64)
    if not isinstance(places, slice) and len(places) and (places.min() < 0 or places.max() >= count):
        raise ValueError("a chosen place lies outside the chunk")
    pairs = zip(begins[places].tolist(), ends[places].tolist(), strict=True)
    if text.isascii():
        letters = text.decode("ascii")
        return [letters[begin:end] for begin, end in pairs]
    return [text[begin:end].decode() for begin, end in pairs]
